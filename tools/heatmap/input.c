// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Where the events come from: a file, or a loader that runs. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <json-c/json.h>

#include <hypertier/heat.h>
#include <hypertier/ops.h>
#include <hypertier/stats.h>

#include "control.h"
#include "heatmap.h"
#include "log.h"
#include "playback.h"
#include "record.h"
#include "source.h"

/* ---- a recording ---- */

struct recording {
	struct hm_input in; /* first */
	struct ht_playback play;
};

static int recording_next(struct hm_input *in, struct hm_event *ev)
{
	struct recording *r = (struct recording *)in;
	struct ht_inject_rec rec;
	int kind = ht_playback_next(&r->play, &rec);

	if (kind < 0 || kind == HT_PLAY_END) {
		in->truncated = r->play.truncated;
		return kind < 0 ? kind : HM_END;
	}
	memset(ev, 0, sizeof(*ev));
	if (kind == HT_PLAY_EPOCH) {
		ev->ns = rec.addr;
		return HM_EPOCH;
	}
	ev->tgid = rec.tgid;
	ev->start = rec.addr & ~(HT_TILE_SIZE - 1);
	ev->end = ev->start + HT_TILE_SIZE;
	if (kind == HT_PLAY_PLACE) {
		ev->pages = rec.lat;
		ev->fast = ht_playback_fast(&rec);
		return HM_PLACE;
	}
	/* DAMON's samples have a weight. */
	ev->heat = r->play.hdr.source == HT_SRC_DAMON ? rec.lat + 1 : 1;
	return HM_HEAT;
}

static int recording_rewind(struct hm_input *in)
{
	return ht_playback_rewind(&((struct recording *)in)->play);
}

static int recording_tiles(struct hm_input *in, uint64_t **key, size_t *nr)
{
	return ht_playback_tiles(&((struct recording *)in)->play, true, key, nr);
}

static void recording_close(struct hm_input *in)
{
	ht_playback_close(&((struct recording *)in)->play);
	free(in);
}

int hm_open_recording(struct hm_input **in, const char *path)
{
	struct recording *r = calloc(1, sizeof(*r));
	const char *base = strrchr(path, '/');
	int err;

	if (!r)
		return -ENOMEM;
	err = ht_playback_open(&r->play, path);
	if (err) {
		free(r);
		return err;
	}
	r->in = (struct hm_input){ .next = recording_next,
				   .rewind = recording_rewind,
				   .tiles = recording_tiles,
				   .close = recording_close };
	snprintf(r->in.title, sizeof(r->in.title), "%s, samples of %s", base ? base + 1 : path,
		 ht_source_name(r->play.hdr.source));
	*in = &r->in;
	return 0;
}

/* ---- a loader that runs ---- */

#define ASK_MS 3000
#define RETRIES 4
#define SPANS_MAX (4U << 20) /* 224 MiB */
#define SAY_S 2.0

struct span {
	uint64_t start, end;
	uint32_t tgid;
	float heat, pages, fast;
};

struct frame {
	size_t first; /* its spans end where the next frame's begin */
	uint64_t ns;
};

struct live {
	struct hm_input in; /* first */
	struct span *span;
	size_t nr_spans, cap_spans;
	struct frame *frame;
	size_t nr_frames, cap_frames;
	struct ht_range *ranges; /* the pinned map */
	int64_t pid;
	/* where the reading is: a frame's CLEAR, then HEAT and PLACE of each span, then EPOCH */
	size_t at_frame, at_span;
	bool cleared, placed;
};

struct answer {
	int64_t pid, epoch, ranges;
	uint64_t epoch_ms;
	char pin_dir[128], policy[16], source[24];
};

static int64_t number(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;
}

static void text(struct json_object *o, const char *key, char *buf, size_t size)
{
	struct json_object *v;
	const char *s = json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : NULL;

	snprintf(buf, size, "%s", s ? s : "");
}

static int ask(const char *dir, struct answer *a)
{
	struct json_object *req = json_object_new_object(), *answer = NULL, *s;
	int err;

	json_object_object_add(req, "op", json_object_new_string("status"));
	err = ht_control_ask(dir, req, ASK_MS, &answer);
	if (!err && !json_object_object_get_ex(answer, "status", &s))
		err = -EBADMSG;
	if (!err) {
		*a = (struct answer){ .pid = number(s, "pid"),
				      .epoch = number(s, "epoch"),
				      .ranges = number(s, "ranges"),
				      .epoch_ms = number(s, "epoch_ms") };
		text(s, "pin_dir", a->pin_dir, sizeof(a->pin_dir));
		text(s, "policy", a->policy, sizeof(a->policy));
		text(s, "source", a->source, sizeof(a->source));
	}
	json_object_put(req);
	json_object_put(answer);
	return err;
}

