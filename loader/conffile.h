/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Configuration files: lines of "key = value", comments from # at a line's start or after a blank.
 * What a key means is config.c's business; this is where bytes become keys and values. Values run
 * to the end of the line, blanks around them removed; there is no quoting and no continuation.
 */
#ifndef HT_CONFFILE_H
#define HT_CONFFILE_H

#include <stddef.h>

#define HT_CONF_MAX 65536 /* bytes of a file */

struct ht_conf_line {
	const char *file;
	unsigned int nr;
	const char *key, *value; /* neither is empty */
};

/* Takes one line; 0, or a negative errno after it logged what is wrong with the line. */
typedef int (*ht_conf_fn)(void *arg, const struct ht_conf_line *line);

/*
 * The file's text, zero-terminated, the caller's to free. Refused with the reason logged: what is
 * no regular file, longer than HT_CONF_MAX, or may be written by others than root and this user.
 */
int ht_conffile_read(const char *path, char **text, size_t *len);
/* Ends s where a comment begins: at a # that is first or follows a blank. */
void ht_conffile_cut_comment(char *s);
/*
 * Calls fn for each key of text[len], which is cut up and has to live as long as the values are
 * used. path is for messages. Goes on after an error; returns the number of bad lines.
 */
unsigned int ht_conffile_parse(const char *path, char *text, size_t len, ht_conf_fn fn, void *arg);

#endif
