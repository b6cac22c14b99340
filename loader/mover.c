// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mover.h"

enum { DOWN, UP };

/* Pages gathered in each direction before they move. */
#define BATCH 2048
#define MAX_OPS (BATCH + 2 * HT_TILE_PAGES)
/* A vCPU that the host does not run inflates what is measured; no hardware is that slow. */
#define PAGE_NS_MAX (8 * HT_MOVE_PAGE_NS)
#define LEDGER_ENTRIES (1U << 17)
/* A tile that cannot be moved is left alone for 4 << 7 epochs at most. */
#define MAX_HOLDS 7

struct ht_mover_op {
	uint32_t space, spot;
	uint16_t page;
	uint8_t from, to;
	bool huge, tried; /* tried: in a pair that was not exchanged */
	bool shared;	  /* by several processes */
	uint32_t item;	  /* of the plan */
};

/* One batch of pairs, and which operations they are. */
struct ht_mover_pairs {
	struct ht_xchg_pair pair[HT_XCHG_MAX];
	struct ht_move move[HT_XCHG_MAX];
	uint32_t op[2][HT_XCHG_MAX];
	struct ht_mover_op done[2][HT_XCHG_MAX];
	bool gone[2][MAX_OPS];
};

int ht_mover_init(struct ht_mover *m, bool simulated)
{
	int err;

	memset(m, 0, sizeof(*m));
	m->page_ns = HT_MOVE_PAGE_NS; /* a start, soon replaced by measurement */
	m->op[DOWN] = calloc(MAX_OPS, sizeof(*m->op[0]));
	m->op[UP] = calloc(MAX_OPS, sizeof(*m->op[0]));
	m->addr = calloc(MAX_OPS, sizeof(*m->addr));
	m->node = calloc(MAX_OPS, sizeof(*m->node));
	m->from = calloc(MAX_OPS, sizeof(*m->from));
	m->status = calloc(MAX_OPS, sizeof(*m->status));
	m->pairs = calloc(1, sizeof(*m->pairs));
	err = m->op[DOWN] && m->op[UP] && m->pairs && m->addr && m->node && m->from && m->status
		      ? 0
		      : -ENOMEM;
	err = err ?: ht_ledger_init(&m->ledger, LEDGER_ENTRIES);
	if (!err && !simulated)
		err = ht_migrate_open(&m->migrate);
	if (err)
		ht_mover_free(m);
	return err;
}

void ht_mover_free(struct ht_mover *m)
{
	if (m->migrate)
		ht_migrate_close(m->migrate);
	ht_ledger_free(&m->ledger);
	free(m->op[DOWN]);
	free(m->op[UP]);
	free(m->pairs);
	free(m->addr);
	free(m->node);
	free(m->from);
	free(m->status);
	memset(m, 0, sizeof(*m));
}

static void add_op(struct ht_mover *m, const struct ht_plan_item *it, unsigned int page, bool huge,
		   bool shared)
{
	int dir = it->to > it->from ? DOWN : UP;
	int64_t pages = huge ? HT_TILE_PAGES : 1;

	m->room[it->from] += pages;
	m->room[it->to] -= pages;

	m->op[dir][m->nr[dir]++] = (struct ht_mover_op){ .space = it->space,
							 .spot = it->spot,
							 .page = page,
							 .from = it->from,
							 .to = it->to,
							 .huge = huge,
							 .shared = shared,
							 .item = m->item };
}

/* Names the pages of an item. */
static void expand(struct ht_mover *m, const struct ht_plan_item *it,
		   const struct ht_mover_env *env)
{
	struct ht_space *s = env->space[it->space];
	struct ht_spot *sp = &s->spot[it->spot];
	uint64_t mask[HT_TILE_PAGES / 64];
	unsigned int p, nr = 0, held = 0;
	int64_t limit = HT_TILE_PAGES;
	bool shared;
	int err = 0;

	if (s->error)
		return;
	if (m->migrate && sp->queried != env->epoch)
		err = ht_space_query(s, sp, env->placement, env->tiers, env->epoch);
	if (err) {
		s->error = err;
		return;
	}
	shared = sp->flags & HT_SPOT_SHARES;
	/*
	 * A promotion's demotions come first. Where the ledger held some of them back, or they were
	 * not there any more, as much less goes up.
	 */
	if (it->to < it->from)
		limit = m->room[it->to];
	if (sp->flags & HT_SPOT_THP) {
		/* Moved in part, or put together by khugepaged since some of it was planned for. */
		if (sp->in_tier[it->from] != HT_TILE_PAGES || it->pages < HT_TILE_PAGES)
			m->stats.stale += it->pages;
		else if (limit >= HT_TILE_PAGES &&
			 ht_ledger_may(&m->ledger, ht_space_id(s), sp->va, it->to, env->epoch))
			add_op(m, it, 0, true, shared);
		return;
	}
	ht_ranges_pages(env->hm, sp, it->levels, mask);
	for (p = 0; p < HT_TILE_PAGES && nr < it->pages && nr < limit; p++) {
		if (!(mask[p / 64] >> (p % 64) & 1) || ht_spot_tier(sp, p) != it->from)
			continue;
		if (!ht_ledger_may(&m->ledger, ht_space_id(s),
				   sp->va + ((uint64_t)p << HT_PAGE_SHIFT), it->to, env->epoch)) {
			held++;
			continue;
		}
		add_op(m, it, p, false, shared);
		nr++;
	}
	if (nr < limit)
		m->stats.stale += it->pages > nr + held ? it->pages - nr - held : 0;
}

