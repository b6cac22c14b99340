// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Sources on perf events: PEBS (Intel), IBS (AMD), and software page faults, which run the very
 * same code on machines without a PMU.
 *
 * Who sees a sample. The handler of an event's overflow runs the BPF program attached to it, and if
 * that returns 0 (ours do), the kernel is done with the sample. With large PEBS only the last
 * record of a drain by interrupt is an overflow; the others, and all records of a drain at a
 * context switch or at a read of the counter, go straight to perf_event_output(), where a fentry
 * program sees them. So with both programs attached each record is seen by exactly one of them:
 * perf_event_output() is not called for a record whose overflow program returned 0.
 *
 * At a context switch the kernel drains while the task that made the records is still current, so
 * the programs' notion of the process is right. Large PEBS lasts only while every PEBS event on a
 * CPU is large: a profiler beside us turns it off, and all samples are overflows then. Both ways
 * are right at any time.
 *
 * IBS has no buffer: one interrupt per sample, all of them overflows. Page faults likewise; their
 * default handler is perf_event_output_forward(), so the fentry way is used by leaving the overflow
 * program out.
 *
 * Events, attachments and the fentry link live as long as their file descriptors.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log.h"
#include "perf_spec.h"
#include "source.h"
#include "workout.h"

#define MAX_CPUS 8192
#define PROBE_PERIOD 101 /* many samples in little time */
#define PROBE_MS 100
#define PROBE_DUE 50  /* fewer say nothing */
#define IBS_LEAST 144 /* nine sixteens */

struct perf_ev {
	int fd;
	int leader; /* -1 = none */
	unsigned int spec;
	uint64_t id;
	uint64_t counted; /* events whose samples are in due_closed */
	struct ht_perf_ring ring;
	int cpu;    /* -1: per task */
	pid_t tgid; /* per task */
	uint64_t start_time;
};

struct perf {
	enum ht_source_id id;
	struct ht_source_opts opts;
	struct ht_source_bpf bpf;
	struct ht_perf_spec spec[HT_PERF_MAX_SPECS];
	uint64_t base_period[HT_PERF_MAX_SPECS]; /* at a density of 1 */
	int nr_specs;
	bool large;
	int fentry_fd;
	char online[1024]; /* CPUs, as last seen */
	struct perf_ev *ev;
	size_t nr, cap;
	uint64_t due_closed; /* of events closed since, and at former periods */
	uint64_t lost, throttled;
	bool addr_warned, share_warned, task_warned;
};

static bool on_host(const struct ht_source_opts *opts)
{
	return !strcmp(opts->roots->sys, ht_host_roots.sys);
}

/* Opens each event once, disabled and on ourselves: descriptions promise more than hypervisors
 * keep. */
static int try_specs(const struct ht_source_opts *opts, struct ht_perf_spec *specs, int nr,
		     char *why, size_t size)
{
	int i, fd, leader;

	for (i = 0; i < nr; i++) {
		fd = ht_perf_open_spec(&specs[i], HT_PERF_SINGLE, 0, -1, &leader);
		if (fd < 0) {
			ht_perf_explain(fd, opts, &specs[i], why, size);
			return fd;
		}
		if (leader >= 0)
			close(leader);
		close(fd);
	}
	return 0;
}

static int perf_usable(enum ht_source_id id, const struct ht_source_opts *opts, char *why,
		       size_t size)
{
	struct ht_perf_spec specs[HT_PERF_MAX_SPECS];
	int nr, i, err;
	size_t len = 0;

	nr = ht_perf_specs(id, opts, specs, why, size);
	if (nr < 0)
		return nr;
	err = on_host(opts) ? try_specs(opts, specs, nr, why, size) : 0;
	if (err)
		return err;
	for (i = 0; i < nr && len < size; i++)
		len += snprintf(why + len, size - len, "%s%s every %" PRIu64, i ? ", " : "",
				specs[i].name, specs[i].period);
	return 0;
}

