// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Not a workload but a measuring weight for the lab's emulator: loops in assembly whose loads and
 * stores are known to the last one, on pages whose node the kernel states, and what the emulator
 * must have counted for them. Prints TAP; exits 1 if something was off, 77 outside the lab.
 *
 * --chase N measures instead: N dependent loads over --size MiB bound to --node, in modelled time.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "workload.h"

#define PAGES 512
#define WORDS (PAGES * WL_PAGE / 8)

struct probe {
	struct wl w;
	uint64_t chase;
	uint64_t node;
	uint64_t *buf;
	unsigned int tests, failed;
	struct ring_totals before, got;
};

static void ok(struct probe *p, bool good, const char *what)
{
	p->tests++;
	p->failed += !good;
	printf("%s %u - %s\n", good ? "ok" : "not ok", p->tests, what);
}

static void equal(struct probe *p, uint64_t got, uint64_t want, const char *what)
{
	ok(p, got == want, what);
	if (got != want)
		printf("# got %" PRIu64 ", want %" PRIu64 "\n", got, want);
}

/* --- Known accesses --------------------------------------------------------------------------- */

/*
 * One load and one store per pass, over all words from first to last and again until n passes are
 * done; with START before and STOP after, nothing else is in between.
 */
static __attribute__((noinline)) void load_store(uint64_t *first, uint64_t *last, uint64_t n,
						 unsigned long tgid, unsigned long threads)
{
	uint64_t *at = first;

	__asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c[start]\n\t"
			 "1: mov (%[at]), %%rax\n\t"
			 "mov %%rax, 8(%[at])\n\t"
			 "add $16, %[at]\n\t"
			 "cmp %[last], %[at]\n\t"
			 "cmovae %[first], %[at]\n\t"
			 "dec %[n]\n\t"
			 "jnz 1b\n\t"
			 ".byte 0x0f, 0x1f, 0x80; .long %c[stop]"
			 : [at] "+&r"(at), [n] "+&r"(n)
			 : [first] "r"(first), [last] "r"(last), "D"(tgid),
			   "S"(threads), [start] "i"(HT_MARKER_BASE | HT_MARK_START),
			   [stop] "i"(HT_MARKER_BASE | HT_MARK_STOP)
			 : "rax", "memory", "cc");
}

static __attribute__((noinline)) void locked_adds(uint64_t *at, uint64_t n, unsigned long tgid)
{
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c[start]\n\t"
			 "1: lock incq (%[at])\n\t"
			 "dec %[n]\n\t"
			 "jnz 1b\n\t"
			 ".byte 0x0f, 0x1f, 0x80; .long %c[stop]"
			 : [n] "+&r"(n)
			 : [at] "r"(at), "D"(tgid),
			   "S"(1UL), [start] "i"(HT_MARKER_BASE | HT_MARK_START),
			   [stop] "i"(HT_MARKER_BASE | HT_MARK_STOP)
			 : "memory", "cc");
}

/* rdi is an operand of both the marker and the string instruction, hence the exchange. */
static __attribute__((noinline)) void string_copy(uint64_t *to, uint64_t *from, uint64_t n,
						  unsigned long tgid)
{
	__asm__ volatile(
		"mov $1, %%esi\n\t"
		".byte 0x0f, 0x1f, 0x80; .long %c[start]\n\t"
		"mov %[to], %%rdi\n\t"
		"mov %[from], %%rsi\n\t"
		"rep movsq\n\t"
		".byte 0x0f, 0x1f, 0x80; .long %c[stop]"
		: "+&c"(n), "+&D"(tgid)
		: [to] "r"(to), [from] "r"(from), [start] "i"(HT_MARKER_BASE | HT_MARK_START),
		  [stop] "i"(HT_MARKER_BASE | HT_MARK_STOP)
		: "rsi", "memory", "cc");
}

/* The kernel writes n bytes for us; the process itself touches nothing. */
static __attribute__((noinline)) long kernel_write(int fd, void *to, uint64_t n, unsigned long tgid)
{
	long ret = SYS_read;

	__asm__ volatile("mov $1, %%esi\n\t"
			 ".byte 0x0f, 0x1f, 0x80; .long %c[start]\n\t"
			 "mov %[fd], %%rdi\n\t"
			 "mov %[to], %%rsi\n\t"
			 "syscall\n\t"
			 ".byte 0x0f, 0x1f, 0x80; .long %c[stop]"
			 : "+&a"(ret), "+&D"(tgid)
			 : [fd] "r"((long)fd), [to] "r"(to),
			   "d"(n), [start] "i"(HT_MARKER_BASE | HT_MARK_START),
			   [stop] "i"(HT_MARKER_BASE | HT_MARK_STOP)
			 : "rsi", "rcx", "r11", "memory", "cc");
	return ret;
}

