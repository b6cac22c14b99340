// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "../loader/log.h"
#include "config.h"
#include "daemon.h"
#include "demand.h"
#include "sim.h"

#define BLOCK (2ULL << 20)
#define FAST_NS 80.0
#define SLOW_NS 250.0
#define GROW_RATE (2ULL << 30) /* of a simulated guest, bytes per second */
#define SHRINK_RATE (512ULL << 20)
#define STEPS 60
#define LINE_MAX_BYTES 65536
#define VMS_MAX 1000000
#define EVENTS_MAX 10000000
#define EVENT_MS 1000 /* a made-up fleet changes so often, */
#define CHANGE 0.03   /* with this probability each; a VM is then busy, */
#define BUSY 0.4      /* with this one, or quiet; */
#define LAG_MS 2000   /* its guests see so much later what is hot, */
#define NOISE 0.15    /* and report sizes that are wrong by about so much */

enum habit { HONEST, SILENT, LIAR, REFUSER };
static const char *const habit_name[] = { "honest", "silent", "liar", "refuser" };

struct sim_vm {
	char name[PV_NAME];
	enum habit habit;
	struct ht_guest_report truth, seen; /* what is, and what its guest knows of */
	uint64_t seen_at;
	int64_t base;
	bool reported, told;
	struct pv_share share, slow;
	struct pv_share mirror; /* holds the true curve in terms of the device */
};

struct event {
	uint64_t t;
	uint32_t vm;
	int64_t base;
	struct ht_guest_report report;
};

struct sim {
	struct sim_vm *vm;
	size_t nr, cap;
	struct event *event;
	size_t nr_event, cap_event;
	struct pv_rules rules;
	struct pv_pool pool, slow_pool;
	unsigned int period_ms, lag_ms;
	double noise;
	uint64_t seed;
};

/* ---- traces */

static void *grow(void *array, size_t nr, size_t *cap, size_t size)
{
	void *n;

	if (nr < *cap)
		return array;
	n = reallocarray(array, *cap ? *cap * 2 : 64, size);
	if (n)
		*cap = *cap ? *cap * 2 : 64;
	return n;
}

static struct sim_vm *add_vm(struct sim *s, const char *name)
{
	struct sim_vm *n = s->nr < VMS_MAX ? grow(s->vm, s->nr, &s->cap, sizeof(*n)) : NULL;

	if (!n)
		return NULL;
	s->vm = n;
	n += s->nr++;
	memset(n, 0, sizeof(*n));
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->share = (struct pv_share){ .limit = HT_GUEST_BYTES_MAX,
				      .max = s->pool.capacity / BLOCK * BLOCK,
				      .block = BLOCK,
				      .loan = PV_UNKNOWN,
				      .weight = 1,
				      .value = 1,
				      .rate = GROW_RATE,
				      .demand = PV_UNKNOWN };
	n->slow = n->share;
	n->slow.max = s->slow_pool.capacity / BLOCK * BLOCK;
	n->mirror.block = 1;
	return n;
}

static struct event *add_event(struct sim *s)
{
	struct event *n = s->nr_event < EVENTS_MAX
				  ? grow(s->event, s->nr_event, &s->cap_event, sizeof(*n))
				  : NULL;

	if (!n)
		return NULL;
	s->event = n;
	n += s->nr_event++;
	memset(n, 0, sizeof(*n));
	return n;
}

static bool u64_of(struct json_object *o, const char *key, uint64_t *v)
{
	struct json_object *j;
	int64_t n;

	if (!json_object_object_get_ex(o, key, &j))
		return true;
	n = json_object_get_int64(j);
	if (!json_object_is_type(j, json_type_int) || n < 0 || (uint64_t)n > HT_GUEST_BYTES_MAX)
		return false;
	*v = n;
	return true;
}

