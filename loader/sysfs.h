/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Small text files of sysfs and procfs. Every path is below a struct ht_roots, so that tests can
 * point the same code at a directory of their own. All functions return 0 or a negative errno
 * unless they say otherwise; contents come from outside and are never trusted for length.
 */
#ifndef HT_SYSFS_H
#define HT_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ht_roots {
	const char *sys;  /* "/sys" */
	const char *proc; /* "/proc" */
};

extern const struct ht_roots ht_host_roots;

/* Reads at most size - 1 bytes, terminates and strips trailing white space; returns the length. */
__attribute__((format(printf, 3, 4))) ssize_t ht_read_str(char *buf, size_t size, const char *fmt,
							  ...);
__attribute__((format(printf, 2, 3))) int ht_read_u64(uint64_t *val, const char *fmt, ...);
/* Writes exactly the bytes of val; a short write is -EIO. */
__attribute__((format(printf, 2, 3))) int ht_write_str(const char *val, const char *fmt, ...);

/*
 * Parses a kernel list such as "0-3,7" and calls fn for each number below max. -EINVAL on anything
 * else, -ERANGE on a number at or above max, or fn's first non-zero result. "" is an empty list.
 */
int ht_parse_list(const char *list, unsigned int max, int (*fn)(unsigned int n, void *arg),
		  void *arg);
/* The same as a set: makes mask[n] true for each number, of max; others stay as they are. */
int ht_parse_mask(const char *list, unsigned int max, bool *mask);

#endif
