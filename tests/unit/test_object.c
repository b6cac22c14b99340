// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The default policy's real object, loaded into this kernel; and files that are no policy. */
#include "test_util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gelf.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bpflog.h"
#include "fs.h"
#include "journal.h"
#include "object.h"
#include "patience.h"

#define TGID 4711
#define VA 0x7f1200000000ULL
#define GIB (1ULL << 30)

static char dir[64];
static char policy[PATH_MAX];
static char *file; /* its bytes */
static size_t file_len;

static int setup(void **state)
{
	struct stat st;
	int fd;

	snprintf(policy, sizeof(policy), "%s", tu_build_path("policies/range.bpf.o"));
	fd = open(policy, O_RDONLY);
	if (fd < 0 || fstat(fd, &st)) {
		print_error("%s is missing: make policies\n", policy);
		return -1;
	}
	file_len = st.st_size;
	file = tu_zalloc(1, file_len);
	if (read(fd, file, file_len) != st.st_size)
		return -1;
	close(fd);
	fs_tmpdir(dir);
	ht_bpflog_start();
	return 0;
}

static int teardown(void **state)
{
	fs_rmtree(dir);
	free(file);
	return 0;
}

static const char *put(const void *data, size_t len)
{
	static char path[96];

	fs_put_bytes(dir, "x.bpf.o", data, len);
	snprintf(path, sizeof(path), "%s/x.bpf.o", dir);
	return path;
}

/* Opening fails with the error, a line that names the file, and nothing left open. */
static const char *refused(const char *path, int want)
{
	struct fs_log log;
	struct ht_object o;
	const char *said;
	int err;

	fs_log_start(&log);
	err = ht_object_open(&o, path);
	said = fs_log_end(&log);
	if (err != want)
		fail_msg("%s: %d, not %d: %s", path, err, want, said);
	assert_null(o.obj);
	assert_non_null(strstr(said, "error: "));
	assert_non_null(strstr(said, path));
	ht_object_close(&o);
	return said;
}

/* ---- files ---- */

static void test_open(void **state)
{
	struct ht_object o;

	assert_int_equal(ht_object_open(&o, policy), 0);
	assert_non_null(o.obj);
	assert_string_equal(o.info.name, "range");
	assert_int_equal(o.info.abi, HT_ABI_OF(HT_ABI_VERSION, HT_ABI_MINOR));
	assert_int_equal(o.info.flags, 0);
	assert_string_equal(o.path, policy);
	ht_object_close(&o);
	assert_null(o.obj);
	ht_object_close(&o);
	assert_int_equal(ht_object_open(&o, tu_build_path("policies/none.bpf.o")), 0);
	assert_string_equal(o.info.name, "none");
	ht_object_close(&o);
}

static void test_no_file(void **state)
{
	char fifo[96], longer[5000];

	assert_non_null(strstr(refused("/nonexistent/p.o", -ENOENT), "No such file"));
	assert_non_null(strstr(refused(dir, -EINVAL), "not a regular file"));
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	refused(fifo, -EINVAL);
	refused("/dev/null", -EINVAL);
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	refused(longer, -ENAMETOOLONG);
}

static void test_no_object(void **state)
{
	static const char *const text[] = { "", "x", "\177ELF", "#!/bin/sh\necho hello\n",
					    "\177ELF\2\1\1" };

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		refused(put(text[i], strlen(text[i])), -ENOEXEC);
	/* A program of this machine. */
	refused("/proc/self/exe", -ENOEXEC);
}

static void test_truncated(void **state)
{
	for (size_t len = 0; len < file_len; len += 1 + file_len / 60)
		refused(put(file, len), -ENOEXEC);
	refused(put(file, file_len - 1), -ENOEXEC);
}

/* ---- objects changed a little ---- */

/* A copy of the policy, and where the data of one of its sections lies. */
static char *copy_with(const char *section, size_t *off, size_t *len)
{
	char *c = tu_zalloc(1, file_len);
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t names;
	Elf *e;

	memcpy(c, file, file_len);
	elf_version(EV_CURRENT);
	e = elf_memory(c, file_len);
	assert_non_null(e);
	assert_int_equal(elf_getshdrstrndx(e, &names), 0);
	*len = 0;
	while ((scn = elf_nextscn(e, scn))) {
		assert_non_null(gelf_getshdr(scn, &sh));
		if (strcmp(elf_strptr(e, names, sh.sh_name), section))
			continue;
		*off = sh.sh_offset;
		*len = sh.sh_size;
	}
	elf_end(e);
	assert_int_not_equal(*len, 0);
	return c;
}

