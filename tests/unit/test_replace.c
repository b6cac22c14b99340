// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Files replaced in one step: what is read is whole, whoever reads when. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replace.h"

#define LONG 300000

static char dir[] = "/tmp/ht-replace-XXXXXX", path[64], part[72];

static int begin(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(part, sizeof(part), "%s.part", path);
	return 0;
}

static int end(void **state)
{
	unlink(path);
	unlink(part);
	return rmdir(dir);
}

static char *content_of(const char *name)
{
	static char buf[LONG + 1];
	FILE *f = fopen(name, "r");
	size_t n = f ? fread(buf, 1, LONG, f) : 0;

	buf[n] = '\0';
	if (f)
		fclose(f);
	return buf;
}

static char *content(void)
{
	return content_of(path);
}

static mode_t mode_of(const char *file)
{
	struct stat st;

	return stat(file, &st) ? 0 : st.st_mode & 07777;
}

static void test_replace(void **state)
{
	umask(077);
	assert_int_equal(ht_replace_file(path, "old", 3, 0644, false), 0);
	assert_string_equal(content(), "old");
	assert_int_equal(mode_of(path), 0644);
	assert_int_equal(ht_replace_file(path, "new", 3, 0600, true), 0);
	assert_string_equal(content(), "new");
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(access(part, F_OK), -1);
}

/* What lies in the way is left by a crash, or by somebody who wants another file written to. */
static void test_in_the_way(void **state)
{
	char other[80];
	FILE *f;

	snprintf(other, sizeof(other), "%s/other", dir);
	f = fopen(other, "w");
	fputs("keep", f);
	fclose(f);
	assert_int_equal(symlink(other, part), 0);
	assert_int_equal(ht_replace_file(path, "mine", 4, 0600, false), 0);
	assert_string_equal(content(), "mine");
	assert_string_equal(content_of(other), "keep");
	unlink(other);
}

static void test_errors(void **state)
{
	char *name = malloc(PATH_MAX + 10);

	assert_int_equal(ht_replace_file("/proc/none/such", "x", 1, 0600, true), -ENOENT);
	memset(name, 'x', PATH_MAX);
	name[PATH_MAX] = '\0';
	assert_int_equal(ht_replace_file(name, "x", 1, 0600, true), -ENAMETOOLONG);
	free(name);
	/* The old file stays. */
	assert_int_equal(ht_replace_file(path, "old", 3, 0600, false), 0);
	assert_int_equal(mkdir(part, 0700), 0);
	assert_int_not_equal(ht_replace_file(path, "new", 3, 0600, false), 0);
	assert_string_equal(content(), "old");
	rmdir(part);
}

static bool is_one_letter(const char *s)
{
	return s[0] && strspn(s, (char[]){ s[0], '\0' }) == strlen(s);
}

/* A writer that is killed at any moment leaves one of its texts, whole. */
static void test_killed(void **state)
{
	char *text = malloc(LONG);
	int status;

	assert_int_equal(ht_replace_file(path, "aaa", 3, 0600, false), 0);
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();

		if (!pid) {
			for (char c = 'a';; c = c == 'z' ? 'a' : c + 1) {
				memset(text, c, LONG);
				ht_replace_file(path, text, LONG, 0600, false);
			}
		}
		usleep(500 + i * 317 % 5000);
		assert_true(is_one_letter(content()));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(strlen(content()) == 3 || strlen(content()) == LONG);
		assert_true(is_one_letter(content()));
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_in_the_way),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
