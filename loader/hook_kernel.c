// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <hypertier/abi.h>

#include "hook_kernel.h"

#define MODULE "hypertier"
#define OPS "hypertier_ops"
#define VALUE "bpf_struct_ops_hypertier_ops"
#define VALUE_MAX 4096
#define FUNCTIONS_MAX 64

/* Not in the headers of Debian 12: values of the kernel's interface, which do not change. */
#define MAP_TYPE_STRUCT_OPS 26
#define ATTACH_STRUCT_OPS 44
#define MAP_F_LINK (1U << 13)
#define MAP_F_VTYPE_BTF_OBJ_FD (1U << 15)

/* The parts of union bpf_attr that are used here. */
struct attr_map_create {
	uint32_t map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node;
	char map_name[16];
	uint32_t map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
	uint64_t map_extra;
	int32_t value_type_btf_obj_fd, map_token_fd;
};

struct attr_link_create {
	uint32_t map_fd, target_fd, attach_type, flags, rest[12];
};

struct attr_link_update {
	uint32_t link_fd, new_map_fd, flags, old_map_fd;
};

static int sys_bpf(int cmd, void *attr, size_t size)
{
	long rc = syscall(__NR_bpf, cmd, attr, size);

	return rc < 0 ? -errno : (int)rc;
}

/* The type as the running kernel has it: ids, and where the members that are set lie. */
struct layout {
	struct btf *vmlinux, *module;
	int fd; /* the module's BTF */
	int ops_id, value_id, admit_index;
	uint32_t value_size, data, admit, abi, name;
};

bool ht_hook_kernel_there(const struct ht_roots *roots)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/kernel/btf/" MODULE, roots->sys);
	return !access(path, R_OK);
}

static int module_btf_fd(void)
{
	uint32_t id = 0, len;
	int fd;

	while (!bpf_btf_get_next_id(id, &id)) {
		char name[64] = "";
		struct bpf_btf_info info = { .name = (uintptr_t)name, .name_len = sizeof(name) };

		len = sizeof(info);
		fd = bpf_btf_get_fd_by_id(id);
		if (fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(fd, &info, &len) && info.kernel_btf &&
		    !strcmp(name, MODULE))
			return fd;
		close(fd);
	}
	return -ENOENT;
}

/* Byte offset of a member, -ENOENT. index may be NULL. */
static int member(const struct btf *btf, int id, const char *name, int *index)
{
	const struct btf_type *t = btf__type_by_id(btf, id);
	int i;

	for (i = 0; t && i < btf_vlen(t); i++) {
		const char *n = btf__name_by_offset(btf, btf_members(t)[i].name_off);

		if (!n || strcmp(n, name))
			continue;
		if (index)
			*index = i;
		return btf_member_bit_offset(t, i) / 8;
	}
	return -ENOENT;
}

static int set_layout(struct layout *l)
{
	const struct btf_type *t;
	int data, admit, abi, name;

	l->ops_id = btf__find_by_name_kind(l->module, OPS, BTF_KIND_STRUCT);
	l->value_id = btf__find_by_name_kind(l->module, VALUE, BTF_KIND_STRUCT);
	if (l->ops_id < 0 || l->value_id < 0)
		return -ENOENT;
	t = btf__type_by_id(l->module, l->value_id);
	l->value_size = t->size;
	data = member(l->module, l->value_id, "data", NULL);
	admit = member(l->module, l->ops_id, "admit", &l->admit_index);
	abi = member(l->module, l->ops_id, "abi", NULL);
	name = member(l->module, l->ops_id, "name", NULL);
	if (data < 0 || admit < 0 || abi < 0 || name < 0 ||
	    (uint64_t)data + name + HT_NAME_LEN > l->value_size || l->value_size > VALUE_MAX)
		return -EPROTO;
	l->data = data;
	l->admit = data + admit;
	l->abi = data + abi;
	l->name = data + name;
	return 0;
}

static void close_layout(struct layout *l)
{
	btf__free(l->module);
	btf__free(l->vmlinux);
}

static int open_layout(struct layout *l, const struct ht_roots *roots, int *fd)
{
	char path[256];
	int err;

	memset(l, 0, sizeof(*l));
	snprintf(path, sizeof(path), "%s/kernel/btf/vmlinux", roots->sys);
	l->vmlinux = btf__parse(path, NULL);
	snprintf(path, sizeof(path), "%s/kernel/btf/" MODULE, roots->sys);
	l->module = l->vmlinux ? btf__parse_split(path, l->vmlinux) : NULL;
	if (!l->module) {
		close_layout(l);
		return -ENOENT;
	}
	if (*fd <= 0)
		*fd = module_btf_fd();
	l->fd = *fd;
	err = l->fd < 0 ? l->fd : set_layout(l);
	if (err)
		close_layout(l);
	return err;
}

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Where the functions of a program begin: at 0, and wherever a call or a callback goes. */
static size_t function_starts(const struct bpf_insn *insn, size_t nr, uint32_t *start, size_t max)
{
	size_t i, n = 1, kept = 1;

	start[0] = 0;
	for (i = 0; i < nr && n < max; i++) {
		bool call =
			insn[i].code == (BPF_JMP | BPF_CALL) && insn[i].src_reg == BPF_PSEUDO_CALL;
		bool callback = insn[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
				insn[i].src_reg == BPF_PSEUDO_FUNC;

		if (call || callback)
			start[n++] = i + 1 + insn[i].imm;
		i += insn[i].code == (BPF_LD | BPF_IMM | BPF_DW);
	}
	qsort(start, n, sizeof(*start), cmp_u32);
	for (i = 1; i < n; i++)
		if (start[i] != start[kept - 1])
			start[kept++] = start[i];
	return kept;
}

/*
 * What says which functions are global, and so verified once and by themselves: the kernel has it
 * of the first copy, with offsets in the code as it is after verification. Number of functions, 0
 * where some were found to be dead; then the second copy goes without.
 */
static uint32_t function_info(const struct bpf_program *prog, struct bpf_func_info *info,
			      uint32_t max)
{
	struct bpf_prog_info pi = { .func_info = (uintptr_t)info,
				    .func_info_rec_size = sizeof(*info),
				    .nr_func_info = max };
	uint32_t start[FUNCTIONS_MAX], len = sizeof(pi), i;
	size_t nr =
		function_starts(bpf_program__insns(prog), bpf_program__insn_cnt(prog), start, max);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &pi, &len) || pi.nr_func_info != nr)
		return 0;
	for (i = 0; i < nr; i++)
		info[i].insn_off = start[i];
	return nr;
}

