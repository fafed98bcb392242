// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Counts the IPv4 packets that the processes of a cgroup send and receive; drops those of blocked networks. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct ipv4_header {
	__u8 version;
	__u8 rest[11];
	__u8 from[4];
	__u8 to[4];
};

struct prefix {
	__u32 length;
	__u8 address[4];
};

struct peer {
	__u8 address[4];
	__u32 sent; /* 0: received */
};

struct traffic {
	__u64 packets, bytes, dropped;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 10240);
	__type(key, struct peer);
	__type(value, struct traffic);
} peers SEC(".maps");

/* User space enters networks, at any time. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u8);
} blocked SEC(".maps");

static __always_inline int count(struct __sk_buff *skb, __u32 sent)
{
	struct prefix whole = { .length = 32 };
	struct peer peer = { .sent = sent };
	struct traffic none = {}, *traffic;
	struct ipv4_header ip;
	int drop;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.version >> 4 != 4)
		return 1;
	__builtin_memcpy(peer.address, sent ? ip.to : ip.from, 4);
	__builtin_memcpy(whole.address, peer.address, 4);
	drop = bpf_map_lookup_elem(&blocked, &whole) != 0;
	bpf_map_update_elem(&peers, &peer, &none, BPF_NOEXIST);
	traffic = bpf_map_lookup_elem(&peers, &peer);
	if (traffic) {
		__sync_fetch_and_add(&traffic->packets, 1);
		__sync_fetch_and_add(&traffic->bytes, skb->len);
		__sync_fetch_and_add(&traffic->dropped, drop);
	}
	return !drop;
}

SEC("cgroup_skb/egress")
int on_send(struct __sk_buff *skb)
{
	return count(skb, 1);
}

SEC("cgroup_skb/ingress")
int on_receive(struct __sk_buff *skb)
{
	return count(skb, 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
