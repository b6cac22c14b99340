// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The loader's configuration file, down to the values of its options. */
#include "fuzz.h"

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct ht_config c;

	if (fd < 0)
		fd = fuzz_file("conf");
	fuzz_put(fd, data, size);
	ht_config_init(&c);
	if (!ht_config_file(&c, fuzz_path("conf"))) {
		FUZZ_ASSERT(c.epoch_ms >= 10 && c.epoch_ms <= 3600000);
		FUZZ_ASSERT(c.budget_bytes <= 1ULL << 60 && c.heat_bytes <= 1ULL << 60);
		FUZZ_ASSERT(c.sel.rss_floor <= 1ULL << 60);
		FUZZ_ASSERT(c.stats_s <= 86400 && c.duration_s <= 1U << 30);
		FUZZ_ASSERT(c.source_opts.period <= 1ULL << 40 && c.source_opts.ldlat <= 65535);
		FUZZ_ASSERT(c.burst >= 1 && c.burst <= 64);
		FUZZ_ASSERT(c.verbose >= 0 && c.verbose <= 3);
		FUZZ_ASSERT(c.nr_set <= size && c.sel.nr_pid <= size && c.sel.nr_comm <= size);
		FUZZ_ASSERT(!c.instance || strlen(c.instance) <= 32);
	}
	ht_config_free(&c);
	return 0;
}
