# Luapark. `make help` says what there is.

CC       ?= gcc
PREFIX   ?= /usr/local
BUILD    ?= build
V        ?= @
SAN      ?=
RUN      ?=

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# LuaJIT for the executable; made by `make deps` when it is not there (make starts anew once config.mk exists).
LUAJIT_OUT := build/luajit
NOBUILD    := help clean deps lint test-arm64 install-deps-test install-deps-lint install-deps-bench install-deps-arm64
ifneq ($(filter-out $(NOBUILD),$(or $(MAKECMDGOALS),all)),)
include $(LUAJIT_OUT)/config.mk
endif

$(LUAJIT_OUT)/config.mk: deps/luajit.sh deps/luajit.lock src/base/errno.h deps/selftest.c deps/selftest.lua deps/install.sh deps/packages
	@deps/install.sh build
	@CC='$(CC)' RUN='$(RUN)' deps/luajit.sh $(LUAJIT_OUT)
	@touch $@

# Compiling -----------------------------------------------------------------------------------------------------------

WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes
OPT      ?= -O2 -g $(LTO)
# 3 to 6 % of a spawn, a yield and a round trip. gcc's alone: clang's wants a linker plugin that Debian does not install.
LTO      := $(if $(SAN),,$(if $(findstring Free Software,$(shell $(CC) --version)),-flto=auto))
CFLAGS   += -std=gnu11 $(OPT) $(USER_CFLAGS) $(WARN) -fPIC -fexceptions -fvisibility=hidden -fno-strict-aliasing -pthread $(SANFLAGS)
CPPFLAGS += -Isrc -Iinclude -include src/base/errno.h -I/usr/share/include/llhttp $(UV_INCDIR:%=-I%) -MMD -MP
LDFLAGS  += -pthread $(SANFLAGS) $(LTO) $(foreach dir,$(filter-out /usr/lib% /lib%,$(UV_LIBDIR)),-L$(dir) -Wl,-rpath,$(dir))
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -DLUAPARK_DEBUG_BUILD)

ARCH     := $(shell $(CC) -dumpmachine)
SWITCH   := $(if $(filter aarch64%,$(ARCH)),arm64_aapcs,amd64_sysv)

