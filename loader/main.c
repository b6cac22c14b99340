// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* hypertier-load: tiers a machine with a policy. engine.h has the map of what happens. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "bpflog.h"
#include "client.h"
#include "config.h"
#include "engine.h"
#include "features.h"
#include "knobs.h"
#include "log.h"
#include "validate.h"

static int print_knobs(const struct ht_object *o, bool json)
{
	struct json_object *all, *knobs;

	if (!json) {
		printf("policy %s\n", o->info.name);
		return ht_knobs_print(stdout, o->obj);
	}
	knobs = ht_knobs_json(o->obj);
	if (!knobs)
		return -EINVAL;
	all = json_object_new_object();
	json_object_object_add(all, "schema", json_object_new_int(1));
	json_object_object_add(all, "policy", json_object_new_string(o->info.name));
	json_object_object_add(all, "knobs", knobs);
	printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
	json_object_put(all);
	return 0;
}

static int help_policy(const struct ht_config *cfg)
{
	int rc = HT_RC_OK;
	struct ht_object o;

	ht_bpflog_start();
	if (ht_object_open(&o, cfg->policy))
		return HT_RC_POLICY;
	if (ht_knobs_set_all(o.obj, cfg->set, cfg->nr_set, NULL))
		rc = HT_RC_USAGE;
	else if (print_knobs(&o, cfg->json))
		rc = HT_RC_POLICY;
	ht_object_close(&o);
	return rc;
}

static int run(const struct ht_config *cfg)
{
	struct ht_engine *e;
	int rc;

	/* Where a loader runs already, the policy goes to it. */
	if (ht_client_swap(cfg, &rc))
		return rc;
	e = calloc(1, sizeof(*e));
	if (!e)
		return HT_RC_ERROR;
	rc = ht_engine_start(e, cfg);
	if (!rc)
		rc = ht_engine_loop(e);
	ht_engine_stop(e);
	free(e);
	return rc;
}

static int dispatch(const struct ht_config *cfg)
{
	switch (cfg->command) {
	case HT_CMD_RUN:
		return run(cfg);
	case HT_CMD_FEATURES:
		return ht_features(cfg);
	case HT_CMD_STATUS:
		return ht_client_status(cfg);
	case HT_CMD_UNLOAD:
		return ht_client_unload(cfg);
	case HT_CMD_LIST:
		return ht_client_list(cfg);
	case HT_CMD_HELP_POLICY:
		return help_policy(cfg);
	case HT_CMD_VALIDATE:
		return ht_validate(cfg->config);
	}
	return HT_RC_USAGE;
}

int main(int argc, char **argv)
{
	struct ht_config cfg;
	int rc;

	if (ht_config_parse(&cfg, argc, argv))
		return HT_RC_ERROR;
	ht_log_set_level(HT_LOG_INFO + (cfg.verbose > 2 ? 2 : cfg.verbose));
	rc = dispatch(&cfg);
	ht_config_free(&cfg);
	return rc;
}