/* Sums the sampler's counters over CPUs. */
static int read_stats(const struct perf *p, struct ht_cpu_stats *sum)
{
	int nr = libbpf_num_possible_cpus(), cpu;
	struct ht_cpu_stats *all;
	uint32_t zero = 0;
	int err = 0;

	memset(sum, 0, sizeof(*sum));
	if (nr < 0)
		return nr;
	all = calloc(nr, sizeof(*all));
	if (!all)
		return -ENOMEM;
	if (bpf_map_lookup_elem(p->bpf.map_stats, &zero, all))
		err = -errno;
	for (cpu = 0; !err && cpu < nr; cpu++) {
		sum->seen += all[cpu].seen;
		sum->fentry += all[cpu].fentry;
		sum->drop[HT_DROP_NO_ADDR] += all[cpu].drop[HT_DROP_NO_ADDR];
	}
	free(all);
	return err;
}

/* Samples due of an event that has counted so far. */
static uint64_t ev_due(const struct perf *p, const struct perf_ev *ev, uint64_t count)
{
	return (count - ev->counted) / p->spec[ev->spec].period;
}

static void ev_close(struct perf *p, struct perf_ev *ev)
{
	struct ht_perf_count c;

	/* Counted but not seen, or the other way round: neither may happen between the two. */
	ioctl(ev->fd, PERF_EVENT_IOC_DISABLE, 0);
	if (!ht_perf_read(ev->fd, &c))
		p->due_closed += ev_due(p, ev, c.value);
	if (p->large)
		bpf_map_delete_elem(p->bpf.map_events, &ev->id);
	ht_perf_ring_unmap(&ev->ring);
	close(ev->fd);
	if (ev->leader >= 0)
		close(ev->leader);
}

/* Programs, id, ring, then go. */
static int ev_start(struct perf *p, struct perf_ev *ev)
{
	uint32_t one = 1;

	if (p->large) {
		if (ioctl(ev->fd, PERF_EVENT_IOC_ID, &ev->id) ||
		    bpf_map_update_elem(p->bpf.map_events, &ev->id, &one, BPF_ANY))
			return -errno;
	}
	if (!(p->large && p->id == HT_SRC_PAGE_FAULT) &&
	    ioctl(ev->fd, PERF_EVENT_IOC_SET_BPF, p->bpf.prog_perf))
		return -errno;
	/*
	 * Through the ring the kernel tells of throttling; samples do not go there, as the program
	 * returns 0. With large PEBS they would, so there is none. Inherited events cannot have
	 * one.
	 */
	if (!p->large && !p->opts.per_task)
		ht_perf_ring_map(&ev->ring, ev->fd, 1);
	if (ev->leader >= 0 && ioctl(ev->leader, PERF_EVENT_IOC_ENABLE, 0))
		return -errno;
	return ioctl(ev->fd, PERF_EVENT_IOC_ENABLE, 0) ? -errno : 0;
}

static struct perf_ev *ev_slot(struct perf *p)
{
	size_t cap = p->cap ? p->cap * 2 : 64;
	struct perf_ev *ev;

	if (p->nr == p->cap) {
		ev = realloc(p->ev, cap * sizeof(*ev));
		if (!ev)
			return NULL;
		p->ev = ev;
		p->cap = cap;
	}
	memset(&p->ev[p->nr], 0, sizeof(p->ev[0]));
	return &p->ev[p->nr];
}

static unsigned int attr_flags(const struct perf *p)
{
	return (p->large ? 0 : HT_PERF_SINGLE) | (p->opts.per_task ? HT_PERF_PER_TASK : 0);
}

