/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The statistics, defined once: the tables below make the struct, the JSON keys, the Prometheus
 * names and docs/statistics.md. Counters only grow; gauges are the last epoch's.
 */
#ifndef HT_METRICS_H
#define HT_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <hypertier/stats.h>

#include "migrate.h"

#define HT_METRICS_SCHEMA 1

/* name, kind (C counter, G gauge), unit, description */
#define HT_METRICS(M)                                                                              \
	M(epoch, C, "epochs", "epochs since the start")                                            \
	M(samples_seen, C, "samples", "samples that reached the sampler")                          \
	M(samples_counted, C, "samples", "samples counted into the heat map")                      \
	M(samples_due, C, "samples", "samples the source should have delivered")                   \
	M(samples_lost, C, "samples", "samples known lost before the sampler")                     \
	M(period, G, "accesses", "accesses, or the source's events, that a sample stands for")     \
	M(targets, G, "processes", "processes tiered")                                             \
	M(tiles, G, "tiles", "2 MiB tiles with heat")                                              \
	M(details, G, "blocks", "tiles with page detail")                                          \
	M(evicted, C, "tiles", "coldest tiles dropped to make room in the heat map")               \
	M(ranges, G, "ranges", "ranges of equal heat")                                             \
	M(strata, G, "ranges", "of these, strata of dispersed memory")                             \
	M(thp_skewed, G, "pages", "huge pages whose subpages differ much in heat")                 \
	M(thp_split, C, "pages", "huge pages split, so that their subpages move one by one")       \
	M(thp_split_failed, C, "pages", "huge pages that stayed whole though asked to be split")   \
	M(would_split, C, "pages", "dry run: huge pages that would have been split")               \
	M(fast_pages, G, "pages", "4 KiB pages of targets in the fastest tier")                    \
	M(slow_pages, G, "pages", "4 KiB pages of targets in the other tiers")                     \
	M(spilled, C, "pages", "new pages of targets that were allocated in a slower tier")        \
	M(fast_free, G, "pages", "free 4 KiB pages of the fastest tier")                           \
	M(hot_in_slow, G, "pages", "sampled pages above the cut that are not in the fastest tier") \
	M(planned, C, "moves", "moves planned")                                                    \
	M(refused, C, "moves", "moves the policy refused")                                         \
	M(promoted, C, "pages", "pages moved to a faster tier")                                    \
	M(demoted, C, "pages", "pages moved to a slower tier")                                     \
	M(would_promote, C, "pages", "dry run: pages that would have been promoted")               \
	M(would_demote, C, "pages", "dry run: pages that would have been demoted")                 \
	M(failed, C, "pages", "pages that could not be moved")                                     \
	M(wasted, C, "pages", "pages moved back within 20 epochs")                                 \
	M(held, C, "pages", "moves refused because the page had just moved")                       \
	M(swaps, C, "swaps", "policies that took over at run time")                                \
	M(ejections, C, "ejections", "policies ejected by the watchdog")                           \
	M(ops_ns, C, "ns", "time in the policy's ops, part of the loader's")                       \
	M(ticks, C, "ticks", "aging steps")                                                        \
	M(loader_ns, C, "ns", "CPU time of the loader")                                            \
	M(bpf_ns, C, "ns", "CPU time of the BPF programs")                                         \
	M(migrate_ns, C, "ns", "time inside the migration calls, part of the loader's")            \
	M(late_epochs, C, "epochs", "epochs that took longer than their length")

/* Shares, from 0 to 1, of the last epoch. */
#define HT_METRICS_SHARES(M)                                                                       \
	M(fast_share, "share of the heat that goes to pages of the fastest tier")                  \
	M(misplaced_share,                                                                         \
	  "share of the heat that goes to pages which belong there and are not there yet")

struct ht_metrics {
#define M(name, kind, unit, desc) uint64_t name;
	HT_METRICS(M)
#undef M
#define M(name, desc) double name;
	HT_METRICS_SHARES(M)
#undef M
	uint64_t drop[HT_DROP_NR];
	uint64_t outcome[HT_OUT_NR]; /* migration calls' pages by outcome */
	uint64_t wall_ns;	     /* since the start */
	char policy[16];
};

const char *ht_drop_name(enum ht_drop d);
struct json_object;
/* One JSON object with every field; the caller's. */
struct json_object *ht_metrics_object(const struct ht_metrics *m, const char *event);
/* One JSON object with every field, on one line. */
void ht_metrics_json(FILE *f, const struct ht_metrics *m, const char *event);
/* A table row for people; header says whether to print the column names first. */
void ht_metrics_row(FILE *f, const struct ht_metrics *m, const struct ht_metrics *before,
		    bool header);
/* The closing report. */
void ht_metrics_summary(FILE *f, const struct ht_metrics *m);

#endif
