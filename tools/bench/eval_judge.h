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

/* NAN for none, as the mean. */
static inline double least(const struct geomean *m)
{
	return m->nr ? m->least : NAN;
}

/* Modelled at a latency of the slow tier; costs: with migrations, faults and samples charged. */
static inline double time_at(const struct group *g, const struct peer *p, int ns, bool costs)
{
	return p->model_s + p->s_per_ns * (ns - g->latency) + (costs ? p->cost_s : 0);
}

/* Of the best rival, who may be another each time; INFINITY where there is none. */
static inline double best_at(const struct group *g, int ns, bool costs)
{
	double best = INFINITY;

	for (unsigned int i = 0; i < g->nr; i++)
		if (is_rival(&g->peer[i]))
			best = fmin(best, time_at(g, &g->peer[i], ns, costs));
	return best;
}

/* Ours against the best rival and no tiering, and the oracle against the best rival. */
struct speeds {
	struct geomean best, first_touch, oracle;
};

static inline void add_speeds(struct speeds *s, const struct group *g, int ns)
{
	double best = best_at(g, ns, false), ours = time_at(g, g->subject, ns, false);

	if (!isinf(best))
		geomean_add(&s->best, best / ours, g->workload);
	if (g->first_touch)
		geomean_add(&s->first_touch, time_at(g, g->first_touch, ns, false) / ours,
			    g->workload);
	if (!isinf(best) && g->oracle)
		geomean_add(&s->oracle, best / time_at(g, g->oracle, ns, false), g->workload);
}

/* What depends on more than speed. */
struct shares {
	struct geomean cost, steady, shift, back;
};

static inline void add_shares(struct shares *m, const struct group *g)
{
	double best = best_at(g, g->latency, true);
	const struct peer *s = g->subject;

	if (!isinf(best))
		geomean_add(&m->cost, best / time_at(g, s, g->latency, true), g->workload);
	if (g->oracle && !strcmp(g->class, "steady"))
		geomean_add(&m->steady, s->last_share / g->oracle->last_share, g->workload);
	if (g->oracle && !strcmp(g->class, "shift"))
		geomean_add(&m->shift, s->share / g->oracle->share, g->workload);
	if (g->nb2 && !strcmp(g->class, "shift") && s->back_model_s > 0)
		geomean_add(&m->back, g->nb2->back_model_s / s->back_model_s, g->workload);
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
	struct speeds s = {};

	for (unsigned int i = 0; i < r->nr; i++)
		if (r->group[i].subject && is_first_latency(r, i))
			add_speeds(&s, &r->group[i], at->ns);
	at->geomean = geomean(&s.best);
	at->least = least(&s.best);
	at->worst = least(&s.first_touch);
	at->oracle = geomean(&s.oracle);
}

static inline void judge(const struct report *r, struct key *k)
{
	struct speeds speeds = {};
	struct shares shares = {};
	double wasted = 0, moved = 0, cpu = 0;
	unsigned int n = 0;

	memset(k, 0, sizeof(*k));
	for (unsigned int i = 0; i < r->nr; i++) {
		const struct group *g = &r->group[i];
		const struct peer *s = g->subject;

		if (!s)
			continue;
		add_speeds(&speeds, g, g->latency);
		add_shares(&shares, g);
		wasted += s->wasted * s->moved_mib;
		moved += s->moved_mib;
		k->wasted_most = fmax(k->wasted_most, s->moved_mib > 4 ? s->wasted : 0);
		k->cpu_most = fmax(k->cpu_most, s->cpu);
		cpu += s->cpu;
		k->cpu_start_s += s->cell[0]->start_ms / 1e3;
		n++;
	}
	k->geomean = geomean(&speeds.best);
	k->least = least(&speeds.best);
	k->least_where = speeds.best.where;
	k->worst = least(&speeds.first_touch);
	k->worst_where = speeds.first_touch.where;
	k->geomean_oracle = geomean(&speeds.oracle);
	k->geomean_cost = geomean(&shares.cost);
	k->least_cost = least(&shares.cost);
	k->steady = geomean(&shares.steady);
	k->steady_least = least(&shares.steady);
	k->shift = geomean(&shares.shift);
	k->shift_least = least(&shares.shift);
	k->back_ratio = geomean(&shares.back);
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
