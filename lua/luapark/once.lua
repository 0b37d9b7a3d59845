-- SPDX-License-Identifier: MIT

-- once: Go's sync.Once.

local core = require "luapark.core"
local rt = require "luapark.rt"
local share = require "luapark.share"
local waiting = require "luapark.wait"
local exits = require "luapark.exits"

local wait, begin = waiting.wait, rt.once_begin
local type, error, pcall = type, error, pcall

local once = {}

local Once = {}
Once.__index = Once
share.class("once", Once, Once)

local OBJECT = 1
local NEW, RUNS, OVER = 0, 1, 2 -- enum oncestate

-- once() -> o
function once.once()
  return share.new "once"
end

local RUN = { reason = core.reason.ONCE, level = 3 }

function RUN.enlist(self, s)
  return begin(self[OBJECT], s) == RUNS
end

-- Nobody gives up, but who is ended with its bubble.
function RUN.leave(self, s)
  rt.once_leave(self[OBJECT], s)
end

local function finish(self)
  rt.once_end(self[OBJECT])
end

local function ran(self, ok, err)
  exits.leave()
  finish(self)
  if not ok then
    error(err, 0)
  end
end

-- The first call runs fn(...); the others wait until that is over, and do nothing. An error in it is raised to who called
-- first; then, and if it ended its goroutine, it has been run all the same.
function Once:run(fn, ...)
  local o = share.object(self, Once, "run", "once")
  if type(fn) ~= "function" then
    error(("bad argument #1 to 'run' (function expected, got %s)"):format(fn == nil and "no value" or type(fn)), 2)
  end
  local state = begin(o, 0)
  if state == OVER then
    return
  elseif state == NEW then
    exits.enter(finish, self)
    return ran(self, pcall(fn, ...))
  end
  wait(self, RUN)
end

once.Once = Once
return once