static void test_wrong_info(void **state)
{
	size_t off, len;
	char *c = copy_with(".rodata.policy", &off, &len);
	struct ht_policy_info *info = (void *)(c + off);
	struct ht_object o;
	const char *said;

	assert_true(len >= sizeof(*info));
	info->abi = HT_ABI_OF(HT_ABI_VERSION + 1, 0);
	said = refused(put(c, file_len), -EPROTO);
	assert_non_null(strstr(said, "ABI 2.0"));
	assert_non_null(strstr(said, "ABI 1."));
	assert_non_null(strstr(said, "rebuild"));
	/* It would read more of an argument than it gets. */
	info->abi = HT_ABI_OF(HT_ABI_VERSION, HT_ABI_MINOR + 1);
	refused(put(c, file_len), -EPROTO);
	info->abi = HT_ABI_OF(HT_ABI_VERSION, 0);
	assert_int_equal(ht_object_open(&o, put(c, file_len)), 0);
	ht_object_close(&o);
	info->abi = HT_ABI_OF(HT_ABI_VERSION, HT_ABI_MINOR);
	info->magic ^= 1;
	refused(put(c, file_len), -ENOEXEC);
	free(c);
}

/* A name without an end, or with what a terminal or JSON would stumble over. */
static void test_odd_name(void **state)
{
	size_t off, len, n;
	char *c = copy_with(".rodata.policy", &off, &len);
	struct ht_policy_info *info = (void *)(c + off);
	struct ht_object o;

	for (int i = 0; i < 3; i++) {
		memset(info->name, i == 0 ? 'n' : i == 1 ? '\033' : '\xff', sizeof(info->name));
		assert_int_equal(ht_object_open(&o, put(c, file_len)), 0);
		n = strnlen(o.info.name, sizeof(o.info.name));
		assert_true(n < sizeof(o.info.name));
		for (size_t k = 0; k < n; k++)
			assert_in_range((unsigned char)o.info.name[k], 0x20, 0x7e);
		ht_object_close(&o);
	}
	free(c);
}

static char *replace_all(char *c, const char *from, const char *to)
{
	size_t n = strlen(from) + 1, found = 0;

	assert_int_equal(strlen(to), n - 1);
	for (size_t i = 0; i + n <= file_len; i++) {
		if (!memcmp(c + i, from, n) && (!i || !c[i - 1])) {
			memcpy(c + i, to, n);
			found++;
		}
	}
	assert_int_not_equal(found, 0);
	return c;
}

/* BPF, but none of ours. */
static void test_no_policy(void **state)
{
	size_t off, len;
	char *c = replace_all(copy_with(".rodata.policy", &off, &len), ".rodata.policy",
			      ".rodata.polite");

	assert_non_null(strstr(refused(put(c, file_len), -ENOEXEC), "HYPERTIER_OPS_DEFINE"));
	free(c);
}

static void test_parts_missing(void **state)
{
	static const char *const part[][2] = {
		{ "heat_index", "heat_inde_" }, { "control", "contro_" },
		{ "heat_pages", "heat_page_" }, { "moves", "move_" },
		{ "ht_rank", "ht_ran_" },	{ "ht_admit", "ht_admi_" },
	};
	size_t off, len;

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		char *c = copy_with(".maps", &off, &len);

		replace_all(c, part[i][0], part[i][1]);
		assert_non_null(strstr(refused(put(c, file_len), -EPROTO), part[i][0]));
		free(c);
	}
}

/* The number of elements a map is made for stands in the type of an array. */
static void test_maps_too_small(void **state)
{
	static const uint32_t nr[] = { HT_RANGES_MAX, HT_MOVES_MAX };

	for (int i = 0; i < 2; i++) {
		size_t off, len, found = 0;
		char *c = copy_with(".BTF", &off, &len);

		for (size_t k = off / 4 * 4; k + 4 <= off + len; k += 4) {
			uint32_t v;

			memcpy(&v, c + k, 4);
			if (v != nr[i])
				continue;
			v = 64;
			memcpy(c + k, &v, 4);
			found++;
		}
		if (!found)
			fail_msg("no array of %u in the BTF", nr[i]);
		/* The loader would write past its end. */
		refused(put(c, file_len), -EPROTO);
		free(c);
	}
}

