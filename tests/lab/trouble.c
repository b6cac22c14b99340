// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * What happens to machines and processes while their memory is tiered. Ends at SIGTERM.
 *
 * trouble hog NODE LEFT	fills a node, and keeps it full: takes what is free but for LEFT MiB
 * trouble storm RATE		RATE processes a minute, a third of them by exec, at most 32 at once
 * trouble restless		threads that check all they wrote while they fork, mprotect, unmap
 *				and split (restless.h)
 * trouble life PID MIB hot|idle	a process of this number (0 = any) whose memory is at the
 *				same address each time, at first in node 1; its number is printed
 * trouble left		counts BPF objects, and open files that lead to them or to perf events
 *
 * All are named subject, but for the hog. Each checks its data at the end: the last line tells what
 * it did, the exit status is 3 if a byte was wrong.
 */
#include <errno.h>
#include <glob.h>
#include <linux/sched.h>
#include <numa.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include <bpf/bpf.h>

#include "../../tools/workload/ring.h"
#include "restless.h"

#define MIB (1UL << 20)
#define LIFE_AT ((void *)0x200000000000)
#define STORM_MAX 32
#define STORM_WORDS (MIB / 8)

static volatile sig_atomic_t ended;

static void on_term(int sig)
{
	ended = 1;
}

static void catch_term(void)
{
	struct sigaction sa = { .sa_handler = on_term };

	sigaction(SIGTERM, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static void pause_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static int die(const char *what)
{
	fprintf(stderr, "trouble: %s: %s\n", what, strerror(errno));
	return 1;
}

/* ---- a full node ---- */

static size_t free_mib(int node)
{
	long long free = 0;

	numa_node_size64(node, &free);
	return free / MIB;
}

static int hog(int node, size_t left)
{
	size_t max = 4096 * MIB, size = 0, i, wrong = 0;
	unsigned long mask = 1UL << node;
	bool told = false;
	uint64_t *p;

	p = mmap(NULL, max, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		 0);
	if (p == MAP_FAILED || madvise(p, max, MADV_NOHUGEPAGE) ||
	    mbind(p, max, MPOL_BIND, &mask, 64, 0))
		return die("memory of the node");
	while (!ended) {
		while (!ended && size < max && free_mib(node) > left) {
			for (i = size / 8; i < (size + MIB) / 8; i++)
				p[i] = mix(i);
			size += MIB;
		}
		if (!told)
			printf("full\n");
		told = true;
		pause_ms(50);
	}
	for (i = 0; i < size / 8; i++)
		wrong += p[i] != mix(i);
	printf("%zu MiB, %zu words wrong\n", size / MIB, wrong);
	return wrong ? 3 : 0;
}

/* ---- a storm of processes ---- */

/* One of them: writes, lingers, checks. */
static int leaf(uint64_t seed)
{
	size_t i, wrong = 0;
	uint64_t *p;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ht_marker(HT_MARK_JOIN, getpid(), 0);
	p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return die("mmap");
	for (i = 0; i < STORM_WORDS; i++)
		p[i] = mix(seed << 32 | i);
	pause_ms(seed % 4 * 200);
	for (i = 0; i < STORM_WORDS; i++)
		wrong += p[i] != mix(seed << 32 | i);
	ht_marker(HT_MARK_LEAVE, 0, 0);
	return wrong ? 3 : 0;
}

static pid_t start_leaf(const char *self, uint64_t seed)
{
	pid_t pid = fork();
	char arg[24];

	if (pid)
		return pid;
	signal(SIGTERM, SIG_DFL);
	if (seed % 3)
		_exit(leaf(seed));
	snprintf(arg, sizeof(arg), "%lu", (unsigned long)seed);
	execl(self, "trouble", "leaf", arg, NULL);
	_exit(1);
}

/* Waits for one that ended, or for all. */
static void reap(unsigned int *nr, unsigned int *wrong, bool all)
{
	int status;

	while (*nr && waitpid(-1, &status, all || *nr >= STORM_MAX ? 0 : WNOHANG) > 0) {
		*wrong += status != 0;
		--*nr;
	}
}

static int storm(double per_minute)
{
	unsigned int nr = 0, wrong = 0;
	uint64_t begun = 0;
	struct timespec start, now;
	double due;

	prctl(PR_SET_NAME, "subject");
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (!ended) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		due = (now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9) *
		      per_minute / 60;
		for (; !ended && begun < due; begun++) {
			if (start_leaf("/proc/self/exe", begun) < 0)
				break;
			nr++;
			reap(&nr, &wrong, false);
		}
		reap(&nr, &wrong, false);
		pause_ms(10);
	}
	reap(&nr, &wrong, true);
	printf("%lu processes, %u wrong\n", (unsigned long)begun, wrong);
	return wrong ? 3 : 0;
}

/* ---- memory under change ---- */

static int restless(void)
{
	int status = -1;
	pid_t pid;

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED)
		return die("mmap");
	pid = fork();
	if (!pid) {
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "subject");
		ht_marker(HT_MARK_START, getpid(), 0);
		workload();
	}
	while (sh->ready < THREADS && !ended)
		pause_ms(10);
	printf("ready %d\n", pid);
	while (!ended && !waitpid(pid, &status, WNOHANG))
		pause_ms(50);
	sh->stop = 1;
	if (status == -1)
		waitpid(pid, &status, 0);
	printf("%d rounds, %d forks, %d mprotects, %d unmaps, %d splits, %d pages wrong\n",
	       sh->rounds, sh->forks, sh->protects, sh->remaps, sh->splits, sh->wrong);
	return status || sh->wrong ? 3 : 0;
}

