// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <json-c/json.h>

#include "control.h"
#include "jsonutil.h"
#include "knobs.h"
#include "log.h"
#include "metrics.h"
#include "own_memory.h"
#include "swap.h"

#define SETS_MAX HT_KNOBS_MAX
#define SHARE_SAMPLES 100 /* per epoch; of fewer, a fast share says little */

#define TRY_NS 50000000ULL /* a batch that takes this long tells how fast a policy is */

static const char *open_problem(int err)
{
	if (err == -EPROTO)
		return "was built for another ABI or headers than this loader's: rebuild it";
	if (err == -ENOEXEC)
		return "is no HyperTier policy";
	if (err == -EINVAL)
		return "is not a regular file";
	return strerror(-err);
}

static const char *ops_problem(int err)
{
	return err == -EBADMSG ? "it wrote over what it was shown" : strerror(-err);
}

static const char *knob_problem(int err)
{
	if (err == -ENOENT)
		return "no such knob";
	if (err == -ERANGE)
		return "the value is out of range";
	return err == -EINVAL ? "not NAME=NUMBER" : strerror(-err);
}

static int set_knobs(struct ht_object *o, char *const *sets, size_t nr, char *error, size_t size)
{
	size_t which = 0;
	int err = nr ? ht_knobs_set_all(o->obj, sets, nr, &which) : 0;

	if (err)
		snprintf(error, size, "--set %s: %s (knobs of policy '%s': --help-policy)",
			 sets[which], knob_problem(err), o->info.name);
	return err;
}

static int check_ban(const struct ht_engine *e, const char *name, char *error, size_t size)
{
	uint64_t wait = ht_ban_wait_s(&e->bans, name, ht_now_ns());

	if (!wait)
		return 0;
	if (wait == UINT64_MAX)
		snprintf(error, size, "policy '%s' was ejected %d times: it stays out", name,
			 HT_WATCH_EJECTIONS);
	else
		snprintf(error, size, "policy '%s' was ejected: it may come back in %" PRIu64 " s",
			 name, wait);
	return -EAGAIN;
}

/* path NULL = the built-in policy, which is always welcome. */
static int open_new(struct ht_object *o, const struct ht_engine *e, const char *path,
		    char *const *sets, size_t nr_sets, char *error, size_t size)
{
	int err;

	err = path ? ht_object_open(o, path) : ht_object_open_builtin(o);
	if (err) {
		snprintf(error, size, "%s: %s", path ?: "built-in policy", open_problem(err));
		return err;
	}
	err = path ? check_ban(e, o->info.name, error, size) : 0;
	return err ?: set_knobs(o, sets, nr_sets, error, size);
}

static int load_new(struct ht_object *o, const struct ht_engine *e, char *error, size_t size)
{
	struct ht_object_opts opts = {
		.source = ht_source_id(e->source),
		.fentry_target =
			e->policy->src.prog_perf_output >= 0 ? e->policy->src.perf_output_fn : NULL,
		.heat_of = e->policy,
		.generation = e->policy->mem.ctl->generation + 1,
	};
	int err;

	ht_own_memory_default();
	err = ht_object_load(o, &opts);
	ht_own_memory_slow(&e->tiers, e->roots);
	if (err)
		snprintf(error, size,
			 "policy '%s' was rejected by the kernel: %s (the verifier's words are in "
			 "the "
			 "loader's log)",
			 o->info.name, strerror(-err));
	return err;
}

/*
 * Nothing can stop a program that is too slow: it is shown a few ranges first, then twice as many,
 * and refused as soon as all of them would take more than the watchdog allows.
 */
static int rank_some(struct ht_engine *e, struct ht_object *o, char *error, size_t size)
{
	double limit = e->cfg->epoch_ms * 1e6 * HT_WATCH_TIME_SHARE, all;
	size_t nr, max = e->ranges.nr;
	uint64_t start, ns = 0;
	int err;

	for (nr = max < 16 ? max : 16; nr; nr = nr == max ? 0 : nr * 2 < max ? nr * 2 : max) {
		start = ht_cpu_ns();
		err = ht_object_rank(o, nr);
		ns = ht_cpu_ns() - start;
		if (err) {
			snprintf(error, size, "policy '%s' cannot rank: %s", o->info.name,
				 ops_problem(err));
			return err;
		}
		all = (double)ns * max / nr;
		if (ns < TRY_NS || all <= limit)
			continue;
		snprintf(error, size,
			 "policy '%s' is too slow: %.0f ms to rank %zu ranges, %.0f ms are allowed",
			 o->info.name, all / 1e6, max, limit / 1e6);
		return -ETIME;
	}
	return 0;
}

