// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* A recording: read as tools/replay does, and drawn as hypertier-heatmap does. */
#include "fuzz.h"

#include <hypertier/heat.h>

#include "../../tools/heatmap/heatmap.h"
#include "playback.h"

static void replay(const char *path)
{
	struct ht_inject_rec rec;
	struct ht_playback p;
	uint64_t *tile = NULL;
	size_t nr = 0;
	int kind;

	if (ht_playback_open(&p, path))
		return;
	if (!ht_playback_tiles(&p, false, &tile, &nr)) {
		while ((kind = ht_playback_next(&p, &rec)) > HT_PLAY_END) {
			size_t i = ht_playback_find(tile, nr, HT_KEY(rec.tgid, rec.addr));

			FUZZ_ASSERT(kind != HT_PLAY_SAMPLE || i < nr);
			FUZZ_ASSERT(kind != HT_PLAY_EPOCH || rec.addr <= HT_PLAYBACK_EPOCH_NS);
			FUZZ_ASSERT(kind != HT_PLAY_PLACE || ht_playback_fast(&rec) <= rec.lat);
		}
		FUZZ_ASSERT(kind == HT_PLAY_END); /* the first reading took it */
		free(tile);
	}
	ht_playback_close(&p);
}

static void draw(const char *path)
{
	static FILE *null;
	struct hm_input *in;
	struct hm_grid g;

	if (!null)
		null = fopen("/dev/null", "w");
	if (hm_open_recording(&in, path))
		return;
	if (!hm_grid_make(&g, in, 0, 64, 32)) {
		FUZZ_ASSERT(g.cols >= 1 && g.cols <= 32 && g.rows >= 1);
		hm_write_svg(null, &g, in->title);
	}
	hm_grid_free(&g);
	in->close(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd < 0)
		fd = fuzz_file("recording");
	fuzz_put(fd, data, size);
	replay(fuzz_path("recording"));
	draw(fuzz_path("recording"));
	return 0;
}
