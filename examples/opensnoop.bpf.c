// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A record for each openat(2) of a process, or of all: who, which file, and what came of it. */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "event_buffer.bpf.h"

struct opened {
	__u32 pid;
	__s32 result; /* a file descriptor, or a negative error number */
	char comm[16];
	char path[256];
};

EVENT_BUFFER(events, struct opened, 1 << 20)

/* What the kernel's tracepoints say; the loader finds the members on the kernel that runs. */
struct trace_event_raw_sys_enter {
	unsigned long args[6];
} __attribute__((preserve_access_index));

struct trace_event_raw_sys_exit {
	long ret;
} __attribute__((preserve_access_index));

/* The names of calls that have begun, by thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, const char *);
} names SEC(".maps");

const volatile __u32 targ_pid; /* 0: all */

SEC("tracepoint/syscalls/sys_enter_openat")
int on_enter(struct trace_event_raw_sys_enter *ctx)
{
	const char *name = (const char *)ctx->args[1];
	__u64 id = bpf_get_current_pid_tgid();
	__u32 thread = id;

	if (!targ_pid || id >> 32 == targ_pid)
		bpf_map_update_elem(&names, &thread, &name, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int on_exit(struct trace_event_raw_sys_exit *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct opened event = {};
	__u32 thread = id;
	const char **name = bpf_map_lookup_elem(&names, &thread);

	if (!name)
		return 0;
	event.pid = id >> 32;
	event.result = ctx->ret;
	bpf_get_current_comm(event.comm, sizeof(event.comm));
	bpf_probe_read_user_str(event.path, sizeof(event.path), *name);
	bpf_map_delete_elem(&names, &thread);
	events__send(ctx, &event, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
