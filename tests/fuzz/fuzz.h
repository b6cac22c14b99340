/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * For the fuzz targets: one file per parser, run by tests/fuzz/run. A target links the sanitized
 * archives, and its own definitions come first: what it defines itself (-z muldefs) takes the place
 * of what would leave the process.
 */
#ifndef HT_FUZZ_H
#define HT_FUZZ_H

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hypertier/report.h>

#include "log.h"
#include "sysfs.h"

#define FUZZ_UNUSED __attribute__((unused))

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold of everything that was taken. */
#define FUZZ_ASSERT(c)                                                                             \
	do {                                                                                       \
		if (!(c)) {                                                                        \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #c);     \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Messages are made, so that a bad argument shows, and go nowhere. */
void ht_log_set_level(enum ht_log_level level)
{
}

enum ht_log_level ht_log_get_level(void)
{
	return HT_LOG_TRACE;
}

void ht_log(enum ht_log_level level, const char *fmt, ...)
{
	static char line[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
}

/* ---- files: a directory in memory, and files that are kept open ---- */

static char fuzz_dir[64];

static int fuzz_rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void fuzz_clean(void)
{
	if (*fuzz_dir)
		nftw(fuzz_dir, fuzz_rm, 16, FTW_DEPTH | FTW_PHYS);
}

FUZZ_UNUSED static void fuzz_make_dir(void)
{
	strcpy(fuzz_dir, "/dev/shm/ht-fuzz.XXXXXX");
	if (!mkdtemp(fuzz_dir)) {
		strcpy(fuzz_dir, "/tmp/ht-fuzz.XXXXXX");
		if (!mkdtemp(fuzz_dir))
			abort();
	}
	atexit(fuzz_clean);
}

/* dir/path, with the directories above it; the file descriptor stays open. */
FUZZ_UNUSED static int fuzz_file(const char *path)
{
	char full[256];
	int fd;

	if (!*fuzz_dir)
		fuzz_make_dir();
	snprintf(full, sizeof(full), "%s/%s", fuzz_dir, path);
	for (char *p = full + strlen(fuzz_dir) + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(full, 0700);
		*p = '/';
	}
	fd = open(full, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		abort();
	return fd;
}

/* Most inputs differ from the one before in one file: the others are not written again. */
FUZZ_UNUSED static void fuzz_put(int fd, const void *data, size_t size)
{
	static struct {
		char bytes[4096];
		size_t size;
		bool known;
	} last[64];

	if (fd < 64 && size <= sizeof(last[fd].bytes)) {
		if (last[fd].known && last[fd].size == size &&
		    (!size || !memcmp(last[fd].bytes, data, size)))
			return;
		if (size)
			memcpy(last[fd].bytes, data, size);
		last[fd].size = size;
		last[fd].known = true;
	}
	if (ftruncate(fd, size) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
}

FUZZ_UNUSED static const char *fuzz_path(const char *path)
{
	static char full[256];

	snprintf(full, sizeof(full), "%s/%s", fuzz_dir, path);
	return full;
}

FUZZ_UNUSED static void fuzz_quiet(void)
{
	if (!freopen("/dev/null", "w", stdout))
		abort();
}

/* ---- input in pieces ---- */

struct fuzz_input {
	const uint8_t *data;
	size_t size;
};

/* Up to the separator, which is dropped, or to the end. */
FUZZ_UNUSED static struct fuzz_input fuzz_cut(struct fuzz_input *in, uint8_t separator)
{
	const uint8_t *end = in->size ? memchr(in->data, separator, in->size) : NULL;
	struct fuzz_input piece = { in->data, end ? (size_t)(end - in->data) : in->size };
	size_t used = piece.size + !!end;

	in->data += used;
	in->size -= used;
	return piece;
}

FUZZ_UNUSED static char *fuzz_text(struct fuzz_input piece)
{
	char *s = malloc(piece.size + 1);

	if (!s)
		abort();
	if (piece.size)
		memcpy(s, piece.data, piece.size);
	s[piece.size] = '\0';
	return s;
}

/* ---- what is below /sys and /proc: texts, in the order in which the input has them ---- */

#define FUZZ_FILES 16

struct fuzz_tree {
	const char *const *file; /* "sys/..." or "proc/..." */
	size_t nr;
	int fd[FUZZ_FILES];
	char sys[96], proc[96];
	struct ht_roots roots;
};

#define FUZZ_TREE(files)                                                                           \
	{                                                                                          \
		.file = (files), .nr = sizeof(files) / sizeof(*(files))                            \
	}

/* Fills the files with pieces of the input that bytes of 0xff separate; true the first time. */
FUZZ_UNUSED static bool fuzz_tree_put(struct fuzz_tree *t, struct fuzz_input *in)
{
	bool first = !t->roots.sys;
	size_t i;

	FUZZ_ASSERT(t->nr <= FUZZ_FILES);
	for (i = 0; first && i < t->nr; i++)
		t->fd[i] = fuzz_file(t->file[i]);
	if (first) {
		snprintf(t->sys, sizeof(t->sys), "%s/sys", fuzz_dir);
		snprintf(t->proc, sizeof(t->proc), "%s/proc", fuzz_dir);
		t->roots = (struct ht_roots){ .sys = t->sys, .proc = t->proc };
	}
	for (i = 0; i < t->nr; i++) {
		struct fuzz_input piece = fuzz_cut(in, 0xff);

		fuzz_put(t->fd[i], piece.data, piece.size);
	}
	return first;
}

#endif
