// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../loader/conffile.h"
#include "../loader/log.h"
#include "../loader/units.h"
#include "config.h"

#define LINE 1024
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

const char *const pv_tier_name[PV_TIERS] = { "fast", "slow" };

/* MS is an unsigned int, MS64 an uint64_t. */
enum kind { SIZE, MS, MS64, REAL, COUNT, PATH, NAME, MODE, TRUST };

struct key {
	const char *name;
	enum kind kind;
	size_t offset;
	double min, max;
};

#define C(f) offsetof(struct pv_config, f)
static const struct key daemon_keys[] = {
	{ "period", MS, C(period_ms), 50, 60000 },
	{ "qmp-timeout", MS, C(qmp_timeout_ms), 50, 60000 },
	{ "state", PATH, C(state), 0, 0 },
	{ "metrics", PATH, C(metrics), 0, 0 },
	{ "record", PATH, C(record), 0, 0 },
	{ "vsock-port", COUNT, C(vsock_port), 1, 4294967294 },
	{ NULL, 0, 0, 0, 0 },
};

static const struct key rule_keys[] = {
	{ "mode", MODE, C(rules.mode), 0, 0 },
	{ "hysteresis", REAL, C(rules.hysteresis), 0, 1 },
	{ "settle", COUNT, C(rules.settle), 0, 1000 },
	{ "worth", REAL, C(rules.worth), 0, 10 },
	{ "confirm", COUNT, C(rules.confirm), 1, PV_CONFIRM_MAX },
	{ "patience", COUNT, C(rules.patience), 0, 1000 },
	{ "shrink-timeout", MS64, C(rules.shrink_timeout), 100, 3600000 },
	{ "grow-timeout", MS64, C(rules.grow_timeout), 100, 3600000 },
	{ "backoff", MS64, C(rules.backoff), 100, 3600000 },
	{ "report-stale", MS64, C(rules.report_stale), 100, 3600000 },
	{ "evict-after", COUNT, C(evict), 0, 1000 },
	{ NULL, 0, 0, 0, 0 },
};
#undef C

#define V(f) offsetof(struct pv_vm_config, f)
#define TIER(t, name)                                                                              \
	{ name ".device", NAME, V(tier[t].device), 0, 0 },                                         \
		{ name ".class", NAME, V(tier[t].class), 0, 0 },                                   \
		{ name ".guarantee", SIZE, V(tier[t].guarantee), 0, 0 },                           \
		{ name ".limit", SIZE, V(tier[t].limit), 0, 0 },                                   \
		{ name ".loan", SIZE, V(tier[t].loan), 0, 0 },                                     \
		{ name ".rate", SIZE, V(tier[t].rate), 0, 0 },                                     \
	{                                                                                          \
		name ".weight", REAL, V(tier[t].weight), 0.001, 1e6                                \
	}
static const struct key vm_keys[] = {
	{ "qmp", PATH, V(qmp), 0, 0 },
	{ "report", PATH, V(report), 0, 0 },
	{ "cid", COUNT, V(cid), 1, 4294967294 },
	{ "pidfile", PATH, V(pidfile), 0, 0 },
	{ "cgroup", PATH, V(cgroup), 0, 0 },
	{ "overhead", SIZE, V(overhead), 0, 0 },
	{ "total", SIZE, V(total), 0, 0 },
	{ "trust", TRUST, V(trust), 0, 0 },
	TIER(0, "fast"),
	TIER(1, "slow"),
	{ NULL, 0, 0, 0, 0 },
};
#undef V

int pv_parse_size(const char *s, uint64_t *bytes)
{
	uint64_t v;

	if (!isdigit((unsigned char)*s) || ht_parse_size(s, 1, &v) || v > HT_GUEST_BYTES_MAX)
		return -EINVAL;
	*bytes = v;
	return 0;
}

static int parse_ms(const char *s, double *ms)
{
	char *end;

	*ms = strtod(s, &end);
	if (end == s || !isfinite(*ms))
		return -EINVAL;
	if (!strcmp(end, "s"))
		*ms *= 1000;
	else if (*end && strcmp(end, "ms"))
		return -EINVAL;
	return 0;
}

