-- SPDX-License-Identifier: MIT

-- select: one of several channel operations, whichever can proceed; Go's selectgo.
--
-- First pass: look at every case; among those that can proceed choose uniformly (reservoir sampling: the k-th found
-- replaces the choice with probability 1/k, so one pass and no permutation). Otherwise a sudog goes into the line of
-- every case, the first of them standing for all, and the goroutine parks; whoever dequeues one of them decides the
-- wait. Afterwards the others are taken out of their lines.
--
-- Cases may be shared channels, whose lines are C's and whose waits are decided by compare-and-swap (waitq's SHARED): Go's
-- selectDone. What looked ready there may be gone when it is tried; then all is looked at again. And our sudogs are put
-- into the shared lines by one call (chan_select), which holds all their locks: it does a case that has become ready.
--
-- Cases may be channels that become ready at a time (due.lua): then the goroutine parks until the first of these times at
-- most, and looks again.

local ffi = require "ffi"
local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local channel = require "luapark.chan"
local share = require "luapark.share"
local due = require "luapark.due"
local context = require "luapark.context"
local carry = require("luapark.carry").carry
local bubble = require "luapark.bubble"

local index, own, done, prev, vals = rt.sudogs.index, rt.sudogs.own, rt.sudogs.done, rt.sudogs.prev, rt.vals
local elem, base, free, enqueue, leave = waitq.elem, rt.base, waitq.free, waitq.enqueue, waitq.leave
local chansend, chanrecv, chanleave, chanready, chanselect = rt.chan_send, rt.chan_recv, rt.chan_leave,
  rt.chan_ready, rt.chan_select
local valfree = rt.valfree
local ishome, isshared, istimer, isown, look, isdue = due.homes, due.shareds, due.timers, due.owns, due.look, due.isready
local WHEN, NEVER = due.WHEN, due.NEVER
local Chan, Shared, Own, put, get, HCHAN = channel.Chan, channel.Shared, channel.Own, channel.put, channel.get,
  channel.HCHAN
local SIZE, N, RQ, SQ, SHUT = channel.SIZE, channel.N, channel.RQ, channel.SQ, channel.SHUT
local park, view, now = waitq.park, rt.view, rt.now
isshared[Shared] = true
isown[Own] = true
local DONE, CLOSED, SHARED, VAL = share.DONE, share.CLOSED, waitq.SHARED, waitq.VAL
local SELECT, OWNSELECT, NOCASES = core.reason.SELECT, core.reason.OWNSELECT, core.reason.SELECTNOCASES
local nopark, takeany = core.nopark, waitq.takeany
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

local function ischan(c)
  local mt = getmetatable(c)
  return mt == Chan or mt == Own or isshared[mt] or ishome[mt]
end

-- What a case is: its channel (nil: a nil channel, never ready), and whether it sends.
local function decode(case, i)
  if type(case) == "table" and ischan(case) then
    if isown[getmetatable(case)] then
      bubble.check(case, "select on synctest channel", 4)
    end
    return case, false
  end
  if not case then
    return nil, false
  end
  if type(case) ~= "table" then
    badcase(i, "channel or {channel, send = value} expected, got " .. type(case))
  end
  local c = case[1]
  if c and not (type(c) == "table" and ischan(c)) then
    badcase(i, "channel expected in {channel, send = value}, got " .. type(c))
  elseif c and (ishome[getmetatable(c)] or isshared[getmetatable(c)] and getmetatable(c) ~= Shared) then
    badcase(i, "send on receive-only channel")
  elseif c and isown[getmetatable(c)] then
    bubble.check(c, "select on synctest channel", 4)
  end
  return c or nil, true
end

local function isready(c, sends)
  local mt = getmetatable(c)
  if mt ~= Chan and mt ~= Own then
    if ishome[mt] then
      return isdue(c)
    end
    return (chanready(c[HCHAN], sends))
  elseif sends then
    return c[SHUT] or c[N] < c[SIZE] or c[RQ] ~= 0
  end
  return c[N] > 0 or c[SQ] ~= 0 or c[SHUT]
