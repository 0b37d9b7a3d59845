-- SPDX-License-Identifier: MIT

std = "luajit"
max_line_length = 125 -- 120, but for a signature or two
include_files = { "**/*.lua", ".luacheckrc", ".busted" }
ignore = { "581" } -- "not (x < y)" is not "x >= y" where x may be NaN, or have a metatable

-- What the executable gives to every script.
local script = { "go", "chan", "gopark", "goready", "getg", "gosched", "luapark" }

files["lua"] = {}
files["examples"] = { read_globals = script }
files["bench"] = { read_globals = script }
files["spec/corpus"] = { read_globals = script }
files["spec/stress"] = { read_globals = script }
files["spec/**/*_spec.lua"] = { std = "+busted" }
files["spec/helper.lua"] = { std = "+busted" }
