// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * where PID contig|scatter SIZE HOT: asks the kernel, by move_pages(2), on which nodes the hot set
 * of a running gups lies (sizes in MiB, no shift of the hot set): "PAGES NODE0 NODE1 ...". It
 * computes the hot set anew, from the workload's documented layout, and checks against the table's
 * content that it found the table.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <numaif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES 8
#define PAGE 4096UL
#define HUGE (2UL << 20)
#define MULT 0x9e3779b97f4a7c15ULL

static uint64_t gcd(uint64_t a, uint64_t b)
{
	return b ? gcd(b, a % b) : a;
}

/* Cells are 64 bytes; each starts as (its number + the seed, 1) * MULT and counts updates. */
static int is_table(int mem, uint64_t base, uint64_t pages)
{
	for (uint64_t i = 0; i < 16; i++) {
		uint64_t cell = i * (pages / 16) * (PAGE / 64), val;

		if (pread(mem, &val, sizeof(val), base + cell * 64) != sizeof(val) ||
		    val - (cell + 1) * MULT > 1ULL << 40)
			return 0;
	}
	return 1;
}

/* The table is aligned to 2 MiB somewhere in an anonymous mapping large enough. */
static uint64_t find_table(int pid, uint64_t pages)
{
	uint64_t start, end, base, found = 0;
	char path[64], line[512];
	int mem;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "r");
	while (f && mem >= 0 && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " rw-p", &start, &end) != 2)
			continue;
		base = (start + HUGE - 1) & ~(HUGE - 1);
		for (; !found && base + pages * PAGE <= end; base += HUGE)
			if (is_table(mem, base, pages))
				found = base;
	}
	if (f)
		fclose(f);
	if (mem >= 0)
		close(mem);
	return found;
}

int main(int argc, char **argv)
{
	uint64_t pages, hot, base, step, count[NODES] = {}, known = 0;
	int scatter, *status;
	void **addr;

	if (argc != 5)
		return 2;
	scatter = !strcmp(argv[2], "scatter");
	pages = strtoul(argv[3], NULL, 10) * 256;
	hot = strtoul(argv[4], NULL, 10) * 256;
	base = find_table(atoi(argv[1]), pages);
	if (!base || !hot) {
		fprintf(stderr, "where: no table of gups in process %s\n", argv[1]);
		return 1;
	}
	step = (uint64_t)(pages * 0.61803398875) | 1;
	while (gcd(step, pages) != 1)
		step += 2;
	addr = calloc(hot, sizeof(*addr));
	status = calloc(hot, sizeof(*status));
	for (uint64_t k = 0; addr && k < hot; k++) {
		uint64_t p = scatter ? k * step % pages
				     : k + (uint64_t)((pages - hot + 1) * fmod(0.9, 1));

		addr[k] = (void *)(base + p * PAGE);
	}
	if (!addr || !status || move_pages(atoi(argv[1]), hot, addr, NULL, status, 0)) {
		fprintf(stderr, "where: %s\n", strerror(errno));
		return 1;
	}
	for (uint64_t k = 0; k < hot; k++) {
		if (status[k] < 0 || status[k] >= NODES)
			continue;
		count[status[k]]++;
		known++;
	}
	printf("%" PRIu64, known);
	for (int n = 0; n < NODES; n++)
		printf(" %" PRIu64, count[n]);
	putchar('\n');
	return 0;
}
