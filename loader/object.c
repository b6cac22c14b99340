// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "bpflog.h"
#include "builtin.h"
#include "elfcheck.h"
#include "log.h"
#include "object.h"
#include "record.h"

#define VERIFIER_LINES 20
/* By the clock: a busy machine needs seconds for what takes milliseconds. */
#define OPEN_SECONDS 60

static const char *const prog_name[HT_PROG_NR] = {
	[HT_PROG_RANK] = "ht_rank", [HT_PROG_ADMIT] = "ht_admit", [HT_PROG_TICK] = "ht_tick",
	[HT_PROG_INIT] = "ht_init", [HT_PROG_EXIT] = "ht_exit",	  [HT_PROG_AGE] = "ht_age",
};

/* Maps that outlive a policy: shared by the objects of one run. */
static const char *const shared_maps[] = {
	"control", "heat",  "heat_index", "heat_pages", "free_tiles",	 "inject",    "ranges",
	"moves",   "stats", "targets",	  "events",	"damon_targets", "recording",
};

/* Maps worth reading from outside; the ring of free ids and the staging area are not. */
static const char *const pinned_maps[] = {
	"control", "heat", "heat_index", "heat_pages", "stats", "targets", "ranges", "moves",
};

/* The name comes from a file, and goes to terminals and between quotes. */
static void clean_name(char *name)
{
	size_t i;

	name[HT_NAME_LEN - 1] = '\0';
	for (i = 0; name[i]; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '"' || name[i] == '\\')
			name[i] = '?';
}

static int read_info(struct ht_object *o)
{
	const struct ht_policy_info *info;
	struct bpf_map *m;
	size_t size;

	bpf_object__for_each_map (m, o->obj) {
		if (strcmp(bpf_map__name(m), ".rodata.policy"))
			continue;
		info = bpf_map__initial_value(m, &size);
		if (!info || size < sizeof(*info) || info->magic != HT_ABI_MAGIC)
			break;
		o->info = *info;
		clean_name(o->info.name);
		if (HT_ABI_OF_VERSION(info->abi) == HT_ABI_VERSION &&
		    HT_ABI_OF_MINOR(info->abi) <= HT_ABI_MINOR)
			return 0;
		pr_err("%s: policy '%s' was built for ABI %u.%u, this loader speaks ABI %u.%u: "
		       "rebuild it with the headers of this version",
		       o->path, o->info.name, HT_ABI_OF_VERSION(info->abi),
		       HT_ABI_OF_MINOR(info->abi), HT_ABI_VERSION, HT_ABI_MINOR);
		return -EPROTO;
	}
	pr_err("%s: not a HyperTier policy (no policy information in section .rodata.policy; does "
	       "the source end in HYPERTIER_OPS_DEFINE?)",
	       o->path);
	return -ENOEXEC;
}

/* Every map and program this loader relies on must be there, of the right shape. */
static int check_shape(struct ht_object *o)
{
	static const struct {
		const char *name;
		uint32_t value,
			nr; /* nr: elements the loader relies on, 0 = it sets their number */
	} want[] = {
		{ "control", sizeof(struct ht_ctl), 1 },
		{ "heat", sizeof(struct ht_tile), 0 },
		{ "heat_index", sizeof(struct ht_bucket), 0 },
		{ "heat_pages", sizeof(struct ht_detail), 0 },
		{ "free_tiles", sizeof(struct ht_id_line), 0 },
		{ "inject", sizeof(struct ht_inject_rec), HT_INJECT_MAX },
		{ "ranges", sizeof(struct ht_range), HT_RANGES_MAX },
		{ "moves", sizeof(struct ht_move), HT_MOVES_MAX },
		{ "stats", sizeof(struct ht_cpu_stats), 0 },
		{ "targets", sizeof(struct ht_target), 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(o->obj, want[i].name);

		if (m && bpf_map__value_size(m) == want[i].value && bpf_map__key_size(m) == 4 &&
		    bpf_map__max_entries(m) >= want[i].nr)
			continue;
		pr_err("%s: map '%s' is missing or has another layout: rebuild the policy with the "
		       "headers of this version",
		       o->path, want[i].name);
		return -EPROTO;
	}
	for (i = 0; i < HT_PROG_NR; i++) {
		if (bpf_object__find_program_by_name(o->obj, prog_name[i]))
			continue;
		pr_err("%s: program '%s' is missing", o->path, prog_name[i]);
		return -EPROTO;
	}
	return 0;
}

/* What libbpf makes of the file is named as it would name it: by the file, up to the first dot. */
static struct bpf_object *open_bytes(const struct ht_object_bytes *b, const char *path)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	const char *base = strrchr(path, '/');
	char name[64];

	base = base ? base + 1 : path;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(base, "."), base);
	opts.object_name = *name ? name : "policy";
	return bpf_object__open_mem(b->bytes, b->len, &opts);
}

