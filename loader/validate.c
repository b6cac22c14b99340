// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdio.h>
#include <stdlib.h>

#include "bpflog.h"
#include "config.h"
#include "knobs.h"
#include "object.h"
#include "policydir.h"
#include "validate.h"

static int check_policy(const struct ht_config *c)
{
	char *path = ht_policy_find(c->policy);
	int rc = HT_RC_OK;
	struct ht_object o = {};

	ht_bpflog_start();
	if (!path)
		ht_policy_say_where(c->policy);
	/* Not found, it is tried as it stands: the message is the same as when it runs. */
	if (ht_object_open(&o, path ?: c->policy))
		rc = HT_RC_POLICY;
	else if (ht_knobs_set_all(o.obj, c->set, c->nr_set, NULL))
		rc = HT_RC_USAGE;
	ht_object_close(&o);
	free(path);
	return rc;
}

int ht_validate(const char *path)
{
	struct ht_config c;
	int rc = HT_RC_OK;

	ht_config_init(&c);
	if (ht_config_file(&c, path))
		rc = HT_RC_USAGE;
	else if (c.policy)
		rc = check_policy(&c);
	if (!rc)
		printf("%s: valid%s\n", path,
		       c.policy ? "" : "; it names no policy, the command line has to");
	ht_config_free(&c);
	return rc;
}
