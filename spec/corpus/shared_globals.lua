-- SPDX-License-Identifier: MIT

-- shared_globals: goroutines that read and write globals see those of the script, at once.
--
-- Prints:
--   written: 100
--   read: set before set after
--   by a global function: 100
--   new: made by a goroutine
--   through _G, getfenv and setfenv: 1 2 3
--   an environment of one's own: 100, and no global
--   print was replaced: [1] [2] [3]

-- luacheck: globals total before after calls call made one two three own print

local lp = luapark

local wg, c, start = lp.waitgroup(), chan(), chan()
total = 0
for _ = 1, 100 do
  wg:go(function() total = total + 1 end)
end
wg:wait()
print("written: " .. total)

before, after = "set before", "not yet"
go(function()
  start:recv()
  c:send(before .. " " .. after)
end)
after = "set after"
start:send(true)
print("read: " .. c:recv())

calls = 0
function call()
  calls = calls + 1
end
for i = 1, 50 do
  wg:go(call)
  wg:go(function(n)
    if n == i then
      call()
    end
  end, i)
end
wg:wait()
print("by a global function: " .. calls)

wg:go(function() made = "made by a goroutine" end)
wg:wait()
print("new: " .. made)

wg:go(function() _G.one = 1 end)
wg:go(function() getfenv(1).two = 2 end)
wg:go(function()
  local g = _G
  setfenv(1, {})
  g.three = 3
end)
wg:wait()
print(("through _G, getfenv and setfenv: %d %d %d"):format(one, two, three))

local function inc()
  own = (own or 0) + 1
end
local env = {}
setfenv(inc, env)
for _ = 1, 100 do
  wg:go(inc)
end
wg:wait()
print(("an environment of one's own: %d, and %s global"):format(env.own, own and "a" or "no"))

-- A standard function that the script replaced is replaced for goroutines as well.
local lines, print_ = {}, print
function print(v)
  lines[#lines + 1] = "[" .. v .. "]"
end
for i = 1, 3 do
  wg:go(function() print(i) end)
end
wg:wait()
print = print_
table.sort(lines)
print("print was replaced: " .. table.concat(lines, " "))
