// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "bench.h"
#include "sample_body.h"

int main(int argc, char **argv)
{
	static const struct body_case cases[] = {
		{ 1, false }, { 16, false }, { 64, false }, { 1, true }, { 16, true }, { 64, true },
	};
	struct body_result r;
	size_t i;
	bench_pin();
	for (i = 0; i < 6; i++) {
		if (body_run(&cases[i], &r))
			return 1;
		printf("%2u %d tile %.1f (again %.1f noise %.1f spread %.1f) flat %.1f lru %.1f ring %.1f empty %.1f ratio %.2f | KiB/GiB %.1f used %.1f flat %.0f tiles %u details %u\n",
		       cases[i].gib, cases[i].zipf, r.ns[1], r.ns[2], r.noise, r.spread[1], r.ns[3], r.ns[4],
		       r.ns[5], r.empty_ns, r.ns[3] / r.ns[1], r.tile_kib, r.used_kib, r.flat_kib, r.tiles, r.details);
	}
	return 0;
}
