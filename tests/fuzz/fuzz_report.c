// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* What a guest sends: bytes of its channel, and what they make its VM want. */
#include "fuzz.h"

#include <math.h>

#include "../../provision/channel.h"
#include "../../provision/config.h"
#include "../../provision/demand.h"

static void check(const struct pv_channel *c)
{
	const struct ht_guest_report *r = &c->report;

	FUZZ_ASSERT(c->len <= HT_GUEST_LINE && c->offences <= PV_CHANNEL_OFFENCES);
	FUZZ_ASSERT(r->nr_curve <= HT_GUEST_CURVE && r->capacity <= HT_GUEST_BYTES_MAX);
	FUZZ_ASSERT(r->share >= 0 && r->share <= 1 && r->waste >= 0 && r->waste <= 1);
	FUZZ_ASSERT(isfinite(r->accesses) && r->accesses >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pv_share s = { .block = 2 << 20, .max = 1ULL << 40, .demand = PV_UNKNOWN };
	struct pv_config conf;
	struct pv_channel c;
	uint64_t now = 1000;
	size_t n;

	pv_config_init(&conf);
	pv_channel_init(&c, "");
	for (; size; data += n, size -= n, now += 100) {
		/* As it may arrive: pieces that end anywhere. */
		n = 1 + (size * 7 + data[0]) % 97;
		n = n < size ? n : size;
		pv_channel_feed(&c, (const char *)data, n, now);
		check(&c);
		if (!c.fresh)
			continue;
		c.fresh = false;
		pv_demand_update(&s, &c.report, 1ULL << 30, &conf.rules);
		FUZZ_ASSERT(s.nr_curve <= HT_GUEST_CURVE && s.demand <= 2 * HT_GUEST_BYTES_MAX);
		FUZZ_ASSERT(pv_demand_share(&s, 1ULL << 29) <= 1.001);
	}
	pv_channel_free(&c);
	return 0;
}
