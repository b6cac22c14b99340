// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The control socket against clients that mean harm, or know no better, and the client side against
 * a loader that is not what it should be. Requests are written first and served then, by the test
 * itself; only clients that have to act meanwhile are children.
 */
#include "test_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <json-c/json.h>

#include "client.h"
#include "control.h"
#include "engine.h"
#include "fs.h"
#include "swap.h"

#define NOBODY 65534
/* What the loop may be held up by one client: 200 ms, and what a busy machine adds. */
#define HELD_MS 400

static char dir[64];
static int listener;
static unsigned int handled; /* requests that were let through */
static char last_op[32];
static size_t answer_size; /* bytes of padding in the answer */

static struct json_object *handle(void *arg, struct json_object *request)
{
	struct json_object *o = json_object_new_object(), *v;
	char *pad;

	handled++;
	if (json_object_object_get_ex(request, "op", &v))
		snprintf(last_op, sizeof(last_op), "%s", json_object_get_string(v));
	json_object_object_add(o, "ok", json_object_new_boolean(true));
	if (answer_size) {
		pad = tu_zalloc(1, answer_size + 1);
		memset(pad, 'x', answer_size);
		json_object_object_add(o, "pad", json_object_new_string(pad));
		free(pad);
	}
	return o;
}

static int setup(void **state)
{
	fs_tmpdir(dir);
	listener = ht_control_listen(dir);
	handled = 0;
	answer_size = 0;
	*last_op = '\0';
	return listener < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	close(listener);
	fs_rmtree(dir);
	return 0;
}

static long ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static const char *sock_path(void)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/control", dir);
	return path;
}

static int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/control", dir);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* Connects and writes what fits into the socket. */
static int send_bytes(const void *data, size_t len)
{
	int fd = dial();

	assert_true(fd >= 0);
	if (len)
		assert_true(send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
	return fd;
}

static long serve(void)
{
	long start = ms();

	assert_int_equal(ht_control_serve(listener, handle, NULL), 0);
	return ms() - start;
}

static const char *answer(int fd)
{
	static char buf[2 * HT_CONTROL_MAX];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, buf + len, sizeof(buf) - len - 1, 0)) > 0)
		len += n;
	buf[len] = '\0';
	return buf;
}

static void assert_refused(const void *data, size_t len, const char *why)
{
	unsigned int before = handled;
	int fd = send_bytes(data, len);
	const char *a;

	assert_true(serve() < HELD_MS);
	a = answer(fd);
	if (!strstr(a, "\"ok\":false") || !strstr(a, why) || handled != before)
		fail_msg("request '%.60s' was answered '%.200s'", (const char *)data, a);
	assert_int_equal(a[strlen(a) - 1], '\n');
	close(fd);
}

static void assert_served(const void *data, size_t len)
{
	unsigned int before = handled;
	int fd = send_bytes(data, len);

	assert_true(serve() < HELD_MS);
	if (strcmp(answer(fd), "{\"ok\":true}\n") || handled != before + 1)
		fail_msg("request '%.60s' was not served", (const char *)data);
	close(fd);
}

#define GOOD "{\"op\":\"status\"}\n"

static void assert_works(void)
{
	*last_op = '\0';
	assert_served(GOOD, strlen(GOOD));
	assert_string_equal(last_op, "status");
}

