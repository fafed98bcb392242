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

#define AF_ALG 38 /* include/linux/socket.h */
#define SOL_TLS 282
#define TLS_TX 1 /* include/uapi/linux/tls.h */
#define TLS_RX 2

/* include/uapi/linux/if_alg.h: struct sockaddr_alg. The name may be longer: it is cut. */
#define ALG_TYPE_AT 2
#define ALG_NAME_AT 24

struct trace_event_raw_sys_enter {
	unsigned long args[6];
} __relocated;

struct trace_event_raw_sys_exit {
	long ret;
} __relocated;

/* A call that has not returned. */
struct ct_asked_kernel {
	__u64 address;
	__u32 size;
	__u32 use;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct ct_asked_kernel);
} asked SEC(".maps");

static __always_inline __u16 socket_family(int fd)
{
	struct file *file = find_file((struct task_struct *)bpf_get_current_task(), fd);
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk, __sk_common.skc_family);
}

static __always_inline void remember(__u64 address, __u32 size, enum ct_crypto_use use)
{
	struct ct_asked_kernel call = {.address = address, .size = size, .use = use};
	__u64 thread = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&asked, &thread, &call, BPF_ANY);
}

SEC("tracepoint/syscalls/sys_enter_bind")
int on_bind(struct trace_event_raw_sys_enter *ctx)
{
	if (is_traced(bpf_get_current_pid_tgid() >> 32) && socket_family(ctx->args[0]) == AF_ALG)
		remember(ctx->args[1], ctx->args[2], CT_AF_ALG);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_setsockopt")
int on_setsockopt(struct trace_event_raw_sys_enter *ctx)
{
	int option = ctx->args[2];

	if ((int)ctx->args[1] != SOL_TLS || (option != TLS_TX && option != TLS_RX))
		return 0;
	if (is_traced(bpf_get_current_pid_tgid() >> 32))
		remember(ctx->args[3], ctx->args[4], option == TLS_TX ? CT_KTLS_SEND : CT_KTLS_RECEIVE);
	return 0;
}

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

static __always_inline int finish(long result)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct ct_asked_kernel *call = bpf_map_lookup_elem(&asked, &thread);
	union ct_event *event = scratch_event();
	struct ct_kernel_crypto *record;

	if (!call || !event)
		return 0;
	record = &event->kernel_crypto;
	if (read_asked(record, call)) {
		fill_header((struct ct_header *)record, CT_KERNEL_CRYPTO);
		record->result = result;
		record->use = call->use;
		send_record((struct ct_header *)record, sizeof(*record));
	} else if (result != -EFAULT && result != -EINVAL) {
		count_unread(CT_KERNEL_CRYPTO);
	}
	bpf_map_delete_elem(&asked, &thread);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_bind")
int on_bind_return(struct trace_event_raw_sys_exit *ctx)
{
	return finish(ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_setsockopt")
int on_setsockopt_return(struct trace_event_raw_sys_exit *ctx)
{
	return finish(ctx->ret);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
