// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Every attempt to open a file whose name looks like cryptography: open(), openat(), openat2(),
 * creat(), and open_by_handle_at(), whose name is that of the file that it found.
 *
 * One program at the exit of system calls does it all. There, the result is known, and the page
 * with the name is resident, because the kernel has just read the name from it. (It is the caller's
 * memory all the same: another thread may have changed the name since.) The program sees every
 * system call of the host, so the order of its tests is what matters here: the number first, which
 * costs two loads; then the process; then the name, read once; then the name looked up. Only a name
 * that is wanted pays for the rest.
 *
 * tp_btf passes a pointer to the registers that may simply be followed, on all kernels with BTF.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"
#include "names.bpf.h"
#include "path.bpf.h"
#include "registers.bpf.h"
#include "core_fixes.bpf.h"

#include <bpf/bpf_tracing.h>

#if defined(__TARGET_ARCH_x86)

/* arch/x86/entry/syscalls/syscall_64.tbl. The numbers of x32 have bit 30 set: not seen here. */
#define NR_OPEN 2
#define NR_CREAT 85
#define NR_OPENAT 257
#define NR_OPEN_BY_HANDLE 304
#define NR_OPENAT2 437

#elif defined(__TARGET_ARCH_arm64)

/* include/uapi/asm-generic/unistd.h; there is no open(), and no creat(). */
#define NR_OPENAT 56
#define NR_OPEN_BY_HANDLE 265
#define NR_OPENAT2 437

#endif

static __always_inline unsigned long name_address(struct pt_regs *regs, int nr)
{
#ifdef NR_OPEN
	if (nr == NR_OPEN || nr == NR_CREAT)
		return SYSCALL_ARG1(regs);
#endif
	return SYSCALL_ARG2(regs);
}

/* The directory that a relative name is relative to. */
static __always_inline __s32 base_directory(struct pt_regs *regs, int nr)
{
#ifdef NR_OPEN
	if (nr == NR_OPEN || nr == NR_CREAT)
		return AT_FDCWD;
#endif
	return SYSCALL_ARG1(regs);
}

/* openat2() has its flags in user memory, at the start of struct open_how. */
static __always_inline __u32 open_flags(struct pt_regs *regs, int nr)
{
	__u64 flags;

#ifdef NR_OPEN
	if (nr == NR_OPEN)
		return SYSCALL_ARG2(regs);
	if (nr == NR_CREAT)
		return 01101; /* O_CREAT | O_WRONLY | O_TRUNC: fs/open.c */
#endif
	if (nr == NR_OPENAT || nr == NR_OPEN_BY_HANDLE)
		return SYSCALL_ARG3(regs);
	if (bpf_probe_read_user(&flags, sizeof(flags), (const void *)SYSCALL_ARG3(regs)))
		return 0;
	return flags;
}

#define NAMES offsetof(struct ct_file_open, strings)

/* A call that a signal broke off: its caller gets EINTR, or never knows, since it is restarted. */
static __always_inline __s32 open_result(long result)
{
	if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK)
		return -EINTR;
	return result;
}

/*
 * Which file it is, and where it lies; if it was not opened, and its name is relative, the directory
 * where it was looked for. open->strings_size is that of the name that the caller gave, and grows.
 */
static __always_inline void describe(struct ct_file_open *open, struct pt_regs *regs, int nr)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	bool opened = open->result >= 0;
	struct vfsmount *mount;
	struct dentry *dentry;
	__s32 fd;

	open->inode = 0;
	open->device = 0;
	open->mode = 0;
	open->pad = 0;
	if (!opened && open->strings[0] == '/')
		return;
	fd = opened ? open->result : base_directory(regs, nr);
	if (!opened && fd == AT_FDCWD) {
		mount = BPF_CORE_READ(task, fs, pwd.mnt);
		dentry = BPF_CORE_READ(task, fs, pwd.dentry);
	} else {
		struct file *file = find_file(task, fd);
		struct inode *inode = BPF_CORE_READ(file, f_inode);

		if (!file)
			return;
		if (opened) {
			open->inode = BPF_CORE_READ(inode, i_ino);
			open->device = BPF_CORE_READ(inode, i_sb, s_dev);
			open->mode = BPF_CORE_READ(inode, i_mode);
		}
		mount = BPF_CORE_READ(file, f_path.mnt);
		dentry = BPF_CORE_READ(file, f_path.dentry);
	}
	open->strings_size = append_path(mount, dentry, NAMES + open->strings_size) - NAMES;
}

/* The last name of the file that open_by_handle_at() opened, as read_str() gives it. */
static __always_inline long read_last_name(struct ct_file_open *open, __s32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct file *file = find_file(task, fd);

	return bpf_probe_read_kernel_str(open->strings, CT_NAME_MAX,
					 BPF_CORE_READ(file, f_path.dentry, d_name.name));
}

/* Whether the kernel took no more of a name than the buffer: one of exactly that size, with its NUL, ends in it. */
static __always_inline bool is_cut(struct pt_regs *regs, int nr, long size, long result)
{
	char last = 0;

	if (size < CT_PATH_SIZE || result != -ENAMETOOLONG)
		return false;
	bpf_probe_read_user(&last, 1, (const char *)name_address(regs, nr) + CT_PATH_SIZE - 1);
	return last != 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	int nr = SYSCALL_NR(regs);
	struct ct_file_open *open;
	union ct_event *event;
	__u32 used;
	long size;

#ifdef NR_OPEN
	if (nr != NR_OPENAT && nr != NR_OPEN && nr != NR_OPENAT2 && nr != NR_CREAT &&
	    nr != NR_OPEN_BY_HANDLE)
		return 0;
#else
	if (nr != NR_OPENAT && nr != NR_OPENAT2 && nr != NR_OPEN_BY_HANDLE)
		return 0;
#endif
	if (!is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;

	event = scratch_event();
	if (!event)
		return 0;

	open = &event->file_open;
	if (nr == NR_OPEN_BY_HANDLE)
		size = read_last_name(open, result);
	else
		size = bpf_probe_read_user_str(open->strings, CT_PATH_SIZE,
					       (const void *)name_address(regs, nr));
	if (size < 0) {
		/* The kernel could not read the name either, and nothing was opened ... */
		if (result == -EFAULT || nr == NR_OPEN_BY_HANDLE || is_compat(regs))
			return 0;
		/* ... or somebody took it away meanwhile, and with it an event, perhaps. */
		count_unread(CT_FILE_OPEN);
		return 0;
	}
	if (is_cut(regs, nr, size, result) && !is_compat(regs)) {
		count_unread(CT_FILE_OPEN); /* how it ends, nobody knows */
		return 0;
	}
	used = string_size(size);
	if (!is_wanted(open, used - 1) || is_compat(regs))
		return 0;
	if (nr == NR_OPEN_BY_HANDLE) {
		open->strings[0] = '\0'; /* the caller gave none */
		used = 1;
	}

	open->result = open_result(result);
	open->flags = open_flags(regs, nr);
	open->strings_size = used;
	describe(open, regs, nr);
	fill_header(&event->header, CT_FILE_OPEN);
	send_named(&event->header, NAMES, &open->strings_size);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
