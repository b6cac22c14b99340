// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Breadth-first search and PageRank on a power-law graph in compressed rows, as in GAP. Edges are
 * most of the memory and are streamed, a row at a time; what is kept per vertex is a tenth of it
 * and is accessed at random, the popular vertices most of all. BFS has phases: its frontier grows
 * from one vertex to most of the graph and shrinks again, so what is hot changes within a second.
 *
 * The target of an edge is drawn as n * u^3, u uniform, and scattered over the vertex numbers: the
 * in-degree of the r-th vertex falls with r^-2/3, so P(degree) with degree^-2.5, as in social
 * graphs and on the web. Out-degrees fall alike, and the same vertices have the most: hubs. The
 * graph is a function of the seed, generated again at the end to check every edge. BFS levels are
 * checked along all edges, PageRank's sum must be 1.
 */
#include <math.h>

#include "workload.h"

#define SCATTER 0x9e3779b1u  /* odd */
#define UNSCATTER 0xe8b2f51u /* its inverse modulo 2^32 */
#define OUT_EXPONENT (-2.0 / 3)
#define STEPS 1024
#define NO_LEVEL UINT32_MAX

enum algo { BFS, PAGERANK };

struct graph {
	struct wl w;
	enum algo algo;
	uint64_t rounds, degree;
	uint32_t nr; /* vertices, a power of two */
	uint32_t out_degree[2]
			   [STEPS]; /* of the vertices by popularity; [1]: within the first step */
	uint64_t *row;		    /* [nr + 1] */
	uint32_t *edge;
	uint32_t *out; /* PageRank: times a vertex is a target */
	uint32_t *level, *queue;
	float *rank, *next;
	uint32_t root;
	uint64_t edges_done;
};

/* Target of an edge; one that was damaged must not lead out of the arrays. */
static inline uint32_t edge_at(const struct graph *g, uint64_t e)
{
	return g->edge[e] & (g->nr - 1);
}

static inline uint32_t scatter(const struct graph *g, uint32_t v)
{
	return v * SCATTER & (g->nr - 1);
}

static double out_weight(unsigned int fine, unsigned int step)
{
	return pow((step + 0.5) / STEPS / (fine ? STEPS : 1), OUT_EXPONENT);
}

/* So that the mean is g->degree at most: rounding leaves some edges out. */
static void plan_degrees(struct graph *g)
{
	double sum = 0;

	for (unsigned int i = 0; i < STEPS; i++)
		sum += out_weight(1, i) / STEPS + (i ? out_weight(0, i) : 0);
	for (unsigned int fine = 0; fine < 2; fine++)
		for (unsigned int i = 0; i < STEPS; i++)
			g->out_degree[fine][i] =
				1 + (g->degree - 1) * out_weight(fine, i) / (sum / STEPS);
}

static uint64_t degree_of(const struct graph *g, uint32_t v)
{
	uint32_t r = v * UNSCATTER & (g->nr - 1), step = g->nr / STEPS;

	return r < step ? g->out_degree[1][(uint64_t)r * STEPS / step] : g->out_degree[0][r / step];
}

/* The third power of a uniform number, in integers, as emulated floating point is slow. */
static inline uint32_t target(const struct graph *g, uint64_t *rng)
{
	uint64_t u = wl_rand(rng) >> 32, cube = (u * u >> 32) * u >> 32;

	return scatter(g, cube * g->nr >> 32);
}

static void plan(struct graph *g)
{
	uint64_t size = g->w.size_mib * WL_MIB;

	/* Per vertex 8 bytes of row and 12 of state, and 4 per edge. */
	for (g->nr = 1 << 10; g->nr < 1u << 30 && 2ull * g->nr * (20 + 4 * g->degree) <= size;)
		g->nr *= 2;
	g->degree = (size / g->nr - 20) / 4;
	plan_degrees(g);
}

static void generate(struct graph *g)
{
	uint64_t rng = wl_seed(g->w.seed, 0), at = 0;

	g->row = wl_alloc(&g->w, (g->nr + 1ULL) * sizeof(*g->row));
	for (uint32_t v = 0; v < g->nr; v++) {
		g->row[v] = at;
		at += degree_of(g, v);
	}
	g->row[g->nr] = at;
	g->edge = wl_alloc(&g->w, at * sizeof(*g->edge));
	for (uint64_t e = 0; e < at; e++)
		g->edge[e] = target(g, &rng);
	wl_extra(&g->w, "\"vertices\":%u,\"edges\":%" PRIu64 ",", g->nr, at);
}

static void setup(struct graph *g)
{
	plan(g);
	generate(g);
	if (g->algo == BFS) {
		g->level = wl_alloc(&g->w, g->nr * sizeof(*g->level));
		g->queue = wl_alloc(&g->w, g->nr * sizeof(*g->queue));
		memset(g->level, 0xff, g->nr * sizeof(*g->level));
		memset(g->queue, 0, g->nr * sizeof(*g->queue));
		return;
	}
	g->out = wl_alloc(&g->w, g->nr * sizeof(*g->out));
	g->rank = wl_alloc(&g->w, g->nr * sizeof(*g->rank));
	g->next = wl_alloc(&g->w, g->nr * sizeof(*g->next));
	memset(g->out, 0, g->nr * sizeof(*g->out));
	for (uint64_t e = 0; e < g->row[g->nr]; e++)
		g->out[g->edge[e]]++;
	for (uint32_t v = 0; v < g->nr; v++) {
		g->rank[v] = 1.0f / g->nr;
		g->next[v] = 0;
	}
}