end

-- What case i sends, as the receiver shall see it.
local function sent(case, level)
  local v = case.send
  local t = type(v)
  if t == "number" or t == "string" or t == "boolean" or t == "nil" then
    return v
  end
  return carry(v, level) -- a tail call: no level of its own
end

local function performshared(case, i, c, sends)
  local s = takeany()
  local r
  if sends then
    local why = share.set(s, case.send)
    if why then
      free(s)
      error(why, 4)
    end
    r = chansend(c[HCHAN], vals[s], 0)
    if r ~= DONE then
      valfree(vals[s])
    end
  else
    r = chanrecv(c[HCHAN], vals[s], 0)
    if r == DONE then
      return true, i, share.get(s), true
    end
  end
  free(s)
  if r == CLOSED and sends then
    error("send on closed channel", 4)
  elseif r == CLOSED then
    return true, i, nil, false
  end
  return r == DONE, i
end

-- Does case i, which looked ready. It may turn out not to be: the line may hold only waiters that are decided.
local function perform(case, i, c, sends)
  local mt = getmetatable(c)
  if mt ~= Chan and mt ~= Own then
    if ishome[mt] then
      local got, v, ok = look(c)
      return got, i, v, ok
    end
    return performshared(case, i, c, sends)
  elseif sends then
    if c[SHUT] then
      error("send on closed channel", 4)
    end
    return put(c, sent(case, 4)), i
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
    local c, sends, is = cases[i], false
    if getmetatable(c) == Chan then -- most are
      is = c[N] > 0 or c[SQ] ~= 0 or c[SHUT]
    else
      c, sends = decode(c, i)
      is = c and isready(c, sends)
    end
    if is then
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
    return try(cases, n) -- its line is clean now; or somebody on another P was faster
  end
  return true, i, v, ok
end

-- Waiting --------------------------------------------------------------------------------------------------------------

-- What a waiting select has in which lines: of case i, its channel (or false) at 3i - 2; then its sudog, negative if it
-- sends; then whether the channel was shared when the sudog was taken. Kept apart from the caller's table, which others may
-- fill anew meanwhile; and used again.
local records, nrecords = {}, 0

-- Takes the sudogs out again. -> whether the winning case received, and what
local function delist(rec, n, first, winner)
  local byval, received, v = done[first] == VAL, false, nil
  for i = 1, n do
    local c, s = rec[3 * i - 2], rec[3 * i - 1]
    if c then
      rec[3 * i - 2] = false
      local sends = s < 0
      if sends then
        s = -s
      end
      local shared = isshared[getmetatable(c)]
      local kept = false
      if i == winner then
        if not sends then
          received = true
          if byval then
            v = share.get(s) -- which frees it
            kept = true
          else
            v = elem[s - base]
          end
        end
      elseif shared then
        chanleave(c[HCHAN], sends, s)
      elseif prev[s] ~= 0 then
        leave(c, sends and SQ or RQ, s)
      end
      if not kept then
        if shared then
          valfree(vals[s])
        end
        elem[s - base] = false
        free(s)
      end
    end
  end
  nrecords = nrecords + 1
  records[nrecords] = rec
  return received, v
end

-- For chan_select: as many cases as there has been need for, and a reference to each. In use only where nobody else runs.
local selcases, refs = nil, {}

local function reserve(n)
  if n > #refs then
    selcases = ffi.new("struct luapark_selcase[?]", n * 2)
    for i = 1, n * 2 do
      refs[i] = selcases + (i - 1)
    end
  end
end

