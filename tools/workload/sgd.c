// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Training a linear model by stochastic gradient descent on sparse data, as in click prediction:
 * the samples are most of the memory and are streamed, epoch after epoch, while the weights are
 * gathered and updated at random, a few of them all the time, as features follow a power law.
 * Weights come last in memory, behind the samples that filled the fast node.
 *
 * Weights are fixed-point integers, so that the sum of all updates must equal the sum of all
 * weights to the last bit, plain and weighted by place; samples are a function of the seed and
 * their place.
 */
#include "workload.h"

#define NONZEROS 30
#define ONE (1 << 16) /* 1.0 in fixed point */

struct sample {
	int32_t label; /* fixed point */
	uint32_t pad;
	struct {
		uint32_t feature;
		int32_t value;
	} x[NONZEROS];
};

struct sgd {
	struct wl w;
	uint64_t steps, weights_mib, nr_samples, done;
	uint32_t nr_weights;
	struct sample *sample;
	int32_t *weight;
	uint64_t sum, weighted; /* of all updates */
	double error, first_error;
};

static void make_sample(const struct sgd *s, uint64_t i, struct sample *out)
{
	uint64_t rng = wl_seed(s->w.seed, i);
	int64_t label = 0;

	/* In integers, as emulated floating point is slow: the fourth power of a uniform number. */
	for (unsigned int k = 0; k < NONZEROS; k++) {
		uint64_t r = wl_rand(&rng), u = r >> 32, rank;

		u = u * u >> 32;
		u = u * u >> 32;
		rank = u * s->nr_weights >> 32;
		/* Popular features are spread over the weights. */
		out->x[k].feature = (uint64_t)(uint32_t)(rank * 0x9e3779b1u) * s->nr_weights >> 32;
		out->x[k].value = (int32_t)(r & 0xffff) - 0x8000;
		label += out->x[k].value * (int64_t)(out->x[k].feature * 0x85ebca6bu >> 23) / 512;
	}
	out->label = label / 8;
	out->pad = 0;
}

static void setup(struct sgd *s)
{
	s->nr_weights = s->weights_mib * WL_MIB / sizeof(*s->weight);
	s->nr_samples = (s->w.size_mib - s->weights_mib) * WL_MIB / sizeof(struct sample);
	s->sample = wl_alloc(&s->w, s->nr_samples * sizeof(struct sample));
	s->weight = wl_alloc(&s->w, s->nr_weights * sizeof(*s->weight));
	for (uint64_t i = 0; i < s->nr_samples; i++)
		make_sample(s, i, &s->sample[i]);
	memset(s->weight, 0, s->nr_weights * sizeof(*s->weight));
	wl_extra(&s->w, "\"samples\":%" PRIu64 ",\"weights\":%u,", s->nr_samples, s->nr_weights);
}

/* One that was damaged must not lead out of the weights. */
static inline uint32_t feature_at(const struct sgd *s, const struct sample *a, unsigned int k)
{
	return a->x[k].feature < s->nr_weights ? a->x[k].feature : 0;
}

static double train(struct sgd *s, const struct sample *a)
{
	int64_t predicted = 0, err;
	uint64_t sum = 0, weighted = 0;

	for (unsigned int k = 0; k < NONZEROS; k++)
		predicted += (int64_t)s->weight[feature_at(s, a, k)] * a->x[k].value / ONE;
	err = a->label - predicted;
	for (unsigned int k = 0; k < NONZEROS; k++) {
		uint32_t f = feature_at(s, a, k);
		int32_t step = err * a->x[k].value / ONE / NONZEROS;

		s->weight[f] += step;
		sum += (uint64_t)(int64_t)step;
		weighted += (uint64_t)(int64_t)step * f;
	}
	s->sum += sum;
	s->weighted += weighted;
	return (double)err / ONE * ((double)err / ONE);
}

/* A pass over the samples, a phase of its own; returns false when it is the last. */
static bool epoch(struct sgd *s)
{
	double error = 0;
	uint64_t i;

	for (i = 0; i < s->nr_samples && (s->w.seconds || s->done < s->steps); i++) {
		error += train(s, &s->sample[i]);
		s->done++;
		if (i % 1024 == 0 && !wl_tick(&s->w, s->done))
			break;
	}
	if (i)
		s->error = error / i;
	return i == s->nr_samples;
}

static void run(struct sgd *s)
{
	wl_start(&s->w);
	for (unsigned int e = 1; epoch(s); e++) {
		s->first_error = e == 1 ? s->error : s->first_error;
		wl_phase(&s->w, e, s->done);
	}
	wl_stop(&s->w, s->done);
	wl_extra(&s->w, "\"first_error\":%.6g,\"last_error\":%.6g,", s->first_error, s->error);
}

static bool verify(const struct sgd *s)
{
	uint64_t sum = 0, weighted = 0, bad = 0;
	struct sample want;

	for (uint64_t i = 0; i < s->nr_samples; i++) {
		make_sample(s, i, &want);
		bad += memcmp(&want, &s->sample[i], sizeof(want)) != 0;
	}
	for (uint32_t i = 0; i < s->nr_weights; i++) {
		sum += (uint64_t)(int64_t)s->weight[i];
		weighted += (uint64_t)(int64_t)s->weight[i] * i;
	}
	/* A weight is 32 bits wide: what overflowed is missing from both sums alike only by chance.
	 */
	if (bad || sum != s->sum || weighted != s->weighted)
		fprintf(stderr, "sgd: %" PRIu64 " wrong samples, weights %s\n", bad,
			sum == s->sum && weighted == s->weighted ? "ok" : "wrong");
	return !bad && sum == s->sum && weighted == s->weighted;
}

static const struct opt options[] = {
	OPT_NUMBER(struct sgd, steps, "steps", 'n', "N", 1, 1e15,
		   "samples to train on, in as many passes as it takes (1000000)"),
	OPT_NUMBER(struct sgd, weights_mib, "weights", 0, "MIB", 1, 8192,
		   "of the memory for weights (64)"),
	{}
};

static const char doc[] =
	"Stochastic gradient descent on sparse data; an op is a sample. One thread.";

int main(int argc, char **argv)
{
	static struct sgd s = { .w = { .name = "sgd", .size_mib = 700 },
				.steps = 1000000,
				.weights_mib = 64 };

	wl_parse(&s.w, argc, argv, options, &s, doc);
	if (s.weights_mib >= s.w.size_mib)
		wl_usage(&s.w, "--weights must be less than --size");
	s.w.threads = 1;
	setup(&s);
	wl_placement(&s.w, "samples",
		     wl_fast_range(&s.w, s.sample, s.nr_samples * sizeof(struct sample)));
	wl_placement(&s.w, "weights",
		     wl_fast_range(&s.w, s.weight, s.nr_weights * sizeof(*s.weight)));
	run(&s);
	return wl_finish(&s.w, verify(&s));
}
