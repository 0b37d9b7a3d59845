-- SPDX-License-Identifier: MIT

-- endings: what ending_spec and stopping_spec share: short programs with many Ps that run many times, since what can go
-- wrong at an end is a matter of moments. LUAPARK_SOAK=n runs them n times as often.

local assert = require "luassert"
local helper = require "spec.helper"
local sh, quote = helper.sh, helper.quote

local endings = {}

local SOAK = tonumber(os.getenv "LUAPARK_SOAK") or 1
endings.SECONDS = 20 -- that a program may take; it needs some hundredths

local sanitized = (os.getenv "LUAPARK_BUILD" or "build") ~= "build"
local TIMES = (sanitized and 5 or 50) * SOAK

-- What the programs share.
local HEAD = [[
local lp, spawn = luapark, luapark.spawn
local function kill(sig)
  local ffi = require "ffi"
  ffi.cdef "int kill(int, int); int getpid(void);"
  ffi.C.kill(ffi.C.getpid(), sig)
end
-- Waits until n have called the function that it gives.
local function barrier(n)
  local wg = lp.waitgroup()
  wg:add(n)
  return function() wg:done() end, function() wg:wait() end
end
local function compute()
  local x = 0
  while x >= 0 do x = x + 1 end
end
-- Spawns n that compute for ever; the last of them to come calls fn before it does. Who waits on the same
-- P waits for long.
local function hogs(n, fn)
  local here = lp.atomic()
  for _ = 1, n do
    spawn(function()
      if here:add(1) == n then fn() end
      compute()
    end)
  end
  return here
end
]]

-- Runs the program TIMES times, or so many per cent of that, with 4 Ps; check(out, err, status) must pass each time.
function endings.ends(text, check, percent, environment)
  helper.withfile(HEAD .. text, function(name)
    local command = ("env -u LUA_INIT -u LUAPARK_PREEMPT LUAPARK_MAXPROCS=4 %s timeout %d %s %s; exit $?"):format(
      environment or "", endings.SECONDS, quote(helper.exe), name)
    for i = 1, math.ceil((percent or 100) * TIMES / 100) do
      local out, err, status = sh(command)
      assert.is_true(status ~= 124, ("hangs, in run %d: %s%s"):format(i, out, err))
      check(out, err, status)
    end
  end)
end

-- A check: exactly this.
function endings.says(out, err, status)
  return function(...)
    assert.same({ out, err, status }, { ... })
  end
end

-- How often the pattern is found in s.
function endings.count(s, pattern)
  return select(2, s:gsub(pattern, ""))
end

return endings
