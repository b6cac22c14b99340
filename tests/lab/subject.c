// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A process to be tiered, for tests that need to know each of its pages. It maps regions, places
 * them, updates the hot ones at random for as long as it lives, and obeys a line at a time on
 *stdin; each answer is a line of JSON on stdout.
 *
 * subject [-b] NAME=KIND:MIB:NODE[:cold] ...	where the kernel puts it with node 8
 *	plain	4 KiB pages		thp	huge pages
 *	skew	huge pages of which only the first sixteen 4 KiB are used
 *	sparse	one 4 KiB page in each 2 MiB; the rest is never touched
 *	mlock	locked			shmem	MAP_SHARED, mapped by a child too
 *	cow	private, shared with a child since a fork (only read)
 *	pinned	each page is held by a pipe (vmsplice)
 *
 * Commands:
 *	report		where the pages are, and those in use, what smaps says of them; touches none
 *			of them, so that who waits for cold ones to move does not warm them
 *	verify		the same, and whether the data is intact: reads all of it
 *	unmap NAME	munmap(2); the answer has its old address
 *	unpin NAME	closes the pipe
 *	map NAME=...	a further region
 *	fork NAME	a child that updates its copy of this region; it lives until quit
 *	exec NAME=...	execve(2) of this program with these regions
 *	quit		the end; exit status 0 if the data is intact, 3 if not
 *
 * It rests for twice as long as it works: what is hot is sampled often enough, and the loader,
 * which is what is tested, need not wait for a CPU that emulates this. With -b it never rests.
 *
 * A cell is a word per 64 bytes: a hash of its place, plus the number of updates. All updates are
 * counted, so a page lost, doubled or exchanged shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <numaif.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "../../tools/workload/ring.h"
#include "rest.h"

#define NODES 8
#define HUGE (2UL << 20)
#define PAGE 4096UL
#define CELL 64
#define MAX_REGIONS 16
#define MAX_CHILDREN 16
#define ROUND 4096 /* updates of a region between two looks at stdin */
#define SKEW_PAGES 16
#define REST_MOST 20000 /* us */

enum kind { PLAIN, THP, SKEW, SPARSE, MLOCK, SHMEM, COW, PINNED, NR_KINDS };

static const char *const kind_name[NR_KINDS] = {
	"plain", "thp", "skew", "sparse", "mlock", "shmem", "cow", "pinned",
};

struct region {
	char name[32];
	enum kind kind;
	char *p; /* NULL: unmapped */
	uint64_t len, updates;
	uint64_t mapped, used; /* bytes of each 2 MiB */
	bool cold, child;
	int pipe[2]; /* PINNED */
};

struct subject {
	struct region region[MAX_REGIONS];
	unsigned int nr;
	pid_t child[MAX_CHILDREN]; /* share memory with us, or were asked for with fork */
	unsigned int nr_children;
	struct ring ring;
	uint64_t rng;
	bool busy;
};

