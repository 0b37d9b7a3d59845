-- SPDX-License-Identifier: MIT

-- sync: wait groups and atomics, as in Go's packages sync and sync/atomic; and the table of what else there is.
--
-- Wait groups and mutexes are at home in this state until they go to another P, as channels are (chan.lua, share.lua). The
-- others are shared from the start.

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local share = require "luapark.share"
local waiting = require "luapark.wait"
local mutex = require "luapark.mutex"
local rwmutex = require "luapark.rwmutex"
local cond = require "luapark.cond"
local once = require "luapark.once"
local semaphore = require "luapark.semaphore"
local map = require "luapark.map"
local bubble = require "luapark.bubble"

local gslot, ready, object, view = rt.sudogs.g, rt.ready, share.object, rt.view
local enqueue, dequeue, leave = waitq.enqueue, waitq.dequeue, waitq.leave
local wait, checklimit = waiting.wait, waiting.checklimit
local go, outermost = core.go, core.outermost
local getmetatable, setmetatable, select, type, error, tostring = getmetatable, setmetatable, select, type, error,
  tostring

local sync = {
  mutex = mutex.mutex,
  rwmutex = rwmutex.rwmutex,
  cond = cond.cond,
  once = once.once,
  semaphore = semaphore.semaphore,
  map = map.map,
}

-- Wait groups ----------------------------------------------------------------------------------------------------------

local WaitGroup = {}
WaitGroup.__index = WaitGroup
local SharedWaitGroup = { __index = WaitGroup }
-- At home, but a bubble has made it, or uses it until it is zero again.
local OwnWaitGroup = bubble.class("wait group", { __index = WaitGroup })
share.class("waitgroup", WaitGroup, SharedWaitGroup)

-- As channels, these are tables with an array part alone: the counter and the line of who waits. Of a shared one, OBJECT
-- is its address.
local COUNT, LINE = 1, 2
local OBJECT = 1

-- waitgroup() -> wg: counts goroutines that are under way.
function sync.waitgroup()
  if bubble.live ~= 0 and view.bubble ~= 0 then
    return setmetatable(bubble.own { 0, 0 }, OwnWaitGroup)
  end
  return setmetatable({ 0, 0 }, WaitGroup)
end

-- For a method of one whose metatable is not WaitGroup: its object, or nothing: it is the bubble's.
local function elsewhere(wg, method)
  if getmetatable(wg) ~= OwnWaitGroup then
    return share.object(wg, SharedWaitGroup, method, "wait group") -- a tail call: no level of its own
  elseif method ~= "wait" then
    bubble.check(wg, method .. " of synctest wait group", 3)
  end
end

local function wakeall(wg)
  local s = dequeue(wg, LINE)
  if s ~= 0 then
    ready(gslot[s], 1)
    return wakeall(wg)
  end
end

-- One from outside is the bubble's that begins to use it, until it is zero again and nobody waits.
local function lend(wg, count)
  if wg.lent then
    if count == 0 then
      wg.lent, wg.bubble = nil, nil
      setmetatable(wg, WaitGroup)
    end
  elseif getmetatable(wg) == WaitGroup and wg[COUNT] == 0 and wg[LINE] == 0 then
    wg.lent = true
    setmetatable(bubble.own(wg), OwnWaitGroup)
  end
end

-- The methods' core; o: the object of a shared one.
local function add(wg, o, n, name)
  if o then
    if not rt.waitgroup_add(o, n) then
      error("negative counter of the wait group (" .. name .. ")", 3)
    end
    return
  end
  local count = wg[COUNT] + n
  if count < 0 then
    error("negative counter of the wait group (" .. name .. ")", 3)
  end
  if bubble.live ~= 0 and view.bubble ~= 0 then
    lend(wg, count)
  end
  wg[COUNT] = count
  if count == 0 and wg[LINE] ~= 0 then
    wakeall(wg)
  end
end

-- Adds n (1 by default, may be negative) to the counter; at zero all who wait go on.
function WaitGroup:add(n)
  local o = getmetatable(self) ~= WaitGroup and elsewhere(self, "add")
  if n == nil then
    n = 1
  elseif type(n) ~= "number" or n % 1 ~= 0 then
    error("bad argument #1 to 'add' (whole number expected, got " .. tostring(n) .. ")", 2)
  end
  add(self, o, n, "add")
end

function WaitGroup:done()
  local o = getmetatable(self) ~= WaitGroup and elsewhere(self, "done")
  add(self, o, -1, "done")
end

local WAIT = { reason = core.reason.WAITGROUP, ownreason = core.reason.OWNWAITGROUP, home = WaitGroup }

function WAIT.enlist(wg, s)
  if getmetatable(wg) == SharedWaitGroup then
    return (rt.waitgroup_wait(wg[OBJECT], s))
  elseif wg[COUNT] == 0 then
    return false
  end
  enqueue(wg, LINE, s)
  return true
end

function WAIT.leave(wg, s)
  if getmetatable(wg) == SharedWaitGroup then
    rt.waitgroup_leave(wg[OBJECT], s)
  else
    leave(wg, LINE, s)
  end