/* In the child of survives_open(): exits, or dies of the file. */
static void try_open(const struct ht_object_bytes *b, const char *path)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM };
	static const struct rlimit no_core;
	size_t i;

	for (i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &no_core);
	alarm(OPEN_SECONDS);
	libbpf_set_print(NULL);
	open_bytes(b, path);
	_exit(0);
}

/*
 * libbpf trusts its input: 1.1 reads where a damaged file points it. Offsets and type numbers are
 * checked before (elfcheck.h); for the rest, a child opens the same bytes first, so that a crash is
 * an error here.
 */
static bool survives_open(const struct ht_object_bytes *b, const char *path)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	if (!pid)
		try_open(b, path);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid <= 0 || !WIFSIGNALED(status))
		return true;
	if (WTERMSIG(status) == SIGALRM)
		pr_err("%s: not a BPF object that libbpf can read: it is damaged (not read after "
		       "%d s)",
		       path, OPEN_SECONDS);
	else
		pr_err("%s: not a BPF object that libbpf can read: it is damaged (libbpf died of "
		       "%s)",
		       path, strsignal(WTERMSIG(status)));
	return false;
}

static int read_bytes(int fd, struct ht_object_bytes *b, size_t size)
{
	char *bytes = malloc(size + 1);
	ssize_t n = 1;

	b->bytes = bytes;
	b->len = 0;
	if (!bytes)
		return -ENOMEM;
	while (b->len < size && n) {
		n = read(fd, bytes + b->len, size - b->len);
		if (n < 0 && errno != EINTR)
			return -errno;
		b->len += n > 0 ? n : 0;
	}
	return 0;
}

