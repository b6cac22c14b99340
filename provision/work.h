/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Scratch memory of a decision, allocated once for a number of VMs. */
#ifndef HT_PROVISION_WORK_H
#define HT_PROVISION_WORK_H

#include "fleet.h"

struct pv_bend { /* where a VM's share starts or stops to follow the level */
	double level, slope;
};

struct pv_segment { /* of a VM's curve: so much more memory at so much benefit a byte */
	double slope;
	uint64_t bytes;
	uint32_t vm;
};

struct pv_work {
	size_t nr;
	struct pv_bend *bend;	    /* 2 nr */
	struct pv_segment *segment; /* HT_GUEST_CURVE nr */
	double *weight;
	uint64_t *lo, *hi, *out, *cap;
};

#endif
