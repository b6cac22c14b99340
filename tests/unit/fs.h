/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* For tests: fake sysfs and procfs roots, what was logged, children that do not stay behind. */
#ifndef HT_TEST_FS_H
#define HT_TEST_FS_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FS_UNUSED __attribute__((unused))

/* The path of a new empty directory, into dir; in memory if possible, for disks flush rewrites. */
FS_UNUSED static void fs_tmpdir(char dir[64])
{
	strcpy(dir, "/dev/shm/ht-unit.XXXXXX");
	if (mkdtemp(dir))
		return;
	strcpy(dir, "/tmp/ht-unit.XXXXXX");
	if (!mkdtemp(dir))
		abort();
}

FS_UNUSED static int fs_rm_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

FS_UNUSED static void fs_rmtree(const char *dir)
{
	nftw(dir, fs_rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* cmocka fixture: *state is such a directory, and nothing else. */
FS_UNUSED static int fs_setup(void **state)
{
	char *dir = malloc(64);

	fs_tmpdir(dir);
	*state = dir;
	return 0;
}

FS_UNUSED static int fs_teardown(void **state)
{
	fs_rmtree(*state);
	free(*state);
	return 0;
}

FS_UNUSED static void fs_mkdirs(const char *path)
{
	char buf[PATH_MAX];

	snprintf(buf, sizeof(buf), "%s", path);
	for (char *p = buf + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(buf, 0755);
		*p = '/';
	}
}

/* Makes dir/path with len bytes of data, and the directories above it. */
FS_UNUSED static void fs_put_bytes(const char *dir, const char *path, const void *data, size_t len)
{
	char full[PATH_MAX];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	fs_mkdirs(full);
	f = fopen(full, "w");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f))
		abort();
}

FS_UNUSED static void fs_put(const char *dir, const char *path, const char *text)
{
	fs_put_bytes(dir, path, text, strlen(text));
}

/* fork() of a child that does not outlive a test that fails. */
FS_UNUSED static pid_t fs_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
		_exit(99);
	return pid;
}

/* Content of dir/path in a static buffer, "(none)" if it cannot be read. */
FS_UNUSED static const char *fs_get(const char *dir, const char *path)
{
	static char buf[65536];
	char full[PATH_MAX];
	ssize_t n;
	int fd;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	fd = open(full, O_RDONLY);
	if (fd < 0)
		return "(none)";
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

FS_UNUSED static int fs_exists(const char *dir, const char *path)
{
	char full[PATH_MAX];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	return !lstat(full, &st);
}

/* Between fs_log_start() and fs_log_end() stderr goes to a file; the latter returns its text. */
struct fs_log {
	int saved;
	FILE *file;
};

FS_UNUSED static void fs_log_start(struct fs_log *l)
{
	fflush(stderr);
	l->saved = dup(STDERR_FILENO);
	l->file = tmpfile();
	if (l->saved < 0 || !l->file)
		abort();
	dup2(fileno(l->file), STDERR_FILENO);
}

FS_UNUSED static const char *fs_log_end(struct fs_log *l)
{
	static char buf[16384];
	ssize_t n;

	fflush(stderr);
	dup2(l->saved, STDERR_FILENO);
	close(l->saved);
	n = pread(fileno(l->file), buf, sizeof(buf) - 1, 0);
	fclose(l->file);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

#endif
