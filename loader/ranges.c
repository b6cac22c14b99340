// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "levels.h"
#include "ranges.h"
#include "sharing.h"

/* Three standard deviations: one false border in some 370 pairs of equal neighbours. */
#define Z_MERGE 3.0
#define Z_GROWTH 1.5 /* applied when the ranges do not fit */
#define Z_MAX 1000.0
/*
 * Totals of tiles with page detail vary more than Poisson counts do: a tile's variance is that of
 * its pages' rates as well. The mean of the counts weighted by the counts says by how much, at
 * least this.
 */
#define DISPERSED_MIN 4.0
/*
 * A scan comes to each page once, a cell has two pages: its repeats are half of a uniform spread's.
 * So many standard deviations, and a quarter, below that spread make a sequential scan.
 */
#define STREAM_Z 4.0
/*
 * So many standard deviations, and samples, above a uniform spread's repeats make a run with few
 * hot pages. And twice its repeats: of a mild skew a few samples a page do not tell which pages.
 */
#define DISPERSED_Z 4.0
#define DISPERSED_MORE 8.0
/* Pages of the next higher count at which Robbins' estimate and the linear one weigh the same. */
#define ROBBINS_PAGES 32.0
/* Where the rate says so many times more than the counts, these are young, not wrong. */
#define FRESH 3.0
/* Counts a page below which page detail is young. */
#define YOUNG (1.0 / 32)
/*
 * A mild skew does not show in repeats, and needs some samples a page to show at all. A run whose
 * tiles have so many samples each is worth the look.
 */
#define DENSE 8
/* Of a huge page whose subpages differ, this share of the counts' spread at least is no chance. */
#define SKEWED 0.5

int ht_ranges_init(struct ht_ranges *rs, struct ht_range *range, size_t cap)
{
	memset(rs, 0, sizeof(*rs));
	rs->range = range;
	rs->cap = cap;
	rs->z = Z_MERGE;
	rs->info = calloc(cap, sizeof(*rs->info));
	rs->prev = calloc(cap, sizeof(*rs->prev));
	if (rs->info && rs->prev)
		return 0;
	ht_ranges_free(rs);
	return -ENOMEM;
}

void ht_ranges_free(struct ht_ranges *rs)
{
	free(rs->info);
	free(rs->prev);
	free(rs->skew);
	ht_outlook_free(&rs->outlook);
	ht_page_outlook_free(&rs->pages);
	memset(rs, 0, sizeof(*rs));
}

enum kind { KIND_PLAIN, KIND_THP, KIND_DETAIL };

/* A run of neighbouring spots of one kind and about equal density, being built. */
struct run {
	struct ht_space *space;
	uint32_t space_idx, first, nr;
	enum kind kind;
	double heat;
	double listed;	 /* of it, what the page counts stand for */
	double evidence; /* Poisson counts that the heat to come is as sure as */
	double expect;	 /* heat to come, by the outlook */
	uint64_t recent, writes;
	uint64_t counts; /* sum of the page counts, where there is page detail */
	uint64_t pages;	 /* resident pages, at least one a spot so that densities stay finite */
	uint64_t repeats, expected8; /* samples that hit a cell again; 1/8 of a uniform spread's */
	/* Of tiles without page detail, in this window: all samples, those that hit a cell again,
	 * and how many of a uniform spread would. */
	double win_samples, win_repeats, win_expected;
	uint32_t sampled; /* spots that own a tile */
	uint32_t moved;	  /* latest epoch of a move */
};

static enum kind kind_of(const struct ht_heatmap *hm, const struct ht_spot *sp)
{
	if (sp->flags & HT_SPOT_THP)
		return KIND_THP;
	return sp->tile && hm->live[sp->live].detail ? KIND_DETAIL : KIND_PLAIN;
}