/* The ops have to work on what there is now before they decide anything. */
static int try_out(struct ht_engine *e, struct ht_object *o, char *error, size_t size)
{
	const struct ht_ranges *rs = &e->ranges;
	struct ht_range *range = calloc(rs->nr + 1, sizeof(*range));
	int err;

	if (!range) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	err = ht_engine_init_policy(e, o);
	if (err)
		snprintf(error, size, "policy '%s' declined to start: its init %s", o->info.name,
			 err == -ECANCELED ? "returned non-zero" : strerror(-err));
	/* The ranges are shared: put back what the other policy ranked, and what there was to rank.
	 */
	memcpy(range, rs->range, rs->nr * sizeof(*range));
	err = err ?: rank_some(e, o, error, size);
	memcpy(rs->range, range, rs->nr * sizeof(*range));
	free(range);
	return err;
}

/* A source that is opened anew counts from 0; what the former one had is kept. */
static int switch_source(struct ht_engine *e, struct ht_object *o, char *error, size_t size)
{
	struct ht_source *former = e->source;
	struct ht_source_stats st = {};
	uint32_t *gen = &o->mem.ctl->generation;
	int err;

	err = ht_object_follow(o);
	if (err) {
		snprintf(error, size, "targets cannot be followed: %s", strerror(-err));
		return err;
	}
	ht_source_stats(e->source, &st);
	err = ht_source_switch(&e->source, &e->source_opts, &o->src, e->journal, gen, *gen + 1);
	if (err) {
		snprintf(error, size, "the source cannot be handed over: %s", strerror(-err));
		return err;
	}
	if (e->source != former) {
		e->source_former.due += st.due;
		e->source_former.lost += st.lost;
		e->source_former.throttled += st.throttled;
	}
	return 0;
}

/*
 * Share of the heat that is in the fastest tier, of that in pages that are anywhere: memory given
 * back keeps its heat for a while, and is nobody's fault. Negative when it says nothing of a
 * policy.
 */
static double judged_share(const struct ht_engine *e)
{
	uint64_t placed = 0;
	unsigned int t;

	if (e->cfg->dry_run || e->nr_tiers < 2 || e->sample_rate < SHARE_SAMPLES)
		return -1;
	for (t = 0; t < HT_SPACE_TIERS; t++)
		placed += e->ranges.heat_in_tier[t];
	return placed ? (double)e->ranges.heat_in_tier[0] / placed : -1;
}

void ht_swap_hook(struct ht_engine *e)
{
	struct ht_object *o = e->policy;
	struct bpf_program *p = bpf_object__find_program_by_name(o->obj, "ht_admit_pair");
	char why[160] = "";

	if (!e->mover.migrate || !ht_migrate_pairs(e->mover.migrate))
		return;
	if (!p || !(o->info.ops & HT_OP_ADMIT)) {
		ht_hook_kernel_detach(&e->hook);
	} else if (ht_hook_kernel_attach(&e->hook, e->roots, p, bpf_object__btf_fd(o->obj),
					 o->info.name, why, sizeof(why))) {
		/* The portable hook asked it about the plan all the same. */
		ht_hook_kernel_detach(&e->hook);
		pr_warn("policy '%s' is not asked about each pair in the kernel: %s", o->info.name,
			why);
	} else {
		pr_info("hook: policy '%s' is attached to the kernel helper (struct_ops)",
			o->info.name);
	}
}

static void take_over(struct ht_engine *e, struct ht_object *o, const struct ht_exit *why)
{
	struct ht_object *old = e->policy;

	e->policy = o;
	e->heat.mem = o->mem;
	e->ranges.range = o->ranges;
	e->plan.move = o->moves;
	e->bpf_ns_of_former += ht_object_run_ns(old);
	o->mem.ctl->last_exit = *why;
	ht_swap_hook(e);
	if (ht_object_exit_policy(old, why))
		pr_warn("policy '%s': exit failed", old->info.name);
	pr_info("policy '%s' took over from '%s' (%s)", o->info.name, old->info.name, why->reason);
	ht_object_close(old);
	free(old);
	snprintf(e->metrics.policy, sizeof(e->metrics.policy), "%s", o->info.name);
	e->metrics.swaps++;
	e->moved_at_swap = e->metrics.promoted + e->metrics.demoted;
	e->wasted_at_swap = e->metrics.wasted;
	/* What the old one did is not the new one's fault. */
	e->ops_err = 0;
	e->ops_ns = 0;
	ht_watch_start(&e->watch, why->kind == HT_EXIT_SWAP ? judged_share(e) : -1);
}

