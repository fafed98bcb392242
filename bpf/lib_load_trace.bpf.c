// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Every executable mapping of a file whose name begins like that of a cryptographic library: by the
 * dynamic loader at the start, or by dlopen(), of whatever C library, in containers too.
 *
 * Loaders map with mmap(), so that is what is looked at, when it returns: then the mapping is there.
 * The file is asked for its own name, not the process for one, and user space decides whether the
 * name is really one of ours. What begins as data and is made executable by mprotect() is not seen.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"
#include "path.bpf.h"

#include <bpf/bpf_tracing.h>

/* mmap() for 64-bit programs, mmap_pgoff() and mmap2() for 32-bit ones. */
#if defined(__TARGET_ARCH_x86)

#define NR_MMAP 9
#define NR_MMAP_32 192 /* lgetxattr() to 64-bit programs */
#define SYSCALL_NR(regs) ((int)(regs)->orig_ax)
#define MMAP_SIZE(regs) ((regs)->si)
#define MMAP_SIZE_32(regs) ((regs)->cx)
#define MMAP_PROT(regs) ((regs)->dx)
#define MMAP_FLAGS(regs) ((regs)->r10)
#define MMAP_FLAGS_32(regs) ((regs)->si)
#define MMAP_FD(regs) ((regs)->r8)
#define MMAP_FD_32(regs) ((regs)->di)

#elif defined(__TARGET_ARCH_arm64)

#define NR_MMAP 222
#define NR_MMAP_32 192
#define SYSCALL_NR(regs) ((regs)->syscallno)
#define MMAP_SIZE(regs) ((regs)->regs[1])
#define MMAP_SIZE_32(regs) ((regs)->regs[1])
#define MMAP_PROT(regs) ((regs)->regs[2])
#define MMAP_FLAGS(regs) ((regs)->regs[3])
#define MMAP_FLAGS_32(regs) ((regs)->regs[3])
#define MMAP_FD(regs) ((regs)->regs[4])
#define MMAP_FD_32(regs) ((regs)->regs[4])

#endif

#define CT_LIBRARY_SIZE 32

struct ct_library {
	__u32 prefixlen; /* 8 * length */
	char name[CT_LIBRARY_SIZE];
};

/* How the names of libraries begin: user space fills it. The values mean nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* the kernel takes no other trie */
	__uint(max_entries, 1024);
	__type(key, struct ct_library);
	__type(value, __u32);
} libraries SEC(".maps");

static __always_inline bool is_compat(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
#else
	return regs->pstate & PSR_MODE32_BIT;
#endif
}

/* The file that was mapped, or NULL. */
static __always_inline struct file *mapped_file(struct pt_regs *regs, bool compat)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	if ((compat ? MMAP_FLAGS_32(regs) : MMAP_FLAGS(regs)) & MAP_ANONYMOUS)
		return NULL;
	return find_file(task, compat ? MMAP_FD_32(regs) : MMAP_FD(regs));
}

static __always_inline bool is_library(struct dentry *dentry)
{
	struct ct_library key = {.prefixlen = 8 * CT_LIBRARY_SIZE};

	bpf_probe_read_kernel_str(key.name, sizeof(key.name), BPF_CORE_READ(dentry, d_name.name));
	return bpf_map_lookup_elem(&libraries, &key) != NULL;
}

#define NAMES offsetof(struct ct_lib_load, strings)

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	int nr = SYSCALL_NR(regs);
	struct ct_lib_load *load;
	union ct_event *event;
	struct dentry *dentry;
	struct inode *inode;
	struct file *file;

	if (nr != NR_MMAP && nr != NR_MMAP_32)
		return 0;
	if (!(MMAP_PROT(regs) & PROT_EXEC) || (result < 0 && result > -4096))
		return 0;
	if (is_compat(regs) != (nr == NR_MMAP_32))
		return 0;
	file = mapped_file(regs, nr == NR_MMAP_32);
	if (!file)
		return 0;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	if (!is_library(dentry) || !is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;

	event = scratch_event();
	if (!event)
		return 0;

	load = &event->lib_load;
	inode = BPF_CORE_READ(file, f_inode);
	load->address = result;
	load->size = nr == NR_MMAP_32 ? MMAP_SIZE_32(regs) : MMAP_SIZE(regs);
	load->inode = BPF_CORE_READ(inode, i_ino);
	load->device = BPF_CORE_READ(inode, i_sb, s_dev);
	load->mode = BPF_CORE_READ(inode, i_mode);
	/* d_unlinked() of include/linux/dcache.h */
	load->deleted = !BPF_CORE_READ(dentry, d_hash.pprev);
	load->strings_size = append_path(BPF_CORE_READ(file, f_path.mnt), dentry, NAMES) - NAMES;
	fill_header(&event->header, CT_LIB_LOAD);
	send_named(&event->header, NAMES, &load->strings_size);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
