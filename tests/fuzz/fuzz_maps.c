// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* /proc/PID/maps, whose paths any process chooses, and the address space made of it. */
#include "fuzz.h"

#include "space.h"
#include "targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ht_vmas vmas;
	static char root[96];
	static int fd = -1;
	struct ht_roots roots = { .sys = root, .proc = root };
	size_t i;

	if (fd < 0) {
		fd = fuzz_file("1/maps");
		strcpy(root, fuzz_dir);
	}
	fuzz_put(fd, data, size);
	if (ht_vmas_read(&vmas, &roots, 1))
		return 0;
	for (i = 0; i < vmas.nr; i++) {
		const struct ht_vma *v = &vmas.vma[i];

		FUZZ_ASSERT(v->start < v->end && !((v->start | v->end) & 4095));
		FUZZ_ASSERT(!i || vmas.vma[i - 1].end <= v->start);
		FUZZ_ASSERT(ht_vmas_find(&vmas, v->start) == v);
	}
	return 0;
}
