// SPDX-License-Identifier: MIT
/* libbpf's ring buffer consumer, for bench/ringbuf.py: OBJECT FILL TOTAL. Prints seconds for each record: clock, CPU. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct record {
	uint64_t number, time;
	uint32_t pid, tid, uid, gid;
	char comm[16];
	uint32_t address;
	uint16_t port, family;
	uint16_t list[4];
	int64_t result;
	uint32_t flags, shape;
	char path[48];
};

static struct record *kept;
static uint64_t received, wrong;

static int on_record(void *context, void *data, size_t size)
{
	(void)context;
	if (size != sizeof(struct record) || ((struct record *)data)->number != received)
		wrong++;
	memcpy(&kept[received++ % 4096], data, sizeof(struct record));
	return 0;
}

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	struct ring_buffer *ring;
	double wall = 0, cpu = 0;
	uint32_t fill, zero = 0;
	uint64_t total;

	libbpf_set_print(NULL); /* it has words for our section of types */

	if (argc != 4)
		return 2;
	fill = atoi(argv[2]);
	total = atoll(argv[3]);
	kept = calloc(4096, sizeof(*kept));
	object = bpf_object__open(argv[1]);
	if (!kept || !object || bpf_object__load(object))
		return 1;
	struct bpf_map *data = bpf_object__find_map_by_name(object, ".data");
	struct bpf_program *flood = bpf_object__find_program_by_name(object, "flood");
	struct bpf_map *events = bpf_object__find_map_by_name(object, "events");

	if (!data || !flood || !events || bpf_map__value_size(data) != sizeof(fill) ||
	    bpf_map_update_elem(bpf_map__fd(data), &zero, &fill, 0))
		return 1;
	ring = ring_buffer__new(bpf_map__fd(events), on_record, NULL, NULL);
	if (!ring)
		return 1;
	while (received < total) {
		LIBBPF_OPTS(bpf_test_run_opts, options);
		double wall_started, cpu_started;

		if (bpf_prog_test_run_opts(bpf_program__fd(flood), &options))
			return 1;
		wall_started = now(CLOCK_MONOTONIC);
		cpu_started = now(CLOCK_THREAD_CPUTIME_ID);
		ring_buffer__consume(ring);
		cpu += now(CLOCK_THREAD_CPUTIME_ID) - cpu_started;
		wall += now(CLOCK_MONOTONIC) - wall_started;
	}
	if (wrong || received % fill)
		return 3;
	printf("%.12f %.12f\n", wall / received, cpu / received);
	return 0;
}