static int set_text(const struct key *k, char *to, const char *value, char *why, size_t size)
{
	size_t max = k->kind == PATH ? PV_PATH : PV_NAME;

	if (strlen(value) >= max) {
		snprintf(why, size, "%s is longer than %zu bytes", k->name, max - 1);
		return -EINVAL;
	}
	if (k->kind == NAME && strspn(value, NAME_CHARS) != strlen(value)) {
		snprintf(why, size, "%s takes letters, digits and . _ -, not '%s'", k->name, value);
		return -EINVAL;
	}
	strcpy(to, value);
	return 0;
}

static int set_choice(const struct key *k, void *to, const char *value, char *why, size_t size)
{
	static const char *const modes[] = { "fair", "benefit", NULL };
	static const char *const trusts[] = { "none", "shape", "rate", NULL };
	const char *const *names = k->kind == MODE ? modes : trusts;

	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], value)) {
			*(unsigned int *)to = i;
			return 0;
		}
	snprintf(why, size, "%s is %s, not '%s'", k->name,
		 k->kind == MODE ? "fair or benefit" : "none, shape or rate", value);
	return -EINVAL;
}

static int set_number(const struct key *k, const char *value, double *v, char *why, size_t size)
{
	bool is_time = k->kind == MS || k->kind == MS64;
	char *end = NULL;
	int err = 0;

	if (is_time)
		err = parse_ms(value, v);
	else
		*v = strtod(value, &end);
	if (!err && (!end || (end != value && !*end)) && *v >= k->min && *v <= k->max &&
	    (k->kind != COUNT || *v == floor(*v)))
		return 0;
	snprintf(why, size, "%s must be a %s from %g%s to %g%s, not '%s'", k->name,
		 is_time ? "time" : "number", k->min, is_time ? "ms" : "", k->max,
		 is_time ? "ms" : "", value);
	return -EINVAL;
}

static int set_value(const struct key *k, void *base, const char *value, char *why, size_t size)
{
	void *to = (char *)base + k->offset;
	double v = 0;

	switch (k->kind) {
	case PATH:
	case NAME:
		return set_text(k, to, value, why, size);
	case MODE:
	case TRUST:
		return set_choice(k, to, value, why, size);
	case SIZE:
		if (!pv_parse_size(value, to))
			return 0;
		snprintf(why, size, "%s takes a size as 512M or 2G, not '%s'", k->name, value);
		return -EINVAL;
	case MS:
	case MS64:
	case REAL:
	case COUNT:
		break;
	}
	if (set_number(k, value, &v, why, size))
		return -EINVAL;
	if (k->kind == REAL)
		*(double *)to = v;
	else if (k->kind == MS64)
		*(uint64_t *)to = v;
	else
		*(unsigned int *)to = v;
	return 0;
}

static int set_key(const struct key *keys, void *base, const char *name, const char *value,
		   char *why, size_t size)
{
	for (; keys->name; keys++)
		if (!strcmp(keys->name, name))
			return set_value(keys, base, value, why, size);
	snprintf(why, size, "unknown key '%s'", name);
	return -EINVAL;
}

/* ---- sections */

struct reader {
	struct pv_config *c;
	struct pv_vm_config preset; /* [default] */
	enum { NOWHERE, DAEMON, RULES, TIER_SECTION, CLASS, PRESET, VM } in;
	unsigned int tier, line;
	char why[256];
};

#define FAIL(r, ...) (snprintf((r)->why, sizeof((r)->why), __VA_ARGS__), -EINVAL)

