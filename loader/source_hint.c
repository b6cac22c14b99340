// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Hint faults: the kernel's NUMA balancing takes pages' access rights away, a little at a time, and
 * the fault at the next access names the page. With the promotion rate limited to nothing it only
 * looks.
 *
 * Mode 2 (memory tiering) scans the slower tiers alone; pages of the fast tier would look cold and
 * be demoted however hot they are. With mode 3 (both bits) the fast tier is scanned too. Where one
 * node has all the CPUs, the kernel finds each of its pages where it belongs and moves none; with
 * several such nodes mode 3 would also balance between them, so mode 2 is used there.
 * One gap stays: pages on the node where a process runs are not scanned while it has a single
 * thread.
 *
 * The kernel has one promotion of its own left, which the rate limit does not cover: while the fast
 * node has more than 1 GiB (or a sixteenth of it, if that is more) free, a hint fault promotes.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "log.h"
#include "perf_event.h"
#include "source.h"
#include "tracepoint.h"
#include "vmstat.h"
#include "workout.h"

#define TRACEPOINT "exceptions/page_fault_user"
/*
 * The kernel scans less and less often (up to once a minute) a process whose pages are all where
 * they should be. As a sensor it must not tire.
 */
#define SCAN_PERIOD_MAX_MS 4000

enum { HINT_LIMIT, HINT_PERIOD_MAX, HINT_MODE, HINT_NR };

struct hint_knob {
	char path[PATH_MAX];
	char old[32]; /* "" = not changed */
};

struct hint {
	struct hint_knob knob[HINT_NR];
	const struct ht_roots *roots;
	int tp_fd;
	int mode;
	bool tuned;
	uint64_t base; /* hint faults before we began */
};

static int count_node(unsigned int n, void *arg)
{
	++*(int *)arg;
	return 0;
}

static int nr_cpu_nodes(const struct ht_roots *roots)
{
	char list[256];
	int nr = 0;

	if (ht_read_str(list, sizeof(list), "%s/devices/system/node/has_cpu", roots->sys) < 0 ||
	    ht_parse_list(list, 1024, count_node, &nr))
		return 0;
	return nr;
}

static int hint_faults(const struct ht_roots *roots, uint64_t *nr)
{
	struct ht_vmstat v;
	int err = ht_vmstat_read(roots, &v);

	if (!err)
		*nr = v.hint_faults;
	return err;
}

static int hint_usable(const struct ht_source_opts *opts, char *why, size_t size)
{
	uint64_t val;
	int err;

	if (ht_read_u64(&val, "%s/sys/kernel/numa_balancing", opts->roots->proc)) {
		snprintf(why, size,
			 "the kernel has no NUMA balancing: needs "
			 "CONFIG_NUMA_BALANCING");
		return -ENOENT;
	}
	if (ht_read_u64(&val, "%s/sys/kernel/numa_balancing_promote_rate_limit_MBps",
			opts->roots->proc)) {
		snprintf(why, size, "NUMA balancing has no memory tiering mode: needs Linux 6.1");
		return -ENOENT;
	}
	err = ht_tracepoint_id(opts->roots, TRACEPOINT, &val);
	if (err) {
		snprintf(why, size,
			 "no tracepoint " TRACEPOINT
			 " (%s): needs tracefs and root, and a kernel with tracepoints",
			 strerror(-err));
		return err;
	}
	snprintf(why, size, "NUMA balancing's hint faults, as a sensor only%s",
		 nr_cpu_nodes(opts->roots) == 1 ? "" : " (slower tiers only)");
	return 0;
}

static int knob_set(struct hint_knob *k, const char *val, struct ht_journal *journal)
{
	char old[sizeof(k->old)];
	ssize_t len = ht_read_str(old, sizeof(old), "%s", k->path);
	int err;

	if (len <= 0)
		return len ? (int)len : -EINVAL;
	err = journal ? ht_journal_write(journal, k->path, val) : ht_write_str(val, "%s", k->path);
	if (!err && !k->old[0])
		memcpy(k->old, old, sizeof(old));
	return err;
}

