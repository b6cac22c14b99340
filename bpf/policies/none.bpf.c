// SPDX-License-Identifier: GPL-2.0
/*
 * none: observe only. Samples are counted and ranges are built, so statistics and the heat map
 * work; nothing is ever moved.
 */
#define HYPERTIER_POLICY_FLAGS HT_POLICY_OBSERVE
#include <hypertier/policy.bpf.h>

HYPERTIER_OPS_DEFINE(none);
