-- SPDX-License-Identifier: MIT

-- shared_upvalues: closures that share a variable with their parent or with each other. They must stay at home, and see
-- each other's changes, whatever the number of Ps.
--
-- Prints:
--   n = 100
--   by a function: 100
--   two closures: 50 up, 50 down, 0 left
--   changed after go: late
--   changed by another function: 2
--   changed in a closure of a closure: 3
--   changed by the child: from the child
--   a loop's variable is each turn's own: 5050
--   and the same one in two closures of a turn: 200
--   a parameter that is assigned: 11
--   until: 1275

local lp = luapark

local n, wg = 0, lp.waitgroup()
for _ = 1, 100 do
  wg:go(function() n = n + 1 end)
end
wg:wait()
print("n = " .. n)

local m = 0
local function inc() m = m + 1 end
local function twice() inc() inc() end -- captures what captures
for _ = 1, 50 do
  wg:go(twice)
end
wg:wait()
print("by a function: " .. m)

local up, down, left = 0, 0, 0
for _ = 1, 50 do
  wg:go(function() up, left = up + 1, left + 1 end)
  wg:go(function()
    gosched()
    down, left = down + 1, left - 1
  end)
end
wg:wait()
print(("two closures: %d up, %d down, %d left"):format(up, down, left))

-- start says when: what was changed between go and that is seen.
local c, start = chan(), chan()
local state = "early"
go(function()
  start:recv()
  c:send(state)
end)
state = "late"
start:send(true)
print("changed after go: " .. c:recv())

local x = 1
local function set(v) x = v end
go(function()
  start:recv()
  c:send(x)
end)
set(2)
start:send(true)
print("changed by another function: " .. c:recv())

local y = 1
local function maker()
  return function()
    return function() y = y + 2 end
  end
end
go(function()
  start:recv()
  c:send(y)
end)
maker()()()
start:send(true)
print("changed in a closure of a closure: " .. c:recv())

local word = "from the parent"
wg:go(function() word = "from the child" end)
wg:wait()
print("changed by the child: " .. word)

local out = chan()
for i = 1, 100 do
  go(function() out:send(i) end)
end
local sum = 0
for _ = 1, 100 do
  sum = sum + out:recv()
end
print("a loop's variable is each turn's own: " .. sum)

sum = 0
for i = 1, 100 do
  local turn = i
  wg:go(function() turn = turn - i + 1 end)
  wg:go(function()
    while turn ~= 1 do
      gosched()
    end
    sum = sum + turn + 1
  end)
end
wg:wait()
print("and the same one in two closures of a turn: " .. sum)

local function parameter(p)
  wg:go(function() p = p + 1 end)
  wg:wait()
  return p
end
print("a parameter that is assigned: " .. parameter(10))

-- A repeat whose condition sees the variable that the goroutines change.
local i, total = 0, 0
repeat
  i = i + 1
  local add = i
  wg:go(function() total = total + add end)
until i == 50
wg:wait()
print("until: " .. total)
