# Luapark. `make help` says what there is.

CC       ?= gcc
PREFIX   ?= /usr/local
BUILD    ?= build
V        ?= @
SAN      ?=

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# LuaJIT for the executable; made by `make deps` when it is not there (make starts anew once config.mk exists).
LUAJIT_OUT := build/luajit
NOBUILD    := help clean deps lint install-deps-test install-deps-lint install-deps-bench
ifneq ($(filter-out $(NOBUILD),$(or $(MAKECMDGOALS),all)),)
include $(LUAJIT_OUT)/config.mk
endif

$(LUAJIT_OUT)/config.mk: deps/luajit.sh deps/luajit.lock deps/selftest.c deps/selftest.lua deps/install.sh deps/packages
	@deps/install.sh build
	@CC='$(CC)' deps/luajit.sh $(LUAJIT_OUT)
	@touch $@

# Compiling -----------------------------------------------------------------------------------------------------------

WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes
OPT      ?= -O2 -g
CFLAGS   += -std=gnu11 $(OPT) $(WARN) -fPIC -fexceptions -fvisibility=hidden -fno-strict-aliasing -pthread $(SANFLAGS)
CPPFLAGS += -Isrc -I/usr/share/include/llhttp -MMD -MP
LDFLAGS  += -pthread $(SANFLAGS)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -DLUAPARK_DEBUG_BUILD)

ARCH     := $(shell $(CC) -dumpmachine)
SWITCH   := $(if $(filter aarch64%,$(ARCH)),arm64_aapcs,amd64_sysv)

# The floors without Lua are compiled once; src/lua once for our LuaJIT and once for the installed one's headers.
CORE_SRC := $(wildcard src/base/*.c src/asm/*.c src/sched/*.c src/park/*.c)
LUA_SRC  := $(filter-out src/lua/vm_%.c,$(wildcard src/lua/*.c))
CORE_OBJ := $(CORE_SRC:src/%.c=$(BUILD)/core/%.o) $(BUILD)/core/asm/switch_$(SWITCH).o
LLHTTP   := $(patsubst %,$(BUILD)/llhttp/%.o,api http llhttp)
VM       := $(if $(filter 1,$(LUAJIT_PRIVATE)),private,public)
EXE_OBJ  := $(LUA_SRC:src/%.c=$(BUILD)/exe/%.o) $(BUILD)/exe/lua/vm_$(VM).o $(BUILD)/exe/main.o
MOD_OBJ  := $(LUA_SRC:src/%.c=$(BUILD)/mod/%.o) $(BUILD)/mod/lua/vm_public.o

MOD_LUAJIT_CFLAGS = $(shell pkg-config --cflags luajit)

EXE      := $(BUILD)/bin/luapark
MOD      := $(BUILD)/lib/lua/5.1/luapark/core.so
SHARE    := $(BUILD)/share/lua/5.1/luapark

all: $(EXE) $(MOD) $(SHARE) $(BUILD)/luapark

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
	$(V)$(CC) $(CPPFLAGS) $(MOD_LUAJIT_CFLAGS) $(CFLAGS) -c -o $@ $<

# Debian ships llhttp as C sources, without a library. Not our code: no warnings wanted.
$(BUILD)/llhttp/%.o: /usr/share/llhttp/%.c
	$(V)mkdir -p $(@D)
	$(V)$(CC) -I/usr/share/include/llhttp -O2 -fPIC -fvisibility=hidden -w -c -o $@ $<

# -E: C modules find Lua's API in the executable.
$(EXE): $(CORE_OBJ) $(LLHTTP) $(EXE_OBJ)
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -Wl,-E -o $@ $^ $(LUAJIT_LIBS) -luv

# Lua's symbols are the host's; the module stays mapped (its threads outlive dlclose).
$(MOD): $(CORE_OBJ) $(LLHTTP) $(MOD_OBJ)
	$(V)mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -shared -Wl,-z,nodelete -o $@ $^ -luv

# The build tree is laid out as an installation, so that the executable finds its modules in the same way.
$(SHARE): | $(EXE)
	$(V)mkdir -p $(@D) $(BUILD)/share/luapark
	$(V)ln -sfn $(CURDIR)/lua/luapark $@
	$(V)ln -sfn $(CURDIR)/$(LUAJIT_OUT)/share/jit $(BUILD)/share/luapark/jit

$(BUILD)/luapark: | $(EXE)
	$(V)ln -sfn bin/luapark $@

-include $(wildcard $(BUILD)/*/*/*.d $(BUILD)/*/*.d)
