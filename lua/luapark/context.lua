-- SPDX-License-Identifier: MIT

-- context: deadlines, cancellation and values that go with a task, as Go's package context: its functions and methods, and
-- how a context goes to another P. How the end of one reaches the others is in ctxtree.lua.

local core = require "luapark.core"
local rt = require "luapark.rt"
local share = require "luapark.share"
local due = require "luapark.due"
local chan = require("luapark.chan").chan
local bubble = require "luapark.bubble"
local ctxtree = require "luapark.ctxtree"

local now, go, view = rt.now, core.go, rt.view
local newdone, closedone, checkseconds, NEVER = due.done, due.close, due.checkseconds, due.NEVER
local getmetatable, type, error, tostring, pairs = getmetatable, type, error, tostring, pairs

local Context, Shared, Own = ctxtree.Context, ctxtree.Shared, ctxtree.Own
local errof, causeof, cancel, watch, new, newchild = ctxtree.errof, ctxtree.causeof, ctxtree.cancel, ctxtree.watch,
  ctxtree.new, ctxtree.newchild

local field = ctxtree.fields
local OBJECT, REF, CAUSE, PARENT, CORE, DONE = field.OBJECT, field.REF, field.CAUSE, field.PARENT, field.CORE, field.DONE
local DEADLINE, DUECAUSE, KIDS = field.DEADLINE, field.DUECAUSE, field.KIDS
local KEY, VALUE, VALUES = field.KEY, field.VALUE, field.VALUES

local CANCELED, EXCEEDED, numbers = ctxtree.CANCELED, ctxtree.EXCEEDED, ctxtree.numbers
local codes = { [CANCELED] = "ECANCELED", [EXCEEDED] = "ETIMEDOUT" }

local context = {}

local select -- select.lua's, which needs us

function context.useselect(fn)
  select = fn
  ctxtree.useselect(fn)
end

-- The functions -------------------------------------------------------------------------------------------------------

-- ctx may be used by the running goroutine; level: whose fault it is otherwise, as for error in our caller.
function context.checkown(ctx, what, level)
  if getmetatable(ctx) == Own then
    bubble.check(ctx, what .. " synctest context", level + 2)
  end
end

-- ctx, if it is one; level: whose fault it is otherwise, as for error.
local function checked(ctx, n, fname, level)
  local mt = getmetatable(ctx)
  if mt == Context or mt == Shared then
    return ctx
  elseif mt == Own then
    bubble.check(ctx, fname .. " of synctest context", level + 1)
  else
    error(("bad argument #%d to '%s' (context expected, got %s)"):format(n, fname,
      ctx == nil and "no value" or type(ctx)), level + 1)
  end
  return ctx
end
context.checked = checked

function context.is(v)
  local mt = getmetatable(v)
  return mt == Context or mt == Shared or mt == Own
end

-- Why the context has ended and that as a code, "ECANCELED" or "ETIMEDOUT"; or nothing.
function context.ended(ctx)
  local c = ctx[CORE]
  local err = c and errof(c)
  if err then
    return err, codes[err]
  end
end

-- The channel of its end, or nil if it never ends.
local function doneof(ctx)
  local c = ctx[CORE]
  if not c then
    return nil
  end
  local done = c[DONE]
  if not done then
    local err = errof(c)
    done = newdone(c[DEADLINE], c, getmetatable(c) == Own)
    c[DONE] = done
    if err then
      closedone(done)
    end
  end
  return done
end
context.doneof = doneof

-- What the functions that end a context run: known on all Ps, so that these may go there.
function context.docancel(c, cause)
  cancel(c, CANCELED, cause or false)
end
local docancel = context.docancel

local function canceler(c)
  if bubble.live ~= 0 and getmetatable(c) == Own then
    return function(cause)
      bubble.check(c, "cancel of synctest context", 2)
      docancel(c, cause)
    end
  end
  return function(cause)
    docancel(c, cause)
  end
end

local background = new(false, false) -- loaded in no bubble, or it would be one's own

-- background() -> ctx: the root, which never ends.
function context.background()
  return background
end

-- withcancel(parent) -> ctx, cancel: cancel([cause]) ends it, as the end of parent does. (A cause of false is none.)
function context.withcancel(parent)
  local c = newchild(checked(parent, 1, "withcancel", 2), NEVER, false)
  return c, canceler(c)
end

local function withdeadline(parent, t, cause)
  local c = newchild(parent, t, cause or false)
  errof(c) -- it may have passed
  return c, canceler(c)
end

-- withdeadline(parent, t [, cause]) -> ctx, cancel: it ends when lp.now() is t, with this cause.
function context.withdeadline(parent, t, cause)
  checked(parent, 1, "withdeadline", 2)
  checkseconds(t, 2, "withdeadline", 2)
  return withdeadline(parent, t, cause)
end

-- withtimeout(parent, s [, cause]) -> ctx, cancel: it ends in s seconds.
function context.withtimeout(parent, s, cause)
  checked(parent, 1, "withtimeout", 2)
  checkseconds(s, 2, "withtimeout", 2)
  return withdeadline(parent, now() + s, cause)
end