static bool read_tier(struct json_object *o, struct pv_share *s)
{
	struct json_object *w;

	if (!u64_of(o, "guarantee", &s->guarantee) || !u64_of(o, "limit", &s->limit) ||
	    !u64_of(o, "rate", &s->rate) || !u64_of(o, "loan", &s->loan))
		return false;
	if (json_object_object_get_ex(o, "weight", &w))
		s->weight = json_object_get_double(w);
	s->guarantee = (s->guarantee + BLOCK - 1) / BLOCK * BLOCK;
	s->limit = s->limit / BLOCK * BLOCK;
	return s->weight > 0 && isfinite(s->weight) && s->guarantee <= s->limit;
}

static bool read_pool(struct json_object *tiers, const char *name, struct pv_pool *p)
{
	struct json_object *o;

	return !json_object_object_get_ex(tiers, name, &o) ||
	       (u64_of(o, "capacity", &p->capacity) && u64_of(o, "reserve", &p->reserve));
}

static const char *str_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

static bool read_header(struct sim *s, struct json_object *o)
{
	const char *mode = str_of(o, "mode");
	struct json_object *tiers, *v;
	uint64_t version = 0, period = 1000, lag = 0;
	double noise = 0;

	if (!u64_of(o, "version", &version) || version != 1 || !u64_of(o, "period_ms", &period) ||
	    period < 10 || period > 3600000 || !u64_of(o, "lag_ms", &lag) || lag > 3600000 ||
	    !json_object_object_get_ex(o, "tiers", &tiers))
		return false;
	s->period_ms = period;
	if (json_object_object_get_ex(o, "noise", &v))
		noise = json_object_get_double(v);
	if (!(noise >= 0 && noise <= 1))
		return false;
	s->lag_ms = lag;
	s->noise = noise;
	s->rules.mode = mode && !strcmp(mode, "benefit") ? PV_BENEFIT : PV_FAIR;
	return read_pool(tiers, "fast", &s->pool) && read_pool(tiers, "slow", &s->slow_pool);
}

/* VMs come in the order in which they are numbered, so the last one found is looked at first. */
static struct sim_vm *find_vm(struct sim *s, const char *name)
{
	static size_t hint;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		hint = hint + 1 < s->nr ? hint + 1 : 0;
		if (!strcmp(s->vm[hint].name, name))
			return &s->vm[hint];
	}
	return NULL;
}

static bool read_vm(struct sim *s, struct json_object *o, const char *name)
{
	const char *habit = str_of(o, "habit");
	struct json_object *t;
	struct sim_vm *v;

	/* Among events: it joined, or left and came again; then it goes on as it began. */
	if (s->nr_event && find_vm(s, name))
		return true;
	v = strlen(name) < PV_NAME ? add_vm(s, name) : NULL;
	if (!v)
		return false;
	for (int h = HONEST; habit && h <= REFUSER; h++)
		if (!strcmp(habit, habit_name[h]))
			v->habit = h;
	return (!json_object_object_get_ex(o, "fast", &t) || read_tier(t, &v->share)) &&
	       (!json_object_object_get_ex(o, "slow", &t) || read_tier(t, &v->slow));
}

static bool read_curve(struct json_object *o, struct ht_guest_report *r)
{
	struct json_object *arr, *p;
	size_t i, nr;

	if (!json_object_object_get_ex(o, "curve", &arr) ||
	    !json_object_is_type(arr, json_type_array))
		return false;
	nr = json_object_array_length(arr);
	for (i = 0; i < nr && i < HT_GUEST_CURVE; i++) {
		p = json_object_array_get_idx(arr, i);
		if (!json_object_is_type(p, json_type_array) || json_object_array_length(p) != 2)
			return false;
		r->curve[i].bytes = json_object_get_int64(json_object_array_get_idx(p, 0));
		r->curve[i].share = json_object_get_double(json_object_array_get_idx(p, 1));
		if (r->curve[i].bytes > HT_GUEST_BYTES_MAX ||
		    !(r->curve[i].share >= 0 && r->curve[i].share <= 1) ||
		    (i && (r->curve[i].bytes < r->curve[i - 1].bytes ||
			   r->curve[i].share < r->curve[i - 1].share)))
			return false;
	}
	r->nr_curve = i;
	return u64_of(o, "hot", &r->hot);
}

