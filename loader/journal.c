// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"
#include "log.h"
#include "replace.h"
#include "siblings.h"
#include "sysfs.h"

#define JOURNAL_DIR "/run/hypertier"
#define JOURNAL_MAGIC "hypertier-journal 1"
#define VALUE_MAX 1024 /* longest value recorded: sysctls and sysfs attributes are short */
#define FILE_MAX (1 << 20)
#define STEPS_MAX 4096

enum step_kind { STEP_WRITE, STEP_UNLINK };

struct step {
	enum step_kind kind;
	char *path;
	char *val; /* NULL for STEP_UNLINK */
};

struct ht_journal {
	int dir_fd;
	int lock_fd;
	int fd;		   /* the journal, -1 while nothing is recorded */
	char *prefix;	   /* allowed beside /proc/sys and /sys, or NULL */
	bool shared;	   /* it lies in JOURNAL_DIR, where others may be */
	struct step *step; /* oldest first */
	size_t nr, cap;
};

/* True if path is strictly below dir. */
static bool below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	while (len && dir[len - 1] == '/')
		len--;
	return len && !strncmp(path, dir, len) && path[len] == '/' && path[len + 1];
}

/* The journal is obeyed with the loader's rights, so what it may name is narrow. */
static bool path_allowed(const struct ht_journal *j, enum step_kind kind, const char *path)
{
	size_t len = strlen(path);

	if (len >= PATH_MAX || strstr(path, "/../") || (len >= 3 && !strcmp(path + len - 3, "/..")))
		return false;
	if (j->prefix && below(path, j->prefix))
		return true;
	if (kind == STEP_UNLINK)
		return below(path, "/sys/fs/bpf");
	return below(path, "/sys") || below(path, "/proc/sys");
}

static void step_free(struct step *s)
{
	free(s->path);
	free(s->val);
}

static int step_add(struct ht_journal *j, enum step_kind kind, const char *path, const char *val)
{
	struct step *step, s = { .kind = kind };
	size_t cap;

	if (j->nr >= STEPS_MAX)
		return -E2BIG;
	if (j->nr == j->cap) {
		cap = j->cap ? 2 * j->cap : 16;
		step = reallocarray(j->step, cap, sizeof(*step));
		if (!step)
			return -ENOMEM;
		j->step = step;
		j->cap = cap;
	}
	s.path = strdup(path);
	s.val = val ? strdup(val) : NULL;
	if (!s.path || (val && !s.val)) {
		step_free(&s);
		return -ENOMEM;
	}
	j->step[j->nr++] = s;
	return 0;
}

static void step_drop_last(struct ht_journal *j)
{
	step_free(&j->step[--j->nr]);
}

static void escape(FILE *f, const char *s, bool spaces)
{
	for (; *s; s++) {
		unsigned char c = *s;

		if (c == '\\' || c < 0x20 || c > 0x7e || (spaces && c == ' '))
			fprintf(f, "\\x%02x", c);
		else
			fputc(c, f);
	}
}

/* In place; -EINVAL on a malformed escape or an escaped NUL. */
static int unescape(char *s)
{
	unsigned int c;
	char *out = s;

	for (; *s; s++) {
		if (*s != '\\') {
			*out++ = *s;
			continue;
		}
		if (s[1] != 'x' || !isxdigit((unsigned char)s[2]) ||
		    !isxdigit((unsigned char)s[3]) || sscanf(s + 2, "%2x", &c) != 1 || !c)
			return -EINVAL;
		*out++ = c;
		s += 3;
	}
	*out = '\0';
	return 0;
}

static void step_print(FILE *f, const struct step *s)
{
	fputs(s->kind == STEP_WRITE ? "write " : "unlink ", f);
	escape(f, s->path, true);
	if (s->kind == STEP_WRITE) {
		fputc(' ', f);
		escape(f, s->val, false);
	}
	fputc('\n', f);
}

