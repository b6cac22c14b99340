// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Knobs of real policy objects, and of objects whose knob section was tampered with. */
#include "test_util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gelf.h>
#include <json-c/json.h>
#include <sys/stat.h>

#include "bpflog.h"
#include "fs.h"
#include "knobs.h"

#define SECTION ".rodata.knobs"
#define KNOBS 3 /* of threshold: hot, hot_writes, cool */

static char *file; /* threshold.bpf.o */
static size_t file_len;

static int setup(void **state)
{
	const char *path = tu_build_path("policies/threshold.bpf.o");
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st)) {
		print_error("%s is missing: make policies\n", path);
		return -1;
	}
	file_len = st.st_size;
	file = tu_zalloc(1, file_len);
	if (read(fd, file, file_len) != st.st_size)
		return -1;
	close(fd);
	ht_bpflog_start();
	return 0;
}

static int teardown(void **state)
{
	free(file);
	return 0;
}

static struct bpf_object *open_bytes(const char *bytes)
{
	struct bpf_object *obj = bpf_object__open_mem(bytes, file_len, NULL);

	assert_non_null(obj);
	return obj;
}

/* The section's header in a copy of the file, and its knobs. */
static GElf_Off find_section(const char *bytes, size_t *header)
{
	GElf_Off off = 0;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	GElf_Ehdr eh;
	size_t names;
	Elf *e;

	elf_version(EV_CURRENT);
	e = elf_memory((char *)bytes, file_len);
	assert_non_null(e);
	assert_non_null(gelf_getehdr(e, &eh));
	assert_int_equal(elf_getshdrstrndx(e, &names), 0);
	while ((scn = elf_nextscn(e, scn))) {
		assert_non_null(gelf_getshdr(scn, &sh));
		if (strcmp(elf_strptr(e, names, sh.sh_name), SECTION))
			continue;
		off = sh.sh_offset;
		*header = eh.e_shoff + elf_ndxscn(scn) * eh.e_shentsize;
		assert_int_equal(sh.sh_size, KNOBS * sizeof(struct ht_knob));
	}
	elf_end(e);
	assert_int_not_equal(off, 0);
	return off;
}

static char *copy(struct ht_knob **knobs, Elf64_Shdr **header)
{
	char *c = tu_zalloc(1, file_len);
	size_t head = 0;

	memcpy(c, file, file_len);
	*knobs = (void *)(c + find_section(c, &head));
	if (header)
		*header = (void *)(c + head);
	return c;
}

/* ---- sound objects ---- */

static uint64_t value_of(struct bpf_object *obj, const char *name)
{
	const struct ht_knob *k;
	size_t nr, i;

	assert_int_equal(ht_knobs_list(obj, &k, &nr), 0);
	for (i = 0; i < nr; i++)
		if (!strcmp(k[i].name, name))
			return k[i].value;
	fail_msg("no knob %s", name);
	return 0;
}

static void test_list(void **state)
{
	struct bpf_object *obj = open_bytes(file);
	const struct ht_knob *k;
	size_t nr, i;

	assert_int_equal(ht_knobs_list(obj, &k, &nr), 0);
	assert_int_equal(nr, KNOBS);
	assert_string_equal(k[0].name, "hot");
	for (i = 0; i < nr; i++) {
		assert_true(k[i].min <= k[i].value && k[i].value <= k[i].max);
		assert_int_not_equal(k[i].help[0], 0);
	}
	bpf_object__close(obj);
}

static void test_no_knobs(void **state)
{
	struct bpf_object *obj = bpf_object__open_file(tu_build_path("policies/range.bpf.o"), NULL);
	const struct ht_knob *k = (void *)1;
	struct json_object *json;
	struct fs_log log;
	const char *said;
	size_t nr = 7;
	int err;

	assert_non_null(obj);
	assert_int_equal(ht_knobs_list(obj, &k, &nr), 0);
	assert_int_equal(nr, 0);
	assert_null(k);
	fs_log_start(&log);
	err = ht_knobs_set(obj, "hot=1");
	said = fs_log_end(&log);
	assert_int_equal(err, -ENOENT);
	assert_non_null(strstr(said, "none at all"));
	json = ht_knobs_json(obj);
	assert_int_equal(json_object_array_length(json), 0);
	json_object_put(json);
	bpf_object__close(obj);
}

