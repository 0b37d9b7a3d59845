-- SPDX-License-Identifier: MIT

-- waitq: lines of waiting goroutines, for channels, select and everything in sync.
--
-- A line is a field of some table: the index of its first sudog, or 0. The sudogs are linked in a circle, so the last
-- is the first one's prev. Values that travel with a waiter are kept in `elem`, by sudog.
--
-- The protocol, for whoever waits:
--   s = take(); ...; enqueue(t, field, s); why = park(reason, own); wake = view.wake
-- and for whoever wakes:
--   s = dequeue(t, field); ...; ready(sudogs[s].g, wake)
-- dequeue passes over waiters whose wait has been decided elsewhere (another case of their select, a timeout) and
-- decides the wait of the one it returns: nobody else will. The waiter frees its sudogs when it runs again.

local core = require "luapark.core"
local rt = require "luapark.rt"

local sudogs, view, sudogrefill = rt.sudogs, rt.view, rt.sudogrefill

local cpark = core.park

local waitq = {}

-- sudog -> the value it brings (a sender's) or was given (a receiver's); false when it has none. Never nil for long:
-- with holes the table would be a hash, and each access ten times the work.
local elem = {}
waitq.elem = elem

-- Makes new sudogs: the head of the free list.
local function refill()
  if not sudogrefill(view) then
    error("too many waiting goroutines", 0)
  end
  local s = view.sudogfree
  while s ~= 0 do
    elem[s] = false
    s = sudogs[s].next
  end
  return view.sudogfree
end

-- A sudog for the running goroutine, standing for its whole wait.
function waitq.take()
  local s = view.sudogfree
  if s == 0 then
    s = refill()
  end
  local sg = sudogs[s]
  view.sudogfree = sg.next
  sg.g = view.cur
  sg.own = s
  sg.done = 0
  sg.index = 0
  return s
end

function waitq.free(s)
  sudogs[s].next = view.sudogfree
  view.sudogfree = s
end

function waitq.enqueue(t, field, s)
  local first = t[field]
  if first == 0 then
    sudogs[s].next = s
    sudogs[s].prev = s
    t[field] = s
  else
    local last = sudogs[first].prev
    sudogs[s].next = first
    sudogs[s].prev = last
    sudogs[last].next = s
    sudogs[first].prev = s
  end
end

-- Takes s out of its line, wherever it stands.
local function unlink(t, field, s)
  local next, prev = sudogs[s].next, sudogs[s].prev
  if next == s then
    t[field] = 0
  else
    sudogs[next].prev = prev
    sudogs[prev].next = next
    if t[field] == s then
      t[field] = next
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
  local own = sudogs[s].own
  if sudogs[own].done == 0 then
    sudogs[own].done = 1
    return s
  end
  sudogs[s].prev = 0 -- out of the line, for whoever cleans up after the decided wait
  return dequeue(t, field)
end
waitq.dequeue = dequeue

-- For a waiter that runs again: takes s out of its line if it still stands there.
function waitq.leave(t, field, s)
  if sudogs[s].prev ~= 0 then
    unlink(t, field, s)
  end
end

-- Parks the running goroutine, whose wait `own` stands for (0: it stands in no line). -> nothing, and view.wake is what
-- the waker said, until the next park; or why it may not park. With seconds, view.wake is 0 if they passed first.
function waitq.park(reason, own, seconds)
  view.reason = reason
  view.sel = own
  if seconds then
    return cpark(seconds)
  end
  return cpark()
end

-- Whether a goroutine waits here that is not a daemon.
function waitq.wakes(t, field, isdaemon)
  local first = t[field]
  local s = first
  while s ~= 0 do
    if sudogs[sudogs[s].own].done == 0 and not isdaemon(sudogs[s].g) then
      return true
    end
    s = sudogs[s].next
    if s == first then
      break
    end
  end
  return false
end

return waitq
