/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * perf events: what to sample, as data; the attributes made of it; counts; and the ring through
 * which the kernel reports throttling and, for probing, samples. A perf event lives as long as its
 * file descriptor: whatever kills the loader, nothing keeps sampling after it.
 */
#ifndef HT_PERF_EVENT_H
#define HT_PERF_EVENT_H

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pmu.h"

/* One kind of sampling event. */
struct ht_perf_spec {
	char name[HT_PMU_NAME_LEN * 2]; /* "cpu/mem-loads" */
	uint32_t type;
	struct ht_pmu_config cfg;
	uint64_t period;      /* events per sample */
	uint64_t sample_type; /* PERF_SAMPLE_* */
	unsigned int precise; /* highest precise_ip to ask for; what was granted, once opened */
	bool user_only;	      /* exclude_kernel and exclude_hv are understood */
	bool has_leader; /* must be grouped behind an auxiliary event (Sapphire Rapids and later) */
	struct ht_pmu_config leader;
	char cpus[HT_PMU_CPUS_LEN]; /* "" = every online CPU */
};

enum ht_perf_attr_flags {
	HT_PERF_SINGLE = 1 << 0,   /* an interrupt for each sample */
	HT_PERF_PER_TASK = 1 << 1, /* threads made later are sampled too */
};

/* Pure: the attributes of a spec, and of the leader it needs. */
void ht_perf_attr(struct perf_event_attr *attr, const struct ht_perf_spec *spec,
		  unsigned int flags);
void ht_perf_leader_attr(struct perf_event_attr *attr, const struct ht_perf_spec *spec,
			 unsigned int flags);

/* perf_event_open(2), close-on-exec; a file descriptor or a negative errno. */
int ht_perf_open(struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd);

/*
 * Opens a spec, disabled. What the kernel or CPU refuses is taken back in steps, in the spec, so
 * that the next CPU starts from there: precise_ip one lower, data source without its leader. The
 * leader's file descriptor (-1 = none) is returned in *leader.
 */
int ht_perf_open_spec(struct ht_perf_spec *spec, unsigned int flags, pid_t pid, int cpu,
		      int *leader);

struct ht_perf_count {
	uint64_t value, enabled, running;
};
int ht_perf_read(int fd, struct ht_perf_count *count);

/* The ring of one event. */
struct ht_perf_ring {
	void *base;  /* NULL = not mapped */
	size_t size; /* of the mapping */
};
/* pages: a power of two. */
int ht_perf_ring_map(struct ht_perf_ring *ring, int fd, unsigned int pages);
void ht_perf_ring_unmap(struct ht_perf_ring *ring);
typedef void (*ht_perf_record_fn)(void *arg, const struct perf_event_header *rec);
/* Calls fn for each whole record and frees its space. Returns the number of records. */
size_t ht_perf_ring_drain(struct ht_perf_ring *ring, ht_perf_record_fn fn, void *arg);

#endif
