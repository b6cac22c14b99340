// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The answer to "status": the statistics, what runs, and, if asked for, the first ranges and
 * targets in some order. It has to fit one message of the control socket, so their number is
 * bounded.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "engine.h"
#include "jsonutil.h"
#include "record.h"
#include "report.h"

#define LIST_MAX 100

enum order { BY_HEAT, BY_DENSITY, BY_RECENT, BY_PAGES, BY_ADDRESS, BY_NR };

static const char *const order_name[BY_NR] = { "heat", "density", "recent", "pages", "address" };

static void add_int(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, ht_json_u64(v));
}

static void add_str(struct json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, s ? json_object_new_string(s) : NULL);
}

static void add_bool(struct json_object *o, const char *key, bool v)
{
	json_object_object_add(o, key, json_object_new_boolean(v));
}

/* ---- what runs ---- */

static uint64_t target_pages(const struct ht_engine *e, unsigned int tier)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < e->nr_space; i++)
		sum += e->space[i]->in_tier[tier];
	return sum;
}

static struct json_object *tiers(const struct ht_engine *e)
{
	struct json_object *list = json_object_new_array(), *o;
	unsigned int t;
	char nodes[128];

	for (t = 0; t < e->nr_tiers; t++) {
		ht_report_nodes(&e->tiers.tier[t], nodes, sizeof(nodes));
		o = json_object_new_object();
		add_str(o, "nodes", nodes);
		add_int(o, "bytes", e->tiers.tier[t].total_bytes);
		add_int(o, "free_pages", e->free_pages[t]);
		add_int(o, "target_pages", target_pages(e, t));
		add_int(o, "read_ns", e->tiers.tier[t].read_lat_ns);
		json_object_array_add(list, o);
	}
	return list;
}

static void what_runs(const struct ht_engine *e, struct json_object *o)
{
	const struct ht_exit *x = &e->policy->mem.ctl->last_exit;

	add_int(o, "pid", getpid());
	add_str(o, "version", HT_VERSION);
	add_str(o, "object", e->policy->path);
	add_int(o, "generation", e->policy->mem.ctl->generation);
	add_bool(o, "builtin", e->builtin);
	add_bool(o, "tiering", !e->observe);
	add_bool(o, "dry_run", e->cfg->dry_run);
	add_str(o, "source", ht_source_name(ht_source_id(e->source)));
	add_str(o, "source_detail", ht_source_detail(e->source));
	add_str(o, "migration", e->mover.migrate ? ht_migrate_backend(e->mover.migrate) : "none");
	add_bool(o, "splitting", e->splitter.on);
	add_int(o, "epoch_ms", e->cfg->epoch_ms);
	add_int(o, "budget_bytes_per_s", e->cfg->budget_bytes);
	add_str(o, "pin_dir", e->cfg->no_pin ? NULL : e->cfg->pin_dir);
	add_int(o, "recorded", ht_record_samples(e->source_opts.record));
	add_int(o, "ops_last_ns", e->ops_ns);
	add_int(o, "last_exit_kind", x->kind);
	add_str(o, "last_exit_reason", x->reason);
	json_object_object_add(o, "tiers", tiers(e));
}

/* ---- the first ranges ---- */

static uint64_t rank_of(const struct ht_range *r, enum order order)
{
	switch (order) {
	case BY_DENSITY:
		return r->density;
	case BY_RECENT:
		return r->recent;
	case BY_PAGES:
		return r->pages;
	case BY_ADDRESS: /* they are in this order already */
		return 0;
	default:
		return r->heat;
	}
}

/* Indexes of the first max ranges, best first. Insertion: max is small. */
static size_t first_ranges(const struct ht_engine *e, enum order order, uint32_t *first, size_t max)
{
	const struct ht_range *all = e->ranges.range;
	size_t nr = 0, i, k;

	for (i = 0; i < e->ranges.nr; i++) {
		uint64_t rank = rank_of(&all[i], order);

		if (nr == max && (!max || rank <= rank_of(&all[first[nr - 1]], order)))
			continue;
		k = nr < max ? nr++ : nr - 1;
		for (; k && rank > rank_of(&all[first[k - 1]], order); k--)
			first[k] = first[k - 1];
		first[k] = i;
	}
	return nr;
}

/* Addresses as text: JSON's readers take numbers for doubles. */
static void add_addr(struct json_object *o, const char *key, uint64_t addr)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "0x%llx", (unsigned long long)addr);
	add_str(o, key, buf);
}

static struct json_object *range(const struct ht_range *r)
{
	struct json_object *o = json_object_new_object();

