// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The journal against real files, forked holders and SIGKILL. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/wait.h>

#include "fs.h"
#include "journal.h"
#include "log.h"

struct env {
	char dir[64]; /* prefix allowed; the journal's directory is its "run" */
	char run[80];
};

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));

	fs_tmpdir(e->dir);
	snprintf(e->run, sizeof(e->run), "%s/run", e->dir);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	fs_rmtree(e->dir);
	free(e);
	return 0;
}

static const char *path_of(const struct env *e, const char *name)
{
	static char buf[4][PATH_MAX];
	static int i;

	i = (i + 1) % 4;
	snprintf(buf[i], sizeof(buf[i]), "%s/%s", e->dir, name);
	return buf[i];
}

static struct ht_journal *open_ok(const struct env *e, size_t *recovered)
{
	struct ht_journal *j;

	assert_int_equal(ht_journal_open_allow(&j, e->run, e->dir, recovered), 0);
	assert_non_null(j);
	return j;
}

/* Runs fn with a journal of its own in a child, which is then killed as by kill -9. */
static void run_and_kill(const struct env *e, void (*fn)(const struct env *, struct ht_journal *))
{
	struct ht_journal *j;
	int status;
	pid_t pid;

	pid = fs_fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (ht_journal_open_allow(&j, e->run, e->dir, NULL))
			_exit(1);
		fn(e, j);
		raise(SIGKILL);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_write_and_close(void **state)
{
	struct env *e = *state;
	struct ht_journal *j;
	size_t recovered = 77;
	struct stat st;
	char text[200];

	fs_put(e->dir, "knob", "1\n");
	j = open_ok(e, &recovered);
	assert_int_equal(recovered, 0);
	assert_int_equal(stat(e->run, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_false(fs_exists(e->run, "journal"));

	assert_int_equal(ht_journal_write(j, path_of(e, "knob"), "2"), 0);
	assert_string_equal(fs_get(e->dir, "knob"), "2");
	assert_true(fs_exists(e->run, "journal"));
	/* The first old value stays. */
	assert_int_equal(ht_journal_write(j, path_of(e, "knob"), "3"), 0);
	assert_string_equal(fs_get(e->dir, "knob"), "3");
	snprintf(text, sizeof(text), "hypertier-journal 1\nwrite %s 1\n", path_of(e, "knob"));
	assert_string_equal(fs_get(e->run, "journal"), text);
	ht_journal_close(j);
	assert_string_equal(fs_get(e->dir, "knob"), "1");
	assert_false(fs_exists(e->run, "journal"));
}

static void test_undo_order_and_reuse(void **state)
{
	struct env *e = *state;
	struct ht_journal *j = open_ok(e, NULL);

	fs_put(e->dir, "state", "off\n");
	fs_put(e->dir, "pin", "");
	assert_int_equal(ht_journal_note_unlink(j, path_of(e, "pin")), 0);
	assert_int_equal(ht_journal_note_unlink(j, path_of(e, "never-made")), 0);
	assert_int_equal(ht_journal_note_write(j, path_of(e, "state"), "first"), 0);
	assert_int_equal(ht_journal_note_write(j, path_of(e, "state"), "last"), 0);
	assert_string_equal(fs_get(e->dir, "state"), "off\n");
	assert_true(fs_exists(e->dir, "pin"));
	assert_int_equal(ht_journal_undo(j), 0);
	assert_string_equal(fs_get(e->dir, "state"), "first");
	assert_false(fs_exists(e->dir, "pin"));
	assert_false(fs_exists(e->run, "journal"));

	/* An undone journal starts anew. */
	assert_int_equal(ht_journal_write(j, path_of(e, "state"), "x"), 0);
	assert_true(fs_exists(e->run, "journal"));
	ht_journal_close(j);
	assert_string_equal(fs_get(e->dir, "state"), "first");
}

static void test_values(void **state)
{
	static const char odd[] = "a\tb c\\n \x01\xff\nlast";
	struct env *e = *state;
	struct ht_journal *j = open_ok(e, NULL);
	char big[4096];

	fs_put(e->dir, "choice", "always [madvise] never\n");
	fs_put(e->dir, "odd name", odd);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	fs_put(e->dir, "big", big);
	assert_int_equal(ht_journal_write(j, path_of(e, "choice"), "never"), 0);
	assert_int_equal(ht_journal_write(j, path_of(e, "odd name"), "plain"), 0);
	assert_int_equal(ht_journal_write(j, path_of(e, "big"), "x"), -E2BIG);
	assert_string_equal(fs_get(e->dir, "big"), big);
	assert_int_equal(ht_journal_write(j, path_of(e, "absent"), "x"), -ENOENT);
	assert_false(fs_exists(e->dir, "absent"));
	ht_journal_close(j);
	assert_string_equal(fs_get(e->dir, "choice"), "madvise");
	assert_string_equal(fs_get(e->dir, "odd name"), odd);
}

static void change_one(const struct env *e, struct ht_journal *j)
{
	ht_journal_write(j, path_of(e, "knob"), "changed");
}

static void test_kill_and_recover(void **state)
{
	struct env *e = *state;
	struct ht_journal *j;
	struct fs_log log;
	size_t recovered;

	fs_put(e->dir, "knob", "original\n");
	run_and_kill(e, change_one);
	assert_string_equal(fs_get(e->dir, "knob"), "changed");

	fs_log_start(&log);
	j = open_ok(e, &recovered);
	assert_non_null(strstr(fs_log_end(&log), "knob"));
	assert_int_equal(recovered, 1);
	assert_string_equal(fs_get(e->dir, "knob"), "original");
	assert_false(fs_exists(e->run, "journal"));
	ht_journal_close(j);

	j = open_ok(e, &recovered);
	assert_int_equal(recovered, 0);
	ht_journal_close(j);
}

static void change_many(const struct env *e, struct ht_journal *j)
{
	char name[16];

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "knob%d", i);
		ht_journal_write(j, path_of(e, name), "changed");
	}
	ht_journal_note_unlink(j, path_of(e, "pin"));
}

/* The journal cut after any byte: what is whole in it is undone, nothing else is touched. */
static void test_torn_anywhere(void **state)
{
	struct env *e = *state;
	char full[4096], name[16];
	size_t len, recovered, lines;
	struct ht_journal *j;

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "knob%d", i);
		fs_put(e->dir, name, "12 34");
	}
	fs_put(e->dir, "pin", "");
	run_and_kill(e, change_many);
	snprintf(full, sizeof(full), "%s", fs_get(e->run, "journal"));
	len = strlen(full);
	assert_true(len > 100);

	ht_log_set_level(HT_LOG_WARN);
	for (size_t cut = 0; cut <= len; cut++) {
		lines = 0;
		for (size_t i = 0; i < cut; i++)
			lines += full[i] == '\n';
		for (int i = 0; i < 5; i++) {
			snprintf(name, sizeof(name), "knob%d", i);
			fs_put(e->dir, name, "changed");
		}
		fs_put(e->dir, "pin", "");
		fs_put_bytes(e->run, "journal", full, cut);
		j = open_ok(e, &recovered);
		assert_int_equal(recovered, lines ? lines - 1 : 0);
		for (int i = 0; i < 5; i++) {
			snprintf(name, sizeof(name), "knob%d", i);
			assert_string_equal(fs_get(e->dir, name),
					    (size_t)i + 1 < lines ? "12 34" : "changed");
		}
		assert_int_equal(fs_exists(e->dir, "pin"), lines < 7);
		ht_journal_close(j);
	}
	ht_log_set_level(HT_LOG_INFO);
}

