/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Swaps the bytes of two pages of 4 KiB through registers, 64 bytes of each at a time. SSE2 is part
 * of x86-64, so there is no other case. Of contents.c, and of tools/bench/contents.c, which
 * measures this very code; who may use these registers for something else names them in
 * HT_SWAP_CLOBBERS. Stores past the caches are slower: both lines had to be read into them.
 */
#ifndef HYPERTIER_SWAP_H
#define HYPERTIER_SWAP_H

#ifndef HT_SWAP_CLOBBERS
#define HT_SWAP_CLOBBERS "memory"
#endif

#define HT_SWAP_LINE(a, b, STORE)                                                                  \
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
		     : HT_SWAP_CLOBBERS)

static inline void ht_swap_page(char *a, char *b)
{
	char *end = a + 4096;

	for (; a < end; a += 64, b += 64)
		HT_SWAP_LINE(a, b, "movdqa");
}

#endif
