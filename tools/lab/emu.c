// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The lab's emulator: a QEMU TCG plugin for x86-64 guests that plays the parts of a two-tier
 * machine a virtual machine does not have.
 *
 * - It counts every load and store a marked workload makes in user mode, by the NUMA node that
 *   serves it. What counts is decided by the address space (cr3), followed at the instructions that
 *   load cr3; kernel code is not instrumented at all.
 * - With model=1 it runs the accesses through first-level caches per vCPU and a shared LLC, and
 *   charges misses with the latency and bandwidth of their node, which gives a run time that does
 *   not depend on the host.
 * - It writes every N-th access (LLC miss, with the model) into a ring the guest can map, as PEBS
 *   would. N is jittered by up to an eighth each time: a fixed distance would lock onto loops
 *   whose length divides it.
 *
 * Options (-plugin emu.so,name=value,...; sizes take K, M, G):
 *   ring=FILE        shared with the guest's ivshmem device (include/hypertier/lab_ring.h)
 *   ring_size=4M     size of FILE where it does not exist yet
 *   out=FILE         totals, runs and time series as JSON, at each STOP and at exit
 *   period=1000      initial sampling period (the guest may change it in the ring at any time)
 *   series=1000000   accesses between two rows of the time series
 *   model=0          1: caches and modelled time
 *   llc_size=8M llc_ways=16 llc_line=64 l1_size=32K (8 ways; 0: no first level)
 *   lat0=80 lat1=250 ... bw0=0 ...    latency in ns, bandwidth in MB/s (0: no cap), per node
 *   hit=10           ns of an LLC hit; a first-level hit costs nothing beyond its instruction
 *   insn_ps=250      ps of a user instruction
 *   mlp=1            misses that overlap on average
 *
 * What is exact: loads and stores. A locked read-modify-write counts as one of each, an iteration
 * of a string instruction as its loads and stores, and a 32-byte vector access as two. What is not:
 * instructions, which are counted by translation block, so a fault in the middle or a marker costs
 * a few. The model knows nothing of prefetching, of the TLB, or of the kernel's own traffic.
 *
 * Cost in host CPU time, gups with 20 million updates of 256 MiB (40 million accesses), QEMU 10.0:
 * without plugin 6.8 s, counting and sampling every 1000th 8.3 s (1.22), with the cache model 11.0
 * s (1.62). Boot, setting up and checking, which are not counted: 6.7 s without, 7.0 s with (1.05).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emu_marker.h"
#include "emu_options.h"
#include "emu_report.h"
#include "emu_state.h"

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_API_VERSION;

static struct emu emu = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- Modelled time --------------------------------------------------------------------------- */

static void charge(struct emu_vcpu *v, uint64_t ps)
{
	v->phase[emu.phase].ps += emu_model_charge(&emu.model, ps);
	v->ps += ps;
}

/* Books the instructions and hits since the last time. */
static void settle(struct emu_vcpu *v)
{
	uint64_t *now = qemu_plugin_scoreboard_find(emu.insns, v - emu.vcpu);
	uint64_t seen = __atomic_load_n(now, __ATOMIC_RELAXED);
	uint64_t insns = seen - v->insns_seen;

	v->insns_seen = seen;
	v->phase[emu.phase].insns += insns;
	if (!emu.opt.model)
		return;
	charge(v, v->pending_ps + insns * emu.model.insn_ps);
	v->pending_ps = 0;
}

static void llc_victim(struct emu_vcpu *v, uint64_t paddr)
{
	unsigned int node;

	if (paddr == ~0ULL)
		return;
	node = emu_map_node(emu.map, paddr, &v->map_last);
	v->writebacks[node]++;
	emu_model_queue(&emu.model, node);
}

/* Returns whether the access went to memory. */
static bool model_access(struct emu_vcpu *v, uint64_t paddr, unsigned int node, bool write)
{
	uint64_t victim;

	if (v->l1.nr_sets) {
		if (emu_cache_access(&v->l1, paddr, write, &victim)) {
			v->l1_hits++;
			return false;
		}
		if (victim != ~0ULL) {
			emu_cache_access_shared(&emu.llc, victim, true, &victim);
			llc_victim(v, victim);
		}
		write = false; /* the first level has the dirty line until it evicts it */
	}
	if (emu_cache_access_shared(&emu.llc, paddr, write, &victim)) {
		v->hits[node]++;
		v->pending_ps += emu.model.hit_ps;
		return false;
	}
	llc_victim(v, victim);
	settle(v);
	charge(v, emu_model_miss(&emu.model, node));
	v->phase[emu.phase].misses[node]++;
	return true;
}

