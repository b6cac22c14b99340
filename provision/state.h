/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What has to outlive the daemon: who is paused or drained, what was set by hand, who is in default
 * and until when, and what a VM held that cannot be asked. What the hypervisors know is asked of
 * them again. The file is replaced in one step, so it is whole at any time.
 */
#ifndef HT_PROVISION_STATE_H
#define HT_PROVISION_STATE_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;
struct pv_vm;
struct pv_config;

/* The state as JSON; now is what the VMs' times count by. The caller's. */
struct json_object *pv_state_make(struct pv_vm *const *vm, size_t nr, bool paused,
				  unsigned long long now);
/* Puts it into the VMs. What is wrong in it is left out with a warning; -EBADMSG if all of it is.
 */
int pv_state_apply(struct json_object *state, const struct pv_config *c, struct pv_vm *const *vm,
		   size_t nr, bool *paused, unsigned long long now);
/* -ENOENT: there is none; -EBADMSG, -EFBIG, errno. *state is the caller's. */
int pv_state_read(const char *path, struct json_object **state);

#endif
