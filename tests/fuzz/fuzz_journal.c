// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The journal that a killed loader left, which the next one reads and undoes. Paths outside of the
 * test's directory are noted and never opened.
 */
#include "fuzz.h"

#include <errno.h>
#include <limits.h>
#include <sys/file.h>

static bool ours(const char *path)
{
	bool below = !strncmp(path, fuzz_dir, strlen(fuzz_dir));

	/* The journal is obeyed with root's rights: what it may name is checked before this. */
	FUZZ_ASSERT(!strstr(path, "/../"));
	FUZZ_ASSERT(below || !strncmp(path, "/sys/", 5) || !strncmp(path, "/proc/sys/", 10));
	errno = EACCES;
	return below;
}

static int guarded_open(const char *path, int flags)
{
	return ours(path) ? open(path, flags) : -1;
}

static int guarded_unlink(const char *path)
{
	return ours(path) ? unlink(path) : -1;
}

static int guarded_lstat(const char *path, struct stat *st)
{
	return ours(path) ? lstat(path, st) : -1;
}

/* What is on disk when is not what this is about, and takes most of the time. */
#define fsync(fd) 0
#define open(...) guarded_open(__VA_ARGS__)
#define unlink(path) guarded_unlink(path)
#define lstat(path, st) guarded_lstat(path, st)
#include "../../loader/journal.c"
#undef open
#undef unlink
#undef lstat

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int value = -1;
	static char prefix[96];
	struct ht_journal *j;
	size_t undone = 0;
	int fd = fuzz_file("journal");

	if (value < 0) {
		value = fuzz_file("p/value");
		snprintf(prefix, sizeof(prefix), "%s/p", fuzz_dir);
	}
	/* The directory has another name in each run: the input says @ for it. */
	if (ftruncate(fd, 0) || write(fd, "hypertier-journal 1\n", 20) != 20)
		abort();
	for (size_t i = 0, from = 0; i <= size; i++) {
		if (i < size && data[i] != '@')
			continue;
		if (write(fd, data + from, i - from) < 0 ||
		    (i < size && write(fd, fuzz_dir, strlen(fuzz_dir)) < 0))
			abort();
		from = i + 1;
	}
	close(fd);
	if (ht_journal_open_allow(&j, fuzz_dir, prefix, &undone))
		return 0;
	/* Undone or told, it is gone: the next start must not do it again. */
	FUZZ_ASSERT(access(fuzz_path("journal"), F_OK));
	FUZZ_ASSERT(undone <= STEPS_MAX && !j->nr);
	ht_journal_close(j);
	return 0;
}
