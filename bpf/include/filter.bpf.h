/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Which processes are reported: knobs that user space sets before it loads the object. The kernel
 * then knows them as constants, and removes the tests that they make pointless: without any, a
 * comparison with the tracer's own process is all that is left.
 *
 * `traced` and `cgroups` are the same maps in every object. tracer/pipeline/filters.py has the same
 * tests in user space; tests/e2e/test_filters.py compares them.
 */
#ifndef CT_FILTER_BPF_H
#define CT_FILTER_BPF_H

#include "events.h"
#include "kernel.h"
#include "bytes.bpf.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 targ_tgid; /* only this process; 0 = all */
const volatile __u32 targ_self; /* never this process (the tracer itself); 0 = none */
const volatile __u32 targ_tree; /* only the processes in `traced`; 0 = all */
const volatile __u32 targ_cgroup; /* only what runs in or below cgroups[0]; 0 = all */
const volatile __u32 targ_has_uid; /* only if the real user id is targ_uid; 0 = all */
const volatile __u32 targ_uid;

/*
 * Only threads with this in their name. Bytes in lower case, the first one in the lowest bits; the
 * masks have 0xff for each byte that counts. No mask = all.
 */
const volatile __u64 targ_name_low, targ_name_high;
const volatile __u64 targ_name_mask_low, targ_name_mask_high;

/*
 * Processes of the wanted trees, by their id: see process_tree_trace.bpf.c. User space makes room
 * for more when it needs the map.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} traced SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} cgroups SEC(".maps");

/* Whether the name of a thread, 16 bytes, contains that of the knobs, which is tried at each place. */
static __always_inline bool contains_name(const __u64 *comm)
{
	__u64 low = to_lower(comm[0]), high = to_lower(comm[1]);

#pragma clang loop unroll(disable)
	for (int i = 0; i < CT_COMM_SIZE - 1; i++) {
		if ((low & targ_name_mask_low) == targ_name_low &&
		    (high & targ_name_mask_high) == targ_name_high)
			return true;
		low = low >> 8 | high << 56;
		high >>= 8;
	}
	return false;
}

static __always_inline bool has_name(void)
{
	__u64 comm[2] = {};

	bpf_get_current_comm(comm, sizeof(comm));
	return contains_name(comm);
}

/* About the current task; `tgid` is that of its process. */
static __always_inline bool is_traced(__u32 tgid)
{
	if (targ_tgid && tgid != targ_tgid)
		return false;
	if (tgid == targ_self)
		return false;
	if (targ_tree && !bpf_map_lookup_elem(&traced, &tgid))
		return false;
	if (targ_has_uid && (__u32)bpf_get_current_uid_gid() != targ_uid)
		return false;
	if (targ_cgroup && bpf_current_task_under_cgroup(&cgroups, 0) != 1)
		return false;
	return !targ_name_mask_low || has_name();
}

#endif /* CT_FILTER_BPF_H */
