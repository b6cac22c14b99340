// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "control.h"
#include "knobs.h"
#include "log.h"
#include "metrics.h"
#include "swap.h"

#define SETS_MAX 64

static int open_new(struct ht_object *o, const struct ht_engine *e, const char *path,
		    char *const *sets, size_t nr_sets, char *error, size_t size)
{
	struct ht_object_opts opts = {
		.source = ht_source_id(e->source),
		.fentry_target =
			e->policy->src.prog_perf_output >= 0 ? e->policy->src.perf_output_fn : NULL,
		.heat_of = e->policy,
		.generation = e->policy->mem.ctl->generation + 1,
	};
	size_t i;
	int err;

	err = path ? ht_object_open(o, path) : ht_object_open_builtin(o);
	if (err) {
		snprintf(error, size, "%s is no policy for this loader", path ?: "built-in");
		return err;
	}
	for (i = 0; i < nr_sets && !err; i++)
		err = ht_knobs_set(o->obj, sets[i]);
	if (err) {
		snprintf(error, size, "policy '%s' has no such knob or value: %s", o->info.name,
			 sets[i - 1]);
		return err;
	}
	err = ht_object_load(o, &opts);
	if (err)
		snprintf(error, size, "policy '%s' was rejected by the kernel: %s", o->info.name,
			 strerror(-err));
	return err;
}

/* The ops have to work on what there is now before they decide anything. */
static int try_out(struct ht_engine *e, struct ht_object *o, char *error, size_t size)
{
	uint64_t *score;
	size_t i;
	int err;

	err = ht_engine_init_policy(e, o);
	if (err) {
		snprintf(error, size, "policy '%s' declined to start", o->info.name);
		return err;
	}
	score = calloc(e->ranges.nr + 1, sizeof(*score));
	if (!score)
		return -ENOMEM;
	for (i = 0; i < e->ranges.nr; i++)
		score[i] = e->ranges.range[i].score;
	err = ht_object_rank(o, e->ranges.nr);
	/* The ranges are shared: put back what the other policy ranked. */
	for (i = 0; i < e->ranges.nr; i++)
		e->ranges.range[i].score = score[i];
	free(score);
	if (err)
		snprintf(error, size, "policy '%s' cannot rank: %s", o->info.name, strerror(-err));
	return err;
}

static void take_over(struct ht_engine *e, struct ht_object *o, const struct ht_exit *why)
{
	struct ht_object *old = e->policy;
	struct ht_ctl *c = o->mem.ctl;

	e->policy = o;
	e->heat.mem = o->mem;
	e->ranges.range = o->ranges;
	e->plan.move = o->moves;
	e->bpf_ns_of_former += ht_object_run_ns(old);
	c->last_exit = *why;
	if (ht_object_exit_policy(old, why))
		pr_warn("policy '%s': exit failed", old->info.name);
	pr_info("policy '%s' took over from '%s' (%s)", o->info.name, old->info.name, why->reason);
	ht_object_close(old);
	free(old);
	snprintf(e->metrics.policy, sizeof(e->metrics.policy), "%s", o->info.name);
	e->metrics.swaps++;
	e->moved_at_swap = e->metrics.promoted + e->metrics.demoted;
	e->wasted_at_swap = e->metrics.wasted;
}

int ht_swap(struct ht_engine *e, const char *path, char *const *sets, size_t nr_sets,
	    const struct ht_exit *why, char *error, size_t size)
{
	struct ht_object *o = calloc(1, sizeof(*o));
	uint64_t wait;
	int err;

	if (!o)
		return -ENOMEM;
	err = open_new(o, e, path, sets, nr_sets, error, size);
	wait = err || !path ? 0 : ht_ban_wait_s(&e->bans, o->info.name, ht_now_ns());
	if (wait) {
		if (wait == UINT64_MAX)
			snprintf(error, size, "policy '%s' was ejected too often: it stays out",
				 o->info.name);
		else
			snprintf(error, size,
				 "policy '%s' was ejected: it may come back in %" PRIu64 " s",
				 o->info.name, wait);
		err = -EAGAIN;
	}
	err = err ?: try_out(e, o, error, size);
	if (!err) {
		err = ht_source_switch(&e->source, &e->source_opts, &o->src, e->journal,
				       &o->mem.ctl->generation, e->policy->mem.ctl->generation + 1);
		if (err)
			snprintf(error, size, "the source cannot be handed over: %s",
				 strerror(-err));
	}
	if (err) {
		ht_object_close(o);
		free(o);
		return err;
	}
	take_over(e, o, why);
	ht_watch_start(&e->watch, why->kind == HT_EXIT_SWAP ? e->metrics.fast_share : -1);
	e->builtin = !path;
	return 0;
}