/* --- Samples --------------------------------------------------------------------------------- */

static uint64_t next_countdown(struct emu_vcpu *v)
{
	uint64_t jitter = v->period / 8;

	if (!jitter)
		return v->period;
	v->rng ^= v->rng << 13;
	v->rng ^= v->rng >> 7;
	v->rng ^= v->rng << 17;
	return v->period - jitter + v->rng % (2 * jitter + 1);
}

static bool sample_due(struct emu_vcpu *v)
{
	uint64_t period = __atomic_load_n(&emu.hdr->period, __ATOMIC_RELAXED);

	if (period != v->period) {
		v->period = period;
		v->countdown = next_countdown(v);
	}
	if (!period || --v->countdown)
		return false;
	v->countdown = next_countdown(v);
	return true;
}

static void emit(struct emu_vcpu *v, uint64_t vaddr, unsigned int node, bool write)
{
	struct ht_ring_rec rec = {
		.vaddr = vaddr,
		.tgid = v->tgid,
		.write = write,
		.node = node < HT_RING_MAX_NODES ? node : HT_RING_NODE_UNKNOWN,
		.vcpu = v - emu.vcpu,
	};

	while (__atomic_test_and_set(&emu.ring_lock, __ATOMIC_ACQUIRE))
		;
	emu.rec[emu.head & (emu.nr_slots - 1)] = rec;
	__atomic_store_n(&emu.hdr->head, ++emu.head, __ATOMIC_RELEASE);
	__atomic_clear(&emu.ring_lock, __ATOMIC_RELEASE);
}

/* --- Accesses -------------------------------------------------------------------------------- */

static void flush(struct emu_vcpu *v)
{
	v->since_flush = 0;
	settle(v);
	if (pthread_mutex_trylock(&emu.lock))
		return; /* someone is publishing just now */
	emu_publish(&emu);
	pthread_mutex_unlock(&emu.lock);
}

static void count(struct emu_vcpu *v, qemu_plugin_meminfo_t info, uint64_t vaddr, bool write)
{
	struct qemu_plugin_hwaddr *hw = qemu_plugin_get_hwaddr(info, vaddr);
	uint64_t paddr = hw ? qemu_plugin_hwaddr_phys_addr(hw) : ~0ULL;
	unsigned int node = emu_map_node(emu.map, paddr, &v->map_last);
	struct emu_count *c = &v->phase[emu.phase];

	if (write)
		c->stores[node]++;
	else
		c->loads[node]++;
	if ((!emu.opt.model || model_access(v, paddr, node, write)) && sample_due(v))
		emit(v, vaddr, node, write);
	if (++v->since_flush >= EMU_FLUSH)
		flush(v);
}

static void on_load(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	struct emu_vcpu *v = &emu.vcpu[vcpu];

	if (__builtin_expect(v->active, 0))
		count(v, info, vaddr, false);
}

static void on_store(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	struct emu_vcpu *v = &emu.vcpu[vcpu];

	if (__builtin_expect(v->active, 0))
		count(v, info, vaddr, true);
}

/* --- Address spaces and markers -------------------------------------------------------------- */

static uint64_t read_reg(struct emu_vcpu *v, struct qemu_plugin_register *reg)
{
	uint64_t val = 0;

	g_byte_array_set_size(v->reg_buf, 0);
	if (!reg || qemu_plugin_read_register(reg, v->reg_buf) <= 0)
		return 0;
	memcpy(&val, v->reg_buf->data, v->reg_buf->len < 8 ? v->reg_buf->len : 8);
	return val;
}

static struct emu_space *find_space(uint64_t cr3)
{
	for (unsigned int i = 0; i < emu.nr_spaces; i++)
		if (emu.space[i].cr3 == cr3)
			return &emu.space[i];
	return NULL;
}

static void update_active(struct emu_vcpu *v)
{
	struct emu_space *s = emu.nr_started ? find_space(v->cr3) : NULL;

	if (s && !v->active) {
		uint64_t *now = qemu_plugin_scoreboard_find(emu.insns, v - emu.vcpu);

		v->insns_seen = __atomic_load_n(now, __ATOMIC_RELAXED);
	}
	v->tgid = s ? s->tgid : 0;
	__atomic_store_n(&v->active, s != NULL, __ATOMIC_RELEASE);
}

