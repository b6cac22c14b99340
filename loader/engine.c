// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpflog.h"
#include "control.h"
#include "engine.h"
#include "guest_report.h"
#include "knobs.h"
#include "log.h"
#include "own_memory.h"
#include "prereq.h"
#include "privs.h"
#include "record.h"
#include "signals.h"
#include "swap.h"

#define STATUS_NS 10000000000ULL

static int find_tiers(struct ht_engine *e)
{
	int err;

	err = ht_tiers_discover(&e->tiers, e->roots, e->cfg->fast, e->cfg->slow);
	if (err == -EINVAL)
		return HT_RC_USAGE;
	if (err) {
		pr_err("cannot find this machine's memory nodes: %s", strerror(-err));
		return HT_RC_ERROR;
	}
	e->nr_tiers = e->tiers.nr_tiers < HT_SPACE_TIERS ? e->tiers.nr_tiers : HT_SPACE_TIERS;
	if (e->nr_tiers >= 2 || e->cfg->dry_run)
		return 0;
	pr_err("only one memory tier here (%s): there is nothing to tier; name nodes with --fast "
	       "and "
	       "--slow if the kernel is wrong, or observe with --dry-run",
	       e->tiers.why);
	return HT_RC_TIERS;
}

/* Memory the heat map has to cover: what was asked for, or all there is. */
static uint64_t tracked_bytes(const struct ht_engine *e)
{
	uint64_t sum = 0;
	struct sysinfo si;
	unsigned int i;

	if (e->cfg->heat_bytes)
		return e->cfg->heat_bytes;
	for (i = 0; i < e->tiers.nr_nodes; i++)
		sum += e->tiers.node[i].total_bytes;
	if (!sum && !sysinfo(&si))
		sum = (uint64_t)si.totalram * si.mem_unit;
	return sum;
}

/* Batched samples come through it, no others: elsewhere it would be verified in vain, or refused.
 */
static const char *fentry_target(const struct ht_engine *e, enum ht_source_id source)
{
	const struct ht_source_opts *o = &e->cfg->source_opts;
	bool wanted =
		o->drain == HT_DRAIN_LARGE || (o->drain == HT_DRAIN_AUTO && source == HT_SRC_PEBS);

	return wanted && !o->per_task ? ht_source_fentry_target(source) : NULL;
}

static int set_knobs(struct ht_engine *e)
{
	return ht_knobs_set_all(e->policy->obj, e->cfg->set, e->cfg->nr_set, NULL);
}

static int load_policy(struct ht_engine *e, enum ht_source_id source)
{
	struct ht_object_opts opts = {
		.fentry_target = fentry_target(e, source),
		.source = source,
		.record = e->cfg->record && source != HT_SRC_EMULATED,
		.generation = 1,
	};
	int node = ht_own_memory_node(&e->tiers, e->roots), err;

	ht_heatmap_size(&opts.size, tracked_bytes(e));
	opts.table_node = node < 0 ? 0 : 1 + node;
	err = ht_object_load(e->policy, &opts);
	if (err && opts.fentry_target) {
		/* Where the kernel refuses fentry (lockdown, no ftrace), single records still work.
		 */
		pr_info("trying again without the fentry program");
		opts.fentry_target = NULL;
		ht_object_close(e->policy);
		err = ht_object_open(e->policy, e->cfg->policy);
		err = err ?: set_knobs(e);
		err = err ?: ht_object_load(e->policy, &opts);
	}
	if (err)
		return err;
	e->policy->mem.ctl->abi = HT_ABI_VERSION;
	e->policy->mem.ctl->generation = opts.generation;
	e->policy->mem.ctl->source = source;
	return ht_heatmap_init(&e->heat, &e->policy->mem);
}