/* Top-down; returns false when the time is up in the middle of it. */
static bool bfs(struct graph *g)
{
	uint32_t head = 0, tail = 0;

	memset(g->level, 0xff, g->nr * sizeof(*g->level));
	g->level[g->root] = 0;
	g->queue[tail++] = g->root;
	while (head < tail) {
		uint32_t v = g->queue[head++];

		for (uint64_t e = g->row[v]; e < g->row[v + 1]; e++) {
			uint32_t t = edge_at(g, e);

			if (g->level[t] != NO_LEVEL)
				continue;
			g->level[t] = g->level[v] + 1;
			g->queue[tail++] = t;
		}
		g->edges_done += g->row[v + 1] - g->row[v];
		if (head % 4096 == 0 && !wl_tick(&g->w, g->edges_done))
			return false;
	}
	return true;
}

/* Ranks flow from the targets of a vertex's edges to the vertex; vertices nobody targets lose none.
 */
static bool pagerank(struct graph *g)
{
	double lost = 0;
	float *t;

	for (uint32_t v = 0; v < g->nr; v++)
		if (!g->out[v])
			lost += g->rank[v];
	for (uint32_t v = 0; v < g->nr; v++) {
		float sum = 0;

		for (uint64_t e = g->row[v]; e < g->row[v + 1]; e++)
			sum += g->rank[edge_at(g, e)] / g->out[edge_at(g, e)];
		g->next[v] = (0.15f + 0.85f * (float)lost) / g->nr + 0.85f * sum;
		g->edges_done += g->row[v + 1] - g->row[v];
		if (v % 4096 == 0 && !wl_tick(&g->w, g->edges_done))
			return false;
	}
	t = g->rank;
	g->rank = g->next;
	g->next = t;
	return true;
}

static bool run(struct graph *g)
{
	uint64_t rng = wl_seed(g->w.seed, 1);
	bool whole = true;

	wl_start(&g->w);
	for (uint64_t r = 0; whole && (g->w.seconds || r < g->rounds); r++) {
		g->root = target(g, &rng);
		if (r)
			wl_phase(&g->w, r, g->edges_done);
		whole = g->algo == BFS ? bfs(g) : pagerank(g);
	}
	wl_stop(&g->w, g->edges_done);
	return whole;
}

static uint64_t check_levels(const struct graph *g)
{
	uint64_t bad = g->level[g->root] != 0;

	for (uint32_t v = 0; v < g->nr; v++) {
		if (g->level[v] == NO_LEVEL)
			continue;
		for (uint64_t e = g->row[v]; e < g->row[v + 1]; e++)
			bad += g->level[edge_at(g, e)] > g->level[v] + 1;
	}
	return bad;
}

static bool verify(struct graph *g, bool whole)
{
	uint64_t rng = wl_seed(g->w.seed, 0), at = 0, bad = 0;
	double sum = 0;

	for (uint32_t v = 0; v < g->nr; v++) {
		bad += g->row[v] != at;
		at += degree_of(g, v);
	}
	for (uint64_t e = 0; e < at; e++)
		bad += g->edge[e] != target(g, &rng);
	if (bad)
		fprintf(stderr, "graph: %" PRIu64 " wrong edges or rows\n", bad);
	if (g->algo == BFS)
		return !bad && (!whole || !check_levels(g));
	for (uint32_t v = 0; v < g->nr; v++)
		sum += g->rank[v];
	/* Single precision loses about a ten thousandth per round. */
	if (fabs(sum - 1) > 0.02)
		fprintf(stderr, "graph: ranks add up to %g\n", sum);
	return !bad && fabs(sum - 1) <= 0.02;
}

static const struct opt options[] = { OPT_ONE_OF(struct graph, algo, "algo", "bfs|pagerank",
						 "what to compute (bfs)"),
				      OPT_NUMBER(struct graph, rounds, "rounds", 'n', "N", 1, 1e9,
						 "searches from random roots, or iterations (1)"),
				      OPT_NUMBER(struct graph, degree, "degree", 0, "N", 2, 1024,
						 "mean out-degree at least (16)"),
				      {} };

static const char doc[] =
	"Breadth-first search or PageRank on a power-law graph; an op is an edge. One "
	"thread.";

int main(int argc, char **argv)
{
	static struct graph g = { .w = { .name = "graph", .size_mib = 700 },
				  .rounds = 1,
				  .degree = 16 };
	bool whole;

	wl_parse(&g.w, argc, argv, options, &g, doc);
	g.w.threads = 1;
	setup(&g);
	wl_placement(&g.w, "edges", wl_fast_range(&g.w, g.edge, g.row[g.nr] * sizeof(*g.edge)));
	wl_placement(&g.w, "vertices",
		     wl_fast_range(&g.w, g.algo == BFS ? (void *)g.level : (void *)g.rank,
				   g.nr * sizeof(*g.rank)));
	whole = run(&g);
	return wl_finish(&g.w, verify(&g, whole));
}
