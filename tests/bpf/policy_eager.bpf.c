// SPDX-License-Identifier: GPL-2.0
#include "policy_eager.h"

HYPERTIER_OPS_DEFINE(eager, .rank = eager_rank, .admit = eager_admit);