int ht_engine_init_policy(struct ht_engine *e, struct ht_object *o)
{
	struct ht_init init = {
		.abi = HT_ABI_VERSION,
		.nr_tiers = e->nr_tiers,
		.nr_cpus = libbpf_num_possible_cpus(),
		.source = o->mem.ctl->source,
		.period = e->source ? e->source->period : 0,
		.epoch_ns = e->cfg->epoch_ms * 1000000ULL,
		.fast_lat_ns = e->tiers.tier[0].read_lat_ns,
	};
	unsigned int t, i;
	int result = 0, err;

	for (t = 0; t < e->tiers.nr_tiers; t++) {
		if (t == 0)
			init.fast_pages = e->tiers.tier[t].total_bytes >> HT_PAGE_SHIFT;
		else
			init.slow_pages += e->tiers.tier[t].total_bytes >> HT_PAGE_SHIFT;
	}
	if (e->tiers.nr_tiers > 1)
		init.slow_lat_ns = e->tiers.tier[1].read_lat_ns;
	for (i = 0; i < e->tiers.nr_nodes; i++) {
		const struct ht_node *n = &e->tiers.node[i];

		if (n->tier == 0) {
			init.fast_nodes |= 1ULL << (n->id & 63);
			init.fast_bw_mbps += n->read_bw_mbps;
		} else if (n->tier == 1) {
			init.slow_bw_mbps += n->read_bw_mbps;
		}
	}
	err = ht_object_init_policy(o, &init, &result);
	if (err)
		pr_err("policy '%s' cannot be called: %s", o->info.name, strerror(-err));
	else if (result)
		pr_err("policy '%s' declined to start: init returned %d", o->info.name, result);
	return err ?: result ? -ECANCELED : 0;
}

static int pin(struct ht_engine *e)
{
	struct ht_prereq p;
	int err;

	if (e->cfg->no_pin)
		return 0;
	ht_prereq_check(&p, e->roots);
	if (!p.bpffs && ht_prereq_mount_bpffs()) {
		pr_warn("no BPF file system on /sys/fs/bpf: maps are not pinned");
		return 0;
	}
	if (e->cfg->instance && e->cfg->pin_dir == e->cfg->pin_dir_of_instance)
		mkdir(HT_PIN_DIR, 0700); /* its parent; what is wrong with it shows next */
	e->made_pin_dir = !mkdir(e->cfg->pin_dir, 0700);
	if (!e->made_pin_dir && errno != EEXIST) {
		err = -errno;
		pr_err("cannot create %s: %s", e->cfg->pin_dir, strerror(errno));
		return err;
	}
	return ht_object_pin(e->policy, e->cfg->pin_dir, e->journal);
}

static int open_parts(struct ht_engine *e)
{
	/* Without ranges by page nothing would come of it. */
	bool split = !e->cfg->no_split && !(e->cfg->ablate & HT_ABLATE_RANGES);
	int err;

	err = ht_placement_open(&e->placement, e->roots, &e->tiers);
	err = err ?: ht_mover_init(&e->mover, false);
	if (!err && e->cfg->ablate & HT_ABLATE_EXCHANGE && !ht_migrate_pairs(e->mover.migrate))
		pr_warn("--ablate exchange: pages cannot be exchanged here, so it changes nothing");
	err = err ?: ht_migrate_choose(e->mover.migrate, e->cfg->backend);
	err = err ?: ht_splitter_init(&e->splitter, split);
	err = err ?: ht_ranges_init(&e->ranges, e->policy->ranges, HT_RANGES_MAX);
	e->ranges.fixed = e->cfg->ablate & HT_ABLATE_RANGES;
	err = err ?: ht_plan_init(&e->plan, e->policy->moves, HT_MOVES_MAX, HT_RANGES_MAX);
	return err ?: ht_follow_start(e);
}

/* The emulated source's samples pass through the loader; others come through a ring. */
static int open_record(struct ht_engine *e, int source)
{
	int err;

	if (!e->cfg->record)
		return 0;
	err = ht_record_open(&e->source_opts.record, e->cfg->record, source);
	if (err || source == HT_SRC_EMULATED)
		return err;
	return ht_record_ring(e->source_opts.record, e->policy->map_recording);
}

