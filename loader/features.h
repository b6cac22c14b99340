/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* `hypertier-load features`: what this machine offers, and with --probe, what its sources deliver.
 */
#ifndef HT_FEATURES_H
#define HT_FEATURES_H

#include "config.h"

/* Returns an enum ht_exit_code. */
int ht_features(const struct ht_config *cfg);

#endif