static void test_set(void **state)
{
	static const struct {
		const char *text;
		int err;
		uint64_t value;
	} row[] = {
		{ "hot=1", 0, 1 },
		{ "hot=16777216", 0, 16777216 },
		{ "hot=010", 0, 10 },
		{ "hot=0x1f", 0, 31 },
		{ "hot=0X1F", 0, 31 },
		{ "hot=2K", 0, 2048 },
		{ "hot=3m", 0, 3 << 20 },
		{ "hot=0x2k", 0, 2048 },
		{ "hot=0", -ERANGE, 0 },
		{ "hot=16777217", -ERANGE, 0 },
		{ "hot=1G", -ERANGE, 0 },
		{ "hot=18446744073709551615", -ERANGE, 0 },
		{ "hot=18446744073709551616", -ERANGE, 0 },
		/* 2^34 G wraps around to 0, 2^34 + 1 G to a gigabyte. */
		{ "hot=17179869184G", -ERANGE, 0 },
		{ "hot=18014398509481985K", -ERANGE, 0 },
		{ "hot", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "=", -EINVAL, 0 },
		{ "=5", -EINVAL, 0 },
		{ "hot=", -EINVAL, 0 },
		{ "hot= 5", -EINVAL, 0 },
		{ "hot=5 ", -EINVAL, 0 },
		{ "hot=+5", -EINVAL, 0 },
		{ "hot=-5", -EINVAL, 0 },
		{ "hot=-18446744073709551611", -EINVAL, 0 },
		{ "hot=5x", -EINVAL, 0 },
		{ "hot=5KB", -EINVAL, 0 },
		{ "hot=0x", -EINVAL, 0 },
		{ "hot=0x5g5", -EINVAL, 0 },
		{ "hot=1.5", -EINVAL, 0 },
		{ "hot==5", -EINVAL, 0 },
		{ "ho=5", -ENOENT, 0 },
		{ "hott=5", -ENOENT, 0 },
		{ " hot=5", -ENOENT, 0 },
		{ "HOT=5", -ENOENT, 0 },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct bpf_object *obj = open_bytes(file);
		uint64_t before = value_of(obj, "hot"), cool = value_of(obj, "cool");
		struct fs_log log;
		const char *said;
		int err;

		fs_log_start(&log);
		err = ht_knobs_set(obj, row[i].text);
		said = fs_log_end(&log);
		if (err != row[i].err)
			fail_msg("'%s': %d, not %d: %s", row[i].text, err, row[i].err, said);
		if ((err == 0) != !*said)
			fail_msg("'%s': logged: '%s'", row[i].text, said);
		if (err == -ENOENT)
			assert_non_null(strstr(said, "hot, hot_writes, cool"));
		if (err == -ERANGE)
			assert_non_null(strstr(said, "from 1 to 16777216"));
		assert_int_equal(value_of(obj, "hot"), err ? before : row[i].value);
		assert_int_equal(value_of(obj, "cool"), cool);
		bpf_object__close(obj);
	}
}

static void test_long_name(void **state)
{
	struct bpf_object *obj = open_bytes(file);
	char text[5000];
	struct fs_log log;
	const char *said;
	int err;

	memset(text, 'a', sizeof(text));
	strcpy(text + sizeof(text) - 3, "=1");
	fs_log_start(&log);
	err = ht_knobs_set(obj, text);
	said = fs_log_end(&log);
	assert_int_equal(err, -ENOENT);
	assert_in_range(strlen(said), 1, 600);
	bpf_object__close(obj);
}

