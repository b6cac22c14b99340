// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Made-up roots for what this machine does not lack; real capabilities, and a real mount. */
#include "test_util.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "config.h"
#include "fs.h"
#include "prereq.h"

struct fix {
	char dir[64], sys[80], proc[80];
	struct ht_roots roots;
};

static void put_caps(const struct fix *f, uint64_t eff)
{
	char buf[512];

	snprintf(buf, sizeof(buf),
		 "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\tffffffffffffffff\n"
		 "CapEff:\t%016lx\nCapBnd:\tffffffffffffffff\n",
		 eff);
	fs_put(f->proc, "self/status", buf);
}

static int setup(void **state)
{
	struct fix *f = tu_zalloc(1, sizeof(*f));

	fs_tmpdir(f->dir);
	snprintf(f->sys, sizeof(f->sys), "%s/sys", f->dir);
	snprintf(f->proc, sizeof(f->proc), "%s/proc", f->dir);
	f->roots = (struct ht_roots){ .sys = f->sys, .proc = f->proc };
	fs_put(f->sys, "kernel/btf/vmlinux", "\x9f\xeb");
	put_caps(f, UINT64_MAX);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	fs_rmtree(f->dir);
	free(f);
	return 0;
}

/* The report's exit code; what it logged is in *said. */
static int report(const struct ht_prereq *p, const char **said)
{
	struct fs_log log;
	int rc;

	fs_log_start(&log);
	rc = ht_prereq_report(p);
	*said = fs_log_end(&log);
	return rc;
}

static void test_all_there(void **state)
{
	const struct fix *f = *state;
	struct ht_prereq p;
	const char *said;

	ht_prereq_check(&p, &f->roots);
	assert_true(p.btf && p.kernel_ok);
	assert_true(*p.release);
	assert_string_equal(p.missing_caps, "");
	assert_string_equal(p.lockdown, "");
	assert_int_equal(report(&p, &said), 0);
	assert_string_equal(said, "");
}

static void test_no_btf(void **state)
{
	struct fix *f = *state;
	struct ht_prereq p;
	const char *said;

	f->roots.sys = f->dir;
	ht_prereq_check(&p, &f->roots);
	assert_false(p.btf);
	assert_int_equal(report(&p, &said), HT_RC_KERNEL);
	assert_non_null(strstr(said, "BTF"));
	assert_non_null(strstr(said, "CONFIG_DEBUG_INFO_BTF"));
}

static void test_old_kernel(void **state)
{
	struct ht_prereq p = { .release = "5.15.0", .btf = true };
	const char *said;

	assert_int_equal(report(&p, &said), HT_RC_KERNEL);
	assert_non_null(strstr(said, "5.15.0"));
	assert_non_null(strstr(said, "6.1"));
}

static void test_capabilities(void **state)
{
	static const struct {
		int nr;
		const char *name;
	} cap[] = { { 39, "CAP_BPF" },
		    { 38, "CAP_PERFMON" },
		    { 23, "CAP_SYS_NICE" },
		    { 19, "CAP_SYS_PTRACE" } };
	const struct fix *f = *state;
	struct ht_prereq p;
	const char *said;

	for (size_t i = 0; i < sizeof(cap) / sizeof(cap[0]); i++) {
		put_caps(f, UINT64_MAX & ~(1ULL << cap[i].nr));
		ht_prereq_check(&p, &f->roots);
		assert_string_equal(p.missing_caps, cap[i].name);
		assert_int_equal(report(&p, &said), HT_RC_PERM);
		assert_non_null(strstr(said, cap[i].name));
	}
	put_caps(f, 0);
	ht_prereq_check(&p, &f->roots);
	for (size_t i = 0; i < sizeof(cap) / sizeof(cap[0]); i++)
		assert_non_null(strstr(p.missing_caps, cap[i].name));
}

