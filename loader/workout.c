// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "workout.h"

int ht_workout_open(struct ht_workout *w, size_t size)
{
	w->buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->buf == MAP_FAILED)
		return -errno;
	/* Small pages: each gives a fault, a hint fault and an accessed bit of its own. */
	madvise(w->buf, size, MADV_NOHUGEPAGE);
	memset(w->buf, 1, size);
	w->size = size;
	w->rnd = 88172645463325252ULL;
	return 0;
}

void ht_workout_close(struct ht_workout *w)
{
	munmap(w->buf, w->size);
}

double ht_workout_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/*
 * The address of each access depends on what the last one read: nothing can run ahead. All else is
 * in registers, so that nearly every access is one to the buffer.
 */
void ht_workout_run(struct ht_workout *w, unsigned int ms)
{
	double end = ht_workout_now() + ms / 1e3;
	uint64_t rnd = w->rnd, size = w->size;
	char *buf = w->buf;
	volatile char *p;
	int i;

	do {
		for (i = 0; i < 65536; i++) {
			rnd ^= rnd << 13;
			rnd ^= rnd >> 7;
			rnd ^= rnd << 17;
			p = buf + rnd % size;
			rnd += *p;
			*p = 1;
		}
	} while (ht_workout_now() < end);
	w->rnd = rnd;
}

void ht_workout_fault(struct ht_workout *w)
{
	size_t page = sysconf(_SC_PAGESIZE), i;

	madvise(w->buf, w->size, MADV_DONTNEED);
	for (i = 0; i < w->size; i += page)
		((volatile char *)w->buf)[i] = 1;
}

bool ht_workout_has(const struct ht_workout *w, uint64_t addr)
{
	return addr >= (uintptr_t)w->buf && addr < (uintptr_t)w->buf + w->size;
}

bool ht_probe_verdict(struct ht_source_probe *res, const char *unit)
{
	uint64_t seen = res->seen;

	if (!seen)
		snprintf(res->verdict, sizeof(res->verdict),
			 "does not work here: no %s in %.1f s (%" PRIu64 " due)", unit,
			 res->seconds, res->due);
	else
		snprintf(res->verdict, sizeof(res->verdict),
			 "%s: %.0f %s/s, %" PRIu64 " %% with an address, %" PRIu64
			 " %% of these in the buffer (%" PRIu64 " of %" PRIu64 " due)",
			 res->in_buffer ? "works" : "gives no usable address", seen / res->seconds,
			 unit, (seen - res->zero_addr) * 100 / seen,
			 seen > res->zero_addr ? res->in_buffer * 100 / (seen - res->zero_addr) : 0,
			 seen, res->due);
	return res->in_buffer > 0;
}
