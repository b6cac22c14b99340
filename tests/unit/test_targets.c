// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Selection of processes: forked ones in the real /proc, made-up ones in a fake one. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fs.h"
#include "targets.h"

struct env {
	char dir[64], sys[80], proc[80];
	struct ht_roots roots;
	struct ht_targets t;
	/* Events, as "+12 -13 " and so on. */
	char seen[4096];
	struct ht_target_events ev;
};

static void on_added(void *arg, const struct ht_proc *p)
{
	struct env *e = arg;
	size_t n = strlen(e->seen);

	snprintf(e->seen + n, sizeof(e->seen) - n, "+%d ", p->tgid);
}

static void on_removed(void *arg, const struct ht_proc *p)
{
	struct env *e = arg;
	size_t n = strlen(e->seen);

	snprintf(e->seen + n, sizeof(e->seen) - n, "-%d ", p->tgid);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));

	fs_tmpdir(e->dir);
	snprintf(e->sys, sizeof(e->sys), "%s/sys", e->dir);
	snprintf(e->proc, sizeof(e->proc), "%s/proc", e->dir);
	mkdir(e->sys, 0755);
	mkdir(e->proc, 0755);
	e->roots = (struct ht_roots){ .sys = e->sys, .proc = e->proc };
	e->ev = (struct ht_target_events){ .added = on_added, .removed = on_removed, .arg = e };
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	ht_targets_free(&e->t);
	fs_rmtree(e->dir);
	free(e);
	return 0;
}

static void put_proc(struct env *e, int pid, const char *comm, unsigned int flags, int start,
		     uint64_t rss)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "%d/stat", pid);
	snprintf(text, sizeof(text),
		 "%d (%s) S 1 1 1 0 -1 %u 97 0 0 0 0 0 0 0 20 0 1 0 %d %d %lu "
		 "18446744073709551615 94 94 14 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
		 pid, comm, flags, start, flags & 0x200000 ? 0 : 3133440, rss / 4096);
	fs_put(e->proc, path, text);
}

static void put_cgroup(struct env *e, int pid, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "%d/cgroup", pid);
	fs_put(e->proc, path, text);
}

static void del_proc(struct env *e, int pid)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%d", e->proc, pid);
	fs_rmtree(path);
}

/* One scan; compares the events with want. */
static void scan(struct env *e, const char *want)
{
	e->seen[0] = '\0';
	assert_int_equal(ht_targets_scan(&e->t, &e->ev), 0);
	assert_string_equal(e->seen, want);
	for (size_t i = 1; i < e->t.nr; i++)
		assert_true(e->t.proc[i - 1].tgid < e->t.proc[i].tgid);
}

static void test_rss_floor(void **state)
{
	struct env *e = *state;
	struct ht_selection sel = { .rss_floor = 100 << 20 };

	put_proc(e, 10, "small", 0, 5, 50 << 20);
	put_proc(e, 11, "odd) S 1 (name", 0, 5, 200 << 20);
	put_proc(e, 12, "kworker", 0x208040, 5, 500 << 20);
	put_proc(e, getpid(), "self", 0, 5, 500 << 20);
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	scan(e, "+11 ");
	assert_string_equal(e->t.proc[0].comm, "odd) S 1 (name");
	assert_int_equal(e->t.proc[0].ppid, 1);
	assert_int_equal(e->t.proc[0].start_time, 5);
	assert_int_equal(e->t.proc[0].rss_bytes, 200 << 20);
	assert_false(e->t.proc[0].forked);
	scan(e, "");

	/* Below the floor it stays, below half of it it goes. */
	put_proc(e, 11, "x", 0, 5, 60 << 20);
	scan(e, "");
	assert_int_equal(e->t.proc[0].rss_bytes, 60 << 20);
	put_proc(e, 11, "x", 0, 5, 40 << 20);
	scan(e, "-11 ");
	put_proc(e, 10, "small", 0, 5, 100 << 20);
	scan(e, "+10 ");
	del_proc(e, 10);
	scan(e, "-10 ");
	assert_int_equal(e->t.nr, 0);
}

