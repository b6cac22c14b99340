/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The emulator's options: -plugin emu.so,name=value,... */
#ifndef LAB_EMU_OPTIONS_H
#define LAB_EMU_OPTIONS_H

#include <ctype.h>
#include <stdio.h>

#include "emu_state.h"

/* A decimal number with an optional K, M or G; nothing may follow. */
static inline int emu_parse_u64(const char *s, uint64_t *val)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	*val = strtoull(s, &end, 10);
	if (errno)
		return -ERANGE;
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		unsigned int shift = 10 * (unit - units + 1);

		if (*val >> (64 - shift))
			return -ERANGE;
		*val <<= shift;
		end++;
	}
	return *end ? -EINVAL : 0;
}

static inline void emu_options_default(struct emu_options *o)
{
	memset(o, 0, sizeof(*o));
	o->ring_size = 4 << 20;
	o->period = 1000;
	o->series = 1000000;
	o->llc_size = 8 << 20;
	o->llc_ways = 16;
	o->line = 64;
	o->l1_size = 32 << 10;
	o->hit_ns = 10;
	o->insn_ps = 250;
	o->mlp = 1;
	o->lat_ns[0] = 80;
	for (unsigned int n = 1; n < HT_RING_MAX_NODES; n++)
		o->lat_ns[n] = 250;
}

/* Where the value of a numeric option goes; NULL: there is no such option. */
static inline uint64_t *emu_option_slot(struct emu_options *o, const char *name, size_t len)
{
	const struct {
		const char *name;
		uint64_t *slot;
	} table[] = {
		{ "ring_size", &o->ring_size },
		{ "period", &o->period },
		{ "series", &o->series },
		{ "model", &o->model },
		{ "llc_size", &o->llc_size },
		{ "llc_ways", &o->llc_ways },
		{ "llc_line", &o->line },
		{ "l1_size", &o->l1_size },
		{ "hit", &o->hit_ns },
		{ "insn_ps", &o->insn_ps },
		{ "mlp", &o->mlp },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strlen(table[i].name) == len && !strncmp(table[i].name, name, len))
			return table[i].slot;
	if (len == 4 && !strncmp(name, "lat", 3) && name[3] >= '0' &&
	    name[3] < '0' + HT_RING_MAX_NODES)
		return &o->lat_ns[name[3] - '0'];
	if (len == 3 && !strncmp(name, "bw", 2) && name[2] >= '0' &&
	    name[2] < '0' + HT_RING_MAX_NODES)
		return &o->bw_mb[name[2] - '0'];
	return NULL;
}

static inline int emu_option_parse(struct emu_options *o, const char *arg)
{
	const char *eq = strchr(arg, '=');
	uint64_t *slot;

	if (!eq)
		return -EINVAL;
	if (!strncmp(arg, "ring=", 5)) {
		o->ring = eq + 1;
		return 0;
	}
	if (!strncmp(arg, "out=", 4)) {
		o->out = eq + 1;
		return 0;
	}
	/* QEMU spells switches on and off. */
	slot = emu_option_slot(o, arg, eq - arg);
	if (slot && slot == &o->model && (!strcmp(eq + 1, "on") || !strcmp(eq + 1, "off"))) {
		*slot = !strcmp(eq + 1, "on");
		return 0;
	}
	return slot ? emu_parse_u64(eq + 1, slot) : -EINVAL;
}

/* What cannot work is refused here, with the reason. */
static inline int emu_options_check(const struct emu_options *o)
{
	const char *why = NULL;

	if (!o->ring)
		why = "ring=FILE is missing: the file behind the guest's ivshmem device";
	else if (o->ring_size < 16384 || o->ring_size > 1 << 30 || !emu_pow2(o->ring_size))
		why = "ring_size must be a power of two from 16K to 1G";
	else if (!o->mlp || o->mlp > 64)
		why = "mlp must be from 1 to 64";
	else if (!o->series)
		why = "series must be at least 1";
	if (!why)
		return 0;
	fprintf(stderr, "emu: %s\n", why);
	return -EINVAL;
}

#endif
