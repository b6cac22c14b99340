// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Configuration files: as text, as options, under a command line, and as rubbish. */
#include "test_util.h"

#include <sys/wait.h>

#include "conffile.h"
#include "config.h"
#include "fs.h"

#define MIB (1ULL << 20)

static char dir[64], file[128], said[65536];
static struct ht_config conf;

static int setup(void **state)
{
	fs_tmpdir(dir);
	snprintf(file, sizeof(file), "%s/h.conf", dir);
	ht_config_init(&conf);
	return 0;
}

static int teardown(void **state)
{
	ht_config_free(&conf);
	fs_rmtree(dir);
	return 0;
}

static void put(const char *text)
{
	fs_put(dir, "h.conf", text);
}

/* Reads the file; what was logged is in said. */
static int take(void)
{
	struct fs_log log;
	int err;

	ht_config_free(&conf);
	ht_config_init(&conf);
	fs_log_start(&log);
	err = ht_config_file(&conf, file);
	snprintf(said, sizeof(said), "%s", fs_log_end(&log));
	return err;
}

static void good(const char *text)
{
	put(text);
	if (take())
		fail_msg("'%s' is refused: %s", text, said);
	assert_string_equal(said, "");
}

/* Refused, with the line's number and these words. */
static void refused(const char *text, unsigned int line, const char *words)
{
	char where[256];

	put(text);
	if (!take())
		fail_msg("'%s' is taken", text);
	snprintf(where, sizeof(where), "%s:%u: ", file, line);
	if (!strstr(said, where) || !strstr(said, words))
		fail_msg("'%s': no '%s%s' in: %s", text, where, words, said);
}

/* ---- what is right ---- */

static void test_every_key(void **state)
{
	good("pid = 12\npid=34\ncomm = redis server\ncgroup = /sys/fs/cgroup/x\nrss-floor = 1.5G\n"
	     "fast = 0\nslow = 1-2/3\nsource = damon\nperiod = 4001\nburst = 2\nldlat = 50\n"
	     "drain = large\nper-task = yes\nring = /r\nepoch = 2s\nbudget = 10\ndry-run = yes\n"
	     "set = a=1\nset = b = 2\non-eject = stop\ninstance = two\nstats = 5\nrecord = /rec\n"
	     "stats-file = f\njson = yes\nverbose = 2\nduration = 60\nheat-memory = 64G\n"
	     "pin-dir = /x\nno-pin = yes\nno-split = yes\npolicy = threshold\n");
	assert_int_equal(conf.sel.nr_pid, 2);
	assert_int_equal(conf.sel.pid[1], 34);
	assert_string_equal(conf.sel.comm[0], "redis server");
	assert_string_equal(conf.sel.cgroup[0], "/sys/fs/cgroup/x");
	assert_int_equal(conf.sel.rss_floor, 1536 * MIB);
	assert_string_equal(conf.fast, "0");
	assert_string_equal(conf.slow, "1-2/3");
	assert_int_equal(conf.source, HT_SRC_DAMON);
	assert_int_equal(conf.source_opts.period, 4001);
	assert_int_equal(conf.burst, 2);
	assert_int_equal(conf.source_opts.ldlat, 50);
	assert_int_equal(conf.source_opts.drain, HT_DRAIN_LARGE);
	assert_string_equal(conf.source_opts.ring, "/r");
	assert_int_equal(conf.epoch_ms, 2000);
	assert_int_equal(conf.budget_bytes, 10 * MIB);
	assert_int_equal(conf.nr_set, 2);
	assert_string_equal(conf.set[0], "a=1");
	assert_string_equal(conf.set[1], "b = 2");
	assert_int_equal(conf.on_eject, HT_EJECT_STOP);
	assert_string_equal(conf.instance, "two");
	assert_int_equal(conf.stats_s, 5);
	assert_string_equal(conf.record, "/rec");
	assert_string_equal(conf.stats_file, "f");
	assert_int_equal(conf.verbose, 2);
	assert_int_equal(conf.duration_s, 60);
	assert_int_equal(conf.heat_bytes, 64ULL << 30);
	assert_string_equal(conf.pin_dir, "/x");
	assert_true(conf.source_opts.per_task && conf.dry_run && conf.json && conf.no_pin &&
		    conf.no_split);
	assert_string_equal(conf.policy, "threshold");
}

static void test_layout(void **state)
{
	good("");
	good("\n\n# nothing\n\t \n   # else\n");
	good("epoch=1s");
	assert_int_equal(conf.epoch_ms, 1000);
	good("\t epoch \t = \t1s \t # a comment\r\npolicy = /a b#c/d.bpf.o\r\ncomm = x\ty\n");
	assert_int_equal(conf.epoch_ms, 1000);
	assert_string_equal(conf.policy, "/a b#c/d.bpf.o");
	assert_string_equal(conf.sel.comm[0], "x\ty");
	good("comm = \xc3\xa4\n");
	good("dry-run = no\njson = no\nverbose = 0\n");
	assert_false(conf.dry_run || conf.json || conf.verbose);
}

