-- SPDX-License-Identifier: MIT

-- context: deadlines, cancellation and values that go with a task, as Go's package context.
--
-- A context that can end knows its children: ending it ends them. One that only adds a value ends with the context that it
-- was made of (its core). A deadline is no event: whoever looks at a context after it ends the context (due.lua's channels
-- do so for those who wait), and its children have a deadline that is no later.
--
-- When a context first goes to another P, whether it has ended and why moves into a struct hctx (src/park/context.h). Each
-- P that has children of it then has a goroutine that waits for its end and ends them. For the P that made it it stays the
-- same table, with the same children.

local core = require "luapark.core"
local rt = require "luapark.rt"
local share = require "luapark.share"
local due = require "luapark.due"
local chan = require("luapark.chan").chan
local bubble = require "luapark.bubble"

local now, clock, go, view = rt.now, rt.clock, core.go, rt.view
local newdone, closedone, checkseconds, NEVER = due.done, due.close, due.checkseconds, due.NEVER
local getmetatable, setmetatable, type, error, tostring, pairs = getmetatable, setmetatable, type, error, tostring, pairs

local context = {}

local Context = {} -- the metatable of those at home, and
Context.__index = Context
local Shared = { __index = Context } -- of those that other Ps know
-- Of those that a bubble has made (bubble.lua), which are at home, and on its clock.
local Own = bubble.class("context", { __index = Context })

-- Fields. The first two are a shared handle's (src/lua/share.c). A context that is made and ended is little more than its
-- memory. So each has eight (LuaJIT copies a table of eight in 31 ns, one of nine in 51); what few have is nil in the rest.
local OBJECT, REF = 1, 2
local ERR, CAUSE = 1, 2 -- of cores at home: false while it lives, or there is none
local PARENT = 3 -- false: a root's, and what came from elsewhere
local CORE = 4 -- whose end is its end: itself, an ancestor, or false: it never ends
local DONE = 5 -- its channel, once somebody asked; false
local DEADLINE = 6
local NEXT, PREV = 7, 8 -- its place among its parent's children; false: it is not there
local KIDS = 9 -- some child: they are linked in a circle; or nil
local DUECAUSE = 10 -- the cause if the deadline passes; or nil
local KEY, VALUE = 11, 12 -- what it adds; or nil
local WATCH = 13 -- a channel that ends the goroutine that waits for its end; or nil
local VALUES = 14 -- of one that came from elsewhere: all values; or nil

local CANCELED, EXCEEDED = "context canceled", "context deadline exceeded"
local codes = { [CANCELED] = "ECANCELED", [EXCEEDED] = "ETIMEDOUT" }
local errors = { CANCELED, EXCEEDED } -- by enum ctxerr
local numbers = { [CANCELED] = 1, [EXCEEDED] = 2 }

-- The end -------------------------------------------------------------------------------------------------------------

local cancel

-- Whether the deadline of a core at home, which has one, has passed. Of a bubble's own only that can tell: its clock is not
-- ours.
local function ispast(c)
  if getmetatable(c) == Own then
    return c.bubble == view.bubble and now() >= c[DEADLINE]
  end
  return clock() >= c[DEADLINE]
end

-- Takes child out of its parent's children.
local function unlink(child)
  local after = child[NEXT]
  if not after then
    return
  end
  local parent = child[PARENT][CORE]
  if after == child then
    parent[KIDS] = nil
    local watch = parent[WATCH]
    if watch then
      parent[WATCH] = nil
      watch:close()
    end
  else
    local before = child[PREV]
    before[NEXT], after[PREV] = after, before
    if parent[KIDS] == child then
      parent[KIDS] = after
    end
  end
  child[NEXT], child[PREV] = false, false
end

-- The error of a core, or false.
local function errof(c)
  if getmetatable(c) == Shared then
    return errors[rt.ctx_err(c[OBJECT])] or false
  end
  if c[ERR] then
    return c[ERR]
  elseif c[DEADLINE] < NEVER and ispast(c) then
    cancel(c, EXCEEDED, c[DUECAUSE])
    return c[ERR]
  end
  return false
end
due.onexpire(errof)

local function causeof(c)
  local err = errof(c)
  if not err then
    return nil
  end
  local cause
  if getmetatable(c) == Shared then
    cause = core.ctxcause(c[REF])
  else
    cause = c[CAUSE]
  end
  return cause or err
end

