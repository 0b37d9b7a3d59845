-- SPDX-License-Identifier: MIT

-- time: the clock, and timers that send.
--
-- A timer without a goroutine is a number that the core gives back when it is due. Firing happens on the scheduler's
-- own stack: it must not park, and a send to a channel with room for one never does.

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local channel = require "luapark.chan"

local now, starttimer, isdaemon = rt.now, core.starttimer, core.isdaemon
local chan = channel.chan
local type, error = type, error

local time = {}

local pending = {} -- ref -> channel
local freerefs, nfree, lastref = {}, 0, 0

local function newref(c)
  local ref
  if nfree > 0 then
    ref = freerefs[nfree]
    nfree = nfree - 1
  else
    lastref = lastref + 1
    ref = lastref
  end
  pending[ref] = c
  return ref
end

core.ontimer(function(ref) -- due
  local c = pending[ref]
  pending[ref] = nil
  nfree = nfree + 1
  freerefs[nfree] = ref
  if not c[channel.SHUT] then
    c:trysend(now())
  end
end, function(ref) -- would it wake somebody who keeps the program alive?
  return waitq.wakes(pending[ref], channel.RQ, isdaemon)
end)

-- Seconds on a monotonic clock, with fractions.
function time.now()
  return now()
end

-- after(s) -> a channel that receives the time, once, in s seconds.
function time.after(s)
  if type(s) ~= "number" or s ~= s then
    error("bad argument #1 to 'after' (number of seconds expected, got " .. (s == nil and "no value" or tostring(s))
      .. ")", 2)
  end
  local c = chan(1)
  starttimer(s, newref(c))
  return c
end

return time