static int open_journal(struct ht_engine *e)
{
	size_t recovered = 0;
	int err;

	if (e->cfg->instance && mkdir(HT_RUN_DIR, 0700) && errno != EEXIST)
		pr_warn("cannot create " HT_RUN_DIR ": %s", strerror(errno));
	err = ht_journal_open(&e->journal, e->cfg->run_dir, &recovered);
	if (recovered)
		pr_info("cleaned up after a loader that was killed: %zu thing%s put back",
			recovered, recovered == 1 ? "" : "s");
	if (err == -EBUSY)
		return HT_RC_BUSY;
	return err ? HT_RC_ERROR : 0;
}

/* Opened now: where the file is to be, root may not write once it has given up capabilities. */
static int open_stats_file(struct ht_engine *e)
{
	if (!e->cfg->stats_file)
		return 0;
	e->stats_out = fopen(e->cfg->stats_file, "we");
	if (e->stats_out)
		return 0;
	pr_err("cannot write %s: %s", e->cfg->stats_file, strerror(errno));
	return -errno;
}

/* Frame numbers of processes still to come, and what hint faults write back at the end. */
static bool needs_admin(const struct ht_engine *e, int source)
{
	return source == HT_SRC_HINT_FAULT ||
	       !strcmp(ht_placement_backend(e->placement), "pagemap");
}

static int start(struct ht_engine *e)
{
	char why[1024] = "";
	int source, err;

	err = find_tiers(e);
	if (err)
		return err;
	e->policy = calloc(1, sizeof(*e->policy));
	if (!e->policy)
		return HT_RC_ERROR;
	if (ht_object_open(e->policy, e->cfg->policy))
		return HT_RC_POLICY;
	if (set_knobs(e))
		return HT_RC_USAGE;
	err = open_journal(e);
	if (err)
		return err;
	source = ht_source_choose(e->cfg->source, &e->cfg->source_opts, why, sizeof(why));
	if (source < 0) {
		pr_err("no source of samples: %s", why);
		return HT_RC_SOURCE;
	}
	err = load_policy(e, source);
	if (err)
		return err == -ENOMEM ? HT_RC_ERROR : HT_RC_POLICY;
	e->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	err = open_parts(e);
	if (err)
		return err == -ENOENT ? HT_RC_USAGE : HT_RC_ERROR;
	if (ht_object_follow(e->policy))
		return HT_RC_ERROR;
	if (pin(e))
		return HT_RC_ERROR;
	if (e->cfg->report && ht_guest_port_open(&e->guest_port, e->cfg->report))
		return HT_RC_USAGE;
	if (open_record(e, source) || open_stats_file(e))
		return HT_RC_ERROR;
	if (ht_source_open(&e->source, source, &e->source_opts, &e->policy->src, e->journal))
		return HT_RC_SOURCE;
	ht_record_start(e->source_opts.record, e->source->period);
	ht_pace_bound(&e->pace, ht_source_densest(e->source));
	if (ht_engine_init_policy(e, e->policy))
		return HT_RC_POLICY;
	ht_swap_hook(e);
	e->started_ns = ht_now_ns();
	snprintf(e->metrics.policy, sizeof(e->metrics.policy), "%s", e->policy->info.name);
	e->control_fd = ht_control_listen(e->cfg->run_dir);
	if (e->control_fd < 0)
		pr_warn("no control socket in %s: %s; the policy cannot be swapped",
			e->cfg->run_dir, strerror(-e->control_fd));
	ht_watch_start(&e->watch, -1);
	__atomic_store_n(&e->policy->mem.ctl->enabled, 1, __ATOMIC_RELEASE);
	ht_report_start(e, why);
	if (ht_privs_drop(needs_admin(e, source)))
		return HT_RC_ERROR;
	if (ht_report_prometheus(e))
		return HT_RC_ERROR;
	ht_notify(&e->notify, "READY=1\nSTATUS=policy %s, started", e->policy->info.name);
	return 0;
}

