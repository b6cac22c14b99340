// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The configuration file, admission, and the simulation that is built on the same rules. */
#include "test_util.h"

#include "../../provision/config.h"
#include "../../provision/daemon.h"
#include "log.h"
#include "../../provision/sim.h"

#define MIB (1ULL << 20)
#define HEAD                                                                                       \
	"[tier fast]\ncapacity = 100M\nreserve = 10M\n[tier slow]\ncapacity=1G\n[class "           \
	"gold]\nprice=3\n"
#define VM(name, more) "[vm " name "]\nqmp = /run/" name "\nfast.device = vmem0\n" more

static struct pv_config c;

static int read_text(const char *text)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	int err;

	pv_config_free(&c);
	pv_config_init(&c);
	err = pv_config_parse(&c, f, "test");
	fclose(f);
	return err;
}

static void test_whole(void **state)
{
	assert_int_equal(
		read_text("# comment\n[daemon]\nperiod = 500ms\nstate=/tmp/s\n[rules]\n"
			  "mode = benefit\nshrink-timeout = 7s\npatience = 0\nsettle = 9\n" HEAD
			  "[default]\nfast.weight = 2\n" VM("a", "fast.guarantee = 30M\n"
								 "fast.class = gold\n")
				  VM("b", "trust = none\nfast.weight = 0.5\n")),
		0);
	assert_int_equal(c.period_ms, 500);
	assert_int_equal(c.rules.mode, PV_BENEFIT);
	assert_int_equal(c.rules.shrink_timeout, 7000);
	assert_int_equal(c.rules.patience, 0);
	assert_int_equal(c.rules.settle, 9);
	assert_int_equal(c.nr_vm, 2);
	assert_int_equal(c.tier[0].reserve, 10 * MIB);
	assert_int_equal(c.vm[0].tier[0].guarantee, 30 * MIB);
	assert_true(c.vm[0].tier[0].weight == 2 && c.vm[1].tier[0].weight == 0.5);
	assert_int_equal(c.vm[1].trust, PV_TRUST_NONE);

	struct pv_share s = { .block = 4 * MIB, .max = 64 * MIB };

	pv_config_share(&c, &c.vm[0], 0, &s);
	assert_true(s.weight == 6);
	assert_int_equal(s.guarantee, 32 * MIB); /* whole blocks */
}

