-- SPDX-License-Identifier: MIT

-- due: channels that become ready by themselves, at a time: those of timers and tickers, and those of contexts.
--
-- Nothing happens at that time. Whoever looks at such a channel looks at the clock, and who waits for it parks until then
-- at most, and looks again. So a timer that nobody waits for costs nothing while it runs, its end finds nobody, and stop
-- and reset leave no stale value in it: Go's timers since 1.23. Whoever stops or resets one has all who wait look again.
--
-- The fields are a channel's (chan.lua), without a buffer, and two more. When one goes to another P its state moves into a
-- struct hchan, as a channel's, which does the same (src/park/chan.c).
--
-- What a bubble has made (bubble.lua) goes by its clock; everything else by the real one, whoever uses it.

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local share = require "luapark.share"
local channel = require "luapark.chan"
local bubble = require "luapark.bubble"

local vals, gslot, index, ready, now, clock = rt.vals, rt.sudogs.g, rt.sudogs.index, rt.ready, rt.now, rt.clock
local view = rt.view
local prev = rt.sudogs.prev
local take, free, enqueue, dequeue, leave, park = waitq.take, waitq.free, waitq.enqueue, waitq.dequeue, waitq.leave,
  waitq.park
local chanrecv, chanleave = rt.chan_recv, rt.chan_leave
local RQ, SHUT, HCHAN = channel.RQ, channel.SHUT, channel.HCHAN
local BLOCK, DONE = share.BLOCK, share.DONE
local RECV, OWNRECV = core.reason.CHANRECV, core.reason.OWNRECV
local getmetatable, setmetatable, type, error, floor = getmetatable, setmetatable, type, error, math.floor

local owns = {} -- the metatables of what a bubble has made

local NEVER = math.huge
local FAR = 1e15 -- seconds: what nobody lives to see, but is set

local WHEN = 7 -- when it becomes ready; NEVER
local PERIOD = 8 -- of a ticker, else 0; of a context's channel: the context

local expire -- ends a context whose deadline has passed

local due = { NEVER = NEVER, WHEN = WHEN }

function due.onexpire(fn)
  expire = fn
end

-- Looking -------------------------------------------------------------------------------------------------------------

-- The time on c's clock. (From outside nobody looks at a bubble's own.)
local function timeof(c)
  return owns[getmetatable(c)] and now() or clock()
end

-- What a receive from c, at home, finds at this moment: true, value, ok; or false.
local function look(c)
  if c[SHUT] then
    return true, nil, false
  end
  local when = c[WHEN]
  if when == NEVER then
    return false
  end
  local t = timeof(c)
  if t < when then
    return false
  end
  local period = c[PERIOD]
  if type(period) ~= "number" then
    expire(period) -- which closes c
    return true, nil, false
  end
  -- What nobody received in time is dropped.
  c[WHEN] = period > 0 and when + period * (1 + floor((t - when) / period)) or NEVER
  return true, when, true
end
due.look = look

-- Whether look would find something. Changes nothing.
function due.isready(c)
  return c[SHUT] or (c[WHEN] < NEVER and timeof(c) >= c[WHEN])
end

-- All who wait look again; or, as the channel is closed, find that. Others may stand in the line before they do.
local function wakeall(c, code)
  local s = dequeue(c, RQ)
  while s ~= 0 do
    prev[s] = 0 -- for who leaves the line without knowing why it woke
    ready(gslot[s], index[s] == 0 and code or code * index[s])
    s = dequeue(c, RQ)
  end
end

-- Receiving -----------------------------------------------------------------------------------------------------------

-- From a channel that is shared, at once: value, ok, whether it could.
local function tryrecvshared(c)
  local s = waitq.takeany()
  local r = chanrecv(c[HCHAN], vals[s], 0)
  if r == DONE then
    return share.get(s), true, true
  end
  free(s)
  return nil, false, r ~= BLOCK
end