/* A size from a damaged file is not to be believed; a sanitizer's own memory is no matter. */
static void limit_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
	struct rlimit mem = { 2 * GIB, 2 * GIB };

	setrlimit(RLIMIT_AS, &mem);
#endif
}

/* In a child: 0 if the file opens, 1 if it is refused; dies of what it should not. c: its bytes. */
static void open_and_exit(const char *path, char *c)
{
	struct ht_object o;
	int err;

	/* Those of the test framework would hide a crash. */
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGFPE, SIG_DFL);
	signal(SIGILL, SIG_DFL);
	if (!freopen("/dev/null", "w", stderr))
		_exit(9);
	limit_memory();
	alarm(5 * patience());
	err = ht_object_open(&o, path);
	if (err && o.obj)
		_exit(2);
	ht_object_close(&o);
	/* Nobody needs them here, and valgrind looks for leaks in each process. */
	free(c);
	_exit(err ? 1 : 0);
}

/*
 * Flips bits in up to four bytes; in half of the variants where the structure is: headers, BTF, the
 * end.
 */
static void damage(char *c, int variant, size_t btf_off, size_t btf_len, uint64_t *rnd)
{
	int flips = 1 + tu_below(rnd, 4);

	memcpy(c, file, file_len);
	while (flips--) {
		size_t at = tu_below(rnd, file_len);

		if (variant % 6 == 1)
			at = tu_below(rnd, 64);
		else if (variant % 6 == 3)
			at = btf_off + tu_below(rnd, btf_len);
		else if (variant % 6 == 5)
			at = file_len - 1 - tu_below(rnd, 4096);
		c[at] ^= 1 + tu_below(rnd, 255);
	}
}

/* Whatever the bytes, opening returns; a crash shows as a signal. */
static void test_flipped_bytes(void **state)
{
	uint64_t rnd = 20240607;
	size_t off, len, opened = 0;
	char *c = copy_with(".BTF", &off, &len);

	for (int i = 0; i < 500; i++) {
		const char *path;
		int status;
		pid_t pid;

		damage(c, i, off, len, &rnd);
		path = put(c, file_len);
		pid = fork();
		if (!pid)
			open_and_exit(path, c);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFSIGNALED(status)) {
			fs_put_bytes("/tmp", "ht-crash.bpf.o", c, file_len);
			fail_msg("variant %d: signal %d (/tmp/ht-crash.bpf.o)", i,
				 WTERMSIG(status));
		}
		assert_in_range(WEXITSTATUS(status), 0, 1);
		opened += WEXITSTATUS(status) == 0;
	}
	/* Some did not matter, some did: else this says nothing. */
	assert_in_range(opened, 50, 450);
	free(c);
}

/* ---- into the kernel ---- */

static struct ht_object_opts opts(uint32_t generation)
{
	struct ht_object_opts o = { .generation = generation, .source = HT_SRC_EMULATED };

	ht_heatmap_size(&o.size, GIB);
	return o;
}

static void open_policy(struct ht_object *o)
{
	if (geteuid())
		skip();
	assert_int_equal(ht_object_open(o, policy), 0);
}

static void load(struct ht_object *o, const struct ht_object_opts *op)
{
	open_policy(o);
	assert_int_equal(ht_object_load(o, op), 0);
}

static void start_sampling(struct ht_object *o, struct ht_heatmap *hm, uint32_t generation)
{
	struct ht_target t = { .tgid = TGID };

	o->mem.ctl->abi = HT_ABI_VERSION;
	o->mem.ctl->generation = generation;
	o->mem.ctl->enabled = 1;
	assert_int_equal(ht_heatmap_init(hm, &o->mem), 0);
	assert_int_equal(bpf_map_update_elem(o->map_targets, &t.tgid, &t, BPF_ANY), 0);
}

static void inject(struct ht_object *o, const uint64_t *addr, size_t nr)
{
	struct ht_inject_args args = { .nr = nr, .source = HT_SRC_EMULATED };
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &args, .ctx_size_in = sizeof(args));

	for (size_t i = 0; i < nr; i++)
		o->src.inject[i] =
			(struct ht_inject_rec){ .addr = addr[i], .tgid = TGID, .node = 0xff };
	assert_int_equal(bpf_prog_test_run_opts(o->src.prog_inject, &run), 0);
}

