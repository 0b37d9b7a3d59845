-- SPDX-License-Identifier: MIT

-- chan: channels, to the letter of Go's.
--
-- The invariants are those of Go's runtime/chan.go:
--   at least one of the lines rq (receivers) and sq (senders) is empty;
--   a buffered channel with waiting receivers has an empty buffer, one with waiting senders a full one;
--   a closed channel has no waiting senders.
-- (But for waiters whose wait was decided elsewhere: see waitq.)
--
-- A channel is a table: its buffer in the array part, a ring c[1] to c[size] whose oldest item is at rx; its state in
-- the fields. An operation that need not wait is plain Lua that the JIT compiles into its caller's loop.
--
-- So it is while all who know it are on one P. When it first goes to another, its state moves into a struct hchan
-- (src/lua/share.c does it), and this table becomes a handle: its metatable is Shared, c[HCHAN] the object. Methods look
-- at the metatable; what a waiter finds when it wakes tells it by `done` in which world it was woken.

local newtable = require "table.new"
local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local share = require "luapark.share"
local carry = require("luapark.carry").carry
local bubble = require "luapark.bubble"

local gslot, index, done, ready = rt.sudogs.g, rt.sudogs.index, rt.sudogs.done, rt.ready
local elem, base, take, free = waitq.elem, rt.base, waitq.take, waitq.free
local enqueue, dequeue, leave = waitq.enqueue, waitq.dequeue, waitq.leave
local park, view, VAL = core.park, rt.view, waitq.VAL
local RECV, SEND, OWNRECV, OWNSEND = core.reason.CHANRECV, core.reason.CHANSEND, core.reason.OWNRECV, core.reason.OWNSEND
local getmetatable, setmetatable, type, error, floor = getmetatable, setmetatable, type, error, math.floor

local Chan = {}
Chan.__index = Chan

local Shared = { __index = Chan } -- the metatable of shared ones
-- And of those that a bubble has made (bubble.lua), which are at home.
local Own = bubble.class("channel", { __index = Chan })

local SIZE = 1 -- of the buffer
local N = 2 -- how many it holds
local RX = 3 -- where the oldest is, from 1
local RQ, SQ = 4, 5 -- the lines of waiting receivers and senders
local SHUT = 6 -- whether it is closed
local BUF = 6
local HCHAN = 1 -- of a shared one

-- What the waker of a parked channel operation says.
local DONE, CLOSED = 1, -1

-- What is done by a method that the bubble alone may call.
local acts = { send = "send on", trysend = "send on", recv = "receive on", tryrecv = "receive on", close = "close of" }

-- For a method whose self has not the metatable of channels at home: the object of one that is shared; nothing if it is the
-- bubble's own.
local function elsewhere(c, method)
  local mt = getmetatable(c)
  if mt == Own then
    if acts[method] then
      bubble.check(c, acts[method] .. " synctest channel", 3)
    end
    return nil
  elseif mt ~= Shared then
    error(("calling '%s' on bad self (channel expected, got %s; call it with a colon, c:%s)"):format(
      method, type(c), method), 3)
  end
  return c[HCHAN]
end

-- chan([capacity]) -> channel
local function chan(n)
  n = n or 0
  if type(n) ~= "number" or n < 0 or n ~= floor(n) or n >= 2 ^ 31 then
    local got = type(n) == "number" and ("%.14g"):format(n) or type(n)
    error("bad argument #1 to 'chan' (capacity must be a whole number from 0, got " .. got .. ")", 2)
  end
  local own = bubble.live ~= 0 and view.bubble ~= 0
  if n == 0 and not own then
    return setmetatable({ 0, 0, 1, 0, 0, false }, Chan)
  end
  local c = newtable(n < 4096 and BUF + n + 1 or BUF, 0)
  c[SIZE], c[N], c[RX], c[RQ], c[SQ], c[SHUT] = n, 0, 1, 0, 0, false
  if own then
    return setmetatable(bubble.own(c), Own)
  end
  return setmetatable(c, Chan)
end

-- The core of sending and receiving, shared with select ----------------------------------------------------------------

-- Gives v to a waiting receiver or to the buffer: whether it could. The channel is open.
local function put(c, v)
  if c[RQ] ~= 0 then
    local s = dequeue(c, RQ)
    if s ~= 0 then
      elem[s - base] = v
      ready(gslot[s], index[s] == 0 and DONE or index[s])
      return true
    end
  end
  local n, size = c[N], c[SIZE]
  if n < size then
    local i = c[RX] + n
    if i > size then
      i = i - size
    end
    c[BUF + i] = v
    c[N] = n + 1
    return true
  end
  return false
end

-- Takes from the buffer or a waiting sender: whether it could, and the value.
local function get(c)
  local n = c[N]
  if n > 0 then
    local rx = c[RX]
    local v = c[BUF + rx]
    if c[SQ] ~= 0 then
      local s = dequeue(c, SQ)
      if s ~= 0 then -- the buffer is full: the sender's value goes to the place that v leaves, now the last
        c[BUF + rx] = elem[s - base]
        elem[s - base] = false
        c[RX] = rx < c[SIZE] and rx + 1 or 1
        ready(gslot[s], index[s] == 0 and DONE or index[s])
        return true, v
      end
    end
    c[BUF + rx] = false -- not nil: the array must not become a hash
    c[RX] = rx < c[SIZE] and rx + 1 or 1
    c[N] = n - 1
    return true, v
  end
  if c[SQ] ~= 0 then
    local s = dequeue(c, SQ)
    if s ~= 0 then
      local v = elem[s - base]
      elem[s - base] = false
      ready(gslot[s], index[s] == 0 and DONE or index[s])
      return true, v
    end
  end
  return false
