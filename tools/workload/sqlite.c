// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * SQLite in memory under a mix of transactions as in TPC-C: new orders (45 %), payments (43 %), and
 * reads: a customer's last order, the stock of the last orders' items, delivery. Customers and
 * items are drawn as unevenly as there (NURand); orders grow at the end of their tables, so the
 * newest are hot. SQLite's page cache, which holds everything, is one mapping.
 *
 * The text of each row is a function of its key. At the end all rows are read and checked, and the
 * sums must fit: what customers paid is what the warehouse took in, what was ordered is what left
 * the stock.
 */
#include <sqlite3.h>

#include "workload.h"

/* Bytes a row takes in its table's pages, roughly; shares of the database at the start. */
#define STOCK_TEXT 240
#define CUSTOMER_TEXT 504
#define STOCK_ROW 290
#define CUSTOMER_ROW 550
#define STOCK_SHARE 0.5
#define CUSTOMER_SHARE 0.3
#define MAX_LINES 15

enum {
	Q_BEGIN,
	Q_COMMIT,
	Q_GET_CUSTOMER,
	Q_PAY,
	Q_TAKE_IN,
	Q_GET_STOCK,
	Q_TAKE_STOCK,
	Q_ADD_ORDER,
	Q_ADD_LINE,
	Q_LAST_ORDER,
	Q_LINES,
	Q_DELIVER,
	Q_LOW_STOCK,
	Q_NR,
};

static const char *const query[Q_NR] = {
	[Q_BEGIN] = "begin",
	[Q_COMMIT] = "commit",
	[Q_GET_CUSTOMER] = "select balance, text from customer where id = ?1",
	[Q_PAY] = "update customer set balance = balance - ?2, paid = paid + ?2 where id = ?1",
	[Q_TAKE_IN] = "update warehouse set taken = taken + ?1 where id = 1",
	[Q_GET_STOCK] = "select quantity, text from stock where id = ?1",
	[Q_TAKE_STOCK] = "update stock set quantity = ?2, sold = sold + ?3 where id = ?1",
	[Q_ADD_ORDER] = "insert into orders values (?1, ?2, 0, ?3)",
	[Q_ADD_LINE] = "insert into line values (?1, ?2, ?3)",
	[Q_LAST_ORDER] = "select id from orders where customer = ?1 order by id desc limit 1",
	[Q_LINES] = "select item, quantity from line where id between ?1 and ?2",
	[Q_DELIVER] = "update orders set delivered = 1 where id = ?1",
	[Q_LOW_STOCK] = ("select count(*) from stock where quantity < 15 and id in "
			 "(select item from line where id between ?1 and ?2)"),
};

static const char schema[] =
	"create table warehouse (id integer primary key, taken integer);"
	"create table customer (id integer primary key, balance integer, paid integer, text blob);"
	"create table stock (id integer primary key, quantity integer, sold integer, text blob);"
	"create table orders (id integer primary key, customer integer, delivered integer, lines "
	"integer);"
	"create table line (id integer primary key, item integer, quantity integer);"
	"create index orders_customer on orders (customer, id);"
	"insert into warehouse values (1, 0);";

struct sqlite {
	struct wl w;
	uint64_t ops, customers, items;
	sqlite3 *db;
	sqlite3_stmt *q[Q_NR];
	uint64_t orders, delivered, paid, sold, bad;
	unsigned int c_customer, c_item; /* NURand's constants */
	bool damaged;
};

/* --- SQL -------------------------------------------------------------------------------------- */

/* Only damaged data makes a statement fail here; the data is wrong, which is another exit status.
 */
static int step(struct sqlite *s, sqlite3_stmt *q)
{
	int rc = sqlite3_step(q);

	if (rc != SQLITE_ROW && rc != SQLITE_DONE && !s->damaged) {
		fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(s->db));
		s->damaged = true;
	}
	return rc;
}

