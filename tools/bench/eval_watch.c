// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * eval_watch PID FILE [LOADER_PID [COUNTS HOT_PAGES]]: what happens in the guest between the
 * workload's START and STOP, the same way for every peer. Writes FILE as JSON: rows several times a
 * second with the emulator's counters, the kernel's migration counters and CPU times, and, from
 * snapshots of the workload's page table once a second, pages moved and pages moved back. With the
 * counts of a recording run, also how much of the true hot set (the HOT_PAGES most accessed pages
 * of the phase) is in the fast tier, and how much of what was promoted belongs to it.
 */
#include <dirent.h>
#include <signal.h>
#include <time.h>

#include "eval_pages.h"

#define ROW_MS 200
#define SNAPSHOT_MS 1000
#define BACK_MS 10000 /* a page that returns within this time was moved for nothing */
#define MAX_KTHREADS 32

static const char *const vm_names[] = {
	"pgpromote_success",   "pgpromote_candidate", "pgdemote_kswapd",       "pgdemote_direct",
	"pgdemote_khugepaged", "pgdemote_proactive",  "numa_hint_faults",      "numa_pte_updates",
	"pgmigrate_success",   "pgmigrate_fail",      "thp_migration_success",
};
#define NR_VM (sizeof(vm_names) / sizeof(*vm_names))

struct placement {
	int fd;
	int8_t *first, *last, *now;
	int64_t *moved_ms; /* last move; its direction follows from where the page is */
	uint32_t *hot;	   /* bit per phase */
	uint64_t hot_pages, up, down, back;
	char *map; /* where pages were, snapshot by snapshot, as JSON */
	size_t map_len;
	FILE *map_out;
	double recall, precision;
	int64_t next_ms;
};

struct watch {
	struct ring ring;
	struct eval_pages pages;
	struct memmap map;
	pid_t loader;
	pid_t kthread[MAX_KTHREADS];
	unsigned int nr_kthreads;
	struct placement pl;
	int64_t t0;
	FILE *f;
	uint64_t rows, row_ns;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* --- CPU time --------------------------------------------------------------------------------- */

/* Time on a CPU in ms, of the first thread; 0 when it is gone. */
static double task_ms(pid_t pid)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	fclose(f);
	return ns / 1e6;
}

/* System time of the workload: hint faults, and migrations done by them, are in it. */
static double system_ms(pid_t pid)
{
	unsigned long long utime, stime;
	char path[64], buf[512];
	double ms = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fgets(buf, sizeof(buf), f) && strrchr(buf, ')') &&
	    sscanf(strrchr(buf, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
		   &utime, &stime) == 2)
		ms = stime * 1000.0 / sysconf(_SC_CLK_TCK);
	fclose(f);
	return ms;
}

static bool is_tiering_thread(const char *comm)
{
	static const char *const names[] = { "kswapd", "kdamond", "kcompactd", "khugepaged" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strncmp(comm, names[i], strlen(names[i])))
			return true;
	return false;
}

static void find_kthreads(struct watch *w)
{
	DIR *dir = opendir("/proc");
	char path[300], comm[64];
	struct dirent *d;
	FILE *f;

	while (dir && (d = readdir(dir)) && w->nr_kthreads < MAX_KTHREADS) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) && is_tiering_thread(comm))
			w->kthread[w->nr_kthreads++] = atoi(d->d_name);
		fclose(f);
	}
	if (dir)
		closedir(dir);
}

/* --- The kernel's counters -------------------------------------------------------------------- */

static void read_vmstat(uint64_t *vm)
{
	FILE *f = fopen("/proc/vmstat", "r");
	unsigned long long v;
	char name[128];

	memset(vm, 0, NR_VM * sizeof(*vm));
	while (f && fscanf(f, "%127s %llu", name, &v) == 2)
		for (size_t i = 0; i < NR_VM; i++)
			if (!strcmp(name, vm_names[i]))
				vm[i] = v;
	if (f)
		fclose(f);
}

/* --- Placement -------------------------------------------------------------------------------- */

struct page_count {
	uint32_t count, page;
};

static int by_count(const void *a, const void *b)
{
	const struct page_count *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->page < y->page ? -1 : x->page > y->page;
}