static bool read_event(struct sim *s, struct json_object *o, const char *name)
{
	struct sim_vm *v = find_vm(s, name);
	struct event *e = v ? add_event(s) : NULL;
	struct json_object *base;

	if (!e)
		return false;
	e->vm = v - s->vm;
	if (json_object_object_get_ex(o, "base", &base))
		e->base = json_object_get_int64(base);
	if (e->base > (int64_t)HT_GUEST_BYTES_MAX || e->base < -(int64_t)HT_GUEST_BYTES_MAX)
		return false;
	return u64_of(o, "t", &e->t) && read_curve(o, &e->report);
}

static bool read_object(struct sim *s, struct json_object *o, bool first)
{
	const char *vm = str_of(o, "vm");

	if (first)
		return read_header(s, o);
	if (!vm)
		return false;
	return json_object_object_get_ex(o, "t", NULL) ? read_event(s, o, vm) : read_vm(s, o, vm);
}

static int read_trace(struct sim *s, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = f ? malloc(LINE_MAX_BYTES) : NULL;
	unsigned int nr = 0;
	bool good = true;

	if (!line) {
		pr_err("cannot read %s: %s", path, strerror(errno));
		if (f)
			fclose(f);
		return PV_RC_ERROR;
	}
	/* Of a line that is too long the first part is no object. */
	while (good && fgets(line, LINE_MAX_BYTES, f)) {
		struct json_object *o = json_tokener_parse(line);

		good = json_object_is_type(o, json_type_object) && read_object(s, o, !nr);
		json_object_put(o);
		nr++;
	}
	free(line);
	fclose(f);
	if (good && s->nr)
		return PV_RC_OK;
	pr_err("%s:%u: not a line of a trace; see docs/provision.md", path, nr);
	return PV_RC_CONFIG;
}

/* ---- made-up fleets */

static double rnd(struct sim *s)
{
	s->seed ^= s->seed << 13;
	s->seed ^= s->seed >> 7;
	s->seed ^= s->seed << 17;
	return (s->seed * 0x2545f4914f6cdd1dULL >> 11) * 0x1p-53;
}

/*
 * A hot set with most accesses, and a tail of memory that cools off. VMs are quiet more often than
 * not, so that the hot sets of all fit in most of the time, and those of the busy ones vary widely.
 */
static void make_curve(struct sim *s, struct ht_guest_report *r)
{
	double hot = exp2(rnd(s) < BUSY ? 28 + 3 * rnd(s) : 25 + 3 * rnd(s)),
	       all = hot * (2 + 6 * rnd(s)), share = 0.6 + 0.35 * rnd(s);
	unsigned int i;

	r->nr_curve = 6;
	r->curve[0] = (struct ht_guest_point){ 0, 0 };
	r->curve[1] = (struct ht_guest_point){ hot, share };
	for (i = 2; i < r->nr_curve; i++)
		r->curve[i] = (struct ht_guest_point){ hot + (all - hot) * (i - 1) / 4,
						       1 - (1 - share) * exp(-(double)(i - 1)) };
	r->hot = hot;
}

static bool generate(struct sim *s, unsigned int nr, unsigned int steps)
{
	unsigned int i, t;

	s->lag_ms = LAG_MS;
	s->noise = NOISE;
	s->pool.capacity = nr * (512ULL << 20);
	s->slow_pool.capacity = nr * (2048ULL << 20);
	for (i = 0; i < nr; i++) {
		char name[PV_NAME];
		struct sim_vm *v;
		double dice = rnd(s);

		snprintf(name, sizeof(name), "vm%u", i);
		v = add_vm(s, name);
		if (!v)
			return false;
		v->habit = dice < 0.9	 ? HONEST
			   : dice < 0.94 ? SILENT
			   : dice < 0.97 ? LIAR
					 : REFUSER;
		v->share.guarantee = (uint64_t)(rnd(s) * 128) * BLOCK;
		v->share.limit = v->share.guarantee + (uint64_t)(512 + rnd(s) * 2048) * BLOCK;
		v->share.weight = rnd(s) < 0.2 ? 4 : 1;
	}
	for (t = 0; t < steps; t++)
		for (i = 0; i < nr; i++) {
			struct event *e;

			if (t && rnd(s) > CHANGE)
				continue;
			e = add_event(s);
			if (!e)
				return false;
			e->t = (uint64_t)t * EVENT_MS;
			e->vm = i;
			e->base = 64LL << 20;
			make_curve(s, &e->report);
		}
	return true;
}

