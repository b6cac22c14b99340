// SPDX-License-Identifier: GPL-2.0
/*
 * Page table entries of single pages, where the kernel's walks cost more than what they find. A
 * table is looked up and locked once for its neighbours; and a page is mapped at the address
 * that the batch knows, without asking every area that may have it. That is all the kernel's
 * remove_migration_ptes() would do where the entry is still writable or exclusive: fork() takes
 * both away from an entry that it copies, so nobody else has one. Whatever looks different is left
 * to the kernel.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/userfaultfd_k.h>
#if __has_include(<linux/leafops.h>)
#include <linux/leafops.h>
/* The same under its older names, for older kernels took over some of the newer. */
#define pte_to_swp_entry softleaf_from_pte
#define swp_offset_pfn softleaf_to_pfn
#define is_migration_entry softleaf_is_migration
#define is_readable_migration_entry softleaf_is_migration_read
#define is_writable_migration_entry softleaf_is_migration_write
#define is_migration_entry_young softleaf_is_migration_young
#define is_migration_entry_dirty softleaf_is_migration_dirty
#endif

#include "hypertier.h"
#include "kernel.h"

/* --- tables ----------------------------------------------------------------------------------- */

static pmd_t *find_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd) || pgd_bad(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d) || p4d_bad(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud) || pud_leaf(*pud) || pud_bad(*pud))
		return NULL;
	return pmd_offset(pud, addr);
}

/*
 * The kernel's pte_offset_map_lock(), which modules are not given. The mmap lock keeps the tables
 * above; RCU keeps the table itself, which may become a huge page, or be freed for being empty,
 * until its lock is had.
 */
static bool lock_table(struct ht_lookup *l, unsigned long addr)
{
	struct mm_struct *mm = l->vma->vm_mm;
	pmd_t *pmd = find_pmd(mm, addr), val;

	if (!pmd)
		return false;
	rcu_read_lock();
	val = pmdp_get_lockless(pmd);
	if (!pmd_present(val) || pmd_leaf(val) || pmd_bad(val))
		goto none;
	l->lock = pte_lockptr(mm, &val);
	spin_lock(l->lock);
	if (!pmd_same(val, pmdp_get_lockless(pmd)))
		goto changed;
	l->start = addr & PMD_MASK;
	l->table = pte_offset_kernel(&val, l->start);
	return true;
changed:
	spin_unlock(l->lock);
	l->lock = NULL;
none:
	rcu_read_unlock();
	return false;
}

void ht_pte_end(struct ht_lookup *l)
{
	if (!l->lock)
		return;
	spin_unlock(l->lock);
	l->lock = NULL;
	rcu_read_unlock();
}

pte_t *ht_pte_get(struct ht_lookup *l, unsigned long addr)
{
	if (l->lock && l->start != (addr & PMD_MASK))
		ht_pte_end(l);
	if (!l->lock && !lock_table(l, addr))
		return NULL;
	return l->table + pte_index(addr);
}

/* --- mapping ---------------------------------------------------------------------------------- */

/* Does the entry say that this folio was here, and nowhere else? */
static bool was_only(pte_t pte, const struct folio *f)
{
	swp_entry_t s;

	if (pte_none(pte) || pte_present(pte))
		return false;
	s = pte_to_swp_entry(pte);
	return is_migration_entry(s) && !is_readable_migration_entry(s) &&
	       swp_offset_pfn(s) == page_to_pfn(&f->page);
}

/* As remove_migration_ptes() makes it: protection is the area's of now, the rest was kept. */
static pte_t mapping(struct vm_area_struct *vma, struct folio *f, pte_t old)
{
	swp_entry_t s = pte_to_swp_entry(old);
	pte_t pte = pfn_pte(folio_pfn(f), READ_ONCE(vma->vm_page_prot));

	if (!is_migration_entry_young(s))
		pte = pte_mkold(pte);
	if (is_migration_entry_dirty(s) && folio_test_dirty(f))
		pte = pte_mkdirty(pte);
	pte = pte_swp_soft_dirty(old) ? pte_mksoft_dirty(pte) : pte_clear_soft_dirty(pte);
	if (is_writable_migration_entry(s))
		pte = pte_clear_saveddirty(pte_mkwrite_novma(pte));
	return pte;
}

/* Areas where no more than the entry has to be looked after, and the page has its place. */
static bool plain_area(struct vm_area_struct *vma, unsigned long addr, const struct folio *f,
		       const struct anon_vma *anon_vma)
{
	return is_cow_mapping(vma->vm_flags) && !(vma->vm_flags & (VM_LOCKED | VM_SHADOW_STACK)) &&
	       !userfaultfd_armed(vma) && vma->anon_vma && vma->anon_vma->root == anon_vma->root &&
	       linear_page_index(vma, addr) == f->index;
}

bool ht_pte_map(struct ht_lookup *l, unsigned long addr, const struct folio *from, struct folio *to,
		const struct anon_vma *anon_vma)
{
	pte_t *ptep, old;

	if (!plain_area(l->vma, addr, to, anon_vma))
		return false;
	ptep = ht_pte_get(l, addr);
	if (!ptep)
		return false;
	old = ptep_get(ptep);
	if (!was_only(old, from) || pte_swp_uffd_wp(old))
		return false;
	folio_get(to);
	ht_call(folio_add_anon_rmap_ptes, to, &to->page, 1, l->vma, addr, RMAP_EXCLUSIVE);
	set_pte_at(l->vma->vm_mm, addr, ptep, mapping(l->vma, to, old));
	return true;
}