-- From one that is shared.
local function recvshared(c)
  local v, ok, isready = tryrecvshared(c)
  if isready then
    return v, ok
  end
  local h = c[HCHAN]
  while true do
    local s = share.take(2)
    local r = chanrecv(h, vals[s], s)
    if r == DONE then
      return share.get(s), true
    elseif r ~= BLOCK then
      free(s)
      return nil, false
    end
    local when = vals[s].u.n
    local why = park(RECV, s, when < NEVER and when, true)
    chanleave(h, false, s)
    free(s)
    if why then
      error(why, 2)
    end
  end
end

-- From one at home; it may become shared while this waits. unlessstopped: nothing, if c is a timer that is stopped.
local function recv(c, unlessstopped)
  local home = getmetatable(c)
  while true do
    local got, v, ok = look(c)
    if got then
      return v, ok
    elseif unlessstopped and c[WHEN] == NEVER then
      return
    end
    local s = take(2)
    enqueue(c, RQ, s)
    local own, when = owns[home], c[WHEN]
    local why = park(own and OWNRECV or RECV, s, when < NEVER and when, not own)
    local shared = getmetatable(c) ~= home
    if shared then
      chanleave(c[HCHAN], false, s)
    elseif prev[s] ~= 0 then
      leave(c, RQ, s)
    end
    free(s)
    if why then
      error(why, 2)
    elseif shared then
      return recvshared(c)
    end
  end
end

-- Parks until the timer t, which nobody else knows, is due: true; or false: it was stopped.
function due.await(t)
  return recv(t, true) ~= nil
end

local acts = { recv = "receive on", tryrecv = "receive on" } -- others are "reset of", and so on

-- The methods that all kinds of them have. Each kind checks `self` by its own metatables.
local function class(name, kind)
  local Home, Shared, Own = {}, {}, bubble.class(name, {})

  local function check(self, method)
    local mt = getmetatable(self)
    if mt == Own then
      bubble.check(self, (acts[method] or method .. " of") .. " synctest " .. name, 3)
    elseif mt ~= Home and mt ~= Shared then
      error(("calling '%s' on bad self (%s expected, got %s; call it with a colon)"):format(method, name, type(self)), 3)
    end
    return mt == Shared
  end

  local methods = {}

  -- Parks until it is ready: the time and true, of a timer; nil and false, of a context's.
  function methods:recv()
    if check(self, "recv") then
      return recvshared(self)
    end
    return recv(self)
  end

  -- The same at once, or nil, false, false. Never parks.
  function methods:tryrecv()
    if check(self, "tryrecv") then
      return tryrecvshared(self)
    end
    local got, v, ok = look(self)
    if got then
      return v, ok, true
    end
    return nil, false, false
  end

  -- Nothing is ever buffered.
  function methods:len()
    check(self, "len")
    return 0
  end

  function methods:cap()
    check(self, "cap")
    return 0
  end

  for _, method in ipairs { "send", "trysend" } do
    methods[method] = function(self)
      check(self, method)
      error("send on receive-only channel (" .. name .. ")", 2)
    end
  end

  function methods:close()
    check(self, "close")
    error("close of receive-only channel (" .. name .. ")", 2)
  end

  function Home:__call()
    local v = self:recv()
    return v
  end

  Home.__index, Shared.__index, Own.__index = methods, methods, methods
  Shared.__call, Own.__call = Home.__call, Home.__call
  share.class(kind, Home, Shared)
  owns[Own] = true
  core.known("luapark.due." .. kind, methods)
  return Home, Shared, Own, methods, check
end

-- Timers --------------------------------------------------------------------------------------------------------------

local Timer, SharedTimer, OwnTimer, timermethods, checktimer = class("timer", "timer")

-- A timer is its own channel, t.c.
local function timerindex(t, k)
  if k == "c" then
    return t
  end
  return timermethods[k]
end
Timer.__index, SharedTimer.__index, OwnTimer.__index = timerindex, timerindex, timerindex

-- s, the n-th argument of fname, if it is a number of seconds; level: whose fault it is otherwise, as for error.
local function checkseconds(s, n, fname, level)
  if type(s) ~= "number" or s ~= s then
    local got = type(s) == "number" and "nan" or s == nil and "no value" or type(s)
    error(("bad argument #%d to '%s' (number of seconds expected, got %s)"):format(n, fname, got), level + 1)
  end
  return s
