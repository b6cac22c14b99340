/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The decision: how much of each tier every VM should hold, and what to ask of it now. Pure code,
 * no clocks and no files: the daemon, the simulator and the unit tests run the same.
 *
 * Three amounts matter for a VM in a tier. Its guarantee is always its own. Its fair share is what
 * weighted max-min division gives it when everybody wants everything: clamp(level * weight,
 * guarantee, limit), with one level for all. Its demand is the size beyond which it gains nothing
 * to speak of, from its reports. A VM always gets min(demand, fair share); a report can lower that,
 * but never raise it, so whatever a guest claims, the others keep their fair shares. What is left
 * goes to those that want more than their fair share: by max-min again, or by marginal benefit.
 * What nobody wants is divided by weight, so that no memory lies idle.
 */
#ifndef HT_PROVISION_FLEET_H
#define HT_PROVISION_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hypertier/report.h>

#define PV_TIERS 2 /* 0 = fast, 1 = slow */
#define PV_UNKNOWN UINT64_MAX
#define PV_CONFIRM_MAX 16

enum pv_mode { PV_FAIR, PV_BENEFIT };

/* What the pool is divided by; times in ms. */
struct pv_rules {
	enum pv_mode mode;
	double hysteresis;	 /* of the target: smaller changes wait */
	unsigned int settle;	 /* ... for so many decisions; 0 = for ever */
	double worth;		 /* memory counts as wanted if so hot against the VM's average */
	unsigned int confirm;	 /* reports in a row that ask for less until a demand falls */
	unsigned int patience;	 /* decisions a VM must be above its target before it shrinks */
	uint64_t shrink_timeout; /* without any progress */
	uint64_t grow_timeout;
	uint64_t backoff;      /* after the first time-out; doubles, up to 64 times */
	uint64_t report_stale; /* age at which a report counts no more */
};

/* One VM in one tier. */
struct pv_share {
	/* policy */
	uint64_t guarantee, limit;
	uint64_t loan; /* held above the fair share at most */
	double weight; /* its own times its class's price */
	uint64_t rate; /* bytes per second, both ways */
	/* the device, from the hypervisor */
	uint64_t size, requested, max, block;
	/* wishes, from reports */
	uint64_t demand;			     /* PV_UNKNOWN: never told */
	uint64_t recent[PV_CONFIRM_MAX];	     /* what reports asked for, the newest first */
	unsigned int nr_recent;
	struct ht_guest_point curve[HT_GUEST_CURVE]; /* concave, x = device size */
	unsigned int nr_curve;
	double value; /* factor on the curve's slope, 1 = the shape alone counts */
	/* standing */
	bool deaf;     /* cannot be asked now: what it holds is out of the pool */
	bool fixed;    /* paused by the operator: the same, by choice */
	bool drain;    /* back to the guarantee, no growth */
	uint64_t need; /* not to be shrunk below: what the VM's total memory takes of this tier */
	unsigned int strikes;
	uint64_t backoff_until; /* of a VM that did not do what it was asked */
	uint64_t progress_at;	/* when its size last moved, or it was asked */
	uint64_t last_size;
	unsigned int above; /* decisions in a row above its target */
	unsigned int lacks; /* decisions in a row without all that it wants and should have */
	bool refused;	    /* this decision found it in default */
	uint64_t step;	    /* of the rate, not used up yet since the last whole decision */
	/* the decision */
	uint64_t fair, useful, target;
	uint64_t next; /* requested-size to ask for, = requested: nothing to do */
};

struct pv_pool {
	uint64_t capacity;
	uint64_t reserve; /* kept free beside the guarantees */
	/* results */
	uint64_t held, free; /* free: the host may grant it at once */
	uint64_t promised;   /* sum of max(held, guarantee) */
	uint64_t stuck;	     /* held by VMs in default or out of reach, above their guarantee */
};

struct pv_work; /* scratch memory */
struct pv_work *pv_work_new(size_t nr);
void pv_work_free(struct pv_work *w);

/* What the hypervisor may already have given away: the size follows requests in both directions. */
static inline uint64_t pv_held(const struct pv_share *s)
{
	return s->size > s->requested ? s->size : s->requested;
}

/*
 * Sets fair, useful, target and next of all nr shares of one tier. ms is the time since the last
 * decision, now any monotonic clock. Never plans beyond the capacity, nor below a guarantee.
 */
void pv_decide(struct pv_work *w, struct pv_share *const *share, size_t nr, struct pv_pool *pool,
	       const struct pv_rules *rules, uint64_t now, uint64_t ms);

/*
 * Between two decisions: memory that came back goes to those that lack it, in the same way. Takes
 * nothing from anybody, and leaves the rate as it was allowed last.
 */
void pv_hand_on(struct pv_work *w, struct pv_share *const *share, size_t nr, struct pv_pool *pool,
		const struct pv_rules *rules, uint64_t now);

/* The targets alone (divide.c). */
void pv_divide(struct pv_work *w, struct pv_share *const *share, size_t nr,
	       const struct pv_pool *pool, const struct pv_rules *rules, uint64_t now);

/*
 * Weighted max-min: out[i] = clamp(level * weight[i], lo[i], hi[i]) with the level at which they
 * sum to total, or the sums' bounds where there is no such level.
 */
void pv_max_min(struct pv_work *w, size_t nr, const double *weight, const uint64_t *lo,
		const uint64_t *hi, uint64_t total, uint64_t *out);

/* Can a VM with this guarantee join? 0, or how many bytes of the capacity are missing. */
uint64_t pv_admit(const struct pv_pool *pool, const uint64_t *guarantee, size_t nr,
		  uint64_t newcomer);

#endif