static void execute(struct sqlite *s, int nr, sqlite3_int64 a, sqlite3_int64 b, sqlite3_int64 c)
{
	sqlite3_stmt *q = s->q[nr];
	int n = sqlite3_bind_parameter_count(q);

	if (n > 0)
		sqlite3_bind_int64(q, 1, a);
	if (n > 1)
		sqlite3_bind_int64(q, 2, b);
	if (n > 2)
		sqlite3_bind_int64(q, 3, c);
	while (step(s, q) == SQLITE_ROW)
		;
	sqlite3_reset(q);
}

static void sql(struct sqlite *s, const char *text)
{
	char *msg = NULL;

	if (!sqlite3_exec(s->db, text, NULL, NULL, &msg))
		return;
	fprintf(stderr, "sqlite: %s\n", msg);
	exit(1);
}

/* --- Rows ------------------------------------------------------------------------------------- */

static void make_text(char *text, size_t n, uint64_t key)
{
	uint64_t x = wl_mix(key + 1);

	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t word = x * (2 * i + 3);

		memcpy(text + i, &word, 8);
	}
}

static bool text_ok(sqlite3_stmt *q, int col, size_t n, uint64_t key)
{
	char want[CUSTOMER_TEXT] = {};
	const void *got = sqlite3_column_blob(q, col);

	make_text(want, n, key);
	return got && sqlite3_column_bytes(q, col) == (int)n && !memcmp(got, want, n);
}

static void fill_table(struct sqlite *s, const char *text, uint64_t nr, size_t len, uint64_t key)
{
	char row[CUSTOMER_TEXT] = {};
	sqlite3_stmt *q;

	if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL)) {
		fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(s->db));
		exit(1);
	}
	sql(s, "begin");
	for (uint64_t i = 0; i < nr; i++) {
		make_text(row, len, key + i);
		sqlite3_bind_int64(q, 1, i);
		sqlite3_bind_blob(q, 2, row, len, SQLITE_STATIC);
		step(s, q);
		sqlite3_reset(q);
	}
	sql(s, "commit");
	sqlite3_finalize(q);
}

/* Keys of customers' texts follow those of the items'. */
static uint64_t customer_key(const struct sqlite *s, uint64_t id)
{
	return s->items + id;
}

/* --- Setting up ------------------------------------------------------------------------------- */

/* All pages come from one mapping of ours, for as long as they fit. */
static void give_memory(struct sqlite *s)
{
	uint64_t size = s->w.size_mib * WL_MIB;
	int header = 0, slot;

	sqlite3_config(SQLITE_CONFIG_PCACHE_HDRSZ, &header);
	slot = (4096 + header + 7) & ~7;
	if (sqlite3_config(SQLITE_CONFIG_PAGECACHE, wl_alloc(&s->w, size), slot,
			   (int)(size / slot))) {
		fprintf(stderr, "sqlite: the library takes no memory\n");
		exit(1);
	}
}

static void setup(struct sqlite *s)
{
	uint64_t size = s->w.size_mib * WL_MIB, rng = wl_seed(0, 1);

	give_memory(s);
	if (sqlite3_open(":memory:", &s->db)) {
		fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(s->db));
		exit(1);
	}
	sql(s,
	    "pragma journal_mode = memory; pragma synchronous = off; pragma temp_store = memory");
	sql(s, schema);
	s->items = size * STOCK_SHARE / STOCK_ROW;
	s->customers = size * CUSTOMER_SHARE / CUSTOMER_ROW;
	fill_table(s, "insert into stock values (?1, 50, 0, ?2)", s->items, STOCK_TEXT, 0);
	fill_table(s, "insert into customer values (?1, 0, 0, ?2)", s->customers, CUSTOMER_TEXT,
		   customer_key(s, 0));
	for (int i = 0; i < Q_NR; i++) {
		if (!sqlite3_prepare_v3(s->db, query[i], -1, SQLITE_PREPARE_PERSISTENT, &s->q[i],
					NULL))
			continue;
		fprintf(stderr, "sqlite: %s: %s\n", query[i], sqlite3_errmsg(s->db));
		exit(1);
	}
	/* The same for all seeds: where data is hot is not part of the noise. */
	s->c_customer = wl_rand(&rng) >> 40;
	s->c_item = wl_rand(&rng) >> 40;
	wl_extra(&s->w, "\"items\":%" PRIu64 ",\"customers\":%" PRIu64 ",", s->items, s->customers);
}

