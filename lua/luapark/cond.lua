-- SPDX-License-Identifier: MIT

-- cond: Go's sync.Cond: a condition on what a mutex or rwmutex guards.

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local share = require "luapark.share"
local waiting = require "luapark.wait"
local mutex = require "luapark.mutex"
local rwmutex = require "luapark.rwmutex"
local bubble = require "luapark.bubble"

local view, CTX = rt.view, require("luapark.limit").CTX
local wait, checklimit = waiting.wait, waiting.checklimit
local getmetatable, type, error = getmetatable, type, error

local cond = {}

local Cond = {}
Cond.__index = Cond
share.class("cond", Cond, Cond)

-- Of the handle. LOCKER, too, is a handle: src/lua/share.c brings it along.
local OBJECT, LOCKER = 1, 3

-- Metatable of a lock -> function(lock): unlocks it; false if it was not locked.
local release = {
  [mutex.Mutex] = mutex.release,
  [mutex.Shared] = mutex.release,
  [rwmutex.RWMutex] = rwmutex.release,
}

-- cond(m) -> c; m: a mutex or an rwmutex
function cond.cond(m)
  if not release[getmetatable(m)] then
    error(("bad argument #1 to 'cond' (mutex or rwmutex expected, got %s)"):format(m == nil and "no value" or type(m)), 2)
  end
  local c = share.new "cond"
  c[LOCKER] = m
  return bubble.live ~= 0 and view.bubble ~= 0 and bubble.own(c) or c
end

local function object(self, method)
  return share.object(self, Cond, method, "cond") -- a tail call: no level of its own
end

-- Who waits for a bubble's own is woken by that alone.
local function checkwaker(self, method)
  if bubble.live ~= 0 and self.bubble then
    bubble.check(self, method .. " of synctest cond", 3)
  end
end

local WAIT = { reason = core.reason.COND, parks = true, level = 3 }

-- The line first, then the lock: who signals holding it cannot come in between.
function WAIT.enlist(self, s)
  local c, m = self[OBJECT], self[LOCKER]
  rt.cond_enlist(c, s)
  if release[getmetatable(m)](m) then
    return true
  end
  if not rt.decide(s, waitq.YES) then
    core.parknews() -- somebody has woken us meanwhile, and the news is on its way
    if view.wake ~= -CTX then
      rt.cond_signal(c) -- it was another one's
    end
  end
  rt.cond_leave(c, s)
  return "wait of a cond whose mutex is not locked"
end

function WAIT.leave(self, s)
  rt.cond_leave(self[OBJECT], s)
end

local function relock(self, ...)
  self[LOCKER]:lock()
  return ...
end

-- Unlocks, parks until it is woken, and locks again: true; or, having locked again, nil, "timeout", "ETIMEDOUT" if `limit`
-- seconds passed before. As in Go: look in a loop whether it is so, since others may have been faster.
function Cond:wait(limit)
  object(self, "wait")
  if limit ~= nil then
    local why, code = checklimit(limit, 1, "wait")
    if why then
      return nil, why, code
    end
  end
  return relock(self, wait(self, WAIT, limit))
end

-- Wakes who waits longest, if anybody does. With the lock or without.
function Cond:signal()
  local c = object(self, "signal")
  checkwaker(self, "signal")
  rt.cond_signal(c)
end

-- Wakes all.
function Cond:broadcast()
  local c = object(self, "broadcast")
  checkwaker(self, "broadcast")
  rt.cond_wakeall(c)
end

cond.Cond = Cond
return cond
