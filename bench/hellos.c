// SPDX-License-Identifier: MIT
/*
 * Opens connections to itself, so many a second, and lets both sides say hello: the contents of two files.
 *
 *     hellos RATE SECONDS CLIENT_HELLO SERVER_HELLO
 *
 * Waits for a line, and writes how many there were.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char hello[16384], answer[16384], sink[16384];

static size_t load(const char *name, char *into)
{
	FILE *file = fopen(name, "rb");
	size_t size;

	if (!file)
		exit(2);
	size = fread(into, 1, 16384, file);
	fclose(file);
	return size;
}

static void say(int from, int to, const char *what, size_t size)
{
	size_t got = 0;
	ssize_t part;

	if (send(from, what, size, 0) != (ssize_t)size)
		exit(3);
	while (got < size) {
		part = recv(to, sink, sizeof(sink), 0);
		if (part <= 0)
			exit(4);
		got += part;
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct linger reset = {.l_onoff = 1};
	socklen_t length = sizeof(address);
	long done = 0, rate;
	size_t hello_size, answer_size;
	double seconds, began;
	int server;

	if (argc != 5)
		return 1;
	rate = atol(argv[1]);
	seconds = atof(argv[2]);
	hello_size = load(argv[3], hello);
	answer_size = load(argv[4], answer);
	server = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(server, (struct sockaddr *)&address, sizeof(address)) || listen(server, 128) ||
	    getsockname(server, (struct sockaddr *)&address, &length))
		return 5;
	puts("here");
	fflush(stdout);
	if (!fgets(sink, sizeof(sink), stdin))
		return 6;
	for (began = now(); now() - began < seconds;) {
		if (rate && done >= (now() - began) * rate) {
			usleep(200);
			continue;
		}
		int client = socket(AF_INET, SOCK_STREAM, 0), other;

		if (connect(client, (struct sockaddr *)&address, sizeof(address)))
			return 7;
		other = accept(server, NULL, NULL);
		say(client, other, hello, hello_size);
		say(other, client, answer, answer_size);
		/* A reset leaves no port behind that waits. */
		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(client);
		close(other);
		done++;
	}
	printf("%ld %f\n", done, now() - began);
	return 0;
}
