// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * For valgrind, as LD_PRELOAD: version 3.19 does not know of some memory that bpf(2) fills, and
 * takes what libbpf reads there for uninitialised. That memory is cleared here before the call; all
 * else stays as the program left it:
 *   - the log of the verifier, and that of BPF_BTF_LOAD;
 *   - type information and its name, to which struct bpf_btf_info points.
 * libbpf makes its calls by syscall(), which is why that is the function replaced.
 */
#include <dlfcn.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NR_ARGS 6

/* Programs that the test starts run without valgrind; those that start valgrind hand it on. */
__attribute__((constructor)) static void here_only(void)
{
	const char *all = getenv("LD_PRELOAD");

	if (all && strstr(all, "vgpreload"))
		unsetenv("LD_PRELOAD");
}

static void clear(uint64_t p, size_t len)
{
	if (p)
		memset((void *)(uintptr_t)p, 0, len);
}

static void clear_filled(int cmd, const union bpf_attr *a)
{
	const struct bpf_btf_info *btf;

	if (cmd == BPF_PROG_LOAD) {
		clear(a->log_buf, a->log_size);
	} else if (cmd == BPF_BTF_LOAD) {
		clear(a->btf_log_buf, a->btf_log_size);
	} else if (cmd == BPF_OBJ_GET_INFO_BY_FD && a->info.info_len == sizeof(*btf)) {
		/* No other kind of information is of this size. */
		btf = (const void *)(uintptr_t)a->info.info;
		clear(btf->btf, btf->btf_size);
		clear(btf->name, btf->name_len);
	}
}

long syscall(long nr, ...)
{
	long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long a[NR_ARGS];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < NR_ARGS; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_bpf)
		clear_filled(a[0], (const union bpf_attr *)a[1]);
	return next(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
