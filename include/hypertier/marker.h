/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Markers by which a workload talks to the lab's emulator: a seven-byte NOP (0f 1f 80 disp32) whose
 * displacement carries the command, with up to two arguments in rdi and rsi. Any x86-64 CPU
 * executes it as nothing at all, so the same binary runs unchanged outside the lab.
 *
 * Counting is on while at least one address space that sent START has not sent STOP. Address spaces
 * that sent JOIN are counted as long as that holds; a process that joined sends LEAVE before it
 * exits, as the kernel may give its page table to the next process. START, STOP, JOIN and LEAVE
 * speak for the address space (all threads) of the caller.
 */
#ifndef HYPERTIER_MARKER_H
#define HYPERTIER_MARKER_H

#define HT_MARKER_BASE 0x48540000 /* the upper 16 bits identify a marker, the lower the command */

#define HT_MARK_START 1	 /* rdi = tgid, rsi = threads (0 = 1): count this address space */
#define HT_MARK_STOP 2	 /* no longer count this address space */
#define HT_MARK_PHASE 3	 /* rdi = phase number */
#define HT_MARK_MEMMAP 4 /* the guest has (re)written nr_mem and mem[] */
#define HT_MARK_JOIN 5	 /* rdi = tgid: count this address space too, once counting is on */
#define HT_MARK_LEAVE 6	 /* undo a JOIN */

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
