// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* How long the system calls of a process take: for each number a histogram by powers of two. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define SLOTS 32

struct latency {
	__u64 calls;
	__u64 total_ns;
	__u64 slots[SLOTS]; /* [n]: 2^n ns or more, and less than 2^(n+1) */
};

struct begun {
	__u64 number;
	__u64 time_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32); /* thread */
	__type(value, struct begun);
} begun SEC(".maps");

/* Nobody else writes this CPU's, so there are no atomics. User space adds them up. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 512);
	__type(key, __u32); /* system call */
	__type(value, struct latency);
} latencies SEC(".maps");

const struct latency nothing; /* a new entry; too large for the stack */
const volatile __u32 targ_pid;

SEC("raw_tp/sys_enter")
int on_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct begun now = { .number = ctx->args[1], .time_ns = bpf_ktime_get_ns() };
	__u64 id = bpf_get_current_pid_tgid();
	__u32 thread = id;

	if (id >> 32 == targ_pid)
		bpf_map_update_elem(&begun, &thread, &now, BPF_ANY);
	return 0;
}

SEC("raw_tp/sys_exit")
int on_exit(void *ctx)
{
	__u32 thread = bpf_get_current_pid_tgid(), number, slot = 0;
	struct begun *begin = bpf_map_lookup_elem(&begun, &thread);
	struct latency *latency;
	__u64 took;

	if (!begin)
		return 0;
	number = begin->number;
	took = bpf_ktime_get_ns() - begin->time_ns;
	bpf_map_delete_elem(&begun, &thread);
	latency = bpf_map_lookup_elem(&latencies, &number);
	if (!latency) {
		bpf_map_update_elem(&latencies, &number, (void *)&nothing, BPF_NOEXIST);
		latency = bpf_map_lookup_elem(&latencies, &number);
	}
	if (!latency)
		return 0;
	latency->calls++;
	latency->total_ns += took;
	/* The binary logarithm, in five steps rather than a loop. */
	for (int half = 16; half; half /= 2) {
		if (took >> half) {
			took >>= half;
			slot += half;
		}
	}
	if (slot < SLOTS)
		latency->slots[slot]++;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
