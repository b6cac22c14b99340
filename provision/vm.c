// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../loader/log.h"
#include "demand.h"
#include "vm.h"

enum { TAG_DEVICES, TAG_STATUS, TAG_QUIT, TAG_SET /* plus the tier */ };

#define MIB(b) ((b) >> 20)

uint64_t pv_process_start(pid_t pid)
{
	char path[64], buf[1024], *s;
	unsigned long long start = 0;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (!f)
		return 0;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = '\0';
	s = strrchr(buf, ')'); /* a process may put anything into its name */
	for (int field = 2; s && field < 22; field++)
		s = strchr(s + 1, ' ');
	if (s)
		start = strtoull(s + 1, NULL, 10);
	/* A zombie holds no memory. */
	s = strrchr(buf, ')');
	return s && s[1] == ' ' && s[2] == 'Z' ? 0 : start;
}

/* Where a manager opened the monitor's socket, the peer is the manager; a pid file knows better. */
static void learn_process(struct pv_vm *v)
{
	FILE *f = v->cfg.pidfile[0] ? fopen(v->cfg.pidfile, "re") : NULL;
	int pid = 0;

	v->pid = v->qmp.peer;
	if (f) {
		if (fscanf(f, "%d", &pid) == 1 && pid > 0)
			v->pid = pid;
		fclose(f);
	}
	v->pid_start = pv_process_start(v->pid);
}

static void has_ended(struct pv_vm *v)
{
	unsigned int t;

	if (v->known)
		pr_info("VM %s has ended", v->cfg.name);
	for (t = 0; t < PV_TIERS; t++) {
		v->share[t].size = v->share[t].requested = 0;
		v->share[t].strikes = 0;
		v->share[t].backoff_until = 0;
		pv_demand_forget(&v->share[t]);
	}
	v->known = v->ending = v->evicted = v->halted = false;
	v->pid = 0;
	v->confined = 0;
	v->base_known = false;
}

void pv_vm_look(struct pv_vm *v)
{
	if (!v->known || v->qmp.state == PV_QMP_READY)
		return;
	if (v->ending || (v->pid && pv_process_start(v->pid) != v->pid_start))
		has_ended(v);
}

/* ---- the monitor's side */

static void ready(void *arg)
{
	struct pv_vm *v = arg;

	v->answered = v->polled = false;
	learn_process(v);
	pv_vm_query(v, v->now);
}

static bool get_u64(struct json_object *o, const char *key, uint64_t *val)
{
	struct json_object *v;
	int64_t n;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
		return false;
	n = json_object_get_int64(v);
	*val = n;
	return n >= 0 && (uint64_t)n <= HT_GUEST_BYTES_MAX;
}

