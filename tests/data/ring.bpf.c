// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A program that fills a ring buffer when it is told to: the test runs it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__u16 a;
	__s8 b;
};

typedef __u64 my_number;
typedef char my_text[64];

struct record {
	my_number number;
	struct inner inner;
	__u32 low : 3;
	__s32 high : 5;
	__u16 list[3];
	union {
		__u32 word;
		__u8 byte;
	};
	enum shape { ROUND = 1, SQUARE = 2 } shape;
	my_text text;
};

const struct record *events__record SEC(".records");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

const volatile __u32 targ_tgid;
const volatile __u32 targ_text = 5;
__u64 sent;
__u64 lost;

SEC("tp_btf/sys_enter")
int on_enter(__u64 *ctx)
{
	struct record *record;

	/* getpgid(2) of x86-64 */
	if (ctx[1] != 121 || bpf_get_current_pid_tgid() >> 32 != targ_tgid)
		return 0;
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record) {
		lost++;
		return 0;
	}
	__builtin_memset(record, 0, sizeof(*record));
	record->number = sent;
	record->inner.a = 0xabcd;
	record->inner.b = -3;
	record->low = 5;
	record->high = -7;
	record->list[0] = 10;
	record->list[1] = 20;
	record->list[2] = 30;
	record->word = 0x01020304;
	record->shape = SQUARE;
	__builtin_memcpy(record->text, "hello", 6);
	sent++;
	/* Every third one is taken back. */
	if (sent % 3 == 0)
		bpf_ringbuf_discard(record, 0);
	else
		bpf_ringbuf_submit(record, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
