// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* hypertier-provision's state file, and the first decision after it was read. */
#include "fuzz.h"

#include <math.h>

#include <json-c/json.h>

#include "../../provision/daemon.h"
#include "../../provision/state.h"

static const char conf_text[] = "[tier fast]\ncapacity = 64G\n[tier slow]\ncapacity = 1T\n"
				"[class gold]\nprice = 3\n"
				"[vm a]\nqmp = /a\nreport = /ra\ntotal = 4G\nfast.device = f\n"
				"fast.guarantee = 1G\nslow.device = s\nslow.guarantee = 1G\n"
				"[vm b]\nqmp = /b\nfast.device = f\n";

static void decide(struct pv_vm **vm, const struct pv_config *c, uint64_t now)
{
	struct pv_work *w = pv_work_new(2);
	struct pv_share *share[2];
	struct pv_pool pool;
	unsigned int t, i, nr;

	for (i = 0; i < 2; i++)
		pv_vm_prepare(vm[i], c, false, now);
	for (t = 0; t < PV_TIERS; t++) {
		for (i = nr = 0; i < 2; i++)
			if (vm[i]->managed[t])
				share[nr++] = &vm[i]->share[t];
		pool = (struct pv_pool){ .capacity = c->tier[t].capacity };
		pv_decide(w, share, nr, &pool, &c->rules, now, 1000);
		for (i = 0; i < 2 && !t; i++)
			pv_vm_couple(vm[i]);
	}
	pv_work_free(w);
}

static void check(const struct pv_vm *v)
{
	unsigned int t;

	FUZZ_ASSERT(v->nr_override <= PV_OVERRIDES);
	for (t = 0; t < PV_TIERS; t++) {
		const struct pv_share *s = &v->share[t];

		FUZZ_ASSERT(s->size <= HT_GUEST_BYTES_MAX && s->requested <= HT_GUEST_BYTES_MAX);
		FUZZ_ASSERT(isfinite(v->byte_seconds[t]) && v->byte_seconds[t] >= 0);
		FUZZ_ASSERT(s->nr_curve <= HT_GUEST_CURVE);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	FILE *f = fmemopen((void *)conf_text, strlen(conf_text), "r");
	struct json_object *state = NULL;
	struct pv_config c;
	struct pv_vm *vm[2];
	bool paused = false;
	int i;

	if (fd < 0)
		fd = fuzz_file("state");
	fuzz_put(fd, data, size);
	pv_config_init(&c);
	if (!f || pv_config_parse(&c, f, "fuzz"))
		abort();
	for (i = 0; i < 2; i++)
		vm[i] = pv_vm_new(&c, &c.vm[i]);
	if (!pv_state_read(fuzz_path("state"), &state) &&
	    !pv_state_apply(state, &c, vm, 2, &paused, 100000)) {
		for (i = 0; i < 2; i++)
			check(vm[i]);
		decide(vm, &c, 100500);
		/* What is written next must be what can be read. */
		json_object_put(state);
		state = pv_state_make(vm, 2, paused, 101000);
		FUZZ_ASSERT(strlen(json_object_to_json_string(state)) > 0);
		FUZZ_ASSERT(!pv_state_apply(state, &c, vm, 2, &paused, 102000));
	}
	json_object_put(state);
	for (i = 0; i < 2; i++)
		pv_vm_free(vm[i]);
	pv_config_free(&c);
	fclose(f);
	return 0;
}
