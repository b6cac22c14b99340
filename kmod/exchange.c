// SPDX-License-Identifier: GPL-2.0
/*
 * Two folios on different nodes swap contents and identities: afterwards each address has the bytes
 * it had, in the other's frame. In four steps, each over the whole batch:
 *
 *   gather  looks the addresses up and takes both folios off the LRU, under the mmap lock;
 *   lock    tries their locks (never waits, so the order does not matter) and checks again;
 *   unmap   puts migration entries in place of all mappings, one TLB flush for all of them
 *           (huge pages: one for each process, whose areas are locked meanwhile);
 *   swap    with the reference counts frozen, so that nobody else holds a folio, then maps again.
 *
 * A pair that fails anywhere is put back as it was. No step allocates memory.
 *
 * Each folio keeps its charge and its NUMA hints: both belong to one memory cgroup and are of one
 * size, so the cgroup's counters do not change, and the objects behind the charge are per node.
 */
#include <linux/cpuset.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/ksm.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/page_idle.h>
#include <linux/pid.h>
#include <linux/ptrace.h>
#include <linux/sched/mm.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#include "hypertier.h"
#include "kernel.h"
#include "trace.h"

/* Processes named by one batch. */
#define MAX_PROCS 8

struct proc {
	u32 pid;
	u32 status;
	struct mm_struct *mm;
	nodemask_t nodes;
	bool held;		  /* the mmap lock, for writing */
	unsigned long start, end; /* what to flush, none where end is 0 */
};

struct batch {
	struct ht_ctx *ctx;
	struct ht_xchg *x;
	struct ht_xchg_stats *st;
	struct proc proc[MAX_PROCS];
	u32 nr_procs, nr_slots;
	bool drained, want_drain;
	/* While pages are gathered: whose mmap lock is held, and the areas found last. */
	struct mm_struct *locked;
	struct vm_area_struct *hot_area, *cold_area;
};

/* --- processes -------------------------------------------------------------------------------- */

static void open_proc(struct proc *p, u32 pid)
{
	struct task_struct *task = get_pid_task(find_vpid(pid), PIDTYPE_PID);

	p->pid = pid;
	p->mm = NULL;
	p->status = HT_XCHG_GONE;
	if (!task)
		return;
	if (!ht_call(ptrace_may_access, task, PTRACE_MODE_READ_REALCREDS)) {
		p->status = HT_XCHG_DENIED;
	} else {
		p->mm = get_task_mm(task);
		p->nodes = task->mems_allowed;
		if (p->mm)
			p->status = HT_XCHG_DONE;
	}
	put_task_struct(task);
}

static struct proc *get_proc(struct batch *b, u32 pid)
{
	u32 i;

	for (i = 0; i < b->nr_procs; i++)
		if (b->proc[i].pid == pid)
			return &b->proc[i];
	if (i == MAX_PROCS)
		return NULL;
	rcu_read_lock();
	/* find_vpid() wants RCU; nothing in open_proc() sleeps. */
	open_proc(&b->proc[i], pid);
	rcu_read_unlock();
	b->nr_procs++;
	return &b->proc[i];
}

/* The last user of an address space tears it down, which must not happen under folio locks. */
static void close_procs(struct batch *b)
{
	u32 i;

	for (i = 0; i < b->nr_procs; i++)
		if (b->proc[i].mm)
			mmput(b->proc[i].mm);
}

/* --- gather ----------------------------------------------------------------------------------- */

static void count_isolated(struct folio *f, long sign)
{
	mod_node_page_state(folio_pgdat(f), NR_ISOLATED_ANON, sign * folio_nr_pages(f));
}

static void put_back(struct ht_side *s)
{
	count_isolated(s->folio, -1);
	folio_add_lru(s->folio);
	folio_put(s->folio);
}

static bool plain_anon(struct folio *f)
{
	return folio_test_anon(f) && !folio_test_ksm(f) && !folio_test_hugetlb(f) &&
	       !folio_test_swapcache(f) && !folio_test_writeback(f) && !folio_test_mlocked(f) &&
	       !folio_test_unevictable(f) && folio_test_swapbacked(f) && folio_test_uptodate(f) &&
	       !folio_is_zone_device(f) && !folio_test_hwpoison(f);
}