/* The steps from first on, as text to be freed by the caller. */
static char *steps_text(const struct ht_journal *j, size_t first, bool header, size_t *len)
{
	char *text = NULL;
	FILE *f;

	f = open_memstream(&text, len);
	if (!f)
		return NULL;
	if (header)
		fputs(JOURNAL_MAGIC "\n", f);
	for (; first < j->nr; first++)
		step_print(f, &j->step[first]);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static int write_synced(int fd, const char *buf, size_t len)
{
	int err = ht_write_all(fd, buf, len);

	if (!err && fsync(fd))
		err = -errno;
	return err;
}

/* Replaces the file by the steps recorded now; by rename, so that it is whole at any time. */
static int journal_rewrite(struct ht_journal *j)
{
	size_t len;
	char *text;
	int fd, err;

	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	if (!j->nr)
		return unlinkat(j->dir_fd, "journal", 0) && errno != ENOENT ? -errno : 0;

	text = steps_text(j, 0, true, &len);
	if (!text)
		return -ENOMEM;
	fd = openat(j->dir_fd, "journal.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	err = write_synced(fd, text, len);
	if (!err && renameat(j->dir_fd, "journal.new", j->dir_fd, "journal"))
		err = -errno;
	if (!err && fsync(j->dir_fd))
		err = -errno;
	if (err)
		close(fd);
	else
		j->fd = fd;
out:
	free(text);
	return err;
}

/* Puts the newest step on disk. On failure neither the file nor the list has it. */
static int journal_append(struct ht_journal *j)
{
	size_t len;
	char *text;
	off_t end;
	int err;

	if (j->fd < 0) {
		err = journal_rewrite(j);
		goto out;
	}
	end = lseek(j->fd, 0, SEEK_END);
	text = steps_text(j, j->nr - 1, false, &len);
	err = text ? write_synced(j->fd, text, len) : -ENOMEM;
	free(text);
	if (err && (end < 0 || ftruncate(j->fd, end))) {
		/* Nothing may follow a torn line: the next step starts a new file. */
		close(j->fd);
		j->fd = -1;
	}
out:
	if (err) {
		step_drop_last(j);
		pr_err("cannot write the journal: %s; no change is made without it",
		       strerror(-err));
	}
	return err;
}

static int journal_record(struct ht_journal *j, enum step_kind kind, const char *path,
			  const char *val)
{
	int err;

	if (!path_allowed(j, kind, path)) {
		pr_err("%s is not below a path that the journal may %s", path,
		       kind == STEP_UNLINK ? "remove" : "write");
		return -EPERM;
	}
	if (val && strlen(val) >= VALUE_MAX)
		return -E2BIG;
	err = step_add(j, kind, path, val);
	return err ?: journal_append(j);
}

int ht_journal_note_write(struct ht_journal *j, const char *path, const char *val)
{
	return journal_record(j, STEP_WRITE, path, val);
}

int ht_journal_note_unlink(struct ht_journal *j, const char *path)
{
	return journal_record(j, STEP_UNLINK, path, NULL);
}

/* Regular files (tests) are truncated; sysfs and procfs do not mind. */
static int write_value(const char *path, const char *val)
{
	size_t len = strlen(val);
	ssize_t n;
	int fd, err = 0;

	fd = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = len ? write(fd, val, len) : 0;
	if (n < 0)
		err = -errno;
	else if ((size_t)n != len)
		err = -EIO;
	if (close(fd) && !err)
		err = -errno;
	return err;
}

/* Reads what has to be written to get the present state again. */
static int read_value(char *buf, size_t size, const char *path)
{
	char *open, *close;
	ssize_t n;

	n = ht_read_str(buf, size, "%s", path);
	if (n < 0)
		return n;
	if ((size_t)n == size - 1)
		return -E2BIG;
	open = strchr(buf, '[');
	close = open ? strchr(open, ']') : NULL;
	if (close) {
		*close = '\0';
		memmove(buf, open + 1, close - open);
	}
	return 0;
}

static bool recorded(const struct ht_journal *j, const char *path)
{
	for (size_t i = 0; i < j->nr; i++)
		if (j->step[i].kind == STEP_WRITE && !strcmp(j->step[i].path, path))
			return true;
	return false;
}

/*
 * The text of a journal, the caller's to free; NULL if there is none. It does not end in a zero. Of
 * one that is in use, what is added meanwhile may be missing. Cut: the file is too long.
 */
static int read_journal(int at, const char *path, char **text, size_t *len, bool *cut)
{
	struct stat st;
	ssize_t n = 0;
	int fd, err = 0;
	size_t max;

	*text = NULL;
	*len = 0;
	*cut = false;
	fd = openat(at, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st)) {
		err = -errno;
		goto out;
	}
	*cut = st.st_size > FILE_MAX;
	max = *cut ? FILE_MAX : st.st_size;
	*text = malloc(max + 1);
	while (*text && *len < max && (n = read(fd, *text + *len, max - *len)) > 0)
		*len += n;
	err = !*text ? -ENOMEM : n < 0 ? -errno : 0;
	if (err) {
		free(*text);
		*text = NULL;
	}
out:
	close(fd);
	return err;
}

struct claim {
	const char *path;
	char *line; /* as it begins in a journal */
	size_t len;
};

static bool has_line(const char *dir, const struct claim *c)
{
	char path[PATH_MAX], *text;
	bool cut, found;
	size_t len;

	snprintf(path, sizeof(path), "%s/journal", dir);
	if (read_journal(AT_FDCWD, path, &text, &len, &cut))
		return false;
	found = text && memmem(text, len, c->line, c->len);
	free(text);
	return found;
}

static int has_claim(void *arg, const char *dir)
{
	const struct claim *c = arg;

	if (!ht_journal_is_locked(dir) || !has_line(dir, c))
		return 0;
	pr_err("%s: the loader in %s has changed it and will put it back; two cannot share it",
	       c->path, dir);
	return -EBUSY;
}

/* Where the journals of other loaders are; NULL: there are none. */
static const char *base_of(const struct ht_journal *j)
{
	return j->prefix ?: j->shared ? JOURNAL_DIR : NULL;
}

/* Each would put back what it found: who ends first would do so under the other. */
static int check_claims(const struct ht_journal *j, const char *path)
{
	const char *base = base_of(j);
	struct claim c = { .path = path };
	FILE *f = base ? open_memstream(&c.line, &c.len) : NULL;
	int err;

	if (!f)
		return base ? -ENOMEM : 0;
	fputs("\nwrite ", f);
	escape(f, path, true);
	fputc(' ', f);
	err = fclose(f) ? -ENOMEM : ht_siblings(base, j->dir_fd, has_claim, &c);
	free(c.line);
	return err;
}

static void forget_last(struct ht_journal *j)
{
	step_drop_last(j);
	journal_rewrite(j);
}

int ht_journal_write(struct ht_journal *j, const char *path, const char *val)
{
	bool known = recorded(j, path);
	char old[VALUE_MAX];
	int err = 0;

	if (!known) {
		/* Checked before the path is touched at all. */
		if (!path_allowed(j, STEP_WRITE, path))
			return journal_record(j, STEP_WRITE, path, "");
		err = read_value(old, sizeof(old), path);
		if (!err)
			err = journal_record(j, STEP_WRITE, path, old);
		if (err)
			return err;
		/* Afterwards: of two that do this at once, one at least sees the other. */
		err = check_claims(j, path);
	}
	err = err ?: write_value(path, val);
	if (err && !known)
		forget_last(j);
	return err;
}

int ht_journal_allow(struct ht_journal *j, const char *prefix)
{
	char *copy;

	if (prefix[0] != '/' || strstr(prefix, "/.."))
		return -EINVAL;
	copy = strdup(prefix);
	if (!copy)
		return -ENOMEM;
	free(j->prefix);
	j->prefix = copy;
	return 0;
}

static int unlink_regular(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPERM;
	return unlink(path) ? -errno : 0;
}

static int step_undo(const struct ht_journal *j, const struct step *s)
{
	int err;

	if (!path_allowed(j, s->kind, s->path)) {
		pr_err("journal: refusing to touch %s", s->path);
		return -EPERM;
	}
	err = s->kind == STEP_WRITE ? write_value(s->path, s->val) : unlink_regular(s->path);
	/* Gone with the thing it belonged to: nothing to put back. */
	if (err == -ENOENT || err == -ENODEV) {
		pr_debug("journal: %s is gone", s->path);
		return 0;
	}
	if (!err)
		return 0;
	if (s->kind == STEP_WRITE)
		pr_err("cannot restore %s: %s; do it by hand: echo '%s' > %s", s->path,
		       strerror(-err), s->val, s->path);
	else
		pr_err("cannot remove %s: %s; remove it by hand", s->path, strerror(-err));
	return err;
}

/* done counts the steps undone; each is told if tell is set. */
static int undo_steps(struct ht_journal *j, size_t *done, bool tell)
{
	size_t i, kept = 0;
	int err, first = 0;

	*done = 0;
	for (i = j->nr; i-- > 0;) {
		struct step *s = &j->step[i];

		err = step_undo(j, s);
		if (err) {
			first = first ?: err;
			continue;
		}
		if (tell)
			pr_info("undid a change left behind: %s %s%s%s",
				s->kind == STEP_WRITE ? "restored" : "removed", s->path,
				s->val ? " to " : "", s->val ?: "");
		(*done)++;
		step_free(s);
		s->path = NULL;
	}
	for (i = 0; i < j->nr; i++)
		if (j->step[i].path)
			j->step[kept++] = j->step[i];
	j->nr = kept;
	err = journal_rewrite(j);
	return first ?: err;
}

int ht_journal_undo(struct ht_journal *j)
{
	size_t done;

	return undo_steps(j, &done, false);
}

static int parse_line(struct ht_journal *j, char *line)
{
	enum step_kind kind;
	char *path, *val = NULL;

	if (!strncmp(line, "write ", 6)) {
		kind = STEP_WRITE;
		path = line + 6;
		val = strchr(path, ' ');
		if (!val)
			return -EINVAL;
		*val++ = '\0';
		if (unescape(val))
			return -EINVAL;
	} else if (!strncmp(line, "unlink ", 7)) {
		kind = STEP_UNLINK;
		path = line + 7;
	} else {
		return -EINVAL;
	}
	if (unescape(path))
		return -EINVAL;
	if (!path_allowed(j, kind, path))
		return -EPERM;
	return step_add(j, kind, path, val);
}

/* Takes what can be understood and reports the rest: half a recovery is better than none. */
static int parse_journal(struct ht_journal *j, char *text, size_t len)
{
	char *line = text, *end;
	size_t nr = 1;
	int err;

	for (; line < text + len; line = end + 1, nr++) {
		end = memchr(line, '\n', text + len - line);
		if (!end) {
			pr_debug("journal: line %zu is torn, its change was not made", nr);
			break;
		}
		*end = '\0';
		if (nr == 1 && strcmp(line, JOURNAL_MAGIC)) {
			renameat(j->dir_fd, "journal", j->dir_fd, "journal.unknown");
			pr_err("the journal left behind has an unknown format (no \"%s\" in its "
			       "first "
			       "line) and is kept as journal.unknown: see there what to put back",
			       JOURNAL_MAGIC);
			return 0;
		}
		err = nr == 1				     ? 0
		      : strlen(line) != (size_t)(end - line) ? -EINVAL
							     : parse_line(j, line);
		if (err == -ENOMEM)
			return err;
		if (err)
			pr_err("journal: line %zu ignored: %s", nr,
			       err == -EPERM   ? "its path is not one the loader would have changed"
			       : err == -E2BIG ? "too many steps"
					       : "not understood");
	}
	return 0;
}

static int load_journal(struct ht_journal *j)
{
	size_t len;
	char *text;
	bool cut;
	int err = read_journal(j->dir_fd, "journal", &text, &len, &cut);

	if (cut)
		pr_err("the journal left behind is longer than 1 MiB; the rest is ignored");
	if (text)
		err = parse_journal(j, text, len);
	free(text);
	return err;
}

static int recover(struct ht_journal *j, size_t *recovered)
{
	size_t done = 0;
	int err;

	err = load_journal(j);
	if (err) {
		pr_err("cannot read the journal left behind: %s", strerror(-err));
		return err;
	}
	if (undo_steps(j, &done, true))
		pr_warn("not every change of the run before could be undone");
	/* What failed has been reported; a later try must not undo what the user did since. */
	while (j->nr)
		step_drop_last(j);
	if (recovered)
		*recovered = done;
	return journal_rewrite(j);
}

static int open_dir(struct ht_journal *j, const char *dir)
{
	struct stat st;
	int err;

	if (mkdir(dir, 0700) && errno != EEXIST)
		goto err;
	j->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (j->dir_fd < 0 || fstat(j->dir_fd, &st))
		goto err;
	if (st.st_uid != geteuid() || st.st_mode & 022) {
		pr_err("%s can be written by others; what it says cannot be trusted: fix its owner "
		       "and "
		       "mode (0700)",
		       dir);
		return -EPERM;
	}
	return 0;
err:
	err = -errno;
	pr_err("cannot use %s: %s; it keeps what has to be undone after a crash", dir,
	       strerror(-err));
	return err;
}

static void say_busy(const struct ht_journal *j, const char *dir)
{
	char buf[32] = "";
	ssize_t n;
	long pid;

	n = pread(j->lock_fd, buf, sizeof(buf) - 1, 0);
	pid = n > 0 ? strtol(buf, NULL, 10) : 0;
	if (pid > 0)
		pr_err("another hypertier-load runs (pid %ld, it holds %s/lock); stop it first: "
		       "kill %ld",
		       pid, dir, pid);
	else
		pr_err("another hypertier-load runs (it holds %s/lock); stop it first", dir);
}

/*
 * A loader that was killed is gone only when all of its files are closed, in the order of their
 * numbers: who saw its socket close may be here before its lock is free.
 */
static int lock_soon(int fd)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int tries = 50;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (!--tries)
			return -EBUSY;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int take_lock(struct ht_journal *j, const char *dir)
{
	char buf[32];
	int n, err;

	j->lock_fd = openat(j->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (j->lock_fd < 0)
		return -errno;
	err = lock_soon(j->lock_fd);
	if (err == -EBUSY)
		say_busy(j, dir);
	if (err)
		return err;
	n = snprintf(buf, sizeof(buf), "%d\n", getpid());
	/* Only the message above reads it, so a failure costs nothing else. */
	if (ftruncate(j->lock_fd, 0) || pwrite(j->lock_fd, buf, n, 0) != n)
		pr_debug("cannot write the pid into %s/lock", dir);
	return 0;
}

bool ht_journal_is_locked(const char *dir)
{
	char path[PATH_MAX];
	bool locked;
	int fd;

	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	locked = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
	close(fd);
	return locked;
}

static void journal_free(struct ht_journal *j)
{
	while (j->nr)
		step_drop_last(j);
	free(j->step);
	free(j->prefix);
	if (j->fd >= 0)
		close(j->fd);
	if (j->lock_fd >= 0)
		close(j->lock_fd);
	if (j->dir_fd >= 0)
		close(j->dir_fd);
	free(j);
}

static int open_one(struct ht_journal **out, const char *dir, const char *prefix, size_t *recovered)
{
	struct ht_journal *j = calloc(1, sizeof(*j));
	int err;

	*out = NULL;
	if (!j)
		return -ENOMEM;
	j->dir_fd = j->lock_fd = j->fd = -1;
	err = prefix ? ht_journal_allow(j, prefix) : 0;
	if (!err)
		err = open_dir(j, dir);
	if (!err)
		err = take_lock(j, dir);
	if (!err)
		err = recover(j, recovered);
	if (err)
		journal_free(j);
	else
		*out = j;
	return err;
}

struct others {
	const char *prefix;
	size_t recovered;
};

/* Somebody may be starting there at this moment: then its lock says so, or is free soon. */
static int recover_other(void *arg, const char *dir)
{
	struct others *o = arg;
	struct ht_journal *j;
	size_t nr = 0;

	if (!ht_journal_is_locked(dir) && !open_one(&j, dir, o->prefix, &nr))
		ht_journal_close(j);
	o->recovered += nr;
	return 0;
}

int ht_journal_open_allow(struct ht_journal **out, const char *dir, const char *prefix,
			  size_t *recovered)
{
	struct others o = { .prefix = prefix };
	size_t own = 0;
	int err;

	dir = dir ?: JOURNAL_DIR;
	err = open_one(out, dir, prefix, &own);
	if (!err) {
		(*out)->shared = !strcmp(dir, JOURNAL_DIR) || below(dir, JOURNAL_DIR);
		/* An instance that was killed may never be started again under its name. */
		if (base_of(*out))
			ht_siblings(base_of(*out), (*out)->dir_fd, recover_other, &o);
	}
	if (recovered)
		*recovered = own + o.recovered;
	return err;
}

int ht_journal_open(struct ht_journal **j, const char *dir, size_t *recovered)
{
	return ht_journal_open_allow(j, dir, NULL, recovered);
}

void ht_journal_close(struct ht_journal *j)
{
	if (!j)
		return;
	ht_journal_undo(j);
	if (j->nr) {
		pr_err("%zu changes could not be undone, see above", j->nr);
		while (j->nr)
			step_drop_last(j);
		journal_rewrite(j);
	}
	journal_free(j);
}
