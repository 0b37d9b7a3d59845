-- Luapark as it is in this repository. `luarocks make`, in a clone, takes this file: scm is newer than any release.
rockspec_format = "3.0"
package = "luapark"
version = "scm-1"

-- A folder, since the project has no public address yet. `luarocks make` and the rocks that `luarocks pack` makes do not
-- look there; `luarocks build` of this file alone does.
source = {
  url = "git+file:///usr/src/luapark",
}

description = {
  summary = "Go's scheduler for Lua: goroutines and channels on all cores, for LuaJIT",
  detailed = [[
go(fn) starts a goroutine, channels carry values between goroutines, and code that waits is written as if it blocked. A
goroutine may wait anywhere: in a table.sort comparator, a string.gsub callback, a metamethod. Written in C, with Go's own
names and rules, for LuaJIT and libuv. Installs the command `luapark` and the module for any LuaJIT program.]],
  license = "MIT",
  labels = { "concurrency", "luajit", "coroutines", "channels", "async", "http" },
}

supported_platforms = { "linux" }

dependencies = { "lua == 5.1" } -- that is LuaJIT, to LuaRocks; the module says so to other Luas

-- Debian: libluajit-5.1-dev, libuv1-dev, uthash-dev, node-llhttp. The README lists all that a build needs.
external_dependencies = {
  LUAJIT = { header = "luajit-2.1/luajit.h" },
  UV = { header = "uv.h", library = "uv" },
  UTHASH = { header = "uthash.h" },
  LLHTTP = { header = "../share/include/llhttp/llhttp.h" }, -- C sources; there they are in Debian
}

build = {
  type = "make",
  variables = {
    DEPS = "check", -- what is missing is named, and not installed
    MOD_LUAJIT_CFLAGS = "-I$(LUAJIT_INCDIR)/luajit-2.1", -- before whatever CFLAGS has to say of another Lua
    USER_CFLAGS = "$(CFLAGS)",
    UV_INCDIR = "$(UV_INCDIR)",
    UV_LIBDIR = "$(UV_LIBDIR)",
    WARN = "-Wall", -- another compiler's warnings are no errors
  },
  install_variables = {
    PREFIX = "$(PREFIX)",
    BINDIR = "$(BINDIR)",
    LIBDIR = "$(LIBDIR)",
    LUADIR = "$(LUADIR)",
  },
}

deploy = {
  wrap_bin_scripts = false, -- bin/luapark is a program, not a script for another interpreter
}

test = {
  type = "command",
  command = "make --no-print-directory specs",
}
