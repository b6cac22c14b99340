// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The division of a tier: exact small cases, and what must hold in every fleet, however it behaves.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test_util.h"

#include "../../provision/demand.h"
#include "../../provision/fleet.h"

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define BLOCK (2 * MIB)
#define MAX_VMS 64

static const struct pv_rules fair = {
	.mode = PV_FAIR,
	.worth = 0.5,
	.confirm = 3,
	.shrink_timeout = 5000,
	.grow_timeout = 5000,
	.backoff = 10000,
};

static struct pv_share vm[MAX_VMS];
static struct pv_share *fleet[MAX_VMS];
static struct pv_work *work;

static int setup(void **state)
{
	memset(vm, 0, sizeof(vm));
	for (int i = 0; i < MAX_VMS; i++) {
		fleet[i] = &vm[i];
		vm[i] = (struct pv_share){ .limit = GIB,
					   .max = GIB,
					   .block = BLOCK,
					   .loan = PV_UNKNOWN,
					   .weight = 1,
					   .value = 1,
					   .rate = 1ULL << 50,
					   .demand = PV_UNKNOWN };
	}
	work = pv_work_new(MAX_VMS);
	return !work;
}

static int teardown(void **state)
{
	pv_work_free(work);
	return 0;
}

static void divide(size_t nr, uint64_t capacity, const struct pv_rules *rules)
{
	struct pv_pool pool = { .capacity = capacity };

	pv_divide(work, fleet, nr, &pool, rules, 0);
}

static void test_weights(void **state)
{
	vm[1].weight = 2;
	vm[2].weight = 3;
	divide(3, 600 * MIB, &fair);
	assert_int_equal(vm[0].target, 100 * MIB);
	assert_int_equal(vm[1].target, 200 * MIB);
	assert_int_equal(vm[2].target, 300 * MIB);
}

/* A guarantee is a floor of the share, a limit its ceiling, and the rest goes to the others. */
static void test_guarantee_and_limit(void **state)
{
	vm[0].guarantee = 300 * MIB;
	vm[1].limit = 40 * MIB;
	divide(3, 600 * MIB, &fair);
	assert_int_equal(vm[0].target, 300 * MIB);
	assert_int_equal(vm[1].target, 40 * MIB);
	assert_int_equal(vm[2].target, 260 * MIB);
}

static void test_demand_goes_first(void **state)
{
	vm[0].demand = 20 * MIB;
	vm[1].demand = 30 * MIB;
	vm[2].demand = 200 * MIB;
	divide(3, 300 * MIB, &fair);
	/* 250 are wanted; the other 50 are divided evenly from the bottom up. */
	assert_int_equal(vm[2].target, 200 * MIB);
	assert_int_equal(vm[0].target, 50 * MIB);
	assert_int_equal(vm[1].target, 50 * MIB);
}

/* Whatever one claims, the others keep the smaller of what they want and their fair share. */
static void test_liar(void **state)
{
	struct pv_rules rules = fair;

	for (int mode = PV_FAIR; mode <= PV_BENEFIT; mode++) {
		rules.mode = mode;
		vm[0].demand = 120 * MIB;
		vm[1].demand = 60 * MIB;
		vm[2].demand = PV_UNKNOWN - 1;
		vm[2].nr_curve = 2;
		vm[2].curve[1] = (struct ht_guest_point){ MIB * 500, 1 };
		vm[2].value = 1e9;
		divide(3, 300 * MIB, &rules);
		assert_true(vm[0].target >= 100 * MIB);
		assert_true(vm[1].target >= 60 * MIB);
		assert_true(vm[2].target <= 140 * MIB);
	}
}

static void test_benefit(void **state)
{
	struct pv_rules rules = fair;

	rules.mode = PV_BENEFIT;
	/* The third wants nothing: its 100 MiB go where they save most. */
	vm[0].nr_curve = vm[1].nr_curve = 2;
	vm[0].curve[1] = (struct ht_guest_point){ 400 * MIB, 0.9 };
	vm[1].curve[1] = (struct ht_guest_point){ 200 * MIB, 0.9 };
	vm[0].demand = 400 * MIB;
	vm[1].demand = 200 * MIB;
	vm[2].demand = 0;
	divide(3, 300 * MIB, &rules);
	assert_int_equal(vm[0].target, 100 * MIB);
	assert_int_equal(vm[1].target, 200 * MIB);
	assert_int_equal(vm[2].target, 0);
	/* A class that pays for it turns the choice. */
	vm[0].value = 5;
	divide(3, 300 * MIB, &rules);
	assert_int_equal(vm[0].target, 200 * MIB);
	assert_int_equal(vm[1].target, 100 * MIB);
}

