-- SPDX-License-Identifier: MIT

std = "luajit"
max_line_length = 125 -- 120, but for a signature or two
include_files = { "**/*.lua", ".luacheckrc", ".busted" }
ignore = { "581" } -- "not (x < y)" is not "x >= y" where x may be NaN, or have a metatable

-- What the executable gives to every script.
local script = { "go", "chan", "gopark", "goready", "getg", "gosched", "luapark" }

-- What wrk's scripts are made of.
local wrks = { "wrk", "setup", "init", "delay", "request", "response", "done" }

files["lua"] = {}
files["examples"] = { read_globals = script }
files["bench"] = { read_globals = script }
files["spec/corpus"] = { read_globals = script }
files["spec/stress"] = { read_globals = script }
files["bench/load.lua"] = { globals = wrks }
files["spec/wrk"] = { read_globals = script, globals = wrks }
files["spec/wrk/setup.lua"] = { globals = { "number", "given", "asked", "answered", "greeting" } }
files["spec/**/*_spec.lua"] = { std = "+busted" }
files["spec/helper.lua"] = { std = "+busted" }
