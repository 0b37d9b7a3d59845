-- SPDX-License-Identifier: MIT

-- hooks: debug.sethook, blind to our own code.
--
-- A waiting line is changed in several steps. A hook that strikes between two of them and then uses a channel itself, or
-- parks, would find the line half changed. So the user's hook is not called for functions of Luapark's own files, as
-- Go's debuggers do not stop inside the runtime. For all others it is called as ever, and it may park.

local core = require "luapark.core"

local sethook, gethook, getinfo = core.sethook, core.gethook, debug.getinfo -- LuaJIT's, which never see the scheduler's
local type = type

local ours = getinfo(1, "S").source:match("^(.*[/\\])") or "" -- "@.../luapark/"
local len = #ours

local userhook

local function isours(level)
  local info = getinfo(level + 1, "S")
  if info and info.what == "C" then -- called by one of ours?
    info = getinfo(level + 2, "S")
  end
  return info and info.source:sub(1, len) == ours
end

local function hook(event, line)
  local fn = userhook -- nil while sethook takes it away, which is itself a call
  if fn and not isours(2) then
    return fn(event, line) -- a tail call: the function it interrupts is at level 2, as without us
  end
end

-- debug.sethook([thread,] hook, mask [, count])
function debug.sethook(...) -- luacheck: ignore
  local first, fn = ...
  local mask, count
  if type(first) == "thread" then
    mask, count = select(3, ...)
  else
    fn, mask, count = ...
  end
  if type(fn) ~= "function" then
    userhook = nil
    return sethook(...)
  end
  userhook = fn
  return sethook(hook, mask, count)
end

-- debug.gethook([thread]) -> hook, mask, count
function debug.gethook(...) -- luacheck: ignore
  local fn, mask, count = gethook(...)
  if fn == hook then
    fn = userhook
  end
  return fn, mask, count
end