static void test_loan(void **state)
{
	vm[0].loan = 20 * MIB;
	vm[1].demand = vm[2].demand = 0;
	divide(3, 300 * MIB, &fair);
	assert_int_equal(vm[0].target, 120 * MIB);
}

static void test_admission(void **state)
{
	struct pv_pool pool = { .capacity = 100 * MIB, .reserve = 10 * MIB };
	uint64_t g[] = { 30 * MIB, 40 * MIB };

	assert_int_equal(pv_admit(&pool, g, 2, 20 * MIB), 0);
	assert_int_equal(pv_admit(&pool, g, 2, 21 * MIB), MIB);
}

/* ---- curves */

static void test_hull_and_knee(void **state)
{
	struct ht_guest_point p[] = { { 0, 0 },	   { 10, 0.3 },	 { 20, 0.9 },
				      { 20, 0.9 }, { 60, 0.91 }, { 100, 1.0 } };
	unsigned int n = pv_demand_hull(p, 6);

	assert_int_equal(n, 3);
	assert_int_equal(p[1].bytes, 20);
	assert_int_equal(pv_demand_knee(p, n, 0.5), 20);
	/* All memory alike: all of it is wanted. */
	p[1] = (struct ht_guest_point){ 100, 1.0 };
	assert_int_equal(pv_demand_knee(p, 2, 0.5), 100);
	assert_int_equal(pv_demand_knee(p, 0, 0.5), 0);
}

/* The device is what is missing beside the memory that the VM has anyhow. */
static void test_demand_in_device_terms(void **state)
{
	struct ht_guest_report r = { .capacity = 100 * MIB,
				     .nr_curve = 3,
				     .curve = { { 0, 0 }, { 140 * MIB, 0.9 }, { 900 * MIB, 1 } } };

	vm[0].size = 60 * MIB;
	pv_demand_update(&vm[0], &r, vm[0].size, &fair);
	assert_int_equal(vm[0].demand, 100 * MIB);
	/* Up at once; down when three reports in a row say so, to the highest of them. */
	r.curve[1].bytes = 80 * MIB;
	pv_demand_update(&vm[0], &r, vm[0].size, &fair);
	assert_int_equal(vm[0].demand, 100 * MIB);
	r.curve[1].bytes = 90 * MIB;
	pv_demand_update(&vm[0], &r, vm[0].size, &fair);
	assert_int_equal(vm[0].demand, 100 * MIB);
	r.curve[1].bytes = 80 * MIB;
	pv_demand_update(&vm[0], &r, vm[0].size, &fair);
	assert_int_equal(vm[0].demand, 50 * MIB);
	for (int i = 0; i < 2; i++)
		pv_demand_update(&vm[0], &r, vm[0].size, &fair);
	assert_int_equal(vm[0].demand, 40 * MIB);
	assert_true(pv_demand_share(&vm[0], 40 * MIB) > 0.89);
	pv_demand_forget(&vm[0]);
	assert_true(vm[0].demand == PV_UNKNOWN && pv_demand_share(&vm[0], 0) < 0);
}

/* A loader that has just started knows nothing yet; one that has no process to tier, wants nothing.
 */
static void test_empty_report(void **state)
{
	struct ht_guest_report empty = { .capacity = 100 * MIB }, r = {
		.capacity = 100 * MIB, .nr_curve = 2, .curve = { { 0, 0 }, { 80 * MIB, 1 } }
	};

	vm[0].size = 60 * MIB;
	for (int i = 0; i < 2; i++) {
		pv_demand_update(&vm[0], &empty, vm[0].size, &fair);
		assert_true(vm[0].demand == PV_UNKNOWN);
	}
	pv_demand_update(&vm[0], &empty, vm[0].size, &fair);
	assert_int_equal(vm[0].demand, 0);
	pv_demand_update(&vm[0], &r, vm[0].size, &fair);
	assert_int_equal(vm[0].demand, 40 * MIB);
}

/* ---- requests */

static struct pv_pool decide(size_t nr, uint64_t capacity, const struct pv_rules *rules,
			     uint64_t now)
{
	struct pv_pool pool = { .capacity = capacity };

	pv_decide(work, fleet, nr, &pool, rules, now, 500);
	for (size_t i = 0; i < nr; i++)
		vm[i].requested = vm[i].next;
	return pool;
}