static int write_trace(const struct sim *s, const char *path)
{
	FILE *f = fopen(path, "we");
	size_t i;
	unsigned int k;

	if (!f) {
		pr_err("cannot write %s: %s", path, strerror(errno));
		return PV_RC_ERROR;
	}
	fprintf(f,
		"{\"version\":1,\"period_ms\":%u,\"mode\":\"%s\",\"lag_ms\":%u,\"noise\":%g,"
		"\"tiers\":{\"fast\":{\"capacity\":%" PRIu64 "},\"slow\":{\"capacity\":%" PRIu64
		"}}}\n",
		s->period_ms, s->rules.mode == PV_BENEFIT ? "benefit" : "fair", s->lag_ms, s->noise,
		s->pool.capacity, s->slow_pool.capacity);
	for (i = 0; i < s->nr; i++)
		fprintf(f,
			"{\"vm\":\"%s\",\"habit\":\"%s\",\"fast\":{\"guarantee\":%" PRIu64
			",\"limit\":%" PRIu64 ",\"weight\":%g}}\n",
			s->vm[i].name, habit_name[s->vm[i].habit], s->vm[i].share.guarantee,
			s->vm[i].share.limit, s->vm[i].share.weight);
	for (i = 0; i < s->nr_event; i++) {
		const struct event *e = &s->event[i];

		fprintf(f, "{\"t\":%" PRIu64 ",\"vm\":\"%s\",\"base\":%" PRId64 ",\"curve\":[",
			e->t, s->vm[e->vm].name, e->base);
		for (k = 0; k < e->report.nr_curve; k++)
			fprintf(f, "%s[%" PRIu64 ",%.6f]", k ? "," : "", e->report.curve[k].bytes,
				e->report.curve[k].share);
		fprintf(f, "],\"hot\":%" PRIu64 "}\n", e->report.hot);
	}
	if (fclose(f)) {
		pr_err("cannot write %s: %s", path, strerror(errno));
		return PV_RC_ERROR;
	}
	return PV_RC_OK;
}

/* ---- the guests */

static uint64_t capacity_at(const struct sim_vm *v, uint64_t size)
{
	int64_t c = (int64_t)size + v->base;

	return c > 0 ? c : 0;
}

/* The share it would really have with so much of the device. */
static double true_share(struct sim_vm *v, uint64_t size)
{
	double share;

	if (!v->reported)
		return 0;
	v->mirror.nr_curve = v->truth.nr_curve;
	memcpy(v->mirror.curve, v->truth.curve, sizeof(v->mirror.curve));
	share = pv_demand_share(&v->mirror, capacity_at(v, size));
	return share < 0 ? 0 : share;
}

/* A sum of uniform numbers is near enough to a normal one. */
static double blur(struct sim *s)
{
	double sum = -6;

	for (int i = 0; s->noise > 0 && i < 12; i++)
		sum += rnd(s);
	return s->noise > 0 ? exp(s->noise * sum) : 1;
}

