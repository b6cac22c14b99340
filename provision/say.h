/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Diagnostics go to stderr with the program's name; data goes to stdout. */
#ifndef HT_PROVISION_SAY_H
#define HT_PROVISION_SAY_H

enum pv_level { PV_SILENT = -1, PV_ERR, PV_WARN, PV_INFO, PV_DEBUG };

void pv_set_level(enum pv_level level);
__attribute__((format(printf, 2, 3))) void pv_say(enum pv_level level, const char *fmt, ...);

#define say_err(...) pv_say(PV_ERR, __VA_ARGS__)
#define say_warn(...) pv_say(PV_WARN, __VA_ARGS__)
#define say_info(...) pv_say(PV_INFO, __VA_ARGS__)
#define say_debug(...) pv_say(PV_DEBUG, __VA_ARGS__)

#endif