static void obey(size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		vm[i].size = vm[i].requested;
}

/* What one gives up comes to the other only once it is there. */
static void test_shrink_before_growth(void **state)
{
	vm[0].requested = vm[0].size = 200 * MIB;
	decide(2, 200 * MIB, &fair, 1000);
	assert_int_equal(vm[0].requested, 100 * MIB);
	assert_int_equal(vm[1].requested, 0);
	vm[0].size = 150 * MIB;
	decide(2, 200 * MIB, &fair, 1500);
	assert_int_equal(vm[1].requested, 50 * MIB);
	obey(2);
	decide(2, 200 * MIB, &fair, 2000);
	obey(2);
	assert_int_equal(vm[0].size, 100 * MIB);
	assert_int_equal(vm[1].size, 100 * MIB);
}

/* Between decisions what came back is given, no more; nothing is taken, however long ago. */
static void test_hand_on(void **state)
{
	struct pv_pool pool = { .capacity = 200 * MIB };

	vm[1].rate = 100 * MIB;
	vm[0].requested = vm[0].size = 200 * MIB;
	decide(2, 200 * MIB, &fair, 1000);
	assert_int_equal(vm[0].requested, 100 * MIB);
	vm[0].size = 180 * MIB;
	pv_hand_on(work, fleet, 2, &pool, &fair, 1050);
	assert_int_equal(vm[1].next, 20 * MIB);
	assert_int_equal(vm[0].next, 100 * MIB);
	vm[1].requested = vm[1].size = 20 * MIB;
	/* Of half a second's worth of its rate 30 MiB are left. */
	vm[0].size = 120 * MIB;
	pv_hand_on(work, fleet, 2, &pool, &fair, 1100);
	assert_int_equal(vm[1].next, 50 * MIB);
	vm[1].requested = vm[1].size = 50 * MIB;
	vm[0].size = 100 * MIB;
	vm[0].demand = 0;
	pv_hand_on(work, fleet, 2, &pool, &fair, 1150);
	assert_int_equal(vm[1].next, 50 * MIB);
	assert_int_equal(vm[0].next, 100 * MIB);
}

static void test_guarantee_comes_from_others(void **state)
{
	vm[0].requested = vm[0].size = 200 * MIB;
	vm[1].guarantee = 150 * MIB;
	vm[1].demand = 0;
	decide(2, 200 * MIB, &fair, 1000);
	assert_int_equal(vm[0].requested, 50 * MIB);
	vm[0].size = 120 * MIB;
	decide(2, 200 * MIB, &fair, 1500);
	assert_int_equal(vm[1].requested, 80 * MIB);
	obey(2);
	decide(2, 200 * MIB, &fair, 2000);
	assert_int_equal(vm[1].requested, 150 * MIB);
}

/* Of a VM of fixed size the fast part may not fall before the slow one has grown. */
static void test_need(void **state)
{
	vm[0].requested = vm[0].size = 200 * MIB;
	vm[0].need = 150 * MIB;
	decide(2, 200 * MIB, &fair, 1000);
	assert_int_equal(vm[0].requested, 150 * MIB);
	vm[0].need = 0;
	decide(2, 200 * MIB, &fair, 1500);
	assert_int_equal(vm[0].requested, 100 * MIB);
}

/* Memory that nobody wants stays where it is. */
static void test_lazy(void **state)
{
	vm[0].requested = vm[0].size = 200 * MIB;
	vm[0].demand = vm[1].demand = 10 * MIB;
	decide(2, 300 * MIB, &fair, 1000);
	assert_int_equal(vm[0].requested, 200 * MIB);
	assert_int_equal(vm[1].requested, 100 * MIB);
}

static void test_hysteresis_and_patience(void **state)
{
	struct pv_rules rules = fair;

	rules.hysteresis = 0.1;
	rules.patience = 2;
	vm[0].requested = vm[0].size = 104 * MIB;
	vm[1].requested = vm[1].size = 96 * MIB;
	decide(2, 200 * MIB, &rules, 1000);
	assert_int_equal(vm[0].requested, 104 * MIB);
	assert_int_equal(vm[1].requested, 96 * MIB);
	/* What is free is given in small steps as well. */
	vm[1].requested = vm[1].size = 90 * MIB;
	decide(2, 200 * MIB, &rules, 1100);
	assert_int_equal(vm[0].requested, 104 * MIB);
	assert_int_equal(vm[1].requested, 96 * MIB);
	vm[0].above = 0;
	vm[0].requested = vm[0].size = 140 * MIB;
	vm[1].requested = vm[1].size = 60 * MIB;
	for (int i = 0; i < 2; i++) {
		decide(2, 200 * MIB, &rules, 1500 + i);
		assert_int_equal(vm[0].requested, 140 * MIB);
	}
	decide(2, 200 * MIB, &rules, 2000);
	assert_int_equal(vm[0].requested, 100 * MIB);
}

