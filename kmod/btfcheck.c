// SPDX-License-Identifier: GPL-2.0
/*
 * Reads the kernel's own BTF. Its format is an interface to user space and does not change; the
 * kernel's functions for it do, and are not exported everywhere.
 */
#include <linux/btf.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <uapi/linux/btf.h>

#include "hypertier.h"

#define MAX_DEPTH 16

struct ht_btf {
	const void *types, *types_end;
	const char *strings;
	u32 strings_len, nr;
	u32 *at; /* offset of each type */
};

static const char *name_of(const struct ht_btf *b, u32 off)
{
	return off < b->strings_len ? b->strings + off : "";
}

static size_t tail_size(const struct btf_type *t)
{
	u32 n = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return n * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return n * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return n * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return n * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return n * sizeof(struct btf_var_secinfo);
	default:
		return 0;
	}
}

static u32 walk(const struct ht_btf *b, u32 *at)
{
	const void *p = b->types;
	u32 nr = 1;

	while (p + sizeof(struct btf_type) <= b->types_end) {
		if (at)
			at[nr] = p - b->types;
		nr++;
		p += sizeof(struct btf_type) + tail_size(p);
	}
	return p == b->types_end ? nr : 0;
}

struct ht_btf *ht_btf_open(const void *data, u32 size)
{
	const struct btf_header *h = data;
	struct ht_btf *b;

	if (size < sizeof(*h) || h->magic != BTF_MAGIC ||
	    (u64)h->hdr_len + h->type_off + h->type_len > size ||
	    (u64)h->hdr_len + h->str_off + h->str_len > size || !h->str_len)
		return NULL;
	b = kzalloc(sizeof(*b), GFP_KERNEL);
	if (!b)
		return NULL;
	b->types = data + h->hdr_len + h->type_off;
	b->types_end = b->types + h->type_len;
	b->strings = data + h->hdr_len + h->str_off;
	b->strings_len = h->str_len;
	b->nr = b->strings[h->str_len - 1] ? 0 : walk(b, NULL);
	b->at = b->nr ? kvmalloc_array(b->nr, sizeof(u32), GFP_KERNEL) : NULL;
	if (!b->at) {
		kfree(b);
		return NULL;
	}
	walk(b, b->at);
	return b;
}

void ht_btf_close(struct ht_btf *b)
{
	if (!b)
		return;
	kvfree(b->at);
	kfree(b);
}

static const struct btf_type *type_of(const struct ht_btf *b, u32 id)
{
	return id && id < b->nr ? b->types + b->at[id] : NULL;
}

static const struct btf_type *find(const struct ht_btf *b, const char *name, u32 kinds)
{
	u32 i;

	for (i = 1; i < b->nr; i++) {
		const struct btf_type *t = type_of(b, i);

		if (kinds >> BTF_INFO_KIND(t->info) & 1 && !strcmp(name_of(b, t->name_off), name))
			return t;
	}
	return NULL;
}

/* Names only: "folio*" for a pointer to struct folio, whatever its qualifiers. */
static void put_type(const struct ht_btf *b, u32 id, char *buf, size_t size, int depth)
{
	const struct btf_type *t = type_of(b, id);

	if (!t || depth > MAX_DEPTH) {
		strlcat(buf, id ? "?" : "void", size);
		return;
	}
	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_PTR:
		put_type(b, t->type, buf, size, depth + 1);
		strlcat(buf, "*", size);
		break;
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		put_type(b, t->type, buf, size, depth + 1);
		break;
	default:
		strlcat(buf, *name_of(b, t->name_off) ? name_of(b, t->name_off) : "?", size);
	}
}

int ht_btf_proto(struct ht_btf *b, const char *func, char *buf, size_t size)
{
	const struct btf_type *f = find(b, func, 1U << BTF_KIND_FUNC), *p;
	const struct btf_param *arg;
	u32 i;

	*buf = '\0';
	p = f ? type_of(b, f->type) : NULL;
	if (!p)
		return -ENOENT;
	if (BTF_INFO_KIND(p->info) != BTF_KIND_FUNC_PROTO)
		return -EINVAL;
	put_type(b, p->type, buf, size, 0);
	strlcat(buf, "(", size);
	arg = (const void *)(p + 1);
	for (i = 0; i < BTF_INFO_VLEN(p->info); i++) {
		if (i)
			strlcat(buf, ",", size);
		put_type(b, arg[i].type, buf, size, 0);
	}
	strlcat(buf, ")", size);
	return 0;
}

static int member_at(const struct ht_btf *b, const struct btf_type *t, const char *name, int depth)
{
	const struct btf_member *m = (const void *)(t + 1);
	u32 i, bits, kind = BTF_INFO_KIND(t->info);
	int off;

	if ((kind != BTF_KIND_STRUCT && kind != BTF_KIND_UNION) || depth > MAX_DEPTH)
		return -ENOENT;
	for (i = 0; i < BTF_INFO_VLEN(t->info); i++) {
		const char *n = name_of(b, m[i].name_off);
		const struct btf_type *in;

		bits = BTF_INFO_KFLAG(t->info) ? BTF_MEMBER_BIT_OFFSET(m[i].offset) : m[i].offset;
		if (*n) {
			if (!strcmp(n, name))
				return bits / 8;
			continue;
		}
		in = type_of(b, m[i].type);
		off = in ? member_at(b, in, name, depth + 1) : -ENOENT;
		if (off >= 0)
			return bits / 8 + off;
	}
	return -ENOENT;
}

int ht_btf_member(struct ht_btf *b, const char *type, const char *member)
{
	const struct btf_type *t = find(b, type, 1U << BTF_KIND_STRUCT);

	return t ? member_at(b, t, member, 0) : -ENOENT;
}

int ht_btf_size(struct ht_btf *b, const char *type)
{
	const struct btf_type *t = find(b, type, 1U << BTF_KIND_STRUCT);

	return t ? t->size : -ENOENT;
}

int ht_btf_enum(struct ht_btf *b, const char *type, const char *name, u32 *value)
{
	const struct btf_type *t = find(b, type, 1U << BTF_KIND_ENUM);
	const struct btf_enum *e;
	u32 i;

	if (!t)
		return -ENOENT;
	e = (const void *)(t + 1);
	for (i = 0; i < BTF_INFO_VLEN(t->info); i++) {
		if (strcmp(name_of(b, e[i].name_off), name))
			continue;
		*value = e[i].val;
		return 0;
	}
	return -ENOENT;
}
