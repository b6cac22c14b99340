/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A cell of the evaluation, one workload under one peer: read from its JSON file, with everything
 * derived from it. Shares are of the accesses that reached memory (the emulated cache's misses).
 */
#ifndef EVAL_CELL_H
#define EVAL_CELL_H

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#define MAX_PHASES 32

/*
 * What tiering costs the workload that the modelled time does not know, as measured on hardware by
 * others (ns): a 4 KiB page by move_pages, a 2 MiB page, a hint fault without the move, a PEBS
 * record with the BPF program that counts it.
 */
#define COST_PAGE 1200.0
#define COST_HUGE 190000.0
#define COST_FAULT 700.0
#define COST_SAMPLE 400.0

struct point {
	double ms, phase, work, fast, slow, model, samples;
	double app_sys, kthread, loader;
	double up, down, back, recall, precision;
	double promoted, demoted, faults, migrated, huge;
};

struct back_to { /* a phase's way back to its plateau */
	double model_s, wall_s, samples;
	bool reached;
};

struct cell {
	const char *workload, *ratio, *peer, *class;
	int latency, seed;
	struct json_object *json;
	struct point *p; /* rows from START to STOP */
	size_t nr;
	double model_s, cost_s, wall_s, ops;
	double s_per_ns; /* modelled time that a nanosecond of the slow tier's latency makes */
	double share, access_share, last_share, last_model_s, tail_share;
	unsigned int nr_phases;
	double phase_share[MAX_PHASES], phase_model_s[MAX_PHASES];
	struct back_to back_to[MAX_PHASES];
	double latency_ns[4]; /* p50 p90 p99 p999, in emulated wall time */
	double bpf_ms, map_bytes, loader_rss, wasted_own, moved_own;
	double start_ms, migrate_ms; /* CPU of the loader: until START, and in migration */
};

/* --- JSON ------------------------------------------------------------------------------------- */

static inline struct json_object *get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return o && json_object_object_get_ex(o, key, &v) ? v : NULL;
}

static inline double num(struct json_object *o, const char *key, double otherwise)
{
	struct json_object *v = get(o, key);

	return v ? json_object_get_double(v) : otherwise;
}

static inline const char *str(struct json_object *o, const char *key)
{
	struct json_object *v = get(o, key);

	return v ? json_object_get_string(v) : "";
}

static inline int column(struct json_object *columns, const char *name)
{
	for (size_t i = 0; columns && i < json_object_array_length(columns); i++)
		if (!strcmp(json_object_get_string(json_object_array_get_idx(columns, i)), name))
			return i;
	return -1;
}

static inline double at(struct json_object *row, int col)
{
	return col < 0 ? 0 : json_object_get_double(json_object_array_get_idx(row, col));
}

/* --- Rows ------------------------------------------------------------------------------------- */

static inline void read_point(struct point *p, struct json_object *cols, struct json_object *row)
{
#define COL(name) at(row, column(cols, name))
	p->ms = COL("ms");
	p->phase = COL("phase");
	p->work = COL("fast") + COL("slow");
	p->fast = COL("fast_miss");
	p->slow = COL("slow_miss");
	p->model = COL("model_ns") / 1e9;
	p->samples = COL("samples");
	p->app_sys = COL("app_sys_ms");
	p->kthread = COL("kthread_ms");
	p->loader = COL("loader_ms");
	p->up = COL("up");
	p->down = COL("down");
	p->back = COL("back");
	p->recall = COL("recall");
	p->precision = COL("precision");
	p->promoted = COL("pgpromote_success");
	p->demoted = COL("pgdemote_kswapd") + COL("pgdemote_direct") + COL("pgdemote_proactive") +
		     COL("pgdemote_khugepaged");
	p->faults = COL("numa_hint_faults");
	p->migrated = COL("pgmigrate_success");
	p->huge = COL("thp_migration_success");
#undef COL
}

