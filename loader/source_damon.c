// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * DAMON: a kernel thread (kdamond) checks the accessed bits of a few regions of each target's
 * virtual address space, splits and merges regions where they differ, and reports each region's
 * access count at a tracepoint.
 *
 * Intervals are DAMON's own defaults: a look every 5 ms, a report every 100 ms (so counts go from 0
 * to 20), new mappings noticed once a second. Regions: one for each 4 MiB of the targets' resident
 * memory, at least 100 (DAMON's splitting needs room to find anything) and at most 1000 (each costs
 * a page-table walk every 5 ms: 1000 take about a tenth of a CPU); at least a tenth of these
 * always.
 *
 * DAMON's sysfs holds everybody's configuration, and changing the number of kdamonds wipes all of
 * it: where somebody has set up anything there, this source stays out. The kernel's own users of
 * DAMON keep others out as well. Of these damon_stat only collects numbers and is on by default in
 * some kernels: it is stopped for as long as this source runs. The others act on memory: they are
 * for the administrator to stop.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "log.h"
#include "perf_event.h"
#include "source.h"
#include "tracepoint.h"
#include "workout.h"

#define TRACEPOINT "damon/damon_aggregated"
#define SAMPLE_US "5000"
#define AGGR_US "100000"
#define UPDATE_US "1000000"
#define REGIONS_MIN 100
#define REGIONS_MAX 1000
#define BYTES_PER_REGION (4ULL << 20)
#define MAX_TARGETS 1024 /* entries of the damon_targets map */
/* Without a commit that keeps targets in order a change costs all regions: not too often. */
#define RESTART_SECONDS 5.0
#define COMMIT_SECONDS 1.0

#define STAT_PARAM "module/damon_stat/parameters/enabled"

struct damon {
	const struct ht_roots *roots;
	struct ht_journal *journal; /* may be NULL */
	bool noted;		    /* the off switch is in the journal */
	bool stat_stopped;
	char dir[PATH_MAX - 256]; /* .../admin/kdamonds */
	int tp_fd;
	int map_targets;
	bool created; /* nr_kdamonds is ours */
	bool on;
	bool can_commit;
	pid_t slot[MAX_TARGETS]; /* DAMON's target index -> process, 0 = hole */
	size_t nr_slots;
	double changed; /* when the targets last changed */
	bool warned;
};

static int put(struct damon *d, const char *val, const char *file)
{
	int err = ht_write_str(val, "%s/%s", d->dir, file);

	if (err)
		pr_debug("source damon: %s > %s: %s", val, file, strerror(-err));
	return err;
}

static int put_u64(struct damon *d, uint64_t val, const char *file)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%" PRIu64, val);
	return put(d, buf, file);
}

/*
 * 1 = the kernel can watch virtual addresses, 0 = it was built without, -1 = cannot tell. sysfs
 * says so only once a kdamond was set up, and looking must not change anything.
 */
static int has_vaddr(const struct ht_roots *roots)
{
	char path[PATH_MAX], line[512], *sym;
	int found = 0, lines = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/kallsyms", roots->proc);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (!found && fgets(line, sizeof(line), f)) {
		lines++;
		sym = strstr(line, " damon_va_");
		found = sym != NULL;
	}
	fclose(f);
	return found ? 1 : lines ? 0 : -1;
}

static bool module_on(const struct ht_roots *roots, const char *module)
{
	char val[8];

	return ht_read_str(val, sizeof(val), "%s/module/%s/parameters/enabled", roots->sys,
			   module) > 0 &&
	       (val[0] == 'Y' || val[0] == 'y' || val[0] == '1');
}

