/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * hypertier-top in three parts: model.c asks the loader, view.c lays a screen out as text, top.c
 * shows it, on a terminal or once on stdout.
 */
#ifndef TOP_H
#define TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics.h"

#define TOP_LIST 100 /* what the loader tells at most */
#define TOP_TIERS 8

struct json_object;

struct top_tier {
	char nodes[24];
	uint64_t bytes, free_pages, target_pages, read_ns;
};

struct top_target {
	int64_t pid;
	char comm[16];
	uint64_t pages, fast_pages, heat, fast_heat;
	bool frozen;
};

struct top_range {
	int64_t pid;
	uint64_t start, end, pages, fast_pages, heat, density, recent, age, flags;
};

/* One answer of the loader; every text is printable ASCII. */
struct top_status {
	struct ht_metrics m;
	int64_t pid, generation;
	uint64_t epoch_ms, ops_last_ns, recorded;
	bool tiering, dry_run, builtin;
	char source[24], source_detail[160], last_exit[80];
	struct top_tier tier[TOP_TIERS];
	struct top_target target[TOP_LIST];
	struct top_range range[TOP_LIST];
	size_t nr_tiers, nr_targets, nr_ranges;
};

enum top_sort { TOP_HEAT, TOP_DENSITY, TOP_RECENT, TOP_PAGES, TOP_ADDRESS, TOP_SORTS };
extern const char *const top_sort_name[TOP_SORTS];

/* model.c: asks the loader in dir. *json (may be NULL) gets the status, the caller's. 0 or -errno.
 */
int top_ask(const char *dir, enum top_sort sort, struct top_status *s, struct json_object **json);
/* Takes what is there and of the right type; -EBADMSG if it is no status at all. */
int top_parse(struct top_status *s, struct json_object *status);

enum top_look { LOOK_PLAIN, LOOK_HEAD, LOOK_BOLD, LOOK_GOOD, LOOK_FAIR, LOOK_BAD, LOOK_NR };

#define TOP_ROWS_MAX 200
#define TOP_COLS_MAX 300
#define TOP_ROWS_MIN 12
#define TOP_COLS_MIN 60

struct top_view {
	int rows, cols;	 /* of the screen */
	int nr;		 /* lines used */
	int first_range; /* scrolled past */
	char text[TOP_ROWS_MAX][TOP_COLS_MAX + 1];
	uint8_t look[TOP_ROWS_MAX][TOP_COLS_MAX]; /* enum top_look */
};

struct top_what {
	const char *instance;		       /* "" = the unnamed one */
	const struct top_status *now, *before; /* before: some time earlier, NULL = not yet */
	enum top_sort sort;
	bool paused, late; /* late: the loader did not answer in time */
};

/* view.c: fills v's lines for a screen of v->rows times v->cols. */
void top_view(struct top_view *v, const struct top_what *w);

#endif