static int ev_add(struct perf *p, unsigned int spec, pid_t pid, int cpu, const struct ht_proc *proc)
{
	struct perf_ev *ev = ev_slot(p);
	int err;

	if (!ev)
		return -ENOMEM;
	ev->spec = spec;
	ev->cpu = cpu;
	ev->fd = ht_perf_open_spec(&p->spec[spec], attr_flags(p), pid, cpu, &ev->leader);
	if (ev->fd < 0)
		return ev->fd;
	if (proc) {
		ev->tgid = proc->tgid;
		ev->start_time = proc->start_time;
	}
	err = ev_start(p, ev);
	if (err)
		ev_close(p, ev);
	else
		p->nr++;
	return err;
}

struct cpu_arg {
	struct perf *p;
	unsigned int spec;
	int opened;
};

static bool is_sampled(const struct perf *p, unsigned int spec, int cpu)
{
	size_t i;

	for (i = 0; i < p->nr; i++)
		if (p->ev[i].spec == spec && p->ev[i].cpu == cpu)
			return true;
	return false;
}

static int add_on_cpu(unsigned int cpu, void *arg)
{
	struct cpu_arg *a = arg;
	int err = is_sampled(a->p, a->spec, cpu) ? 0 : ev_add(a->p, a->spec, -1, cpu, NULL);

	if (err == -ENODEV) /* offline */
		return 0;
	a->opened += !err;
	return err;
}

static int read_online(const struct perf *p, char *online)
{
	ssize_t len = ht_read_str(online, sizeof(p->online), "%s/devices/system/cpu/online",
				  p->opts.roots->sys);

	return len < 0 ? len : 0;
}

static int add_system_wide(struct perf *p, unsigned int spec)
{
	struct cpu_arg a = { .p = p, .spec = spec };
	const char *cpus = p->spec[spec].cpus;
	int err;

	err = ht_parse_list(*cpus ? cpus : p->online, MAX_CPUS, add_on_cpu, &a);
	return err ? err : a.opened ? 0 : -ENODEV;
}

/* Two events and two leaders for each CPU may be more than the usual 1024 files. */
static void raise_nofile(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) || rl.rlim_cur == rl.rlim_max)
		return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

static int fentry_attach(struct perf *p)
{
	if (p->bpf.prog_perf_output < 0)
		return -EOPNOTSUPP;
	p->fentry_fd = bpf_raw_tracepoint_open(NULL, p->bpf.prog_perf_output);
	return p->fentry_fd < 0 ? -errno : 0;
}

static void fentry_detach(struct perf *p)
{
	if (p->fentry_fd >= 0)
		close(p->fentry_fd);
	p->fentry_fd = -1;
}

struct large_probe {
	uint64_t due, seen, fentry;
};

/* Samples a workload of our own, on this thread alone. Stats count even while sampling is off. */
static int run_large(struct perf *p, const struct ht_perf_spec *spec, struct large_probe *r)
{
	struct ht_cpu_stats before, after;
	struct ht_perf_count c = {};
	struct ht_workout w;
	size_t nr = p->nr;
	int err;

	p->spec[HT_PERF_MAX_SPECS - 1] = *spec;
	p->spec[HT_PERF_MAX_SPECS - 1].period = PROBE_PERIOD;
	err = ht_workout_open(&w, 64 << 20);
	if (err)
		return err;
	err = read_stats(p, &before);
	if (!err)
		err = ev_add(p, HT_PERF_MAX_SPECS - 1, 0, -1, NULL);
	if (!err) {
		ht_workout_run(&w, PROBE_MS);
		ioctl(p->ev[nr].fd, PERF_EVENT_IOC_DISABLE, 0);
		err = ht_perf_read(p->ev[nr].fd, &c); /* also drains what is buffered */
		if (!err)
			err = read_stats(p, &after);
		ev_close(p, &p->ev[nr]);
		p->nr = nr;
		p->due_closed = 0;
	}
	ht_workout_close(&w);
	if (err)
		return err;
	r->due = c.value / PROBE_PERIOD;
	r->seen = after.seen - before.seen;
	r->fentry = after.fentry - before.fentry;
	return 0;
}