/* -EBUSY while the kernel itself uses DAMON for more than numbers. */
static int check_modules(const struct ht_roots *roots, char *why, size_t size)
{
	static const char *const modules[] = { "damon_reclaim", "damon_lru_sort" };
	size_t i;

	for (i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		if (!module_on(roots, modules[i]))
			continue;
		snprintf(why, size,
			 "%s is on and DAMON has room for one user: echo N > "
			 "/sys/module/%s/parameters/enabled",
			 modules[i], modules[i]);
		return -EBUSY;
	}
	return 0;
}

/* -EBUSY when anything is set up, whether it runs or not: it is not ours to wipe. */
static int check_free(const struct ht_roots *roots, char *why, size_t size)
{
	const char *dir = "kernel/mm/damon/admin/kdamonds";
	char state[16] = "";
	uint64_t nr, i;
	int err;

	err = ht_read_u64(&nr, "%s/%s/nr_kdamonds", roots->sys, dir);
	if (err) {
		snprintf(why, size,
			 "DAMON's sysfs cannot be read (%s): needs root and a kernel "
			 "with CONFIG_DAMON_SYSFS",
			 strerror(-err));
		return err;
	}
	if (!nr)
		return check_modules(roots, why, size);
	for (i = 0; i < nr && i < 64 && strcmp(state, "on"); i++)
		if (ht_read_str(state, sizeof(state), "%s/%s/%" PRIu64 "/state", roots->sys, dir,
				i) < 0)
			state[0] = '\0';
	if (!strcmp(state, "on"))
		snprintf(why, size,
			 "somebody else's DAMON is running, and adding to it would stop "
			 "it: stop it first, or use another source");
	else
		snprintf(why, size,
			 "somebody has set up %" PRIu64 " kdamond(s), which adding ours "
			 "would wipe: if they are not needed, echo 0 > "
			 "/sys/%s/nr_kdamonds",
			 nr, dir);
	return -EBUSY;
}

static int damon_usable(const struct ht_source_opts *opts, char *why, size_t size)
{
	uint64_t id;
	char dir[PATH_MAX];
	int err;

	snprintf(dir, sizeof(dir), "%s/kernel/mm/damon/admin", opts->roots->sys);
	if (access(dir, F_OK)) {
		snprintf(why, size,
			 "the kernel has no DAMON interface: needs CONFIG_DAMON and "
			 "CONFIG_DAMON_SYSFS");
		return -ENOENT;
	}
	if (!has_vaddr(opts->roots)) {
		snprintf(why, size,
			 "DAMON cannot watch virtual addresses: needs a kernel with "
			 "CONFIG_DAMON_VADDR");
		return -EOPNOTSUPP;
	}
	err = check_free(opts->roots, why, size);
	if (err)
		return err;
	err = ht_tracepoint_id(opts->roots, TRACEPOINT, &id);
	if (err) {
		snprintf(why, size, "no tracepoint " TRACEPOINT " (%s): needs root and tracefs",
			 strerror(-err));
		return err;
	}
	snprintf(why, size, "a kdamond on the targets' virtual addresses");
	return 0;
}

/* From 6.12 on a commit keeps targets in the order of sysfs; before, it may not. */
static bool kernel_can_commit(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 6 || (major == 6 && minor >= 12);
}

/* damon_stat goes on again behind us; after a crash, by the journal. */
static int stop_stat(struct damon *d)
{
	char path[PATH_MAX];
	int err;

	if (!module_on(d->roots, "damon_stat"))
		return 0;
	snprintf(path, sizeof(path), "%s/" STAT_PARAM, d->roots->sys);
	err = d->journal ? ht_journal_write(d->journal, path, "N") : ht_write_str("N", "%s", path);
	d->stat_stopped = !err;
	return err;
}

static void restart_stat(struct damon *d)
{
	if (d->stat_stopped && ht_write_str("Y", "%s/" STAT_PARAM, d->roots->sys))
		pr_warn("source damon: cannot switch damon_stat on again; do it by hand: echo Y > "
			"/sys/" STAT_PARAM);
	d->stat_stopped = false;
}

