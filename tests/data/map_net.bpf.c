// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Maps that lead packets to devices, CPUs and sockets. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ENTRIES(name, kind, key_bytes, value_bytes)                                                \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(max_entries, 4);                                                            \
		__uint(key_size, key_bytes);                                                       \
		__uint(value_size, value_bytes);                                                   \
	} name SEC(".maps")

ENTRIES(devices, BPF_MAP_TYPE_DEVMAP, 4, 4);
ENTRIES(device_values, BPF_MAP_TYPE_DEVMAP, 4, sizeof(struct bpf_devmap_val));
ENTRIES(device_hash, BPF_MAP_TYPE_DEVMAP_HASH, 4, 4);
ENTRIES(cpus, BPF_MAP_TYPE_CPUMAP, 4, 4);
ENTRIES(xsks, BPF_MAP_TYPE_XSKMAP, 4, 4);
ENTRIES(sockets, BPF_MAP_TYPE_SOCKMAP, 4, 8);
ENTRIES(socket_hash, BPF_MAP_TYPE_SOCKHASH, 2, 8);
ENTRIES(group, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8);

/* XDP_REDIRECT when the map has an entry for key 1, else XDP_ABORTED. */
#define REDIRECTS(map)                                                                             \
	SEC("xdp")                                                                                 \
	int redirects_##map(struct xdp_md *ctx)                                                    \
	{                                                                                          \
		return bpf_redirect_map(&map, 1, 0);                                               \
	}

REDIRECTS(devices)
REDIRECTS(device_values)
REDIRECTS(device_hash)
REDIRECTS(cpus)
REDIRECTS(xsks)

/* What is sent through a socket of the map arrives at the one in slot 1. */
SEC("sk_msg")
int sends_to_slot(struct sk_msg_md *msg)
{
	return bpf_msg_redirect_map(msg, &sockets, 1, BPF_F_INGRESS);
}

SEC("sk_msg")
int sends_to_key(struct sk_msg_md *msg)
{
	__u16 key = 500;

	return bpf_msg_redirect_hash(msg, &socket_hash, &key, BPF_F_INGRESS);
}

/* Of all sockets on a port, the one in slot 1 gets every packet. */
SEC("sk_reuseport")
int selects(struct sk_reuseport_md *ctx)
{
	__u32 key = 1;

	return bpf_sk_select_reuseport(ctx, &group, &key, 0) ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
