// SPDX-License-Identifier: GPL-2.0
/*
 * Unmaps whole huge pages of one process without a TLB flush for each. The kernel's
 * try_to_migrate() flushes at every one of them, because others may look at, change or drop the
 * entry the moment its lock is released. Here they cannot: the address space and the areas are
 * write-locked from before the first page is unmapped until after the one flush, so no mprotect(),
 * munmap(), madvise() or page fault comes in between while a CPU may still have the old
 * translation. The entry written is the kernel's own, and the kernel's remove_migration_ptes()
 * takes it away.
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/rmap.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/userfaultfd_k.h>
#include <asm/tlbflush.h>

#include "hypertier.h"
#include "kernel.h"

/*
 * The kernel's variable of this name is not exported, and the inline functions below refer to it:
 * they find this copy, which ht_resolve() sets.
 */
bool swap_migration_ad_supported;

/* Whoever has to be told of changes is told by try_to_migrate(). */
bool ht_huge_can_hold(struct mm_struct *mm)
{
	return !mm_has_notifiers(mm);
}

static pmd_t migration_pmd(struct page *page, pmd_t old, bool exclusive)
{
	unsigned long pfn = page_to_pfn(page);
	swp_entry_t entry;
	pmd_t pmd;

	if (pmd_write(old))
		entry = make_writable_migration_entry(pfn);
	else if (exclusive)
		entry = make_readable_exclusive_migration_entry(pfn);
	else
		entry = make_readable_migration_entry(pfn);
	if (pmd_young(old))
		entry = make_migration_entry_young(entry);
	if (pmd_dirty(old))
		entry = make_migration_entry_dirty(entry);
	pmd = swp_entry_to_pmd(entry);
	if (pmd_soft_dirty(old))
		pmd = pmd_swp_mksoft_dirty(pmd);
	if (pmd_uffd_wp(old))
		pmd = pmd_swp_mkuffd_wp(pmd);
	return pmd;
}

/* Under the page table's lock. A page that turns out to be pinned keeps its mapping. */
static bool replace(struct vm_area_struct *vma, unsigned long addr, pmd_t *pmdp, struct folio *f)
{
	pmd_t old = pmdp_establish(vma, addr, pmdp, pmd_mkinvalid(*pmdp));
	struct page *page = folio_page(f, 0);
	bool exclusive = PageAnonExclusive(page);

	if (exclusive && folio_try_share_anon_rmap_pmd(f, page)) {
		set_pmd_at(vma->vm_mm, addr, pmdp, old);
		return false;
	}
	if (pmd_dirty(old))
		folio_mark_dirty(f);
	set_pmd_at(vma->vm_mm, addr, pmdp, migration_pmd(page, old, exclusive));
	ht_call(folio_remove_rmap_pmd, f, page, vma);
	folio_put(f);
	return true;
}

enum ht_unmapped ht_huge_unmap(struct mm_struct *mm, unsigned long addr, struct folio *f)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);
	enum ht_unmapped result = HT_UNMAP_OTHERWISE;
	struct folio_walk fw;
	struct folio *found;

	if (!vma || vma->vm_start > addr || vma->vm_end < addr + HPAGE_PMD_SIZE ||
	    userfaultfd_armed(vma))
		return result;
	found = ht_call(folio_walk_start, &fw, vma, addr, 0);
	if (!found)
		return result;
	if (found == f && fw.level == FW_LEVEL_PMD)
		result = replace(vma, addr, fw.pmdp, f) ? HT_UNMAPPED : HT_UNMAP_PINNED;
	ht_end_walk(&fw, vma);
	return result;
}

void ht_huge_flush(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	ht_call(flush_tlb_mm_range, mm, start, end, PMD_SHIFT, false);
}