/* --- Transactions ----------------------------------------------------------------------------- */

/* TPC-C 2.1.6: A as there is to the number of rows, 8191 to 100000. */
static uint64_t nurand(uint64_t *rng, uint64_t n, unsigned int c)
{
	uint64_t a = 1;

	while (a * 12 < n)
		a *= 2;
	return ((wl_below(rng, a) | wl_below(rng, n)) + c) % n;
}

static uint64_t customer(struct sqlite *s, uint64_t *rng)
{
	return nurand(rng, s->customers, s->c_customer);
}

static void read_customer(struct sqlite *s, uint64_t id)
{
	sqlite3_stmt *q = s->q[Q_GET_CUSTOMER];

	sqlite3_bind_int64(q, 1, id);
	if (step(s, q) != SQLITE_ROW || !text_ok(q, 1, CUSTOMER_TEXT, customer_key(s, id)))
		s->bad++;
	sqlite3_reset(q);
}

static void order_line(struct sqlite *s, uint64_t *rng, unsigned int line)
{
	uint64_t item = nurand(rng, s->items, s->c_item), n = 1 + wl_below(rng, 10);
	sqlite3_stmt *q = s->q[Q_GET_STOCK];
	sqlite3_int64 there = 0;

	sqlite3_bind_int64(q, 1, item);
	if (step(s, q) == SQLITE_ROW && text_ok(q, 1, STOCK_TEXT, item))
		there = sqlite3_column_int64(q, 0);
	else
		s->bad++;
	sqlite3_reset(q);
	there -= n;
	execute(s, Q_TAKE_STOCK, item, there < 10 ? there + 91 : there, n);
	execute(s, Q_ADD_LINE, s->orders * 16 + line, item, n);
	s->sold += n;
}

static void new_order(struct sqlite *s, uint64_t *rng)
{
	unsigned int lines = 5 + wl_below(rng, MAX_LINES - 5 + 1);
	uint64_t id = customer(s, rng);

	execute(s, Q_BEGIN, 0, 0, 0);
	read_customer(s, id);
	execute(s, Q_ADD_ORDER, s->orders, id, lines);
	for (unsigned int i = 0; i < lines; i++)
		order_line(s, rng, i);
	execute(s, Q_COMMIT, 0, 0, 0);
	s->orders++;
}

static void payment(struct sqlite *s, uint64_t *rng)
{
	uint64_t id = customer(s, rng), amount = 1 + wl_below(rng, 5000);

	execute(s, Q_BEGIN, 0, 0, 0);
	read_customer(s, id);
	execute(s, Q_PAY, id, amount, 0);
	execute(s, Q_TAKE_IN, amount, 0, 0);
	execute(s, Q_COMMIT, 0, 0, 0);
	s->paid += amount;
}

static void order_status(struct sqlite *s, uint64_t *rng)
{
	uint64_t id = customer(s, rng);
	sqlite3_int64 order = -1;

	read_customer(s, id);
	sqlite3_bind_int64(s->q[Q_LAST_ORDER], 1, id);
	if (step(s, s->q[Q_LAST_ORDER]) == SQLITE_ROW)
		order = sqlite3_column_int64(s->q[Q_LAST_ORDER], 0);
	sqlite3_reset(s->q[Q_LAST_ORDER]);
	if (order >= 0)
		execute(s, Q_LINES, order * 16, order * 16 + 15, 0);
}