static int load_hot(struct watch *w, const char *file, uint64_t hot_pages)
{
	struct page_count *rank = calloc(w->pages.nr, sizeof(*rank));
	unsigned int phases = 0;
	uint32_t *count = eval_counts_read(file, &w->pages, &phases);

	w->pl.hot = calloc(w->pages.nr, sizeof(*w->pl.hot));
	if (!rank || !count || !w->pl.hot || hot_pages > w->pages.nr) {
		free(rank);
		free(count);
		return -ENODATA;
	}
	w->pl.hot_pages = hot_pages;
	for (unsigned int p = 0; p < phases; p++) {
		for (uint64_t i = 0; i < w->pages.nr; i++)
			rank[i] = (struct page_count){ count[p * w->pages.nr + i], i };
		qsort(rank, w->pages.nr, sizeof(*rank), by_count);
		for (uint64_t i = 0; i < hot_pages; i++)
			w->pl.hot[rank[i].page] |= 1u << p;
	}
	free(rank);
	free(count);
	return 0;
}

static void judge_hot(struct placement *p, uint64_t nr, unsigned int phase)
{
	uint64_t hot_fast = 0, promoted = 0, promoted_hot = 0;

	for (uint64_t i = 0; i < nr; i++) {
		bool hot = p->hot[i] >> phase & 1;

		hot_fast += hot && p->now[i] == EVAL_FAST;
		if (p->now[i] != EVAL_FAST || p->first[i] != EVAL_SLOW)
			continue;
		promoted++;
		promoted_hot += hot;
	}
	p->recall = (double)hot_fast / p->hot_pages;
	p->precision = promoted ? (double)promoted_hot / promoted : -1;
}

/* Memory accesses so far, and the share of each part of the address space that is in the fast tier.
 */
static void draw_map(struct watch *w)
{
	uint64_t there[EVAL_BUCKETS] = {}, fast[EVAL_BUCKETS] = {}, misses = 0;
	struct placement *p = &w->pl;
	struct ring_totals t;

	ring_read(&w->ring, &t);
	for (unsigned int n = 0; n < HT_RING_MAX_NODES; n++)
		misses += t.all.misses[n];
	for (uint64_t i = 0; i < w->pages.nr; i++) {
		unsigned int b = eval_bucket(&w->pages, i);

		there[b] += p->now[i] != EVAL_NONE;
		fast[b] += p->now[i] == EVAL_FAST;
	}
	fprintf(p->map_out, "%s\n[%" PRIu64, ftell(p->map_out) ? "," : "", misses);
	for (unsigned int b = 0; b < EVAL_BUCKETS; b++)
		fprintf(p->map_out, ",%d", there[b] ? (int)(100 * fast[b] / there[b]) : -1);
	fprintf(p->map_out, "]");
}

static void snapshot(struct watch *w, int64_t ms)
{
	struct placement *p = &w->pl;

	if (eval_tiers(&w->pages, &w->map, p->fd, p->now))
		return;
	for (uint64_t i = 0; i < w->pages.nr; i++) {
		if (p->now[i] == EVAL_NONE || p->now[i] == p->last[i])
			continue;
		if (p->last[i] != EVAL_NONE) {
			*(p->now[i] == EVAL_FAST ? &p->up : &p->down) += 1;
			p->back += p->moved_ms[i] && ms - p->moved_ms[i] <= BACK_MS;
			p->moved_ms[i] = ms;
		}
		p->last[i] = p->now[i];
	}
	if (p->hot)
		judge_hot(p, w->pages.nr, w->ring.hdr->phase % 32);
	draw_map(w);
}

static int placement_init(struct watch *w, const char *counts, uint64_t hot_pages)
{
	struct placement *p = &w->pl;
	uint64_t nr = w->pages.nr;

	p->fd = eval_pagemap_open(w->pages.pid);
	p->first = malloc(nr);
	p->last = malloc(nr);
	p->now = malloc(nr);
	p->moved_ms = calloc(nr, sizeof(*p->moved_ms));
	p->recall = p->precision = -1;
	if (p->fd < 0)
		return p->fd;
	if (!p->first || !p->last || !p->now || !p->moved_ms)
		return -ENOMEM;
	if (counts && load_hot(w, counts, hot_pages))
		return -ENODATA;
	if (eval_tiers(&w->pages, &w->map, p->fd, p->first))
		return -ESRCH;
	memcpy(p->last, p->first, nr);
	memcpy(p->now, p->first, nr);
	p->map_out = open_memstream(&p->map, &p->map_len);
	if (!p->map_out)
		return -errno;
	draw_map(w);
	return 0;
}

/* --- Rows ------------------------------------------------------------------------------------- */

