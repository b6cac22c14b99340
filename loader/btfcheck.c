// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Type information: every type number is one of a type, every name is in the names, and no type
 * holds itself, be it through typedefs or members, which would have its readers run in circles.
 */
#include <errno.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elfcheck.h"

#define TYPES_MAX (1U << 20)
#define DEPTH_MAX 24 /* of types within types; libbpf gives up at 32 */

/* Newer than the oldest headers this builds with. */
#define KIND_MAX 19 /* BTF_KIND_ENUM64 */
#define KIND_ENUM64 19
#define KIND_TYPE_TAG 18
#define KIND_DECL_TAG 17

#define BAD(b, ...) (snprintf((b)->why, (b)->size, "type information: " __VA_ARGS__), -ENOEXEC)

struct btf {
	const uint8_t *types; /* unaligned where the section is */
	const char *names;
	uint32_t types_len, names_len;
	uint32_t nr;	/* types; number 0 is void */
	uint32_t *at;	/* offset of each, from 1 on */
	uint8_t *depth; /* of each: 0 = not known yet, OPEN = being looked at, else 1 more */
	char *why;
	size_t size;
};

#define OPEN 255

/* Bytes after the common part of a type, -1 for a kind that there is not. */
static int64_t extra(uint32_t info)
{
	uint32_t vlen = BTF_INFO_VLEN(info);

	switch (info >> 24 & 0x1f) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return (int64_t)vlen * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return (int64_t)vlen * sizeof(struct btf_enum);
	case KIND_ENUM64:
		return (int64_t)vlen * 12;
	case BTF_KIND_FUNC_PROTO:
		return (int64_t)vlen * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return (int64_t)vlen * sizeof(struct btf_var_secinfo);
	case BTF_KIND_UNKN:
		return -1;
	}
	return (info >> 24 & 0x1f) <= KIND_MAX ? 0 : -1;
}

static uint32_t word(const struct btf *b, uint32_t offset)
{
	uint32_t v;

	memcpy(&v, b->types + offset, sizeof(v));
	return v;
}

static uint32_t kind_of(const struct btf *b, uint32_t id)
{
	return word(b, b->at[id] + 4) >> 24 & 0x1f;
}

static int check_header(struct btf *b, const uint8_t *bytes, size_t len)
{
	struct btf_header h;

	if (len < sizeof(h))
		return BAD(b, "too short");
	memcpy(&h, bytes, sizeof(h));
	if (h.magic != BTF_MAGIC || h.version != BTF_VERSION || h.hdr_len < sizeof(h) ||
	    h.hdr_len > len)
		return BAD(b, "no header");
	len -= h.hdr_len;
	if (h.type_off % 4 || h.type_len % 4 || h.type_off > len || h.type_len > len - h.type_off ||
	    h.str_off > len || h.str_len > len - h.str_off || !h.str_len)
		return BAD(b, "outside of its section");
	b->types = bytes + h.hdr_len + h.type_off;
	b->types_len = h.type_len;
	b->names = (const char *)bytes + h.hdr_len + h.str_off;
	b->names_len = h.str_len;
	return b->names[0] || b->names[h.str_len - 1] ? BAD(b, "names without an end") : 0;
}

static int find_types(struct btf *b)
{
	uint32_t at = 0, nr = 0;
	int64_t more;

	while (b->types_len - at >= sizeof(struct btf_type) && nr < TYPES_MAX) {
		more = extra(word(b, at + 4));
		if (more < 0 ||
		    more > (int64_t)(b->types_len - at) - (int64_t)sizeof(struct btf_type))
			return BAD(b, "type %u is none", nr + 1);
		if (b->at)
			b->at[nr + 1] = at;
		nr++;
		at += sizeof(struct btf_type) + more;
	}
	b->nr = nr;
	return at == b->types_len ? 0 : BAD(b, "a type is cut off");
}

static bool is_name(const struct btf *b, uint32_t offset)
{
	return offset < b->names_len;
}

