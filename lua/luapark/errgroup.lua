-- SPDX-License-Identifier: MIT

-- errgroup: goroutines that work on one task, and the first error among them; golang.org/x/sync/errgroup.
--
-- A goroutine fails by raising an error, or as Lua's functions do by returning nil (or false) and an error. The first
-- failure ends the group's context, and is what wait returns.
--
-- A group is made of handles, and so are its goroutines' arguments: these may run on any P, and a copy of a group is as
-- good as the group.

local core = require "luapark.core"
local exits = require "luapark.exits"
local context = require "luapark.context"
local limits = require "luapark.limit"
local sync = require "luapark.sync"

local go, stack = core.go, core.stack
local type, error, getmetatable, setmetatable, xpcall, pcall, tostring = type, error, getmetatable, setmetatable, xpcall,
  pcall, tostring

local Group = { __module = "luapark.errgroup" }
Group.__index = Group

-- errgroup([ctx]) -> eg, and a context made of ctx (or the background) that ends with the first failure, and when wait
-- returns.
function Group.new(ctx)
  if ctx ~= nil then
    context.checked(ctx, 1, "errgroup", 2)
  end
  local own, cancel = context.withcancel(ctx or context.background())
  return setmetatable({ work = sync.waitgroup(), failure = sync.map(), cancel = cancel, slots = false }, Group), own
end

local function check(self, method, fn)
  if getmetatable(self) ~= Group then
    error(("calling '%s' on bad self (errgroup expected, got %s; call it with a colon)"):format(method, type(self)), 3)
  elseif method:find "go" and type(fn) ~= "function" then
    error(("bad argument #1 to '%s' (function expected, got %s)"):format(method, fn == nil and "no value" or type(fn)), 3)
  end
end

-- In a goroutine of the group -----------------------------------------------------------------------------------------

local FIRST = 1 -- the key of the first failure

local function fail(failure, cancel, why)
  if not pcall(failure.loadorstore, failure, FIRST, why) then
    why.err = tostring(why.err) -- it cannot go to others, but its text can
    failure:loadorstore(FIRST, why)
  end
  cancel(why.err)
end

local function finish(work, slots)
  if slots then
    slots:release()
  end
  work:done()
end

local function exiting(parts)
  finish(parts[1], parts[2])
end

local function raised(err)
  return { err = err, trace = (stack():gsub("\n\t%[luapark%][^\n]*", "", 1)) } -- without us
end

local function ended(work, slots, failure, cancel, ok, first, second)
  exits.leave()
  if not ok then
    fail(failure, cancel, first)
  elseif not first and second ~= nil then
    fail(failure, cancel, { err = second })
  end
  finish(work, slots)
end

local function call(work, slots, failure, cancel, fn, ...)
  exits.enter(exiting, { work, slots })
  return ended(work, slots, failure, cancel, xpcall(fn, raised, ...))
end

-- The methods ---------------------------------------------------------------------------------------------------------

-- Starts fn(...) as a goroutine of the group; with a limit, parks until there is room for it. -> g
function Group:go(fn, ...)
  check(self, "go", fn)
  if self.slots then
    self.slots:acquire()
  end
  self.work:add()
  return go(call, self.work, self.slots, self.failure, self.cancel, fn, ...)
end

-- The same if there is room at once: whether there was.
function Group:trygo(fn, ...)
  check(self, "trygo", fn)
  if self.slots and not self.slots:tryacquire() then
    return false
  end
  self.work:add()
  go(call, self.work, self.slots, self.failure, self.cancel, fn, ...)
  return true
end

-- At most n goroutines from now on; nil: any number. An error while a limited group has some.
function Group:setlimit(n)
  check(self, "setlimit")
  if n ~= nil and (type(n) ~= "number" or n % 1 ~= 0 or n < 1) then
    error(("bad argument #1 to 'setlimit' (whole number from 1 or nil expected, got %s)"):format(
      type(n) == "number" and ("%.14g"):format(n) or type(n)), 2)
  end
  if self.slots and not self.slots:tryacquire(self.limit) then
    error("setlimit of an errgroup with goroutines under way", 2)
  end
  self.limit = n
  self.slots = n and sync.semaphore(n) or false
end

-- Parks until all have ended, or for `limit`: seconds or a context. -> true; or nil and the first error, with the
-- traceback of where it was raised: in the text if that is a string, and by itself. Or nil, why and its code.
function Group:wait(limit)
  check(self, "wait")
  limits.check(limit, 1, "wait", 2)
  local ok, why, code = self.work:wait(limit)
  if not ok then
    return nil, why, code
  end
  self.cancel()
  local first = self.failure:load(FIRST)
  if not first then
    return true
  elseif first.trace and type(first.err) == "string" then
    return nil, first.err .. "\n" .. first.trace, first.trace
  end
  return nil, first.err, first.trace
end

function Group:__tostring()
  return "errgroup" .. (self.limit and (" (limit %d)"):format(self.limit) or "")
end

core.known("luapark.errgroup.call", call)
return Group
