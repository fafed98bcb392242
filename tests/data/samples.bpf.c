// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Samples of a perf event within one process. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Kernels before 5.15 have no cookies: there they are 0. */
extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;
#define COOKIE(ctx) (LINUX_HAS_BPF_COOKIE ? bpf_get_attach_cookie(ctx) : 0)

const volatile __u32 targ_tgid;

__u64 samples;
__u64 cookie;

SEC("perf_event")
int on_sample(void *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 == targ_tgid)
		__sync_fetch_and_add(&samples, 1);
	return 0;
}

SEC("perf_event")
int on_sample_with_cookie(void *ctx)
{
	cookie = COOKIE(ctx);
	__sync_fetch_and_add(&samples, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