int ht_swap(struct ht_engine *e, const char *path, char *const *sets, size_t nr_sets,
	    const struct ht_exit *why, char *error, size_t size)
{
	struct ht_object *o = calloc(1, sizeof(*o));
	int err;

	if (!o) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	err = open_new(o, e, path, sets, nr_sets, error, size);
	err = err ?: load_new(o, e, error, size);
	err = err ?: try_out(e, o, error, size);
	err = err ?: switch_source(e, o, error, size);
	if (err) {
		ht_object_close(o);
		free(o);
		return err;
	}
	take_over(e, o, why);
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

/* Nobody decides any more; samples are counted by the last policy's programs. */
static void stop_tiering(struct ht_engine *e, const struct ht_exit *why)
{
	e->policy->mem.ctl->last_exit = *why;
	e->observe = true;
	pr_warn("tiering stops; samples are still counted");
}

static void eject(struct ht_engine *e, const struct ht_exit *why)
{
	char error[256] = "";

	pr_warn("policy '%s' is ejected: %s", e->policy->info.name, why->reason);
	dump_epoch(e);
	ht_ban(&e->bans, e->policy->info.name, ht_now_ns());
	e->metrics.ejections++;
	if (e->builtin || e->cfg->on_eject == HT_EJECT_STOP) {
		stop_tiering(e, why);
		return;
	}
	if (!ht_swap(e, NULL, NULL, 0, why, error, sizeof(error)))
		return;
	pr_err("the built-in policy cannot take over: %s", error);
	stop_tiering(e, why);
}

void ht_swap_watch(struct ht_engine *e)
{
	const struct ht_metrics *m = &e->metrics;
	struct ht_watch_sample s = {
		.ops_ns = e->ops_ns,
		.epoch_ns = e->cfg->epoch_ms * 1000000ULL,
		.moved = m->promoted + m->demoted - e->moved_at_swap,
		.wasted = m->wasted - e->wasted_at_swap,
		.fast_share = judged_share(e),
	};
	struct ht_exit why = {};

	s.share_known = s.fast_share >= 0;
	if (e->observe)
		return;
	if (e->ops_err) {
		why.kind = HT_EXIT_ERROR;
		why.code = e->ops_err;
		snprintf(why.reason, sizeof(why.reason), "its ops failed: %s",
			 ops_problem(e->ops_err));
		e->ops_err = 0;
		eject(e, &why);
	} else if (e->hook.link > 0 &&
		   ht_migrate_ejected(e->mover.migrate, why.reason, sizeof(why.reason))) {
		why.kind = HT_EXIT_STALL;
		ht_hook_kernel_detach(&e->hook);
		eject(e, &why);
	} else if (!e->builtin && ht_watch_epoch(&e->watch, &s, &why) != HT_EXIT_NONE) {
		eject(e, &why);
	}
}

static struct json_object *answer(const char *error)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "ok", json_object_new_boolean(!error));
	if (error)
		json_object_object_add(o, "error", json_object_new_string(error));
	return o;
}

/* Strings of the request's "set", which may be missing. -EINVAL if it is anything else. */
static int read_sets(struct json_object *request, char **sets, size_t *nr)
{
	struct json_object *list, *s;
	size_t i, len;

	*nr = 0;
	if (!json_object_object_get_ex(request, "set", &list))
		return 0;
	if (!json_object_is_type(list, json_type_array))
		return -EINVAL;
	len = json_object_array_length(list);
	if (len > SETS_MAX)
		return -EINVAL;
	for (i = 0; i < len; i++) {
		s = json_object_array_get_idx(list, i);
		if (!json_object_is_type(s, json_type_string))
			return -EINVAL;
		sets[(*nr)++] = (char *)json_object_get_string(s);
	}
	return 0;
}

static struct json_object *on_swap(struct ht_engine *e, struct json_object *request)
{
	struct ht_exit why = { .kind = HT_EXIT_SWAP, .reason = "swapped" };
	const char *path = ht_json_text(request, "policy");
	char error[512] = "failed", *sets[SETS_MAX];
	struct json_object *ok;
	size_t nr;

	if (!path || *path != '/')
		return answer("swap needs the absolute path of a policy");
	if (read_sets(request, sets, &nr))
		return answer("set must be an array of at most 64 strings");
	if (ht_swap(e, path, sets, nr, &why, error, sizeof(error))) {
		pr_warn("not swapped, policy '%s' stays: %s", e->policy->info.name, error);
		return answer(error);
	}
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
	const char *op = ht_json_text(request, "op");
	struct json_object *o;

	if (op && !strcmp(op, "swap"))
		return on_swap(e, request);
	if (op && !strcmp(op, "status")) {
		o = answer(NULL);
		json_object_object_add(o, "status", ht_status_json(e, request));
		return o;
	}
	if (op && !strcmp(op, "unload")) {
		e->unload = true;
		o = answer(NULL);
		json_object_object_add(o, "pid", json_object_new_int(getpid()));
		return o;
	}
	return answer("unknown request: swap, status or unload");
}
