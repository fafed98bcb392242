// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Every dlopen() that is called with a name: what was asked for, and whether it was there. What a
 * program loads by itself at its start does not come here; see lib_load_trace.bpf.c for that.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"

#if defined(__TARGET_ARCH_x86)
#define ARGUMENT(ctx) ((ctx)->di)
#define RESULT(ctx) ((ctx)->ax)
#define ENTRY_SP(ctx) ((ctx)->sp - 8) /* the return has popped its address */
#elif defined(__TARGET_ARCH_arm64)
#define ARGUMENT(ctx) ((ctx)->regs[0])
#define RESULT(ctx) ((ctx)->regs[0])
#define ENTRY_SP(ctx) ((ctx)->sp)
#endif

/* A call that has not returned yet. A library may open others while it is opened itself. */
struct ct_call {
	__u64 pid_tgid;
	__u64 sp;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct ct_call);
	__type(value, ct_asked);
} calls SEC(".maps");

SEC("uprobe")
int on_dlopen(struct pt_regs *ctx)
{
	struct ct_call key = {.pid_tgid = bpf_get_current_pid_tgid(), .sp = ctx->sp};
	ct_asked name = {};

	if (!is_traced(key.pid_tgid >> 32))
		return 0;
	/* NULL asks for the program itself, and so does an empty name. */
	if (bpf_probe_read_user_str(name, sizeof(name), (const void *)ARGUMENT(ctx)) > 1)
		bpf_map_update_elem(&calls, &key, &name, BPF_ANY);
	return 0;
}

SEC("uretprobe")
int on_dlopen_return(struct pt_regs *ctx)
{
	struct ct_call key = {.pid_tgid = bpf_get_current_pid_tgid(), .sp = ENTRY_SP(ctx)};
	ct_asked *name = bpf_map_lookup_elem(&calls, &key);
	struct ct_lib_open *open;

	if (!name)
		return 0;
	open = reserve_record(CT_LIB_OPEN, sizeof(*open));
	if (open) {
		fill_header((struct ct_header *)open, CT_LIB_OPEN);
		open->failed = RESULT(ctx) == 0;
		open->pad = 0;
		__builtin_memcpy(open->path, *name, sizeof(open->path));
		bpf_ringbuf_submit(open, BPF_RB_NO_WAKEUP);
	}
	bpf_map_delete_elem(&calls, &key);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
