/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Command lines from tables: what an option is called, what it may be, and where it goes. argp(3)
 * does the rest.
 */
#ifndef WORKLOAD_OPTIONS_H
#define WORKLOAD_OPTIONS_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define OPT_MAX 32
#define OPT_KEY 0x100 /* of the first option without a letter: beyond all letters */

enum opt_kind { OPT_U64, OPT_DOUBLE, OPT_TEXT, OPT_CHOICE, OPT_SET };

struct opt {
	const char *name;
	int letter; /* 0 = none */
	const char *arg, *doc;
	enum opt_kind kind;
	int flags; /* argp's; OPTION_ARG_OPTIONAL: 1 without an argument */
	size_t offset, size;
	double min, max; /* of a number; OPT_SET stores max */
};

#define OPT_OF(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
/* A uint64_t or a double in [lo, hi]. */
#define OPT_NUMBER(type, member, long_name, key, what, lo, hi, text)                               \
	{                                                                                          \
		.name = long_name, .letter = key, .arg = what, .doc = text, OPT_OF(type, member),  \
		.kind = _Generic(((type *)0)->member, double                                       \
				 : OPT_DOUBLE, uint64_t                                            \
				 : OPT_U64),                                                       \
		.min = lo, .max = hi                                                               \
	}
/* An enum, by the names of its values from 0 on, "a|b|c". */
#define OPT_ONE_OF(type, member, long_name, names, text)                                           \
	{                                                                                          \
		.name = long_name, .arg = names, .doc = text, OPT_OF(type, member),                \
		.kind = OPT_CHOICE                                                                 \
	}
/* Takes no argument and stores a value in a bool or an enum. */
#define OPT_SETS(type, member, long_name, value, text)                                             \
	{                                                                                          \
		.name = long_name, .doc = text, OPT_OF(type, member), .kind = OPT_SET,             \
		.max = value                                                                       \
	}
#define OPT_STRING(type, member, long_name, what, text)                                            \
	{                                                                                          \
		.name = long_name, .arg = what, .doc = text, OPT_OF(type, member),                 \
		.kind = OPT_TEXT                                                                   \
	}

/* A table, the structure its options go to, and one more such pair, which help lists after it. */
struct opt_set {
	const struct opt *opt; /* ends with one without a name */
	void *base;
	struct opt_set *common;
};

static inline int opt_key(const struct opt *first, const struct opt *o)
{
	return o->letter ?: OPT_KEY + (int)(o - first);
}

/* A number in the option's bounds; ends the program with a message otherwise. */
static inline double opt_number(struct argp_state *state, const struct opt *o, const char *arg)
{
	char *end;
	double x = strtod(arg, &end);

	if (end == arg || *end || !(x >= o->min && x <= o->max))
		argp_error(state, "--%s takes a number from %g to %g, not '%s'", o->name, o->min,
			   o->max, arg);
	return x;
}

static inline uint64_t opt_choice(struct argp_state *state, const struct opt *o, const char *arg)
{
	const char *name = o->arg;
	uint64_t nr = 0;
	size_t len;

	for (;; nr++) {
		len = strcspn(name, "|");
		if (strlen(arg) == len && !strncmp(name, arg, len))
			return nr;
		if (!name[len])
			break;
		name += len + 1;
	}
	argp_error(state, "--%s takes %s, not '%s'", o->name, o->arg, arg);
	return 0;
}

static inline void opt_store(struct argp_state *state, const struct opt *o, char *base, char *arg)
{
	double x = 1;
	uint64_t v;

	switch (o->kind) {
	case OPT_TEXT:
		memcpy(base + o->offset, &arg, sizeof(arg));
		return;
	case OPT_DOUBLE:
		x = arg ? opt_number(state, o, arg) : x;
		memcpy(base + o->offset, &x, sizeof(x));
		return;
	case OPT_U64:
		v = opt_number(state, o, arg);
		break;
	case OPT_CHOICE:
		v = opt_choice(state, o, arg);
		break;
	default:
		v = o->max;
	}
	/* Little-endian: the first bytes are a bool's, or an enum's, value. */
	memcpy(base + o->offset, &v, o->size);
}

static error_t opt_parse_one(int key, char *arg, struct argp_state *state)
{
	struct opt_set *set = state->input;

	if (key == ARGP_KEY_INIT && set->common)
		state->child_inputs[0] = set->common;
	for (const struct opt *o = set->opt; o->name; o++) {
		if (opt_key(set->opt, o) != key)
			continue;
		opt_store(state, o, set->base, arg);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static inline void opt_list(const struct opt *opt, struct argp_option list[OPT_MAX + 1])
{
	for (const struct opt *o = opt; o->name && o - opt < OPT_MAX; o++)
		list[o - opt] = (struct argp_option){ .name = o->name,
						      .key = opt_key(opt, o),
						      .arg = o->arg,
						      .flags = o->flags,
						      .doc = o->doc };
}

/* Ends the program on wrong usage, with status 2. */
static inline void opt_parse(struct opt_set *set, const char *doc, int argc, char **argv)
{
	struct argp_option own[OPT_MAX + 1] = {}, common[OPT_MAX + 1] = {};
	const struct argp base = { .options = common, .parser = opt_parse_one };
	const struct argp_child children[] = { { &base, 0, "Common options:", 1 }, {} };
	const struct argp all = {
		.options = own, .parser = opt_parse_one, .doc = doc, .children = children
	};

	opt_list(set->opt, own);
	opt_list(set->common->opt, common);
	argp_err_exit_status = 2;
	argp_parse(&all, argc, argv, 0, NULL, set);
}

#endif
