// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * contents: what swapping the bytes of two huge pages in place costs on this CPU (kmod/contents.c),
 * next to two copies by way of a free page, which is what two migrations do. Pages are in no cache.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define HUGE (2UL << 20)
#define PAIRS 128
#define ROUNDS 10

static void copy(char *to, char *from)
{
	size_t n = HUGE / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void swap_words(char *x, char *y)
{
	uint64_t *a = (uint64_t *)x, *b = (uint64_t *)y, *end = (uint64_t *)(x + HUGE), t;

	for (; a < end; a++, b++) {
		t = *a;
		*a = *b;
		*b = t;
		__asm__ volatile("" : : : "memory");
	}
}

#define SWAP_SSE(name, store)                                                                      \
	static void name(char *a, char *b)                                                         \
	{                                                                                          \
		char *end = a + HUGE;                                                              \
                                                                                                   \
		for (; a < end; a += 32, b += 32)                                                  \
			__asm__ volatile("movdqa (%0), %%xmm0\n\tmovdqa 16(%0), %%xmm1\n\t"        \
					 "movdqa (%1), %%xmm2\n\tmovdqa 16(%1), %%xmm3\n\t" store  \
					 " %%xmm0, (%1)\n\t" store " %%xmm1, 16(%1)\n\t" store     \
					 " %%xmm2, (%0)\n\t" store " %%xmm3, 16(%0)"               \
					 :                                                         \
					 : "r"(a), "r"(b)                                          \
					 : "memory", "xmm0", "xmm1", "xmm2", "xmm3");              \
		__asm__ volatile("sfence" : : : "memory");                                         \
	}

SWAP_SSE(swap_registers, "movdqa")
SWAP_SSE(swap_past_caches, "movntdq")

static double cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

int main(void)
{
	static void (*const way[])(char *, char *) = { NULL, swap_words, swap_registers,
						       swap_past_caches };
	static const char *const name[] = { "two_copies", "swap_words", "swap_registers",
					    "swap_past_caches" };
	double best[4] = { 1e18, 1e18, 1e18, 1e18 }, start;
	char *page[2 * PAIRS + 1], *mem, *spare;
	int r, w, i;

	mem = mmap(NULL, (2 * PAIRS + 2) * HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		perror("contents: 516 MiB of memory are needed");
		return 1;
	}
	mem = (char *)(((uintptr_t)mem + HUGE - 1) & ~(HUGE - 1));
	madvise(mem, (2 * PAIRS + 1) * HUGE, MADV_HUGEPAGE);
	memset(mem, 1, (2 * PAIRS + 1) * HUGE);
	for (i = 0; i <= 2 * PAIRS; i++)
		page[i] = mem + i * HUGE;
	for (r = 0; r < ROUNDS; r++) {
		for (w = 0; w < 4; w++) {
			start = cpu_us();
			for (i = 0; i < PAIRS; i++) {
				if (way[w]) {
					way[w](page[i], page[PAIRS + i]);
					continue;
				}
				/* The page that becomes free is the next one's destination. */
				spare = page[2 * PAIRS];
				copy(spare, page[PAIRS + i]);
				copy(page[PAIRS + i], page[i]);
				page[2 * PAIRS] = page[i];
				page[i] = page[PAIRS + i];
				page[PAIRS + i] = spare;
			}
			if ((cpu_us() - start) / PAIRS < best[w])
				best[w] = (cpu_us() - start) / PAIRS;
		}
	}
	printf("{ \"us_per_pair_of_huge_pages\": {");
	for (w = 0; w < 4; w++)
		printf("%s \"%s\": %.0f", w ? "," : "", name[w], best[w]);
	printf(" } }\n");
	return 0;
}