static void test_pid_and_comm(void **state)
{
	struct env *e = *state;
	pid_t pids[] = { 30, 99, -1, 0, getpid() };
	char *comms[] = { (char *)"redis", (char *)"a-name-longer-than-15" };
	struct ht_selection sel = { .pid = pids, .nr_pid = 5 };

	put_proc(e, 20, "redis", 0, 5, 1 << 20);
	put_proc(e, 21, "redis-server", 0, 5, 1 << 20);
	put_proc(e, 22, "a-name-longer-t", 0, 5, 1 << 20);
	put_proc(e, 30, "other", 0, 5, 0);
	put_proc(e, getpid(), "redis", 0, 5, 0);
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	scan(e, "+30 ");
	ht_targets_free(&e->t);

	sel.comm = comms;
	sel.nr_comm = 2;
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	e->seen[0] = '\0';
	assert_int_equal(ht_targets_scan(&e->t, &e->ev), 0);
	assert_int_equal(e->t.nr, 3);
	assert_non_null(ht_targets_find(&e->t, 20));
	assert_non_null(ht_targets_find(&e->t, 22));
	assert_non_null(ht_targets_find(&e->t, 30));
	assert_null(ht_targets_find(&e->t, 21));
	assert_null(ht_targets_find(&e->t, getpid()));

	/* An exec under another name ends it. */
	put_proc(e, 20, "bash", 0, 5, 1 << 20);
	scan(e, "-20 ");
}

static void test_escaped_comm(void **state)
{
	struct env *e = *state;
	char *comms[] = { (char *)"a\\b" };
	struct ht_selection sel = { .comm = comms, .nr_comm = 1 };

	put_proc(e, 20, "a\\\\b", 0, 5, 1 << 20);
	fs_put(e->proc, "20/comm", "a\\b\n");
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	scan(e, "+20 ");
}

static void test_reused_pid(void **state)
{
	struct env *e = *state;
	char *comms[] = { (char *)"work" };
	struct ht_selection sel = { .comm = comms, .nr_comm = 1 };

	put_proc(e, 20, "work", 0, 5, 1 << 20);
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	scan(e, "+20 ");
	put_proc(e, 20, "work", 0, 6, 1 << 20);
	scan(e, "-20 +20 ");
	put_proc(e, 20, "else", 0, 7, 1 << 20);
	scan(e, "-20 ");
}

static void test_children(void **state)
{
	struct env *e = *state;
	char *comms[] = { (char *)"work" };
	struct ht_selection sel = { .comm = comms, .nr_comm = 1 };

	put_proc(e, 20, "work", 0, 5, 1 << 20);
	put_proc(e, 21, "child", 0, 6, 1 << 20);
	put_proc(e, 22, "kthread", 0x200000, 6, 0);
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	scan(e, "+20 ");
	assert_int_equal(ht_targets_add_child(&e->t, 21, &e->ev), 0);
	assert_int_equal(ht_targets_add_child(&e->t, 21, &e->ev), 0);
	assert_string_equal(e->seen, "+20 +21 ");
	assert_true(ht_targets_find(&e->t, 21)->forked);
	scan(e, "");
	assert_int_equal(ht_targets_add_child(&e->t, 22, &e->ev), -EINVAL);
	assert_int_equal(ht_targets_add_child(&e->t, 23, &e->ev), -ESRCH);
	assert_int_equal(ht_targets_add_child(&e->t, getpid(), &e->ev), -EINVAL);
	assert_int_equal(ht_targets_add_child(&e->t, -3, &e->ev), -EINVAL);

	/* The pid of a child used again is not a child. */
	put_proc(e, 21, "child", 0, 9, 1 << 20);
	scan(e, "-21 ");
	assert_int_equal(ht_targets_remove(&e->t, 20, &e->ev), 0);
	assert_int_equal(ht_targets_remove(&e->t, 20, &e->ev), -ENOENT);
	assert_int_equal(e->t.nr, 0);
}

