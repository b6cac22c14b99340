# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# make            the loader, the policies and the tools
# make demo       boot a two-tier guest, tier it, show the fast share rising
# make test       every test
# make install    PREFIX=/usr/local, DESTDIR; make deb: Debian packages
# make help       the rest
BUILD ?= build
CC ?= gcc
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
V ?= 0
PREFIX ?= /usr/local
VERSION := 0.1.0

ifeq ($(V),1)
Q :=
msg :=
else
Q := @
msg = @printf '  %-8s %s\n' $(1) $(patsubst $(BUILD)/%,%,$(2));
endif

WARN := -Wall -Wextra -Werror -Wno-unused-parameter -Wstrict-prototypes -Wmissing-prototypes
CFLAGS ?= -O2 -g
HT_CFLAGS := -std=gnu11 $(WARN) -D_GNU_SOURCE -DHT_VERSION='"$(VERSION)"' -Iinclude $(CFLAGS) $(SAN)
LIBS := -lbpf -lelf -lz -lnuma -ljson-c -lcap -lm
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BPF_CFLAGS := -g -O2 -mcpu=v3 -target bpf -D__TARGET_ARCH_x86 $(WARN) -Wno-missing-prototypes \
	-Wno-missing-declarations -Wno-compare-distinct-pointer-types \
	-Ivmlinux -Ibpf -Iinclude -I/usr/include/$(MULTIARCH)