static int cmp_op(const void *a, const void *b)
{
	const struct ht_mover_op *x = a, *y = b;

	if (x->space != y->space)
		return x->space < y->space ? -1 : 1;
	if (x->huge != y->huge)
		return x->huge - y->huge;
	if (x->shared != y->shared)
		return x->shared - y->shared;
	if (x->to != y->to)
		return x->to - y->to;
	if (x->spot != y->spot)
		return x->spot < y->spot ? -1 : 1;
	return x->page - y->page;
}

/* Nothing the next epoch could do better: leaves the tile alone, twice as long each time. */
static void back_off(struct ht_spot *sp, uint32_t epoch)
{
	if (sp->hold > epoch)
		return; /* another page of it has said so */
	if (sp->holds < MAX_HOLDS)
		sp->holds++;
	sp->hold = epoch + (HT_LEDGER_HOLD << sp->holds);
}

/*
 * A page is busy for a moment, or pinned for good. A tile of which all that was tried is busy gets
 * a second try at once, then longer and longer pauses: it would use up the budget each epoch.
 */
static void back_off_busy(struct ht_mover *m, const struct ht_mover_op *op, size_t nr,
			  const struct ht_mover_env *env)
{
	size_t i, j;

	for (i = 0; i < nr; i = j) {
		struct ht_spot *sp = &env->space[op[i].space]->spot[op[i].spot];
		bool busy = true;

		for (j = i; j < nr && op[j].space == op[i].space && op[j].spot == op[i].spot; j++)
			busy = busy && m->status[j] == HT_OUT_EBUSY;
		if (busy && sp->holds)
			back_off(sp, env->epoch);
		else if (busy)
			sp->holds = 1;
	}
}

/* Books what one batch did: the shadow placement, the ledger, the counters. */
static void book(struct ht_mover *m, const struct ht_mover_op *op, size_t nr,
		 const struct ht_mover_env *env, int dir)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		struct ht_space *s = env->space[op[i].space];
		struct ht_spot *sp = &s->spot[op[i].spot];
		uint32_t pages = op[i].huge ? HT_TILE_PAGES : 1;

		if (m->status[i] != HT_OUT_MOVED) {
			m->stats.failed += pages;
			m->room[op[i].from] -= pages;
			m->room[op[i].to] += pages;
			sp->queried = 0;
			if (m->status[i] == HT_OUT_EACCES || m->status[i] == HT_OUT_EFAULT)
				back_off(sp, env->epoch);
			continue;
		}
		sp->holds = 0;
		ht_space_moved(s, sp, op[i].page, pages, op[i].to);
		sp->moved = env->epoch;
		sp->moved_to = op[i].to;
		ht_ledger_note(&m->ledger, ht_space_id(s), m->addr[i], op[i].to, env->epoch, pages);
		if (dir == UP)
			m->stats.promoted += pages;
		else
			m->stats.demoted += pages;
	}
	back_off_busy(m, op, nr, env);
}

static void learn_cost(struct ht_mover *m, double page_ns)
{
	if (page_ns > PAGE_NS_MAX)
		page_ns = PAGE_NS_MAX;
	m->page_ns += (page_ns - m->page_ns) / 8;
}