static void test_set_twice(void **state)
{
	struct bpf_object *obj = open_bytes(file);

	assert_int_equal(ht_knobs_set(obj, "hot=5"), 0);
	assert_int_equal(ht_knobs_set(obj, "cool=3"), 0);
	assert_int_equal(ht_knobs_set(obj, "hot=6"), 0);
	assert_int_equal(value_of(obj, "hot"), 6);
	assert_int_equal(value_of(obj, "cool"), 3);
	bpf_object__close(obj);
}

static void test_after_load(void **state)
{
	struct bpf_object *obj = open_bytes(file);
	struct bpf_program *p;
	struct fs_log log;
	const char *said;
	int err;

	if (geteuid())
		skip();
	assert_int_equal(ht_knobs_set(obj, "hot=5"), 0);
	/* The maps do: no program is needed. */
	bpf_object__for_each_program (p, obj)
		bpf_program__set_autoload(p, false);
	assert_int_equal(bpf_object__load(obj), 0);
	fs_log_start(&log);
	err = ht_knobs_set(obj, "hot=6");
	said = fs_log_end(&log);
	assert_int_equal(err, -EBUSY);
	assert_non_null(strstr(said, "loaded already"));
	bpf_object__close(obj);
}

static void test_print(void **state)
{
	struct bpf_object *obj = open_bytes(file);
	struct json_object *arr, *o, *v;
	const struct ht_knob *k;
	char *text = NULL;
	size_t len, nr, i;
	FILE *f;

	assert_int_equal(ht_knobs_set(obj, "hot=77"), 0);
	assert_int_equal(ht_knobs_list(obj, &k, &nr), 0);
	f = open_memstream(&text, &len);
	assert_int_equal(ht_knobs_print(f, obj), 0);
	fclose(f);
	arr = ht_knobs_json(obj);
	assert_int_equal(json_object_array_length(arr), nr);
	for (i = 0; i < nr; i++) {
		assert_non_null(strstr(text, k[i].name));
		assert_non_null(strstr(text, k[i].help));
		o = json_object_array_get_idx(arr, i);
		assert_true(json_object_object_get_ex(o, "name", &v));
		assert_string_equal(json_object_get_string(v), k[i].name);
		assert_true(json_object_object_get_ex(o, "value", &v));
		assert_int_equal(json_object_get_int64(v), k[i].value);
		assert_true(json_object_object_get_ex(o, "max", &v));
		assert_int_equal(json_object_get_int64(v), k[i].max);
	}
	assert_non_null(strstr(text, "77 (1 to 16777216)"));
	json_object_put(arr);
	free(text);
	bpf_object__close(obj);
}

/* ---- others ---- */

static void refused(const char *bytes, const char *what)
{
	struct bpf_object *obj = open_bytes(bytes);
	const struct ht_knob *k = (void *)1;
	struct fs_log log;
	size_t nr = 7, len;
	char *text = NULL;
	const char *said;
	FILE *f = open_memstream(&text, &len);
	int list, set, print;
	void *json;

	fs_log_start(&log);
	list = ht_knobs_list(obj, &k, &nr);
	set = ht_knobs_set(obj, "cool=2");
	print = ht_knobs_print(f, obj);
	json = ht_knobs_json(obj);
	said = fs_log_end(&log);
	fclose(f);
	if (list != -EINVAL || set != -EINVAL || print != -EINVAL || json || nr || k || len)
		fail_msg("%s: list %d, set %d, print %d, %zu knobs", what, list, set, print, nr);
	assert_non_null(strstr(said, SECTION));
	free(text);
	bpf_object__close(obj);
}

