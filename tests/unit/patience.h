/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Deadlines for programs that run slower than they are built for. */
#ifndef HT_TEST_PATIENCE_H
#define HT_TEST_PATIENCE_H

#include <stdlib.h>

/* By how much to multiply a deadline: HT_TEST_PATIENCE, which tests/sanitize sets; 1 without it. */
static inline unsigned int patience(void)
{
	static unsigned int times; /* 0 = not read yet: a loop that waits asks at each look */
	const char *env = times ? NULL : getenv("HT_TEST_PATIENCE");
	long n = env ? strtol(env, NULL, 10) : 1;

	if (!times)
		times = n < 1 ? 1 : n > 1000 ? 1000 : n;
	return times;
}

#endif