/* ---- what is wrong ---- */

static void test_bad_lines(void **state)
{
	refused("epoch", 1, "not 'key = value': 'epoch'");
	refused("\n= 5\n", 2, "not 'key = value'");
	refused("epoch =\n", 1, "'epoch' has no value");
	refused("epoch = # 1s\n", 1, "'epoch' has no value");
	refused("[section]\n", 1, "not 'key = value'");
	refused("epoch = 1s\n\nepoch = 2s\n", 3, "was given in line 1 already");
	refused("policy = a\npolicy = b\n", 2, "was given in line 1 already");
	refused("# \033[2J\n", 1, "no text");
	refused("Epoch = 1s\n", 1, "unknown key 'Epoch'");
	refused("--epoch = 1s\n", 1, "unknown key '--epoch'");
	refused("p = 1\n", 1, "unknown key 'p'");
	refused("help = yes\n", 1, "unknown key");
	refused("comm = a\nstatus = yes\n", 2, "not an option of running: 'status'");
	refused("config = /etc/x\n", 1, "not an option of running");
}

static void test_bad_values(void **state)
{
	static const char *const line[] = {
		"pid = x",	     "pid = 0",		"pid = -1",	   "pid = 4294967297",
		"pid = 1 2",	     "rss-floor = 1GG", "source = tea",	   "period = 0",
		"period = 1e3",	     "ldlat = 65536",	"drain = slowly",  "per-task = 1",
		"dry-run = maybe",   "json = true",	"no-pin = YES",	   "epoch = 9ms",
		"epoch = 2h",	     "epoch = nan",	"budget = -5",	   "budget = lots",
		"set = x",	     "on-eject = hide", "instance = ../x", "instance = A",
		"stats = 0",	     "stats = 86401",	"duration = 0",	   "heat-memory = 1M",
		"heat-memory = inf", "verbose = 4",	"verbose = yes",
	};
	char text[256];

	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++) {
		size_t key = strcspn(line[i], " ");

		snprintf(text, sizeof(text), "\n%s\ncomm = x\n", line[i]);
		put(text);
		if (!take())
			fail_msg("'%s' is taken", line[i]);
		snprintf(text, sizeof(text), "%s:2: ", file);
		assert_non_null(strstr(said, text));
		/* It says which key (a source says that itself), and only that line is wrong. */
		snprintf(text, sizeof(text), "%.*s", (int)key, line[i]);
		assert_non_null(strstr(said, text));
		assert_ptr_equal(strchr(said, '\n'), strrchr(said, '\n'));
	}
}

/* One run shows all that is wrong. */
static void test_all_errors(void **state)
{
	unsigned int nr = 0;

	put("epoch = 1\nstats = x\nfoo = 1\ncomm = ok\nbar\n");
	assert_int_equal(take(), -EINVAL);
	for (char *p = said; (p = strstr(p, "h.conf:")); p++)
		nr++;
	assert_int_equal(nr, 4);
}

static void test_bad_files(void **state)
{
	static char big[HT_CONF_MAX + 2];

	assert_int_equal(take(), -ENOENT);
	memset(big, '#', sizeof(big) - 1);
	put(big);
	assert_int_equal(take(), -EFBIG);
	assert_non_null(strstr(said, "longer than 65536 bytes"));
	big[HT_CONF_MAX] = '\0';
	put(big);
	assert_int_equal(take(), 0);
	unlink(file);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_int_equal(take(), -EINVAL);
	assert_non_null(strstr(said, "not a regular file"));
	unlink(file);
	put("epoch = 1s\n");
	assert_int_equal(chmod(file, 0646), 0);
	assert_int_equal(take(), -EACCES);
	assert_int_equal(chmod(file, 0644), 0);
	assert_int_equal(take(), 0);
	if (!geteuid()) {
		assert_int_equal(chmod(file, 0664), 0);
		assert_int_equal(chown(file, 0, 1000), 0);
		assert_int_equal(take(), -EACCES);
		assert_int_equal(chown(file, 0, 0), 0);
		assert_int_equal(take(), 0);
		assert_int_equal(chmod(file, 0644), 0);
		assert_int_equal(chown(file, 1000, 1000), 0);
		assert_int_equal(take(), -EACCES);
	}
	snprintf(file, sizeof(file), "%s", dir);
	assert_int_equal(take(), -EINVAL);
}