/* Sum of a tile's page counts: sixteen four-bit counters a word, added in pairs, then at once. */
static uint32_t sum_counts(const struct ht_heatmap *hm, const struct ht_spot *sp)
{
	const uint64_t low = 0x0f0f0f0f0f0f0f0fULL;
	struct ht_detail copy;
	uint32_t sum = 0, i;

	if (!ht_sharing_detail(hm, sp, &copy))
		return 0;
	for (i = 0; i < HT_TILE_WORDS; i++)
		sum += ((copy.nib[i] & low) + (copy.nib[i] >> 4 & low)) * 0x0101010101010101ULL >>
		       56;
	return sum;
}

/* As ht_uniform_repeats8(), exactly: over a run of tiles its error would add up. */
static double uniform_repeats(uint32_t n)
{
	return n + HT_TILE_CELLS * expm1(n * log1p(-1.0 / HT_TILE_CELLS));
}

static void extend(struct run *r, const struct ht_heatmap *hm, const struct ht_spot *sp,
		   const struct ht_ranges *rs)
{
	const struct ht_live *l = sp->tile ? &hm->live[sp->live] : NULL;
	uint32_t pages = ht_spot_pages(sp);

	r->nr++;
	r->heat += sp->heat;
	r->listed += sp->boost > 1 ? sp->heat / sp->boost : sp->heat;
	r->evidence +=
		rs->fixed ? sp->heat : sp->heat / ht_outlook_dispersion(&rs->outlook, sp->heat);
	r->expect += rs->fixed ? sp->heat : ht_outlook(&rs->outlook, sp->heat);
	r->recent += sp->recent;
	r->pages += pages ? pages : HT_TILE_PAGES;
	if (sp->moved > r->moved)
		r->moved = sp->moved;
	if (!l)
		return;
	r->sampled++;
	if (r->kind == KIND_DETAIL)
		r->counts += sum_counts(hm, sp);
	r->writes += l->writes;
	if (!l->detail) {
		r->win_samples += l->win_n;
		r->win_repeats += l->win_r;
		r->win_expected += uniform_repeats(l->win_n);
	}
	r->repeats += l->repeats;
	r->expected8 += l->expected8;
}

static bool belongs(const struct run *r, const struct ht_heatmap *hm, const struct ht_spot *sp,
		    const struct ht_ranges *rs)
{
	const struct ht_spot *last = &r->space->spot[r->first + r->nr - 1];
	double n = r->pages, m = ht_spot_pages(sp), h = r->heat, g = sp->heat, z = rs->z;

	if (rs->coarse)
		return r->nr < rs->coarse;
	if (rs->fixed)
		return false;
	if (sp->va != last->va + HT_TILE_SIZE || kind_of(hm, sp) != r->kind)
		return false;
	if (r->kind == KIND_DETAIL) {
		double counts = r->counts, more = sum_counts(hm, sp);

		z *= sqrt(rs->dispersion);
		/*
		 * Page counts end at 15: a tile is not set apart by one page that is much hotter.
		 * But detail that is young has not counted yet.
		 */
		if (counts + more >= (n + m) * YOUNG) {
			h = counts;
			g = more;
		}
	}
	if (h + g <= 0)
		return true;
	if (m == 0)
		m = HT_TILE_PAGES;
	return fabs(h / n - g / m) / sqrt((h + g) / (n + m) * (1 / n + 1 / m)) <= z;
}

static struct ht_range *new_range(struct ht_ranges *rs, const struct run *r, uint32_t epoch)
{
	const struct ht_spot *first = &r->space->spot[r->first], *last = first + r->nr - 1;
	struct ht_range_info *info;
	struct ht_range *out;

	if (rs->nr == rs->cap)
		return NULL;
	info = &rs->info[rs->nr];
	memset(info, 0, sizeof(*info));
	info->space = r->space_idx;
	info->first = r->first;
	info->nr = r->nr;
	info->levels = HT_ALL_LEVELS;
	out = &rs->range[rs->nr++];
	memset(out, 0, sizeof(*out));
	out->start = first->va;
	out->end = last->va + HT_TILE_SIZE;
	out->tgid = r->space->tgid;
	out->level = HT_LEVEL_ALL;
	out->moved = r->moved ? epoch - r->moved : ~0U;
	return out;
}

