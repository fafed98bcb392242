/* SPDX-License-Identifier: MIT */
#include "say.h"
#include <nspr.h>
#include <nss.h>
#include <pk11pub.h>
#include <ssl.h>

static SECStatus accept_any(void *arg, PRFileDesc *fd, PRBool check, PRBool server)
{
	return SECSuccess;
}

/* argv: folder of a database, port of a server, whether its certificate is taken */
int main(int argc, char **argv)
{
	PRFileDesc *tcp, *fd;
	PRNetAddr address = {.inet = {.family = PR_AF_INET, .port = htons(atoi(argv[2])), .ip = htonl(INADDR_LOOPBACK)}};
	NSSInitContext *context;
	SECStatus result;

	must(SAY(argv[1], NSS_InitReadWrite, argv[1]) == SECSuccess, "NSS_InitReadWrite");
	must(NSS_Shutdown() == SECSuccess, "NSS_Shutdown");
	must(SAY(argv[1], NSS_Initialize, argv[1], "", "", SECMOD_DB, NSS_INIT_READONLY) == SECSuccess, "NSS_Initialize");
	must(NSS_Shutdown() == SECSuccess, "NSS_Shutdown");
	context = SAY(argv[1], NSS_InitContext, argv[1], "", "", SECMOD_DB, NULL, NSS_INIT_READONLY);
	must(context && NSS_ShutdownContext(context) == SECSuccess, "NSS_InitContext");
	must(SAY("", NSS_NoDB_Init, NULL) == SECSuccess, "NSS_NoDB_Init");
	must(NSS_Shutdown() == SECSuccess, "NSS_Shutdown");
	must(SAY(argv[1], NSS_Init, argv[1]) == SECSuccess, "NSS_Init");
	tcp = PR_NewTCPSocket();
	must(PR_Connect(tcp, &address, PR_INTERVAL_NO_TIMEOUT) == PR_SUCCESS, "connect");
	fd = SSL_ImportFD(NULL, tcp);
	if (argv[3][0] == '1')
		SSL_AuthCertificateHook(fd, accept_any, NULL);
	SSL_SetURL(fd, "localhost");
	must(SSL_ResetHandshake(fd, PR_FALSE) == SECSuccess, "reset");
	result = SAY("", SSL_ForceHandshake, fd);
	SAY_HANDSHAKE("client", result == SECSuccess, "-", "-");
	PR_Close(fd);
	return 0;
}
