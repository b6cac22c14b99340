// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The parser ends the process for --help, --version and errors: each command line gets a child. */
#include "test_util.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "config.h"

#define MAX_ARGS 24
#define MIB (1ULL << 20)

/* Splits a command line at blanks; "_" stands for an argument's blank, "''" for an empty one. */
static int split(char *line, char **argv)
{
	int argc = 0;
	char *save = NULL;

	argv[argc++] = (char *)"hypertier-load";
	for (char *t = strtok_r(line, " ", &save); t; t = strtok_r(NULL, " ", &save)) {
		assert_true(argc < MAX_ARGS - 1);
		for (char *p = t; *p; p++)
			if (*p == '_')
				*p = ' ';
		argv[argc++] = strcmp(t, "''") ? t : t + 2;
	}
	argv[argc] = NULL;
	return argc;
}

static char text[65536];

/* Exit code of the parser in a child, -1 if it returned; what it printed is in text. */
static int run(const char *line)
{
	int out[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		char *argv[MAX_ARGS], buf[4096];
		struct ht_config c;

		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		snprintf(buf, sizeof(buf), "%s", line);
		status = ht_config_parse(&c, split(buf, argv), argv);
		ht_config_free(&c);
		fflush(NULL);
		_exit(status ? 99 : 77);
	}
	close(out[1]);
	while ((n = read(out[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += n;
	text[len] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == 77 ? -1 : WEXITSTATUS(status);
}

/* The line is right, and gives this configuration; it must not end the process. */
static char kept[4096];
static char *kept_argv[MAX_ARGS];

static void parse(struct ht_config *c, const char *line)
{
	if (run(line) != -1)
		fail_msg("'%s' is refused: %s", line, text);
	snprintf(kept, sizeof(kept), "%s", line);
	assert_int_equal(ht_config_parse(c, split(kept, kept_argv), kept_argv), 0);
}

static void refused(const char *line)
{
	int rc = run(line);

	if (rc != HT_RC_USAGE)
		fail_msg("'%s' should be a usage error, got %d: %s", line, rc, text);
	/* One says what is wrong and where help is. */
	assert_non_null(strstr(text, "hypertier-load: "));
	assert_non_null(strstr(text, "--help"));
}

/* ---- what is asked for ---- */

static void test_defaults(void **state)
{
	struct ht_config c;

	parse(&c, "range.bpf.o");
	assert_int_equal(c.command, HT_CMD_RUN);
	assert_string_equal(c.policy, "range.bpf.o");
	assert_int_equal(c.sel.nr_pid + c.sel.nr_comm + c.sel.nr_cgroup, 0);
	assert_int_equal(c.sel.rss_floor, HT_RSS_FLOOR_MIB * MIB);
	assert_null(c.fast);
	assert_null(c.slow);
	assert_int_equal(c.source, HT_SRC_NONE);
	assert_int_equal(c.source_opts.drain, HT_DRAIN_AUTO);
	assert_int_equal(c.source_opts.period, 0);
	assert_non_null(c.source_opts.roots);
	assert_int_equal(c.epoch_ms, HT_EPOCH_MS);
	assert_int_equal(c.budget_bytes, HT_BUDGET_MIB * MIB);
	assert_int_equal(c.stats_s + c.duration_s + c.heat_bytes, 0);
	assert_string_equal(c.pin_dir, "/sys/fs/bpf/hypertier");
	assert_false(c.dry_run || c.json || c.probe || c.no_pin || c.no_split || c.verbose || c.stats_file);
	ht_config_free(&c);
}

static void test_every_option(void **state)
{
	struct ht_config c;

	parse(&c, "--pid=12 -p 34 --comm redis-server --comm=a_b --cgroup /sys/fs/cgroup/x "
		  "--cgroup y --rss-floor 1.5G --fast 0 --slow 1-2/3 p.o");
	assert_int_equal(c.sel.nr_pid, 2);
	assert_int_equal(c.sel.pid[0], 12);
	assert_int_equal(c.sel.pid[1], 34);
	assert_int_equal(c.sel.nr_comm, 2);
	assert_string_equal(c.sel.comm[0], "redis-server");
	assert_string_equal(c.sel.comm[1], "a b");
	assert_int_equal(c.sel.nr_cgroup, 2);
	assert_string_equal(c.sel.cgroup[1], "y");
	assert_int_equal(c.sel.rss_floor, 1536 * MIB);
	assert_string_equal(c.fast, "0");
	assert_string_equal(c.slow, "1-2/3");
	assert_string_equal(c.policy, "p.o");
	ht_config_free(&c);
	parse(&c, "p.o --source damon --period 4001 --burst 8 --ldlat 50 --drain large --per-task "
		  "--ring /r --epoch 2s --budget 10 -n");
	assert_int_equal(c.source, HT_SRC_DAMON);
	assert_int_equal(c.source_opts.period, 4001);
	assert_int_equal(c.burst, 8);
	assert_int_equal(c.source_opts.ldlat, 50);
	assert_int_equal(c.source_opts.drain, HT_DRAIN_LARGE);
	assert_true(c.source_opts.per_task);
	assert_string_equal(c.source_opts.ring, "/r");
	assert_int_equal(c.epoch_ms, 2000);
	assert_int_equal(c.budget_bytes, 10 * MIB);
	assert_true(c.dry_run);
	ht_config_free(&c);
	parse(&c, "--stats 5 -j -v -v --duration 60 --heat-memory 64G --pin-dir /x --no-pin "
		  "--no-split --stats-file f p.o --drain single");
	assert_int_equal(c.stats_s, 5);
	assert_int_equal(c.duration_s, 60);
	assert_int_equal(c.heat_bytes, 64ULL << 30);
	assert_int_equal(c.verbose, 2);
	assert_true(c.json && c.no_pin && c.no_split);
	assert_string_equal(c.pin_dir, "/x");
	assert_string_equal(c.stats_file, "f");
	assert_int_equal(c.source_opts.drain, HT_DRAIN_SINGLE);
	ht_config_free(&c);
	parse(&c, "features --probe --dry-run --json");
	assert_int_equal(c.command, HT_CMD_FEATURES);
	assert_null(c.policy);
	assert_true(c.probe && c.dry_run && c.json);
	ht_config_free(&c);
}

static void test_sources(void **state)
{
	static const struct {
		const char *name;
		enum ht_source_id id;
	} src[] = { { "auto", HT_SRC_NONE },
		    { "pebs", HT_SRC_PEBS },
		    { "ibs", HT_SRC_IBS },
		    { "damon", HT_SRC_DAMON },
		    { "hint-fault", HT_SRC_HINT_FAULT },
		    { "emulated", HT_SRC_EMULATED },
		    { "page-fault", HT_SRC_PAGE_FAULT } };

	for (size_t i = 0; i < sizeof(src) / sizeof(src[0]); i++) {
		struct ht_config c;
		char line[64];

		snprintf(line, sizeof(line), "-s %s p.o", src[i].name);
		parse(&c, line);
		assert_int_equal(c.source, src[i].id);
		ht_config_free(&c);
		/* What can be asked for is in the help. */
		assert_int_equal(run("--help"), 0);
		assert_non_null(strstr(text, src[i].name));
	}
}

/* Given twice, the last one counts. */
static void test_last_one_counts(void **state)
{
	struct ht_config c;

	parse(&c, "--drain large --drain auto --epoch 1s --epoch 20ms -s damon -s auto p.o");
	assert_int_equal(c.source_opts.drain, HT_DRAIN_AUTO);
	assert_int_equal(c.epoch_ms, 20);
	assert_int_equal(c.source, HT_SRC_NONE);
	ht_config_free(&c);
}

/* ---- what is refused ---- */

/* What a loader that runs already would not take is known, whatever it is. */
static void test_start_options(void **state)
{
	static const char *const of_start[] = {
		"-p 1",		 "--budget 5", "--epoch 1s",	"--source damon",
		"--dry-run",	 "--burst 1",  "--pin-dir /x",	"--on-eject stop",
		"--report port", "--fast 0",   "--rss-floor 1G"
	};
	struct ht_config c;
	char line[128];
	size_t i;

	for (i = 0; i < sizeof(of_start) / sizeof(of_start[0]); i++) {
		snprintf(line, sizeof(line), "%s p.o", of_start[i]);
		parse(&c, line);
		assert_true(c.start_options);
		ht_config_free(&c);
	}
	parse(&c, "--set a=1 --instance b -j -v p.o");
	assert_false(c.start_options);
	ht_config_free(&c);
}

static void test_usage_errors(void **state)
{
	static const char *const line[] = {
		"",
		"a.o b.o",
		"features a.o",
		"a.o features",
		"--no-such-option a.o",
		"-x a.o",
		"a.o --epoch",
		"a.o --source nothing",
		"a.o --source ''",
		"a.o --drain often",
		"a.o --epoch 9ms",
		"a.o --epoch 2h",
		"a.o --epoch 3601s",
		"a.o --epoch -1",
		"a.o --epoch ''",
		"a.o --heat-memory 1M",
		"a.o --heat-memory 5X",
		"a.o --budget x",
		"a.o --budget -5",
		"a.o --rss-floor 1GG",
	};

	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++)
		refused(line[i]);
}

static void test_hostile_numbers(void **state)
{
	static const char *const number[] = { "0",
					      "-1",
					      "''",
					      "x",
					      "1x",
					      "1.5",
					      "0x10",
					      "1e3",
					      "_5",
					      "5_",
					      "+5",
					      "_-18446744073709551615",
					      "18446744073709551616",
					      "99999999999999999999999",
					      "nan",
					      "inf",
					      "--",
					      "4294967297" };
	static const char *const option[] = { "--pid", "--ldlat", "--stats", "--duration" };
	char line[128];

	for (size_t o = 0; o < sizeof(option) / sizeof(option[0]); o++) {
		for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++) {
			snprintf(line, sizeof(line), "a.o %s=%s", option[o],
				 strcmp(number[i], "''") ? number[i] : "");
			refused(line);
		}
	}
	refused("a.o --period 0");
	refused("a.o --period 18446744073709551615");
	refused("a.o --burst 0");
	refused("a.o --burst 65");
	refused("a.o --ldlat 65536");
	refused("a.o --stats 86401");
	refused("a.o --pid 2147483648");
}

static void test_many_targets(void **state)
{
	struct ht_config c;
	char *argv[3000], pid[16] = "-p77", comm[64] = "--comm=a-name-longer-than-any-comm-can-be";
	int argc = 0;

	argv[argc++] = (char *)"hypertier-load";
	argv[argc++] = (char *)"a.o";
	while (argc < 2998) {
		argv[argc++] = pid;
		argv[argc++] = comm;
	}
	argv[argc] = NULL;
	assert_int_equal(ht_config_parse(&c, argc, argv), 0);
	assert_int_equal(c.sel.nr_pid, 1498);
	assert_int_equal(c.sel.nr_comm, 1498);
	ht_config_free(&c);
}

/* ---- help ---- */

static void test_help(void **state)
{
	static const char *const option[] = {
		"-p",		"--pid",	 "--comm",    "--cgroup",   "--rss-floor",
		"--fast",	"--slow",	 "--source",  "-s",	    "--period",
		"--ldlat",	"--drain",	 "--burst",   "--per-task", "--ring",
		"--epoch",	"--budget",	 "--dry-run", "-n",	    "--stats",
		"--stats-file", "--json",	 "-j",	      "--verbose",  "-v",
		"--duration",	"--heat-memory", "--pin-dir", "--no-pin",   "--probe",
		"--help",	"--version",	 "features",  "--no-split",
	};

	assert_int_equal(run("--help"), 0);
	for (size_t i = 0; i < sizeof(option) / sizeof(option[0]); i++)
		if (!strstr(text, option[i]))
			fail_msg("%s is not in the help", option[i]);
	/* The exit codes are a promise. */
	for (int rc = HT_RC_OK; rc <= HT_RC_BUSY; rc++) {
		char code[8];

		snprintf(code, sizeof(code), "%d ", rc);
		assert_non_null(strstr(strstr(text, "Exit status"), code));
	}
}

/* Every long option the help names is one that is parsed (none is left out of the tests above). */
static void test_help_names_options_only(void **state)
{
	char help[sizeof(text)], *p;

	assert_int_equal(run("--help"), 0);
	memcpy(help, text, sizeof(help));
	for (p = strstr(help, "--"); p; p = strstr(p, "--")) {
		char line[128];
		size_t n = 2 + strspn(p + 2, "abcdefghijklmnopqrstuvwxyz-");

		if (n > 3) {
			snprintf(line, sizeof(line), "a.o %.*s", (int)n, p);
			run(line);
			assert_null(strstr(text, "unrecognized option"));
		}
		p += n;
	}
}

static void test_version(void **state)
{
	assert_int_equal(run("--version"), 0);
	assert_non_null(strstr(text, HT_VERSION));
	assert_int_equal(run("-V"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_option),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_last_one_counts),
		cmocka_unit_test(test_start_options),
		cmocka_unit_test(test_usage_errors),
		cmocka_unit_test(test_hostile_numbers),
		cmocka_unit_test(test_many_targets),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_help_names_options_only),
		cmocka_unit_test(test_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
