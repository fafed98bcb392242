/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Counters of functions that are called too often for an event each: by process, function, algorithm
 * and caller.
 *
 * A process has MAX_COUNTS of them at most. What comes then counts together, as calls of no function
 * in particular: the sum stays right. `numbered` says which ones a process has, so that they can be
 * sent without walking through all there are.
 */
#ifndef CT_COUNT_BPF_H
#define CT_COUNT_BPF_H

#include "events.h"
#include "kernel.h"
#include "places.bpf.h"
#include "record.bpf.h"
#include "core_fixes.bpf.h"

#define MAX_COUNTS 96
#define REST (MAX_COUNTS - 1) /* for what there is no room for */
#define PERIOD_NS 5000000000ULL /* a process that goes on has its counts sent so often */

struct ct_count_key {
	struct ct_process process;
	__u64 cookie;
	__u64 caller; /* the page that the call came from; 0 if it was the same file */
	__s64 number; /* the algorithm, by its number, or 0 */
	__u64 internal;
	ct_algorithm name; /* or by its name; zeros behind it */
};

struct ct_count {
	__u64 count;
	__u64 sent;
};

/* User space makes these three larger when they are wanted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct ct_count_key);
	__type(value, struct ct_count);
} counts SEC(".maps");

struct ct_count_number {
	struct ct_process process;
	__u64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct ct_count_number);
	__type(value, struct ct_count_key);
} numbered SEC(".maps");

/* A process that is counted for. */
struct ct_counted {
	struct ct_header header; /* as it was when the first call came */
	__u64 sent_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct ct_process);
	__type(value, struct ct_counted);
} counted SEC(".maps");

/* Processes whose counts are being sent: by one thread at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct ct_process);
	__type(value, __u32);
} sending SEC(".maps");

/* Too large for the stack, together with a key. */
static __always_inline struct ct_counted *counted_process(struct ct_process *process)
{
	struct ct_counted *found = bpf_map_lookup_elem(&counted, process);
	struct ct_counted fresh = {};

	if (found)
		return found;
	fill_header(&fresh.header, CT_API_COUNT);
	fresh.sent_at = fresh.header.time;
	bpf_map_update_elem(&counted, process, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&counted, process);
}

/* A new counter, or the one that somebody else has made meanwhile; NULL if there is no room. */
static __noinline struct ct_count *new_count(struct ct_count_key *key)
{
	struct ct_count_number at = {};
	struct ct_count none = {};
	int err = -EEXIST;
	__u64 i;

	if (!key)
		return NULL;
	at.process = key->process;
	/* The number comes first: what has none would never be sent. */
	for (i = 0; i < REST; i++) {
		at.number = i;
		err = map_error(bpf_map_update_elem(&numbered, &at, key, BPF_NOEXIST));
		if (err != -EEXIST)
			break;
	}
	if (err)
		return NULL;
	bpf_map_update_elem(&counts, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&counts, key);
}

/* The counter of all that has none of its own. */
static __noinline struct ct_count *rest_count(struct ct_count_key *key)
{
	struct ct_count_number at = {.number = REST};
	struct ct_count none = {};

	if (!key)
		return NULL;
	at.process = key->process;
	key->cookie = NO_COOKIE;
	key->caller = 0;
	key->number = 0;
	key->internal = 0;
	__builtin_memset(key->name, 0, sizeof(key->name));
	bpf_map_update_elem(&numbered, &at, key, BPF_NOEXIST);
	bpf_map_update_elem(&counts, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&counts, key);
}

static __always_inline void count_call(struct ct_count_key *key)
{
	struct ct_count *count = bpf_map_lookup_elem(&counts, key);

	if (!count)
		count = new_count(key);
	if (!count)
		count = rest_count(key);
	if (count)
		__sync_fetch_and_add(&count->count, 1);
	else
		count_sent(CT_API_COUNT, true); /* an event that there will not be */
}

/* One counter of a process, with what has come since it was sent last; false if there are no more. */
static __noinline bool send_count(struct ct_counted *from, struct ct_count_number *at, bool last)
{
	struct ct_count_key *key = bpf_map_lookup_elem(&numbered, at);
	struct ct_api_count *record;
	struct ct_count *count;
	__u64 now;

	if (!key || !from)
		return false;
	count = bpf_map_lookup_elem(&counts, key);
	if (!count)
		return true;
	now = count->count;
	if (now > count->sent) {
		record = reserve_record(CT_API_COUNT, sizeof(*record));
		if (record) {
			__builtin_memcpy(record, &from->header, sizeof(from->header));
			record->time = bpf_ktime_get_boot_ns();
			record->function = key->cookie & COOKIE_FUNCTION;
			record->library = key->cookie >> COOKIE_LIBRARY;
			record->caller = key->caller;
			record->number = key->number;
			record->count = now - count->sent;
			record->internal = key->internal;
			record->pad = 0;
			__builtin_memcpy(record->name, key->name, sizeof(record->name));
			bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
		}
		count->sent = now;
	}
	if (last) {
		bpf_map_delete_elem(&counts, key);
		bpf_map_delete_elem(&numbered, at);
	}
	return true;
}

/* All counters of a process; `last` forgets them. */
static __noinline int send_counts(struct ct_process *process, bool last)
{
	struct ct_count_number at = {};
	struct ct_counted *from;
	__u32 one = 1;
	int i;

	if (!process)
		return 0;
	from = bpf_map_lookup_elem(&counted, process);
	if (!from || map_error(bpf_map_update_elem(&sending, process, &one, BPF_NOEXIST)))
		return 0;
	from->sent_at = bpf_ktime_get_boot_ns();
	at.process = *process;
	for (i = 0; i < REST; i++) {
		at.number = i;
		if (!send_count(from, &at, last))
			break;
	}
	at.number = REST;
	send_count(from, &at, last);
	if (last)
		bpf_map_delete_elem(&counted, process);
	bpf_map_delete_elem(&sending, process);
	return 0;
}

#endif /* CT_COUNT_BPF_H */