/* Before an instruction that loads cr3 from the register whose number data carries. */
static void on_cr3(unsigned int vcpu, void *data)
{
	struct emu_vcpu *v = &emu.vcpu[vcpu];
	uint64_t cr3 = emu_cr3_space(read_reg(v, v->reg_gpr[(uintptr_t)data]));

	if (cr3 == v->cr3)
		return;
	if (v->active)
		settle(v);
	pthread_mutex_lock(&emu.lock);
	v->cr3 = cr3;
	update_active(v);
	pthread_mutex_unlock(&emu.lock);
}

static void threads_add(int64_t threads)
{
	emu.model.threads += threads;
}

static void run_begin(void)
{
	emu.phase = 0;
	emu_model_start(&emu.model, 0);
	emu.model.threads = 0;
	if (emu.opt.model) {
		emu_cache_clear(&emu.llc);
		for (unsigned int i = 0; i < emu.nr_vcpus && emu.opt.l1_size; i++)
			emu_cache_clear(&emu.vcpu[i].l1);
	}
	emu_run_begin(&emu);
}

static void space_join(struct emu_vcpu *v, uint32_t tgid, uint64_t threads)
{
	struct emu_space *s = find_space(v->cr3);

	if (!s) {
		if (emu.nr_spaces == EMU_MAX_SPACES) {
			emu.spaces_dropped++;
			return;
		}
		s = &emu.space[emu.nr_spaces++];
		*s = (struct emu_space){ .cr3 = v->cr3 };
	}
	s->tgid = tgid;
	if (!threads)
		return;
	if (!emu.nr_started)
		run_begin();
	if (s->threads)
		threads_add(-(int64_t)s->threads);
	else
		emu.nr_started++;
	s->threads = threads;
	threads_add(threads);
}

/* stop: a STOP, which must have had a START, rather than a LEAVE. */
static void space_leave(struct emu_vcpu *v, bool stop)
{
	struct emu_space *s = find_space(v->cr3);
	uint32_t tgid, threads;

	if (!s || (stop && !s->threads))
		return;
	for (unsigned int i = 0; i < emu.nr_vcpus; i++)
		if (emu.vcpu[i].active)
			settle(&emu.vcpu[i]);
	tgid = s->tgid;
	threads = s->threads;
	*s = emu.space[--emu.nr_spaces];
	if (!threads)
		return;
	if (!--emu.nr_started) {
		emu_publish(&emu);
		emu_run_end(&emu, tgid);
		return;
	}
	threads_add(-(int64_t)threads);
}

static void load_map(void)
{
	struct emu_map *next = &emu.maps[(emu.nr_maps + 1) % EMU_MAPS];

	/* Not the map in use: other vCPUs may be searching it. */
	if (emu_map_load(next, emu.hdr)) {
		emu.bad_maps++;
		fprintf(stderr, "emu: the guest's memory map is not valid, keeping the last one\n");
		return;
	}
	emu.nr_maps++;
	__atomic_store_n(&emu.map, next, __ATOMIC_RELEASE);
}

static void set_phase(struct emu_vcpu *v, uint64_t phase)
{
	if (!v->active)
		return;
	for (unsigned int i = 0; i < emu.nr_vcpus; i++)
		if (emu.vcpu[i].active)
			settle(&emu.vcpu[i]);
	emu.phase = phase < HT_RING_MAX_PHASES ? phase : HT_RING_MAX_PHASES - 1;
	if (emu.phase >= emu.nr_phases)
		emu.nr_phases = emu.phase + 1;
}

static void do_marker(struct emu_vcpu *v, unsigned int cmd, uint64_t arg0, uint64_t arg1)
{
	switch (cmd) {
	case HT_MARK_START:
		space_join(v, arg0, arg1 && arg1 < 4096 ? arg1 : 1);
		break;
	case HT_MARK_JOIN:
		space_join(v, arg0, 0);
		break;
	case HT_MARK_STOP:
	case HT_MARK_LEAVE:
		space_leave(v, cmd == HT_MARK_STOP);
		break;
	case HT_MARK_PHASE:
		set_phase(v, arg0);
		break;
	case HT_MARK_MEMMAP:
		load_map();
		break;
	}
}

