/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The kernel helper's hook, struct_ops type hypertier_ops: a policy's ht_admit_pair is loaded once
 * more as the type's admit and attached by a link, so the kernel asks it about each pair. Made with
 * plain bpf(2): libbpf knows struct_ops types of modules from 1.4 only.
 */
#ifndef HT_HOOK_KERNEL_H
#define HT_HOOK_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "sysfs.h"

struct bpf_program;

struct ht_hook_kernel {
	int link, map, prog; /* fds, 0 = none: closing the link detaches */
	int btf; /* of the module: to be found it takes rights that a running loader has dropped */
};

/* Whether the running kernel has the type. */
bool ht_hook_kernel_there(const struct ht_roots *roots);
/*
 * Attaches a loaded "syscall" program, of an object with that BTF, under a policy's name; in one
 * step in place of the one that is attached. A negative errno with why set leaves things as they
 * were.
 */
int ht_hook_kernel_attach(struct ht_hook_kernel *h, const struct ht_roots *roots,
			  const struct bpf_program *prog, int btf, const char *name, char *why,
			  size_t size);
void ht_hook_kernel_detach(struct ht_hook_kernel *h);

#endif
