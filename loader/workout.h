/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A small memory workload with known addresses, to see what a source makes of it: random reads and
 * writes over a buffer of its own. The buffer is larger than any cache near the core, so that loads
 * miss.
 */
#ifndef HT_WORKOUT_H
#define HT_WORKOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source.h"

struct ht_workout {
	char *buf;
	size_t size;
	uint64_t rnd;
};

int ht_workout_open(struct ht_workout *w, size_t size);
void ht_workout_close(struct ht_workout *w);
/* Random accesses for so many milliseconds. */
void ht_workout_run(struct ht_workout *w, unsigned int ms);
/* Gives the memory back and touches each page once: one page fault a page. */
void ht_workout_fault(struct ht_workout *w);
bool ht_workout_has(const struct ht_workout *w, uint64_t addr);
double ht_workout_now(void); /* seconds, CLOCK_MONOTONIC */

/* The last line of a probe: fills res->verdict from its numbers; returns res->in_buffer > 0. */
bool ht_probe_verdict(struct ht_source_probe *res, const char *unit);

#endif
