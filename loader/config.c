// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conffile.h"
#include "config.h"
#include "control.h"
#include "log.h"
#include "policydir.h"

#define INSTANCE_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-_"

const char *argp_program_version = "hypertier-load " HT_VERSION;

static const char doc[] =
	"Tiers this machine's memory with a policy: samples of memory accesses become a heat map, "
	"the "
	"policy ranks it, and pages move between the fast and the slow memory tier."
	"\v"
	"POLICY is a BPF object such as range.bpf.o: a file, else the name of an installed one. "
	"`features' prints what this machine offers, `validate' checks a configuration file.\n\n"
	"Targets: --pid, --comm and --cgroup may be repeated and mixed; without any of them every "
	"process whose resident memory exceeds --rss-floor is tiered. Children of targets are "
	"followed.\n\n"
	"Exit status: 0 success, 1 run-time error, 2 usage, 3 missing capability or lockdown, 4 "
	"kernel "
	"too old or without BTF, 5 only one memory tier, 6 no sample source, 7 policy rejected, 8 "
	"another loader runs.";

enum {
	OPT_COMM = 256,
	OPT_CGROUP,
	OPT_FLOOR,
	OPT_FAST,
	OPT_SLOW,
	OPT_EPOCH,
	OPT_BUDGET,
	OPT_PERIOD,
	OPT_BURST,
	OPT_LDLAT,
	OPT_DRAIN,
	OPT_PER_TASK,
	OPT_RING,
	OPT_STATS,
	OPT_DURATION,
	OPT_HEAT,
	OPT_PIN_DIR,
	OPT_NO_PIN,
	OPT_PROBE,
	OPT_STATS_FILE,
	OPT_PROMETHEUS,
	OPT_REPORT,
	OPT_RECORD,
	OPT_SET,
	OPT_HELP_POLICY,
	OPT_STATUS,
	OPT_UNLOAD,
	OPT_LIST,
	OPT_INSTANCE,
	OPT_ON_EJECT,
	OPT_BACKEND,
	OPT_NO_SPLIT,
	OPT_CONFIG,
	OPT_ABLATE,
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "Targets:", 1 },
	{ "pid", 'p', "PID", 0, "Tier this process", 0 },
	{ "comm", OPT_COMM, "NAME", 0, "Tier processes of this name", 0 },
	{ "cgroup", OPT_CGROUP, "DIR", 0, "Tier processes in this cgroup v2 subtree", 0 },
	{ "rss-floor", OPT_FLOOR, "SIZE", 0,
	  "Without other targets: resident memory from which on a process is tiered (default 64M)",
	  0 },
	{ NULL, 0, NULL, 0, "Tiers:", 2 },
	{ "fast", OPT_FAST, "NODES", 0, "Nodes of the fast tier, e.g. 0 or 0-1", 0 },
	{ "slow", OPT_SLOW, "NODES", 0,
	  "Nodes of the slow tier; several tiers are separated by /, faster first", 0 },
	{ NULL, 0, NULL, 0, "Sampling:", 3 },
	{ "source", 's', "SOURCE", 0,
	  "auto, pebs, ibs, damon, hint-fault, emulated or page-fault (default auto)", 0 },
	{ "period", OPT_PERIOD, "N", 0, "Events per sample (default: the source's own)", 0 },
	{ "burst", OPT_BURST, "N", 0,
	  "Samples in the place of one while there is much to learn (default 8, 1 = never)",
	  0 },
	{ "ldlat", OPT_LDLAT, "CYCLES", 0, "pebs: load-latency threshold in core cycles", 0 },
	{ "drain", OPT_DRAIN, "WAY", 0, "perf sources: auto, single or large (default auto)", 0 },
	{ "per-task", OPT_PER_TASK, "yes|no", OPTION_ARG_OPTIONAL,
	  "perf sources: an event per task, not per CPU", 0 },
	{ "ring", OPT_RING, "FILE", 0, "emulated: the ring (default: $HT_LAB_RING, then PCI)", 0 },
	{ NULL, 0, NULL, 0, "Migration:", 4 },
	{ "epoch", OPT_EPOCH, "TIME", 0, "Time between decisions (default 500ms)", 0 },
	{ "budget", OPT_BUDGET, "MIB", 0, "MiB moved per second at most (default 256)", 0 },
	{ "backend", OPT_BACKEND, "WAY", 0,
	  "How pages move: auto, move_pages, or exchange by the kernel helper (default auto)", 0 },
	{ "no-split", OPT_NO_SPLIT, "yes|no", OPTION_ARG_OPTIONAL,
	  "Leave huge pages whole, however few of their subpages are hot", 0 },
	{ "dry-run", 'n', "yes|no", OPTION_ARG_OPTIONAL,
	  "Decide, but move nothing; works with one tier as well", 0 },
	{ NULL, 0, NULL, 0, "Policy:", 5 },
	{ "set", OPT_SET, "NAME=VALUE", 0, "Set a knob of the policy", 0 },
	{ "help-policy", OPT_HELP_POLICY, NULL, 0,
	  "List the policy's knobs (--json: as JSON) and exit", 0 },
	{ "on-eject", OPT_ON_EJECT, "WHAT", 0,
	  "When a policy fails: default (the built-in one takes over) or stop", 0 },
	{ NULL, 0, NULL, 0, "A loader that runs:", 6 },
	{ "status", OPT_STATUS, NULL, 0, "Print what it does, and exit", 0 },
	{ "unload", OPT_UNLOAD, NULL, 0, "End it", 0 },
	{ "list", OPT_LIST, NULL, 0, "List the instances", 0 },
	{ "instance", OPT_INSTANCE, "NAME", 0,
	  "Name of the loader to start or speak to, for several side by side", 0 },
	{ NULL, 0, NULL, 0, "Output:", 7 },
	{ "stats", OPT_STATS, "SECONDS", 0, "Print statistics every so many seconds", 0 },
	{ "record", OPT_RECORD, "FILE", 0,
	  "Record the samples to FILE, for replay and hypertier-heatmap", 0 },
	{ "prometheus", OPT_PROMETHEUS, "FILE", 0,
	  "Keep the statistics in FILE (*.prom), for node_exporter's textfile collector", 0 },
	{ "stats-file", OPT_STATS_FILE, "FILE", 0, "Write the closing statistics to FILE as JSON",
	  0 },
	{ "report", OPT_REPORT, "PORT", 0,
	  "Tell the host each epoch what fast memory is worth here: a virtio-serial port, or "
	  "vsock:PORT",
	  0 },
	{ "json", 'j', "yes|no", OPTION_ARG_OPTIONAL,
	  "Statistics and reports as JSON, one object a line", 0 },
	{ "verbose", 'v', NULL, 0, "Say more; twice: libbpf's messages as well", 0 },
	{ "duration", OPT_DURATION, "SECONDS", 0, "Stop after so long", 0 },
	{ "heat-memory", OPT_HEAT, "SIZE", 0,
	  "Memory the heat map can cover (default: all of this machine's)", 0 },
	{ "pin-dir", OPT_PIN_DIR, "DIR", 0, "Where maps are pinned (default /sys/fs/bpf/hypertier)",
	  0 },
	{ "no-pin", OPT_NO_PIN, "yes|no", OPTION_ARG_OPTIONAL, "Pin nothing", 0 },
	{ "config", OPT_CONFIG, "FILE", 0,
	  "Take options from FILE, lines of NAME = VALUE; the command line overrides it", 0 },
	{ "ablate", OPT_ABLATE, "STAGES", OPTION_HIDDEN, NULL, 0 }, /* docs/evaluation.md */
	{ "probe", OPT_PROBE, NULL, 0, "features: take real samples and check rate and addresses",
	  0 },
	{ 0 },
};

