// SPDX-License-Identifier: MIT
/* For bench/cost.py: NAME CALLS ROUNDS. Opens a file that is not there; prints the CPU time of a call in ns, best round. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int argc, char **argv)
{
	double best = 1e18;

	if (argc != 4)
		return 2;
	for (int round = atoi(argv[3]); round > 0; round--) {
		int calls = atoi(argv[2]);
		double began = now(), each;

		for (int i = 0; i < calls; i++)
			if (openat(AT_FDCWD, argv[1], O_RDONLY) >= 0)
				return 3;
		each = (now() - began) / calls;
		if (each < best)
			best = each;
	}
	printf("%.1f\n", best);
	return 0;
}
