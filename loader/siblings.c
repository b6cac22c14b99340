// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "siblings.h"

static bool is_other(const char *dir, const struct stat *own)
{
	char path[PATH_MAX];
	struct stat st;

	if (lstat(dir, &st) || !S_ISDIR(st.st_mode) ||
	    (st.st_dev == own->st_dev && st.st_ino == own->st_ino))
		return false;
	return snprintf(path, sizeof(path), "%s/journal", dir) < (int)sizeof(path) &&
	       !lstat(path, &st) && S_ISREG(st.st_mode);
}

int ht_siblings(const char *base, int own, ht_sibling_fn fn, void *arg)
{
	char path[PATH_MAX];
	struct dirent *de;
	struct stat st;
	int ret = 0;
	DIR *d;

	if (fstat(own, &st))
		return 0;
	if (is_other(base, &st))
		ret = fn(arg, base);
	d = opendir(base);
	while (d && !ret && (de = readdir(d))) {
		if (de->d_name[0] != '.' &&
		    snprintf(path, sizeof(path), "%s/%s", base, de->d_name) < (int)sizeof(path) &&
		    is_other(path, &st))
			ret = fn(arg, path);
	}
	if (d)
		closedir(d);
	return ret;
}
