/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of the kernel's memory management that modules are not given, as static calls: a static
 * call is a direct one, so neither retpolines nor sealed indirect-branch targets matter. Each is
 * set by ht_resolve() after its prototype has been compared with the running kernel's BTF.
 *
 * HT_KERNEL_FN(name, return type, arguments, prototypes accepted, separated by ";")
 */
#ifndef HYPERTIER_KERNEL_H
#define HYPERTIER_KERNEL_H

#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/static_call.h>

#define HT_KERNEL_FNS(X)                                                                           \
	X(folio_walk_start, struct folio *,                                                        \
	  (struct folio_walk *, struct vm_area_struct *, unsigned long, int),                      \
	  "folio*(folio_walk*,vm_area_struct*,long unsigned int,folio_walk_flags_t)")              \
	X(vma_pgtable_walk_end, void, (struct vm_area_struct *), "void(vm_area_struct*)")          \
	X(folio_isolate_lru, bool, (struct folio *), "bool(folio*)")                               \
	X(folio_get_anon_vma, struct anon_vma *, (struct folio *), "anon_vma*(folio*)")            \
	X(__put_anon_vma, void, (struct anon_vma *), "void(anon_vma*)")                            \
	X(try_to_migrate, void, (struct folio *, enum ttu_flags), "void(folio*,ttu_flags)")        \
	X(try_to_unmap_flush, void, (void), "void()")                                              \
	X(remove_migration_ptes, void, (struct folio *, struct folio *, int),                      \
	  "void(folio*,folio*,int);void(folio*,folio*,ttu_flags)")                                 \
	X(folio_add_anon_rmap_ptes, void,                                                          \
	  (struct folio *, struct page *, int, struct vm_area_struct *, unsigned long, rmap_t),    \
	  "void(folio*,page*,int,vm_area_struct*,long unsigned int,rmap_t)")                       \
	X(folio_remove_rmap_pmd, void, (struct folio *, struct page *, struct vm_area_struct *),   \
	  "void(folio*,page*,vm_area_struct*)")                                                    \
	X(flush_tlb_mm_range, void,                                                                \
	  (struct mm_struct *, unsigned long, unsigned long, unsigned int, bool),                  \
	  "void(mm_struct*,long unsigned int,long unsigned int,unsigned int,bool)")                \
	X(__folio_unqueue_deferred_split, bool, (struct folio *), "bool(folio*)")                  \
	X(lru_add_drain, void, (void), "void()")                                                   \
	X(lru_add_drain_all, void, (void), "void()")                                               \
	X(ptrace_may_access, bool, (struct task_struct *, unsigned int),                           \
	  "bool(task_struct*,unsigned int)")

/* Never defined: the static call wants a function whose type it takes. */
#define HT_KERNEL_DECLARE(fn, ret, args, protos)                                                   \
	extern ret ht_type_##fn args;                                                              \
	DECLARE_STATIC_CALL(ht_##fn, ht_type_##fn);
HT_KERNEL_FNS(HT_KERNEL_DECLARE)

#define ht_call(fn, ...) static_call(ht_##fn)(__VA_ARGS__)

#endif
