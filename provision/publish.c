// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* What the daemon shows: status as JSON and as tables, Prometheus text, the recording. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../loader/control.h"
#include "../loader/jsonutil.h"
#include "../loader/log.h"
#include "../loader/replace.h"
#include "daemon.h"
#include "demand.h"
#include "state.h"

#define MIB(b) ((b) / 1048576.0)

/* ---- status */

static struct json_object *pool_json(const struct pv_daemon *d, unsigned int t)
{
	const struct pv_pool *p = &d->pool[t];
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "capacity", ht_json_u64(d->cfg.tier[t].capacity));
	json_object_object_add(o, "reserve", ht_json_u64(d->cfg.tier[t].reserve));
	json_object_object_add(o, "held", ht_json_u64(p->held));
	json_object_object_add(o, "promised", ht_json_u64(p->promised));
	json_object_object_add(o, "free", ht_json_u64(p->free));
	json_object_object_add(o, "stuck", ht_json_u64(p->stuck));
	return o;
}

static struct json_object *share_json(const struct pv_vm *v, unsigned int t, uint64_t now)
{
	const struct pv_share *s = &v->share[t];
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "size", ht_json_u64(s->size));
	json_object_object_add(o, "requested", ht_json_u64(s->requested));
	json_object_object_add(o, "target", ht_json_u64(s->target));
	json_object_object_add(o, "guarantee", ht_json_u64(s->guarantee));
	json_object_object_add(o, "fair", ht_json_u64(s->fair));
	json_object_object_add(o, "limit", ht_json_u64(s->limit));
	json_object_object_add(o, "weight", json_object_new_double(s->weight));
	if (s->demand != PV_UNKNOWN)
		json_object_object_add(o, "demand", ht_json_u64(s->demand));
	json_object_object_add(o, "strikes", json_object_new_int(s->strikes));
	json_object_object_add(o, "backoff_ms",
			       ht_json_u64(s->backoff_until > now ? s->backoff_until - now : 0));
	json_object_object_add(o, "byte_seconds", json_object_new_double(v->byte_seconds[t]));
	return o;
}

static struct json_object *channel_json(const struct pv_channel *c, uint64_t now)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "connected", json_object_new_boolean(c->fd >= 0));
	json_object_object_add(o, "good", ht_json_u64(c->good));
	json_object_object_add(o, "bad", ht_json_u64(c->bad));
	json_object_object_add(o, "lost", ht_json_u64(c->lost));
	json_object_object_add(o, "throttled", ht_json_u64(c->throttles));
	if (!c->report_at)
		return o;
	json_object_object_add(o, "age_ms", ht_json_u64(now - c->report_at));
	json_object_object_add(o, "share", json_object_new_double(c->report.share));
	json_object_object_add(o, "hot", ht_json_u64(c->report.hot));
	json_object_object_add(o, "refault", ht_json_u64(c->report.refault));
	json_object_object_add(o, "waste", json_object_new_double(c->report.waste));
	return o;
}

static struct json_object *vm_json(const struct pv_vm *v, uint64_t now)
{
	struct json_object *o = json_object_new_object();
	unsigned int t;

	json_object_object_add(o, "name", json_object_new_string(v->cfg.name));
	json_object_object_add(o, "state", json_object_new_string(pv_vm_state_name(v, now)));
	json_object_object_add(o, "pid", json_object_new_int(v->pid));
	if (v->qmp.why[0])
		json_object_object_add(o, "dropped", json_object_new_string(v->qmp.why));
	json_object_object_add(o, "drops", json_object_new_int(v->qmp.drops));
	json_object_object_add(o, "asks", ht_json_u64(v->asks));
	json_object_object_add(o, "refusals", ht_json_u64(v->refusals));
	if (v->cfg.cgroup[0]) /* 0: it could not be set */
		json_object_object_add(o, "cgroup_limit", ht_json_u64(v->confined));
	for (t = 0; t < PV_TIERS; t++)
		if (v->managed[t])
			json_object_object_add(o, pv_tier_name[t], share_json(v, t, now));
	if (v->cfg.report[0] || v->cfg.cid)
		json_object_object_add(o, "report", channel_json(&v->chan, now));
	return o;
}

/* In parts, as an answer has a largest size; a VM takes some 1000 bytes. */
#define VMS_PER_ANSWER 40

