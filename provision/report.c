// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* What a guest sends is parsed here, and nowhere else. Every value is checked. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <json-c/json.h>

#include "demand.h"

#define DEPTH 4 /* the object, the curve, a point, and what is no container */

static struct json_object *parse(const char *line, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(DEPTH);
	struct json_object *o = NULL;
	size_t end = 0;

	if (!tok)
		return NULL;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(tok, line, len);
	/* An object is complete at its brace; a line that ends before that is none. */
	if (json_tokener_get_error(tok) == json_tokener_success)
		end = json_tokener_get_parse_end(tok);
	json_tokener_free(tok);
	if (json_object_is_type(o, json_type_object) && end == len)
		return o;
	json_object_put(o);
	return NULL;
}

static bool number_in(struct json_object *v, double max, double *out)
{
	if (!json_object_is_type(v, json_type_int) && !json_object_is_type(v, json_type_double))
		return false;
	*out = json_object_get_double(v);
	return isfinite(*out) && *out >= 0 && *out <= max;
}

/* A member that must be there, from 0 to max. */
static bool real(struct json_object *o, const char *key, double max, double *out)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && number_in(v, max, out);
}

static bool whole(struct json_object *o, const char *key, uint64_t max, uint64_t *out)
{
	struct json_object *v;
	int64_t n;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
		return false;
	n = json_object_get_int64(v);
	*out = n;
	return n >= 0 && (uint64_t)n <= max;
}

static bool point(struct json_object *pair, struct ht_guest_point *p)
{
	double bytes;

	if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2)
		return false;
	if (!number_in(json_object_array_get_idx(pair, 0), HT_GUEST_BYTES_MAX, &bytes) ||
	    !number_in(json_object_array_get_idx(pair, 1), 1, &p->share))
		return false;
	p->bytes = bytes;
	return true;
}

static bool curve(struct json_object *o, struct ht_guest_report *r)
{
	struct json_object *arr;
	size_t i, nr;

	if (!json_object_object_get_ex(o, "curve", &arr))
		return true;
	if (!json_object_is_type(arr, json_type_array))
		return false;
	nr = json_object_array_length(arr);
	if (nr > HT_GUEST_CURVE)
		return false;
	for (i = 0; i < nr; i++) {
		if (!point(json_object_array_get_idx(arr, i), &r->curve[i]))
			return false;
		if (i && (r->curve[i].bytes < r->curve[i - 1].bytes ||
			  r->curve[i].share < r->curve[i - 1].share))
			return false;
	}
	r->nr_curve = nr;
	return true;
}

static bool members(struct json_object *o, struct ht_guest_report *r)
{
	uint64_t ms;

	if (!whole(o, "epoch_ms", 3600000, &ms) || !whole(o, "seq", INT64_MAX, &r->seq) ||
	    !whole(o, "capacity", HT_GUEST_BYTES_MAX, &r->capacity) ||
	    !whole(o, "fast", HT_GUEST_BYTES_MAX, &r->fast) ||
	    !whole(o, "slow", HT_GUEST_BYTES_MAX, &r->slow) ||
	    !whole(o, "hot", HT_GUEST_BYTES_MAX, &r->hot) ||
	    !whole(o, "refault", HT_GUEST_BYTES_MAX, &r->refault))
		return false;
	r->epoch_ms = ms;
	return real(o, "share", 1, &r->share) && real(o, "waste", 1, &r->waste) &&
	       real(o, "accesses", HT_GUEST_RATE_MAX, &r->accesses) && curve(o, r);
}

int pv_report_parse(const char *line, size_t len, struct ht_guest_report *r)
{
	struct json_object *o;
	uint64_t version;
	int err = 0;

	memset(r, 0, sizeof(*r));
	if (len > HT_GUEST_LINE || memchr(line, '\0', len))
		return -EBADMSG;
	o = parse(line, len);
	if (!o)
		return -EBADMSG;
	if (!whole(o, "v", UINT32_MAX, &version))
		err = -EBADMSG;
	else if (version != HT_GUEST_VERSION)
		err = -EPROTO;
	else if (!members(o, r))
		err = -ERANGE;
	json_object_put(o);
	return err;
}
