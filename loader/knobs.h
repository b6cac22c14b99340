/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A policy's knobs (hypertier/knob.h) between opening the object and loading it. The section comes
 * from a file that anybody may have written: each call checks all of it first, and a section that
 * is no array of sound knobs is -EINVAL with a logged line.
 */
#ifndef HT_KNOBS_H
#define HT_KNOBS_H

#include <stddef.h>
#include <stdio.h>

#include <hypertier/knob.h>

struct bpf_object;
struct json_object;

/* The knobs with their present values, valid while the object is open. No knobs: 0 with *nr = 0. */
int ht_knobs_list(struct bpf_object *obj, const struct ht_knob **knobs, size_t *nr);
/*
 * Sets one knob from "name=value"; the value is decimal or 0x..., with a suffix K, M or G (powers
 * of two) if wanted. -ENOENT: no such knob (those there are get listed), -ERANGE, -EINVAL: no
 * assignment or no number, -EBUSY: already loaded. Each with a logged line.
 */
int ht_knobs_set(struct bpf_object *obj, const char *assignment);
/* Sets them in turn, up to the first that fails, whose index goes to *which unless that is NULL. */
int ht_knobs_set_all(struct bpf_object *obj, char *const *assignment, size_t nr, size_t *which);
/* A line for each knob: name, value, range, meaning. Nothing printed if the section is not sound.
 */
int ht_knobs_print(FILE *f, struct bpf_object *obj);
/* An array of {name, value, min, max, help}; NULL if the section is not sound. */
struct json_object *ht_knobs_json(struct bpf_object *obj);

#endif
