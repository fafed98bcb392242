// SPDX-License-Identifier: MIT
/* The lines that the driver writes. */
#include "driver.h"

#include <stdint.h>
#include <stdio.h>

#define INSN_IMM64 0x18
#define INSN_CALL 0x85

void put_text(const char *key, const char *text)
{
	printf(", \"%s\": \"", key);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if (*c < 32 || *c > 126)
			printf("\\u%04x", *c);
		else
			putchar(*c);
	}
	putchar('"');
}

void put_bytes(const char *key, const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	printf(", \"%s\": \"", key);
	for (size_t i = 0; i < size; i++) {
		putchar(digits[bytes[i] >> 4]);
		putchar(digits[bytes[i] & 15]);
	}
	putchar('"');
}

void put_number(const char *key, unsigned long long number)
{
	printf(", \"%s\": %llu", key, number);
}

static void show_create(const union bpf_attr *attr)
{
	put_number("type", attr->map_type);
	put_number("key_size", attr->key_size);
	put_number("value_size", attr->value_size);
	put_number("max_entries", attr->max_entries);
	put_number("flags", attr->map_flags);
	put_number("numa_node", attr->numa_node);
	put_text("map_name", attr->map_name);
	put_number("with_btf", attr->btf_fd != 0);
	put_number("key_type", attr->btf_key_type_id);
	put_number("value_type", attr->btf_value_type_id);
	put_number("vmlinux_value_type", attr->btf_vmlinux_value_type_id);
	put_number("extra", attr->map_extra);
}

void show_maps(const struct entry *entries, int count)
{
	for (int i = 0; i < count; i++) {
		const struct entry *entry = &entries[i];

		if (entry->kind != MAP || !entry->name)
			continue;
		printf("{\"event\": \"map\"");
		put_text("name", entry->name);
		show_create(&entry->attr);
		if (entry->has_inner) {
			printf(", \"inner\": {\"event\": \"inner\"");
			show_create(&entry->inner);
			printf("}");
		}
		printf("}\n");
	}
}

void show_update(const struct update *update)
{
	printf("{\"event\": \"update\"");
	put_text("map", update->map->name ? update->map->name : "?");
	put_bytes("key", update->key, update->map->attr.key_size);
	if (update->refers)
		put_text("refers", update->refers->name ? update->refers->name : "?");
	else
		put_bytes("value", update->value, update->map->attr.value_size);
	printf("}\n");
}

void show_btf(const struct entry *entry)
{
	printf("{\"event\": \"btf\"");
	put_bytes("data", entry->data, entry->size);
	printf("}\n");
}

void show_program(const char *name, const union bpf_attr *attr)
{
	const struct bpf_insn *insns = (const void *)(uintptr_t)attr->insns;
	const int *fds = (const void *)(uintptr_t)attr->fd_array;
	const char *comma = "";

	printf("{\"event\": \"program\"");
	put_text("name", name);
	put_text("prog_name", attr->prog_name);
	put_number("type", attr->prog_type);
	put_number("attach_type", attr->expected_attach_type);
	put_number("flags", attr->prog_flags);
	put_number("attach_btf_id", attr->attach_btf_id);
	put_number("kernel_version", attr->kern_version);
	put_text("license", (const char *)(uintptr_t)attr->license);
	put_number("with_btf", attr->prog_btf_fd != 0);
	put_number("stand_in", stand_in);
	put_bytes("code", insns, attr->insn_cnt * sizeof(*insns));
	put_number("func_info_size", attr->func_info_rec_size);
	put_bytes("func_info", (const void *)(uintptr_t)attr->func_info,
		  attr->func_info_cnt * attr->func_info_rec_size);
	put_number("line_info_size", attr->line_info_rec_size);
	put_bytes("line_info", (const void *)(uintptr_t)attr->line_info,
		  attr->line_info_cnt * attr->line_info_rec_size);
	if (attr->attach_btf_obj_fd)
		put_text("attach_module", name_of_fd(attr->attach_btf_obj_fd));
	printf(", \"maps\": {");
	for (unsigned int i = 0; i < attr->insn_cnt; i++) {
		if (insns[i].code != INSN_IMM64)
			continue;
		if (insns[i].src_reg == BPF_PSEUDO_MAP_FD ||
		    insns[i].src_reg == BPF_PSEUDO_MAP_VALUE) {
			printf("%s\"%u\": \"%s\"", comma, i, name_of_fd(insns[i].imm));
			comma = ", ";
		}
		i++;
	}
	printf("}, \"btfs\": {");
	comma = "";
	for (unsigned int i = 0; i < attr->insn_cnt; i++) {
		int fd = 0;

		if (insns[i].code == INSN_CALL && insns[i].src_reg == BPF_PSEUDO_KFUNC_CALL &&
		    insns[i].off && fds)
			fd = fds[insns[i].off];
		else if (insns[i].code == INSN_IMM64 && insns[i].src_reg == BPF_PSEUDO_BTF_ID)
			fd = insns[i + 1].imm;
		if (fd) {
			printf("%s\"%u\": \"%s\"", comma, i, name_of_fd(fd));
			comma = ", ";
		}
		if (insns[i].code == INSN_IMM64)
			i++;
	}
	printf("}}\n");
}

void show_error(const char *program, const char *phase, int number, const char *log)
{
	printf("{\"event\": \"error\"");
	put_text("name", program);
	put_text("phase", phase);
	put_number("errno", number);
	put_text("log", log);
	printf("}\n");
}
