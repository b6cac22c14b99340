// SPDX-License-Identifier: GPL-2.0
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "hypertier.h"
#include "kernel.h"

#define HT_KERNEL_DEFINE(fn, ret, args, protos) DEFINE_STATIC_CALL_NULL(ht_##fn, ht_type_##fn);
HT_KERNEL_FNS(HT_KERNEL_DEFINE)

typedef unsigned long (*lookup_fn)(const char *name);

struct kernel_fn {
	const char *name, *protos;
	void *addr;
};

#define HT_KERNEL_ROW(fn, ret, args, protos) { #fn, protos, NULL },
#define HT_KERNEL_INDEX(fn, ret, args, protos) FN_##fn,
enum { HT_KERNEL_FNS(HT_KERNEL_INDEX) FN_NR };

/*
 * kallsyms_lookup_name() itself is not exported; a probe on it, registered and removed at once,
 * tells its address. The probe's way in is an int3 or ftrace site, which needs no indirect call.
 */
static lookup_fn find_lookup(char *why, size_t size)
{
	struct kprobe kp = { .symbol_name = "kallsyms_lookup_name" };
	int err = register_kprobe(&kp);
	unsigned long addr;

	if (err) {
		snprintf(why, size, "no kprobe on kallsyms_lookup_name (%d): kprobes are off, or the kernel is locked down", err);
		return NULL;
	}
	addr = (unsigned long)kp.addr;
	unregister_kprobe(&kp);
	return (lookup_fn)addr;
}

DEFINE_STATIC_CALL_NULL(ht_lookup, kallsyms_lookup_name);

static bool accepted(const char *protos, const char *have)
{
	size_t len = strlen(have);
	const char *p;

	for (p = protos; p; p = strchr(p, ';') ? strchr(p, ';') + 1 : NULL)
		if (!strncmp(p, have, len) && (!p[len] || p[len] == ';'))
			return true;
	return false;
}

static int check_fn(struct ht_btf *b, struct kernel_fn *f, char *why, size_t size)
{
	char proto[128];

	f->addr = (void *)static_call(ht_lookup)(f->name);
	if (!f->addr) {
		snprintf(why, size, "%s() is not in this kernel", f->name);
		return -ENOENT;
	}
	if (ht_btf_proto(b, f->name, proto, sizeof(proto)) < 0) {
		snprintf(why, size, "%s() has no BTF, so its type cannot be checked", f->name);
		return -ENOENT;
	}
	if (accepted(f->protos, proto))
		return 0;
	snprintf(why, size, "%s() is %s here, not %s", f->name, proto, f->protos);
	return -EPROTO;
}

struct layout {
	const char *type, *member; /* member NULL = size of the type */
	int want;
};

static int check_layouts(struct ht_btf *b, char *why, size_t size)
{
	static const struct layout rows[] = {
		{ "folio", NULL, sizeof(struct folio) },
		{ "folio", "mapping", offsetof(struct folio, mapping) },
		{ "folio", "index", offsetof(struct folio, index) },
		{ "folio", "private", offsetof(struct folio, private) },
		{ "folio", "_refcount", offsetof(struct folio, _refcount) },
		{ "folio", "_mapcount", offsetof(struct folio, _mapcount) },
		{ "folio", "memcg_data", offsetof(struct folio, memcg_data) },
		{ "folio", "_deferred_list", offsetof(struct folio, _deferred_list) },
		{ "folio", "_large_mapcount", offsetof(struct folio, _large_mapcount) },
		{ "folio_walk", NULL, sizeof(struct folio_walk) },
		{ "folio_walk", "level", offsetof(struct folio_walk, level) },
		{ "folio_walk", "ptl", offsetof(struct folio_walk, ptl) },
		{ "anon_vma", NULL, sizeof(struct anon_vma) },
		{ "anon_vma", "refcount", offsetof(struct anon_vma, refcount) },
		{ "anon_vma", "root", offsetof(struct anon_vma, root) },
		{ "vm_area_struct", NULL, sizeof(struct vm_area_struct) },
		{ "vm_area_struct", "vm_mm", offsetof(struct vm_area_struct, vm_mm) },
		{ "vm_area_struct", "vm_page_prot", offsetof(struct vm_area_struct, vm_page_prot) },
		{ "vm_area_struct", "vm_flags", offsetof(struct vm_area_struct, vm_flags) },
		{ "vm_area_struct", "vm_pgoff", offsetof(struct vm_area_struct, vm_pgoff) },
		{ "vm_area_struct", "anon_vma", offsetof(struct vm_area_struct, anon_vma) },
		{ "mm_struct", "mmap_lock", offsetof(struct mm_struct, mmap_lock) },
		{ "mm_struct", "pgd", offsetof(struct mm_struct, pgd) },
		{ "folio_walk", "pmdp", offsetof(struct folio_walk, pmdp) },
		{ "task_struct", "mems_allowed", offsetof(struct task_struct, mems_allowed) },
	};
	u32 flag = 0;
	size_t i;
	int have;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		have = rows[i].member ? ht_btf_member(b, rows[i].type, rows[i].member) :
					ht_btf_size(b, rows[i].type);
		if (have == rows[i].want)
			continue;
		snprintf(why, size, "struct %s%s%s is at %d here, not %d", rows[i].type,
			 rows[i].member ? "." : "", rows[i].member ?: "", have, rows[i].want);
		return -EPROTO;
	}
	if (!ht_btf_enum(b, "ttu_flags", "TTU_BATCH_FLUSH", &flag) && flag == TTU_BATCH_FLUSH)
		return 0;
	snprintf(why, size, "TTU_BATCH_FLUSH is %#x here, not %#x", flag, TTU_BATCH_FLUSH);
	return -EPROTO;
}

#define HT_KERNEL_SET(fn, ret, args, protos) static_call_update(ht_##fn, fns[FN_##fn].addr);

int ht_resolve(char *why, size_t size)
{
	struct kernel_fn fns[] = { HT_KERNEL_FNS(HT_KERNEL_ROW) };
	lookup_fn lookup = find_lookup(why, size);
	unsigned long start, stop;
	struct ht_btf *b = NULL;
	int i, err;
	bool *ad;

	if (!lookup)
		return -EPERM;
	static_call_update(ht_lookup, lookup);
	start = static_call(ht_lookup)("__start_BTF");
	stop = static_call(ht_lookup)("__stop_BTF");
	if (start && stop > start)
		b = ht_btf_open((void *)start, stop - start);
	if (!b) {
		snprintf(why, size, "the kernel's BTF is not there or cannot be read");
		return -ENOENT;
	}
	err = check_layouts(b, why, size);
	for (i = 0; i < FN_NR && !err; i++)
		err = check_fn(b, &fns[i], why, size);
	ht_btf_close(b);
	if (err)
		return err;
	HT_KERNEL_FNS(HT_KERNEL_SET)
	/* Where it is not there, migration entries do not tell whether a page was accessed. */
	ad = (bool *)static_call(ht_lookup)("swap_migration_ad_supported");
	swap_migration_ad_supported = ad && *ad;
	return 0;
}
