// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A policy's section of knobs and assignments to them. Input: a byte, so many times 152 bytes of
 * section (the last one may be short), then one assignment a line, a dozen at most. What holds the
 * section in libbpf's place are the few functions below; fuzz_object.c has the real one.
 */
#include "fuzz.h"

#include <json-c/json.h>

#include "knobs.h"

struct bpf_map {
	char *bytes;
	size_t size;
};

/* All knobs are checked before and after each: thousands of empty lines would only take time. */
#define ASSIGNMENTS 12

static struct bpf_map section;

/* Their prototypes differ between versions of libbpf: bound by symbol. */
const char *fuzz_map_name(const void *m) __asm__("bpf_map__name");
void *fuzz_next_map(const void *obj, const void *m) __asm__("bpf_object__next_map");
void *fuzz_initial_value(void *m, size_t *size) __asm__("bpf_map__initial_value");
int fuzz_set_initial_value(void *m, const void *data,
			   size_t size) __asm__("bpf_map__set_initial_value");
int fuzz_map_fd(const void *m) __asm__("bpf_map__fd");

const char *fuzz_map_name(const void *m)
{
	return ".rodata.knobs";
}

void *fuzz_next_map(const void *obj, const void *m)
{
	return m ? NULL : &section;
}

void *fuzz_initial_value(void *m, size_t *size)
{
	*size = section.size;
	return section.bytes;
}

int fuzz_set_initial_value(void *m, const void *data, size_t size)
{
	FUZZ_ASSERT(size == section.size);
	memcpy(section.bytes, data, size);
	return 0;
}

int fuzz_map_fd(const void *m)
{
	return -1;
}

static void check(void)
{
	const struct ht_knob *k;
	size_t nr, i;

	if (ht_knobs_list(NULL, &k, &nr)) {
		FUZZ_ASSERT(!k && !nr);
		return;
	}
	FUZZ_ASSERT(nr <= HT_KNOBS_MAX && nr * sizeof(*k) == section.size);
	for (i = 0; i < nr; i++)
		FUZZ_ASSERT(strnlen(k[i].name, sizeof(k[i].name)) < sizeof(k[i].name) &&
			    k[i].min <= k[i].value && k[i].value <= k[i].max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *null;
	struct fuzz_input in;
	size_t len, nr = 0;

	if (!size)
		return 0;
	if (!null)
		null = fopen("/dev/null", "w");
	len = data[0] * sizeof(struct ht_knob);
	len = len < size - 1 ? len : size - 1;
	section.size = len;
	section.bytes = malloc(len + !len);
	memcpy(section.bytes, data + 1, len);
	in = (struct fuzz_input){ data + 1 + len, size - 1 - len };
	check();
	do {
		char *assignment = fuzz_text(fuzz_cut(&in, '\n'));

		ht_knobs_set(NULL, assignment);
		check();
		free(assignment);
	} while (in.size && ++nr < ASSIGNMENTS);
	ht_knobs_print(null, NULL);
	json_object_put(ht_knobs_json(NULL));
	free(section.bytes);
	return 0;
}
