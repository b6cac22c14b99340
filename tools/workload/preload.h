/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What preload/marker.c and its senders agree on. */
#ifndef WORKLOAD_PRELOAD_H
#define WORKLOAD_PRELOAD_H

#include <signal.h>

#define WL_MARK_SIGNAL (SIGRTMIN + 7) /* real-time signals are queued and keep their order */

#endif
