/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Eight bytes at a time, in plain arithmetic: no byte carries into the next.
 */
#ifndef CT_BYTES_BPF_H
#define CT_BYTES_BPF_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define EACH_BYTE 0x0101010101010101ULL

/* Bit 7 of each byte that equals `byte`. */
static __always_inline __u64 find_byte(__u64 word, char byte)
{
	__u64 difference = word ^ (byte * EACH_BYTE);

	return ~(((difference & ~(0x80 * EACH_BYTE)) + 0x7f * EACH_BYTE) | difference) &
	       (0x80 * EACH_BYTE);
}

/* A to Z in each byte made small. */
static __always_inline __u64 to_lower(__u64 word)
{
	__u64 low = word & (0x7f * EACH_BYTE);
	__u64 from_a = low + (0x80 - 'A') * EACH_BYTE;
	__u64 past_z = low + (0x7f - 'Z') * EACH_BYTE;

	return word | ((from_a & ~past_z & ~word & (0x80 * EACH_BYTE)) >> 2);
}

#endif /* CT_BYTES_BPF_H */