/* --- Pages and nodes -------------------------------------------------------------------------- */

static bool bind_to(void *start, uint64_t len, uint64_t node)
{
	unsigned long mask = 1UL << node;

	return !mbind(start, len, MPOL_BIND, &mask, 8 * sizeof(mask),
		      MPOL_MF_MOVE | MPOL_MF_STRICT);
}

/* Node of each page as the kernel says; false if it does not know one of them. */
static bool page_nodes(uint64_t *buf, int *node)
{
	void *page[PAGES];

	for (unsigned int i = 0; i < PAGES; i++)
		page[i] = (char *)buf + i * WL_PAGE;
	if (move_pages(0, PAGES, page, NULL, node, 0))
		return false;
	for (unsigned int i = 0; i < PAGES; i++)
		if (node[i] < 0 || node[i] >= HT_RING_MAX_NODES)
			return false;
	return true;
}

static void begin(struct probe *p)
{
	ring_read(&p->w.ring, &p->before);
}

static void end(struct probe *p)
{
	ring_read(&p->w.ring, &p->got);
	ring_diff(&p->got, &p->before);
}

static uint64_t sum(const uint64_t *v)
{
	uint64_t s = 0;

	for (unsigned int n = 0; n < HT_RING_MAX_NODES; n++)
		s += v[n];
	return s;
}

static void run(struct probe *p, uint64_t n)
{
	begin(p);
	load_store(p->buf, p->buf + WORDS, n, getpid(), 1);
	end(p);
}

/* --- Tests: what is counted ------------------------------------------------------------------- */

static void test_nodes(struct probe *p)
{
	static const uint64_t passes = 1000003;
	int node[PAGES];
	char what[80];

	for (unsigned int n = 0; n < 2; n++) {
		memset(p->buf, n, PAGES * WL_PAGE);
		if (!bind_to(p->buf, PAGES * WL_PAGE, n) || !page_nodes(p->buf, node)) {
			ok(p, false, "pages bound to a node");
			continue;
		}
		run(p, passes);
		snprintf(what, sizeof(what), "node %u: loads exact", n);
		equal(p, p->got.all.loads[n], passes, what);
		snprintf(what, sizeof(what), "node %u: stores exact", n);
		equal(p, p->got.all.stores[n], passes, what);
		snprintf(what, sizeof(what), "node %u: nothing on other nodes or unknown", n);
		equal(p, sum(p->got.all.loads) + sum(p->got.all.stores) + p->got.all.unknown,
		      2 * passes, what);
	}
}

/* Every third page on node 1; expected counts follow from what move_pages(2) says afterwards. */
static void test_mixed(struct probe *p)
{
	uint64_t want[HT_RING_MAX_NODES] = { 0 };
	int node[PAGES], to[PAGES], status[PAGES];
	void *page[PAGES];
	bool good = true;

	bind_to(p->buf, PAGES * WL_PAGE, 0);
	mbind(p->buf, PAGES * WL_PAGE, MPOL_DEFAULT, NULL, 0, 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		page[i] = (char *)p->buf + i * WL_PAGE;
		to[i] = i % 3 == 0;
	}
	ok(p, !move_pages(0, PAGES, page, to, status, MPOL_MF_MOVE), "every third page moved");
	ok(p, page_nodes(p->buf, node), "the kernel knows all pages");
	run(p, WORDS / 2 * 3);
	for (unsigned int i = 0; i < PAGES; i++)
		want[node[i]] += WL_PAGE / 16 * 3;
	for (unsigned int n = 0; n < HT_RING_MAX_NODES; n++)
		good &= p->got.all.loads[n] == want[n] && p->got.all.stores[n] == want[n];
	ok(p, good && want[0] && want[1], "counts by node follow the pages, exactly");
}

static void test_kinds(struct probe *p)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	begin(p);
	locked_adds(p->buf, 5000, getpid());
	end(p);
	ok(p, sum(p->got.all.loads) == 5000 && sum(p->got.all.stores) == 5000,
	   "a locked increment is one load and one store");
	begin(p);
	string_copy(p->buf, p->buf + WORDS / 2, 7000, getpid());
	end(p);
	ok(p, sum(p->got.all.loads) == 7000 && sum(p->got.all.stores) == 7000,
	   "a string instruction is counted by iteration");
	begin(p);
	ok(p, kernel_write(fd, p->buf, PAGES * WL_PAGE, getpid()) == (long)(PAGES * WL_PAGE),
	   "read(2) into the buffer");
	end(p);
	equal(p, sum(p->got.all.loads) + sum(p->got.all.stores) + p->got.all.unknown, 0,
	      "the kernel's accesses are not counted");
	close(fd);
}

