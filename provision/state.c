// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "../loader/jsonutil.h"
#include "../loader/log.h"
#include "demand.h"
#include "state.h"
#include "vm.h"

#define STATE_VERSION 1
#define STATE_MAX (64 << 20)
#define BYTE_SECONDS_MAX 1e25 /* the largest size for sixty years */

/* ---- files */

int pv_state_read(const char *path, struct json_object **state)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	struct stat st;

	*state = NULL;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > STATE_MAX)
		err = -EFBIG;
	else
		*state = json_object_from_fd(fd);
	close(fd);
	if (!err && !json_object_is_type(*state, json_type_object)) {
		json_object_put(*state);
		*state = NULL;
		err = -EBADMSG;
	}
	return err;
}

/* ---- out */

static unsigned long long real_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* What its guest told: forgotten, it would be divided for as one that never told anything. */
static void add_wish(struct json_object *o, const struct pv_vm *v)
{
	const struct pv_share *s = &v->share[0];
	struct json_object *curve = json_object_new_array(), *p;
	unsigned int i;

	for (i = 0; i < s->nr_curve; i++) {
		p = json_object_new_array();
		json_object_array_add(p, ht_json_u64(s->curve[i].bytes));
		json_object_array_add(p, json_object_new_double(s->curve[i].share));
		json_object_array_add(curve, p);
	}
	json_object_object_add(o, "demand", ht_json_u64(s->demand));
	json_object_object_add(o, "curve", curve);
	json_object_object_add(o, "base_known", json_object_new_boolean(v->base_known));
	json_object_object_add(o, "base", json_object_new_int64(v->base));
	json_object_object_add(o, "abuse", json_object_new_boolean(v->abuse));
}

/* Times of the monotonic clock mean nothing after a reboot: kept by the calendar. */
static struct json_object *tier_state(const struct pv_vm *v, unsigned int t, unsigned long long now,
				      unsigned long long real)
{
	const struct pv_share *s = &v->share[t];
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "size", ht_json_u64(s->size));
	json_object_object_add(o, "requested", ht_json_u64(s->requested));
	json_object_object_add(o, "max", ht_json_u64(s->max));
	json_object_object_add(o, "block", ht_json_u64(s->block));
	json_object_object_add(o, "strikes", json_object_new_int(s->strikes));
	/* In seconds: the two clocks' difference is not the same each time it is taken. */
	json_object_object_add(
		o, "until",
		ht_json_u64(s->backoff_until > now
				    ? (real + (s->backoff_until - now) + 500) / 1000 * 1000
				    : 0));
	/* How long it has been waited for: killing the daemon must not buy a guest time. */
	if (s->size != s->requested && s->progress_at <= now)
		json_object_object_add(o, "since",
				       ht_json_u64((real - (now - s->progress_at)) / 1000 * 1000));
	if (!t && s->demand != PV_UNKNOWN)
		add_wish(o, v);
	json_object_object_add(o, "byte_seconds", json_object_new_double(v->billed[t]));
	return o;
}

static struct json_object *vm_state(const struct pv_vm *v, unsigned long long now,
				    unsigned long long real)
{
	struct json_object *o = json_object_new_object(), *set = json_object_new_array();
	unsigned int i;

	json_object_object_add(o, "known", json_object_new_boolean(v->known));
	json_object_object_add(o, "pid", json_object_new_int(v->pid));
	json_object_object_add(o, "pid_start", ht_json_u64(v->pid_start));
	json_object_object_add(o, "paused", json_object_new_boolean(v->paused));
	json_object_object_add(o, "drain", json_object_new_boolean(v->drain));
	for (i = 0; i < v->nr_override; i++)
		json_object_array_add(set, json_object_new_string(v->override[i]));
	json_object_object_add(o, "set", set);
	for (i = 0; i < PV_TIERS; i++)
		if (v->managed[i])
			json_object_object_add(o, pv_tier_name[i], tier_state(v, i, now, real));
	return o;
}

struct json_object *pv_state_make(struct pv_vm *const *vm, size_t nr, bool paused,
				  unsigned long long now)
{
	struct json_object *o = json_object_new_object(), *vms = json_object_new_object();
	unsigned long long real = real_ms();
	size_t i;

	for (i = 0; i < nr; i++)
		json_object_object_add(vms, vm[i]->cfg.name, vm_state(vm[i], now, real));
	json_object_object_add(o, "version", json_object_new_int(STATE_VERSION));
	json_object_object_add(o, "paused", json_object_new_boolean(paused));
	json_object_object_add(o, "vms", vms);
	return o;
}

/* ---- in */

static bool flag(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_get_boolean(v);
}

static uint64_t number(struct json_object *o, const char *key, uint64_t max)
{
	struct json_object *v;
	int64_t n;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
		return 0;
	n = json_object_get_int64(v);
	return n < 0 ? 0 : (uint64_t)n > max ? max : (uint64_t)n;
}

/* A number of either sign or a fraction; what no daemon would have written is 0. */
static double fraction(struct json_object *o, const char *key, double min, double max)
{
	struct json_object *v;
	double n;

	if (!json_object_object_get_ex(o, key, &v))
		return 0;
	n = json_object_get_double(v);
	return n >= min && n <= max ? n : 0;
}

static bool take_point(struct json_object *p, struct ht_guest_point *to)
{
	if (!json_object_is_type(p, json_type_array) || json_object_array_length(p) != 2)
		return false;
	to->bytes = json_object_get_int64(json_object_array_get_idx(p, 0));
	to->share = json_object_get_double(json_object_array_get_idx(p, 1));
	return to->bytes <= HT_GUEST_BYTES_MAX && to->share >= 0 && to->share <= 1;
}

