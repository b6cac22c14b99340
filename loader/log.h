/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Diagnostics go to stderr with the program's name; data goes to stdout. */
#ifndef HT_LOG_H
#define HT_LOG_H

enum ht_log_level {
	HT_LOG_NONE = -1, /* not even errors */
	HT_LOG_ERR,
	HT_LOG_WARN,
	HT_LOG_INFO,
	HT_LOG_DEBUG,
	HT_LOG_TRACE,
};

void ht_log_set_level(enum ht_log_level level);
enum ht_log_level ht_log_get_level(void);
__attribute__((format(printf, 2, 3))) void ht_log(enum ht_log_level level, const char *fmt, ...);

#define pr_err(...) ht_log(HT_LOG_ERR, __VA_ARGS__)
#define pr_warn(...) ht_log(HT_LOG_WARN, __VA_ARGS__)
#define pr_info(...) ht_log(HT_LOG_INFO, __VA_ARGS__)
#define pr_debug(...) ht_log(HT_LOG_DEBUG, __VA_ARGS__)
#define pr_trace(...) ht_log(HT_LOG_TRACE, __VA_ARGS__)

#endif