static u32 judge(struct folio *f, enum folio_walk_level level, int node, bool huge)
{
	if (!plain_anon(f))
		return HT_XCHG_KIND;
	if (huge ? folio_order(f) != HPAGE_PMD_ORDER || level != FW_LEVEL_PMD : folio_test_large(f))
		return HT_XCHG_SIZE;
	if (folio_mapcount(f) != 1)
		return HT_XCHG_SHARED;
	if (node >= 0 && folio_nid(f) != node)
		return HT_XCHG_NODE;
	return HT_XCHG_DONE;
}

/* Under the page table's lock, which keeps the mapping and so the folio. */
static u32 isolate(struct batch *b, struct folio_walk *fw, struct folio *f, int node)
{
	u32 status = judge(f, fw->level, node, b->x->huge);

	if (status)
		return status;
	if (!ht_call(folio_isolate_lru, f)) {
		/* It is on its way to the LRU in some CPU's cache, or somebody else took it off. */
		b->want_drain = true;
		return HT_XCHG_BUSY;
	}
	count_isolated(f, 1);
	return HT_XCHG_DONE;
}

void ht_end_walk(struct folio_walk *fw, struct vm_area_struct *vma)
{
	spin_unlock(fw->ptl);
	if (fw->level == FW_LEVEL_PTE)
		pte_unmap(fw->ptep);
	ht_call(vma_pgtable_walk_end, vma);
}

static void unlock_mm(struct batch *b)
{
	if (b->locked)
		mmap_read_unlock(b->locked);
	b->locked = NULL;
	b->hot_area = NULL;
	b->cold_area = NULL;
}

/* The area at an address. Pages of a batch are mostly of one process, and next to each other. */
static struct vm_area_struct *find_area(struct batch *b, struct mm_struct *mm, unsigned long addr,
					struct vm_area_struct **last)
{
	if (b->locked != mm) {
		unlock_mm(b);
		mmap_read_lock(mm);
		b->locked = mm;
	}
	if (!*last || addr < (*last)->vm_start || addr >= (*last)->vm_end)
		*last = vma_lookup(mm, addr);
	return *last;
}

static u32 take(struct batch *b, struct mm_struct *mm, unsigned long addr, int node,
		struct vm_area_struct **last, struct ht_side *side)
{
	const vm_flags_t never = VM_IO | VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB | VM_LOCKED;
	struct vm_area_struct *vma = find_area(b, mm, addr, last);
	struct folio_walk fw;
	struct folio *f;
	u32 status;

	if (!vma || vma->vm_flags & never)
		return vma ? HT_XCHG_KIND : HT_XCHG_ABSENT;
	f = ht_call(folio_walk_start, &fw, vma, addr, 0);
	if (!f)
		return HT_XCHG_ABSENT;
	status = isolate(b, &fw, f, node);
	ht_end_walk(&fw, vma);
	side->folio = f;
	return status;
}

static u32 check_nodes(struct folio *hot, struct folio *cold, struct proc *h, struct proc *c)
{
	if (folio_nid(hot) == folio_nid(cold))
		return HT_XCHG_NODE;
	if (!node_isset(folio_nid(cold), h->nodes) || !node_isset(folio_nid(hot), c->nodes))
		return HT_XCHG_CPUSET;
	return HT_XCHG_DONE;
}

static u32 gather_pair(struct batch *b, struct ht_xchg_pair *p, struct ht_slot *s)
{
	struct proc *h = get_proc(b, p->hot_pid), *c = get_proc(b, p->cold_pid);
	u32 status;

	if (!h || !c)
		return HT_XCHG_BUSY;
	if (h->status || c->status)
		return h->status ?: c->status;
	status = take(b, h->mm, p->hot, b->x->hot_node, &b->hot_area, &s->hot);
	if (status)
		return status;
	status = take(b, c->mm, p->cold, b->x->cold_node, &b->cold_area, &s->cold);
	if (status) {
		put_back(&s->hot);
		return status;
	}
	status = check_nodes(s->hot.folio, s->cold.folio, h, c);
	if (status) {
		put_back(&s->hot);
		put_back(&s->cold);
	}
	return status;
}