/* Off first: the number of kdamonds cannot change while one runs. */
static void damon_remove(struct damon *d)
{
	if (!d->created)
		return;
	if (d->on)
		put(d, "off", "0/state");
	if (put(d, "0", "nr_kdamonds"))
		pr_warn("source damon: cannot remove our kdamond; do it by hand: echo off > "
			"%s/0/state; echo 0 > %s/nr_kdamonds",
			d->dir, d->dir);
	d->on = false;
	d->created = false;
}

/* "Write val into file" on recovery; undone newest first. */
static int note(struct damon *d, const char *file, const char *val)
{
	char path[PATH_MAX];

	if (!d->journal)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", d->dir, file);
	return ht_journal_note_write(d->journal, path, val);
}

static int switch_on(struct damon *d)
{
	int err = d->noted ? 0 : note(d, "0/state", "off");

	d->noted |= !err;
	return err ? err : put(d, "on", "0/state");
}

static int damon_create(struct damon *d, char *why, size_t size)
{
	char ops[128] = "";
	int err;

	err = stop_stat(d);
	if (!err)
		err = note(d, "nr_kdamonds", "0");
	if (!err)
		err = put(d, "1", "nr_kdamonds");
	if (err) {
		snprintf(why, size, "cannot add a kdamond: %s", strerror(-err));
		return err;
	}
	d->created = true;
	err = put(d, "1", "0/contexts/nr_contexts");
	if (!err && ht_read_str(ops, sizeof(ops), "%s/0/contexts/0/avail_operations", d->dir) > 0 &&
	    !strstr(ops, "vaddr"))
		err = -EOPNOTSUPP;
	if (!err)
		err = put(d, "vaddr", "0/contexts/0/operations");
	if (!err)
		err = put(d, SAMPLE_US, "0/contexts/0/monitoring_attrs/intervals/sample_us");
	if (!err)
		err = put(d, AGGR_US, "0/contexts/0/monitoring_attrs/intervals/aggr_us");
	if (!err)
		err = put(d, UPDATE_US, "0/contexts/0/monitoring_attrs/intervals/update_us");
	if (err == -EOPNOTSUPP)
		snprintf(why, size,
			 "DAMON cannot watch virtual addresses here (it offers: %s): "
			 "needs CONFIG_DAMON_VADDR",
			 ops);
	else if (err)
		snprintf(why, size, "cannot set up a kdamond: %s", strerror(-err));
	return err;
}

static int set_map(struct damon *d, uint32_t idx, uint32_t tgid)
{
	return bpf_map_update_elem(d->map_targets, &idx, &tgid, BPF_ANY) ? -errno : 0;
}

static void damon_free(struct damon *d)
{
	uint32_t i;

	damon_remove(d);
	restart_stat(d);
	for (i = 0; d->map_targets >= 0 && i < d->nr_slots; i++)
		set_map(d, i, 0);
	if (d->tp_fd >= 0)
		close(d->tp_fd);
	free(d);
}

static struct damon *damon_new(const struct ht_roots *roots, struct ht_journal *journal)
{
	struct damon *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	snprintf(d->dir, sizeof(d->dir), "%s/kernel/mm/damon/admin/kdamonds", roots->sys);
	d->roots = roots;
	d->journal = journal;
	d->tp_fd = -1;
	d->map_targets = -1;
	d->can_commit = kernel_can_commit();
	return d;
}

