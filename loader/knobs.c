// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <json-c/json.h>

#include "knobs.h"
#include "log.h"

#define SECTION ".rodata.knobs"

static bool sound_name(const struct ht_knob *k)
{
	size_t i, len = strnlen(k->name, sizeof(k->name));

	if (!len || len == sizeof(k->name) || isdigit((unsigned char)k->name[0]))
		return false;
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)k->name[i]) && k->name[i] != '_')
			return false;
	return true;
}

/* Printed to terminals and as JSON: ASCII, no control characters. */
static bool sound_help(const struct ht_knob *k)
{
	size_t i, len = strnlen(k->help, sizeof(k->help));

	if (len == sizeof(k->help))
		return false;
	for (i = 0; i < len; i++)
		if ((unsigned char)k->help[i] < 0x20 || (unsigned char)k->help[i] > 0x7e)
			return false;
	return true;
}

static int check(const struct ht_knob *k, size_t nr)
{
	size_t i, j;

	for (i = 0; i < nr; i++) {
		bool sound = sound_name(&k[i]) && sound_help(&k[i]) && k[i].min <= k[i].value &&
			     k[i].value <= k[i].max;

		for (j = 0; j < i && sound; j++)
			sound = strcmp(k[i].name, k[j].name) != 0;
		if (sound)
			continue;
		pr_err("section " SECTION ": entry %zu is no knob (is everything in it defined by "
		       "HYPERTIER_KNOB?)",
		       i);
		return -EINVAL;
	}
	return 0;
}

static struct bpf_map *find_section(struct bpf_object *obj)
{
	struct bpf_map *m;

	bpf_object__for_each_map (m, obj)
		if (!strcmp(bpf_map__name(m), SECTION))
			return m;
	return NULL;
}

int ht_knobs_list(struct bpf_object *obj, const struct ht_knob **knobs, size_t *nr)
{
	struct bpf_map *m = find_section(obj);
	size_t size = 0;

	*knobs = NULL;
	*nr = 0;
	if (!m)
		return 0;
	*knobs = bpf_map__initial_value(m, &size);
	if (!*knobs || size % sizeof(**knobs) || size > HT_KNOBS_MAX * sizeof(**knobs)) {
		pr_err("section " SECTION ": %zu bytes are not 1 to %d knobs of %zu bytes: rebuild "
		       "the policy with the headers of this version",
		       *knobs ? size : 0, HT_KNOBS_MAX, sizeof(**knobs));
		*knobs = NULL;
		return -EINVAL;
	}
	*nr = size / sizeof(**knobs);
	if (!check(*knobs, *nr))
		return 0;
	*knobs = NULL;
	*nr = 0;
	return -EINVAL;
}

static int parse_value(const char *s, uint64_t *value)
{
	static const char suffix[] = "KMG";
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	unsigned long long v;
	const char *p;
	char *end;

	/* strtoull() would skip blanks, take signs, and read "0x" as a zero with something after
	 * it. */
	if (hex ? !isxdigit((unsigned char)s[2]) : !isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, hex ? 16 : 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		p = strchr(suffix, toupper((unsigned char)*end));
		if (!p || end[1])
			return -EINVAL;
		if (__builtin_mul_overflow(v, 1ULL << (10 * (p - suffix + 1)), &v))
			return -ERANGE;
	}
	*value = v;
	return 0;
}

static void say_unknown(const char *name, int len, const struct ht_knob *k, size_t nr)
{
	char names[HT_KNOBS_MAX * (HT_KNOB_NAME_LEN + 2)] = "";
	size_t i, at = 0;

	for (i = 0; i < nr; i++)
		at += snprintf(names + at, sizeof(names) - at, "%s%s", i ? ", " : "", k[i].name);
	pr_err("the policy has no knob '%.*s'; %s%s", len, name,
	       nr ? "its knobs are: " : "it has none at all", names);
}

/* The section is changed as a whole: libbpf hands it out for reading only. */
static int store(struct bpf_map *m, const struct ht_knob *k, size_t nr, size_t which,
		 uint64_t value)
{
	struct ht_knob *copy = malloc(nr * sizeof(*copy));
	int err;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, k, nr * sizeof(*copy));
	copy[which].value = value;
	/* libbpf 1.1 says -EINVAL for the same. */
	err = bpf_map__fd(m) >= 0 ? -EBUSY
				  : bpf_map__set_initial_value(m, copy, nr * sizeof(*copy));
	free(copy);
	if (err)
		pr_err("knob '%s' cannot be set: %s", k[which].name,
		       err == -EBUSY ? "the policy is loaded already" : strerror(-err));
	return err;
}

int ht_knobs_set(struct bpf_object *obj, const char *assignment)
{
	const char *eq = strchr(assignment, '=');
	size_t nr, i, len = eq ? eq - assignment : 0;
	const struct ht_knob *k;
	uint64_t value = 0;
	int err;

	err = ht_knobs_list(obj, &k, &nr);
	if (err)
		return err;
	if (!len) {
		pr_err("'%s': a knob is set by NAME=VALUE", assignment);
		return -EINVAL;
	}
	for (i = 0; i < nr; i++)
		if (strlen(k[i].name) == len && !memcmp(k[i].name, assignment, len))
			break;
	if (i == nr) {
		say_unknown(assignment, len < 256 ? len : 256, k, nr);
		return -ENOENT;
	}
	err = parse_value(eq + 1, &value);
	if (!err && (value < k[i].min || value > k[i].max))
		err = -ERANGE;
	if (!err)
		return store(find_section(obj), k, nr, i, value);
	pr_err("knob '%s' takes a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'",
	       k[i].name, (uint64_t)k[i].min, (uint64_t)k[i].max, eq + 1);
	return err;
}

int ht_knobs_set_all(struct bpf_object *obj, char *const *assignment, size_t nr, size_t *which)
{
	int err = 0;
	size_t i;

	for (i = 0; i < nr && !err; i++) {
		err = ht_knobs_set(obj, assignment[i]);
		if (err && which)
			*which = i;
	}
	return err;
}

int ht_knobs_print(FILE *f, struct bpf_object *obj)
{
	const struct ht_knob *k;
	size_t nr, i;
	int err;

	err = ht_knobs_list(obj, &k, &nr);
	if (err)
		return err;
	if (!nr)
		fprintf(f, "no knobs\n");
	for (i = 0; i < nr; i++)
		fprintf(f, "%-16s %" PRIu64 " (%" PRIu64 " to %" PRIu64 "): %s\n", k[i].name,
			(uint64_t)k[i].value, (uint64_t)k[i].min, (uint64_t)k[i].max, k[i].help);
	return 0;
}

struct json_object *ht_knobs_json(struct bpf_object *obj)
{
	struct json_object *arr, *o;
	const struct ht_knob *k;
	size_t nr, i;

	if (ht_knobs_list(obj, &k, &nr))
		return NULL;
	arr = json_object_new_array();
	for (i = 0; i < nr; i++) {
		o = json_object_new_object();
		json_object_object_add(o, "name", json_object_new_string(k[i].name));
		json_object_object_add(o, "value", json_object_new_uint64(k[i].value));
		json_object_object_add(o, "min", json_object_new_uint64(k[i].min));
		json_object_object_add(o, "max", json_object_new_uint64(k[i].max));
		json_object_object_add(o, "help", json_object_new_string(k[i].help));
		json_object_array_add(arr, o);
	}
	return arr;
}