/* Says what is wrong on the command line, and ends the process, or in a line of a file. EINVAL. */
static int __attribute__((format(printf, 2, 3))) bad(struct argp_state *st, const char *fmt, ...)
{
	const struct ht_config *c = st->input;
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (c->line)
		pr_err("%s:%u: %s", c->line->file, c->line->nr, why + strspn(why, "-"));
	else
		argp_error(st, "%s", why);
	return EINVAL;
}

static int number(struct argp_state *st, const char *s, const char *what, unsigned long min,
		  unsigned long max, unsigned long *v)
{
	char *end;

	errno = 0;
	*v = strtoul(s, &end, 10);
	if (!isdigit((unsigned char)*s) || *end || errno || *v < min || *v > max)
		return bad(st, "%s must be a number from %lu to %lu, not '%s'", what, min, max, s);
	return 0;
}

static int yes_no(struct argp_state *st, const char *s, const char *what, bool *v)
{
	*v = !s || !strcmp(s, "yes");
	if (!*v && strcmp(s, "no"))
		return bad(st, "%s is yes or no, not '%s'", what, s);
	return 0;
}

static int add_str(char ***list, size_t *nr, const char *s)
{
	char **n = reallocarray(*list, *nr + 1, sizeof(**list));

	if (!n)
		return ENOMEM;
	*list = n;
	n[*nr] = strdup(s);
	if (!n[*nr])
		return ENOMEM;
	(*nr)++;
	return 0;
}