/* How the policy is shown a pair: the loader's own words where it sent some. */
static bool admitted(struct batch *b, struct ht_xchg_pair *p)
{
	struct ht_move m = {};

	if (b->x->nr_moves) {
		/* Its pages stay those of the move: gain and cost are of them all. */
		m = b->ctx->move[p->move];
	} else {
		m.from_tier = 1;
		m.pages = b->x->huge ? HPAGE_PMD_NR : 1;
	}
	m.start = p->hot;
	m.tgid = p->hot_pid;
	return ht_hook_admit(&m, b->st);
}

#define UNTRIED HT_XCHG_STATUS_NR

/* Before any lock is taken: a policy may be slow. */
static void admit(struct batch *b)
{
	u32 i;

	for (i = 0; i < b->x->nr; i++) {
		b->ctx->pair[i].status = admitted(b, &b->ctx->pair[i]) ? UNTRIED : HT_XCHG_REFUSED;
		cond_resched();
	}
}

/* Pairs looked up under one mmap lock; who wants to change the address space waits for so many. */
#define LOCKED_PAIRS 32

static void gather(struct batch *b)
{
	u32 i;

	for (i = 0; i < b->x->nr; i++) {
		struct ht_xchg_pair *p = &b->ctx->pair[i];
		struct ht_slot *s = &b->ctx->slot[b->nr_slots];

		if (i % LOCKED_PAIRS == 0) {
			unlock_mm(b);
			cond_resched();
		}
		if (p->status != UNTRIED && !(b->drained && p->status == HT_XCHG_BUSY))
			continue;
		p->status = gather_pair(b, p, s);
		if (p->status)
			continue;
		s->pair = i;
		b->nr_slots++;
	}
	unlock_mm(b);
}

/* --- lock ------------------------------------------------------------------------------------- */

static bool same_memcg(struct folio *a, struct folio *b)
{
	bool same;

	rcu_read_lock();
	same = folio_memcg(a) == folio_memcg(b);
	rcu_read_unlock();
	return same;
}

/* With the folio locked: nobody but its mappings and this batch may hold it. */
static bool lock_side(struct batch *b, struct ht_side *s)
{
	struct folio *f = s->folio;

	if (!folio_trylock(f))
		return false;
	b->st->locks++;
	if (plain_anon(f) && folio_mapped(f) && !folio_get_private(f) &&
	    folio_ref_count(f) == folio_mapcount(f) + 1) {
		s->anon_vma = ht_call(folio_get_anon_vma, f);
		if (s->anon_vma)
			return true;
	}
	folio_unlock(f);
	return false;
}

static void unlock_side(struct ht_side *s)
{
	if (atomic_dec_and_test(&s->anon_vma->refcount))
		ht_call(__put_anon_vma, s->anon_vma);
	folio_unlock(s->folio);
}

static u32 lock_pair(struct batch *b, struct ht_slot *s)
{
	if (!same_memcg(s->hot.folio, s->cold.folio))
		return HT_XCHG_MEMCG;
	if (!lock_side(b, &s->hot))
		return HT_XCHG_BUSY;
	if (lock_side(b, &s->cold))
		return HT_XCHG_DONE;
	unlock_side(&s->hot);
	return HT_XCHG_BUSY;
}

/* Slots that cannot be locked leave, the others close up. */
static void lock(struct batch *b)
{
	struct ht_slot *slot = b->ctx->slot;
	u32 i, n = 0, status;

	for (i = 0; i < b->nr_slots; i++) {
		status = lock_pair(b, &slot[i]);
		b->ctx->pair[slot[i].pair].status = status;
		if (status) {
			put_back(&slot[i].hot);
			put_back(&slot[i].cold);
		} else {
			slot[n++] = slot[i];
		}
	}
	b->nr_slots = n;
}