-- Ends one core that lives; not its children. Whether it did. One whose deadline has passed has ended by that, although
-- nobody has looked.
local function finish(c, err, cause)
  if getmetatable(c) == Shared then
    if not core.ctxcancel(c[REF], numbers[err], cause or nil) then
      return false
    end
  else
    if c[ERR] then
      return false
    end
    if c[DEADLINE] < NEVER and ispast(c) then
      err, cause = EXCEEDED, c[DUECAUSE]
    end
    c[ERR], c[CAUSE] = err, cause or false
    if c[DONE] then
      closedone(c[DONE])
    end
  end
  return true
end

-- Ends all children of c, and theirs. Without recursion: contexts may be nested as deep as they like.
local function finishkids(c, err, cause)
  local todo, n = { c }, 1
  while n > 0 do
    local parent = todo[n]
    todo[n] = nil
    n = n - 1
    local kid = parent[KIDS]
    while kid do
      unlink(kid)
      finish(kid, err, cause)
      if kid[KIDS] then
        n = n + 1
        todo[n] = kid
      end
      kid = parent[KIDS]
    end
  end
end

-- Ends the core c, unless it has ended.
function cancel(c, err, cause)
  if finish(c, err, cause) then
    unlink(c)
    if c[KIDS] then
      finishkids(c, err, cause)
    end
  end
end

-- Children ------------------------------------------------------------------------------------------------------------

local select -- select.lua's, which needs us

function context.useselect(fn)
  select = fn
end

-- Lets go of the children that have ended by themselves. -> the last deadline of the others, or NEVER if none has one.
local function expirekids(c)
  local latest, kid = -NEVER, c[KIDS]
  local last = kid and kid[PREV]
  while kid do
    local after, deadline = kid ~= last and kid[NEXT], kid[DEADLINE]
    if errof(kid) then
      unlink(kid)
    elseif deadline < NEVER and deadline > latest and not kid.bubble then
      latest = deadline
    end
    kid = after
  end
  return latest > -NEVER and latest or NEVER
end

-- What waits, on this P, for the end of a core that others may end. It holds the core, so it goes when the last child does,
-- also where that has only been forgotten.
local function watcher(c, stop)
  local cases = { c[DONE], stop }
  local which
  repeat
    local latest = expirekids(c)
    cases.timeout = latest < NEVER and latest - clock() or nil -- children that are a bubble's own have none
    which = select(cases)
  until which ~= "timeout"
  if which == 1 then
    c[WATCH] = nil
    local err = errof(c)
    finishkids(c, err, causeof(c))
  end
end

local function watch(c)
  local stop = chan()
  c[WATCH] = stop
  local g = go(watcher, c, stop)
  g:daemon()
end

local function link(child, parent)
  local first = parent[KIDS]
  if not first then
    child[NEXT], child[PREV] = child, child
    parent[KIDS] = child
    if getmetatable(parent) == Shared then
      watch(parent)
    end
    return
  end
  local last = first[PREV]
  child[NEXT], child[PREV] = first, last
  last[NEXT], first[PREV] = child, child
  -- Whoever forgets to cancel leaves a child here, and so does who cancels it on another P. One that has ended goes when its
  -- turn comes; of two, so that they become fewer.
  for _ = 1, 2 do
    first = parent[KIDS]
    parent[KIDS] = first[NEXT]
    if (first[DEADLINE] < NEVER or getmetatable(first) == Shared) and errof(first) then
      unlink(first)
    end
  end
end

-- One that neither ends by itself nor adds anything.
local function new(parent, whose)
  local c = { false, false, false, false, false, 1 / 0, false, false } -- constants: one copy, no stores
  c[PARENT], c[CORE] = parent, whose
  if bubble.live ~= 0 and view.bubble ~= 0 then
    return setmetatable(bubble.own(c), Own)
  end
  return setmetatable(c, Context)
end

-- When the core `up` will end, on the clock of its child c. A bubble takes over what is left of the real time.
local function deadlinefor(c, up)
  local deadline = up[DEADLINE]
  if deadline < NEVER and getmetatable(c) == Own and getmetatable(up) ~= Own then
    return now() + (deadline - clock())
  end
  return deadline
end

-- A child of parent that can end, and does so at the deadline.
local function newchild(parent, deadline, duecause)
  local c = new(parent, false)
  c[CORE] = c
  local up = parent[CORE]
  if up then
    local its = deadlinefor(c, up)
    if its <= deadline then
      deadline, duecause = its, up[DUECAUSE]
    end
    local err = errof(up)
    if err then
      finish(c, err, causeof(up))
    else
      link(c, up)
    end
  end
  c[DEADLINE] = deadline
  if duecause then
    c[DUECAUSE] = duecause
  end
  return c
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
