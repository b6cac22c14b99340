// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * emushare FILE RUN FROM TO: of the accesses of one run of a workload in the emulator's report,
 * those between two fractions of its length that the fast node (0) served, in percent. The emulator
 * sees each access, so these are counts, not samples.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

struct point {
	double all, fast;
};

static int column(struct json_object *cols, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(cols); i++)
		if (!strcmp(json_object_get_string(json_object_array_get_idx(cols, i)), name))
			return i;
	fprintf(stderr, "emushare: no column %s\n", name);
	exit(1);
}

static double at(struct json_object *row, int col)
{
	return json_object_get_double(json_object_array_get_idx(row, col));
}

/* Totals are cumulative over all runs: the point at which so many accesses had been made. */
static struct point interpolate(const struct point *p, size_t nr, double all)
{
	size_t i = 1;
	double f;

	while (i + 1 < nr && p[i].all < all)
		i++;
	f = (all - p[i - 1].all) / (p[i].all - p[i - 1].all);
	return (struct point){ all, p[i - 1].fast + f * (p[i].fast - p[i - 1].fast) };
}

int main(int argc, char **argv)
{
	struct json_object *emu, *series, *cols, *rows, *row;
	struct point *p, a, b;
	size_t i, nr = 0;
	int run, node0, all;

	emu = argc == 5 ? json_object_from_file(argv[1]) : NULL;
	if (!emu || !json_object_object_get_ex(emu, "series", &series) ||
	    !json_object_object_get_ex(series, "columns", &cols) ||
	    !json_object_object_get_ex(series, "rows", &rows)) {
		fprintf(stderr, "emushare: cannot read %s\n", argc > 1 ? argv[1] : "nothing");
		return 1;
	}
	run = column(cols, "run");
	all = column(cols, "accesses");
	node0 = column(cols, "node0");
	p = calloc(json_object_array_length(rows) + 1, sizeof(*p));
	for (i = 0; p && i < json_object_array_length(rows); i++) {
		row = json_object_array_get_idx(rows, i);
		/* The row before the first one of the run is where it starts. */
		if (at(row, run) == atof(argv[2]) && !nr && i) {
			struct json_object *prev = json_object_array_get_idx(rows, i - 1);

			p[nr++] = (struct point){ at(prev, all), at(prev, node0) };
		}
		if (at(row, run) == atof(argv[2]))
			p[nr++] = (struct point){ at(row, all), at(row, node0) };
	}
	while (nr > 1 && p[1].all <= p[0].all) {
		p++;
		nr--;
	}
	if (nr < 3) {
		fprintf(stderr, "emushare: run %s has %zu points\n", argv[2], nr);
		return 1;
	}
	a = interpolate(p, nr, p[0].all + atof(argv[3]) * (p[nr - 1].all - p[0].all));
	b = interpolate(p, nr, p[0].all + atof(argv[4]) * (p[nr - 1].all - p[0].all));
	printf("%.2f\n", 100 * (b.fast - a.fast) / (b.all - a.all));
	return 0;
}
