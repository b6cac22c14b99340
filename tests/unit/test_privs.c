// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Real capabilities, given up in children. */
#include "test_util.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fs.h"
#include "privs.h"

#define BIT(n) (1ULL << (n))
#define KEPT                                                                                       \
	(BIT(CAP_SYS_NICE) | BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_PERFMON) |   \
	 BIT(CAP_BPF))

/* One of the masks in /proc/PID/status: CapEff, CapPrm, CapInh, CapAmb. */
static uint64_t mask(const char *name)
{
	char key[16], *p;

	snprintf(key, sizeof(key), "\n%s:", name);
	p = strstr(fs_get("/proc/self", "status"), key);
	return p ? strtoull(p + strlen(key), NULL, 16) : UINT64_MAX;
}

/* Runs fn in a child; which line of it failed, 0 = none. */
#define expect(what)                                                                               \
	do {                                                                                       \
		if (!(what))                                                                       \
			_exit(__LINE__ % 250 + 1);                                                 \
	} while (0)
static void in_child(void (*fn)(void))
{
	pid_t pid = fs_fork();
	int status;

	if (!pid) {
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("status %#x: line %d or so", status, WEXITSTATUS(status) - 1);
}

static void drop(void)
{
	char names[512];

	expect(!ht_privs_drop(true));
	expect(mask("CapEff") == (KEPT | BIT(CAP_SYS_ADMIN)));
	expect(mask("CapPrm") == (KEPT | BIT(CAP_SYS_ADMIN)));
	expect(!mask("CapInh") && !mask("CapAmb"));
	/* Then without CAP_SYS_ADMIN; it does not come back. */
	expect(!ht_privs_drop(false));
	expect(mask("CapEff") == KEPT);
	expect(!ht_privs_drop(true));
	expect(mask("CapEff") == KEPT && mask("CapPrm") == KEPT);
	expect(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	expect(!ht_privs_effective(names, sizeof(names)));
	expect(!strcmp(names, "cap_dac_read_search cap_sys_ptrace cap_sys_nice cap_perfmon "
			      "cap_bpf"));
	expect(ht_privs_effective(names, 20) == -ENOSPC);
}

/* What they are good for is gone. */
static void drop_is_real(void)
{
	expect(!ht_privs_drop(true));
	expect(chown("/proc/self/exe", 1000, 1000) < 0 && errno == EPERM);
	expect(setuid(1000) < 0 && errno == EPERM);
	expect(mknod("/dev/shm/ht-unit-node", S_IFCHR | 0600, 0x103) < 0 && errno == EPERM);
	expect(chroot("/") < 0 && errno == EPERM);
}

/* A program that root starts would have them all again. */
static void exec_child(void)
{
	char script[256];

	snprintf(script, sizeof(script),
		 "while read k v; do [ $k != CapEff: ] || [ $((0x$v & ~%#llx)) = 0 ] || exit 1; "
		 "done </proc/self/status",
		 (unsigned long long)KEPT);
	expect(!ht_privs_drop(false));
	execl("/bin/sh", "sh", "-c", script, NULL);
	_exit(99);
}

/* Somebody who has none keeps none. */
static void nothing_to_drop(void)
{
	char names[64];

	expect(!setresuid(65534, 65534, 65534));
	expect(!mask("CapEff"));
	expect(!ht_privs_drop(true));
	expect(!mask("CapEff") && !mask("CapPrm"));
	expect(!ht_privs_effective(names, sizeof(names)) && !*names);
}

static void need_root(void)
{
	if (geteuid())
		skip();
}

static void test_drop(void **state)
{
	need_root();
	in_child(drop);
}

static void test_drop_is_real(void **state)
{
	need_root();
	in_child(drop_is_real);
}

static void test_exec(void **state)
{
	need_root();
	in_child(exec_child);
}

static void test_nothing_to_drop(void **state)
{
	need_root();
	in_child(nothing_to_drop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_drop_is_real),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_nothing_to_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
