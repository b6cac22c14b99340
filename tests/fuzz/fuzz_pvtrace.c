// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* A fleet's trace for hypertier-provision simulate. */
#include "fuzz.h"

#include <math.h>

#include "../../provision/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct pv_sim_opts o = { .mode = -1, .steps = 3 };
	struct pv_sim_result r;

	if (fd < 0)
		fd = fuzz_file("trace");
	fuzz_put(fd, data, size);
	o.trace = fuzz_path("trace");
	if (!pv_simulate(&o, &r))
		FUZZ_ASSERT(r.vms && isfinite(r.share) && isfinite(r.jain) && isfinite(r.used));
	return 0;
}
