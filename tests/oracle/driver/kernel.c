// SPDX-License-Identifier: MIT
/*
 * A pretended kernel that accepts everything. Its objects are files in memory, known by their inodes.
 *
 * libbpf tries out what a kernel can do by loading small programs and maps: all of that succeeds. An object's own
 * programs are told from them by the address of the log buffer, which the driver has set.
 */
#define _GNU_SOURCE
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_ENTRIES 4096
#define MAX_TARGETS 256
#define MAX_BTF (64 << 20)
#define MAP_SPACE (1 << 20) /* what a mapping of a map may touch */

struct bpf_object *object;
bool stand_in;
struct target targets[MAX_TARGETS];
static int target_count;
static struct entry entries[MAX_ENTRIES];
static int entry_count;
static struct update updates[MAX_ENTRIES];
static int update_count;
static char logs[MAX_PROGRAMS][LOG_SIZE];
static const char *log_owners[MAX_PROGRAMS];
static int log_count;
static bool maps_shown, btf_shown;

void add_target(const char *name, const char *path)
{
	struct target *target = &targets[target_count];
	FILE *file;

	target->name = name;
	target->path = path;
	file = fopen(path, "r");
	target->data = malloc(MAX_BTF);
	if (!file || !target->data || ++target_count == MAX_TARGETS)
		die(path);
	target->size = fread(target->data, 1, MAX_BTF, file);
	fclose(file);
}

void forget_entries(void)
{
	for (int i = 0; i < entry_count; i++)
		free(entries[i].data);
	for (int i = 0; i < update_count; i++) {
		free(updates[i].key);
		free(updates[i].value);
	}
	entry_count = update_count = log_count = 0;
}

char *log_of(const char *program)
{
	if (log_count == MAX_PROGRAMS)
		die("too many programs");
	log_owners[log_count] = program;
	return logs[log_count++];
}

static ino_t inode_of(int fd)
{
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) ? st.st_ino : 0;
}

struct entry *entry_of_fd(int fd)
{
	ino_t inode = inode_of(fd);

	for (int i = 0; inode && i < entry_count; i++)
		if (entries[i].inode == inode)
			return &entries[i];
	return NULL;
}

const char *name_of_fd(int fd)
{
	struct entry *entry = entry_of_fd(fd);

	return entry && entry->name ? entry->name : "?";
}

static int new_fd(enum kind kind, size_t size, struct entry **result)
{
	int fd = memfd_create("pretended", MFD_CLOEXEC);
	struct entry *entry = &entries[entry_count++];

	if (fd < 0 || entry_count == MAX_ENTRIES || ftruncate(fd, size))
		die("new descriptor");
	memset(entry, 0, sizeof(*entry));
	entry->kind = kind;
	entry->inode = inode_of(fd);
	*result = entry;
	return fd;
}

/* libbpf creates maps in the order in which it lists them; the kernel sees 15 characters of their names. */
static const char *name_of_new_map(const union bpf_attr *attr)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		const char *name = bpf_map__name(map);
		bool taken = false;

		for (int i = 0; i < entry_count; i++)
			taken |= entries[i].kind == MAP && entries[i].name == name;
		if (!taken && !strncmp(name, attr->map_name, sizeof(attr->map_name) - 1))
			return name;
	}
	return NULL;
}

/* The object's BTF and maps, once: they are the same for all its programs. */
static void show_once(const struct entry *btf)
{
	if (!btf_shown && btf && btf->kind == OBJECT_BTF) {
		btf_shown = true;
		show_btf(btf);
	}
	if (!maps_shown) {
		maps_shown = true;
		show_maps(entries, entry_count);
	}
}

void show_updates(void)
{
	const struct entry *btf = NULL;

	for (int i = 0; i < entry_count && !btf; i++)
		if (entries[i].kind == MAP && entries[i].name && entries[i].attr.btf_fd)
			btf = entry_of_fd(entries[i].attr.btf_fd);
	show_once(btf);
	for (int i = 0; i < update_count; i++)
		show_update(&updates[i]);
}

static void *copy_of(__u64 address, size_t size)
{
	void *copy = malloc(size ? size : 1);

	memcpy(copy, (const void *)(uintptr_t)address, size);
	return copy;
}

static const char *loaded_program(const union bpf_attr *attr)
{
	for (int i = 0; i < log_count; i++)
		if (attr->log_buf == (__u64)(uintptr_t)logs[i])
			return log_owners[i];
	return NULL;
}

