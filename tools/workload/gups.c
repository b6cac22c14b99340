// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * GUPS, random updates of a table, with a hot set: the standard micro-benchmark of tiering systems,
 * as its hot set is known and its accesses defy caches and prefetching. A share of the updates goes
 * to the hot set, the rest to the whole table. Three layouts ask different things of a policy:
 *
 *	contig	one piece: any range-based method finds it
 *	scatter	4 KiB pages spread over the table: only page detail finds them
 *	sparse	the same number of hot pages in every 2 MiB: huge pages hide them
 *
 * The hot set can move after a number of updates (drift). --hot-share 0 is the uniform worst case,
 * where there is nothing to gain and moving pages can only cost.
 *
 * A cell is one word per 64-byte line, which starts as a function of its place and is incremented
 *by each update. In the end every cell must have grown by a plausible count, and the counts, also
 * weighted by a hash of the place, must add up to what the threads did: a page lost, exchanged with
 * another or moved while it was written to shows. Threads own every n-th cell, so updates need no
 * atomics.
 */
#include <pthread.h>

#include "workload.h"

#define CELL 64
#define CELLS_PER_PAGE (WL_PAGE / CELL)
#define PAGES_PER_HUGE (WL_HUGE / WL_PAGE)
#define BATCH 16384
#define SPARSE_STEP 167 /* odd: walks through all pages of a 2 MiB piece */

enum layout { CONTIG, SCATTER, SPARSE };
enum mode { UPDATE, READ, WRITE };
enum first { FIRST_LINEAR, FIRST_COLD, FIRST_HOT };

struct gups {
	struct wl w;
	enum layout layout;
	enum mode mode;
	enum first first;
	double hot_mib, hot_share;
	uint64_t updates, shift_after;
	char *table;
	uint64_t pages, hot_pages, huge;
	uint64_t step; /* SCATTER: odd distance of neighbours in the hot set */
	volatile bool stop;
};

struct worker {
	struct gups *g;
	pthread_t thread;
	unsigned int id;
	uint64_t done, sum, weighted, bad;
};

/* --- The hot set ------------------------------------------------------------------------------ */

/* Page of the table that is number k of the hot set after its shift-th move. */
static inline __attribute__((always_inline)) uint64_t
hot_page(const struct gups *g, enum layout layout, uint64_t k, uint64_t shift)
{
	uint64_t huge, slot;

	switch (layout) {
	case CONTIG:
		/* Golden-section steps: neither the old place nor one close to it. */
		return k + (uint64_t)((g->pages - g->hot_pages + 1) *
				      __builtin_fmod(0.9 + shift * 0.61803398875, 1));
	case SCATTER:
		return (k + shift * g->hot_pages) * g->step % g->pages;
	case SPARSE:
		huge = k % g->huge;
		slot = k / g->huge + shift * (g->hot_pages / g->huge);
		return huge * PAGES_PER_HUGE + (slot * SPARSE_STEP + wl_mix(huge)) % PAGES_PER_HUGE;
	}
	return 0;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t t = a % b;

		a = b;
		b = t;
	}
	return a;
}

static void plan(struct gups *g)
{
	g->pages = g->w.size_mib * WL_MIB / WL_PAGE;
	g->huge = g->pages / PAGES_PER_HUGE;
	g->hot_pages = g->hot_mib * WL_MIB / WL_PAGE;
	/* Cells are dealt out to threads by their number in the hot set or in the table. */
	if (g->w.threads & (g->w.threads - 1)) {
		fprintf(stderr, "gups: --threads must be a power of two\n");
		exit(2);
	}
	if (g->layout == SPARSE)
		g->hot_pages = g->hot_pages / g->huge * g->huge;
	g->step = (uint64_t)(g->pages * 0.61803398875) | 1;
	while (gcd(g->step, g->pages) != 1)
		g->step += 2;
	if (g->hot_share > 0 && (!g->hot_pages || g->hot_pages > g->pages)) {
		fprintf(stderr, "gups: --hot must be from %s to --size\n",
			g->layout == SPARSE ? "one page per 2 MiB" : "one page");
		exit(2);
	}
}

/* --- The table -------------------------------------------------------------------------------- */

static inline uint64_t first_value(const struct gups *g, uint64_t cell)
{
	return (cell + g->w.seed) * 0x9e3779b97f4a7c15ULL;
}

static void fill_page(struct gups *g, uint64_t page)
{
	for (uint64_t c = page * CELLS_PER_PAGE; c < (page + 1) * CELLS_PER_PAGE; c++)
		*(uint64_t *)(g->table + c * CELL) = first_value(g, c);
}

