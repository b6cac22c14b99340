// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Answers of a loader or a daemon, as the tools read them. Input: a byte that says which tool, then
 * the answers it gets one after the other, one a line.
 */
#include "fuzz.h"

#include <errno.h>

#include <bpf/bpf.h>
#include <json-c/json.h>
#include <sys/pidfd.h>

#include "../../tools/top/top.h"
#include "../../tools/heatmap/heatmap.h"
#include "client.h"
#include "control.h"

/* The loader's and the daemon's main programs both have one. */
#define argp_program_version provision_program_version
int provision_main(int argc, char **argv);
#define main provision_main
#include "../../provision/main.c"
#undef main

static struct fuzz_input answers;

int ht_control_ask(const char *dir, struct json_object *request, int ms,
		   struct json_object **answer)
{
	struct fuzz_input line = fuzz_cut(&answers, '\n');
	struct json_tokener *tok = json_tokener_new();

	*answer = json_tokener_parse_ex(tok, (const char *)line.data, line.size);
	json_tokener_free(tok);
	if (json_object_is_type(*answer, json_type_object))
		return 0;
	json_object_put(*answer);
	*answer = NULL;
	return line.size ? -EBADMSG : -ECONNRESET;
}

/* --unload waits for the process that the answer names. */
int pidfd_open(pid_t pid, unsigned int flags)
{
	errno = ESRCH;
	return -1;
}

int bpf_obj_get(const char *path)
{
	errno = ENOENT;
	return -1;
}

static void top(void)
{
	static struct top_status now, before;
	static struct top_view v;
	struct json_object *json = NULL;
	struct top_what w = { .instance = "", .now = &now };

	if (top_ask("", TOP_HEAT, &before, NULL))
		return;
	now = before;
	if (!top_ask("", TOP_HEAT, &now, &json))
		w.before = &before;
	json_object_put(json);
	for (int big = 0; big < 2; big++) {
		v.rows = big ? 60 : 24;
		v.cols = big ? 200 : 80;
		top_view(&v, &w);
		FUZZ_ASSERT(v.nr <= v.rows);
		for (int i = 0; i < v.nr; i++)
			for (const char *c = v.text[i]; *c; c++)
				FUZZ_ASSERT(*c >= ' ' && *c <= '~');
	}
}

static void heatmap(void)
{
	static const volatile int stop = 1;
	struct hm_input *in;

	if (!hm_open_live(&in, "", 0, 0, &stop))
		in->close(in);
}

static void client(int which)
{
	struct ht_config c;

	ht_config_init(&c);
	c.json = which & 1;
	if (which & 2)
		ht_client_unload(&c);
	else
		ht_client_status(&c);
	ht_config_free(&c);
}

static void provision(int which)
{
	struct args a = { .run_dir = "", .json = which & 1, .word = { "pause" }, .nr_word = 1 };

	if (which & 2)
		command(&a);
	else
		status(&a);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_quiet();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int which = size ? data[0] : 0;

	answers = (struct fuzz_input){ data + !!size, size - !!size };
	switch (which >> 2 & 3) {
	case 0:
		top();
		break;
	case 1:
		heatmap();
		break;
	case 2:
		client(which);
		break;
	case 3:
		provision(which);
		break;
	}
	return 0;
}
