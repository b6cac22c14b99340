// SPDX-License-Identifier: GPL-2.0
/*
 * Swaps the bytes of two folios: each is read once and written once, through registers, so nothing
 * but the two frames is touched. That is as many bytes as two copies by way of free frames move.
 */
#include <linux/highmem.h>
#include <linux/mm.h>

#include "hypertier.h"
#include "swap.h"

void ht_swap_contents(struct folio *x, struct folio *y)
{
	long i, nr = folio_nr_pages(x);

	for (i = 0; i < nr; i++) {
		void *a = kmap_local_folio(x, i * PAGE_SIZE);
		void *b = kmap_local_folio(y, i * PAGE_SIZE);

		ht_swap_page(a, b);
		kunmap_local(b);
		kunmap_local(a);
	}
}