/* Newest first: the limit goes back to what it was after the kernel's own mode is back. */
static void hint_restore(struct hint *h)
{
	int i, err;

	for (i = HINT_NR - 1; i >= 0; i--) {
		if (!h->knob[i].old[0])
			continue;
		err = ht_write_str(h->knob[i].old, "%s", h->knob[i].path);
		if (err)
			pr_warn("cannot write %s back into %s: %s", h->knob[i].old, h->knob[i].path,
				strerror(-err));
		h->knob[i].old[0] = '\0';
	}
}

static void tune_scan(struct hint *h, struct ht_journal *journal)
{
	struct hint_knob *k = &h->knob[HINT_PERIOD_MAX];
	char val[32];
	uint64_t old;

	/* Only where debugfs is mounted: the journal must find the file again after a crash. */
	if (ht_read_u64(&old, "%s", k->path) || old <= SCAN_PERIOD_MAX_MS)
		return;
	snprintf(val, sizeof(val), "%d", SCAN_PERIOD_MAX_MS);
	h->tuned = !knob_set(k, val, journal);
}

static int hint_apply(struct hint *h, const struct ht_roots *roots, struct ht_journal *journal)
{
	int err;

	h->roots = roots;
	h->mode = nr_cpu_nodes(roots) == 1 ? 3 : 2;
	snprintf(h->knob[HINT_LIMIT].path, PATH_MAX,
		 "%s/sys/kernel/numa_balancing_promote_rate_limit_MBps", roots->proc);
	snprintf(h->knob[HINT_PERIOD_MAX].path, PATH_MAX,
		 "%s/kernel/debug/sched/numa_balancing/scan_period_max_ms", roots->sys);
	snprintf(h->knob[HINT_MODE].path, PATH_MAX, "%s/sys/kernel/numa_balancing", roots->proc);
	err = knob_set(&h->knob[HINT_LIMIT], "0", journal);
	if (!err) {
		tune_scan(h, journal);
		err = knob_set(&h->knob[HINT_MODE], h->mode == 3 ? "3" : "2", journal);
	}
	if (err)
		hint_restore(h);
	return err;
}

static int hint_open(struct ht_source *src, const struct ht_source_opts *opts,
		     const struct ht_source_bpf *bpf, struct ht_journal *journal)
{
	struct hint *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	/* First the program, then the faults: a refusal leaves nothing changed. */
	h->tp_fd = ht_tracepoint_attach(opts->roots, TRACEPOINT, bpf->prog_page_fault);
	err = h->tp_fd < 0 ? h->tp_fd : 0;
	if (err)
		pr_err("source hint-fault: cannot attach to " TRACEPOINT ": %s (needs root)",
		       strerror(-err));
	else if (hint_faults(opts->roots, &h->base))
		h->base = 0;
	if (!err) {
		err = hint_apply(h, opts->roots, journal);
		if (err)
			pr_err("source hint-fault: cannot set kernel.numa_balancing: %s",
			       strerror(-err));
	}
	if (err) {
		if (h->tp_fd >= 0)
			close(h->tp_fd);
		free(h);
		return err;
	}
	src->priv = h;
	src->period = HT_SOURCE_GUESS;
	snprintf(src->detail, sizeof(src->detail),
		 "kernel.numa_balancing=%d (%s), promotion rate 0, scan period %s", h->mode,
		 h->mode == 3 ? "all tiers" : "slower tiers only",
		 h->tuned ? "at most 4 s" : "as it was (debugfs not mounted or short already)");
	return 0;
}

static int hint_epoch(struct ht_source *src, const struct ht_targets *targets)
{
	return 0; /* BPF knows the targets, the kernel scans every process */
}

static int hint_stats(struct ht_source *src, struct ht_source_stats *stats)
{
	struct hint *h = src->priv;
	uint64_t now;

	/* All processes' hint faults. The tracepoint also sees first touches, so more may arrive.
	 */
	if (!hint_faults(h->roots, &now) && now >= h->base)
		stats->due = now - h->base;
	return 0;
}

static void hint_close(struct ht_source *src)
{
	struct hint *h = src->priv;

	hint_restore(h);
	close(h->tp_fd);
	free(h);
}

struct hint_probe {
	struct ht_source_probe *res;
	const struct ht_workout *w;
	unsigned int offset, size;
};

