// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * faults MIB: gives half of its memory back and touches all of it, over and over, page by page. It
 * rests for twice as long as that takes: more faults would only take the time of what they are for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "rest.h"

#define PAGE 4096UL
#define REST_MOST 50000 /* us: half an epoch of those who look */

int main(int argc, char **argv)
{
	size_t size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 64) << 20, i;
	volatile char *p;

	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || !size) {
		perror("faults: mmap");
		return 1;
	}
	/* A huge page would be one fault. */
	madvise((void *)p, size, MADV_NOHUGEPAGE);
	for (;;) {
		uint64_t from = rest_now_us();

		for (i = 0; i < size; i += PAGE)
			p[i] = 1;
		madvise((void *)p, size / 2, MADV_DONTNEED);
		rest(from, REST_MOST);
	}
}
