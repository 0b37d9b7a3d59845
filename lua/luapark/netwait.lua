-- SPDX-License-Identifier: MIT

-- netwait: how the network's calls wait for a descriptor, and what they say when they have failed.

local core = require "luapark.core"
local rt = require "luapark.rt"
local limit = require "luapark.limit"

local sys = core.net
local view, now = rt.view, rt.clock -- the world outside does not keep to a bubble's time
local type, error = type, error

local ended, enlist, delist, less, secondsto = limit.ended, limit.enlist, limit.delist, limit.less, limit.secondsto

local READY, CLOSED = sys.READY, sys.CLOSED
local ENDED = 1 -- among the codes, which are negative: the call's context has ended

local netwait = { ENDED = ENDED }

-- What a failed call returns: nil, message, code.
local function fail(code, ctx)
  if code == ENDED then
    return nil, ended(ctx)
  elseif code == sys.EOF then
    return nil, "closed", "EOF"
  elseif code == sys.EBADF then
    return nil, "closed", "EBADF" -- by this side
  elseif code == sys.EPIPE then
    return nil, "closed", "EPIPE" -- by the peer, seen while writing
  elseif code == sys.ETIMEDOUT then
    return nil, "timeout", "ETIMEDOUT"
  end
  return nil, sys.error(code)
end
netwait.fail = fail

-- An argument error at the line that called fname, which called us over `between` other functions.
function netwait.badarg(n, fname, what, got, between)
  error(("bad argument #%d to '%s' (%s, got %s)"):format(n, fname, what, got), 3 + (between or 0))
end

function netwait.typename(v)
  return v == nil and "no value" or type(v)
end

-- The same with a context.
local function awaitctx(fd, forwriting, seconds, ctx)
  local d, when, refused = enlist(ctx)
  if refused then
    error(refused, 0)
  elseif d == false then
    return ENDED
  end
  local _, code, why = sys.wait(fd, forwriting, less(seconds, secondsto(ctx, when)), d)
  local wake = view.wake
  if d then
    delist(ctx, d, not code)
  end
  if why then
    error(why, 0)
  elseif code then
    return code
  elseif wake ~= READY then
    return wake == CLOSED and sys.EBADF or ended(ctx) and ENDED or sys.ETIMEDOUT
  end
end

-- Parks until fd is ready: nothing, or the code of what went wrong. deadline: on now()'s clock, or nil or false; ctx: a
-- context or nil.
local function await(fd, forwriting, deadline, ctx)
  local seconds = deadline and deadline - now() or nil
  if seconds and seconds <= 0 then
    return sys.ETIMEDOUT
  elseif ctx then
    return awaitctx(fd, forwriting, seconds, ctx)
  end
  local _, code, why = sys.wait(fd, forwriting, seconds)
  if why then
    error(why, 0)
  elseif code then
    return code
  end
  local wake = view.wake
  if wake ~= READY then
    return wake == CLOSED and sys.EBADF or sys.ETIMEDOUT
  end
end
netwait.await = await

-- When an operation that starts now must have ended.
local function deadlineof(timeout)
  return timeout and now() + timeout
end
netwait.deadlineof = deadlineof

-- The same of one on fd, which has found at its first try that it must wait; seconds: its own limit, if any. false: at no
-- time.
function netwait.fddeadline(fd, seconds)
  return deadlineof(seconds or sys.timeout(fd)) or false
end

return netwait
