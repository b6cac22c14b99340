// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Numbers and shapes from outside that are out of bounds, each found by a fuzz target. */
#include "test_util.h"

#include <json-c/json.h>

#include "../../provision/daemon.h"
#include "../../provision/sim.h"
#include "../../provision/state.h"
#include "fs.h"
#include "guest_report.h"
#include "playback.h"

static char dir[64];

static int setup(void **state)
{
	fs_tmpdir(dir);
	return 0;
}

static int teardown(void **state)
{
	fs_rmtree(dir);
	return 0;
}

static const char *path_of(const char *name)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* ---- the state file ---- */

static struct pv_vm *applied(const char *tier)
{
	struct pv_vm_config cfg = { .name = "a", .tier[0].device = "f" };
	static struct pv_config c;
	struct json_object *o;
	struct pv_vm *v;
	char text[512];
	bool paused;

	pv_config_init(&c);
	v = pv_vm_new(&c, &cfg);
	assert_non_null(v);
	snprintf(text, sizeof(text),
		 "{\"version\":1,\"vms\":{\"a\":{\"known\":true,\"fast\":{%s}}}}", tier);
	o = json_tokener_parse(text);
	assert_non_null(o);
	assert_int_equal(pv_state_apply(o, &c, &v, 1, &paused, 1000), 0);
	json_object_put(o);
	return v;
}

static void test_state(void **state)
{
	static const char *const bad[] = { "NaN", "-1.5", "1e300", "Infinity", "\"x\"", "[1]" };
	char text[128];
	struct pv_vm *v;
	size_t i;

	v = applied("\"byte_seconds\":1.5e12,\"demand\":1,\"base\":-1048576");
	assert_true(v->byte_seconds[0] == 1.5e12 && v->billed[0] == 1.5e12);
	assert_int_equal(v->base, -1048576);
	pv_vm_free(v);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(text, sizeof(text), "\"byte_seconds\":%s,\"demand\":1", bad[i]);
		v = applied(text);
		assert_true(v->byte_seconds[0] == 0);
		pv_vm_free(v);
	}
	/* Added to a size, this would overflow. */
	v = applied("\"demand\":1,\"base\":-9223372036854775807");
	assert_int_equal(v->base, 0);
	pv_vm_free(v);
}

/* ---- a daemon's answer ---- */

static void test_answer(void **state)
{
	static const char *const answers[] = {
		"{\"vms\":null}",
		"{\"vms\":3}",
		"{\"vms\":{\"a\":1}}",
		"{\"vms\":[null,1]}",
		"{\"mode\":null,\"vms\":[]}",
		"{\"fast\":[],\"vms\":[[]]}",
	};
	FILE *f = fopen("/dev/null", "w");
	struct json_object *o;
	size_t i;

	assert_non_null(f);
	for (i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		o = json_tokener_parse(answers[i]);
		assert_non_null(o);
		pv_print_pools(f, o);
		pv_print_vms(f, o, true);
		json_object_put(o);
	}
	fclose(f);
}

/* ---- a fleet's trace ---- */

static void test_long_line(void **state)
{
	struct pv_sim_opts o = { .mode = -1, .steps = 1 };
	struct pv_sim_result r;
	struct fs_log log;
	size_t len = 1 << 20;
	char *line = malloc(len);

	assert_non_null(line);
	memset(line, ' ', len);
	line[0] = '{';
	line[len - 1] = '}';
	fs_put_bytes(dir, "trace", line, len);
	free(line);
	o.trace = path_of("trace");
	fs_log_start(&log);
	assert_int_equal(pv_simulate(&o, &r), PV_RC_CONFIG);
	assert_non_null(strstr(fs_log_end(&log), "trace:1: not a line of a trace"));
}

/* ---- a recording ---- */

static void test_empty_recording(void **state)
{
	struct ht_trace_hdr h = { .magic = HT_TRACE_MAGIC,
				  .version = HT_TRACE_VERSION,
				  .record_size = sizeof(struct ht_inject_rec) };
	struct ht_playback p;
	uint64_t *tile = NULL;
	size_t nr = 1;

	fs_put_bytes(dir, "rec", &h, sizeof(h));
	assert_int_equal(ht_playback_open(&p, path_of("rec")), 0);
	assert_int_equal(ht_playback_tiles(&p, true, &tile, &nr), 0);
	assert_int_equal(nr, 0);
	free(tile);
	ht_playback_close(&p);
}

/* ---- --report ---- */

static void test_vsock_port(void **state)
{
	static const char *const bad[] = { "vsock:",
					   "vsock:0",
					   "vsock:-1",
					   "vsock: 5",
					   "vsock:4294967295",
					   "vsock:4294967301",
					   "vsock:1099511627777",
					   "vsock:5x" };
	struct ht_guest_port *port;
	struct fs_log log;
	size_t i;
	int err;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		fs_log_start(&log);
		err = ht_guest_port_open(&port, bad[i]);
		fs_log_end(&log);
		if (err != -EINVAL)
			fail_msg("%s: %d", bad[i], err);
		assert_null(port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state),	   cmocka_unit_test(test_answer),
		cmocka_unit_test(test_long_line),  cmocka_unit_test(test_empty_recording),
		cmocka_unit_test(test_vsock_port),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
