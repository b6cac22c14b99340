// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Look-ups in a B+-tree, as the index of a database: every look-up goes from the root through a few
 * inner nodes, which everybody shares, to one leaf, which few do. Nodes are scattered over memory,
 * as in a tree that has grown by insertion, so hot inner nodes share their pages with cold leaves.
 * Some look-ups go on to read a range of leaves.
 *
 * Each value is a function of its key, checked by every look-up; a walk over all leaves at the end
 * checks that every key is still there, in order, and that the inner nodes lead to it.
 */
#include "zipf.h"

#define FANOUT 15

struct node {
	uint32_t nr;
	uint32_t leaf;
	struct node *next;    /* leaves */
	uint64_t key[FANOUT]; /* inner nodes: smallest key below the child */
	union {
		struct node *child[FANOUT];
		uint64_t value[FANOUT];
	};
};

_Static_assert(sizeof(struct node) == 256, "a node is four cache lines");

struct btree {
	struct wl w;
	double theta, range_share;
	uint64_t ops, range_len, keys, nodes, used, bad;
	struct node *pool, *root, *first;
	struct zipf zipf, place;
	unsigned int height;
};

static inline uint64_t key_of(uint64_t i)
{
	return i * 16 + 5;
}

static inline uint64_t value_of(uint64_t key)
{
	return wl_mix(key ^ 0x5bd1e995);
}

static struct node *new_node(struct btree *b, bool leaf)
{
	struct node *n = &b->pool[zipf_permute(&b->place, b->used++)];

	n->leaf = leaf;
	return n;
}

/* Leaves from left to right, filled to FANOUT. */
static uint64_t build_leaves(struct btree *b, struct node **level)
{
	struct node *n = NULL;
	uint64_t nr = 0;

	for (uint64_t i = 0; i < b->keys; i++) {
		if (!n || n->nr == FANOUT) {
			level[nr++] = new_node(b, true);
			if (n)
				n->next = level[nr - 1];
			n = level[nr - 1];
		}
		n->key[n->nr] = key_of(i);
		n->value[n->nr++] = value_of(key_of(i));
	}
	b->first = level[0];
	return nr;
}

static uint64_t build_level(struct btree *b, struct node **level, uint64_t nr)
{
	struct node *n = NULL;
	uint64_t up = 0;

	for (uint64_t i = 0; i < nr; i++) {
		if (!n || n->nr == FANOUT)
			n = new_node(b, false);
		n->key[n->nr] = level[i]->key[0];
		n->child[n->nr++] = level[i];
		if (n->nr == 1)
			level[up++] = n;
	}
	return up;
}

static void build(struct btree *b)
{
	struct node **level;
	uint64_t nr;

	b->nodes = b->w.size_mib * WL_MIB / sizeof(struct node);
	/* Inner nodes are one in FANOUT - 1 leaves and a few. */
	b->keys = (b->nodes - b->nodes / (FANOUT - 1) - 64) * FANOUT;
	zipf_init(&b->zipf, b->keys, b->theta);
	zipf_init(&b->place, b->nodes, 0);
	b->pool = wl_alloc(&b->w, b->nodes * sizeof(struct node));
	level = calloc(b->nodes, sizeof(*level));
	if (!level) {
		fprintf(stderr, "btree: no memory\n");
		exit(1);
	}
	nr = build_leaves(b, level);
	for (b->height = 1; nr > 1; b->height++)
		nr = build_level(b, level, nr);
	b->root = level[0];
	free(level);
	wl_extra(&b->w, "\"keys\":%" PRIu64 ",\"height\":%u,", b->keys, b->height);
}

/* Position of the last key <= the one looked for. */
static inline unsigned int position(const struct node *n, uint64_t key)
{
	unsigned int i = 1;

	while (i < n->nr && n->key[i] <= key)
		i++;
	return i - 1;
}

