/* SPDX-License-Identifier: MIT */
/*
 * A program that says each call of a library's function before it makes it: "PID FUNCTION ARGUMENT",
 * the argument as crypto-tracer shows it. test_libraries.py compares.
 */
#ifndef SAY_H
#define SAY_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAY(shown, function, ...)                                                                  \
	(dprintf(1, "%d call %s %s\n", getpid(), #function, shown), function(__VA_ARGS__))

#define SAY_HANDSHAKE(role, success, certificate, ciphers)                                         \
	dprintf(1, "%d handshake %s %d %s %s\n", getpid(), role, success, certificate, ciphers)

static void must(int good, const char *what)
{
	if (good)
		return;
	dprintf(2, "%d: %s\n", getpid(), what);
	_exit(9);
}

/*
 * A child is the server, the parent the client; both return with a connected socket, the role in
 * *server. The client says the port.
 */
__attribute__((unused)) static int connect_two(int *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd;

	signal(SIGPIPE, SIG_IGN);
	must(!bind(listener, (void *)&address, size) && !listen(listener, 1), "listen");
	getsockname(listener, (void *)&address, &size);
	*server = fork() == 0;
	if (*server) {
		fd = accept(listener, NULL, NULL);
	} else {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		must(!connect(fd, (void *)&address, size), "connect");
		dprintf(1, "%d port %d -\n", getpid(), ntohs(address.sin_port));
	}
	close(listener);
	return fd;
}

/* The client waits for its server, whose failure is its own. */
__attribute__((unused)) static int end_two(int server)
{
	int status = 0;

	if (!server)
		wait(&status);
	return WEXITSTATUS(status);
}

#endif /* SAY_H */
