-- SPDX-License-Identifier: MIT

-- sync: mutexes, wait groups, atomics, gopark and goready, closes and timeouts, all of them contended from all sides. What
-- a mutex guards is wrong if two were ever inside; a phase is over for all or for none; a sleeper is woken once; a send that
-- timed out was not received, and one that succeeded was, once.

local lp = require "luapark"
local lib = require "spec.stress.lib"

local random, dawdle, start, once = lib.random, lib.dawdle, lib.start, lib.once

-- Mutexes: cells that are read, and written later, under their locks. Two at a time in one order.
local function locker(seed, n, done, m1, c1, m2, c2)
  local rand = random(seed)
  for _ = 1, n do
    if rand(2) == 1 then
      m1:lock()
    else
      while not m1:trylock() do
        lp.gosched()
      end
    end
    m2:lock()
    local a, b = c1:load(), c2:load()
    dawdle(rand)
    c1:store(a + 1)
    c2:store(b + 1)
    m2:unlock()
    m1:unlock()
  end
  done:done()
end

local function mutexes(rand)
  local m, c = {}, {}
  for i = 1, 3 do
    m[i], c[i] = lp.mutex(), lp.atomic()
  end
  local n, want, done = rand(20), { 0, 0, 0 }, lp.waitgroup()
  for _ = 1, rand(10) do
    local i = rand(2)
    local k = i + rand(3 - i)
    done:add()
    start(rand(3), locker, rand(1e9), n, done, m[i], c[i], m[k], c[k])
    want[i], want[k] = want[i] + n, want[k] + n
  end
  done:wait()
  for i = 1, 3 do
    assert(c[i]:load() == want[i], "two were inside")
  end
  return want[1] + want[2] + want[3]
end

-- Phases: nobody goes on to the next before all have come to the end of this one.
local function walker(seed, n, all, at, w1, w2, w3, done)
  local rand = random(seed)
  for phase = 1, n do
    local gate = phase % 3 == 1 and w1 or phase % 3 == 2 and w2 or w3
    local next = phase % 3 == 1 and w2 or phase % 3 == 2 and w3 or w1
    dawdle(rand)
    if at:add(1) == phase * all then
      next:add(all) -- before anybody can come to it
    end
    gate:done()
    gate:wait()
    assert(at:load() >= phase * all, "somebody went ahead")
  end
  done:done()
end

local function phases(rand)
  local all, n, at, done = rand(8), rand(12), lp.atomic(), lp.waitgroup()
  local w1, w2, w3 = lp.waitgroup(), lp.waitgroup(), lp.waitgroup()
  w1:add(all)
  done:add(all)
  for _ = 1, all do
    start(rand(3), walker, rand(1e9), n, all, at, w1, w2, w3, done)
  end
  done:wait()
  assert(at:load() == all * n)
  return all * n
end

-- Sleepers say where they are once they sleep; whoever finds the handle wakes them.
local function tell(g, beds)
  assert(beds:trysend(g))
end
local function sleeper(id, n, beds, out)
  local sum = 0
  for i = 1, n do
    local who, t = lp.gopark(tell, beds, "asleep")
    assert(t.n == who)
    sum = sum + who + i - i
  end
  out:send { id, sum }
end
local function waker(seed, n, beds, out)
  local rand, sum = random(seed), 0
  for _ = 1, n do
    local g, v = beds:recv(), rand(100)
    dawdle(rand)
    lp.goready(g, v, { n = v })
    sum = sum + v
  end
  out:send { 0, sum }
end

local function sleepers(rand)
  local n, each, wakers = rand(10), rand(10), rand(4)
  local beds, out = lp.chan(n), lp.chan(n + wakers)
  for id = 1, n do
    start(rand(3), sleeper, id, each, beds, out)
  end
  local left = n * each
  for i = 1, wakers do
    local share = i == wakers and left or math.floor(left / 2)
    left = left - share
    start(rand(3), waker, rand(1e9), share, beds, out)
  end
  local woken, given = 0, 0
  for _ = 1, n + wakers do
    local r = out:recv()
    if r[1] == 0 then
      given = given + r[2]
    else
      woken = woken + r[2]
    end
  end
  assert(woken == given, "what was given was not what came")
  return n * each
