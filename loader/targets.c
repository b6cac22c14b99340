// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "targets.h"

#define KERNEL_THREAD 0x00200000 /* PF_KTHREAD of the flags in /proc/PID/stat */

/* ---- cgroups ---- */

/* Where cgroup v2 is mounted: alone, or beside v1 hierarchies. */
static const char *const cgroup_mounts[] = { "fs/cgroup", "fs/cgroup/unified" };

static int copy_clean(char *buf, size_t size, const char *path)
{
	size_t len = 0;

	/* Leading, trailing and doubled slashes go: "//a//b/" is "/a/b". */
	while (*path) {
		const char *end = strchrnul(path, '/');

		if (end > path) {
			if (end - path == 2 && !strncmp(path, "..", 2))
				return -EINVAL;
			if (len + (end - path) + 2 > size)
				return -ENAMETOOLONG;
			buf[len++] = '/';
			memcpy(buf + len, path, end - path);
			len += end - path;
		}
		path = *end ? end + 1 : end;
	}
	buf[len] = '\0';
	return 0;
}

/* True if rest is below mount (or the mount itself) and a cgroup v2 directory. */
static bool is_cgroup(const char *mount, const char *rest)
{
	char path[2 * PATH_MAX + 32];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s/cgroup.controllers", mount, rest);
	return !stat(path, &st);
}

/* The cgroup's path from the root of the hierarchy, "" for the root itself. */
static int cgroup_resolve(char *out, size_t size, const struct ht_roots *roots, const char *name)
{
	char mount[PATH_MAX], clean[PATH_MAX];
	size_t i, len;
	int err;

	err = copy_clean(clean, sizeof(clean), name);
	for (i = 0; !err && i < sizeof(cgroup_mounts) / sizeof(*cgroup_mounts); i++) {
		const char *rest = clean;

		snprintf(mount, sizeof(mount), "%s/%s", roots->sys, cgroup_mounts[i]);
		len = strlen(mount);
		if (name[0] == '/' && !strncmp(clean, mount, len) &&
		    (clean[len] == '/' || !clean[len]))
			rest = clean + len;
		if (!is_cgroup(mount, rest))
			continue;
		snprintf(out, size, "%s", rest);
		return 0;
	}
	pr_err("--cgroup %s: no such cgroup v2 directory below %s/fs/cgroup; list them with "
	       "systemd-cgls, or find the one of a process in /proc/PID/cgroup (line \"0::\")",
	       name, roots->sys);
	return -ENOENT;
}

int ht_selection_check(const struct ht_selection *sel, const struct ht_roots *roots)
{
	char path[PATH_MAX];
	int err;

	for (size_t i = 0; i < sel->nr_cgroup; i++) {
		err = cgroup_resolve(path, sizeof(path), roots, sel->cgroup[i]);
		if (err)
			return err;
	}
	return 0;
}

static bool cgroup_matches(const struct ht_targets *t, pid_t tgid)
{
	char buf[8192], *line, *save = NULL;
	size_t i, len;

	if (ht_read_str(buf, sizeof(buf), "%s/%d/cgroup", t->roots->proc, tgid) < 0)
		return false;
	for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "0::", 3))
			continue;
		for (i = 0; i < t->nr_cgroup; i++) {
			len = strlen(t->cgroup[i]);
			if (!strncmp(line + 3, t->cgroup[i], len) &&
			    (line[3 + len] == '/' || !line[3 + len]))
				return true;
		}
	}
	return false;
}

/* ---- one process ---- */

/*
 * "pid (comm) state ppid ..." where comm may hold anything. -ESRCH for what is gone or never had
 * memory of its own.
 */