static void report(struct sim *s, struct sim_vm *v, uint64_t t)
{
	struct ht_guest_report r;
	double wrong = blur(s);
	unsigned int i;

	if (v->reported && t >= v->seen_at) {
		v->seen = v->truth;
		v->told = true;
	}
	if (!v->told || v->habit == SILENT)
		return;
	r = v->seen;
	for (i = 0; i < r.nr_curve; i++)
		r.curve[i].bytes *= wrong;
	r.capacity = capacity_at(v, v->share.size);
	if (v->habit == LIAR) {
		r.nr_curve = 2;
		r.curve[0] = (struct ht_guest_point){ 0, 0 };
		r.curve[1] = (struct ht_guest_point){ HT_GUEST_BYTES_MAX / 2, 1 };
	}
	pv_demand_update(&v->share, &r, v->share.size, &s->rules);
}

static void follow(struct pv_share *s, bool refuses, unsigned int ms)
{
	uint64_t up = GROW_RATE / 1000 * ms / BLOCK * BLOCK;
	uint64_t down = SHRINK_RATE / 1000 * ms / BLOCK * BLOCK;

	if (s->size < s->requested)
		s->size += s->requested - s->size < up ? s->requested - s->size : up;
	else if (!refuses)
		s->size -= s->size - s->requested < down ? s->size - s->requested : down;
}

/* ---- the run */

struct run {
	struct sim *s;
	struct pv_work *work;
	struct pv_share **fast, **slow;
	uint64_t *fixed; /* static equal split */
	struct pv_share *ideal, **ideal_ptr;
	struct pv_sim_result *r;
	size_t next_event;
};

/* CPU time: what else this machine does is not the decision's. */
static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

static void play_events(struct run *run, uint64_t t)
{
	struct sim *s = run->s;

	for (; run->next_event < s->nr_event && s->event[run->next_event].t <= t;
	     run->next_event++) {
		const struct event *e = &s->event[run->next_event];
		struct sim_vm *v = &s->vm[e->vm];

		v->truth = e->report;
		v->base = e->base;
		v->reported = true;
		v->seen_at = e->t + (e->t ? s->lag_ms : 0);
	}
}

static void decide(struct run *run, uint64_t now)
{
	struct sim *s = run->s;
	double from = now_ms(), ms;

	pv_decide(run->work, run->fast, s->nr, &s->pool, &s->rules, now, s->period_ms);
	if (s->slow_pool.capacity)
		pv_decide(run->work, run->slow, s->nr, &s->slow_pool, &s->rules, now, s->period_ms);
	ms = now_ms() - from;
	run->r->decide_ms += ms;
	if (ms > run->r->decide_max_ms)
		run->r->decide_max_ms = ms;
}

/* What could be had if every change were free and at once, and everybody told the truth. */
static void ideal(struct run *run, uint64_t now)
{
	struct sim *s = run->s;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		struct sim_vm *v = &s->vm[i];
		struct ht_guest_report r = v->truth;

		run->ideal[i] = v->share;
		run->ideal[i].backoff_until = 0;
		pv_demand_forget(&run->ideal[i]);
		r.capacity = capacity_at(v, v->share.size);
		if (v->reported)
			pv_demand_update(&run->ideal[i], &r, v->share.size, &s->rules);
	}
	pv_divide(run->work, run->ideal_ptr, s->nr, &s->pool, &s->rules, now);
}

/* Jain's index over what each got of the smaller of what it wants and its fair share. */
static void fairness(struct run *run)
{
	struct sim *s = run->s;
	double sum = 0, squares = 0;
	size_t i, nr = 0;

	for (i = 0; i < s->nr; i++) {
		const struct pv_share *v = &s->vm[i].share;
		uint64_t due = v->useful < v->fair ? v->useful : v->fair;
		double x = due ? fmin((double)v->size / due, 1) : 1;

		if (s->vm[i].habit != HONEST)
			continue;
		sum += x;
		squares += x * x;
		nr++;
	}
	run->r->jain += nr && squares > 0 ? sum * sum / (nr * squares) : 1;
}

static void apply(struct run *run)
{
	struct sim *s = run->s;
	uint64_t held = 0;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		struct sim_vm *v = &s->vm[i];

		run->r->below_guarantee += v->share.requested >= v->share.guarantee &&
					   v->share.next < v->share.guarantee;
		v->share.requested = v->share.next;
		v->slow.requested = v->slow.next;
		held += pv_held(&v->share);
	}
	run->r->over_capacity += held > s->pool.capacity;
	run->r->used += (double)held / s->pool.capacity;
}

