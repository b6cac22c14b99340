// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Huge pages of a real child, split by the real kernel; what the memory holds must not change. */
#include "test_util.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "split.h"

#define HUGE (2UL << 20)
#define NR 4UL

enum kind { PLAIN, SMALL, LOCKED, PINNED, SHARED };

struct child {
	pid_t pid;
	char *mem; /* NR huge pages, at the same address in the child */
};

static unsigned char content(size_t page)
{
	return page % 251 + 1;
}

static void fill(char *mem)
{
	for (size_t p = 0; p < NR * HUGE / TU_PAGE; p++)
		memset(mem + p * TU_PAGE, content(p), TU_PAGE);
}

static void hold_reference(char *mem)
{
	struct iovec v = { mem + 7 * TU_PAGE, TU_PAGE };
	int fd[2];

	if (pipe(fd) || vmsplice(fd[1], &v, 1, 0) != (ssize_t)TU_PAGE)
		_exit(1);
}

static void live(char *mem, enum kind kind, int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fill(mem);
	/* The C library's mlock() does nothing under an address sanitizer. */
	if (kind == LOCKED && syscall(SYS_mlock, mem, NR * HUGE))
		_exit(1);
	if (kind == PINNED)
		hold_reference(mem);
	/* A child of the child, that maps what it maps; it ends with the pipe that all inherit. */
	if (kind == SHARED && !fork()) {
		char c;
		int end[2];

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!pipe(end) && read(end[0], &c, 1))
			_exit(1);
	}
	if (write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void start(struct child *c, enum kind kind)
{
	int ready[2];
	char ok;

	c->mem = mmap(NULL, (NR + 1) * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	assert_ptr_not_equal(c->mem, MAP_FAILED);
	c->mem = (char *)(((uintptr_t)c->mem + HUGE - 1) & ~(HUGE - 1));
	madvise(c->mem, NR * HUGE, kind == SMALL ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	assert_int_equal(pipe(ready), 0);
	c->pid = fork();
	if (!c->pid) {
		setpgid(0, 0);
		live(c->mem, kind, ready[1]);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &ok, 1), 1);
	close(ready[0]);
}

static void stop(struct child *c)
{
	kill(-c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	munmap(c->mem, NR * HUGE);
}

/* By the kernel's account. */
static size_t huge_pages(const struct child *c)
{
	char path[64], line[256];
	unsigned long kb, sum = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", c->pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "AnonHugePages: %lu", &kb) == 1)
			sum += kb;
	fclose(f);
	return sum / 2048;
}

static void check_content(const struct child *c)
{
	unsigned char page[TU_PAGE], want[TU_PAGE];
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", c->pid);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	for (size_t p = 0; p < NR * HUGE / TU_PAGE; p++) {
		off_t off = (uintptr_t)c->mem + p * TU_PAGE;

		memset(want, content(p), sizeof(want));
		assert_int_equal(pread(fd, page, sizeof(page), off), sizeof(page));
		assert_memory_equal(page, want, sizeof(page));
	}
	close(fd);
}

/* Not all machines have huge pages, nor at all times. */
static bool start_huge(struct child *c, enum kind kind)
{
	start(c, kind);
	if (huge_pages(c) == NR)
		return true;
	print_message("no huge pages to be had here\n");
	stop(c);
	return false;
}

static uint64_t page_of(const struct child *c, size_t huge, size_t page)
{
	return (uintptr_t)c->mem + huge * HUGE + page * TU_PAGE;
}

static void test_probe(void **state)
{
	char why[96] = "";

	assert_int_equal(ht_split_probe(why, sizeof(why)), 0);
	assert_non_null(strstr(why, "process_madvise"));
}

static void test_splits(void **state)
{
	struct child c;

	if (!start_huge(&c, PLAIN))
		skip();
	assert_int_equal(ht_split_ask(c.pid, page_of(&c, 1, 300)), 0);
	assert_int_equal(huge_pages(&c), NR - 1);
	/* The first and the last page of one do as well, and any address in a page. */
	assert_int_equal(ht_split_ask(c.pid, page_of(&c, 2, 0)), 0);
	assert_int_equal(ht_split_ask(c.pid, page_of(&c, 3, 511) + 17), 0);
	assert_int_equal(huge_pages(&c), NR - 3);
	/* Nothing is left to split there. */
	assert_int_equal(ht_split_ask(c.pid, page_of(&c, 1, 300)), 0);
	assert_int_equal(huge_pages(&c), NR - 3);
	check_content(&c);
	stop(&c);
}

static void test_small_pages(void **state)
{
	struct child c;

	start(&c, SMALL);
	assert_int_equal(huge_pages(&c), 0);
	assert_int_equal(ht_split_ask(c.pid, page_of(&c, 0, 9)), 0);
	check_content(&c);
	stop(&c);
}

/* Whole, whatever is answered: in vain, or not at all. */
static void check_stays(enum kind kind, size_t huge, int want)
{
	struct child c;

	if (!start_huge(&c, kind))
		skip();
	assert_int_equal(ht_split_ask(c.pid, page_of(&c, huge, 40)), want);
	assert_int_equal(huge_pages(&c), NR);
	check_content(&c);
	stop(&c);
}

static void test_locked(void **state)
{
	check_stays(LOCKED, 0, -EINVAL);
}

static void test_pinned(void **state)
{
	check_stays(PINNED, 0, 0);
}

static void test_shared(void **state)
{
	check_stays(SHARED, 2, 0);
}

static void test_unmapped(void **state)
{
	struct child c;
	void *ours;

	start(&c, SMALL);
	/* Mapped here, since the fork; not there. */
	ours = mmap(NULL, TU_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(ours, MAP_FAILED);
	assert_int_equal(ht_split_ask(c.pid, (uintptr_t)ours), -ENOMEM);
	munmap(ours, TU_PAGE);
	stop(&c);
}

static void test_gone(void **state)
{
	struct child c;

	start(&c, SMALL);
	stop(&c);
	assert_int_equal(ht_split_ask(c.pid, page_of(&c, 0, 0)), -ESRCH);
}

/* Only who may: what the service runs with is tested in tests/lab. */
static void test_unprivileged(void **state)
{
	struct child c;
	int status, err;
	pid_t pid;

	if (geteuid())
		skip();
	start(&c, SMALL);
	pid = fork();
	if (!pid) {
		err = setgid(65534) || setuid(65534) ? 0 : ht_split_ask(c.pid, page_of(&c, 0, 0));
		_exit(err != -EPERM && err != -EACCES);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	stop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe),	     cmocka_unit_test(test_splits),
		cmocka_unit_test(test_small_pages),  cmocka_unit_test(test_locked),
		cmocka_unit_test(test_pinned),	     cmocka_unit_test(test_shared),
		cmocka_unit_test(test_unmapped),     cmocka_unit_test(test_gone),
		cmocka_unit_test(test_unprivileged),
	};

	/* Valgrind knows neither of the system calls. */
	if (syscall(SYS_process_madvise, -1, NULL, 0, 0, 0) < 0 && errno == ENOSYS) {
		puts("no process_madvise(2) here: nothing to test");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
