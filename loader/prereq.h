/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What must be there before anything is tried, so that an error names its cause and the remedy. */
#ifndef HT_PREREQ_H
#define HT_PREREQ_H

#include <stdbool.h>
#include <stddef.h>

#include "sysfs.h"

struct ht_prereq {
	char release[65];	/* kernel, as uname says */
	bool kernel_ok;		/* 6.1 or later */
	bool btf;		/* /sys/kernel/btf/vmlinux */
	bool bpffs;		/* mounted on /sys/fs/bpf */
	char lockdown[20];	/* "none", "integrity", "confidentiality", or "" where not known */
	char missing_caps[128]; /* names of capabilities needed and not held, "" = all there */
};

void ht_prereq_check(struct ht_prereq *p, const struct ht_roots *roots);
/* Logs what is missing and what to do; returns the exit code (enum ht_exit_code), 0 = all there. */
int ht_prereq_report(const struct ht_prereq *p);
/* Mounts bpffs on /sys/fs/bpf where it is missing. */
int ht_prereq_mount_bpffs(void);

#endif
