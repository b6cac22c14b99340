// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* hypertier-heatmap: draws a recording, or a loader that runs, as addresses over time. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../args.h"
#include "config.h"
#include "control.h"
#include "heatmap.h"
#include "log.h"

#define OUTPUTS_MAX 8

struct options {
	const char *recording, *instance;
	const char *output[OUTPUTS_MAX];
	unsigned int nr_outputs, pid, rows, cols;
	double seconds, interval;
};

static volatile int stopped;

static void on_stop(int sig)
{
	stopped = 1;
}

static bool ends_in(const char *s, const char *end)
{
	size_t a = strlen(s), b = strlen(end);

	return a > b && !strcmp(s + a - b, end);
}

static int write_file(const char *path, const struct hm_grid *g, const char *title)
{
	FILE *f = fopen(path, "we");
	int err;

	if (!f) {
		err = -errno;
		pr_err("cannot write %s: %s", path, strerror(-err));
		return err;
	}
	err = ends_in(path, ".png") ? hm_write_png(f, g, title) : hm_write_svg(f, g, title);
	if (fclose(f) && !err)
		err = -errno;
	if (err)
		pr_err("cannot write %s: %s", path, strerror(-err));
	return err;
}

static void summarise(const struct hm_grid *g, const struct hm_input *in)
{
	printf("%d regions, %d rows of %llu MiB, %d columns, %.1f s, %.0f samples", g->nr_regions,
	       g->rows, (unsigned long long)g->tiles_per_row * 2, g->cols, g->seconds, g->samples);
	if (g->nr_few)
		printf("; too few samples in %d columns", g->nr_few);
	if (g->nr_hidden)
		printf("; %d colder regions not shown", g->nr_hidden);
	printf("\n");
	if (in->truncated)
		pr_warn("the recording ends in the middle of a record: it was cut off");
}

static int draw(const struct options *o, struct hm_input *in)
{
	struct hm_grid g;
	unsigned int i;
	int err;

	err = hm_grid_make(&g, in, o->pid, o->rows, o->cols);
	for (i = 0; i < o->nr_outputs && !err; i++)
		err = write_file(o->output[i], &g, in->title);
	if (!err)
		summarise(&g, in);
	hm_grid_free(&g);
	return err;
}

static int run(const struct options *o)
{
	char dir[96];
	struct hm_input *in;
	int err;

	instance_dir(dir, sizeof(dir), o->instance);
	if (o->recording)
		err = hm_open_recording(&in, o->recording);
	else
		err = hm_open_live(&in, dir, o->seconds, o->interval, &stopped);
	if (err)
		return err;
	err = draw(o, in);
	in->close(in);
	return err;
}

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "What to write, *.svg or *.png; may be repeated", 0 },
	{ "instance", 'i', "NAME", 0, "The loader to watch (hypertier-load --list)", 0 },
	{ "duration", 'd', "SECONDS", 0, "Watch for so long (default 30); Ctrl-C draws at once",
	  0 },
	{ "interval", 't', "SECONDS", 0, "Time between two looks (default: the loader's epoch)",
	  0 },
	{ "pid", 'p', "PID", 0, "Draw this process only", 0 },
	{ "rows", 'r', "N", 0, "Rows of addresses, 8 to 2048 (default 192)", 0 },
	{ "columns", 'c', "N", 0, "Columns of time at most, 1 to 2000 (default 240)", 0 },
	{ 0 },
};

static void add_output(struct options *o, const char *path, struct argp_state *st)
{
	if (!ends_in(path, ".svg") && !ends_in(path, ".png"))
		argp_error(st, "--output ends in .svg or .png, not '%s'", path);
	if (o->nr_outputs == OUTPUTS_MAX)
		argp_error(st, "at most %d outputs", OUTPUTS_MAX);
	o->output[o->nr_outputs++] = path;
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct options *o = st->input;

	switch (key) {
	case 'o':
		add_output(o, arg, st);
		return 0;
	case 'i':
		o->instance = arg_instance(st, arg);
		return 0;
	case 'd':
		o->seconds = arg_number(st, "--duration", arg, 0.1, 86400);
		return 0;
	case 't':
		o->interval = arg_number(st, "--interval", arg, 0.01, 3600);
		return 0;
	case 'p':
		o->pid = arg_number(st, "--pid", arg, 1, 4194303);
		return 0;
	case 'r':
		o->rows = arg_number(st, "--rows", arg, 8, HM_ROWS_MAX);
		return 0;
	case 'c':
		o->cols = arg_number(st, "--columns", arg, 1, HM_COLS_MAX);
		return 0;
	case ARGP_KEY_ARG:
		if (o->recording)
			argp_error(st, "one recording at a time");
		o->recording = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->nr_outputs)
			argp_error(st, "where to? For instance: --output heat.svg");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse,
		"[RECORDING]",
		"Draws heat by address and time, and which tier the memory is in, of a recording "
		"(hypertier-load --record) or, without one, of a loader that runs.",
		NULL,
		NULL,
		NULL
	};
	static struct options o = { .rows = 192, .cols = 240, .seconds = 30 };
	struct sigaction stop = { .sa_handler = on_stop };

	argp_program_version = "hypertier-heatmap " HT_VERSION;
	argp_err_exit_status = HT_RC_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	return run(&o) ? HT_RC_ERROR : HT_RC_OK;
}