/*
 * Does large PEBS deliver here? Records must arrive (90 % of those due), most of them through the
 * fentry program: else they were not batched, as when the kernel does not know the latency
 * (PERF_SAMPLE_WEIGHT_STRUCT) for something a record holds. Then it is left out and tried again.
 */
static int probe_large(struct perf *p, char *note, size_t size)
{
	const struct ht_perf_spec last = p->spec[HT_PERF_MAX_SPECS - 1];
	struct ht_perf_spec spec = p->spec[0];
	struct large_probe r = {};
	int round, i, err = 0;

	for (round = 0; round < 2; round++) {
		err = run_large(p, &spec, &r);
		if (err || r.due < PROBE_DUE || r.seen * 10 < r.due * 9 || r.fentry * 2 >= r.seen)
			break;
		spec.sample_type &= ~PERF_SAMPLE_WEIGHT_STRUCT;
	}
	p->spec[HT_PERF_MAX_SPECS - 1] = last;
	if (err)
		snprintf(note, size, "large PEBS failed: %s", strerror(-err));
	else
		snprintf(note, size,
			 "large PEBS gave %" PRIu64 " of %" PRIu64 " samples, %" PRIu64 " batched",
			 r.seen, r.due, r.fentry);
	if (err || r.due < PROBE_DUE || r.seen * 10 < r.due * 9 || r.fentry * 2 < r.seen)
		return -EOPNOTSUPP;
	for (i = 0; i < p->nr_specs; i++)
		if (!(spec.sample_type & PERF_SAMPLE_WEIGHT_STRUCT))
			p->spec[i].sample_type &= ~PERF_SAMPLE_WEIGHT_STRUCT;
	return 0;
}

/*
 * Decides p->large. Single is always right; large is better where it works. Per task it is not
 * offered: an inherited event has an id of its own, which the fentry program does not know.
 */
static int choose_drain(struct perf *p, char *note, size_t size)
{
	enum ht_drain want = p->opts.drain;
	int err;

	if (want == HT_DRAIN_AUTO && (p->id != HT_SRC_PEBS || p->opts.per_task))
		want = HT_DRAIN_SINGLE;
	if (p->id == HT_SRC_IBS) /* the hardware holds one record */
		want = HT_DRAIN_SINGLE;
	if (want == HT_DRAIN_SINGLE)
		return 0;
	if (p->opts.per_task) {
		snprintf(note, size, "batched samples need events per CPU, not per task");
		return -EINVAL;
	}
	p->large = true;
	err = fentry_attach(p);
	if (err)
		snprintf(note, size, "no fentry on %s (%s)", p->bpf.perf_output_fn ?: "?",
			 strerror(-err));
	else if (p->id == HT_SRC_PEBS)
		err = probe_large(p, note, size);
	if (!err)
		return 0;
	if (want == HT_DRAIN_LARGE)
		return err;
	fentry_detach(p);
	p->large = false;
	return 0;
}

static void perf_free(struct perf *p)
{
	size_t i;

	for (i = 0; i < p->nr; i++)
		ev_close(p, &p->ev[i]);
	fentry_detach(p);
	free(p->ev);
	free(p);
}

static int perf_start(struct perf *p, char *why, size_t size)
{
	int err = 0, i;

	raise_nofile();
	err = choose_drain(p, why, size);
	if (err || p->opts.per_task) /* per task: opened when targets come */
		return err;
	err = read_online(p, p->online);
	for (i = 0; !err && i < p->nr_specs; i++) {
		err = add_system_wide(p, i);
		if (err)
			ht_perf_explain(err, &p->opts, &p->spec[i], why, size);
	}
	return err;
}

static void perf_detail(const struct perf *p, const char *note, char *buf, size_t size)
{
	size_t len = 0;
	int i;

	for (i = 0; i < p->nr_specs && len < size; i++) {
		len += snprintf(buf + len, size - len, "%s%s every %" PRIu64, i ? ", " : "",
				p->spec[i].name, p->spec[i].period);
		if (p->spec[i].precise && len < size)
			len += snprintf(buf + len, size - len, " (precise %u)", p->spec[i].precise);
	}
	if (len < size)
		snprintf(buf + len, size - len, "; %s; %s%s%.128s",
			 p->large ? "batched, fentry" : "one interrupt each",
			 p->opts.per_task ? "per task" : "all CPUs", *note ? "; " : "", note);
}

