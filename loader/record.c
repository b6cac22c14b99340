// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "record.h"

struct ht_record {
	FILE *f;
	bool failed;
};

static void put(struct ht_record *r, const void *data, size_t size, size_t nr)
{
	if (r->failed || !nr || fwrite(data, size, nr, r->f) == nr)
		return;
	r->failed = true;
	pr_warn("the recording ends here: %s", strerror(errno));
}

int ht_record_open(struct ht_record **out, const char *path, uint64_t period)
{
	struct ht_trace_hdr hdr = { .magic = HT_TRACE_MAGIC,
				    .version = HT_TRACE_VERSION,
				    .record_size = sizeof(struct ht_inject_rec),
				    .period = period };
	struct ht_record *r = calloc(1, sizeof(*r));
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), err;

	if (r && fd >= 0)
		r->f = fdopen(fd, "w");
	if (r && r->f) {
		put(r, &hdr, sizeof(hdr), 1);
		*out = r;
		return 0;
	}
	err = r ? -errno : -ENOMEM;
	pr_err("cannot record to %s: %s", path, strerror(-err));
	if (fd >= 0)
		close(fd);
	free(r);
	return err;
}

void ht_record_add(struct ht_record *r, const struct ht_inject_rec *rec, uint32_t nr)
{
	if (r)
		put(r, rec, sizeof(*rec), nr);
}

void ht_record_epoch(struct ht_record *r, uint64_t epoch_ns)
{
	struct ht_inject_rec end = { .addr = epoch_ns };

	if (r)
		put(r, &end, sizeof(end), 1);
}

void ht_record_close(struct ht_record *r)
{
	if (!r)
		return;
	if (fclose(r->f) && !r->failed)
		pr_warn("the recording may be incomplete: %s", strerror(errno));
	free(r);
}
