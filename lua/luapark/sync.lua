-- SPDX-License-Identifier: MIT

-- sync: wait groups, mutexes and atomics, as in Go's packages sync and sync/atomic.
--
-- Wait groups and mutexes are at home in this state until they go to another P, as channels are (chan.lua, share.lua).

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local share = require "luapark.share"

local gslot, view, ready = rt.sudogs.g, rt.view, rt.ready
local take, free, enqueue, dequeue, leave = waitq.take, waitq.free, waitq.enqueue, waitq.dequeue, waitq.leave
local park, reason, go = waitq.park, core.reason, core.go
local getmetatable, setmetatable, type, error, tostring = getmetatable, setmetatable, type, error, tostring

local sync = {}

-- As channels, these are tables with an array part alone: COUNT (of a mutex: whether it is locked) and the line of who
-- waits. Of a shared one, OBJECT is its address.
local COUNT, LOCKED, LINE = 1, 1, 2
local OBJECT = 1

-- For a method whose self is no object at home: its address if it is shared.
local function checkshared(self, shared, method, name)
  if getmetatable(self) ~= shared then
    error(("calling '%s' on bad self (%s expected, got %s; call it with a colon)"):format(method, name, type(self)), 3)
  end
  return self[OBJECT]
end

-- Parks the running goroutine in t's line until somebody dequeues it.
local function wait(t, why)
  local s = take(3)
  enqueue(t, LINE, s)
  local refused = park(why, s)
  if refused then
    leave(t, LINE, s)
  end
  free(s)
  if refused then
    error(refused, 3)
  end
end

-- The same for a shared object: enlist(o, s) puts s into its line unless there is nothing to wait for.
local function waitshared(o, why, enlist)
  local s = share.take(3)
  if enlist(o, s) then
    park(why, s)
  end
  free(s)
end

-- Wakes the longest waiting; false if nobody waits.
local function wakeone(t)
  local s = dequeue(t, LINE)
  if s == 0 then
    return false
  end
  ready(gslot[s], 1)
  return true
end

-- Wait groups ----------------------------------------------------------------------------------------------------------

local WaitGroup = {}
WaitGroup.__index = WaitGroup
local SharedWaitGroup = { __index = WaitGroup }
share.class("waitgroup", WaitGroup, SharedWaitGroup)

-- waitgroup() -> wg: counts goroutines that are under way.
function sync.waitgroup()
  return setmetatable({ 0, 0 }, WaitGroup)
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
  wg[COUNT] = count
  if count == 0 and wg[LINE] ~= 0 then
    while wakeone(wg) do end
  end
end

-- Adds n (1 by default, may be negative) to the counter; at zero all who wait go on.
function WaitGroup:add(n)
  local o = getmetatable(self) ~= WaitGroup and checkshared(self, SharedWaitGroup, "add", "wait group")
  if n == nil then
    n = 1
  elseif type(n) ~= "number" or n % 1 ~= 0 then
    error("bad argument #1 to 'add' (whole number expected, got " .. tostring(n) .. ")", 2)
  end
  add(self, o, n, "add")
end

function WaitGroup:done()
  local o = getmetatable(self) ~= WaitGroup and checkshared(self, SharedWaitGroup, "done", "wait group")
  add(self, o, -1, "done")
end

-- Parks until the counter is zero.
function WaitGroup:wait()
  if getmetatable(self) ~= WaitGroup then
    waitshared(checkshared(self, SharedWaitGroup, "wait", "wait group"), reason.WAITGROUP, rt.waitgroup_wait)
  elseif self[COUNT] > 0 then
    wait(self, reason.WAITGROUP)
  end
end

-- Goroutine's slot -> the group that counts it, for those that end by goexit (which calls sync.exiting).
local counted = {}

local function finish(wg)
  counted[view.cur] = nil
  add(wg, getmetatable(wg) ~= WaitGroup and wg[OBJECT], -1, "go")
end

function sync.exiting()
  local wg = counted[view.cur]
  if wg then
    finish(wg)
  end
end

local function call(wg, fn, ...)
  counted[view.cur] = wg
  fn(...)
  finish(wg)
end

-- Starts fn(...) as a goroutine counted by the group. -> g
function WaitGroup:go(fn, ...)
  local o = getmetatable(self) ~= WaitGroup and checkshared(self, SharedWaitGroup, "go", "wait group")
  if type(fn) ~= "function" then
    error("bad argument #1 to 'go' (function expected, got " .. (fn == nil and "no value" or type(fn)) .. ")", 2)
  end
  add(self, o, 1, "go")
  return go(call, self, fn, ...) -- a tail call: it is the caller who created it
end

-- Mutexes --------------------------------------------------------------------------------------------------------------

local Mutex = {}
Mutex.__index = Mutex
local SharedMutex = { __index = Mutex }
share.class("mutex", Mutex, SharedMutex)

-- mutex() -> m. First come, first served: unlock hands the mutex to who waits longest.
function sync.mutex()
  return setmetatable({ false, 0 }, Mutex)
end

local function lockshared(m, s)
  return not rt.mutex_lock(m, s)
end

-- Parks until the mutex is this goroutine's.
function Mutex:lock()
  if getmetatable(self) ~= Mutex then
    local m = checkshared(self, SharedMutex, "lock", "mutex")
    if not rt.mutex_lock(m, 0) then
      waitshared(m, reason.MUTEX, lockshared) -- who unlocks leaves it locked for us
    end
    return
  end
  if not self[LOCKED] then
    self[LOCKED] = true
    return
  end
  wait(self, reason.MUTEX)
end

-- Locks it if that can be done at once: whether it was.
function Mutex:trylock()
  if getmetatable(self) ~= Mutex then
    return rt.mutex_lock(checkshared(self, SharedMutex, "trylock", "mutex"), 0)
  end
  if self[LOCKED] then
    return false
  end
  self[LOCKED] = true
  return true
end

function Mutex:unlock()
  if getmetatable(self) ~= Mutex then
    if not rt.mutex_unlock(checkshared(self, SharedMutex, "unlock", "mutex")) then
      error("unlock of unlocked mutex", 2)
    end
    return
  end
  if not self[LOCKED] then
    error("unlock of unlocked mutex", 2)
  end
  if self[LINE] == 0 or not wakeone(self) then
    self[LOCKED] = false
  end
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
  return core.atomic(n == nil and 0 or checknumber(n, 1, "atomic"))
end

function Atomic:load()
  return rt.atomic_load(checkshared(self, Atomic, "load", "atomic"))
end

function Atomic:store(n)
  rt.atomic_store(checkshared(self, Atomic, "store", "atomic"), checknumber(n, 1, "store"))
end

-- Adds n. -> the new value
function Atomic:add(n)
  return rt.atomic_add(checkshared(self, Atomic, "add", "atomic"), checknumber(n, 1, "add"))
end

-- Stores n. -> the old value
function Atomic:swap(n)
  return rt.atomic_swap(checkshared(self, Atomic, "swap", "atomic"), checknumber(n, 1, "swap"))
end

-- Stores new if old is there: whether it was.
function Atomic:cas(old, new)
  return rt.atomic_cas(checkshared(self, Atomic, "cas", "atomic"), checknumber(old, 1, "cas"), checknumber(new, 2, "cas"))
end

function Atomic:__tostring()
  return ("atomic(%.14g)"):format(self:load())
end

sync.WaitGroup, sync.Mutex, sync.Atomic, sync.call = WaitGroup, Mutex, Atomic, call
return sync
