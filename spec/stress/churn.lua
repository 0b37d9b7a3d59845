-- SPDX-License-Identifier: MIT

-- churn: everything comes and goes: channels are made, travel, are closed and forgotten; goroutines die in every way; the
-- number of Ps changes; the collector runs. What is counted is what comes back.

local lp = require "luapark"
local lib = require "spec.stress.lib"

local random, dawdle, start, once = lib.random, lib.dawdle, lib.start, lib.once

-- Hands a channel on, some steps far; the last one answers over it.
local function courier(seed, mail)
  local rand = random(seed)
  for letter in mail do
    dawdle(rand)
    letter.hops = letter.hops - 1
    if letter.hops > 0 then
      local next = lp.chan(1)
      start(rand(3), function(from)
        local l = from:recv()
        l.reply:send(l.id)
        l.wg:done()
      end, next)
      next:send(letter)
    else
      letter.reply:send(letter.id)
      letter.wg:done()
    end
  end
end

-- Ends in one of the ways there are, after it has said that it lived.
local function mortal(seed, id, roll)
  local rand = random(seed)
  dawdle(rand)
  roll:send(id)
  local how = rand(5)
  if how == 1 then
    lp.goexit()
  elseif how == 2 then
    table.sort({ 2, 1 }, function() lp.goexit() end)
  elseif how == 3 then
    coroutine.wrap(function() lp.goexit() end)()
  elseif how == 4 then
    pcall(function()
      lp.gosched()
      lp.goexit()
    end)
  end
end

lib.rounds(function(_, rand)
  local procs = lp.gomaxprocs()
  local mail, couriers = lp.chan(rand(5) - 1), rand(6)
  for _ = 1, couriers do
    start(rand(3), courier, rand(1e9), mail)
  end

  local letters, mortals = rand(60), rand(60)
  local roll, answers, wg = lp.chan(mortals), {}, lp.waitgroup()
  for id = 1, mortals do
    start(rand(3), mortal, rand(1e9), id, roll)
  end
  wg:add(letters)
  local replies = {}
  for id = 1, letters do
    replies[id] = lp.chan(1)
    mail:send { id = id, hops = rand(2), reply = replies[id], wg = wg, body = ("x"):rep(rand(1000)) }
    if rand(8) == 1 then
      lp.gomaxprocs(rand(procs))
    end
    if rand(30) == 1 then
      collectgarbage()
    end
  end
  wg:wait()
  mail:close()
  for id = 1, letters do
    answers[id] = replies[id]:recv()
    assert(answers[id] == id)
  end
  once({ answers }, letters, "letter")
  local ids = {}
  for i = 1, mortals do
    ids[i] = roll:recv()
  end
  once({ ids }, mortals, "goroutine")
  lp.gomaxprocs(procs)
  return { letters = letters, mortals = mortals }
end)
