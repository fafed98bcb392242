/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * What differs between kernels, one block for each change. The code takes the form that is right
 * on all of them; no version is ever compared.
 */
#ifndef CT_CORE_FIXES_BPF_H
#define CT_CORE_FIXES_BPF_H

/*
 * The verifier turns bpf_map_update_elem() and bpf_map_delete_elem() into direct calls of the
 * map's own function. That returned an int until "bpf: return long from bpf_map_ops funcs" (6.4):
 * the upper half of the register is then anything, and a 64-bit comparison with -EEXIST fails
 * (seen on 5.10 and 6.1).
 */
#define map_error(call) ((int)(call))

/*
 * bpf_probe_read_user_str() gives the bytes it wrote, with the NUL. For an empty string it gave 0
 * up to 6.12 at least, and gives 1 on 6.18. Negative is an error on all.
 */
#define string_size(size) ((size) ?: 1)

/*
 * bpf_get_current_comm() fills all of the buffer, but on some kernels (seen on 6.1) only writes up
 * to the NUL. What was there before would go out with the record.
 */
#define get_current_comm(comm)                                                                     \
	do {                                                                                       \
		__builtin_memset(comm, 0, sizeof(comm));                                           \
		bpf_get_current_comm(comm, sizeof(comm));                                          \
	} while (0)

#endif /* CT_CORE_FIXES_BPF_H */