-- withvalue(parent, k, v) -> ctx, of which ctx:value(k) is v.
function context.withvalue(parent, k, v)
  checked(parent, 1, "withvalue", 2)
  if k == nil or k ~= k then
    error("bad argument #2 to 'withvalue' (key expected, got " .. tostring(k) .. ")", 2)
  end
  local c = new(parent, parent[CORE])
  c[KEY], c[VALUE] = k, v
  return c
end

-- withoutcancel(parent) -> ctx with its values, which never ends.
function context.withoutcancel(parent)
  return new(checked(parent, 1, "withoutcancel", 2), false)
end

-- cause(ctx) -> what its cancel was told, or what ctx:err() says; nil while it lives.
function context.cause(ctx)
  return checked(ctx, 1, "cause", 2):cause()
end

-- afterfunc(ctx, fn) -> stop: fn() is called in a goroutine of its own once ctx has ended. stop() -> true if it will not be,
-- because of this call: false once ctx has ended.
function context.afterfunc(ctx, fn)
  checked(ctx, 1, "afterfunc", 2)
  if type(fn) ~= "function" then
    error("bad argument #2 to 'afterfunc' (function expected, got " .. (fn == nil and "no value" or type(fn)) .. ")", 2)
  end
  local stop, over = chan(), false -- over: it was stopped, or fn has begun
  local done = doneof(ctx)
  if done then
    local g
    g = go(function()
      if select { done, stop } == 1 and not over then
        over = true
        g:daemon(false)
        return fn()
      end
    end)
    if not ctx:deadline() or view.bubble ~= 0 then
      g:daemon() -- to wait for an end that may never come is no task; nor is any in a bubble, whose clock stops at its end
    end
  end
  return function()
    if over or context.ended(ctx) then
      return false
    end
    over = true
    stop:close()
    return true
  end
end

-- The methods ---------------------------------------------------------------------------------------------------------

local function check(self, method)
  local mt = getmetatable(self)
  if mt == Own then
    bubble.check(self, method .. " of synctest context", 3)
  elseif mt ~= Context and mt ~= Shared then
    error(("calling '%s' on bad self (context expected, got %s; call it with a colon)"):format(method, type(self)), 3)
  end
  return self[CORE]
end

local never, ownnever -- a channel that is never closed, and one of a bubble

-- A channel that is closed when the context ends.
function Context:done()
  check(self, "done")
  local done = doneof(self)
  if not done then
    never = never or newdone(NEVER, background)
    done = never
    if bubble.live ~= 0 and view.bubble ~= 0 then -- to which nobody outside can do anything
      if not ownnever or ownnever.bubble ~= view.bubble then
        ownnever = newdone(NEVER, bubble.own {}, true)
      end
      done = ownnever
    end
  end
  return done
end

-- nil, or "context canceled" or "context deadline exceeded".
function Context:err()
  local c = check(self, "err")
  return c and errof(c) or nil
end

function Context:cause()
  local c = check(self, "cause")
  if c then
    return causeof(c)
  end
  return nil
end

-- When it will end, on lp.now()'s clock; nil if no time is set.
function Context:deadline()
  local c = check(self, "deadline")
  return c and c[DEADLINE] < NEVER and c[DEADLINE] or nil
end

function Context:value(k)
  check(self, "value")
  local c = self
  while c do
    if c[KEY] == k then
      return c[VALUE]
    end
    local values = c[VALUES]
    if values and values[k] ~= nil then
      return values[k]
    end
    c = c[PARENT]
  end
  return nil
end

function Context:__tostring()
  local c = self[CORE]
  return ("context [%s]"):format(c and errof(c) or "lives")
end
Shared.__tostring, Own.__tostring = Context.__tostring, Context.__tostring

-- Crossing ------------------------------------------------------------------------------------------------------------

-- All values of ctx by their keys, or nil. (One that is nil hides what its ancestors have there.)
local function flatten(ctx)
  local values, seen
  local function add(k, v)
    values, seen = values or {}, seen or {}
    if not seen[k] then
      seen[k] = true
      values[k] = v
    end
  end
  local c = ctx
  while c do
    if c[KEY] ~= nil then
      add(c[KEY], c[VALUE])
    end
    for k, v in pairs(c[VALUES] or {}) do
      add(k, v)
    end
    c = c[PARENT]
  end
  return values
end

-- Called by src/lua/share.c: core, channel, values, the deadline's cause, error, cause.
core.oncontext(function(ctx)
  local c = ctx[CORE]
  if c ~= ctx then
    return c, nil, flatten(ctx)
  end
  local err = errof(c)
  return c, doneof(c), flatten(ctx), c[DUECAUSE] or nil, err and numbers[err], err and c[CAUSE] or nil
end)

local function adopt(ctx, object, ref)
  if ctx then
    ctx[OBJECT], ctx[REF] = object, ref
    if ctx[KIDS] then
      watch(ctx)
    end
    return ctx
  end
  local done, values, deadline, duecause = core.ctxparts(ref)
  ctx = new(false, false)
  ctx[OBJECT], ctx[REF] = object, ref
  ctx[VALUES] = values
  if done then
    ctx[CORE], ctx[DONE], ctx[DEADLINE] = ctx, done, deadline
    ctx[DUECAUSE] = duecause
  end
  return ctx
end

share.class("ctx", Context, Shared, adopt)
core.known("luapark.context", context)
core.known("luapark.context.Context", Context)

return context