static int damon_open(struct ht_source *src, const struct ht_source_opts *opts,
		      const struct ht_source_bpf *bpf, struct ht_journal *journal)
{
	struct damon *d = damon_new(opts->roots, journal);
	char why[256] = "";
	int err;

	if (!d)
		return -ENOMEM;
	err = check_free(opts->roots, why, sizeof(why));
	if (err)
		goto out;
	d->tp_fd = ht_tracepoint_attach(opts->roots, TRACEPOINT, bpf->prog_damon);
	if (d->tp_fd < 0) {
		err = d->tp_fd;
		snprintf(why, sizeof(why), "cannot attach to " TRACEPOINT ": %s", strerror(-err));
		goto out;
	}
	err = damon_create(d, why, sizeof(why));
	if (err)
		goto out;
	d->map_targets = bpf->map_damon_targets;
	src->priv = d;
	src->period = HT_SOURCE_GUESS;
	snprintf(src->detail, sizeof(src->detail),
		 "kdamond on virtual addresses, looks every 5 ms, reports every 100 ms, %d-%d "
		 "regions, targets change by %s%s",
		 REGIONS_MIN, REGIONS_MAX, d->can_commit ? "commit" : "restart",
		 d->stat_stopped ? "; damon_stat is off meanwhile" : "");
	return 0;
out:
	pr_err("source damon: %s", why);
	damon_free(d);
	return err;
}

/* pid_target of each slot, and how many regions so much memory deserves. */
static int write_targets(struct damon *d, uint64_t rss)
{
	uint64_t max = rss / BYTES_PER_REGION, min;
	char file[64];
	size_t i;
	int err;

	max = max < REGIONS_MIN ? REGIONS_MIN : max > REGIONS_MAX ? REGIONS_MAX : max;
	/* Three for each target: DAMON starts with its heap, its mappings and its stack. */
	max = max < 3 * d->nr_slots ? 3 * d->nr_slots : max;
	min = max / 10;
	/* The kernel refuses min > max at every step: the old max may be below the new min. */
	err = put_u64(d, 3, "0/contexts/0/monitoring_attrs/nr_regions/min");
	if (!err)
		err = put_u64(d, max, "0/contexts/0/monitoring_attrs/nr_regions/max");
	if (!err)
		err = put_u64(d, min, "0/contexts/0/monitoring_attrs/nr_regions/min");
	if (!err)
		err = put_u64(d, d->nr_slots, "0/contexts/0/targets/nr_targets");
	for (i = 0; !err && i < d->nr_slots; i++) {
		snprintf(file, sizeof(file), "0/contexts/0/targets/%zu/pid_target", i);
		/* DAMON wants a process in a hole as well: ourselves, booked on nobody. */
		err = put_u64(d, d->slot[i] ? d->slot[i] : getpid(), file);
	}
	return err;
}

