/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * What the calls of functions mean for contexts and sessions.
 */
#ifndef CT_CALL_BPF_H
#define CT_CALL_BPF_H

#include "api.bpf.h"
#include "shake.bpf.h"

/* A call, as it is entered. */
struct ct_call {
	__u64 cookie;
	__u64 object, from, made, text, number;
	__u64 caller, ip;
	__u64 jumped; /* another function has jumped here */
	struct ct_frame_key at;
};

static __always_inline __s64 read_number(const struct ct_row *row, __u64 value)
{
	__s64 wide = 0;

	if (row->number_as != CT_NUMBER_AT_LONG)
		return (__s32)value;
	bpf_probe_read_user(&wide, sizeof(wide), (const void *)value);
	return wide;
}

static __always_inline bool is_internal(const struct ct_call *call)
{
	return is_within(call->cookie, call->ip, call->caller);
}

static __noinline int send_call(struct ct_row *row, struct ct_call *call)
{
	struct ct_api_call *record;

	if (!row || !call)
		return 0;
	record = reserve_record(CT_API_CALL, sizeof(*record));
	if (!record)
		return 0;
	fill_header((struct ct_header *)record, CT_API_CALL);
	record->function = call->cookie & COOKIE_FUNCTION;
	record->library = call->cookie >> COOKIE_LIBRARY;
	record->caller = call->caller;
	record->internal = call->jumped || is_internal(call);
	record->pad = 0;
	record->number = row->number ? read_number(row, call->number) : 0;
	__builtin_memset(record->text, 0, sizeof(record->text));
	if (row->text)
		bpf_probe_read_user_str(record->text, sizeof(record->text),
					(const void *)call->text);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline void read_text(char *text, __u64 address)
{
	long used;

	/* A string of user memory ends with a NUL; what follows it in the state is not sent. */
	used = bpf_probe_read_user_str(text, CT_TEXT_SIZE, (const void *)address);
	if (used < 0)
		text[0] = '\0';
}

static __always_inline void set_text(struct ct_tls *tls, struct ct_row *row, __u64 address)
{
	if (row->text_as == CT_TEXT_CERTIFICATE)
		read_text(tls->certificate, address);
	else if (row->text_as == CT_TEXT_CIPHER_LIST)
		read_text(tls->cipher_list, address);
	else if (row->text_as == CT_TEXT_CIPHERSUITES)
		read_text(tls->ciphersuites, address);
}

static __always_inline enum ct_tls_role role_of(__u64 number)
{
	return number & 1 ? CT_ROLE_SERVER : CT_ROLE_CLIENT;
}

/* What a call gives to its object, but for texts: whether these are taken shows at the end. */
static __always_inline void set_object(struct ct_tls *tls, struct ct_row *row, struct ct_call *call)
{
	tls->changed = bpf_ktime_get_boot_ns();
	if (row->role)
		tls->role = row->role;
	if (row->number && row->number_as == CT_NUMBER_ROLE)
		tls->role = role_of(call->number);
	if (row->number && row->number_as == CT_NUMBER_FD)
		tls->fd = (__s32)call->number + 1;
}

/* What is not set keeps what it has. */
static __always_inline void inherit(struct ct_tls *to, struct ct_tls *from)
{
	to->changed = bpf_ktime_get_boot_ns();
	if (from->fd)
		to->fd = from->fd;
	if (from->role)
		to->role = from->role;
	if (from->certificate[0])
		bpf_probe_read_kernel(to->certificate, sizeof(ct_text), from->certificate);
	if (from->cipher_list[0])
		bpf_probe_read_kernel(to->cipher_list, sizeof(ct_text), from->cipher_list);
	if (from->ciphersuites[0])
		bpf_probe_read_kernel(to->ciphersuites, sizeof(ct_text), from->ciphersuites);
}

/* What a call means. Returns whether it is to be reported. */
static __noinline bool enter(struct ct_row *row, struct ct_call *call)
{
	struct ct_object key = {.process = current_process(), .pointer = call->object};
	struct ct_frame frame = {.cookie = call->cookie, .object = call->object};
	struct ct_object source = {.process = key.process, .pointer = call->from};
	struct ct_tls *tls, *from;

	switch (row->action) {
	case CT_DO_NEW:
		frame.object = call->made;
		frame.from = call->from;
		frame.text = call->text;
		frame.fd = row->number_as == CT_NUMBER_FD ? (__s32)call->number + 1 : 0;
		frame.role = row->number_as == CT_NUMBER_ROLE ? role_of(call->number) : row->role;
		bpf_map_update_elem(&frames, &call->at, &frame, BPF_ANY);
		return true;
	case CT_DO_SET:
		if (row->text) {
			frame.text = call->text;
			bpf_map_update_elem(&frames, &call->at, &frame, BPF_ANY);
			return true;
		}
		tls = find_object(&key) ?: make_object(&key, NULL);
		if (tls)
			set_object(tls, row, call);
		return true;
	case CT_DO_INHERIT:
		tls = find_object(&key) ?: make_object(&key, NULL);
		from = find_object(&source);
		if (tls && from)
			inherit(tls, from);
		return true;
	case CT_DO_SHAKE:
	case CT_DO_TRANSFER:
		return begin_call(&key, row, &call->at, &frame);
	case CT_DO_FINISHED:
		bpf_map_update_elem(&frames, &call->at, &frame, BPF_ANY);
		return true;
	case CT_DO_LOOK:
		look(&key, call->cookie);
		return true;
	case CT_DO_RESET:
		reset_session(&key, call->cookie, is_internal(call));
		return true;
	case CT_DO_FREE:
		free_session(&key, call->cookie);
		return true;
	default:
		return true;
	}
}

/* The new object's state, from that of the context that it was made of. */
static __always_inline void end_new(struct ct_object *key, struct ct_frame *frame,
				    struct ct_row *row, __u64 result)
{
	struct ct_object source = {.process = key->process, .pointer = frame->from};
	struct ct_tls *tls;

	key->pointer = result;
	if (frame->object && ((int)result != row->done ||
			      bpf_probe_read_user(&key->pointer, sizeof(key->pointer),
						  (const void *)frame->object)))
		return;
	if (!key->pointer)
		return;
	tls = make_object(key, frame->from ? find_object(&source) : NULL);
	if (tls) {
		tls->changed = bpf_ktime_get_boot_ns();
		tls->role = frame->role ?: tls->role;
		tls->fd = frame->fd ?: tls->fd;
		set_text(tls, row, frame->text);
	}
}

/* A certificate or a list of ciphers that the library has taken. Where 0 is good, so is what is more. */
static __always_inline void end_set(struct ct_object *key, struct ct_frame *frame,
				    struct ct_row *row, int result)
{
	struct ct_tls *tls;

	if (row->done ? result != row->done : result < 0)
		return;
	tls = find_object(key) ?: make_object(key, NULL);
	if (!tls)
		return;
	tls->changed = bpf_ktime_get_boot_ns();
	set_text(tls, row, frame->text);
}

#endif /* CT_CALL_BPF_H */