-- Puts the sudogs of shared cases into their lines, or does one that is ready: its number, negative if it is closed; or 0.
local function enlistshared(rec, n, first)
  done[first] = SHARED
  local k = 0
  for i = 1, n do
    local c, s = rec[3 * i - 2], rec[3 * i - 1]
    if c and rec[3 * i] then
      k = k + 1
      local case = refs[k]
      case.c, case.s, case.sends = c[HCHAN], s < 0 and -s or s, s < 0 and 1 or 0
    end
  end
  local r = chanselect(selcases, k, random(0x3fffffff) + 1)
  if r == 0 then
    return 0
  end
  local i = index[refs[r < 0 and -r or r].s]
  return r < 0 and -i or i
end

-- Whether all must be looked at again. A channel that is sent has become shared by that, and it may be another case's. And a
-- finalizer may have run, and used a channel.
local function changed(rec, n)
  for i = 1, n do
    local c = rec[3 * i - 2]
    if c then
      local shared = isshared[getmetatable(c)] or false
      if shared ~= rec[3 * i] or not shared and isready(c, rec[3 * i - 1] < 0) then
        return true
      end
    end
  end
end

-- What the cases that send do, before anybody can see it. -> nothing, or why it cannot be sent
local function setsent(rec, n, cases)
  for i = 1, n do
    local c, s = rec[3 * i - 2], rec[3 * i - 1]
    if c and s < 0 then
      if rec[3 * i] then
        local why = share.set(-s, cases[i].send)
        if why then
          return why
        end
      else
        elem[-s - base] = sent(cases[i], 4)
      end
    end
  end
end

-- When the first of these channels becomes ready by itself; foreign: of those alone that are not a bubble's own.
local function firstdue(rec, n, foreign)
  local first = NEVER
  for i = 1, n do
    local c, when = rec[3 * i - 2], NEVER
    local mt = c and getmetatable(c)
    if ishome[mt] then
      when = foreign and isown[mt] and NEVER or c[WHEN]
    elseif c and mt ~= Chan and mt ~= Shared and mt ~= Own then
      when = vals[rec[3 * i - 1]].u.n -- chan_select has told it
    end
    if when < first then
      first = when
    end
  end
  return first
end

-- Parks. A goroutine of a bubble that waits for anything else than what that has made keeps its clock from going on. Then
-- its own times cannot come meanwhile, and the real clock's alone matter.
local function parkselect(rec, n, first, ndue, nforeign, deadline)
  local foreign = nforeign > 0 and bubble.live ~= 0 and view.bubble ~= 0
  local when = ndue > 0 and firstdue(rec, n, foreign) or NEVER
  if not foreign and deadline < when then
    when = deadline
  end
  local reason = first == 0 and NOCASES or nforeign == 0 and OWNSELECT or SELECT
  return park(reason, first, when < NEVER and when, foreign)
end