static void on_marker(unsigned int vcpu, void *data)
{
	struct emu_vcpu *v = &emu.vcpu[vcpu];
	uint64_t arg0 = read_reg(v, v->reg_gpr[7]), arg1 = read_reg(v, v->reg_gpr[6]);
	unsigned int cmd = (uintptr_t)data, runs;

	pthread_mutex_lock(&emu.lock);
	v->cr3 = emu_cr3_space(read_reg(v, v->reg_cr3));
	emu.markers++;
	runs = emu.nr_runs;
	do_marker(v, cmd, arg0, arg1);
	for (unsigned int i = 0; i < emu.nr_vcpus; i++)
		update_active(&emu.vcpu[i]);
	emu_publish(&emu);
	if (emu.nr_runs != runs)
		emu_write_out(&emu);
	pthread_mutex_unlock(&emu.lock);
}

/* --- Translation ----------------------------------------------------------------------------- */

static void instrument_kernel(struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	uint8_t code[16];

	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		int reg = emu_cr3_source(code, qemu_plugin_insn_data(insn, code, sizeof(code)));

		if (reg >= 0)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_cr3, QEMU_PLUGIN_CB_R_REGS,
							       (void *)(uintptr_t)reg);
	}
}

static void instrument_user(struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	uint8_t code[16];

	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
		tb, QEMU_PLUGIN_INLINE_ADD_U64, (qemu_plugin_u64){ .score = emu.insns }, n);
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		unsigned int cmd;

		cmd = emu_marker_decode(code, qemu_plugin_insn_data(insn, code, sizeof(code)));
		if (cmd)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, on_marker, QEMU_PLUGIN_CB_R_REGS, (void *)(uintptr_t)cmd);
		qemu_plugin_register_vcpu_mem_cb(insn, on_load, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_R, NULL);
		qemu_plugin_register_vcpu_mem_cb(insn, on_store, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_W, NULL);
	}
}

/* Code at low addresses is firmware and boot loader until the kernel runs, and user code after. */
static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	if (qemu_plugin_tb_vaddr(tb) >> 63) {
		__atomic_store_n(&emu.kernel_seen, true, __ATOMIC_RELAXED);
		instrument_kernel(tb);
	} else if (__atomic_load_n(&emu.kernel_seen, __ATOMIC_RELAXED)) {
		instrument_user(tb);
	}
}

/* --- Setting up ------------------------------------------------------------------------------ */

static void on_vcpu_init(qemu_plugin_id_t id, unsigned int vcpu)
{
	static const char *const gpr[EMU_NR_GPR] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
						     "rsi", "rdi", "r8",  "r9",	 "r10", "r11",
						     "r12", "r13", "r14", "r15" };
	struct emu_vcpu *v = &emu.vcpu[vcpu];
	GArray *regs = qemu_plugin_get_registers();
	const qemu_plugin_reg_descriptor *desc = (void *)regs->data;

	v->reg_buf = g_byte_array_new();
	for (unsigned int i = 0; i < regs->len; i++) {
		if (!strcmp(desc[i].name, "cr3"))
			v->reg_cr3 = desc[i].handle;
		for (unsigned int r = 0; r < EMU_NR_GPR; r++)
			if (!strcmp(desc[i].name, gpr[r]))
				v->reg_gpr[r] = desc[i].handle;
	}
	if (!v->reg_cr3 || !v->reg_gpr[7])
		fprintf(stderr,
			"emu: this QEMU does not show cr3 and rdi: nothing will be counted\n");
	g_array_free(regs, 1);
}

static void on_exit_qemu(qemu_plugin_id_t id, void *data)
{
	pthread_mutex_lock(&emu.lock);
	emu_publish(&emu);
	if (emu.nr_started)
		emu_run_end(&emu, emu.space[0].tgid);
	emu_write_out(&emu);
	pthread_mutex_unlock(&emu.lock);
}

static int ring_size(int fd, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*size = st.st_size;
	if (*size)
		return 0;
	*size = emu.opt.ring_size;
	return ftruncate(fd, *size) ? -errno : 0;
}

