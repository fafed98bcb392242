/* SPDX-License-Identifier: MIT */
#include "say.h"
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define CIPHERS "ECDHE-RSA-AES256-GCM-SHA384"

int main(int argc, char **argv)
{
	int server, fd, result, good = argv[3][0] == '1';
	WOLFSSL_CTX *context;
	WOLFSSL *ssl;

	wolfSSL_Init();
	fd = connect_two(&server);
	context = SAY("", wolfSSL_CTX_new, server ? wolfTLSv1_2_server_method() : wolfTLSv1_2_client_method());
	must(SAY(CIPHERS, wolfSSL_CTX_set_cipher_list, context, CIPHERS) == 1, "ciphers");
	if (server) {
		must(SAY(argv[1], wolfSSL_CTX_use_certificate_chain_file, context, argv[1]) == 1, "certificate");
		must(SAY(argv[1], wolfSSL_CTX_use_certificate_file, context, argv[1], SSL_FILETYPE_PEM) == 1, "certificate");
		must(SAY(argv[2], wolfSSL_CTX_use_PrivateKey_file, context, argv[2], SSL_FILETYPE_PEM) == 1, "key");
		/* What is refused does not count. */
		SAY("/nowhere.pem", wolfSSL_CTX_use_certificate_file, context, "/nowhere.pem", SSL_FILETYPE_PEM);
	} else if (good) {
		must(SAY(argv[1], wolfSSL_CTX_load_verify_locations, context, argv[1], NULL) == 1, "trust");
	}
	if (!server)
		wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, NULL);
	ssl = SAY("", wolfSSL_new, context);
	SAY("", wolfSSL_set_SSL_CTX, ssl, context);
	wolfSSL_set_fd(ssl, fd);
	result = server ? SAY("", wolfSSL_accept, ssl) : SAY("", wolfSSL_connect, ssl);
	SAY_HANDSHAKE(server ? "server" : "client", result == 1, server ? argv[1] : "-", CIPHERS);
	wolfSSL_free(ssl);
	wolfSSL_CTX_free(context);
	close(fd);
	return end_two(server);
}
