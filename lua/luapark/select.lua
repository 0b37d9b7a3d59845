-- SPDX-License-Identifier: MIT

-- select: one of several channel operations, whichever can proceed; Go's selectgo.
--
-- First pass: look at every case; among those that can proceed choose uniformly (reservoir sampling: the k-th found
-- replaces the choice with probability 1/k, so one pass and no permutation). Otherwise a sudog goes into the line of
-- every case, the first of them standing for all, and the goroutine parks; whoever dequeues one of them decides the
-- wait. Afterwards the others are taken out of their lines.

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local channel = require "luapark.chan"

local index, own = rt.sudogs.index, rt.sudogs.own
local elem, take, free, enqueue, leave = waitq.elem, waitq.take, waitq.free, waitq.enqueue, waitq.leave
local Chan, put, get = channel.Chan, channel.put, channel.get
local SIZE, N, RQ, SQ, SHUT = channel.SIZE, channel.N, channel.RQ, channel.SQ, channel.SHUT
local park, view = waitq.park, rt.view
local SELECT, NOCASES = core.reason.SELECT, core.reason.SELECTNOCASES
local bit, getmetatable, type, error = require "bit", getmetatable, type, error
local bxor, lshift, rshift, band = bit.bxor, bit.lshift, bit.rshift, bit.band

-- Marsaglia's xorshift32. Our own generator, so that math.random's sequence stays the user's.
local state = 0x2545f491

-- A whole number from 0 to k - 1, k small.
local function random(k)
  local x = state
  x = bxor(x, lshift(x, 13))
  x = bxor(x, rshift(x, 17))
  x = bxor(x, lshift(x, 5))
  state = x
  return band(rshift(x, 1), 0x3fffffff) % k
end

local function badcase(i, what)
  error(("bad argument #1 to 'select' (case %d: %s)"):format(i, what), 5)
end

-- What a case is: its channel (nil: a nil channel, never ready), and whether it sends.
local function decode(case, i)
  if getmetatable(case) == Chan then
    return case, false
  end
  if not case then
    return nil, false
  end
  if type(case) ~= "table" then
    badcase(i, "channel or {channel, send = value} expected, got " .. type(case))
  end
  local c = case[1]
  if c and getmetatable(c) ~= Chan then
    badcase(i, "channel expected in {channel, send = value}, got " .. type(c))
  end
  return c or nil, true
end

local function isready(c, sends)
  if sends then
    return c[SHUT] or c[N] < c[SIZE] or c[RQ] ~= 0
  end
  return c[N] > 0 or c[SQ] ~= 0 or c[SHUT]
end

-- Does case i, which looked ready. It may turn out not to be: the line may hold only waiters that are decided.
local function perform(case, i, c, sends)
  if sends then
    if c[SHUT] then
      error("send on closed channel", 4)
    end
    return put(c, case.send), i
  end
  local got, v = get(c)
  if got then
    return true, i, v, true
  end
  return c[SHUT], i, nil, false
end

-- Tries all cases: true and the results of the chosen one, or false.
local function try(cases, n)
  local k, chosen, chosenc, chosensends = 0, 0, nil, false
  for i = 1, n do
    local c, sends = decode(cases[i], i)
    if c and isready(c, sends) then
      k = k + 1
      if k == 1 or random(k) == 0 then
        chosen, chosenc, chosensends = i, c, sends
      end
    end
  end
  if k == 0 then
    return false
  end
  local did, i, v, ok = perform(cases[chosen], chosen, chosenc, chosensends)
  if not did then
    return try(cases, n) -- its line is clean now
  end
  return true, i, v, ok
end

-- What each sudog of a select stands for. Kept apart from the caller's table, which others may fill anew meanwhile.
local sibling = {} -- the next of the same select
local channels, lines = {}, {} -- whose line it stands in, and which

-- Puts a sudog into every case's line; returns the first.
local function enlist(cases, n)
  local first, last
  for i = 1, n do
    local c, sends = decode(cases[i], i)
    if c then
      local s = take(3)
      local line = sends and SQ or RQ
      index[s] = i
      if first then
        own[s] = first
        sibling[last] = s
      else
        first = s
      end
      last = s
      channels[s], lines[s] = c, line
      if sends then
        elem[s] = cases[i].send
      end
      enqueue(c, line, s)
    end
  end
  return first
end

-- Takes the sudogs out again. -> whether the winning case received, and what
local function delist(first, winner)
  local s, received, v = first, false, nil
  while s do
    local line = lines[s]
    if index[s] == winner then
      received, v = line == RQ, elem[s]
    else
      leave(channels[s], line, s)
    end
    elem[s] = false
    channels[s] = false
    local next = sibling[s]
    sibling[s] = false
    free(s)
    s = next
  end
  return received, v
end

local function seconds(t)
  if t ~= nil and (type(t) ~= "number" or t ~= t) then
    error("bad argument #1 to 'select' (timeout: number of seconds expected, got " .. tostring(t) .. ")", 3)
  end
  return t
end

-- select{ jobs, quit, {out, send = x}, timeout = 1.5 } or { ..., default = true }
-- -> the chosen case's index, and for a receive the value and whether it was sent; or "timeout" or "default".
-- Parks unless a case can proceed or there is a default. The table may be used again.
local function select(cases)
  if type(cases) ~= "table" or getmetatable(cases) == Chan then
    error("bad argument #1 to 'select' (table of cases expected, got " ..
      (type(cases) == "table" and "a channel" or type(cases)) .. ")", 2)
  end
  local n = #cases
  local did, i, v, ok = try(cases, n)
  if did then
    return i, v, ok
  end
  if cases.default then
    return "default"
  end
  local timeout = seconds(cases.timeout)
  if timeout and timeout <= 0 then
    return "timeout"
  end
  local first = enlist(cases, n)
  local why = park(first and SELECT or NOCASES, first or 0, timeout)
  local wake = view.wake
  if why then
    delist(first, 0)
    error(why, 2)
  end
  local winner = wake < 0 and -wake or wake
  local received, value = delist(first, winner)
  if wake == 0 then
    return "timeout"
  elseif not received then
    if wake < 0 then
      error("send on closed channel", 2)
    end
    return winner
  elseif wake < 0 then
    return winner, nil, false
  end
  return winner, value, true
end

return select
