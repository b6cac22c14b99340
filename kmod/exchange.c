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

struct ht_proc {
	u32 pid;
	u32 status;
	struct mm_struct *mm;
	nodemask_t nodes;
	bool held;		  /* the mmap lock, for writing */
	unsigned long start, end; /* what to flush, none where end is 0 */
};

/* Pages isolated since the node's counter was told. */
struct isolated {
	struct pglist_data *node;
	long pages;
};

struct batch {
	struct ht_ctx *ctx;
	struct ht_xchg *x;
	struct ht_xchg_stats *st;
	struct ht_proc proc[MAX_PROCS];
	u32 nr_procs, nr_slots;
	bool drained, want_drain;
	/* Whose mmap lock is held, for reading, and what was found last. */
	struct mm_struct *locked;
	struct ht_lookup hot, cold;
	struct isolated isolated[2];
};

/* --- processes -------------------------------------------------------------------------------- */

static void open_proc(struct ht_proc *p, u32 pid)
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

static struct ht_proc *get_proc(struct batch *b, u32 pid)
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

/* --- locks and counters ----------------------------------------------------------------------- */

static void tell_isolated(struct isolated *i)
{
	if (i->pages)
		mod_node_page_state(i->node, NR_ISOLATED_ANON, i->pages);
	i->pages = 0;
}

/* Told at the next pause(); the kernel's own counters lag behind as much, one for each CPU. */
static void count_isolated(struct batch *b, struct folio *f, long sign)
{
	struct isolated *i = &b->isolated[folio_nid(f) % ARRAY_SIZE(b->isolated)];

	if (i->node != folio_pgdat(f)) {
		tell_isolated(i);
		i->node = folio_pgdat(f);
	}
	i->pages += sign * folio_nr_pages(f);
}

static void unlock_mm(struct batch *b)
{
	ht_pte_end(&b->hot);
	ht_pte_end(&b->cold);
	if (b->locked)
		mmap_read_unlock(b->locked);
	b->locked = NULL;
	b->hot = (struct ht_lookup){};
	b->cold = (struct ht_lookup){};
}

static bool lock_mm(struct batch *b, struct mm_struct *mm, bool wait)
{
	if (b->locked == mm)
		return true;
	unlock_mm(b);
	if (wait)
		mmap_read_lock(mm);
	else if (!mmap_read_trylock(mm))
		return false;
	b->locked = mm;
	return true;
}

/* The area at an address. Pages of a batch are mostly of one process, and next to each other. */
static struct vm_area_struct *find_area(struct ht_lookup *l, struct mm_struct *mm,
					unsigned long addr)
{
	if (!l->vma || addr < l->vma->vm_start || addr >= l->vma->vm_end)
		l->vma = vma_lookup(mm, addr);
	return l->vma;
}

/*
 * Pairs worked on under one mmap lock, first the hot sides and then the cold ones, so that
 * neighbours share the lock of their page table. Who wants to change the address space waits for so
 * many, and who wants a page that is mapped again.
 */
#define GROUP 32

static void pause(struct batch *b)
{
	u32 i;

	unlock_mm(b);
	for (i = 0; i < ARRAY_SIZE(b->isolated); i++)
		tell_isolated(&b->isolated[i]);
	cond_resched();
}

/* --- gather ----------------------------------------------------------------------------------- */

