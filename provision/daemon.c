// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "../loader/control.h"
#include "../loader/log.h"
#include "../loader/replace.h"
#include "../loader/signals.h"
#include "daemon.h"
#include "state.h"

#define BILL_MS 60000
#define ACCEPTS 64    /* between two decisions: what a flood of connections may cost */
#define LOOKS 10      /* in a period, at VMs that are giving back; */
#define LOOK_MS 20    /* no more often than this, */
#define LOOK_SHARE 10 /* nor than one in this many parts of the time goes to deciding */

uint64_t pv_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static double now_real_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

struct pv_vm *pv_daemon_find(const struct pv_daemon *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->cfg.nr_vm; i++)
		if (!strcmp(d->vm[i]->cfg.name, name))
			return d->vm[i];
	return NULL;
}

/* ---- one period */

/*
 * Until every VM has told what it holds, or was found not to answer, nothing is known to be free.
 * The time-outs of the monitors bound this.
 */
static bool is_settled(const struct pv_daemon *d)
{
	size_t i;

	for (i = 0; i < d->cfg.nr_vm; i++)
		if (!d->vm[i]->answered && !d->vm[i]->qmp.drops && !d->vm[i]->warned)
			return false;
	return true;
}

static double mean_value(const struct pv_daemon *d)
{
	double sum = 0;
	size_t i, nr = 0;

	for (i = 0; i < d->cfg.nr_vm; i++)
		if (d->vm[i]->share[0].value != 1) {
			sum += d->vm[i]->share[0].value;
			nr++;
		}
	return nr && sum > 0 ? sum / nr : 1;
}

/* Rates of accesses count relative to each other, beside VMs whose shape alone counts. */
static void prepare(struct pv_daemon *d)
{
	double mean;
	size_t i;

	for (i = 0; i < d->cfg.nr_vm; i++) {
		struct pv_vm *v = d->vm[i];

		if (v->chan.fresh)
			pv_record_report(d, v);
		pv_vm_prepare(v, &d->cfg, d->paused, d->now);
	}
	mean = mean_value(d);
	for (i = 0; i < d->cfg.nr_vm; i++)
		if (d->vm[i]->share[0].value != 1)
			d->vm[i]->share[0].value /= mean;
}

/* What is decided: who has to give back and who gets, or only who gets what came back. */
enum scope { ALL, HAND_ON };

static void decide_tier(struct pv_daemon *d, unsigned int t, enum scope scope, uint64_t ms)
{
	struct pv_pool *p = &d->pool[t];
	size_t i, nr = 0;

	p->capacity = d->cfg.tier[t].capacity;
	p->reserve = d->cfg.tier[t].reserve;
	for (i = 0; i < d->cfg.nr_vm; i++)
		if (d->vm[i]->managed[t])
			d->share[nr++] = &d->vm[i]->share[t];
	if (scope == ALL)
		pv_decide(d->work, d->share, nr, p, &d->cfg.rules, d->now, ms);
	else
		pv_hand_on(d->work, d->share, nr, p, &d->cfg.rules, d->now);
}

static void decide(struct pv_daemon *d, enum scope scope, uint64_t ms)
{
	double from = now_real_ms();
	unsigned int t;
	size_t i;

	decide_tier(d, 0, scope, ms);
	for (i = 0; i < d->cfg.nr_vm; i++)
		pv_vm_couple(d->vm[i]);
	decide_tier(d, 1, scope, ms);
	d->decide_ms = now_real_ms() - from;
	if (d->decide_ms > d->decide_max_ms)
		d->decide_max_ms = d->decide_ms;
	for (i = 0; i < d->cfg.nr_vm; i++)
		for (t = 0; t < PV_TIERS; t++)
			if (d->vm[i]->managed[t])
				pv_vm_ask(d->vm[i], t, &d->cfg, d->now);
	/* What was asked is sent by the loop, after this. */
	for (i = 0; i < d->cfg.nr_vm; i++)
		pv_vm_confine(d->vm[i]);
}

static void bill(struct pv_daemon *d, uint64_t ms)
{
	bool write = d->now - d->billed_at >= BILL_MS || d->stop;
	unsigned int t;
	size_t i;

	for (i = 0; i < d->cfg.nr_vm; i++)
		for (t = 0; t < PV_TIERS; t++) {
			struct pv_vm *v = d->vm[i];

			v->byte_seconds[t] += v->share[t].size * (ms / 1e3);
			if (write)
				v->billed[t] = v->byte_seconds[t];
		}
	if (write)
		d->billed_at = d->now;
}

