// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The programs that the kernel calls: samples of real page faults, and processes that fork, exec
 * and exit. What this kernel does not let anyone attach is skipped; the lab runs the same test on
 * kernels that do. Needs root.
 */
#include "fixture.h"

#include <linux/perf_event.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FAULTS 200 /* fewer than HT_LOOK */

static struct bpf_link *attach(struct env *e, const char *name)
{
	struct bpf_link *link = bpf_program__attach(bpf_object__find_program_by_name(e->obj, name));

	if (link)
		return link;
	print_message("%s cannot be attached here: %s\n", name, strerror(errno));
	return NULL;
}

static int page_fault_event(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_ADDR,
		.exclude_kernel = 1,
		.disabled = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Two tiles' worth of address space, to touch small pages in. */
static char *small_pages(void)
{
	char *raw = mmap(NULL, 3 * HT_TILE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (raw == MAP_FAILED)
		return NULL;
	madvise(raw, 3 * HT_TILE_SIZE, MADV_NOHUGEPAGE);
	return (char *)(((uintptr_t)raw + HT_TILE_SIZE - 1) & ~(HT_TILE_SIZE - 1));
}

/* Cells that the first so many pages of a tile fall into. */
static unsigned int cells(unsigned int pages)
{
	bool seen[HT_TILE_CELLS] = { false };
	unsigned int p, n = 0;

	for (p = 0; p < pages; p++) {
		n += !seen[HT_CELL(p)];
		seen[HT_CELL(p)] = true;
	}
	return n;
}

/* The last tile, as one that other faults of this process leave alone. */
static void assert_faults_counted(struct env *e, char *mem, uint32_t writes)
{
	struct ht_tile *t = env_tile(e, getpid(), (uintptr_t)mem);

	assert_non_null(t);
	assert_int_equal(t->total, FAULTS);
	assert_int_equal(t->writes, writes);
	assert_int_equal(t->win_n, FAULTS);
	assert_int_equal(t->win_r, FAULTS - cells(FAULTS));
}

/* Page faults as samples of that source. Neither latency nor stores come with them. */
static void assert_perf(struct env *e, uint32_t source)
{
	char *mem = small_pages();
	struct ht_cpu_stats st;
	int fd = page_fault_event(), i;

	if (fd < 0) {
		print_message("no software perf events here: %s\n", strerror(errno));
		skip();
	}
	assert_non_null(mem);
	e->ctl->source = source;
	env_target(e, getpid(), 0);
	assert_int_equal(ioctl(fd, PERF_EVENT_IOC_SET_BPF, env_prog(e, "ht_perf")), 0);
	assert_int_equal(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0), 0);
	for (i = 0; i < FAULTS; i++)
		((volatile char *)mem)[i * PAGE] = 1;
	ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	close(fd);
	assert_faults_counted(e, mem, 0);
	assert_int_equal(env_stats(e, &st), 0);
	assert_true(st.by_source[source] >= FAULTS);
	assert_int_equal(st.seen, st.counted + drops(&st));
}

static void test_perf(void **state)
{
	assert_perf(*state, HT_SRC_PAGE_FAULT);
}

/* As a hardware event's overflow is read where the context cannot be cast: call by call. */
static void test_perf_hardware(void **state)
{
	assert_perf(*state, HT_SRC_PEBS);
}

/* Linux 6.1 cannot; the call that is not there must not be in the way. */
static void test_perf_typed(void **state)
{
	static const struct env_size size = { .tiles = TILES, .buckets = 128 };
	struct env *e = &(struct env){};

	(void)state;
	assert_int_equal(env_open(e, "build/policies/range.bpf.o", &size), 0);
	assert_int_equal(env_type_ctx(e), 0);
	assert_int_equal(env_load(e), 0);
	assert_perf(e, HT_SRC_PEBS);
	env_close(e);
}

/* The fentry program needs an object of its own: it is loaded only where it is asked for. */
static int load_fentry(struct env *e)
{
	static const struct env_size size = { .tiles = TILES, .buckets = 128 };
	struct bpf_program *p;
	int err = env_open(e, "build/policies/range.bpf.o", &size);

	if (err)
		return err;
	p = bpf_object__find_program_by_name(e->obj, "ht_perf_output");
	err = bpf_program__set_attach_target(p, 0, "perf_event_output_forward");
	bpf_program__set_autoload(p, true);
	return err ?: env_load(e);
}

/*
 * As with large PEBS: no program at the event, only one at the function that outputs its records.
 * It counts the events listed in the map, and no others.
 */
static void test_fentry(void **state)
{
	char *mem = small_pages(), *other = small_pages();
	struct env *e = &(struct env){};
	struct ht_cpu_stats st;
	struct bpf_link *link;
	uint32_t one = 1;
	uint64_t id;
	int fd = page_fault_event(), fd2, i;

	(void)state;
	if (fd < 0 || load_fentry(e)) {
		print_message("fentry programs cannot be loaded here\n");
		env_close(e);
		skip();
	}
	assert_true(mem && other);
	link = attach(e, "ht_perf_output");
	assert_non_null(link);
	e->ctl->source = HT_SRC_PEBS;
	env_target(e, getpid(), 0);

	fd2 = page_fault_event();
	assert_int_equal(ioctl(fd2, PERF_EVENT_IOC_ENABLE, 0), 0);
	for (i = 0; i < FAULTS; i++)
		((volatile char *)other)[i * PAGE] = 1;
	close(fd2);
	assert_int_equal(env_stats(e, &st), 0);
	assert_int_equal(st.seen, 0);

	assert_int_equal(ioctl(fd, PERF_EVENT_IOC_ID, &id), 0);
	assert_int_equal(bpf_map_update_elem(bpf_object__find_map_fd_by_name(e->obj, "events"), &id,
					     &one, BPF_ANY),
			 0);
	assert_int_equal(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0), 0);
	for (i = 0; i < FAULTS; i++)
		((volatile char *)mem)[i * PAGE] = 1;
	close(fd);
	assert_faults_counted(e, mem, 0);
	assert_int_equal(env_stats(e, &st), 0);
	assert_true(st.fentry >= FAULTS);
	assert_int_equal(st.fentry, st.seen);
	bpf_link__destroy(link);
	env_close(e);
}

