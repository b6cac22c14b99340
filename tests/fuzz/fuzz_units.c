// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Sizes, times, lists of numbers and names of sources, as they stand on command lines and in files.
 */
#include "fuzz.h"

#include "../../provision/config.h"
#include "source.h"
#include "sysfs.h"
#include "units.h"

#define LIST_MAX 1024

struct seen {
	unsigned int nr;
};

static int take(unsigned int n, void *arg)
{
	struct seen *s = arg;

	FUZZ_ASSERT(n < LIST_MAX);
	return ++s->nr > 4 * LIST_MAX ? -1 : 0;
}

/* What the harness has to find, or it finds nothing: tests/fuzz/run builds this file with each. */
static void planted(const char *text, uint64_t bytes)
{
#if defined(FUZZ_PLANTED_OVERFLOW)
	char *buf = malloc(8);

	if (buf && bytes == 3ULL << 30)
		buf[8 + strlen(text)] = 'x';
	free(buf);
#elif defined(FUZZ_PLANTED_LEAK)
	char *volatile lost; /* or the compiler sees that nobody uses it */

	if (bytes == 3ULL << 30) {
		lost = strdup(text);
		lost = NULL;
		(void)lost;
	}
#endif
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text((struct fuzz_input){ data, size });
	struct seen seen = { 0 };
	unsigned int ms = 0;
	uint64_t bytes = 0;

	if (!ht_parse_size(text, 1, &bytes)) {
		FUZZ_ASSERT(bytes <= 1ULL << 60);
		planted(text, bytes);
	}
	if (!ht_parse_size(text, 1 << 20, &bytes))
		FUZZ_ASSERT(bytes <= 1ULL << 60);
	if (!pv_parse_size(text, &bytes))
		FUZZ_ASSERT(bytes <= HT_GUEST_BYTES_MAX);
	if (!ht_parse_ms(text, &ms))
		FUZZ_ASSERT(ms <= 3600000);
	ht_parse_list(text, LIST_MAX, take, &seen);
	ht_source_parse(text);
	free(text);
	return 0;
}
