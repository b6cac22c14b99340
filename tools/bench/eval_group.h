/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Cells of the same workload, fast tier's size, latency and huge pages are a group; within it each
 * peer's seeds are averaged. Nothing is compared across groups.
 */
#ifndef EVAL_GROUP_H
#define EVAL_GROUP_H

#include "eval_cell.h"

#define MAX_GROUPS 512
#define MAX_PEERS 24
#define MAX_SEEDS 16
#define SUBJECT "hypertier"
#define PLATEAU 0.9 /* of the oracle's share: a phase counts as converged */

struct peer { /* the seeds of one peer in one group, and their mean */
	const char *name;
	struct cell *cell[MAX_SEEDS];
	unsigned int nr;
	double model_s, cost_s, last_model_s, s_per_ns, share, access_share, last_share, wasted,
		cpu, sys;
	double moved_mib, recall, precision, p50, p99, back_model_s, back_wall_s, back_samples;
	double model_spread; /* (max - min) / mean over the seeds */
	bool back_reached;
};

struct group {
	const char *workload, *ratio, *class;
	int latency;
	struct peer peer[MAX_PEERS];
	unsigned int nr;
	const struct peer *all_fast, *oracle, *first_touch, *subject, *nb2;
};

struct report {
	struct cell *cell;
	size_t nr_cells;
	struct group group[MAX_GROUPS];
	unsigned int nr;
};

/* --- Grouping --------------------------------------------------------------------------------- */

static inline struct group *find_group(struct report *r, const struct cell *c)
{
	struct group *g;

	for (unsigned int i = 0; i < r->nr; i++) {
		g = &r->group[i];
		if (!strcmp(g->workload, c->workload) && !strcmp(g->ratio, c->ratio) &&
		    g->latency == c->latency)
			return g;
	}
	if (r->nr == MAX_GROUPS)
		return NULL;
	g = &r->group[r->nr++];
	g->workload = c->workload;
	g->ratio = c->ratio;
	g->class = c->class;
	g->latency = c->latency;
	return g;
}

static inline int add_cell(struct report *r, struct cell *c)
{
	struct group *g = find_group(r, c);
	struct peer *p;
	unsigned int i;

	if (!g)
		return -E2BIG;
	for (i = 0; i < g->nr && strcmp(g->peer[i].name, c->peer); i++)
		;
	if (i == MAX_PEERS)
		return -E2BIG;
	p = &g->peer[i];
	if (i == g->nr) {
		g->nr++;
		p->name = c->peer;
	}
	if (p->nr == MAX_SEEDS)
		return -E2BIG;
	p->cell[p->nr++] = c;
	return 0;
}

static inline const struct peer *find_peer(const struct group *g, const char *name, bool prefix)
{
	for (unsigned int i = 0; i < g->nr; i++)
		if (prefix ? !strncmp(g->peer[i].name, name, strlen(name))
			   : !strcmp(g->peer[i].name, name))
			return &g->peer[i];
	return NULL;
}

/* Those one would use instead: no bounds, nothing of ours. */
static inline bool is_rival(const struct peer *p)
{
	return strcmp(p->name, "all-fast") && strcmp(p->name, "oracle") &&
	       strcmp(p->name, "random") && strncmp(p->name, SUBJECT, strlen(SUBJECT));
}

/* --- Averages --------------------------------------------------------------------------------- */

/* The goals of a group's phases, from the oracle of the same seed where there is one. */
static inline void find_way_back(struct group *g, struct cell *c)
{
	double goal[MAX_PHASES];

	for (unsigned int ph = 0; ph < MAX_PHASES; ph++) {
		goal[ph] = 2;
		for (unsigned int i = 0; g->oracle && i < g->oracle->nr; i++)
			if (g->oracle->cell[i]->seed == c->seed && ph < c->nr_phases)
				goal[ph] = PLATEAU * g->oracle->cell[i]->phase_share[ph];
	}
	find_back_to(c, goal);
}

/* Phases after a shift count; a workload without is judged by its start. */
static inline void mean_way_back(struct peer *p, const struct cell *c)
{
	unsigned int first = c->nr_phases > 1 ? 1 : 0, n = c->nr_phases - first;

	for (unsigned int ph = first; ph < c->nr_phases; ph++) {
		p->back_model_s += c->back_to[ph].model_s / n / p->nr;
		p->back_wall_s += c->back_to[ph].wall_s / n / p->nr;
		p->back_samples += c->back_to[ph].samples / n / p->nr;
		p->back_reached &= c->back_to[ph].reached;
	}
}

static inline void average(struct group *g, struct peer *p)
{
	double least = INFINITY, most = 0;

	p->back_reached = true;
	for (unsigned int i = 0; i < p->nr; i++) {
		struct cell *c = p->cell[i];
		const struct point *z = &c->p[c->nr - 1];

#define MEAN(field, value) p->field += (value) / p->nr
		MEAN(model_s, c->model_s);
		MEAN(cost_s, c->cost_s);
		MEAN(last_model_s, c->last_model_s);
		MEAN(s_per_ns, c->s_per_ns);
		MEAN(share, c->share);
		MEAN(access_share, c->access_share);
		MEAN(last_share, c->last_share);
		MEAN(wasted, cell_wasted(c));
		MEAN(cpu, cell_cpu(c));
		MEAN(sys, cell_sys(c));
		MEAN(moved_mib, (cell_delta(c, up) + cell_delta(c, down)) / 256);
		MEAN(recall, z->recall);
		MEAN(precision, z->precision);
		MEAN(p50, c->latency_ns[0]);
		MEAN(p99, c->latency_ns[2]);
#undef MEAN
		least = fmin(least, c->model_s);
		most = fmax(most, c->model_s);
		find_way_back(g, c);
		mean_way_back(p, c);
	}
	p->model_spread = p->model_s > 0 ? (most - least) / p->model_s : 0;
}

/* With all memory fast neither the fast tier's size nor the slow one's latency matters. */
static inline const struct peer *find_all_fast(const struct report *r, const struct group *g)
{
	const struct peer *p = find_peer(g, "all-fast", false);

	for (unsigned int i = 0; i < r->nr && !p; i++)
		if (!strcmp(r->group[i].workload, g->workload))
			p = find_peer(&r->group[i], "all-fast", false);
	return p;
}

static inline void finish_group(struct group *g)
{
	g->oracle = find_peer(g, "oracle", false);
	for (unsigned int i = 0; i < g->nr; i++)
		average(g, &g->peer[i]);
	g->first_touch = find_peer(g, "first-touch", false);
	g->subject = find_peer(g, SUBJECT, true);
	g->nb2 = find_peer(g, "nb2", false);
}

#endif
