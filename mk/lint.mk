# What can be found without running anything. Quiet when all is well. Included by the Makefile, whose variables it uses.
#
# What was linted and has not changed since is not linted again: each C file has a stamp, and so has each other tool.

LINT      := $(BUILD)/lint
# vm_private.c only where LuaJIT's private headers are at hand.
LINT_C     = $(filter-out $(if $(filter 1,$(LUAJIT_PRIVATE)),,src/lua/vm_private.c),$(wildcard src/*/*.c src/*.c))
LINT_TEST := $(wildcard spec/c/*.c deps/*.c) $(HOST_SRC)
LINT_H    := $(wildcard src/*/*.h src/*.h spec/c/*.h include/*.h)
LINT_LUA  := $(wildcard lua/*/*.lua spec/*.lua spec/*/*.lua spec/*/*/*.lua examples/*.lua bench/*.lua deps/*.lua)
LINT_SH   := $(wildcard .ci/run deps/*.sh bench/*.sh spec/*.sh spec/*/*.sh)

# As the build has them, but for what belongs to a build: no dependency files, nothing that clang does not know.
LINT_FLAGS = $(filter-out -MMD -MP,$(CPPFLAGS)) $(LUAJIT_CFLAGS) $(CFLAGS)

.PHONY: lint lint-quiet

## lint: luacheck, cppcheck, clang-tidy, shellcheck, both compilers, and the floors of src/
lint:
	@$(MAKE) -s --no-print-directory lint-quiet

# Another goal than lint, so that the Makefile reads LuaJIT's config.mk for it.
lint-quiet: $(LINT)/tools $(LINT)/luacheck $(LINT)/shellcheck $(LINT)/cppcheck $(LINT)/floors \
	$(LINT_C:%.c=$(LINT)/%.tidy) $(LINT_C:%.c=$(LINT)/%.both) $(LINT_TEST:%.c=$(LINT)/%.both)

$(LINT)/tools: deps/packages
	@deps/install.sh lint
	@mkdir -p $(@D)
	@touch $@

$(LINT)/luacheck: $(LINT_LUA) .luacheckrc | $(LINT)/tools
	@luacheck --quiet --quiet --codes --formatter plain $(LINT_LUA)
	@touch $@

$(LINT)/shellcheck: $(LINT_SH) | $(LINT)/tools
	@shellcheck $(LINT_SH)
	@touch $@

# It sees LuaJIT's headers, whose macros it needs, but does not judge them. __has_include confuses its preprocessor.
$(LINT)/cppcheck: $(LINT_C) $(LINT_H) | $(LINT)/tools
	@cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability,performance --inline-suppr \
		--suppress=missingIncludeSystem --suppress=toomanyconfigs '--suppress=*:$(LUAJIT_OUT)/*' -U__has_include \
		-Isrc -I$(LUAJIT_OUT)/include src
	@touch $@

$(LINT)/floors: spec/floors.sh $(LINT_C) $(LINT_H) $(wildcard src/asm/*.S) | $(LINT)/tools
	@spec/floors.sh
	@touch $@

$(LINT)/src/lua/vm_private.tidy $(LINT)/src/lua/vm_private.both: CPPFLAGS += $(LUAJIT_PRIVATE_CFLAGS)

# clang-tidy counts on stderr what it did not show, so stderr is shown only where it fails.
$(LINT)/%.tidy: %.c $(LINT_H) .clang-tidy | $(LINT)/tools
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(filter-out $(WARN),$(LINT_FLAGS)) 2>$@.log || { cat $@.log >&2; exit 1; }
	@touch $@

$(LINT)/%.both: %.c $(LINT_H) | $(LINT)/tools
	@mkdir -p $(@D)
	@for cc in gcc clang; do $$cc -fsyntax-only $(LINT_FLAGS) $< || exit 1; done
	@touch $@
