/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Which file names are reported: two tables that user space fills.
 *
 * patterns      suffixes (".pem") and whole base names ("id_rsa") of at most 16 bytes, in lower
 *               case, padded with zeros. The case of A to Z in a file's name does not matter.
 * directories   absolute directories with their final slash ("/etc/ssl/"); prefixlen is 8 * length.
 *
 * The value of an entry means nothing, so far.
 */
#ifndef CT_NAMES_BPF_H
#define CT_NAMES_BPF_H

#include "events.h"
#include "kernel.h"

#include <linux/bpf.h>
#include <linux/stddef.h>
#include <bpf/bpf_helpers.h>

#define CT_NAME_SIZE 16
#define CT_DIRECTORY_SIZE 64

struct ct_name {
	char text[CT_NAME_SIZE];
};

struct ct_directory {
	__u32 prefixlen;
	char path[CT_DIRECTORY_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct ct_name);
	__type(value, __u32);
} patterns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* the kernel takes no other trie */
	__uint(max_entries, 256);
	__type(key, struct ct_directory);
	__type(value, __u32);
} directories SEC(".maps");

/*
 * Names are looked at eight bytes at a time, in plain arithmetic. A loop over the bytes is no
 * faster, and costs the verifier a state for each pair of places where slash and dot may be: 15
 * times the instructions to check, which is 12 ms at each start.
 */
#define EACH_BYTE 0x0101010101010101ULL

/*
 * Eight bytes of the record, not aligned, which the kernels of x86-64 and arm64 allow. The barrier
 * keeps the offset one sum: if clang split it into a pointer and a part to subtract from it, the
 * verifier would see a pointer that may go below its map value.
 */
static __always_inline __u64 load_word(const struct ct_file_open *open, __u64 offset)
{
	barrier_var(offset);
	return *(const __u64 *)((const char *)open + offset);
}

/* Bit 7 of each byte that equals `byte`. No byte carries into the next. */
static __always_inline __u64 find_byte(__u64 word, char byte)
{
	__u64 difference = word ^ (byte * EACH_BYTE);

	return ~(((difference & ~(0x80 * EACH_BYTE)) + 0x7f * EACH_BYTE) | difference) &
	       (0x80 * EACH_BYTE);
}

/* A to Z in each byte made small. Here, too, no byte carries into the next. */
static __always_inline __u64 to_lower(__u64 word)
{
	__u64 low = word & (0x7f * EACH_BYTE);
	__u64 from_a = low + (0x80 - 'A') * EACH_BYTE;
	__u64 past_z = low + (0x7f - 'Z') * EACH_BYTE;

	return word | ((from_a & ~past_z & ~word & (0x80 * EACH_BYTE)) >> 2);
}

/*
 * How many of 16 bytes follow the last `byte` in them; 16 if it is not there. `tail` is the later
 * half, whose last byte is its most significant one. What is set for the last match is spread to
 * all bytes before it; a multiplication then adds them up.
 */
static __always_inline __u64 count_after(__u64 head, __u64 tail, char byte)
{
	__u64 found = find_byte(tail, byte);
	__u64 count = 8;

	if (!found) {
		found = find_byte(head, byte);
		count = 16;
	}
	found |= found >> 8;
	found |= found >> 16;
	found |= found >> 32;
	count -= ((found >> 7) * EACH_BYTE) >> 56;
	/* At most 16. The verifier cannot know, but believes in a mask that clang does not drop. */
	barrier_var(count);
	return count & 31;
}

/* The last `size` (1 to 16) bytes of the name that ends at `end`, looked up. */
static __always_inline bool is_pattern(const struct ct_file_open *open, __u64 end, __u64 size)
{
	__u64 key[2];

	key[0] = to_lower(load_word(open, end - size));
	if (size > 8) {
		key[1] = to_lower(load_word(open, end - size + 8)) & (~0ULL >> (128 - 8 * size));
	} else {
		key[0] &= ~0ULL >> (64 - 8 * size);
		key[1] = 0;
	}
	return bpf_map_lookup_elem(&patterns, key) != NULL;
}

/*
 * Looks up suffix and base name, neither of which is longer than 16 bytes. For a name that is
 * shorter, the bytes before it are looked at, too; is_wanted() has put a slash there.
 */
static __always_inline bool has_pattern(const struct ct_file_open *open, __u64 length)
{
	__u64 end = offsetof(struct ct_file_open, strings) + length;
	__u64 head = load_word(open, end - 16), tail = load_word(open, end - 8);
	__u64 base = count_after(head, tail, '/');
	__u64 suffix = count_after(head, tail, '.') + 1;

	if (suffix <= base && is_pattern(open, end, suffix))
		return true;
	if (base == 0 || base == suffix)
		return false;
	if (base == CT_NAME_SIZE && load_word(open, end - 24) >> 56 != '/')
		return false;
	return is_pattern(open, end, base);
}

/*
 * Looks up the directory. The key is the record itself: `strings_size`, not filled in yet, lies
 * just before `strings` and serves as prefixlen, which saves copying 64 bytes for each name. What follows
 * the name in the buffer is old, and does no harm: no entry has a NUL in it, so none reaches there.
 */
static __always_inline bool in_directory(struct ct_file_open *open)
{
	struct ct_directory *key = (struct ct_directory *)&open->strings_size;

	_Static_assert(offsetof(struct ct_file_open, strings) - offsetof(struct ct_file_open, strings_size) ==
			       offsetof(struct ct_directory, path),
		       "a record must hold the key of directories");

	if (open->strings[0] != '/')
		return false;
	key->prefixlen = 8 * CT_DIRECTORY_SIZE;
	return bpf_map_lookup_elem(&directories, key) != NULL;
}

/*
 * `length` is that of the name in open->strings, without its NUL. `strings_size` gets any value, as long
 * as its last byte, the one before the name, is a slash.
 */
static __always_inline bool is_wanted(struct ct_file_open *open, __u64 length)
{
	open->strings_size = '/' * (__u32)EACH_BYTE;
	return has_pattern(open, length) || in_directory(open);
}

#endif /* CT_NAMES_BPF_H */