static void test_child_of_pid(void **state)
{
	struct env *e = *state;
	pid_t pids[] = { 20 };
	struct ht_selection sel = { .pid = pids, .nr_pid = 1 };

	put_proc(e, 20, "work", 0, 5, 1 << 20);
	put_proc(e, 21, "child", 0, 6, 1 << 20);
	put_proc(e, 19, "child", 0, 6, 1 << 20);
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	scan(e, "+20 ");
	assert_int_equal(ht_targets_add_child(&e->t, 21, NULL), 0);
	assert_int_equal(ht_targets_add_child(&e->t, 19, NULL), 0);
	scan(e, "");
	del_proc(e, 20);
	del_proc(e, 21);
	scan(e, "-21 -20 ");
	del_proc(e, 19);
	scan(e, "-19 ");
}

static void test_cgroup(void **state)
{
	struct env *e = *state;
	char absolute[200], *names[2] = { (char *)"app/db/", absolute };
	struct ht_selection sel = { .cgroup = names, .nr_cgroup = 1 };
	struct fs_log log;

	fs_put(e->sys, "fs/cgroup/cgroup.controllers", "memory\n");
	fs_put(e->sys, "fs/cgroup/app/cgroup.controllers", "memory\n");
	fs_put(e->sys, "fs/cgroup/app/db/cgroup.controllers", "memory\n");
	fs_put(e->sys, "fs/cgroup/plain/file", "");
	put_proc(e, 20, "a", 0, 5, 1 << 20);
	put_cgroup(e, 20, "0::/app/db\n");
	put_proc(e, 21, "b", 0, 5, 1 << 20);
	put_cgroup(e, 21, "4:memory:/app/db\n0::/app/db/sub\n");
	put_proc(e, 22, "c", 0, 5, 1 << 20);
	put_cgroup(e, 22, "4:memory:/app/db\n0::/app/db2\n");
	put_proc(e, 23, "d", 0, 5, 1 << 20);
	put_cgroup(e, 23, "0::/app\n");
	put_proc(e, 24, "e", 0, 5, 1 << 20);

	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	assert_int_equal(ht_targets_scan(&e->t, NULL), 0);
	assert_int_equal(e->t.nr, 2);
	assert_int_equal(e->t.proc[0].tgid, 20);
	assert_int_equal(e->t.proc[1].tgid, 21);
	put_cgroup(e, 21, "0::/\n");
	scan(e, "-21 ");
	ht_targets_free(&e->t);

	/* By its full path; the root holds all. */
	names[0] = absolute;
	snprintf(absolute, sizeof(absolute), "%s//fs/cgroup/app", e->sys);
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	assert_int_equal(ht_targets_scan(&e->t, NULL), 0);
	assert_int_equal(e->t.nr, 3);
	ht_targets_free(&e->t);
	snprintf(absolute, sizeof(absolute), "%s/fs/cgroup", e->sys);
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	assert_int_equal(ht_targets_scan(&e->t, NULL), 0);
	assert_int_equal(e->t.nr, 4);
	ht_targets_free(&e->t);

	static const char *const bad[] = { "absent", "plain", "app/../app", "/etc", "../../etc" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(absolute, sizeof(absolute), "%s", bad[i]);
		fs_log_start(&log);
		assert_int_equal(ht_selection_check(&sel, &e->roots), -ENOENT);
		assert_non_null(strstr(fs_log_end(&log), bad[i]));
		fs_log_start(&log);
		assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), -ENOENT);
		fs_log_end(&log);
	}
}

/* Beside cgroup v1, v2 is mounted one level deeper. */
static void test_cgroup_hybrid(void **state)
{
	struct env *e = *state;
	char *names[1] = { (char *)"/app" };
	struct ht_selection sel = { .cgroup = names, .nr_cgroup = 1 };

	fs_put(e->sys, "fs/cgroup/unified/app/cgroup.controllers", "\n");
	put_proc(e, 20, "a", 0, 5, 1 << 20);
	put_cgroup(e, 20, "0::/app\n");
	assert_int_equal(ht_selection_check(&sel, &e->roots), 0);
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	scan(e, "+20 ");
}

