/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Markers by which a workload talks to the lab's emulator: a seven-byte NOP (0f 1f 80 disp32) whose
 * displacement carries the command, with up to two arguments in rdi and rsi. Any x86-64 CPU
 * executes it as nothing at all, so the same binary runs unchanged outside the lab.
 */
#ifndef HYPERTIER_MARKER_H
#define HYPERTIER_MARKER_H

#define HT_MARKER_BASE 0x48540000 /* the upper 16 bits identify a marker, the lower the command */

#define HT_MARK_START 1 /* rdi = tgid: count this address space, counting on */
#define HT_MARK_STOP 2 /* counting off */
#define HT_MARK_PHASE 3 /* rdi = phase number */
#define HT_MARK_MEMMAP 4 /* the guest has (re)written nr_mem and mem[] */
#define HT_MARK_JOIN 5 /* rdi = tgid: count this address space too, once counting is on */

#if defined(__x86_64__)
#define ht_marker(cmd, arg0, arg1)                                                                 \
	({                                                                                         \
		register unsigned long __a0 __asm__("rdi") = (unsigned long)(arg0);                \
		register unsigned long __a1 __asm__("rsi") = (unsigned long)(arg1);                \
		__asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c2"                               \
				 :                                                                 \
				 : "r"(__a0), "r"(__a1), "i"(HT_MARKER_BASE | (cmd))               \
				 : "memory");                                                      \
	})
#else
#define ht_marker(cmd, arg0, arg1) ((void)(arg0), (void)(arg1))
#endif

#endif
