/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Where functions have their arguments, and system calls theirs. When a system call ends, the registers still hold its
 * arguments, but for the one that the result went into (regs[0] on arm64), of which there is a copy.
 */
#ifndef CT_REGISTERS_BPF_H
#define CT_REGISTERS_BPF_H

#include "kernel.h"

#include <bpf/bpf_helpers.h>

#if defined(__TARGET_ARCH_x86)

#define SP(ctx) ((ctx)->sp)
#define ENTRY_SP(ctx) ((ctx)->sp - 8) /* the return has popped its address */
#define PROBED_IP(ctx) ((ctx)->ip)
#define BREAKPOINT_SIZE 1
#define RESULT(ctx) ((ctx)->ax)
#define ARGUMENTS(ctx) {(ctx)->di, (ctx)->si, (ctx)->dx, (ctx)->cx, (ctx)->r8, (ctx)->r9}

/* arch/x86/entry/syscalls/syscall_64.tbl: read, write, readv, writev, sendto to recvmsg */
#define SYSCALL_NR(regs) ((int)(regs)->orig_ax)
#define SYSCALL_ARG1(regs) ((regs)->di)
#define SYSCALL_ARG2(regs) ((regs)->si)
#define SYSCALL_ARG3(regs) ((regs)->dx)
#define SYSCALL_ARG4(regs) ((regs)->r10)
#define SYSCALL_ARG5(regs) ((regs)->r8)
#define MOVES_DATA(nr)                                                                             \
	((nr) == 0 || (nr) == 1 || (nr) == 19 || (nr) == 20 || ((nr) >= 44 && (nr) <= 47))

#elif defined(__TARGET_ARCH_arm64)

#define SP(ctx) ((ctx)->sp)
#define ENTRY_SP(ctx) ((ctx)->sp)
#define PROBED_IP(ctx) ((ctx)->pc)
#define BREAKPOINT_SIZE 4
#define RESULT(ctx) ((ctx)->regs[0])
#define ARGUMENTS(ctx)                                                                             \
	{(ctx)->regs[0], (ctx)->regs[1], (ctx)->regs[2], (ctx)->regs[3], (ctx)->regs[4], (ctx)->regs[5]}

/* include/uapi/asm-generic/unistd.h: read, write, readv, writev, sendto, recvfrom, sendmsg, recvmsg */
#define SYSCALL_NR(regs) ((regs)->syscallno)
#define SYSCALL_ARG1(regs) ((regs)->orig_x0)
#define SYSCALL_ARG2(regs) ((regs)->regs[1])
#define SYSCALL_ARG3(regs) ((regs)->regs[2])
#define SYSCALL_ARG4(regs) ((regs)->regs[3])
#define SYSCALL_ARG5(regs) ((regs)->regs[4])
#define MOVES_DATA(nr)                                                                             \
	(((nr) >= 63 && (nr) <= 66) || (nr) == 206 || (nr) == 207 || (nr) == 211 || (nr) == 212)

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

/*
 * Arguments 7 and 8: on the stack of x86-64, above the address to return to.
 */
static __always_inline __u64 late_argument(struct pt_regs *ctx, __u32 number)
{
	__u64 value = 0;

#if defined(__TARGET_ARCH_x86)
	bpf_probe_read_user(&value, sizeof(value), (const void *)ctx->sp + 8 * (number - 6));
#else
	value = number == 7 ? ctx->regs[6] : ctx->regs[7];
#endif
	return value;
}

/*
 * An argument, counted from 1. The context may be read at fixed places only, and older verifiers
 * take no variable place on the stack: so all are read, and one is chosen.
 */
static __always_inline __u64 argument(struct pt_regs *ctx, __u32 number)
{
	__u64 values[] = ARGUMENTS(ctx);
	__u64 value = 0;

#pragma unroll
	for (int i = 0; i < 6; i++) {
		barrier_var(values[i]);
		if (number == i + 1)
			value = values[i];
	}
	if (number > 6)
		value = late_argument(ctx, number);
	return value;
}

/* Where the function was called from. */
static __always_inline __u64 read_caller(struct pt_regs *ctx)
{
	__u64 caller = 0;

#if defined(__TARGET_ARCH_x86)
	bpf_probe_read_user(&caller, sizeof(caller), (const void *)ctx->sp);
#else
	caller = ctx->regs[30];
#endif
	return caller;
}

#endif /* CT_REGISTERS_BPF_H */
