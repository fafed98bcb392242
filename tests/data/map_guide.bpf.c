// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* The object that docs/maps.md explains maps with. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct flow {
	__u32 address;
	__u32 port;
};

struct traffic {
	__u64 packets;
	__u64 bytes;
};

struct prefix {
	__u32 length;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10000);
	__type(key, struct flow);
	__type(value, struct traffic);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct traffic);
} totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 100);
	__type(value, struct flow);
} jobs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 10);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 100);
		__type(key, __u32);
		__type(value, __u32);
	});
} tenants SEC(".maps");

const volatile __u32 targ_port = 443;
__u64 seen;

SEC("tc")
int on_packet(struct __sk_buff *skb)
{
	struct flow flow = { .address = 1, .port = targ_port };
	struct traffic one = { .packets = 1, .bytes = skb->len };

	seen += 1;
	return bpf_map_update_elem(&flows, &flow, &one, BPF_ANY);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
