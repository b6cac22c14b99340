/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Makes a cell's file from what its guest left: the workload's, watcher's and loader's records. */
#ifndef EVAL_COLLECT_H
#define EVAL_COLLECT_H

#include <ctype.h>

#include "eval_cell.h"

static inline struct json_object *collect_file(const char *dir, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (!f)
		return NULL;
	fclose(f);
	return json_object_from_file(path);
}

/* VmHWM of the loader in bytes. */
static inline double collect_rss(const char *dir)
{
	char path[4096], line[128];
	unsigned long long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/loader_mem.txt", dir);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %llu", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb * 1024.0;
}

/* KEY=VALUE from the command line; numbers stay numbers. */
static inline void collect_word(struct json_object *o, const char *word)
{
	const char *eq = strchr(word, '=');
	char key[64], *end;
	double v;

	if (!eq || eq - word >= 50)
		return;
	/* The workload's own record has the plain name. */
	snprintf(key, sizeof(key), "%s%.*s", !strncmp(word, "workload=", 9) ? "cell_" : "",
		 (int)(eq - word), word);
	v = strtod(eq + 1, &end);
	json_object_object_add(o, key,
			       *end || end == eq + 1 ? json_object_new_string(eq + 1)
						     : json_object_new_double(v));
}

static inline int collect(const char *dir, char **words, int nr)
{
	static const char *const part[][2] = {
		{ "workload", "workload.json" },
		{ "watch", "watch.json" },
		{ "loader_start", "loader_start.json" },
		{ "loader_end", "loader_end.json" },
		{ "place", "place.json" },
		{ "record", "record.json" },
	};
	struct json_object *o = json_object_new_object(), *v;

	for (int i = 0; i < nr; i++)
		collect_word(o, words[i]);
	for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++) {
		v = collect_file(dir, part[i][1]);
		if (!v && i < 2) {
			fprintf(stderr, "eval_report: %s/%s is missing or damaged\n", dir,
				part[i][1]);
			json_object_put(o);
			return -ENOENT;
		}
		if (v)
			json_object_object_add(o, part[i][0], v);
	}
	json_object_object_add(o, "loader_rss", json_object_new_double(collect_rss(dir)));
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return 0;
}

#endif
