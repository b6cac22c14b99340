/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Sources of access samples behind one interface. A source makes the kernel (or the lab's ring)
 * deliver samples to the BPF programs of the policy object, which all end in the same sampler
 * function; what differs is which program is attached to what.
 */
#ifndef HT_SOURCE_H
#define HT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include <hypertier/ctl.h>
#include <hypertier/stats.h>

#include "journal.h"

struct ht_record;
#include "sysfs.h"
#include "targets.h"

/* File descriptors and shared memory of the loaded policy object; owned by the object. */
struct ht_source_bpf {
	int prog_perf;		    /* SEC("perf_event"): one sample per overflow */
	int prog_perf_output;	    /* fentry on the function below, -1 if it could not be loaded */
	const char *perf_output_fn; /* "perf_event_output" (PEBS, IBS), or
				       "perf_event_output_forward" */
	int prog_page_fault;	    /* tracepoint exceptions:page_fault_user */
	int prog_damon;		    /* tracepoint damon:damon_aggregated */
	int prog_inject;	    /* SYSCALL program: counts records of the inject map */
	int map_events;		    /* hash: u64 perf event id -> u32 1 */
	int map_damon_targets;	    /* array: DAMON target index -> u32 tgid */
	int map_stats;		    /* per-CPU struct ht_cpu_stats */
	struct ht_inject_rec *inject; /* HT_INJECT_MAX records, mmap of the inject map */
};

struct ht_source_opts {
	const struct ht_roots *roots;
	uint64_t period;	  /* events per sample, 0 = the source's default */
	uint32_t ldlat;		  /* load-latency threshold in core cycles, 0 = default */
	bool per_task;		  /* perf: one event per task instead of one per CPU */
	struct ht_record *record; /* emulated: where samples are recorded, NULL = nowhere */
	const char *ring; /* emulated: path of the ring, NULL = $HT_LAB_RING, then PCI search */
	/* auto: takes samples of its own from a PMU before it relies on it (HT_SOURCE_TRIAL_MS) */
	bool trial;
	/* perf: how samples are drained; auto probes */
	enum ht_drain { HT_DRAIN_AUTO, HT_DRAIN_SINGLE, HT_DRAIN_LARGE } drain;
};

struct ht_source_stats {
	/*
	 * Samples that should have arrived: event count / period, records in the ring, hint faults
	 * the kernel counted. 0 where nothing tells (DAMON).
	 */
	uint64_t due;
	uint64_t lost;	    /* known lost: ring overrun */
	uint64_t throttled; /* perf throttle periods seen, where known */
};

struct ht_source;

/* What a source is, and whether it could be opened here. */
struct ht_source_info {
	enum ht_source_id id;
	const char *name; /* as in --source */
	const char *what; /* one clause */
	bool usable;	  /* as far as can be told without opening */
	char why[256]; /* usable: what it would use; not usable: which requirement failed, what to
			  do */
};

/* Looks without changing anything. info has room for HT_SRC_NR entries; returns how many. */
int ht_source_list(struct ht_source_info *info, const struct ht_source_opts *opts);
/* HT_SRC_* of a name, -EINVAL if unknown; "auto" is HT_SRC_NONE. */
int ht_source_parse(const char *name);
const char *ht_source_name(enum ht_source_id id);
/*
 * The source to use: want itself, or for HT_SRC_NONE the first usable one of PEBS, IBS, emulated,
 * DAMON, hint faults. why gets the choice and, for auto, why the earlier ones were passed over.
 * With opts->trial a PMU counts as usable only if its samples have addresses: hypervisors exist
 * that show a PMU's events and withhold what they record.
 * -ENODEV when there is none (why says so).
 */
#define HT_SOURCE_TRIAL_MS 100
int ht_source_choose(enum ht_source_id want, const struct ht_source_opts *opts, char *why,
		     size_t why_size);

/* Kernel function whose fentry program shows the source's samples, NULL when it uses none. */
const char *ht_source_fentry_target(enum ht_source_id id);

/*
 * Opens, attaches and starts. Everything is owned by file descriptors of this process or recorded
 * in the journal first, so that nothing outlives a crash unnoticed. ht_source_detail() is one line
 * for the start-up report (event, period, precise level, drain, CPUs).
 */
int ht_source_open(struct ht_source **src, enum ht_source_id id, const struct ht_source_opts *opts,
		   const struct ht_source_bpf *bpf, struct ht_journal *journal);
const char *ht_source_detail(const struct ht_source *src);
enum ht_source_id ht_source_id(const struct ht_source *src);
/*
 * Accesses that one sample stands for. Hint faults and DAMON do not count accesses; for them it is
 * an order of magnitude (HT_SOURCE_GUESS).
 */
uint64_t ht_source_period(const struct ht_source *src);
#define HT_SOURCE_GUESS 1000
/*
 * Takes so many samples in the place of one that opts->period asks for; 1 after opening. The period
 * follows. 0, or a negative errno and nothing has changed: -EOPNOTSUPP above ht_source_densest().
 */
int ht_source_set_density(struct ht_source *src, unsigned int density);
/* Of the source as it was opened: 1 where it has no period, or cannot change it while it runs. */
unsigned int ht_source_densest(const struct ht_source *src);
/* Once per epoch: drains a ring, follows targets (DAMON, per-task events). */
int ht_source_epoch(struct ht_source *src, const struct ht_targets *targets);
int ht_source_stats(struct ht_source *src, struct ht_source_stats *stats);
/*
 * Hands the source over to another policy object while it runs: both are attached for a moment, the
 * store of gen into *generation decides from when on the new one counts. On failure the old one
 * stays, and *src with it.
 */
int ht_source_switch(struct ht_source **src, const struct ht_source_opts *opts,
		     const struct ht_source_bpf *bpf, struct ht_journal *journal,
		     uint32_t *generation, uint32_t gen);
/* Stops sampling and puts back whatever was changed. */
void ht_source_close(struct ht_source *src);

/*
 * Takes real samples for ms milliseconds from a workload of its own (a loop over a buffer) and
 * reports rate, share of non-zero addresses, share inside the buffer. For `features --probe`.
 */
struct ht_source_probe {
	uint64_t due, seen, zero_addr, in_buffer;
	double seconds;
	char verdict[160];
};
int ht_source_probe(enum ht_source_id id, const struct ht_source_opts *opts, unsigned int ms,
		    struct ht_source_probe *res);

/* Implementation side: one table per source, listed in source.c. */
struct ht_source_ops {
	enum ht_source_id id;
	const char *name;
	const char *what;
	const char *fentry_target;
	bool is_pmu; /* may be there and yet give nothing: to be tried */
	int (*usable)(const struct ht_source_opts *opts, char *why,
		      size_t why_size); /* 0 or -errno */
	int (*open)(struct ht_source *src, const struct ht_source_opts *opts,
		    const struct ht_source_bpf *bpf, struct ht_journal *journal);
	int (*epoch)(struct ht_source *src, const struct ht_targets *targets);
	int (*stats)(struct ht_source *src, struct ht_source_stats *stats);
	void (*close)(struct ht_source *src);
	/*
	 * Optional: also runs the programs of another policy object. *old gets the file descriptor
	 * that holds the former attachment (-1 = none): closing it ends that. Without this op the
	 * source is opened a second time.
	 */
	int (*rebind)(struct ht_source *src, const struct ht_source_bpf *bpf, int *old);
	/* Where open sets src->densest: as ht_source_set_density(); sets src->period. */
	int (*set_density)(struct ht_source *src, unsigned int density);
	int (*probe)(const struct ht_source_opts *opts, unsigned int ms,
		     struct ht_source_probe *res);
};

extern const struct ht_source_ops ht_source_pebs;
extern const struct ht_source_ops ht_source_ibs;
extern const struct ht_source_ops ht_source_page_fault;
extern const struct ht_source_ops ht_source_emulated;
extern const struct ht_source_ops ht_source_damon;
extern const struct ht_source_ops ht_source_hint;

struct ht_source {
	const struct ht_source_ops *ops;
	char detail[256];
	uint64_t period;      /* accesses per sample, set by open */
	unsigned int density; /* see ht_source_set_density() */
	unsigned int densest; /* its highest value; 1 unless open knows better */
	void *priv;	      /* owned by the ops */
};

#endif