/* Odd, as loops seldom have an odd number of accesses; IBS counts in sixteens, from 9 of them on.
 */
static uint64_t dense_period(const struct perf *p, int spec, unsigned int density)
{
	uint64_t base = p->base_period[spec], period = base / density;

	if (density == 1)
		return base;
	return p->id == HT_SRC_IBS ? period & ~0xfULL : period | 1;
}

/* Threads' inherited events would keep the period they have. */
static unsigned int densest(const struct perf *p)
{
	uint64_t most = p->base_period[0] / (p->id == HT_SRC_IBS ? IBS_LEAST : 1);

	if (p->opts.per_task || !most)
		return 1;
	return most < UINT_MAX ? most : UINT_MAX;
}

static int perf_open(enum ht_source_id id, struct ht_source *src, const struct ht_source_opts *opts,
		     const struct ht_source_bpf *bpf)
{
	struct perf *p = calloc(1, sizeof(*p));
	char why[256] = "";
	int err, i;

	if (!p)
		return -ENOMEM;
	p->id = id;
	p->opts = *opts;
	p->bpf = *bpf;
	p->fentry_fd = -1;
	p->nr_specs = ht_perf_specs(id, opts, p->spec, why, sizeof(why));
	err = p->nr_specs < 0 ? p->nr_specs : perf_start(p, why, sizeof(why));
	if (err) {
		pr_err("source %s: %s", src->ops->name, *why ? why : strerror(-err));
		perf_free(p);
		return err;
	}
	perf_detail(p, why, src->detail, sizeof(src->detail));
	for (i = 0; i < p->nr_specs; i++)
		p->base_period[i] = p->spec[i].period;
	src->priv = p;
	src->period = p->spec[0].period;
	src->densest = densest(p);
	return 0;
}

static void count_record(void *arg, const struct perf_event_header *rec)
{
	const uint64_t *word = (const uint64_t *)(rec + 1);
	struct perf *p = arg;

	if (rec->type == PERF_RECORD_THROTTLE)
		p->throttled++;
	else if (rec->type == PERF_RECORD_LOST_SAMPLES && rec->size >= sizeof(*rec) + 8)
		p->lost += word[0];
	else if (rec->type == PERF_RECORD_LOST && rec->size >= sizeof(*rec) + 16)
		p->lost += word[1];
}

