/* SPDX-License-Identifier: MIT */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "say.h"
#include <openssl/ec.h>
#include <openssl/engine.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/store.h>

#define CIPHERS "ECDHE-RSA-AES256-GCM-SHA384"
#define SUITES "TLS_AES_128_GCM_SHA256"

int main(int argc, char **argv)
{
	int server, fd, result, good = argv[3][0] == '1';
	RSA *rsa = RSA_new();
	BIGNUM *e = BN_new();
	SSL_CTX *context;
	SSL *ssl;

	SAY("default", OSSL_PROVIDER_load, NULL, "default");
	SAY("legacy", OSSL_PROVIDER_load, NULL, "legacy");
	SAY("nosuch", OSSL_PROVIDER_try_load, NULL, "nosuch", 1);
	SAY("off", EVP_default_properties_enable_fips, NULL, 0);
	SAY("nosuch", ENGINE_by_id, "nosuch");
	EVP_PKEY_free(SAY("X25519", EVP_PKEY_Q_keygen, NULL, NULL, "X25519"));
	EC_KEY_free(SAY("secp384r1", EC_KEY_new_by_curve_name, NID_secp384r1));
	BN_set_word(e, RSA_F4);
	SAY("1024", RSA_generate_key_ex, rsa, 1024, e, NULL);
	OSSL_STORE_close(SAY(argv[1], OSSL_STORE_open, argv[1], NULL, NULL, NULL, NULL));
	SAY(argv[1], SSL_load_client_CA_file, argv[1]);
	fd = connect_two(&server);
	if (server)
		context = SAY("", SSL_CTX_new, TLS_server_method());
	else
		context = SAY("", SSL_CTX_new_ex, NULL, NULL, TLS_client_method());
	must(SAY(CIPHERS, SSL_CTX_set_cipher_list, context, CIPHERS) == 1, "ciphers");
	must(SAY(SUITES, SSL_CTX_set_ciphersuites, context, SUITES) == 1, "suites");
	/* What is refused does not count. */
	SAY("NONSENSE", SSL_CTX_set_cipher_list, context, "NONSENSE");
	SAY("NONSENSE", SSL_CTX_set_ciphersuites, context, "NONSENSE");
	if (server) {
		must(SAY(argv[1], SSL_CTX_use_certificate_chain_file, context, argv[1]) == 1, "certificate");
		SAY("/nowhere.pem", SSL_CTX_use_certificate_file, context, "/nowhere.pem", SSL_FILETYPE_PEM);
		must(SAY(argv[2], SSL_CTX_use_PrivateKey_file, context, argv[2], SSL_FILETYPE_PEM) == 1, "key");
	} else {
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
		if (good)
			must(SAY(argv[1], SSL_CTX_load_verify_locations, context, argv[1], NULL) == 1, "trust");
	}
	ssl = SAY("", SSL_new, context);
	SAY("", SSL_set_SSL_CTX, ssl, context);
	SSL_set_fd(ssl, fd);
	result = server ? SAY("", SSL_accept, ssl) : SAY("", SSL_connect, ssl);
	/* TLS 1.3: a server hears of a refusal when it reads */
	SAY_HANDSHAKE(server ? "server" : "client", result == 1, server ? argv[1] : "-", CIPHERS);
	SSL_free(ssl);
	SSL_CTX_free(context);
	close(fd);
	return end_two(server);
}
