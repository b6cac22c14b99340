/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What an evaluation is judged by: figures over all of its groups. */
#ifndef EVAL_JUDGE_H
#define EVAL_JUDGE_H

#include "eval_group.h"

/* The same cells, had the slow tier another latency; NAN as below. */
struct at_latency {
	int ns;
	double geomean, least, worst, oracle; /* oracle: bound of the geomean */
};

/* Presets: CXL near, as most matrices have it, and remote or behind a switch (docs/evaluation.md).
 */
static const int latencies[] = { 170, 250, 400 };
#define NR_LATENCIES (sizeof(latencies) / sizeof(*latencies))

/* What is judged, one figure each; NAN where the groups needed are missing. */
struct key {
	double geomean, least, geomean_cost, least_cost;
	double steady, steady_least, shift, shift_least;
	double wasted, wasted_most, cpu, cpu_most, worst, back_ratio;
	double cpu_start_s, slower, cpu_real; /* slower: emulated kernel work than a real core's */
	double geomean_oracle; /* bound of geomean: the oracle's in the place of ours */
	const char *least_where, *worst_where;
	struct at_latency at[NR_LATENCIES];
};

/* --- Key figures ------------------------------------------------------------------------------ */

struct geomean {
	double log, least;
	unsigned int nr;
	const char *where;
};

static inline void geomean_add(struct geomean *m, double v, const char *where)
{
	if (!m->nr || v < m->least) {
		m->least = v;
		m->where = where;
	}
	m->log += log(v);
	m->nr++;
}

static inline double geomean(const struct geomean *m)
{
	return m->nr ? exp(m->log / m->nr) : NAN;
}

/* With migrations, faults and samples charged to the workload, for both; the best rival may be
 * another. */
static inline double speed_with_cost(const struct group *g)
{
	double best = INFINITY;

	for (unsigned int i = 0; i < g->nr; i++)
		if (is_rival(&g->peer[i]))
			best = fmin(best, g->peer[i].model_s + g->peer[i].cost_s);
	return best / (g->subject->model_s + g->subject->cost_s);
}

static inline void judge_group(const struct group *g, struct geomean *m)
{
	const struct peer *s = g->subject;

	if (!s)
		return;
	if (g->best) {
		geomean_add(&m[0], g->best->model_s / s->model_s, g->workload);
		geomean_add(&m[1], speed_with_cost(g), g->workload);
	}
	if (g->oracle && !strcmp(g->class, "steady"))
		geomean_add(&m[2], s->last_share / g->oracle->last_share, g->workload);
	if (g->oracle && !strcmp(g->class, "shift"))
		geomean_add(&m[3], s->share / g->oracle->share, g->workload);
	if (g->first_touch)
		geomean_add(&m[4], g->first_touch->model_s / s->model_s, g->workload);
	if (g->nb2 && !strcmp(g->class, "shift") && s->back_model_s > 0)
		geomean_add(&m[5], g->nb2->back_model_s / s->back_model_s, g->workload);
	if (g->best && g->oracle)
		geomean_add(&m[6], g->best->model_s / g->oracle->model_s, g->workload);
}

/*
 * How much slower the emulator migrates a 4 KiB page than a real core does; the loader's other
 * work, system calls and passes over its arrays, is taken to be slowed down alike. NAN where too
 * little moved.
 */
static inline double slow_down(const struct report *r)
{
	double ms = 0, pages = 0;

	for (unsigned int i = 0; i < r->nr; i++) {
		const struct peer *s = r->group[i].subject;

		for (unsigned int k = 0; s && k < s->nr; k++) {
			const struct cell *c = s->cell[k];

			if (cell_delta(c, huge) > 0)
				continue;
			ms += c->migrate_ms;
			pages += c->moved_own;
		}
	}
	return pages >= 10000 ? ms * 1e6 / pages / COST_PAGE : NAN;
}

static inline double model_at(const struct group *g, const struct peer *p, int ns)
{
	return p->model_s + p->s_per_ns * (ns - g->latency);
}

/* The best rival may be another than at the latency that was run. */
static inline double best_at(const struct group *g, int ns)
{
	double best = INFINITY;

	for (unsigned int i = 0; i < g->nr; i++)
		if (is_rival(&g->peer[i]))
			best = fmin(best, model_at(g, &g->peer[i], ns));
	return best;
}

/* A workload that was run at several latencies counts once: from the first of them. */
static inline bool is_first_latency(const struct report *r, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (!strcmp(r->group[i].workload, r->group[nr].workload) &&
		    !strcmp(r->group[i].ratio, r->group[nr].ratio))
			return false;
	return true;
}

static inline void judge_latency(const struct report *r, struct at_latency *at)
{
	struct geomean m[3] = {};

	for (unsigned int i = 0; i < r->nr; i++) {
		const struct group *g = &r->group[i];
		double ours;

		if (!g->subject || !is_first_latency(r, i))
			continue;
		ours = model_at(g, g->subject, at->ns);
		if (g->best)
			geomean_add(&m[0], best_at(g, at->ns) / ours, g->workload);
		if (g->first_touch)
			geomean_add(&m[1], model_at(g, g->first_touch, at->ns) / ours, g->workload);
		if (g->best && g->oracle)
			geomean_add(&m[2], best_at(g, at->ns) / model_at(g, g->oracle, at->ns),
				    g->workload);
	}
	at->geomean = geomean(&m[0]);
	at->least = m[0].nr ? m[0].least : NAN;
	at->worst = m[1].nr ? m[1].least : NAN;
	at->oracle = geomean(&m[2]);
}

static inline void judge(const struct report *r, struct key *k)
{
	struct geomean m[7] = {};
	double wasted = 0, moved = 0, cpu = 0;
	unsigned int n = 0;

	memset(k, 0, sizeof(*k));
	for (unsigned int i = 0; i < r->nr; i++) {
		const struct peer *s = r->group[i].subject;

		judge_group(&r->group[i], m);
		if (!s)
			continue;
		wasted += s->wasted * s->moved_mib;
		moved += s->moved_mib;
		k->wasted_most = fmax(k->wasted_most, s->moved_mib > 4 ? s->wasted : 0);
		k->cpu_most = fmax(k->cpu_most, s->cpu);
		cpu += s->cpu;
		k->cpu_start_s += s->cell[0]->start_ms / 1e3;
		n++;
	}
	k->geomean = geomean(&m[0]);
	k->least = m[0].nr ? m[0].least : NAN;
	k->least_where = m[0].where;
	k->geomean_cost = geomean(&m[1]);
	k->least_cost = m[1].nr ? m[1].least : NAN;
	k->steady = geomean(&m[2]);
	k->steady_least = m[2].nr ? m[2].least : NAN;
	k->shift = geomean(&m[3]);
	k->shift_least = m[3].nr ? m[3].least : NAN;
	k->worst = m[4].nr ? m[4].least : NAN;
	k->worst_where = m[4].where;
	k->back_ratio = geomean(&m[5]);
	k->geomean_oracle = geomean(&m[6]);
	k->wasted = moved > 0 ? wasted / moved : 0;
	k->cpu = n ? cpu / n : NAN;
	k->cpu_start_s = n ? k->cpu_start_s / n : NAN;
	k->slower = slow_down(r);
	k->cpu_real = k->cpu / k->slower;
	for (unsigned int i = 0; i < NR_LATENCIES; i++) {
		k->at[i].ns = latencies[i];
		judge_latency(r, &k->at[i]);
	}
}

#endif
