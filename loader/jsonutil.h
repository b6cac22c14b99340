/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What json-c lacks: unsigned numbers going out, text of unknown origin coming in. */
#ifndef HT_JSONUTIL_H
#define HT_JSONUTIL_H

#include <stdint.h>

#include <json-c/json.h>

/* JSON's integers are signed here: what does not fit is the largest one. */
static inline struct json_object *ht_json_u64(uint64_t v)
{
	return json_object_new_int64(v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

/* The member's text, o's; NULL if it is missing or anything else. */
static inline const char *ht_json_text(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

#endif
