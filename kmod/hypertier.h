/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of hypertier.ko know of each other. */
#ifndef HYPERTIER_KMOD_H
#define HYPERTIER_KMOD_H

#include <linux/pgtable.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/version.h>

#include <hypertier/exchange.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#error "hypertier.ko needs Linux 6.12 or later: folio_walk_start() is not in older kernels"
#endif
/* Page table entries are made by hand, and flushed, as this architecture does it. */
#ifndef CONFIG_X86_64
#error "hypertier.ko is for x86-64"
#endif

struct anon_vma;
struct folio;
struct folio_walk;
struct ht_proc;
struct mm_struct;
struct vm_area_struct;

#define pr_ht(level, fmt, ...) printk(level "hypertier: " fmt, ##__VA_ARGS__)

/* resolve.c: the kernel's migration functions, none of which is exported. */
int ht_resolve(char *why, size_t size);

/* btfcheck.c: what the running kernel says of itself. */
struct ht_btf;
struct ht_btf *ht_btf_open(const void *data, u32 size);
void ht_btf_close(struct ht_btf *b);
/* Prints a function's type, as "void(folio*,int)". -ENOENT, -EINVAL. */
int ht_btf_proto(struct ht_btf *b, const char *func, char *buf, size_t size);
/* Byte offset of a member, also of one inside anonymous members. -ENOENT, -EINVAL. */
int ht_btf_member(struct ht_btf *b, const char *type, const char *member);
int ht_btf_size(struct ht_btf *b, const char *type);
int ht_btf_enum(struct ht_btf *b, const char *type, const char *name, u32 *value);

/* exchange.c */
struct ht_side {
	struct ht_proc *proc;
	struct folio *folio;
	struct anon_vma *anon_vma;
};

struct ht_slot {
	struct ht_side hot, cold;
	u32 pair;
	bool swapped;
};

/* All memory an exchange needs, allocated when the device is opened. */
struct ht_ctx {
	struct ht_xchg_pair pair[HT_XCHG_MAX];
	struct ht_slot slot[HT_XCHG_MAX];
	struct ht_move move[HT_XCHG_MAX];
};

/* The caller holds the lock that also guards stats. Pairs are in ctx; sets each pair's status. */
void ht_exchange(struct ht_ctx *ctx, struct ht_xchg *x, struct ht_xchg_stats *st);

/* folio_walk_end(), whose last part is a function that is not exported. */
void ht_end_walk(struct folio_walk *fw, struct vm_area_struct *vma);

/*
 * pte.c: where single pages are. A lookup has the area of the address, set by the caller, and the
 * table found last, with its lock, which neighbours share. The caller has the mmap lock, for
 * reading; only one lookup at a time may have a table's lock, and nothing sleeps meanwhile.
 */
struct ht_lookup {
	struct vm_area_struct *vma;
	unsigned long start; /* of what the table maps */
	pte_t *table;
	spinlock_t *lock; /* NULL where it is not held */
};
/* The address's entry, under its table's lock. NULL where there is no table, or a huge page. */
pte_t *ht_pte_get(struct ht_lookup *l, unsigned long addr);
/* Gives the lock back. */
void ht_pte_end(struct ht_lookup *l);
/* Maps a folio, of that anon_vma now, where another was. false: remove_migration_ptes() has to. */
bool ht_pte_map(struct ht_lookup *l, unsigned long addr, const struct folio *from, struct folio *to,
		const struct anon_vma *anon_vma);

/* contents.c: both folios are the caller's alone and of one size. */
void ht_swap_contents(struct folio *x, struct folio *y);

/* pmd.c: the caller has the mmap lock and the areas' locks for writing, and the folio's lock. */
enum ht_unmapped {
	HT_UNMAPPED, /* to be flushed */
	HT_UNMAP_PINNED, /* still mapped */
	HT_UNMAP_OTHERWISE, /* not a case for this: try_to_migrate() */
};
bool ht_huge_can_hold(struct mm_struct *mm);
enum ht_unmapped ht_huge_unmap(struct mm_struct *mm, unsigned long addr, struct folio *f);
void ht_huge_flush(struct mm_struct *mm, unsigned long start, unsigned long end);

/* device.c */
int ht_device_init(bool exchange, const char *why);
void ht_device_exit(void);
u64 ht_max_pages_per_s(void);

/* hook.c */
int ht_hook_init(void);
void ht_hook_exit(void);
/* What the attached policy says of a pair; true where there is none. */
bool ht_hook_admit(const struct ht_move *m, struct ht_xchg_stats *st);
void ht_hook_info(struct ht_xchg_info *info);

#endif
