-- SPDX-License-Identifier: MIT

-- time: the clock, sleeping, and functions to be called later.

local core = require "luapark.core"
local rt = require "luapark.rt"
local due = require "luapark.due"
local context = require "luapark.context"
local select = require "luapark.select"
local bubble = require "luapark.bubble"

local now, csleep, go, view, parkuntil, SLEEP = rt.now, core.sleep, core.go, rt.view, core.parkuntil, core.reason.SLEEP
local type, error, setmetatable, getmetatable = type, error, setmetatable, getmetatable
local unpack, nargs, await, checkseconds = unpack, _G.select, due.await, due.checkseconds

local getg = core.getg

local time = {}

-- Seconds on a monotonic clock, with fractions; in a synctest bubble on its own, which began at 0.
function time.now()
  return now()
end

-- In a bubble: to the very instant. A tail call.
local function ownsleep(s)
  view.reason = SLEEP
  view.sel = 0
  local why = parkuntil(now() + s)
  if why then
    error(why, 2)
  end
end

-- sleep(s [, ctx]): parks for s seconds. With a context: true, or nil, why and its code once that ends.
function time.sleep(...)
  local s, ctx = ...
  if ctx == nil then
    if bubble.live ~= 0 and view.bubble ~= 0 and type(s) == "number" and s == s then
      return ownsleep(s)
    end
    return csleep(...)
  end
  context.checked(ctx, 2, "sleep", 2)
  checkseconds(s, 1, "sleep", 2)
  local _, why, code = select { ctx = ctx, timeout = s }
  if why then
    return nil, why, code
  end
  return true
end

-- Functions to be called later ----------------------------------------------------------------------------------------

local AfterFunc = {}
AfterFunc.__index = AfterFunc

-- What its goroutine runs.
local function wait(self)
  local g
  if bubble.live ~= 0 and view.bubble ~= 0 then
    g = getg():daemon() -- the bubble's clock stops at its end: who waits for it then is no deadlock
  end
  local isdue = await(self.timer)
  self.waits = false
  if isdue then
    if g then
      g:daemon(false)
    end
    return self.fn(unpack(self, 1, self.n))
  end
end

local function checkself(self, method)
  if getmetatable(self) ~= AfterFunc then
    error(("calling '%s' on bad self (afterfunc expected, got %s; call it with a colon)"):format(method, type(self)), 3)
  end
end

-- afterfunc(s, fn, ...) -> t: fn(...) is called in s seconds, in a goroutine of its own.
function time.afterfunc(s, fn, ...)
  checkseconds(s, 1, "afterfunc", 2)
  if type(fn) ~= "function" then
    error("bad argument #2 to 'afterfunc' (function expected, got " .. (fn == nil and "no value" or type(fn)) .. ")", 2)
  end
  local self = setmetatable({ timer = due.timer(s), fn = fn, n = nargs("#", ...), waits = true, ... }, AfterFunc)
  go(wait, self)
  return self
end

-- Whether it was set, and fn has not begun: then it will not.
function AfterFunc:stop()
  checkself(self, "stop")
  return self.timer:stop()
end

-- fn(...) is called in s seconds, once more if it has been. -> as stop
function AfterFunc:reset(s)
  checkself(self, "reset")
  checkseconds(s, 1, "reset", 2)
  local was = self.timer:reset(s)
  if not self.waits then
    self.waits = true
    go(wait, self)
  end
  return was
end

return time
