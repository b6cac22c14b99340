// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "perf_event.h"

static void attr_common(struct perf_event_attr *attr, const struct ht_perf_spec *spec,
			const struct ht_pmu_config *cfg, unsigned int flags)
{
	memset(attr, 0, sizeof(*attr));
	attr->size = sizeof(*attr);
	attr->type = spec->type;
	attr->config = cfg->word[0];
	attr->config1 = cfg->word[1];
	attr->config2 = cfg->word[2];
	attr->disabled = 1;
	attr->exclude_kernel = spec->user_only;
	attr->exclude_hv = spec->user_only;
	attr->read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
	if (flags & HT_PERF_PER_TASK) {
		attr->inherit = 1;
		/* Threads only: a child process is a target of its own, with events of its own. */
		attr->inherit_thread = 1;
	}
}

/*
 * How PEBS records reach anybody is decided by three fields (arch/x86/events/intel, 6.1 to 6.18):
 * with a fixed period, no wake-up per event (wakeup_events set while watermark is not), and a
 * sample_type within what the record itself holds, the CPU batches records ("large PEBS") and the
 * kernel drains them when the buffer fills up and when the task is switched out. Any of the three
 * missing, each record raises its own interrupt. No ring is needed either way: perf_event_output()
 * is called without one, and returns when it finds none.
 */
void ht_perf_attr(struct perf_event_attr *attr, const struct ht_perf_spec *spec, unsigned int flags)
{
	attr_common(attr, spec, &spec->cfg, flags);
	attr->sample_period = spec->period;
	attr->sample_type = spec->sample_type;
	attr->precise_ip = spec->precise;
	if (flags & HT_PERF_SINGLE)
		attr->wakeup_events = 1;
}

void ht_perf_leader_attr(struct perf_event_attr *attr, const struct ht_perf_spec *spec,
			 unsigned int flags)
{
	attr_common(attr, spec, &spec->leader, flags);
}

int ht_perf_open(struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd)
{
	int fd = syscall(SYS_perf_event_open, attr, pid, cpu, group_fd, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Takes back one demand after a refusal; false when there is nothing left to take back. */
static bool relax(struct ht_perf_spec *spec, int err)
{
	/*
	 * The data source of a load needs the auxiliary event as its leader on some CPUs, and the
	 * kernel says so with ENODATA. Loads are known to be loads without it.
	 */
	if (err == -ENODATA && spec->sample_type & PERF_SAMPLE_DATA_SRC) {
		spec->sample_type &= ~PERF_SAMPLE_DATA_SRC;
		spec->has_leader = false;
		return true;
	}
	if ((err == -EINVAL || err == -EOPNOTSUPP) && spec->precise > 1) {
		spec->precise--;
		return true;
	}
	return false;
}

static int open_leader(struct ht_perf_spec *spec, unsigned int flags, pid_t pid, int cpu)
{
	struct perf_event_attr attr;
	int fd;

	if (!spec->has_leader)
		return -1;
	ht_perf_leader_attr(&attr, spec, flags);
	fd = ht_perf_open(&attr, pid, cpu, -1);
	if (fd >= 0)
		return fd;
	spec->has_leader = false;
	spec->sample_type &= ~PERF_SAMPLE_DATA_SRC;
	return -1;
}

int ht_perf_open_spec(struct ht_perf_spec *spec, unsigned int flags, pid_t pid, int cpu,
		      int *leader)
{
	struct perf_event_attr attr;
	int fd;

	do {
		*leader = open_leader(spec, flags, pid, cpu);
		ht_perf_attr(&attr, spec, flags);
		fd = ht_perf_open(&attr, pid, cpu, *leader);
		if (fd < 0 && *leader >= 0) {
			close(*leader);
			*leader = -1;
		}
	} while (fd < 0 && relax(spec, fd));
	return fd;
}

int ht_perf_read(int fd, struct ht_perf_count *count)
{
	ssize_t n = read(fd, count, sizeof(*count));

	if (n < 0)
		return -errno;
	return n == sizeof(*count) ? 0 : -EIO;
}

int ht_perf_ring_map(struct ht_perf_ring *ring, int fd, unsigned int pages)
{
	size_t size = (pages + 1) * sysconf(_SC_PAGESIZE);
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	ring->base = base;
	ring->size = size;
	return 0;
}

void ht_perf_ring_unmap(struct ht_perf_ring *ring)
{
	if (ring->base)
		munmap(ring->base, ring->size);
	ring->base = NULL;
}

static void copy_out(const char *data, size_t size, uint64_t pos, void *dst, size_t len)
{
	size_t off = pos & (size - 1), first = len < size - off ? len : size - off;

	memcpy(dst, data + off, first);
	memcpy((char *)dst + first, data, len - first);
}

size_t ht_perf_ring_drain(struct ht_perf_ring *ring, ht_perf_record_fn fn, void *arg)
{
	struct perf_event_mmap_page *mp = ring->base;
	_Alignas(8) char rec[UINT16_MAX + 1];
	struct perf_event_header hdr;
	size_t page = sysconf(_SC_PAGESIZE), size = ring->size - page, nr = 0;
	uint64_t head, tail;

	if (!mp)
		return 0;
	head = __atomic_load_n(&mp->data_head, __ATOMIC_ACQUIRE);
	tail = mp->data_tail;
	while (head - tail >= sizeof(hdr) && head - tail <= size) {
		copy_out((char *)mp + page, size, tail, &hdr, sizeof(hdr));
		if (hdr.size < sizeof(hdr) || hdr.size > head - tail)
			break;
		copy_out((char *)mp + page, size, tail, rec, hdr.size);
		fn(arg, (struct perf_event_header *)rec);
		tail += hdr.size;
		nr++;
	}
	/* Also skips over what made no sense. */
	__atomic_store_n(&mp->data_tail, head, __ATOMIC_RELEASE);
	return nr;
}
