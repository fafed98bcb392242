/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * EVENT_BUFFER(events, struct event, 1 << 20): a buffer for records of one type, and events__send() to send them.
 *
 * It is a ring buffer of so many bytes. A loader that finds no ring buffers in the kernel (before 5.8) makes the
 * map a perf event array and sets events__ringbuf to false before it loads the program. The constant is in
 * .rodata, whose contents the verifier knows, so it skips the branch that is not taken, and does not mind helpers
 * or maps there that the kernel does not have.
 *
 * events__lost counts, on each CPU, what could not be sent.
 *
 * The last member of a record may be sent short when it is an array of char: only its used bytes.
 */
#ifndef EVENT_BUFFER_BPF_H
#define EVENT_BUFFER_BPF_H

#define EVENT_BUFFER(name, record, bytes)                                                     \
	const record *name##__record SEC(".records");                                         \
	const volatile _Bool name##__ringbuf = 1;                                             \
	struct {                                                                              \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                           \
		__uint(max_entries, bytes);                                                   \
	} name SEC(".maps");                                                                  \
	struct {                                                                              \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                      \
		__uint(max_entries, 1);                                                       \
		__type(key, __u32);                                                           \
		__type(value, __u64);                                                         \
	} name##__lost SEC(".maps");                                                          \
                                                                                              \
	/* Returns 0, or a negative error number after it has counted the loss. */            \
	static __always_inline long name##__send(void *ctx, void *data, __u64 size)           \
	{                                                                                     \
		__u32 zero = 0;                                                               \
		__u64 *lost;                                                                  \
		long err;                                                                     \
                                                                                              \
		if (name##__ringbuf)                                                          \
			err = bpf_ringbuf_output(&name, data, size, 0);                       \
		else                                                                          \
			err = bpf_perf_event_output(ctx, &name, BPF_F_CURRENT_CPU, data, size); \
		if (err) {                                                                    \
			lost = bpf_map_lookup_elem(&name##__lost, &zero);                     \
			if (lost)                                                             \
				(*lost)++;                                                    \
		}                                                                             \
		return err;                                                                   \
	}

#endif /* EVENT_BUFFER_BPF_H */
