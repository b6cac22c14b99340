// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#include "log.h"
#include "privs.h"

static const cap_value_t kept[] = {
	CAP_SYS_NICE,	     /* move_pages(2), process_madvise(2) of other processes */
	CAP_SYS_PTRACE,	     /* their maps and pagemap */
	CAP_DAC_READ_SEARCH, /* /proc/PID/pagemap of other users' processes is 0400 */
	CAP_PERFMON,	     /* the next policy's programs and events */
	CAP_BPF,
	CAP_SYS_ADMIN, /* last, see ht_privs_drop() */
};

/* Raises in set what is kept and permitted in have. */
static int keep(cap_t set, cap_t have, bool admin)
{
	size_t i, nr = sizeof(kept) / sizeof(kept[0]) - !admin;
	cap_flag_value_t on;

	for (i = 0; i < nr; i++) {
		if (cap_get_flag(have, kept[i], CAP_PERMITTED, &on) || on == CAP_CLEAR)
			continue;
		if (cap_set_flag(set, CAP_PERMITTED, 1, &kept[i], CAP_SET) ||
		    cap_set_flag(set, CAP_EFFECTIVE, 1, &kept[i], CAP_SET))
			return -errno;
	}
	return 0;
}

int ht_privs_drop(bool admin)
{
	cap_t have = cap_get_proc(), set = cap_init();
	int err;

	err = have && set ? keep(set, have, admin) : -ENOMEM;
	/* A root process gets capabilities back by exec unless told otherwise. */
	if (!err && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || cap_set_proc(set)))
		err = -errno;
	if (err)
		pr_err("cannot give up capabilities: %s", strerror(-err));
	cap_free(have);
	cap_free(set);
	return err;
}

int ht_privs_effective(char *buf, size_t size)
{
	cap_t have = cap_get_proc();
	cap_flag_value_t on;
	size_t len = 0;
	cap_value_t c;
	char *name;

	if (!have)
		return -errno;
	*buf = '\0';
	for (c = 0; !cap_get_flag(have, c, CAP_EFFECTIVE, &on); c++) {
		if (on == CAP_CLEAR)
			continue;
		name = cap_to_name(c);
		len += snprintf(buf + len, size - len, "%s%s", len ? " " : "", name ?: "?");
		cap_free(name);
		if (len >= size)
			break;
	}
	cap_free(have);
	return len < size ? 0 : -ENOSPC;
}
