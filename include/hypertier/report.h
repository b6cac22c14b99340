/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What a guest tells its host, once per epoch, over a virtio-serial port or vsock: one JSON object
 *on one line of at most HT_GUEST_LINE bytes with its newline.
 *
 *   {"v":1,"seq":12,"epoch_ms":500,"capacity":167772160,"fast":201326592,"slow":536870912,
 *    "hot":41943040,"share":0.93,"accesses":1.2e8,"refault":0,"waste":0.01,
 *    "curve":[[0,0],[20971520,0.51],...]}
 *
 *	v		version; a host refuses other ones than its own
 *	seq		counts reports, from 1; a gap means that reports were lost
 *	epoch_ms	length of an epoch
 *	capacity	bytes that the tiered processes may hold in the fast tier as it is now
 *	fast, slow	size of the tiers as the guest sees it, bytes
 *	hot		bytes at least half as hot as the average
 *	share		of the accesses, served by the fast tier; 0 .. 1
 *	accesses	per second, estimated; 0 = not known
 *	refault		pages read back that had been reclaimed, in the epoch: memory is short
 *	waste		share of the moved pages that were soon moved back; 0 .. 1
 *	curve		[capacity, share expected there], both not falling, at most HT_GUEST_CURVE
 *
 * Unknown members are ignored. The host trusts none of it: what does not parse, or is out of
 *bounds, is dropped and counted.
 */
#ifndef HYPERTIER_REPORT_H
#define HYPERTIER_REPORT_H

#include <stdint.h>

#define HT_GUEST_VERSION 1
#define HT_GUEST_LINE 2048
#define HT_GUEST_CURVE 16
#define HT_GUEST_BYTES_MAX (1ULL << 52)
#define HT_GUEST_RATE_MAX 1e13

struct ht_guest_point {
	uint64_t bytes;
	double share;
};

struct ht_guest_report {
	uint64_t seq;
	uint32_t epoch_ms;
	uint64_t capacity, fast, slow, hot;
	double share, accesses, waste;
	uint64_t refault;
	unsigned int nr_curve;
	struct ht_guest_point curve[HT_GUEST_CURVE];
};

#endif