/* Little is no noise if it is lacked for long; who has it all for a moment begins anew. */
static void test_settle(void **state)
{
	struct pv_rules rules = fair;

	rules.hysteresis = 0.1;
	rules.settle = 3;
	vm[0].requested = vm[0].size = 104 * MIB;
	vm[1].requested = vm[1].size = 96 * MIB;
	for (int i = 0; i < 8; i++) {
		vm[1].demand = i == 2 ? 96 * MIB : PV_UNKNOWN;
		decide(2, 200 * MIB, &rules, 1000 + i * 500);
		assert_int_equal(vm[0].requested, i < 6 ? 104 * MIB : 100 * MIB);
		obey(2);
	}
	assert_int_equal(vm[1].size, 100 * MIB);
	/* At the bounds of what it wants nothing is taken for it, however long. */
	vm[0].requested = vm[0].size = 108 * MIB;
	vm[1].requested = vm[1].size = 92 * MIB;
	vm[1].demand = 92 * MIB;
	for (int i = 0; i < 8; i++) {
		decide(2, 200 * MIB, &rules, 8000 + i * 500);
		assert_int_equal(vm[0].requested, 108 * MIB);
	}
	vm[1].demand = PV_UNKNOWN;
	rules.settle = 0;
	for (int i = 0; i < 8; i++) {
		decide(2, 200 * MIB, &rules, 20000 + i * 500);
		assert_int_equal(vm[0].requested, 108 * MIB);
	}
}

/* What is little to a large VM may be much to a small one: it has to come from somebody. */
static void test_small_excess(void **state)
{
	struct pv_rules rules = fair;

	rules.hysteresis = 0.2;
	vm[0].weight = 2;
	vm[0].guarantee = vm[1].guarantee = 64 * MIB;
	vm[0].requested = vm[0].size = 192 * MIB;
	vm[1].requested = vm[1].size = 64 * MIB;
	for (int i = 0; i < 3; i++) {
		decide(2, 256 * MIB, &rules, 1000 + i * 500);
		obey(2);
	}
	assert_int_equal(vm[1].size, vm[1].target);
	assert_true(vm[1].size >= 84 * MIB);
}

static void test_rate(void **state)
{
	vm[0].requested = vm[0].size = 200 * MIB;
	vm[0].rate = vm[1].rate = 40 * MIB;
	decide(2, 400 * MIB, &fair, 1000);
	assert_int_equal(vm[1].requested, 20 * MIB); /* half a second's worth */
	decide(2, 200 * MIB, &fair, 1500);
	assert_int_equal(vm[0].requested, 180 * MIB);
}

/* A VM that does not shrink loses its chance to grow, for longer each time; others get what is
 * left. */
static void test_refuser(void **state)
{
	uint64_t now = 1000;

	vm[0].requested = vm[0].size = vm[0].last_size = 200 * MIB;
	decide(3, 300 * MIB, &fair, now);
	assert_int_equal(vm[0].requested, 100 * MIB);
	vm[1].size = vm[1].requested;
	vm[2].size = vm[2].requested;
	now += fair.shrink_timeout;
	decide(3, 300 * MIB, &fair, now);
	assert_true(vm[0].refused && vm[0].strikes == 1);
	assert_int_equal(vm[0].requested, 200 * MIB);
	vm[1].size = vm[1].requested;
	vm[2].size = vm[2].requested;
	decide(3, 300 * MIB, &fair, now + 500);
	assert_int_equal(vm[1].requested, 50 * MIB);
	assert_int_equal(vm[2].requested, 50 * MIB);
	obey(3);
	/* Asked again when its time is up; twice as long after the second refusal. */
	now += fair.backoff + 1000;
	decide(3, 300 * MIB, &fair, now);
	assert_int_equal(vm[0].requested, 100 * MIB);
	decide(3, 300 * MIB, &fair, now + fair.shrink_timeout);
	assert_int_equal(vm[0].strikes, 2);
	assert_int_equal(vm[0].backoff_until, now + fair.shrink_timeout + 2 * fair.backoff);
}

