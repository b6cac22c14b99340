// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * privilege [--drop CAP]... [--uid UID] [--old] -- COMMAND [ARG...]: runs a command with less:
 * without a capability (by number), as another user, or on what says it is Linux 2.6.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "drop", 1, NULL, 'd' }, { "uid", 1, NULL, 'u' }, { "old", 0, NULL, 'o' }, { 0 }
	};
	int o, err = 0;

	while (!err && (o = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (o) {
		case 'd': /* what the bounding set lacks, root does not get at exec either */
			err = prctl(PR_CAPBSET_DROP, strtoul(optarg, NULL, 10), 0, 0, 0);
			break;
		case 'u':
			err = setresgid(atoi(optarg), atoi(optarg), atoi(optarg)) ||
			      setresuid(atoi(optarg), atoi(optarg), atoi(optarg));
			break;
		case 'o':
			err = personality(PER_LINUX | UNAME26) == -1;
			break;
		default:
			return 126;
		}
	}
	if (err || optind >= argc) {
		fprintf(stderr, "privilege: %s\n", strerror(errno));
		return 126;
	}
	execvp(argv[optind], &argv[optind]);
	fprintf(stderr, "privilege: %s: %s\n", argv[optind], strerror(errno));
	return 127;
}