static int answer_info(const union bpf_attr *attr)
{
	struct entry *entry = entry_of_fd(attr->info.bpf_fd);
	struct bpf_btf_info *info = (void *)(uintptr_t)attr->info.info;
	struct target *target;

	if (!entry)
		return -EBADF;
	if (entry->kind != KERNEL_BTF)
		return 0;
	target = &targets[entry->attr.btf_id - 1];
	if (info->name)
		snprintf((char *)(uintptr_t)info->name, info->name_len, "%s", target->name);
	if (info->btf) {
		size_t room = info->btf_size < target->size ? info->btf_size : target->size;

		memcpy((void *)(uintptr_t)info->btf, target->data, room);
	}
	info->name_len = strlen(target->name);
	info->btf_size = target->size;
	info->id = entry->attr.btf_id;
	info->kernel_btf = 1;
	return 0;
}

static int answer_update(const union bpf_attr *attr)
{
	struct entry *map = entry_of_fd(attr->map_fd);
	struct update *update = &updates[update_count++];

	if (!map || update_count == MAX_ENTRIES)
		die("update of a map");
	update->map = map;
	update->refers = NULL;
	update->key = copy_of(attr->key, map->attr.key_size);
	update->value = copy_of(attr->value, map->attr.value_size);
	switch (map->attr.map_type) {
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		update->refers = entry_of_fd(*(int *)update->value);
		break;
	default:
		break;
	}
	return 0;
}

static int answer(int command, union bpf_attr *attr)
{
	struct entry *entry, *inner;
	const char *name;
	int fd;

	switch (command) {
	case BPF_MAP_CREATE:
		fd = new_fd(MAP, MAP_SPACE, &entry);
		entry->attr = *attr;
		inner = attr->inner_map_fd ? entry_of_fd(attr->inner_map_fd) : NULL;
		if (inner) {
			entry->has_inner = true;
			entry->inner = inner->attr;
			inner->name = NULL; /* it looked like the outer one, which comes after it */
		}
		entry->name = name_of_new_map(attr);
		return fd;
	case BPF_PROG_LOAD:
		name = loaded_program(attr);
		fd = new_fd(name ? PROGRAM : PROBE, 0, &entry);
		entry->name = name;
		if (name) {
			show_once(entry_of_fd(attr->prog_btf_fd));
			show_program(name, attr);
		}
		return fd;
	case BPF_BTF_LOAD:
		fd = new_fd(OBJECT_BTF, 0, &entry);
		entry->data = copy_of(attr->btf, attr->btf_size);
		entry->size = attr->btf_size;
		return fd;
	case BPF_MAP_UPDATE_ELEM:
		return answer_update(attr);
	case BPF_MAP_FREEZE:
	case BPF_PROG_BIND_MAP:
	case BPF_OBJ_PIN:
		return 0;
	case BPF_OBJ_GET:
		return -ENOENT; /* nothing is pinned yet */
	case BPF_BTF_GET_NEXT_ID:
		if ((int)attr->start_id >= target_count)
			return -ENOENT;
		attr->next_id = attr->start_id + 1;
		return 0;
	case BPF_BTF_GET_FD_BY_ID:
		if (!attr->btf_id || (int)attr->btf_id > target_count)
			return -ENOENT;
		fd = new_fd(KERNEL_BTF, 0, &entry);
		entry->attr = *attr;
		entry->name = targets[attr->btf_id - 1].name;
		return fd;
	case BPF_OBJ_GET_INFO_BY_FD:
		return answer_info(attr);
	case BPF_LINK_CREATE:
		return -EBADF; /* what kernels with links on perf events say to a wrong target */
	default:
		return -EINVAL;
	}
}

long syscall(long number, ...)
{
	static long (*real_syscall)(long, ...);
	long args[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		args[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf) {
		union bpf_attr *given = (void *)args[1], attr = {};
		size_t size = (unsigned int)args[2] < sizeof(attr) ? (unsigned int)args[2]
								   : sizeof(attr);
		int result;

		memcpy(&attr, given, size);
		result = answer(args[0], &attr);
		memcpy(given, &attr, size);
		if (result >= 0)
			return result;
		errno = -result;
		return -1;
	}
	if (!real_syscall)
		real_syscall = real("syscall");
	return real_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}
