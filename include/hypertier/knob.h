/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A knob: a number of a policy that is set before the policy is loaded (--set name=value) and is a
 * constant from then on, so that the verifier prunes what it switches off. A policy's knobs fill
 * its section ".rodata.knobs", one struct ht_knob after the other and nothing else.
 */
#ifndef HYPERTIER_KNOB_H
#define HYPERTIER_KNOB_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define HT_KNOB_NAME_LEN 24
#define HT_KNOB_HELP_LEN 104
#define HT_KNOBS_MAX 64 /* of one policy */

struct ht_knob {
	char name[HT_KNOB_NAME_LEN]; /* letters, digits and underscores */
	char help[HT_KNOB_HELP_LEN]; /* one line: meaning and unit */
	__u64 min, max;		     /* both are allowed */
	__u64 value;		     /* unsigned, as all that ops compare it with */
};
_Static_assert(sizeof(struct ht_knob) == 152, "no padding: the section is an array of these");

#endif