static void deliver(struct sqlite *s)
{
	execute(s, Q_BEGIN, 0, 0, 0);
	for (int i = 0; i < 10 && s->delivered < s->orders; i++)
		execute(s, Q_DELIVER, s->delivered++, 0, 0);
	execute(s, Q_COMMIT, 0, 0, 0);
}

static void stock_level(struct sqlite *s)
{
	uint64_t first = s->orders > 20 ? s->orders - 20 : 0;

	execute(s, Q_LOW_STOCK, first * 16, s->orders * 16, 0);
}

static void transaction(struct sqlite *s, uint64_t *rng)
{
	uint64_t dice = wl_below(rng, 100);

	if (dice < 45)
		new_order(s, rng);
	else if (dice < 88)
		payment(s, rng);
	else if (dice < 92)
		order_status(s, rng);
	else if (dice < 96)
		deliver(s);
	else
		stock_level(s);
}

static void run(struct sqlite *s)
{
	uint64_t rng = wl_seed(s->w.seed, 0), done = 0, t0;
	bool more = true;

	wl_start(&s->w);
	while (more && !s->damaged && (s->w.seconds || done < s->ops)) {
		t0 = s->w.latency && done % 16 == 0 ? wl_ns() : 0;
		transaction(s, &rng);
		if (t0)
			wl_latency(&s->w, wl_ns() - t0);
		more = ++done % 64 || wl_tick(&s->w, done);
	}
	wl_stop(&s->w, done);
	wl_extra(&s->w, "\"orders\":%" PRIu64 ",", s->orders);
}

/* --- Checking --------------------------------------------------------------------------------- */

/* Rows in the order of their ids, all of them, each with its text; adds up column 1. */
static uint64_t check_rows(struct sqlite *s, const char *text, uint64_t nr, size_t len,
			   uint64_t key)
{
	uint64_t sum = 0, n = 0;
	sqlite3_stmt *q;

	if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL)) {
		s->bad++;
		return 0;
	}
	while (step(s, q) == SQLITE_ROW) {
		s->bad += sqlite3_column_int64(q, 0) != (sqlite3_int64)n ||
			  (len && !text_ok(q, 2, len, key + n));
		sum += sqlite3_column_int64(q, 1);
		n++;
	}
	sqlite3_finalize(q);
	s->bad += n != nr;
	return sum;
}

static uint64_t number(struct sqlite *s, const char *text)
{
	sqlite3_stmt *q;
	uint64_t v = 0;

	if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL)) {
		s->bad++;
		return 0;
	}
	if (step(s, q) == SQLITE_ROW)
		v = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return v;
}

static bool verify(struct sqlite *s)
{
	uint64_t sold, paid;

	sold = check_rows(s, "select id, sold, text from stock order by id", s->items, STOCK_TEXT,
			  0);
	paid = check_rows(s, "select id, paid, text from customer order by id", s->customers,
			  CUSTOMER_TEXT, customer_key(s, 0));
	s->bad += sold != s->sold || number(s, "select sum(quantity) from line") != s->sold;
	s->bad += paid != s->paid || number(s, "select taken from warehouse") != s->paid;
	s->bad += check_rows(s, "select id, delivered from orders order by id", s->orders, 0, 0) !=
		  s->delivered;
	if (s->bad)
		fprintf(stderr, "sqlite: %" PRIu64 " wrong rows or sums\n", s->bad);
	return !s->bad && !s->damaged;
}

static const struct opt options[] = {
	OPT_NUMBER(struct sqlite, ops, "ops", 'n', "N", 1, 1e12, "transactions (20000)"), {}
};

static const char doc[] =
	"SQLite in memory with transactions as in TPC-C; an op is a transaction. One "
	"thread.";

int main(int argc, char **argv)
{
	static struct sqlite s = { .w = { .name = "sqlite", .size_mib = 300 }, .ops = 20000 };
	bool ok;

	wl_parse(&s.w, argc, argv, options, &s, doc);
	s.w.threads = 1;
	setup(&s);
	run(&s);
	ok = verify(&s);
	return wl_finish(&s.w, ok);
}
