// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Not a workload: tells the lab's emulator anew which memory belongs to which node. To be run after
 * memory was added or taken away while a workload is being measured. --show only prints the map.
 */
#include "ring.h"

int main(int argc, char **argv)
{
	struct memmap map;
	struct ring ring;
	int err = memmap_read(&map);

	if (argc > 2 || (argc == 2 && strcmp(argv[1], "--show"))) {
		fprintf(stderr, "usage: memmap [--show]\n");
		return 2;
	}
	if (err) {
		fprintf(stderr, "memmap: cannot read the kernel's memory map: %s\n",
			strerror(-err));
		return 1;
	}
	for (unsigned int i = 0; i < map.nr; i++)
		printf("%#014llx-%#014llx node %u\n", map.mem[i].start, map.mem[i].end,
		       map.mem[i].node);
	if (argc == 2)
		return 0;
	if (ring_open(&ring))
		return 1;
	if (!ring.hdr) {
		fprintf(stderr, "memmap: no emulator: HT_LAB_RING must name the ring\n");
		return 1;
	}
	return memmap_send(ring.hdr) ? 1 : 0;
}
