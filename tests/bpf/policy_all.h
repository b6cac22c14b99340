/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the policy "all" counts and what a test may set: its .bss, one struct after the other. */
#ifndef HT_TEST_POLICY_ALL_H
#define HT_TEST_POLICY_ALL_H

struct policy_all_calls {
	__u64 sample, age, rank, admit, tick, init, exit;
	__u64 tick_epoch, init_period;
	__u32 exit_kind, exit_reason0;
};

struct policy_all_knobs {
	__u32 keep; /* ops.age takes nothing away */
	__s32 init_result;
};

#endif