static int add_vm(struct reader *r, const char *name)
{
	struct pv_config *c = r->c;
	struct pv_vm_config *n;

	if (pv_config_find(c, name))
		return FAIL(r, "VM %s is there twice", name);
	if (c->nr_vm == PV_MAX_VMS)
		return FAIL(r, "more than %d VMs", PV_MAX_VMS);
	n = reallocarray(c->vm, c->nr_vm + 1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	c->vm = n;
	n[c->nr_vm] = r->preset;
	strcpy(n[c->nr_vm].name, name);
	n[c->nr_vm++].line = r->line;
	r->in = VM;
	return 0;
}

static int add_class(struct reader *r, const char *name)
{
	struct pv_config *c = r->c;

	if (c->nr_class == PV_MAX_CLASSES)
		return FAIL(r, "more than %d classes", PV_MAX_CLASSES);
	strcpy(c->class[c->nr_class].name, name);
	c->class[c->nr_class++].price = 1;
	r->in = CLASS;
	return 0;
}

static int section(struct reader *r, char *s)
{
	char *end = strchr(s, ']'), *name;

	if (!end || end[1])
		return FAIL(r, "a section is [name] or [kind name]");
	*end = '\0';
	name = strchr(s, ' ');
	if (name) {
		*name++ = '\0';
		name += strspn(name, " ");
		if (!*name || strlen(name) >= PV_NAME || strspn(name, NAME_CHARS) != strlen(name))
			return FAIL(r, "a name has up to %d letters, digits and . _ -",
				    PV_NAME - 1);
	}
	if (!name && !strcmp(s, "daemon"))
		r->in = DAEMON;
	else if (!name && !strcmp(s, "rules"))
		r->in = RULES;
	else if (!name && !strcmp(s, "default"))
		r->in = PRESET;
	else if (name && !strcmp(s, "vm"))
		return add_vm(r, name);
	else if (name && !strcmp(s, "class"))
		return add_class(r, name);
	else if (name && !strcmp(s, "tier") && (!strcmp(name, "fast") || !strcmp(name, "slow")))
		r->in = TIER_SECTION, r->tier = !strcmp(name, "slow");
	else
		return FAIL(r,
			    "unknown section: there are daemon, rules, tier fast, tier slow, class "
			    "NAME, default and vm NAME");
	return 0;
}

static int tier_key(struct reader *r, const char *key, const char *value)
{
	uint64_t *to;

	if (!strcmp(key, "capacity"))
		to = &r->c->tier[r->tier].capacity;
	else if (!strcmp(key, "reserve"))
		to = &r->c->tier[r->tier].reserve;
	else
		return FAIL(r, "unknown key '%s': a tier has capacity and reserve", key);
	if (pv_parse_size(value, to))
		return FAIL(r, "%s takes a size as 512M or 2G, not '%s'", key, value);
	return 0;
}

static int class_key(struct reader *r, const char *key, const char *value)
{
	double *price = &r->c->class[r->c->nr_class - 1].price;
	char *end;

	if (strcmp(key, "price"))
		return FAIL(r, "unknown key '%s': a class has a price", key);
	*price = strtod(value, &end);
	if (end == value || *end || !(*price >= 0.001 && *price <= 1e6))
		return FAIL(r, "price must be a number from 0.001 to 1e6, not '%s'", value);
	return 0;
}

static int assign(struct reader *r, const char *key, const char *value)
{
	switch (r->in) {
	case DAEMON:
		return set_key(daemon_keys, r->c, key, value, r->why, sizeof(r->why));
	case RULES:
		return set_key(rule_keys, r->c, key, value, r->why, sizeof(r->why));
	case TIER_SECTION:
		return tier_key(r, key, value);
	case CLASS:
		return class_key(r, key, value);
	case PRESET:
		return set_key(vm_keys, &r->preset, key, value, r->why, sizeof(r->why));
	case VM:
		return set_key(vm_keys, &r->c->vm[r->c->nr_vm - 1], key, value, r->why,
			       sizeof(r->why));
	case NOWHERE:
		break;
	}
	return FAIL(r, "a key before the first [section]");
}

static char *strip(char *s)
{
	size_t len;

	s += strspn(s, " \t");
	len = strlen(s);
	while (len && isspace((unsigned char)s[len - 1]))
		s[--len] = '\0';
	return s;
}

static int read_line(struct reader *r, char *line)
{
	char *s, *eq;

	ht_conffile_cut_comment(line);
	s = strip(line);
	if (!*s)
		return 0;
	if (*s == '[')
		return section(r, s + 1);
	eq = strchr(s, '=');
	if (!eq)
		return FAIL(r, "neither [section] nor key = value");
	*eq = '\0';
	return assign(r, strip(s), strip(eq + 1));
}

/* ---- what has to fit together */

static int check_tier(const struct pv_config *c, const struct pv_vm_config *v, unsigned int t,
		      char *why, size_t size)
{
	const struct pv_vm_tier *vt = &v->tier[t];

	if (vt->class[0] && pv_config_price(c, vt->class) < 0)
		snprintf(why, size, "there is no [class %s]", vt->class);
	else if (vt->guarantee > vt->limit)
		snprintf(why, size, "%s.guarantee is above %s.limit", pv_tier_name[t],
			 pv_tier_name[t]);
	else if (vt->guarantee && !vt->device[0])
		snprintf(why, size, "%s.guarantee without %s.device", pv_tier_name[t],
			 pv_tier_name[t]);
	else if (vt->device[0] && !c->tier[t].capacity)
		snprintf(why, size, "%s.device, but no capacity in [tier %s]", pv_tier_name[t],
			 pv_tier_name[t]);
	else
		return 0;
	return -EINVAL;
}

static bool has_cid(const struct pv_config *c, const struct pv_vm_config *v)
{
	size_t i;

	for (i = 0; i < c->nr_vm; i++)
		if (c->vm[i].cid == v->cid && strcmp(c->vm[i].name, v->name))
			return true;
	return false;
}

static int check_vm(const struct pv_config *c, const struct pv_vm_config *v, char *why, size_t size)
{
	unsigned int t;

	for (t = 0; t < PV_TIERS; t++)
		if (check_tier(c, v, t, why, size))
			return -EINVAL;
	if (!v->qmp[0])
		snprintf(why, size, "no qmp: the path of its QMP socket");
	else if (!v->cgroup[0] != !v->overhead)
		snprintf(why, size,
			 "cgroup and overhead go together: the limit is overhead and devices");
	else if (v->cid && v->report[0])
		snprintf(why, size, "either report or cid: a VM has one channel for reports");
	else if (v->cid && !c->vsock_port)
		snprintf(why, size, "cid, but no vsock-port in [daemon]");
	else if (v->cid && has_cid(c, v))
		snprintf(why, size, "another VM has cid %u as well", v->cid);
	else if (!v->tier[0].device[0] && !v->tier[1].device[0])
		snprintf(why, size,
			 "neither fast.device nor slow.device: the id of a virtio-mem device");
	else if (v->total && (!v->tier[0].device[0] || !v->tier[1].device[0]))
		snprintf(why, size, "total needs both fast.device and slow.device");
	else if (v->total && v->tier[1].limit < v->total - (v->tier[0].guarantee < v->total
								    ? v->tier[0].guarantee
								    : v->total))
		snprintf(why, size, "slow.limit cannot make up for the rest of total");
	else
		return 0;
	return -EINVAL;
}

/* The slow tier has to hold what the total leaves when the fast one is at its guarantee. */
static uint64_t promise(const struct pv_vm_config *v, unsigned int t)
{
	uint64_t g = v->tier[t].guarantee, fast = v->tier[0].guarantee;

	if (t == 1 && v->total > fast && v->total - fast > g)
		g = v->total - fast;
	return g;
}

int pv_config_admit(const struct pv_config *c, const struct pv_vm_config *n, char *why, size_t size)
{
	uint64_t *g = calloc(c->nr_vm + 1, sizeof(*g)), lack;
	unsigned int t;
	size_t i, nr;
	int err = g ? check_vm(c, n, why, size) : -ENOMEM;

	for (t = 0; t < PV_TIERS && !err; t++) {
		struct pv_pool p = { .capacity = c->tier[t].capacity,
				     .reserve = c->tier[t].reserve };

		for (i = nr = 0; i < c->nr_vm; i++)
			if (strcmp(c->vm[i].name, n->name))
				g[nr++] = promise(&c->vm[i], t);
		lack = pv_admit(&p, g, nr, promise(n, t));
		if (!lack)
			continue;
		snprintf(why, size,
			 "VM %s does not fit: its guarantee of %" PRIu64
			 " MiB in the %s tier is %" PRIu64
			 " MiB more than what is not promised yet",
			 n->name, promise(n, t) >> 20, pv_tier_name[t],
			 (lack + (1 << 20) - 1) >> 20);
		err = -ENOSPC;
	}
	free(g);
	return err;
}

/* One VM after the other, as they would join: the first that does not fit is named. */
static int check_all(struct reader *r)
{
	struct pv_config so_far = *r->c;
	size_t i;
	int err;

	for (i = 0; i < r->c->nr_vm; i++) {
		so_far.nr_vm = i;
		r->line = r->c->vm[i].line;
		err = pv_config_admit(&so_far, &r->c->vm[i], r->why, sizeof(r->why));
		if (err)
			return err;
	}
	return 0;
}

/* ---- in and out */

static void preset_vm(struct pv_vm_config *v)
{
	unsigned int t;

	memset(v, 0, sizeof(*v));
	v->trust = PV_TRUST_SHAPE;
	for (t = 0; t < PV_TIERS; t++) {
		v->tier[t].limit = HT_GUEST_BYTES_MAX;
		v->tier[t].loan = PV_UNKNOWN;
		v->tier[t].rate = 4ULL << 30;
		v->tier[t].weight = 1;
	}
}

void pv_config_init(struct pv_config *c)
{
	memset(c, 0, sizeof(*c));
	c->period_ms = 500;
	c->qmp_timeout_ms = 3000;
	/* Measured; docs/provision.md says how. */
	c->rules = (struct pv_rules){
		.mode = PV_FAIR,
		.hysteresis = 0.2,
		.settle = 20,
		.worth = 0.5,
		.confirm = 3,
		.patience = 0,
		.shrink_timeout = 15000,
		.grow_timeout = 15000,
		.backoff = 30000,
		.report_stale = 15000,
	};
}

void pv_config_free(struct pv_config *c)
{
	free(c->vm);
	memset(c, 0, sizeof(*c));
}

int pv_config_parse(struct pv_config *c, FILE *f, const char *name)
{
	struct reader r = { .c = c };
	char line[LINE];
	int err = 0;

	preset_vm(&r.preset);
	while (!err && fgets(line, sizeof(line), f)) {
		r.line++;
		err = strlen(line) == sizeof(line) - 1 ? FAIL(&r, "the line is too long")
						       : read_line(&r, line);
	}
	if (!err && ferror(f))
		err = FAIL(&r, "cannot be read");
	err = err ?: check_all(&r);
	if (err)
		pr_err("%s:%u: %s", name, r.line, err == -ENOMEM ? "out of memory" : r.why);
	return err == -ENOSPC ? -EINVAL : err;
}

int pv_config_read(struct pv_config *c, const char *path)
{
	FILE *f = fopen(path, "re");
	int err;

	if (!f) {
		err = -errno;
		pr_err("cannot read the configuration %s: %s", path, strerror(errno));
		return err;
	}
	err = pv_config_parse(c, f, path);
	fclose(f);
	return err;
}

int pv_config_set(const struct pv_config *c, struct pv_vm_config *vm, const char *key,
		  const char *value, char *why, size_t size)
{
	if (strncmp(key, "fast.", 5) && strncmp(key, "slow.", 5) && strcmp(key, "trust") &&
	    strcmp(key, "total")) {
		snprintf(why, size, "'%s' cannot be set while the VM runs", key);
		return -EINVAL;
	}
	if (strstr(key, ".device")) {
		snprintf(why, size, "a device cannot be changed while the VM runs");
		return -EINVAL;
	}
	return set_key(vm_keys, vm, key, value, why, size);
}

int pv_config_rule(struct pv_config *c, const char *key, const char *value, char *why, size_t size)
{
	return set_key(strcmp(key, "period") ? rule_keys : daemon_keys, c, key, value, why, size);
}

struct pv_vm_config *pv_config_find(const struct pv_config *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nr_vm; i++)
		if (!strcmp(c->vm[i].name, name))
			return &c->vm[i];
	return NULL;
}

double pv_config_price(const struct pv_config *c, const char *class)
{
	size_t i;

	if (!*class)
		return 1;
	for (i = 0; i < c->nr_class; i++)
		if (!strcmp(c->class[i].name, class))
			return c->class[i].price;
	return -1;
}

void pv_config_share(const struct pv_config *c, const struct pv_vm_config *vm, unsigned int t,
		     struct pv_share *s)
{
	const struct pv_vm_tier *vt = &vm->tier[t];
	uint64_t block = s->block ?: 1;

	s->guarantee = (vt->guarantee + block - 1) / block * block;
	s->limit = vt->limit / block * block;
	s->loan = vt->loan;
	s->weight = vt->weight * pv_config_price(c, vt->class);
	s->rate = vt->rate;
	if (s->max && s->guarantee > s->max)
		s->guarantee = s->max / block * block;
	if (s->limit < s->guarantee)
		s->limit = s->guarantee;
}
