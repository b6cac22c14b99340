// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* What is refused of an object before libbpf sees it: a built policy, with one number changed. */
#include "test_util.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <sys/stat.h>

#include "elfcheck.h"

static char *file, *copy;
static size_t len;

static int setup(void **state)
{
	const char *path = tu_build_path("policies/threshold.bpf.o");
	int fd = open(path, O_RDONLY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		print_error("%s is missing: make policies\n", path);
		return -1;
	}
	len = st.st_size;
	file = tu_zalloc(1, len);
	copy = tu_zalloc(1, len);
	if (read(fd, file, len) != st.st_size)
		return -1;
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	free(file);
	free(copy);
	return 0;
}

static Elf64_Ehdr *header(void)
{
	memcpy(copy, file, len);
	return (Elf64_Ehdr *)copy;
}

static Elf64_Shdr *section(uint32_t type, const char *name)
{
	Elf64_Ehdr *h = header();
	Elf64_Shdr *sh = (Elf64_Shdr *)(copy + h->e_shoff);
	const char *names = copy + sh[h->e_shstrndx].sh_offset;

	for (int i = 1; i < h->e_shnum; i++)
		if (sh[i].sh_type == type && (!name || !strcmp(names + sh[i].sh_name, name)))
			return &sh[i];
	fail_msg("no section %s", name ?: "of this type");
	return NULL;
}

static void refused(size_t size, const char *reason)
{
	char why[128] = "";

	assert_int_equal(ht_elf_check(copy, size, why, sizeof(why)), -ENOEXEC);
	if (!strstr(why, reason))
		fail_msg("'%s', not '%s'", why, reason);
}

static void test_good(void **state)
{
	char why[128] = "";

	header();
	if (ht_elf_check(copy, len, why, sizeof(why)))
		fail_msg("%s", why);
}

static void test_short(void **state)
{
	header();
	refused(0, "not an ELF file");
	refused(63, "not an ELF file");
	refused(64, "outside of the file");
	refused(len - 1, "outside of the file");
}

static void test_header(void **state)
{
	header()->e_machine = EM_X86_64;
	refused(len, "little-endian BPF");
	header()->e_ident[EI_DATA] = ELFDATA2MSB;
	refused(len, "little-endian BPF");
	header()->e_shentsize = 32;
	refused(len, "section headers");
	header()->e_shoff = UINT64_MAX - 7;
	refused(len, "outside of the file");
	header()->e_shoff += 1;
	refused(len, "outside of the file");
	header()->e_shstrndx = 0xfff0;
	refused(len, "no names");
}

static void test_sections(void **state)
{
	section(SHT_PROGBITS, ".BTF")->sh_offset = len;
	refused(len, "outside of the file");
	section(SHT_PROGBITS, ".BTF")->sh_size = UINT64_MAX;
	refused(len, "outside of the file");
	section(SHT_PROGBITS, ".BTF")->sh_name = UINT32_MAX;
	refused(len, "outside of the names");
	section(SHT_PROGBITS, ".BTF")->sh_flags |= SHF_COMPRESSED;
	refused(len, "flags");
	section(SHT_PROGBITS, ".BTF")->sh_addralign = 3;
	refused(len, "alignment");
	section(SHT_SYMTAB, NULL)->sh_link = 0xffff;
	refused(len, "link");
	section(SHT_SYMTAB, NULL)->sh_type = SHT_PROGBITS;
	refused(len, "0 symbol tables");
	section(SHT_STRTAB, NULL)->sh_size--;
	refused(len, "without an end");
}

static void test_symbols(void **state)
{
	Elf64_Sym *sym = (Elf64_Sym *)(copy + section(SHT_SYMTAB, NULL)->sh_offset);

	sym[3].st_name = UINT32_MAX;
	refused(len, "outside of the names");
	section(SHT_SYMTAB, NULL);
	sym[3].st_shndx = 1000;
	refused(len, "no section");
	section(SHT_SYMTAB, NULL);
	sym[3].st_shndx = 3;
	sym[3].st_value = UINT64_MAX;
	refused(len, "outside of its section");
	section(SHT_SYMTAB, NULL);
	sym[3].st_shndx = SHN_XINDEX;
	refused(len, "65535");
}