struct json_object *pv_status(const struct pv_daemon *d, size_t first)
{
	struct json_object *o = json_object_new_object(), *vms = json_object_new_array();
	unsigned int t;
	size_t i;

	json_object_object_add(o, "ok", json_object_new_boolean(true));
	json_object_object_add(o, "schema", json_object_new_int(1));
	json_object_object_add(
		o, "mode",
		json_object_new_string(d->cfg.rules.mode == PV_FAIR ? "fair" : "benefit"));
	json_object_object_add(o, "paused", json_object_new_boolean(d->paused));
	json_object_object_add(o, "settled", json_object_new_boolean(d->settled));
	json_object_object_add(o, "dry_run", json_object_new_boolean(d->dry_run));
	json_object_object_add(o, "uptime_ms", ht_json_u64(d->now - d->started));
	json_object_object_add(o, "decisions", ht_json_u64(d->ticks));
	json_object_object_add(o, "late", ht_json_u64(d->late_ticks));
	json_object_object_add(o, "decide_ms", json_object_new_double(d->decide_ms));
	json_object_object_add(o, "decide_max_ms", json_object_new_double(d->decide_max_ms));
	for (t = 0; t < PV_TIERS; t++)
		json_object_object_add(o, pv_tier_name[t], pool_json(d, t));
	for (i = first; i < d->cfg.nr_vm && i < first + VMS_PER_ANSWER; i++)
		json_object_array_add(vms, vm_json(d->vm[i], d->now));
	json_object_object_add(o, "vms", vms);
	json_object_object_add(o, "nr_vms", ht_json_u64(d->cfg.nr_vm));
	json_object_object_add(o, "next", ht_json_u64(i));
	return o;
}

static double mib(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? MIB(json_object_get_double(v)) : 0;
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : "-";
}

void pv_print_pools(FILE *f, struct json_object *s)
{
	struct json_object *p, *v;
	unsigned int t;

	fprintf(f, "division: %s%s%s\n", text(s, "mode"),
		json_object_object_get_ex(s, "paused", &v) && json_object_get_boolean(v)
			? ", PAUSED"
			: "",
		json_object_object_get_ex(s, "dry_run", &v) && json_object_get_boolean(v)
			? ", dry run"
			: "");
	for (t = 0; t < PV_TIERS; t++)
		if (json_object_object_get_ex(s, pv_tier_name[t], &p))
			fprintf(f, "%s tier: %.0f MiB, %.0f held, %.0f free, %.0f out of reach\n",
				pv_tier_name[t], mib(p, "capacity"), mib(p, "held"), mib(p, "free"),
				mib(p, "stuck"));
}

void pv_print_vms(FILE *f, struct json_object *s, bool header)
{
	struct json_object *vms, *o, *r, *sh;
	unsigned int t;
	size_t i;

	if (header)
		fprintf(f, "%-16s %-8s %-5s %9s %9s %9s %9s %9s %9s %7s\n", "VM", "state", "tier",
			"size MiB", "asked", "target", "guarant.", "fair", "demand", "fast %");
	if (!json_object_object_get_ex(s, "vms", &vms) ||
	    !json_object_is_type(vms, json_type_array))
		return;
	for (i = 0; i < json_object_array_length(vms); i++) {
		o = json_object_array_get_idx(vms, i);
		for (t = 0; t < PV_TIERS; t++) {
			if (!json_object_object_get_ex(o, pv_tier_name[t], &sh))
				continue;
			fprintf(f, "%-16s %-8s %-5s %9.0f %9.0f %9.0f %9.0f %9.0f ",
				text(o, "name"), text(o, "state"), pv_tier_name[t], mib(sh, "size"),
				mib(sh, "requested"), mib(sh, "target"), mib(sh, "guarantee"),
				mib(sh, "fair"));
			if (json_object_object_get_ex(sh, "demand", &r))
				fprintf(f, "%9.0f", mib(sh, "demand"));
			else
				fprintf(f, "%9s", "-");
			if (!t && json_object_object_get_ex(o, "report", &r) &&
			    json_object_object_get_ex(r, "share", &r))
				fprintf(f, " %7.1f\n", json_object_get_double(r) * 100);
			else
				fprintf(f, " %7s\n", "-");
		}
	}
}

/* ---- Prometheus */

