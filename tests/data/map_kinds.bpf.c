// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* One map of each kind that holds plain data, and a program for each that uses it from the kernel's side. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define RHASH 35 /* newer than the headers */

struct point {
	__u32 x;
	__u32 y;
};

struct counts {
	__u64 packets;
	__u64 bytes;
};

struct prefix4 {
	__u32 length;
	__u8 address[4];
};

struct prefix16 {
	__u32 length;
	__u8 address[16];
};

struct guarded {
	struct bpf_spin_lock lock;
	__u32 value;
};

#define KEYED(name, kind, extra, key_type, value_type)                                             \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(max_entries, 64);                                                           \
		__uint(map_flags, extra);                                                          \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

#define KEYLESS(name, kind, value_type)                                                            \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(max_entries, 8);                                                            \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

KEYED(hash, BPF_MAP_TYPE_HASH, 0, __u32, __u64);
KEYED(points, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct point, struct counts);
KEYED(lru, BPF_MAP_TYPE_LRU_HASH, 0, __u32, __u64);
KEYED(cpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 0, __u32, __u64);
KEYED(cpu_lru, BPF_MAP_TYPE_LRU_PERCPU_HASH, 0, __u32, __u32);
KEYED(cpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, struct counts);
KEYED(array, BPF_MAP_TYPE_ARRAY, 0, __u32, __u64);
KEYED(shared, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, __u32);
KEYED(routes, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, struct prefix4, __u32);
KEYED(routes6, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, struct prefix16, __u32);
KEYED(guarded, BPF_MAP_TYPE_HASH, 0, __u32, struct guarded);
KEYED(resizable, RHASH, BPF_F_NO_PREALLOC, __u32, __u64);
KEYLESS(queue, BPF_MAP_TYPE_QUEUE, struct point);
KEYLESS(stack, BPF_MAP_TYPE_STACK, __u32);
KEYLESS(bloom, BPF_MAP_TYPE_BLOOM_FILTER, __u32);

#define COUNTS(map)                                                                                \
	SEC("tc")                                                                                  \
	int counts_##map(struct __sk_buff *skb)                                                    \
	{                                                                                          \
		__u32 key = 7;                                                                     \
		__u64 one = 1, *count = bpf_map_lookup_elem(&map, &key);                           \
                                                                                                   \
		if (!count)                                                                        \
			return bpf_map_update_elem(&map, &key, &one, BPF_NOEXIST);                 \
		__sync_fetch_and_add(count, 1);                                                    \
		return 0;                                                                          \
	}

COUNTS(hash)
COUNTS(lru)
COUNTS(cpu_hash)
COUNTS(array)
COUNTS(resizable)

SEC("tc")
int counts_cpu_lru(struct __sk_buff *skb)
{
	__u32 key = 7, one = 1;

	return bpf_map_update_elem(&cpu_lru, &key, &one, 0);
}

SEC("tc")
int counts_points(struct __sk_buff *skb)
{
	struct point key = { .x = skb->len, .y = 1 };
	struct counts one = { .packets = 1, .bytes = skb->len };

	return bpf_map_update_elem(&points, &key, &one, 0);
}

SEC("tc")
int counts_cpu_array(struct __sk_buff *skb)
{
	__u32 key = 7;
	struct counts *counts = bpf_map_lookup_elem(&cpu_array, &key);

	if (!counts)
		return -1;
	counts->packets += 1;
	counts->bytes += skb->len;
	return 0;
}

SEC("tc")
int counts_shared(struct __sk_buff *skb)
{
	__u32 key = 7, *count = bpf_map_lookup_elem(&shared, &key);

	if (!count)
		return -1;
	*count += 1;
	return 0;
}

/* The network of 10.1.2.3. */
SEC("tc")
int finds_route(struct __sk_buff *skb)
{
	struct prefix4 key = { .length = 32, .address = { 10, 1, 2, 3 } };
	__u32 *network = bpf_map_lookup_elem(&routes, &key);

	bpf_map_lookup_elem(&routes6, &(struct prefix16){ .length = 128 });
	return network ? *network : 0;
}

SEC("tc")
int locks(struct __sk_buff *skb)
{
	__u32 key = 7;
	struct guarded *found = bpf_map_lookup_elem(&guarded, &key);

	if (!found)
		return -1;
	bpf_spin_lock(&found->lock);
	found->value += 1;
	bpf_spin_unlock(&found->lock);
	return 0;
}

SEC("tc")
int queues(struct __sk_buff *skb)
{
	struct point point = { .x = skb->len, .y = 2 };

	return bpf_map_push_elem(&queue, &point, 0);
}

/* Takes one out, puts its successor in. */
SEC("tc")
int stacks(struct __sk_buff *skb)
{
	__u32 value;

	if (bpf_map_pop_elem(&stack, &value))
		return -1;
	value += 1;
	return bpf_map_push_elem(&stack, &value, 0);
}

SEC("tc")
int blooms(struct __sk_buff *skb)
{
	__u32 asked = 7, added = 9;

	if (bpf_map_peek_elem(&bloom, &asked))
		return -1;
	return bpf_map_push_elem(&bloom, &added, 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