static void save(struct pv_daemon *d)
{
	struct json_object *o;
	const char *text;
	int err;

	if (!d->cfg.state[0] || d->dry_run)
		return;
	o = pv_state_make(d->vm, d->cfg.nr_vm, d->paused, d->now);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (!d->state_text || strcmp(text, d->state_text)) {
		err = ht_replace_file(d->cfg.state, text, strlen(text), 0600, true);
		if (err && !d->state_errors++)
			pr_err("cannot write the state file %s: %s", d->cfg.state, strerror(-err));
		free(d->state_text);
		d->state_text = err ? NULL : strdup(text);
	}
	json_object_put(o);
}

static void tick(struct pv_daemon *d)
{
	uint64_t ms = d->now - d->last_tick;
	size_t i;

	d->ticks++;
	d->accepts = ACCEPTS;
	d->last_tick = d->now;
	d->next_tick += d->cfg.period_ms;
	if (d->next_tick <= d->now) {
		d->late_ticks++;
		d->next_tick = d->now + d->cfg.period_ms;
	}
	prepare(d);
	if (!d->settled && is_settled(d)) {
		d->settled = true;
		pr_debug("all VMs have been asked what they hold");
	}
	bill(d, ms);
	if (d->settled)
		decide(d, ALL, ms);
	/* What was asked is on record before it is sent: sending is for the loop. */
	save(d);
	for (i = 0; i < d->cfg.nr_vm; i++) {
		pv_qmp_refill(&d->vm[i]->qmp);
		pv_vm_query(d->vm[i], d->now);
	}
	pv_write_metrics(d);
}

/* ---- between two periods */

static bool is_giving_back(const struct pv_vm *v)
{
	unsigned int t;

	for (t = 0; t < PV_TIERS; t++)
		if (v->managed[t] && v->share[t].size > v->share[t].requested)
			return pv_vm_state(v) == PV_VM_READY;
	return false;
}

/* Since the last decision. */
static bool came_back(const struct pv_vm *v)
{
	unsigned int t;

	for (t = 0; t < PV_TIERS; t++)
		if (v->managed[t] && v->share[t].size < v->share[t].last_size)
			return true;
	return false;
}

static bool any(const struct pv_daemon *d, bool (*is)(const struct pv_vm *v))
{
	size_t i;

	for (i = 0; i < d->cfg.nr_vm; i++)
		if (is(d->vm[i]))
			return true;
	return false;
}

static uint64_t look_ms(const struct pv_daemon *d)
{
	uint64_t ms = d->cfg.period_ms / LOOKS, least = LOOK_SHARE * d->decide_ms;

	if (ms < least)
		ms = least;
	return ms > LOOK_MS ? ms : LOOK_MS;
}

/*
 * Who waits for memory that another gives back should not wait for the next period as well. The
 * hypervisor's event is no help: QEMU sends one a second at most.
 */
static void look(struct pv_daemon *d)
{
	size_t i;

	d->next_look = d->now + look_ms(d);
	if (!d->settled)
		return;
	if (any(d, came_back)) {
		prepare(d);
		decide(d, HAND_ON, 0);
		save(d);
	}
	for (i = 0; i < d->cfg.nr_vm; i++)
		if (is_giving_back(d->vm[i]))
			pv_vm_query(d->vm[i], d->now);
}

static bool has_to_look(const struct pv_daemon *d)
{
	return any(d, is_giving_back) || any(d, came_back);
}

/* ---- the loop */

static void take_signal(struct pv_daemon *d)
{
	struct signalfd_siginfo si;
	char why[256];

	while (read(d->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGHUP)
			pv_daemon_reload(d, why, sizeof(why));
		else
			d->stop = true;
	}
}

static int poll_timeout(const struct pv_daemon *d)
{
	uint64_t wake = d->next_tick, w;
	size_t i;

	if (has_to_look(d) && d->next_look < wake)
		wake = d->next_look;
	for (i = 0; i < d->cfg.nr_vm; i++) {
		w = pv_vm_wake(d->vm[i]);
		wake = w < wake ? w : wake;
	}
	return wake > d->now ? (int)(wake - d->now) : 0;
}