# The floors without Lua are compiled once; src/lua once for our LuaJIT and once for the installed one's headers.
CORE_SRC := $(wildcard src/base/*.c src/asm/*.c src/sched/*.c src/park/*.c src/load/*.c)
LUA_SRC  := $(filter-out src/lua/vm_%.c,$(wildcard src/lua/*.c))
CORE_OBJ := $(CORE_SRC:src/%.c=$(BUILD)/core/%.o) $(BUILD)/core/asm/switch_$(SWITCH).o
LLHTTP   := $(patsubst %,$(BUILD)/llhttp/%.o,api http llhttp)
VM       := $(if $(filter 1,$(LUAJIT_PRIVATE)),private,public)
EXE_OBJ  := $(LUA_SRC:src/%.c=$(BUILD)/exe/%.o) $(BUILD)/exe/lua/vm_$(VM).o $(patsubst src/%.c,$(BUILD)/exe/%.o,$(wildcard src/*.c))
MOD_OBJ  := $(LUA_SRC:src/%.c=$(BUILD)/mod/%.o) $(BUILD)/mod/lua/vm_public.o

MOD_LUAJIT_CFLAGS = $(shell pkg-config --cflags luajit)
MOD_LUAJIT_LIBS   = $(shell pkg-config --libs luajit)

EXE      := $(BUILD)/bin/luapark
MOD      := $(BUILD)/lib/lua/5.1/luapark/core.so
SHARE    := $(BUILD)/share/lua/5.1/luapark
JIT      := $(BUILD)/share/lua/5.1/luapark-jit

all: $(EXE) $(MOD) $(SHARE) $(JIT) $(BUILD)/luapark

$(BUILD)/core/%.o: src/%.c
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/core/%.o: src/%.S
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/exe/lua/vm_private.o: CPPFLAGS += $(LUAJIT_PRIVATE_CFLAGS)
$(BUILD)/exe/%.o: src/%.c
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(CPPFLAGS) $(LUAJIT_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/mod/%.o: src/%.c
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(CPPFLAGS) $(MOD_LUAJIT_CFLAGS) -include src/lua/weakapi.h $(CFLAGS) -c -o $@ $<

# Debian ships llhttp as C sources, without a library. Not our code: no warnings wanted.
$(BUILD)/llhttp/%.o: /usr/share/llhttp/%.c
	$(V)mkdir -p $(@D)
	$(V)$(CC) -I/usr/share/include/llhttp -O2 -fPIC -fvisibility=hidden -w -c -o $@ $<

# -E: C modules find Lua's API in the executable.
$(EXE): $(CORE_OBJ) $(LLHTTP) $(EXE_OBJ)
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -Wl,-E -o $@ $^ $(LUAJIT_LIBS) -luv -lm

ifneq ($(SAN),)
# A stock luajit cannot load a module built with a sanitizer; there the specs take the ordinary one.
$(MOD): build/lib/lua/5.1/luapark/core.so
	$(V)mkdir -p $(@D)
	$(V)ln -sfn $(CURDIR)/$< $@
build/lib/lua/5.1/luapark/core.so: FORCE
	@$(MAKE) --silent --no-print-directory BUILD=build SAN= OPT='-O2 -g' $@
.PHONY: FORCE
else
# Lua's symbols are the host's (src/lua/weakapi.h); the module stays mapped (its threads outlive dlclose).
$(MOD): $(CORE_OBJ) $(LLHTTP) $(MOD_OBJ)
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -shared -Wl,-z,nodelete -Wl,-u,luaL_error -o $@ $^ -luv -lm
endif

# The build tree is laid out as an installation, so that the executable finds its modules in the same way.
$(SHARE): | $(EXE)
	$(V)mkdir -p $(@D)
	$(V)ln -sfn $(CURDIR)/lua/luapark $@

# LuaJIT's jit.* modules, of the executable's own LuaJIT: a folder that no other program looks into.
$(JIT): | $(EXE)
	$(V)mkdir -p $(@D)
	$(V)ln -sfn $(abspath $(LUAJIT_OUT)/share) $@

$(BUILD)/luapark: | $(EXE)
ifeq ($(RUN),)
	$(V)ln -sfn bin/luapark $@
else
	$(V)printf '#!/bin/sh\nexec %s "$$@"\n' '$(RUN) $(CURDIR)/$(EXE)' >$@
	$(V)chmod +x $@
endif

# Running and installing ----------------------------------------------------------------------------------------------

.PHONY: all run test test-c bench lint asan tsan install clean deps help
.PHONY: install-deps-test install-deps-lint install-deps-bench install-deps-arm64

# The main job on an embedded default: a load generator against an HTTP server of our own.
run: all
	@$(EXE) examples/run.lua

test: all install-deps-test
	@$(MAKE) -s --no-print-directory lint-quiet
	@$(MAKE) -s --no-print-directory specs

bench: all install-deps-bench
	@bench/run.sh

# The whole suite through the executable, and the C tests, in a build with sanitizers.
asan: install-deps-test
	@$(MAKE) --no-print-directory BUILD=build/asan SAN=address,undefined OPT='-O1 -g' all build/asan/spec/c/test build/asan/spec/host/host
	@BUILD=build/asan ASAN_OPTIONS=detect_leaks=0 spec/run.sh c exe examples

# Its deadlock detector knows 64 locks, and a select holds one of each of its channels; lock.c checks their order itself.
tsan: install-deps-test
	@$(MAKE) --no-print-directory BUILD=build/tsan SAN=thread OPT='-O1 -g' all build/tsan/spec/c/test build/tsan/spec/host/host
	@BUILD=build/tsan TSAN_OPTIONS=detect_deadlocks=0:suppressions=$(CURDIR)/spec/tsan.supp TIMEOUT=1800 spec/run.sh c exe examples

deps:
	@deps/install.sh build
	@CC='$(CC)' deps/luajit.sh $(LUAJIT_OUT)

# A static pattern: make looks for no implicit rule where a target is phony.
install-deps-test install-deps-lint install-deps-bench install-deps-arm64: install-deps-%:
	@deps/install.sh $*

# LuaRocks says where these are, folder by folder.
BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib/lua/5.1
LUADIR = $(PREFIX)/share/lua/5.1
INCDIR = $(PREFIX)/include

install: all
	$(V)install -D $(EXE) '$(DESTDIR)$(BINDIR)/luapark'
	$(V)install -D -m 644 $(MOD) '$(DESTDIR)$(LIBDIR)/luapark/core.so'
	$(V)install -D -m 644 -t '$(DESTDIR)$(LUADIR)/luapark' lua/luapark/*.lua
	$(V)install -D -m 644 -t '$(DESTDIR)$(INCDIR)' include/luapark.h
ifneq ($(LUAJIT_KIND),system)
	$(V)install -D -m 644 -t '$(DESTDIR)$(LUADIR)/luapark-jit/jit' $(LUAJIT_OUT)/share/jit/*.lua
endif

clean:
	rm -rf $(filter-out $(LUAJIT_OUT) $(ARM64_LUAJIT) build/go,$(wildcard build/*))

help:
	@echo "make            build build/bin/luapark and the module for stock luajit"
	@echo "make run        build and run: a load generator against a server of our own"
	@echo "make test       build and run every test"
	@echo "make specs      the same without the linters; PARTS='module rocks' runs some of it (spec/run.sh)"
	@echo "make bench      measure, beside Go, in one interleaved run"
	@echo "make lint       luacheck, cppcheck, clang-tidy, shellcheck, both compilers"
	@echo "make asan|tsan  the tests under AddressSanitizer and UBSan, or ThreadSanitizer"
	@echo "make test-arm64 cross-build for arm64, and run its tests under qemu-user"
	@echo "make stress     ten minutes of random choices under both (STRESS_SECONDS=600)"
	@echo "make soak       an hour: endings a thousand times, the corpus ten times, and stress"
	@echo "make deps       install what is missing and prepare LuaJIT (each of the above does)"
	@echo "make install PREFIX=$(PREFIX)   install the command, the module, the Lua files and the header"
	@echo "make clean      remove what was built, but for LuaJIT"
	@echo "Variables: CC, OPT, BUILD, SAN=address,undefined|thread, LUAJIT=system, LUAJIT_SRC=dir, V= (say what is run)"

include mk/test.mk
include mk/arm64.mk
include mk/lint.mk

-include $(wildcard $(BUILD)/*/*/*.d $(BUILD)/*/*.d)
