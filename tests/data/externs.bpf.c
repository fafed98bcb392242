// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* What a program may expect of the kernel: options, symbols, kernel functions; weak ones that no kernel has. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef _Bool bool;

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_BPF __kconfig;
extern char CONFIG_NET __kconfig;
extern int CONFIG_HZ __kconfig;
extern char CONFIG_DEFAULT_HOSTNAME[32] __kconfig;
extern unsigned long CONFIG_NO_SUCH_OPTION __kconfig __weak;

extern const void schedule __ksym;
extern const void no_such_symbol __ksym __weak;

struct task_struct {
	int pid;
};

extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern int bpf_no_such_function(int x) __ksym __weak;

__u64 version, hz, syscall, tristate, character, hostname, missing_option;
__u64 function_address, missing_address, kfunc_there, missing_there;

SEC("tp_btf/sys_enter")
int read_all(void *ctx)
{
	version = LINUX_KERNEL_VERSION;
	hz = CONFIG_HZ;
	syscall = CONFIG_BPF_SYSCALL;
	tristate = CONFIG_BPF;
	character = CONFIG_NET;
	hostname = CONFIG_DEFAULT_HOSTNAME[0];
	missing_option = CONFIG_NO_SUCH_OPTION;
	function_address = (__u64)&schedule;
	missing_address = (__u64)&no_such_symbol;
	kfunc_there = (__u64)&bpf_task_acquire;
	missing_there = (__u64)&bpf_no_such_function;
	if (&bpf_no_such_function)
		missing_there += bpf_no_such_function(1);
	return 0;
}

SEC("?tp_btf/task_newtask")
int calls_kfunc(__u64 *ctx)
{
	struct task_struct *task = bpf_task_acquire((void *)ctx[0]);

	if (task)
		bpf_task_release(task);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