static void gauge(FILE *f, const char *name, const char *help, const char *type)
{
	fprintf(f, "# HELP hypertier_provision_%s %s\n# TYPE hypertier_provision_%s %s\n", name,
		help, name, type);
}

static void pool_metrics(FILE *f, const struct pv_daemon *d)
{
	const struct {
		const char *name, *help;
		size_t offset;
	} table[] = {
		{ "tier_held_bytes", "Memory given to VMs", offsetof(struct pv_pool, held) },
		{ "tier_free_bytes", "Memory that may be granted at once",
		  offsetof(struct pv_pool, free) },
		{ "tier_stuck_bytes",
		  "Memory of VMs that do not answer or comply, above guarantees",
		  offsetof(struct pv_pool, stuck) },
		{ "tier_capacity_bytes", "Memory to divide", offsetof(struct pv_pool, capacity) },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		gauge(f, table[i].name, table[i].help, "gauge");
		for (unsigned int t = 0; t < PV_TIERS; t++)
			fprintf(f, "hypertier_provision_%s{tier=\"%s\"} %" PRIu64 "\n",
				table[i].name, pv_tier_name[t],
				*(const uint64_t *)((const char *)&d->pool[t] + table[i].offset));
	}
}

static void share_metrics(FILE *f, const struct pv_daemon *d)
{
	const struct {
		const char *name, *help;
		size_t offset;
	} table[] = {
		{ "vm_size_bytes", "Device size as the hypervisor tells it",
		  offsetof(struct pv_share, size) },
		{ "vm_requested_bytes", "Device size asked for",
		  offsetof(struct pv_share, requested) },
		{ "vm_target_bytes", "Share decided on", offsetof(struct pv_share, target) },
		{ "vm_guarantee_bytes", "Guarantee", offsetof(struct pv_share, guarantee) },
	};
	size_t i, k;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++) {
		gauge(f, table[i].name, table[i].help, "gauge");
		for (k = 0; k < d->cfg.nr_vm; k++)
			for (unsigned int t = 0; t < PV_TIERS; t++)
				if (d->vm[k]->managed[t])
					fprintf(f,
						"hypertier_provision_%s{vm=\"%s\",tier=\"%s\"} "
						"%" PRIu64 "\n",
						table[i].name, d->vm[k]->cfg.name, pv_tier_name[t],
						*(const uint64_t *)((const char *)&d->vm[k]
									    ->share[t] +
								    table[i].offset));
	}
	gauge(f, "vm_byte_seconds_total", "Memory held over time", "counter");
	for (k = 0; k < d->cfg.nr_vm; k++)
		for (unsigned int t = 0; t < PV_TIERS; t++)
			if (d->vm[k]->managed[t])
				fprintf(f,
					"hypertier_provision_vm_byte_seconds_total{vm=\"%s\",tier="
					"\"%s\","
					"class=\"%s\"} %.0f\n",
					d->vm[k]->cfg.name, pv_tier_name[t],
					d->vm[k]->cfg.tier[t].class, d->vm[k]->byte_seconds[t]);
}

static void vm_metrics(FILE *f, const struct pv_daemon *d)
{
	size_t k;

	gauge(f, "vm_ready", "1 = answers and does as asked", "gauge");
	for (k = 0; k < d->cfg.nr_vm; k++)
		fprintf(f, "hypertier_provision_vm_ready{vm=\"%s\"} %d\n", d->vm[k]->cfg.name,
			!strcmp(pv_vm_state_name(d->vm[k], d->now), "ready"));
	gauge(f, "vm_fast_share", "Share of accesses served by the fast tier, as the guest says",
	      "gauge");
	for (k = 0; k < d->cfg.nr_vm; k++)
		if (d->vm[k]->chan.report_at)
			fprintf(f, "hypertier_provision_vm_fast_share{vm=\"%s\"} %g\n",
				d->vm[k]->cfg.name, d->vm[k]->chan.report.share);
#define COUNTER(metric, help, field)                                                               \
	gauge(f, metric, help, "counter");                                                         \
	for (k = 0; k < d->cfg.nr_vm; k++)                                                         \
	fprintf(f, "hypertier_provision_" metric "{vm=\"%s\"} %" PRIu64 "\n", d->vm[k]->cfg.name,  \
		(uint64_t)d->vm[k]->field)
	COUNTER("vm_asks_total", "Changes of size asked for", asks);
	COUNTER("vm_refusals_total", "Changes not made in time", refusals);
	COUNTER("vm_drops_total", "Monitor connections lost", qmp.drops);
	COUNTER("vm_reports_total", "Reports taken", chan.good);
	COUNTER("vm_bad_reports_total", "Lines that were no report", chan.bad);
	COUNTER("vm_throttles_total", "Times that reading was stopped for a while", chan.throttles);
#undef COUNTER
}

