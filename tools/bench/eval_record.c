// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * eval_record PID PERIOD FILE: counts every PERIOD-th memory access of a workload by page and
 * phase, for the oracle. It reads the lab's ring, so no loader may run beside it. It waits for the
 * workload's START marker, ends at its STOP, and must not fall behind: lost records are told.
 */
#include <signal.h>
#include <time.h>

#include "eval_pages.h"

struct recorder {
	struct ring ring;
	struct eval_pages pages;
	struct eval_counts_hdr hdr;
	uint32_t *count[HT_RING_MAX_PHASES];
	uint64_t tail;
	/* Records by part of the address space, in columns of as many records each. */
	uint32_t heat[EVAL_COLUMNS][EVAL_BUCKETS];
	unsigned int column;
	uint64_t column_records, in_column;
};

#define COLUMN_RECORDS 256 /* at first */

/* Nobody knows the length of the run: when the columns are full, two become one. */
static void halve_columns(struct recorder *r)
{
	for (unsigned int i = 0; i < EVAL_COLUMNS / 2; i++)
		for (unsigned int b = 0; b < EVAL_BUCKETS; b++)
			r->heat[i][b] = r->heat[2 * i][b] + r->heat[2 * i + 1][b];
	memset(r->heat[EVAL_COLUMNS / 2], 0, sizeof(r->heat) / 2);
	r->column = EVAL_COLUMNS / 2;
	r->column_records *= 2;
}

static void add_heat(struct recorder *r, uint64_t page)
{
	if (r->in_column == r->column_records) {
		r->in_column = 0;
		if (++r->column == EVAL_COLUMNS)
			halve_columns(r);
	}
	r->in_column++;
	r->heat[r->column][eval_bucket(&r->pages, page)]++;
}

static int count_one(struct recorder *r, uint64_t addr, unsigned int phase)
{
	int64_t page = eval_page_at(&r->pages, addr);

	if (page < 0) {
		r->hdr.other++;
		return 0;
	}
	if (phase >= HT_RING_MAX_PHASES)
		phase = HT_RING_MAX_PHASES - 1;
	if (!r->count[phase])
		r->count[phase] = calloc(r->pages.nr, sizeof(uint32_t));
	if (!r->count[phase])
		return -ENOMEM;
	if (phase >= r->hdr.nr_phases)
		r->hdr.nr_phases = phase + 1;
	r->count[phase][page]++;
	add_heat(r, page);
	r->hdr.records++;
	return 0;
}

static int drain(struct recorder *r)
{
	uint64_t head = __atomic_load_n(&r->ring.hdr->head, __ATOMIC_ACQUIRE);
	unsigned int phase = r->ring.hdr->phase;
	int err = 0;

	if (head - r->tail > r->ring.nr_slots) {
		r->hdr.lost += head - r->tail - r->ring.nr_slots;
		r->tail = head - r->ring.nr_slots;
	}
	for (; r->tail != head && !err; r->tail++)
		err = count_one(r, r->ring.rec[r->tail & (r->ring.nr_slots - 1)].vaddr, phase);
	return err;
}

static int record(struct recorder *r)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	bool started = false;
	int err = 0;

	while (!err && !kill(r->pages.pid, 0)) {
		bool counting = r->ring.hdr->counting;

		err = drain(r);
		if (started && !counting)
			break;
		started = started || counting;
		nanosleep(&ms, NULL);
	}
	return err;
}

/* Pages never seen are left out; a reader takes them for cold. */
static int save(struct recorder *r, const char *file)
{
	FILE *f = fopen(file, "w");
	uint32_t row[HT_RING_MAX_PHASES], any;
	uint64_t vpn;

	if (!f)
		return -errno;
	memcpy(r->hdr.magic, EVAL_MAGIC, 8);
	fwrite(&r->hdr, sizeof(r->hdr), 1, f);
	for (uint64_t i = 0; i < r->pages.nr; i++) {
		any = 0;
		for (unsigned int p = 0; p < r->hdr.nr_phases; p++)
			any |= row[p] = r->count[p] ? r->count[p][i] : 0;
		if (!any)
			continue;
		r->hdr.nr_pages++;
		vpn = eval_page_addr(&r->pages, i) / EVAL_PAGE;
		fwrite(&vpn, sizeof(vpn), 1, f);
		fwrite(row, sizeof(*row), r->hdr.nr_phases, f);
	}
	rewind(f);
	fwrite(&r->hdr, sizeof(r->hdr), 1, f);
	return fclose(f) ? -errno : 0;
}

static void print_heat(const struct recorder *r)
{
	printf("\"heat\":{\"records\":%" PRIu64 ",\"columns\":[", r->column_records);
	for (unsigned int i = 0; i <= r->column; i++) {
		printf("%s\n[", i ? "," : "");
		for (unsigned int b = 0; b < EVAL_BUCKETS; b++)
			printf("%s%u", b ? "," : "", r->heat[i][b]);
		printf("]");
	}
	printf("]}");
}

int main(int argc, char **argv)
{
	static struct recorder r = { .column_records = COLUMN_RECORDS };
	int err;

	if (argc != 4 || atoi(argv[2]) < 1) {
		fprintf(stderr, "usage: eval_record PID PERIOD FILE\n");
		return 2;
	}
	if (ring_open(&r.ring))
		return 1;
	if (!r.ring.hdr) {
		fprintf(stderr, "eval_record: no emulator: HT_LAB_RING must name the ring\n");
		return 1;
	}
	err = eval_pages_read(&r.pages, atoi(argv[1]));
	if (!err) {
		r.hdr.nr_phases = 1;
		r.hdr.period = r.ring.hdr->period = atoi(argv[2]);
		r.tail = r.ring.hdr->head;
		err = record(&r);
	}
	if (!err)
		err = save(&r, argv[3]);
	if (err)
		fprintf(stderr, "eval_record: %s\n", strerror(-err));
	printf("{\"records\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"other\":%" PRIu64 ",",
	       (uint64_t)r.hdr.records, (uint64_t)r.hdr.lost, (uint64_t)r.hdr.other);
	print_heat(&r);
	printf("}\n");
	return err ? 1 : 0;
}