static void set_heat(struct ht_range *out, double heat, double recent, double writes)
{
	out->heat = heat + 0.5;
	out->recent = recent + 0.5;
	out->writes = writes + 0.5;
	out->density = out->pages ? heat * 65536 / out->pages : 0;
}

static void count_tiers(struct ht_ranges *rs, struct ht_range *out, const uint32_t *in_tier)
{
	struct ht_range_info *info = &rs->info[out - rs->range];
	int t;

	for (t = 0; t < HT_SPACE_TIERS; t++) {
		info->in_tier[t] = in_tier[t];
		out->pages += in_tier[t];
	}
	out->fast_pages = in_tier[0];
}

static void add_heat(struct ht_ranges *rs, const struct ht_range *out)
{
	const struct ht_range_info *info = &rs->info[out - rs->range];
	int t;

	rs->heat += out->heat;
	for (t = 0; t < HT_SPACE_TIERS && out->pages; t++)
		rs->heat_in_tier[t] += out->heat * info->in_tier[t] / out->pages;
}

static bool is_stream(const struct run *r)
{
	double expected = r->expected8 / 8.0, missing = expected - r->repeats;

	return missing > expected / 4 && missing > STREAM_Z * sqrt(expected);
}

/*
 * Do samples repeat on few pages, in the whole run together? One tile takes some 60 samples to show
 * it, its run a tenth of that. A run with less than a sample per tile and epoch waits for its
 * tiles: page counts are looked at each epoch, and would stay empty for long.
 */
static bool is_dispersed(const struct run *r)
{
	double more = r->win_repeats - r->win_expected;

	return r->recent >= r->sampled && more > DISPERSED_MORE && more > r->win_expected &&
	       more > DISPERSED_Z * sqrt(r->win_expected);
}

static bool is_dense(const struct run *r)
{
	return r->sampled && r->recent >= r->sampled && !is_stream(r) &&
	       r->win_samples >= (double)r->sampled * DENSE;
}

static void give_details(const struct run *r, struct ht_heatmap *hm)
{
	uint32_t i;

	for (i = 0; i < r->nr; i++) {
		ht_sharing_give_detail(hm, &r->space->spot[r->first + i]);
	}
}

static int emit_whole(struct ht_ranges *rs, const struct run *r, uint32_t epoch)
{
	struct ht_range *out = new_range(rs, r, epoch);
	uint32_t in_tier[HT_SPACE_TIERS] = {}, i;
	int t;

	if (!out)
		return -E2BIG;
	for (i = 0; i < r->nr; i++)
		for (t = 0; t < HT_SPACE_TIERS; t++)
			in_tier[t] += r->space->spot[r->first + i].in_tier[t];
	count_tiers(rs, out, in_tier);
	rs->info[rs->nr - 1].evidence = r->evidence;
	set_heat(out, r->expect, r->recent, r->writes);
	if (r->kind == KIND_THP && !rs->coarse)
		out->flags |= HT_RANGE_THP;
	if (!r->sampled)
		out->flags |= HT_RANGE_COLD;
	if (is_stream(r))
		out->flags |= HT_RANGE_STREAM;
	add_heat(rs, out);
	return 0;
}

static int emit_stratum(struct ht_ranges *rs, const struct run *r, uint32_t epoch, unsigned int c,
			const uint32_t *in_tier, double per_page)
{
	struct ht_range *out = new_range(rs, r, epoch);
	double share;

	if (!out)
		return -E2BIG;
	rs->info[rs->nr - 1].levels = 1U << c;
	out->level = c;
	count_tiers(rs, out, in_tier);
	share = r->expect > 0 ? per_page * out->pages / r->expect : 0;
	set_heat(out, per_page * out->pages, r->recent * share, r->writes * share);
	out->flags |= HT_RANGE_STRATUM;
	rs->strata++;
	add_heat(rs, out);
	return 0;
}