/* The first row was taken before START: it is the base of everything that only grows. */
static inline int read_rows(struct cell *c)
{
	struct json_object *watch = get(c->json, "watch"), *rows = get(watch, "rows");
	struct json_object *cols = get(watch, "columns");
	size_t n = rows ? json_object_array_length(rows) : 0;

	if (n < 3)
		return -ENODATA;
	c->p = calloc(n, sizeof(*c->p));
	if (!c->p)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		read_point(&c->p[i], cols, json_object_array_get_idx(rows, i));
	c->nr = n;
	return c->p[n - 1].work > 0 ? 0 : -ENODATA;
}

/* Everything at the moment some share of the work was done, between rows by proportion. */
static inline struct point when(const struct cell *c, double share)
{
	double want = share * c->p[c->nr - 1].work, f;
	struct point a, b, r;
	size_t i = 1;

	while (i < c->nr - 1 && c->p[i].work < want)
		i++;
	a = c->p[i - 1];
	b = c->p[i];
	f = b.work > a.work ? (want - a.work) / (b.work - a.work) : 0;
	r = a;
	for (size_t k = 0; k < sizeof(r) / sizeof(double); k++)
		((double *)&r)[k] = ((double *)&a)[k] + f * (((double *)&b)[k] - ((double *)&a)[k]);
	return r;
}

static inline double share_between(const struct point *a, const struct point *b)
{
	double fast = b->fast - a->fast, all = fast + b->slow - a->slow;

	return all > 0 ? fast / all : -1;
}

/*
 * From the start of each phase to the end of the first piece of it in which the fast tier's share
 * reached the goal; pieces are a fiftieth of the phase at least, so noise does not count.
 */
static inline void find_back_to(struct cell *c, const double *goal)
{
	for (size_t i = 1, from = 0; i < c->nr; i++) {
		unsigned int ph = c->p[from].phase;
		struct back_to *b;
		size_t end = i, k;

		while (end < c->nr && c->p[end].phase == c->p[from].phase)
			end++;
		end = end < c->nr ? end : c->nr - 1;
		if (ph >= MAX_PHASES)
			return;
		b = &c->back_to[ph];
		for (k = i; k <= end; k++) {
			double work = c->p[k].work - c->p[i - 1].work;

			if (work * 50 < c->p[end].work - c->p[from].work)
				continue;
			b->reached = share_between(&c->p[i - 1], &c->p[k]) >= goal[ph];
			if (b->reached)
				break;
			i = k + 1;
		}
		k = b->reached ? k : end;
		b->model_s = c->p[k].model - c->p[from].model;
		b->wall_s = (c->p[k].ms - c->p[from].ms) / 1e3;
		b->samples = c->p[k].samples - c->p[from].samples;
		from = end;
		i = end;
		if (end == c->nr - 1)
			return;
	}
}

/* --- Cells ------------------------------------------------------------------------------------ */

/* Growth of a counter over the whole run. */
#define cell_delta(c, field) ((c)->p[(c)->nr - 1].field - (c)->p[0].field)

static inline void read_phases(struct cell *c)
{
	struct json_object *phases = get(get(c->json, "workload"), "phases");
	size_t n = phases ? json_object_array_length(phases) : 0;

	c->nr_phases = n < MAX_PHASES ? n : MAX_PHASES;
	for (unsigned int i = 0; i < c->nr_phases; i++) {
		struct json_object *p = json_object_array_get_idx(phases, i);

		c->phase_share[i] = num(p, "fast_miss_share", -1);
		c->phase_model_s[i] = num(p, "model_ns", 0) / 1e9;
	}
}

static inline void read_loader(struct cell *c)
{
	struct json_object *end = get(c->json, "loader_end");

	c->bpf_ms = num(end, "bpf_ns", 0) / 1e6;
	c->start_ms = c->p[0].loader;
	c->migrate_ms = num(end, "migrate_ns", 0) / 1e6;
	c->wasted_own = num(end, "wasted", 0);
	c->moved_own = num(end, "promoted", 0) + num(end, "demoted", 0);
	c->map_bytes = num(get(c->json, "loader_start"), "map_bytes", 0);
	c->loader_rss = num(c->json, "loader_rss", 0);
}

