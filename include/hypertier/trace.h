/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A recording of samples: one struct ht_trace_hdr, then struct ht_inject_rec until the end of the
 * file, all little endian. Records are of three kinds:
 *   sample      tgid not 0, write 0 (load) or 1 (store)
 *   placement   tgid not 0, write HT_TRACE_PLACE: from here on so many pages of one tile are
 *               resident (lat) and so many of these in the fastest tier (low bits of addr)
 *   epoch       tgid 0: an epoch ends; addr is its length in ns
 */
#ifndef HYPERTIER_TRACE_H
#define HYPERTIER_TRACE_H

#include "ctl.h"
#include "heat.h"

#define HT_TRACE_MAGIC 0x3143415254485948ULL /* "HYTHTRAC1" cut to 8 bytes */
#define HT_TRACE_VERSION 2
#define HT_TRACE_PLACE 2

#define HT_TRACE_TGIDS (1U << 22) /* PID_MAX_LIMIT: process numbers are below it */
#define HT_TRACE_ADDRS (1ULL << (HT_KEY_VA_BITS + HT_TILE_SHIFT)) /* user addresses are below it */

struct ht_trace_hdr {
	__u64 magic;
	__u32 version;
	__u32 record_size; /* sizeof(struct ht_inject_rec) */
	__u64 period; /* accesses per sample, 0 = not known */
	__u32 source; /* enum ht_source_id */
	__u32 pad;
};

#endif