static void test_zero_bytes(void **state)
{
	static const char text[] = "epoch = 1s\0stats = x\ncomm = a\0b\n";

	fs_put_bytes(dir, "h.conf", text, sizeof(text) - 1);
	assert_int_equal(take(), -EINVAL);
	assert_non_null(strstr(said, ":1: this line is no text"));
	assert_non_null(strstr(said, ":2: this line is no text"));
	assert_int_equal(conf.sel.nr_comm, 0);
}

/* Good files with a few bytes changed: whatever they are, there is an answer. */
static void test_rubbish(void **state)
{
	static const char base[] = "policy = range\nepoch = 250ms\nbudget = 64\npid = 7\n"
				   "set = weight=8\nslow = 1/2\nverbose = 1\ndry-run = yes\n";
	char text[sizeof(base)];
	unsigned int taken = 0;
	uint64_t x = 88172645463325252ULL;

	for (int i = 0; i < 5000; i++) {
		memcpy(text, base, sizeof(base));
		for (int n = 0; n < 1 + i % 8; n++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			text[x % (sizeof(base) - 1)] = x >> 32;
		}
		fs_put_bytes(dir, "h.conf", text, sizeof(base) - 1);
		taken += !take();
	}
	/* Most are refused, some bytes are of no consequence. */
	assert_in_range(taken, 1, 2500);
}

/* ---- under a command line ---- */

static void parse(const char *line)
{
	static char buf[512];
	static char *argv[24];
	int argc = 0;

	ht_config_free(&conf);
	snprintf(buf, sizeof(buf), "hypertier-load --config %s %s", file, line);
	for (char *t = strtok(buf, " "); t; t = strtok(NULL, " "))
		argv[argc++] = t;
	argv[argc] = NULL;
	assert_int_equal(ht_config_parse(&conf, argc, argv), 0);
}

static void test_command_line_wins(void **state)
{
	put("policy = /a.bpf.o\nepoch = 1s\nsource = damon\ndry-run = yes\non-eject = stop\n"
	    "set = a=1\nset = b=2\ncomm = x\npid = 5\nverbose = 1\ninstance = one\n");
	parse("");
	assert_string_equal(conf.policy, "/a.bpf.o");
	assert_int_equal(conf.epoch_ms, 1000);
	assert_true(conf.dry_run);
	assert_string_equal(conf.run_dir, "/run/hypertier/one");
	parse("--epoch 20ms -s auto --dry-run=no --on-eject default -v --instance two");
	assert_int_equal(conf.epoch_ms, 20);
	assert_int_equal(conf.source, HT_SRC_NONE);
	assert_false(conf.dry_run);
	assert_int_equal(conf.on_eject, HT_EJECT_DEFAULT);
	assert_int_equal(conf.verbose, 2);
	assert_string_equal(conf.run_dir, "/run/hypertier/two");
	assert_int_equal(conf.sel.nr_comm + conf.sel.nr_pid, 2);
	/* Targets replace targets, of whatever kind. */
	parse("--cgroup /c --comm y");
	assert_int_equal(conf.sel.nr_pid, 0);
	assert_int_equal(conf.sel.nr_comm, 1);
	assert_string_equal(conf.sel.comm[0], "y");
	assert_string_equal(conf.sel.cgroup[0], "/c");
	/* Knobs add up, but another policy has its own. */
	parse("--set a=7");
	assert_int_equal(conf.nr_set, 3);
	assert_string_equal(conf.set[2], "a=7");
	parse("--set c=3 /b.bpf.o");
	assert_string_equal(conf.policy, "/b.bpf.o");
	assert_int_equal(conf.nr_set, 1);
	assert_string_equal(conf.set[0], "c=3");
	parse("--status");
	assert_int_equal(conf.command, HT_CMD_STATUS);
	assert_string_equal(conf.run_dir, "/run/hypertier/one");
	parse("features");
	assert_int_equal(conf.command, HT_CMD_FEATURES);
}

/* Exit status of a child that parses the line. */
static int status_of(const char *line)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		freopen("/dev/null", "w", stderr);
		parse(line);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_bad_file_ends_it(void **state)
{
	put("epoch = 1\n");
	assert_int_equal(status_of("/a.bpf.o"), HT_RC_USAGE);
	put("epoch = 1s\n");
	assert_int_equal(status_of("/a.bpf.o"), 99);
	/* Still one policy, and one file to validate. */
	assert_int_equal(status_of(""), HT_RC_USAGE);
	assert_int_equal(status_of("/a.bpf.o /b.bpf.o"), HT_RC_USAGE);
	assert_int_equal(status_of("validate"), HT_RC_USAGE);
	assert_int_equal(status_of("validate x y"), HT_RC_USAGE);
	assert_int_equal(status_of("validate x"), 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zero_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rubbish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_command_line_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_file_ends_it, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
