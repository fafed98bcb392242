// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * CO-RE relocations of all kinds, on types of all kinds, by instructions of all kinds. The oracle relocates them
 * against random variations of these types. One relocation to a program, as far as that goes: an error of one must
 * not hide the others.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct leaf {
	__u32 x;
	__s16 y;
	unsigned char z;
};

enum color { RED = 1, GREEN = 2, BLUE = 0x7fffffff };
enum tone { LOW = -5, HIGH = 7 };
enum big { LARGE = 0x123456789abcdef0ULL, SMALL = 1 };

typedef struct {
	int inside;
	char text[16];
} nameless;

typedef int (*callback)(struct leaf *leaf, long number, enum color color);
typedef __u64 wide_t;

union either {
	int number;
	struct leaf leaf;
};

struct tree {
	__u64 first;
	struct leaf leaf;
	struct leaf row[4];
	int matrix[2][3];
	union {
		__u32 hidden;
		struct {
			__u16 deep;
			__u8 deeper[3];
		};
	};
	__u32 flag : 1;
	__s32 narrow : 7;
	__u64 broad : 40;
	enum color hue : 5;
	__s8 tiny;
	char letter;
	_Bool truth;
	__s64 signed_wide;
	wide_t counter;
	void *pointer;
	const struct leaf *leaf_pointer;
	enum color color;
	enum tone tone;
	enum big big;
	callback call;
	nameless inner;
	union either either;
	struct tree *next;
	struct leaf flexible[];
};

struct tree___other {
	__u32 hidden;
	struct leaf row[2];
};

struct absent {
	int nothing;
};
#pragma clang attribute pop

#define PROGRAM(name) SEC("raw_tp/" #name) long name(struct tree *tree)
#define INFO(name, field, kind) PROGRAM(name) { return __builtin_preserve_field_info(tree->field, BPF_FIELD_##kind); }
#define ALL_INFOS(name, field)                \
	INFO(name##_offset, field, BYTE_OFFSET) \
	INFO(name##_size, field, BYTE_SIZE)     \
	INFO(name##_exists, field, EXISTS)      \
	INFO(name##_signed, field, SIGNED)      \
	INFO(name##_left, field, LSHIFT_U64)    \
	INFO(name##_right, field, RSHIFT_U64)

ALL_INFOS(first, first)
ALL_INFOS(leaf_y, leaf.y)
ALL_INFOS(hidden, hidden)
ALL_INFOS(deep, deep)
ALL_INFOS(flag, flag)
ALL_INFOS(narrow, narrow)
ALL_INFOS(broad, broad)
ALL_INFOS(hue, hue)
ALL_INFOS(color, color)
ALL_INFOS(tone, tone)

#define ELEMENT(name, field)            \
	INFO(name##_offset, field, BYTE_OFFSET) \
	INFO(name##_size, field, BYTE_SIZE)     \
	INFO(name##_exists, field, EXISTS)

ELEMENT(row_2, row[2])
ELEMENT(row_3_x, row[3].x)
ELEMENT(matrix_1_2, matrix[1][2])
ELEMENT(deeper_1, deeper[1])
ELEMENT(flexible_7, flexible[7].z)
ELEMENT(next, next)
ELEMENT(pointer, pointer)
ELEMENT(call, call)
ELEMENT(either, either)
ELEMENT(inner_text, inner.text)

INFO(other_offset_of_leaf, leaf, BYTE_OFFSET)

PROGRAM(other_hidden)
{
	struct tree___other *other = (void *)tree;

	return __builtin_preserve_field_info(other->hidden, BPF_FIELD_BYTE_OFFSET);
}

PROGRAM(other_row)
{
	struct tree___other *other = (void *)tree;

	return __builtin_preserve_field_info(other->row[1].y, BPF_FIELD_EXISTS);
}

PROGRAM(second_of_array)
{
	return __builtin_preserve_field_info(tree[2].leaf.z, BPF_FIELD_BYTE_OFFSET);
}

PROGRAM(absent_offset)
{
	struct absent *absent = (void *)tree;

	return __builtin_preserve_field_info(absent->nothing, BPF_FIELD_BYTE_OFFSET);
}

#define TYPE(name, type) PROGRAM(name##_exists) { return bpf_core_type_exists(type); } \
	PROGRAM(name##_size) { return bpf_core_type_size(type); }                        \
	PROGRAM(name##_matches) { return bpf_core_type_matches(type); }                  \
	PROGRAM(name##_id) { return bpf_core_type_id_kernel(type); }                     \
	PROGRAM(name##_local) { return bpf_core_type_id_local(type); }

TYPE(type_tree, struct tree)
TYPE(type_other, struct tree___other)
TYPE(type_leaf, struct leaf)
TYPE(type_either, union either)
TYPE(type_color, enum color)
TYPE(type_big, enum big)
TYPE(type_callback, callback)
TYPE(type_wide, wide_t)
TYPE(type_nameless, nameless)
TYPE(type_absent, struct absent)

#define ENUMERATOR(name, type, value) PROGRAM(name##_value) { return bpf_core_enum_value(type, value); } \
	PROGRAM(name##_exists) { return bpf_core_enum_value_exists(type, value); }

ENUMERATOR(enum_green, enum color, GREEN)
ENUMERATOR(enum_blue, enum color, BLUE)
ENUMERATOR(enum_low, enum tone, LOW)
ENUMERATOR(enum_large, enum big, LARGE)
ENUMERATOR(enum_small, enum big, SMALL)

/* Direct accesses, of which the verifier's context pointers are capable: width and offset both follow the target. */
#define ACCESS(name, field, value) \
	PROGRAM(load_##name) { return (long)*(volatile typeof(tree->field) *)__builtin_preserve_access_index(&tree->field); } \
	PROGRAM(store_##name) { *(volatile typeof(tree->field) *)__builtin_preserve_access_index(&tree->field) = value; return 0; } \
	PROGRAM(put_##name) { *(volatile typeof(tree->field) *)__builtin_preserve_access_index(&tree->field) = (typeof(tree->field))bpf_ktime_get_ns(); return 0; }

ACCESS(first, first, 1)
ACCESS(x, leaf.x, 2)
ACCESS(y, leaf.y, 3)
ACCESS(z, leaf.z, 4)
ACCESS(tiny, tiny, 5)
ACCESS(letter, letter, 6)
ACCESS(truth, truth, 1)
ACCESS(signed_wide, signed_wide, 7)
ACCESS(counter, counter, 8)
ACCESS(pointer, pointer, 0)
ACCESS(leaf_pointer, leaf_pointer, 0)
ACCESS(color, color, GREEN)
ACCESS(tone, tone, HIGH)
ACCESS(big, big, SMALL)
ACCESS(row_1_x, row[1].x, 9)
ACCESS(deep, deep, 10)

PROGRAM(load_narrow)
{
	return BPF_CORE_READ_BITFIELD(tree, narrow);
}

PROGRAM(load_broad)
{
	return BPF_CORE_READ_BITFIELD(tree, broad);
}

/* In .text, and in two programs: its relocations are decided once. */
static __noinline long helper(struct tree *tree)
{
	return __builtin_preserve_field_info(tree->counter, BPF_FIELD_BYTE_OFFSET) +
	       __builtin_preserve_field_info(tree->tiny, BPF_FIELD_BYTE_OFFSET);
}

PROGRAM(calls_first)
{
	return helper(tree);
}

PROGRAM(calls_again)
{
	return helper(tree) + tree->leaf.z;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
