/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What benchmarks share: time, medians, random numbers, and results written as JSON beside the
 * table a person reads.
 */
#ifndef HT_BENCH_H
#define HT_BENCH_H

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

static inline uint64_t bench_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Time this thread ran: what others take of the CPU does not count. */
static inline uint64_t bench_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Progress: one line on stderr, rewritten in place on a terminal. */
__attribute__((format(printf, 1, 2))) static inline void bench_progress(const char *fmt, ...)
{
	va_list ap;

	fputs(isatty(2) ? "\r\033[K" : "", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(isatty(2) ? "" : "\n", stderr);
	fflush(stderr);
}

static inline void bench_progress_end(void)
{
	if (isatty(2))
		fputs("\r\033[K", stderr);
}

static inline int bench_cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts v. */
static inline double bench_median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), bench_cmp_double);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Half the distance between the quartiles: the spread of one run about the median. Sorts v. */
static inline double bench_spread(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), bench_cmp_double);
	return (v[n * 3 / 4] - v[n / 4]) / 2;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t bench_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static inline double bench_rand_unit(uint64_t *state)
{
	return (bench_rand(state) >> 11) * 0x1p-53;
}

/*
 * Keeps the measuring thread where its caches are, and others off it as far as priority goes. The
 * CPU it runs on now, or -errno.
 */
static inline int bench_pin(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	setpriority(PRIO_PROCESS, 0, -20);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : cpu;
}

static inline void bench_json_num(struct json_object *o, const char *key, double v)
{
	char text[32];

	/* The shortest honest form: nobody needs 17 digits of a nanosecond. */
	snprintf(text, sizeof(text), "%.6g", v);
	json_object_object_add(o, key, json_object_new_double_s(v, text));
}

static inline void bench_json_int(struct json_object *o, const char *key, int64_t v)
{
	json_object_object_add(o, key, json_object_new_int64(v));
}

static inline void bench_json_str(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

/* A result file starts with what it was measured on. */
static inline struct json_object *bench_json_new(const char *name)
{
	struct json_object *o = json_object_new_object();
	struct utsname u;

	bench_json_str(o, "benchmark", name);
	if (!uname(&u))
		bench_json_str(o, "kernel", u.release);
	bench_json_int(o, "cpus", sysconf(_SC_NPROCESSORS_ONLN));
	return o;
}

/* Creates the directories above path. */
static inline int bench_mkdirs(const char *path)
{
	char *copy = strdup(path), *p;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	for (p = strchr(copy + 1, '/'); p && !err; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(copy, 0755) && errno != EEXIST)
			err = -errno;
		*p = '/';
	}
	free(copy);
	return err;
}

/* Writes and frees o. */
static inline int bench_json_write(struct json_object *o, const char *path)
{
	int err = bench_mkdirs(path);

	if (!err &&
	    json_object_to_file_ext(path, o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED))
		err = -EIO;
	if (err)
		fprintf(stderr, "cannot write %s: %s\n", path, strerror(-err));
	json_object_put(o);
	return err;
}

#endif