static int read_stat(struct ht_proc *p, const struct ht_roots *roots, pid_t tgid)
{
	uint64_t flags, vsize, rss;
	char buf[2048], *open, *close, state;
	size_t len;
	ssize_t n;

	n = ht_read_str(buf, sizeof(buf), "%s/%d/stat", roots->proc, tgid);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : n;
	open = strchr(buf, '(');
	close = strrchr(buf, ')');
	if (!open || !close || close < open)
		return -EINVAL;
	*p = (struct ht_proc){ .tgid = tgid };
	if (sscanf(close + 1,
		   " %c %d %*d %*d %*d %*d %" SCNu64 " %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
		   "%*d %*d %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &state, &p->ppid, &flags, &p->start_time, &vsize, &rss) != 6)
		return -EINVAL;
	if (flags & KERNEL_THREAD)
		return -EINVAL;
	if (!vsize || state == 'Z' || state == 'X')
		return -ESRCH;
	p->rss_bytes = rss > UINT64_MAX / 4096 ? UINT64_MAX : rss * 4096;
	len = close - open - 1;
	if (len >= sizeof(p->comm))
		len = sizeof(p->comm) - 1;
	memcpy(p->comm, open + 1, len);
	return 0;
}

/* stat shows a comm with newlines and backslashes escaped; comm itself shows it as it is. */
static void true_comm(struct ht_proc *p, const struct ht_roots *roots)
{
	char buf[64];

	if (strchr(p->comm, '\\') &&
	    ht_read_str(buf, sizeof(buf), "%s/%d/comm", roots->proc, p->tgid) >= 0)
		snprintf(p->comm, sizeof(p->comm), "%.15s", buf);
}

static bool is_selected(const struct ht_targets *t, const struct ht_proc *p, bool present)
{
	const struct ht_selection *sel = t->sel;
	size_t i;

	if (p->tgid == t->self)
		return false;
	if (!sel->nr_pid && !sel->nr_comm && !sel->nr_cgroup)
		return p->rss_bytes >= (present ? sel->rss_floor / 2 : sel->rss_floor);
	for (i = 0; i < sel->nr_pid; i++)
		if (sel->pid[i] == p->tgid)
			return true;
	for (i = 0; i < sel->nr_comm; i++)
		/* The kernel keeps 15 characters of a longer name. */
		if (!strncmp(sel->comm[i], p->comm, sizeof(p->comm) - 1))
			return true;
	return sel->nr_cgroup && cgroup_matches(t, p->tgid);
}

/* ---- the sorted array ---- */

/* Index of the first target whose tgid is not smaller. */
static size_t lower_bound(const struct ht_targets *t, pid_t tgid)
{
	size_t lo = 0, hi = t->nr, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (t->proc[mid].tgid < tgid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct ht_proc *ht_targets_find(struct ht_targets *t, pid_t tgid)
{
	size_t i = lower_bound(t, tgid);

	return i < t->nr && t->proc[i].tgid == tgid ? &t->proc[i] : NULL;
}

static int insert(struct ht_targets *t, const struct ht_proc *p, const struct ht_target_events *ev)
{
	size_t i = lower_bound(t, p->tgid), cap;
	struct ht_proc *proc;

	if (t->nr == HT_TARGETS_MAX) {
		if (!t->full)
			pr_warn("more than %u processes match; the others are not tiered",
				HT_TARGETS_MAX);
		t->full = true;
		return -E2BIG;
	}
	if (t->nr == t->cap) {
		cap = t->cap ? 2 * t->cap : 64;
		proc = reallocarray(t->proc, cap, sizeof(*proc));
		if (!proc)
			return -ENOMEM;
		t->proc = proc;
		t->cap = cap;
	}
	memmove(&t->proc[i + 1], &t->proc[i], (t->nr - i) * sizeof(*t->proc));
	t->proc[i] = *p;
	t->nr++;
	if (ev && ev->added)
		ev->added(ev->arg, &t->proc[i]);
	return 0;
}

static void remove_at(struct ht_targets *t, size_t i, const struct ht_target_events *ev)
{
	if (ev && ev->removed)
		ev->removed(ev->arg, &t->proc[i]);
	ht_vmas_free(&t->proc[i].vmas);
	t->nr--;
	memmove(&t->proc[i], &t->proc[i + 1], (t->nr - i) * sizeof(*t->proc));
}

int ht_targets_remove(struct ht_targets *t, pid_t tgid, const struct ht_target_events *ev)
{
	struct ht_proc *p = ht_targets_find(t, tgid);

	if (!p)
		return -ENOENT;
	remove_at(t, p - t->proc, ev);
	return 0;
}

/* The target now is what p was read as; false if the pid belongs to another process by now. */
static bool refresh(struct ht_proc *old, const struct ht_proc *p)
{
	if (old->start_time != p->start_time)
		return false;
	old->ppid = p->ppid;
	old->rss_bytes = p->rss_bytes;
	memcpy(old->comm, p->comm, sizeof(old->comm));
	return true;
}

/* ---- scanning ---- */

/* Leaves a target that is gone, or not wanted any more, with an old scan number. */
static int look_at(struct ht_targets *t, pid_t tgid, const struct ht_target_events *ev)
{
	struct ht_proc p, *old;
	int err;

	if (tgid == t->self)
		return 0;
	err = read_stat(&p, t->roots, tgid);
	if (err)
		return 0; /* gone, or hidden from us: neither is an error of the scan */
	true_comm(&p, t->roots);
	p.scan = t->scan;
	old = ht_targets_find(t, tgid);
	if (old && !refresh(old, &p)) {
		remove_at(t, old - t->proc, ev);
		old = NULL;
	}
	if (old) {
		if (old->forked || is_selected(t, &p, true))
			old->scan = t->scan;
		return 0;
	}
	if (!is_selected(t, &p, false))
		return 0;
	err = insert(t, &p, ev);
	return err == -E2BIG ? 0 : err;
}

static int scan_all(struct ht_targets *t, const struct ht_target_events *ev)
{
	struct dirent *d;
	unsigned long n;
	int err = 0;
	char *end;
	DIR *dir;

	dir = opendir(t->roots->proc);
	if (!dir)
		return -errno;
	while (!err && (errno = 0, d = readdir(dir))) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		n = strtoul(d->d_name, &end, 10);
		if (*end || !n || n > INT_MAX)
			continue;
		err = look_at(t, n, ev);
	}
	if (!d && errno)
		err = -errno;
	closedir(dir);
	return err;
}

/* Where only pids were asked for, these and the targets (their children) are all there is to see.
 */
static int scan_pids(struct ht_targets *t, const struct ht_target_events *ev)
{
	int err = 0;
	size_t i;

	for (i = t->nr; !err && i-- > 0;)
		err = look_at(t, t->proc[i].tgid, ev);
	for (i = 0; !err && i < t->sel->nr_pid; i++)
		if (t->sel->pid[i] > 0)
			err = look_at(t, t->sel->pid[i], ev);
	return err;
}

int ht_targets_scan(struct ht_targets *t, const struct ht_target_events *ev)
{
	const struct ht_selection *sel = t->sel;
	int err;

	t->scan++;
	err = sel->nr_pid && !sel->nr_comm && !sel->nr_cgroup ? scan_pids(t, ev) : scan_all(t, ev);
	/* After half a scan nothing can be said of those not seen. */
	for (size_t i = t->nr; !err && i-- > 0;)
		if (t->proc[i].scan != t->scan)
			remove_at(t, i, ev);
	return err;
}

int ht_targets_add_child(struct ht_targets *t, pid_t tgid, const struct ht_target_events *ev)
{
	struct ht_proc p, *old;
	int err;

	if (tgid <= 0 || tgid == t->self)
		return -EINVAL;
	err = read_stat(&p, t->roots, tgid);
	if (err)
		return err;
	true_comm(&p, t->roots);
	p.forked = true;
	p.scan = t->scan;
	old = ht_targets_find(t, tgid);
	if (old && refresh(old, &p)) {
		old->forked = true;
		return 0;
	}
	if (old)
		remove_at(t, old - t->proc, ev);
	return insert(t, &p, ev);
}

/* ---- life ---- */

int ht_targets_init(struct ht_targets *t, const struct ht_selection *sel,
		    const struct ht_roots *roots)
{
	char path[PATH_MAX];
	int err = 0;

	*t = (struct ht_targets){ .sel = sel, .roots = roots, .self = getpid() };
	if (!sel->nr_cgroup)
		return 0;
	t->cgroup = calloc(sel->nr_cgroup, sizeof(*t->cgroup));
	if (!t->cgroup)
		return -ENOMEM;
	for (size_t i = 0; !err && i < sel->nr_cgroup; i++) {
		err = cgroup_resolve(path, sizeof(path), roots, sel->cgroup[i]);
		if (!err && !(t->cgroup[t->nr_cgroup++] = strdup(path)))
			err = -ENOMEM;
	}
	if (err)
		ht_targets_free(t);
	return err;
}

void ht_targets_free(struct ht_targets *t)
{
	for (size_t i = 0; i < t->nr; i++)
		ht_vmas_free(&t->proc[i].vmas);
	free(t->proc);
	for (size_t i = 0; i < t->nr_cgroup; i++)
		free(t->cgroup[i]);
	free(t->cgroup);
	*t = (struct ht_targets){ 0 };
}