static int add_span(struct live *l, const struct ht_range *r)
{
	struct span *s = l->nr_spans ? &l->span[l->nr_spans - 1] : NULL;
	size_t cap = l->cap_spans ? l->cap_spans * 2 : 4096;

	/* The map may be half written: a range that cannot be is left out. */
	if (r->start >= r->end || r->end > HT_TRACE_ADDRS || !r->tgid ||
	    r->tgid >= HT_TRACE_TGIDS || r->fast_pages > r->pages)
		return 0;
	/* Strata of one run cover the same addresses. */
	if (s && l->nr_spans > l->frame[l->nr_frames - 1].first && s->tgid == r->tgid &&
	    s->start == r->start && s->end == r->end) {
		s->heat += r->heat;
		s->pages += r->pages;
		s->fast += r->fast_pages;
		return 0;
	}
	if (l->nr_spans == SPANS_MAX)
		return -E2BIG;
	if (l->nr_spans == l->cap_spans) {
		s = reallocarray(l->span, cap, sizeof(*s));
		if (!s)
			return -ENOMEM;
		l->span = s;
		l->cap_spans = cap;
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): nr_spans below cap_spans: it is there */
	l->span[l->nr_spans++] = (struct span){ .start = r->start,
						.end = r->end,
						.tgid = r->tgid,
						.heat = r->heat,
						.pages = r->pages,
						.fast = r->fast_pages };
	return 0;
}

static int begin_frame(struct live *l, uint64_t ns)
{
	size_t cap = l->cap_frames ? l->cap_frames * 2 : 256;
	struct frame *f;

	if (l->nr_frames == l->cap_frames) {
		f = reallocarray(l->frame, cap, sizeof(*f));
		if (!f)
			return -ENOMEM;
		l->frame = f;
		l->cap_frames = cap;
	}
	l->frame[l->nr_frames++] = (struct frame){ .first = l->nr_spans, .ns = ns };
	return 0;
}

/* The loader answers between two epochs: if none has passed in between, what was read is one's. */
static int take_frame(struct live *l, const char *dir, uint64_t ns)
{
	struct answer before, after;
	int err, tries;
	int64_t i;

	err = begin_frame(l, ns);
	for (tries = 0; !err && tries < RETRIES; tries++) {
		l->nr_spans = l->frame[l->nr_frames - 1].first;
		err = ask(dir, &before);
		if (err)
			break;
		if (before.pid != l->pid)
			return -ESRCH;
		for (i = 0; !err && i < before.ranges && i < HT_RANGES_MAX; i++) {
			struct ht_range copy = l->ranges[i];

			err = add_span(l, &copy);
		}
		err = err ?: ask(dir, &after);
		if (!err && after.epoch == before.epoch)
			return 0;
	}
	if (err)
		l->nr_frames--;
	return err;
}

static int map_ranges(struct live *l, const char *pin_dir)
{
	size_t len = (size_t)HT_RANGES_MAX * sizeof(struct ht_range);
	char path[160];
	void *p;
	int fd;

	if (!*pin_dir) {
		pr_err("the loader pins nothing (--no-pin): its ranges cannot be read");
		return -ENOENT;
	}
	snprintf(path, sizeof(path), "%s/ranges", pin_dir);
	fd = bpf_obj_get(path);
	if (fd < 0) {
		pr_err("cannot open %s: %s", path, strerror(errno));
		return -errno;
	}
	p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED) {
		pr_err("cannot map %s: %s", path, strerror(errno));
		return -errno;
	}
	l->ranges = p;
	return 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* A loader that ends in the middle leaves a shorter picture. */
static int watch(struct live *l, const char *dir, double seconds, double interval,
		 const volatile int *stop)
{
	double start = now(), next = start, said = start, t;
	int err = 0;

	while (!err && !*stop && next - start < seconds) {
		t = next - now();
		if (t > 0)
			poll(NULL, 0, t * 1000 + 0.5);
		if (*stop)
			break;
		err = take_frame(l, dir, interval * 1e9);
		if (err == -ETIMEDOUT) {
			pr_info("the loader is busy: a gap of one column");
			err = 0;
		}
		next += interval;
		if (next < now())
			next = now();
		if (now() - said >= SAY_S) {
			said = now();
			pr_info("%zu columns, %.0f of %.0f s", l->nr_frames, said - start, seconds);
		}
	}
	if (err == -E2BIG)
		pr_warn("stopped early: %u ranges are as many as fit", SPANS_MAX);
	else if (err)
		pr_warn("stopped early: the loader has ended");
	return l->nr_frames ? 0 : err ?: -ENODATA;
}