static void test_page_fault(void **state)
{
	struct env *e = *state;
	char *mem = small_pages();
	struct bpf_link *link;
	int i;

	assert_non_null(mem);
	e->ctl->source = HT_SRC_HINT_FAULT;
	env_target(e, getpid(), 0);
	link = attach(e, "ht_page_fault");
	if (!link)
		skip();
	for (i = 0; i < FAULTS; i++) /* every other one is a store */
		if (i & 1)
			((volatile char *)mem)[i * PAGE] = 1;
		else
			(void)((volatile char *)mem)[i * PAGE];
	bpf_link__destroy(link);
	assert_faults_counted(e, mem, FAULTS / 2);
}

static struct ht_target target_of(struct env *e, uint32_t tgid)
{
	struct ht_target t = {};

	if (bpf_map_lookup_elem(e->targets_fd, &tgid, &t))
		t.flags = ~0U;
	return t;
}

static void *other_thread(void *arg)
{
	return arg;
}

struct child {
	pid_t pid;
	int go; /* closing it lets the child go on */
};

/* A child that waits, then execs /bin/true or exits. */
static struct child spawn(bool exec)
{
	struct child c = {};
	int p[2];
	char x;

	assert_int_equal(pipe(p), 0);
	c.pid = fork();
	if (!c.pid) {
		close(p[1]);
		if (read(p[0], &x, 1) < 0)
			_exit(1);
		/* A thread that ends is not the process' end. */
		if (!exec) {
			pthread_t th;

			pthread_create(&th, NULL, other_thread, NULL);
			pthread_join(th, NULL);
			_exit(0);
		}
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	close(p[0]);
	c.go = p[1];
	return c;
}

static void let_go(struct child *c)
{
	int status;

	close(c->go);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_fork(void **state)
{
	struct bpf_link *link = attach(*state, "ht_fork");
	struct env *e = *state;
	struct ht_target t;
	struct child c;

	if (!link)
		skip();
	/* Children of no target, and of a target whose children do not follow. */
	c = spawn(false);
	assert_int_equal(target_of(e, c.pid).flags, ~0U);
	let_go(&c);
	env_target(e, getpid(), 0);
	c = spawn(false);
	assert_int_equal(target_of(e, c.pid).flags, ~0U);
	let_go(&c);

	env_target(e, getpid(), HT_TARGET_FOLLOW);
	c = spawn(false);
	t = target_of(e, c.pid);
	assert_int_equal(t.flags, HT_TARGET_FORKED | HT_TARGET_FOLLOW);
	assert_int_equal(t.tgid, c.pid);
	assert_int_equal(t.ppid, getpid());
	assert_true(strlen(t.comm) > 0);
	let_go(&c);
	bpf_link__destroy(link);
}

/* Threads are not processes. */
static void test_thread(void **state)
{
	struct bpf_link *link = attach(*state, "ht_fork");
	struct env *e = *state;
	uint32_t key, next, nr = 0;
	pthread_t th;

	if (!link)
		skip();
	env_target(e, getpid(), HT_TARGET_FOLLOW);
	assert_int_equal(pthread_create(&th, NULL, other_thread, NULL), 0);
	pthread_join(th, NULL);
	for (key = 0; !bpf_map_get_next_key(e->targets_fd, nr ? &key : NULL, &next); nr++)
		key = next;
	assert_int_equal(nr, 2); /* TGID and this process */
	assert_int_equal(target_of(e, getpid()).flags, HT_TARGET_FOLLOW);
	bpf_link__destroy(link);
}

/* A process number used again: the loader still learns that what it has is of the process before.
 */
static void test_reused(void **state)
{
	struct bpf_link *link = attach(*state, "ht_fork");
	struct env *e = *state;
	struct child c, d;
	uint32_t i;

	if (!link)
		skip();
	env_target(e, getpid(), HT_TARGET_FOLLOW);
	c = spawn(false);
	let_go(&c);
	/* Marks the numbers that come next as used by targets that are gone. */
	for (i = 1; i < 200; i++)
		env_target(e, c.pid + i, HT_TARGET_EXITED);
	d = spawn(false);
	if (d.pid > c.pid && d.pid < c.pid + 200)
		assert_int_equal(target_of(e, d.pid).flags,
				 HT_TARGET_FORKED | HT_TARGET_FOLLOW | HT_TARGET_EXECED);
	let_go(&d);
	bpf_link__destroy(link);
}

static void test_exec(void **state)
{
	struct bpf_link *link = attach(*state, "ht_exec");
	struct env *e = *state;
	struct ht_target t;
	struct child c;

	if (!link)
		skip();
	c = spawn(true);
	env_target(e, c.pid, 0);
	let_go(&c);
	t = target_of(e, c.pid);
	assert_int_equal(t.flags, HT_TARGET_EXECED);
	assert_int_equal(t.execs, 1);
	assert_string_equal(t.comm, "true");
	c = spawn(true);
	let_go(&c);
	assert_int_equal(target_of(e, c.pid).flags, ~0U); /* no target */
	bpf_link__destroy(link);
}

static void test_exit(void **state)
{
	struct bpf_link *link = attach(*state, "ht_gone");
	struct env *e = *state;
	struct ht_cpu_stats st;
	struct child c;

	if (!link)
		skip();
	c = spawn(false);
	env_target(e, c.pid, HT_TARGET_FOLLOW);
	put(e, c.pid, VA);
	run_queued(e);
	assert_non_null(env_tile(e, c.pid, VA));
	let_go(&c);
	assert_int_equal(target_of(e, c.pid).flags, HT_TARGET_FOLLOW | HT_TARGET_EXITED);
	/* No new tiles for it. */
	since(e, &st);
	put(e, c.pid, 2 * VA);
	run_queued(e);
	since(e, &st);
	assert_int_equal(st.drop[HT_DROP_NOT_TARGET], 1);
	bpf_link__destroy(link);
}

/* A thread of this process ends: the process goes on. */
static void test_thread_exit(void **state)
{
	struct bpf_link *link = attach(*state, "ht_gone");
	struct env *e = *state;
	pthread_t th;

	if (!link)
		skip();
	env_target(e, getpid(), 0);
	assert_int_equal(pthread_create(&th, NULL, other_thread, NULL), 0);
	pthread_join(th, NULL);
	usleep(20000);
	assert_int_equal(target_of(e, getpid()).flags, 0);
	bpf_link__destroy(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_perf, fresh),
		cmocka_unit_test_setup(test_perf_hardware, fresh),
		cmocka_unit_test(test_perf_typed),
		cmocka_unit_test(test_fentry),
		cmocka_unit_test_setup(test_page_fault, fresh),
		cmocka_unit_test_setup(test_fork, fresh),
		cmocka_unit_test_setup(test_thread, fresh),
		cmocka_unit_test_setup(test_reused, fresh),
		cmocka_unit_test_setup(test_exec, fresh),
		cmocka_unit_test_setup(test_exit, fresh),
		cmocka_unit_test_setup(test_thread_exit, fresh),
	};

	return cmocka_run_group_tests(tests, load_range, unload);
}
