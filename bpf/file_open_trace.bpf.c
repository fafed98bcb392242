// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Every attempt to open a file whose name looks like cryptography: open(), openat(), openat2().
 *
 * One program at the exit of system calls does it all. There, the result is known, and the page
 * with the name is resident, because the kernel has just read the name from it. (It is the caller's
 * memory all the same: another thread may have changed the name since.) The program sees every
 * system call of the host, so the order of its tests is what matters here: the number first, which
 * costs two loads; then the process; then the name, read once; then the name looked up. Only a name
 * that is wanted pays for the rest.
 *
 * tp_btf passes a pointer to the registers that may simply be followed, on all kernels with BTF.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"
#include "names.bpf.h"
#include "core_fixes.bpf.h"

#include <bpf/bpf_tracing.h>

/*
 * Number and arguments of the system call that ends. The registers still hold the arguments, but
 * for the one that the result went into (regs[0] on arm64), which we do not need.
 */
#if defined(__TARGET_ARCH_x86)

/* arch/x86/entry/syscalls/syscall_64.tbl. The numbers of x32 have bit 30 set: not seen here. */
#define NR_OPEN 2
#define NR_OPENAT 257
#define NR_OPENAT2 437
#define SYSCALL_NR(regs) ((int)(regs)->orig_ax)
#define SYSCALL_ARG1(regs) ((regs)->di)
#define SYSCALL_ARG2(regs) ((regs)->si)
#define SYSCALL_ARG3(regs) ((regs)->dx)

#elif defined(__TARGET_ARCH_arm64)

/* include/uapi/asm-generic/unistd.h; there is no open(). */
#define NR_OPENAT 56
#define NR_OPENAT2 437
#define SYSCALL_NR(regs) ((regs)->syscallno)
#define SYSCALL_ARG2(regs) ((regs)->regs[1])
#define SYSCALL_ARG3(regs) ((regs)->regs[2])

#endif

/*
 * True in a 32-bit system call, whose numbers mean others (2 is fork() to i386). Both flags hold
 * until the task is back in user mode. Tested late: a foreign call costs a look at its "name" then,
 * but all the others save the test.
 */
static __always_inline bool is_compat(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
#else
	return regs->pstate & PSR_MODE32_BIT;
#endif
}

static __always_inline unsigned long name_address(struct pt_regs *regs, int nr)
{
#ifdef NR_OPEN
	if (nr == NR_OPEN)
		return SYSCALL_ARG1(regs);
#endif
	return SYSCALL_ARG2(regs);
}

/* openat2() has its flags in user memory, at the start of struct open_how. */
static __always_inline __u32 open_flags(struct pt_regs *regs, int nr)
{
	__u64 flags;

#ifdef NR_OPEN
	if (nr == NR_OPEN)
		return SYSCALL_ARG2(regs);
#endif
	if (nr == NR_OPENAT)
		return SYSCALL_ARG3(regs);
	if (bpf_probe_read_user(&flags, sizeof(flags), (const void *)SYSCALL_ARG3(regs)))
		return 0;
	return flags;
}

/* A call that a signal broke off: its caller gets EINTR, or never knows, since it is restarted. */
static __always_inline __s32 open_result(long result)
{
	if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK)
		return -EINTR;
	return result;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	int nr = SYSCALL_NR(regs);
	struct ct_file_open *open;
	union ct_event *event;
	long used;

#ifdef NR_OPEN
	if (nr != NR_OPENAT && nr != NR_OPEN && nr != NR_OPENAT2)
		return 0;
#else
	if (nr != NR_OPENAT && nr != NR_OPENAT2)
		return 0;
#endif
	if (!is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;

	event = scratch_event();
	if (!event)
		return 0;

	/* A name that does not end within the buffer is cut: the call failed with ENAMETOOLONG. */
	open = &event->file_open;
	used = bpf_probe_read_user_str(open->path, sizeof(open->path),
				       (const void *)name_address(regs, nr));
	if (used < 0) {
		/* The kernel could not read the name either, and nothing was opened ... */
		if (result == -EFAULT || is_compat(regs))
			return 0;
		/* ... or somebody took it away meanwhile, and with it an event, perhaps. */
		count_unread(CT_FILE_OPEN);
		return 0;
	}
	used = string_size(used);
	if (!is_wanted(open, used - 1) || is_compat(regs))
		return 0;

	open->result = open_result(result);
	open->flags = open_flags(regs, nr);
	fill_header(&event->header, CT_FILE_OPEN);
	send_record(&event->header, offsetof(struct ct_file_open, path) + used);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