static void measure(struct run *run)
{
	struct sim *s = run->s;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		struct sim_vm *v = &s->vm[i];
		uint64_t before = v->share.size;

		follow(&v->share, v->habit == REFUSER, s->period_ms);
		follow(&v->slow, v->habit == REFUSER, s->period_ms);
		run->r->moved_gib += fabs((double)v->share.size - before) / (1 << 30);
		run->r->share += true_share(v, v->share.size) / s->nr;
		run->r->share_static += true_share(v, run->fixed[i]) / s->nr;
		run->r->share_ideal += true_share(v, run->ideal[i].target) / s->nr;
	}
}

static void split_evenly(struct run *run)
{
	struct sim *s = run->s;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		run->fixed[i] = s->pool.capacity / s->nr / BLOCK * BLOCK;
		if (run->fixed[i] > s->vm[i].share.limit)
			run->fixed[i] = s->vm[i].share.limit;
	}
}

static double latency(double share)
{
	return share * FAST_NS + (1 - share) * SLOW_NS;
}

static void average(struct pv_sim_result *r)
{
	r->decide_ms /= r->steps;
	r->share /= r->steps;
	r->share_static /= r->steps;
	r->share_ideal /= r->steps;
	r->jain /= r->steps;
	r->used /= r->steps;
	r->ns = latency(r->share);
	r->ns_static = latency(r->share_static);
	r->ns_ideal = latency(r->share_ideal);
}

static void run_all(struct run *run, size_t steps)
{
	struct sim *s = run->s;
	size_t i, step;

	for (i = 0; i < s->nr; i++) {
		run->fast[i] = &s->vm[i].share;
		run->slow[i] = &s->vm[i].slow;
		run->ideal_ptr[i] = &run->ideal[i];
	}
	split_evenly(run);
	for (step = 0; step < steps; step++) {
		uint64_t t = step * s->period_ms;

		play_events(run, t);
		for (i = 0; i < s->nr; i++)
			report(s, &s->vm[i], t);
		decide(run, 1 + t);
		ideal(run, 1 + t);
		apply(run);
		fairness(run);
		measure(run);
	}
	run->r->steps = steps;
	run->r->vms = s->nr;
	average(run->r);
}

static int simulate(struct sim *s, size_t steps, struct pv_sim_result *r)
{
	struct run run = { .s = s, .r = r };
	int rc = PV_RC_ERROR;

	memset(r, 0, sizeof(*r));
	run.work = pv_work_new(s->nr);
	run.fast = calloc(s->nr, sizeof(*run.fast));
	run.slow = calloc(s->nr, sizeof(*run.slow));
	run.fixed = calloc(s->nr, sizeof(*run.fixed));
	run.ideal = calloc(s->nr, sizeof(*run.ideal));
	run.ideal_ptr = calloc(s->nr, sizeof(*run.ideal_ptr));
	if (run.work && run.fast && run.slow && run.fixed && run.ideal && run.ideal_ptr) {
		run_all(&run, steps);
		rc = PV_RC_OK;
	}
	pv_work_free(run.work);
	free(run.fast);
	free(run.slow);
	free(run.fixed);
	free(run.ideal);
	free(run.ideal_ptr);
	return rc;
}

/* What the command line says goes before what the trace, or the default, does. */
static int apply_rules(struct sim *s, const struct pv_sim_opts *o)
{
	struct pv_config c;
	char key[64], why[256];
	unsigned int i;
	int err = 0;

	pv_config_init(&c);
	c.rules = s->rules;
	c.period_ms = s->period_ms;
	for (i = 0; i < o->nr_rule && !err; i++) {
		const char *eq = strchr(o->rule[i], '=');

		snprintf(key, sizeof(key), "%.*s", eq ? (int)(eq - o->rule[i]) : 0, o->rule[i]);
		err = eq ? pv_config_rule(&c, key, eq + 1, why, sizeof(why)) : -EINVAL;
		if (err)
			pr_err("--rule %s: %s", o->rule[i], eq ? why : "KEY=VALUE is needed");
	}
	s->rules = c.rules;
	s->period_ms = c.period_ms;
	if (o->mode >= 0)
		s->rules.mode = o->mode;
	return err ? PV_RC_USAGE : PV_RC_OK;
}

