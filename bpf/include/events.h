/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * The records that the probes send, and the only place where their layout is written down.
 *
 * User space builds its decoders from the BTF of the object (see RECORD_TYPE in record.bpf.h), so
 * the names here are part of the product: a member's name is the name of the decoded field, an
 * enumerator's name is the event kind, and a typedef's name says what the field means (how it is
 * shown, and what redaction does to it).
 *
 * The last member of a record may be sent short: a record is offsetof(last member) plus the bytes
 * used, strings with their NUL. All that is sent is written or zeroed.
 *
 * `struct ct_header;` embeds the header's members (-fms-extensions), as if they stood there.
 */
#ifndef CT_EVENTS_H
#define CT_EVENTS_H

#include <linux/types.h>

enum ct_kind {
	CT_FILE_OPEN = 1,
	CT_PROCESS_EXEC = 2,
	CT_PROCESS_EXIT = 3,
	CT_LIB_LOAD = 4,
	CT_PROCESS_FORK = 5,
	CT_API_CALL = 6,
	CT_TLS_HANDSHAKE = 7,
	CT_LIB_OPEN = 8,
	CT_WIRE_DATA = 9,
	CT_KERNEL_CRYPTO = 10,
	CT_API_COUNT = 11,
};

#define CT_COMM_SIZE 16
#define CT_PATH_SIZE 4096 /* PATH_MAX: the longest name the kernel takes, with its NUL */
#define CT_TEXT_SIZE 512 /* an argument of a function; what is longer is cut */
#define CT_STRINGS_SIZE (2 * CT_PATH_SIZE)
#define CT_ARGV_SIZE 4096 /* of arguments at most */
#define CT_ASKED_SIZE 256
#define CT_WIRE_SIZE 4096 /* of what is sent at most in one record */
#define CT_ALG_TYPE_SIZE 14 /* include/uapi/linux/if_alg.h: struct sockaddr_alg */
#define CT_ALG_NAME_SIZE 64
#define CT_ALGORITHM_SIZE 48

typedef __u64 ct_boot_ns; /* nanoseconds since boot, with the time asleep (CLOCK_BOOTTIME) */
typedef __u32 ct_pid; /* as the tracer's own pid namespace has it; 0 = it is not in there */
typedef __u32 ct_host_pid; /* as the initial pid namespace has it */
typedef __u32 ct_uid; /* real id, as the initial user namespace has it */
typedef __u32 ct_gid;
typedef __u64 ct_cgroup; /* id of a cgroup v2: the inode number of its directory */
typedef char ct_comm[CT_COMM_SIZE];
typedef __u64 ct_inode;
typedef __u32 ct_device; /* as the kernel has it: major << 20 | minor */
typedef __u32 ct_mode; /* type and permissions of a file */
typedef __u64 ct_address; /* in the memory of the process */

/*
 * Several strings in one array, each with its NUL, so that none needs more room than it has. The
 * names of a path are those of its directory entries, the last one first; an empty string after
 * them says that they are all there, up to the root of the process.
 */
typedef char ct_open_strings[CT_STRINGS_SIZE]; /* the name as the caller gave it, names of a path */
typedef char ct_exec_strings[CT_STRINGS_SIZE]; /* the program as the caller gave it, arguments */
typedef char ct_file_strings[CT_STRINGS_SIZE]; /* names of a path */
typedef char ct_asked[CT_ASKED_SIZE];
typedef char ct_algorithm[CT_ALGORITHM_SIZE]; /* a name as a library has it */
typedef __s32 ct_result; /* what a system call returned: a number from 0 on, or -errno */
typedef __u32 ct_open_flags; /* O_* as the caller gave them, in the numbers of its machine */
typedef __s32 ct_exit_code;
typedef __u32 ct_signal; /* 0 = none */
typedef __u32 ct_function; /* row of tracer/catalog/functions.py */
typedef __u32 ct_role; /* enum ct_tls_role */
typedef __u8 ct_ip[16]; /* of a peer: an IPv6 address, or the four bytes of an IPv4 address, then zeros */
typedef char ct_text[CT_TEXT_SIZE]; /* a string as the program gave it: a path, perhaps */

struct ct_header {
	ct_boot_ns time;
	ct_boot_ns start_time; /* of the process: with pid, it names one process for ever */
	ct_cgroup cgroup;
	enum ct_kind kind;
	ct_pid pid; /* of the process (thread group) */
	ct_pid tid;
	ct_pid ppid;
	ct_uid uid;
	ct_gid gid;
	ct_comm comm;
	ct_host_pid host_pid;
	__u32 header_pad;
};

struct ct_file_open {
	struct ct_header;
	ct_result result;
	ct_open_flags flags;
	/* Of the file that was opened, else 0. */
	ct_inode inode;
	ct_device device;
	ct_mode mode;
	__u32 pad;
	__u32 strings_size;
	/*
	 * The path is that of the file, or, if it was not opened and its name is relative, that of
	 * the directory it is relative to.
	 */
	ct_open_strings strings;
};

struct ct_process_exec {
	struct ct_header;
	__u32 argv_size; /* of all arguments, also of those that are not in `strings` */
	__u32 strings_size;
	ct_exec_strings strings;
};

struct ct_process_fork {
	struct ct_header;
	ct_boot_ns child_start_time;
	ct_pid child;
	__u32 pad;
};