/* Whether this can be a node: damage is to be reported, not to be followed. */
static inline bool sound(const struct btree *b, const struct node *n)
{
	return n >= b->pool && n < b->pool + b->nodes && n->nr && n->nr <= FANOUT;
}

/* The leaf a key is in, NULL if the way there is damaged. */
static const struct node *find(const struct btree *b, uint64_t key)
{
	const struct node *n = b->root;

	for (unsigned int level = 1; level < b->height; level++) {
		if (!sound(b, n) || n->leaf)
			return NULL;
		n = n->child[position(n, key)];
	}
	return sound(b, n) && n->leaf ? n : NULL;
}

static void look_up(struct btree *b, uint64_t key, uint64_t range)
{
	const struct node *n = find(b, key);
	unsigned int i;

	if (!n) {
		b->bad++;
		return;
	}
	i = position(n, key);
	b->bad += n->key[i] != key;
	for (; range && n; range--) {
		b->bad += n->value[i] != value_of(n->key[i]);
		if (++i < n->nr)
			continue;
		n = n->next;
		i = 0;
		if (n && !sound(b, n)) {
			b->bad++;
			return;
		}
	}
}

static void one(struct btree *b, uint64_t *rng)
{
	uint64_t key = key_of(zipf_permute(&b->zipf, zipf_rank(&b->zipf, rng)));

	look_up(b, key, wl_unit(rng) < b->range_share ? b->range_len : 1);
}

static uint64_t run(struct btree *b)
{
	uint64_t rng = wl_seed(b->w.seed, 0), done = 0;

	wl_start(&b->w);
	for (; b->w.seconds || done < b->ops; done++) {
		if (b->w.latency && done % 16 == 0) {
			uint64_t t = wl_ns();

			one(b, &rng);
			wl_latency(&b->w, wl_ns() - t);
		} else {
			one(b, &rng);
		}
		if (done % 1024 == 0 && !wl_tick(&b->w, done))
			break;
	}
	wl_stop(&b->w, done);
	return done;
}

static bool verify(struct btree *b)
{
	uint64_t i = 0;

	for (const struct node *n = b->first; n && sound(b, n) && i < b->keys; n = n->next) {
		b->bad += find(b, n->key[0]) != n;
		for (unsigned int k = 0; k < n->nr; k++, i++)
			b->bad += n->key[k] != key_of(i) || n->value[k] != value_of(n->key[k]);
	}
	if (b->bad || i != b->keys)
		fprintf(stderr, "btree: %" PRIu64 " wrong, %" PRIu64 " of %" PRIu64 " keys\n",
			b->bad, i, b->keys);
	return !b->bad && i == b->keys;
}

static const struct opt options[] = {
	OPT_NUMBER(struct btree, ops, "ops", 'n', "N", 1, 1e15, "look-ups (3000000)"),
	OPT_NUMBER(struct btree, theta, "theta", 0, "X", 0, 5,
		   "skew of the keys' popularity (0.99; 0 = uniform)"),
	OPT_NUMBER(struct btree, range_share, "range-share", 0, "X", 0, 1,
		   "share of look-ups that read a range (0.02)"),
	OPT_NUMBER(struct btree, range_len, "range-len", 0, "N", 1, 1e9, "keys in a range (200)"),
	{}
};

static const char doc[] = "Look-ups in a B+-tree. One thread.";

int main(int argc, char **argv)
{
	static struct btree b = { .w = { .name = "btree", .size_mib = 700 },
				  .theta = 0.99,
				  .range_share = 0.02,
				  .range_len = 200,
				  .ops = 3000000 };

	wl_parse(&b.w, argc, argv, options, &b, doc);
	b.w.threads = 1;
	build(&b);
	wl_placement(&b.w, "nodes", wl_fast_range(&b.w, b.pool, b.nodes * sizeof(struct node)));
	run(&b);
	return wl_finish(&b.w, verify(&b));
}