end

-- Parks until the counter is zero: true; or nil, why and its code, when it took longer than `limit`.
function WaitGroup:wait(limit)
  if limit ~= nil then
    local why, code = checklimit(limit, 1, "wait")
    if why then
      return nil, why, code
    end
  end
  local o = getmetatable(self) ~= WaitGroup and elsewhere(self, "wait")
  if o then
    if not rt.waitgroup_wait(o, 0) then
      return true
    end
  elseif self[COUNT] == 0 then
    return true
  end
  return wait(self, WAIT, limit)
end

local function finish(wg)
  add(wg, getmetatable(wg) == SharedWaitGroup and wg[OBJECT], -1, "go")
end

-- What a counted goroutine runs, with arguments and without. It is interpreted: its end is no Lua function's that a trace
-- could go on in. So what is there most often is there without a call.
local function call(wg, fn, ...)
  fn(...)
  return finish(wg)
end

local function call0(wg, fn)
  fn()
  local count = wg[COUNT]
  if getmetatable(wg) == WaitGroup and count > 1 then
    wg[COUNT] = count - 1
    return
  end
  return finish(wg)
end

-- The running goroutine ends by goexit.
function sync.exiting()
  local wg = outermost(call) or outermost(call0)
  if wg then
    finish(wg)
  end
end

-- The running goroutine, which was started with fn and this first argument, has failed, and the error is handled.
function sync.failed(fn, arg)
  if fn == call or fn == call0 then
    finish(arg)
  end
end

-- Starts fn(...) as a goroutine counted by the group. -> g
function WaitGroup:go(fn, ...)
  local o = getmetatable(self) ~= WaitGroup and elsewhere(self, "go")
  if type(fn) ~= "function" then
    error("bad argument #1 to 'go' (function expected, got " .. (fn == nil and "no value" or type(fn)) .. ")", 2)
  end
  add(self, o, 1, "go")
  if select("#", ...) == 0 then
    return go(call0, self, fn)
  end
  return go(call, self, fn, ...) -- a tail call: it is the caller who created it
end

-- Atomics --------------------------------------------------------------------------------------------------------------

local Atomic = {}
Atomic.__index = Atomic
share.class("atomic", Atomic, Atomic)

local function checknumber(n, i, method)
  if type(n) ~= "number" then
    error(("bad argument #%d to '%s' (number expected, got %s)"):format(i, method, n == nil and "no value" or type(n)), 3)
  end
  return n
end

-- atomic([n]) -> a: a number that goroutines on all Ps may change. Nothing here parks.
function sync.atomic(n)
  return share.new("atomic", n == nil and 0 or checknumber(n, 1, "atomic"))
end

function Atomic:load()
  return rt.atomic_load(object(self, Atomic, "load", "atomic"))
end

function Atomic:store(n)
  rt.atomic_store(object(self, Atomic, "store", "atomic"), checknumber(n, 1, "store"))
end

-- Adds n. -> the new value
function Atomic:add(n)
  return rt.atomic_add(object(self, Atomic, "add", "atomic"), checknumber(n, 1, "add"))
end

-- Stores n. -> the old value
function Atomic:swap(n)
  return rt.atomic_swap(object(self, Atomic, "swap", "atomic"), checknumber(n, 1, "swap"))
end

-- Stores new if old is there: whether it was.
function Atomic:cas(old, new)
  return (rt.atomic_cas(object(self, Atomic, "cas", "atomic"), checknumber(old, 1, "cas"), checknumber(new, 2, "cas")))
end

-- A number of which bits can be told: in two's complement as Go's int64, as far as a double counts.
local function checkbits(n, method)
  if type(n) ~= "number" or n % 1 ~= 0 or n < -2 ^ 53 or n >= 2 ^ 53 then
    error(("bad argument #1 to '%s' (whole number from -2^53 to 2^53 - 1 expected, got %s)"):format(method,
      n == nil and "no value" or type(n) == "number" and tostring(n) or type(n)), 3)
  end
  return n
end

local function checkold(old, method)
  if old ~= old then
    error(("'%s' of an atomic that holds no whole number from -2^53 to 2^53 - 1"):format(method), 2) -- of a tail call
  end
  return old
end

-- Keeps the bits that n has, too. -> the old value
function Atomic:band(n)
  return checkold(rt.atomic_and(object(self, Atomic, "band", "atomic"), checkbits(n, "band")), "band")
end

-- Sets the bits that n has. -> the old value
function Atomic:bor(n)
  return checkold(rt.atomic_or(object(self, Atomic, "bor", "atomic"), checkbits(n, "bor")), "bor")
end

function Atomic:__tostring()
  return ("atomic(%.14g)"):format(self:load())
end

-- What crosses between states by name: classes, and what wg:go runs.
sync.known = {
  WaitGroup = WaitGroup,
  Mutex = mutex.Mutex,
  Atomic = Atomic,
  RWMutex = rwmutex.RWMutex,
  Cond = cond.Cond,
  Once = once.Once,
  Semaphore = semaphore.Semaphore,
  Map = map.Map,
  call = call,
  call0 = call0,
}
return sync