static int ring_open(void)
{
	uint64_t size = 0, tail = HT_RING_MAX_PHASES * sizeof(struct ht_ring_phase);
	int fd = open(emu.opt.ring, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *mem;
	int err;

	if (fd < 0)
		return -errno;
	err = ring_size(fd, &size);
	if (!err && size < HT_RING_DATA_OFFSET + tail + sizeof(struct ht_ring_rec))
		err = -EINVAL;
	if (err)
		goto out;
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED) {
		err = -errno;
		goto out;
	}
	memset(mem, 0, size);
	emu.hdr = mem;
	emu.nr_slots = 1ULL << emu_log2((size - HT_RING_DATA_OFFSET - tail) / sizeof(*emu.rec));
	emu.rec = (void *)((char *)mem + HT_RING_DATA_OFFSET);
	emu.hdr_phase = (void *)(emu.rec + emu.nr_slots);
out:
	close(fd);
	return err;
}

static void ring_init(void)
{
	struct ht_ring_hdr *h = emu.hdr;

	h->version = HT_RING_VERSION;
	h->record_size = sizeof(struct ht_ring_rec);
	h->nr_slots = emu.nr_slots;
	h->period = emu.opt.period;
	h->phase_offset = HT_RING_DATA_OFFSET + emu.nr_slots * sizeof(*emu.rec);
	h->nr_phases = HT_RING_MAX_PHASES;
	h->model = emu.opt.model;
	__atomic_store_n(&h->magic, HT_RING_MAGIC, __ATOMIC_RELEASE);
}

static int model_init(void)
{
	const struct emu_options *o = &emu.opt;
	struct emu_model *m = &emu.model;

	m->mlp = o->mlp;
	m->hit_ps = o->hit_ns * 1000;
	m->insn_ps = o->insn_ps;
	emu_model_start(m, 1);
	for (unsigned int n = 0; n < HT_RING_MAX_NODES; n++) {
		m->lat_ps[n] = o->lat_ns[n] * 1000;
		emu_model_bandwidth(m, n, o->line, o->bw_mb[n]);
	}
	m->lat_ps[HT_RING_MAX_NODES] = m->lat_ps[0];
	if (!o->model)
		return 0;
	if (emu_cache_init(&emu.llc, o->llc_size, o->llc_ways, o->line, true)) {
		fprintf(stderr, "emu: llc_size / llc_ways / llc_line must be a power of two\n");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < emu.nr_vcpus && o->l1_size; i++) {
		if (emu_cache_init(&emu.vcpu[i].l1, o->l1_size, 8, o->line, false)) {
			fprintf(stderr, "emu: l1_size / 8 / llc_line must be a power of two\n");
			return -EINVAL;
		}
	}
	return 0;
}

static int vcpus_init(unsigned int nr)
{
	emu.nr_vcpus = nr;
	emu.vcpu = aligned_alloc(_Alignof(struct emu_vcpu), nr * sizeof(*emu.vcpu));
	emu.run = calloc(EMU_MAX_RUNS, sizeof(*emu.run));
	emu.row = calloc(EMU_MAX_ROWS, sizeof(*emu.row));
	if (!emu.vcpu || !emu.run || !emu.row)
		return -ENOMEM;
	memset(emu.vcpu, 0, nr * sizeof(*emu.vcpu));
	for (unsigned int i = 0; i < nr; i++)
		emu.vcpu[i].rng = 0x2545f4914f6cdd1dULL * (i + 1);
	emu.insns = qemu_plugin_scoreboard_new(sizeof(uint64_t));
	emu.map = &emu.maps[0];
	emu.nr_phases = 1;
	emu.row_every = emu.opt.series;
	return 0;
}

PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
				      char **argv)
{
	int err;

	emu_options_default(&emu.opt);
	for (int i = 0; i < argc; i++) {
		if (emu_option_parse(&emu.opt, argv[i])) {
			fprintf(stderr, "emu: cannot use option '%s'\n", argv[i]);
			return -1;
		}
	}
	if (emu_options_check(&emu.opt))
		return -1;
	if (!info->system_emulation || strcmp(info->target_name, "x86_64") ||
	    info->system.max_vcpus > EMU_MAX_VCPUS) {
		fprintf(stderr, "emu: needs qemu-system-x86_64 with up to %d vCPUs\n",
			EMU_MAX_VCPUS);
		return -1;
	}
	err = vcpus_init(info->system.max_vcpus);
	if (!err)
		err = model_init();
	if (!err) {
		err = ring_open();
		if (err)
			fprintf(stderr, "emu: cannot use ring %s: %s\n", emu.opt.ring,
				strerror(-err));
	}
	if (err)
		return -1;
	ring_init();
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_exit_qemu, NULL);
	return 0;
}
