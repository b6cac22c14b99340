// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* hypertier-provision: divides the host's memory tiers among VMs. docs/provision.md */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../loader/control.h"
#include "../loader/jsonutil.h"
#include "../loader/log.h"
#include "daemon.h"
#include "sim.h"

#define ASK_MS 5000

const char *argp_program_version = "hypertier-provision " HT_VERSION;

static const char doc[] =
	"Divides the host's memory tiers among VMs that have a virtio-mem device per tier, by "
	"guarantees, limits, weights and what the guests report."
	"\v"
	"Commands:\n"
	"  run CONFIG            the daemon\n"
	"  check CONFIG          reads a configuration, says what it means\n"
	"  status                what a daemon does\n"
	"  set VM KEY=VALUE...   changes a guarantee, limit, weight, class, loan, rate, total or "
	"trust\n"
	"  pause [VM]            leaves one VM, or all, as they are\n"
	"  resume [VM]           ends pause and drain\n"
	"  drain VM              takes a VM back to its guarantee and keeps it there\n"
	"  reload                has the daemon read its configuration again, as SIGHUP does\n"
	"  simulate TRACE        decides for a recorded fleet; or --generate N\n"
	"\n"
	"Exit status: 0 success, 1 run-time error, 2 usage, 3 configuration wrong or more promised "
	"than "
	"there is, 4 another daemon runs, 5 no daemon runs.";

enum { OPT_RUN_DIR = 256, OPT_GENERATE, OPT_STEPS, OPT_SEED, OPT_MODE, OPT_WRITE, OPT_RULE };

static const struct argp_option options[] = {
	{ "run-dir", OPT_RUN_DIR, "DIR", 0,
	  "Where lock and control socket are (default " PV_RUN_DIR ")", 0 },
	{ "dry-run", 'n', NULL, 0, "run: decide, but ask nothing of the VMs", 0 },
	{ "json", 'j', NULL, 0, "Results as JSON", 0 },
	{ "verbose", 'v', NULL, 0, "Say what is asked of whom", 0 },
	{ NULL, 0, NULL, 0, "simulate:", 1 },
	{ "generate", OPT_GENERATE, "N", 0, "A made-up fleet of N VMs", 0 },
	{ "steps", OPT_STEPS, "N", 0, "Decisions to make (default: the trace's, or 60)", 0 },
	{ "seed", OPT_SEED, "N", 0, "Of a made-up fleet (default 1)", 0 },
	{ "mode", OPT_MODE, "MODE", 0, "fair or benefit (default: the trace's, or fair)", 0 },
	{ "rule", OPT_RULE, "KEY=VALUE", 0,
	  "As in [rules], or period; may be repeated (default: what is the default there)", 0 },
	{ "write", OPT_WRITE, "FILE", 0, "Write the fleet to FILE as a trace", 0 },
	{ 0 },
};

#define MAX_WORDS 64

struct args {
	const char *run_dir;
	const char *word[MAX_WORDS];
	unsigned int nr_word;
	bool dry_run, json, verbose;
	struct pv_sim_opts sim;
};

static unsigned long number(struct argp_state *st, const char *s, const char *what,
			    unsigned long max)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (end == s || *end || *s == '-' || errno || !v || v > max)
		argp_error(st, "%s must be a number from 1 to %lu, not '%s'", what, max, s);
	return v;
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct args *a = st->input;

	switch (key) {
	case OPT_RUN_DIR:
		a->run_dir = arg;
		return 0;
	case OPT_GENERATE:
		a->sim.vms = number(st, arg, "--generate", 1000000);
		return 0;
	case OPT_STEPS:
		a->sim.steps = number(st, arg, "--steps", 1000000);
		return 0;
	case OPT_SEED:
		a->sim.seed = number(st, arg, "--seed", ULONG_MAX - 1);
		return 0;
	case OPT_MODE:
		if (strcmp(arg, "fair") && strcmp(arg, "benefit"))
			argp_error(st, "--mode is fair or benefit, not '%s'", arg);
		a->sim.mode = *arg == 'f' ? PV_FAIR : PV_BENEFIT;
		return 0;
	case OPT_RULE:
		if (a->sim.nr_rule == PV_SIM_RULES)
			argp_error(st, "more than %d rules", PV_SIM_RULES);
		a->sim.rule[a->sim.nr_rule++] = arg;
		return 0;
	case OPT_WRITE:
		a->sim.write = arg;
		return 0;
	case 'n':
		a->dry_run = true;
		return 0;
	case 'j':
		a->json = a->sim.json = true;
		return 0;
	case 'v':
		a->verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		if (a->nr_word == MAX_WORDS)
			argp_error(st, "too many arguments");
		a->word[a->nr_word++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!a->nr_word)
			argp_error(st, "which command? For instance: hypertier-provision status");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* ---- check */

static void print_config(const struct pv_config *c)
{
	unsigned int t;
	size_t i;

	printf("division: %s, every %u ms\n", c->rules.mode == PV_FAIR ? "fair" : "benefit",
	       c->period_ms);
	for (t = 0; t < PV_TIERS; t++) {
		uint64_t promised = 0;

		for (i = 0; i < c->nr_vm; i++)
			promised += c->vm[i].tier[t].guarantee;
		printf("%s tier: %llu MiB, %llu guaranteed, %llu in reserve\n", pv_tier_name[t],
		       (unsigned long long)c->tier[t].capacity >> 20,
		       (unsigned long long)promised >> 20,
		       (unsigned long long)c->tier[t].reserve >> 20);
	}
	printf("%zu VMs; all guarantees fit\n", c->nr_vm);
}

static int check(const struct args *a)
{
	struct pv_config c;
	int err;

	pv_config_init(&c);
	err = pv_config_read(&c, a->word[1]);
	if (!err)
		print_config(&c);
	pv_config_free(&c);
	return err ? PV_RC_CONFIG : PV_RC_OK;
}

/* ---- a daemon that runs */

static int ask(const struct args *a, struct json_object *request, struct json_object **answer)
{
	int err = ht_control_ask(a->run_dir, request, ASK_MS, answer);
	struct json_object *v;
	const char *why;

	json_object_put(request);
	if (err == -ENOENT || err == -ECONNREFUSED) {
		pr_err("no daemon runs in %s", a->run_dir);
		return PV_RC_NOBODY;
	}
	if (err) {
		pr_err("the daemon in %s does not answer: %s", a->run_dir,
		       err == -EACCES ? "only root and its own user may ask" : strerror(-err));
		return PV_RC_ERROR;
	}
	if (json_object_object_get_ex(*answer, "ok", &v) && json_object_get_boolean(v))
		return PV_RC_OK;
	why = ht_json_text(*answer, "error");
	pr_err("the daemon refused: %s", why ?: "no reason given");
	json_object_put(*answer);
	*answer = NULL;
	return PV_RC_ERROR;
}

static struct json_object *request(const char *op)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "op", json_object_new_string(op));
	return o;
}

