/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * For workloads that would keep an emulated CPU busy for nothing: what is tested beside them should
 * not have to wait for one.
 */
#ifndef LAB_REST_H
#define LAB_REST_H

#include <stdint.h>
#include <time.h>
#include <unistd.h>

#define REST 2 /* times the work before */

static uint64_t rest_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

/* The work took from then until now. most_us: at most so long. */
static void rest(uint64_t from_us, uint64_t most_us)
{
	uint64_t us = REST * (rest_now_us() - from_us);

	usleep(us < most_us ? us : most_us);
}

#endif