static int live_next(struct hm_input *in, struct hm_event *ev)
{
	struct live *l = (struct live *)in;
	const struct span *s;
	size_t end;

	if (l->at_frame == l->nr_frames)
		return HM_END;
	memset(ev, 0, sizeof(*ev));
	if (!l->cleared) {
		l->cleared = true;
		l->at_span = l->frame[l->at_frame].first;
		return HM_CLEAR;
	}
	end = l->at_frame + 1 < l->nr_frames ? l->frame[l->at_frame + 1].first : l->nr_spans;
	if (l->at_span == end) {
		ev->ns = l->frame[l->at_frame++].ns;
		l->cleared = false;
		return HM_EPOCH;
	}
	s = &l->span[l->at_span];
	*ev = (struct hm_event){ .tgid = s->tgid,
				 .start = s->start,
				 .end = s->end,
				 .heat = s->heat,
				 .pages = s->pages,
				 .fast = s->fast };
	l->placed = !l->placed;
	l->at_span += !l->placed;
	return l->placed ? HM_PLACE : HM_HEAT;
}

static int live_rewind(struct hm_input *in)
{
	struct live *l = (struct live *)in;

	l->at_frame = l->at_span = 0;
	l->cleared = l->placed = false;
	return 0;
}

/* What repeats is thrown out whenever the memory is full; most of it is never touched. */
static int live_tiles(struct hm_input *in, uint64_t **key, size_t *nr)
{
	struct live *l = (struct live *)in;
	size_t cap = 2 * (size_t)HT_PLAYBACK_TILES, i, n = 0;
	uint64_t *k, va;

	k = mmap(NULL, cap * sizeof(*k), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (k == MAP_FAILED)
		return -ENOMEM;
	for (i = 0; i < l->nr_spans; i++) {
		for (va = l->span[i].start; va < l->span[i].end; va += HT_TILE_SIZE) {
			if (n == cap)
				n = ht_playback_distinct(k, n);
			if (n == cap)
				break; /* 16 TiB: the rest is not shown */
			k[n++] = HT_KEY(l->span[i].tgid, va);
		}
	}
	n = ht_playback_distinct(k, n);
	*key = malloc((n + 1) * sizeof(*k));
	if (*key)
		memcpy(*key, k, n * sizeof(*k));
	munmap(k, cap * sizeof(*k));
	*nr = n;
	return *key ? 0 : -ENOMEM;
}

static void live_close(struct hm_input *in)
{
	struct live *l = (struct live *)in;

	if (l->ranges)
		munmap(l->ranges, (size_t)HT_RANGES_MAX * sizeof(struct ht_range));
	free(l->span);
	free(l->frame);
	free(l);
}

static int no_answer(const char *dir, int err)
{
	if (err == -ENOENT || err == -ECONNREFUSED || err == -ECONNRESET)
		pr_err("no loader runs in %s: start one (hypertier-load POLICY), name another with "
		       "--instance, or give a recording",
		       dir);
	else if (err == -EACCES)
		pr_err("may not speak to the loader in %s: only root and its own user may", dir);
	else
		pr_err("the loader in %s does not answer: %s", dir, strerror(-err));
	return err;
}

int hm_open_live(struct hm_input **in, const char *dir, double seconds, double interval,
		 const volatile int *stop)
{
	struct live *l = calloc(1, sizeof(*l));
	struct answer a;
	int err;

	if (!l)
		return -ENOMEM;
	l->in = (struct hm_input){
		.next = live_next, .rewind = live_rewind, .tiles = live_tiles, .close = live_close
	};
	err = ask(dir, &a);
	if (err) {
		no_answer(dir, err);
		goto out;
	}
	l->pid = a.pid;
	snprintf(l->in.title, sizeof(l->in.title), "policy %s, samples of %s", a.policy, a.source);
	err = map_ranges(l, a.pin_dir);
	err = err ?: watch(l, dir, seconds, interval > 0 ? interval : a.epoch_ms / 1e3, stop);
	if (!err) {
		*in = &l->in;
		return 0;
	}
out:
	live_close(&l->in);
	return err;
}