/* PERF_SAMPLE_RAW alone: u32 size, then the tracepoint's record. */
static void probe_record(void *arg, const struct perf_event_header *rec)
{
	struct hint_probe *p = arg;
	const char *raw = (const char *)(rec + 1) + sizeof(uint32_t);
	uint64_t addr = 0;

	if (rec->type != PERF_RECORD_SAMPLE ||
	    rec->size < sizeof(*rec) + sizeof(uint32_t) + p->offset + p->size)
		return;
	memcpy(&addr, raw + p->offset, p->size);
	p->res->seen++;
	p->res->zero_addr += !addr;
	p->res->in_buffer += ht_workout_has(p->w, addr);
}

static int probe_event(const struct ht_roots *roots, struct ht_perf_ring *ring)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_RAW,
		.disabled = 1,
	};
	uint64_t id;
	int fd, err = ht_tracepoint_id(roots, TRACEPOINT, &id);

	if (err)
		return err;
	attr.config = id;
	fd = ht_perf_open(&attr, 0, -1, -1);
	if (fd < 0)
		return fd;
	err = ht_perf_ring_map(ring, fd, 256);
	if (err)
		close(fd);
	return err ? err : fd;
}

/* Memory that is resident already: every fault in it is a hint fault. */
static void probe_run(struct hint *h, int fd, struct ht_perf_ring *ring, struct hint_probe *p,
		      unsigned int ms)
{
	struct ht_workout w = *p->w;
	double start = ht_workout_now();
	uint64_t before = 0, after = 0;

	hint_faults(h->roots, &before);
	ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	do {
		ht_workout_run(&w, 10);
		ht_perf_ring_drain(ring, probe_record, p);
	} while (ht_workout_now() - start < ms / 1e3);
	hint_faults(h->roots, &after);
	p->res->due = after - before;
	p->res->seconds = ht_workout_now() - start;
}

static void *idle_thread(void *arg)
{
	pause();
	return NULL;
}

/* With one thread alone, memory on our own node would not be scanned. */
static int second_thread(pthread_t *t)
{
	return -pthread_create(t, NULL, idle_thread, NULL);
}

static int hint_probe(const struct ht_source_opts *opts, unsigned int ms,
		      struct ht_source_probe *res)
{
	struct ht_perf_ring ring = {};
	struct hint h = {};
	struct ht_workout w;
	struct hint_probe p = { .res = res, .w = &w };
	struct ht_journal *journal;
	pthread_t thread;
	size_t recovered;
	int err, fd = -1;

	err = ht_tracepoint_field(opts->roots, TRACEPOINT, "address", &p.offset, &p.size);
	if (err)
		return err;
	err = ht_journal_open(&journal, NULL, &recovered);
	if (err)
		return err;
	err = ht_workout_open(&w, 64 << 20);
	if (err)
		goto out_journal;
	err = second_thread(&thread);
	if (err)
		goto out_workout;
	fd = probe_event(opts->roots, &ring);
	err = fd < 0 ? fd : hint_apply(&h, opts->roots, journal);
	if (!err) {
		/* A process is scanned after its first second of run time, then about once a
		 * second. */
		probe_run(&h, fd, &ring, &p, ms > 3000 ? ms : 3000);
		hint_restore(&h);
		ht_probe_verdict(res, "faults");
	}
	ht_perf_ring_unmap(&ring);
	if (fd >= 0)
		close(fd);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
out_workout:
	ht_workout_close(&w);
out_journal:
	ht_journal_close(journal);
	return err;
}

static int hint_rebind(struct ht_source *src, const struct ht_source_bpf *bpf, int *old)
{
	struct hint *h = src->priv;
	int fd = ht_tracepoint_attach(h->roots, TRACEPOINT, bpf->prog_page_fault);

	if (fd < 0)
		return fd;
	*old = h->tp_fd;
	h->tp_fd = fd;
	return 0;
}

const struct ht_source_ops ht_source_hint = {
	.id = HT_SRC_HINT_FAULT,
	.name = "hint-fault",
	.what = "faults of NUMA balancing's scan, promotion switched off",
	.usable = hint_usable,
	.open = hint_open,
	.epoch = hint_epoch,
	.stats = hint_stats,
	.close = hint_close,
	.rebind = hint_rebind,
	.probe = hint_probe,
};
