/* SPDX-License-Identifier: MIT */
#include "say.h"
#include <gnutls/gnutls.h>
#include <gnutls/pkcs11.h>

#define PRIORITY "NORMAL:-VERS-TLS1.1"

int main(int argc, char **argv)
{
	int server, fd, result, good = argv[3][0] == '1';
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	gnutls_session_t session;

	gnutls_certificate_allocate_credentials(&credentials);
	must(SAY(argv[1], gnutls_certificate_set_x509_trust_file, credentials, argv[1], GNUTLS_X509_FMT_PEM) > 0, "trust");
	SAY("/nowhere.crl", gnutls_certificate_set_x509_crl_file, credentials, "/nowhere.crl", GNUTLS_X509_FMT_PEM);
	SAY("/nowhere.so", gnutls_pkcs11_add_provider, "/nowhere.so", NULL);
	SAY("lax", gnutls_fips140_set_mode, GNUTLS_FIPS140_LAX, 0);
	fd = connect_two(&server);
	must(!SAY("", gnutls_init, &session, server ? GNUTLS_SERVER : GNUTLS_CLIENT), "init");
	if (server) {
		must(!SAY(PRIORITY, gnutls_priority_init, &priority, PRIORITY, NULL), "priority");
		must(!gnutls_priority_set(session, priority), "priority");
		must(!SAY(argv[1], gnutls_certificate_set_x509_key_file, credentials, argv[1], argv[2], GNUTLS_X509_FMT_PEM),
		     "certificate");
		/* What is refused does not count. */
		SAY("/nowhere.pem", gnutls_certificate_set_x509_key_file, credentials, "/nowhere.pem", argv[2],
		    GNUTLS_X509_FMT_PEM);
	} else {
		must(!SAY(PRIORITY, gnutls_priority_set_direct, session, PRIORITY, NULL), "priority");
		SAY("NONSENSE", gnutls_priority_set_direct, session, "NONSENSE", NULL);
		if (good)
			gnutls_session_set_verify_cert(session, NULL, GNUTLS_VERIFY_DISABLE_CA_SIGN);
		else
			gnutls_session_set_verify_cert(session, "other.example", 0);
	}
	must(!gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
	gnutls_transport_set_int(session, fd);
	dprintf(1, "%d call gnutls_handshake \n", getpid());
	do {
		result = gnutls_handshake(session);
	} while (result < 0 && !gnutls_error_is_fatal(result));
	SAY_HANDSHAKE(server ? "server" : "client", !result, server ? argv[1] : "-", PRIORITY);
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(credentials);
	close(fd);
	return end_two(server);
}
