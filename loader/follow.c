// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Targets and their address spaces. Three views are kept in step: the loader's list of processes
 * (targets.c), one struct ht_space for each, and the BPF map "targets", by which the sampler knows
 * whom to count.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "engine.h"
#include "log.h"

#define SCAN_MS 1000 /* /proc is looked through this often */
#define MAP_MS 2000  /* mappings are read again this often, or when samples fall outside */
#define BATCH 1024

static size_t space_index(const struct ht_engine *e, pid_t tgid)
{
	size_t lo = 0, hi = e->nr_space, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (e->space[mid]->tgid < tgid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct ht_space *find_space(const struct ht_engine *e, pid_t tgid)
{
	size_t i = space_index(e, tgid);

	return i < e->nr_space && e->space[i]->tgid == tgid ? e->space[i] : NULL;
}

static int add_space(struct ht_engine *e, pid_t tgid)
{
	size_t i = space_index(e, tgid);
	struct ht_space **n, *s;

	if (i < e->nr_space && e->space[i]->tgid == tgid)
		return 0;
	if (e->nr_space == e->cap_space) {
		n = reallocarray(e->space, e->cap_space ? e->cap_space * 2 : 16, sizeof(*n));
		if (!n)
			return -ENOMEM;
		e->space = n;
		e->cap_space = e->cap_space ? e->cap_space * 2 : 16;
	}
	s = malloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	ht_space_init(s, tgid);
	s->life = e->lives++;
	memmove(&e->space[i + 1], &e->space[i], (e->nr_space - i) * sizeof(*e->space));
	e->space[i] = s;
	e->nr_space++;
	return 0;
}

static void del_space(struct ht_engine *e, pid_t tgid)
{
	size_t i = space_index(e, tgid);

	if (i >= e->nr_space || e->space[i]->tgid != tgid)
		return;
	ht_space_free(e->space[i]);
	free(e->space[i]);
	e->nr_space--;
	memmove(&e->space[i], &e->space[i + 1], (e->nr_space - i) * sizeof(*e->space));
}

static void added(void *arg, const struct ht_proc *p)
{
	struct ht_engine *e = arg;
	struct ht_target t = { .tgid = p->tgid, .ppid = p->ppid, .flags = HT_TARGET_FOLLOW };
	uint32_t key = p->tgid;

	memcpy(t.comm, p->comm, sizeof(t.comm));
	if (bpf_map_update_elem(e->policy->map_targets, &key, &t, BPF_ANY)) {
		pr_warn("cannot follow %s (%d): %s", p->comm, p->tgid, strerror(errno));
		return;
	}
	if (add_space(e, p->tgid))
		pr_warn("cannot follow %s (%d): out of memory", p->comm, p->tgid);
	pr_debug("target %s (%d), %lu MiB", p->comm, p->tgid, (unsigned long)(p->rss_bytes >> 20));
}

static void removed(void *arg, const struct ht_proc *p)
{
	struct ht_engine *e = arg;
	uint32_t key = p->tgid;

	bpf_map_delete_elem(e->policy->map_targets, &key);
	ht_heatmap_release(&e->heat, p->tgid, 0, ~0ULL);
	ht_placement_forget(e->placement, p->tgid);
	del_space(e, p->tgid);
	pr_debug("target %s (%d) is gone", p->comm, p->tgid);
}

/* Nothing known of it holds any more. */
static void forget(struct ht_space *s, uint32_t life)
{
	pid_t tgid = s->tgid;

	ht_space_free(s);
	ht_space_init(s, tgid);
	s->life = life;
}

/* The address space was replaced. */
static void execed(struct ht_engine *e, pid_t tgid)
{
	struct ht_space *s = find_space(e, tgid);

	ht_heatmap_release(&e->heat, tgid, 0, ~0ULL);
	ht_placement_forget(e->placement, tgid);
	if (s)
		forget(s, e->lives++);
}

/* It came and went between two looks: it never was on our list, but may have been sampled. */
static void drop_unseen(struct ht_engine *e, uint32_t tgid)
{
	bpf_map_delete_elem(e->policy->map_targets, &tgid);
	ht_heatmap_release(&e->heat, tgid, 0, ~0ULL);
}

static void handle(struct ht_engine *e, const struct ht_target *t,
		   const struct ht_target_events *ev)
{
	struct ht_target clear = *t;
	uint32_t key = t->tgid;

	if (t->flags & HT_TARGET_FORKED)
		e->forked_epoch = e->epoch;
	if (t->flags & HT_TARGET_EXITED) {
		if (ht_targets_remove(&e->targets, t->tgid, ev) == -ENOENT)
			drop_unseen(e, t->tgid);
		return;
	}
	if (!(t->flags & (HT_TARGET_FORKED | HT_TARGET_EXECED)))
		return;
	clear.flags &= ~(HT_TARGET_FORKED | HT_TARGET_EXECED);
	if (t->flags & HT_TARGET_FORKED && ht_targets_add_child(&e->targets, t->tgid, ev)) {
		drop_unseen(e, t->tgid);
		return;
	}
	if (t->flags & HT_TARGET_EXECED)
		execed(e, t->tgid);
	bpf_map_update_elem(e->policy->map_targets, &key, &clear, BPF_EXIST);
}

/* What the fork, exec and exit programs noted since the last epoch. */
static void handle_events(struct ht_engine *e, const struct ht_target_events *ev)
{
	struct ht_target *val = calloc(BATCH, sizeof(*val));
	uint32_t *key = calloc(BATCH, sizeof(*key)), pos = 0, nr, i;
	void *in = NULL;
	int err = 0;

	while (val && key && !err) {
		nr = BATCH;
		err = bpf_map_lookup_batch(e->policy->map_targets, in, &pos, key, val, &nr, NULL);
		if (err && errno != ENOENT)
			break;
		for (i = 0; i < nr; i++)
			handle(e, &val[i], ev);
		in = &pos;
	}
	free(val);
	free(key);
}

static bool due(const struct ht_engine *e, unsigned int every_ms)
{
	unsigned int n = every_ms / e->cfg->epoch_ms;

	return e->epoch % (n ? n : 1) == 0;
}

/* Heat of memory that was unmapped: tiles still without a spot after a fresh look. */
static bool is_orphan(uint64_t va, void *space)
{
	return !ht_space_find(space, va);
}

static void update_space(struct ht_engine *e, struct ht_space *s)
{
	struct ht_proc *p = ht_targets_find(&e->targets, s->tgid);
	int err;

	ht_space_join(s, &e->heat);
	if (!p || (!s->orphans && s->nr && !due(e, MAP_MS)))
		return;
	err = ht_vmas_read(&p->vmas, e->roots, s->tgid);
	err = err ?: ht_space_map(s, &p->vmas, p->rss_bytes, &e->heat);
	if (err) {
		s->error = err;
		return;
	}
	ht_space_join(s, &e->heat);
	if (!s->orphans)
		return;
	ht_heatmap_release_if(&e->heat, s->tgid, is_orphan, s);
	ht_space_join(s, &e->heat);
}

/* The loader has given up the capability to signal others' processes, and is told so. */
static bool is_there(pid_t tgid)
{
	return !kill(tgid, 0) || errno == EPERM;
}

/*
 * A space whose pages cannot be asked for takes no part: what is known of it gets old, and would be
 * planned with each epoch, for nothing. Most errors pass (no file descriptor, no memory), so it is
 * tried again when mappings are due; not so -EPERM, which may be of moving alone.
 */
static void rest(struct ht_engine *e, struct ht_space *s)
{
	int err = s->error;

	if (err == -ESRCH)
		return;
	if (s->nr) {
		pr_debug("target %d is left alone: %s", s->tgid, strerror(-err));
		forget(s, s->life);
		s->error = err;
	}
	if (err != -EPERM && err != -ENOENT && due(e, MAP_MS))
		s->error = 0;
}

int ht_follow_epoch(struct ht_engine *e)
{
	struct ht_target_events ev = { .added = added, .removed = removed, .arg = e };
	size_t i;
	int err;

	handle_events(e, &ev);
	if (e->epoch == 1 || due(e, SCAN_MS)) {
		err = ht_targets_scan(&e->targets, &ev);
		if (err)
			return err;
	}
	for (i = 0; i < e->nr_space;) {
		struct ht_space *s = e->space[i];

		if (s->error)
			rest(e, s);
		if (!s->error)
			update_space(e, s);
		/* Its address space is gone, but not the process: it execs just now. */
		if (s->error == -ESRCH && is_there(s->tgid)) {
			execed(e, s->tgid);
			i++;
			continue;
		}
		if (s->error == -ESRCH) {
			ht_targets_remove(&e->targets, s->tgid, &ev);
			if (i < e->nr_space && e->space[i] == s)
				s->error = -ENOENT; /* not a target of the list: ignore it */
			continue;
		}
		i++;
	}
	return 0;
}

int ht_follow_start(struct ht_engine *e)
{
	return ht_targets_init(&e->targets, &e->cfg->sel, e->roots);
}

void ht_follow_first(struct ht_engine *e)
{
	struct ht_target_events ev = { .added = added, .removed = removed, .arg = e };

	ht_targets_scan(&e->targets, &ev);
}

void ht_follow_stop(struct ht_engine *e)
{
	while (e->nr_space)
		del_space(e, e->space[e->nr_space - 1]->tgid);
	free(e->space);
	e->space = NULL;
	ht_sharing_free(&e->sharing);
	ht_targets_free(&e->targets);
}
