-- SPDX-License-Identifier: MIT

-- mutex: Go's sync.Mutex.
--
-- It is in one of two modes. Normally who unlocks lets go of it and wakes the longest waiting, which has to compete with
-- whoever comes by; until it has won it stays the first in the line. That is fast, as who runs may have it again and again
-- without a switch, and it is unfair. So a waiter that loses when it has waited for more than a millisecond makes the mutex
-- starving: now it is handed from who unlocks to the longest waiting, without ever being free, until a waiter gets it that
-- has waited for less, or is the last one.
--
-- At home in this state until it goes to another P; then src/park/sync.c does the same.

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local share = require "luapark.share"
local waiting = require "luapark.wait"

local gslot, done, ready, now = rt.sudogs.g, rt.sudogs.done, rt.ready, rt.now
local enqueue, dequeue, rouse, leave, NO = waitq.enqueue, waitq.dequeue, waitq.rouse, waitq.leave, waitq.NO
local wait, checklimit = waiting.wait, waiting.checklimit
local getmetatable, setmetatable, error = getmetatable, setmetatable, error

local mutex = {}

local Mutex = {}
Mutex.__index = Mutex
local Shared = { __index = Mutex }
share.class("mutex", Mutex, Shared)

-- A table with an array part alone: whether it is locked, the line of who waits, whether it is starving. Of a shared one,
-- OBJECT is its address.
local LOCKED, LINE, STARVING = 1, 2, 3
local OBJECT = 1

local STARVES = 0.001 -- s that a waiter puts up with

-- What a waiter is woken with.
local FREE, YOURS = 1, 2 -- MUTEX_FREE and MUTEX_YOURS of src/park/sync.h

-- mutex() -> m
function mutex.mutex()
  return setmetatable({ false, 0, false }, Mutex)
end

local function object(self, method)
  return share.object(self, Shared, method, "mutex") -- a tail call: no level of its own
end

-- It is free: the longest waiting is told.
local function offer(self)
  local s = rouse(self, LINE)
  if s ~= 0 then
    ready(gslot[s], FREE)
  end
end

local LOCK = { reason = core.reason.MUTEX, home = Mutex }

function LOCK.enlist(self, s)
  if getmetatable(self) ~= Mutex then
    return not rt.mutex_lock(self[OBJECT], s, false)
  elseif not self[LOCKED] then -- a finalizer has unlocked it
    self[LOCKED] = true
    return false
  end
  enqueue(self, LINE, s)
  return true
end

function LOCK.again(self, s, wake, since)
  local starving = now() - since > STARVES
  if getmetatable(self) ~= Mutex then
    if wake == YOURS then
      rt.mutex_inherit(self[OBJECT], starving)
      return false
    end
    return not rt.mutex_lock(self[OBJECT], s, starving)
  elseif wake == YOURS then
    if not starving or self[LINE] == 0 then
      self[STARVING] = false
    end
    return false
  elseif not self[LOCKED] then
    self[LOCKED] = true
    leave(self, LINE, s)
    return false
  end
  if starving then
    self[STARVING] = true
  end
  done[s] = NO -- it may be woken again
  return true
end

function LOCK.leave(self, s)
  if getmetatable(self) ~= Mutex then
    rt.mutex_leave(self[OBJECT], s)
    return
  end
  leave(self, LINE, s)
  if not self[LOCKED] then
    offer(self)
  end
end

-- Parks until the mutex is this goroutine's: true; or nil, why and its code, when it took longer than `limit`.
function Mutex:lock(limit)
  if limit ~= nil then
    local why, code = checklimit(limit, 1, "lock")
    if why then
      return nil, why, code
    end
  end
  if getmetatable(self) ~= Mutex then
    if rt.mutex_lock(object(self, "lock"), 0, false) then
      return true
    end
  elseif not self[LOCKED] then
    self[LOCKED] = true
    return true
  end
  return wait(self, LOCK, limit)
end

-- Locks it if that can be done at once: whether it was.
function Mutex:trylock()
  if getmetatable(self) ~= Mutex then
    return (rt.mutex_lock(object(self, "trylock"), 0, false))
  end
  if self[LOCKED] then
    return false
  end
  self[LOCKED] = true
  return true
end

-- Unlocks one at home that others wait for.
local function pass(self)
  if self[STARVING] then
    local s = dequeue(self, LINE)
    if s ~= 0 then -- it stays locked, for them
      ready(gslot[s], YOURS)
      return
    end
    self[STARVING] = false
  end
  self[LOCKED] = false
  offer(self)
end

-- Unlocks m, which is a mutex: false if it was not locked.
function mutex.release(m)
  if getmetatable(m) ~= Mutex then
    return (rt.mutex_unlock(m[OBJECT]))
  elseif not m[LOCKED] then
    return false
  end
  pass(m)
  return true
end

function Mutex:unlock()
  if getmetatable(self) ~= Mutex then
    if not rt.mutex_unlock(object(self, "unlock")) then
      error("unlock of unlocked mutex", 2)
    end
    return
  end
  if not self[LOCKED] then
    error("unlock of unlocked mutex", 2)
  end
  if self[LINE] == 0 then
    self[LOCKED] = false
  else
    pass(self)
  end
end

mutex.Mutex, mutex.Shared = Mutex, Shared
return mutex
