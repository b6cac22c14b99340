// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * contents: what swapping the bytes of two pages in place costs on this CPU, by the helper's own
 * code (kmod/swap.h), next to two copies by way of a free page, which is what two migrations do
 * with the kernel's copy_page(). Pairs are visited in scattered order, and their pages are in no
 * cache. For comparison the same through vector registers (without what kernel_fpu_begin() and
 * _end() take around each page), and with stores that go past the caches.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../../kmod/swap.h"

#define SMALL 4096UL
#define HUGE (2UL << 20)
#define PAIRS 128 /* huge ones; as much memory is taken for small ones */
#define ROUNDS 10

enum { TWO_COPIES, HELPER, SWAP_VECTORS, SWAP_PAST_CACHES, WAYS };

struct pages {
	size_t size, pairs;
	char **x, **y, *spare;
};

static void copy(char *to, char *from)
{
	size_t n = SMALL / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

#define SWAP_LINE(a, b, STORE)                                                                     \
	__asm__ volatile(                                                                          \
		"movdqa (%0), %%xmm0\n\t"                                                          \
		"movdqa 16(%0), %%xmm1\n\t"                                                        \
		"movdqa 32(%0), %%xmm2\n\t"                                                        \
		"movdqa 48(%0), %%xmm3\n\t"                                                        \
		"movdqa (%1), %%xmm4\n\t"                                                          \
		"movdqa 16(%1), %%xmm5\n\t"                                                        \
		"movdqa 32(%1), %%xmm6\n\t"                                                        \
		"movdqa 48(%1), %%xmm7\n\t" STORE " %%xmm0, (%1)\n\t" STORE                        \
		" %%xmm1, 16(%1)\n\t" STORE " %%xmm2, 32(%1)\n\t" STORE                            \
		" %%xmm3, 48(%1)\n\t" STORE " %%xmm4, (%0)\n\t" STORE " %%xmm5, 16(%0)\n\t" STORE  \
		" %%xmm6, 32(%0)\n\t" STORE " %%xmm7, 48(%0)\n\t"                                  \
		:                                                                                  \
		: "r"(a), "r"(b)                                                                   \
		: "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7")

static void swap_vectors(char *a, char *b)
{
	char *end = a + SMALL;

	for (; a < end; a += 64, b += 64)
		SWAP_LINE(a, b, "movdqa");
}

static void swap_past_caches(char *a, char *b)
{
	char *end = a + SMALL;

	for (; a < end; a += 64, b += 64)
		SWAP_LINE(a, b, "movntdq");
	__asm__ volatile("sfence" : : : "memory");
}

static void each_page(void (*f)(char *, char *), char *a, char *b, size_t size)
{
	size_t i;

	for (i = 0; i < size; i += SMALL)
		f(a + i, b + i);
}

/* The page that becomes free is the next one's destination. */
static void two_copies(struct pages *p, size_t i)
{
	char *was = p->spare;

	each_page(copy, was, p->y[i], p->size);
	each_page(copy, p->y[i], p->x[i], p->size);
	p->spare = p->x[i];
	p->x[i] = p->y[i];
	p->y[i] = was;
}

static double cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

/* Of one pair. */
static double measure(struct pages *p, int way)
{
	static void (*const swap[WAYS])(char *, char *) = {
		[HELPER] = ht_swap_page,
		[SWAP_VECTORS] = swap_vectors,
		[SWAP_PAST_CACHES] = swap_past_caches,
	};
	double start = cpu_us();
	size_t i;

	for (i = 0; i < p->pairs; i++) {
		if (way == TWO_COPIES)
			two_copies(p, i);
		else
			each_page(swap[way], p->x[i], p->y[i], p->size);
	}
	return (cpu_us() - start) / p->pairs;
}

static bool divide(struct pages *p, char *mem)
{
	size_t i, j, n = 2 * p->pairs;
	char **page = malloc(n * sizeof(*page)), *t;

	if (!page)
		return false;
	srand(1);
	for (i = 0; i < n; i++) {
		j = (size_t)rand() % (i + 1);
		page[i] = mem + i * p->size;
		t = page[i];
		page[i] = page[j];
		page[j] = t;
	}
	p->x = page;
	p->y = page + p->pairs;
	p->spare = mem + n * p->size;
	return true;
}

static int report(const char *name, size_t size, char *mem, const char *end)
{
	static const char *const ways[] = { "two_copies", "helper", "swap_vectors",
					    "swap_past_caches" };
	struct pages p = { .size = size, .pairs = PAIRS * HUGE / size };
	double best[WAYS], us;
	int r, w;

	if (!divide(&p, mem))
		return 1;
	for (r = 0; r < ROUNDS; r++) {
		for (w = 0; w < WAYS; w++) {
			us = measure(&p, w);
			best[w] = r && best[w] < us ? best[w] : us;
		}
	}
	free(p.x);
	printf("  \"%s\": {", name);
	for (w = 0; w < WAYS; w++)
		printf("%s \"%s\": %.2f", w ? "," : "", ways[w], best[w]);
	printf(" }%s\n", end);
	return 0;
}

int main(void)
{
	size_t len = (2 * PAIRS + 1) * HUGE;
	char *mem =
		mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (mem == MAP_FAILED) {
		perror("contents: 516 MiB of memory are needed");
		return 1;
	}
	mem = (char *)(((uintptr_t)mem + HUGE - 1) & ~(HUGE - 1));
	madvise(mem, len, MADV_HUGEPAGE);
	memset(mem, 1, len);
	printf("{ \"us_per_pair\": {\n");
	err = report("small", SMALL, mem, ",") || report("huge", HUGE, mem, "");
	printf("} }\n");
	return err;
}
