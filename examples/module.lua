-- SPDX-License-Identifier: MIT

-- module: Luapark as a library in a program that has its own main loop, under stock LuaJIT.
--
--   luajit examples/module.lua       (LUA_PATH and LUA_CPATH: see the README)
--   luapark examples/module.lua      works as well: inside a goroutine, run is a plain call
--
-- run(fn, ...) makes fn a goroutine, runs it and all that it starts, and returns its results to the host. An error that
-- nobody catches, and a deadlock, are raised there.
--
-- Prints:
--   sum: 5050
--   an error: it went wrong
--   and the host goes on

local lp = require "luapark"

local function sum(n)
  local numbers = lp.chan()
  lp.go(function()
    for i = 1, n do
      numbers:send(i)
    end
    numbers:close()
  end)
  local total = 0
  for i in numbers do
    total = total + i
  end
  return total
end

print("sum: " .. lp.run(sum, 100))

local ok, message = pcall(lp.run, function()
  error("it went wrong", 0)
end)
assert(not ok)
print("an error: " .. message:match("^[^\n]*")) -- below it stands the goroutine's traceback
print("and the host goes on")
