/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A recorded trace of samples: one struct ht_trace_hdr, then records until the end of the file.
 * Little endian. A record with tgid 0 ends an epoch; its addr is that epoch's length in ns.
 */
#ifndef HYPERTIER_TRACE_H
#define HYPERTIER_TRACE_H

#include "ctl.h"

#define HT_TRACE_MAGIC 0x3143415254485948ULL /* "HYTHTRAC1" cut to 8 bytes */
#define HT_TRACE_VERSION 1

struct ht_trace_hdr {
	__u64 magic;
	__u32 version;
	__u32 record_size; /* sizeof(struct ht_inject_rec) */
	__u64 period; /* accesses per sample, 0 = not known */
	__u64 pad;
};

#endif
