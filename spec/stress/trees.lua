-- SPDX-License-Identifier: MIT

-- trees: goroutines that start goroutines that start goroutines, by go and by spawn, of random shape. Each one numbers
-- itself; at the end every number has come once, wait groups and atomics agree, and the sums are right.

local lp = require "luapark"
local lib = require "spec.stress.lib"

local random, dawdle, once = lib.random, lib.dawdle, lib.once

local function fib(n)
  return n < 2 and n or fib(n - 1) + fib(n - 2)
end

-- Calls done() when it and all below it have ended.
local function node(seed, depth, ids, count, roll, parent)
  local rand, children, kids = random(seed), lp.waitgroup(), 0
  local id = ids:add(1)
  dawdle(rand)
  if depth > 0 then
    for _ = 1, rand(5) - 1 do
      kids = kids + 1
      children:add()
      local how = rand(3)
      if how == 1 then
        lp.go(node, rand(1e9), depth - 1, ids, count, roll, children)
      elseif how == 2 then
        local s = rand(1e9)
        lp.go(function()
          s = s + 1 -- shared with nobody, but who could tell
          node(s, depth - 1, ids, count, roll, children)
        end)
      else
        lp.spawn(node, rand(1e9), depth - 1, ids, count, roll, children)
      end
      if rand(3) == 1 then
        dawdle(rand)
      end
    end
  end
  if rand(4) == 1 then
    assert(fib(12) == 144)
  end
  count:add(1)
  roll:send(id)
  if rand(2) == 1 then
    children:wait()
    assert(count:load() > kids)
    parent:done()
  else
    lp.go(function()
      children:wait()
      parent:done()
    end)
  end
end

-- A tree of sums over channels: each leaf is 1.
local function sum(seed, depth, out)
  if depth == 0 then
    out:send(1)
    return
  end
  local rand, parts = random(seed), lp.chan(random(seed)(3) - 1)
  for i = 1, 3 do
    if rand(3) == 1 then
      lp.spawn(sum, seed + i, depth - 1, parts)
    else
      lp.go(sum, seed + i, depth - 1, parts)
    end
  end
  out:send(parts:recv() + parts:recv() + parts:recv())
end

lib.rounds(function(seed, rand)
  local ids, count, roll, wg = lp.atomic(), lp.atomic(), lp.chan(rand(64)), lp.waitgroup()
  local got = {}
  local ended = lp.chan()
  lp.go(function()
    for id in roll do
      got[#got + 1] = id
    end
    ended:send(true)
  end)
  local roots = rand(6)
  wg:add(roots)
  for _ = 1, roots do
    lp.go(node, rand(1e9), 4, ids, count, roll, wg)
  end

  local depth, out = rand(6), lp.chan()
  lp.go(sum, seed, depth, out)
  assert(out:recv() == 3 ^ depth)

  wg:wait()
  roll:close()
  ended:recv()
  assert(count:load() == ids:load(), "not all that came went")
  once({ got }, ids:load(), "goroutine")
  return { goroutines = ids:load(), leaves = 3 ^ depth }
end)