static bool is_target(const struct ht_targets *t, pid_t pid)
{
	size_t lo = 0, hi = t->nr, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (t->proc[mid].tgid == pid)
			return true;
		if (t->proc[mid].tgid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static bool has_slot(const struct damon *d, pid_t pid)
{
	size_t i;

	for (i = 0; i < d->nr_slots; i++)
		if (d->slot[i] == pid)
			return true;
	return false;
}

static bool targets_changed(const struct damon *d, const struct ht_targets *t)
{
	size_t i, used = 0, want = t->nr < MAX_TARGETS ? t->nr : MAX_TARGETS;

	for (i = 0; i < d->nr_slots; i++) {
		if (d->slot[i] && !is_target(t, d->slot[i]))
			return true;
		used += d->slot[i] != 0;
	}
	return used != want;
}

/* The first hole, or a slot behind the last; -1 when all are taken. */
static int free_slot(struct damon *d)
{
	size_t i;

	for (i = 0; i < d->nr_slots; i++)
		if (!d->slot[i])
			return i;
	return d->nr_slots < MAX_TARGETS ? (int)d->nr_slots++ : -1;
}

/*
 * A target that changes its index loses its regions (they belong to the index), and finding them
 * again takes seconds. So gone processes leave holes, which new ones fill. A slot that changes its
 * process is silent (tgid 0) until DAMON has changed it too: no report is booked on the wrong one.
 */
static void assign_slots(struct damon *d, const struct ht_targets *t)
{
	size_t i;
	int slot = 0;

	for (i = 0; i < d->nr_slots; i++)
		if (d->slot[i] && !is_target(t, d->slot[i])) {
			d->slot[i] = 0;
			set_map(d, i, 0);
		}
	for (i = 0; i < t->nr && slot >= 0; i++) {
		if (has_slot(d, t->proc[i].tgid))
			continue;
		slot = free_slot(d);
		if (slot >= 0)
			d->slot[slot] = t->proc[i].tgid;
	}
	while (d->nr_slots && !d->slot[d->nr_slots - 1])
		d->nr_slots--;
	if (t->nr > MAX_TARGETS && !d->warned) {
		pr_warn("source damon: %zu targets, watching %d of them", t->nr, MAX_TARGETS);
		d->warned = true;
	}
}

static bool still_on(struct damon *d)
{
	char state[16];

	return ht_read_str(state, sizeof(state), "%s/0/state", d->dir) > 0 && !strcmp(state, "on");
}

static int damon_apply(struct damon *d, uint64_t rss)
{
	bool commit = d->on && d->can_commit;
	int err = 0;

	if (d->on && (!commit || !d->nr_slots)) {
		put(d, "off", "0/state"); /* fails when it has stopped by itself */
		d->on = false;
	}
	if (!d->nr_slots)
		return 0;
	err = write_targets(d, rss);
	if (!err)
		err = commit ? put(d, "commit", "0/state") : switch_on(d);
	if (err && commit) { /* a target died on the way: start over at the next epoch */
		put(d, "off", "0/state");
		d->on = false;
		return 0;
	}
	if (err == -EINVAL || err == -ESRCH)
		return 0; /* likewise */
	if (err)
		return err;
	d->on = true;
	return 0;
}

static int damon_follow(struct damon *d, const struct ht_targets *t)
{
	uint64_t rss = 0;
	size_t i;
	int err;

	assign_slots(d, t);
	for (i = 0; i < t->nr; i++)
		rss += t->proc[i].rss_bytes;
	err = damon_apply(d, rss);
	d->changed = ht_workout_now();
	for (i = 0; d->on && i < d->nr_slots; i++)
		set_map(d, i, d->slot[i]);
	if (err == -EBUSY)
		pr_err("source damon: the kernel has room for one DAMON user, and another has "
		       "started since");
	else if (err)
		pr_err("source damon: cannot start the kdamond: %s", strerror(-err));
	return err;
}

static int damon_epoch(struct ht_source *src, const struct ht_targets *targets)
{
	struct damon *d = src->priv;
	double wait = d->can_commit ? COMMIT_SECONDS : RESTART_SECONDS;

	if (d->on && !still_on(d)) /* all its targets exited, or somebody switched it off */
		d->on = false;
	if (!targets_changed(d, targets) && d->on == (d->nr_slots != 0))
		return 0;
	if (d->on && ht_workout_now() - d->changed < wait)
		return 0;
	return damon_follow(d, targets);
}

static int damon_stats(struct ht_source *src, struct ht_source_stats *stats)
{
	/* How many regions there were at each report only the kdamond knows: nothing is known due.
	 */
	return 0;
}

static void damon_close(struct ht_source *src)
{
	damon_free(src->priv);
}

struct damon_probe {
	struct ht_source_probe *res;
	const struct ht_workout *w;
	unsigned int off[3], size[3]; /* start, end, nr_accesses */
};

static uint64_t raw_field(const struct perf_event_header *rec, unsigned int off, unsigned int size)
{
	uint64_t val = 0;

	if (rec->size >= sizeof(*rec) + sizeof(uint32_t) + off + size)
		memcpy(&val, (const char *)(rec + 1) + sizeof(uint32_t) + off, size);
	return val;
}

static void probe_record(void *arg, const struct perf_event_header *rec)
{
	struct damon_probe *p = arg;
	uint64_t start, end;

	if (rec->type != PERF_RECORD_SAMPLE || !raw_field(rec, p->off[2], p->size[2]))
		return;
	start = raw_field(rec, p->off[0], p->size[0]);
	end = raw_field(rec, p->off[1], p->size[1]);
	p->res->seen++;
	p->res->zero_addr += !start;
	p->res->in_buffer +=
		start < (uintptr_t)p->w->buf + p->w->size && end > (uintptr_t)p->w->buf;
}

/* The kdamond's own hits of the tracepoint. */
static int probe_event(struct damon *d, const struct ht_roots *roots, struct ht_perf_ring *ring)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_RAW,
	};
	uint64_t id, pid;
	int fd, err = ht_tracepoint_id(roots, TRACEPOINT, &id);

	if (!err)
		err = ht_read_u64(&pid, "%s/0/pid", d->dir);
	if (err)
		return err;
	attr.config = id;
	fd = ht_perf_open(&attr, pid, -1, -1);
	if (fd < 0)
		return fd;
	err = ht_perf_ring_map(ring, fd, 256);
	if (err)
		close(fd);
	return err ? err : fd;
}