end

-- The slow halves of send and recv are tail calls, and call park themselves: a parked goroutine then has one frame of
-- ours on its Lua stack. With three, the stack of most would be grown once, and cost half as much again.

local function refused(c, line, s, why)
  leave(c, line, s)
  elem[s - base] = false
  free(s)
  error(why, 3)
end

local function parksend(c, v, reason)
  local s = take(2)
  elem[s - base] = v
  enqueue(c, SQ, s)
  view.reason = reason
  view.sel = s
  local why = park()
  if why then
    refused(c, SQ, s, why)
  end
  local wake = view.wake
  elem[s - base] = false
  if done[s] == VAL then
    share.drop(s)
  end
  free(s)
  if wake == CLOSED then
    error("send on closed channel", 2)
  end
end

local function parkrecv(c, reason)
  local s = take(2)
  enqueue(c, RQ, s)
  view.reason = reason
  view.sel = s
  local why = park()
  if why then
    refused(c, RQ, s, why)
  end
  local wake, v = view.wake, elem[s - base]
  elem[s - base] = false
  if done[s] == VAL and wake ~= CLOSED then
    return share.get(s), true
  end
  free(s)
  if wake == CLOSED then
    return nil, false
  end
  return v, true
end

-- The methods ----------------------------------------------------------------------------------------------------------

-- Parks until a receiver takes v or the buffer has room. An error on a closed channel.
function Chan:send(v)
  local reason = SEND
  if getmetatable(self) ~= Chan then
    local h = elsewhere(self, "send")
    if h then
      return share.send(h, v)
    end
    reason = OWNSEND
  end
  local t = type(v)
  if t ~= "number" and t ~= "string" and t ~= "boolean" and t ~= "nil" then
    v = carry(v, 2)
  end
  if self[SHUT] then
    error("send on closed channel", 2)
  end
  if not put(self, v) then
    return parksend(self, v, reason)
  end
end

-- Parks until there is a value: value, true; or nil, false once the channel is closed and empty.
function Chan:recv()
  local reason = RECV
  if getmetatable(self) ~= Chan then
    local h = elsewhere(self, "recv")
    if h then
      return share.recv(h)
    end
    reason = OWNRECV
  end
  local got, v = get(self)
  if got then
    return v, true
  end
  if self[SHUT] then
    return nil, false
  end
  return parkrecv(self, reason)
end

-- Sends if that can be done at once: whether it was. Never parks.
function Chan:trysend(v)
  if getmetatable(self) ~= Chan then
    local h = elsewhere(self, "trysend")
    if h then
      return share.trysend(h, v)
    end
  end
  local t = type(v)
  if t ~= "number" and t ~= "string" and t ~= "boolean" and t ~= "nil" then
    v = carry(v, 2)
  end
  if self[SHUT] then
    error("send on closed channel", 2)
  end
  return put(self, v)
end

-- Receives if that can be done at once: value, ok, true; or nil, false, false. Never parks.
function Chan:tryrecv()
  if getmetatable(self) ~= Chan then
    local h = elsewhere(self, "tryrecv")
    if h then
      return share.tryrecv(h)
    end
  end
  local got, v = get(self)
  if got then
    return v, true, true
  end
  return nil, false, self[SHUT]
end

-- Closes: receivers get what is buffered and then nil, false; waiting senders an error. Never parks.
function Chan:close()
  if getmetatable(self) ~= Chan then
    local h = elsewhere(self, "close")
    if h then
      if not rt.chan_close(h) then
        error("close of closed channel", 2)
      end
      return
    end
  end
  if self[SHUT] then
    error("close of closed channel", 2)
  end
  self[SHUT] = true
  for i = 1, 2 do
    local line = i == 1 and RQ or SQ
    local s = dequeue(self, line)
    while s ~= 0 do
      ready(gslot[s], index[s] == 0 and CLOSED or -index[s])
      s = dequeue(self, line)
    end
  end
end

-- How many values are buffered.
function Chan:len()
  if getmetatable(self) ~= Chan then
    local h = elsewhere(self, "len")
    if h then
      return rt.chan_len(h)
    end
  end
  return self[N]
end

-- How many it can buffer.
function Chan:cap()
  if getmetatable(self) ~= Chan then
    local h = elsewhere(self, "cap")
    if h then
      return rt.chan_cap(h)
    end
  end
  return self[SIZE]
end

-- for v in c do ... end: until the channel is closed and empty (or a nil is received).
function Chan:__call()
  local v = self:recv()
  return v
end

function Chan:__tostring()
  local closed = self[SHUT]
  if getmetatable(self) == Shared then
    closed = rt.chan_isclosed(self[HCHAN])
  end
  return ("chan(%d) [%d%s]"):format(self:cap(), self:len(), closed and ", closed" or "")
end

Shared.__call, Shared.__tostring = Chan.__call, Chan.__tostring
Own.__call, Own.__tostring = Chan.__call, Chan.__tostring
share.class("chan", Chan, Shared)

return {
  chan = chan,
  Chan = Chan,
  Shared = Shared,
  Own = Own,
  put = put,
  get = get,
  SIZE = SIZE,
  N = N,
  RQ = RQ,
  SQ = SQ,
  SHUT = SHUT,
  HCHAN = HCHAN,
}