static void head(struct watch *w)
{
	fprintf(w->f,
		"{\"columns\":[\"ms\",\"phase\",\"fast\",\"slow\",\"fast_miss\",\"slow_miss\","
		"\"model_ns\",\"samples\",\"app_sys_ms\",\"kthread_ms\",\"loader_ms\","
		"\"up\",\"down\",\"back\",\"recall\",\"precision\"");
	for (size_t i = 0; i < NR_VM; i++)
		fprintf(w->f, ",\"%s\"", vm_names[i]);
	fprintf(w->f, "],\n\"rows\":[");
}

static void row(struct watch *w, int64_t ms)
{
	struct placement *p = &w->pl;
	struct ring_totals t;
	uint64_t fast, slow = 0, slow_miss = 0, vm[NR_VM];
	double kthreads = 0;

	ring_read(&w->ring, &t);
	fast = t.all.loads[0] + t.all.stores[0];
	for (unsigned int n = 1; n < HT_RING_MAX_NODES; n++) {
		slow += t.all.loads[n] + t.all.stores[n];
		slow_miss += t.all.misses[n];
	}
	for (unsigned int i = 0; i < w->nr_kthreads; i++)
		kthreads += task_ms(w->kthread[i]);
	read_vmstat(vm);
	fprintf(w->f, "%s\n[%" PRId64 ",%u,%" PRIu64 ",%" PRIu64, w->rows++ ? "," : "", ms - w->t0,
		(unsigned int)w->ring.hdr->phase, fast, slow);
	fprintf(w->f, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, t.all.misses[0], slow_miss,
		t.all.model_ns, t.records);
	fprintf(w->f, ",%.1f,%.1f,%.1f", system_ms(w->pages.pid), kthreads,
		w->loader ? task_ms(w->loader) : 0);
	fprintf(w->f, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.4f,%.4f", p->up, p->down, p->back,
		p->recall, p->precision);
	for (size_t i = 0; i < NR_VM; i++)
		fprintf(w->f, ",%" PRIu64, vm[i]);
	fprintf(w->f, "]");
	fflush(w->f);
}

/* Ends with the workload's STOP marker, or with the workload. */
static void watch(struct watch *w)
{
	struct timespec nap = { .tv_nsec = 20000000 };
	int64_t next_row = 0, next_shot = SNAPSHOT_MS, ms;
	bool started = false, counting;

	row(w, w->t0);
	while (!kill(w->pages.pid, 0)) {
		counting = w->ring.hdr->counting;
		ms = now_ms();
		if (!started && counting) {
			started = true;
			w->t0 = ms;
		}
		if (started && (ms - w->t0 >= next_shot || !counting)) {
			snapshot(w, ms);
			next_shot = now_ms() - w->t0 + SNAPSHOT_MS;
		}
		if (started && (ms - w->t0 >= next_row || !counting)) {
			row(w, ms);
			next_row = ms - w->t0 + ROW_MS;
		}
		if (started && !counting)
			break;
		nanosleep(&nap, NULL);
	}
	fclose(w->pl.map_out);
	fprintf(w->f, "],\n\"map\":[%s],", w->pl.map);
	fprintf(w->f, "\n\"pages\":%" PRIu64 ",\"hot_pages\":%" PRIu64 "}\n", w->pages.nr,
		w->pl.hot_pages);
	free(w->pl.map);
}

int main(int argc, char **argv)
{
	static struct watch w;
	int err;

	if (argc < 3 || argc == 5 || argc > 6) {
		fprintf(stderr, "usage: eval_watch PID FILE [LOADER_PID [COUNTS HOT_PAGES]]\n");
		return 2;
	}
	if (ring_open(&w.ring) || !w.ring.hdr) {
		fprintf(stderr, "eval_watch: no emulator: HT_LAB_RING must name the ring\n");
		return 1;
	}
	w.loader = argc > 3 ? atoi(argv[3]) : 0;
	w.t0 = now_ms();
	err = eval_pages_read(&w.pages, atoi(argv[1]));
	if (!err)
		err = memmap_read(&w.map);
	if (!err)
		err = placement_init(&w, argc > 4 ? argv[4] : NULL,
				     argc > 5 ? strtoull(argv[5], NULL, 10) : 0);
	if (err) {
		fprintf(stderr, "eval_watch: %s\n", strerror(-err));
		return 1;
	}
	w.f = fopen(argv[2], "w");
	if (!w.f) {
		fprintf(stderr, "eval_watch: cannot write %s: %m\n", argv[2]);
		return 1;
	}
	find_kthreads(&w);
	printf("watching\n");
	fflush(stdout);
	head(&w);
	watch(&w);
	return fclose(w.f) ? 1 : 0;
}