static int move_some(struct ht_mover *m, const struct ht_mover_op *op, size_t nr, int node,
		     const struct ht_mover_env *env, int dir)
{
	struct ht_space *s = env->space[op->space];
	struct ht_migrate_batch b = { .pid = s->tgid,
				      .huge = op->huge,
				      .shared = op->shared,
				      .nr = nr,
				      .addr = m->addr,
				      .node = m->node,
				      .from = m->from,
				      .status = m->status };
	uint64_t start, moved = m->stats.promoted + m->stats.demoted;
	size_t i;
	int err;

	for (i = 0; i < nr; i++) {
		m->addr[i] = s->spot[op[i].spot].va + ((uint64_t)op[i].page << HT_PAGE_SHIFT);
		m->node[i] = node;
		/* The tier is known, and it is not the destination's: any of its nodes will do. */
		m->from[i] = env->tiers->tier[op[i].from].node[0];
	}
	start = ht_now_ns();
	if (!m->migrate) {
		for (i = 0; i < nr; i++)
			m->status[i] = HT_OUT_MOVED;
		book(m, op, nr, env, dir);
		return 0;
	}
	err = ht_migrate_move(m->migrate, &b);
	if (err == -ESRCH || err == -EPERM)
		s->error = err;
	book(m, op, nr, env, dir);
	moved = m->stats.promoted + m->stats.demoted - moved;
	if (moved >= 64)
		learn_cost(m, (double)(ht_now_ns() - start) / moved);
	return err;
}

/* Everything gathered in one direction, a call for each process and destination. */
static void flush_dir(struct ht_mover *m, int dir, const struct ht_mover_env *env)
{
	struct ht_mover_op *op = m->op[dir];
	size_t i, j;
	int node;

	qsort(op, m->nr[dir], sizeof(*op), cmp_op);
	for (i = 0; i < m->nr[dir]; i = j) {
		for (j = i + 1; j < m->nr[dir]; j++)
			if (op[j].space != op[i].space || op[j].huge != op[i].huge ||
			    op[j].shared != op[i].shared || op[j].to != op[i].to)
				break;
		if (env->space[op[i].space]->error)
			continue;
		node = m->migrate ? ht_tiers_pick_node(env->tiers, env->roots, op[i].to) : 0;
		if (node >= 0)
			move_some(m, &op[i], j - i, node, env, dir);
	}
	m->nr[dir] = 0;
}

static uint64_t op_addr(const struct ht_mover_op *op, const struct ht_mover_env *env)
{
	return env->space[op->space]->spot[op->spot].va + ((uint64_t)op->page << HT_PAGE_SHIFT);
}

static bool can_pair(struct ht_mover *m, int dir, size_t i, bool huge,
		     const struct ht_mover_env *env)
{
	const struct ht_mover_op *op = &m->op[dir][i];

	return op->huge == huge && !op->tried && !op->shared && !m->pairs->gone[dir][i] &&
	       !env->space[op->space]->error;
}

/* The next promotions and demotions between the same tiers, in the plan's order. */
static size_t find_pairs(struct ht_mover *m, bool huge, const struct ht_mover_env *env)
{
	size_t nr = 0, max = ht_migrate_pairs_max(huge), u, d = 0;
	struct ht_mover_pairs *p = m->pairs;

	for (u = 0; u < m->nr[UP] && nr < max; u++) {
		const struct ht_mover_op *up = &m->op[UP][u], *down;

		if (!can_pair(m, UP, u, huge, env))
			continue;
		while (d < m->nr[DOWN] &&
		       (!can_pair(m, DOWN, d, huge, env) || m->op[DOWN][d].to != up->from ||
			m->op[DOWN][d].from != up->to))
			d++;
		if (d == m->nr[DOWN])
			break;
		down = &m->op[DOWN][d];
		p->pair[nr] = (struct ht_xchg_pair){ .hot = op_addr(up, env),
						     .cold = op_addr(down, env),
						     .hot_pid = env->space[up->space]->tgid,
						     .cold_pid = env->space[down->space]->tgid };
		p->move[nr] =
			env->move ? env->move[up->item]
				  : (struct ht_move){ .from_tier = up->from, .to_tier = up->to };
		p->op[UP][nr] = u;
		p->op[DOWN][nr++] = d++;
	}
	return nr;
}

/* What the policy refused at the last moment is not moved in another way. */
static void book_pairs(struct ht_mover *m, size_t nr, const struct ht_mover_env *env, int dir)
{
	struct ht_mover_pairs *p = m->pairs;
	size_t i, n = 0;

	for (i = 0; i < nr; i++) {
		struct ht_mover_op *op = &m->op[dir][p->op[dir][i]];

		if (p->pair[i].status != HT_XCHG_DONE && p->pair[i].status != HT_XCHG_REFUSED) {
			op->tried = true;
			continue;
		}
		p->gone[dir][p->op[dir][i]] = true;
		m->addr[n] = dir == UP ? p->pair[i].hot : p->pair[i].cold;
		m->status[n] = p->pair[i].status == HT_XCHG_DONE ? HT_OUT_MOVED : HT_OUT_OTHER;
		p->done[dir][n++] = *op;
	}
	book(m, p->done[dir], n, env, dir);
}