end

-- Sends and receives that give up in time, against each other and against a close.
local function sender(id, n, seed, c, out)
  local rand, sent = random(seed), {}
  local ok, e = pcall(function()
    for i = 1, n do
      local v = id * 1000 + i
      if rand(3) == 1 then
        c:send(v)
        sent[#sent + 1] = v
      elseif lp.select { { c, send = v }, timeout = (rand(40) - 1) / 1e6 } == 1 then
        sent[#sent + 1] = v
      end
    end
  end)
  assert(ok or e:find "send on closed channel", e)
  out:send { sent = true, list = sent }
end
local function receiver(seed, c, never, out)
  local rand, got = random(seed), {}
  while true do
    local i, v, ok
    if rand(3) == 1 then
      i, v, ok = lp.select { never, c, lp.after(rand(40) / 1e6) }
    else
      i, v, ok = lp.select { never, c, timeout = (rand(40) - 1) / 1e6 }
    end
    if i == 2 then
      if not ok then
        break
      end
      got[#got + 1] = v
    end
  end
  out:send { sent = false, list = got }
end

local function timeouts(rand)
  local c, never, out = lp.chan(rand(3) - 1), lp.chan(), lp.chan(20)
  local senders, receivers, n = rand(6), rand(6), rand(30)
  for id = 1, senders do
    start(rand(3), sender, id, n, rand(1e9), c, out)
  end
  for _ = 1, receivers do
    start(rand(3), receiver, rand(1e9), c, never, out)
  end
  local early = rand(3) == 1
  if early then -- senders may still be at it
    lp.sleep(rand(200) / 1e6)
    c:close()
  end
  local sent, got, nsent = {}, {}, 0
  for k = 1, senders + receivers do
    local r = out:recv()
    local list = r.sent and sent or got
    list[#list + 1] = r.list
    if r.sent then
      nsent = nsent + #r.list
    end
    if not early and r.sent and #sent == senders then
      c:close()
    end
    assert(early or r.sent or k > senders)
  end
  once(sent, nsent, "sent value")
  once(got, nsent, "received value")
  local seen = {}
  for _, list in ipairs(sent) do
    for _, v in ipairs(list) do
      seen[v] = true
    end
  end
  for _, list in ipairs(got) do
    for _, v in ipairs(list) do
      assert(seen[v], "received, but the send did not succeed")
    end
  end
  return nsent
end

-- Atomics: sums, and tickets that are swapped.
local function adder(n, sum, slot, done, first)
  local mine = 0
  for i = 1, n do
    sum:add(i)
    mine = mine + slot:swap(first + i)
    local old
    repeat
      old = sum:load()
    until sum:cas(old, old + 1)
  end
  done:send(mine)
end

local function atomics(rand)
  local sum, slot, n, all = lp.atomic(), lp.atomic(), rand(200), rand(8)
  local done, tickets, want = lp.chan(), 0, 0
  for k = 1, all do
    start(rand(3), adder, n, sum, slot, done, k * 1000)
    want = want + n * k * 1000 + n * (n + 1) / 2
  end
  for _ = 1, all do
    tickets = tickets + done:recv()
  end
  assert(sum:load() == all * (n * (n + 1) / 2 + n))
  assert(tickets + slot:load() == want, "a ticket was lost, or taken twice")
  return all * n
end

lib.rounds(function(_, rand)
  return {
    locks = mutexes(rand),
    phases = phases(rand),
    wakes = sleepers(rand),
    sends = timeouts(rand),
    swaps = atomics(rand),
  }
end)
