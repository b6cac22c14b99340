/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Integer arithmetic for scores. BPF has no floating point, no 128-bit product and, on older
 * kernels, no signed division; a score that wraps around would send the hottest memory to the
 * slowest tier.
 */
#ifndef HYPERTIER_MATH_BPF_H
#define HYPERTIER_MATH_BPF_H

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

/* Bits that v can give away of those that are too many: 32 stay. */
static __always_inline __u32 ht_spare_bits(__u64 v, __u32 wanted)
{
	__u32 n = ht_log2(v), spare = n > 31 ? n - 31 : 0;

	return spare < wanted ? spare : wanted;
}

/* a * b / c, exact while a * b < 2^63, else to 28 bits; ends at 2^64 - 1; 0 for c = 0. */
__noinline __u64 ht_mul_div(__u64 a, __u64 b, __u64 c)
{
	__u32 bits = ht_log2(a) + ht_log2(b) + 2, over, of_a, of_c;
	__u64 q;

	if (!c)
		return 0;
	over = bits > 64 ? bits - 64 : 0;
	of_a = ht_spare_bits(a, over);
	of_c = ht_spare_bits(c, over);
	q = (a >> of_a) * (b >> (over - of_a)) / (c >> of_c);
	over -= of_c;
	return over > 63 || q > ~0ULL >> over ? ~0ULL : q << over;
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
