-- SPDX-License-Identifier: MIT

-- rwmutex: Go's sync.RWMutex: many readers, or one writer. src/park/rwmutex.h says who goes first.

local core = require "luapark.core"
local rt = require "luapark.rt"
local share = require "luapark.share"
local waiting = require "luapark.wait"

local reason, wait, checklimit = core.reason, waiting.wait, waiting.checklimit
local error = error

local rwmutex = {}

local RWMutex = {}
RWMutex.__index = RWMutex
share.class("rwmutex", RWMutex, RWMutex)

local OBJECT = 1

-- rwmutex() -> rw
function rwmutex.rwmutex()
  return share.new "rwmutex"
end

local function object(self, method)
  return share.object(self, RWMutex, method, "rwmutex") -- a tail call: no level of its own
end

local RLOCK, LOCK = { reason = reason.RLOCK }, { reason = reason.RWLOCK }

function RLOCK.enlist(self, s)
  return not rt.rwmutex_rlock(self[OBJECT], s)
end

function RLOCK.leave(self, s)
  rt.rwmutex_leave(self[OBJECT], false, s)
end

function LOCK.enlist(self, s)
  return not rt.rwmutex_lock(self[OBJECT], s)
end

function LOCK.leave(self, s)
  rt.rwmutex_leave(self[OBJECT], true, s)
end

-- Parks until this goroutine is a reader: true; or nil, why and its code, when it took longer than `limit`.
function RWMutex:rlock(limit)
  local rw = object(self, "rlock")
  if limit ~= nil then
    local why, code = checklimit(limit, 1, "rlock")
    if why then
      return nil, why, code
    end
  end
  if rt.rwmutex_rlock(rw, 0) then
    return true
  end
  return wait(self, RLOCK, limit)
end

-- The same for the writer.
function RWMutex:lock(limit)
  local rw = object(self, "lock")
  if limit ~= nil then
    local why, code = checklimit(limit, 1, "lock")
    if why then
      return nil, why, code
    end
  end
  if rt.rwmutex_lock(rw, 0) then
    return true
  end
  return wait(self, LOCK, limit)
end

-- The same if that can be done at once: whether it was.
function RWMutex:tryrlock()
  return (rt.rwmutex_rlock(object(self, "tryrlock"), 0))
end

function RWMutex:trylock()
  return (rt.rwmutex_lock(object(self, "trylock"), 0))
end

function RWMutex:runlock()
  if not rt.rwmutex_runlock(object(self, "runlock")) then
    error("runlock of rwmutex that is not locked for reading", 2)
  end
end

function RWMutex:unlock()
  if not rt.rwmutex_unlock(object(self, "unlock")) then
    error("unlock of unlocked rwmutex", 2)
  end
end

-- Unlocks rw, which is one: false if it was not locked.
function rwmutex.release(rw)
  return (rt.rwmutex_unlock(rw[OBJECT]))
end

rwmutex.RWMutex = RWMutex
return rwmutex
