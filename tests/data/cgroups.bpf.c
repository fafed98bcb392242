// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A program for each cgroup hook: counts, and lets pass. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 hits;
/* What programs answer: 1 lets pass. */
volatile __u32 answer = 1;

#define HOOK(section, name)                                                                                         \
	SEC(section)                                                                                                \
	int name(void *ctx)                                                                                         \
	{                                                                                                           \
		__sync_fetch_and_add(&hits, 1);                                                                     \
		return 1;                                                                                           \
	}

HOOK("cgroup_skb/ingress", skb_ingress)
HOOK("cgroup/skb", skb)
HOOK("cgroup/sock_create", sock_create)
HOOK("cgroup/sock_release", sock_release)
HOOK("cgroup/post_bind4", post_bind4)
HOOK("cgroup/post_bind6", post_bind6)
HOOK("cgroup/bind4", bind4)
HOOK("cgroup/bind6", bind6)
HOOK("cgroup/connect4", connect4)
HOOK("cgroup/connect6", connect6)
HOOK("cgroup/connect_unix", connect_unix)
HOOK("cgroup/sendmsg4", sendmsg4)
HOOK("cgroup/sendmsg6", sendmsg6)
HOOK("cgroup/sendmsg_unix", sendmsg_unix)
HOOK("cgroup/recvmsg4", recvmsg4)
HOOK("cgroup/recvmsg6", recvmsg6)
HOOK("cgroup/recvmsg_unix", recvmsg_unix)
HOOK("cgroup/getpeername4", getpeername4)
HOOK("cgroup/getpeername6", getpeername6)
HOOK("cgroup/getpeername_unix", getpeername_unix)
HOOK("cgroup/getsockname4", getsockname4)
HOOK("cgroup/getsockname6", getsockname6)
HOOK("cgroup/getsockname_unix", getsockname_unix)
HOOK("cgroup/sysctl", sysctl)
HOOK("cgroup/getsockopt", getsockopt)
HOOK("cgroup/setsockopt", setsockopt)
HOOK("cgroup/dev", dev)
HOOK("sockops", sock_ops)

SEC("cgroup_skb/egress")
int skb_egress(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return answer & 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