static void put_back(struct batch *b, struct ht_side *s)
{
	count_isolated(b, s->folio, -1);
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
static u32 isolate(struct batch *b, enum folio_walk_level level, struct folio *f, int node)
{
	u32 status = judge(f, level, node, b->x->huge);

	if (status)
		return status;
	if (!ht_call(folio_isolate_lru, f)) {
		/* It is on its way to the LRU in some CPU's cache, or somebody else took it off. */
		b->want_drain = true;
		return HT_XCHG_BUSY;
	}
	count_isolated(b, f, 1);
	return HT_XCHG_DONE;
}

void ht_end_walk(struct folio_walk *fw, struct vm_area_struct *vma)
{
	spin_unlock(fw->ptl);
	if (fw->level == FW_LEVEL_PTE)
		pte_unmap(fw->ptep);
	ht_call(vma_pgtable_walk_end, vma);
}

static u32 take_walked(struct batch *b, struct vm_area_struct *vma, unsigned long addr, int node,
		       struct ht_side *side)
{
	struct folio_walk fw;
	u32 status;

	side->folio = ht_call(folio_walk_start, &fw, vma, addr, 0);
	if (!side->folio)
		return HT_XCHG_ABSENT;
	status = isolate(b, fw.level, side->folio, node);
	ht_end_walk(&fw, vma);
	return status;
}

static u32 take(struct batch *b, struct mm_struct *mm, unsigned long addr, int node,
		struct ht_lookup *l, struct ht_side *side)
{
	const vm_flags_t never = VM_IO | VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB | VM_LOCKED;
	u32 status = HT_XCHG_ABSENT;
	pte_t *ptep;

	lock_mm(b, mm, true);
	if (!find_area(l, mm, addr) || l->vma->vm_flags & never)
		return l->vma ? HT_XCHG_KIND : HT_XCHG_ABSENT;
	ptep = b->x->huge ? NULL : ht_pte_get(l, addr);
	if (!ptep)
		return take_walked(b, l->vma, addr, node, side);
	if (pte_present(ptep_get(ptep)) && !pte_special(ptep_get(ptep))) {
		side->folio = page_folio(pte_page(ptep_get(ptep)));
		status = isolate(b, FW_LEVEL_PTE, side->folio, node);
	}
	return status;
}

static u32 check_nodes(const struct ht_side *hot, const struct ht_side *cold)
{
	int h = folio_nid(hot->folio), c = folio_nid(cold->folio);

	if (h == c)
		return HT_XCHG_NODE;
	if (!node_isset(c, hot->proc->nodes) || !node_isset(h, cold->proc->nodes))
		return HT_XCHG_CPUSET;
	return HT_XCHG_DONE;
}

static u32 take_hot(struct batch *b, const struct ht_xchg_pair *p, struct ht_slot *s)
{
	struct ht_proc *h = get_proc(b, p->hot_pid), *c = get_proc(b, p->cold_pid);

	if (!h || !c)
		return HT_XCHG_BUSY;
	if (h->status || c->status)
		return h->status ?: c->status;
	s->hot.proc = h;
	s->cold.proc = c;
	return take(b, h->mm, p->hot, b->x->hot_node, &b->hot, &s->hot);
}

static u32 take_cold(struct batch *b, const struct ht_xchg_pair *p, struct ht_slot *s)
{
	u32 status = take(b, s->cold.proc->mm, p->cold, b->x->cold_node, &b->cold, &s->cold);

	if (status) {
		put_back(b, &s->hot);
		return status;
	}
	status = check_nodes(&s->hot, &s->cold);
	if (status) {
		put_back(b, &s->hot);
		put_back(b, &s->cold);
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

/* Before any lock is taken: a policy may be slow, and a process's own locks are looked at. */
static void admit(struct batch *b)
{
	u32 i;

	for (i = 0; i < b->x->nr; i++) {
		struct ht_xchg_pair *p = &b->ctx->pair[i];

		p->status = admitted(b, p) ? UNTRIED : HT_XCHG_REFUSED;
		if (p->status == UNTRIED) {
			get_proc(b, p->hot_pid);
			get_proc(b, p->cold_pid);
		}
		cond_resched();
	}
}

static void gather_group(struct batch *b, u32 from, u32 to)
{
	struct ht_xchg_pair *pair = b->ctx->pair;
	struct ht_slot *slot = b->ctx->slot;
	u32 i, n = b->nr_slots;

	for (i = from; i < to; i++) {
		u32 was = pair[i].status;

		if (was != UNTRIED && !(b->drained && was == HT_XCHG_BUSY))
			continue;
		slot[n].pair = i;
		pair[i].status = take_hot(b, &pair[i], &slot[n]);
		n += !pair[i].status;
	}
	ht_pte_end(&b->hot);
	for (i = b->nr_slots; i < n; i++) {
		struct ht_xchg_pair *p = &pair[slot[i].pair];

		p->status = take_cold(b, p, &slot[i]);
		if (!p->status)
			slot[b->nr_slots++] = slot[i];
	}
}

static void gather(struct batch *b)
{
	u32 i;

	for (i = 0; i < b->x->nr; i += GROUP) {
		gather_group(b, i, min(i + GROUP, b->x->nr));
		pause(b);
	}
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
			put_back(b, &slot[i].hot);
			put_back(b, &slot[i].cold);
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
	struct ht_proc *p;

	for (p = b->proc; p < b->proc + b->nr_procs; p++) {
		if (!p->mm || !ht_huge_can_hold(p->mm))
			continue;
		p->held = !mmap_write_lock_killable(p->mm);
		return;
	}
}

static void hold_area(const struct ht_proc *p, unsigned long addr)
{
	struct vm_area_struct *vma = p->held ? vma_lookup(p->mm, addr) : NULL;

	if (vma)
		vma_start_write(vma);
}

static void hold(struct batch *b)
{
	u32 i;

	hold_proc(b);
	for (i = 0; i < b->nr_slots; i++) {
		const struct ht_slot *s = &b->ctx->slot[i];

		hold_area(s->hot.proc, b->ctx->pair[s->pair].hot);
		hold_area(s->cold.proc, b->ctx->pair[s->pair].cold);
	}
}

static void let_go(struct batch *b)
{
	struct ht_proc *p;

	for (p = b->proc; p < b->proc + b->nr_procs; p++)
		if (p->held)
			mmap_write_unlock(p->mm);
}

static void unmap_side(const struct ht_side *s, unsigned long addr)
{
	struct ht_proc *p = s->proc;
	enum ht_unmapped u = HT_UNMAP_OTHERWISE;

	if (p->held)
		u = ht_huge_unmap(p->mm, addr, s->folio);
	if (u == HT_UNMAP_OTHERWISE)
		ht_call(try_to_migrate, s->folio, TTU_BATCH_FLUSH);
	if (u != HT_UNMAPPED)
		return;
	p->start = p->end ? min(p->start, addr) : addr;
	p->end = max(p->end, addr + HPAGE_PMD_SIZE);
}

/* After this no CPU has a translation of what was unmapped. */
static void flush(struct batch *b)
{
	struct ht_proc *p;

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

		unmap_side(&s->hot, p->hot);
		unmap_side(&s->cold, p->cold);
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
 * Maps a folio where another was. The kernel's walk finds the addresses by the new folio's index,
 * and the place inside a huge page by the old one's: both have to be the index of the contents
 * while it runs.
 */
static void map_side(struct batch *b, struct ht_lookup *l, unsigned long addr,
		     const struct ht_side *from, struct folio *to)
{
	struct mm_struct *mm = from->proc->mm;
	struct folio *f = from->folio;
	pgoff_t own = f->index;

	if (!b->x->huge && lock_mm(b, mm, false) && find_area(l, mm, addr) &&
	    ht_pte_map(l, addr, f, to, from->anon_vma))
		return;
	ht_pte_end(l);
	f->index = to->index;
	ht_call(remove_migration_ptes, f, to, 0);
	f->index = own;
}

static void map_group(struct batch *b, const struct ht_slot *s, const struct ht_slot *end)
{
	const struct ht_xchg_pair *pair = b->ctx->pair;
	const struct ht_slot *i;

	for (i = s; i < end; i++)
		if (i->swapped)
			map_side(b, &b->hot, pair[i->pair].hot, &i->hot, i->cold.folio);
	ht_pte_end(&b->hot);
	for (i = s; i < end; i++)
		if (i->swapped)
			map_side(b, &b->cold, pair[i->pair].cold, &i->cold, i->hot.folio);
}

/* Where nothing was swapped, each folio goes back to where it was. */
static void finish_slot(struct batch *b, struct ht_slot *s)
{
	struct folio *h = s->hot.folio, *c = s->cold.folio;

	if (s->swapped) {
		b->x->done++;
		b->st->pages += 2 * folio_nr_pages(h);
	} else {
		b->ctx->pair[s->pair].status = HT_XCHG_BUSY;
		ht_call(remove_migration_ptes, h, h, 0);
		ht_call(remove_migration_ptes, c, c, 0);
	}
	unlock_side(&s->hot);
	unlock_side(&s->cold);
	put_back(b, &s->hot);
	put_back(b, &s->cold);
}

static void swap_group(struct batch *b, struct ht_slot *s, struct ht_slot *end)
{
	struct ht_slot *i;

	for (i = s; i < end; i++)
		i->swapped = swap_folios(i->hot.folio, i->cold.folio);
	map_group(b, s, end);
	pause(b);
	for (i = s; i < end; i++)
		finish_slot(b, i);
}

static void swap_slots(struct batch *b)
{
	u32 i, n, size = b->x->huge ? 1 : GROUP;
	struct ht_slot *slot = b->ctx->slot;

	for (i = 0; i < b->nr_slots; i += n) {
		n = min(size, b->nr_slots - i);
		swap_group(b, slot + i, slot + i + n);
	}
	pause(b);
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
	swap_slots(&b);
	/* Back on the LRU, where the next exchange finds them. */
	ht_call(lru_add_drain);
	close_procs(&b);
	account(&b, ktime_get_ns() - start);
}
