// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "client.h"
#include "control.h"
#include "log.h"

#define ASK_MS 5000
#define SWAP_MS 60000 /* verifying a large policy takes a while on a slow machine */

static int ask(const char *dir, struct json_object *request, int ms, struct json_object **answer)
{
	int err = ht_control_ask(dir, request, ms, answer);

	json_object_put(request);
	return err;
}

static struct json_object *request(const char *op)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "op", json_object_new_string(op));
	return o;
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "?";
}

static int64_t number(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;
}

static double real(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_double(v) : 0;
}

static int nobody(const struct ht_config *c, int err)
{
	if (err == -ENOENT || err == -ECONNREFUSED)
		pr_err("no loader%s%s runs", c->instance ? " " : "", c->instance ?: "");
	else
		pr_err("the loader in %s does not answer: %s", c->run_dir, strerror(-err));
	return HT_RC_ERROR;
}

static void print_status(const char *name, struct json_object *s)
{
	printf("%-12s pid %-7lld policy %-12s fast %5.1f %%  targets %lld  source %s%s\n",
	       *name ? name : "(unnamed)", (long long)number(s, "pid"), text(s, "policy"),
	       real(s, "fast_share") * 100, (long long)number(s, "targets"), text(s, "source"),
	       number(s, "tiering") ? "" : "  TIERING STOPPED");
}

int ht_client_status(const struct ht_config *c)
{
	struct json_object *a, *s;
	int err = ask(c->run_dir, request("status"), ASK_MS, &a);

	if (err)
		return nobody(c, err);
	if (!json_object_object_get_ex(a, "status", &s)) {
		pr_err("%s", text(a, "error"));
		json_object_put(a);
		return HT_RC_ERROR;
	}
	if (c->json) {
		printf("%s\n", json_object_to_json_string_ext(s, JSON_C_TO_STRING_PRETTY));
	} else {
		print_status(c->instance ?: "", s);
		printf("  %s, generation %lld, up %.0f s\n", text(s, "object"),
		       (long long)number(s, "generation"), real(s, "seconds"));
		printf("  promoted %lld pages, demoted %lld, wasted %lld, failed %lld\n",
		       (long long)number(s, "promoted"), (long long)number(s, "demoted"),
		       (long long)number(s, "wasted"), (long long)number(s, "failed"));
		if (number(s, "last_exit_kind"))
			printf("  the policy before left: %s\n", text(s, "last_exit_reason"));
	}
	json_object_put(a);
	return HT_RC_OK;
}

int ht_client_unload(const struct ht_config *c)
{
	struct json_object *a;
	int err = ask(c->run_dir, request("unload"), ASK_MS, &a);

	if (err)
		return nobody(c, err);
	json_object_put(a);
	return HT_RC_OK;
}

static bool list_one(const char *dir, const char *name, struct json_object *all)
{
	struct json_object *a, *s;

	if (ask(dir, request("status"), ASK_MS, &a))
		return false;
	if (json_object_object_get_ex(a, "status", &s)) {
		json_object_object_add(s, "instance", json_object_new_string(name));
		if (all)
			json_object_array_add(all, json_object_get(s));
		else
			print_status(name, s);
	}
	json_object_put(a);
	return true;
}

int ht_client_list(const struct ht_config *c)
{
	struct json_object *all = c->json ? json_object_new_array() : NULL;
	DIR *d = opendir(HT_RUN_DIR);
	char path[PATH_MAX];
	struct dirent *de;
	int nr = list_one(HT_RUN_DIR, "", all);

	while (d && (de = readdir(d))) {
		if (de->d_name[0] == '.' || de->d_type != DT_DIR)
			continue;
		snprintf(path, sizeof(path), "%s/%s", HT_RUN_DIR, de->d_name);
		nr += list_one(path, de->d_name, all);
	}
	if (d)
		closedir(d);
	if (all)
		printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
	else if (!nr)
		printf("no loader runs\n");
	json_object_put(all);
	return HT_RC_OK;
}

bool ht_client_swap(const struct ht_config *c, int *rc)
{
	struct json_object *req = request("swap"), *sets = json_object_new_array(), *a = NULL;
	char path[PATH_MAX];
	size_t i;
	int err;

	if (!realpath(c->policy, path))
		snprintf(path, sizeof(path), "%s", c->policy);
	json_object_object_add(req, "policy", json_object_new_string(path));
	for (i = 0; i < c->nr_set; i++)
		json_object_array_add(sets, json_object_new_string(c->set[i]));
	json_object_object_add(req, "set", sets);
	err = ask(c->run_dir, req, SWAP_MS, &a);
	if (err == -ENOENT || err == -ECONNREFUSED)
		return false;
	*rc = HT_RC_OK;
	if (err) {
		pr_err("the loader in %s does not answer: %s", c->run_dir, strerror(-err));
		*rc = HT_RC_ERROR;
	} else if (number(a, "ok")) {
		printf("policy %s took over (generation %lld)\n", text(a, "policy"),
		       (long long)number(a, "generation"));
	} else {
		pr_err("not swapped, the old policy stays: %s", text(a, "error"));
		*rc = HT_RC_POLICY;
	}
	json_object_put(a);
	return true;
}
