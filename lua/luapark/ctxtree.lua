-- SPDX-License-Identifier: MIT

-- ctxtree: what contexts are made of, and how the end of one reaches the others. What users see is context.lua's.
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
local due = require "luapark.due"
local chan = require("luapark.chan").chan
local bubble = require "luapark.bubble"

local now, clock, go, view = rt.now, rt.clock, core.go, rt.view
local closedone, NEVER = due.close, due.NEVER
local getmetatable, setmetatable = getmetatable, setmetatable

local ctxtree = {}

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
ctxtree.fields = {
  OBJECT = OBJECT, REF = REF, CAUSE = CAUSE, PARENT = PARENT, CORE = CORE, DONE = DONE, DEADLINE = DEADLINE, KIDS = KIDS,
  DUECAUSE = DUECAUSE, KEY = KEY, VALUE = VALUE, VALUES = VALUES,
}

local CANCELED, EXCEEDED = "context canceled", "context deadline exceeded"
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

function ctxtree.useselect(fn)
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

ctxtree.Context, ctxtree.Shared, ctxtree.Own = Context, Shared, Own
ctxtree.CANCELED, ctxtree.EXCEEDED, ctxtree.numbers = CANCELED, EXCEEDED, numbers
ctxtree.errof, ctxtree.causeof, ctxtree.cancel, ctxtree.watch = errof, causeof, cancel, watch
ctxtree.new, ctxtree.newchild = new, newchild

return ctxtree