static int add_pid(struct ht_selection *sel, pid_t pid)
{
	pid_t *n = reallocarray(sel->pid, sel->nr_pid + 1, sizeof(*n));

	if (!n)
		return ENOMEM;
	sel->pid = n;
	n[sel->nr_pid++] = pid;
	return 0;
}

static int parse_source(struct ht_config *c, int key, char *arg, struct argp_state *st)
{
	unsigned long v;
	int id, err;

	switch (key) {
	case 's':
		id = ht_source_parse(arg);
		if (id < 0)
			return bad(st, "unknown source '%s'", arg);
		c->source = id;
		return 0;
	case OPT_PERIOD:
		err = number(st, arg, "--period", 1, 1UL << 40, &v);
		c->source_opts.period = v;
		return err;
	case OPT_BURST:
		err = number(st, arg, "--burst", 1, HT_PACE_BURST_TOP, &v);
		c->burst = v;
		return err;
	case OPT_LDLAT:
		err = number(st, arg, "--ldlat", 1, 65535, &v);
		c->source_opts.ldlat = v;
		return err;
	case OPT_DRAIN:
		if (!strcmp(arg, "single"))
			c->source_opts.drain = HT_DRAIN_SINGLE;
		else if (!strcmp(arg, "large"))
			c->source_opts.drain = HT_DRAIN_LARGE;
		else if (!strcmp(arg, "auto"))
			c->source_opts.drain = HT_DRAIN_AUTO;
		else
			return bad(st, "--drain is auto, single or large, not '%s'", arg);
		return 0;
	case OPT_PER_TASK:
		return yes_no(st, arg, "--per-task", &c->source_opts.per_task);
	case OPT_RING:
		c->source_opts.ring = arg;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* For developers: stages by name, separated by commas. Source and exchange are options by
 * themselves. */
static int parse_ablate(struct ht_config *c, char *arg, struct argp_state *st)
{
	static const char *const names[] = { "source", "ranges", "planner", "admission",
					     "exchange" };
	size_t len, i;

	for (; *arg; arg += len + (arg[len] == ',')) {
		len = strcspn(arg, ",");
		for (i = 0; i < sizeof(names) / sizeof(*names); i++)
			if (strlen(names[i]) == len && !strncmp(arg, names[i], len))
				break;
		if (i == sizeof(names) / sizeof(*names))
			return bad(st,
				   "--ablate takes source, ranges, planner, admission, exchange, "
				   "not '%s'",
				   arg);
		c->ablate |= 1U << i;
	}
	return 0;
}

static int parse_policy(struct ht_config *c, int key, char *arg, struct argp_state *st)
{
	switch (key) {
	case OPT_SET:
		if (!strchr(arg, '='))
			return bad(st, "--set takes NAME=VALUE, not '%s'", arg);
		return add_str(&c->set, &c->nr_set, arg);
	case OPT_HELP_POLICY:
		c->command = HT_CMD_HELP_POLICY;
		return 0;
	case OPT_STATUS:
		c->command = HT_CMD_STATUS;
		return 0;
	case OPT_UNLOAD:
		c->command = HT_CMD_UNLOAD;
		return 0;
	case OPT_LIST:
		c->command = HT_CMD_LIST;
		return 0;
	case OPT_BACKEND:
		if (!strcmp(arg, "auto"))
			c->backend = HT_BACKEND_AUTO;
		else if (!strcmp(arg, "move_pages"))
			c->backend = HT_BACKEND_MOVE_PAGES;
		else if (!strcmp(arg, "exchange"))
			c->backend = HT_BACKEND_EXCHANGE;
		else
			return bad(st, "--backend is auto, move_pages or exchange, not '%s'", arg);
		return 0;
	case OPT_ABLATE:
		return parse_ablate(c, arg, st);
	case OPT_ON_EJECT:
		if (strcmp(arg, "stop") && strcmp(arg, "default"))
			return bad(st, "--on-eject is default or stop, not '%s'", arg);
		c->on_eject = strcmp(arg, "stop") ? HT_EJECT_DEFAULT : HT_EJECT_STOP;
		return 0;
	case OPT_INSTANCE:
		if (!*arg || strlen(arg) > 32 || strspn(arg, INSTANCE_CHARS) != strlen(arg))
			return bad(st, "--instance takes up to 32 of a-z 0-9 - _, not '%s'", arg);
		c->instance = arg;
		return 0;
	}
	return parse_source(c, key, arg, st);
}

static int parse_run(struct ht_config *c, int key, char *arg, struct argp_state *st)
{
	unsigned long v;
	int err;

	switch (key) {
	case OPT_EPOCH:
		if (ht_parse_ms(arg, &c->epoch_ms) || c->epoch_ms < 10)
			return bad(st, "--epoch must be a time from 10ms to 1h, not '%s'", arg);
		return 0;
	case OPT_BUDGET:
		if (ht_parse_size(arg, 1 << 20, &c->budget_bytes))
			return bad(st, "--budget must be MiB per second, not '%s'", arg);
		return 0;
	case OPT_STATS:
		err = number(st, arg, "--stats", 1, 86400, &v);
		c->stats_s = v;
		return err;
	case OPT_RECORD:
		c->record = arg;
		return 0;
	case OPT_PROMETHEUS:
		c->prometheus = arg;
		return 0;
	case OPT_REPORT:
		c->report = arg;
		return 0;
	case OPT_STATS_FILE:
		c->stats_file = arg;
		return 0;
	case OPT_DURATION:
		err = number(st, arg, "--duration", 1, 1UL << 30, &v);
		c->duration_s = v;
		return err;
	case OPT_HEAT:
		if (ht_parse_size(arg, 1, &c->heat_bytes) || c->heat_bytes < 1 << 21)
			return bad(st, "--heat-memory must be a size of at least 2M, not '%s'",
				   arg);
		return 0;
	case OPT_PIN_DIR:
		c->pin_dir = arg;
		return 0;
	case OPT_NO_PIN:
		return yes_no(st, arg, "--no-pin", &c->no_pin);
	case OPT_NO_SPLIT:
		return yes_no(st, arg, "--no-split", &c->no_split);
	case OPT_CONFIG:
		return 0; /* read before, see ht_config_parse() */
	case OPT_PROBE:
		c->probe = true;
		return 0;
	case 'n':
		return yes_no(st, arg, "--dry-run", &c->dry_run);
	case 'j':
		return yes_no(st, arg, "--json", &c->json);
	case 'v':
		v = c->verbose + 1; /* a file gives a number instead */
		err = arg ? number(st, arg, "verbose", 0, 3, &v) : 0;
		c->verbose = v;
		return err;
	}
	return parse_policy(c, key, arg, st);
}

static void free_list(char ***list, size_t *nr)
{
	while (*nr)
		free((*list)[--*nr]);
	free(*list);
	*list = NULL;
}

static void free_targets(struct ht_selection *sel)
{
	free_list(&sel->comm, &sel->nr_comm);
	free_list(&sel->cgroup, &sel->nr_cgroup);
	free(sel->pid);
	sel->pid = NULL;
	sel->nr_pid = 0;
}

/* Targets on the command line replace those of a file, they do not add to them. */
static int parse_target(struct ht_config *c, int key, char *arg, struct argp_state *st)
{
	unsigned long v;

	if (!c->line && c->targets_of_file)
		free_targets(&c->sel);
	c->targets_of_file = !!c->line;
	if (key == OPT_COMM)
		return add_str(&c->sel.comm, &c->sel.nr_comm, arg);
	if (key == OPT_CGROUP)
		return add_str(&c->sel.cgroup, &c->sel.nr_cgroup, arg);
	return number(st, arg, "--pid", 1, INT_MAX, &v) ?: add_pid(&c->sel, v);
}

/* So does a policy, and knobs that were meant for another are gone with it. */
static void forget_policy_of_file(struct ht_config *c)
{
	size_t i;

	for (i = 0; i < c->nr_set_of_file; i++)
		free(c->set[i]);
	c->nr_set -= c->nr_set_of_file;
	memmove(c->set, c->set + c->nr_set_of_file, c->nr_set * sizeof(*c->set));
	c->nr_set_of_file = 0;
	c->policy = NULL;
	c->policy_of_file = false;
}

static int parse_argument(struct ht_config *c, const char *arg, struct argp_state *st)
{
	if (c->command == HT_CMD_VALIDATE && !c->config) {
		c->config = arg;
		return 0;
	}
	if (c->policy_of_file)
		forget_policy_of_file(c);
	if (c->policy || (c->command != HT_CMD_RUN && c->command != HT_CMD_HELP_POLICY))
		return bad(st, "one policy at a time: '%s' is one too many", arg);
	if (!strcmp(arg, "features"))
		c->command = HT_CMD_FEATURES;
	else if (!strcmp(arg, "validate"))
		c->command = HT_CMD_VALIDATE;
	else
		c->policy = arg;
	return 0;
}

/* What asks for something else than to run. */
static bool is_command(int key)
{
	return key == OPT_CONFIG || key == OPT_PROBE || key == OPT_HELP_POLICY ||
	       key == OPT_STATUS || key == OPT_UNLOAD || key == OPT_LIST;
}

/* A loader that runs already takes a policy and its knobs, none of the rest. */
static bool is_of_start(int key)
{
	return (key == 'p' || key == 's' || key == 'n' || (key >= OPT_COMM && key <= OPT_ABLATE)) &&
	       !is_command(key) && key != OPT_SET && key != OPT_INSTANCE;
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct ht_config *c = st->input;

	if (!c->line && is_of_start(key))
		c->start_options = true;
	switch (key) {
	case 'p':
	case OPT_COMM:
	case OPT_CGROUP:
		return parse_target(c, key, arg, st);
	case OPT_FLOOR:
		if (ht_parse_size(arg, 1, &c->sel.rss_floor))
			return bad(st, "--rss-floor must be a size, not '%s'", arg);
		return 0;
	case OPT_FAST:
		c->fast = arg;
		return 0;
	case OPT_SLOW:
		c->slow = arg;
		return 0;
	case ARGP_KEY_ARG:
		return parse_argument(c, arg, st);
	case ARGP_KEY_END:
		if ((c->command == HT_CMD_RUN || c->command == HT_CMD_HELP_POLICY) && !c->policy)
			return bad(st, "which policy? For instance: hypertier-load range.bpf.o");
		if (c->command == HT_CMD_VALIDATE && !c->config)
			return bad(st, "validate which file?");
		return 0;
	}
	return parse_run(c, key, arg, st);
}

static bool may_repeat(int key)
{
	return key == 'p' || key == OPT_COMM || key == OPT_CGROUP || key == OPT_SET;
}

#define NR_OPTIONS (sizeof(options) / sizeof(options[0]))

struct file_state {
	struct ht_config *c;
	unsigned int seen[NR_OPTIONS]; /* in which line, 0 = not yet */
	unsigned int policy_seen;
};

static int seen_twice(unsigned int *seen, const struct ht_conf_line *line)
{
	if (*seen) {
		pr_err("%s:%u: '%s' was given in line %u already", line->file, line->nr, line->key,
		       *seen);
		return -EEXIST;
	}
	*seen = line->nr;
	return 0;
}

static int take_line(void *arg, const struct ht_conf_line *line)
{
	struct file_state *f = arg;
	struct argp_state st = { .input = f->c };
	size_t i = 0;
	int err;

	if (!strcmp(line->key, "policy")) {
		f->c->policy = line->value;
		return seen_twice(&f->policy_seen, line);
	}
	while (i < NR_OPTIONS && (!options[i].name || strcmp(options[i].name, line->key)))
		i++;
	if (i == NR_OPTIONS || is_command(options[i].key)) {
		pr_err("%s:%u: %s '%s'; keys are policy and the long options of hypertier-load "
		       "--help",
		       line->file, line->nr,
		       i == NR_OPTIONS ? "unknown key" : "not an option of running:", line->key);
		return -ENOENT;
	}
	err = may_repeat(options[i].key) ? 0 : seen_twice(&f->seen[i], line);
	if (err)
		return err;
	f->c->line = line;
	err = parse(options[i].key, (char *)line->value, &st);
	f->c->line = NULL;
	return -err;
}

int ht_config_file(struct ht_config *c, const char *path)
{
	struct file_state f = { .c = c };
	unsigned int nr_bad;
	size_t len;
	int err;

	err = ht_conffile_read(path, &c->file_text, &len);
	if (err)
		return err;
	nr_bad = ht_conffile_parse(path, c->file_text, len, take_line, &f);
	c->policy_of_file = c->policy;
	c->nr_set_of_file = c->nr_set;
	return nr_bad ? -EINVAL : 0;
}

/* An instance has a run-time directory and a pin directory of its own, below the unnamed one's. */
static void set_dirs(struct ht_config *c)
{
	const char *sep = c->instance ? "/" : "", *name = c->instance ?: "";

	snprintf(c->run_dir, sizeof(c->run_dir), "%s%s%s", HT_RUN_DIR, sep, name);
	snprintf(c->pin_dir_of_instance, sizeof(c->pin_dir_of_instance), "%s%s%s", HT_PIN_DIR, sep,
		 name);
	if (!c->pin_dir)
		c->pin_dir = c->pin_dir_of_instance;
}

void ht_config_init(struct ht_config *c)
{
	memset(c, 0, sizeof(*c));
	c->epoch_ms = HT_EPOCH_MS;
	c->burst = HT_PACE_BURST;
	c->budget_bytes = (uint64_t)HT_BUDGET_MIB << 20;
	c->sel.rss_floor = (uint64_t)HT_RSS_FLOOR_MIB << 20;
	c->source_opts.roots = &ht_host_roots;
	c->source_opts.trial = true;
}

static error_t find_file(int key, char *arg, struct argp_state *st)
{
	if (key == OPT_CONFIG)
		*(const char **)st->input = arg;
	return 0;
}

int ht_config_parse(struct ht_config *c, int argc, char **argv)
{
	static const struct argp finder = { options, find_file, NULL, NULL, NULL, NULL, NULL };
	static const struct argp argp = {
		options, parse, "[POLICY.bpf.o]\nfeatures [--probe]\nvalidate FILE", doc, NULL,
		NULL,	 NULL
	};
	const char *file = NULL;
	int err;

	ht_config_init(c);
	argp_err_exit_status = HT_RC_USAGE;
	/* The file comes first, so that the command line has the last word. */
	argp_parse(&finder, argc, argv, ARGP_SILENT, NULL, &file);
	if (file && ht_config_file(c, file))
		exit(HT_RC_USAGE);
	err = argp_parse(&argp, argc, argv, 0, NULL, c);
	if (c->policy)
		c->policy_path = ht_policy_find(c->policy);
	if (c->policy_path)
		c->policy = c->policy_path;
	else if (c->policy)
		ht_policy_say_where(c->policy);
	if (c->ablate & HT_ABLATE_SOURCE)
		c->source = HT_SRC_HINT_FAULT;
	if (c->ablate & HT_ABLATE_EXCHANGE)
		c->backend = HT_BACKEND_MOVE_PAGES;
	set_dirs(c);
	return -err;
}

void ht_config_free(struct ht_config *c)
{
	free_targets(&c->sel);
	free_list(&c->set, &c->nr_set);
	free(c->policy_path);
	free(c->file_text);
	memset(c, 0, sizeof(*c));
}