static void test_load(void **state)
{
	struct ht_object_opts op = opts(1);
	struct ht_object o;

	load(&o, &op);
	assert_int_equal(o.mem.nr_tiles, op.size.nr_tiles);
	assert_int_equal(o.mem.nr_buckets, op.size.nr_buckets);
	assert_true(o.map_bytes >= op.size.bytes);
	for (int i = 0; i < HT_PROG_NR; i++)
		assert_true(o.prog[i] >= 0);
	assert_true(o.map_targets >= 0 && o.src.map_events >= 0 && o.src.map_stats >= 0);
	/* All of each map can be touched. */
	o.mem.tile[o.mem.nr_tiles - 1].key = 1;
	o.mem.bucket[o.mem.nr_buckets - 1].slot[HT_WAYS - 1] = 1;
	o.mem.detail[o.mem.nr_tiles - 1].nib[31] = 1;
	o.mem.free_tiles[op.size.tile_lines - 1].id[HT_IDS_PER_LINE - 1] = 1;
	o.ranges[HT_RANGES_MAX - 1].score = 1;
	o.moves[HT_MOVES_MAX - 1].score = 1;
	o.src.inject[HT_INJECT_MAX - 1].addr = 1;
	ht_object_close(&o);
	assert_null(o.mem.tile);
}

/* Of the sources' programs, those that are needed. */
static void test_programs_of_sources(void **state)
{
	static const struct {
		enum ht_source_id id;
		bool perf, page_fault, damon, inject;
	} src[] = {
		{ .id = HT_SRC_PEBS, .perf = true },
		{ .id = HT_SRC_IBS, .perf = true },
		{ .id = HT_SRC_PAGE_FAULT, .perf = true },
		{ .id = HT_SRC_HINT_FAULT, .page_fault = true },
		{ .id = HT_SRC_DAMON, .damon = true },
		{ .id = HT_SRC_EMULATED, .inject = true },
	};

	for (size_t i = 0; i < sizeof(src) / sizeof(src[0]); i++) {
		struct ht_object_opts op = opts(1);
		struct ht_object o;

		op.source = src[i].id;
		load(&o, &op);
		assert_int_equal(o.src.prog_perf >= 0, src[i].perf);
		assert_int_equal(o.src.prog_page_fault >= 0, src[i].page_fault);
		assert_int_equal(o.src.prog_damon >= 0, src[i].damon);
		assert_int_equal(o.src.prog_inject >= 0, src[i].inject);
		assert_int_equal(o.src.prog_perf_output, -1);
		ht_object_close(&o);
	}
}

static void stay_on_this_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* The kernel's sampler and the one these tests use count alike. */
static void test_sampler_agrees(void **state)
{
	struct ht_object_opts op = opts(1);
	uint64_t addr[HT_INJECT_MAX], rnd = 77;
	uint32_t details = 0;
	struct ht_heatmap hm;
	struct ht_object o;
	struct tu_map m;

	/* When a tile is looked at for dispersion depends on the CPU's count of samples. */
	stay_on_this_cpu();
	load(&o, &op);
	start_sampling(&o, &hm, 1);
	tu_map_alloc(&m, &op.size);
	assert_int_equal(ht_heatmap_init(&m.hm, &m.mem), 0);
	for (int round = 0; round < 12; round++) {
		for (size_t i = 0; i < HT_INJECT_MAX; i++) {
			uint32_t tile = tu_below(&rnd, 40), page = tu_below(&rnd, HT_TILE_PAGES);

			/* Tiles of few pages, of many, of some. */
			page = tile % 3 == 0 ? page % 7 * 31 : tile % 3 == 1 ? page : page % 64;
			addr[i] = VA + tile * HT_TILE_SIZE + page * TU_PAGE + i % 4096;
			tu_sample(&m, TGID, addr[i]);
		}
		inject(&o, addr, HT_INJECT_MAX);
		assert_int_equal(ht_heatmap_collect(&hm), 0);
		assert_int_equal(ht_heatmap_collect(&m.hm), 0);
		assert_int_equal(hm.nr_live, m.hm.nr_live);
		for (size_t i = 0; i < hm.nr_live; i++) {
			const struct ht_live *a = &hm.live[i], *b = &m.hm.live[i];
			struct ht_detail x, y;

			assert_int_equal(a->key, b->key);
			assert_int_equal(a->heat, b->heat);
			assert_int_equal(a->recent, b->recent);
			if (!ht_heatmap_detail(&m.hm, b->id, &y)) {
				assert_null(ht_heatmap_detail(&hm, a->id, &x));
				continue;
			}
			details++;
			assert_non_null(ht_heatmap_detail(&hm, a->id, &x));
			assert_memory_equal(&x, &y, sizeof(x));
		}
		if (round % 3 == 2) {
			o.mem.ctl->tick += round;
			m.mem.ctl->tick += round;
		}
	}
	assert_true(details > 0);
	ht_heatmap_free(&hm);
	tu_map_close(&m);
	ht_object_close(&o);
}

