-- SPDX-License-Identifier: MIT

-- luapark: Go's scheduler for Lua. This table is the API; each part lives in a file of its own.

if type(rawget(_G, "jit")) ~= "table" then
  error("luapark needs LuaJIT; this is " .. _VERSION, 0)
end

local core = require "luapark.core"
local rt = require "luapark.rt"
local channel = require "luapark.chan"
local exits = require "luapark.exits"
local sync = require "luapark.sync"
local time = require "luapark.time"
local due = require "luapark.due"
local context = require "luapark.context"
local errgroup = require "luapark.errgroup"
local onerror = require "luapark.onerror"

local luapark = {
  _VERSION = "0.1.0",

  -- goroutines
  go = core.go,
  spawn = core.spawn,
  goready = core.goready,
  getg = core.getg,
  gosched = core.gosched,
  stack = core.stack,
  onerror = onerror.onerror,
  exit = core.exit,

  -- processors
  gomaxprocs = core.gomaxprocs,
  numcpu = core.numcpu,
  preemptible = core.preemptible,

  -- threads
  syscall = require "luapark.syscall",
  lockosthread = core.lockosthread,
  unlockosthread = core.unlockosthread,

  -- channels
  chan = channel.chan,
  select = require "luapark.select",

  -- time
  sleep = time.sleep,
  now = time.now,
  after = due.after,
  timer = due.timer,
  ticker = due.ticker,
  afterfunc = time.afterfunc,

  context = context,
  errgroup = errgroup.new,

  -- sync
  waitgroup = sync.waitgroup,
  mutex = sync.mutex,
  rwmutex = sync.rwmutex,
  cond = sync.cond,
  once = sync.once,
  semaphore = sync.semaphore,
  atomic = sync.atomic,
  map = sync.map,
}

local error, type = error, type
local parkerr, parkmsg, park, unpackmsg = core.parkerr, core.parkmsg, core.gopark, core.unpack

local function result(...)
  local first, second, refused = ...
  if first == parkerr then
    error(second, refused and 2 or 0) -- it cannot wait here, or unlockf's own error
  elseif first == parkmsg then
    return unpackmsg(second) -- readied by another P
  end
  return ...
end

-- gopark([unlockf [, lock [, reason]]]) -> what goready gave.
-- Parks the running goroutine until goready(g, ...). unlockf(g, lock) is called once it is waiting: from then on others
-- may ready it. It may not park; if it returns false, the goroutine does not park; its error is raised here.
function luapark.gopark(unlockf, lock, reason)
  if unlockf ~= nil and type(unlockf) ~= "function" then
    error("bad argument #1 to 'gopark' (function expected, got " .. type(unlockf) .. ")", 2)
  end
  if reason ~= nil and type(reason) ~= "string" then
    error("bad argument #3 to 'gopark' (string expected, got " .. type(reason) .. ")", 2)
  end
  return result(park(unlockf, lock, reason))
end

local function checkfunction(fn, name)
  if type(fn) ~= "function" then
    error(("bad argument #1 to '%s' (function expected, got %s)"):format(name, fn == nil and "no value" or type(fn)), 3)
  end
end

-- portable(fn) -> true if fn may run on any P as it is; or false, and why not.
function luapark.portable(fn)
  checkfunction(fn, "portable")
  return core.portable(fn)
end

-- run(fn, ...) -> fn's results. In the host: runs fn as the main goroutine until it has returned and nothing is alive; its
-- error, an uncaught error of another goroutine or a deadlock is raised here. In a goroutine it is a plain call.
function luapark.run(fn, ...)
  checkfunction(fn, "run")
  if rt.view.cur ~= 0 then
    return fn(...)
  end
  return core.run(fn, ...)
end

local function exiting()
  exits.finish() -- innermost first
  sync.exiting()
  onerror.exiting()
end

core.exiting(exiting)

-- Ends the running goroutine, wherever it stands.
function luapark.goexit()
  return core.goexit(exiting)
end

-- How many goroutines live.
function luapark.numgoroutine()
  return rt.gcount()
end

require "luapark.hooks"

-- In the host's globals: what must know goroutines to be right. Everything else of Lua's own stays Lua's own.
require = core.require -- luacheck: ignore (a global on purpose)
print = core.print -- luacheck: ignore

local status, proxystatus = coroutine.status, core.proxystatus
coroutine.running = core.running -- luacheck: ignore
coroutine.yield = core.yield -- luacheck: ignore
coroutine.isyieldable = core.isyieldable -- luacheck: ignore
function coroutine.status(co) -- luacheck: ignore
  local s = proxystatus(co)
  if s then
    return s
  end
  return status(co) -- a tail call: its errors name the caller's line
end
math.randomseed = core.randomseed -- luacheck: ignore

-- What crosses between states by name. After all replacements, and when all fields are there.
core.standard(require, print, coroutine.running, coroutine.yield, coroutine.isyieldable, coroutine.status, debug.sethook,
  debug.gethook, math.randomseed)
core.known("luapark", luapark)
core.known("luapark.chan.Chan", channel.Chan)
for name, object in pairs(sync.known) do
  core.known("luapark.sync." .. name, object)
end
core.known("luapark.onerror.serve", onerror.serve)

return luapark
