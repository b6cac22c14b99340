// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * tiles [-d DIR] [TGID [START END]]: what the pinned heat map holds of a process (of all: 0)
 * between two addresses: "TILES HEAT", and for all processes the number of free tiles as well. Exit
 * status 3 if the control block does not fit the map.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include <hypertier/ctl.h>
#include <hypertier/heat.h>

static void *map(const char *dir, const char *name, uint32_t *nr)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	char path[256];
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len)) {
		fprintf(stderr, "tiles: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	p = mmap(NULL, (size_t)info.value_size * info.max_entries, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		fprintf(stderr, "tiles: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	close(fd);
	*nr = info.max_entries;
	return p;
}

int main(int argc, char **argv)
{
	const char *dir = "/sys/fs/bpf/hypertier";
	uint64_t start = 0, end = ~0ULL, nr = 0, heat = 0;
	const struct ht_tile *t;
	const struct ht_ctl *c;
	uint32_t max, one, i, tgid;

	if (argc > 2 && !strcmp(argv[1], "-d")) {
		dir = argv[2];
		argv += 2;
		argc -= 2;
	}
	tgid = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	if (argc > 3) {
		start = strtoull(argv[2], NULL, 16);
		end = strtoull(argv[3], NULL, 16);
	}
	t = map(dir, "heat", &max);
	c = map(dir, "control", &one);
	if (c->abi != HT_ABI_VERSION || c->nr_tiles != max) {
		fprintf(stderr, "tiles: control says abi %u, %u tiles; the map has %u\n", c->abi,
			c->nr_tiles, max);
		return 3;
	}
	for (i = 1; i < max; i++) {
		uint64_t va = HT_KEY_VA(t[i].key);

		if (!t[i].key || (tgid && HT_KEY_TGID(t[i].key) != tgid))
			continue;
		if (va + HT_TILE_SIZE <= start || va >= end)
			continue;
		nr++;
		heat += t[i].total;
	}
	printf("%" PRIu64 " %" PRIu64, nr, heat);
	if (!tgid)
		printf(" %u", c->free_tail - c->free_head);
	putchar('\n');
	return 0;
}