static void test_ops(void **state)
{
	struct ht_object_opts op = opts(1);
	struct ht_init init = { .abi = HT_ABI_VERSION, .nr_tiers = 2 };
	struct ht_tick tick = { .epoch = 1 };
	struct ht_exit why = { .kind = HT_EXIT_USER };
	struct ht_object o;
	int result = -7;

	load(&o, &op);
	assert_int_equal(ht_object_init_policy(&o, &init, &result), 0);
	assert_int_equal(result, 0);
	assert_true(o.info.ops & HT_OP_RANK);
	for (uint32_t i = 0; i < 1000; i++)
		o.ranges[i] = (struct ht_range){ .density = i * 1000, .score = ~0ULL };
	assert_int_equal(ht_object_rank(&o, 999), 0);
	for (uint32_t i = 1; i < 999; i++)
		assert_true(o.ranges[i].score > o.ranges[i - 1].score);
	assert_int_equal(o.ranges[999].score, ~0ULL);
	/* A scan ranks below memory in use that is as dense. */
	o.ranges[7] = o.ranges[8];
	o.ranges[7].flags = HT_RANGE_STREAM;
	assert_int_equal(ht_object_rank(&o, HT_RANGES_MAX), 0);
	assert_true(o.ranges[7].score < o.ranges[8].score);
	for (uint32_t i = 0; i < 10; i++)
		o.moves[i].admitted = 1;
	assert_int_equal(ht_object_admit(&o, 10), 0);
	assert_int_equal(o.moves[9].admitted, 1);
	assert_int_equal(ht_object_rank(&o, 0) | ht_object_admit(&o, 0), 0);
	assert_int_equal(ht_object_tick(&o, &tick), 0);
	assert_int_equal(ht_object_exit_policy(&o, &why), 0);
	(void)ht_object_run_ns(&o);
	ht_object_close(&o);
}

/* What HT_ABI_MINOR rests on: a longer argument than a policy reads is none of its business. */
static void test_grown_tick(void **state)
{
	struct {
		struct ht_tick tick;
		uint64_t added;
	} arg = {};
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &arg, .ctx_size_in = sizeof(arg));
	struct ht_object_opts op = opts(1);
	struct ht_object o;

	assert_int_equal(ht_object_open(&o, tu_build_path("policies/benefit.bpf.o")), 0);
	assert_int_equal(ht_object_load(&o, &op), 0);
	assert_int_equal(bpf_prog_test_run_opts(o.prog[HT_PROG_TICK], &run), 0);
	run.ctx_size_in = offsetof(struct ht_tick, period);
	assert_int_equal(bpf_prog_test_run_opts(o.prog[HT_PROG_TICK], &run), -EINVAL);
	ht_object_close(&o);
}

/* A second policy on the first one's maps: only the one whose turn it is counts. */
static void test_shared_heat(void **state)
{
	const uint64_t addr[] = { VA, VA, VA + HT_TILE_SIZE };
	struct ht_object_opts op = opts(1), op2 = opts(2);
	struct ht_heatmap hm;
	struct ht_object a, b;

	load(&a, &op);
	start_sampling(&a, &hm, 1);
	op2.heat_of = &a;
	ht_heatmap_size(&op2.size, 5 * GIB); /* of no matter: the maps are there already */
	load(&b, &op2);
	assert_int_equal(b.mem.nr_tiles, a.mem.nr_tiles);
	inject(&b, addr, 3);
	assert_int_equal(ht_heatmap_collect(&hm), 0);
	assert_int_equal(hm.nr_live, 0);
	inject(&a, addr, 3);
	assert_int_equal(ht_heatmap_collect(&hm), 0);
	assert_int_equal(hm.nr_live, 2);
	b.mem.ctl->generation = 2;
	inject(&a, addr, 3);
	inject(&b, addr, 2);
	assert_int_equal(ht_heatmap_collect(&hm), 0);
	assert_int_equal(hm.live[0].heat, 4);
	assert_int_equal(hm.live[1].heat, 1);
	ht_heatmap_free(&hm);
	/* The maps live on with the second one. */
	ht_object_close(&a);
	assert_int_equal(b.mem.ctl->generation, 2);
	inject(&b, addr, 2);
	ht_object_close(&b);
}

