// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * jget FILE [-e EVENT] [-n] PATH: a value of a JSON file, or of the last complete object of a file
 * with one object a line (with -e: the last whose "event" is EVENT). PATH is keys and array indices
 * with dots between; "[key=value]" picks the array element with that member. A path that begins
 * with + prints the sum of the numbers in what it names, one with # the number of elements, and "."
 * the whole object. -n prints the number of objects. Exit status 1 if the value is not there or the
 * file is not JSON, also when just its last object is not.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

struct query {
	const char *event;
	struct json_object *last;
	unsigned int nr;
};

static char *slurp(const char *path, size_t *len)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "r") : stdin;
	char *buf = NULL, *n;
	size_t cap = 0, got;

	*len = 0;
	if (!f)
		return NULL;
	do {
		cap += 1 << 16;
		n = realloc(buf, cap);
		if (!n)
			exit(1);
		buf = n;
		got = fread(buf + *len, 1, cap - *len - 1, f);
		*len += got;
	} while (got);
	buf[*len] = '\0';
	if (f != stdin)
		fclose(f);
	return buf;
}

static void take(struct query *q, struct json_object *o)
{
	struct json_object *ev;

	if (q->event && (!json_object_object_get_ex(o, "event", &ev) ||
			 strcmp(json_object_get_string(ev), q->event))) {
		json_object_put(o);
		return;
	}
	json_object_put(q->last);
	q->last = o;
	q->nr++;
}

/* The writer may be at its next line: text cut short at the end of the file is no error. */
static bool parse_all(struct query *q, const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new();
	enum json_tokener_error err = json_tokener_success;
	struct json_object *o;
	size_t pos = 0;

	while (pos < len && strspn(text + pos, " \t\r\n") < len - pos) {
		o = json_tokener_parse_ex(tok, text + pos, len - pos);
		err = json_tokener_get_error(tok);
		if (err != json_tokener_success)
			break;
		pos += json_tokener_get_parse_end(tok);
		take(q, o);
	}
	json_tokener_free(tok);
	return err == json_tokener_success || (err == json_tokener_continue && q->nr);
}

static struct json_object *pick(struct json_object *arr, char *cond)
{
	char *val = strchr(cond, '='), *end = strchr(cond, ']');
	struct json_object *o, *v;

	if (!val || !end)
		return NULL;
	*val++ = *end = '\0';
	for (size_t i = 0; i < json_object_array_length(arr); i++) {
		o = json_object_array_get_idx(arr, i);
		if (json_object_object_get_ex(o, cond, &v) &&
		    !strcmp(json_object_get_string(v), val))
			return o;
	}
	return NULL;
}

static struct json_object *member(struct json_object *o, char *key)
{
	struct json_object *v = NULL;

	if (json_object_is_type(o, json_type_object)) {
		json_object_object_get_ex(o, key, &v);
		return v;
	}
	if (!json_object_is_type(o, json_type_array))
		return NULL;
	if (*key == '[')
		return pick(o, key + 1);
	return json_object_array_get_idx(o, strtoul(key, NULL, 10));
}

static double sum(struct json_object *o)
{
	double s = 0;

	if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			s += sum(json_object_array_get_idx(o, i));
	} else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, k, v)
		{
			(void)k;
			s += sum(v);
		}
	} else {
		s = json_object_get_double(o);
	}
	return s;
}

static int print(struct json_object *o, char *path)
{
	char how = *path == '+' || *path == '#' ? *path : 0, *key, *save = NULL;

	path += !!how;
	for (key = strtok_r(path, ".", &save); key && o; key = strtok_r(NULL, ".", &save))
		o = member(o, key);
	if (!o)
		return 1;
	if (how == '+')
		printf("%.15g\n", sum(o));
	else if (how == '#')
		printf("%zu\n", json_object_is_type(o, json_type_array)
					? json_object_array_length(o)
					: (size_t)json_object_object_length(o));
	else
		puts(json_object_get_string(o));
	return 0;
}

int main(int argc, char **argv)
{
	struct query q = {};
	bool count = false;
	size_t len;
	char *text;
	int o;

	while ((o = getopt(argc, argv, "+e:n")) != -1 || optind == 1) {
		if (o == -1)
			optind++; /* FILE comes first */
		else if (o == 'e')
			q.event = optarg;
		else if (o == 'n')
			count = true;
		else
			return 2;
	}
	if (argc - optind != !count || argc < 3)
		return 2;
	text = slurp(argv[1], &len);
	if (!text || !parse_all(&q, text, len))
		return 1;
	free(text);
	if (count)
		printf("%u\n", q.nr);
	return count ? 0 : q.last ? print(q.last, argv[optind]) : 1;
}
