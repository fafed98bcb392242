/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Which processes are reported: knobs that user space sets before it loads the object. The kernel
 * then knows them as constants, and removes the tests that they make pointless.
 */
#ifndef CT_FILTER_BPF_H
#define CT_FILTER_BPF_H

#include "kernel.h"

#include <bpf/bpf_helpers.h>

const volatile __u32 targ_tgid; /* only this process; 0 = all */
const volatile __u32 targ_self; /* never this process (the tracer itself); 0 = none */

static __always_inline bool is_traced(__u32 tgid)
{
	if (targ_tgid && tgid != targ_tgid)
		return false;
	return tgid != targ_self;
}

#endif /* CT_FILTER_BPF_H */