/*
 * Expected rate of a page counted c times, in counts. Robbins' estimate wants many pages: the
 * linear one takes its place in proportion to how few there are.
 */
static void estimate_rates(const struct ht_levels *h, double signal, double *est)
{
	double m = (double)h->sum / h->pages, linear, robbins, trust, n[HT_LEVELS];
	unsigned int c;

	for (c = 0; c < HT_LEVELS; c++)
		n[c] = ht_levels_pages(h, c);
	for (c = 0; c < HT_LEVELS; c++) {
		linear = m + (c - m) * signal;
		/* The last count stands for all higher ones: nothing is known above it. */
		if (c + 1 >= HT_LEVELS - 1 || !n[c]) {
			est[c] = linear;
			continue;
		}
		robbins = (c + 1.0) * n[c + 1] / n[c];
		trust = n[c + 1] / (n[c + 1] + ROBBINS_PAGES);
		est[c] = trust * robbins + (1 - trust) * linear;
	}
	ht_pool_violators(est, n, HT_LEVELS);
}

/*
 * Turns estimated counts into heat per page, est[] in place. A count is worth the same everywhere,
 * so that a page's heat does not depend on its neighbours'. Where the run's rate says less, it has
 * cooled since the pages were counted: all shrink. Where it says a little more, the counters that
 * ended at 15 stood for more; where it says much more, it is hot since its pages are counted, or
 * counted only since.
 */
static void scale_rates(const struct ht_ranges *rs, const struct run *r, const struct ht_levels *h,
			double *est)
{
	uint32_t full = ht_levels_pages(h, HT_LEVELS - 1);
	double sum = 0, per_count = rs->heat_per_count, scale;
	unsigned int c;

	for (c = 0; c < HT_LEVELS; c++)
		sum += est[c] * ht_levels_pages(h, c);
	if (sum <= 0)
		return;
	scale = r->expect / sum;
	if (r->listed > 0)
		per_count *= r->heat / r->listed;
	if (per_count > 0 && per_count < scale && per_count * FRESH > scale)
		scale = per_count;
	for (c = 0; c < HT_LEVELS; c++)
		est[c] *= scale;
	if (full && r->expect > sum * scale)
		est[HT_LEVELS - 1] += (r->expect - sum * scale) / full;
}

/*
 * The classes' factors as they apply to this run, whose heat as a whole stays what it is: the sum
 * over its pages with them is the sum without.
 */
static void class_factors(const struct ht_ranges *rs, const struct ht_levels *h, const double *est,
			  double factor[HT_PAGE_CLASSES])
{
	double heat[HT_PAGE_CLASSES] = {}, sum = 0;
	unsigned int c, k;

	for (c = 0; c < HT_LEVELS; c++) {
		heat[HT_PAGE_FAST] += est[c] * h->nr[c][0];
		heat[HT_PAGE_SLOW] += est[c] * (ht_levels_pages(h, c) - h->nr[c][0]);
	}
	for (k = 0; k < HT_PAGE_CLASSES; k++)
		sum += heat[k] * rs->pages.factor[k];
	for (k = 0; k < HT_PAGE_CLASSES; k++)
		factor[k] = sum > 0 ? rs->pages.factor[k] *
					      (heat[HT_PAGE_FAST] + heat[HT_PAGE_SLOW]) / sum
				    : 1;
}

/* Those of a count's pages that are in tiers [first, end), if there are any. */
static int emit_tiers(struct ht_ranges *rs, const struct run *r, uint32_t epoch, unsigned int c,
		      const struct ht_levels *h, double per_page, unsigned int first,
		      unsigned int end)
{
	uint32_t in_tier[HT_SPACE_TIERS] = {}, n = 0;
	unsigned int t;

	for (t = first; t < end; t++)
		n += in_tier[t] = h->nr[c][t];
	return n ? emit_stratum(rs, r, epoch, c, in_tier, per_page) : 0;
}

