/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The clock that nobody sets. */
#ifndef HT_CLOCK_H
#define HT_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t ht_now_ns(void) /* CLOCK_MONOTONIC */
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

#endif
