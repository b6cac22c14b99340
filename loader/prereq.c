// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "prereq.h"

#define BPFFS "/sys/fs/bpf"
#define MIN_MAJOR 6
#define MIN_MINOR 1

static const struct {
	int nr;
	const char *name;
} needed[] = {
	{ CAP_BPF, "CAP_BPF" },		      /* load programs */
	{ CAP_PERFMON, "CAP_PERFMON" },	      /* sample, trace */
	{ CAP_SYS_NICE, "CAP_SYS_NICE" },     /* move other processes' pages */
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE" }, /* see their mappings */
};

static void check_caps(struct ht_prereq *p, const struct ht_roots *roots)
{
	char buf[4096], *s;
	uint64_t eff = 0;
	size_t i, len;

	if (ht_read_str(buf, sizeof(buf), "%s/self/status", roots->proc) > 0) {
		s = strstr(buf, "\nCapEff:");
		if (s)
			eff = strtoull(s + 8, NULL, 16);
	}
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (eff >> needed[i].nr & 1)
			continue;
		len = strlen(p->missing_caps);
		snprintf(p->missing_caps + len, sizeof(p->missing_caps) - len, "%s%s",
			 len ? ", " : "", needed[i].name);
	}
}

/* Where securityfs is not mounted, as in containers, the command line may still tell. */
static void guess_lockdown(struct ht_prereq *p, const struct ht_roots *roots)
{
	char buf[4096], *s, *save = NULL;

	if (ht_read_str(buf, sizeof(buf), "%s/cmdline", roots->proc) <= 0)
		return;
	for (s = strtok_r(buf, " \n", &save); s; s = strtok_r(NULL, " \n", &save))
		if (!strncmp(s, "lockdown=", 9))
			snprintf(p->lockdown, sizeof(p->lockdown), "%s", s + 9);
}

/* The file reads like "none [integrity] confidentiality". */
static void check_lockdown(struct ht_prereq *p, const struct ht_roots *roots)
{
	char buf[128], *open, *close;

	if (ht_read_str(buf, sizeof(buf), "%s/kernel/security/lockdown", roots->sys) <= 0) {
		guess_lockdown(p, roots);
		return;
	}
	open = strchr(buf, '[');
	close = open ? strchr(open, ']') : NULL;
	if (close)
		snprintf(p->lockdown, sizeof(p->lockdown), "%.*s", (int)(close - open - 1),
			 open + 1);
}

void ht_prereq_check(struct ht_prereq *p, const struct ht_roots *roots)
{
	unsigned int major = 0, minor = 0;
	char path[256];
	struct utsname u;
	struct statfs fs;

	memset(p, 0, sizeof(*p));
	if (!uname(&u)) {
		snprintf(p->release, sizeof(p->release), "%s", u.release);
		sscanf(u.release, "%u.%u", &major, &minor);
	}
	p->kernel_ok = major > MIN_MAJOR || (major == MIN_MAJOR && minor >= MIN_MINOR);
	snprintf(path, sizeof(path), "%s/kernel/btf/vmlinux", roots->sys);
	p->btf = !access(path, R_OK);
	p->bpffs = !statfs(BPFFS, &fs) && fs.f_type == BPF_FS_MAGIC;
	check_lockdown(p, roots);
	check_caps(p, roots);
}

int ht_prereq_report(const struct ht_prereq *p)
{
	if (!p->kernel_ok) {
		pr_err("kernel %s is too old: HyperTier needs Linux %d.%d or later", p->release,
		       MIN_MAJOR, MIN_MINOR);
		return HT_RC_KERNEL;
	}
	if (!p->btf) {
		pr_err("this kernel has no BTF (/sys/kernel/btf/vmlinux): use one built with "
		       "CONFIG_DEBUG_INFO_BTF=y, as distribution kernels are; nothing works "
		       "without");
		return HT_RC_KERNEL;
	}
	if (*p->missing_caps) {
		pr_err("missing %s: run as root, or with these capabilities; without them only "
		       "'hypertier-load features' works",
		       p->missing_caps);
		return HT_RC_PERM;
	}
	if (!strcmp(p->lockdown, "confidentiality")) {
		pr_err("the kernel is locked down (confidentiality): BPF may not read kernel "
		       "memory; "
		       "boot with lockdown=integrity or none; until then only 'hypertier-load "
		       "features' works");
		return HT_RC_PERM;
	}
	return 0;
}

int ht_prereq_mount_bpffs(void)
{
	if (mkdir(BPFFS, 0700) && errno != EEXIST)
		return -errno;
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return -errno;
	return 0;
}