/* Those of the fastest tier and the others apart. */
static int emit_classes(struct ht_ranges *rs, const struct run *r, uint32_t epoch, unsigned int c,
			const struct ht_levels *h, double per_page,
			const double factor[HT_PAGE_CLASSES])
{
	int err = emit_tiers(rs, r, epoch, c, h, per_page * factor[HT_PAGE_FAST], 0, 1);

	return err
		       ?: emit_tiers(rs, r, epoch, c, h, per_page * factor[HT_PAGE_SLOW], 1,
				     HT_SPACE_TIERS);
}

static void offer_tiles(struct ht_ranges *rs, const struct run *r, const struct ht_heatmap *hm,
			const double *est)
{
	uint32_t i;

	for (i = 0; i < r->nr; i++)
		ht_page_outlook_offer(&rs->pages, hm, &r->space->spot[r->first + i], est);
}

static int emit_strata(struct ht_ranges *rs, const struct run *r, const struct ht_heatmap *hm,
		       uint32_t epoch, const struct ht_levels *h, double signal)
{
	bool differ = ht_page_outlook_differs(&rs->pages);
	double est[HT_LEVELS], sure[HT_LEVELS], factor[HT_PAGE_CLASSES];
	unsigned int c;
	int err = 0;

	estimate_rates(h, signal, est);
	/*
	 * What a page's rate may be, given its count, has est times signal for a variance, were
	 * rates gamma distributed: as sure as a Poisson count of so many.
	 */
	for (c = 0; c < HT_LEVELS; c++)
		sure[c] = est[c] / signal;
	scale_rates(rs, r, h, est);
	offer_tiles(rs, r, hm, est);
	class_factors(rs, h, est, factor);
	for (c = 0; c < HT_LEVELS && !err; c++) {
		size_t first = rs->nr;

		if (differ)
			err = emit_classes(rs, r, epoch, c, h, est[c], factor);
		else
			err = emit_tiers(rs, r, epoch, c, h, est[c], 0, HT_SPACE_TIERS);
		for (; first < rs->nr; first++)
			rs->info[first].evidence = sure[c];
	}
	return err;
}

static void drop_details(struct run *r, struct ht_heatmap *hm)
{
	uint32_t i;

	for (i = 0; i < r->nr; i++) {
		ht_sharing_drop_detail(hm, &r->space->spot[r->first + i]);
	}
}

static int emit_detail(struct ht_ranges *rs, struct run *r, struct ht_heatmap *hm, uint32_t epoch)
{
	struct ht_levels h = {};
	double signal;
	uint32_t i;

	for (i = 0; i < r->nr; i++)
		ht_levels_add(&h, hm, &r->space->spot[r->first + i]);
	ht_levels_sum(&h);
	rs->counts += h.sum;
	rs->count_squares += h.squares;
	signal = ht_levels_signal(&h);
	if (signal > 0)
		return emit_strata(rs, r, hm, epoch, &h, signal);
	/* Gone cold: one range says as much, for a line less a sample. */
	if (!h.sum && r->heat < 1)
		drop_details(r, hm);
	return emit_whole(rs, r, epoch);
}

/* Remembered for who may split it; without memory for it the list is short, no more. */
static void note_skewed(struct ht_ranges *rs, const struct run *r, uint32_t spot)
{
	size_t cap = rs->cap_skew ? 2 * rs->cap_skew : 64;
	struct ht_skewed *n;

	rs->skewed++;
	rs->range[rs->nr - 1].flags |= HT_RANGE_SKEWED;
	if (rs->nr_skew == rs->cap_skew) {
		n = reallocarray(rs->skew, cap, sizeof(*n));
		if (!n)
			return;
		rs->skew = n;
		rs->cap_skew = cap;
	}
	rs->skew[rs->nr_skew++] = (struct ht_skewed){ .space = r->space_idx, .spot = spot };
}

