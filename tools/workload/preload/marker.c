// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Preloaded into a program that is a workload as it is: sends the emulator's markers from the
 * program's own address space when told to by a queued signal, whose value carries the command in
 * its lower 16 bits and the argument above them.
 */
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include <hypertier/marker.h>

#include "../preload.h"

static void on_mark(int sig, siginfo_t *info, void *context)
{
	uint64_t value = (uintptr_t)info->si_value.sival_ptr, arg = value >> 16;

	switch (value & 0xffff) {
	case HT_MARK_START:
		ht_marker(HT_MARK_START, getpid(), 1);
		break;
	case HT_MARK_STOP:
		ht_marker(HT_MARK_STOP, 0, 0);
		break;
	case HT_MARK_PHASE:
		ht_marker(HT_MARK_PHASE, arg, 0);
		break;
	}
}

static void __attribute__((constructor)) listen_for_marks(void)
{
	struct sigaction sa = { .sa_sigaction = on_mark, .sa_flags = SA_SIGINFO | SA_RESTART };

	sigemptyset(&sa.sa_mask);
	sigaction(WL_MARK_SIGNAL, &sa, NULL);
}
