// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Requests at hypertier-provision's control socket, one a line. */
#include "fuzz.h"

#include <json-c/json.h>

#include "../../provision/daemon.h"

static const char conf_text[] = "[tier fast]\ncapacity = 64G\n[tier slow]\ncapacity = 1T\n"
				"[vm a]\nqmp = /a\nreport = /ra\ntotal = 4G\nfast.device = f\n"
				"fast.guarantee = 1G\nslow.device = s\nslow.guarantee = 1G\n"
				"[vm b]\nqmp = /b\nfast.device = f\n";

static void request(struct pv_daemon *d, struct fuzz_input line)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o, *answer;

	o = json_tokener_parse_ex(tok, (const char *)line.data, line.size);
	if (json_object_is_type(o, json_type_object)) {
		answer = pv_serve(d, o);
		FUZZ_ASSERT(answer && json_object_object_get_ex(answer, "ok", NULL));
		FUZZ_ASSERT(strlen(json_object_to_json_string(answer)) < 65536);
		json_object_put(answer);
	}
	json_object_put(o);
	json_tokener_free(tok);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *f = fmemopen((void *)conf_text, strlen(conf_text), "r");
	struct pv_daemon d = { .config_path = "/nonexistent/x", .run_dir = "/nonexistent" };
	struct fuzz_input in = { data, size };
	struct pv_vm *vm[2];
	int i;

	pv_config_init(&d.cfg);
	if (!f || pv_config_parse(&d.cfg, f, "fuzz"))
		abort();
	d.vm = vm;
	for (i = 0; i < 2; i++)
		vm[i] = pv_vm_new(&d.cfg, &d.cfg.vm[i]);
	while (in.size)
		request(&d, fuzz_cut(&in, '\n'));
	for (i = 0; i < 2; i++) {
		FUZZ_ASSERT(vm[i]->nr_override <= PV_OVERRIDES);
		pv_vm_free(vm[i]);
	}
	pv_config_free(&d.cfg);
	fclose(f);
	return 0;
}