static const struct ht_proc *find_target(const struct ht_targets *t, pid_t tgid)
{
	size_t lo = 0, hi = t->nr, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (t->proc[mid].tgid == tgid)
			return &t->proc[mid];
		if (t->proc[mid].tgid < tgid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Every thread of a process. Threads it starts later inherit the events of the one that did. */
static int add_process(struct perf *p, const struct ht_proc *proc)
{
	char path[PATH_MAX];
	struct dirent *e;
	int err = 0, i;
	pid_t tid;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%d/task", p->opts.roots->proc, proc->tgid);
	d = opendir(path);
	if (!d)
		return 0; /* gone: the next scan drops it */
	while (!err && (e = readdir(d))) {
		tid = atoi(e->d_name);
		for (i = 0; tid > 0 && !err && i < p->nr_specs; i++) {
			err = ev_add(p, i, tid, -1, proc);
			err = err == -ESRCH ? 0 : err;
		}
	}
	closedir(d);
	return err;
}

/* Closes events of processes that are no targets any more; marks which targets have some. */
static void sweep_tasks(struct perf *p, const struct ht_targets *t, bool *covered)
{
	const struct ht_proc *proc;
	size_t i;

	for (i = 0; i < p->nr;) {
		proc = find_target(t, p->ev[i].tgid);
		if (proc && proc->start_time == p->ev[i].start_time) {
			covered[proc - t->proc] = true;
			i++;
			continue;
		}
		ev_close(p, &p->ev[i]);
		p->ev[i] = p->ev[--p->nr];
	}
}

static int follow_tasks(struct perf *p, const struct ht_targets *t)
{
	bool *covered = calloc(t->nr ? t->nr : 1, sizeof(*covered));
	char why[256] = "";
	int err = 0;
	size_t i;

	if (!covered)
		return -ENOMEM;
	sweep_tasks(p, t, covered);
	for (i = 0; !err && i < t->nr; i++)
		if (!covered[i])
			err = add_process(p, &t->proc[i]);
	if (err && !p->task_warned) {
		ht_perf_explain(err, &p->opts, &p->spec[0], why, sizeof(why));
		pr_err("cannot sample all targets: %s", why);
	}
	p->task_warned = err != 0;
	free(covered);
	return err;
}

static int close_offline(struct perf *p, const char *online)
{
	bool on[MAX_CPUS] = {};
	int err = ht_parse_mask(online, MAX_CPUS, on);
	size_t i;

	for (i = 0; !err && i < p->nr;) {
		if (on[p->ev[i].cpu]) {
			i++;
			continue;
		}
		ev_close(p, &p->ev[i]);
		p->ev[i] = p->ev[--p->nr];
	}
	return err;
}

/* An event ends with its CPU, and does not come back with it. */
static int follow_cpus(struct perf *p)
{
	char online[sizeof(p->online)], why[256] = "";
	int err = read_online(p, online), i;

	if (err || !strcmp(online, p->online))
		return err;
	pr_debug("CPUs online: %s", online);
	memcpy(p->online, online, sizeof(online));
	err = close_offline(p, online);
	for (i = 0; !err && i < p->nr_specs; i++) {
		err = add_system_wide(p, i);
		err = err == -ENODEV ? 0 : err; /* none of this kind is online */
		if (err)
			ht_perf_explain(err, &p->opts, &p->spec[i], why, sizeof(why));
	}
	if (err)
		pr_err("CPUs have come and are not sampled: %s", *why ? why : strerror(-err));
	return err;
}

/* A PMU that counts but has no addresses (a hypervisor that forgot them) must not go unnoticed. */
static void check_addresses(struct perf *p)
{
	struct ht_cpu_stats s;

	if (p->addr_warned || read_stats(p, &s) || s.seen < 1000)
		return;
	p->addr_warned = true;
	if (s.drop[HT_DROP_NO_ADDR] * 100 >= s.seen * 99)
		pr_warn("%s: %" PRIu64 " of %" PRIu64 " samples came without an address: this PMU "
			"cannot be used, choose another --source",
			ht_source_name(p->id), (uint64_t)s.drop[HT_DROP_NO_ADDR], (uint64_t)s.seen);
}

static int perf_epoch(struct ht_source *src, const struct ht_targets *targets)
{
	struct perf *p = src->priv;
	size_t i;

	for (i = 0; i < p->nr; i++)
		ht_perf_ring_drain(&p->ev[i].ring, count_record, p);
	check_addresses(p);
	return p->opts.per_task ? follow_tasks(p, targets) : follow_cpus(p);
}

/*
 * Counts are not scaled up for the time an event had no counter: no samples were due then. That
 * time is warned of, since it is time not looked at.
 */
static int perf_stats(struct ht_source *src, struct ht_source_stats *stats)
{
	struct perf *p = src->priv;
	uint64_t enabled = 0, running = 0;
	struct ht_perf_count c;
	size_t i;

	stats->due = p->due_closed;
	stats->lost = p->lost;
	stats->throttled = p->throttled;
	for (i = 0; i < p->nr; i++) {
		if (ht_perf_read(p->ev[i].fd, &c))
			continue;
		stats->due += ev_due(p, &p->ev[i], c.value);
		enabled += c.enabled;
		running += c.running;
	}
	if (!p->share_warned && enabled > 1000000000 && running < enabled / 10 * 9) {
		pr_warn("%s: others use the PMU too, sampling only %.0f %% of the time",
			src->ops->name, running * 100.0 / enabled);
		p->share_warned = true;
	}
	return 0;
}

/* What was due until now was so at the former period. */
static int ev_set_period(struct perf *p, struct perf_ev *ev, uint64_t period)
{
	struct ht_perf_count c;

	if (ht_perf_read(ev->fd, &c))
		return -EIO;
	if (ioctl(ev->fd, PERF_EVENT_IOC_PERIOD, &period))
		return -errno;
	p->due_closed += ev_due(p, ev, c.value);
	ev->counted = c.value;
	return 0;
}

static int perf_set_density(struct ht_source *src, unsigned int density)
{
	struct perf *p = src->priv;
	int err = 0, i;
	size_t n, done;

	for (n = 0; !err && n < p->nr; n++)
		err = ev_set_period(p, &p->ev[n], dense_period(p, p->ev[n].spec, density));
	for (done = 0; err && done + 1 < n; done++)
		ev_set_period(p, &p->ev[done], p->spec[p->ev[done].spec].period);
	if (err)
		return err;
	for (i = 0; i < p->nr_specs; i++)
		p->spec[i].period = dense_period(p, i, density);
	src->period = p->spec[0].period;
	return 0;
}

static void perf_close(struct ht_source *src)
{
	perf_free(src->priv);
}

struct ring_probe {
	struct ht_source_probe *res;
	const struct ht_workout *w;
};

/* The address is the first field of a sample: no type sampled here comes before it. */
static void probe_record(void *arg, const struct perf_event_header *rec)
{
	const uint64_t *addr = (const uint64_t *)(rec + 1);
	struct ring_probe *p = arg;

	if (rec->type == PERF_RECORD_LOST && rec->size >= sizeof(*rec) + 16)
		pr_debug("probe: %" PRIu64 " samples lost", addr[1]);
	if (rec->type != PERF_RECORD_SAMPLE || rec->size < sizeof(*rec) + sizeof(*addr))
		return;
	p->res->seen++;
	p->res->zero_addr += !*addr;
	p->res->in_buffer += ht_workout_has(p->w, *addr);
}

struct probe_ev {
	int fd, leader;
	struct ht_perf_ring ring;
};

static int probe_open(struct probe_ev *ev, struct ht_perf_spec *spec, char *why, size_t size,
		      const struct ht_source_opts *opts)
{
	int err = 0;

	ev->fd = ht_perf_open_spec(spec, HT_PERF_SINGLE, 0, -1, &ev->leader);
	if (ev->fd < 0)
		err = ev->fd;
	if (!err)
		err = ht_perf_ring_map(&ev->ring, ev->fd, 256);
	if (!err && ev->leader >= 0 && ioctl(ev->leader, PERF_EVENT_IOC_ENABLE, 0))
		err = -errno;
	if (!err && ioctl(ev->fd, PERF_EVENT_IOC_ENABLE, 0))
		err = -errno;
	if (err)
		ht_perf_explain(err, opts, spec, why, size);
	return err;
}

static void probe_close(struct probe_ev *ev)
{
	ht_perf_ring_unmap(&ev->ring);
	if (ev->fd >= 0)
		close(ev->fd);
	if (ev->leader >= 0)
		close(ev->leader);
}

static void probe_work(enum ht_source_id id, struct ht_workout *w)
{
	if (id == HT_SRC_PAGE_FAULT)
		ht_workout_fault(w);
	else
		ht_workout_run(w, 10);
}

/* A page fault workout touches 4 MiB a round: no more faults than the ring has room for. */
static int perf_probe(enum ht_source_id id, const struct ht_source_opts *opts, unsigned int ms,
		      struct ht_source_probe *res)
{
	struct ht_perf_spec spec[HT_PERF_MAX_SPECS];
	struct probe_ev ev[HT_PERF_MAX_SPECS];
	struct ht_workout w;
	struct ring_probe rp = { .res = res, .w = &w };
	struct ht_perf_count c;
	double start;
	int nr, i, n = 0, err;

	nr = ht_perf_specs(id, opts, spec, res->verdict, sizeof(res->verdict));
	if (nr < 0)
		return nr;
	err = ht_workout_open(&w, id == HT_SRC_PAGE_FAULT ? 4 << 20 : 64 << 20);
	if (err)
		return err;
	for (n = 0; !err && n < nr; n++) {
		ev[n] = (struct probe_ev){ .fd = -1, .leader = -1 };
		err = probe_open(&ev[n], &spec[n], res->verdict, sizeof(res->verdict), opts);
	}
	start = ht_workout_now();
	while (!err && ht_workout_now() - start < ms / 1e3) {
		probe_work(id, &w);
		for (i = 0; i < n; i++)
			ht_perf_ring_drain(&ev[i].ring, probe_record, &rp);
	}
	res->seconds = ht_workout_now() - start;
	for (i = 0; i < n; i++) {
		if (!err && !ht_perf_read(ev[i].fd, &c))
			res->due += c.value / spec[i].period;
		probe_close(&ev[i]);
	}
	ht_workout_close(&w);
	if (!err)
		ht_probe_verdict(res, "samples");
	return err;
}

/* The three sources differ in their events only. */
#define PERF_SOURCE(fn, source_id)                                                                 \
	static int fn##_usable(const struct ht_source_opts *opts, char *why, size_t size)          \
	{                                                                                          \
		return perf_usable(source_id, opts, why, size);                                    \
	}                                                                                          \
	static int fn##_open(struct ht_source *src, const struct ht_source_opts *opts,             \
			     const struct ht_source_bpf *bpf, struct ht_journal *journal)          \
	{                                                                                          \
		return perf_open(source_id, src, opts, bpf);                                       \
	}                                                                                          \
	static int fn##_probe(const struct ht_source_opts *opts, unsigned int ms,                  \
			      struct ht_source_probe *res)                                         \
	{                                                                                          \
		return perf_probe(source_id, opts, ms, res);                                       \
	}

