/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Swaps the bytes of two pages of 4 KiB through general registers, four words of each at a time. Of
 * contents.c, and of tools/bench/contents.c, which measures this very code. Vector registers gain
 * less than the kernel takes to save and restore them; stores past the caches are slower: both
 * lines had to be read into them.
 */
#ifndef HYPERTIER_SWAP_H
#define HYPERTIER_SWAP_H

static inline void ht_swap_words(unsigned long *a, unsigned long *b)
{
	unsigned long a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
	unsigned long b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];

	/* In general registers, whatever else a compiler thinks of. */
	__asm__ volatile(""
			 : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(b0), "+r"(b1), "+r"(b2),
			   "+r"(b3)
			 :
			 : "memory");
	a[0] = b0, a[1] = b1, a[2] = b2, a[3] = b3;
	b[0] = a0, b[1] = a1, b[2] = a2, b[3] = a3;
}

static inline void ht_swap_page(char *x, char *y)
{
	unsigned long *a = (void *)x, *b = (void *)y, *end = a + 4096 / sizeof(*a);

	/* Sixteen words a turn, so that the loop itself costs little. */
	for (; a < end; a += 16, b += 16) {
		ht_swap_words(a, b);
		ht_swap_words(a + 4, b + 4);
		ht_swap_words(a + 8, b + 8);
		ht_swap_words(a + 12, b + 12);
	}
}

#endif