static void test_relocations(void **state)
{
	Elf64_Rel *rel = (Elf64_Rel *)(copy + section(SHT_REL, NULL)->sh_offset);

	rel->r_info |= 0x7fffffffULL << 32;
	refused(len, "no symbol");
	section(SHT_REL, NULL);
	rel->r_offset = UINT64_MAX;
	refused(len, "outside of its section");
	section(SHT_REL, NULL)->sh_info = UINT32_MAX;
	refused(len, "relocations' size");
	section(SHT_REL, NULL)->sh_entsize = 1;
	refused(len, "relocations' size");
}

/* ---- type information, made by hand: an int, a struct of it, a pointer ---- */

struct types {
	struct btf_header h;
	struct btf_type integer;
	uint32_t encoding;
	struct btf_type holder;
	struct btf_member member;
	struct btf_type alias, pointer;
	char names[8];
};

#define KIND(kind, vlen) ((kind) << 24 | (vlen))

static const struct types good = {
	.h = { .magic = BTF_MAGIC,
	       .version = BTF_VERSION,
	       .hdr_len = sizeof(struct btf_header),
	       .type_len = offsetof(struct types, names) - sizeof(struct btf_header),
	       .str_off = offsetof(struct types, names) - sizeof(struct btf_header),
	       .str_len = 8 },
	.integer = { .name_off = 1, .info = KIND(BTF_KIND_INT, 0), .size = 4 },
	.holder = { .name_off = 1, .info = KIND(BTF_KIND_STRUCT, 1), .size = 4 },
	.member = { .name_off = 1, .type = 1 },
	.alias = { .name_off = 1, .info = KIND(BTF_KIND_TYPEDEF, 0), .type = 2 },
	.pointer = { .info = KIND(BTF_KIND_PTR, 0), .type = 2 },
	.names = "\0abc",
};

static void types_refused(const struct types *t, const char *reason)
{
	char why[128] = "";

	assert_int_equal(ht_btf_check(t, sizeof(*t), why, sizeof(why)), -ENOEXEC);
	if (!strstr(why, reason))
		fail_msg("'%s', not '%s'", why, reason);
}

static void test_types(void **state)
{
	struct types t = good;
	char why[128] = "";

	assert_int_equal(ht_btf_check(&t, sizeof(t), why, sizeof(why)), 0);
	assert_int_equal(ht_btf_check(&t, 8, why, sizeof(why)), -ENOEXEC);
	t.h.type_len = UINT32_MAX - 3;
	types_refused(&t, "outside of its section");
	t = good;
	t.names[7] = 'x';
	types_refused(&t, "names without an end");
	t = good;
	t.integer.name_off = 8;
	types_refused(&t, "a name outside");
	t = good;
	t.pointer.type = 5;
	types_refused(&t, "of no type");
	t = good;
	t.member.type = 99;
	types_refused(&t, "of no type");
	t = good;
	t.holder.info = KIND(BTF_KIND_STRUCT, 60000);
	types_refused(&t, "is none");
	t = good;
	t.pointer.info = KIND(30, 0);
	types_refused(&t, "is none");
}

/* A reader that follows these would never come back. */
static void test_circles(void **state)
{
	struct types t = good;
	char why[128] = "";

	t.member.type = 2;
	types_refused(&t, "holds itself");
	t = good;
	t.alias.type = 3;
	types_refused(&t, "holds itself");
	t = good;
	t.member.type = 3; /* the struct holds its own alias */
	types_refused(&t, "holds itself");
	t = good;
	t.member.type = 4; /* a list: a pointer to itself is fine */
	assert_int_equal(ht_btf_check(&t, sizeof(t), why, sizeof(why)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	cmocka_unit_test(test_short),
		cmocka_unit_test(test_header),	cmocka_unit_test(test_sections),
		cmocka_unit_test(test_symbols), cmocka_unit_test(test_relocations),
		cmocka_unit_test(test_types),	cmocka_unit_test(test_circles),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