static void test_socket(void **state)
{
	struct stat st;

	assert_int_equal(stat(sock_path(), &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(fcntl(listener, F_GETFD) & FD_CLOEXEC);
	assert_works();
	assert_served(" { \"op\" : \"x\" } \r\n", 18);
	/* Nobody there: nothing happens, at once. */
	assert_true(serve() < 50);
	ht_control_unlink(dir);
	assert_int_equal(access(sock_path(), F_OK), -1);
	ht_control_unlink(dir);
}

/* As a loader that was killed leaves it. */
static void test_stale(void **state)
{
	close(listener);
	assert_int_equal(access(sock_path(), F_OK), 0);
	assert_int_equal(dial(), -ECONNREFUSED);
	listener = ht_control_listen(dir);
	assert_true(listener >= 0);
	assert_works();
}

static void test_listen_errors(void **state)
{
	char longer[256];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(ht_control_listen("/nonexistent/dir"), -ENOENT);
	assert_int_equal(ht_control_listen(longer), -ENAMETOOLONG);
	ht_control_unlink(longer);
}

static void test_garbage(void **state)
{
	static const char *const line[] = {
		"\n",
		"garbage\n",
		"\"op\"\n",
		"null\n",
		"42\n",
		"[]\n",
		"[{\"op\":\"status\"}]\n",
		"{\n",
		"}\n",
		"{\"op\":\n",
		"{\"op\":\"status\"} {\"op\":\"unload\"}\n",
		"{\"op\":\"status\"}\n{\"op\":\"unload\"}\n",
		"{\"op\":\"status\"}garbage\n",
		"{\"op\":\"\\ud800\xff\xfe",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\x01\x02\x7f\x80\xff\n",
		"{\"op\":1e999999999999999999999999999999999999,,}\n",
	};
	static const char zero[] = "{\"op\":\"status\"}\0{\"op\":\"unload\"}\n";
	uint64_t rnd = 1;
	char noise[4096];

	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++)
		assert_refused(line[i], strlen(line[i]), "error");
	assert_refused(zero, sizeof(zero) - 1, "one JSON object");
	for (int i = 0; i < 200; i++) {
		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = tu_rnd(&rnd) >> 20;
		noise[sizeof(noise) - 1] = '\n';
		assert_refused(noise, sizeof(noise), "one JSON object");
	}
	assert_works();
}

/* Every prefix of a request, and every request with one byte changed: no crash, no hang. */
static void test_mutations(void **state)
{
	static const char good[] = "{\"op\":\"swap\",\"policy\":\"/p\",\"set\":[\"a=1\"]}\n";
	size_t len = sizeof(good) - 1;
	char buf[sizeof(good)];
	int fd;

	for (size_t n = 1; n < len - 1; n++) {
		memcpy(buf, good, n);
		buf[n] = '\n';
		assert_refused(buf, n + 1, "one JSON object");
	}
	for (size_t n = 0; n + 1 < len; n++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(buf, good, len);
			buf[n] ^= 1 << bit;
			fd = send_bytes(buf, len);
			assert_true(serve() < HELD_MS);
			assert_non_null(strstr(answer(fd), "\"ok\":"));
			close(fd);
		}
	}
	assert_works();
}

static void test_nested(void **state)
{
	static const char head[] = "{\"op\":\"swap\",\"set\":";
	size_t n = HT_CONTROL_MAX - sizeof(head) - 8, h = sizeof(head) - 1;
	char *buf = tu_zalloc(1, HT_CONTROL_MAX);

	memcpy(buf, head, h);
	memset(buf + h, '[', n);
	buf[h + n] = '\n';
	assert_refused(buf, h + n + 1, "one JSON object");
	memset(buf + h + n / 2, ']', n / 2);
	memcpy(buf + h + n / 2 * 2, "}\n", 2);
	assert_refused(buf, h + n / 2 * 2 + 2, "one JSON object");
	for (size_t i = 0; i + 5 < n; i += 5)
		memcpy(buf + h + i, "{\"a\":", 5);
	assert_refused(buf, h + n + 1, "one JSON object");
	free(buf);
	assert_works();
}

static void test_huge_lines(void **state)
{
	static const char head[] = "{\"op\":\"status\",\"x\":\"";
	size_t max = HT_CONTROL_MAX, h = sizeof(head) - 1;
	char *buf = tu_zalloc(1, 4 * max);

	memset(buf, 'x', 4 * max);
	memcpy(buf, head, h);
	/* The longest that is allowed, and one more. */
	memcpy(buf + max - 3, "\"}\n", 3);
	assert_served(buf, max);
	memset(buf + max - 3, 'x', 3);
	memcpy(buf + max - 2, "\"}\n", 3);
	assert_refused(buf, max + 1, "too long");
	memset(buf + max - 2, 'x', 3);
	assert_refused(buf, 2 * max, "too long");
	memset(buf, ' ', 4 * max);
	assert_refused(buf, 2 * max, "too long");
	free(buf);
	assert_works();
}

