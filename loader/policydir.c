// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
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
	struct stat st;
	size_t i, n;

	/* A directory that happens to have a policy's name is not meant. */
	if (!stat(name, &st) && !S_ISDIR(st.st_mode))
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

/* Appends as much as fits. */
static void add_text(char *buf, size_t size, const char *text, int len)
{
	size_t used = strlen(buf);

	snprintf(buf + used, size - used, "%.*s", len, text);
}

/* The policies in path, by name. Returns whether there are any. */
static bool list_policies(const char *path, char *buf, size_t size)
{
	static const char ending[] = ".bpf.o";
	struct dirent **entry;
	int i, n = scandir(path, &entry, NULL, alphasort);

	*buf = '\0';
	for (i = 0; i < n; i++) {
		int len = strlen(entry[i]->d_name) - strlen(ending);

		if (len > 0 && !strcmp(entry[i]->d_name + len, ending)) {
			add_text(buf, size, " ", 1);
			add_text(buf, size, entry[i]->d_name, len);
		}
		free(entry[i]);
	}
	if (n >= 0)
		free(entry);
	return *buf;
}

void ht_policy_say_where(const char *name)
{
	char self[PATH_MAX], path[2 * PATH_MAX], names[1024];
	size_t i;

	if (strchr(name, '/') || own_dir(self, sizeof(self)))
		return;
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", self, dir[i]);
		if (!list_policies(path, names, sizeof(names)))
			continue;
		pr_err("no policy '%s': neither a file here nor in %s, which has:%s", name, path,
		       names);
		return;
	}
	pr_err("no policy '%s': no file here, and %s/%s has no policies", name, self, dir[0]);
}