/* The file's bytes, once: what is checked and tried is what is opened. b->bytes is the caller's. */
static int read_file(const char *path, struct ht_object_bytes *b)
{
	/* A FIFO must not make it wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;
	struct stat st;

	b->bytes = NULL;
	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		pr_err("%s: not a regular file", path);
		close(fd);
		return -EINVAL;
	} else if (st.st_size > HT_ELF_MAX) {
		err = -EFBIG;
	} else {
		err = read_bytes(fd, b, st.st_size);
	}
	if (fd >= 0)
		close(fd);
	if (err)
		pr_err("%s: %s", path, strerror(-err));
	return err;
}

int ht_object_open_bytes(struct ht_object *o, const struct ht_object_bytes *b)
{
	int err;

	ht_bpflog_clear();
	o->obj = open_bytes(b, o->path);
	if (!o->obj) {
		err = -errno;
		pr_err("%s: not a BPF object that libbpf can read: %s", o->path, strerror(-err));
		ht_bpflog_tail(3);
		return -ENOEXEC;
	}
	err = read_info(o);
	if (!err)
		err = check_shape(o);
	if (err) {
		bpf_object__close(o->obj);
		o->obj = NULL;
	}
	return err;
}

int ht_object_open(struct ht_object *o, const char *path)
{
	struct ht_object_bytes b = {};
	char why[128];
	int err;

	memset(o, 0, sizeof(*o));
	o->src.prog_perf_output = -1;
	snprintf(o->path, sizeof(o->path), "%s", path);
	err = read_file(path, &b);
	if (err)
		goto out;
	err = ht_elf_check(b.bytes, b.len, why, sizeof(why));
	if (err)
		pr_err("%s: not a BPF object that libbpf can read: %s", path, why);
	else if (!survives_open(&b, path))
		err = -ENOEXEC;
	else
		err = ht_object_open_bytes(o, &b);
out:
	free((void *)b.bytes);
	return err;
}

int ht_object_open_builtin(struct ht_object *o)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "builtin");
	int err;

	memset(o, 0, sizeof(*o));
	o->src.prog_perf_output = -1;
	snprintf(o->path, sizeof(o->path), "%s", HT_BUILTIN_NAME);
	o->obj = bpf_object__open_mem(ht_builtin_policy, ht_builtin_policy_end - ht_builtin_policy,
				      &opts);
	if (!o->obj)
		return -errno;
	err = read_info(o);
	return err ?: check_shape(o);
}

static int set_max(struct ht_object *o, const char *name, uint32_t nr)
{
	return bpf_map__set_max_entries(bpf_object__find_map_by_name(o->obj, name), nr);
}

static int size_maps(struct ht_object *o, const struct ht_heatmap_size *s)
{
	int err;

	err = set_max(o, "heat", s->nr_tiles);
	err = err ?: set_max(o, "heat_index", s->nr_buckets);
	err = err ?: set_max(o, "heat_pages", s->nr_tiles);
	return err ?: set_max(o, "free_tiles", s->tile_lines);
}

static int share_maps(struct ht_object *o, const struct ht_object *with)
{
	size_t i;
	int err;

	for (i = 0; i < sizeof(shared_maps) / sizeof(shared_maps[0]); i++) {
		struct bpf_map *to = bpf_object__find_map_by_name(o->obj, shared_maps[i]);
		struct bpf_map *from = bpf_object__find_map_by_name(with->obj, shared_maps[i]);

		if (!to || !from || !bpf_map__autocreate(from))
			continue;
		err = bpf_map__set_max_entries(to, bpf_map__max_entries(from));
		err = err ?: bpf_map__reuse_fd(to, bpf_map__fd(from));
		if (err)
			return err;
	}
	return 0;
}

static int place_tables(struct ht_object *o, unsigned int node)
{
	static const char *const table[] = { "ranges", "moves" };
	size_t i;
	int err = 0;

	for (i = 0; !err && i < sizeof(table) / sizeof(table[0]); i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(o->obj, table[i]);

		err = bpf_map__set_map_flags(m, bpf_map__map_flags(m) | BPF_F_NUMA_NODE);
		err = err ?: bpf_map__set_numa_node(m, node);
	}
	return err;
}

static void autoload(struct ht_object *o, const char *name, bool on)
{
	struct bpf_program *p = bpf_object__find_program_by_name(o->obj, name);

	if (p)
		bpf_program__set_autoload(p, on);
}

static int choose_programs(struct ht_object *o, const struct ht_object_opts *opts)
{
	struct bpf_program *p;
	int err = 0;

	autoload(o, "ht_damon", opts->source == HT_SRC_DAMON);
	autoload(o, "ht_page_fault", opts->source == HT_SRC_HINT_FAULT);
	autoload(o, "ht_inject", opts->source == HT_SRC_EMULATED);
	autoload(o, "ht_perf",
		 opts->source == HT_SRC_PEBS || opts->source == HT_SRC_IBS ||
			 opts->source == HT_SRC_PAGE_FAULT);
	p = bpf_object__find_program_by_name(o->obj, "ht_perf_output");
	if (p && opts->fentry_target) {
		err = bpf_program__set_attach_target(p, 0, opts->fentry_target);
		bpf_program__set_autoload(p, true);
	} else if (p) {
		bpf_program__set_autoload(p, false);
	}
	return err;
}

static int set_constant(struct ht_object *o, const char *section, uint32_t value)
{
	struct bpf_map *m;

	bpf_object__for_each_map (m, o->obj)
		if (!strcmp(bpf_map__name(m), section))
			return bpf_map__set_initial_value(m, &value, sizeof(value));
	return -ENOENT;
}

/* The sampler compares this with control.generation: only one object's programs count. */
static int set_generation(struct ht_object *o, uint32_t generation)
{
	return set_constant(o, ".rodata.gen", generation);
}

/*
 * A perf_event program's context with its type spares four calls a sample (Linux 6.2). Objects of
 * an older header do without.
 */
static void set_typed_ctx(struct ht_object *o)
{
	struct btf *vmlinux = btf__load_vmlinux_btf();

	if (vmlinux && btf__find_by_name_kind(vmlinux, "bpf_cast_to_kern_ctx", BTF_KIND_FUNC) > 0)
		set_constant(o, ".rodata.ctx", 1);
	btf__free(vmlinux);
}

/* Without a recording there is no ring, and the verifier takes out what would fill it. */
static int set_recording(struct ht_object *o, const struct ht_object_opts *opts)
{
	struct bpf_map *m = bpf_object__find_map_by_name(o->obj, "recording");
	bool on = opts->heat_of ? opts->heat_of->map_recording >= 0 : opts->record;
	int err;

	if (!m)
		return on ? -ENOENT : 0;
	if (!on)
		return bpf_map__set_autocreate(m, false);
	err = opts->heat_of ? 0 : bpf_map__set_max_entries(m, HT_RECORD_RING);
	return err ?: set_constant(o, ".rodata.record", 1);
}

static void *map_memory(struct ht_object *o, const char *name, int *err)
{
	struct bpf_map *m = bpf_object__find_map_by_name(o->obj, name);
	size_t len = (size_t)bpf_map__max_entries(m) * ((bpf_map__value_size(m) + 7) & ~7U);
	long page = sysconf(_SC_PAGESIZE);
	void *p;

	if (*err)
		return NULL;
	len = (len + page - 1) & ~(page - 1);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(m), 0);
	if (p == MAP_FAILED) {
		*err = -errno;
		pr_err("map '%s' cannot be mapped: %s", name, strerror(errno));
		return NULL;
	}
	o->mapping[o->nr_mapping].addr = p;
	o->mapping[o->nr_mapping++].len = len;
	o->map_bytes += len;
	return p;
}