/* --- unmap ------------------------------------------------------------------------------------ */

/*
 * Huge pages: locks the address space and the areas before any folio, as faults do that wait for a
 * folio with theirs held. Of one process only, since two such locks cannot be had safely; pages of
 * further ones are unmapped by the kernel's own function.
 */
static void hold_proc(struct batch *b)
{
	struct proc *p;

	for (p = b->proc; p < b->proc + b->nr_procs; p++) {
		if (!p->mm || !ht_huge_can_hold(p->mm))
			continue;
		p->held = !mmap_write_lock_killable(p->mm);
		return;
	}
}

static void hold_area(struct batch *b, u32 pid, unsigned long addr)
{
	struct proc *p = get_proc(b, pid);
	struct vm_area_struct *vma = p && p->held ? vma_lookup(p->mm, addr) : NULL;

	if (vma)
		vma_start_write(vma);
}

static void hold(struct batch *b)
{
	u32 i;

	hold_proc(b);
	for (i = 0; i < b->nr_slots; i++) {
		const struct ht_xchg_pair *p = &b->ctx->pair[b->ctx->slot[i].pair];

		hold_area(b, p->hot_pid, p->hot);
		hold_area(b, p->cold_pid, p->cold);
	}
}

static void let_go(struct batch *b)
{
	struct proc *p;

	for (p = b->proc; p < b->proc + b->nr_procs; p++)
		if (p->held)
			mmap_write_unlock(p->mm);
}

static void unmap_side(struct batch *b, u32 pid, unsigned long addr, struct folio *f)
{
	struct proc *p = get_proc(b, pid);
	enum ht_unmapped u = HT_UNMAP_OTHERWISE;

	if (p && p->held)
		u = ht_huge_unmap(p->mm, addr, f);
	if (u == HT_UNMAP_OTHERWISE)
		ht_call(try_to_migrate, f, TTU_BATCH_FLUSH);
	if (u != HT_UNMAPPED)
		return;
	p->start = p->end ? min(p->start, addr) : addr;
	p->end = max(p->end, addr + HPAGE_PMD_SIZE);
}

/* After this no CPU has a translation of what was unmapped. */
static void flush(struct batch *b)
{
	struct proc *p;

	for (p = b->proc; p < b->proc + b->nr_procs; p++) {
		if (!p->end)
			continue;
		ht_huge_flush(p->mm, p->start, p->end);
		b->st->flushes++;
	}
	ht_call(try_to_unmap_flush);
	b->st->flushes += !b->x->huge;
}

static void unmap(struct batch *b)
{
	u32 i;

	for (i = 0; i < b->nr_slots; i++) {
		const struct ht_slot *s = &b->ctx->slot[i];
		const struct ht_xchg_pair *p = &b->ctx->pair[s->pair];

		unmap_side(b, p->hot_pid, p->hot, s->hot.folio);
		unmap_side(b, p->cold_pid, p->cold, s->cold.folio);
	}
	flush(b);
}

/* --- swap ------------------------------------------------------------------------------------- */

