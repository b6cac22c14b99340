// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A policy object with bytes changed: what our checks let pass is opened by libbpf in this process,
 * and its information, maps and knobs are read. Input: operations of 8 bytes on a built policy. The
 * first byte says on what (the ELF header, section headers, symbols, relocations, type information,
 * our own sections, anywhere), the next three where, the last four what.
 */
#include "fuzz.h"

#include <dlfcn.h>
#include <elf.h>

#include <bpf/libbpf.h>
#include <json-c/json.h>

#include "bpflog.h"
#include "elfcheck.h"
#include "knobs.h"
#include "object.h"

#define POLICY "policy.bpf.o" /* beside the program */
#define PARTS 8

static char *base, *copy;
static size_t base_len;

static struct part {
	size_t offset, len;
} part[PARTS];

/* What libbpf and libelf do not give back of objects that they refuse is not ours; below is. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libbpf\nleak:libelf\n";
}

/* Before libbpf's, by symbol, for its prototypes differ: what was opened is closed. */
static void *opened;
void *fuzz_open_mem(const void *buf, size_t size, const void *opts) __asm__("bpf_object__open_mem");
void fuzz_close(void *obj) __asm__("bpf_object__close");

void *fuzz_open_mem(const void *buf, size_t size, const void *opts)
{
	static void *(*real)(const void *, size_t, const void *);

	if (!real)
		real = (void *(*)(const void *, size_t, const void *))dlsym(RTLD_NEXT,
									    "bpf_object__open_mem");
	FUZZ_ASSERT(!opened);
	opened = real(buf, size, opts);
	return opened;
}

void fuzz_close(void *obj)
{
	static void (*real)(void *);

	if (!real)
		real = (void (*)(void *))dlsym(RTLD_NEXT, "bpf_object__close");
	/* Those that it refuses libbpf closes itself. */
	if (obj == opened)
		opened = NULL;
	real(obj);
}

static void find_parts(void)
{
	const Elf64_Ehdr *h = (const void *)base;
	const Elf64_Shdr *sh = (const void *)(base + h->e_shoff);
	const char *names = base + sh[h->e_shstrndx].sh_offset;

	part[0] = (struct part){ 0, sizeof(*h) };
	part[1] = (struct part){ h->e_shoff, h->e_shnum * sizeof(*sh) };
	part[7] = (struct part){ 0, base_len };
	for (int i = 1; i < h->e_shnum; i++) {
		const char *name = names + sh[i].sh_name;
		int to = sh[i].sh_type == SHT_SYMTAB	   ? 2
			 : sh[i].sh_type == SHT_REL	   ? 3
			 : !strcmp(name, ".BTF")	   ? 4
			 : !strcmp(name, ".BTF.ext")	   ? 5
			 : !strcmp(name, ".rodata.knobs")  ? 6
			 : !strcmp(name, ".rodata.policy") ? 6
							   : -1;

		if (to > 0 && sh[i].sh_size)
			part[to] = (struct part){ sh[i].sh_offset, sh[i].sh_size };
	}
	for (int i = 0; i < PARTS; i++)
		FUZZ_ASSERT(part[i].len >= 8);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(POLICY));
	struct stat st;
	int fd;

	if (n <= 0)
		exit(1);
	path[n] = '\0';
	strcpy(strrchr(path, '/') + 1, POLICY);
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st)) {
		fprintf(stderr, "%s is missing: make policies\n", path);
		exit(1);
	}
	base_len = st.st_size;
	base = malloc(base_len);
	copy = malloc(base_len);
	if (read(fd, base, base_len) != st.st_size)
		exit(1);
	close(fd);
	find_parts();
	libbpf_set_print(NULL);
	return 0;
}

static void change(const uint8_t *op)
{
	const struct part *p = &part[op[0] % PARTS];
	size_t where = op[1] | op[2] << 8 | op[3] << 16;
	unsigned int width = 1U << (op[0] >> 3 & 3);

	/* Numbers lie where their width divides the offset; 8 bytes: the upper half is zero. */
	where = where % (p->len / 4 * 4 - 3);
	width = width > 4 ? 4 : width;
	where -= where % width;
	memcpy(copy + p->offset + where, op + 4, width);
}

static void use(struct ht_object *o)
{
	static FILE *null;

	if (!null)
		null = fopen("/dev/null", "w");
	FUZZ_ASSERT(strnlen(o->info.name, HT_NAME_LEN) < HT_NAME_LEN);
	ht_knobs_print(null, o->obj);
	ht_knobs_set(o->obj, "hot=4");
	ht_knobs_set(o->obj, "nope=1");
	json_object_put(ht_knobs_json(o->obj));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ht_object_bytes b = { copy, base_len };
	struct ht_object o;
	char why[128];

	memcpy(copy, base, base_len);
	if (size % 8 == 4) /* cut off */
		b.len = (data[0] | data[1] << 8 | (size_t)data[2] << 16) % (base_len + 1);
	for (; size >= 8; data += 8, size -= 8)
		change(data);
	if (ht_elf_check(b.bytes, b.len, why, sizeof(why)))
		return 0;
	memset(&o, 0, sizeof(o));
	strcpy(o.path, "fuzz.bpf.o");
	if (!ht_object_open_bytes(&o, &b))
		use(&o);
	ht_object_close(&o);
	FUZZ_ASSERT(!opened);
	return 0;
}
