// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "source.h"

/* In the order in which auto tries them; what follows the hint faults is for explicit use only. */
static const struct ht_source_ops *const sources[] = {
	&ht_source_pebs,  &ht_source_ibs,  &ht_source_emulated,
	&ht_source_damon, &ht_source_hint, &ht_source_page_fault,
};

#define NR_SOURCES (sizeof(sources) / sizeof(sources[0]))
#define NR_AUTO 5

static const struct ht_source_ops *find(enum ht_source_id id)
{
	size_t i;

	for (i = 0; i < NR_SOURCES; i++)
		if (sources[i]->id == id)
			return sources[i];
	return NULL;
}

/* Options with nothing left unset; the caller's may be NULL. */
static struct ht_source_opts complete(const struct ht_source_opts *opts)
{
	struct ht_source_opts o = {};

	if (opts)
		o = *opts;
	if (!o.roots)
		o.roots = &ht_host_roots;
	return o;
}

int ht_source_parse(const char *name)
{
	size_t i;

	if (!strcmp(name, "auto"))
		return HT_SRC_NONE;
	for (i = 0; i < NR_SOURCES; i++)
		if (!strcmp(name, sources[i]->name))
			return sources[i]->id;
	return -EINVAL;
}

const char *ht_source_name(enum ht_source_id id)
{
	const struct ht_source_ops *ops = find(id);

	return ops ? ops->name : id == HT_SRC_NONE ? "auto" : "unknown";
}

const char *ht_source_fentry_target(enum ht_source_id id)
{
	const struct ht_source_ops *ops = find(id);

	return ops ? ops->fentry_target : NULL;
}

int ht_source_list(struct ht_source_info *info, const struct ht_source_opts *opts)
{
	struct ht_source_opts o = complete(opts);
	size_t i;

	for (i = 0; i < NR_SOURCES; i++) {
		memset(&info[i], 0, sizeof(info[i]));
		info[i].id = sources[i]->id;
		info[i].name = sources[i]->name;
		info[i].what = sources[i]->what;
		info[i].usable = !sources[i]->usable(&o, info[i].why, sizeof(info[i].why));
	}
	return NR_SOURCES;
}

/* Appends to a string that may be cut, never beyond its size. */
__attribute__((format(printf, 3, 4))) static void append(char *buf, size_t size, const char *fmt,
							 ...)
{
	size_t len = size ? strlen(buf) : 0;
	va_list ap;

	if (len + 1 >= size)
		return;
	va_start(ap, fmt);
	vsnprintf(buf + len, size - len, fmt, ap);
	va_end(ap);
}

static int choose_one(const struct ht_source_ops *ops, const struct ht_source_opts *opts, char *why,
		      size_t size)
{
	char one[256] = "";
	int err = ops->usable(opts, one, sizeof(one));

	if (err)
		append(why, size, "%s cannot be used: %s", ops->name, one);
	else
		append(why, size, "%s, as asked for: %s", ops->name, one);
	return err ? -ENODEV : (int)ops->id;
}

/* 0 if it can be used as far as can be told; a PMU is believed when it has shown a sample. */
static int try_one(const struct ht_source_ops *ops, const struct ht_source_opts *opts, char *why,
		   size_t size)
{
	struct ht_source_probe res = {};
	int err = ops->usable(opts, why, size);

	if (err || !opts->trial || !ops->is_pmu)
		return err;
	err = ops->probe(opts, HT_SOURCE_TRIAL_MS, &res);
	if (!err && res.in_buffer)
		return 0;
	snprintf(why, size, "a trial: %s", *res.verdict ? res.verdict : strerror(-err));
	return err ? err : -ENODEV;
}