-- Waits in all lines; ended: a context's channel, which is then case n + 1. -> nothing: look again; or the winner, negative
-- if its channel is closed, whether it received, and what
local function wait(cases, n, ended, deadline)
  local why = nopark()
  if why then
    error(why, 3)
  end
  local rec
  if nrecords > 0 then
    rec = records[nrecords]
    nrecords = nrecords - 1
  else
    rec = {}
  end
  local first, nshared, ndue, nsends, nforeign = 0, 0, 0, 0, 0
  for i = 1, n + 1 do
    local c, sends = ended, false
    if i <= n then
      c = cases[i]
      if getmetatable(c) ~= Chan then
        c, sends = decode(c, i)
      end
    end
    if c then
      local s = takeany()
      if first == 0 then
        first = s
      end
      own[s], index[s], prev[s] = first, i, 0 -- in no line yet
      rec[3 * i - 2], rec[3 * i - 1], rec[3 * i] = c, sends and -s or s, false
      local mt = getmetatable(c)
      if mt ~= Chan then
        ndue = ndue + ((mt == Shared or mt == Own) and 0 or 1)
        nforeign = nforeign + (isown[mt] and 0 or 1)
        if isshared[mt] then
          rec[3 * i] = true
          nshared = nshared + 1
        end
      else
        nforeign = nforeign + 1
      end
      nsends = nsends + (sends and 1 or 0)
    else
      rec[3 * i - 2], rec[3 * i - 1], rec[3 * i] = false, 0, false
    end
  end
  n = n + 1
  if nshared > 0 then
    reserve(nshared)
  end
  if nsends > 0 then
    why = setsent(rec, n, cases)
    if why then
      delist(rec, n, first, 0)
      error(why, 3)
    end
  end
  local simple = nshared == 0 and nsends == 0 -- then the last loop looks, too
  if not simple and changed(rec, n) then -- from here on nothing is allocated, so no finalizer can run
    delist(rec, n, first, 0)
    return nil
  end
  local wake = 0
  if nshared > 0 then
    wake = enlistshared(rec, n, first)
    if wake ~= 0 then
      done[first] = VAL
    end
  end
  local waits = wake == 0
  if waits then
    for i = 1, n do
      local c, s = rec[3 * i - 2], rec[3 * i - 1]
      if c and not rec[3 * i] then
        if simple and isready(c, false) then
          delist(rec, n, first, 0)
          return nil
        end
        enqueue(c, s < 0 and SQ or RQ, s < 0 and -s or s)
      end
    end
    why = parkselect(rec, n, first, ndue, nforeign, deadline)
    wake = view.wake
    if why then
      delist(rec, n, first, 0)
      error(why, 3)
    end
  end
  local winner = wake < 0 and -wake or wake
  -- A timer that wakes who waits for it was stopped or reset.
  local again = wake == 0 or waits and ndue > 0 and wake > 0 and istimer[getmetatable(rec[3 * winner - 2])]
  local received, v = delist(rec, n, first, winner)
  if not again then
    return wake, received, v
  end
end

local function seconds(t)
  if t ~= nil and (type(t) ~= "number" or t ~= t) then
    error(("bad argument #1 to 'select' (timeout: number of seconds expected, got %s)"):format(
      type(t) == "number" and "nan" or type(t)), 3)
  end
  return t
end

-- The slow half: looks and waits by turns. It is called by a tail call, so that its caller's line is one level up; and the
-- fast half has no loop, which the JIT would not compile into its caller's.
local function slow(cases, n, ctx)
  local timeout = seconds(cases.timeout)
  local deadline = timeout and (timeout <= 0 and 0 or now() + timeout) or NEVER
  local ended = ctx and context.doneof(ctx) -- nil: it never ends
  while now() < deadline do
    local wake, received, value = wait(cases, n, ended, deadline)
    if wake and wake ~= -(n + 1) then
      if received and wake < 0 then
        return -wake, nil, false
      elseif received then
        return wake, value, true
      elseif wake < 0 then
        error("send on closed channel", 2)
      end
      return wake
    elseif ctx then
      local why, code = context.ended(ctx)
      if why then
        return nil, why, code
      end
    end
    local did, i, v, ok = try(cases, n)
    if did then
      return i, v, ok
    end
  end
  return "timeout"
end

-- select{ jobs, quit, {out, send = x}, timeout = 1.5, ctx = ctx } or { ..., default = true }
-- -> the chosen case's index, and for a receive the value and whether it was sent; or "timeout" or "default"; or nil, why
-- and its code if the context has ended.
-- Parks unless a case can proceed or there is a default. The table may be used again.
local function select(cases)
  if type(cases) ~= "table" or ischan(cases) then
    error("bad argument #1 to 'select' (table of cases expected, got " ..
      (type(cases) == "table" and "a channel" or type(cases)) .. ")", 2)
  end
  local n, ctx = #cases, cases.ctx
  if ctx then
    local why, code = context.ended(context.checked(ctx, 1, "select", 2))
    if why then
      return nil, why, code
    end
  end
  local did, i, v, ok = try(cases, n)
  if did then
    return i, v, ok
  elseif cases.default then
    return "default"
  end
  return slow(cases, n, ctx)
end

context.useselect(select)
return select