/* An fd of which nothing is wanted is left out, or its hang-up would wake us again and again. */
static struct pollfd watch(int fd, short events)
{
	return (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static int step(struct pv_daemon *d)
{
	size_t i, nr = d->cfg.nr_vm;
	struct pollfd *p = calloc(3 + 2 * nr, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p[0] = watch(d->signal_fd, POLLIN);
	p[1] = watch(d->control_fd, POLLIN);
	p[2] = watch(d->vsock_fd, d->accepts ? POLLIN : 0);
	for (i = 0; i < nr; i++) {
		p[3 + 2 * i] = watch(d->vm[i]->qmp.fd, pv_qmp_events(&d->vm[i]->qmp));
		p[4 + 2 * i] = watch(d->vm[i]->chan.fd, pv_channel_events(&d->vm[i]->chan));
	}
	if (poll(p, 3 + 2 * nr, poll_timeout(d)) < 0 && errno != EINTR) {
		free(p);
		return -errno;
	}
	d->now = pv_now_ms();
	for (i = 0; i < nr; i++)
		pv_vm_io(d->vm[i], p[3 + 2 * i].revents, p[4 + 2 * i].revents, d->now);
	if (p[2].revents & POLLIN)
		pv_vsock_accept(d);
	/* Both of these may change the list of VMs. */
	if (p[1].revents & POLLIN)
		ht_control_serve(d->control_fd, pv_serve, d);
	if (p[0].revents & POLLIN)
		take_signal(d);
	if (d->now >= d->next_tick && !d->stop)
		tick(d);
	else if (d->now >= d->next_look && !d->stop && has_to_look(d))
		look(d);
	free(p);
	return 0;
}

/* ---- configuration */

/* VMs that were there keep all that is known of them. */
static int adopt(struct pv_daemon *d, struct pv_config *c, struct pv_vm **old, size_t nr_old)
{
	struct pv_vm **vm = calloc(c->nr_vm + 1, sizeof(*vm));
	struct pv_share **share = calloc(c->nr_vm + 1, sizeof(*share));
	struct pv_work *work = pv_work_new(c->nr_vm);
	size_t i, j;

	if (!vm || !share || !work)
		goto nomem;
	for (i = 0; i < c->nr_vm; i++) {
		for (j = 0; j < nr_old; j++)
			if (old[j] && !strcmp(old[j]->cfg.name, c->vm[i].name) &&
			    !strcmp(old[j]->cfg.qmp, c->vm[i].qmp) &&
			    !strcmp(old[j]->cfg.report, c->vm[i].report) &&
			    old[j]->cfg.cid == c->vm[i].cid &&
			    !strcmp(old[j]->cfg.tier[0].device, c->vm[i].tier[0].device) &&
			    !strcmp(old[j]->cfg.tier[1].device, c->vm[i].tier[1].device))
				break;
		vm[i] = j < nr_old ? old[j] : pv_vm_new(c, &c->vm[i]);
		if (!vm[i])
			goto nomem;
		vm[i]->dry_run = d->dry_run;
	}
	for (i = 0; i < c->nr_vm; i++)
		for (j = 0; j < nr_old; j++)
			if (old[j] == vm[i])
				old[j] = NULL;
	free(d->share);
	pv_work_free(d->work);
	d->vm = vm;
	d->share = share;
	d->work = work;
	return 0;
nomem:
	for (i = 0; vm && i < c->nr_vm; i++) {
		for (j = 0; j < nr_old && old[j] != vm[i]; j++)
			;
		if (j == nr_old)
			pv_vm_free(vm[i]);
	}
	free(vm);
	free(share);
	pv_work_free(work);
	return -ENOMEM;
}

/* What was set by hand since holds on, where it still can. */
static void renew(struct pv_daemon *d)
{
	char why[256], key[128], *eq;
	unsigned int i;
	size_t k;

	for (k = 0; k < d->cfg.nr_vm; k++) {
		struct pv_vm *v = d->vm[k];

		v->cfg = d->cfg.vm[k];
		for (i = 0; i < v->nr_override; i++) {
			struct pv_vm_config changed = v->cfg;

			strcpy(key, v->override[i]);
			eq = strchr(key, '=');
			*eq++ = '\0';
			if (pv_config_set(&d->cfg, &changed, key, eq, why, sizeof(why)) ||
			    pv_config_admit(&d->cfg, &changed, why, sizeof(why)))
				pr_warn("VM %s: %s no longer holds: %s", v->cfg.name,
					v->override[i], why);
			else
				v->cfg = d->cfg.vm[k] = changed;
		}
		pv_vm_policy(v, &d->cfg);
		v->confined = 0; /* it may be another group */
	}
}

int pv_daemon_reload(struct pv_daemon *d, char *why, size_t size)
{
	struct pv_vm **old = d->vm;
	size_t nr_old = d->cfg.nr_vm, i;
	struct pv_config c;
	int err;

	pv_config_init(&c);
	err = pv_config_read(&c, d->config_path);
	err = err ?: adopt(d, &c, old, nr_old);
	if (err) {
		snprintf(why, size,
			 "the old configuration stays in force; the daemon's log says why");
		pr_warn("%s", "the old configuration stays in force");
		pv_config_free(&c);
		return err;
	}
	for (i = 0; i < nr_old; i++) {
		if (old[i] && old[i]->known)
			pr_warn("VM %s is no longer managed; it keeps what it holds",
				old[i]->cfg.name);
		pv_vm_free(old[i]);
	}
	free(old);
	if (d->cfg.metrics[0] && strcmp(d->cfg.metrics, c.metrics))
		unlink(d->cfg.metrics);
	pv_config_free(&d->cfg);
	d->cfg = c;
	d->settled = false;
	d->reloads++;
	renew(d);
	pv_vsock_listen(d);
	pr_info("configuration read again: %zu VMs", d->cfg.nr_vm);
	return 0;
}

/* ---- start and end */

static int lock(struct pv_daemon *d)
{
	char path[PV_PATH];

	if (mkdir(d->run_dir, 0700) && errno != EEXIST) {
		pr_err("cannot create %s: %s", d->run_dir, strerror(errno));
		return PV_RC_ERROR;
	}
	if (snprintf(path, sizeof(path), "%s/lock", d->run_dir) >= (int)sizeof(path)) {
		pr_err("the run-time directory's name is too long");
		return PV_RC_USAGE;
	}
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->lock_fd < 0) {
		pr_err("cannot create %s: %s", path, strerror(errno));
		return PV_RC_ERROR;
	}
	if (!flock(d->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	pr_err("another daemon runs in %s; two would fight over the same VMs", d->run_dir);
	return PV_RC_BUSY;
}

static int resume(struct pv_daemon *d)
{
	struct json_object *state;
	int err;

	if (!d->cfg.state[0])
		return 0;
	err = pv_state_read(d->cfg.state, &state);
	if (err == -ENOENT)
		return 0;
	if (!err)
		err = pv_state_apply(state, &d->cfg, d->vm, d->cfg.nr_vm, &d->paused, d->now);
	json_object_put(state);
	if (err)
		pr_err("the state file %s cannot be used: %s; move it away to start without it",
		       d->cfg.state,
		       err == -EBADMSG ? "it is no state of this version" : strerror(-err));
	return err;
}

static int start(struct pv_daemon *d)
{
	int rc;

	d->signal_fd = ht_block_signals();
	if (pv_config_read(&d->cfg, d->config_path))
		return PV_RC_CONFIG;
	rc = lock(d);
	if (rc)
		return rc;
	d->now = d->started = d->last_tick = d->billed_at = pv_now_ms();
	d->next_tick = d->now + (d->cfg.period_ms < 200 ? d->cfg.period_ms : 200);
	if (adopt(d, &d->cfg, NULL, 0))
		return PV_RC_ERROR;
	if (resume(d))
		return PV_RC_ERROR;
	if (pv_record_open(d) || pv_vsock_listen(d))
		return PV_RC_ERROR;
	d->control_fd = ht_control_listen(d->run_dir);
	if (d->control_fd < 0) {
		pr_err("no control socket in %s: %s", d->run_dir, strerror(-d->control_fd));
		return PV_RC_ERROR;
	}
	pr_info("%zu VMs, a decision every %u ms%s", d->cfg.nr_vm, d->cfg.period_ms,
		d->dry_run ? ", dry run: nothing is asked of them" : "");
	return 0;
}

static void end(struct pv_daemon *d)
{
	size_t i;

	if (d->vm && d->control_fd >= 0) {
		bill(d, 0);
		save(d);
	}
	/* Ours, or of one that was killed: its last values would be taken for present ones. */
	if (d->cfg.metrics[0] && d->control_fd >= 0)
		unlink(d->cfg.metrics);
	for (i = 0; d->vm && i < d->cfg.nr_vm; i++)
		pv_vm_free(d->vm[i]);
	free(d->vm);
	free(d->share);
	pv_work_free(d->work);
	free(d->state_text);
	if (d->record)
		fclose(d->record);
	if (d->control_fd >= 0) {
		close(d->control_fd);
		ht_control_unlink(d->run_dir);
	}
	pv_vsock_close(d);
	if (d->signal_fd >= 0)
		close(d->signal_fd);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	pv_config_free(&d->cfg);
}

int pv_daemon_run(const char *config_path, const char *run_dir, bool dry_run)
{
	struct pv_daemon d = {
		.config_path = config_path,
		.run_dir = run_dir,
		.dry_run = dry_run,
		.lock_fd = -1,
		.control_fd = -1,
		.signal_fd = -1,
		.vsock_fd = -1,
	};
	int rc, err = 0;

	pv_config_init(&d.cfg);
	rc = start(&d);
	while (!rc && !err && !d.stop)
		err = step(&d);
	if (err) {
		pr_err("the loop cannot go on: %s", strerror(-err));
		rc = PV_RC_ERROR;
	}
	end(&d);
	return rc;
}