static void fail(const char *what)
{
	fprintf(stderr, "subject: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- data ---- */

static uint64_t first_value(const struct region *r, uint64_t cell)
{
	return (cell + r->len) * 0x9e3779b97f4a7c15ULL;
}

static volatile uint64_t *cell_at(const struct region *r, uint64_t cell)
{
	return (volatile uint64_t *)(r->p + cell * CELL);
}

/* Of the cells in the first so many bytes of each 2 MiB, number n. */
static uint64_t nth_cell(uint64_t n, uint64_t bytes)
{
	return n / (bytes / CELL) * (HUGE / CELL) + n % (bytes / CELL);
}

static uint64_t nr_cells(const struct region *r, uint64_t bytes)
{
	return r->len / HUGE * (bytes / CELL);
}

static uint64_t pick_cell(const struct region *r, uint64_t rnd)
{
	return nth_cell((unsigned __int128)rnd * nr_cells(r, r->used) >> 64, r->used);
}

static void use(struct subject *s, struct region *r, unsigned int n)
{
	uint64_t x = s->rng;

	for (unsigned int i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (r->kind == COW && !r->child)
			(void)*cell_at(r, pick_cell(r, x * 0x2545f4914f6cdd1dULL));
		else
			++*cell_at(r, pick_cell(r, x * 0x2545f4914f6cdd1dULL));
	}
	if (r->kind != COW || r->child)
		r->updates += n;
	s->rng = x;
}

static bool intact(const struct region *r)
{
	uint64_t sum = 0, i, c, n;

	for (i = 0; r->p && i < nr_cells(r, r->mapped); i++) {
		c = nth_cell(i, r->mapped);
		n = *cell_at(r, c) - first_value(r, c);
		if (n > r->updates)
			return false;
		sum += n;
	}
	return !r->p || sum == r->updates;
}

/* ---- regions ---- */

static void place(const struct region *r, int node)
{
	unsigned long mask = 1UL << node % NODES;

	if (node < NODES && mbind(r->p, r->len, MPOL_BIND, &mask, sizeof(mask) * 8, 0))
		fail("mbind");
	for (uint64_t i = 0; i < nr_cells(r, r->mapped); i++) {
		uint64_t c = nth_cell(i, r->mapped);

		*cell_at(r, c) = first_value(r, c);
	}
	/* From here on its pages may be anywhere. */
	if (mbind(r->p, r->len, MPOL_DEFAULT, NULL, 0, 0))
		fail("mbind");
}

/* A child that maps what we map, and does nothing. */
static void share_with_child(struct subject *s, const struct region *r)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (!pid) {
		uint64_t sum = 0;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "sharer");
		for (uint64_t c = 0; c < r->len / CELL; c += PAGE / CELL)
			sum += *cell_at(r, c);
		while (sum != 1 || true)
			pause();
	}
	s->child[s->nr_children++] = pid;
}

/* A pipe holds a reference to each page spliced into it. */
static void pin(struct region *r)
{
	uint64_t done = 0;

	if (pipe(r->pipe) || fcntl(r->pipe[1], F_SETPIPE_SZ, r->len) < 0)
		fail("pipe");
	while (done < r->len) {
		struct iovec v = { r->p + done, r->len - done };
		ssize_t n = vmsplice(r->pipe[1], &v, 1, SPLICE_F_NONBLOCK);

		if (n <= 0)
			fail("vmsplice");
		done += n;
	}
}

/* The place of one that was unmapped, or the next. */
static struct region *free_place(struct subject *s)
{
	unsigned int i = 0;

	while (i < s->nr && s->region[i].p)
		i++;
	if (i == MAX_REGIONS)
		return NULL;
	s->nr += i == s->nr;
	memset(&s->region[i], 0, sizeof(s->region[i]));
	return &s->region[i];
}