static void find_skewed(struct ht_ranges *rs, const struct run *r, struct ht_heatmap *hm)
{
	uint32_t i;

	for (i = 0; i < r->nr; i++) {
		const struct ht_spot *sp = &r->space->spot[r->first + i];
		struct ht_levels h = {};

		if (!sp->tile || !hm->mem.tile[sp->tile].detail)
			continue;
		ht_levels_add(&h, hm, sp);
		ht_levels_sum(&h);
		if (ht_levels_signal(&h) > SKEWED)
			note_skewed(rs, r, r->first + i);
		else if (!h.sum && sp->heat < 1)
			ht_sharing_drop_detail(hm, sp);
	}
}

/*
 * Which tiles are to be counted by page from now on. A huge page is where few of its subpages stand
 * out: it moves whole or is split, and neither is for a mild skew.
 */
static void consider_details(const struct run *r, struct ht_heatmap *hm)
{
	if (r->kind == KIND_DETAIL)
		return;
	if (is_dispersed(r) || (r->kind == KIND_PLAIN && is_dense(r)))
		give_details(r, hm);
}

static int emit(struct ht_ranges *rs, struct run *r, struct ht_heatmap *hm, uint32_t epoch)
{
	int err;

	if (!r->nr)
		return 0;
	if (r->kind == KIND_DETAIL && !rs->coarse && !rs->fixed)
		return emit_detail(rs, r, hm, epoch);
	consider_details(r, hm);
	err = emit_whole(rs, r, epoch);
	if (!err && r->kind == KIND_THP && !rs->coarse)
		find_skewed(rs, r, hm);
	return err;
}

static int build_space(struct ht_ranges *rs, struct ht_space *s, uint32_t idx,
		       struct ht_heatmap *hm, uint32_t epoch)
{
	struct run r = {};
	size_t i;
	int err;

	for (i = 0; i < s->nr; i++) {
		const struct ht_spot *sp = &s->spot[i];

		if (!ht_spot_pages(sp) && !sp->heat && !rs->coarse) {
			err = emit(rs, &r, hm, epoch);
			if (err)
				return err;
			r.nr = 0;
			continue;
		}
		if (!r.nr || !belongs(&r, hm, sp, rs)) {
			err = emit(rs, &r, hm, epoch);
			if (err)
				return err;
			r = (struct run){
				.space = s, .space_idx = idx, .first = i, .kind = kind_of(hm, sp)
			};
		}
		extend(&r, hm, sp, rs);
	}
	return emit(rs, &r, hm, epoch);
}

/*
 * Both lists are in the order of spaces and addresses. A range that kept its borders got older; one
 * that begins in what was idle is idle for longer, wherever its borders are now.
 */
static void carry_over(struct ht_ranges *rs)
{
	size_t i, j = 0, k;

	for (i = 0; i < rs->nr; i++) {
		struct ht_range *r = &rs->range[i];
		const struct ht_range *p = NULL, *around = NULL;

		while (j < rs->nr_prev &&
		       (rs->prev[j].tgid < r->tgid ||
			(rs->prev[j].tgid == r->tgid && rs->prev[j].end <= r->start)))
			j++;
		for (k = j; k < rs->nr_prev && rs->prev[k].tgid == r->tgid &&
			    rs->prev[k].start <= r->start;
		     k++) {
			if (rs->prev[k].end > r->start)
				around = &rs->prev[k];
			if (rs->prev[k].start == r->start && rs->prev[k].end == r->end) {
				p = &rs->prev[k];
				break;
			}
		}
		r->age = p ? p->age + 1 : 0;
		r->idle = r->recent ? 0 : around ? around->idle + 1 : 1;
	}
}

static int build_all(struct ht_ranges *rs, struct ht_space *const *space, size_t nr_spaces,
		     struct ht_heatmap *hm, uint32_t epoch)
{
	size_t i;
	int err;

