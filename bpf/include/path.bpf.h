/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Where a file lies, from its directory entries: the path that the process itself would see, without
 * links, across mount points and up to its root.
 *
 * Nothing is locked: a directory that is renamed meanwhile may give a path of before and after. What
 * is read of freed memory can be wrong, but never harms: all reads are checked, and the walk ends.
 */
#ifndef CT_PATH_BPF_H
#define CT_PATH_BPF_H

#include "events.h"
#include "kernel.h"

#include <linux/bpf.h>
#include <linux/stddef.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "record.bpf.h"

#define CT_MAX_DEPTH 40 /* of names and mount points */
#define CT_NAME_MAX 256 /* NAME_MAX of include/uapi/linux/limits.h, with the NUL */

/* An open file of the current process by its number, or NULL. */
static __always_inline struct file *find_file(struct task_struct *task, __s32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	return file;
}

/*
 * Writes the name of a directory entry into scratch_event(), `at` bytes from its beginning; returns
 * where it ends, or 0 if there is no name or no room.
 *
 * A global function of plain numbers: the verifier looks at it once, whatever its callers know. As a
 * part of the loop that calls it, it would be looked at for each way through all turns before.
 */
__noinline __u64 append_name(__u64 entry, __u64 at)
{
	union ct_event *event = scratch_event();
	long size;

	if (!event || at > sizeof(*event) - CT_NAME_MAX)
		return 0;
	size = bpf_probe_read_kernel_str((char *)event + at, CT_NAME_MAX,
					 BPF_CORE_READ((struct dentry *)entry, d_name.name));
	return size > 1 ? at + size : 0;
}

/*
 * The same for the empty name behind the last one. It is a global function, too, because verifiers
 * before 5.11 forget the bounds of what the compiler puts on the stack, as it would in the caller.
 */
__noinline __u64 append_end(__u64 at)
{
	union ct_event *event = scratch_event();

	if (!event || at >= sizeof(*event))
		return at;
	*((char *)event + at) = '\0';
	return at + 1;
}

/*
 * Writes the names from `dentry` up to the root of the current task into scratch_event(), `at` bytes
 * from its beginning; returns where they end. `at` is at most sizeof(union ct_event) -
 * CT_PATH_SIZE. What does not fit is left out, and so is the empty name that says that it is all.
 */
static __always_inline __u64 append_path(struct vfsmount *mount, struct dentry *dentry, __u64 at)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct dentry *root = BPF_CORE_READ(task, fs, root.dentry);
	struct vfsmount *root_mount = BPF_CORE_READ(task, fs, root.mnt);
	__u64 offset = bpf_core_field_offset(struct mount, mnt);

	for (int i = 0; i < CT_MAX_DEPTH; i++) {
		struct dentry *entry = dentry;
		__u64 end;

		if (dentry == root && mount == root_mount)
			goto complete;
		if (dentry == BPF_CORE_READ(mount, mnt_root)) {
			struct mount *here = (void *)mount - offset;
			struct mount *above = BPF_CORE_READ(here, mnt_parent);

			if (above == here)
				goto complete;
			dentry = BPF_CORE_READ(here, mnt_mountpoint);
			mount = (void *)above + offset;
			continue;
		}
		end = append_name((__u64)entry, at);
		if (!end)
			return at;
		at = end;
		dentry = BPF_CORE_READ(entry, d_parent);
		/* No place in any directory: memory with a name, for one. */
		if (dentry == entry)
			goto complete;
	}
	return at;
complete:
	return append_end(at);
}

/*
 * Sends a record that ends with names, `at` bytes from its beginning. Their size is taken from the
 * record, where the verifier knows nothing of it: otherwise it would look at all ways through
 * append_path() again to see how large it can be.
 */
static __always_inline void send_named(struct ct_header *header, __u64 at,
				       const volatile __u32 *strings_size)
{
	__u64 size = *strings_size;

	if (size <= CT_STRINGS_SIZE)
		send_record(header, at + size);
}

#endif /* CT_PATH_BPF_H */