/* Operations that are done leave, the others close up and go by move_pages. */
static void keep_rest(struct ht_mover *m, int dir)
{
	size_t i, n = 0;

	for (i = 0; i < m->nr[dir]; i++)
		if (!m->pairs->gone[dir][i])
			m->op[dir][n++] = m->op[dir][i];
	m->nr[dir] = n;
	memset(m->pairs->gone[dir], 0, sizeof(m->pairs->gone[dir]));
}

/* Pairs what goes up with what comes down, as far as it goes. */
static void exchange(struct ht_mover *m, const struct ht_mover_env *env)
{
	uint64_t start;
	size_t nr;
	int huge, done;

	for (huge = 0; huge < 2; huge++) {
		while ((nr = find_pairs(m, huge, env))) {
			start = ht_now_ns();
			done = ht_migrate_exchange(m->migrate, m->pairs->pair, nr, huge,
						   m->pairs->move);
			book_pairs(m, nr, env, DOWN);
			book_pairs(m, nr, env, UP);
			if (done >= 32 || (huge && done > 0))
				learn_cost(m, (double)(ht_now_ns() - start) /
						      (2 * done * (huge ? HT_TILE_PAGES : 1)));
		}
	}
	keep_rest(m, DOWN);
	keep_rest(m, UP);
}

static void count_dry(struct ht_mover *m)
{
	size_t i;

	for (i = 0; i < m->nr[UP]; i++)
		m->stats.would_promote += m->op[UP][i].huge ? HT_TILE_PAGES : 1;
	for (i = 0; i < m->nr[DOWN]; i++)
		m->stats.would_demote += m->op[DOWN][i].huge ? HT_TILE_PAGES : 1;
	m->nr[UP] = m->nr[DOWN] = 0;
}

static void flush(struct ht_mover *m, const struct ht_mover_env *env)
{
	if (env->dry_run) {
		count_dry(m);
		return;
	}
	if (m->migrate && ht_migrate_pairs(m->migrate))
		exchange(m, env);
	flush_dir(m, DOWN, env);
	flush_dir(m, UP, env);
}

/*
 * Of a promotion some pages may stay: held by the ledger, or gone. As many demotions that were to
 * make room for it then stay as well; else the room would be filled again in the next epoch, with
 * what has just left it.
 */
static void take_back_victims(struct ht_mover *m, const struct ht_plan *plan, size_t item,
			      uint32_t stayed)
{
	uint8_t tier = plan->item[item].to;

	while (m->nr[DOWN]) {
		const struct ht_mover_op *op = &m->op[DOWN][m->nr[DOWN] - 1];
		uint32_t pages = op->huge ? HT_TILE_PAGES : 1;

		if (plan->item[op->item].serves != (int32_t)item || pages > stayed ||
		    m->room[tier] < pages)
			return;
		m->room[op->from] -= pages;
		m->room[op->to] += pages;
		stayed -= pages;
		m->nr[DOWN]--;
	}
}

/* Gathers the pages of one item. */
static void gather(struct ht_mover *m, const struct ht_plan *plan, size_t i,
		   const struct ht_mover_env *env)
{
	const struct ht_plan_item *it = &plan->item[i];
	uint32_t before = m->nr[UP], moved;

	m->item = i;
	expand(m, it, env);
	if (it->to > it->from)
		return;
	moved = m->nr[UP] - before;
	if (moved && m->op[UP][m->nr[UP] - 1].huge)
		moved *= HT_TILE_PAGES;
	if (moved < it->pages)
		take_back_victims(m, plan, i, it->pages - moved);
}

int ht_mover_run(struct ht_mover *m, const struct ht_plan *plan, const struct ht_mover_env *env)
{
	size_t i;

	memcpy(m->room, env->room, sizeof(m->room));
	for (i = 0; i < plan->nr; i++) {
		const struct ht_plan_item *it = &plan->item[i];
		bool up = it->to < it->from, full;

		if (it->admitted)
			gather(m, plan, i, env);
		/* After a promotion the demotions it needs have been gathered as well. */
		full = up && (m->nr[UP] >= BATCH || m->nr[DOWN] >= BATCH);
		full |= m->nr[UP] + HT_TILE_PAGES > MAX_OPS;
		full |= m->nr[DOWN] + HT_TILE_PAGES > MAX_OPS;
		if (!full)
			continue;
		flush(m, env);
		if (ht_now_ns() > env->deadline_ns)
			return 0;
	}
	flush(m, env);
	return 0;
}
