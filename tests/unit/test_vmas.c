// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* /proc/PID/maps: of this process, and of none that could exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fs.h"
#include "targets.h"

struct env {
	char dir[64];
	struct ht_roots roots;
	struct ht_vmas vmas;
};

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));

	fs_tmpdir(e->dir);
	e->roots.sys = e->roots.proc = e->dir;
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	ht_vmas_free(&e->vmas);
	fs_rmtree(e->dir);
	free(e);
	return 0;
}

static int read_text(struct env *e, const char *text)
{
	fs_put(e->dir, "7/maps", text);
	return ht_vmas_read(&e->vmas, &e->roots, 7);
}

static uint32_t flags_at(const struct ht_vmas *vmas, const void *p)
{
	const struct ht_vma *v = ht_vmas_find(vmas, (uintptr_t)p);

	assert_non_null(v);
	assert_true(v->start <= (uintptr_t)p && (uintptr_t)p < v->end);
	return v->flags;
}

static void test_own(void **state)
{
	struct env *e = *state;
	bool stack = false;
	int fd, local;
	char *anon, *shared, *file;

	anon = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fd = open("/proc/self/exe", O_RDONLY);
	file = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	assert_true(anon != MAP_FAILED && shared != MAP_FAILED && file != MAP_FAILED);

	assert_int_equal(ht_vmas_read(&e->vmas, &ht_host_roots, getpid()), 0);
	assert_int_equal(flags_at(&e->vmas, anon), HT_VMA_ANON);
	assert_int_equal(flags_at(&e->vmas, anon + (1 << 20) - 1), HT_VMA_ANON);
	assert_int_equal(flags_at(&e->vmas, shared), HT_VMA_FILE | HT_VMA_SHARED);
	assert_int_equal(flags_at(&e->vmas, file), HT_VMA_FILE);
	/* Of the threads' stacks only the first one's has a name, and is not ours under valgrind.
	 */
	assert_int_equal(flags_at(&e->vmas, &local) & HT_VMA_ANON, HT_VMA_ANON);
	for (size_t i = 0; i < e->vmas.nr; i++)
		stack |= e->vmas.vma[i].flags == (HT_VMA_ANON | HT_VMA_STACK);
	assert_true(stack);
	assert_int_equal(flags_at(&e->vmas, malloc) & HT_VMA_FILE, HT_VMA_FILE);
	assert_null(ht_vmas_find(&e->vmas, UINT64_MAX));
	assert_ptr_equal(ht_vmas_find(&e->vmas, 0), e->vmas.vma);
	munmap(anon, 1 << 20);
	munmap(shared, 1 << 20);
	munmap(file, 4096);
}

static void test_gone(void **state)
{
	struct env *e = *state;
	siginfo_t info;
	pid_t pid = fs_fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(ht_vmas_read(&e->vmas, &ht_host_roots, pid), -ESRCH); /* a zombie */
	waitpid(pid, NULL, 0);
	assert_int_equal(ht_vmas_read(&e->vmas, &ht_host_roots, pid), -ESRCH);
	assert_int_equal(e->vmas.nr, 0);
	assert_int_equal(ht_vmas_read(&e->vmas, &ht_host_roots, 2), -ESRCH); /* a kernel thread */
}