static void test_fentry_target(void **state)
{
	struct ht_object_opts op = opts(1);
	struct fs_log log;
	struct ht_object o;
	int err;

	op.fentry_target = "no_such_function_in_any_kernel";
	open_policy(&o);
	fs_log_start(&log);
	err = ht_object_load(&o, &op);
	assert_non_null(strstr(fs_log_end(&log), "error"));
	assert_true(err < 0);
	ht_object_close(&o);
}

/* What the verifier says is told: helpers it uses are for GPL programs only. */
static void test_rejected(void **state)
{
	struct ht_object_opts op = opts(1);
	size_t off, len;
	char *c = copy_with("license", &off, &len);
	struct fs_log log;
	const char *said;
	struct ht_object o;
	int err;

	if (geteuid())
		skip();
	memset(c + off, 'X', len - 1);
	assert_int_equal(ht_object_open(&o, put(c, file_len)), 0);
	fs_log_start(&log);
	err = ht_object_load(&o, &op);
	said = fs_log_end(&log);
	assert_true(err < 0);
	assert_non_null(strstr(said, "rejected"));
	assert_non_null(strstr(said, "range"));
	assert_non_null(strstr(said, "GPL"));
	ht_object_close(&o);
	free(c);
}

static void test_pin(void **state)
{
	struct ht_object_opts op = opts(1);
	char pin[] = "/sys/fs/bpf/ht-unit-XXXXXX", path[128];
	struct ht_journal *j;
	struct ht_object o;
	struct stat st;
	int fd;

	if (geteuid() || !mkdtemp(pin)) {
		print_message("no BPF file system: skipped\n");
		skip();
	}
	load(&o, &op);
	snprintf(path, sizeof(path), "%s/journal", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(ht_journal_open(&j, path, NULL), 0);
	assert_int_equal(ht_object_pin(&o, pin, j), 0);
	snprintf(path, sizeof(path), "%s/control", pin);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	close(fd);
	/* Again, over what a run left whose journal is lost. */
	assert_int_equal(ht_object_pin(&o, pin, j), 0);
	ht_object_close(&o);
	ht_journal_close(j);
	assert_int_not_equal(stat(path, &st), 0);
	assert_int_equal(rmdir(pin), 0);
}

/* ---- the test policies, as far as they are built ---- */

static void test_other_policies(void **state)
{
	struct ht_object_opts op = opts(1);
	struct ht_object o;
	glob_t g;
	size_t loaded = 0;

	if (geteuid() || glob(tu_build_path("tests/bpf/policy_*.bpf.o"), 0, NULL, &g)) {
		print_message("no test policies are built: skipped\n");
		skip();
	}
	for (size_t i = 0; i < g.gl_pathc; i++) {
		struct fs_log log;
		const char *said;
		int err;

		fs_log_start(&log);
		err = ht_object_open(&o, g.gl_pathv[i]);
		err = err ?: ht_object_load(&o, &op);
		said = fs_log_end(&log);
		/* They load, or it is said why not. */
		assert_true(!err || strstr(said, "error: "));
		if (strstr(g.gl_pathv[i], "policy_abi"))
			assert_int_equal(err, -EPROTO);
		loaded += !err;
		ht_object_close(&o);
	}
	assert_true(loaded > 0);
	globfree(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_no_object),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_no_policy),
		cmocka_unit_test(test_wrong_info),
		cmocka_unit_test(test_odd_name),
		cmocka_unit_test(test_parts_missing),
		cmocka_unit_test(test_maps_too_small),
		cmocka_unit_test(test_flipped_bytes),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_programs_of_sources),
		cmocka_unit_test(test_sampler_agrees),
		cmocka_unit_test(test_ops),
		cmocka_unit_test(test_grown_tick),
		cmocka_unit_test(test_shared_heat),
		cmocka_unit_test(test_fentry_target),
		cmocka_unit_test(test_rejected),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_other_policies),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