int pv_simulate(const struct pv_sim_opts *o, struct pv_sim_result *r)
{
	struct sim s = { .seed = o->seed ?: 1 };
	struct pv_config preset;
	size_t steps = o->steps;
	int rc = PV_RC_OK;

	pv_config_init(&preset);
	s.rules = preset.rules;
	s.period_ms = preset.period_ms;
	if (o->trace)
		rc = read_trace(&s, o->trace);
	rc = rc ?: apply_rules(&s, o);
	if (!rc && !o->trace) {
		steps = steps ?: STEPS;
		if (!generate(&s, o->vms, (steps * s.period_ms + EVENT_MS - 1) / EVENT_MS))
			rc = PV_RC_ERROR;
	}
	if (!rc && o->write)
		rc = write_trace(&s, o->write);
	if (!steps)
		steps = s.nr_event ? s.event[s.nr_event - 1].t / s.period_ms + 1 : STEPS;
	if (!rc && (!s.pool.capacity || steps > 1000000)) {
		pr_err("the trace has no fast capacity, or is too long");
		rc = PV_RC_CONFIG;
	}
	rc = rc ?: simulate(&s, steps, r);
	free(s.vm);
	free(s.event);
	return rc;
}

static void print_json(const struct pv_sim_result *r)
{
	printf("{\"schema\":1,\"vms\":%zu,\"steps\":%zu,\"decide_ms\":%.3f,\"decide_max_ms\":%.3f,"
	       "\"share\":%.4f,\"share_static\":%.4f,\"share_ideal\":%.4f,\"ns\":%.2f,"
	       "\"ns_static\":%.2f,\"ns_ideal\":%.2f,\"moved_gib\":%.2f,\"used\":%.4f,"
	       "\"jain\":%.4f,\"below_guarantee\":%" PRIu64 ",\"over_capacity\":%" PRIu64 "}\n",
	       r->vms, r->steps, r->decide_ms, r->decide_max_ms, r->share, r->share_static,
	       r->share_ideal, r->ns, r->ns_static, r->ns_ideal, r->moved_gib, r->used, r->jain,
	       r->below_guarantee, r->over_capacity);
}

static void print_table(const struct pv_sim_result *r)
{
	printf("%zu VMs, %zu decisions, %.2f ms each (at most %.2f)\n", r->vms, r->steps,
	       r->decide_ms, r->decide_max_ms);
	printf("%-22s %12s %14s\n", "", "fast share", "ns per access");
	printf("%-22s %10.1f %% %14.1f\n", "static equal split", r->share_static * 100,
	       r->ns_static);
	printf("%-22s %10.1f %% %14.1f\n", "as decided", r->share * 100, r->ns);
	printf("%-22s %10.1f %% %14.1f\n", "at once and truthful", r->share_ideal * 100,
	       r->ns_ideal);
	printf("moved %.1f GiB; %.1f %% of the capacity in use; fairness %.3f\n", r->moved_gib,
	       r->used * 100, r->jain);
	printf("requests below a guarantee: %" PRIu64 "; decisions over capacity: %" PRIu64 "\n",
	       r->below_guarantee, r->over_capacity);
}

int pv_simulate_command(const struct pv_sim_opts *o)
{
	struct pv_sim_result r;
	int rc = pv_simulate(o, &r);

	if (rc)
		return rc;
	if (o->json)
		print_json(&r);
	else
		print_table(&r);
	return r.below_guarantee || r.over_capacity ? PV_RC_ERROR : PV_RC_OK;
}