struct ct_process_exit {
	struct ct_header;
	ct_exit_code exit_code; /* of the process, as wait(2) reports it; 0 if a signal ended it */
	ct_signal signal;
	__u32 core_dumped;
	__u32 pad;
};

enum ct_tls_role {
	CT_ROLE_UNKNOWN,
	CT_ROLE_CLIENT,
	CT_ROLE_SERVER,
};

enum ct_outcome {
	CT_FAILED,
	CT_SUCCEEDED,
	CT_OUTCOME_UNKNOWN,
};

/* A call of a function of a library. */
struct ct_api_call {
	struct ct_header;
	ct_function function;
	__u32 library; /* number of the attached file */
	__u64 caller; /* where the function was called from, in the memory of the process */
	__u32 internal; /* that is in the same file */
	__u32 pad;
	__s64 number; /* the argument that is a number, or 0 */
	ct_text text; /* the argument that is a string, or "" */
};

/* Calls of a function of a library that nobody wants to see one by one: those since the last record. */
struct ct_api_count {
	struct ct_header;
	ct_function function; /* row of the functions that are counted; none if there was no room for more */
	__u32 library;
	__u64 caller; /* the page where they came from; 0 if it is the same file */
	__s64 number; /* the algorithm, by its number, or 0 */
	__u64 count;
	__u32 internal; /* they came from the same file */
	__u32 pad;
	ct_algorithm name; /* or by its name */
};

/* The end of a TLS handshake, however many calls it took. */
struct ct_tls_handshake {
	struct ct_header;
	ct_boot_ns began; /* the first call */
	ct_function function; /* the one that ended it */
	__u32 library;
	__s32 returned; /* by the last call */
	__u32 outcome; /* enum ct_outcome */
	__u32 calls; /* that were seen */
	ct_role role;
	__u32 family; /* AF_INET, AF_INET6, or 0: no socket is known */
	__u16 local_port;
	__u16 peer_port;
	ct_ip peer;
	ct_text cipher_list; /* these three as the program gave them, "" if it did not */
	ct_text ciphersuites;
	ct_text certificate;
};

struct ct_lib_load {
	struct ct_header;
	ct_address address; /* of the mapping */
	__u64 size;
	ct_inode inode;
	ct_device device;
	ct_mode mode;
	__u32 deleted; /* whether the file has no name any more */
	__u32 strings_size;
	ct_file_strings strings;
};

struct ct_lib_open {
	struct ct_header;
	__u32 failed;
	__u32 pad;
	ct_asked path; /* as the caller gave it; the beginning, if it is longer */
};

enum ct_wire_flags {
	CT_WIRE_SENT = 1, /* by the socket at `from`; else received by that at `to` */
	CT_WIRE_OWNED = 2, /* the header tells of the process that sent it; else it is zeros, but for time and kind */
	CT_WIRE_LOCAL = 4, /* both sockets are on this host */
	CT_WIRE_WANTED = 16, /* the filters let this process pass */
	CT_WIRE_CONNECTED = 8, /* TCP: the socket that sent or received it has connected to the other */
};

/*
 * A piece of what two sockets say to each other before it is encrypted: the beginning of a TCP
 * connection, or a datagram.
 */
struct ct_wire_data {
	struct ct_header;
	__u64 space; /* where the addresses mean something: the network namespace */
	__u32 base; /* TCP: sequence number of the first byte that `from` sent: tells connections apart */
	__u32 back; /* TCP: the same of `to`; 0: not known. Both sockets of a connection have the same two */
	__u32 offset; /* TCP: of the data behind that byte; else: number of the datagram */
	__u16 segment; /* UDP: the data is several datagrams of this size; 0: one */
	__u16 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u16 family; /* AF_INET or AF_INET6 */
	__u16 from_port;
	__u16 to_port;
	__u16 flags; /* enum ct_wire_flags */
	ct_ip from;
	ct_ip to;
	__u32 data_size;
	char data[CT_WIRE_SIZE];
};

enum ct_crypto_use {
	CT_AF_ALG, /* bind() of a socket of AF_ALG */
	CT_KTLS_SEND, /* setsockopt(TLS_TX) */
	CT_KTLS_RECEIVE, /* setsockopt(TLS_RX) */
};

/* A process asked the kernel to encrypt for it. */
struct ct_kernel_crypto {
	struct ct_header;
	ct_result result;
	__u32 use; /* enum ct_crypto_use */
	__u16 tls_version; /* include/uapi/linux/tls.h: struct tls_crypto_info */
	__u16 tls_cipher;
	char alg_type[CT_ALG_TYPE_SIZE + 2];
	char alg_name[CT_ALG_NAME_SIZE];
	__u32 pad;
};

union ct_event {
	struct ct_header header;
	struct ct_file_open file_open;
	struct ct_process_exec process_exec;
	struct ct_process_exit process_exit;
	struct ct_api_call api_call;
	struct ct_api_count api_count;
	struct ct_tls_handshake tls_handshake;
	struct ct_process_fork process_fork;
	struct ct_lib_load lib_load;
	struct ct_lib_open lib_open;
	struct ct_wire_data wire_data;
	struct ct_kernel_crypto kernel_crypto;
};

#endif /* CT_EVENTS_H */
