// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Functions of the kernel that are patched to call programs: entry, return, another result, and LSM hooks. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Kernels before 5.15 have no cookies: there they are 0. */
extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;
#define COOKIE(ctx) (LINUX_HAS_BPF_COOKIE ? bpf_get_attach_cookie(ctx) : 0)

#define EACCES 13

const volatile __u32 targ_tgid;

__u64 entries;
__u64 returns;
__u64 cookie;

static int mine(void)
{
	return bpf_get_current_pid_tgid() >> 32 == targ_tgid;
}

SEC("fentry/security_task_getpgid")
int on_entry(void *ctx)
{
	if (mine())
		__sync_fetch_and_add(&entries, 1);
	return 0;
}

SEC("fentry/security_task_getpgid")
int on_entry_with_cookie(void *ctx)
{
	if (mine())
		cookie = COOKIE(ctx);
	return 0;
}

SEC("fexit/security_task_getpgid")
int on_return(void *ctx)
{
	if (mine())
		__sync_fetch_and_add(&returns, 1);
	return 0;
}

SEC("fmod_ret/security_task_getpgid")
int other_result(void *ctx)
{
	return mine() ? -EACCES : 0;
}

SEC("lsm/task_getpgid")
int forbid(void *ctx)
{
	return mine() ? -EACCES : 0;
}

/* For the processes of one cgroup: no sockets. */
SEC("lsm_cgroup/socket_create")
int forbid_sockets(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
