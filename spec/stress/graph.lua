-- SPDX-License-Identifier: MIT

-- graph: a random graph of goroutines in layers. Sources send numbered messages, relays receive from whichever channel has
-- one and send it on, sinks collect. At the end every message has come out exactly once, unharmed, every answer that a
-- sink gave has reached its source, and every goroutine has run exactly once.

local lp = require "luapark"
local lib = require "spec.stress.lib"

local random, dawdle, start, once = lib.random, lib.dawdle, lib.start, lib.once

local EACH = 30 -- messages of a source

-- Sends v to one of the channels, in one of the ways there are.
local function put(rand, channels, v)
  local way, c = rand(5), channels[rand(#channels)]
  if way == 1 then
    while not c:trysend(v) do
      lp.gosched()
    end
  elseif way == 2 then
    local cases = {}
    for i, channel in ipairs(channels) do
      cases[i] = { channel, send = v }
    end
    lp.select(cases)
  elseif way == 3 then
    repeat
      local i = lp.select { { c, send = v }, timeout = rand(50) / 1e6 }
    until i == 1
  else
    c:send(v)
  end
end

-- Receives from any of the channels, in one of the ways there are. nil when all are closed; closed ones become false.
local function take(rand, channels)
  local open = false
  for i = 1, #channels do
    open = open or channels[i]
  end
  while open do
    local way = rand(4)
    local i, v, ok
    if way == 1 then
      channels.default = true
      i, v, ok = lp.select(channels)
      channels.default = nil
      if i == "default" then
        lp.gosched()
      end
    elseif way == 2 then
      channels.timeout = rand(50) / 1e6
      i, v, ok = lp.select(channels)
      channels.timeout = nil
    else
      i, v, ok = lp.select(channels)
    end
    if ok then
      return v
    elseif i ~= "default" and i ~= "timeout" then
      channels[i], open = false, false
      for k = 1, #channels do
        open = open or channels[k]
      end
    end
  end
  return nil
end

local function unharmed(v)
  if type(v) == "table" then
    assert(v.self == v and v.twice == 2 * v.id and #v.text == v.id % 100 and v.parts[1] == v.parts[2])
    return v.id
  end
  return v
end

-- The number of channels comes before the channels: a table of them would keep the function at home.
local function source(id, seed, done, roll, n, ...)
  local rand, channels, replies, asked = random(seed), { ... }, lp.chan(EACH), 0
  for i = 1, EACH do
    local v = (id - 1) * EACH + i
    if rand(2) == 1 then
      local part = { v }
      local t = { id = v, twice = 2 * v, text = ("x"):rep(v % 100), parts = { part, part } }
      t.self = t
      if rand(4) == 1 then
        t.reply, asked = replies, asked + 1
      end
      v = t
    end
    put(rand, channels, v)
    dawdle(rand)
  end
  assert(#channels == n)
  done:done()
  local sum = 0
  for _ = 1, asked do
    sum = sum + (replies:recv() == id and 1 or 0)
  end
  assert(sum == asked)
  roll:send(id)
end

local function relay(id, seed, done, roll, n, ...)
  local rand, ins, outs = random(seed), {}, {}
  for i = 1, select("#", ...) do
    local c = select(i, ...)
    if i <= n then
      ins[i] = c
    else
      outs[i - n] = c
    end
  end
  local v = take(rand, ins)
  while v do
    unharmed(v)
    put(rand, outs, v)
    dawdle(rand)
    v = take(rand, ins)
  end
  done:done()
  roll:send(id)
end

local function sink(id, seed, out, roll, ...)
  local rand, ins, got = random(seed), { ... }, {}
  local v = take(rand, ins)
  while v do
    got[#got + 1] = unharmed(v)
    if type(v) == "table" and v.reply then
      v.reply:send(math.floor((v.id - 1) / EACH) + 1)
    end
    dawdle(rand)
    v = take(rand, ins)
  end
  out:send(got)
  roll:send(id)
end

local function closer(done, c)
  done:wait()
  c:close()
end

-- n channels with room or without, and all of them or some at random: the first to ask gets all.
local function layer(rand)
  local t = {}
  for i = 1, rand(4) do
    t[i] = lp.chan(({ 0, 0, 1, 3, 16 })[rand(5)])
  end
  return t
end
local function some(rand, channels, all)
  local t = {}
  for _, c in ipairs(channels) do
    if all or rand(2) == 1 then
      t[#t + 1] = c
    end
  end
  return #t > 0 and t or { channels[1] }
end

local function concat(a, b)
  local t = { unpack(a) }
  for _, v in ipairs(b) do
    t[#t + 1] = v
  end
  return t
end

lib.rounds(function(_, rand)
  local roll, goroutines = lp.chan(1000), 0
  local function node(fn, ...)
    goroutines = goroutines + 1
    start(rand(3), fn, goroutines, rand(1e9), ...)
  end
  local function finish(done, channels)
    for _, c in ipairs(channels) do
      start(rand(3), closer, done, c)
    end
  end

  local channels, done, nsources = layer(rand), lp.waitgroup(), rand(12)
  done:add(nsources)
  for _ = 1, nsources do
    local to = some(rand, channels)
    node(source, done, roll, #to, unpack(to))
  end
  finish(done, channels)
  for _ = 1, rand(4) - 1 do
    local next, relays = layer(rand), rand(8)
    done = lp.waitgroup()
    done:add(relays)
    for i = 1, relays do
      local from = some(rand, channels, i == 1)
      node(relay, done, roll, #from, unpack(concat(from, some(rand, next))))
    end
    finish(done, next)
    channels = next
  end
  local out, sinks = lp.chan(), rand(4)
  for i = 1, sinks do
    node(sink, out, roll, unpack(some(rand, channels, i == 1)))
  end

  local parts = {}
  for i = 1, sinks do
    parts[i] = out:recv()
  end
  once(parts, nsources * EACH, "message")
  local ids = {}
  for i = 1, goroutines do
    ids[i] = roll:recv()
  end
  once({ ids }, goroutines, "goroutine")
  return { goroutines = goroutines, messages = nsources * EACH }
end)