static void fill(struct gups *g)
{
	uint8_t *hot = calloc(1, g->pages);

	if (!hot) {
		fprintf(stderr, "gups: no memory\n");
		exit(1);
	}
	for (uint64_t k = 0; g->hot_share > 0 && k < g->hot_pages; k++)
		hot[hot_page(g, g->layout, k, 0)] = 1;
	/* Linear: all in one pass. Otherwise those wanted first, then the others. */
	for (int pass = 0; pass < (g->first == FIRST_LINEAR ? 1 : 2); pass++)
		for (uint64_t p = 0; p < g->pages; p++)
			if (g->first == FIRST_LINEAR || hot[p] == ((g->first == FIRST_HOT) ^ pass))
				fill_page(g, p);
	free(hot);
}

static void show_placement(struct gups *g)
{
	uint64_t nr = g->hot_pages < 16384 ? g->hot_pages : 16384;
	void **pages = calloc(nr ? nr : 1, sizeof(*pages));

	for (uint64_t i = 0; pages && i < nr; i++)
		pages[i] = g->table + hot_page(g, g->layout, i * g->hot_pages / nr, 0) * WL_PAGE;
	if (pages && nr && g->hot_share > 0)
		wl_placement(&g->w, "hot", wl_fast_pages(&g->w, pages, nr));
	wl_placement(&g->w, "all", wl_fast_range(&g->w, g->table, g->pages * WL_PAGE));
	free(pages);
}

/* Counts of all cells against what the workers say they did. */
static bool verify(struct gups *g, const struct worker *workers)
{
	uint64_t sum = 0, weighted = 0, done = 0, done_weighted = 0, bad = 0;
	uint64_t max = g->mode == READ ? 0 : g->mode == WRITE ? 1 : ~0ULL >> 1;

	for (unsigned int t = 0; t < g->w.threads; t++) {
		done += workers[t].sum;
		done_weighted += workers[t].weighted;
		bad += workers[t].bad;
	}
	if (max > done && g->mode == UPDATE)
		max = done;
	for (uint64_t c = 0; c < g->pages * CELLS_PER_PAGE; c++) {
		uint64_t count = *(uint64_t *)(g->table + c * CELL) - first_value(g, c);

		bad += count > max;
		sum += count;
		weighted += count * c;
	}
	if (bad)
		fprintf(stderr, "gups: %" PRIu64 " cells hold what was never written\n", bad);
	if (g->mode != UPDATE)
		return !bad;
	if (sum != done || weighted != done_weighted)
		fprintf(stderr, "gups: the table has %" PRIu64 " updates, %" PRIu64 " were made\n",
			sum, done);
	return !bad && sum == done && weighted == done_weighted;
}

/* --- The loop --------------------------------------------------------------------------------- */

/*
 * One batch; layout, mode and whether there are several threads are constants in each of the copies
 * below, and one random number serves both choices, so that everything stays in registers: a
 * variable on the stack would be one more access, to a page that is always fast.
 */
static inline __attribute__((always_inline)) uint64_t batch(const struct gups *g, struct worker *k,
							    uint64_t rng, uint64_t shift,
							    enum layout layout, enum mode mode,
							    bool many)
{
	uint64_t n = many ? g->w.threads : 1, id = k->id;
	uint64_t cells = g->pages * CELLS_PER_PAGE / n;
	uint64_t hot_cells = g->hot_pages * CELLS_PER_PAGE / n;
	uint64_t base = layout == CONTIG ? hot_page(g, layout, 0, shift) * CELLS_PER_PAGE : 0;
	uint32_t threshold = g->hot_share >= 1 ? ~0u : (uint32_t)(g->hot_share * 0x1p32);
	uint64_t weighted = 0, bad = 0;
	char *table = g->table;

	for (unsigned int i = 0; i < BATCH; i++) {
		uint64_t r = wl_rand(&rng), c;
		bool hot = (uint32_t)r < threshold;
		uint64_t *cell;

		c = (unsigned __int128)r * (hot ? hot_cells : cells) >> 64;
		if (many)
			c = c * n + id;
		if (hot && layout == CONTIG)
			c += base;
		else if (hot)
			c = hot_page(g, layout, c / CELLS_PER_PAGE, shift) * CELLS_PER_PAGE +
			    c % CELLS_PER_PAGE;
		cell = (uint64_t *)(table + c * CELL);
		if (mode == UPDATE)
			*(volatile uint64_t *)cell += 1;
		else if (mode == WRITE)
			*(volatile uint64_t *)cell = first_value(g, c) + 1;
		else
			bad += *(volatile uint64_t *)cell != first_value(g, c);
		weighted += c;
	}
	k->weighted += weighted;
	k->bad += bad;
	return rng;
}

#define BATCH_FN(name, layout, mode)                                                               \
	static __attribute__((noinline)) uint64_t name(const struct gups *g, struct worker *k,     \
						       uint64_t rng, uint64_t shift)               \
	{                                                                                          \
		return batch(g, k, rng, shift, layout, mode, false);                               \
	}                                                                                          \
	static __attribute__((noinline))                                                           \
	uint64_t name##_many(const struct gups *g, struct worker *k, uint64_t rng, uint64_t shift) \
	{                                                                                          \
		return batch(g, k, rng, shift, layout, mode, true);                                \
	}
