// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Fills a ring buffer with records of 128 bytes when it is run: no tracing, no other process. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct peer {
	__u32 address;
	__u16 port;
	__u16 family;
};

struct record {
	__u64 number;
	__u64 time;
	__u32 pid, tid, uid, gid;
	char comm[16];
	struct peer peer;
	__u16 list[4];
	__s64 result;
	__u32 flags;
	enum shape { ROUND = 1, SQUARE = 2 } shape;
	char path[48];
};

const struct record *events__record SEC(".records");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} events SEC(".maps");

__u64 sent;
__u64 lost;
/* As many records as this at each run. */
__u32 count = 1;

static long send(__u32 index, void *unused)
{
	struct record record = {
		.number = sent, .time = bpf_ktime_get_ns(), .pid = 4321, .tid = 4322, .uid = 1000, .gid = 1000,
		.comm = "openssl", .peer = { 0x7f000001, 443, 2 }, .list = { 1, 2, 3, index }, .result = -2,
		.flags = 0x80000, .shape = SQUARE, .path = "/usr/lib/x86_64-linux-gnu/libssl.so.3",
	};

	if (bpf_ringbuf_output(&events, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		lost++;
	else
		sent++;
	return 0;
}

SEC("syscall")
int flood(void *ctx)
{
	bpf_loop(count, send, 0, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
