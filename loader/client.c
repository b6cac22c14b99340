// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "client.h"
#include "control.h"
#include "journal.h"
#include "jsonutil.h"
#include "log.h"

#define ASK_MS 5000
#define SWAP_MS 60000 /* verifying a large policy takes a while on a slow machine */
#define UNLOAD_MS 30000
#define SAY_MS 2000
/* From a loader's lock to its socket: it loads a policy meanwhile, maybe on a slow machine. */
#define START_MS 10000
#define RETRY_MS 50

static int ask(const char *dir, struct json_object *request, int ms, struct json_object **answer)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	int err, waited = 0;

	while ((err = ht_control_ask(dir, request, ms, answer)) &&
	       (err == -ENOENT || err == -ECONNREFUSED) && waited < START_MS &&
	       ht_journal_is_locked(dir)) {
		nanosleep(&pause, NULL);
		waited += RETRY_MS;
	}
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
	return ht_json_text(o, key) ?: "?";
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

/* Nobody listens, or did not live to answer: a loader that was killed leaves its socket behind. */
static bool is_gone(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -ECONNRESET || err == -EPIPE;
}

static int no_answer(const char *dir, int err)
{
	if (err == -EACCES || err == -EPERM) {
		pr_err("may not speak to the loader in %s: only root and its own user may", dir);
		return HT_RC_PERM;
	}
	pr_err("the loader in %s does not answer: %s", dir, strerror(-err));
	return HT_RC_ERROR;
}

static int nobody(const struct ht_config *c, int err)
{
	if (!is_gone(err))
		return no_answer(c->run_dir, err);
	pr_err("no loader%s%s runs", c->instance ? " " : "", c->instance ?: "");
	return HT_RC_ERROR;
}

static int refused(struct json_object *answer)
{
	pr_err("the loader refused: %s", text(answer, "error"));
	json_object_put(answer);
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
	if (!json_object_object_get_ex(a, "status", &s))
		return refused(a);
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

/* The lock, the pins and the programs go after the answer: who starts a loader next needs them
 * gone. */
static int wait_for_end(pid_t pid)
{
	struct pollfd p = { .events = POLLIN };
	int ms = 0, n = 0;

	p.fd = pid > 0 ? pidfd_open(pid, 0) : -1;
	if (p.fd < 0)
		return 0; /* gone already */
	for (; ms < UNLOAD_MS && n <= 0; ms += SAY_MS) {
		n = poll(&p, 1, SAY_MS);
		if (!n)
			pr_info("waiting for the loader (pid %d) to end", pid);
	}
	close(p.fd);
	return n > 0 ? 0 : -ETIMEDOUT;
}

int ht_client_unload(const struct ht_config *c)
{
	struct json_object *a;
	int err = ask(c->run_dir, request("unload"), ASK_MS, &a);
	pid_t pid;

	if (err)
		return nobody(c, err);
	if (!number(a, "ok"))
		return refused(a);
	pid = number(a, "pid");
	json_object_put(a);
	if (!wait_for_end(pid))
		return HT_RC_OK;
	pr_err("the loader (pid %d) was told to end, but has not yet", pid);
	return HT_RC_ERROR;
}

struct listing {
	struct json_object *all; /* NULL = as text */
	int nr, rc;
};

static void list_one(struct listing *l, const char *dir, const char *name)
{
	struct json_object *a, *s;
	int err = ask(dir, request("status"), ASK_MS, &a);

	if (err) {
		if (!is_gone(err))
			l->rc = no_answer(dir, err);
		return;
	}
	if (json_object_object_get_ex(a, "status", &s)) {
		json_object_object_add(s, "instance", json_object_new_string(name));
		if (l->all)
			json_object_array_add(l->all, json_object_get(s));
		else
			print_status(name, s);
		l->nr++;
	}
	json_object_put(a);
}

static void list_instances(struct listing *l)
{
	DIR *d = opendir(HT_RUN_DIR);
	char path[PATH_MAX];
	struct dirent *de;

	if (!d && errno != ENOENT)
		l->rc = no_answer(HT_RUN_DIR, -errno);
	while (d && (de = readdir(d))) {
		if (de->d_name[0] == '.' || de->d_type != DT_DIR)
			continue;
		snprintf(path, sizeof(path), "%s/%s", HT_RUN_DIR, de->d_name);
		list_one(l, path, de->d_name);
	}
	if (d)
		closedir(d);
}

int ht_client_list(const struct ht_config *c)
{
	struct listing l = { .all = c->json ? json_object_new_array() : NULL };

	list_one(&l, HT_RUN_DIR, "");
	if (!l.rc)
		list_instances(&l);
	if (l.all)
		printf("%s\n", json_object_to_json_string_ext(l.all, JSON_C_TO_STRING_PRETTY));
	else if (!l.nr && !l.rc)
		printf("no loader runs\n");
	json_object_put(l.all);
	return l.rc;
}

/* The loader has another working directory; of a file that is not there, it says so. */
static void absolute(const char *policy, char path[PATH_MAX])
{
	char cwd[PATH_MAX];
	int n;

	if (realpath(policy, path))
		return;
	n = *policy == '/' || !getcwd(cwd, sizeof(cwd))
		    ? snprintf(path, PATH_MAX, "%s", policy)
		    : snprintf(path, PATH_MAX, "%s/%s", cwd, policy);
	if (n < 0 || n >= PATH_MAX)
		path[PATH_MAX - 1] = '\0';
}

/* What a running loader decided at its start does not change with its policy. */
static void warn_of_ignored(const struct ht_config *c)
{
	if (c->start_options)
		pr_warn("a loader%s%s runs already and was asked to swap its policy: of the "
			"options, "
			"only --set counts; for a second loader, give it an --instance name",
			c->instance ? " " : "", c->instance ?: "");
}

static int swap_result(const struct ht_config *c, int err, struct json_object *a)
{
	if (err)
		return no_answer(c->run_dir, err);
	warn_of_ignored(c);
	if (!number(a, "ok")) {
		pr_err("not swapped, the old policy stays: %s", text(a, "error"));
		return HT_RC_POLICY;
	}
	printf("policy %s took over (generation %lld)\n", text(a, "policy"),
	       (long long)number(a, "generation"));
	return HT_RC_OK;
}

bool ht_client_swap(const struct ht_config *c, int *rc)
{
	struct json_object *req = request("swap"), *sets = json_object_new_array(), *a = NULL;
	char path[PATH_MAX];
	size_t i;
	int err;

	absolute(c->policy, path);
	json_object_object_add(req, "policy", json_object_new_string(path));
	for (i = 0; i < c->nr_set; i++)
		json_object_array_add(sets, json_object_new_string(c->set[i]));
	json_object_object_add(req, "set", sets);
	err = ask(c->run_dir, req, SWAP_MS, &a);
	if (is_gone(err))
		return false;
	/* Whoever may not ask may not start a loader either, and is told why by the start. */
	if (err == -EACCES)
		return false;
	*rc = swap_result(c, err, a);
	json_object_put(a);
	return true;
}
