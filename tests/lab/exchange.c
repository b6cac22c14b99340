// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * exchange soak PAIRS  exchanges that many pairs of a process whose threads check every byte they
 *                      wrote while they fork, mprotect, unmap, split huge pages and exit
 * exchange status      provokes each status a pair can get, and looks that both pages stayed
 * exchange hook OBJECT attaches the programs of kernel_hook.bpf.o, replaces and ejects them
 * exchange info        prints the helper's counters
 *
 * Prints TAP-like lines. Node 0 is fast, node 1 slow.
 */
#include <errno.h>
#include <fcntl.h>
#include <numaif.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "exchange.h"
#include "hook_kernel.h"
#include "restless.h"

static int failures;

static void verdict(bool good, const char *what)
{
	printf("%sok - %s\n", good ? "" : "not ", what);
	fflush(stdout);
	failures += !good;
}

static int node_of(pid_t pid, void *p)
{
	int status = -1;

	if (move_pages(pid, 1, &p, NULL, &status, 0))
		return -errno;
	return status;
}

/* --- exchanging it ---------------------------------------------------------------------------- */

struct soak {
	int fd, pidfd;
	pid_t pid;
	unsigned int seed;
	uint64_t small, huge, not_collapsed;
	uint64_t status[2][HT_XCHG_STATUS_NR]; /* small, huge */
};

/* Addresses of pages of one size, sorted by the node they are on now. */
static size_t list_pages(struct soak *s, bool huge, uint64_t *on[2], size_t nr[2], size_t max)
{
	static void *page[HT_XCHG_MAX * 2];
	static int status[HT_XCHG_MAX * 2];
	size_t i;

	nr[0] = nr[1] = 0;
	for (i = 0; i < max; i++) {
		size_t t = rand_r(&s->seed) % THREADS;

		if (huge)
			page[i] = sh->huge[t] + rand_r(&s->seed) % THREAD_HUGE * HUGE;
		else if (rand_r(&s->seed) % 16)
			page[i] = sh->small[t] + rand_r(&s->seed) % THREAD_PAGES * PAGE;
		else
			page[i] = sh->chaos + rand_r(&s->seed) % CHAOS_PAGES * PAGE;
		status[i] = -1;
	}
	if (move_pages(s->pid, max, page, NULL, status, 0) < 0)
		return 0;
	for (i = 0; i < max; i++)
		if (status[i] == 0 || status[i] == 1)
			on[status[i]][nr[status[i]]++] = (uintptr_t)page[i];
	return nr[0] < nr[1] ? nr[0] : nr[1];
}

/*
 * The workload's new pages come from its own node, the fast one: without this the slow one would be
 * empty after a while.
 */
static void demote(struct soak *s, const uint64_t *fast, size_t nr)
{
	static void *page[HT_XCHG_MAX * 2];
	static int node[HT_XCHG_MAX * 2], status[HT_XCHG_MAX * 2];
	size_t i;

	for (i = 0; i < nr; i++) {
		page[i] = (void *)(uintptr_t)fast[i];
		node[i] = 1;
	}
	if (nr && move_pages(s->pid, nr, page, node, status, MPOL_MF_MOVE) < 0 && errno != ESRCH)
		perror("# move_pages");
}

/* Of the huge pages that were split, few come back by themselves while others are being written. */
static void collapse_all(struct soak *s, const uint64_t *at, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		struct iovec iov = { (void *)(uintptr_t)at[i], HUGE };

		if (process_madvise(s->pidfd, &iov, 1, MADV_COLLAPSE, 0) < 0)
			s->not_collapsed++;
	}
}

