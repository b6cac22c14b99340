/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
	.section .rodata
	.global ht_builtin_policy, ht_builtin_policy_end
	.balign 16
ht_builtin_policy:
	.incbin POLICY
ht_builtin_policy_end:
	.section .note.GNU-stack, "", @progbits
