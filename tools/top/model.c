// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "control.h"
#include "top.h"

#define ASK_MS 1500
#define SECONDS_MAX 1e9 /* thirty years */

const char *const top_sort_name[TOP_SORTS] = { "heat", "density", "recent", "pages", "address" };

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, type) ? v : NULL;
}

static uint64_t number(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_int);
	int64_t n = v ? json_object_get_int64(v) : 0;

	return n < 0 ? 0 : n;
}

static double real(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_double);

	return v ? json_object_get_double(v) : 0;
}

static bool flag(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_boolean);

	return v && json_object_get_boolean(v);
}

/* Whatever a text holds, it must not move the cursor. */
static void text(struct json_object *o, const char *key, char *buf, size_t size)
{
	struct json_object *v = member(o, key, json_type_string);
	size_t i;

	snprintf(buf, size, "%s", v ? json_object_get_string(v) : "");
	for (i = 0; buf[i]; i++)
		if (buf[i] < ' ' || buf[i] > '~')
			buf[i] = '?';
}

static uint64_t address(struct json_object *o, const char *key)
{
	char buf[24];

	text(o, key, buf, sizeof(buf));
	return strtoull(buf, NULL, 16);
}

static void parse_metrics(struct ht_metrics *m, struct json_object *o)
{
	struct json_object *sub;
	double seconds;
	int i;

#define M(name, kind, unit, desc) m->name = number(o, #name);
	HT_METRICS(M)
#undef M
#define M(name, desc) m->name = real(o, #name);
	HT_METRICS_SHARES(M)
#undef M
	seconds = real(o, "seconds");
	m->wall_ns = seconds > 0 && seconds < SECONDS_MAX ? seconds * 1e9 : 0;
	text(o, "policy", m->policy, sizeof(m->policy));
	sub = member(o, "dropped", json_type_object);
	for (i = 0; sub && i < HT_DROP_NR; i++)
		m->drop[i] = number(sub, ht_drop_name(i));
}

/* Elements of a list that are objects, at most max of them. */
static size_t length(struct json_object *o, const char *key, struct json_object **list, size_t max)
{
	size_t n;

	*list = member(o, key, json_type_array);
	n = *list ? json_object_array_length(*list) : 0;
	return n < max ? n : max;
}

static void parse_tiers(struct top_status *s, struct json_object *o)
{
	struct json_object *list, *e;
	size_t i;

	s->nr_tiers = length(o, "tiers", &list, TOP_TIERS);
	for (i = 0; i < s->nr_tiers; i++) {
		struct top_tier *t = &s->tier[i];

		e = json_object_array_get_idx(list, i);
		text(e, "nodes", t->nodes, sizeof(t->nodes));
		t->bytes = number(e, "bytes");
		t->free_pages = number(e, "free_pages");
		t->target_pages = number(e, "target_pages");
		t->read_ns = number(e, "read_ns");
	}
}

static void parse_targets(struct top_status *s, struct json_object *o)
{
	struct json_object *list, *pages, *e, *v;
	size_t i, k, nr;

	s->nr_targets = length(o, "target_list", &list, TOP_LIST);
	for (i = 0; i < s->nr_targets; i++) {
		struct top_target *t = &s->target[i];

		e = json_object_array_get_idx(list, i);
		t->pid = number(e, "pid");
		text(e, "comm", t->comm, sizeof(t->comm));
		t->heat = number(e, "heat");
		t->fast_heat = number(e, "fast_heat");
		t->frozen = flag(e, "frozen");
		t->pages = t->fast_pages = 0;
		nr = length(e, "pages", &pages, TOP_TIERS);
		for (k = 0; k < nr; k++) {
			v = json_object_array_get_idx(pages, k);
			t->pages += json_object_get_int64(v);
			t->fast_pages += k ? 0 : json_object_get_int64(v);
		}
	}
}

static void parse_ranges(struct top_status *s, struct json_object *o)
{
	struct json_object *list, *e;
	size_t i;

	s->nr_ranges = length(o, "range_list", &list, TOP_LIST);
	for (i = 0; i < s->nr_ranges; i++) {
		struct top_range *r = &s->range[i];

		e = json_object_array_get_idx(list, i);
		r->pid = number(e, "pid");
		r->start = address(e, "start");
		r->end = address(e, "end");
		r->pages = number(e, "pages");
		r->fast_pages = number(e, "fast_pages");
		r->heat = number(e, "heat");
		r->density = number(e, "density");
		r->recent = number(e, "recent");
		r->age = number(e, "age");
		r->flags = number(e, "flags");
	}
}

int top_parse(struct top_status *s, struct json_object *o)
{
	memset(s, 0, sizeof(*s));
	if (!json_object_is_type(o, json_type_object) || !member(o, "schema", json_type_int))
		return -EBADMSG;
	parse_metrics(&s->m, o);
	s->pid = number(o, "pid");
	s->generation = number(o, "generation");
	s->epoch_ms = number(o, "epoch_ms");
	s->ops_last_ns = number(o, "ops_last_ns");
	s->recorded = number(o, "recorded");
	s->tiering = flag(o, "tiering");
	s->dry_run = flag(o, "dry_run");
	s->builtin = flag(o, "builtin");
	text(o, "source", s->source, sizeof(s->source));
	text(o, "source_detail", s->source_detail, sizeof(s->source_detail));
	text(o, "last_exit_reason", s->last_exit, sizeof(s->last_exit));
	parse_tiers(s, o);
	parse_targets(s, o);
	parse_ranges(s, o);
	return 0;
}

int top_ask(const char *dir, enum top_sort sort, struct top_status *s, struct json_object **json)
{
	struct json_object *req = json_object_new_object(), *answer = NULL, *status = NULL;
	int err;

	json_object_object_add(req, "op", json_object_new_string("status"));
	json_object_object_add(req, "ranges", json_object_new_int(TOP_LIST));
	json_object_object_add(req, "targets", json_object_new_int(TOP_LIST));
	json_object_object_add(req, "sort", json_object_new_string(top_sort_name[sort]));
	err = ht_control_ask(dir, req, ASK_MS, &answer);
	if (!err && !json_object_object_get_ex(answer, "status", &status))
		err = -EBADMSG;
	err = err ?: top_parse(s, status);
	if (!err && json)
		*json = json_object_get(status);
	json_object_put(req);
	json_object_put(answer);
	return err;
}