/* Which of a record's words are type numbers and names. */
static int check_records(struct btf *b, uint32_t id, uint32_t size, int name, int type)
{
	uint32_t at = b->at[id] + sizeof(struct btf_type), i;

	for (i = 0; i < BTF_INFO_VLEN(word(b, b->at[id] + 4)); i++, at += size) {
		if (name >= 0 && !is_name(b, word(b, at + name)))
			return BAD(b, "type %u: a name outside of the names", id);
		if (type >= 0 && word(b, at + type) > b->nr)
			return BAD(b, "type %u: of no type", id);
	}
	return 0;
}

static int check_type(struct btf *b, uint32_t id)
{
	uint32_t at = b->at[id], kind = kind_of(b, id), ref = word(b, at + 8);

	if (!is_name(b, word(b, at)))
		return BAD(b, "type %u: a name outside of the names", id);
	switch (kind) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return check_records(b, id, sizeof(struct btf_member), 0, 4);
	case BTF_KIND_ENUM:
		return check_records(b, id, sizeof(struct btf_enum), 0, -1);
	case KIND_ENUM64:
		return check_records(b, id, 12, 0, -1);
	case BTF_KIND_DATASEC:
		return check_records(b, id, sizeof(struct btf_var_secinfo), -1, 0);
	case BTF_KIND_ARRAY:
		if (word(b, at + 12) > b->nr || word(b, at + 16) > b->nr)
			return BAD(b, "type %u: of no type", id);
		return 0;
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
		return 0;
	}
	if (kind == BTF_KIND_FWD)
		return 0;
	if (ref > b->nr)
		return BAD(b, "type %u: of no type", id);
	if (kind == BTF_KIND_FUNC && (!ref || kind_of(b, ref) != BTF_KIND_FUNC_PROTO))
		return BAD(b, "type %u: a function without a prototype", id);
	return kind == BTF_KIND_FUNC_PROTO ? check_records(b, id, sizeof(struct btf_param), 0, 4)
					   : 0;
}

/* ---- no type holds itself ---- */

static int depth_of(struct btf *b, uint32_t id, unsigned int level);

static int deeper(struct btf *b, uint32_t of, unsigned int level, uint8_t *depth)
{
	int err = of ? depth_of(b, of, level + 1) : 0;

	if (!err && of && b->depth[of] >= *depth)
		*depth = b->depth[of] + 1;
	return err;
}

/* A pointer ends it: what it points to is not part of it. */
static int depth_of(struct btf *b, uint32_t id, unsigned int level)
{
	uint32_t at = b->at[id], kind = kind_of(b, id), i;
	uint8_t depth = 1;
	int err = 0;

	if (b->depth[id] == OPEN || level > DEPTH_MAX)
		return BAD(b, "type %u: holds itself, or too much within each other", id);
	if (b->depth[id])
		return level + b->depth[id] <= DEPTH_MAX + 1
			       ? 0
			       : BAD(b, "type %u: too much within each other", id);
	b->depth[id] = OPEN;
	switch (kind) {
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case KIND_TYPE_TAG:
	case BTF_KIND_VAR:
		err = deeper(b, word(b, at + 8), level, &depth);
		break;
	case BTF_KIND_ARRAY:
		err = deeper(b, word(b, at + 12), level, &depth);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (i = 0; !err && i < BTF_INFO_VLEN(word(b, at + 4)); i++)
			err = deeper(b, word(b, at + 16 + i * sizeof(struct btf_member)), level,
				     &depth);
		break;
	}
	b->depth[id] = depth;
	return err;
}

static int check_types(struct btf *b)
{
	uint32_t id;
	int err = 0;

	for (id = 1; id <= b->nr && !err; id++)
		err = check_type(b, id);
	for (id = 1; id <= b->nr && !err; id++)
		err = depth_of(b, id, 0);
	return err;
}

int ht_btf_check(const void *bytes, size_t len, char *why, size_t size)
{
	struct btf b = { .why = why, .size = size };
	int err;

	err = check_header(&b, bytes, len);
	err = err ?: find_types(&b);
	if (err)
		return err;
	b.at = calloc(b.nr + 1, sizeof(*b.at));
	b.depth = calloc(b.nr + 1, sizeof(*b.depth));
	err = b.at && b.depth ? find_types(&b) : -ENOMEM;
	err = err ?: check_types(&b);
	free(b.at);
	free(b.depth);
	return err;
}
