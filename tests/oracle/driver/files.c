// SPDX-License-Identifier: MIT
/* What libbpf reads about the kernel comes from the files that the driver was given. */
#define _GNU_SOURCE
#include "driver.h"

#include <dlfcn.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

const char *kallsyms = "/dev/null", *kconfig = "/dev/null", *release = "6.1.0";

/* The C library's own function of a name that this program defines, too. */
void *real(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		die(name);
	return found;
}

static const char *elsewhere(const char *path)
{
	if (!strcmp(path, "/sys/kernel/btf/vmlinux"))
		return targets[0].path;
	if (!strcmp(path, "/proc/kallsyms"))
		return kallsyms;
	if (!strncmp(path, "/boot/config-", 13) || !strcmp(path, "/proc/config.gz"))
		return kconfig;
	if (!strcmp(path, "/proc/version_signature") || !strncmp(path, "/sys/fs/bpf", 11))
		return "/nonexistent";
	return path;
}

FILE *fopen(const char *path, const char *mode)
{
	return ((FILE * (*)(const char *, const char *)) real("fopen"))(elsewhere(path), mode);
}

FILE *fopen64(const char *path, const char *mode)
{
	return fopen(path, mode);
}

int open(const char *path, int flags, ...)
{
	va_list list;
	int mode;

	va_start(list, flags);
	mode = va_arg(list, int);
	va_end(list);
	return ((int (*)(const char *, int, int))real("open"))(elsewhere(path), flags, mode);
}

int open64(const char *path, int flags, ...)
{
	return open(path, flags, 0644);
}

int access(const char *path, int mode)
{
	return ((int (*)(const char *, int))real("access"))(elsewhere(path), mode);
}

int faccessat(int dir, const char *path, int mode, int flags)
{
	return ((int (*)(int, const char *, int, int))real("faccessat"))(dir, elsewhere(path), mode,
									 flags);
}

void *gzopen(const char *path, const char *mode)
{
	return ((void *(*)(const char *, const char *))real("gzopen"))(elsewhere(path), mode);
}

void *gzopen64(const char *path, const char *mode)
{
	return gzopen(path, mode);
}

/* Maps may be pinned wherever an object says. */
int statfs64(const char *path, struct statfs64 *fs)
{
	(void)path;
	memset(fs, 0, sizeof(*fs));
	fs->f_type = BPF_FS_MAGIC;
	return 0;
}

int statfs(const char *path, struct statfs *fs)
{
	return statfs64(path, (struct statfs64 *)fs);
}

int uname(struct utsname *name)
{
	memset(name, 0, sizeof(*name));
	strcpy(name->sysname, "Linux");
	strcpy(name->machine, "x86_64");
	snprintf(name->release, sizeof(name->release), "%s", release);
	return 0;
}

/* What a libbpf that was built with a newer C library calls. */
int __isoc23_sscanf(const char *text, const char *format, ...)
{
	va_list list;
	int result;

	va_start(list, format);
	result = vsscanf(text, format, list);
	va_end(list);
	return result;
}

int __isoc23_fscanf(FILE *file, const char *format, ...)
{
	va_list list;
	int result;

	va_start(list, format);
	result = vfscanf(file, format, list);
	va_end(list);
	return result;
}

unsigned long long __isoc23_strtoull(const char *text, char **end, int base)
{
	return strtoull(text, end, base);
}
