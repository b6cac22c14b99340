/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * PMUs as the kernel describes them in /sys/bus/event_source/devices: which there are, on which
 * CPUs, and how a named event or term becomes configuration bits.
 */
#ifndef HT_PMU_H
#define HT_PMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sysfs.h"

#define HT_PMU_NAME_LEN 32
#define HT_PMU_CPUS_LEN 256

struct ht_pmu {
	const struct ht_roots *roots;
	char name[HT_PMU_NAME_LEN];
	uint32_t type;		    /* for perf_event_attr.type */
	char cpus[HT_PMU_CPUS_LEN]; /* CPUs it covers, "" = all */
};

/* perf_event_attr.config, config1, config2. */
struct ht_pmu_config {
	uint64_t word[3];
};

/* -ENOENT when the kernel has no such PMU, -EINVAL when its description makes no sense. */
int ht_pmu_open(struct ht_pmu *pmu, const struct ht_roots *roots, const char *name);
bool ht_pmu_has_event(const struct ht_pmu *pmu, const char *event);
bool ht_pmu_has_format(const struct ht_pmu *pmu, const char *term);
/* A number under caps/, such as max_precise. */
int ht_pmu_cap(const struct ht_pmu *pmu, const char *cap, uint64_t *val);
/* Sets one term to a value; -ERANGE when the value does not fit the term's bits. */
int ht_pmu_set(const struct ht_pmu *pmu, struct ht_pmu_config *cfg, const char *term, uint64_t val);
/* Adds the terms of a text such as "event=0xcd,umask=0x1,ldlat=3". */
int ht_pmu_parse(const struct ht_pmu *pmu, struct ht_pmu_config *cfg, const char *text);
/* Adds the terms of events/<event>. */
int ht_pmu_event(const struct ht_pmu *pmu, struct ht_pmu_config *cfg, const char *event);

/* What /proc/cpuinfo says of the first CPU, for messages and for the choice of a source. */
struct ht_cpu_info {
	char vendor[16]; /* "GenuineIntel", "AuthenticAMD", "" = unknown */
	char model[64];	 /* model name */
	unsigned int family;
	unsigned int model_nr;
	bool hypervisor; /* runs in a virtual machine */
};
void ht_cpu_info_read(struct ht_cpu_info *cpu, const struct ht_roots *roots);

#endif