static int64_t number_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;
}

static bool member(struct json_object *o, const char *key, enum json_type type,
		   struct json_object **v)
{
	return json_object_object_get_ex(o, key, v) && json_object_is_type(*v, type);
}

/* All parts of the status in one: the VMs of later answers are added to the first. */
static int whole_status(const struct args *a, struct json_object **status)
{
	struct json_object *part, *vms, *more, *req;
	int64_t next = 0, total;
	int rc = ask(a, request("status"), status);

	if (rc)
		return rc;
	total = number_of(*status, "nr_vms");
	if (total > PV_MAX_VMS)
		total = PV_MAX_VMS;
	next = number_of(*status, "next");
	while (!rc && next < total) {
		req = request("status");
		json_object_object_add(req, "from", json_object_new_int64(next));
		rc = ask(a, req, &part);
		if (rc)
			break;
		if (number_of(part, "next") <= next)
			total = next; /* it has fewer by now */
		next = number_of(part, "next");
		if (member(*status, "vms", json_type_array, &vms) &&
		    member(part, "vms", json_type_array, &more))
			for (size_t i = 0; i < json_object_array_length(more); i++)
				json_object_array_add(
					vms, json_object_get(json_object_array_get_idx(more, i)));
		json_object_put(part);
	}
	json_object_object_del(*status, "next");
	json_object_object_del(*status, "ok");
	return rc;
}

static int status(const struct args *a)
{
	struct json_object *o = NULL;
	int rc = whole_status(a, &o);

	if (!rc && a->json) {
		printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	} else if (!rc) {
		pv_print_pools(stdout, o);
		pv_print_vms(stdout, o, true);
	}
	json_object_put(o);
	return rc;
}

static int command(const struct args *a)
{
	struct json_object *req = request(a->word[0]), *set, *answer = NULL;
	unsigned int i;
	int rc;

	if (a->nr_word > 1)
		json_object_object_add(req, "vm", json_object_new_string(a->word[1]));
	if (a->nr_word > 2) {
		set = json_object_new_array();
		for (i = 2; i < a->nr_word; i++)
			json_object_array_add(set, json_object_new_string(a->word[i]));
		json_object_object_add(req, "set", set);
	}
	rc = ask(a, req, &answer);
	json_object_put(answer);
	return rc;
}

static int simulate(struct args *a)
{
	a->sim.trace = a->nr_word > 1 ? a->word[1] : NULL;
	if (!a->sim.trace == !a->sim.vms) {
		pr_err("simulate takes a trace or --generate N");
		return PV_RC_USAGE;
	}
	return pv_simulate_command(&a->sim);
}

static int dispatch(struct args *a)
{
	static const struct {
		const char *name;
		unsigned int min, max;
		const char *usage;
	} table[] = {
		{ "run", 1, 1, "run CONFIG" },
		{ "check", 1, 1, "check CONFIG" },
		{ "status", 0, 0, "status" },
		{ "simulate", 0, 1, "simulate TRACE" },
		{ "set", 2, MAX_WORDS, "set VM KEY=VALUE..." },
		{ "pause", 0, 1, "pause [VM]" },
		{ "resume", 0, 1, "resume [VM]" },
		{ "drain", 1, 1, "drain VM" },
		{ "reload", 0, 0, "reload" },
	};
	unsigned int i, given = a->nr_word - 1;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (!strcmp(table[i].name, a->word[0]))
			break;
	if (i == sizeof(table) / sizeof(*table)) {
		pr_err("unknown command '%s'; see hypertier-provision --help", a->word[0]);
		return PV_RC_USAGE;
	}
	if (given < table[i].min || given > table[i].max) {
		pr_err("usage: hypertier-provision %s", table[i].usage);
		return PV_RC_USAGE;
	}
	if (!strcmp(a->word[0], "run"))
		return pv_daemon_run(a->word[1], a->run_dir, a->dry_run);
	if (!strcmp(a->word[0], "check"))
		return check(a);
	if (!strcmp(a->word[0], "status"))
		return status(a);
	return !strcmp(a->word[0], "simulate") ? simulate(a) : command(a);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, "COMMAND [ARG...]", doc, NULL, NULL, NULL
	};
	struct args a = { .run_dir = PV_RUN_DIR, .sim.mode = -1 };

	argp_err_exit_status = PV_RC_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &a))
		return PV_RC_ERROR;
	ht_log_set_level(a.verbose ? HT_LOG_DEBUG : HT_LOG_INFO);
	return dispatch(&a);
}