static void test_deaf_and_drain(void **state)
{
	vm[0].requested = 100 * MIB;
	vm[0].size = 150 * MIB;
	vm[0].deaf = true;
	vm[1].guarantee = 20 * MIB;
	vm[1].requested = vm[1].size = 80 * MIB;
	vm[1].drain = true;
	decide(3, 300 * MIB, &fair, 1000);
	assert_int_equal(vm[0].requested, 100 * MIB);
	assert_int_equal(vm[1].requested, 20 * MIB);
	assert_int_equal(vm[2].requested, 70 * MIB);
	obey(3);
	vm[0].size = 150 * MIB;
	decide(3, 300 * MIB, &fair, 1500);
	assert_int_equal(vm[2].requested, 130 * MIB);
}

/* ---- random fleets */

static uint64_t rng = 1;

static uint64_t rnd(uint64_t n)
{
	rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return n ? (rng >> 33) % n : 0;
}

enum habit { HONEST, SLOW, REFUSER, NEVER, NR_HABITS };

static void random_vm(struct pv_share *s, uint64_t *left)
{
	s->guarantee = rnd(4) ? rnd(*left / BLOCK / 4 + 1) * BLOCK : 0;
	*left -= s->guarantee;
	s->limit = s->guarantee + rnd(200) * BLOCK;
	s->max = s->limit + rnd(10) * BLOCK;
	s->weight = 0.1 + rnd(50) / 10.0;
	s->rate = rnd(3) ? 1ULL << 50 : (1 + rnd(40)) * BLOCK;
	s->loan = rnd(4) ? PV_UNKNOWN : rnd(50) * BLOCK;
}

static void random_wish(struct pv_share *s)
{
	struct ht_guest_report r = { .capacity = s->size + rnd(20) * BLOCK };
	uint64_t x = 0;
	double y = 0;

	if (!rnd(8)) {
		pv_demand_forget(s);
		return;
	}
	r.nr_curve = rnd(HT_GUEST_CURVE + 1);
	for (unsigned int i = 0; i < r.nr_curve; i++) {
		r.curve[i] = (struct ht_guest_point){ x, y };
		x += rnd(1ULL << rnd(48));
		y += (1 - y) * rnd(100) / 100.0;
	}
	r.hot = rnd(1ULL << 34);
	pv_demand_update(s, &r, s->size, &fair);
	s->value = rnd(5) ? 1 : rnd(1000000);
}

static void behave(struct pv_share *s, enum habit habit)
{
	if (habit == NEVER || (habit == REFUSER && s->size > s->requested))
		return;
	if (habit == SLOW && s->size > s->requested)
		s->size -= BLOCK;
	else if (habit == SLOW && s->size < s->requested)
		s->size += BLOCK;
	else
		s->size = s->requested;
}

static void check_targets(size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct pv_share *s = &vm[i];
		uint64_t want = s->demand < s->fair ? s->demand : s->fair;

		assert_true(s->target >= s->guarantee);
		if (pv_held(s) <= s->limit && s->limit <= s->max && !s->deaf && !s->drain)
			assert_true(s->target <= s->limit);
		if (!s->deaf && !s->drain && want > s->target)
			assert_true(want - s->target < 2 * BLOCK);
	}
}

/* From what the hypervisor would show, before and after the requests are made. */
static void check_requests(size_t nr, uint64_t capacity, const uint64_t *asked_before)
{
	uint64_t held = 0;

	for (size_t i = 0; i < nr; i++) {
		struct pv_share s = vm[i];

		s.requested = s.next;
		assert_true(s.next % BLOCK == 0);
		if (asked_before[i] >= s.guarantee)
			assert_true(s.next >= s.guarantee);
		if (s.next > asked_before[i])
			assert_true(s.next <= s.limit && s.next <= s.max);
		held += pv_held(&s);
	}
	assert_true(held <= capacity);
}

