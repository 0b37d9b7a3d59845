-- SPDX-License-Identifier: MIT

-- standard_changed: what the script adds to or changes in the standard tables is there for every goroutine.
--
-- Prints:
--   trim: [hello] [hello] [hello]
--   replaced: 4 4 4
--   added: 42 42 42
--   removed: nil nil nil
--   a base type's metatable: nothing to see
--   numbers have methods: 14
--   the original again: 3 3 3

-- luacheck: globals string math table

local lp = luapark

local out = chan()

-- fn three times, in goroutines
local function thrice(fn)
  local t = {}
  for _ = 1, 3 do
    go(fn)
  end
  for i = 1, 3 do
    t[i] = tostring((out:recv()))
  end
  return table.concat(t, " ")
end

function string.trim(s)
  return (s:match "^%s*(.-)%s*$")
end
print("trim: " .. thrice(function()
  local s = "  hello "
  out:send("[" .. s:trim() .. "]")
end))
string.trim = nil

local floor = math.floor
math.floor = function(x) return floor(x) + 1 end
print("replaced: " .. thrice(function() out:send(math.floor(3.5)) end))

table.answer = 42
print("added: " .. thrice(function() out:send(table.answer) end))

local maxn = table.maxn
table.maxn = nil
print("removed: " .. thrice(function() out:send(type(table.maxn)) end))
table.maxn = maxn

debug.setmetatable(nil, { __index = function() return "nothing to see" end })
go(function()
  local t = nil
  out:send(t.x)
end)
print("a base type's metatable: " .. out:recv())
debug.setmetatable(nil, nil)

debug.setmetatable(0, { __index = { twice = function(n) return 2 * n end } })
go(function()
  local n = 7
  out:send(n:twice())
end)
print("numbers have methods: " .. out:recv())
debug.setmetatable(0, nil)

table.answer = nil
math.floor = floor
print("the original again: " .. thrice(function()
  lp.sleep(0)
  out:send(math.floor(3.5))
end))