/* --- Tests: who is counted -------------------------------------------------------------------- */

static void *thread(void *arg)
{
	uint64_t *half = arg;

	/* No markers of its own: a START of the same address space would end with its STOP. */
	for (uint64_t i = 0; i < 100000; i++)
		*(volatile uint64_t *)&half[i % (WORDS / 2)] = i;
	return NULL;
}

/* A thread's stores are counted without a marker of its own; libc adds some of its own. */
static void test_threads(struct probe *p)
{
	pthread_t t;

	begin(p);
	ht_marker(HT_MARK_START, getpid(), 2);
	if (pthread_create(&t, NULL, thread, p->buf)) {
		ok(p, false, "a thread starts");
		return;
	}
	pthread_join(t, NULL);
	ht_marker(HT_MARK_STOP, 0, 0);
	end(p);
	ok(p, sum(p->got.all.stores) >= 100000 && sum(p->got.all.stores) < 101000,
	   "threads of the address space are counted");
}

/* A child that makes the same accesses without a marker, all the time the parent is counted. */
static void test_other_process(struct probe *p)
{
	pid_t child = fork();

	if (!child)
		for (;;)
			thread(p->buf);
	usleep(100000);
	run(p, 300007);
	equal(p, sum(p->got.all.loads), 300007, "another process's accesses are not counted");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void test_join(struct probe *p)
{
	uint64_t alone;
	int pipe_fd[2];
	pid_t child;
	char c;

	if (pipe(pipe_fd))
		return ok(p, false, "pipe");
	child = fork();
	if (!child) {
		if (read(pipe_fd[0], &c, 1) != 1)
			_exit(1);
		ht_marker(HT_MARK_JOIN, getpid(), 0);
		thread(p->buf);
		ht_marker(HT_MARK_LEAVE, 0, 0);
		thread(p->buf);
		_exit(0);
	}
	begin(p);
	ht_marker(HT_MARK_START, getpid(), 1);
	if (write(pipe_fd[1], "x", 1) != 1)
		ok(p, false, "write to the child");
	waitpid(child, NULL, 0);
	ht_marker(HT_MARK_STOP, 0, 0);
	end(p);
	alone = sum(p->got.all.stores);
	ok(p, alone >= 100000 && alone < 101000, "a child is counted from JOIN to LEAVE");
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

static void test_phases(struct probe *p)
{
	begin(p);
	ht_marker(HT_MARK_START, getpid(), 1);
	thread(p->buf);
	ht_marker(HT_MARK_PHASE, 3, 0);
	thread(p->buf);
	thread(p->buf);
	ht_marker(HT_MARK_STOP, 0, 0);
	end(p);
	ok(p,
	   sum(p->got.phase[0].stores) / 1000 == 100 && sum(p->got.phase[3].stores) / 1000 == 200,
	   "accesses are told apart by phase");
}

/* --- Tests: samples --------------------------------------------------------------------------- */

static bool near(uint64_t got, uint64_t want, double tolerance)
{
	return got >= want * (1 - tolerance) - 1 && got <= want * (1 + tolerance) + 1;
}

/* Where the samples since tail disagree with the buffer or with the kernel's view of its pages. */
static uint64_t bad_records(struct probe *p, uint64_t tail, const int *node, uint64_t *writes)
{
	uint64_t head = p->w.ring.hdr->head, bad = 0;

	*writes = 0;
	if (head - tail > p->w.ring.nr_slots)
		tail = head - p->w.ring.nr_slots;
	for (; tail != head; tail++) {
		volatile struct ht_ring_rec *r = &p->w.ring.rec[tail & (p->w.ring.nr_slots - 1)];
		uint64_t off = r->vaddr - (uintptr_t)p->buf;

		*writes += r->write;
		bad += off >= PAGES * WL_PAGE || r->tgid != (uint32_t)getpid() ||
		       r->node != node[off / WL_PAGE % PAGES] || r->write != (off % 16 == 8);
	}
	return bad;
}

static void test_samples(struct probe *p)
{
	volatile struct ht_ring_hdr *hdr = p->w.ring.hdr;
	uint64_t tail, writes, n = 2000000, got;
	int node[PAGES];

	if (p->w.ring.hdr->model)
		return; /* events are misses then */
	page_nodes(p->buf, node);
	for (unsigned int period = 10; period <= 1000; period *= 10) {
		hdr->period = period;
		tail = hdr->head;
		run(p, n);
		got = hdr->head - tail;
		ok(p, near(got, 2 * n / period, 0.02), "records per accesses follow the period");
		printf("# period %u: %" PRIu64 " records of %" PRIu64 " accesses\n", period, got,
		       2 * n);
		equal(p, bad_records(p, tail, node, &writes), 0,
		      "records agree with buffer, process and move_pages(2)");
		if (got <= p->w.ring.nr_slots)
			ok(p, near(writes, got / 2, 0.1), "loads and stores are sampled alike");
	}
	hdr->period = 0;
	tail = hdr->head;
	run(p, n);
	equal(p, hdr->head - tail, 0, "period 0 gives none");
}

/* As it is changed while counting, from one access to the next. */
static void test_period_change(struct probe *p)
{
	volatile struct ht_ring_hdr *hdr = p->w.ring.hdr;
	uint64_t a, b;

	if (hdr->model)
		return;
	hdr->period = 1000000000;
	ht_marker(HT_MARK_START, getpid(), 1);
	thread(p->buf);
	a = hdr->head;
	hdr->period = 100;
	thread(p->buf);
	b = hdr->head;
	ht_marker(HT_MARK_STOP, 0, 0);
	ok(p, near(b - a, 1000, 0.05), "a new period holds at once");
	printf("# %" PRIu64 " records of 100000 accesses\n", b - a);
}

static void test_overrun(struct probe *p)
{
	volatile struct ht_ring_hdr *hdr = p->w.ring.hdr;
	uint64_t tail = hdr->head, n = p->w.ring.nr_slots, writes;
	int node[PAGES];

	if (hdr->model)
		return;
	page_nodes(p->buf, node);
	hdr->period = 1;
	run(p, n);
	equal(p, hdr->head - tail, 2 * n, "period 1 gives every access");
	equal(p, hdr->head - tail - p->w.ring.nr_slots, n, "overrun: the lost ones can be counted");
	equal(p, bad_records(p, tail, node, &writes), 0, "overrun: those left are good");
	equal(p, writes, n / 2, "overrun: and in order");
}

/* --- Modelled latency ------------------------------------------------------------------------- */

static int chase(struct probe *p)
{
	uint64_t lines = p->w.size_mib * WL_MIB / 64, *at, rng = wl_seed(p->w.seed, 0);

	p->buf = wl_alloc(&p->w, lines * 64);
	if (!bind_to(p->buf, lines * 64, p->node)) {
		fprintf(stderr, "emu_probe: cannot bind to node %" PRIu64 ": %m\n", p->node);
		return 1;
	}
	/* A random cyclic permutation: each line holds the address of the next. */
	for (uint64_t i = 0; i < lines; i++)
		p->buf[i * 8] = i;
	for (uint64_t i = lines - 1; i; i--) {
		uint64_t j = wl_below(&rng, i), t = p->buf[i * 8];

		p->buf[i * 8] = p->buf[j * 8];
		p->buf[j * 8] = t;
	}
	for (uint64_t i = 0; i < lines; i++)
		p->buf[i * 8] = (uintptr_t)&p->buf[p->buf[i * 8] * 8];
	wl_start(&p->w);
	at = p->buf;
	for (uint64_t i = 0; i < p->chase; i++)
		at = (uint64_t *)*(volatile uint64_t *)at;
	wl_stop(&p->w, p->chase);
	return wl_finish(&p->w, at >= p->buf && at < p->buf + lines * 8);
}

/* --- Options ---------------------------------------------------------------------------------- */

static const struct opt options[] = { OPT_NUMBER(struct probe, chase, "chase", 0, "N", 1, 1e12,
						 "make N dependent loads and report their time"),
				      OPT_NUMBER(struct probe, node, "node", 0, "N", 0,
						 HT_RING_MAX_NODES - 1, "on this node (0)"),
				      {} };

static const char doc[] = "Checks the lab's emulator by accesses that are known exactly.";

int main(int argc, char **argv)
{
	static struct probe p = { .w = { .name = "emu_probe", .size_mib = 64 } };

	wl_parse(&p.w, argc, argv, options, &p, doc);
	if (p.chase)
		return chase(&p);
	if (!p.w.ring.hdr) {
		fprintf(stderr, "emu_probe: needs the lab's emulator\n");
		return 77;
	}
	p.w.thp = WL_THP_OFF;
	p.buf = wl_alloc(&p.w, PAGES * WL_PAGE);
	if (memmap_send(p.w.ring.hdr))
		return 1;
	test_nodes(&p);
	test_mixed(&p);
	test_kinds(&p);
	test_threads(&p);
	test_other_process(&p);
	test_join(&p);
	test_phases(&p);
	test_samples(&p);
	test_period_change(&p);
	test_overrun(&p);
	printf("1..%u\n", p.tests);
	return p.failed ? 1 : 0;
}
