/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Integer arithmetic for scores. BPF has no floating point, no 128-bit product and, on older
 * kernels, no signed division; a score that wraps around would send the hottest memory to the
 * slowest tier.
 */
#ifndef HYPERTIER_MATH_BPF_H
#define HYPERTIER_MATH_BPF_H

#include <vmlinux.h>

/* Greatest n with 2^n <= v; 0 for v = 0. */
__noinline __u32 ht_log2(__u64 v)
{
	__u32 n = 0;

	n |= (v >> n > 0xffffffffULL) << 5;
	n |= (v >> n > 0xffff) << 4;
	n |= (v >> n > 0xff) << 3;
	n |= (v >> n > 0xf) << 2;
	n |= (v >> n > 3) << 1;
	n |= v >> n > 1;
	return n;
}

/* a * b / c without overflow on the way, to 31 bits at least; ends at 2^64 - 1; 0 for c = 0. */
__noinline __u64 ht_mul_div(__u64 a, __u64 b, __u64 c)
{
	__u32 bits = ht_log2(a) + ht_log2(b) + 2, over, over_a;
	__u64 q;

	if (!c)
		return 0;
	over = bits > 64 ? bits - 64 : 0;
	/* From each in turn, so that neither loses more than half of what has to go. */
	over_a = a > b ? (over + 1) / 2 : over / 2;
	q = (a >> over_a) * (b >> (over - over_a)) / c;
	return q > ~0ULL >> over ? ~0ULL : q << over;
}

/* Samples per 4 KiB page, times 2^16: the unit of ht_range.density. */
static __always_inline __u64 ht_density(__u64 samples, __u64 pages)
{
	return ht_mul_div(samples, 65536, pages);
}

/*
 * Nanoseconds an epoch that so many pages save by a gain in density, where total_heat stands for so
 * many accesses an epoch, and each costs ns more in the slower tier.
 */
static __always_inline __u64 ht_saving(__u64 gain, __u64 pages, __u64 accesses, __u64 total_heat,
				       __u64 ns)
{
	__u64 more = ht_mul_div(ht_mul_div(gain, pages, 1), accesses, total_heat);

	return ht_mul_div(more, ns, 65536);
}

#endif
