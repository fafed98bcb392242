// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Events in three ring buffers: one says its records' type by a pointer, one by its values' type, one not at all. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum kind { KIND_CALL = 1, KIND_ANSWER = 2 };

struct head {
	enum kind kind;
	__u32 pid;
};

struct call {
	struct head head;
	__s64 argument;
	char comm[16];
};

struct answer {
	struct head head;
	__u8 bytes[4];
	__u32 flag : 3;
};

union event {
	struct head head;
	struct call call;
	struct answer answer;
};

const union event *anchored__record SEC(".records");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} anchored SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
	__type(value, struct answer);
} typed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} untyped SEC(".maps");

/* getpgid(2) of x86-64, with what it is called with. */
SEC("raw_tp/sys_enter")
int on_enter(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct call call = {.head = {.kind = KIND_CALL, .pid = pid}};
	struct answer answer = {.head = {.kind = KIND_ANSWER, .pid = pid}, .bytes = {1, 2, 3, 4}, .flag = 5};

	if (ctx->args[1] != 121)
		return 0;
	call.argument = -7;
	bpf_get_current_comm(call.comm, sizeof(call.comm));
	bpf_ringbuf_output(&anchored, &call, sizeof(call), 0);
	bpf_ringbuf_output(&anchored, &answer, sizeof(answer), 0);
	bpf_ringbuf_output(&typed, &answer, sizeof(answer), 0);
	/* Too short for its type. */
	bpf_ringbuf_output(&typed, &pid, sizeof(pid), 0);
	bpf_ringbuf_output(&untyped, &pid, sizeof(pid), 0);
	return 0;
}

/* Cannot be attached by its name. */
SEC("socket")
int passes(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
