-- SPDX-License-Identifier: MIT

-- spawn_copies: spawn gives the new goroutine copies of upvalues and arguments, taken when it is called; what either side
-- does afterwards the other does not see.
--
-- Prints:
--   theirs: changed 2 changed 1
--   ours: 1 late ours 0
--   20 counters of their own: 10 each, ours 0
--   a closure with a past: 3, and ours 3
--   two that share a variable share its copy: 2, ours 0
--   one table by two ways is one: true
--   recursive: 120 true
--   methods: 3, ours 0
--   what it shares with its own children: 50
--   arguments: 4 nil b nil

local lp = luapark

local out, start = chan(), chan()

local t, n = { 1, 2 }, 0
local arg = { x = "ours" }
lp.spawn(function(a)
  start:recv()
  t[1], a.x, n = "changed", "changed", n + 1
  out:send(("theirs: %s %s %s %d"):format(t[1], t[2], a.x, n))
end, arg)
t[2] = "late"
start:send(true)
print((out:recv()))
print(("ours: %s %s %s %d"):format(t[1], t[2], arg.x, n))

local k = 0
for _ = 1, 20 do
  lp.spawn(function()
    for _ = 1, 10 do
      k = k + 1
      gosched()
    end
    out:send(k)
  end)
end
for _ = 1, 20 do
  assert(out:recv() == 10)
end
print("20 counters of their own: 10 each, ours " .. k)

local function counter()
  local c = 0
  return function()
    c = c + 1
    return c
  end
end
local next = counter()
next()
next()
lp.spawn(function() out:send(next()) end)
local theirs = out:recv()
print(("a closure with a past: %d, and ours %d"):format(theirs, next()))

local v = 0
local function inc() v = v + 1 end
local function get() return v end
lp.spawn(function()
  inc()
  inc()
  out:send(get())
end)
print(("two that share a variable share its copy: %d, ours %d"):format(out:recv(), v))

local inner = {}
local left, right = { inner }, { inner }
lp.spawn(function(a) out:send(left[1] == right[1] and left[1] == a) end, inner)
print("one table by two ways is one: " .. tostring((out:recv())))

local even, odd
function even(m) return m == 0 or odd(m - 1) end
function odd(m) return m ~= 0 and even(m - 1) end
local function factorial(m) return m == 0 and 1 or m * factorial(m - 1) end
lp.spawn(function() out:send(factorial(5) .. " " .. tostring(even(10))) end)
print("recursive: " .. out:recv())

local object = { n = 0 }
function object:add(by)
  self.n = self.n + by
  return self.n
end
lp.spawn(function()
  object:add(1)
  out:send(object:add(2))
end)
print(("methods: %d, ours %d"):format(out:recv(), object.n))

lp.spawn(function()
  local sum, wg = 0, lp.waitgroup()
  for _ = 1, 50 do
    wg:go(function() sum = sum + 1 end)
  end
  wg:wait()
  out:send(sum)
end)
print("what it shares with its own children: " .. out:recv())

lp.spawn(function(...)
  out:send(("arguments: %d %s %s %s"):format(select("#", ...), tostring((select(1, ...))), tostring((select(2, ...))),
    tostring((select(4, ...)))))
end, nil, "b", {}, nil)
print((out:recv()))