static int map_all(struct ht_object *o)
{
	int err = 0;

	o->mem.ctl = map_memory(o, "control", &err);
	o->mem.tile = map_memory(o, "heat", &err);
	o->mem.bucket = map_memory(o, "heat_index", &err);
	o->mem.detail = map_memory(o, "heat_pages", &err);
	o->mem.free_tiles = map_memory(o, "free_tiles", &err);
	o->src.inject = map_memory(o, "inject", &err);
	o->ranges = map_memory(o, "ranges", &err);
	o->moves = map_memory(o, "moves", &err);
	if (err)
		return err;
	o->mem.nr_tiles = bpf_map__max_entries(bpf_object__find_map_by_name(o->obj, "heat"));
	o->mem.nr_buckets =
		bpf_map__max_entries(bpf_object__find_map_by_name(o->obj, "heat_index"));
	return 0;
}

static int map_fd(struct ht_object *o, const char *name)
{
	return bpf_object__find_map_fd_by_name(o->obj, name);
}

static int prog_fd(struct ht_object *o, const char *name)
{
	struct bpf_program *p = bpf_object__find_program_by_name(o->obj, name);

	return p && bpf_program__autoload(p) ? bpf_program__fd(p) : -1;
}

static void collect_fds(struct ht_object *o, const struct ht_object_opts *opts)
{
	struct ht_source_bpf *s = &o->src;
	struct bpf_map *m;
	size_t i;

	for (i = 0; i < HT_PROG_NR; i++)
		o->prog[i] = prog_fd(o, prog_name[i]);
	o->map_targets = map_fd(o, "targets");
	m = bpf_object__find_map_by_name(o->obj, "recording");
	o->map_recording = m && bpf_map__autocreate(m) ? bpf_map__fd(m) : -1;
	s->prog_perf = prog_fd(o, "ht_perf");
	s->prog_perf_output = prog_fd(o, "ht_perf_output");
	s->perf_output_fn = opts->fentry_target;
	s->prog_page_fault = prog_fd(o, "ht_page_fault");
	s->prog_damon = prog_fd(o, "ht_damon");
	s->prog_inject = prog_fd(o, "ht_inject");
	s->map_events = map_fd(o, "events");
	s->map_damon_targets = map_fd(o, "damon_targets");
	s->map_stats = map_fd(o, "stats");
}

