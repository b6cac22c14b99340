// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* hypertier-load: tiers a machine with a policy. engine.h has the map of what happens. */
#include <stdlib.h>

#include "config.h"
#include "engine.h"
#include "features.h"
#include "log.h"

int main(int argc, char **argv)
{
	struct ht_engine *e;
	struct ht_config cfg;
	int rc;

	if (ht_config_parse(&cfg, argc, argv))
		return HT_RC_ERROR;
	ht_log_set_level(HT_LOG_INFO + (cfg.verbose > 2 ? 2 : cfg.verbose));
	if (cfg.command == HT_CMD_FEATURES) {
		rc = ht_features(&cfg);
	} else {
		e = calloc(1, sizeof(*e));
		rc = e ? ht_engine_start(e, &cfg) : HT_RC_ERROR;
		if (!rc)
			rc = ht_engine_loop(e);
		if (e)
			ht_engine_stop(e);
		free(e);
	}
	ht_config_free(&cfg);
	return rc;
}
