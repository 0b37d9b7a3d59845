-- SPDX-License-Identifier: MIT

-- mixed: goroutines that park in every C function that calls back, with errors thrown across them and the collector
-- under pressure. `luapark spec/stress/mixed.lua [goroutines [rounds]]` prints "ok". For valgrind and sanitizers.

local lp = require "luapark"
local gosched = lp.gosched
local n, rounds = tonumber((...)) or 200, tonumber((select(2, ...))) or 20
local all = lp.waitgroup()

collectgarbage("setpause", 100)
collectgarbage("setstepmul", 400)

local function sorts(i, round)
  local t = {}
  for k = 1, 20 do
    t[k] = (k * 7919 + i * 31 + round) % 101
  end
  table.sort(t, function(a, b)
    if (a + b) % 5 == 0 then
      gosched()
    end
    return a < b
  end)
  for k = 2, #t do
    assert(t[k - 1] <= t[k])
  end
end

local function substitutes(i)
  local s = string.gsub("abcdef", "%w", function(c)
    if c == "c" then
      lp.sleep(0)
    end
    return c .. i
  end)
  assert(s == ("abcdef"):gsub("%w", "%0" .. i))
end

local function fails(i)
  local ok, err = pcall(table.sort, { 3, 2, 1, 5, 4 }, function()
    gosched()
    error("E" .. i)
  end)
  assert(not ok and err:find("E" .. i .. "$"), err)
end

local function generates(i)
  local next = coroutine.wrap(function()
    for k = 1, 5 do
      gosched()
      coroutine.yield(k * i)
    end
  end)
  for k = 1, 5 do
    assert(next() == k * i)
  end
end

local function indexes(i)
  local m = setmetatable({}, { __index = function(_, k)
    gosched()
    return k .. i
  end })
  assert(m.x == "x" .. i)
end

for i = 1, n do
  all:go(function()
    for round = 1, rounds do
      sorts(i, round)
      substitutes(i)
      fails(i)
      generates(i)
      indexes(i)
      local garbage = {}
      for k = 1, 100 do
        garbage[k] = { k }
      end
      assert(#garbage == 100)
    end
  end)
end
all:wait()
assert(lp.numgoroutine() == 1)
print "ok"
