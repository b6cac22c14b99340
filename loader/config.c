// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "control.h"
#include "log.h"

#define INSTANCE_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-_"

const char *argp_program_version = "hypertier-load " HT_VERSION;

static const char doc[] =
	"Tiers this machine's memory with a policy: samples of memory accesses become a heat map, "
	"the "
	"policy ranks it, and pages move between the fast and the slow memory tier."
	"\v"
	"POLICY is a BPF object such as range.bpf.o. `features' prints what this machine "
	"offers.\n\n"
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
	OPT_RECORD,
	OPT_SET,
	OPT_HELP_POLICY,
	OPT_STATUS,
	OPT_UNLOAD,
	OPT_LIST,
	OPT_INSTANCE,
	OPT_ON_EJECT,
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
	{ "ldlat", OPT_LDLAT, "CYCLES", 0, "pebs: load-latency threshold in core cycles", 0 },
	{ "drain", OPT_DRAIN, "WAY", 0, "perf sources: auto, single or large (default auto)", 0 },
	{ "per-task", OPT_PER_TASK, NULL, 0, "perf sources: an event per task, not per CPU", 0 },
	{ "ring", OPT_RING, "FILE", 0, "emulated: the ring (default: $HT_LAB_RING, then PCI)", 0 },
	{ NULL, 0, NULL, 0, "Migration:", 4 },
	{ "epoch", OPT_EPOCH, "TIME", 0, "Time between decisions (default 500ms)", 0 },
	{ "budget", OPT_BUDGET, "MIB", 0, "MiB moved per second at most (default 256)", 0 },
	{ "dry-run", 'n', NULL, 0, "Decide, but move nothing; works with one tier as well", 0 },
	{ NULL, 0, NULL, 0, "Policy:", 5 },
	{ "set", OPT_SET, "NAME=VALUE", 0, "Set a knob of the policy", 0 },
	{ "help-policy", OPT_HELP_POLICY, NULL, 0, "List the policy's knobs and exit", 0 },
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
	{ "record", OPT_RECORD, "FILE", 0, "emulated: record the samples to FILE, for replay", 0 },
	{ "stats-file", OPT_STATS_FILE, "FILE", 0, "Write the closing statistics to FILE as JSON",
	  0 },
	{ "json", 'j', NULL, 0, "Statistics and reports as JSON, one object a line", 0 },
	{ "verbose", 'v', NULL, 0, "Say more; twice: libbpf's messages as well", 0 },
	{ "duration", OPT_DURATION, "SECONDS", 0, "Stop after so long", 0 },
	{ "heat-memory", OPT_HEAT, "SIZE", 0,
	  "Memory the heat map can cover (default: all of this machine's)", 0 },
	{ "pin-dir", OPT_PIN_DIR, "DIR", 0, "Where maps are pinned (default /sys/fs/bpf/hypertier)",
	  0 },
	{ "no-pin", OPT_NO_PIN, NULL, 0, "Pin nothing", 0 },
	{ "probe", OPT_PROBE, NULL, 0, "features: take real samples and check rate and addresses",
	  0 },
	{ 0 },
};

int ht_parse_size(const char *s, uint64_t unit, uint64_t *bytes)
{
	static const char suffix[] = "KMGT";
	const char *p;
	char *end;
	double v;

	errno = 0;
	v = strtod(s, &end);
	if (end == s || errno || !isfinite(v) || v < 0)
		return -EINVAL;
	if (*end) {
		p = strchr(suffix, toupper((unsigned char)*end));
		if (!p)
			return -EINVAL;
		unit = 1ULL << (10 * (p - suffix + 1));
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B"))
			end += strlen(end);
	}
	if (*end || v * unit > (double)(1ULL << 60))
		return -EINVAL;
	*bytes = v * unit;
	return 0;
}

int ht_parse_ms(const char *s, unsigned int *ms)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(s, &end);
	if (end == s || errno || !isfinite(v) || v < 0)
		return -EINVAL;
	if (!strcmp(end, "s"))
		v *= 1000;
	else if (*end && strcmp(end, "ms"))
		return -EINVAL;
	if (v > 3600000)
		return -EINVAL;
	*ms = v + 0.5;
	return 0;
}

