// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Map definitions with all that they can say, and global variables of many types. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef _Bool bool;

struct key {
	__u32 a;
	char name[8];
};

struct value {
	__u64 count;
	__s32 delta;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, struct value);
} typed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} per_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, 3);
	__uint(value_size, 5);
	__uint(max_entries, 2);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} raw SEC(".maps");

const volatile bool on = 1;
const volatile __s64 negative = -5;
const volatile char text[16] = "fixed";
const volatile struct value pair = { .count = 1, .delta = -2 };
__u32 plain = 7;
__u64 zeroed;
static volatile __u16 hidden = 99;
double unused_float = 1.5;

SEC("raw_tp/sys_enter")
int uses_all(void *ctx)
{
	struct key key = {};

	bpf_map_lookup_elem(&typed, &key);
	bpf_map_lookup_elem(&per_cpu, &key);
	bpf_map_lookup_elem(&raw, &key);
	bpf_ringbuf_query(&ring, 0);
	return on + negative + text[0] + pair.count + plain + zeroed + hidden;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