static void run_fleet(unsigned int round)
{
	struct pv_rules rules = fair;
	size_t nr = 1 + rnd(MAX_VMS);
	uint64_t capacity = (10 + rnd(4000)) * BLOCK, left = capacity, now = 1, asked[MAX_VMS];
	struct pv_pool pool = { .capacity = capacity };
	enum habit habit[MAX_VMS];

	setup(NULL);
	rules.mode = round % 2 ? PV_BENEFIT : PV_FAIR;
	rules.hysteresis = rnd(3) / 20.0;
	rules.patience = rnd(3);
	rules.settle = rnd(3) * 4;
	for (size_t i = 0; i < nr; i++) {
		random_vm(&vm[i], &left);
		habit[i] = rnd(3) ? HONEST : rnd(NR_HABITS);
	}
	for (unsigned int step = 0; step < 60; step++, now += 500) {
		for (size_t i = 0; i < nr; i++) {
			asked[i] = vm[i].requested;
			if (!rnd(3))
				random_wish(&vm[i]);
			vm[i].deaf = !rnd(12);
			vm[i].fixed = !rnd(30);
			vm[i].drain = rnd(2) ? vm[i].drain : !rnd(20);
		}
		pv_decide(work, fleet, nr, &pool, &rules, now, 500);
		check_targets(nr);
		check_requests(nr, capacity, asked);
		for (size_t i = 0; i < nr; i++) {
			if (vm[i].deaf)
				assert_int_equal(vm[i].next, asked[i]);
			asked[i] = vm[i].requested = vm[i].next;
			behave(&vm[i], habit[i]);
		}
		if (rnd(2))
			continue;
		pv_hand_on(work, fleet, nr, &pool, &rules, now + 100);
		check_targets(nr);
		check_requests(nr, capacity, asked);
		for (size_t i = 0; i < nr; i++) {
			assert_true(vm[i].next >= asked[i] || vm[i].refused);
			vm[i].requested = vm[i].next;
			behave(&vm[i], habit[i]);
		}
	}
	teardown(NULL);
}

static void test_random_fleets(void **state)
{
	teardown(state);
	for (unsigned int round = 0; round < 400; round++)
		run_fleet(round);
	setup(state);
}

/* Without disturbance a fleet of honest guests comes to rest, with nothing left that anybody wants.
 */
static void test_random_fleets_settle(void **state)
{
	teardown(state);
	for (unsigned int round = 0; round < 60; round++) {
		struct pv_rules rules = fair;
		size_t nr = 1 + rnd(MAX_VMS);
		uint64_t capacity = (10 + rnd(4000)) * BLOCK, left = capacity, sum = 0, room = 0;
		struct pv_pool pool = { .capacity = capacity };
		unsigned int changes = 0;

		setup(NULL);
		rules.mode = round % 2 ? PV_BENEFIT : PV_FAIR;
		for (size_t i = 0; i < nr; i++) {
			random_vm(&vm[i], &left);
			vm[i].rate = 1ULL << 50;
			vm[i].loan = PV_UNKNOWN;
			random_wish(&vm[i]);
		}
		for (unsigned int step = 0; step < 40; step++) {
			pv_decide(work, fleet, nr, &pool, &rules, 1 + step * 500, 500);
			changes = 0;
			for (size_t i = 0; i < nr; i++) {
				changes += vm[i].next != vm[i].requested;
				vm[i].size = vm[i].requested = vm[i].next;
			}
		}
		assert_int_equal(changes, 0);
		for (size_t i = 0; i < nr; i++) {
			uint64_t top = vm[i].limit < vm[i].max ? vm[i].limit : vm[i].max;
			uint64_t want = vm[i].useful < vm[i].target ? vm[i].useful : vm[i].target;

			sum += vm[i].size;
			room += top - vm[i].size;
			assert_true(vm[i].size + BLOCK > want);
		}
		/* Work conserving: all memory is given out, or nobody can take any more. */
		assert_true(capacity - sum < nr * BLOCK + BLOCK || room < nr * BLOCK + BLOCK);
		teardown(NULL);
	}
	setup(state);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_weights),
		T(test_guarantee_and_limit),
		T(test_demand_goes_first),
		T(test_liar),
		T(test_benefit),
		T(test_loan),
		T(test_admission),
		T(test_hull_and_knee),
		T(test_demand_in_device_terms),
		T(test_shrink_before_growth),
		T(test_guarantee_comes_from_others),
		T(test_empty_report),
		T(test_hand_on),
		T(test_need),
		T(test_lazy),
		T(test_hysteresis_and_patience),
		T(test_settle),
		T(test_small_excess),
		T(test_rate),
		T(test_refuser),
		T(test_deaf_and_drain),
		T(test_random_fleets),
		T(test_random_fleets_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