LOADER_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out loader/main.c,$(wildcard loader/*.c)))
PROVISION_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out provision/main.c,$(wildcard provision/*.c)))
POLICIES := $(patsubst bpf/policies/%.bpf.c,$(BUILD)/policies/%.bpf.o,$(wildcard bpf/policies/*.bpf.c))
TEST_BPF := $(patsubst tests/bpf/%.bpf.c,$(BUILD)/tests/bpf/%.bpf.o,$(wildcard tests/bpf/*.bpf.c)) \
	$(patsubst tools/bench/%.bpf.c,$(BUILD)/bench/%.bpf.o,$(wildcard tools/bench/*.bpf.c))
UNIT := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
BPFTEST := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bpf/test_*.c))
WORKLOADS := $(patsubst tools/workload/%.c,$(BUILD)/workload/%,$(wildcard tools/workload/*.c)) \
	$(patsubst tools/workload/preload/%.c,$(BUILD)/workload/%.so,$(wildcard tools/workload/preload/*.c))
BENCH := $(patsubst tools/bench/%.c,$(BUILD)/bench/%,$(filter-out %.bpf.c,$(wildcard tools/bench/*.c)))
LABTOOLS := $(patsubst tests/lab/%.c,$(BUILD)/tests/lab/%,$(wildcard tests/lab/*.c))
PLUGIN := $(patsubst tools/lab/%.c,$(BUILD)/lab/%.so,$(wildcard tools/lab/emu*.c))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: kmod bench-migrate all help clean policies setup demo test test-programs bench-sample bench-planner bench-tools bench-ready bench-quick bench-targets bench
all: $(BUILD)/hypertier-load $(BUILD)/hypertier-provision policies $(WORKLOADS) $(PLUGIN) $(BUILD)/demo/report $(BUILD)/replay \
	$(BUILD)/hypertier-top $(BUILD)/hypertier-heatmap
policies: $(POLICIES)

$(BUILD)/loader/%.o: loader/%.c
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/loader/builtin.o: loader/builtin.S $(BUILD)/policies/range.bpf.o
	$(call msg,AS,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -DPOLICY='"$(BUILD)/policies/range.bpf.o"' -c $< -o $@

$(BUILD)/loader.a: $(LOADER_OBJ) $(BUILD)/loader/builtin.o
	$(call msg,AR,$@)
	$(Q)rm -f $@; ar rcs $@ $^

$(BUILD)/hypertier-load: $(BUILD)/loader/main.o $(BUILD)/loader.a
	$(call msg,LD,$@)
	$(Q)$(CC) $(HT_CFLAGS) $^ $(LIBS) -o $@

$(BUILD)/provision/%.o: provision/%.c
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/provision.a: $(PROVISION_OBJ)
	$(call msg,AR,$@)
	$(Q)rm -f $@; ar rcs $@ $^

$(BUILD)/hypertier-provision: $(BUILD)/provision/main.o $(BUILD)/provision.a $(BUILD)/loader.a
	$(call msg,LD,$@)
	$(Q)$(CC) $(HT_CFLAGS) $^ -ljson-c -lm -o $@

$(BUILD)/policies/%.bpf.o: bpf/policies/%.bpf.c
	$(call msg,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/tests/bpf/%.bpf.o: tests/bpf/%.bpf.c
	$(call msg,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/bench/%.bpf.o: tools/bench/%.bpf.c
	$(call msg,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/tests/%: tests/%.c $(BUILD)/loader.a $(BUILD)/provision.a
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -iquote loader -MMD -MP -MF $@.d $< $(BUILD)/provision.a $(BUILD)/loader.a -lcmocka $(LIBS) -lm -lpthread -o $@

$(BUILD)/tests/%.so: tests/%.c
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -fPIC -shared -MMD -MP -MF $@.d $< -ldl -o $@

# Fuzz targets bring their own main, and their definitions come before the archives'. In build/asan only.
FUZZ := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
HEATMAP_IN := tools/heatmap/input.c tools/heatmap/grid.c tools/heatmap/draw.c tools/heatmap/svg.c
$(BUILD)/tests/fuzz/fuzz_recording $(BUILD)/tests/fuzz/fuzz_reply: FUZZ_WITH := $(HEATMAP_IN)
$(BUILD)/tests/fuzz/fuzz_reply: FUZZ_WITH += tools/top/model.c tools/top/view.c
# The same target with a bug in it, twice: a run that does not find them is broken.
PLANTED := $(BUILD)/tests/fuzz/planted_OVERFLOW $(BUILD)/tests/fuzz/planted_LEAK
$(BUILD)/tests/fuzz/planted_%: tests/fuzz/fuzz_units.c tests/fuzz/fuzz.h $(BUILD)/loader.a $(BUILD)/provision.a
	$(call msg,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -fsanitize=fuzzer -DFUZZ_PLANTED_$* -iquote loader $< $(BUILD)/provision.a $(BUILD)/loader.a \
		-Wl,-z,muldefs $(LIBS) -lpthread -o $@

# What is changed is copied and read for each input: without DWARF, of which nothing is read.
$(BUILD)/tests/fuzz/fuzz_object: | $(BUILD)/tests/fuzz/policy.bpf.o
$(BUILD)/tests/fuzz/policy.bpf.o: $(BUILD)/policies/threshold.bpf.o
	@mkdir -p $(@D)
	$(Q)$(LLVM_STRIP) -g -o $@ $<

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h $(BUILD)/loader.a $(BUILD)/provision.a
	$(call msg,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -fsanitize=fuzzer -iquote loader $< $(FUZZ_WITH) $(BUILD)/provision.a $(BUILD)/loader.a \
		-Wl,-z,muldefs $(LIBS) -lpthread -o $@

$(BUILD)/replay: tools/replay/replay.c tools/replay/gen.c $(BUILD)/loader.a
	$(call msg,LD,$@)
	$(Q)$(CC) $(HT_CFLAGS) -iquote loader -iquote tools/replay -MMD -MP -MF $@.d $(filter %.c,$^) $(BUILD)/loader.a $(LIBS) -o $@

$(BUILD)/hypertier-top: $(wildcard tools/top/*.c) $(BUILD)/loader.a
	$(call msg,LD,$@)
	$(Q)$(CC) $(HT_CFLAGS) -iquote loader -MMD -MP -MF $@.d $^ -lncursesw -ltinfo $(LIBS) -o $@

$(BUILD)/hypertier-heatmap: $(wildcard tools/heatmap/*.c) $(BUILD)/loader.a
	$(call msg,LD,$@)
	$(Q)$(CC) $(HT_CFLAGS) -iquote loader -MMD -MP -MF $@.d $^ -lpng $(LIBS) -o $@

$(BUILD)/demo/%: tools/demo/%.c
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -MMD -MP -MF $@.d $< -ljson-c -lm -o $@

$(BUILD)/workload/sqlite: WORKLOAD_LIBS := -lsqlite3
$(BUILD)/workload/%: tools/workload/%.c
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -MMD -MP -MF $@.d $< -lm -lpthread -lnuma $(WORKLOAD_LIBS) -o $@

$(BUILD)/workload/%.so: tools/workload/preload/%.c
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -fPIC -shared -MMD -MP -MF $@.d $< -o $@

$(BUILD)/bench/%: tools/bench/%.c $(BUILD)/loader.a
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -iquote loader -MMD -MP -MF $@.d $< $(BUILD)/loader.a $(LIBS) -lm -lpthread -o $@

$(BUILD)/lab/%.so: tools/lab/%.c
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -fPIC -shared -MMD -MP -MF $@.d $< -o $@

# Set-up needs no network once it is done; it stays out of the way of a plain make.
setup:
	$(Q)tools/setup --kernels $(or $(KERNELS),6.12)

demo:
	$(Q)tools/setup --kernels 6.12
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tools/demo/demo

test-programs: all $(UNIT) $(BPFTEST) $(TEST_BPF) $(LABTOOLS)

# make test T=ranges runs the tests whose name contains "ranges".
test:
	$(Q)tools/setup --kernels all --chroot --modules
	$(Q)$(MAKE) --no-print-directory test-programs
	$(Q)+$(SAN_MAKE) fuzz-programs sanitize-short
	$(Q)tests/run $(T)

# Sanitized builds of everything that parses, in build/asan; docs/trust.md.
SAN_FLAGS := -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow -fno-sanitize-recover=all
SAN_MAKE = $(MAKE) --no-print-directory BUILD=$(BUILD)/asan CC='$(CLANG)' \
	CFLAGS='-O1 -g -fno-omit-frame-pointer' SAN='$(SAN_FLAGS) -D__SANITIZE_ADDRESS__=1'
.PHONY: fuzz fuzz-programs sanitize sanitize-programs sanitize-short valgrind tidy
fuzz-programs: $(FUZZ) $(PLANTED)

# 10^6 inputs for each target (RUNS=N for another number); T=name for some of them.
fuzz:
	$(Q)tools/setup --packages-only
	$(Q)+$(SAN_MAKE) fuzz-programs
	$(Q)BUILD=$(BUILD) tests/fuzz/run --runs $(or $(RUNS),1000000) $(T)

# The unit tests and the programs that they run, sanitized.
sanitize-programs: $(UNIT) $(BUILD)/hypertier-load $(BUILD)/hypertier-provision $(POLICIES) $(TEST_BPF)
# Those that take seconds; make test runs them too (tests/unit/test_sanitized.sh).
SAN_SHORT := bounds bpflog conffile journal ledger mover ranges units vmas
sanitize-short: $(patsubst %,$(BUILD)/tests/unit/test_%,$(SAN_SHORT))
sanitize:
	$(Q)tools/setup --packages-only
	$(Q)+$(SAN_MAKE) sanitize-programs
	$(Q)BUILD=$(BUILD)/asan tests/sanitize $(T)

# Needs valgrind, which tools/setup does not install: apt-get install valgrind.
valgrind: $(UNIT) $(TEST_BPF) policies $(BUILD)/tests/bpf_filled.so
	$(Q)VALGRIND=1 BUILD=$(BUILD) tests/sanitize $(T)

# One program at a time: the analyzer of clang 14 mixes up the variadic functions of several.
CLANG_TIDY ?= clang-tidy
TIDY := $(wildcard loader/*.c provision/*.c tools/top/*.c tools/heatmap/*.c tools/replay/*.c tools/demo/*.c)
tidy: $(patsubst %.c,$(BUILD)/tidy/%.ok,$(TIDY))
$(BUILD)/tidy/%.ok: %.c .clang-tidy
	$(call msg,TIDY,$<)
	@command -v $(CLANG_TIDY) >/dev/null || { echo 'no $(CLANG_TIDY): apt-get install clang-tidy' >&2; exit 1; }
	@mkdir -p $(@D)
	$(Q)$(CLANG_TIDY) --quiet $< -- $(filter-out -W%,$(HT_CFLAGS)) -iquote loader -iquote tools/replay 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

bench-sample: bench-ready
	$(Q)tools/bench/sample-lab
	$(Q)$(BUILD)/bench/sample $(BUILD)/results/sample/insns.json

# The kernel helper for the lab's kernels, with their own compilers.
KMOD_KERNELS ?= 6.12 newest
kmod:
	$(Q)tools/setup --kernels "$(KMOD_KERNELS)" --modules
	$(Q)kmod/build-lab $(KMOD_KERNELS)

# Exchange against two calls of move_pages, in a guest; docs/kernel-helper.md.
bench-migrate: kmod $(BUILD)/bench/migrate
	$(Q)tools/bench/migrate-lab

bench-planner: $(BUILD)/replay policies
	$(Q)tools/bench/planner

bench-tools: all $(BENCH) $(TEST_BPF)

# What a benchmark in guests needs, on a fresh machine as well: what is built depends on what is set up.
bench-ready:
	$(Q)tools/setup --kernels 6.12
	$(Q)$(MAKE) --no-print-directory bench-tools

# Against the kernel's own tiering, in guests; docs/evaluation.md. A second run goes on where the first ended.
bench-quick: bench-ready
	$(Q)tools/bench/eval quick

bench-targets: bench-ready
	$(Q)tools/bench/eval -o $(BUILD)/results/targets targets

bench:
	$(Q)tools/setup --kernels all
	$(Q)$(MAKE) --no-print-directory bench-tools
	$(Q)tools/bench/eval full

# Man pages are made of the programs' --help and packaging/man/*.in.
man: all
	$(Q)BUILD=$(BUILD) VERSION=$(VERSION) packaging/man/build $(BUILD)/man

# make install [DESTDIR=] [PREFIX=/usr/local] [SYSCONFDIR=/etc], and its opposite; docs/install.md
SYSCONFDIR ?= /etc
INSTALL_ENV = DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' BUILD='$(BUILD)' VERSION='$(VERSION)'
install: man
	$(Q)$(INSTALL_ENV) packaging/install

uninstall:
	$(Q)$(INSTALL_ENV) packaging/install --uninstall

# The kernel helper's source into /usr/src, where dkms finds it; docs/kernel-helper.md
install-dkms uninstall-dkms:
	$(Q)$(INSTALL_ENV) PREFIX=/usr packaging/install $(if $(filter un%,$@),--uninstall) --package dkms

deb: man
	$(Q)BUILD=$(BUILD) VERSION=$(VERSION) packaging/deb $(BUILD)/deb

help:
	@sed -n '2,/^BUILD/{/^#/s/^# \?//p}' Makefile

clean:
	rm -rf $(BUILD)/man $(BUILD)/deb $(BUILD)/loader $(BUILD)/loader.a $(BUILD)/hypertier-load $(BUILD)/policies \
		$(BUILD)/provision $(BUILD)/provision.a $(BUILD)/hypertier-provision \
		$(BUILD)/tests $(BUILD)/workload $(BUILD)/bench $(BUILD)/lab/*.so

-include $(wildcard $(foreach d,loader provision policies tests tests/unit tests/bpf tests/lab workload bench lab,$(BUILD)/$(d)/*.d))
