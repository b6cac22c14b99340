// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <inttypes.h>

#include <json-c/json.h>

#include "jsonutil.h"
#include "metrics.h"

const char *ht_drop_name(enum ht_drop d)
{
	static const char *const name[HT_DROP_NR] = {
		[HT_DROP_DISABLED] = "disabled",
		[HT_DROP_NO_ADDR] = "no_address",
		[HT_DROP_KERNEL_ADDR] = "kernel_address",
		[HT_DROP_NOT_TARGET] = "not_target",
		[HT_DROP_POLICY] = "policy",
		[HT_DROP_NO_TILE] = "no_tile",
		[HT_DROP_NO_SLOT] = "no_slot",
	};

	return d < HT_DROP_NR ? name[d] : "?";
}

struct json_object *ht_metrics_object(const struct ht_metrics *m, const char *event)
{
	struct json_object *o = json_object_new_object(), *sub;
	int i;

	json_object_object_add(o, "event", json_object_new_string(event));
	json_object_object_add(o, "schema", json_object_new_int(HT_METRICS_SCHEMA));
	json_object_object_add(o, "policy", json_object_new_string(m->policy));
	json_object_object_add(o, "seconds", json_object_new_double(m->wall_ns / 1e9));
#define M(name, desc) json_object_object_add(o, #name, json_object_new_double(m->name));
	HT_METRICS_SHARES(M)
#undef M
#define M(name, kind, unit, desc) json_object_object_add(o, #name, ht_json_u64(m->name));
	HT_METRICS(M)
#undef M
	sub = json_object_new_object();
	for (i = 0; i < HT_DROP_NR; i++)
		json_object_object_add(sub, ht_drop_name(i), ht_json_u64(m->drop[i]));
	json_object_object_add(o, "dropped", sub);
	sub = json_object_new_object();
	for (i = 0; i < HT_OUT_NR; i++)
		json_object_object_add(sub, ht_migrate_outcome_name(i), ht_json_u64(m->outcome[i]));
	json_object_object_add(o, "outcomes", sub);
	return o;
}

void ht_metrics_json(FILE *f, const struct ht_metrics *m, const char *event)
{
	struct json_object *o = ht_metrics_object(m, event);

	fprintf(f, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	fflush(f);
	json_object_put(o);
}

static double mib(uint64_t pages)
{
	return pages / 256.0;
}

void ht_metrics_row(FILE *f, const struct ht_metrics *m, const struct ht_metrics *before,
		    bool header)
{
	double s = (m->wall_ns - before->wall_ns) / 1e9;
	uint64_t cpu = m->loader_ns + m->bpf_ns - before->loader_ns - before->bpf_ns;

	if (s <= 0)
		s = 1;
	if (header)
		fprintf(f, "%8s %9s %6s %8s %7s %9s %11s %11s %7s %6s\n", "time s", "samples/s",
			"fast %", "ranges", "targets", "up MiB/s", "down MiB/s", "misplaced%",
			"failed", "cpu %");
	fprintf(f,
		"%8.1f %9.0f %6.1f %8" PRIu64 " %7" PRIu64 " %9.1f %11.1f %11.1f %7" PRIu64
		" %6.2f\n",
		m->wall_ns / 1e9, (m->samples_counted - before->samples_counted) / s,
		m->fast_share * 100, m->ranges, m->targets, mib(m->promoted - before->promoted) / s,
		mib(m->demoted - before->demoted) / s, m->misplaced_share * 100,
		m->failed - before->failed, cpu / s / 1e7);
	fflush(f);
}

void ht_metrics_summary(FILE *f, const struct ht_metrics *m)
{
	uint64_t moved = m->promoted + m->demoted;
	double s = m->wall_ns / 1e9;
	int i;

	fprintf(f, "policy %s, %.1f s, %" PRIu64 " epochs\n", m->policy, s, m->epoch);
	fprintf(f, "samples     %" PRIu64 " counted of %" PRIu64 " seen", m->samples_counted,
		m->samples_seen);
	if (m->samples_due)
		fprintf(f, " of %" PRIu64 " due", m->samples_due);
	if (m->samples_lost)
		fprintf(f, ", %" PRIu64 " lost", m->samples_lost);
	for (i = 0; i < HT_DROP_NR; i++)
		if (m->drop[i])
			fprintf(f, ", %" PRIu64 " dropped (%s)", m->drop[i], ht_drop_name(i));
	fprintf(f, "\nheat        %.1f %% in the fastest tier\n", m->fast_share * 100);
	fprintf(f, "promoted    %" PRIu64 " pages (%.1f MiB)\n", m->promoted, mib(m->promoted));
	fprintf(f, "demoted     %" PRIu64 " pages (%.1f MiB)\n", m->demoted, mib(m->demoted));
	if (m->would_promote || m->would_demote)
		fprintf(f, "dry run     %" PRIu64 " pages up, %" PRIu64 " down\n", m->would_promote,
			m->would_demote);
	if (moved)
		fprintf(f, "wasted      %" PRIu64 " pages (%.1f %% of those moved)\n", m->wasted,
			100.0 * m->wasted / moved);
	for (i = 0; i < HT_OUT_NR; i++)
		if (i != HT_OUT_MOVED && m->outcome[i])
			fprintf(f, "not moved   %" PRIu64 " pages: %s\n", m->outcome[i],
				ht_migrate_outcome_name(i));
	fprintf(f, "CPU         loader %.3f s, BPF %.3f s: %.2f %% of one core\n",
		m->loader_ns / 1e9, m->bpf_ns / 1e9,
		s > 0 ? (m->loader_ns + m->bpf_ns) / s / 1e7 : 0);
}
