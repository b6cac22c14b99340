/* SPDX-License-Identifier: GPL-2.0 */
/*
 * HYPERTIER_KNOB(threshold, 8, 1, 1000, "samples per 2 MiB from which on memory is hot");
 * defines a knob, read as threshold.value: a constant once the policy is loaded.
 */
#ifndef HYPERTIER_KNOB_BPF_H
#define HYPERTIER_KNOB_BPF_H

#include <hypertier/knob.h>

#define HYPERTIER_KNOB(var, initial, lo, hi, text)                                                 \
	_Static_assert(sizeof(#var) <= HT_KNOB_NAME_LEN, "knob name too long");                    \
	_Static_assert(sizeof(text) <= HT_KNOB_HELP_LEN, "knob help too long");                    \
	_Static_assert((lo) >= 0 && (lo) <= (initial) && (initial) <= (hi), "bad knob range");     \
	const volatile struct ht_knob var SEC(".rodata.knobs") = {                                 \
		.name = #var, .help = text, .min = lo, .max = hi, .value = initial                 \
	}

#endif