static void dump_epoch(const struct ht_engine *e)
{
	size_t i, nr = e->ranges.nr < 10 ? e->ranges.nr : 10;

	pr_info("last epoch %u: %zu ranges, %zu moves planned, fast share %.1f %%, first ranges:",
		e->epoch, e->ranges.nr, e->plan.nr, e->metrics.fast_share * 100);
	for (i = 0; i < nr; i++) {
		const struct ht_range *r = &e->ranges.range[e->plan.order[i]];

		pr_info("  %u %#llx-%#llx heat %llu pages %u fast %u flags %#x score %llu", r->tgid,
			r->start, r->end, r->heat, r->pages, r->fast_pages, r->flags, r->score);
	}
}

static int eject(struct ht_engine *e, struct ht_exit *why)
{
	char error[256] = "";
	int err;

	pr_warn("policy '%s' is ejected: %s", e->policy->info.name, why->reason);
	dump_epoch(e);
	ht_ban(&e->bans, e->policy->info.name, ht_now_ns());
	e->metrics.ejections++;
	if (e->builtin || e->cfg->on_eject == HT_EJECT_STOP) {
		e->policy->mem.ctl->last_exit = *why;
		e->observe = true;
		pr_warn("tiering stops; samples are still counted");
		return 0;
	}
	err = ht_swap(e, NULL, NULL, 0, why, error, sizeof(error));
	if (!err)
		return 0;
	pr_err("the built-in policy cannot take over: %s; tiering stops", error);
	e->observe = true;
	return 0;
}

int ht_swap_watch(struct ht_engine *e)
{
	const struct ht_metrics *m = &e->metrics;
	struct ht_watch_sample s = {
		.ops_ns = e->ops_ns,
		.epoch_ns = e->cfg->epoch_ms * 1000000ULL,
		.moved = m->promoted + m->demoted - e->moved_at_swap,
		.wasted = m->wasted - e->wasted_at_swap,
		.fast_share = m->fast_share,
		.share_known = e->sample_rate >= 100,
	};
	struct ht_exit why = {};

	if (e->observe)
		return 0;
	if (e->ops_err) {
		why.kind = HT_EXIT_ERROR;
		why.code = e->ops_err;
		snprintf(why.reason, sizeof(why.reason), "its ops failed: %s",
			 strerror(-e->ops_err));
		e->ops_err = 0;
		return eject(e, &why);
	}
	if (e->builtin || ht_watch_epoch(&e->watch, &s, &why) == HT_EXIT_NONE)
		return 0;
	return eject(e, &why);
}

static struct json_object *answer(const char *error)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "ok", json_object_new_boolean(!error));
	if (error)
		json_object_object_add(o, "error", json_object_new_string(error));
	return o;
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

static struct json_object *on_swap(struct ht_engine *e, struct json_object *request)
{
	struct ht_exit why = { .kind = HT_EXIT_SWAP, .reason = "swapped" };
	const char *path = text(request, "policy");
	char error[256] = "failed", *sets[SETS_MAX];
	struct json_object *list, *s, *ok;
	size_t nr = 0, i;

	if (!path || *path != '/')
		return answer("swap needs the absolute path of a policy");
	if (json_object_object_get_ex(request, "set", &list) &&
	    json_object_is_type(list, json_type_array)) {
		for (i = 0; i < json_object_array_length(list) && nr < SETS_MAX; i++) {
			s = json_object_array_get_idx(list, i);
			if (json_object_is_type(s, json_type_string))
				sets[nr++] = (char *)json_object_get_string(s);
		}
	}
	if (ht_swap(e, path, sets, nr, &why, error, sizeof(error)))
		return answer(error);
	e->observe = false;
	ok = answer(NULL);
	json_object_object_add(ok, "policy", json_object_new_string(e->policy->info.name));
	json_object_object_add(ok, "generation",
			       json_object_new_int(e->policy->mem.ctl->generation));
	return ok;
}

struct json_object *ht_swap_control(void *engine, struct json_object *request)
{
	struct ht_engine *e = engine;
	const char *op = text(request, "op");
	struct json_object *o;

	if (op && !strcmp(op, "swap"))
		return on_swap(e, request);
	if (op && !strcmp(op, "status")) {
		o = answer(NULL);
		json_object_object_add(o, "status", ht_report_status_json(e));
		return o;
	}
	if (op && !strcmp(op, "unload")) {
		e->unload = true;
		return answer(NULL);
	}
	return answer("unknown request: swap, status or unload");
}
