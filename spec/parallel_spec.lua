-- SPDX-License-Identifier: MIT

-- parallel: the same script gives the same answer on any number of Ps. Each program of spec/corpus prints what its header
-- promises, with one P and with many, with stealing and without, and where the stress mode chooses at random.
--
-- In the executable's part the programs run through the executable, in the module's part some of them through a stock
-- luajit. A program that hangs is killed, and has failed. LUAPARK_SOAK=n runs each n times.

local helper = require "spec.helper"
local sh, quote, slurp = helper.sh, helper.quote, helper.slurp

local SOAK = tonumber(os.getenv "LUAPARK_SOAK") or 1
local SECONDS = 60 -- that a program may take; it needs some hundredths

local sanitized = (os.getenv "LUAPARK_BUILD" or "build") ~= "build"

local CONFIGURATIONS = {
  "LUAPARK_MAXPROCS=1",
  "LUAPARK_MAXPROCS=2",
  "LUAPARK_MAXPROCS=2 LUAPARK_PREEMPT=0",
  "LUAPARK_MAXPROCS=1 LUAPARK_DEBUG=preempt",
  "LUAPARK_MAXPROCS=4 LUAPARK_DEBUG=preempt",
  "LUAPARK_MAXPROCS=16",
  "LUAPARK_MAXPROCS=2 LUAPARK_STEAL=0",
  "LUAPARK_MAXPROCS=16 LUAPARK_STEAL=0",
  "LUAPARK_MAXPROCS=2 LUAPARK_DEBUG=stress",
  "LUAPARK_MAXPROCS=4 LUAPARK_DEBUG=stress",
}
if sanitized then -- ten times slower
  CONFIGURATIONS = { CONFIGURATIONS[2], CONFIGURATIONS[#CONFIGURATIONS] }
end

-- The names of the programs, and of those that the module runs as well.
local function list()
  local pipe, t = assert(io.popen "ls spec/corpus/*.lua"), {}
  for name in pipe:lines() do
    t[#t + 1] = name:match "([^/]*)%.lua$"
  end
  pipe:close()
  return t
end
local MODULE = { "accounting", "by_value", "contexts", "fib", "garbage", "goexit", "gopark", "hammer", "map",
  "onerror", "park_anywhere", "portable", "recursion", "select_race", "select_rules", "shared_globals", "shared_midway",
  "shared_upvalues", "skynet", "spawn_copies", "spawn_sync", "stops_midway", "timers", "values" }

-- What the header promises, in the manner of spec/examples.sh: the indented lines after "-- Prints:".
local function promised(text)
  local lines, inside = {}, false
  for line in text:gmatch "([^\n]*)\n" do
    local said = line:match "^%-%-   (.*)$"
    if inside and not said then
      break
    elseif inside then
      lines[#lines + 1] = said .. "\n"
    elseif line == "-- Prints:" then
      inside = true
    end
  end
  return table.concat(lines)
end

local function check(file, environment, program)
  local want = promised(slurp(file))
  assert.is_true(#want > 0, file .. " promises nothing")
  for _ = 1, SOAK do
    local out, err, status = sh(("env -u LUA_INIT -u LUAPARK_PREEMPT %s timeout %d %s"):format(environment, SECONDS,
      program))
    assert.same({ out = want, err = "", status = 0 }, { out = out, err = err, status = status })
  end
end

if helper.inexe then
  describe("the corpus", function()
    for _, name in ipairs(list()) do
      for _, environment in ipairs(CONFIGURATIONS) do
        it(("%s, %s"):format(name, (environment:gsub("LUAPARK_", ""))), function()
          local file = ("spec/corpus/%s.lua"):format(name)
          check(file, "LUA_PATH=';;' LUA_CPATH=';;' " .. environment, quote(helper.exe) .. " " .. file)
        end)
      end
    end
  end)
  return
end

describe("the corpus in a stock luajit", function()
  for _, name in ipairs(MODULE) do
    for _, environment in ipairs { "LUAPARK_MAXPROCS=1", "LUAPARK_MAXPROCS=4", "LUAPARK_MAXPROCS=4 LUAPARK_DEBUG=stress" } do
      it(("%s, %s"):format(name, (environment:gsub("LUAPARK_", ""))), function()
        local file = ("spec/corpus/%s.lua"):format(name)
        helper.withfile(helper.driver, function(driver)
          check(file, helper.moduleenv .. environment, ("luajit %s %s"):format(driver, file))
        end)
      end)
    end
  end
end)