static int exchange_some(struct soak *s, bool huge)
{
	static uint64_t fast[HT_XCHG_MAX * 2], slow[HT_XCHG_MAX * 2];
	static struct ht_xchg_pair pair[HT_XCHG_MAX];
	uint64_t *on[2] = { fast, slow };
	size_t nr[2], n, i, most = huge ? HT_XCHG_MAX_HUGE : 256;
	int done;

	n = list_pages(s, huge, on, nr, huge ? 16 : 700);
	if (nr[1] < nr[0] / 2)
		demote(s, fast + nr[1], (nr[0] - nr[1]) / 2);
	if (n > most)
		n = most;
	/* In every second batch; the others have to do with split ones too. */
	if (huge && rand_r(&s->seed) % 2) {
		collapse_all(s, fast, n);
		collapse_all(s, slow, n);
	}
	for (i = 0; i < n; i++)
		pair[i] = (struct ht_xchg_pair){
			.hot = slow[i], .cold = fast[i], .hot_pid = s->pid, .cold_pid = s->pid
		};
	if (!n)
		return 0;
	done = ht_exchange_pairs(s->fd, pair, n, huge, -1, -1, NULL, 0);
	for (i = 0; i < n && done >= 0; i++)
		s->status[huge][pair[i].status]++;
	return done;
}

