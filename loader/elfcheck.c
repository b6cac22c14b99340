// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "elfcheck.h"

#define SECTIONS_MAX 1024
#define NOBITS_MAX (1ULL << 30) /* zeroes that a section may ask for */

#define BAD(e, ...) (snprintf((e)->why, (e)->size, __VA_ARGS__), -ENOEXEC)

struct elf {
	const uint8_t *bytes;
	size_t len;
	const Elf64_Ehdr *hdr;
	const Elf64_Shdr *sh;
	unsigned int nr;
	char *why;
	size_t size;
};

/* ---- sections ---- */

static int check_header(struct elf *e)
{
	const Elf64_Ehdr *h = e->hdr;

	if (e->len < sizeof(*h) || memcmp(h->e_ident, ELFMAG, SELFMAG))
		return BAD(e, "not an ELF file");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
	    h->e_type != ET_REL || h->e_machine != EM_BPF || h->e_version != EV_CURRENT)
		return BAD(e, "not a relocatable object for little-endian BPF");
	if (h->e_shentsize != sizeof(Elf64_Shdr) || !h->e_shnum || h->e_shnum > SECTIONS_MAX ||
	    h->e_phnum)
		return BAD(e, "%u section headers of %u bytes", h->e_shnum, h->e_shentsize);
	if (h->e_shoff % sizeof(uint64_t) || h->e_shoff > e->len ||
	    e->len - h->e_shoff < h->e_shnum * sizeof(Elf64_Shdr))
		return BAD(e, "section headers outside of the file");
	if (h->e_shstrndx >= h->e_shnum)
		return BAD(e, "no names of sections");
	e->sh = (const void *)(e->bytes + h->e_shoff);
	e->nr = h->e_shnum;
	return 0;
}

static int check_section(struct elf *e, unsigned int i)
{
	const Elf64_Shdr *s = &e->sh[i];

	if (s->sh_type == SHT_NULL)
		return 0;
	if (s->sh_flags & SHF_COMPRESSED || s->sh_link >= e->nr ||
	    s->sh_addralign & (s->sh_addralign - 1) || s->sh_addralign > 4096)
		return BAD(e, "section %u: flags, link or alignment", i);
	if (s->sh_type == SHT_NOBITS)
		return s->sh_size <= NOBITS_MAX ? 0 : BAD(e, "section %u: too large", i);
	if (s->sh_offset > e->len || s->sh_size > e->len - s->sh_offset)
		return BAD(e, "section %u outside of the file", i);
	if (s->sh_type == SHT_STRTAB && (!s->sh_size || e->bytes[s->sh_offset + s->sh_size - 1]))
		return BAD(e, "section %u: texts without an end", i);
	/* Records are read in place. */
	if ((s->sh_type == SHT_SYMTAB || s->sh_type == SHT_REL) && s->sh_offset % sizeof(uint64_t))
		return BAD(e, "section %u: not aligned", i);
	return 0;
}

static bool is_text(const struct elf *e, unsigned int i)
{
	return i < e->nr && e->sh[i].sh_type == SHT_STRTAB;
}

static const char *name_of(const struct elf *e, unsigned int i)
{
	const Elf64_Shdr *names = &e->sh[e->hdr->e_shstrndx];

	return (const char *)e->bytes + names->sh_offset + e->sh[i].sh_name;
}

static int check_sections(struct elf *e)
{
	unsigned int i, tables = 0;
	int err = 0;

	for (i = 0; i < e->nr && !err; i++) {
		err = check_section(e, i);
		tables += e->sh[i].sh_type == SHT_SYMTAB;
	}
	if (err)
		return err;
	if (!is_text(e, e->hdr->e_shstrndx))
		return BAD(e, "no names of sections");
	for (i = 0; i < e->nr; i++)
		if (e->sh[i].sh_name >= e->sh[e->hdr->e_shstrndx].sh_size)
			return BAD(e, "section %u: a name outside of the names", i);
	return tables == 1 ? 0 : BAD(e, "%u symbol tables", tables);
}

/* ---- symbols and relocations ---- */

static int check_symbol(struct elf *e, const Elf64_Shdr *table, const Elf64_Sym *sym)
{
	const Elf64_Shdr *s;

	if (sym->st_name >= e->sh[table->sh_link].sh_size)
		return BAD(e, "a symbol's name outside of the names");
	if (sym->st_shndx >= SHN_LORESERVE)
		return sym->st_shndx != SHN_XINDEX ? 0 : BAD(e, "a symbol of section 65535");
	if (sym->st_shndx >= e->nr)
		return BAD(e, "a symbol of no section");
	s = &e->sh[sym->st_shndx];
	if (sym->st_shndx &&
	    (sym->st_value > s->sh_size || sym->st_size > s->sh_size - sym->st_value))
		return BAD(e, "a symbol outside of its section");
	return 0;
}

static int check_symbols(struct elf *e, const Elf64_Shdr *table)
{
	const Elf64_Sym *sym = (const void *)(e->bytes + table->sh_offset);
	size_t i, nr = table->sh_size / sizeof(*sym);
	int err = 0;

	if (table->sh_entsize != sizeof(*sym) || table->sh_size % sizeof(*sym) ||
	    !is_text(e, table->sh_link))
		return BAD(e, "the symbol table's size or names");
	for (i = 0; i < nr && !err; i++)
		err = check_symbol(e, table, &sym[i]);
	return err;
}

static int check_relocations(struct elf *e, const Elf64_Shdr *s)
{
	const Elf64_Rel *rel = (const void *)(e->bytes + s->sh_offset);
	const Elf64_Shdr *target = s->sh_info < e->nr ? &e->sh[s->sh_info] : NULL;
	const Elf64_Shdr *table = &e->sh[s->sh_link];
	size_t i;

	if (s->sh_entsize != sizeof(*rel) || s->sh_size % sizeof(*rel) || !target ||
	    table->sh_type != SHT_SYMTAB)
		return BAD(e, "relocations' size, symbols or section");
	for (i = 0; i < s->sh_size / sizeof(*rel); i++)
		if (rel[i].r_offset >= target->sh_size ||
		    ELF64_R_SYM(rel[i].r_info) >= table->sh_size / sizeof(Elf64_Sym))
			return BAD(e, "a relocation outside of its section or of no symbol");
	return 0;
}

int ht_elf_check(const void *bytes, size_t len, char *why, size_t size)
{
	struct elf e = { .bytes = bytes, .len = len, .hdr = bytes, .why = why, .size = size };
	unsigned int i;
	int err;

	err = len <= HT_ELF_MAX ? check_header(&e) : BAD(&e, "longer than %u bytes", HT_ELF_MAX);
	err = err ?: check_sections(&e);
	for (i = 0; !err && i < e.nr; i++) {
		const Elf64_Shdr *s = &e.sh[i];

		if (s->sh_type == SHT_SYMTAB)
			err = check_symbols(&e, s);
		else if (s->sh_type == SHT_REL)
			err = check_relocations(&e, s);
		else if (s->sh_type == SHT_PROGBITS && !strcmp(name_of(&e, i), ".BTF"))
			err = ht_btf_check(e.bytes + s->sh_offset, s->sh_size, why, size);
	}
	return err;
}
