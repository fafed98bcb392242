// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A map of shared memory with variables in it, and a program with an exception callback. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, 33 /* BPF_MAP_TYPE_ARENA */);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 100);
} arena SEC(".maps");

int __arena counter SEC(".addr_space.1") = 40;
int __arena other SEC(".addr_space.1") = 5;

SEC("syscall")
int count(void *ctx)
{
	counter += other;
	bpf_printk("%p", &arena);
	return 0;
}

extern void bpf_throw(__u64 cookie) __ksym __weak;

__noinline int on_exception(__u64 cookie)
{
	return cookie;
}

SEC("tc")
__attribute__((btf_decl_tag("exception_callback:on_exception"))) int throws(struct __sk_buff *skb)
{
	bpf_throw(7);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
