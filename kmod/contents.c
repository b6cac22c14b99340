// SPDX-License-Identifier: GPL-2.0
/*
 * Swaps the bytes of two folios: each is read once and written once, through registers, so nothing
 * but the two frames is touched. That is as many bytes as two copies by way of free frames move.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#ifdef CONFIG_X86_64
#include <asm/fpu/api.h>
#endif

#include "hypertier.h"

#ifdef CONFIG_X86_64

#include "swap.h"

/* The registers are the kernel's for one page at a time: preemption is off meanwhile. */
static void swap_page_contents(void *a, void *b)
{
	kernel_fpu_begin();
	ht_swap_page(a, b);
	kernel_fpu_end();
}

#else

static void swap_page_contents(void *x, void *y)
{
	u64 *a = x, *b = y, *end = x + PAGE_SIZE;

	for (; a < end; a++, b++)
		swap(*a, *b);
}

#endif

void ht_swap_contents(struct folio *x, struct folio *y)
{
	long i, nr = folio_nr_pages(x);

	for (i = 0; i < nr; i++) {
		void *a = kmap_local_folio(x, i * PAGE_SIZE);
		void *b = kmap_local_folio(y, i * PAGE_SIZE);

		swap_page_contents(a, b);
		kunmap_local(b);
		kunmap_local(a);
	}
}