void pv_write_metrics(struct pv_daemon *d)
{
	char *buf = NULL;
	size_t len = 0;
	FILE *f;
	int err;

	if (!d->cfg.metrics[0])
		return;
	f = open_memstream(&buf, &len);
	if (!f)
		return;
	pool_metrics(f, d);
	share_metrics(f, d);
	vm_metrics(f, d);
	gauge(f, "decisions_total", "Decisions made", "counter");
	fprintf(f, "hypertier_provision_decisions_total %" PRIu64 "\n", d->ticks);
	gauge(f, "decision_seconds", "Time the last decision took", "gauge");
	fprintf(f, "hypertier_provision_decision_seconds %g\n", d->decide_ms / 1e3);
	if (!fclose(f)) {
		err = ht_replace_file(d->cfg.metrics, buf, len, 0644, false);
		if (err && !d->metrics_failed)
			pr_err("cannot write %s: %s", d->cfg.metrics, strerror(-err));
		d->metrics_failed = err != 0;
	}
	free(buf);
}

/* ---- recording, for simulate */

static void record_vm(struct pv_daemon *d, struct pv_vm *v)
{
	unsigned int t;

	fprintf(d->record, "{\"vm\":\"%s\"", v->cfg.name);
	for (t = 0; t < PV_TIERS; t++) {
		const struct pv_vm_tier *vt = &v->cfg.tier[t];

		if (vt->device[0])
			fprintf(d->record,
				",\"%s\":{\"guarantee\":%" PRIu64 ",\"limit\":%" PRIu64
				",\"weight\":%g,\"rate\":%" PRIu64 "}",
				pv_tier_name[t], vt->guarantee, vt->limit,
				vt->weight * pv_config_price(&d->cfg, vt->class), vt->rate);
	}
	fprintf(d->record, "}\n");
	v->recorded = true;
}

static void record_fleet(struct pv_daemon *d)
{
	unsigned int t;
	size_t i;

	fprintf(d->record, "{\"version\":1,\"period_ms\":%u,\"mode\":\"%s\",\"tiers\":{",
		d->cfg.period_ms, d->cfg.rules.mode == PV_FAIR ? "fair" : "benefit");
	for (t = 0; t < PV_TIERS; t++)
		fprintf(d->record, "%s\"%s\":{\"capacity\":%" PRIu64 ",\"reserve\":%" PRIu64 "}",
			t ? "," : "", pv_tier_name[t], d->cfg.tier[t].capacity,
			d->cfg.tier[t].reserve);
	fprintf(d->record, "}}\n");
	for (i = 0; i < d->cfg.nr_vm; i++)
		record_vm(d, d->vm[i]);
	fflush(d->record);
}

int pv_record_open(struct pv_daemon *d)
{
	if (!d->cfg.record[0])
		return 0;
	d->record = fopen(d->cfg.record, "we");
	if (!d->record) {
		pr_err("cannot record to %s: %s", d->cfg.record, strerror(errno));
		return -errno;
	}
	record_fleet(d);
	return 0;
}

/* Curves are kept in terms of the device, whose size differs in a simulation. */
void pv_record_report(struct pv_daemon *d, struct pv_vm *v)
{
	const struct ht_guest_report *r = &v->chan.report;
	unsigned int i;

	if (!d->record)
		return;
	/* It came with a configuration that was read later. */
	if (!v->recorded)
		record_vm(d, v);
	fprintf(d->record, "{\"t\":%" PRIu64 ",\"vm\":\"%s\",\"base\":%" PRId64 ",\"curve\":[",
		d->now - d->started, v->cfg.name, (int64_t)(r->capacity - v->share[0].size));
	for (i = 0; i < r->nr_curve; i++)
		fprintf(d->record, "%s[%" PRIu64 ",%.4f]", i ? "," : "", r->curve[i].bytes,
			r->curve[i].share);
	fprintf(d->record, "],\"hot\":%" PRIu64 "}\n", r->hot);
	fflush(d->record);
}
