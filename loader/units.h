/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Sizes and times as people write them, on command lines and in configuration files. */
#ifndef HT_UNITS_H
#define HT_UNITS_H

#include <stdint.h>

/* Bytes of "512", "64K", "1.5G"; -EINVAL. The unit of a bare number is given by unit. */
int ht_parse_size(const char *s, uint64_t unit, uint64_t *bytes);
/* Milliseconds of "500", "500ms", "2s"; -EINVAL. */
int ht_parse_ms(const char *s, unsigned int *ms);

#endif