int ht_object_load(struct ht_object *o, const struct ht_object_opts *opts)
{
	int err;

	err = opts->heat_of ? share_maps(o, opts->heat_of) : size_maps(o, &opts->size);
	err = err ?: choose_programs(o, opts);
	err = err ?: set_generation(o, opts->generation);
	err = err ?: set_recording(o, opts);
	if (!err && opts->table_node && !opts->heat_of)
		err = place_tables(o, opts->table_node - 1);
	if (!err && (opts->source == HT_SRC_PEBS || opts->source == HT_SRC_IBS))
		set_typed_ctx(o);
	if (err) {
		pr_err("%s: cannot be prepared for loading: %s", o->path, strerror(-err));
		return err;
	}
	ht_bpflog_clear();
	err = bpf_object__load(o->obj);
	if (err == -ENOMEM && !opts->heat_of) {
		pr_err("not enough kernel memory for %.1f MiB of heat map: start earlier, or with "
		       "a smaller --heat-memory (kernel memory does not come from movable-only "
		       "nodes, so a full fast tier may be the cause)",
		       opts->size.bytes / 1048576.0);
		return err;
	}
	if (err) {
		pr_err("policy '%s' (%s) was rejected by the kernel: %s; the last lines of the "
		       "log:",
		       o->info.name, o->path, strerror(-err));
		ht_bpflog_tail(VERIFIER_LINES);
		return err;
	}
	collect_fds(o, opts);
	return map_all(o);
}

int ht_object_follow(struct ht_object *o)
{
	static const char *const what[HT_FOLLOW_NR][2] = {
		{ "ht_fork", "sched_process_fork" },
		{ "ht_exec", "sched_process_exec" },
		{ "ht_gone", "sched_process_exit" },
	};
	int i, fd, err;

	for (i = 0; i < HT_FOLLOW_NR; i++) {
		fd = prog_fd(o, what[i][0]);
		fd = fd < 0 ? -1 : bpf_raw_tracepoint_open(what[i][1], fd);
		if (fd < 0) {
			err = -errno;
			pr_err("cannot attach %s to %s: %s", what[i][0], what[i][1],
			       strerror(-err));
			return err;
		}
		o->follow_fd[i] = fd;
	}
	return 0;
}

int ht_object_pin(struct ht_object *o, const char *dir, struct ht_journal *journal)
{
	char path[PATH_MAX];
	size_t i;
	int err;

	for (i = 0; i < sizeof(pinned_maps) / sizeof(pinned_maps[0]); i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(o->obj, pinned_maps[i]);

		snprintf(path, sizeof(path), "%s/%s", dir, pinned_maps[i]);
		err = ht_journal_note_unlink(journal, path);
		if (err)
			return err;
		/* Left by a run whose journal is lost; the lock says nobody uses it. */
		if (unlink(path) == 0)
			pr_info("removed a stale pin: %s", path);
		err = bpf_obj_pin(bpf_map__fd(m), path) ? -errno : 0;
		if (err) {
			pr_err("cannot pin %s: %s", path, strerror(-err));
			return err;
		}
	}
	return 0;
}

