-- SPDX-License-Identifier: MIT

-- synctest: tests of what takes time or goes on at once, without waiting and without chance; Go's testing/synctest.
--
--   synctest.run(function()
--     local ctx = lp.context.withtimeout(lp.context.background(), 5)
--     lp.sleep(5 - 1e-9)
--     synctest.wait()
--     assert(ctx:err() == nil)
--     lp.sleep(1e-9)
--     synctest.wait()
--     assert(ctx:err() == "context deadline exceeded")
--   end)
--
-- A bubble is a set of goroutines: the one that run starts, those that this one starts, and so on. Its clock starts at 0 and
-- stands still while any of them does something. When all are durably blocked it jumps to the next time that one of them
-- waits for; it stops for good when the first one has ended. src/sched/bubble.h says what comes first.

local core = require "luapark.core"
local rt = require "luapark.rt"
local bubble = require "luapark.bubble"

local view = rt.view
local start, state, park, describe = core.bubblestart, core.bubblestate, core.park, core.onerror.describe
local RUN, WAIT = core.reason.SYNCTESTRUN, core.reason.SYNCTESTWAIT
local type, error, xpcall, select, unpack = type, error, xpcall, select, unpack

local synctest = {}

-- The bubble's first goroutine ---------------------------------------------------------------------------------------

-- An error where it is raised: strings get the traceback, as luapark.run has it. (The tail call keeps us out of it.)
local function raised(err)
  if type(err) == "string" then
    return describe(err)
  end
  return err
end

local function ended(result, ok, ...)
  result.ok, result.n = ok, select("#", ...)
  for i = 1, result.n do
    result[i] = select(i, ...)
  end
  if not ok then
    if type(result[1]) == "string" then
      result[1] = result[1]:gsub("\ncreated by [^\n]*$", "") -- by run
    end
    core.bubblefail()
  end
end

local function main(result, fn, ...)
  return ended(result, xpcall(fn, raised, ...))
end

-- Outside ---------------------------------------------------------------------------------------------------------------

-- Parks until the bubble has come to its end, or has nobody left.
local function await(id, empty)
  local how, left, mainended, report = state(id)
  while how == "runs" or empty and left > 0 do
    view.reason = RUN
    view.sel = 0
    park()
    how, left, mainended, report = state(id)
  end
  return how, mainended, report
end

local function run(fn, ...)
  local why = core.nopark()
  if why then
    error(why, 3)
  end
  local result = {}
  bubble.live = bubble.live + 1
  local id = start(main, result, fn, ...)
  local how, mainended, report = await(id, false)
  if how == "deadlock" then
    report = (mainended and "deadlock: main bubble goroutine has exited but blocked goroutines remain" or
      "deadlock: all goroutines in bubble are blocked") .. "\n\n" .. core.bubblestacks(id)
  end
  core.bubblekill(id)
  await(id, true)
  core.bubblefree(id)
  bubble.live = bubble.live - 1
  if report then
    error((report:gsub("\n$", "")), 0)
  elseif result.ok then
    return unpack(result, 1, result.n)
  elseif result.ok == false then
    error(result[1], 0)
  end
  error("the main function of the synctest bubble has called goexit", 0)
end

-- run(fn, ...) -> fn's results. Calls fn(...) in a goroutine in a new bubble, and parks until all goroutines of the bubble
-- have ended (but for daemons, which end then). Raises fn's error, with its traceback; the report of another goroutine's
-- uncaught error; or, when all are blocked for ever, a deadlock with where they stand. Then those that are left are ended.
-- May be called in any goroutine that is in no bubble, and in the host.
function synctest.run(fn, ...)
  if type(fn) ~= "function" then
    error(("bad argument #1 to 'run' (function expected, got %s)"):format(fn == nil and "no value" or type(fn)), 2)
  elseif view.bubble ~= 0 then
    error("synctest.run called from within a synctest bubble", 2)
  elseif view.cur == 0 then
    return core.run(run, fn, ...)
  end
  return run(fn, ...)
end

-- Inside ----------------------------------------------------------------------------------------------------------------

-- wait(): parks until every other goroutine of the bubble is durably blocked. One at a time may do so.
function synctest.wait()
  if view.bubble == 0 then
    error("synctest.wait called from outside a synctest bubble (see synctest.run)", 2)
  end
  local why = core.nopark()
  if why then
    error(why, 2)
  end
  local waits = core.bubbleawait()
  if waits == nil then
    error("synctest.wait already in progress", 2)
  elseif waits then
    view.reason = WAIT
    view.sel = 0
    why = park()
    if why then
      error(why, 2)
    end
  end
end

return synctest