	rs->nr = 0;
	rs->pages.nr = rs->pages.offered = 0;
	rs->heat = 0;
	rs->skewed = 0;
	rs->nr_skew = 0;
	rs->strata = 0;
	rs->counts = 0;
	rs->count_squares = 0;
	memset(rs->heat_in_tier, 0, sizeof(rs->heat_in_tier));
	for (i = 0; i < nr_spaces; i++) {
		err = build_space(rs, space[i], i, hm, epoch);
		if (err)
			return err;
	}
	return 0;
}

/* So many spots to a range, whatever they are: with that the ranges fit in any case. */
static int build_coarse(struct ht_ranges *rs, struct ht_space *const *space, size_t nr_spaces,
			struct ht_heatmap *hm, uint32_t epoch)
{
	size_t spots = 0, i;
	int err;

	if (nr_spaces >= rs->cap)
		return -E2BIG;
	for (i = 0; i < nr_spaces; i++)
		spots += space[i]->nr;
	rs->coarse = spots / (rs->cap - nr_spaces) + 1;
	err = build_all(rs, space, nr_spaces, hm, epoch);
	rs->coarse = 0;
	return err;
}

int ht_ranges_build(struct ht_ranges *rs, struct ht_space *const *space, size_t nr_spaces,
		    struct ht_heatmap *hm, uint32_t epoch)
{
	int err = ht_outlook_learn(&rs->outlook, hm);

	if (err)
		return err;
	ht_page_outlook_learn(&rs->pages, hm);
	rs->dispersion = DISPERSED_MIN;
	if (rs->count_squares > rs->counts * DISPERSED_MIN)
		rs->dispersion = (double)rs->count_squares / rs->counts;
	memcpy(rs->prev, rs->range, rs->nr * sizeof(*rs->prev));
	rs->nr_prev = rs->nr;
	do {
		err = build_all(rs, space, nr_spaces, hm, epoch);
		if (err == -E2BIG)
			rs->z = fmin(rs->z * Z_GROWTH, Z_MAX);
	} while (err == -E2BIG && rs->z < Z_MAX);
	/* Gaps, huge pages and strata part ranges at any z. */
	if (err == -E2BIG)
		err = build_coarse(rs, space, nr_spaces, hm, epoch);
	if (err)
		return err;
	if (rs->nr < rs->cap / 2 && rs->z > Z_MERGE)
		rs->z = fmax(Z_MERGE, rs->z / Z_GROWTH);
	carry_over(rs);
	return 0;
}

/* Bit i of the result: counter i of the word equals c. */
static uint64_t counters_equal(uint64_t word, unsigned int c)
{
	const uint64_t ones = 0x1111111111111111ULL;
	uint64_t x = word ^ ones * c;

	x = ~(x | x >> 1 | x >> 2 | x >> 3) & ones; /* the low bit of each counter that is equal */
	x = (x | x >> 3) & 0x0303030303030303ULL;
	x = (x | x >> 6) & 0x000f000f000f000fULL;
	x = (x | x >> 12) & 0x000000ff000000ffULL;
	return (x | x >> 24) & 0xffff;
}

void ht_ranges_pages(const struct ht_heatmap *hm, const struct ht_spot *sp, uint16_t levels,
		     uint64_t mask[HT_TILE_PAGES / 64])
{
	struct ht_detail copy;
	const struct ht_detail *d = NULL;
	unsigned int i, c, left;

	if (levels != HT_ALL_LEVELS)
		d = ht_sharing_detail(hm, sp, &copy);
	if (!d) {
		memset(mask, levels & 1 ? 0xff : 0, HT_TILE_PAGES / 8);
		return;
	}
	memset(mask, 0, HT_TILE_PAGES / 8);
	for (left = levels; left; left &= left - 1) {
		c = __builtin_ctz(left);
		for (i = 0; i < HT_TILE_WORDS; i++)
			mask[i / 4] |= counters_equal(d->nib[i], c) << (i % 4 * 16);
	}
}