PERF_SOURCE(pebs, HT_SRC_PEBS)
PERF_SOURCE(ibs, HT_SRC_IBS)
PERF_SOURCE(fault, HT_SRC_PAGE_FAULT)

const struct ht_source_ops ht_source_pebs = {
	.id = HT_SRC_PEBS,
	.name = "pebs",
	.what = "slow loads and stores with their addresses, from an Intel PMU",
	.fentry_target = "perf_event_output",
	.is_pmu = true,
	.usable = pebs_usable,
	.open = pebs_open,
	.epoch = perf_epoch,
	.stats = perf_stats,
	.close = perf_close,
	.set_density = perf_set_density,
	.probe = pebs_probe,
};

const struct ht_source_ops ht_source_ibs = {
	.id = HT_SRC_IBS,
	.name = "ibs",
	.what = "micro-ops with their data addresses, from an AMD PMU",
	.is_pmu = true,
	.usable = ibs_usable,
	.open = ibs_open,
	.epoch = perf_epoch,
	.stats = perf_stats,
	.close = perf_close,
	.set_density = perf_set_density,
	.probe = ibs_probe,
};

const struct ht_source_ops ht_source_page_fault = {
	.id = HT_SRC_PAGE_FAULT,
	.name = "page-fault",
	.what = "first touches of pages: exercises the PMU's code without one",
	.fentry_target = "perf_event_output_forward",
	.usable = fault_usable,
	.open = fault_open,
	.epoch = perf_epoch,
	.stats = perf_stats,
	.close = perf_close,
	.set_density = perf_set_density,
	.probe = fault_probe,
};