static const char *get_str(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

static bool take_device(struct pv_vm *v, unsigned int t, struct json_object *data)
{
	struct pv_share *s = &v->share[t];
	uint64_t size, requested, max, block;

	if (!get_u64(data, "size", &size) || !get_u64(data, "requested-size", &requested) ||
	    !get_u64(data, "max-size", &max) || !get_u64(data, "block-size", &block) || !block ||
	    size > max || requested > max)
		return false;
	if (v->seen[t] && !v->setting[t] && requested != s->requested && requested != v->asked[t])
		pr_warn("VM %s: somebody else set %s to %" PRIu64 " MiB", v->cfg.name,
			v->cfg.tier[t].device, MIB(requested));
	/* This look may have been before what we set last, and that may be more. */
	if (v->setting[t] && v->asked[t] > requested)
		requested = v->asked[t];
	s->size = size;
	s->requested = requested;
	s->max = max;
	s->block = block;
	v->seen[t] = true;
	return true;
}

static void take_devices(struct pv_vm *v, struct json_object *list)
{
	size_t i, nr = json_object_is_type(list, json_type_array) ? json_object_array_length(list)
								  : 0;
	bool found[PV_TIERS] = { false };
	struct json_object *data;
	unsigned int t;

	for (i = 0; i < nr; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (!json_object_is_type(o, json_type_object) ||
		    strcmp(get_str(o, "type"), "virtio-mem") ||
		    !json_object_object_get_ex(o, "data", &data) ||
		    !json_object_is_type(data, json_type_object))
			continue;
		for (t = 0; t < PV_TIERS; t++)
			if (v->managed[t] && !strcmp(get_str(data, "id"), v->cfg.tier[t].device))
				found[t] = take_device(v, t, data);
	}
	v->answered = true;
	for (t = 0; t < PV_TIERS; t++) {
		if (found[t] || !v->managed[t])
			continue;
		v->answered = false;
		if (!v->warned)
			pr_err("VM %s has no virtio-mem device '%s': start it with -device "
			       "virtio-mem-pci,id=%s,...",
			       v->cfg.name, v->cfg.tier[t].device, v->cfg.tier[t].device);
		v->warned = true;
	}
	if (v->answered && !v->known)
		pr_info("VM %s is here (pid %d)", v->cfg.name, v->pid);
	v->known |= v->answered;
}

static void answer(void *arg, unsigned int tag, struct json_object *ret, const char *error)
{
	struct pv_vm *v = arg;

	if (tag >= TAG_SET)
		v->setting[tag - TAG_SET] = false;
	if (error) {
		v->failures++;
		if (tag == TAG_DEVICES)
			v->polled = false;
		pr_warn("VM %s: the hypervisor refused: %s", v->cfg.name, error);
		return;
	}
	if (tag == TAG_DEVICES) {
		v->polled = false;
		take_devices(v, ret);
	} else if (tag == TAG_STATUS) {
		v->halted = strcmp(get_str(ret, "status"), "running");
	} else if (tag >= TAG_SET) {
		pv_vm_query(v, v->now); /* tells what became of it */
	}
}

static void event(void *arg, const char *name, struct json_object *data)
{
	struct pv_vm *v = arg;

	if (!strcmp(name, "SHUTDOWN"))
		v->ending = true;
	else if (!strcmp(name, "RESET"))
		v->ending = false;
	else if (!strcmp(name, "STOP"))
		v->halted = true;
	else if (!strcmp(name, "RESUME"))
		v->halted = false;
	else if (!strcmp(name, "MEMORY_DEVICE_SIZE_CHANGE"))
		pv_vm_query(v, v->now);
}

static void dropped(void *arg, int err)
{
	struct pv_vm *v = arg;

	if (v->answered || v->qmp.drops == 1)
		pr_info("VM %s: %s", v->cfg.name, v->qmp.why);
	v->answered = v->polled = false;
	memset(v->setting, 0, sizeof(v->setting));
	pv_vm_look(v);
}

static const struct pv_qmp_ops ops = { ready, answer, event, dropped };

/* ---- life */

struct pv_vm *pv_vm_new(const struct pv_config *c, const struct pv_vm_config *cfg)
{
	struct pv_vm *v = calloc(1, sizeof(*v));
	unsigned int t;

	if (!v)
		return NULL;
	v->cfg = *cfg;
	/* Paths are shorter than a socket's may be, or the configuration would have been refused.
	 */
	pv_qmp_init(&v->qmp, v->cfg.qmp, c->qmp_timeout_ms, &ops, v);
	pv_channel_init(&v->chan, v->cfg.report);
	for (t = 0; t < PV_TIERS; t++) {
		v->managed[t] = cfg->tier[t].device[0];
		v->share[t].value = 1;
		v->share[t].demand = PV_UNKNOWN;
	}
	pv_vm_policy(v, c);
	return v;
}

void pv_vm_free(struct pv_vm *v)
{
	if (!v)
		return;
	pv_qmp_free(&v->qmp);
	pv_channel_free(&v->chan);
	free(v);
}

void pv_vm_policy(struct pv_vm *v, const struct pv_config *c)
{
	unsigned int t;

	v->qmp.timeout_ms = c->qmp_timeout_ms;
	for (t = 0; t < PV_TIERS; t++)
		pv_config_share(c, &v->cfg, t, &v->share[t]);
}

enum pv_vm_state pv_vm_state(const struct pv_vm *v)
{
	if (v->qmp.state == PV_QMP_READY && v->answered)
		return v->halted ? PV_VM_HALTED : PV_VM_READY;
	return v->known ? PV_VM_DEAF : PV_VM_ABSENT;
}

const char *pv_vm_state_name(const struct pv_vm *v, uint64_t now)
{
	unsigned int t;

	switch (pv_vm_state(v)) {
	case PV_VM_ABSENT:
		return "absent";
	case PV_VM_DEAF:
		return "deaf";
	case PV_VM_HALTED:
		return "halted";
	case PV_VM_READY:
		break;
	}
	for (t = 0; t < PV_TIERS; t++)
		if (v->share[t].backoff_until > now)
			return "default";
	return v->paused ? "paused" : v->drain ? "drain" : v->abuse ? "abuse" : "ready";
}

/* ---- at work */

void pv_vm_io(struct pv_vm *v, short qmp, short chan, uint64_t now)
{
	v->now = now;
	pv_qmp_io(&v->qmp, qmp, now);
	pv_channel_io(&v->chan, chan, now);
}

uint64_t pv_vm_wake(const struct pv_vm *v)
{
	uint64_t q = pv_qmp_wake(&v->qmp), c = pv_channel_wake(&v->chan);

	return q < c ? q : c;
}

void pv_vm_query(struct pv_vm *v, uint64_t now)
{
	if (v->qmp.state != PV_QMP_READY || v->polled)
		return;
	if (!pv_qmp_send(&v->qmp, TAG_DEVICES, "query-memory-devices", NULL, now))
		v->polled = true;
	pv_qmp_send(&v->qmp, TAG_STATUS, "query-status", NULL, now);
}

/*
 * Between our look at the device and the guest's own the size may have changed. What its tier has
 * beside the device does not change: known once the device was at rest, it gives the size then.
 */
static uint64_t size_of_report(struct pv_vm *v, uint64_t now)
{
	const struct ht_guest_report *r = &v->chan.report;
	const struct pv_share *s = &v->share[0];
	int64_t size;

	if (s->size != s->last_size || s->size != s->requested)
		v->moved_at = now;
	if (v->moved_at + 2 * r->epoch_ms < v->chan.report_at || !v->base_known) {
		v->base = (int64_t)r->fast - (int64_t)s->size;
		v->base_known = v->moved_at + 2 * r->epoch_ms < v->chan.report_at;
	}
	size = (int64_t)r->fast - v->base;
	return size < 0 ? 0 : (uint64_t)size > s->max ? s->max : (uint64_t)size;
}

static void take_report(struct pv_vm *v, const struct pv_config *c, uint64_t now)
{
	struct pv_channel *ch = &v->chan;
	struct pv_share *s = &v->share[0];

	if (v->cfg.trust != PV_TRUST_NONE && ch->abuse_until > now) {
		pv_demand_forget(s);
		s->demand = 0;
		s->value = 1;
		if (!v->abuse)
			pr_warn("VM %s floods its report channel or talks nonsense there: it gets "
				"what nobody else wants",
				v->cfg.name);
		v->abuse = true;
		return;
	}
	v->abuse = false;
	if (v->cfg.trust == PV_TRUST_NONE || !ch->report_at ||
	    now - ch->report_at > c->rules.report_stale) {
		pv_demand_forget(s);
		s->value = 1;
		return;
	}
	if (ch->fresh && v->seen[0])
		pv_demand_update(s, &ch->report, size_of_report(v, now), &c->rules);
	ch->fresh = false;
	/* Of a guest whose rate counts, but which did not tell one, the shape does. */
	s->value = v->cfg.trust == PV_TRUST_RATE && ch->report.accesses > 0
			   ? ch->report.accesses / 1e6
			   : 1;
}

void pv_vm_prepare(struct pv_vm *v, const struct pv_config *c, bool all_paused, uint64_t now)
{
	struct pv_share *fast = &v->share[0], *slow = &v->share[1];
	uint64_t sure = slow->size < slow->requested ? slow->size : slow->requested;
	unsigned int t;

	pv_vm_look(v);
	pv_vm_policy(v, c);
	take_report(v, c, now);
	for (t = 0; t < PV_TIERS; t++) {
		v->share[t].deaf = pv_vm_state(v) != PV_VM_READY;
		v->share[t].fixed = v->paused || all_paused;
		v->share[t].drain = v->drain;
	}
	slow->demand = PV_UNKNOWN;
	fast->need = v->cfg.total > sure ? v->cfg.total - sure : 0;
}

void pv_vm_couple(struct pv_vm *v)
{
	struct pv_share *fast = &v->share[0], *slow = &v->share[1];
	uint64_t sure = fast->size < fast->next ? fast->size : fast->next, rest;

	if (!v->cfg.total)
		return;
	if (fast->target < sure)
		sure = fast->target;
	if (fast->guarantee > sure)
		sure = fast->guarantee;
	rest = v->cfg.total > sure ? v->cfg.total - sure : 0;
	if (slow->block)
		rest = (rest + slow->block - 1) / slow->block * slow->block;
	if (slow->max && rest > slow->max)
		rest = slow->max;
	if (rest > slow->guarantee)
		slow->guarantee = rest;
	if (slow->limit < slow->guarantee)
		slow->limit = slow->guarantee;
	/* More than the total would be no use to it. */
	slow->demand = slow->guarantee;
}

static void evict(struct pv_vm *v, uint64_t now)
{
	if (v->evicted)
		return;
	pr_warn("VM %s keeps memory that it was asked for %u times and is told to quit",
		v->cfg.name,
		v->share[0].strikes > v->share[1].strikes ? v->share[0].strikes
							  : v->share[1].strikes);
	v->evicted = !pv_qmp_send(&v->qmp, TAG_QUIT, "quit", NULL, now);
}

void pv_vm_ask(struct pv_vm *v, unsigned int t, const struct pv_config *c, uint64_t now)
{
	struct pv_share *s = &v->share[t];
	struct json_object *args;
	char path[PV_NAME + 32];

	if (s->refused) {
		v->refusals++;
		pr_warn("VM %s did not do as asked: %s is at %" PRIu64 " MiB instead of %" PRIu64
			", left alone for %" PRIu64 " s",
			v->cfg.name, v->cfg.tier[t].device, MIB(s->size), MIB(s->requested),
			(s->backoff_until - now) / 1000);
		if (c->evict && s->strikes >= c->evict && s->size > s->requested && !v->dry_run)
			evict(v, now);
	}
	if (s->next == s->requested || s->deaf || v->setting[t])
		return;
	pr_debug("VM %s: %s %" PRIu64 " -> %" PRIu64 " MiB (size %" PRIu64 ", target %" PRIu64
		 ")%s",
		 v->cfg.name, v->cfg.tier[t].device, MIB(s->requested), MIB(s->next), MIB(s->size),
		 MIB(s->target), v->dry_run ? ", dry run" : "");
	v->asks++;
	if (v->dry_run)
		return;
	args = json_object_new_object();
	snprintf(path, sizeof(path), "/machine/peripheral/%s", v->cfg.tier[t].device);
	json_object_object_add(args, "path", json_object_new_string(path));
	json_object_object_add(args, "property", json_object_new_string("requested-size"));
	json_object_object_add(args, "value", json_object_new_int64(s->next));
	if (pv_qmp_send(&v->qmp, TAG_SET + t, "qom-set", args, now))
		return;
	v->setting[t] = true;
	v->asked[t] = s->next;
	/* From here on it may take that; what it may still hold, only the next look can tell. */
	if (s->next > s->requested)
		s->requested = s->next;
}