/* The ring fills whoever reads it; only a loader that samples memory accesses would pay for them.
 */
static inline bool pays_samples(const struct cell *c)
{
	const char *source = strchr(c->peer, ':');

	if (strncmp(c->peer, "hypertier", 9))
		return false;
	source = source ? strchr(source + 1, ':') : NULL;
	return !source || (!strncmp(source, ":emulated", 9) && !strstr(source + 9, "source"));
}

/*
 * The model charges a miss the latency of the node that served it, so a cell's time at another
 * latency follows from its counts. What does not: queueing, which one thread hardly meets, and that
 * a peer which looks at latencies (an exchange has to pay) would have decided otherwise.
 */
static inline double seconds_per_ns(const struct cell *c)
{
	double overlap = num(c->json, "mlp", 1) * num(get(c->json, "workload"), "threads", 1);

	return cell_delta(c, slow) / 1e9 / fmax(overlap, 1);
}

static inline void derive(struct cell *c)
{
	static const char *const pct[] = { "p50", "p90", "p99", "p999" };
	struct json_object *w = get(c->json, "workload");
	struct point a = when(c, 2.0 / 3), t = when(c, 0.9), *z = &c->p[c->nr - 1], *b = &c->p[0];

	c->model_s = num(w, "model_ns", 0) / 1e9;
	c->share = num(w, "fast_miss_share", -1);
	c->access_share = num(w, "fast_share", -1);
	c->ops = num(w, "ops", 0);
	c->wall_s = num(w, "seconds", 0);
	c->last_share = share_between(&a, z);
	c->tail_share = share_between(&t, z);
	c->last_model_s = z->model - a.model;
	c->s_per_ns = seconds_per_ns(c);
	c->cost_s = ((z->migrated - b->migrated - 512 * (z->huge - b->huge)) * COST_PAGE +
		     (z->huge - b->huge) * COST_HUGE + (z->faults - b->faults) * COST_FAULT +
		     pays_samples(c) * (z->samples - b->samples) * COST_SAMPLE) /
		    1e9;
	for (int i = 0; i < 4; i++)
		c->latency_ns[i] = num(get(w, "latency_ns"), pct[i], 0);
	read_phases(c);
	read_loader(c);
}

static inline int cell_read(struct cell *c, const char *file)
{
	int err;

	memset(c, 0, sizeof(*c));
	c->json = json_object_from_file(file);
	if (!c->json) {
		fprintf(stderr, "eval_report: cannot read %s: %s\n", file,
			json_util_get_last_err());
		return -EINVAL;
	}
	c->workload = str(c->json, "cell_workload");
	c->ratio = str(c->json, "ratio");
	c->peer = str(c->json, "peer");
	c->class = str(c->json, "class");
	c->latency = num(c->json, "latency", 0);
	c->seed = num(c->json, "seed", 0);
	err = read_rows(c);
	if (err)
		fprintf(stderr, "eval_report: %s has no rows: the run failed\n", file);
	else
		derive(c);
	return err;
}

static inline void cell_free(struct cell *c)
{
	free(c->p);
	json_object_put(c->json);
}

static inline double cell_wasted(const struct cell *c)
{
	double moved = cell_delta(c, up) + cell_delta(c, down);

	return moved > 0 ? cell_delta(c, back) / moved : 0;
}

/* Share of one CPU, of the measured time, spent on tiering outside the workload's own context. */
static inline double cell_cpu(const struct cell *c)
{
	double ms = c->p[c->nr - 1].ms - c->p[1].ms;

	return ms > 0 ? (cell_delta(c, kthread) + cell_delta(c, loader)) / ms : 0;
}

static inline double cell_sys(const struct cell *c)
{
	double ms = c->p[c->nr - 1].ms - c->p[1].ms;

	return ms > 0 ? cell_delta(c, app_sys) / ms : 0;
}

#endif