BATCH_FN(contig_update, CONTIG, UPDATE)
BATCH_FN(contig_read, CONTIG, READ)
BATCH_FN(contig_write, CONTIG, WRITE)
BATCH_FN(scatter_update, SCATTER, UPDATE)
BATCH_FN(scatter_read, SCATTER, READ)
BATCH_FN(scatter_write, SCATTER, WRITE)
BATCH_FN(sparse_update, SPARSE, UPDATE)
BATCH_FN(sparse_read, SPARSE, READ)
BATCH_FN(sparse_write, SPARSE, WRITE)

typedef uint64_t (*batch_fn)(const struct gups *, struct worker *, uint64_t, uint64_t);
static const batch_fn batches[2][3][3] = {
	{ { contig_update, contig_read, contig_write },
	  { scatter_update, scatter_read, scatter_write },
	  { sparse_update, sparse_read, sparse_write } },
	{ { contig_update_many, contig_read_many, contig_write_many },
	  { scatter_update_many, scatter_read_many, scatter_write_many },
	  { sparse_update_many, sparse_read_many, sparse_write_many } },
};

/* All threads go through the shifts at the same count; the first one tells the emulator. */
static void *work(void *arg)
{
	struct worker *k = arg;
	struct gups *g = k->g;
	batch_fn fn = batches[g->w.threads > 1][g->layout][g->mode];
	uint64_t rng = wl_seed(g->w.seed, k->id), shift = 0, per_thread;

	per_thread = g->w.seconds ? ~0ULL : g->updates / g->w.threads;
	while (k->done < per_thread && !g->stop) {
		rng = fn(g, k, rng, shift);
		k->done += BATCH;
		if (!k->id && !wl_tick(&g->w, k->done * g->w.threads))
			g->stop = true;
		if (!g->shift_after || k->done * g->w.threads < g->shift_after * (shift + 1))
			continue;
		shift++;
		if (!k->id)
			wl_phase(&g->w, shift, k->done * g->w.threads);
	}
	k->sum = k->done;
	return NULL;
}

static uint64_t run(struct gups *g, struct worker *workers)
{
	uint64_t ops = 0;

	for (unsigned int t = 0; t < g->w.threads; t++)
		workers[t] = (struct worker){ .g = g, .id = t };
	wl_start(&g->w);
	for (unsigned int t = 1; t < g->w.threads; t++) {
		if (pthread_create(&workers[t].thread, NULL, work, &workers[t])) {
			fprintf(stderr, "gups: cannot start a thread\n");
			exit(1);
		}
	}
	work(&workers[0]);
	for (unsigned int t = 1; t < g->w.threads; t++)
		pthread_join(workers[t].thread, NULL);
	for (unsigned int t = 0; t < g->w.threads; t++)
		ops += workers[t].done;
	wl_stop(&g->w, ops);
	return ops;
}

/* --- Options ---------------------------------------------------------------------------------- */

static const struct opt options[] = {
	OPT_NUMBER(struct gups, updates, "updates", 'n', "N", 1, 1e15, "updates in all (20000000)"),
	OPT_NUMBER(struct gups, hot_mib, "hot", 0, "MIB", 0, 1 << 24, "size of the hot set (100)"),
	OPT_NUMBER(struct gups, hot_share, "hot-share", 0, "X", 0, 1,
		   "share of updates that go to it (0.9; 0 = uniform)"),
	OPT_ONE_OF(struct gups, layout, "layout", "contig|scatter|sparse",
		   "where it lies (contig)"),
	OPT_NUMBER(struct gups, shift_after, "shift-after", 0, "N", 1, 1e15,
		   "move the hot set every N updates (never)"),
	OPT_SETS(struct gups, first, "slow-first", FIRST_COLD,
		 "touch it last, when fast memory is full"),
	OPT_SETS(struct gups, first, "fast-first", FIRST_HOT, "touch it first"),
	OPT_SETS(struct gups, mode, "read-only", READ, "read cells instead of updating them"),
	OPT_SETS(struct gups, mode, "write-only", WRITE,
		 "overwrite cells instead of updating them"),
	{}
};

static const char doc[] = "Random updates of a table with a hot set.";

int main(int argc, char **argv)
{
	static struct gups g = { .w = { .name = "gups", .size_mib = 700 },
				 .hot_mib = 100,
				 .hot_share = 0.9,
				 .updates = 20000000 };
	static struct worker workers[64];

	wl_parse(&g.w, argc, argv, options, &g, doc);
	plan(&g);
	g.table = wl_alloc(&g.w, g.pages * WL_PAGE);
	fill(&g);
	show_placement(&g);
	run(&g, workers);
	return wl_finish(&g.w, verify(&g, workers));
}
