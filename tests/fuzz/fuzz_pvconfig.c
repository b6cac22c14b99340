// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* hypertier-provision's configuration. */
#include "fuzz.h"

#include <math.h>

#include "../../provision/config.h"

static void check_vm(const struct pv_config *c, const struct pv_vm_config *v)
{
	struct pv_share s = { .block = 2 << 20, .max = 1ULL << 40 };
	char why[256];
	unsigned int t;

	FUZZ_ASSERT(v->name[0] && v->total <= HT_GUEST_BYTES_MAX && v->trust <= PV_TRUST_RATE);
	for (t = 0; t < PV_TIERS; t++) {
		const struct pv_vm_tier *vt = &v->tier[t];

		FUZZ_ASSERT(vt->guarantee <= HT_GUEST_BYTES_MAX && vt->limit <= HT_GUEST_BYTES_MAX);
		FUZZ_ASSERT(vt->weight >= 0.001 && vt->weight <= 1e6);
		pv_config_share(c, v, t, &s);
		FUZZ_ASSERT(s.weight > 0 && isfinite(s.weight) && s.guarantee <= s.limit);
	}
	FUZZ_ASSERT(!pv_config_admit(c, v, why, sizeof(why)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *f = size ? fmemopen((void *)data, size, "r") : NULL;
	struct pv_config c;
	size_t i;

	if (!f)
		return 0;
	pv_config_init(&c);
	if (!pv_config_parse(&c, f, "fuzz")) {
		FUZZ_ASSERT(c.period_ms >= 50 && c.period_ms <= 60000 && c.evict <= 1000);
		FUZZ_ASSERT(c.qmp_timeout_ms >= 50 && c.qmp_timeout_ms <= 60000);
		FUZZ_ASSERT(c.rules.backoff >= 100 && c.rules.backoff <= 3600000);
		for (i = 0; i < c.nr_vm; i++)
			check_vm(&c, &c.vm[i]);
	}
	pv_config_free(&c);
	fclose(f);
	return 0;
}