static void test_tampered(void **state)
{
	static const struct {
		const char *what;
		size_t at; /* in the second knob */
		const char *bytes;
		size_t len;
	} row[] = {
		{ "no name", offsetof(struct ht_knob, name), "", 1 },
		{ "name without end", offsetof(struct ht_knob, name), "aaaaaaaaaaaaaaaaaaaaaaaa",
		  24 },
		{ "escape sequence", offsetof(struct ht_knob, name), "h\033[2J", 6 },
		{ "assignment", offsetof(struct ht_knob, name), "a=b", 4 },
		{ "digit first", offsetof(struct ht_knob, name), "1a", 3 },
		{ "twice", offsetof(struct ht_knob, name), "hot", 4 },
		{ "control in help", offsetof(struct ht_knob, help), "a\nb", 4 },
		{ "no ASCII", offsetof(struct ht_knob, help), "a\xff", 3 },
		{ "min above value", offsetof(struct ht_knob, min), "\0\0\0\0\0\0\0\1", 8 },
		{ "max below value", offsetof(struct ht_knob, max), "\0\0\0\0\0\0\0\0", 8 },
		{ "value too high", offsetof(struct ht_knob, value), "\0\0\0\0\0\0\0\1", 8 },
		{ "value too low", offsetof(struct ht_knob, value), "\0\0\0\0\0\0\0\0", 8 },
	};
	struct ht_knob *k;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char *c = copy(&k, NULL);

		memcpy((char *)&k[1] + row[i].at, row[i].bytes, row[i].len);
		refused(c, row[i].what);
		free(c);
	}
}

static void test_help_without_end(void **state)
{
	struct ht_knob *k;
	char *c = copy(&k, NULL);

	memset(k[KNOBS - 1].help, 'x', sizeof(k->help));
	refused(c, "help without end");
	free(c);
}

/* All of it unsound: what is read must lie within it. */
static void test_noise(void **state)
{
	uint64_t rnd = 5;

	for (int i = 0; i < 200; i++) {
		struct ht_knob *k;
		char *c = copy(&k, NULL);

		for (size_t j = 0; j < KNOBS * sizeof(*k); j++)
			((char *)k)[j] = i % 2 ? 'a' : (char)tu_rnd(&rnd);
		refused(c, "noise");
		free(c);
	}
}

/* The last bytes of the section are cut off, or bytes that follow it taken in. */
static void test_sizes(void **state)
{
	static const size_t size[] = {
		1, 8, 151, 153, 304 - 8, KNOBS * 152 - 1, KNOBS * 152 + 8, (HT_KNOBS_MAX + 1) * 152
	};
	size_t opened = 0;

	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		Elf64_Shdr *head;
		struct ht_knob *k;
		char *c = copy(&k, &head);
		struct bpf_object *obj;

		assert_int_equal(head->sh_size, KNOBS * sizeof(*k));
		head->sh_size = size[i];
		/* libbpf may see for itself that variables lie outside. */
		obj = bpf_object__open_mem(c, file_len, NULL);
		if (obj) {
			opened++;
			bpf_object__close(obj);
			refused(c, "size");
		}
		free(c);
	}
	assert_int_not_equal(opened, 0);
}

/* In turn, and no further than the first that fails. */
static void test_set_all(void **state)
{
	char *const set[] = { "hot=12", "cool=99999999", "hot_writes=3" };
	struct bpf_object *obj = open_bytes(file);
	const struct ht_knob *k;
	size_t nr, which = 9;

	assert_int_equal(ht_knobs_set_all(obj, set, 0, &which), 0);
	assert_int_equal(ht_knobs_set_all(obj, set, 1, NULL), 0);
	assert_int_equal(which, 9);
	assert_int_equal(ht_knobs_set_all(obj, set, 3, &which), -ERANGE);
	assert_int_equal(which, 1);
	assert_int_equal(ht_knobs_list(obj, &k, &nr), 0);
	assert_int_equal(k[0].value, 12);
	assert_int_equal(k[1].value, 4); /* hot_writes, as it was */
	bpf_object__close(obj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_no_knobs),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_set_twice),
		cmocka_unit_test(test_set_all),
		cmocka_unit_test(test_after_load),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_help_without_end),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
