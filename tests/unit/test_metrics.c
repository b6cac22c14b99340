// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "test_util.h"

#include <json-c/json.h>

#include "metrics.h"
#include "prometheus.h"

/* Every field another number, in the order of the table. */
static void fill(struct ht_metrics *m, uint64_t first)
{
	uint64_t n = first;

	memset(m, 0, sizeof(*m));
#define M(name, kind, unit, desc) m->name = n += 7;
	HT_METRICS(M)
#undef M
	for (int i = 0; i < HT_DROP_NR; i++)
		m->drop[i] = n += 7;
	for (int i = 0; i < HT_OUT_NR; i++)
		m->outcome[i] = n += 7;
	m->fast_share = 0.625;
	m->wall_ns = 2500000000;
	strcpy(m->policy, "range");
}

static char text[65536];

static FILE *sink(void)
{
	FILE *f;

	memset(text, 0, sizeof(text));
	f = fmemopen(text, sizeof(text) - 1, "w");
	assert_non_null(f);
	return f;
}

static struct json_object *json_of(const struct ht_metrics *m, const char *event)
{
	struct json_object *o;
	FILE *f = sink();

	ht_metrics_json(f, m, event);
	fclose(f);
	/* One object on one line. */
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	o = json_tokener_parse(text);
	assert_non_null(o);
	assert_true(json_object_is_type(o, json_type_object));
	return o;
}

static int64_t number(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v))
		fail_msg("there is no \"%s\"", key);
	assert_true(json_object_is_type(v, json_type_int));
	return json_object_get_int64(v);
}

static const char *string(struct json_object *o, const char *key)
{
	struct json_object *v;

	assert_true(json_object_object_get_ex(o, key, &v));
	assert_true(json_object_is_type(v, json_type_string));
	return json_object_get_string(v);
}

/* ---- JSON ---- */

