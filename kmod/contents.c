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

/*
 * 64 bytes of each side at a time. SSE2 is part of x86-64, so there is no other case. STORE is
 * movdqa, which leaves both pages in the caches, or movntdq, which goes past them.
 */
#define SWAP_LINE(a, b, STORE)                                                                     \
	asm volatile("movdqa (%0), %%xmm0\n\t"                                                     \
		     "movdqa 16(%0), %%xmm1\n\t"                                                   \
		     "movdqa 32(%0), %%xmm2\n\t"                                                   \
		     "movdqa 48(%0), %%xmm3\n\t"                                                   \
		     "movdqa (%1), %%xmm4\n\t"                                                     \
		     "movdqa 16(%1), %%xmm5\n\t"                                                   \
		     "movdqa 32(%1), %%xmm6\n\t"                                                   \
		     "movdqa 48(%1), %%xmm7\n\t" STORE " %%xmm0, (%1)\n\t" STORE                   \
		     " %%xmm1, 16(%1)\n\t" STORE " %%xmm2, 32(%1)\n\t" STORE                       \
		     " %%xmm3, 48(%1)\n\t" STORE " %%xmm4, (%0)\n\t" STORE                         \
		     " %%xmm5, 16(%0)\n\t" STORE " %%xmm6, 32(%0)\n\t" STORE " %%xmm7, 48(%0)\n\t" \
		     :                                                                             \
		     : "r"(a), "r"(b)                                                              \
		     : "memory")

/*
 * The registers are the kernel's for one page at a time: preemption is off meanwhile. Of a huge
 * page little would stay in the caches, and much else would have to leave.
 */
static void swap_page_contents(void *a, void *b, bool huge)
{
	void *end = a + PAGE_SIZE;

	kernel_fpu_begin();
	if (huge) {
		for (; a < end; a += 64, b += 64)
			SWAP_LINE(a, b, "movntdq");
		/* Such stores are not ordered by what publishes the folio. */
		wmb();
	} else {
		for (; a < end; a += 64, b += 64)
			SWAP_LINE(a, b, "movdqa");
	}
	kernel_fpu_end();
}

#else

static void swap_page_contents(void *x, void *y, bool huge)
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

		swap_page_contents(a, b, nr > 1);
		kunmap_local(b);
		kunmap_local(a);
	}
}