	add_int(o, "pid", r->tgid);
	add_addr(o, "start", r->start);
	add_addr(o, "end", r->end);
	add_int(o, "pages", r->pages);
	add_int(o, "fast_pages", r->fast_pages);
	add_int(o, "heat", r->heat);
	add_int(o, "density", r->density);
	add_int(o, "recent", r->recent);
	add_int(o, "age", r->age);
	add_int(o, "idle", r->idle);
	add_int(o, "flags", r->flags);
	add_int(o, "score", r->score);
	return o;
}

static struct json_object *range_list(const struct ht_engine *e, enum order order, size_t max)
{
	struct json_object *list = json_object_new_array();
	uint32_t first[LIST_MAX];
	size_t nr = first_ranges(e, order, first, max), i;

	for (i = 0; i < nr; i++)
		json_object_array_add(list, range(&e->ranges.range[first[i]]));
	return list;
}

/* ---- the first targets ---- */

struct target {
	const struct ht_space *space;
	uint64_t heat, fast_heat;
};

static int by_heat(const void *a, const void *b)
{
	const struct target *x = a, *y = b;

	if (x->heat != y->heat)
		return x->heat < y->heat ? 1 : -1;
	return x->space->tgid - y->space->tgid;
}

static struct target *all_targets(const struct ht_engine *e)
{
	struct target *t = calloc(e->nr_space + 1, sizeof(*t));
	size_t i;

	if (!t)
		return NULL;
	for (i = 0; i < e->nr_space; i++)
		t[i].space = e->space[i];
	for (i = 0; i < e->ranges.nr; i++) {
		const struct ht_range *r = &e->ranges.range[i];
		uint32_t k = e->ranges.info[i].space;

		/* Ranges are the last epoch's, spaces may have gone since. */
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): set above for each k */
		if (k >= e->nr_space || t[k].space->tgid != (pid_t)r->tgid)
			continue;
		t[k].heat += r->heat;
		t[k].fast_heat += r->pages ? r->heat * ((double)r->fast_pages / r->pages) : 0;
	}
	qsort(t, e->nr_space, sizeof(*t), by_heat);
	return t;
}

/* A process chooses its name: any bytes. */
static void name_of(const struct ht_engine *e, pid_t tgid, char name[16])
{
	const struct ht_proc *p = ht_targets_find((struct ht_targets *)&e->targets, tgid);
	size_t i;

	snprintf(name, 16, "%s", p ? p->comm : "?");
	for (i = 0; name[i]; i++)
		if (name[i] < ' ' || name[i] > '~')
			name[i] = '?';
}

static struct json_object *target(const struct ht_engine *e, const struct target *t)
{
	struct json_object *o = json_object_new_object(), *pages = json_object_new_array();
	unsigned int tier;
	char name[16];

	name_of(e, t->space->tgid, name);
	add_int(o, "pid", t->space->tgid);
	add_str(o, "comm", name);
	for (tier = 0; tier < e->nr_tiers; tier++)
		json_object_array_add(pages, json_object_new_int64(t->space->in_tier[tier]));
	json_object_object_add(o, "pages", pages);
	add_int(o, "heat", t->heat);
	add_int(o, "fast_heat", t->fast_heat);
	add_bool(o, "frozen", t->space->error != 0);
	return o;
}

static struct json_object *target_list(const struct ht_engine *e, size_t max)
{
	struct json_object *list = json_object_new_array();
	struct target *t = all_targets(e);
	size_t i;

	for (i = 0; t && i < e->nr_space && i < max; i++)
		json_object_array_add(list, target(e, &t[i]));
	free(t);
	return list;
}

/* ---- the request ---- */

/* How many of a list are wanted: 0 if it is not asked for. */
static size_t wanted(struct json_object *request, const char *key)
{
	struct json_object *v;
	int64_t n;

	if (!json_object_object_get_ex(request, key, &v) || !json_object_is_type(v, json_type_int))
		return 0;
	n = json_object_get_int64(v);
	return n < 0 ? 0 : n > LIST_MAX ? LIST_MAX : n;
}

static enum order order_of(struct json_object *request)
{
	struct json_object *v;
	int i;

	if (!json_object_object_get_ex(request, "sort", &v) ||
	    !json_object_is_type(v, json_type_string))
		return BY_HEAT;
	for (i = 0; i < BY_NR; i++)
		if (!strcmp(json_object_get_string(v), order_name[i]))
			return i;
	return BY_HEAT;
}

struct json_object *ht_status_json(const struct ht_engine *e, struct json_object *request)
{
	struct json_object *o = ht_metrics_object(&e->metrics, "status");
	size_t ranges = wanted(request, "ranges"), targets = wanted(request, "targets");
	enum order order = order_of(request);

	what_runs(e, o);
	if (ranges) {
		add_str(o, "sort", order_name[order]);
		json_object_object_add(o, "range_list", range_list(e, order, ranges));
	}
	if (targets)
		json_object_object_add(o, "target_list", target_list(e, targets));
	return o;
}
