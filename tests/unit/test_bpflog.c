// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "test_util.h"

#include <bpf/libbpf.h>

#include "bpflog.h"
#include "fs.h"
#include "log.h"

static libbpf_print_fn_t print;

static int setup(void **state)
{
	ht_bpflog_start();
	print = libbpf_set_print(NULL);
	libbpf_set_print(print);
	assert_non_null(print);
	ht_bpflog_clear();
	return 0;
}

/* As libbpf calls it. */
__attribute__((format(printf, 2, 3))) static void say(enum libbpf_print_level level,
						      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print(level, fmt, ap);
	va_end(ap);
}

/* The lines that the tail logs, without the loader's own prefix. */
static const char *tail(int nr)
{
	static char out[16384];
	struct fs_log log;
	const char *p;
	size_t n = 0;

	fs_log_start(&log);
	ht_bpflog_tail(nr);
	p = fs_log_end(&log);
	for (; p && *p; p = strchr(p, '\n') + 1) {
		const char *line = strstr(p, "error:   ");

		assert_non_null(line);
		line += strlen("error:   ");
		n += snprintf(out + n, sizeof(out) - n, "%.*s|", (int)strcspn(line, "\n"), line);
	}
	out[n] = '\0';
	return out;
}

static void test_tail(void **state)
{
	assert_string_equal(tail(5), "");
	say(LIBBPF_WARN, "one\n");
	say(LIBBPF_WARN, "two\nthree\n");
	say(LIBBPF_INFO, "%s %d\n", "four", 4);
	say(LIBBPF_DEBUG, "not this\n");
	assert_string_equal(tail(2), "three|four 4|");
	/* Told once. */
	assert_string_equal(tail(2), "");
	for (int i = 0; i < 3; i++)
		say(LIBBPF_WARN, "line %d\n", i);
	assert_string_equal(tail(20), "line 0|line 1|line 2|");
	say(LIBBPF_WARN, "x\n");
	assert_string_equal(tail(1), "x|");
	say(LIBBPF_WARN, "x\n");
	assert_string_equal(tail(0), "");
	say(LIBBPF_WARN, "no end");
	assert_string_equal(tail(3), "no end|");
	say(LIBBPF_WARN, "x\n");
	ht_bpflog_clear();
	assert_string_equal(tail(3), "");
}

/* A verifier log is longer than what is kept: its end is what matters. */
static void test_long_log(void **state)
{
	char want[256] = "", line[300];

	for (int i = 0; i < 20000; i++)
		say(LIBBPF_WARN, "%d: (79) r1 = *(u64 *)(r10 -8)\n", i);
	for (int i = 19995; i < 20000; i++) {
		snprintf(line, sizeof(line), "%d: (79) r1 = *(u64 *)(r10 -8)|", i);
		strcat(want, line);
	}
	assert_string_equal(tail(5), want);
}

static void test_huge_message(void **state)
{
	size_t len[] = { 65534, 65535, 65536, 65537, 300000 };

	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		char *big = tu_zalloc(1, len[i] + 8);

		memset(big, 'a', len[i]);
		for (size_t k = 100; k < len[i]; k += 100)
			big[k] = '\n';
		strcpy(big + len[i] - 6, "\nlast\n");
		say(LIBBPF_WARN, "before\n");
		say(LIBBPF_WARN, "%s", big);
		assert_string_equal(tail(1), "last|");
		say(LIBBPF_WARN, "%s", big);
		say(LIBBPF_WARN, "after\n");
		assert_string_equal(tail(2), "last|after|");
		free(big);
	}
}

/* Silent but for those who ask. */
static void test_shown_at_trace(void **state)
{
	struct fs_log log;

	fs_log_start(&log);
	say(LIBBPF_WARN, "a warning\n");
	assert_string_equal(fs_log_end(&log), "");
	ht_log_set_level(HT_LOG_TRACE);
	fs_log_start(&log);
	say(LIBBPF_DEBUG, "a detail\n");
	ht_log_set_level(HT_LOG_INFO);
	assert_non_null(strstr(fs_log_end(&log), "a detail"));
	ht_bpflog_clear();
}

/* libbpf itself. */
static void test_libbpf(void **state)
{
	assert_null(bpf_object__open_file("/nonexistent/x.bpf.o", NULL));
	assert_non_null(strstr(tail(3), "/nonexistent/x.bpf.o"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tail),	     cmocka_unit_test(test_long_log),
		cmocka_unit_test(test_huge_message), cmocka_unit_test(test_shown_at_trace),
		cmocka_unit_test(test_libbpf),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