static void map_region(struct subject *s, const char *arg)
{
	struct region *r = free_place(s);
	char kind[16], cold[8] = "";
	unsigned int mib, node;
	int flags = MAP_PRIVATE | MAP_NORESERVE;

	if (!r || sscanf(arg, "%31[^=]=%15[^:]:%u:%u:%7s", r->name, kind, &mib, &node, cold) < 4) {
		fprintf(stderr, "subject: not a region: %s\n", arg);
		exit(2);
	}
	while (r->kind < NR_KINDS && strcmp(kind, kind_name[r->kind]))
		r->kind++;
	r->len = (uint64_t)mib << 20;
	r->cold = !strcmp(cold, "cold");
	r->mapped = r->kind == SPARSE ? PAGE : HUGE;
	r->used = r->kind == SKEW ? SKEW_PAGES * PAGE : r->mapped;
	if (r->kind == SHMEM)
		flags = MAP_SHARED;
	r->p = mmap(NULL, r->len + HUGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	if (r->kind == NR_KINDS || r->p == MAP_FAILED)
		fail(arg);
	/* Two pieces are cut off, so that no region merges with another. */
	r->p = (char *)(((uintptr_t)r->p + HUGE) & ~(HUGE - 1));
	munmap(r->p - PAGE, PAGE);
	if (madvise(r->p, r->len,
		    r->kind == THP || r->kind == SKEW ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		fail("madvise");
	place(r, node);
	if (r->kind == MLOCK && mlock(r->p, r->len))
		fail("mlock");
	if (r->kind == SHMEM || r->kind == COW)
		share_with_child(s, r);
	if (r->kind == PINNED)
		pin(r);
}

static struct region *find(struct subject *s, const char *name)
{
	for (unsigned int i = 0; i < s->nr; i++)
		if (!strcmp(s->region[i].name, name) && s->region[i].p)
			return &s->region[i];
	return NULL;
}

/* ---- answers ---- */

/* Of the pages in the first so many bytes of each 2 MiB. */
static void count_nodes(const struct region *r, uint64_t bytes, uint64_t *count)
{
	uint64_t per = bytes / PAGE, nr = r->len / HUGE * per, i;
	void **addr = calloc(nr, sizeof(*addr));
	int *status = calloc(nr, sizeof(*status));

	for (i = 0; addr && i < nr; i++)
		addr[i] = r->p + i / per * HUGE + i % per * PAGE;
	if (!addr || !status || move_pages(0, nr, addr, NULL, status, 0))
		fail("move_pages");
	for (i = 0; i < nr; i++)
		if (status[i] >= 0 && status[i] < NODES)
			count[status[i]]++;
	free(addr);
	free(status);
}

/* A line of smaps, summed over the mappings inside the region, in KiB. */
static uint64_t smaps_kb(const struct region *r, const char *what)
{
	uint64_t start = 0, end = 0, sum = 0;
	FILE *f = fopen("/proc/self/smaps", "r");
	size_t len = strlen(what);
	char line[512];
	bool in = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
			in = start >= (uintptr_t)r->p && end <= (uintptr_t)r->p + r->len;
		else if (in && !strncmp(line, what, len) && line[len] == ':')
			sum += strtoull(line + len + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return sum;
}

static void print_nodes(const char *name, const struct region *r, uint64_t bytes)
{
	uint64_t count[NODES] = {};

	count_nodes(r, bytes, count);
	printf(",\"%s\":[", name);
	for (int n = 0; n < NODES; n++)
		printf("%s%" PRIu64, n ? "," : "", count[n]);
	putchar(']');
}

static void report(struct subject *s, bool verify)
{
	bool all = true;

	printf("{\"pid\":%d", getpid());
	for (unsigned int i = 0; i < s->nr; i++) {
		struct region *r = &s->region[i];

		if (!r->p)
			continue;
		all = all && (!verify || intact(r));
		printf(",\"%s\":{\"kind\":\"%s\",\"start\":\"%lx\",\"end\":\"%lx\",\"pages\":"
		       "%" PRIu64 ",\"updates\":%" PRIu64 ",\"huge_kb\":%" PRIu64
		       ",\"locked_kb\":%" PRIu64,
		       r->name, kind_name[r->kind], (long)r->p, (long)(r->p + r->len),
		       r->len / HUGE * (r->mapped / PAGE), r->updates, smaps_kb(r, "AnonHugePages"),
		       smaps_kb(r, "Locked"));
		print_nodes("node", r, r->mapped);
		print_nodes("used", r, r->used);
		putchar('}');
	}
	if (verify)
		printf(",\"intact\":%s", all ? "true" : "false");
	puts("}");
}

static void answer(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void answer(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- commands ---- */

static void unmap(struct subject *s, const char *name)
{
	struct region *r = find(s, name);

	if (!r)
		return answer("{\"error\":\"no region %s\"}", name);
	answer("{\"start\":\"%lx\",\"end\":\"%lx\"}", (long)r->p, (long)(r->p + r->len));
	munmap(r->p, r->len);
	r->p = NULL;
}

static void unpin(struct subject *s, const char *name)
{
	struct region *r = find(s, name);

	if (!r || r->kind != PINNED)
		return answer("{\"error\":\"no pinned region %s\"}", name);
	close(r->pipe[0]);
	close(r->pipe[1]);
	answer("{\"unpinned\":true}");
}

static void child_loop(struct subject *s, struct region *r)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ht_marker(HT_MARK_JOIN, getpid(), 0);
	r->child = true;
	for (;;) {
		uint64_t from = rest_now_us();

		use(s, r, ROUND);
		if (!s->busy)
			rest(from, REST_MOST);
	}
}

static void fork_child(struct subject *s, const char *name)
{
	struct region *r = find(s, name);
	pid_t pid;

	if (!r || s->nr_children == MAX_CHILDREN)
		return answer("{\"error\":\"no region %s\"}", name);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid)
		child_loop(s, r);
	s->child[s->nr_children++] = pid;
	answer("{\"child\":%d}", pid);
}

static void end_children(struct subject *s)
{
	for (unsigned int i = 0; i < s->nr_children; i++) {
		kill(s->child[i], SIGKILL);
		waitpid(s->child[i], NULL, 0);
	}
	s->nr_children = 0;
}

static void do_exec(struct subject *s, char *args)
{
	char *argv[MAX_REGIONS + 3] = { (char *)"subject", (char *)"-b" }, *save = NULL, *a;
	int first = 1 + s->busy, n = first;
	char path[256] = "";

	for (a = strtok_r(args, " ", &save); a && n - first < MAX_REGIONS;
	     a = strtok_r(NULL, " ", &save))
		argv[n++] = a;
	argv[n] = NULL;
	end_children(s);
	fflush(stdout);
	ht_marker(HT_MARK_STOP, 0, 0);
	/* By its own name, for that becomes the process's. */
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) > 0)
		execv(path, argv);
	fail("exec");
}

static void quit(struct subject *s)
{
	bool ok = true;

	ht_marker(HT_MARK_STOP, 0, 0);
	end_children(s);
	for (unsigned int i = 0; i < s->nr; i++)
		ok = ok && intact(&s->region[i]);
	answer("{\"intact\":%s}", ok ? "true" : "false");
	exit(ok ? 0 : 3);
}

static void obey(struct subject *s, char *line)
{
	char *arg = strchr(line, ' ');

	line[strcspn(line, "\n")] = '\0';
	if (arg)
		*arg++ = '\0';
	if (!strcmp(line, "report"))
		report(s, false);
	else if (!strcmp(line, "verify"))
		report(s, true);
	else if (!strcmp(line, "unmap") && arg)
		unmap(s, arg);
	else if (!strcmp(line, "unpin") && arg)
		unpin(s, arg);
	else if (!strcmp(line, "map") && arg)
		map_region(s, arg), answer("{\"mapped\":true}");
	else if (!strcmp(line, "fork") && arg)
		fork_child(s, arg);
	else if (!strcmp(line, "exec") && arg)
		do_exec(s, arg);
	else if (!strcmp(line, "quit"))
		quit(s);
	else
		answer("{\"error\":\"what?\"}");
}

static void serve(struct subject *s)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	char line[1024];

	while (poll(&in, 1, 0) == 1) {
		/* One line at a time and no more: what exec starts reads on. */
		size_t n = 0;

		while (n < sizeof(line) - 1 && read(0, &line[n], 1) == 1 && line[n] != '\n')
			n++;
		if (!n)
			quit(s); /* whoever gave commands is gone */
		line[n] = '\0';
		obey(s, line);
	}
}

static void work(struct subject *s)
{
	uint64_t from = rest_now_us();
	bool hot = false;

	for (unsigned int k = 0; k < s->nr; k++) {
		struct region *r = &s->region[k];

		if (!r->p || r->cold)
			continue;
		use(s, r, ROUND);
		hot = true;
	}
	if (!hot)
		usleep(10000);
	else if (!s->busy)
		rest(from, REST_MOST);
}

int main(int argc, char **argv)
{
	static struct subject s = { .rng = 88172645463325252ULL };
	int i, err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	s.busy = argc > 1 && !strcmp(argv[1], "-b");
	for (i = 1 + s.busy; i < argc; i++)
		map_region(&s, argv[i]);
	if (ring_open(&s.ring))
		return 1;
	err = s.ring.hdr ? memmap_send(s.ring.hdr) : 0;
	if (err) {
		errno = -err;
		fail("memory map");
	}
	ht_marker(HT_MARK_START, getpid(), 1);
	answer("{\"ready\":%d}", getpid());
	for (;;) {
		work(&s);
		serve(&s);
	}
}
