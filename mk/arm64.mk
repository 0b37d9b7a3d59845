# The build for arm64 on another machine, and its tests under qemu-user. Included by the Makefile, whose variables it uses.

ARM64_LUAJIT := build/luajit-arm64
# What runs its programs: LuaJIT's self-test, and what $(BUILD)/luapark and $(BUILD)/luajit start.
ARM64_RUN    := $(CURDIR)/spec/qemu-arm64.sh

.PHONY: test-arm64 all-arm64

## test-arm64: the core's tests in C, the corpus and the examples, for arm64 under qemu-user
test-arm64: install-deps-arm64
	@$(MAKE) --no-print-directory BUILD=build/arm64 CC=aarch64-linux-gnu-gcc SAN= LUAJIT= \
		LUAJIT_OUT=$(ARM64_LUAJIT) RUN=$(ARM64_RUN) all-arm64
	@BUILD=build/arm64 TIMEOUT=1800 spec/run.sh arm64

all-arm64: all $(TEST_BIN) $(BUILD)/luajit $(BUILD)/share/lua/5.1/term.lua $(BUILD)/share/lua/5.1/jit

# As the module's host, in place of the distribution's. The same compiler of Lua, but it knows nothing of luapark. -0: the
# name by which it calls itself.
$(BUILD)/luajit: $(LUAJIT_OUT)/config.mk mk/arm64.mk
	$(V)printf '#!/bin/sh\nexec %s "$$@"\n' '$(RUN) -0 luajit $(CURDIR)/$(LUAJIT_OUT)/src/luajit' >$@
	$(V)chmod +x $@

# It looks for them where the distribution has them.
$(BUILD)/share/lua/5.1/jit: | $(SHARE)
	$(V)ln -sfn $(CURDIR)/$(LUAJIT_OUT)/share/jit $@

# busted asks it one thing. Debian's lua-term cannot be installed for two machines at once.
$(BUILD)/share/lua/5.1/term.lua: | $(SHARE)
	$(V)echo 'return { isatty = function() return false end }' >$@