/* A client that writes on and on gets cut off like one that never writes. */
static pid_t trickler(const char *what, int every_ms)
{
	pid_t pid = fs_fork();
	int fd, i = 0;

	if (pid)
		return pid;
	fd = dial();
	while (send(fd, &what[i++ % strlen(what)], 1, MSG_NOSIGNAL) == 1)
		usleep(every_ms * 1000);
	_exit(0);
}

static void wait_readable(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(listener, &set);
	assert_int_equal(select(listener + 1, &set, NULL, NULL, &(struct timeval){ .tv_sec = 5 }),
			 1);
}

static void test_silence(void **state)
{
	static const char *const half[] = { "", "{", "{\"op\":\"stat", "{\"op\":\"status\"}" };
	pid_t pid;
	long took;
	int fd;

	for (size_t i = 0; i < sizeof(half) / sizeof(half[0]); i++) {
		fd = send_bytes(half[i], strlen(half[i]));
		took = serve();
		assert_in_range(took, 150, HELD_MS);
		assert_non_null(strstr(answer(fd), "did not end in time"));
		close(fd);
	}
	pid = trickler("{ ", 10);
	wait_readable();
	took = serve();
	assert_in_range(took, 150, HELD_MS);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(handled, 0);
	assert_works();
}

/* Several silent ones at once: each holds the loop once, and an honest one comes through after. */
static void test_many_silent(void **state)
{
	int fd[5], good;
	long took = 0;

	for (int i = 0; i < 5; i++)
		fd[i] = send_bytes("{", 1);
	for (int i = 0; i < 4; i++) {
		long one = serve();

		assert_in_range(one, 0, HELD_MS);
		took += one;
	}
	assert_true(took >= 4 * 150);
	good = send_bytes(GOOD, strlen(GOOD));
	serve();
	serve();
	assert_string_equal(answer(good), "{\"ok\":true}\n");
	close(good);
	for (int i = 0; i < 5; i++)
		close(fd[i]);
}

static void test_disconnects(void **state)
{
	static const char *const said[] = { "", "{", "garbage\n", GOOD };
	struct linger reset = { .l_onoff = 1 };
	int fd;

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		/* Gone before it is served. */
		fd = send_bytes(said[i], strlen(said[i]));
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		assert_true(serve() < 150);
		/* Wants no answer. */
		fd = send_bytes(said[i], strlen(said[i]));
		shutdown(fd, SHUT_RD);
		assert_true(serve() < HELD_MS);
		close(fd);
		/* Has nothing more to say. */
		fd = send_bytes(said[i], strlen(said[i]));
		shutdown(fd, SHUT_WR);
		assert_true(serve() < 150);
		assert_non_null(strstr(answer(fd), i == 3 ? "true" : "error"));
		close(fd);
	}
	assert_works();
}

/* An answer nobody reads, as large as can be, and one that is larger. */
static void test_large_answers(void **state)
{
	int fd = send_bytes(GOOD, strlen(GOOD));

	answer_size = HT_CONTROL_MAX - 100;
	assert_true(serve() < HELD_MS);
	assert_int_equal(strlen(answer(fd)), answer_size + strlen("{\"ok\":true,\"pad\":\"\"}\n"));
	close(fd);
	fd = send_bytes(GOOD, strlen(GOOD));
	answer_size = HT_CONTROL_MAX;
	assert_int_equal(ht_control_serve(listener, handle, NULL), -EMSGSIZE);
	assert_string_equal(answer(fd), "");
	close(fd);
	answer_size = 0;
	assert_works();
}

