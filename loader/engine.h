/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The epoch loop and everything it owns. One thread: wait for the epoch's end, take the samples in,
 * follow the targets, build ranges, ask the policy, plan, move, report.
 */
#ifndef HT_ENGINE_H
#define HT_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "clock.h"
#include "config.h"
#include "heatmap.h"
#include "hook_kernel.h"
#include "journal.h"
#include "metrics.h"
#include "mover.h"
#include "notify.h"
#include "object.h"
#include "pace.h"
#include "placement.h"
#include "planner.h"
#include "ranges.h"
#include "sharing.h"
#include "source.h"
#include "space.h"
#include "splitter.h"
#include "targets.h"
#include "tiers.h"
#include "vmstat.h"
#include "watch.h"

struct ht_guest_port;
struct json_object;

/* CPU time of each stage of an epoch, for -v. */
struct ht_stages {
	uint64_t last;
	double ms[5];
	unsigned int nr;
};

struct ht_engine {
	const struct ht_config *cfg;
	const struct ht_roots *roots;
	struct ht_journal *journal;
	struct ht_tiers tiers;
	unsigned int nr_tiers;	  /* min(tiers.nr_tiers, HT_SPACE_TIERS) */
	struct ht_object *policy; /* the one in charge */
	bool builtin;		  /* ... which is the built-in one */
	bool observe;		  /* tiering stopped, samples are counted */
	bool unload;		  /* asked to end at the control socket */
	struct ht_watch watch;
	struct ht_ban_list bans;
	uint64_t ops_ns; /* CPU time in the policy's ops, last epoch */
	int ops_err;	 /* what they failed with */
	uint64_t moved_at_swap, wasted_at_swap, bpf_ns_of_former;
	struct ht_source_stats source_former; /* of attachments that ended with a swap */
	int control_fd;
	bool made_pin_dir;		   /* it was not there */
	struct ht_source_opts source_opts; /* cfg's, and the recording */
	struct ht_heatmap heat;
	struct ht_source *source;
	struct ht_placement *placement;
	struct ht_targets targets;
	struct ht_space **space; /* one for each target, sorted by tgid */
	size_t nr_space, cap_space;
	struct ht_sharing sharing;
	uint32_t lives; /* address spaces seen so far */
	struct ht_ranges ranges;
	struct ht_plan plan;
	struct ht_mover mover;
	struct ht_splitter splitter;
	struct ht_hook_kernel hook; /* the policy in the kernel helper, where there is one */
	struct ht_stages stages;
	struct ht_metrics metrics;	   /* now */
	struct ht_metrics before, before2; /* at the end of the last epoch and the one before */
	struct ht_metrics printed;	   /* at the last statistics line */
	bool header_printed;
	bool export_failed; /* and told: the file for Prometheus */
	uint32_t epoch;	    /* from 1 */
	uint64_t started_ns, cpu_base_ns;
	uint64_t tick_samples; /* counted samples at the last aging step */
	double page_volume;    /* samples behind the page counts at that time, aged as they are */
	/* How predictable page accesses were: see predictability() in epoch.c. */
	uint64_t page_hits, page_prior, before_page_hits, before_page_prior;
	double predicted, usual_predictability;
	double budget; /* pages that may move, see budget() in epoch.c */
	double margin; /* by how much an exchange must raise the density, see epoch.c */
	double moved_of_late, wasted_of_late;
	struct ht_pace pace;
	uint64_t throttled, throttled_before; /* events of the source so far; an epoch ago */
	double sample_rate;		      /* counted samples per epoch, moving average */
	uint64_t free_pages[HT_SPACE_TIERS], reserve_pages[HT_SPACE_TIERS]; /* by tier */
	uint32_t forked_epoch; /* the last in which a target was found to have forked */
	int nodes_err; /* what came of the last look for memory that came or went, and told */
	uint64_t spilled_pages[HT_SPACE_TIERS]; /* this epoch: see ht_plan_params */
	struct ht_guest_port *guest_port;	/* NULL: the host is told nothing */
	struct ht_vmstat vmstat;		/* where the host is told: as this epoch found it */
	struct ht_kernel_moves kernel_moves;
	bool simulated;	     /* tools/replay: spaces, samples and free memory are made up */
	uint64_t sim_period; /* then: accesses per sample */
	struct ht_notify notify;
	uint64_t told_ns; /* when the service manager got our status */
	FILE *stats_out;  /* cfg's stats_file */
	int signal_fd;	  /* SIGINT, SIGTERM, SIGHUP, blocked from the start on */
	int stats_fd;	  /* keeps the kernel's BPF run-time statistics on */
	int err;	  /* why the loop ended, 0 = as asked */
};

/* Finds tiers, loads the policy, opens the source. Returns an enum ht_exit_code. */
int ht_engine_start(struct ht_engine *e, const struct ht_config *cfg);
/* Calls a policy's init. 0 or a negative errno, logged. */
int ht_engine_init_policy(struct ht_engine *e, struct ht_object *o);
/* Until SIGINT, SIGTERM, the duration's end, or an error. Returns an enum ht_exit_code. */
int ht_engine_loop(struct ht_engine *e);
/* Undoes everything, in whatever state the engine is. */
void ht_engine_stop(struct ht_engine *e);

/* epoch.c: one epoch. 0 or a negative errno after which the loop cannot go on. */
int ht_epoch_run(struct ht_engine *e);
/* Its first step: lets the source deliver, reads the sampler's counters. */
int ht_epoch_samples(struct ht_engine *e);
/* Of that, the sampler's counters alone. */
int ht_epoch_read_stats(struct ht_engine *e);
/* Its second half: ranges, policy, plan, moves, aging. Spaces and heat are up to date. */
int ht_epoch_decide(struct ht_engine *e);
/* The defaults of what adapts itself. */
void ht_epoch_init(struct ht_engine *e);
/* pacer.c: what comes of an epoch in which so many 4 KiB pages moved, of so many that might have. */
void ht_pacer_epoch(struct ht_engine *e, uint64_t moved, uint64_t budget, bool shifted);
/*
 * Between epochs, so many times in one, until it returns true: are there samples yet, that more may be
 * taken at once?
 */
#define HT_GLIMPSES 8
bool ht_pacer_glimpse(struct ht_engine *e);
/* From now on so many samples come in the place of one. */
void ht_pacer_follow(struct ht_engine *e, double share);
/* follow.c */
int ht_follow_start(struct ht_engine *e);
/* Targets that are there already, so that the first epoch's samples count; its end tells of errors. */
void ht_follow_first(struct ht_engine *e);
int ht_follow_epoch(struct ht_engine *e);
void ht_follow_stop(struct ht_engine *e);
/* report.c: what was found, at the start. */
void ht_report_start(const struct ht_engine *e, const char *source_why);
void ht_report_stats(struct ht_engine *e);
/* The file for Prometheus, if there is to be one; failures are told once. 0 or a negative errno. */
int ht_report_prometheus(struct ht_engine *e);
/* status.c: what is asked for at the control socket. */
struct json_object *ht_status_json(const struct ht_engine *e, struct json_object *request);

uint64_t ht_cpu_ns(void); /* CPU time of this process */

#endif
