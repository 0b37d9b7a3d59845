# The C tests: one program of spec/c and the core's objects, and the same once more with a run queue of four, so that
# its edges are reached. Included by the Makefile, whose variables it uses.

TEST_SRC := $(wildcard spec/c/*.c)
TEST_OBJ := $(TEST_SRC:spec/c/%.c=$(BUILD)/spec/c/%.o)
# These go through the harness, which can let them fail.
TEST_LDFLAGS := -Wl,--wrap=realloc,--wrap=pthread_create

# All of the core sees the size of the queue, so all is compiled anew.
SMALL     := -DRUNQ_SIZE=4u
SMALL_OBJ := $(TEST_SRC:spec/c/%.c=$(BUILD)/spec/small/c/%.o) $(CORE_OBJ:$(BUILD)/core/%=$(BUILD)/spec/small/core/%)

TEST_BIN := $(BUILD)/spec/c/test $(BUILD)/spec/c/test-small
HOSTS    := $(BUILD)/examples/host $(BUILD)/spec/host/host

.PHONY: test-c

## test-c: the core's own tests, in C
test-c: $(TEST_BIN)
	$(V)BUILD='$(BUILD)' spec/run.sh c

## specs: the tests without the linters, or those of them that PARTS names (spec/run.sh)
.PHONY: specs
specs: all $(if $(filter c,$(or $(PARTS),c)),$(TEST_BIN)) $(HOSTS) install-deps-test
	@spec/run.sh $(PARTS)

# Half of the time under each; the same programs run for a minute without sanitizers in `make test`.
STRESS_SECONDS ?= 600
STRESS_HALF     = $(shell echo $$(($(STRESS_SECONDS) / 2)))

.PHONY: stress

## stress: ten minutes of the stress mode under ThreadSanitizer and AddressSanitizer
stress:
	@$(MAKE) --no-print-directory BUILD=build/tsan SAN=thread OPT='-O1 -g' all
	@$(MAKE) --no-print-directory BUILD=build/asan SAN=address,undefined OPT='-O1 -g' all
	@BUILD=build/tsan TSAN_OPTIONS=detect_deadlocks=0:suppressions=$(CURDIR)/spec/tsan.supp STRESS_SECONDS=$(STRESS_HALF) spec/stress.sh
	@BUILD=build/asan STRESS_SECONDS=$(STRESS_HALF) ASAN_OPTIONS=detect_leaks=0 spec/stress.sh

.PHONY: soak

## soak: what is a matter of moments, a thousand times each: endings, stops, the corpus on many Ps; and `stress`
soak: all install-deps-test
	@LUAPARK_SOAK=20 TIMEOUT=7200 BUSTED_ARGS='spec/ending_spec.lua spec/stopping_spec.lua spec/parallel_spec.lua' spec/run.sh exe
	@$(MAKE) --no-print-directory stress

# The tests themselves are not for the link-time optimizer: they hold assembly, and wrap functions by name.
TEST_CFLAGS = $(CFLAGS) $(if $(LTO),-fno-lto)

# Who asks for one gets both.
$(BUILD)/spec/c/test: $(TEST_OBJ) $(CORE_OBJ) $(LLHTTP) | $(BUILD)/spec/c/test-small
	$(V)$(CC) $(LDFLAGS) $(TEST_LDFLAGS) -o $@ $^ -luv -lm

$(BUILD)/spec/c/test-small: $(SMALL_OBJ) $(LLHTTP)
	$(V)$(CC) $(LDFLAGS) $(TEST_LDFLAGS) -o $@ $^ -luv -lm

$(BUILD)/spec/c/%.o: spec/c/%.c
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(CPPFLAGS) $(TEST_CFLAGS) -c -o $@ $<

$(BUILD)/spec/small/c/%.o: spec/c/%.c
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(CPPFLAGS) $(SMALL) $(TEST_CFLAGS) -c -o $@ $<

$(BUILD)/spec/small/core/%.o: src/%.c
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(CPPFLAGS) $(SMALL) $(TEST_CFLAGS) -c -o $@ $<

$(BUILD)/spec/small/core/%.o: src/%.S
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# Two hosts of the C module: an example, linked with it as an embedder's program is, and one for the specs, which has its
# objects, and with them the sanitizers.
HOST_SRC := examples/host.c spec/host/host.c

$(BUILD)/examples/host: examples/host.c include/luapark.h $(MOD)
	$(V)mkdir -p $(@D)
	$(V)$(CC) -Iinclude $(WARN) $(SANFLAGS) $< -o $@ $(abspath $(MOD)) $(MOD_LUAJIT_CFLAGS) $(MOD_LUAJIT_LIBS)

$(BUILD)/spec/host/host: $(BUILD)/spec/host/host.o $(CORE_OBJ) $(LLHTTP) $(MOD_OBJ)
	$(V)$(CC) $(LDFLAGS) -o $@ $^ $(MOD_LUAJIT_LIBS) -luv -lm

$(BUILD)/spec/host/host.o: spec/host/host.c include/luapark.h
	$(V)mkdir -p $(@D)
	$(V)$(CC) -Iinclude $(MOD_LUAJIT_CFLAGS) $(TEST_CFLAGS) -c -o $@ $<

-include $(wildcard $(BUILD)/spec/c/*.d $(BUILD)/spec/small/c/*.d $(BUILD)/spec/small/core/*/*.d)
