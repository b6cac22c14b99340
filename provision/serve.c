// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Requests at the control socket, one JSON object each (see loader/control.h):
 *   {"op":"status","from":0}  {"op":"pause","vm":"a"}  {"op":"resume"}  {"op":"drain","vm":"a"}
 *   {"op":"set","vm":"a","set":["fast.guarantee=64M"]}  {"op":"reload"}
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include <json-c/json.h>

#include "../loader/jsonutil.h"
#include "../loader/log.h"
#include "daemon.h"

__attribute__((format(printf, 1, 2))) static struct json_object *refuse(const char *fmt, ...)
{
	struct json_object *o = json_object_new_object();
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	json_object_object_add(o, "ok", json_object_new_boolean(false));
	json_object_object_add(o, "error", json_object_new_string(why));
	return o;
}

static struct json_object *fine(void)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "ok", json_object_new_boolean(true));
	return o;
}

/* A later value of a key takes the place of the earlier one. */
static int remember(struct pv_vm *v, const char *key, const char *pair)
{
	unsigned int i;
	size_t len = strlen(key);

	for (i = 0; i < v->nr_override; i++)
		if (!strncmp(v->override[i], key, len) && v->override[i][len] == '=')
			break;
	if (i == PV_OVERRIDES || strlen(pair) >= sizeof(v->override[0]))
		return -ENOSPC;
	strcpy(v->override[i], pair);
	if (i == v->nr_override)
		v->nr_override++;
	return 0;
}

static struct json_object *set_one(struct pv_daemon *d, struct pv_vm *v, const char *pair)
{
	struct pv_vm_config changed = v->cfg, *effective = pv_config_find(&d->cfg, v->cfg.name);
	char key[128], why[256], *eq;

	snprintf(key, sizeof(key), "%s", pair);
	eq = strchr(key, '=');
	if (!eq || strlen(pair) >= sizeof(key))
		return refuse("'%.64s' is not KEY=VALUE", pair);
	*eq++ = '\0';
	if (pv_config_set(&d->cfg, &changed, key, eq, why, sizeof(why)) ||
	    pv_config_admit(&d->cfg, &changed, why, sizeof(why)))
		return refuse("%s", why);
	if (remember(v, key, pair))
		return refuse("too many settings of VM %s: put them into the configuration",
			      v->cfg.name);
	v->cfg = changed;
	if (effective)
		*effective = changed;
	pv_vm_policy(v, &d->cfg);
	pr_info("VM %s: %s set to %s", v->cfg.name, key, eq);
	return NULL;
}

static struct json_object *set(struct pv_daemon *d, struct pv_vm *v, struct json_object *request)
{
	struct json_object *list, *answer = NULL, *s;
	size_t i;

	if (!json_object_object_get_ex(request, "set", &list) ||
	    !json_object_is_type(list, json_type_array) || !json_object_array_length(list))
		return refuse("set needs a list of KEY=VALUE");
	for (i = 0; i < json_object_array_length(list) && !answer; i++) {
		s = json_object_array_get_idx(list, i);
		answer = json_object_is_type(s, json_type_string)
				 ? set_one(d, v, json_object_get_string(s))
				 : refuse("set needs a list of KEY=VALUE");
	}
	return answer ?: fine();
}

static struct json_object *pause_or_resume(struct pv_daemon *d, struct pv_vm *v, bool pause)
{
	if (v) {
		v->paused = pause;
		v->drain = v->drain && pause;
	} else {
		d->paused = pause;
	}
	pr_info("%s%s %s", v ? "VM " : "all VMs", v ? v->cfg.name : "",
		pause ? "paused" : "resumed");
	return fine();
}

static struct json_object *drain(struct pv_vm *v)
{
	if (!v)
		return refuse("drain needs a VM");
	v->drain = true;
	v->paused = false;
	pr_info("VM %s goes back to its guarantee", v->cfg.name);
	return fine();
}

static struct json_object *reload(struct pv_daemon *d)
{
	char why[256];

	return pv_daemon_reload(d, why, sizeof(why)) ? refuse("%s", why) : fine();
}

struct json_object *pv_serve(void *daemon, struct json_object *request)
{
	const char *op = ht_json_text(request, "op"), *name = ht_json_text(request, "vm");
	struct pv_daemon *d = daemon;
	struct json_object *from;
	struct pv_vm *v = NULL;

	if (!op)
		return refuse("no op");
	if (name) {
		v = pv_daemon_find(d, name);
		if (!v)
			return refuse("there is no VM %.64s", name);
	}
	if (!strcmp(op, "status"))
		return pv_status(d, json_object_object_get_ex(request, "from", &from) &&
						    json_object_get_int64(from) > 0
					    ? json_object_get_int64(from)
					    : 0);
	if (!strcmp(op, "set"))
		return v ? set(d, v, request) : refuse("set needs a VM");
	if (!strcmp(op, "pause") || !strcmp(op, "resume"))
		return pause_or_resume(d, v, *op == 'p');
	if (!strcmp(op, "drain"))
		return drain(v);
	if (!strcmp(op, "reload"))
		return reload(d);
	return refuse("unknown op '%.32s'", op);
}
