/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Recognises the instructions the emulator has to notice: markers and loads of cr3. */
#ifndef LAB_EMU_MARKER_H
#define LAB_EMU_MARKER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <hypertier/marker.h>

#define EMU_MARKER_LEN 7

/* Command of the marker these bytes are (HT_MARK_*), 0 if they are none. */
static inline unsigned int emu_marker_decode(const uint8_t *insn, size_t len)
{
	uint32_t disp;

	if (len != EMU_MARKER_LEN || insn[0] != 0x0f || insn[1] != 0x1f || insn[2] != 0x80)
		return 0;
	memcpy(&disp, insn + 3, sizeof(disp));
	return (disp & 0xffff0000u) == HT_MARKER_BASE ? disp & 0xffff : 0;
}

/* mov %reg, %cr3 is [REX] 0f 22 11:011:reg. The register's number 0..15, -1 for anything else. */
static inline int emu_cr3_source(const uint8_t *insn, size_t len)
{
	int rex = 0;

	if (len && (insn[0] & 0xf0) == 0x40) {
		rex = insn[0];
		insn++;
		len--;
	}
	if (len != 3 || insn[0] != 0x0f || insn[1] != 0x22 || (insn[2] & 0xf8) != 0xd8)
		return -1;
	if (rex & 0x04) /* REX.R makes it cr11 */
		return -1;
	return (insn[2] & 7) | (rex & 1) << 3;
}

/* What of cr3 names the address space: not the PCID, nor the bit that says "do not flush". */
static inline uint64_t emu_cr3_space(uint64_t cr3)
{
	return cr3 & 0x000ffffffffff000ULL;
}

#endif