static void test_busy(void **state)
{
	struct env *e = *state;
	struct ht_journal *j = open_ok(e, NULL), *other;
	int fds[2], status;
	char pid_text[32], c;
	struct fs_log log;
	pid_t pid;

	fs_log_start(&log);
	assert_int_equal(ht_journal_open_allow(&other, e->run, e->dir, NULL), -EBUSY);
	snprintf(pid_text, sizeof(pid_text), "pid %d,", getpid());
	assert_non_null(strstr(fs_log_end(&log), pid_text));
	assert_null(other);
	ht_journal_close(j);

	/* Held by another process, until it is killed. */
	assert_int_equal(pipe(fds), 0);
	pid = fs_fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (ht_journal_open_allow(&other, e->run, e->dir, NULL))
			_exit(1);
		if (write(fds[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	close(fds[1]);
	fs_log_start(&log);
	assert_int_equal(ht_journal_open_allow(&other, e->run, e->dir, NULL), -EBUSY);
	snprintf(pid_text, sizeof(pid_text), "pid %d,", pid);
	assert_non_null(strstr(fs_log_end(&log), pid_text));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	ht_journal_close(open_ok(e, NULL));
}

static void change(const struct env *e, struct ht_journal *j)
{
	if (ht_journal_write(j, path_of(e, "knob"), "2"))
		_exit(3);
}

/* A killed instance's changes are undone by whichever starts next; a running one's are its own. */
static void test_siblings(void **state)
{
	struct env *e = *state, a = *e, b = *e;
	struct ht_journal *ja, *jb;
	size_t recovered = 0;
	struct fs_log log;

	snprintf(a.run, sizeof(a.run), "%s/a", e->dir);
	snprintf(b.run, sizeof(b.run), "%s/b", e->dir);
	fs_put(e->dir, "knob", "1\n");
	run_and_kill(&a, change);
	assert_string_equal(fs_get(e->dir, "knob"), "2");
	jb = open_ok(&b, &recovered);
	assert_int_equal(recovered, 1);
	assert_string_equal(fs_get(e->dir, "knob"), "1");
	assert_false(fs_exists(a.run, "journal"));

	ja = open_ok(&a, &recovered);
	assert_int_equal(recovered, 0);
	assert_int_equal(ht_journal_write(ja, path_of(e, "knob"), "2"), 0);
	fs_put(e->dir, "kno", "x\n");
	assert_int_equal(ht_journal_write(jb, path_of(e, "kno"), "y"), 0);
	fs_log_start(&log);
	assert_int_equal(ht_journal_write(jb, path_of(e, "knob"), "3"), -EBUSY);
	assert_non_null(strstr(fs_log_end(&log), a.run));
	assert_string_equal(fs_get(e->dir, "knob"), "2");
	ht_journal_close(jb);
	assert_string_equal(fs_get(e->dir, "knob"), "2");
	jb = open_ok(&b, &recovered);
	assert_int_equal(recovered, 0);
	ht_journal_close(ja);
	assert_string_equal(fs_get(e->dir, "knob"), "1");
	assert_int_equal(ht_journal_write(jb, path_of(e, "knob"), "3"), 0);
	ht_journal_close(jb);
	assert_string_equal(fs_get(e->dir, "knob"), "1");
}

static void test_refuses_paths(void **state)
{
	static const char *const bad[] = {
		"/etc/passwd",
		"/proc/1/oom_score_adj",
		"/sys",
		"/sys/",
		"/system/x",
		"/sys/../etc/passwd",
		"/sys/x/..",
		"relative",
		"",
		"/proc/sysfoo",
	};
	struct env *e = *state;
	struct ht_journal *j = open_ok(e, NULL);
	struct fs_log log;

	fs_log_start(&log);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(ht_journal_write(j, bad[i], "0"), -EPERM);
		assert_int_equal(ht_journal_note_write(j, bad[i], "0"), -EPERM);
		assert_int_equal(ht_journal_note_unlink(j, bad[i]), -EPERM);
	}
	assert_int_equal(ht_journal_note_unlink(j, "/sys/kernel/x"), -EPERM);
	assert_int_equal(ht_journal_note_unlink(j, path_of(e, "../x")), -EPERM);
	assert_int_equal(ht_journal_note_unlink(j, e->dir), -EPERM);
	fs_log_end(&log);
	assert_int_equal(ht_journal_note_unlink(j, "/sys/fs/bpf/ht-unit-test-none"), 0);
	assert_int_equal(ht_journal_allow(j, "relative"), -EINVAL);
	assert_int_equal(ht_journal_allow(j, "/a/../b"), -EINVAL);
	ht_journal_close(j);
}

/* A journal written by someone else: nothing outside of the prefixes is touched. */
static void test_recovery_refuses(void **state)
{
	struct env *e = *state;
	char outside[64], text[1024], link[PATH_MAX];
	struct ht_journal *j;
	struct fs_log log;
	size_t recovered;

	fs_tmpdir(outside);
	fs_put(outside, "victim", "safe");
	fs_put(e->dir, "knob", "changed");
	fs_put(e->dir, "sub/file", "");
	snprintf(link, sizeof(link), "%s/victim", outside);
	assert_int_equal(symlink(link, path_of(e, "link")), 0);
	snprintf(text, sizeof(text),
		 "hypertier-journal 1\nwrite %s/victim pwned\nunlink %s/victim\n"
		 "write %s/../%s/victim pwned\nwrite %s/link pwned\nunlink %s/sub\n"
		 "write %s/knob ok\n",
		 outside, outside, e->dir, strrchr(outside, '/') + 1, e->dir, e->dir, e->dir);
	fs_put(e->dir, "run/journal", text);
	chmod(e->run, 0700);

	fs_log_start(&log);
	j = open_ok(e, &recovered);
	fs_log_end(&log);
	assert_int_equal(recovered, 1);
	assert_string_equal(fs_get(outside, "victim"), "safe");
	assert_string_equal(fs_get(e->dir, "knob"), "ok");
	assert_true(fs_exists(e->dir, "sub"));
	ht_journal_close(j);
	fs_rmtree(outside);
}

static void test_corrupt(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"garbage",
		"hypertier-journal 2\nwrite /sys/x 1\n",
		"hypertier-journal 1\nwrite\nunlink\nwrite \nunlink \nwrite /sys/x\n\n",
		"hypertier-journal 1\nwrite /sys/\\x2 1\nwrite /sys/\\xzz 1\n",
		"hypertier-journal 1\nwrite /sys/a\\x00b 1\n",
		"hypertier-journal 1\nfrobnicate /sys/x 1\n",
	};
	struct env *e = *state;
	struct ht_journal *j;
	struct fs_log log;
	size_t recovered;
	char noise[5000];

	mkdir(e->run, 0700);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		fs_put(e->run, "journal", bad[i]);
		fs_log_start(&log);
		j = open_ok(e, &recovered);
		if (strlen(bad[i]) > 10)
			assert_true(strlen(fs_log_end(&log)) > 0);
		else
			fs_log_end(&log);
		assert_int_equal(recovered, 0);
		ht_journal_close(j);
		assert_false(fs_exists(e->run, "journal"));
	}
	/* Of an unknown version, a copy stays. */
	assert_string_equal(fs_get(e->run, "journal.unknown"), bad[3]);

	srand(1);
	for (int round = 0; round < 200; round++) {
		memcpy(noise, "hypertier-journal 1\nwrite ", 26);
		for (size_t i = 26; i < sizeof(noise); i++)
			noise[i] = rand() % 8 ? rand() : "\n \\x/.\0w"[rand() % 8];
		fs_put_bytes(e->run, "journal", noise, sizeof(noise));
		fs_log_start(&log);
		j = open_ok(e, &recovered);
		fs_log_end(&log);
		assert_int_equal(recovered, 0);
		ht_journal_close(j);
	}
}

