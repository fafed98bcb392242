/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * What we read of the kernel's own types, and nothing else.
 *
 * preserve_access_index makes each access a CO-RE relocation: the loader finds the member by name
 * in the running kernel's BTF, so neither the order nor the number of the members here matters.
 * Constants are those that the kernel cannot change, or has not changed since before 5.8, the
 * first kernel with a ring buffer.
 */
#ifndef CT_KERNEL_H
#define CT_KERNEL_H

#include <linux/types.h>

typedef _Bool bool;
#define true 1
#define false 0

#define __relocated __attribute__((preserve_access_index))

#define EINTR 4
#define EFAULT 14
#define EEXIST 17
#define EINVAL 22
#define ENAMETOOLONG 36
#define ERESTARTSYS 512 /* include/linux/errno.h: from here to ERESTART_RESTARTBLOCK ... */
#define ERESTART_RESTARTBLOCK 516 /* ... are never seen by user space */

#define PF_FORKNOEXEC 0x00000040 /* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define AF_INET 2
#define AF_INET6 10
#define SIGNAL_GROUP_EXIT 0x00000004 /* include/linux/sched/signal.h */

#define PROT_EXEC 4 /* include/uapi/asm-generic/mman-common.h */
#define MAP_ANONYMOUS 0x20
#define AT_FDCWD -100 /* include/uapi/linux/fcntl.h */

typedef struct {
	int counter;
} atomic_t;

struct super_block {
	__u32 s_dev;
} __relocated;

struct inode {
	__u16 i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
} __relocated;

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
} __relocated;

struct qstr {
	const unsigned char *name;
} __relocated;

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
} __relocated;

struct vfsmount {
	struct dentry *mnt_root;
} __relocated;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
} __relocated;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} __relocated;

struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
} __relocated;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} __relocated;

struct files_struct {
	struct fdtable *fdt;
} __relocated;

struct fs_struct {
	struct path root;
	struct path pwd;
} __relocated;

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
} __relocated;

struct ns_common {
	unsigned int inum;
} __relocated;

struct pid_namespace {
	struct ns_common ns;
} __relocated;

struct upid {
	int nr;
	struct pid_namespace *ns;
} __relocated;

/* The same process has a number in each namespace from the first one down to its own. */
struct pid {
	unsigned int level;
	struct upid numbers[1];
} __relocated;

#define PIDTYPE_TGID 1 /* include/linux/pid_types.h */

struct signal_struct {
	atomic_t live;
	struct pid *pids[4];
	int group_exit_code;
	unsigned int flags;
} __relocated;

struct thread_info {
	__u32 status; /* x86 only */
} __relocated;

typedef struct {
	__u32 val;
} kuid_t;

struct cred {
	kuid_t uid;
	kuid_t gid;
} __relocated;

struct kernfs_node {
	__u64 id;
} __relocated;

struct cgroup {
	struct kernfs_node *kn;
} __relocated;

struct css_set {
	struct cgroup *dfl_cgrp;
} __relocated;

struct net {
	struct ns_common ns;
} __relocated;

struct nsproxy {
	struct net *net_ns;
} __relocated;

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int exit_code;
	__s32 pid;
	__s32 tgid;
	struct pid *thread_pid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	__u64 start_boottime;
	struct mm_struct *mm;
	struct signal_struct *signal;
	struct fs_struct *fs;
	struct files_struct *files;
	const struct cred *cred;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	char comm[16];
} __relocated;

struct socket {
	struct sock *sk;
} __relocated;

struct in6_addr {
	__u8 bytes[16];
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__u16 skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	__u16 skc_num;
	__u16 skc_dport; /* in network byte order */
	__u32 skc_daddr;
	struct in6_addr skc_v6_daddr;
} __relocated;

struct sock_lock {
	int owned; /* by a process: until it lets go, nobody else sends or receives */
} __relocated;

struct net_device {
	const struct rtnl_link_ops *rtnl_link_ops; /* none if it is hardware */
} __relocated;

struct dst_entry {
	struct net_device *dev;
} __relocated;

struct sock {
	struct sock_common __sk_common;
	struct sock_lock sk_lock;
	struct dst_entry *sk_dst_cache;
} __relocated;

struct inet_sock {
	struct sock sk;
} __relocated;

struct inet_connection_sock {
	struct inet_sock icsk_inet;
} __relocated;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u64 bytes_sent;
	__u32 rcv_nxt;
} __relocated;

struct linux_binprm {
	const char *filename;
} __relocated;

#if defined(__TARGET_ARCH_x86)

struct pt_regs {
	unsigned long di;
	unsigned long si;
	unsigned long dx;
	unsigned long cx;
	unsigned long r8;
	unsigned long r9;
	unsigned long r10;
	unsigned long ax;
	unsigned long orig_ax;
	unsigned long ip;
	unsigned long sp;
} __relocated;

#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h */

#elif defined(__TARGET_ARCH_arm64)

struct pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
	__u64 orig_x0;
	__s32 syscallno;
} __relocated;

#define PSR_MODE32_BIT 0x00000010 /* arch/arm64/include/uapi/asm/ptrace.h */

#else
#error "no registers known for this architecture: see tools/build_objects.py"
#endif

#endif /* CT_KERNEL_H */