int ht_engine_start(struct ht_engine *e, const struct ht_config *cfg)
{
	struct ht_prereq prereq;
	int rc;

	memset(e, 0, sizeof(*e));
	e->cfg = cfg;
	e->roots = cfg->source_opts.roots;
	e->source_opts = cfg->source_opts;
	e->stats_fd = -1;
	e->control_fd = -1;
	/* Before anything is changed, so that a signal during the start undoes it in order. */
	ht_notify_open(&e->notify);
	e->signal_fd = ht_block_signals();
	if (e->signal_fd < 0) {
		pr_err("cannot block signals: %s", strerror(errno));
		return HT_RC_ERROR;
	}
	ht_epoch_init(e);
	ht_bpflog_start();
	ht_prereq_check(&prereq, e->roots);
	rc = ht_prereq_report(&prereq);
	return rc ? rc : start(e);
}

static int epoch_timer(unsigned int ms)
{
	struct itimerspec its = { .it_interval = { ms / 1000, ms % 1000 * 1000000L },
				  .it_value = { ms / 1000, ms % 1000 * 1000000L } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0 && timerfd_settime(fd, 0, &its, NULL)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void tell_status(struct ht_engine *e)
{
	if (ht_now_ns() - e->told_ns < STATUS_NS)
		return;
	e->told_ns = ht_now_ns();
	ht_notify(&e->notify, "STATUS=policy %s, %zu targets, fast share %.1f %%%s",
		  e->metrics.policy, e->targets.nr, e->metrics.fast_share * 100,
		  e->observe ? ", tiering stopped" : "");
}

/* Off once nothing is to be had from it. */
static void glimpse(struct ht_engine *e, struct pollfd *fd)
{
	uint64_t expired;

	if (read(fd->fd, &expired, sizeof(expired)) != sizeof(expired) || !ht_pacer_glimpse(e))
		return;
	close(fd->fd);
	fd->fd = -1;
}

/* One pass of the loop; true ends it. */
static bool step(struct ht_engine *e, struct pollfd *fd)
{
	struct signalfd_siginfo si;
	uint64_t expired;
	int err;

	if (poll(fd, 4, ht_notify_timeout(&e->notify)) < 0 && errno != EINTR) {
		e->err = -errno;
		return true;
	}
	ht_notify_alive(&e->notify, ht_now_ns());
	if (read(fd[0].fd, &si, sizeof(si)) == sizeof(si)) {
		pr_debug("signal %u: stopping", si.ssi_signo);
		return true;
	}
	if (fd[2].revents & POLLIN)
		ht_control_serve(e->control_fd, ht_swap_control, e);
	if (e->unload)
		return true;
	if (fd[3].revents & POLLIN)
		glimpse(e, &fd[3]);
	if (read(fd[1].fd, &expired, sizeof(expired)) != sizeof(expired))
		return false;
	if (expired > 1)
		e->metrics.late_epochs += expired - 1;
	err = ht_epoch_run(e);
	if (err) {
		pr_err("epoch %u failed: %s", e->epoch, strerror(-err));
		e->err = err;
		return true;
	}
	ht_swap_watch(e);
	if (e->guest_port)
		ht_guest_port_epoch(e->guest_port, e);
	ht_report_prometheus(e);
	tell_status(e);
	if (e->cfg->stats_s &&
	    e->metrics.wall_ns - e->printed.wall_ns >= e->cfg->stats_s * 1000000000ULL - 50000000)
		ht_report_stats(e);
	return e->cfg->duration_s && e->metrics.wall_ns >= e->cfg->duration_s * 1000000000ULL;
}

/* Samples that were counted, or would have been, and for which the ring had no room. */
static void report_recording(const struct ht_engine *e)
{
	const struct ht_metrics *m = &e->metrics;
	uint64_t due = m->samples_counted + m->drop[HT_DROP_POLICY] + m->drop[HT_DROP_NO_TILE] +
		       m->drop[HT_DROP_NO_SLOT];
	uint64_t got = ht_record_samples(e->source_opts.record);

	pr_info("recorded %llu samples to %s%s", (unsigned long long)got, e->cfg->record,
		due > got + due / 1000 ? "; more came than the ring has room for" : "");
}

static void report_end(struct ht_engine *e)
{
	if (e->cfg->record)
		report_recording(e);
	if (e->cfg->json)
		ht_metrics_json(stdout, &e->metrics, "end");
	else
		ht_metrics_summary(stdout, &e->metrics);
	if (!e->stats_out)
		return;
	ht_metrics_json(e->stats_out, &e->metrics, "end");
	if (fclose(e->stats_out)) {
		pr_err("cannot write %s: %s", e->cfg->stats_file, strerror(errno));
		e->err = -errno;
	}
	e->stats_out = NULL;
}

int ht_engine_loop(struct ht_engine *e)
{
	struct pollfd fd[4] = { { .events = POLLIN },
				{ .events = POLLIN },
				{ .events = POLLIN },
				{ .events = POLLIN } };

	ht_own_memory_slow(&e->tiers, e->roots);
	ht_follow_first(e);
	fd[0].fd = e->signal_fd;
	fd[2].fd = e->control_fd;
	fd[1].fd = epoch_timer(e->cfg->epoch_ms);
	fd[3].fd = epoch_timer(e->cfg->epoch_ms / HT_GLIMPSES);
	if (fd[1].fd < 0) {
		e->err = -errno;
		pr_err("cannot set up the epoch timer: %s", strerror(errno));
	} else {
		while (!step(e, fd))
			;
		ht_notify(&e->notify, "STOPPING=1");
		report_end(e);
	}
	close(fd[1].fd);
	close(fd[3].fd);
	return e->err ? HT_RC_ERROR : HT_RC_OK;
}

void ht_engine_stop(struct ht_engine *e)
{
	struct ht_exit why = { .kind = HT_EXIT_USER, .code = e->err, .reason = "unloaded" };

	if (e->policy && e->policy->mem.ctl)
		__atomic_store_n(&e->policy->mem.ctl->enabled, 0, __ATOMIC_RELEASE);
	if (e->source)
		ht_source_close(e->source);
	ht_guest_port_close(e->guest_port);
	ht_record_close(e->source_opts.record);
	if (e->cfg->prometheus && e->started_ns)
		unlink(e->cfg->prometheus); /* or its last values would be taken for present ones */
	if (e->policy && e->policy->obj)
		ht_object_exit_policy(e->policy, &why);
	if (e->placement && e->policy)
		ht_follow_stop(e);
	ht_plan_free(&e->plan);
	ht_ranges_free(&e->ranges);
	ht_hook_kernel_detach(&e->hook);
	ht_splitter_free(&e->splitter);
	ht_mover_free(&e->mover);
	if (e->placement)
		ht_placement_close(e->placement);
	ht_heatmap_free(&e->heat);
	if (e->policy)
		ht_object_close(e->policy);
	free(e->policy);
	if (e->stats_fd >= 0)
		close(e->stats_fd);
	if (e->signal_fd >= 0)
		close(e->signal_fd);
	if (e->stats_out)
		fclose(e->stats_out);
	ht_notify_close(&e->notify);
	if (e->control_fd >= 0) {
		close(e->control_fd);
		ht_control_unlink(e->cfg->run_dir);
	}
	if (e->journal) {
		ht_journal_close(e->journal);
		if (e->made_pin_dir || e->cfg->pin_dir == e->cfg->pin_dir_of_instance)
			rmdir(e->cfg->pin_dir);
		if (e->cfg->instance)
			rmdir(HT_PIN_DIR); /* the last instance's out takes it along */
	}
}
