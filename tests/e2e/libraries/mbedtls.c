/* SPDX-License-Identifier: MIT */
#include "say.h"
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>

int main(int argc, char **argv)
{
	int server, result, fd, good = argv[3][0] == '1';
	mbedtls_net_context net;
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config config;
	mbedtls_ctr_drbg_context drbg;
	mbedtls_entropy_context entropy;
	mbedtls_x509_crt cert, folder;
	mbedtls_pk_context key;

	mbedtls_ssl_init(&ssl);
	mbedtls_ssl_config_init(&config);
	mbedtls_ctr_drbg_init(&drbg);
	mbedtls_entropy_init(&entropy);
	mbedtls_x509_crt_init(&cert);
	mbedtls_x509_crt_init(&folder);
	mbedtls_pk_init(&key);
	must(!SAY(argv[1], mbedtls_x509_crt_parse_file, &cert, argv[1]), "certificate");
	must(!SAY(argv[2], mbedtls_pk_parse_keyfile, &key, argv[2], NULL), "key");
	SAY(argv[4], mbedtls_x509_crt_parse_path, &folder, argv[4]);
	mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0);
	fd = connect_two(&server);
	net.fd = fd;
	mbedtls_ssl_config_defaults(&config, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
				    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &drbg);
	mbedtls_ssl_conf_authmode(&config, good ? MBEDTLS_SSL_VERIFY_NONE : MBEDTLS_SSL_VERIFY_REQUIRED);
	if (server)
		must(!mbedtls_ssl_conf_own_cert(&config, &cert, &key), "own certificate");
	if (!good && !server)
		mbedtls_ssl_conf_ca_chain(&config, &folder, NULL);
	if (!good && server)
		mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_NONE);
	must(!mbedtls_ssl_setup(&ssl, &config), "setup");
	mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
	if (!server)
		mbedtls_net_set_nonblock(&net);
	dprintf(1, "%d call mbedtls_ssl_handshake \n", getpid());
	do {
		result = mbedtls_ssl_handshake(&ssl);
	} while (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE);
	SAY_HANDSHAKE(server ? "server" : "client", !result, server ? argv[1] : "-", "-");
	mbedtls_ssl_free(&ssl);
	close(fd);
	return end_two(server);
}