static void test_json_has_everything(void **state)
{
	struct json_object *o, *sub;
	struct ht_metrics m;
	int keys = 0;

	fill(&m, 1000);
	o = json_of(&m, "stats");
#define M(name, kind, unit, desc)                                                                  \
	assert_int_equal(number(o, #name), m.name);                                                \
	keys++;
	HT_METRICS(M)
#undef M
	assert_string_equal(string(o, "event"), "stats");
	assert_int_equal(number(o, "schema"), HT_METRICS_SCHEMA);
	assert_string_equal(string(o, "policy"), "range");
	assert_true(json_object_object_get_ex(o, "seconds", &sub));
	assert_true(json_object_get_double(sub) == 2.5);
	assert_true(json_object_object_get_ex(o, "fast_share", &sub));
	assert_true(json_object_get_double(sub) == 0.625);
	assert_true(json_object_object_get_ex(o, "misplaced_share", &sub));
	assert_true(json_object_get_double(sub) == m.misplaced_share);
	assert_true(json_object_object_get_ex(o, "dropped", &sub));
	assert_int_equal(json_object_object_length(sub), HT_DROP_NR);
	for (int i = 0; i < HT_DROP_NR; i++)
		assert_int_equal(number(sub, ht_drop_name(i)), m.drop[i]);
	assert_true(json_object_object_get_ex(o, "outcomes", &sub));
	assert_int_equal(json_object_object_length(sub), HT_OUT_NR);
	for (int i = 0; i < HT_OUT_NR; i++)
		assert_int_equal(number(sub, ht_migrate_outcome_name(i)), m.outcome[i]);
	assert_int_equal(json_object_object_length(o), keys + 8);
	json_object_put(o);
}

static void test_json_of_extremes(void **state)
{
	struct json_object *o;
	struct ht_metrics m;

	memset(&m, 0, sizeof(m));
	o = json_of(&m, "end");
	assert_int_equal(number(o, "promoted"), 0);
	assert_string_equal(string(o, "policy"), "");
	json_object_put(o);
	memset(&m, 0xff, sizeof(m));
	m.fast_share = 1;
	strcpy(m.policy, "x");
	o = json_of(&m, "end");
	/* What JSON's readers take for an integer, and no negative number. */
	assert_int_equal(number(o, "promoted"), INT64_MAX);
	json_object_put(o);
}

/* The name comes from a file: whatever is in it stays a string. */
static void test_json_of_odd_names(void **state)
{
	static const char *const name[] = { "a\"b", "a\\b",	"a\nb",
					    "a\tb", "\033[31m", "\"}{\"x\":1" };

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		struct json_object *o;
		struct ht_metrics m;

		fill(&m, 1);
		strcpy(m.policy, name[i]);
		o = json_of(&m, "end");
		assert_string_equal(string(o, "policy"), name[i]);
		assert_null(strchr(text, '\033'));
		json_object_put(o);
	}
}

static void test_drop_names(void **state)
{
	for (int i = 0; i < HT_DROP_NR; i++) {
		assert_non_null(ht_drop_name(i));
		assert_string_not_equal(ht_drop_name(i), "?");
		for (int k = 0; k < i; k++)
			assert_string_not_equal(ht_drop_name(i), ht_drop_name(k));
	}
	assert_string_equal(ht_drop_name(HT_DROP_NR), "?");
	assert_string_equal(ht_drop_name(-1), "?");
}

/* ---- for people ---- */

static int row(const struct ht_metrics *m, const struct ht_metrics *before, bool header)
{
	FILE *f = sink();
	int lines = 0;

	ht_metrics_row(f, m, before, header);
	fclose(f);
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	return lines;
}

static void test_row(void **state)
{
	struct ht_metrics m = { .wall_ns = 12000000000,
				.samples_counted = 9000,
				.ranges = 17,
				.targets = 3,
				.promoted = 2560,
				.demoted = 1024,
				.misplaced_share = 0.02,
				.failed = 12,
				.fast_share = 0.5,
				.loader_ns = 30000000,
				.bpf_ns = 10000000 };
	struct ht_metrics before = { .wall_ns = 10000000000,
				     .samples_counted = 1000,
				     .failed = 5,
				     .loader_ns = 10000000,
				     .bpf_ns = 10000000 };
	double t, rate, share, up, down, hot, cpu;
	unsigned long ranges, targets, failed;
	char *second;

	assert_int_equal(row(&m, &before, false), 1);
	assert_int_equal(sscanf(text, "%lf %lf %lf %lu %lu %lf %lf %lf %lu %lf", &t, &rate, &share,
				&ranges, &targets, &up, &down, &hot, &failed, &cpu),
			 10);
	assert_true(t == 12 && rate == 4000 && share == 50 && ranges == 17 && targets == 3);
	/* Over two seconds: 10 MiB up, 4 MiB down; 20 ms of CPU. */
	assert_true(up == 5 && down == 2 && hot == 2 && failed == 7 && cpu == 1);
	assert_int_equal(row(&m, &before, true), 2);
	second = strchr(text, '\n') + 1;
	assert_int_equal(second - text, strlen(second));
	/* No time has passed. */
	assert_int_equal(row(&m, &m, false), 1);
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf"));
}

static void test_summary(void **state)
{
	struct ht_metrics m = { .wall_ns = 10000000000,
				.epoch = 20,
				.samples_counted = 900,
				.samples_seen = 1000,
				.promoted = 300,
				.demoted = 100,
				.wasted = 20,
				.fast_share = 0.877,
				.loader_ns = 50000000,
				.policy = "range" };
	FILE *f = sink();

	m.drop[HT_DROP_NOT_TARGET] = 100;
	m.outcome[HT_OUT_MOVED] = 400;
	m.outcome[HT_OUT_EBUSY] = 31;
	ht_metrics_summary(f, &m);
	fclose(f);
	assert_non_null(strstr(text, "range"));
	assert_non_null(strstr(text, "900 counted of 1000 seen"));
	assert_non_null(strstr(text, "100 dropped (not_target)"));
	assert_non_null(strstr(text, "87.7 %"));
	assert_non_null(strstr(text, "300 pages"));
	assert_non_null(strstr(text, "100 pages"));
	assert_non_null(strstr(text, "5.0 % of those moved"));
	assert_non_null(strstr(text, "31 pages"));
	assert_non_null(strstr(text, "0.50 %"));
	/* What did not happen is not mentioned. */
	assert_null(strstr(text, "due"));
	assert_null(strstr(text, "lost"));
	assert_null(strstr(text, "dry run"));
	assert_null(strstr(text, ht_migrate_outcome_name(HT_OUT_ENOMEM)));
	memset(&m, 0, sizeof(m));
	f = sink();
	ht_metrics_summary(f, &m);
	fclose(f);
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf"));
}

/* ---- Prometheus, docs ---- */

static void test_prometheus(void **state)
{
	struct ht_prometheus_labels l = { .loader = "a\"b", .source = "damon" };
	char name[96], line[256];
	struct ht_metrics m;
	FILE *f = sink();

	fill(&m, 1000);
	ht_prometheus_print(f, &m, &l);
	fclose(f);
#define M(key, kind, unit, desc)                                                                   \
	ht_prometheus_name(name, sizeof(name), #key, *#kind);                                      \
	snprintf(line, sizeof(line), "\n%s{loader=\"a\\\"b\"} ", name);                            \
	if (!strstr(text, line))                                                                   \
		fail_msg("no series %s", line);
	HT_METRICS(M)
#undef M
	assert_non_null(strstr(text, "\nhypertier_fast_share{loader=\"a\\\"b\"} 0.625000\n"));
	ht_prometheus_name(name, sizeof(name), "loader_ns", 'C');
	assert_string_equal(name, "hypertier_loader_seconds_total");
	ht_prometheus_name(name, sizeof(name), "ranges", 'G');
	assert_string_equal(name, "hypertier_ranges");
}

/* The table in docs/statistics.md is made from the tables in metrics.h: --table prints it. */
static void print_table(FILE *f)
{
	char name[96];

	fprintf(f, "| JSON | Prometheus | kind | unit | meaning |\n|---|---|---|---|---|\n");
#define M(key, desc)                                                                               \
	ht_prometheus_name(name, sizeof(name), #key, 'G');                                         \
	fprintf(f, "| `%s` | `%s` | gauge | 0 to 1 | %s |\n", #key, name, desc);
	HT_METRICS_SHARES(M)
#undef M
#define M(key, kind, unit, desc)                                                                   \
	ht_prometheus_name(name, sizeof(name), #key, *#kind);                                      \
	fprintf(f, "| `%s` | `%s` | %s | %s | %s |\n", #key, name,                                 \
		*#kind == 'C' ? "counter" : "gauge", unit, desc);
	HT_METRICS(M)
#undef M
}

static void test_docs(void **state)
{
	static char doc[65536];
	FILE *f = fopen("docs/statistics.md", "r");

	assert_non_null(f);
	doc[fread(doc, 1, sizeof(doc) - 1, f)] = '\0';
	fclose(f);
	f = sink();
	print_table(f);
	fclose(f);
	if (!strstr(doc, text))
		fail_msg("docs/statistics.md is out of date: paste what `%s --table` prints",
			 "build/tests/unit/test_metrics");
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--table")) {
		print_table(stdout);
		return 0;
	}

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_has_everything),
		cmocka_unit_test(test_json_of_extremes),
		cmocka_unit_test(test_json_of_odd_names),
		cmocka_unit_test(test_drop_names),
		cmocka_unit_test(test_row),
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_prometheus),
		cmocka_unit_test(test_docs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
