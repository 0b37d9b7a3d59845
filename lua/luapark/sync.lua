-- SPDX-License-Identifier: MIT

-- sync: wait groups and mutexes, as in Go's package sync.

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"

local gslot, view, ready = rt.sudogs.g, rt.view, rt.ready
local take, free, enqueue, dequeue, leave = waitq.take, waitq.free, waitq.enqueue, waitq.dequeue, waitq.leave
local park, reason, go = waitq.park, core.reason, core.go
local getmetatable, setmetatable, type, error = getmetatable, setmetatable, type, error

local sync = {}

-- As channels, these are tables with an array part alone: COUNT (of a mutex: whether it is locked) and the line of who
-- waits.
local COUNT, LOCKED, LINE = 1, 1, 2

local function check(self, class, method, name)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (%s expected, got %s; call it with a colon)"):format(method, name, type(self)), 3)
  end
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

-- waitgroup() -> wg: counts goroutines that are under way.
function sync.waitgroup()
  return setmetatable({ 0, 0 }, WaitGroup)
end

local function add(wg, n, name)
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
  check(self, WaitGroup, "add", "wait group")
  if n == nil then
    n = 1
  elseif type(n) ~= "number" or n % 1 ~= 0 then
    error("bad argument #1 to 'add' (whole number expected, got " .. tostring(n) .. ")", 2)
  end
  add(self, n, "add")
end

function WaitGroup:done()
  check(self, WaitGroup, "done", "wait group")
  add(self, -1, "done")
end

-- Parks until the counter is zero.
function WaitGroup:wait()
  check(self, WaitGroup, "wait", "wait group")
  if self[COUNT] > 0 then
    wait(self, reason.WAITGROUP)
  end
end

-- Goroutine's slot -> the group that counts it, for those that end by goexit (which calls sync.exiting).
local counted = {}

local function finish(wg)
  counted[view.cur] = nil
  add(wg, -1, "go")
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
  check(self, WaitGroup, "go", "wait group")
  if type(fn) ~= "function" then
    error("bad argument #1 to 'go' (function expected, got " .. (fn == nil and "no value" or type(fn)) .. ")", 2)
  end
  self[COUNT] = self[COUNT] + 1
  return (go(call, self, fn, ...))
end

-- Mutexes --------------------------------------------------------------------------------------------------------------

local Mutex = {}
Mutex.__index = Mutex

-- mutex() -> m. First come, first served: unlock hands the mutex to who waits longest.
function sync.mutex()
  return setmetatable({ false, 0 }, Mutex)
end

-- Parks until the mutex is this goroutine's.
function Mutex:lock()
  check(self, Mutex, "lock", "mutex")
  if not self[LOCKED] then
    self[LOCKED] = true
    return
  end
  wait(self, reason.MUTEX) -- who unlocks leaves it locked for us
end

-- Locks it if that can be done at once: whether it was.
function Mutex:trylock()
  check(self, Mutex, "trylock", "mutex")
  if self[LOCKED] then
    return false
  end
  self[LOCKED] = true
  return true
end

function Mutex:unlock()
  check(self, Mutex, "unlock", "mutex")
  if not self[LOCKED] then
    error("unlock of unlocked mutex", 2)
  end
  if self[LINE] == 0 or not wakeone(self) then
    self[LOCKED] = false
  end
end

return sync
