// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Cryptography that the kernel does for a process: sockets of AF_ALG, by their bind(), and TLS in the kernel, by
 * setsockopt(SOL_TLS).
 *
 * What was asked for is read when the call returns: then its page is resident, because the kernel has just read
 * it. Of what setsockopt() is given these are the first four bytes, version and cipher: what follows is the key.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"
#include "path.bpf.h"
#include "registers.bpf.h"

#include <bpf/bpf_tracing.h>

#define AF_ALG 38 /* include/linux/socket.h */
#define SOL_TLS 282
#define TLS_TX 1 /* include/uapi/linux/tls.h */
#define TLS_RX 2

/* include/uapi/linux/if_alg.h: struct sockaddr_alg. The name may be longer: it is cut. */
#define ALG_TYPE_AT 2
#define ALG_NAME_AT 24

#if defined(__TARGET_ARCH_x86)
#define NR_BIND 49 /* arch/x86/entry/syscalls/syscall_64.tbl */
#define NR_SETSOCKOPT 54
#elif defined(__TARGET_ARCH_arm64)
#define NR_BIND 200 /* include/uapi/asm-generic/unistd.h */
#define NR_SETSOCKOPT 208
#endif

static __always_inline __u16 socket_family(int fd)
{
	struct file *file = find_file((struct task_struct *)bpf_get_current_task(), fd);
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk, __sk_common.skc_family);
}

/* What a call was given. */
struct ct_asked_kernel {
	__u64 address;
	__u32 size;
	__u32 use;
};

/* Reads what was asked for; false if that cannot be read, or there is too little of it. */
static __always_inline bool read_asked(struct ct_kernel_crypto *record, const struct ct_asked_kernel *call)
{
	const void *from = (const void *)call->address;
	__u16 info[2] = {};

	__builtin_memset(record->alg_type, 0, sizeof(record->alg_type));
	__builtin_memset(record->alg_name, 0, sizeof(record->alg_name));
	record->tls_version = 0;
	record->tls_cipher = 0;
	record->pad = 0;
	if (call->use == CT_AF_ALG)
		return call->size > ALG_NAME_AT &&
		       !bpf_probe_read_user(record->alg_type, CT_ALG_TYPE_SIZE, from + ALG_TYPE_AT) &&
		       bpf_probe_read_user_str(record->alg_name, sizeof(record->alg_name), from + ALG_NAME_AT) >= 0;
	if (call->size < sizeof(info) || bpf_probe_read_user(info, sizeof(info), from))
		return false;
	record->tls_version = info[0];
	record->tls_cipher = info[1];
	return true;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	int nr = SYSCALL_NR(regs), option = SYSCALL_ARG3(regs);
	struct ct_kernel_crypto *record;
	struct ct_asked_kernel call;
	union ct_event *event;

	if (nr == NR_SETSOCKOPT) {
		if ((int)SYSCALL_ARG2(regs) != SOL_TLS || (option != TLS_TX && option != TLS_RX))
			return 0;
		call.address = SYSCALL_ARG4(regs);
		call.size = SYSCALL_ARG5(regs);
		call.use = option == TLS_TX ? CT_KTLS_SEND : CT_KTLS_RECEIVE;
	} else if (nr == NR_BIND) {
		if (socket_family(SYSCALL_ARG1(regs)) != AF_ALG)
			return 0;
		call.address = SYSCALL_ARG2(regs);
		call.size = option;
		call.use = CT_AF_ALG;
	} else {
		return 0;
	}
	if (is_compat(regs) || !is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;
	event = scratch_event();
	if (!event)
		return 0;
	record = &event->kernel_crypto;
	if (read_asked(record, &call)) {
		fill_header((struct ct_header *)record, CT_KERNEL_CRYPTO);
		record->result = result;
		record->use = call.use;
		send_record((struct ct_header *)record, sizeof(*record));
	} else if (result != -EFAULT && result != -EINVAL) {
		count_unread(CT_KERNEL_CRYPTO);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
