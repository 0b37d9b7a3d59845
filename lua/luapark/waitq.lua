-- SPDX-License-Identifier: MIT

-- waitq: lines of waiting goroutines, for channels, select and everything in sync.
--
-- A line at home is a field of some table: the index of its first sudog, or 0. The sudogs are linked in a circle, so the
-- last is the first one's prev. Values that travel with a waiter are kept in `elem`, by sudog. (A line that several Ps share
-- is kept by src/park/sudog.c, in the same memory.)
--
-- The protocol, for whoever waits:
--   s = take(); ...; enqueue(t, field, s); why = park(reason, own); wake = view.wake
-- and for whoever wakes:
--   s = dequeue(t, field); ...; ready(gslot[s], wake)
-- dequeue passes over waiters whose wait has been decided elsewhere (another case of their select, a timeout) and
-- decides the wait of the one it returns: nobody else will. The waiter frees its sudogs when it runs again. (What waits
-- in one line only, maybe up to a limit, goes through wait.lua.)

local core = require "luapark.core"
local rt = require "luapark.rt"

local view, hookmask, sudogrefill, decide = rt.view, rt.hookmask, rt.sudogrefill, rt.decide
local next, prev, gslot, own, index, done = rt.sudogs.next, rt.sudogs.prev, rt.sudogs.g, rt.sudogs.own, rt.sudogs.index,
  rt.sudogs.done
local band = require("bit").band

local cpark, cparkuntil = core.park, core.parkuntil

local waitq = {}

-- `done` of the sudog that stands for a wait.
local NO, YES, SHARED, VAL, WOKEN = 0, 1, 2, 3, 4 -- enum sudogdone
waitq.NO, waitq.YES, waitq.SHARED, waitq.VAL = NO, YES, SHARED, VAL

-- sudog - base -> the value it brings (a sender's) or was given (a receiver's); false when it has none. Never nil for long:
-- with holes the table would be a hash, and each access ten times the work.
local elem, base = {}, rt.base
waitq.elem = elem

-- Makes new sudogs: the head of the free list.
local function refill()
  if not sudogrefill(view) then
    error("too many waiting goroutines", 0)
  end
  local s = view.sudogfree
  while s ~= 0 do
    elem[s - base] = false
    s = next[s]
  end
  return view.sudogfree
end

-- Why nothing can wait now, or nothing. In a finalizer or a jit.attach handler the VM is in the middle of something; and
-- the code it interrupted may be ours, about to park: it must find the view as it left it.
local BUSY = 0x60 -- VM_BUSY in src/lua/vm.h

-- A sudog for the running goroutine, standing for its whole wait. Raises an error where nothing may wait; level: where
-- its caller's caller is, as for error.
function waitq.take(level)
  if band(hookmask[0], BUSY) ~= 0 then
    error(core.nopark(), level + 1)
  end
  return waitq.takeany()
end

-- The same where nothing will wait: for the place beside it that a value is put in.
function waitq.takeany()
  local s = view.sudogfree
  if s == 0 then
    s = refill()
  end
  view.sudogfree = next[s]
  gslot[s] = view.cur
  own[s] = s
  done[s] = NO
  index[s] = 0
  return s
end

function waitq.free(s)
  next[s] = view.sudogfree
  view.sudogfree = s
end

function waitq.enqueue(t, field, s)
  local first = t[field]
  if first == 0 then
    next[s] = s
    prev[s] = s
    t[field] = s
  else
    local last = prev[first]
    next[s] = first
    prev[s] = last
    next[last] = s
    prev[first] = s
  end
end

-- Takes s out of its line, wherever it stands.
local function unlink(t, field, s)
  local after = next[s]
  if after == s then
    t[field] = 0
  else
    local before = prev[s]
    prev[after] = before
    next[before] = after
    if t[field] == s then
      t[field] = after
    end
  end
end

-- The longest waiting whose wait is still undecided, or 0. It is decided now.
-- (Recursion where others would loop: the JIT does not record a loop inside the callers' traces, and the first waiter is
-- nearly always the one.)
local function dequeue(t, field)
  local s = t[field]
  if s == 0 then
    return 0
  end
  unlink(t, field, s)
  local o = own[s]
  local d = done[o]
  if d == NO then
    done[o] = YES
    return s
  elseif d == SHARED and decide(o, YES) then -- it stands in a shared line, too
    return s
  end
  prev[s] = 0 -- out of the line, for whoever cleans up after the decided wait
  return dequeue(t, field)
end
waitq.dequeue = dequeue

-- The longest waiting, to be woken: it competes for what it waits for, and keeps its place until it has won or gives up.
-- 0: there is none, or it is awake already.
local function rouse(t, field)
  local s = t[field]
  if s == 0 then
    return 0
  end
  local o = own[s]
  local d = done[o]
  if d == NO then
    done[o] = WOKEN
    return s
  elseif d == WOKEN then
    return 0
  elseif d == SHARED and decide(o, WOKEN) then
    return s
  end
  unlink(t, field, s)
  prev[s] = 0
  return rouse(t, field)
end
waitq.rouse = rouse

-- For a waiter that runs again: takes s out of its line if it still stands there.
function waitq.leave(t, field, s)
  if prev[s] ~= 0 then
    unlink(t, field, s)
  end
end

-- Parks the running goroutine, whose wait s stands for (0: it stands in no line). -> nothing, and view.wake is what the
-- waker said, until the next park; or why it may not park. With `when`, a time, view.wake is 0 if that comes first: on the
-- goroutine's clock, or, if real, on the real one.
function waitq.park(reason, s, when, real)
  view.reason = reason
  view.sel = s
  if when then
    return cparkuntil(when, real)
  end
  return cpark()
end

return waitq
