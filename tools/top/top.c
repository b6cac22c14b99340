// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * hypertier-top: what a running loader sees and does. Whatever ends it, the terminal is put back:
 * at the end of main() for all that is foreseen, in a handler for a crash.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "../args.h"
#include "config.h"
#include "control.h"
#include "log.h"
#include "screen.h"
#include "top.h"

#define DELAY_MIN 0.1
#define DELAY_MAX 60.0
#define LOOKS_MAX 5

struct top {
	const char *instance;
	double delay;	     /* seconds */
	unsigned long count; /* looks, 0 = until asked to stop */
	enum top_sort sort;
	bool once, json, color;
	char dir[96];
	/* What is shown: before is older by a look. */
	struct top_status status[2];
	unsigned int which;
	bool has_before, paused, late;
	struct top_view view;
};

/* ---- the loader ---- */

static bool is_gone(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -ECONNRESET || err == -EPIPE;
}

static int complain(const struct top *t, int err, int64_t pid)
{
	const char *sep = t->instance ? " " : "", *name = t->instance ?: "";

	if (is_gone(err) && pid) {
		pr_err("the loader%s%s (pid %lld) has ended", sep, name, (long long)pid);
		return HT_RC_ERROR;
	}
	if (is_gone(err)) {
		pr_err("no loader%s%s runs: start one (hypertier-load POLICY), or name another "
		       "with "
		       "--instance (hypertier-load --list has them)",
		       sep, name);
		return HT_RC_ERROR;
	}
	if (err == -EACCES || err == -EPERM) {
		pr_err("may not speak to the loader in %s: only root and its own user may", t->dir);
		return HT_RC_PERM;
	}
	pr_err("the loader in %s does not answer: %s", t->dir, strerror(-err));
	return HT_RC_ERROR;
}

/* A look at the loader, unless it is too busy to answer. 0 or a negative errno. */
static int look(struct top *t, struct json_object **json)
{
	const struct top_status *now = &t->status[t->which];
	unsigned int next = !t->which;
	int err = top_ask(t->dir, t->sort, &t->status[next], json);

	t->late = err == -ETIMEDOUT;
	if (err)
		return err;
	/* Counters of another loader do not compare. */
	t->has_before = now->pid && now->pid == t->status[next].pid;
	t->which = next;
	return 0;
}

/* Where there is nothing to show without it: a loader that is busy is asked again. */
static int patient_look(struct top *t, struct json_object **json)
{
	int err = look(t, json), tries;

	for (tries = 1; err == -ETIMEDOUT && tries < LOOKS_MAX; tries++)
		err = look(t, json);
	return err;
}

static void compose(struct top *t)
{
	struct top_what w = { .instance = t->instance ?: "",
			      .now = &t->status[t->which],
			      .before = t->has_before ? &t->status[!t->which] : NULL,
			      .sort = t->sort,
			      .paused = t->paused,
			      .late = t->late };

	top_view(&t->view, &w);
}

/* ---- interactive ---- */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void scroll_by(struct top *t, int lines)
{
	int max = (int)t->status[t->which].nr_ranges - 1, first = t->view.first_range + lines;

	t->view.first_range = first > max ? max : first;
	if (t->view.first_range < 0)
		t->view.first_range = 0;
}

/* True if the figures have to be asked for anew; *quit if the user wants to leave. */
static bool on_key(struct top *t, int key, bool *quit)
{
	static const char keys[] = "hdrpa";
	const char *k;

	if (key == 'q' || key == 'Q') {
		*quit = true;
	} else if (key == 's') {
		t->sort = (t->sort + 1) % TOP_SORTS;
		return true;
	} else if (key && (k = strchr(keys, key))) {
		t->sort = k - keys;
		return true;
	} else if (key == ' ') {
		t->paused = !t->paused;
		return !t->paused;
	} else if (key == SCREEN_DOWN || key == 'j') {
		scroll_by(t, 1);
	} else if (key == SCREEN_UP || key == 'k') {
		scroll_by(t, -1);
	} else if (key == SCREEN_PAGE_DOWN) {
		scroll_by(t, 10);
	} else if (key == SCREEN_PAGE_UP) {
		scroll_by(t, -10);
	} else if (key == SCREEN_HOME) {
		t->view.first_range = 0;
	}
	return false;
}

/* Shows what there is until it is time for the next look. True = the user leaves. */
static bool show(struct top *t)
{
	double until = now() + t->delay, left;
	bool quit = false, anew = false;
	int key;

	while (!quit && !anew && !screen_stopped()) {
		screen_size(&t->view.rows, &t->view.cols);
		compose(t);
		screen_draw(&t->view);
		left = until - now();
		if (left <= 0 && !t->paused)
			break;
		key = screen_key(t->paused ? 200 : (int)(left * 1000) + 1);
		anew = on_key(t, key, &quit);
	}
	return quit;
}