static int probe_run(struct damon *d, const struct ht_roots *roots, struct damon_probe *p,
		     unsigned int ms)
{
	struct ht_workout w = *p->w;
	struct ht_perf_ring ring = {};
	double start = ht_workout_now();
	int fd;

	d->slot[0] = getpid();
	d->nr_slots = 1;
	if (damon_apply(d, w.size) || !d->on)
		return -EIO;
	fd = probe_event(d, roots, &ring);
	if (fd < 0)
		return fd;
	do {
		ht_workout_run(&w, 10);
		ht_perf_ring_drain(&ring, probe_record, p);
	} while (ht_workout_now() - start < ms / 1e3);
	p->res->seconds = ht_workout_now() - start;
	ht_perf_ring_unmap(&ring);
	close(fd);
	return 0;
}

static int damon_probe(const struct ht_source_opts *opts, unsigned int ms,
		       struct ht_source_probe *res)
{
	static const char *const field[] = { "start", "end", "nr_accesses" };
	struct damon *d = damon_new(opts->roots, NULL);
	struct ht_workout w = {};
	struct damon_probe p = { .res = res, .w = &w };
	struct ht_journal *journal = NULL;
	size_t recovered;
	int i, err = d ? 0 : -ENOMEM;

	for (i = 0; !err && i < 3; i++)
		err = ht_tracepoint_field(opts->roots, TRACEPOINT, field[i], &p.off[i], &p.size[i]);
	if (!err)
		err = ht_journal_open(&journal, NULL, &recovered);
	if (!err) {
		d->journal = journal;
		err = ht_workout_open(&w, 64 << 20);
	}
	if (!err)
		err = damon_create(d, res->verdict, sizeof(res->verdict));
	if (!err)
		err = probe_run(d, opts->roots, &p, ms);
	if (!err)
		ht_probe_verdict(res, "regions");
	if (d) {
		d->nr_slots = 0;
		damon_free(d);
	}
	if (w.size)
		ht_workout_close(&w);
	if (journal)
		ht_journal_close(journal);
	return err;
}

static int damon_rebind(struct ht_source *src, const struct ht_source_bpf *bpf, int *old)
{
	struct damon *d = src->priv;
	int fd = ht_tracepoint_attach(d->roots, TRACEPOINT, bpf->prog_damon);

	if (fd < 0)
		return fd;
	*old = d->tp_fd;
	d->tp_fd = fd;
	d->map_targets = bpf->map_damon_targets;
	return 0;
}

const struct ht_source_ops ht_source_damon = {
	.id = HT_SRC_DAMON,
	.name = "damon",
	.what = "accessed bits by region, checked by a kernel thread",
	.usable = damon_usable,
	.open = damon_open,
	.epoch = damon_epoch,
	.stats = damon_stats,
	.close = damon_close,
	.rebind = damon_rebind,
	.probe = damon_probe,
};