static int load_admit(const struct layout *l, const struct bpf_program *prog, int btf)
{
	struct bpf_func_info info[FUNCTIONS_MAX];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .attach_btf_id = l->ops_id,
		    .attach_btf_obj_fd = l->fd, .expected_attach_type = l->admit_index);
	int fd;

	opts.func_info_cnt = function_info(prog, info, FUNCTIONS_MAX);
	if (opts.func_info_cnt) {
		opts.func_info = info;
		opts.func_info_rec_size = sizeof(info[0]);
		opts.prog_btf_fd = btf;
	}
	fd = bpf_prog_load(BPF_PROG_TYPE_STRUCT_OPS, "ht_admit_pair", "GPL",
			   bpf_program__insns(prog), bpf_program__insn_cnt(prog), &opts);
	return fd < 0 ? -errno : fd;
}

/* btf: the kernel wants the table's author to have BTF, whatever is in it. */
static int make_map(const struct layout *l, int prog, int btf, const char *name)
{
	struct attr_map_create a = { .map_type = MAP_TYPE_STRUCT_OPS,
				     .key_size = 4,
				     .value_size = l->value_size,
				     .max_entries = 1,
				     .map_flags = MAP_F_LINK | MAP_F_VTYPE_BTF_OBJ_FD,
				     .map_name = "ht_ops",
				     .btf_fd = btf,
				     .btf_vmlinux_value_type_id = l->value_id,
				     .value_type_btf_obj_fd = l->fd };
	uint8_t value[VALUE_MAX] = {};
	uint64_t prog_fd = prog;
	uint32_t abi = HT_ABI_VERSION, key = 0;
	int fd = sys_bpf(BPF_MAP_CREATE, &a, sizeof(a)), err;

	if (fd < 0)
		return fd;
	memcpy(value + l->admit, &prog_fd, sizeof(prog_fd));
	memcpy(value + l->abi, &abi, sizeof(abi));
	snprintf((char *)value + l->name, HT_NAME_LEN, "%s", name);
	err = bpf_map_update_elem(fd, &key, value, 0) ? -errno : 0;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static void close_fd(int *fd)
{
	if (*fd > 0)
		close(*fd);
	*fd = 0;
}

static int link_map(struct ht_hook_kernel *h, int map)
{
	struct attr_link_create c = { .map_fd = map, .attach_type = ATTACH_STRUCT_OPS };
	struct attr_link_update u = { .link_fd = h->link, .new_map_fd = map };
	int rc;

	if (h->link > 0)
		return sys_bpf(BPF_LINK_UPDATE, &u, sizeof(u));
	rc = sys_bpf(BPF_LINK_CREATE, &c, sizeof(c));
	if (rc < 0)
		return rc;
	h->link = rc;
	return 0;
}

int ht_hook_kernel_attach(struct ht_hook_kernel *h, const struct ht_roots *roots,
			  const struct bpf_program *prog, int btf, const char *name, char *why,
			  size_t size)
{
	const char *step = "the helper's type hypertier_ops";
	int err, prog_fd = 0, map = 0;
	struct layout l;

	err = open_layout(&l, roots, &h->btf);
	if (err)
		goto out;
	step = "the policy's admit, as a program of the kernel helper";
	err = prog_fd = load_admit(&l, prog, btf);
	if (err >= 0) {
		step = "the policy's table";
		err = map = make_map(&l, prog_fd, btf, name);
	}
	if (err >= 0) {
		step = "the link";
		err = link_map(h, map);
	}
	close_layout(&l);
	if (!err) {
		close_fd(&h->map);
		close_fd(&h->prog);
		h->map = map;
		h->prog = prog_fd;
		return 0;
	}
	close_fd(&map);
	close_fd(&prog_fd);
out:
	snprintf(why, size, "%s: %s", step, strerror(-err));
	return err;
}

void ht_hook_kernel_detach(struct ht_hook_kernel *h)
{
	close_fd(&h->link);
	close_fd(&h->map);
	close_fd(&h->prog);
	close_fd(&h->btf);
}
