// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * report DIR: the demo's result, from what the emulator counted (DIR/emu.json: every user access of
 * the workload, by node) and what the loader said (DIR/log.txt is not parsed; DIR/end.json is its
 * closing record). Writes build/results/demo.json beside the text.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#define BAR 50
#define WINDOW_MS 2000

struct row {
	int64_t ms;
	double fast, all;
};

struct series {
	struct row *row;
	size_t nr;
};

static struct json_object *load(const char *dir, const char *name)
{
	struct json_object *o;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	o = json_object_from_file(path);
	if (!o)
		fprintf(stderr, "report: cannot read %s: %s\n", path, json_util_get_last_err());
	return o;
}

static int column(struct json_object *cols, const char *name)
{
	size_t i;

	for (i = 0; i < json_object_array_length(cols); i++)
		if (!strcmp(json_object_get_string(json_object_array_get_idx(cols, i)), name))
			return i;
	return -1;
}

/* Cumulative counts over the host's time; node 0 is the fast tier in the demo's guest. */
static int read_series(struct series *s, struct json_object *emu)
{
	struct json_object *ser, *cols, *rows, *r;
	int ms, node0;
	size_t i, k;

	if (!json_object_object_get_ex(emu, "series", &ser) ||
	    !json_object_object_get_ex(ser, "columns", &cols) ||
	    !json_object_object_get_ex(ser, "rows", &rows))
		return -EINVAL;
	ms = column(cols, "host_ms");
	node0 = column(cols, "node0");
	if (ms < 0 || node0 < 0)
		return -EINVAL;
	s->row = calloc(json_object_array_length(rows), sizeof(*s->row));
	if (!s->row)
		return -ENOMEM;
	for (i = 0; i < json_object_array_length(rows); i++) {
		struct row *out = &s->row[s->nr++];

		r = json_object_array_get_idx(rows, i);
		out->ms = json_object_get_int64(json_object_array_get_idx(r, ms));
		out->fast = json_object_get_double(json_object_array_get_idx(r, node0));
		for (k = node0; k < json_object_array_length(r); k++)
			out->all += json_object_get_double(json_object_array_get_idx(r, k));
	}
	return s->nr >= 3 ? 0 : -ENODATA;
}

/* Share of the accesses between two times that the fast tier served; < 0 if there were none. */
static double share(const struct series *s, int64_t from, int64_t to)
{
	const struct row *a = NULL, *b = NULL;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		if (s->row[i].ms <= from || !a)
			a = &s->row[i];
		if (s->row[i].ms <= to)
			b = &s->row[i];
	}
	return a && b && b->all > a->all ? (b->fast - a->fast) / (b->all - a->all) : -1;
}

static void draw(const struct series *s)
{
	int64_t t, start = s->row[0].ms, end = s->row[s->nr - 1].ms;
	double v;
	int n;

	printf("\nshare of accesses served by the fast tier, each 2 s\n");
	for (t = start; t + WINDOW_MS <= end; t += WINDOW_MS) {
		v = share(s, t, t + WINDOW_MS);
		if (v < 0)
			continue;
		n = v * BAR + 0.5;
		printf("%5.0f s %5.1f %% |%.*s%*s|\n", (t - start) / 1e3, v * 100, n,
		       "##################################################", BAR - n, "");
	}
}

static int64_t number(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : -1;
}

static int summary(const struct series *s, struct json_object *end, const char *path)
{
	int64_t first = s->row[0].ms, last = s->row[s->nr - 1].ms;
	/* The loader starts some 8 s after counting does, and stops some 4 s before. */
	double before = share(s, first, first + 6000), after = share(s, last - 6000, last);
	int64_t up = number(end, "promoted"), down = number(end, "demoted");
	int64_t loader = number(end, "loader_ns"), bpf = number(end, "bpf_ns");
	struct json_object *sec;
	double seconds = 0;
	FILE *f;

	if (json_object_object_get_ex(end, "seconds", &sec))
		seconds = json_object_get_double(sec);
	if (before < 0 || after < 0 || up < 0 || seconds <= 0)
		return -EINVAL;
	printf("\nfast share   %.1f %% before, %.1f %% after\n", before * 100, after * 100);
	printf("moved        %" PRId64 " pages promoted, %" PRId64 " demoted (%.0f MiB)\n", up,
	       down, (up + down) / 256.0);
	printf("CPU spent    loader %.2f s, BPF %.3f s in %.0f s: %.1f %% of one (emulated) core\n",
	       loader / 1e9, bpf / 1e9, seconds, (loader + bpf) / seconds / 1e7);
	f = fopen(path, "w");
	if (!f)
		return -errno;
	fprintf(f,
		"{\"fast_share_before\":%.4f,\"fast_share_after\":%.4f,\"promoted\":%" PRId64
		",\"demoted\":%" PRId64 ",\"loader_ns\":%" PRId64 ",\"bpf_ns\":%" PRId64
		",\"seconds\":%.1f}\n",
		before, after, up, down, loader, bpf, seconds);
	return fclose(f) ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct json_object *emu, *end;
	struct series s = {};
	int err;

	if (argc != 3) {
		fprintf(stderr, "usage: report DIR RESULT.json\n");
		return 2;
	}
	emu = load(argv[1], "emu.json");
	end = load(argv[1], "end.json");
	if (!emu || !end)
		return 1;
	err = read_series(&s, emu);
	if (!err) {
		draw(&s);
		err = summary(&s, end, argv[2]);
	}
	if (err)
		fprintf(stderr, "report: the run left no usable figures: %s\n", strerror(-err));
	free(s.row);
	json_object_put(emu);
	json_object_put(end);
	return err ? 1 : 0;
}
