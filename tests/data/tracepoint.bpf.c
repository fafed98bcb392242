// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Attached to a tracepoint with a cookie, raw tracepoints and BTF tracepoints: each counts and notes its cookie. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Kernels before 5.15 have no cookies: there they are 0. */
extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;
#define COOKIE(ctx) (LINUX_HAS_BPF_COOKIE ? bpf_get_attach_cookie(ctx) : 0)

const volatile __u32 targ_tgid;

enum hook { TRACEPOINT, RAW, BTF_TYPED, HOOKS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HOOKS);
	__type(key, enum hook);
	__type(value, __u64);
} hits SEC(".maps");

__u64 cookie;

static void count(__u32 hook)
{
	__u64 *hit;

	if (bpf_get_current_pid_tgid() >> 32 != targ_tgid)
		return;
	hit = bpf_map_lookup_elem(&hits, &hook);
	if (hit)
		__sync_fetch_and_add(hit, 1);
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_enter_getpgid(void *ctx)
{
	cookie = COOKIE(ctx);
	count(TRACEPOINT);
	return 0;
}

SEC("raw_tp/sys_enter")
int on_raw_enter(void *ctx)
{
	count(RAW);
	return 0;
}

SEC("tp_btf/sys_enter")
int on_btf_enter(void *ctx)
{
	count(BTF_TYPED);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
