-- SPDX-License-Identifier: MIT

-- hammer: a mutex and an rwmutex, in every way to lock them, by many at once: two are never inside, and all have their turn.
--
-- Prints:
--   mutex: 3000 times, never two inside
--   rwmutex: 800 writes, never with anybody else inside
--   readers were inside together
--   the patient had it 10 times beside the greedy

local lp = luapark

local EACH = 150

-- Locks m somehow, and lets others run now and then, inside and out.
local function enter(m, i)
  if i % 5 == 0 then
    while not m:trylock() do
      gosched()
    end
  elseif i % 5 == 1 then
    while not m:lock(i / 1e6) do end
  elseif i % 5 == 2 then
    assert(m:lock(60))
  else
    m:lock()
  end
end

local function hammer(id, m, inside, count, done)
  for i = 1, EACH do
    enter(m, id + i)
    assert(inside:add(1) == 1, "two inside")
    count:store(count:load() + 1)
    if i % 7 == 0 then
      gosched()
    elseif i % 50 == 0 then
      lp.sleep(0)
    end
    assert(inside:add(-1) == 0)
    m:unlock()
    if i % 11 == 0 then
      gosched()
    end
  end
  done:done()
end

local m, inside, count, done = lp.mutex(), lp.atomic(), lp.atomic(), lp.waitgroup()
done:add(20)
for id = 1, 20 do
  (id % 2 == 0 and lp.spawn or go)(hammer, id, m, inside, count, done)
end
done:wait()
assert(m:trylock())
print(("mutex: %d times, never two inside"):format(count:load()))

-- Readers count themselves as 1, a writer as 1000.
local function write(id, rw, who, writes, wg)
  for i = 1, 100 do
    enter(rw, id + i)
    assert(who:add(1000) == 1000, "a writer and somebody else inside")
    writes:store(writes:load() + 1)
    if i % 3 == 0 then
      gosched()
    end
    who:add(-1000)
    rw:unlock()
    if i % 5 == 0 then
      gosched()
    end
  end
  wg:done()
end

local function read(rw, who, most, wg)
  for i = 1, EACH do
    if i % 3 == 0 then
      while not rw:tryrlock() do
        gosched()
      end
    elseif i % 3 == 1 then
      while not rw:rlock(i / 1e6) do end
    else
      rw:rlock()
    end
    local n = who:add(1)
    assert(n < 1000, "a reader and a writer inside")
    local old = most:load()
    while n > old and not most:cas(old, n) do
      old = most:load()
    end
    gosched()
    who:add(-1)
    rw:runlock()
  end
  wg:done()
end

local rw, who, writes, most = lp.rwmutex(), lp.atomic(), lp.atomic(), lp.atomic()
done:add(24)
for id = 1, 24 do
  local start = id % 2 == 0 and lp.spawn or go
  if id % 3 == 0 then
    start(write, id, rw, who, writes, done)
  else
    start(read, rw, who, most, done)
  end
end
done:wait()
assert(who:load() == 0 and rw:trylock())
rw:unlock()
print(("rwmutex: %d writes, never with anybody else inside"):format(writes:load()))

-- All readers meet inside.
local here, gate = lp.waitgroup(), lp.waitgroup()
here:add(10)
gate:add()
done:add(10)
for _ = 1, 10 do
  lp.spawn(function()
    rw:rlock()
    here:done()
    gate:wait()
    rw:runlock()
    done:done()
  end)
end
here:wait()
assert(not rw:trylock())
gate:done()
done:wait()
assert(rw:trylock())
print "readers were inside together"

-- One has the mutex nearly all the time.
local stop = lp.atomic()
m:unlock()
done:add()
lp.spawn(function()
  while stop:load() == 0 do
    m:lock()
    lp.sleep(0.0001)
    m:unlock()
  end
  done:done()
end)
local n = 0
for _ = 1, 10 do
  lp.sleep(0.0001)
  m:lock()
  n = n + 1
  m:unlock()
end
stop:store(1)
done:wait()
print(("the patient had it %d times beside the greedy"):format(n))