static void test_bad_dir(void **state)
{
	struct env *e = *state;
	struct ht_journal *j;
	struct fs_log log;

	fs_log_start(&log);
	mkdir(e->run, 0777);
	chmod(e->run, 0777);
	assert_int_equal(ht_journal_open(&j, e->run, NULL), -EPERM);
	assert_int_equal(ht_journal_open(&j, "/nonexistent/run", NULL), -ENOENT);
	fs_put(e->dir, "file", "");
	assert_int_equal(ht_journal_open(&j, path_of(e, "file"), NULL), -ENOTDIR);
	fs_log_end(&log);
}

/* A step that cannot be undone is told with its remedy, and does not stop the others. */
static void test_undo_continues(void **state)
{
	struct env *e = *state;
	struct ht_journal *j = open_ok(e, NULL);
	const char *text;
	struct fs_log log;

	fs_put(e->dir, "knob", "old");
	mkdir(path_of(e, "dir"), 0700);
	assert_int_equal(ht_journal_write(j, path_of(e, "knob"), "new"), 0);
	assert_int_equal(ht_journal_note_unlink(j, path_of(e, "dir")), 0);
	fs_log_start(&log);
	assert_int_equal(ht_journal_undo(j), -EPERM);
	text = fs_log_end(&log);
	assert_non_null(strstr(text, "by hand"));
	assert_string_equal(fs_get(e->dir, "knob"), "old");
	assert_true(fs_exists(e->run, "journal"));
	rmdir(path_of(e, "dir"));
	assert_int_equal(ht_journal_undo(j), 0);
	ht_journal_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write_and_close, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undo_order_and_reuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill_and_recover, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_siblings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refuses_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recovery_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_corrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_dir, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undo_continues, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
