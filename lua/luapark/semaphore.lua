-- SPDX-License-Identifier: MIT

-- semaphore: so many units, of which each takes some; golang.org/x/sync/semaphore. src/park/semaphore.h says who goes
-- first.

local core = require "luapark.core"
local rt = require "luapark.rt"
local share = require "luapark.share"
local waiting = require "luapark.wait"
local bubble = require "luapark.bubble"

local wait, checklimit, view = waiting.wait, waiting.checklimit, rt.view
local type, error, tostring = type, error, tostring

local semaphore = {}

local Semaphore = {}
Semaphore.__index = Semaphore
share.class("semaphore", Semaphore, Semaphore)

local OBJECT = 1

local function checkunits(n, method)
  if type(n) ~= "number" or n % 1 ~= 0 or n < 0 or n > 2 ^ 53 then
    error(("bad argument #1 to '%s' (whole number from 0 expected, got %s)"):format(method,
      n == nil and "no value" or type(n) == "number" and tostring(n) or type(n)), 3)
  end
end

-- semaphore(n) -> s, with n units
function semaphore.semaphore(n)
  checkunits(n, "semaphore")
  local s = share.new("semaphore", n)
  return bubble.live ~= 0 and view.bubble ~= 0 and bubble.own(s) or s
end

local function object(self, method)
  return share.object(self, Semaphore, method, "semaphore") -- a tail call: no level of its own
end

local ACQUIRE = { reason = core.reason.SEMAPHORE, ownreason = core.reason.OWNSEMAPHORE }

function ACQUIRE.enlist(self, s, n)
  return not rt.semaphore_acquire(self[OBJECT], n, s)
end

function ACQUIRE.leave(self, s)
  rt.semaphore_leave(self[OBJECT], s)
end

-- Parks until n units (1 by default) are this goroutine's: true; or nil, "timeout", "ETIMEDOUT" if `limit` seconds pass
-- first. First come, first served. More than there are will never be: that waits for the time to pass.
function Semaphore:acquire(n, limit)
  local o = object(self, "acquire")
  if n == nil then
    n = 1
  else
    checkunits(n, "acquire")
  end
  if limit ~= nil then
    local why, code = checklimit(limit, 2, "acquire")
    if why then
      return nil, why, code
    end
  end
  if rt.semaphore_acquire(o, n, 0) then
    return true
  end
  return wait(self, ACQUIRE, limit, n)
end

-- Takes them if that can be done at once, and nobody waits: whether it could.
function Semaphore:tryacquire(n)
  local o = object(self, "tryacquire")
  if n == nil then
    n = 1
  else
    checkunits(n, "tryacquire")
  end
  return (rt.semaphore_acquire(o, n, 0))
end

function Semaphore:release(n)
  local o = object(self, "release")
  if self.bubble then
    bubble.check(self, "release of synctest semaphore", 2)
  end
  if n == nil then
    n = 1
  else
    checkunits(n, "release")
  end
  if not rt.semaphore_release(o, n) then
    error("semaphore released more than held", 2)
  end
end

semaphore.Semaphore = Semaphore
return semaphore
