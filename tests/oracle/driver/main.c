// SPDX-License-Identifier: MIT
/*
 * What libbpf asks of the kernel when it loads an object, as lines of JSON on standard output.
 *
 * libbpf is linked statically, so that its calls of syscall(), open() and the like end in this program. bpf(2)
 * is answered by a pretended kernel that accepts everything and needs no privilege: programs are seen as they
 * go to the verifier, whether or not any kernel would take them. The kernel's types are those of --btf.
 *
 *   libbpf_driver --btf=FILE [--module=NAME=FILE]... [--kallsyms=FILE] [--kconfig=FILE] [--release=R] OBJECT
 *
 * Lines, by "event":
 *   libbpf   "version"
 *   btf      the object's own, as it is loaded: "data"
 *   map      "name", and what BPF_MAP_CREATE got; "inner" likewise
 *   update   a value written to a map: "map", "key", and "value" or the map or program that it "refers" to
 *   program  "name", what BPF_PROG_LOAD got; "maps" and "btfs" say what descriptors in "code" are, by slot
 *   error    "name" of the program or "", "phase" open or load, "errno", "log"
 * Bytes are written in hex. A program whose attach target does not exist is loaded again with a target that
 * does, and says so: "stand_in".
 *
 * All programs are loaded together first; when that fails, each on its own.
 */
#include "driver.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char messages[16384];
static size_t messages_len;

void die(const char *what)
{
	fprintf(stderr, "libbpf_driver: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int collect(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && messages_len + 512 < sizeof(messages))
		messages_len += vsnprintf(messages + messages_len, 512, format, args);
	if (messages_len > sizeof(messages) - 512)
		messages_len = sizeof(messages) - 512;
	return 0;
}

/* A target that every kernel has, for programs whose own one this kernel lacks. */
static void set_stand_in(struct bpf_program *program)
{
	const char *name;

	switch (bpf_program__expected_attach_type(program)) {
	case BPF_TRACE_RAW_TP:
		name = "sched_switch";
		break;
	case BPF_TRACE_ITER:
		name = "task";
		break;
	case BPF_LSM_MAC:
	case BPF_LSM_CGROUP:
		name = "file_open";
		break;
	default:
		name = "vfs_read";
	}
	bpf_program__set_attach_target(program, 0, name);
}

/* Opens and loads an object with all its programs, or with only that of the given name. */
static int load(const char *path, const char *only)
{
	struct bpf_program *program;
	int error = 0;

	forget_entries();
	messages_len = 0;
	messages[0] = 0;
	object = bpf_object__open_file(path, NULL);
	if (!object) {
		show_error("", "open", errno, messages);
		return 0;
	}
	bpf_object__for_each_program(program, object)
	{
		const char *name = bpf_program__name(program);

		bpf_program__set_autoload(program, !only || !strcmp(only, name));
		if (bpf_program__type(program) == BPF_PROG_TYPE_UNSPEC)
			bpf_program__set_type(program, BPF_PROG_TYPE_SOCKET_FILTER);
		bpf_program__set_log_level(program, 1);
		bpf_program__set_log_buf(program, log_of(name), LOG_SIZE);
		if (stand_in)
			set_stand_in(program);
	}
	if (bpf_object__load(object))
		error = errno;
	show_updates();
	bpf_object__close(object);
	return error;
}

static void load_object(const char *path)
{
	char *names[MAX_PROGRAMS];
	struct bpf_program *program;
	struct bpf_object *opened;
	int count = 0, error;

	error = load(path, NULL);
	if (!error)
		return;
	show_error("", "load", error, messages);
	opened = bpf_object__open_file(path, NULL);
	bpf_object__for_each_program(program, opened)
	{
		if (count == MAX_PROGRAMS)
			die("too many programs");
		names[count++] = strdup(bpf_program__name(program));
	}
	bpf_object__close(opened);
	for (int i = 0; i < count; i++) {
		error = load(path, names[i]);
		if (error) {
			show_error(names[i], "load", error, messages);
			stand_in = true;
			load(path, names[i]);
			stand_in = false;
		}
		free(names[i]);
	}
}

/* The value of an option, or NULL if the argument is another one. */
static char *option(char *argument, const char *name)
{
	size_t length = strlen(name);

	return strncmp(argument, name, length) || argument[length] != '=' ? NULL
									  : argument + length + 1;
}

int main(int argc, char **argv)
{
	char *value, *path;
	int i = 1;

	libbpf_set_print(collect);
	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if ((value = option(argv[i], "--btf"))) {
			add_target("vmlinux", value);
		} else if ((value = option(argv[i], "--module"))) {
			path = strchr(value, '=');
			if (!path)
				die(argv[i]);
			*path = 0;
			add_target(value, path + 1);
		} else if ((value = option(argv[i], "--kallsyms"))) {
			kallsyms = value;
		} else if ((value = option(argv[i], "--kconfig"))) {
			kconfig = value;
		} else if ((value = option(argv[i], "--release"))) {
			release = value;
		} else {
			die(argv[i]);
		}
	}
	if (!targets[0].path || i + 1 != argc)
		die("usage: --btf=FILE ... OBJECT");
	printf("{\"event\": \"libbpf\"");
	put_text("version", libbpf_version_string());
	printf("}\n");
	load_object(argv[i]);
	return 0;
}
