// SPDX-License-Identifier: MIT
#ifndef DRIVER_H
#define DRIVER_H

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MAX_PROGRAMS 512
#define LOG_SIZE 64 /* of each program's log buffer: its address tells which program is loaded */

enum kind { MAP, PROGRAM, OBJECT_BTF, KERNEL_BTF, PROBE };

/* An object of the pretended kernel. It is known by its inode: libbpf duplicates and replaces descriptors. */
struct entry {
	enum kind kind;
	ino_t inode;
	const char
		*name; /* of a map, a program, a kernel's BTF; lives as long as libbpf's object */
	union bpf_attr attr;
	bool has_inner;
	union bpf_attr inner;
	void *data;
	size_t size;
};

/* BTF of the kernel and then of its modules; the id is the index plus one. */
struct target {
	const char *name;
	const char *path;
	void *data;
	size_t size;
};

struct update {
	struct entry *map, *refers;
	unsigned char *key, *value;
};

/* main.c */
void die(const char *what);

/* kernel.c */
extern struct bpf_object *object; /* that is being loaded */
extern bool stand_in;
extern struct target targets[];
void add_target(const char *name, const char *path);
void forget_entries(void);
char *log_of(const char *program);
struct entry *entry_of_fd(int fd);
const char *name_of_fd(int fd);

/* files.c */
extern const char *kallsyms, *kconfig, *release;
void *real(const char *name);

/* show.c */
void put_text(const char *key, const char *text);
void put_bytes(const char *key, const void *data, size_t size);
void put_number(const char *key, unsigned long long number);
void show_error(const char *program, const char *phase, int number, const char *log);
void show_btf(const struct entry *entry);
void show_maps(const struct entry *entries, int count);
void show_update(const struct update *update);
void show_updates(void);
void show_program(const char *name, const union bpf_attr *attr);

#endif