static void test_hostile(void **state)
{
	static const char *const bad[] = {
		"",
		"20",
		"20 (",
		"20 )(",
		"20 (x)",
		"(x)",
		"20 (x) S 1",
		"20 (x) S a b c d e f",
		"20 (x) S 1 1 1 0 -1 0 1 1 1 1",
	};
	struct env *e = *state;
	struct ht_selection sel = { 0 };
	char noise[3000];

	fs_put(e->proc, "notapid/stat", "");
	fs_put(e->proc, "99999999999999999999/stat", "");
	fs_put(e->proc, "12x/stat", "");
	fs_put(e->proc, "0/stat", "");
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		fs_put(e->proc, "20/stat", bad[i]);
		scan(e, "");
	}
	srand(3);
	for (int round = 0; round < 300; round++) {
		memcpy(noise, "20 (x) S ", 9);
		for (size_t i = 9; i < sizeof(noise); i++)
			noise[i] = "0123456789 -()x"[rand() % 15];
		fs_put_bytes(e->proc, "20/stat", noise, sizeof(noise));
		assert_int_equal(ht_targets_scan(&e->t, NULL), 0);
	}
}

static void test_many(void **state)
{
	struct env *e = *state;
	struct ht_selection sel = { 0 };

	for (int pid = 1000; pid > 0; pid -= 3)
		put_proc(e, pid, "p", 0, 1, 1 << 20);
	assert_int_equal(ht_targets_init(&e->t, &sel, &e->roots), 0);
	assert_int_equal(ht_targets_scan(&e->t, NULL), 0);
	assert_int_equal(e->t.nr, 334);
	for (int pid = 1000; pid > 0; pid -= 6)
		del_proc(e, pid);
	assert_int_equal(ht_targets_scan(&e->t, NULL), 0);
	assert_int_equal(e->t.nr, 167);
	for (size_t i = 1; i < e->t.nr; i++)
		assert_true(e->t.proc[i - 1].tgid < e->t.proc[i].tgid);
}

/* A real process, from fork to its end, by name and by size. */
static void test_real(void **state)
{
	struct env *e = *state;
	char name[16], *comms[] = { name };
	struct ht_selection sel = { .comm = comms, .nr_comm = 1 };
	struct ht_proc *p;
	char want[64], c;
	int fds[2];
	pid_t pid;

	snprintf(name, sizeof(name), "a) S %d (b", getpid());
	assert_int_equal(pipe(fds), 0);
	pid = fs_fork();
	assert_true(pid >= 0);
	if (!pid) {
		char *m = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		memset(m, 1, 32 << 20);
		prctl(PR_SET_NAME, comms[0]);
		if (write(fds[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(ht_targets_init(&e->t, &sel, &ht_host_roots), 0);
	snprintf(want, sizeof(want), "+%d ", pid);
	scan(e, want);
	p = ht_targets_find(&e->t, pid);
	assert_non_null(p);
	assert_int_equal(p->ppid, getpid());
	assert_true(p->rss_bytes >= 30 << 20 && p->rss_bytes < 200 << 20);
	assert_true(p->start_time > 0);
	assert_int_equal(ht_vmas_read(&p->vmas, &ht_host_roots, pid), 0);

	kill(pid, SIGKILL);
	siginfo_t info;

	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	snprintf(want, sizeof(want), "-%d ", pid);
	scan(e, want); /* a zombie is no target */
	waitpid(pid, NULL, 0);
	scan(e, "");
	assert_int_equal(ht_targets_add_child(&e->t, pid, &e->ev), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rss_floor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pid_and_comm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_escaped_comm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reused_pid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_children, setup, teardown),
		cmocka_unit_test_setup_teardown(test_child_of_pid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cgroup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cgroup_hybrid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_real, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