/* Nothing known is nothing held. */
static void test_bad_status(void **state)
{
	static const char *const status[] = { "", "CapEff",
					      "Name:\tx\nCapEff:", "CapEff:\t\xff\xfe",
					      "Name:\tCapEff:\tffffffffffffffff\n" };
	const struct fix *f = *state;
	struct ht_prereq p;
	char *big = tu_zalloc(1, 100001);

	for (size_t i = 0; i < sizeof(status) / sizeof(status[0]); i++) {
		fs_put(f->proc, "self/status", status[i]);
		ht_prereq_check(&p, &f->roots);
		assert_non_null(strstr(p.missing_caps, "CAP_BPF"));
		assert_non_null(strstr(p.missing_caps, "CAP_SYS_PTRACE"));
	}
	memset(big, 'x', 100000);
	fs_put(f->proc, "self/status", big);
	fs_put(f->sys, "kernel/security/lockdown", big);
	ht_prereq_check(&p, &f->roots);
	assert_non_null(strstr(p.missing_caps, "CAP_BPF"));
	assert_string_equal(p.lockdown, "");
	free(big);
}

static void test_lockdown(void **state)
{
	static const struct {
		const char *file, *want;
		int rc;
	} l[] = {
		{ "[none] integrity confidentiality\n", "none", 0 },
		{ "none [integrity] confidentiality\n", "integrity", 0 },
		{ "none integrity [confidentiality]\n", "confidentiality", HT_RC_PERM },
		{ "", "", 0 },
		{ "none integrity confidentiality", "", 0 },
		{ "]none[", "", 0 },
		{ "[", "", 0 },
		{ "[]", "", 0 },
		{ "[a-very-long-word-that-no-kernel-ever-says]", "a-very-long-word-th", 0 },
	};
	const struct fix *f = *state;
	struct ht_prereq p;
	const char *said;

	for (size_t i = 0; i < sizeof(l) / sizeof(l[0]); i++) {
		fs_put(f->sys, "kernel/security/lockdown", l[i].file);
		ht_prereq_check(&p, &f->roots);
		assert_string_equal(p.lockdown, l[i].want);
		assert_int_equal(report(&p, &said), l[i].rc);
		if (l[i].rc)
			assert_non_null(strstr(said, "lockdown=integrity"));
	}
}

/* ---- this machine ---- */

static void test_host(void **state)
{
	struct ht_prereq p;

	if (geteuid())
		skip();
	ht_prereq_check(&p, &ht_host_roots);
	assert_true(p.kernel_ok);
	assert_true(p.btf);
	assert_string_equal(p.missing_caps, "");
}

/* Bits are those of the kernel, not of a table of ours: drop each and look. */
static void test_dropped_capabilities(void **state)
{
	static const int nr[] = { CAP_BPF, CAP_PERFMON, CAP_SYS_NICE, CAP_SYS_PTRACE };

	if (geteuid())
		skip();
	for (int i = 0; i < 4; i++) {
		struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct d[2];
		struct ht_prereq p;
		int status;
		pid_t pid = fork();

		if (pid) {
			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), 0);
			continue;
		}
		if (syscall(SYS_capget, &h, d))
			_exit(1);
		d[nr[i] / 32].effective &= ~(1U << nr[i] % 32);
		if (syscall(SYS_capset, &h, d))
			_exit(2);
		ht_prereq_check(&p, &ht_host_roots);
		_exit(!*p.missing_caps || strchr(p.missing_caps, ',') ? 3 : 0);
	}
}

/* In mount name spaces of its own: nothing of it is seen outside. */
static void test_mount_bpffs(void **state)
{
	int status;
	pid_t pid;

	if (geteuid())
		skip();
	pid = fork();
	if (!pid) {
		struct ht_prereq p;

		if (unshare(CLONE_NEWNS) || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL))
			_exit(77);
		while (!umount2("/sys/fs/bpf", MNT_DETACH))
			;
		ht_prereq_check(&p, &ht_host_roots);
		if (p.bpffs)
			_exit(1);
		if (ht_prereq_mount_bpffs())
			_exit(2);
		ht_prereq_check(&p, &ht_host_roots);
		_exit(p.bpffs ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_btf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_capabilities, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lockdown, setup, teardown),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_dropped_capabilities),
		cmocka_unit_test(test_mount_bpffs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