static void test_wrong(void **state)
{
	static const char *const bad[] = {
		"capacity = 3\n",
		"[nonsense]\n",
		"[vm ]\n",
		"[vm a/b]\n",
		"[daemon\n",
		"[daemon]\nperiod\n",
		"[daemon]\nperiod = soon\n",
		"[daemon]\nperiod = 1ms\n",
		"[daemon]\nfrequency = 3\n",
		"[rules]\nmode = best\n",
		"[rules]\nhysteresis = nan\n",
		"[rules]\nhysteresis = 2\n",
		"[rules]\npatience = 1.5\n",
		"[rules]\nsettle = -1\n",
		"[tier middle]\ncapacity = 1G\n",
		"[tier fast]\ncapacity = much\n",
		"[tier fast]\ncapacity = -1\n",
		"[class a]\nprice = 0\n",
		HEAD "[vm a]\nqmp = /run/a\n",
		HEAD "[vm a]\nfast.device = vmem0\n",
		HEAD VM("a", "") VM("a", ""),
		HEAD VM("a", "fast.class = silver\n"),
		HEAD VM("a", "fast.guarantee = 20M\nfast.limit = 10M\n"),
		HEAD VM("a", "slow.guarantee = 20M\n"),
		HEAD VM("a", "total = 200M\n"),
		HEAD VM("a", "fast.device = a,b=c\n"),
		HEAD VM("a", "fast.weight = -1\n"),
		HEAD VM("a", "cid = 3\n"),
		HEAD "[daemon]\nvsock-port = 9\n" VM("a", "cid = 3\n") VM("b", "cid = 3\n"),
		HEAD "[daemon]\nvsock-port = 9\n" VM("a", "cid = 3\nreport = /run/r\n"),
		HEAD "[daemon]\nvsock-port = 9\n" VM("a", "cid = 4294967295\n"),
		"[daemon]\nvsock-port = 0\n",
		VM("a", ""),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (read_text(bad[i]) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(read_text(HEAD "[daemon]\nvsock-port = 4294967294\n" VM("a", "cid = 3\n")
					   VM("b", "cid = 4\n") VM("c", "")),
			 0);
	assert_int_equal(c.vsock_port, 4294967294);
	assert_int_equal(c.vm[1].cid, 4);
}

static void test_admission(void **state)
{
	char why[256];
	struct pv_vm_config n;

	assert_int_equal(
		read_text(HEAD VM("a", "fast.guarantee = 50M\n") VM("b", "fast.guarantee = 40M\n")),
		0);
	assert_int_equal(
		read_text(HEAD VM("a", "fast.guarantee = 50M\n") VM("b", "fast.guarantee = 41M\n")),
		-EINVAL);
	/* The slow tier has to hold what the total leaves. */
	assert_int_equal(
		read_text(HEAD VM("a", "slow.device=vmem1\ntotal=1G\nfast.guarantee=10M\n")), 0);
	assert_int_equal(read_text(HEAD VM("a", "slow.device=vmem1\ntotal=1G\n")
					   VM("b", "slow.device=vmem1\ntotal=1M\n")),
			 -EINVAL);
	/* And at run time. */
	assert_int_equal(read_text(HEAD VM("a", "fast.guarantee = 50M\n") VM("b", "")), 0);
	n = c.vm[1];
	assert_int_equal(pv_config_set(&c, &n, "fast.guarantee", "40M", why, sizeof(why)), 0);
	assert_int_equal(pv_config_admit(&c, &n, why, sizeof(why)), 0);
	assert_int_equal(pv_config_set(&c, &n, "fast.guarantee", "41M", why, sizeof(why)), 0);
	assert_int_equal(pv_config_admit(&c, &n, why, sizeof(why)), -ENOSPC);
	assert_non_null(strstr(why, "VM b does not fit"));
	assert_int_equal(pv_config_set(&c, &n, "qmp", "/x", why, sizeof(why)), -EINVAL);
	assert_int_equal(pv_config_set(&c, &n, "fast.device", "x", why, sizeof(why)), -EINVAL);
}

/* Any text: refused or taken, never a crash. */
static void test_noise(void **state)
{
	static const char seed[] = HEAD VM("a", "fast.guarantee = 50M\n");
	uint64_t rnd = 7;

	for (int i = 0; i < 4000; i++) {
		char text[sizeof(seed)];

		memcpy(text, seed, sizeof(seed));
		for (uint64_t n = 1 + tu_rnd(&rnd) % 4; n; n--)
			text[tu_rnd(&rnd) % (sizeof(seed) - 1)] = tu_rnd(&rnd) | 1;
		read_text(text);
	}
}

static void test_rule(void **state)
{
	char why[256] = "";

	pv_config_free(&c);
	pv_config_init(&c);
	assert_int_equal(pv_config_rule(&c, "confirm", "5", why, sizeof(why)), 0);
	assert_int_equal(pv_config_rule(&c, "period", "250ms", why, sizeof(why)), 0);
	assert_true(c.rules.confirm == 5 && c.period_ms == 250);
	assert_int_equal(pv_config_rule(&c, "state", "/x", why, sizeof(why)), -EINVAL);
	assert_int_equal(pv_config_rule(&c, "confirm", "0", why, sizeof(why)), -EINVAL);
}

/* Made-up fleets of all sizes, and a fleet that was written and read gives the same. */
static void test_simulation(void **state)
{
	static const unsigned int sizes[] = { 10, 100, 1000, 10000 };
	struct pv_sim_opts o = { .mode = -1, .seed = 3 };
	struct pv_sim_result r, again;
	char file[] = "/tmp/ht-trace-XXXXXX";

	for (int i = 0; i < 8; i++) {
		o.vms = sizes[i / 2];
		o.mode = i % 2 ? PV_BENEFIT : PV_FAIR;
		o.steps = o.vms == 10000 ? 25 : 40;
		assert_int_equal(pv_simulate(&o, &r), PV_RC_OK);
		assert_int_equal(r.below_guarantee + r.over_capacity, 0);
		assert_true(r.decide_max_ms < 1000);
		assert_true(r.jain > 0.9 && r.used > 0.9);
	}
	/* With elbow room for the start, benefit beats an equal split. */
	o.vms = 200;
	o.steps = 200;
	close(mkstemp(file));
	o.write = file;
	assert_int_equal(pv_simulate(&o, &r), PV_RC_OK);
	assert_true(r.ns < r.ns_static);
	o = (struct pv_sim_opts){ .trace = file, .mode = PV_BENEFIT, .steps = 200 };
	assert_int_equal(pv_simulate(&o, &again), PV_RC_OK);
	assert_true(fabs(again.share - r.share) < 0.01);
	assert_int_equal(again.vms, 200);
	unlink(file);
}

static int setup(void **state)
{
	ht_log_set_level(HT_LOG_NONE);
	pv_config_init(&c);
	return 0;
}

static int teardown(void **state)
{
	pv_config_free(&c);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	  cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_admission), cmocka_unit_test(test_noise),
		cmocka_unit_test(test_rule),	  cmocka_unit_test(test_simulation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
