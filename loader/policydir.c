// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policydir.h"

/* Relative to the program, so that an installation may lie anywhere: installed, and just built. */
static const char *const dir[] = { "../lib/hypertier/policies", "policies" };
static const char *const suffix[] = { "", ".bpf.o" };

static int own_dir(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
	char *slash;

	if (n <= 0)
		return -1;
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	if (!slash)
		return -1;
	*slash = '\0';
	return 0;
}

char *ht_policy_find(const char *name)
{
	char self[PATH_MAX], path[2 * PATH_MAX];
	size_t i, n;

	if (!access(name, F_OK))
		return strdup(name);
	if (strchr(name, '/') || strlen(name) > NAME_MAX || own_dir(self, sizeof(self)))
		return NULL;
	for (i = 0; i < 4; i++) {
		n = snprintf(path, sizeof(path), "%s/%s/%s%s", self, dir[i / 2], name,
			     suffix[i % 2]);
		if (n < sizeof(path) && !access(path, R_OK))
			return realpath(path, NULL);
	}
	return NULL;
}
