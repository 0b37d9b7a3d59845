-- SPDX-License-Identifier: MIT

-- onerror: goroutines that fail, wherever they run, and a function that is told of it and lets the program go on.
--
-- Prints:
--   60 failed, 60 told, 40 of wg:go done
--   sum of what they failed with: 1830
--   all from spec/corpus/onerror.lua:40, created at :45 or :47
--   in a comparator: spec/corpus/onerror.lua:62: in vain
--   in a coroutine: spec/corpus/onerror.lua:67: in a generator
--   by the former function: 3 of 3

local lp = luapark

-- What the function knows is here, in tables, too: it lives here, whoever fails.
local told, sum, places, creators = lp.atomic(), lp.atomic(), {}, {}
local out = chan()

local function count(set)
  local t = {}
  for k in pairs(set) do
    t[#t + 1] = k
  end
  table.sort(t)
  return table.concat(t, " or ")
end

lp.onerror(function(g, err, trace)
  assert(g.id > 1 and g.status ~= "dead")
  gosched()
  sum:add(err.n)
  places[trace:match "in function 'error'\n\t([^\n]*): in function"] = true
  creators[trace:match "created by [^\n]-(:%d+) in goroutine 1$"] = true
  told:add(1)
  return true
end)

local function fail(n)
  luapark.sleep(n % 5 * 0.0002)
  error { n = n }
end
local wg = lp.waitgroup()
for i = 1, 60 do
  if i % 3 == 0 then
    lp.spawn(fail, i)
  else
    wg:go(fail, i)
  end
end
wg:wait()
while told:load() < 60 do
  lp.sleep(0.001)
end
print(("60 failed, %d told, 40 of wg:go done"):format(told:load()))
print("sum of what they failed with: " .. sum:load())
print(("all from %s, created at %s"):format(count(places), count(creators)))

lp.onerror(function(_, err) out:send(err) return true end)

go(function()
  table.sort({ 3, 2, 1 }, function()
    gosched() error "in vain"
  end)
end)
print("in a comparator: " .. out:recv())
lp.spawn(function()
  local gen = coroutine.wrap(function() coroutine.yield() error("in a generator") end)
  gen()
  gen()
end)
print("in a coroutine: " .. out:recv():match "[^ ]*: in a generator$")

-- One that asks the one before.
local former
local asked = 0
former = lp.onerror(function(...)
  asked = asked + 1
  return former(...)
end)
local n = 0
for i = 1, 3 do
  lp.spawn(function() error(i, 0) end)
  n = n + (out:recv() == i and asked == i and 1 or 0)
end
print(("by the former function: %d of 3"):format(n))
