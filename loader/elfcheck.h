/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A policy object's bytes before libbpf and libelf see them. Both trust offsets, sizes and type
 * numbers in places; what they are handed has all of these within the file. What the code of the
 * programs does is for the kernel's verifier.
 */
#ifndef HT_ELFCHECK_H
#define HT_ELFCHECK_H

#include <stddef.h>

#define HT_ELF_MAX (16U << 20) /* bytes of an object */

/* 0, or -ENOEXEC with what is wrong in why. bytes must be aligned as malloc() does. */
int ht_elf_check(const void *bytes, size_t len, char *why, size_t size);
/* The same of type information alone. */
int ht_btf_check(const void *bytes, size_t len, char *why, size_t size);

#endif
