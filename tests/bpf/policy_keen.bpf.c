// SPDX-License-Identifier: GPL-2.0
/* The same as eager under another name: one to be swapped for. */
#include "policy_eager.h"

HYPERTIER_OPS_DEFINE(keen, .rank = eager_rank, .admit = eager_admit);
