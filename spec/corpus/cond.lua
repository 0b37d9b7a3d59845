-- SPDX-License-Identifier: MIT

-- cond: a bounded buffer of one's own: a table, a mutex, and two conditions; and barriers by broadcast.
--
-- Prints:
--   with signals: 1200 items, each once
--   with limits: 1200 items, each once
--   8 walked through 20 phases together
--   a signal for each of 10, in the order in which they came: true

local lp = luapark

-- The buffer is where its mutex is: an item is a number, and the table two atomics and a map.
local function put(b, v)
  b.m:lock()
  while b.n:load() == 4 do
    b.notfull:wait(b.limit)
  end
  b.items:store(b.tail:add(1), v)
  b.n:add(1)
  b.notempty:signal()
  b.m:unlock()
end

local function take(b)
  b.m:lock()
  while b.n:load() == 0 do
    if b.over:load() == 1 then
      b.m:unlock()
      return nil
    end
    b.notempty:wait(b.limit)
  end
  local v = b.items:loadanddelete(b.head:add(1))
  b.n:add(-1)
  b.notfull:signal()
  b.m:unlock()
  return v
end

local function produce(b, id)
  for i = 1, 100 do
    put(b, id * 1000 + i)
    if i % 10 == 0 then
      gosched()
    end
  end
  b.producing:done()
end

local function consume(b, out)
  local got = {}
  local v = take(b)
  while v do
    got[#got + 1] = v
    if #got % 10 == 0 then
      gosched()
    end
    v = take(b)
  end
  out:send(got)
end

for _, limit in ipairs { false, 0.0001 } do
  local m = lp.mutex()
  local b = { m = m, notfull = lp.cond(m), notempty = lp.cond(m), n = lp.atomic(), head = lp.atomic(), tail = lp.atomic(),
    items = lp.map(), over = lp.atomic(), producing = lp.waitgroup(), limit = limit or nil }
  local out = chan()
  b.producing:add(12)
  for id = 1, 12 do
    lp.spawn(produce, b, id)
  end
  for _ = 1, 9 do
    lp.spawn(consume, b, out)
  end
  b.producing:wait()
  m:lock()
  b.over:store(1)
  b.notempty:broadcast()
  m:unlock()
  local seen, n = {}, 0
  for _ = 1, 9 do
    for _, v in ipairs(out:recv()) do
      assert(not seen[v])
      seen[v] = true
      n = n + 1
    end
  end
  assert(b.items:len() == 0)
  print(("%s: %d items, each once"):format(limit and "with limits" or "with signals", n))
end

-- A barrier: the last one who comes lets all go on. Guarded by an rwmutex for once.
local rw = lp.rwmutex()
local c, here, phase, wg = lp.cond(rw), lp.atomic(), lp.atomic(), lp.waitgroup()
wg:add(8)
for _ = 1, 8 do
  lp.spawn(function()
    for p = 1, 20 do
      rw:lock()
      if here:add(1) == 8 then
        here:store(0)
        phase:add(1)
        c:broadcast()
      else
        while phase:load() < p do
          c:wait()
        end
      end
      assert(phase:load() == p)
      rw:unlock()
    end
    wg:done()
  end)
end
wg:wait()
print(("8 walked through %d phases together"):format(phase:load()))

-- Who came first is woken first: each notes its ticket before it waits, holding the mutex.
local m = lp.mutex()
local turn, ticket, order = lp.cond(m), lp.atomic(), chan(10)
for _ = 1, 10 do
  lp.spawn(function()
    m:lock()
    local mine = ticket:add(1)
    turn:wait()
    order:send(mine)
    m:unlock()
  end)
end
local inorder = true
while ticket:load() < 10 do
  gosched()
end
for i = 1, 10 do
  m:lock()
  turn:signal()
  m:unlock()
  inorder = inorder and order:recv() == i
end
print("a signal for each of 10, in the order in which they came: " .. tostring(inorder))