static void print_soak(const struct soak *s, double seconds)
{
	unsigned int i, h;

	printf("# %llu small and %llu huge pairs in %.1f s", (unsigned long long)s->small,
	       (unsigned long long)s->huge, seconds);
	for (h = 0; h < 2; h++) {
		printf("; %s:", h ? "huge" : "small");
		for (i = 0; i < HT_XCHG_STATUS_NR; i++)
			if (s->status[h][i])
				printf(" %s %llu", ht_exchange_status_name(i),
				       (unsigned long long)s->status[h][i]);
	}
	printf("; not collapsed: %llu", (unsigned long long)s->not_collapsed);
	printf("\n# workload: %d rounds, %d forks, %d mprotects, %d unmaps, %d splits, %d wrong\n",
	       sh->rounds, sh->forks, sh->protects, sh->remaps, sh->splits, sh->wrong);
	fflush(stdout);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int run_soak(int fd, uint64_t pairs)
{
	struct soak s = { .fd = fd, .seed = 1 };
	double start, said;
	int done = 0, status = -1, round;

	s.pid = fork();
	if (!s.pid)
		workload();
	/* Four threads keep two CPUs busy: without this most of the time goes by between batches.
	 */
	setpriority(PRIO_PROCESS, 0, -10);
	while (sh->ready < THREADS && !waitpid(s.pid, &status, WNOHANG))
		usleep(10000);
	s.pidfd = syscall(SYS_pidfd_open, s.pid, 0);
	verdict(s.pidfd >= 0, "the workload is there");
	start = said = now();
	for (round = 0; s.small + s.huge < pairs && done >= 0; round++) {
		done = exchange_some(&s, round % 4 == 3);
		if (done >= 0)
			*(round % 4 == 3 ? &s.huge : &s.small) += done;
		if (now() - said > 5) {
			print_soak(&s, now() - start);
			said = now();
		}
		if (kill(s.pid, 0) || sh->wrong)
			break;
	}
	print_soak(&s, now() - start);
	verdict(done >= 0 && s.small + s.huge >= pairs, "the pairs asked for were exchanged");
	verdict(s.huge > 0, "huge pages were exchanged");
	sh->stop = 1;
	/* The last exchanges meet a process that exits. */
	while (done >= 0 && !waitpid(s.pid, &status, WNOHANG))
		done = exchange_some(&s, false);
	verdict(WIFEXITED(status) && !WEXITSTATUS(status) && !sh->wrong, "no byte is wrong");
	verdict(sh->forks && sh->protects && sh->remaps && sh->splits,
		"forks, mprotects, unmaps and splits went on meanwhile");
	return failures;
}

/* --- statuses --------------------------------------------------------------------------------- */

static int fd_dev;

static unsigned int try_pair(pid_t hp, void *hot, pid_t cp, void *cold, bool huge)
{
	struct ht_xchg_pair p = {
		.hot = (uintptr_t)hot, .cold = (uintptr_t)cold, .hot_pid = hp, .cold_pid = cp
	};
	int done = ht_exchange_pairs(fd_dev, &p, 1, huge, -1, -1, NULL, 0);

	if (done < 0) {
		printf("# ioctl: %s\n", strerror(-done));
		return HT_XCHG_STATUS_NR;
	}
	return p.status;
}

/* Tries the pair, wants a status, and that both pages are where and what they were. */
static void expect(unsigned int want, const char *what, void *hot, void *cold)
{
	int h = node_of(0, hot), c = node_of(0, cold);
	unsigned int got = try_pair(getpid(), hot, getpid(), cold, false);
	bool stayed = h == node_of(0, hot) && c == node_of(0, cold);
	char line[160];

	snprintf(line, sizeof(line), "%s: %s%s", what, ht_exchange_status_name(want),
		 stayed ? "" : " (but pages moved)");
	if (got != want)
		printf("# got %s\n", ht_exchange_status_name(got));
	verdict(got == want && stayed, line);
}

static void statuses_of_pages(char *fast, char *slow)
{
	char *zero = map(PAGE, HUGE), *file, *locked = map(PAGE, HUGE);
	int pipefd[2], fd;
	pid_t pid;
	struct iovec iov = { slow + PAGE, PAGE };

	(void)*(volatile char *)zero;
	expect(HT_XCHG_ABSENT, "the zero page", zero, fast);
	expect(HT_XCHG_NODE, "both on the slow node", slow, slow + 2 * PAGE);
	place(locked, PAGE, 1, false);
	mlock(locked, PAGE);
	expect(HT_XCHG_KIND, "a locked page", locked, fast);
	munlock(locked, PAGE);
	fd = open("/tmp/exchange-file", O_RDWR | O_CREAT, 0600);
	if (ftruncate(fd, PAGE))
		perror("ftruncate");
	file = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memset(file, 1, PAGE);
	expect(HT_XCHG_KIND, "a page of a file", file, fast);
	if (pipe(pipefd) || vmsplice(pipefd[1], &iov, 1, 0) != (ssize_t)PAGE)
		perror("vmsplice");
	expect(HT_XCHG_BUSY, "a page that a pipe holds", slow + PAGE, fast);
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	expect(HT_XCHG_SHARED, "a page shared after fork", slow + 3 * PAGE, fast);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(slow + 4 * PAGE, PAGE);
	expect(HT_XCHG_ABSENT, "nothing mapped", slow + 4 * PAGE, fast);
	verdict(try_pair(pid, slow, getpid(), fast, false) == HT_XCHG_GONE,
		"no such process: gone");
	verdict(try_pair(2, slow, getpid(), fast, false) == HT_XCHG_GONE, "a kernel thread: gone");
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("# %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* A child in another cgroup with a page on the slow node. */
static void status_memcg(void)
{
	char *p = map(PAGE, HUGE), *fast = map(PAGE, HUGE), text[16];
	unsigned int got = HT_XCHG_STATUS_NR;
	int sync[2];
	pid_t pid;
	char c;

	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir("/sys/fs/cgroup/exchange", 0700);
	if (pipe(sync))
		perror("pipe");
	pid = fork();
	if (!pid) {
		snprintf(text, sizeof(text), "%d", getpid());
		write_file("/sys/fs/cgroup/exchange/cgroup.procs", text);
		place(p, PAGE, 1, false);
		if (write(sync[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	/* Not before the fork, or the child would share it. */
	place(fast, PAGE, 0, false);
	if (read(sync[0], &c, 1) == 1)
		got = try_pair(pid, p, getpid(), fast, false);
	if (got != HT_XCHG_MEMCG)
		printf("# got %s\n", ht_exchange_status_name(got));
	verdict(got == HT_XCHG_MEMCG, "pages of two memory cgroups: memcg");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void limits(char *fast, char *slow)
{
	struct ht_xchg_pair p = { .hot = (uintptr_t)slow + 1,
				  .cold = (uintptr_t)fast,
				  .hot_pid = getpid(),
				  .cold_pid = getpid() };

	verdict(ht_exchange_pairs(fd_dev, &p, 1, false, -1, -1, NULL, 0) == -EINVAL,
		"an unaligned address is refused");
	p.hot--;
	verdict(ht_exchange_pairs(fd_dev, &p, 0, false, -1, -1, NULL, 0) == -EINVAL,
		"an empty batch is refused");
	verdict(ht_exchange_pairs(fd_dev, &p, 1, false, 1, 1, NULL, 0) == -EINVAL,
		"two times the same node is refused");
	verdict(ht_exchange_pairs(fd_dev, &p, 1, false, 0, -1, NULL, 0) == 0 &&
			p.status == HT_XCHG_NODE,
		"a page not on the node named: node");
	verdict(ht_exchange_pairs(fd_dev, (void *)8, 1, false, -1, -1, NULL, 0) == -EFAULT,
		"a bad pointer is refused");
}

static void exchange_works(char *fast, char *slow, bool huge)
{
	size_t len = huge ? HUGE : PAGE, i;
	bool same = true;
	unsigned int got;

	memset(fast, 0xf0, len);
	memset(slow, 0x0f, len);
	got = try_pair(getpid(), slow, getpid(), fast, huge);
	for (i = 0; i < len; i++)
		same &= fast[i] == (char)0xf0 && slow[i] == 0x0f;
	if (got)
		printf("# got %s\n", ht_exchange_status_name(got));
	verdict(!got && same && node_of(0, slow) == 0 && node_of(0, fast) == 1,
		huge ? "a huge pair is exchanged" : "a small pair is exchanged");
}

static int run_status(int fd)
{
	char *fast = map(8 * PAGE, HUGE), *slow = map(8 * PAGE, HUGE);
	char *hfast = map(HUGE, HUGE), *hslow = map(HUGE, HUGE);

	fd_dev = fd;
	place(fast, 8 * PAGE, 0, false);
	place(slow, 8 * PAGE, 1, false);
	place(hfast, HUGE, 0, true);
	place(hslow, HUGE, 1, true);
	exchange_works(fast + 7 * PAGE, slow + 7 * PAGE, false);
	exchange_works(hfast, hslow, true);
	expect(HT_XCHG_SIZE, "small with part of a huge page", slow, hslow);
	verdict(try_pair(getpid(), hslow, getpid(), map(HUGE, HUGE), true) == HT_XCHG_ABSENT,
		"huge with nothing: absent");
	statuses_of_pages(fast, slow);
	status_memcg();
	limits(fast, slow);
	return failures;
}

/* --- the hook --------------------------------------------------------------------------------- */

static struct bpf_object *hook_obj;
static struct ht_hook_kernel hook;

static int attach(struct ht_hook_kernel *h, const char *prog)
{
	char why[160] = "";
	int err = ht_hook_kernel_attach(h, &(struct ht_roots){ .sys = "/sys", .proc = "/proc" },
					bpf_object__find_program_by_name(hook_obj, prog),
					bpf_object__btf_fd(hook_obj), prog, why, sizeof(why));

	if (err)
		printf("# attach %s: %s\n", prog, why);
	return err;
}

static struct ht_xchg_info look(void)
{
	struct ht_xchg_info info;

	if (ht_exchange_info(fd_dev, &info))
		memset(&info, 0, sizeof(info));
	return info;
}

static unsigned int try_some(char *fast, char *slow, unsigned int times)
{
	unsigned int got = HT_XCHG_STATUS_NR;

	/* Each time the pages swap sides, so the next time it is the other way round. */
	while (times--) {
		bool turned = node_of(0, slow) == 0;

		got = try_pair(getpid(), turned ? fast : slow, getpid(), turned ? slow : fast,
			       false);
	}
	return got;
}

static void hook_ejects(char *fast, char *slow, const char *prog, unsigned int times)
{
	struct ht_xchg_info info;
	char line[200];

	verdict(!attach(&hook, prog), "another policy takes over by link update");
	verdict(!(look().flags & HT_XCHG_F_EJECTED), "... and starts with a clean sheet");
	try_some(fast, slow, times);
	info = look();
	snprintf(line, sizeof(line), "a policy that %s is ejected (%s)", prog, info.why);
	verdict(info.flags & HT_XCHG_F_EJECTED, line);
	verdict(try_some(fast, slow, 1) == HT_XCHG_DONE, "... and exchanges go on without it");
}

static int run_hook(int fd, const char *object)
{
	char *fast = map(PAGE, HUGE), *slow = map(PAGE, HUGE);
	struct ht_hook_kernel second = {};
	uint64_t before;
	pid_t pid;

	fd_dev = fd;
	place(fast, PAGE, 0, false);
	place(slow, PAGE, 1, false);
	hook_obj = bpf_object__open_file(object, NULL);
	if (!hook_obj || bpf_object__load(hook_obj)) {
		verdict(false, "the object loads");
		return failures;
	}
	verdict(!attach(&hook, "yes"), "a policy attaches by link");
	verdict(!strcmp(look().policy, "yes"), "the helper names it");
	before = look().stats.admits;
	verdict(try_some(fast, slow, 3) == HT_XCHG_DONE && look().stats.admits == before + 3,
		"it is asked about each pair");
	verdict(attach(&second, "no") == -EBUSY && !strcmp(look().policy, "yes"),
		"a second one is refused while it is there");
	verdict(!attach(&hook, "no") && !strcmp(look().policy, "no"), "the link is updated");
	verdict(try_some(fast, slow, 1) == HT_XCHG_REFUSED, "a refused pair is left alone");
	hook_ejects(fast, slow, "fails", 20);
	/* Any time is too long then. */
	write_file("/sys/module/hypertier/parameters/admit_ms", "0");
	hook_ejects(fast, slow, "slow", 4);
	write_file("/sys/module/hypertier/parameters/admit_ms", "20");
	verdict(!attach(&hook, "no"), "the next one attaches");
	ht_hook_kernel_detach(&hook);
	verdict(!look().policy[0] && try_some(fast, slow, 1) == HT_XCHG_DONE,
		"closing the link detaches");
	pid = fork();
	if (!pid) {
		attach(&hook, "no");
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	usleep(300000);
	verdict(!look().policy[0] && try_some(fast, slow, 1) == HT_XCHG_DONE,
		"killing the owner detaches");
	return failures;
}

int main(int argc, char **argv)
{
	struct ht_xchg_info info;
	char why[160];
	int fd = ht_exchange_open(HT_XCHG_DEVICE, &info, why, sizeof(why));

	if (fd < 0) {
		printf("not ok - the device opens: %s\n", why);
		return 1;
	}
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (argc == 2 && !strcmp(argv[1], "status"))
		return run_status(fd) != 0;
	if (argc == 3 && !strcmp(argv[1], "soak"))
		return run_soak(fd, strtoull(argv[2], NULL, 0)) != 0;
	if (argc == 2 && !strcmp(argv[1], "info"))
		return printf("policy %s\npairs %llu\npages %llu\nadmits %llu\nrefused "
			      "%llu\n",
			      info.policy, info.stats.pairs, info.stats.pages, info.stats.admits,
			      info.stats.refused) < 0;
	if (argc == 3 && !strcmp(argv[1], "hook"))
		return run_hook(fd, argv[2]) != 0;
	fprintf(stderr, "usage: exchange status | exchange soak PAIRS | exchange hook OBJECT | "
			"exchange info\n");
	return 2;
}