static int interact(struct top *t)
{
	unsigned long looks = 0;
	int err, rc;

	err = patient_look(t, NULL);
	if (err)
		return complain(t, err, 0);
	rc = screen_open(t->color);
	if (rc)
		return rc;
	while (!screen_stopped() && !show(t) && ++looks != t->count) {
		err = look(t, NULL);
		if (err && err != -ETIMEDOUT)
			break;
		err = 0;
	}
	screen_close();
	return err ? complain(t, err, t->status[t->which].pid) : HT_RC_OK;
}

/* ---- not interactive ---- */

static void print_screen(struct top *t)
{
	const char *cols = getenv("COLUMNS"), *rows = getenv("LINES");
	int y;

	t->view.rows = rows && atoi(rows) >= TOP_ROWS_MIN ? atoi(rows) : 24;
	t->view.cols = cols && atoi(cols) >= TOP_COLS_MIN ? atoi(cols) : 80;
	compose(t);
	for (y = 0; y < t->view.nr - 1; y++) {
		char *line = t->view.text[y];
		size_t len = strlen(line);

		while (len && line[len - 1] == ' ')
			line[--len] = '\0';
		/* Lines that only separate the tables from the keys. */
		if (len)
			puts(line);
	}
}

static void print_json(struct top *t, struct json_object *o)
{
	json_object_object_add(o, "instance", json_object_new_string(t->instance ?: ""));
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
}

static void wait_for(double seconds)
{
	struct timespec ts = { .tv_sec = seconds, .tv_nsec = (seconds - (long)seconds) * 1e9 };

	nanosleep(&ts, NULL); /* a signal ends it early */
}

static int print(struct top *t)
{
	struct json_object *o = NULL;
	unsigned long n;
	int err;

	/* A screen shows rates, hence two looks. */
	err = t->json ? 0 : patient_look(t, NULL);
	for (n = 0; !err && !screen_stopped() && (!t->count || n < t->count); n++) {
		if (n || !t->json)
			wait_for(t->delay);
		if (screen_stopped())
			break;
		err = patient_look(t, t->json ? &o : NULL);
		if (err)
			break;
		if (t->json)
			print_json(t, o);
		else
			print_screen(t);
		json_object_put(o);
		o = NULL;
		if (fflush(stdout))
			err = -errno;
	}
	return err ? complain(t, err, t->status[t->which].pid) : HT_RC_OK;
}

/* ---- options ---- */

enum { OPT_ONCE = 256, OPT_NO_COLOR };

static const struct argp_option options[] = {
	{ "instance", 'i', "NAME", 0, "The loader to look at (hypertier-load --list)", 0 },
	{ "delay", 'd', "SECONDS", 0, "Time between two looks, 0.1 to 60 (default 1)", 0 },
	{ "sort", 's', "KEY", 0, "Order of the ranges: heat, density, recent, pages, address", 0 },
	{ "count", 'n', "N", 0, "End after so many looks", 0 },
	{ "once", OPT_ONCE, NULL, 0, "Print one screen as text; $COLUMNS and $LINES give its size",
	  0 },
	{ "json", 'j', NULL, 0, "Print the figures once, as a line of JSON; with --count, more",
	  0 },
	{ "no-color", OPT_NO_COLOR, NULL, 0, "No colours (so does $NO_COLOR)", 0 },
	{ 0 },
};

static int sort_of(struct argp_state *st, const char *arg)
{
	int i;

	for (i = 0; i < TOP_SORTS; i++)
		if (!strcmp(arg, top_sort_name[i]))
			return i;
	argp_error(st, "--sort is heat, density, recent, pages or address, not '%s'", arg);
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct top *t = st->input;

	switch (key) {
	case 'i':
		t->instance = arg_instance(st, arg);
		return 0;
	case 'd':
		t->delay = arg_number(st, "--delay", arg, DELAY_MIN, DELAY_MAX);
		return 0;
	case 's':
		t->sort = sort_of(st, arg);
		return 0;
	case 'n':
		t->count = arg_number(st, "--count", arg, 1, 1e9);
		return 0;
	case OPT_ONCE:
		t->once = true;
		return 0;
	case 'j':
		t->json = true;
		return 0;
	case OPT_NO_COLOR:
		t->color = false;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, NULL, "Shows what a running hypertier-load sees and does.",
		NULL,	 NULL,	NULL
	};
	static struct top t = { .delay = 1 };
	const char *no_color = getenv("NO_COLOR");
	int rc;

	argp_program_version = "hypertier-top " HT_VERSION;
	argp_err_exit_status = HT_RC_USAGE;
	t.color = !no_color || !*no_color;
	argp_parse(&argp, argc, argv, 0, NULL, &t);
	if ((t.once || t.json) && !t.count)
		t.count = 1;
	instance_dir(t.dir, sizeof(t.dir), t.instance);
	screen_signals();
	rc = t.once || t.json ? print(&t) : interact(&t);
	screen_close();
	return rc;
}
