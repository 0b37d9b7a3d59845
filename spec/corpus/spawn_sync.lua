-- SPDX-License-Identifier: MIT

-- spawn_sync: channels, mutexes, wait groups and atomics are no copies: spawned goroutines meet in them.
--
-- Prints:
--   behind a mutex: 400
--   added: 8000
--   8 through one channel: 1 2 3 4 5 6 7 8
--   all at once, after the gate: 8
--   a tree of spawns: 40

local lp = luapark

local wg = lp.waitgroup()

-- Neither load and store nor what is between them holds together but for the mutex.
local m, a = lp.mutex(), lp.atomic()
for _ = 1, 8 do
  wg:add()
  lp.spawn(function()
    for k = 1, 50 do
      m:lock()
      local v = a:load()
      if k % 5 == 0 then
        gosched()
      end
      a:store(v + 1)
      m:unlock()
    end
    wg:done()
  end)
end
wg:wait()
print("behind a mutex: " .. a:load())

local sum = lp.atomic()
wg:add(8)
for _ = 1, 8 do
  lp.spawn(function(n)
    for _ = 1, n do
      sum:add(1)
    end
    wg:done()
  end, 1000)
end
wg:wait()
print("added: " .. sum:load())

local c, got = chan(3), {}
for i = 1, 8 do
  lp.spawn(c.send, c, i)
end
for i = 1, 8 do
  got[i] = c:recv()
end
table.sort(got)
print("8 through one channel: " .. table.concat(got, " "))

local gate, ready, passed = lp.waitgroup(), lp.waitgroup(), lp.atomic()
gate:add()
ready:add(8)
wg:add(8)
for _ = 1, 8 do
  lp.spawn(function()
    ready:done()
    gate:wait()
    passed:add(1)
    wg:done()
  end)
end
ready:wait()
assert(passed:load() == 0)
gate:done()
wg:wait()
print("all at once, after the gate: " .. passed:load())

local count = lp.atomic()
local function tree(group, counter, depth)
  counter:add(1)
  if depth > 0 then
    for _ = 1, 3 do
      group:add()
      lp.spawn(tree, group, counter, depth - 1)
    end
  end
  group:done()
end
wg:add()
lp.spawn(tree, wg, count, 3)
wg:wait()
print("a tree of spawns: " .. count:load())