/* As fresh as if it had been told now: the guest has a report's life to tell anew. */
static void apply_wish(struct pv_vm *v, struct json_object *o, unsigned long long now)
{
	struct pv_share *s = &v->share[0];
	struct json_object *curve;
	size_t i, nr = 0;

	if (!v->known || !json_object_object_get_ex(o, "demand", NULL))
		return;
	s->demand = number(o, "demand", HT_GUEST_BYTES_MAX);
	if (json_object_object_get_ex(o, "curve", &curve) &&
	    json_object_is_type(curve, json_type_array))
		nr = json_object_array_length(curve);
	for (i = 0; i < nr && i < HT_GUEST_CURVE; i++)
		if (!take_point(json_object_array_get_idx(curve, i), &s->curve[i]) ||
		    (i && s->curve[i].bytes <= s->curve[i - 1].bytes))
			break;
	s->nr_curve = i;
	v->base_known = flag(o, "base_known");
	v->base = fraction(o, "base", -(double)HT_GUEST_BYTES_MAX, HT_GUEST_BYTES_MAX);
	v->chan.report_at = now;
	v->moved_at = now;
	v->abuse = flag(o, "abuse");
	if (v->abuse)
		v->chan.abuse_until = now + PV_CHANNEL_ABUSE_MS;
}

static void apply_tier(struct pv_vm *v, unsigned int t, struct json_object *o,
		       unsigned long long now, unsigned long long real)
{
	struct pv_share *s = &v->share[t];
	uint64_t until = number(o, "until", INT64_MAX), since = number(o, "since", INT64_MAX);

	if (v->known) {
		s->size = s->last_size = number(o, "size", HT_GUEST_BYTES_MAX);
		s->requested = number(o, "requested", HT_GUEST_BYTES_MAX);
		s->max = number(o, "max", HT_GUEST_BYTES_MAX);
		s->block = number(o, "block", HT_GUEST_BYTES_MAX);
	}
	s->progress_at = now;
	if (since && since < real)
		s->progress_at -= real - since < now ? real - since : now;
	if (!t)
		apply_wish(v, o, now);
	s->strikes = number(o, "strikes", 1000);
	/* A clock that was set must not shut a VM out for years. */
	if (until > real)
		s->backoff_until = now + (until - real < 86400000 ? until - real : 86400000);
	v->byte_seconds[t] = v->billed[t] = fraction(o, "byte_seconds", 0, BYTE_SECONDS_MAX);
}

static void apply_set(struct pv_vm *v, const struct pv_config *c, const char *text)
{
	struct pv_vm_config changed = v->cfg;
	struct pv_vm_config *effective;
	char key[128], why[256], *eq;

	snprintf(key, sizeof(key), "%s", text);
	eq = strchr(key, '=');
	if (!eq || strlen(text) >= sizeof(v->override[0]) || v->nr_override == PV_OVERRIDES)
		return;
	*eq++ = '\0';
	if (pv_config_set(c, &changed, key, eq, why, sizeof(why)) ||
	    pv_config_admit(c, &changed, why, sizeof(why))) {
		pr_warn("VM %s: what was set no longer holds: %s: %s", v->cfg.name, text, why);
		return;
	}
	v->cfg = changed;
	effective = pv_config_find(c, v->cfg.name);
	if (effective)
		*effective = changed;
	strcpy(v->override[v->nr_override++], text);
}

static void apply_vm(struct pv_vm *v, const struct pv_config *c, struct json_object *o,
		     unsigned long long now, unsigned long long real)
{
	struct json_object *set, *tier;
	size_t i;

	v->pid = number(o, "pid", INT_MAX);
	v->pid_start = number(o, "pid_start", INT64_MAX);
	/* Gone while nobody looked: it holds nothing. */
	v->known = flag(o, "known") && (!v->pid || pv_process_start(v->pid) == v->pid_start);
	v->paused = flag(o, "paused");
	v->drain = flag(o, "drain");
	if (json_object_object_get_ex(o, "set", &set) && json_object_is_type(set, json_type_array))
		for (i = 0; i < json_object_array_length(set); i++)
			apply_set(v, c,
				  json_object_get_string(json_object_array_get_idx(set, i)) ?: "");
	for (i = 0; i < PV_TIERS; i++)
		if (v->managed[i] && json_object_object_get_ex(o, pv_tier_name[i], &tier) &&
		    json_object_is_type(tier, json_type_object))
			apply_tier(v, i, tier, now, real);
	pv_vm_policy(v, c);
}

int pv_state_apply(struct json_object *state, const struct pv_config *c, struct pv_vm *const *vm,
		   size_t nr, bool *paused, unsigned long long now)
{
	unsigned long long real = real_ms();
	struct json_object *vms, *o;
	size_t i;

	if (number(state, "version", INT_MAX) != STATE_VERSION ||
	    !json_object_object_get_ex(state, "vms", &vms) ||
	    !json_object_is_type(vms, json_type_object))
		return -EBADMSG;
	*paused = flag(state, "paused");
	for (i = 0; i < nr; i++)
		if (json_object_object_get_ex(vms, vm[i]->cfg.name, &o) &&
		    json_object_is_type(o, json_type_object))
			apply_vm(vm[i], c, o, now, real);
	return 0;
}
