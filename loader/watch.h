/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The watchdog over policies. It lives outside of them and judges each epoch by what the policy
 * did: run-time, waste, and the fast share against what its predecessor had. A policy that fails is
 * ejected; the built-in one takes over (or tiering stops). The built-in policy is judged for errors
 * only.
 */
#ifndef HT_WATCH_H
#define HT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <hypertier/ops.h>

/* Ops of one epoch may take this share of it, for at most so many epochs in a row. */
#define HT_WATCH_TIME_SHARE 0.2
#define HT_WATCH_SLOW_EPOCHS 3
/*
 * Share of moved pages that came back soon, over at least so many pages moved; history counts half
 * from the second number on, so that a policy that was good for long can still be caught.
 */
#define HT_WATCH_WASTE 0.6
#define HT_WATCH_WASTE_PAGES 8192
#define HT_WATCH_WASTE_HISTORY 65536
/* Fast share below this part of the predecessor's, for so many epochs. */
#define HT_WATCH_SHARE 0.7
#define HT_WATCH_SHARE_EPOCHS 10
/* Epochs before waste and fast share are judged: the predecessor's moves are behind us then. */
#define HT_WATCH_GRACE 20
/* An ejected policy stays out for so many seconds, doubling; after so many times for good. */
#define HT_WATCH_BACKOFF_S 60
#define HT_WATCH_EJECTIONS 3

struct ht_watch_sample { /* one epoch */
	uint64_t ops_ns; /* CPU time in the policy's ops */
	uint64_t epoch_ns;
	uint64_t moved, wasted; /* pages, since the policy took over */
	double fast_share;
	bool share_known; /* enough samples this epoch */
};

struct ht_watch {
	unsigned int epochs;		  /* since the policy took over */
	unsigned int slow, low;		  /* epochs in a row */
	double predecessor;		  /* its fast share, < 0 = none */
	uint64_t seen_moved, seen_wasted; /* of the last sample */
	double moved, wasted;		  /* pages, aged */
};

void ht_watch_start(struct ht_watch *w, double predecessor_share);
/* HT_EXIT_NONE, or why the policy has to go, with the reason in exit->reason. */
enum ht_exit_kind ht_watch_epoch(struct ht_watch *w, const struct ht_watch_sample *s,
				 struct ht_exit *exit);

/* Who is out, and for how long. */
#define HT_WATCH_NAMES 16
struct ht_ban_list {
	struct ht_ban {
		char name[HT_NAME_LEN];
		unsigned int ejections;
		uint64_t until_ns; /* CLOCK_MONOTONIC */
	} ban[HT_WATCH_NAMES];
};

void ht_ban(struct ht_ban_list *l, const char *name, uint64_t now_ns);
/* Seconds a policy has to wait: 0 = welcome, UINT64_MAX = out for good. */
uint64_t ht_ban_wait_s(const struct ht_ban_list *l, const char *name, uint64_t now_ns);

#endif