static void test_kinds(void **state)
{
	struct env *e = *state;
	static const uint32_t want[] = {
		HT_VMA_FILE,
		HT_VMA_ANON,
		HT_VMA_ANON,
		HT_VMA_ANON,
		HT_VMA_FILE | HT_VMA_SHARED,
		HT_VMA_FILE | HT_VMA_SHARED,
		HT_VMA_ANON | HT_VMA_STACK,
		HT_VMA_SPECIAL,
		HT_VMA_SPECIAL,
		HT_VMA_SPECIAL,
	};

	assert_int_equal(
		read_text(e,
			  "00400000-00401000 r-xp 00000000 fe:00 42     /bin/a b\\012 (deleted)\n"
			  "00600000-00601000 rw-p 00000000 00:00 0 \n"
			  "00700000-00702000 rw-p 00000000 00:00 0        [heap]\n"
			  "00800000-00802000 rw-p 00000000 00:00 0        [anon:arena]\n"
			  "00900000-00902000 rw-s 00000000 00:01 0        /SYSV00000000 (deleted)\n"
			  "00a00000-00a02000 rw-s 00000000 00:01 3    /dev/zero (deleted)\n"
			  "7ffc0000000-7ffc0021000 rw-p 00000000 00:00 0  [stack]\n"
			  "7ffd0000000-7ffd0004000 r--p 00000000 00:00 0  [vvar]\n"
			  "7ffd0004000-7ffd0006000 r-xp 00000000 00:00 0  [vdso]\n"
			  "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n"),
		0);
	assert_int_equal(e->vmas.nr, 10);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(e->vmas.vma[i].flags, want[i]);
	assert_true(e->vmas.vma[9].end == 0xffffffffff601000);
	assert_ptr_equal(ht_vmas_find(&e->vmas, 0x400fff), &e->vmas.vma[0]);
	assert_ptr_equal(ht_vmas_find(&e->vmas, 0x401000), &e->vmas.vma[1]);
	assert_null(ht_vmas_find(&e->vmas, 0xffffffffff601000));
}

static void test_hostile(void **state)
{
	static const char *const bad[] = {
		"",
		"\n\n",
		"garbage\n",
		"00400000-00401000\n",
		"00400000-00401000 r-xp\n",
		"00400000-00401000 r-xp 0 0:0\n",
		"00400000-00401000 r-xp 0 0:0 x\n",
		"00401000-00400000 r-xp 00000000 00:00 0\n",			     /* backwards */
		"00400000-00400000 r-xp 00000000 00:00 0\n",			     /* empty */
		"00400001-00401000 r-xp 00000000 00:00 0\n",			     /* not pages */
		"fffffffffffffffff000-fffffffffffffffff000 r-xp 00000000 00:00 0\n", /* too big */
		"-00400000-00401000 r-xp 00000000 00:00 0\n",
		"00400000-00401000 r-xp 00000000 00:00 0", /* no newline: cut short */
	};
	struct env *e = *state;
	char *text = malloc(400000);
	size_t n = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(read_text(e, bad[i]), -ESRCH);

	/* Repeated and overlapping VMAs: sorted and disjoint all the same. */
	assert_int_equal(read_text(e, "2000-4000 r-xp 0 0:0 0\n3000-6000 r-xp 0 0:0 0\n"
				      "1000-2000 r-xp 0 0:0 0\n6000-7000 r-xp 0 0:0 0\n"),
			 0);
	assert_int_equal(e->vmas.nr, 3);
	assert_int_equal(e->vmas.vma[1].start, 0x4000);

	/* Lines longer than any buffer, one between two good ones, at many alignments. */
	for (int i = 1; i <= 300; i++) {
		n += sprintf(text + n, "%x000-%x000 rw-p 0 0:0 1 /", i, i + 1);
		memset(text + n, 'x', i * 7 % 1000);
		n += i * 7 % 1000;
		text[n++] = '\n';
	}
	text[n] = '\0';
	assert_int_equal(read_text(e, text), 0);
	assert_int_equal(e->vmas.nr, 300);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(e->vmas.vma[i].start, (i + 1) << 12);
		assert_int_equal(e->vmas.vma[i].end, (i + 2) << 12);
		assert_int_equal(e->vmas.vma[i].flags, HT_VMA_FILE);
	}

	srand(2);
	for (int round = 0; round < 200; round++) {
		for (n = 0; n < 4000; n++)
			text[n] = "0123456789abcdef- \n:rwxsp[]/\t\xff"[rand() % 30];
		fs_put_bytes(e->dir, "7/maps", text, n);
		ht_vmas_read(&e->vmas, &e->roots, 7);
		for (size_t i = 1; i < e->vmas.nr; i++)
			assert_true(e->vmas.vma[i].start >= e->vmas.vma[i - 1].end);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
