// SPDX-License-Identifier: GPL-2.0
/* abi: built against an ABI that no loader has. For tests. */
#include <hypertier/policy.bpf.h>

#undef HT_ABI_VERSION
#define HT_ABI_VERSION 9999

HYPERTIER_OPS_DEFINE(abi);