void ht_object_close(struct ht_object *o)
{
	size_t i;

	for (i = 0; i < HT_FOLLOW_NR; i++)
		if (o->follow_fd[i] > 0)
			close(o->follow_fd[i]);
	for (i = 0; i < o->nr_mapping; i++)
		munmap(o->mapping[i].addr, o->mapping[i].len);
	if (o->obj)
		bpf_object__close(o->obj);
	memset(o, 0, sizeof(*o));
}

/* Runs one "syscall" program; *ret gets what it returned. */
static int run(const struct ht_object *o, enum ht_prog which, void *ctx, size_t size, int *ret)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = ctx, .ctx_size_in = size);
	int err;

	err = bpf_prog_test_run_opts(o->prog[which], &opts);
	if (err)
		return -errno;
	if (ret)
		*ret = opts.retval;
	return 0;
}

int ht_object_init_policy(struct ht_object *o, const struct ht_init *init, int *result)
{
	struct ht_init_args args = { .init = *init };
	int err;

	err = run(o, HT_PROG_INIT, &args, sizeof(args), result);
	if (!err)
		o->info.ops = args.ops;
	return err;
}

int ht_object_tick(struct ht_object *o, const struct ht_tick *t)
{
	struct ht_tick copy = *t;

	return o->info.ops & HT_OP_TICK ? run(o, HT_PROG_TICK, &copy, sizeof(copy), NULL) : 0;
}

int ht_object_age(struct ht_object *o)
{
	struct ht_age_args args = { .first = 1, .nr = o->mem.nr_tiles - 1 };

	return o->info.ops & HT_OP_AGE ? run(o, HT_PROG_AGE, &args, sizeof(args), NULL) : 0;
}

/* Of what a policy is shown: the first len bytes of each entry, a multiple of 4. */
static uint64_t checksum(const void *entry, size_t nr, size_t size, size_t len)
{
	uint64_t sum = nr;
	uint32_t word;

	for (; nr; nr--, entry = (const char *)entry + size)
		for (size_t i = 0; i < len; i += sizeof(word)) {
			memcpy(&word, (const char *)entry + i, sizeof(word));
			sum = (sum ^ word) * 0x9e3779b97f4a7c15ULL;
			sum ^= sum >> 29;
		}
	return sum;
}

/*
 * Runs one of the ops over the first nr entries. A policy shares the memory it reads: one that
 * writes there has to be told from one that works. len: of what it is shown of an entry.
 */
static int run_over(struct ht_object *o, enum ht_prog prog, const void *entry, size_t nr,
		    size_t size, size_t len)
{
	struct ht_batch_args args = { .nr = nr };
	uint64_t before;
	int err;

	if (!nr)
		return 0;
	before = checksum(entry, nr, size, len);
	err = run(o, prog, &args, sizeof(args), NULL);
	if (!err && checksum(entry, nr, size, len) != before)
		return -EBADMSG;
	return err;
}

int ht_object_rank(struct ht_object *o, size_t nr)
{
	return run_over(o, HT_PROG_RANK, o->ranges, nr, sizeof(*o->ranges),
			offsetof(struct ht_range, score));
}

int ht_object_admit(struct ht_object *o, size_t nr)
{
	if (!(o->info.ops & HT_OP_ADMIT))
		return 0;
	return run_over(o, HT_PROG_ADMIT, o->moves, nr, sizeof(*o->moves),
			offsetof(struct ht_move, admitted));
}

int ht_object_exit_policy(struct ht_object *o, const struct ht_exit *e)
{
	struct ht_exit copy = *e;

	return o->info.ops & HT_OP_EXIT ? run(o, HT_PROG_EXIT, &copy, sizeof(copy), NULL) : 0;
}

uint64_t ht_object_run_ns(const struct ht_object *o)
{
	struct bpf_prog_info info;
	struct bpf_program *p;
	uint64_t sum = 0;
	uint32_t len;

	bpf_object__for_each_program (p, o->obj) {
		if (!bpf_program__autoload(p))
			continue;
		len = sizeof(info);
		memset(&info, 0, sizeof(info));
		if (!bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len))
			sum += info.run_time_ns;
	}
	return sum;
}
