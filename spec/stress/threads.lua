-- SPDX-License-Identifier: MIT

-- threads: system calls, from everywhere, that take long or no time; goroutines locked to their threads, and such that end
-- locked; loops that must be pre-empted; among goroutines that talk over channels. Who was in a system call is whole when he
-- comes back, on whatever thread; a locked one never moves; every message comes once.

local lp = require "luapark"
local ffi = require "ffi"
local lib = require "spec.stress.lib"

ffi.cdef "int usleep(unsigned int us); int sched_yield(void); int gettid(void);"

local function syscall(rand)
  local C = require("ffi").C
  if rand(4) == 1 then
    lp.syscall(C.usleep, rand(200))
  else
    lp.syscall(C.sched_yield)
  end
end

-- One step of somebody who does all kinds of things with threads; what he keeps on his stacks is there afterwards.
local function step(rand)
  local mine, what = rand(1e6), rand(8)
  local want = mine
  if what == 1 then
    table.sort({ 3, 1, 2 }, function(a, b)
      syscall(rand)
      return a < b
    end)
  elseif what == 2 then
    local s = ("ab"):gsub("%w", function(c)
      syscall(rand)
      return c .. c
    end)
    assert(s == "aabb")
  elseif what == 3 then
    coroutine.wrap(function()
      syscall(rand)
      coroutine.yield()
    end)()
  elseif what == 4 then
    local ok, e = pcall(function()
      syscall(rand)
      error "thrown"
    end)
    assert(not ok and e:find "thrown$")
  elseif what == 5 then
    local x = 0
    for i = 1, rand(20) * 1000 do
      x = x + i % 7
    end
    assert(x > 0)
  elseif what == 6 then
    lp.sleep(rand(50) / 1e6)
  else
    syscall(rand)
  end
  assert(mine == want)
end

-- Sends n numbers, doing things in between; mode 2: locked to its thread; 3: locked, and ends so.
local function worker(seed, mode, from, n, out)
  local rand = lib.random(seed)
  local C = require("ffi").C
  if mode > 1 then
    lp.lockosthread()
  end
  local id = C.gettid()
  for i = 1, n do
    step(rand)
    assert(mode == 1 or C.gettid() == id, "a locked goroutine has moved")
    out:send(from + i)
  end
  if mode == 2 then
    lp.unlockosthread()
  end
end

lib.rounds(function(_, rand)
  local out, n, all = lp.chan(rand(3) - 1), rand(20), rand(6)
  for k = 0, all - 1 do
    if rand(2) == 1 then
      lp.go(worker, rand(1e9), rand(3), k * n, n, out)
    else
      lp.spawn(function(...)
        require("ffi").cdef "int usleep(unsigned int us); int sched_yield(void); int gettid(void);"
        return worker(...)
      end, rand(1e9), rand(3), k * n, n, out)
    end
  end
  local got = {}
  for i = 1, all * n do
    if rand(8) == 1 then
      step(rand)
    end
    got[i] = out:recv()
  end
  lib.once({ got }, all * n, "message")
  return { messages = all * n }
end)
