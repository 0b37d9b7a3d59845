-- SPDX-License-Identifier: MIT

-- limits: mutexes, rwmutexes, conditions, semaphores and wait groups, at home and shared, by those who wait for ever and
-- those who give up. What is guarded is guarded; nothing that was let go of is lost on one who went away; nobody is left in
-- a line. And a map of counters.

local lp = require "luapark"
local lib = require "spec.stress.lib"

local random, dawdle, start = lib.random, lib.dawdle, lib.start

-- Some patience: nil is for ever.
local function patience(rand)
  local what = rand(4)
  return what > 2 and rand(60) / 1e6 or what == 1 and 0 or nil
end

-- Locks it somehow, in the end.
local function enter(rand, lock, m)
  while not lock(m, patience(rand)) do
    if rand(2) == 1 then
      lp.gosched()
    end
  end
end

-- What is between two locks: who is inside counts as `weight`.
local function inside(rand, who, weight, most)
  assert(who:add(weight) <= most, "too many inside")
  dawdle(rand)
  who:add(-weight)
end

local function locker(seed, n, m, who, done)
  local rand = random(seed)
  for _ = 1, n do
    enter(rand, m.lock, m)
    inside(rand, who, 1, 1)
    m:unlock()
    if rand(3) == 1 then
      dawdle(rand)
    end
  end
  done:done()
end

local function mutexes(rand)
  local all, n, m, who, done = rand(10), rand(20), lp.mutex(), lp.atomic(), lp.waitgroup()
  local athome = rand(2) == 1
  done:add(all)
  for _ = 1, all do
    start(athome and 2 or rand(3), locker, rand(1e9), n, m, who, done)
  end
  while not done:wait(rand(50) / 1e6) do end
  assert(m:trylock())
  return all * n
end

-- A reader counts 1, a writer 1000.
local function readwriter(seed, n, rw, who, done)
  local rand = random(seed)
  for _ = 1, n do
    if rand(3) == 1 then
      enter(rand, rw.lock, rw)
      inside(rand, who, 1000, 1000)
      rw:unlock()
    else
      enter(rand, rw.rlock, rw)
      inside(rand, who, 1, 999)
      rw:runlock()
    end
  end
  done:done()
end

local function rwmutexes(rand)
  local all, n, rw, who, done = rand(10), rand(20), lp.rwmutex(), lp.atomic(), lp.waitgroup()
  done:add(all)
  for _ = 1, all do
    start(rand(3), readwriter, rand(1e9), n, rw, who, done)
  end
  done:wait()
  assert(rw:trylock())
  return all * n
end

local function taker(seed, n, s, size, who, done)
  local rand = random(seed)
  for _ = 1, n do
    local units = rand(size + 1) - 1
    enter(rand, function(sem, limit) return sem:acquire(units, limit) end, s)
    inside(rand, who, units, size)
    s:release(units)
    if rand(8) == 1 then -- more than there is
      assert(not s:acquire(size + 1, rand(20) / 1e6))
    end
  end
  done:done()
end

local function semaphores(rand)
  local all, n, size, who, done = rand(10), rand(20), rand(6), lp.atomic(), lp.waitgroup()
  local s = lp.semaphore(size)
  done:add(all)
  for _ = 1, all do
    start(rand(3), taker, rand(1e9), n, s, size, who, done)
  end
  done:wait()
  assert(s:tryacquire(size))
  return all * n
end

-- Tokens are put and taken; who waits for one gives up now and then, and comes back.
local function putter(seed, n, m, c, tokens, done)
  local rand = random(seed)
  for _ = 1, n do
    dawdle(rand)
    enter(rand, m.lock, m)
    tokens:add(1)
    if rand(2) == 1 then
      c:signal()
      m:unlock()
    else
      m:unlock()
      c:signal()
    end
  end
  done:done()
end

local function getter(seed, n, m, c, tokens, done)
  local rand = random(seed)
  for _ = 1, n do
    enter(rand, m.lock, m)
    while tokens:load() == 0 do
      c:wait(patience(rand))
    end
    tokens:add(-1)
    m:unlock()
    dawdle(rand)
  end
  done:done()
end

local function conds(rand)
  local all, n, tokens, done = rand(6), rand(15), lp.atomic(), lp.waitgroup()
  local m = rand(2) == 1 and lp.mutex() or lp.rwmutex()
  local c = lp.cond(m)
  done:add(2 * all)
  for _ = 1, all do
    start(rand(3), getter, rand(1e9), n, m, c, tokens, done)
    start(rand(3), putter, rand(1e9), n, m, c, tokens, done)
  end
  done:wait()
  assert(tokens:load() == 0 and m:trylock())
  return all * n
end

-- Each once is run once, and over for all.
local function runner(seed, onces, runs, done)
  local rand = random(seed)
  for i, o in ipairs(onces) do
    pcall(o.run, o, function()
      runs:add(i, 1)
      dawdle(rand)
      if rand(3) == 1 then
        error "thrown"
      end
    end)
    assert(runs:load(i) == 1)
  end
  done:done()
end

local function runs(rand)
  local all, onces, map, done = rand(8), {}, lp.map(), lp.waitgroup()
  for i = 1, rand(20) do
    onces[i] = lp.once()
  end
  done:add(all)
  for _ = 1, all do
    lp.spawn(runner, rand(1e9), onces, map, done)
  end
  done:wait()
  assert(map:len() == #onces)
  return #onces
end

-- What was added, less what was taken, is there.
local function counter(seed, n, map, done)
  local rand, mine = random(seed), 0
  for i = 1, n do
    local k = rand(2) == 1 and rand(9) or "key " .. rand(9)
    local what = rand(6)
    if what == 1 then
      mine = mine - (map:loadanddelete(k) or 0)
    elseif what == 2 then
      local old = map:load(k)
      if old and map:cas(k, old, old + i) then
        mine = mine + i
      elseif old and map:cad(k, old) then
        mine = mine - old
      end
    elseif what == 3 then
      local _, loaded = map:loadorstore(k, i)
      mine = mine + (loaded and 0 or i)
    elseif what == 4 then
      mine = mine + i - (map:swap(k, i) or 0)
    else
      map:add(k, i)
      mine = mine + i
    end
    if i % 10 == 0 then
      dawdle(rand)
    end
  end
  done:send(mine)
end

local function maps(rand)
  local all, n, map, done, want, got = rand(8), rand(100), lp.map(), lp.chan(), 0, 0
  for _ = 1, all do
    start(rand(3), counter, rand(1e9), n, map, done)
  end
  for _ = 1, all do
    want = want + done:recv()
    for _, v in map:pairs() do
      assert(v)
    end
  end
  for _, v in map:pairs() do
    got = got + v
  end
  assert(got == want, "a number was lost")
  return all * n
end

lib.rounds(function(_, rand)
  return {
    locks = mutexes(rand),
    ["reads and writes"] = rwmutexes(rand),
    units = semaphores(rand),
    tokens = conds(rand),
    onces = runs(rand),
    changes = maps(rand),
  }
end)
