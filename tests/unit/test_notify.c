// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* A service manager's end of the socket is played by the test. */
#include "test_util.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "fs.h"
#include "notify.h"

static char dir[64], path[128];
static int manager;
static struct ht_notify n;

/* A socket of this name ("@" = abstract), in the environment as well. */
static void manage(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + strlen(name) + (*name == '/');

	memcpy(sa.sun_path, name, strlen(name));
	if (*name == '@')
		sa.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&sa, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static const char *heard(void)
{
	static char buf[1024];
	ssize_t len = recv(manager, buf, sizeof(buf) - 1, 0);

	buf[len > 0 ? len : 0] = '\0';
	return len < 0 ? NULL : buf;
}

static int setup(void **state)
{
	fs_tmpdir(dir);
	snprintf(path, sizeof(path), "%s/notify", dir);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	manager = -1;
	return 0;
}

static int teardown(void **state)
{
	ht_notify_close(&n);
	if (manager >= 0)
		close(manager);
	fs_rmtree(dir);
	return 0;
}

static void test_nobody(void **state)
{
	ht_notify_open(&n);
	assert_int_equal(ht_notify(&n, "READY=1"), 0);
	assert_int_equal(ht_notify_timeout(&n), -1);
	ht_notify_alive(&n, 1ULL << 60);
}

static void test_messages(void **state)
{
	manage(path);
	ht_notify_open(&n);
	/* Children are not to speak for us. */
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_true(fcntl(n.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ht_notify(&n, "READY=1\nSTATUS=policy %s", "range"), 0);
	assert_string_equal(heard(), "READY=1\nSTATUS=policy range");
	assert_int_equal(ht_notify(&n, "%600s", "x"), -EMSGSIZE);
	assert_null(heard());
	/* Without a watchdog nothing is said on its own. */
	ht_notify_alive(&n, 1ULL << 60);
	assert_null(heard());
}

static void test_abstract_name(void **state)
{
	char name[64];

	snprintf(name, sizeof(name), "@ht-test-%d", getpid());
	manage(name);
	ht_notify_open(&n);
	assert_int_equal(ht_notify(&n, "STOPPING=1"), 0);
	assert_string_equal(heard(), "STOPPING=1");
}

static void test_watchdog(void **state)
{
	uint64_t now = 1000000000000ULL, second = 1000000000ULL;
	char pid[16];

	manage(path);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("WATCHDOG_USEC", "20000000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	ht_notify_open(&n);
	assert_null(getenv("WATCHDOG_USEC"));
	assert_int_equal(ht_notify_timeout(&n), 5000);
	ht_notify_alive(&n, now);
	assert_string_equal(heard(), "WATCHDOG=1");
	ht_notify_alive(&n, now + second);
	assert_null(heard());
	/* Called as often as asked for, it speaks at least twice in what the manager allows. */
	ht_notify_alive(&n, now + 5 * second);
	assert_string_equal(heard(), "WATCHDOG=1");
}

static void test_watchdog_of_another(void **state)
{
	manage(path);
	setenv("WATCHDOG_USEC", "20000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	ht_notify_open(&n);
	assert_int_equal(ht_notify_timeout(&n), -1);
}

static void test_manager_is_stuck(void **state)
{
	int i, err = 0;

	manage(path);
	ht_notify_open(&n);
	for (i = 0; i < 100000 && !err; i++)
		err = ht_notify(&n, "STATUS=%d", i);
	assert_int_equal(err, -EAGAIN);
	/* What was not said is said at the next occasion. */
	n.watchdog_ns = 10;
	ht_notify_alive(&n, 100);
	while (heard())
		;
	ht_notify_alive(&n, 101);
	assert_string_equal(heard(), "WATCHDOG=1");
}

static void test_manager_is_gone(void **state)
{
	manage(path);
	ht_notify_open(&n);
	close(manager);
	manager = -1;
	assert_int_equal(ht_notify(&n, "READY=1"), -ECONNREFUSED);
	unlink(path);
	assert_int_equal(ht_notify(&n, "READY=1"), -ENOENT);
}

static void test_hostile_environment(void **state)
{
	static const char *const name[] = { "", "relative", "/", "@", "vsock:1:2" };
	static const char *const usec[] = { "", "0", "x", "-1", "5s", "99999999999999999999999" };
	char longest[300];
	struct fs_log log;
	size_t i;

	for (i = 0; i < sizeof(name) / sizeof(name[0]) + 1; i++) {
		memset(longest, '/', sizeof(longest) - 1);
		longest[sizeof(longest) - 1] = '\0';
		setenv("NOTIFY_SOCKET", i ? name[i - 1] : longest, 1);
		fs_log_start(&log);
		ht_notify_open(&n);
		assert_non_null(strstr(fs_log_end(&log), "NOTIFY_SOCKET"));
		assert_int_equal(n.fd, -1);
		assert_int_equal(ht_notify(&n, "READY=1"), 0);
	}
	manage(path);
	for (i = 0; i < sizeof(usec) / sizeof(usec[0]); i++) {
		setenv("NOTIFY_SOCKET", path, 1);
		setenv("WATCHDOG_USEC", usec[i], 1);
		fs_log_start(&log);
		ht_notify_open(&n);
		assert_non_null(strstr(fs_log_end(&log), "WATCHDOG_USEC"));
		assert_int_equal(ht_notify_timeout(&n), -1);
		ht_notify_close(&n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abstract_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watchdog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watchdog_of_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_manager_is_stuck, setup, teardown),
		cmocka_unit_test_setup_teardown(test_manager_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_environment, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