int ht_source_choose(enum ht_source_id want, const struct ht_source_opts *opts, char *why,
		     size_t why_size)
{
	struct ht_source_opts o = complete(opts);
	char passed[1024] = "", one[256];
	size_t i;

	if (why_size)
		why[0] = '\0';
	if (want != HT_SRC_NONE) {
		if (!find(want))
			return -EINVAL;
		return choose_one(find(want), &o, why, why_size);
	}
	for (i = 0; i < NR_AUTO; i++) {
		one[0] = '\0';
		if (!try_one(sources[i], &o, one, sizeof(one))) {
			append(why, why_size, "%s: %s%s%s", sources[i]->name, one,
			       passed[0] ? "; passed over: " : "", passed);
			return sources[i]->id;
		}
		append(passed, sizeof(passed), "%s%s (%s)", passed[0] ? ", " : "", sources[i]->name,
		       one);
	}
	append(why, why_size, "no source of access samples: %s", passed);
	return -ENODEV;
}

int ht_source_open(struct ht_source **src, enum ht_source_id id, const struct ht_source_opts *opts,
		   const struct ht_source_bpf *bpf, struct ht_journal *journal)
{
	const struct ht_source_ops *ops = find(id);
	struct ht_source_opts o = complete(opts);
	struct ht_source *s;
	int err;

	*src = NULL;
	if (!ops)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->density = s->densest = 1;
	err = ops->open(s, &o, bpf, journal);
	if (err) {
		free(s);
		return err;
	}
	*src = s;
	return 0;
}

const char *ht_source_detail(const struct ht_source *src)
{
	return src->detail;
}

enum ht_source_id ht_source_id(const struct ht_source *src)
{
	return src->ops->id;
}

uint64_t ht_source_period(const struct ht_source *src)
{
	return src->period;
}

int ht_source_set_density(struct ht_source *src, unsigned int density)
{
	int err;

	if (density == src->density)
		return 0;
	if (!density)
		return -EINVAL;
	if (density > src->densest)
		return -EOPNOTSUPP;
	err = src->ops->set_density(src, density);
	if (!err)
		src->density = density;
	return err;
}

unsigned int ht_source_densest(const struct ht_source *src)
{
	return src->densest;
}

int ht_source_epoch(struct ht_source *src, const struct ht_targets *targets)
{
	return src->ops->epoch(src, targets);
}

int ht_source_stats(struct ht_source *src, struct ht_source_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	return src->ops->stats(src, stats);
}

void ht_source_close(struct ht_source *src)
{
	if (!src)
		return;
	src->ops->close(src);
	free(src);
}

int ht_source_probe(enum ht_source_id id, const struct ht_source_opts *opts, unsigned int ms,
		    struct ht_source_probe *res)
{
	const struct ht_source_ops *ops = find(id);
	struct ht_source_opts o = complete(opts);
	char why[256] = "";
	int err;

	memset(res, 0, sizeof(*res));
	if (!ops)
		return -EINVAL;
	err = ops->usable(&o, why, sizeof(why));
	if (err) {
		append(res->verdict, sizeof(res->verdict), "cannot be used: %s", why);
		return err;
	}
	if (ms >= 2000)
		pr_info("probing %s for %u ms", ops->name, ms);
	return ops->probe(&o, ms, res);
}

int ht_source_switch(struct ht_source **src, const struct ht_source_opts *opts,
		     const struct ht_source_bpf *bpf, struct ht_journal *journal,
		     uint32_t *generation, uint32_t gen)
{
	const struct ht_source_ops *ops = (*src)->ops;
	struct ht_source *second;
	int old = -1, err;

	if (ops->rebind) {
		err = ops->rebind(*src, bpf, &old);
		if (err)
			return err;
		__atomic_store_n(generation, gen, __ATOMIC_RELEASE);
		if (old >= 0)
			close(old);
		return 0;
	}
	err = ht_source_open(&second, ops->id, opts, bpf, journal);
	if (err)
		return err;
	ht_source_set_density(second, (*src)->density);
	__atomic_store_n(generation, gen, __ATOMIC_RELEASE);
	ht_source_close(*src);
	*src = second;
	return 0;
}
