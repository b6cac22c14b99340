# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# make            the loader, the policies and the tools
# make demo       boot a two-tier guest, tier it, show the fast share rising
# make test       every test
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
LIBS := -lbpf -lelf -lz -lnuma -ljson-c -lm
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BPF_CFLAGS := -g -O2 -mcpu=v3 -target bpf -D__TARGET_ARCH_x86 $(WARN) -Wno-missing-prototypes \
	-Wno-missing-declarations -Wno-compare-distinct-pointer-types \
	-Ivmlinux -Ibpf -Iinclude -I/usr/include/$(MULTIARCH)

LOADER_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out loader/main.c,$(wildcard loader/*.c)))
POLICIES := $(patsubst bpf/policies/%.bpf.c,$(BUILD)/policies/%.bpf.o,$(wildcard bpf/policies/*.bpf.c))
TEST_BPF := $(patsubst tests/bpf/%.bpf.c,$(BUILD)/tests/bpf/%.bpf.o,$(wildcard tests/bpf/*.bpf.c)) \
	$(patsubst tools/bench/%.bpf.c,$(BUILD)/bench/%.bpf.o,$(wildcard tools/bench/*.bpf.c))
UNIT := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
BPFTEST := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bpf/test_*.c))
WORKLOADS := $(patsubst tools/workload/%.c,$(BUILD)/workload/%,$(wildcard tools/workload/*.c))
BENCH := $(patsubst tools/bench/%.c,$(BUILD)/bench/%,$(filter-out %.bpf.c,$(wildcard tools/bench/*.c)))
LABTOOLS := $(patsubst tests/lab/%.c,$(BUILD)/tests/lab/%,$(wildcard tests/lab/*.c))
PLUGIN := $(patsubst tools/lab/%.c,$(BUILD)/lab/%.so,$(wildcard tools/lab/emu*.c))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all help clean policies setup demo test test-programs bench-sample bench-planner bench-tools bench-quick bench
all: $(BUILD)/hypertier-load policies $(WORKLOADS) $(PLUGIN) $(BUILD)/demo/report $(BUILD)/replay
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

$(BUILD)/tests/%: tests/%.c $(BUILD)/loader.a
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -iquote loader -MMD -MP -MF $@.d $< $(BUILD)/loader.a -lcmocka $(LIBS) -lm -lpthread -o $@

$(BUILD)/replay: tools/replay/replay.c tools/replay/gen.c $(BUILD)/loader.a
	$(call msg,LD,$@)
	$(Q)$(CC) $(HT_CFLAGS) -iquote loader -iquote tools/replay -MMD -MP -MF $@.d $(filter %.c,$^) $(BUILD)/loader.a $(LIBS) -o $@

$(BUILD)/demo/%: tools/demo/%.c
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -MMD -MP -MF $@.d $< -ljson-c -lm -o $@

$(BUILD)/workload/%: tools/workload/%.c
	$(call msg,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HT_CFLAGS) -MMD -MP -MF $@.d $< -lm -lpthread -lnuma -o $@

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
	$(Q)tools/setup --kernels all
	$(Q)$(MAKE) --no-print-directory test-programs
	$(Q)tests/run $(T)

bench-sample: $(BUILD)/bench/sample $(TEST_BPF) policies
	$(Q)$(BUILD)/bench/sample

bench-planner: $(BUILD)/replay policies
	$(Q)tools/bench/planner

bench-tools: all $(BENCH) $(TEST_BPF)

# Against the kernel's own tiering, in guests; docs/evaluation.md. A second run goes on where the first ended.
bench-quick:
	$(Q)tools/setup --kernels 6.12
	$(Q)$(MAKE) --no-print-directory bench-tools
	$(Q)tools/bench/eval quick

bench:
	$(Q)tools/setup --kernels all
	$(Q)$(MAKE) --no-print-directory bench-tools
	$(Q)tools/bench/eval full

help:
	@sed -n '2,/^BUILD/{/^#/s/^# \?//p}' Makefile

clean:
	rm -rf $(BUILD)/loader $(BUILD)/loader.a $(BUILD)/hypertier-load $(BUILD)/policies \
		$(BUILD)/tests $(BUILD)/workload $(BUILD)/bench $(BUILD)/lab/*.so

-include $(wildcard $(foreach d,loader policies tests/unit tests/bpf tests/lab workload bench lab,$(BUILD)/$(d)/*.d))