/* A child of another user that asks; 0 if it was answered as expected. */
static int ask_as_nobody(int want_connect)
{
	pid_t pid = fs_fork();
	int fd, status;

	if (!pid) {
		if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
			_exit(2);
		fd = dial();
		if (fd < 0)
			_exit(want_connect ? 3 : fd == -EACCES ? 0 : 4);
		if (!want_connect)
			_exit(5);
		send(fd, GOOD, strlen(GOOD), MSG_NOSIGNAL);
		_exit(strstr(answer(fd), "only root") ? 0 : 6);
	}
	if (want_connect) {
		wait_readable();
		assert_true(serve() < 150);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_other_user(void **state)
{
	if (geteuid())
		skip();
	/* The mode keeps them out; where that fails, their credentials do. */
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(ask_as_nobody(0), 0);
	assert_int_equal(chmod(sock_path(), 0666), 0);
	assert_int_equal(ask_as_nobody(1), 0);
	assert_int_equal(handled, 0);
	assert_works();
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static long rss_pages(void)
{
	long size, rss = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_int_equal(fscanf(f, "%ld %ld", &size, &rss), 2);
	fclose(f);
	return rss;
}

/* None of these takes the whole time. */
static void one_of_each(int i)
{
	static const char *const line[] = { GOOD, "garbage\n", "{\n", "[]\n", "\n" };
	const char *s = line[i % 5];
	int fd = send_bytes(s, strlen(s));

	if (i % 7 == 0) {
		close(fd);
		serve();
		return;
	}
	serve();
	answer(fd);
	close(fd);
}

static void test_no_leak(void **state)
{
	int fds;
	long rss;

	for (int i = 0; i < 100; i++)
		one_of_each(i);
	fds = count_fds();
	rss = rss_pages();
	assert_true(rss > 0);
	for (int i = 0; i < 1000; i++)
		one_of_each(i);
	assert_int_equal(count_fds(), fds);
	/* These keep freed memory for a while, and find leaks by themselves. */
#ifndef __SANITIZE_ADDRESS__
	if (!getenv("VALGRIND"))
		assert_in_range(rss_pages(), 0, rss + 16);
#endif
}

/* ---- the client's side ---- */

static struct json_object *request(void)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "op", json_object_new_string("status"));
	return o;
}

static int ask(int timeout, struct json_object **a)
{
	struct json_object *req = request();
	int err = ht_control_ask(dir, req, timeout, a);

	json_object_put(req);
	return err;
}

/* A loader that reads a line and then writes these bytes. */
static pid_t false_loader(const char *says, bool reads)
{
	pid_t pid = fs_fork();
	char buf[4096];
	int fd;

	if (pid)
		return pid;
	fcntl(listener, F_SETFL, 0);
	fd = accept(listener, NULL, NULL);
	if (reads && read(fd, buf, sizeof(buf)) <= 0)
		_exit(1);
	_exit(write(fd, says, strlen(says)) != (ssize_t)strlen(says));
}

static void test_ask(void **state)
{
	struct json_object *a, *ok;
	pid_t pid = fs_fork();

	if (!pid) {
		wait_readable();
		_exit(ht_control_serve(listener, handle, NULL) != 0);
	}
	assert_int_equal(ask(5000, &a), 0);
	assert_true(json_object_object_get_ex(a, "ok", &ok));
	assert_true(json_object_get_boolean(ok));
	json_object_put(a);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_ask_false_loader(void **state)
{
	static const struct {
		const char *says;
		int err;
	} t[] = {
		{ "", -ECONNRESET },	  { "garbage\n", -EBADMSG },	     { "[]\n", -EBADMSG },
		{ "{\"ok\":", -EBADMSG }, { "{\"ok\":true} x\n", -EBADMSG },
	};
	struct json_object *a;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		pid_t pid = false_loader(t[i].says, true);

		assert_int_equal(ask(5000, &a), t[i].err);
		assert_null(a);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	/* It was killed with the request unread. */
	pid_t pid = false_loader("", false);

	assert_int_equal(ask(5000, &a), -ECONNRESET);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_ask_nobody(void **state)
{
	struct json_object *a, *req;
	char *big = tu_zalloc(1, HT_CONTROL_MAX + 1);

	memset(big, 'x', HT_CONTROL_MAX);
	req = request();
	json_object_object_add(req, "x", json_object_new_string(big));
	free(big);
	assert_int_equal(ht_control_ask(dir, req, 1000, &a), -EMSGSIZE);
	json_object_put(req);
	close(listener);
	assert_int_equal(ask(1000, &a), -ECONNREFUSED);
	ht_control_unlink(dir);
	assert_int_equal(ask(1000, &a), -ENOENT);
	listener = ht_control_listen(dir);
	assert_true(listener >= 0);
}

/* A loader that is stopped: neither its silence nor its full queue may hang us. */
static void test_ask_stopped(void **state)
{
	struct json_object *a;
	long start = ms();

	for (int i = 0; i < 8; i++)
		assert_int_equal(ask(100, &a), -ETIMEDOUT);
	assert_in_range(ms() - start, 8 * 90, 8 * 100 + 1000);
}

/* ---- requests that are JSON, but no requests ---- */

static const char *error_of(struct ht_engine *e, const char *line)
{
	static char buf[512];
	struct json_object *req = json_tokener_parse(line), *a, *v;

	assert_non_null(req);
	a = ht_swap_control(e, req);
	assert_non_null(a);
	assert_true(json_object_object_get_ex(a, "ok", &v));
	assert_false(json_object_get_boolean(v));
	assert_true(json_object_object_get_ex(a, "error", &v));
	snprintf(buf, sizeof(buf), "%s", json_object_get_string(v));
	json_object_put(a);
	json_object_put(req);
	return buf;
}

static void test_wrong_types(void **state)
{
	static const struct {
		const char *line, *error;
	} t[] = {
		{ "{}", "unknown request" },
		{ "{\"op\":null}", "unknown request" },
		{ "{\"op\":5}", "unknown request" },
		{ "{\"op\":[\"swap\"]}", "unknown request" },
		{ "{\"op\":{\"op\":\"unload\"}}", "unknown request" },
		{ "{\"op\":\"\"}", "unknown request" },
		{ "{\"op\":\"UNLOAD\"}", "unknown request" },
		{ "{\"op\":\"unload\\u0000x\",\"op\":\"nix\"}", "unknown request" },
		{ "{\"op\":\"swap\"}", "absolute path" },
		{ "{\"op\":\"swap\",\"policy\":null}", "absolute path" },
		{ "{\"op\":\"swap\",\"policy\":7}", "absolute path" },
		{ "{\"op\":\"swap\",\"policy\":[\"/p\"]}", "absolute path" },
		{ "{\"op\":\"swap\",\"policy\":\"\"}", "absolute path" },
		{ "{\"op\":\"swap\",\"policy\":\"range.bpf.o\"}", "absolute path" },
		{ "{\"op\":\"swap\",\"policy\":\"/p\",\"set\":\"a=1\"}", "array" },
		{ "{\"op\":\"swap\",\"policy\":\"/p\",\"set\":{\"a\":1}}", "array" },
		{ "{\"op\":\"swap\",\"policy\":\"/p\",\"set\":[1]}", "array" },
		{ "{\"op\":\"swap\",\"policy\":\"/p\",\"set\":[\"a=1\",null]}", "array" },
		{ "{\"op\":\"swap\",\"policy\":\"/nonexistent\"}", "/nonexistent: No such file" },
		{ "{\"op\":\"swap\",\"policy\":\"/dev/null\"}", "not a regular file" },
		{ "{\"op\":\"swap\",\"policy\":\"/\"}", "not a regular file" },
		{ "{\"op\":\"swap\",\"policy\":\"/proc/self/exe\"}", "no HyperTier policy" },
	};
	struct ht_engine *e = tu_zalloc(1, sizeof(*e));
	struct ht_object *o = tu_zalloc(1, sizeof(*o));

	strcpy(o->info.name, "old");
	e->policy = o;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (!strstr(error_of(e, t[i].line), t[i].error))
			fail_msg("%s was answered '%s'", t[i].line, error_of(e, t[i].line));
	assert_ptr_equal(e->policy, o);
	assert_false(e->unload);
	assert_int_equal(e->metrics.swaps, 0);
	free(o);
	free(e);
}

/* More knobs than a policy can have are not cut off, but refused. */
static void test_many_sets(void **state)
{
	struct ht_engine *e = tu_zalloc(1, sizeof(*e));
	struct ht_object *o = tu_zalloc(1, sizeof(*o));
	char line[2048] = "{\"op\":\"swap\",\"policy\":\"/nonexistent\",\"set\":[\"a=1\"";

	e->policy = o;
	for (int i = 1; i < 64; i++)
		strcat(line, ",\"a=1\"");
	strcat(line, "]}");
	assert_non_null(strstr(error_of(e, line), "No such file"));
	line[strlen(line) - 2] = '\0';
	strcat(line, ",\"a=1\"]}");
	assert_non_null(strstr(error_of(e, line), "at most 64"));
	free(o);
	free(e);
}

static void test_unload(void **state)
{
	struct ht_engine *e = tu_zalloc(1, sizeof(*e));
	struct json_object *req = json_tokener_parse("{\"op\":\"unload\"}"), *a, *v;

	a = ht_swap_control(e, req);
	assert_true(e->unload);
	assert_true(json_object_object_get_ex(a, "pid", &v));
	assert_int_equal(json_object_get_int(v), getpid());
	json_object_put(a);
	json_object_put(req);
	free(e);
}

/* ---- our own commands ---- */

static struct json_object *with_status(void *arg, struct json_object *request)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "status", json_object_new_object());
	return o;
}

/* Takes the lock, says so, has its socket late, and answers once. */
static int start_slowly(int told)
{
	struct pollfd p = { .events = POLLIN };
	char path[96];
	int lock;

	snprintf(path, sizeof(path), "%s/lock", dir);
	lock = open(path, O_RDWR | O_CREAT, 0600);
	if (flock(lock, LOCK_EX) || write(told, "", 1) != 1)
		return 1;
	usleep(300000);
	p.fd = ht_control_listen(dir);
	return p.fd < 0 || poll(&p, 1, 10000) != 1 || ht_control_serve(p.fd, with_status, NULL);
}

/* Of a loader with a lock and no socket yet the answer is waited for; without a lock nobody runs.
 */
static void test_client_early(void **state)
{
	struct ht_config c = {};
	int told[2], status;
	struct fs_log log;
	pid_t pid;
	char b;

	snprintf(c.run_dir, sizeof(c.run_dir), "%s", dir);
	close(listener);
	ht_control_unlink(dir);
	assert_int_equal(pipe(told), 0);
	fs_log_start(&log);
	status = ht_client_status(&c);
	assert_non_null(strstr(fs_log_end(&log), "no loader runs"));
	assert_int_equal(status, HT_RC_ERROR);
	pid = fs_fork();
	if (!pid)
		_exit(start_slowly(told[1]));
	assert_int_equal(read(told[0], &b, 1), 1);
	assert_int_equal(ht_client_status(&c), HT_RC_OK);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* It is gone without a word: its socket is still there, its lock is not. */
	assert_int_equal(ht_client_status(&c), HT_RC_ERROR);
	close(told[0]);
	close(told[1]);
	listener = ht_control_listen(dir);
}

int main(void)
{
#define WITH(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH(test_socket),
		WITH(test_stale),
		WITH(test_listen_errors),
		WITH(test_garbage),
		WITH(test_mutations),
		WITH(test_nested),
		WITH(test_huge_lines),
		WITH(test_silence),
		WITH(test_many_silent),
		WITH(test_disconnects),
		WITH(test_large_answers),
		WITH(test_other_user),
		WITH(test_no_leak),
		WITH(test_ask),
		WITH(test_ask_false_loader),
		WITH(test_ask_nobody),
		WITH(test_ask_stopped),
		WITH(test_client_early),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_many_sets),
		cmocka_unit_test(test_unload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