static unsigned long number(struct argp_state *st, const char *s, const char *what,
			    unsigned long min, unsigned long max)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (!isdigit((unsigned char)*s) || *end || errno || v < min || v > max)
		argp_error(st, "%s must be a number from %lu to %lu, not '%s'", what, min, max, s);
	return v;
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
	int id;

	switch (key) {
	case 's':
		id = ht_source_parse(arg);
		if (id < 0)
			argp_error(st, "unknown source '%s'", arg);
		c->source = id;
		return 0;
	case OPT_PERIOD:
		c->source_opts.period = number(st, arg, "--period", 1, 1UL << 40);
		return 0;
	case OPT_LDLAT:
		c->source_opts.ldlat = number(st, arg, "--ldlat", 1, 65535);
		return 0;
	case OPT_DRAIN:
		if (!strcmp(arg, "single"))
			c->source_opts.drain = HT_DRAIN_SINGLE;
		else if (!strcmp(arg, "large"))
			c->source_opts.drain = HT_DRAIN_LARGE;
		else if (!strcmp(arg, "auto"))
			c->source_opts.drain = HT_DRAIN_AUTO;
		else
			argp_error(st, "--drain is auto, single or large, not '%s'", arg);
		return 0;
	case OPT_PER_TASK:
		c->source_opts.per_task = true;
		return 0;
	case OPT_RING:
		c->source_opts.ring = arg;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int parse_policy(struct ht_config *c, int key, char *arg, struct argp_state *st)
{
	switch (key) {
	case OPT_SET:
		if (!strchr(arg, '='))
			argp_error(st, "--set takes NAME=VALUE, not '%s'", arg);
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
	case OPT_ON_EJECT:
		if (!strcmp(arg, "stop"))
			c->on_eject = HT_EJECT_STOP;
		else if (strcmp(arg, "default"))
			argp_error(st, "--on-eject is default or stop, not '%s'", arg);
		return 0;
	case OPT_INSTANCE:
		if (!*arg || strlen(arg) > 32 || strspn(arg, INSTANCE_CHARS) != strlen(arg))
			argp_error(st, "--instance takes up to 32 of a-z 0-9 - _, not '%s'", arg);
		c->instance = arg;
		return 0;
	}
	return parse_source(c, key, arg, st);
}

static int parse_run(struct ht_config *c, int key, char *arg, struct argp_state *st)
{
	switch (key) {
	case OPT_EPOCH:
		if (ht_parse_ms(arg, &c->epoch_ms) || c->epoch_ms < 10)
			argp_error(st, "--epoch must be a time from 10ms to 1h, not '%s'", arg);
		return 0;
	case OPT_BUDGET:
		if (ht_parse_size(arg, 1 << 20, &c->budget_bytes))
			argp_error(st, "--budget must be MiB per second, not '%s'", arg);
		return 0;
	case OPT_STATS:
		c->stats_s = number(st, arg, "--stats", 1, 86400);
		return 0;
	case OPT_RECORD:
		c->record = arg;
		return 0;
	case OPT_STATS_FILE:
		c->stats_file = arg;
		return 0;
	case OPT_DURATION:
		c->duration_s = number(st, arg, "--duration", 1, 1UL << 30);
		return 0;
	case OPT_HEAT:
		if (ht_parse_size(arg, 1, &c->heat_bytes) || c->heat_bytes < 1 << 21)
			argp_error(st, "--heat-memory must be a size of at least 2M, not '%s'",
				   arg);
		return 0;
	case OPT_PIN_DIR:
		c->pin_dir = arg;
		return 0;
	case OPT_NO_PIN:
		c->no_pin = true;
		return 0;
	case OPT_PROBE:
		c->probe = true;
		return 0;
	case 'n':
		c->dry_run = true;
		return 0;
	case 'j':
		c->json = true;
		return 0;
	case 'v':
		c->verbose++;
		return 0;
	}
	return parse_policy(c, key, arg, st);
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct ht_config *c = st->input;

	switch (key) {
	case 'p':
		return add_pid(&c->sel, number(st, arg, "--pid", 1, INT_MAX));
	case OPT_COMM:
		return add_str(&c->sel.comm, &c->sel.nr_comm, arg);
	case OPT_CGROUP:
		return add_str(&c->sel.cgroup, &c->sel.nr_cgroup, arg);
	case OPT_FLOOR:
		if (ht_parse_size(arg, 1, &c->sel.rss_floor))
			argp_error(st, "--rss-floor must be a size, not '%s'", arg);
		return 0;
	case OPT_FAST:
		c->fast = arg;
		return 0;
	case OPT_SLOW:
		c->slow = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (c->policy || (c->command != HT_CMD_RUN && c->command != HT_CMD_HELP_POLICY))
			argp_error(st, "one policy at a time: '%s' is one too many", arg);
		if (!strcmp(arg, "features"))
			c->command = HT_CMD_FEATURES;
		else
			c->policy = arg;
		return 0;
	case ARGP_KEY_END:
		if ((c->command == HT_CMD_RUN || c->command == HT_CMD_HELP_POLICY) && !c->policy)
			argp_error(st, "which policy? For instance: hypertier-load range.bpf.o");
		return 0;
	}
	return parse_run(c, key, arg, st);
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

int ht_config_parse(struct ht_config *c, int argc, char **argv)
{
	static const struct argp argp = { options, parse, "POLICY.bpf.o\nfeatures [--probe]",
					  doc,	   NULL,  NULL,
					  NULL };

	int err;

	memset(c, 0, sizeof(*c));
	c->epoch_ms = HT_EPOCH_MS;
	c->budget_bytes = (uint64_t)HT_BUDGET_MIB << 20;
	c->sel.rss_floor = (uint64_t)HT_RSS_FLOOR_MIB << 20;
	c->source_opts.roots = &ht_host_roots;
	argp_err_exit_status = HT_RC_USAGE;
	err = argp_parse(&argp, argc, argv, 0, NULL, c);
	set_dirs(c);
	return -err;
}

void ht_config_free(struct ht_config *c)
{
	size_t i;

	for (i = 0; i < c->sel.nr_comm; i++)
		free(c->sel.comm[i]);
	for (i = 0; i < c->sel.nr_cgroup; i++)
		free(c->sel.cgroup[i]);
	for (i = 0; i < c->nr_set; i++)
		free(c->set[i]);
	free(c->set);
	free(c->sel.comm);
	free(c->sel.cgroup);
	free(c->sel.pid);
	memset(c, 0, sizeof(*c));
}