#define SWAP_FLAG(flag, clear)                                                                     \
	do {                                                                                       \
		if (folio_test_##flag(h) == folio_test_##flag(c))                                  \
			break;                                                                     \
		if (folio_test_##flag(h)) {                                                        \
			folio_##clear##_##flag(h);                                                 \
			folio_set_##flag(c);                                                       \
		} else {                                                                           \
			folio_##clear##_##flag(c);                                                 \
			folio_set_##flag(h);                                                       \
		}                                                                                  \
	} while (0)

/* What says something of the contents, and not of the frame. */
static void swap_flags(struct folio *h, struct folio *c)
{
	SWAP_FLAG(referenced, clear);
	SWAP_FLAG(active, clear);
	SWAP_FLAG(workingset, clear);
	SWAP_FLAG(dirty, clear);
	SWAP_FLAG(idle, clear);
	SWAP_FLAG(young, test_clear);
}

/*
 * Whether a mapping is exclusive travels in its migration entry. A page that kept the mark (part of
 * a huge page unmapped by its process meanwhile) would lend it to the other's contents.
 */
static bool unmapped_whole(struct folio *f)
{
	long i;

	if (folio_mapped(f) || !plain_anon(f))
		return false;
	for (i = 0; i < folio_nr_pages(f); i++)
		if (PageAnonExclusive(folio_page(f, i)) || PageHWPoison(folio_page(f, i)))
			return false;
	return true;
}

static void unqueue_split(struct folio *f)
{
	if (folio_test_large(f) && folio_test_large_rmappable(f) &&
	    !data_race(list_empty(&f->_deferred_list)))
		ht_call(__folio_unqueue_deferred_split, f);
}

/* One reference is the batch's own. A count frozen at 0 cannot be raised by anybody. */
static bool swap_folios(struct folio *h, struct folio *c)
{
	if (!unmapped_whole(h) || !unmapped_whole(c) || !folio_ref_freeze(h, 1))
		return false;
	if (!folio_ref_freeze(c, 1)) {
		folio_ref_unfreeze(h, 1);
		return false;
	}
	unqueue_split(h);
	unqueue_split(c);
	ht_swap_contents(h, c);
	swap_flags(h, c);
	swap(h->mapping, c->mapping);
	swap(h->index, c->index);
	folio_ref_unfreeze(c, 1);
	folio_ref_unfreeze(h, 1);
	return true;
}

/*
 * The walk that maps finds the addresses by the new folio's index, and the place inside a huge page
 * by the old one's: both have to be the index of the contents while it runs.
 */
static void map_exchanged(struct folio *h, struct folio *c)
{
	pgoff_t hot = c->index, cold = h->index;

	h->index = hot;
	ht_call(remove_migration_ptes, h, c, 0);
	h->index = cold;
	c->index = cold;
	ht_call(remove_migration_ptes, c, h, 0);
	c->index = hot;
}

static void swap_slot(struct batch *b, struct ht_slot *s)
{
	struct folio *h = s->hot.folio, *c = s->cold.folio;
	struct ht_xchg_pair *p = &b->ctx->pair[s->pair];

	if (swap_folios(h, c)) {
		map_exchanged(h, c);
		b->x->done++;
		b->st->pages += 2 * folio_nr_pages(h);
	} else {
		p->status = HT_XCHG_BUSY;
		ht_call(remove_migration_ptes, h, h, 0);
		ht_call(remove_migration_ptes, c, c, 0);
	}
	unlock_side(&s->hot);
	unlock_side(&s->cold);
	put_back(&s->hot);
	put_back(&s->cold);
}

static void account(struct batch *b, u64 ns)
{
	u32 i;

	for (i = 0; i < b->x->nr; i++) {
		b->st->status[b->ctx->pair[i].status]++;
		trace_ht_exchange_pair(&b->ctx->pair[i], b->x->huge);
	}
	b->st->calls++;
	b->st->pairs += b->x->nr;
	b->st->ns += ns;
	trace_ht_exchange(b->x->nr, b->x->done, b->x->huge, ns);
}

void ht_exchange(struct ht_ctx *ctx, struct ht_xchg *x, struct ht_xchg_stats *st)
{
	struct batch b = { .ctx = ctx, .x = x, .st = st };
	u64 start = ktime_get_ns();
	u32 i;

	x->done = 0;
	admit(&b);
	ht_call(lru_add_drain);
	gather(&b);
	if (b.want_drain) {
		ht_call(lru_add_drain_all);
		st->drains++;
		b.drained = true;
		gather(&b);
	}
	if (x->huge)
		hold(&b);
	lock(&b);
	if (b.nr_slots)
		unmap(&b);
	let_go(&b);
	for (i = 0; i < b.nr_slots; i++) {
		swap_slot(&b, &ctx->slot[i]);
		cond_resched();
	}
	/* Back on the LRU, where the next exchange finds them. */
	ht_call(lru_add_drain);
	close_procs(&b);
	account(&b, ktime_get_ns() - start);
}