end
due.checkseconds = checkseconds

-- s seconds from t, or t.
local function from(s, t)
  if s <= 0 then
    return t
  end
  return s < FAR and t + s or FAR
end

local function checkperiod(s, fname)
  if checkseconds(s, 1, fname, 3) <= 0 then
    error(("bad argument #1 to '%s' (positive number of seconds expected, got %.14g)"):format(fname, s), 3)
  end
  return s < FAR and s or FAR
end

local function newtimer(s, period)
  local t = { 0, 0, 1, 0, 0, false, from(s, now()), period }
  if bubble.live ~= 0 and view.bubble ~= 0 then
    return setmetatable(bubble.own(t), OwnTimer)
  end
  return setmetatable(t, Timer)
end

-- after(s) -> a channel that sends the time, once, in s seconds.
function due.after(s)
  checkseconds(s, 1, "after", 2)
  return newtimer(s, 0)
end

-- timer(s) -> t: in s seconds t.c sends the time, once.
function due.timer(s)
  checkseconds(s, 1, "timer", 2)
  return newtimer(s, 0)
end

-- ticker(s) -> t: t.c sends the time every s seconds; ticks that nobody receives in time are dropped.
function due.ticker(s)
  s = checkperiod(s, "ticker")
  return newtimer(s, s)
end

-- period < 0: as it was.
local function set(t, shared, when, period)
  if shared then
    return (rt.chan_settimer(t[HCHAN], when, period))
  end
  local was = t[WHEN] < NEVER
  t[WHEN] = when
  if period >= 0 then
    t[PERIOD] = period
  end
  if t[RQ] ~= 0 then
    wakeall(t, 1)
  end
  return was
end

local function period(t, shared)
  return shared and rt.chan_period(t[HCHAN]) or t[PERIOD]
end

-- Whether it was set, and what it was set for has not been received: then it will not be.
function timermethods:stop()
  return set(self, checktimer(self, "stop"), NEVER, -1)
end

-- Sets it anew, s seconds from now; a ticker's period is s from then on. -> as stop
function timermethods:reset(s)
  local shared = checktimer(self, "reset")
  if period(self, shared) > 0 then
    s = checkperiod(s, "reset")
    return set(self, shared, from(s, timeof(self)), s)
  end
  checkseconds(s, 1, "reset", 2)
  return set(self, shared, from(s, timeof(self)), 0)
end

-- timer [0.25 s], timer [stopped]
function Timer:__tostring()
  local shared = getmetatable(self) == SharedTimer
  local when = shared and rt.chan_when(self[HCHAN]) or self[WHEN]
  return ("%s [%s]"):format(period(self, shared) > 0 and "ticker" or "timer",
    when == NEVER and "stopped" or ("%.3g s"):format(math.max(when - timeof(self), 0)))
end
SharedTimer.__tostring, OwnTimer.__tostring = Timer.__tostring, Timer.__tostring

-- Contexts' channels --------------------------------------------------------------------------------------------------

local Done, SharedDone, OwnDone = class("context's channel", "done")

-- A context's channel: closed from `when` on, or by close. At that time whoever sees it first ends the context.
-- own: the context is a bubble's, and `when` is on its clock.
function due.done(when, ctx, own)
  local c = { 0, 0, 1, 0, 0, false, when, ctx }
  if own then
    c.bubble = ctx.bubble
    return setmetatable(c, OwnDone)
  end
  return setmetatable(c, Done)
end

-- May be called again.
function due.close(c)
  if getmetatable(c) == SharedDone then
    rt.chan_close(c[HCHAN])
  elseif not c[SHUT] then
    c[SHUT] = true
    wakeall(c, -1)
  end
end

due.homes = { [Timer] = true, [Done] = true, [OwnTimer] = true, [OwnDone] = true }
due.shareds = { [SharedTimer] = true, [SharedDone] = true }
due.timers = { [Timer] = true, [SharedTimer] = true, [OwnTimer] = true } -- those that never close
due.owns = owns

return due