/* ---- a number used again ---- */

static int live(size_t size, bool hot)
{
	unsigned long mask = 1UL << 1;
	size_t words = size / 8, i, wrong = 0;
	uint64_t rng = 88172645463325252ULL, updates = 0, sum = 0, *p;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "subject");
	p = mmap(LIFE_AT, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (p == MAP_FAILED || madvise(p, size, MADV_NOHUGEPAGE) ||
	    mbind(p, size, MPOL_BIND, &mask, 64, 0))
		return die("mmap");
	for (i = 0; i < words; i++)
		p[i] = i;
	mbind(p, size, MPOL_DEFAULT, NULL, 0, 0);
	/* An idle one is counted as well, so that no samples of another are taken for its own. */
	ht_marker(HT_MARK_START, getpid(), 0);
	printf("%d\n", getpid());
	while (!ended) {
		for (i = 0; hot && i < 65536; i++, updates++) {
			rng ^= rng << 13;
			rng ^= rng >> 7;
			rng ^= rng << 17;
			++*(volatile uint64_t *)&p[(rng >> 20) % words & ~7UL];
		}
		if (!hot)
			pause_ms(20);
	}
	ht_marker(HT_MARK_STOP, 0, 0);
	for (i = 0; i < words; i++) {
		sum += p[i] - i;
		wrong += p[i] < i || (i % 8 && p[i] != i);
	}
	return wrong || sum != updates ? 3 : 0;
}

static int life(pid_t number, size_t size, bool hot)
{
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .set_tid = number ? (uintptr_t)&number : 0,
				   .set_tid_size = number != 0 };
	int status = -1;
	pid_t pid;

	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return die("clone3");
	if (!pid)
		_exit(live(size, hot));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		kill(pid, SIGTERM);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

/* ---- what a loader may leave ---- */

static unsigned int count_ids(int (*next)(__u32, __u32 *))
{
	unsigned int nr = 0;
	__u32 id = 0;

	while (!next(id, &id))
		nr++;
	return nr;
}

/* File descriptors of all processes that lead to BPF or perf events. */
static unsigned int count_files(void)
{
	unsigned int nr = 0;
	char to[80];
	glob_t g;
	ssize_t n;

	if (glob("/proc/[0-9]*/fd/*", GLOB_NOSORT, NULL, &g))
		return 0;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		n = readlink(g.gl_pathv[i], to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		nr += strstr(to, "bpf") || strstr(to, "perf_event");
	}
	globfree(&g);
	return nr;
}

static int left(void)
{
	printf("%u programs, %u links, %u files, %u maps\n", count_ids(bpf_prog_get_next_id),
	       count_ids(bpf_link_get_next_id), count_files(), count_ids(bpf_map_get_next_id));
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	struct ring ring;

	catch_term();
	if (!strcmp(what, "left"))
		return left();
	if (ring_open(&ring))
		return 1;
	if (!strcmp(what, "hog") && argc == 4)
		return hog(atoi(argv[2]), atol(argv[3]));
	if (!strcmp(what, "storm") && argc == 3)
		return storm(atof(argv[2]));
	if (!strcmp(what, "leaf") && argc == 3)
		return leaf(strtoul(argv[2], NULL, 10));
	if (!strcmp(what, "restless") && argc == 2)
		return restless();
	if (!strcmp(what, "life") && argc == 5)
		return life(atoi(argv[2]), atol(argv[3]) * MIB, !strcmp(argv[4], "hot"));
	fprintf(stderr, "usage: trouble hog NODE LEFT | storm RATE | restless | life PID MIB "
			"hot|idle | left\n");
	return 2;
}
