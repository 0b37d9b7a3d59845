-- SPDX-License-Identifier: MIT

-- finalizers: one that uses shared handles which die with it, or are older than they. A handle's reference to its object is
-- younger than the userdata whose finalizer it is, so its own finalizer runs first.

local helper = require "spec.helper"

if not helper.inexe then
  return -- the programs are the executable's; spec/host_spec.lua has the module's end
end

local TEXT = [[
local oldest = newproxy(true)
local lp, used = luapark, luapark.atomic()
local function object()
  local p, c, m, wg, a = newproxy(true), chan(2), lp.mutex(), lp.waitgroup(), lp.atomic()
  lp.spawn(function() m:lock() m:unlock() wg:add() c:send { a:add(1) } end)
  assert(c:recv()[1] == 1)
  getmetatable(p).__gc = function()
    c:send "text"
    m:lock()
    wg:done()
    assert(c:recv() == "text" and a:add(1) == 2)
    used:add(1)
  end
  return p
end
function last(fn)
  getmetatable(oldest).__gc = fn
  _G.oldest = oldest
end
]]

local function prints(want, text)
  helper.withfile(TEXT .. text, function(name)
    assert.same({ want, "", 0 }, { helper.sh("env -u LUAPARK_PREEMPT LUAPARK_MAXPROCS=2 " .. helper.quote(helper.exe) .. " "
      .. name) })
  end)
end

describe("a finalizer that uses shared handles", function()
  it("finds them as they were, when all are collected", function()
    prints("100\n", [[
      for _ = 1, 100 do
        object()
        collectgarbage()
      end
      collectgarbage()
      print(used:load())
    ]])
  end)

  it("finds them so at the end of the program, too", function()
    prints("10\n", [[
      for i = 1, 10 do _G[i] = object() end
      last(function() print(used:load()) end)
    ]])
  end)

  it("gives what they refer to back in the end", function()
    if (os.getenv "LUAPARK_BUILD" or "build") ~= "build" then
      pending "a sanitizer keeps what is freed"
      return
    end
    prints("true\n", [[
      local function rss()
        for line in io.lines "/proc/self/status" do
          local n = line:match "^VmRSS:%s*(%d+)"
          if n then return tonumber(n) end
        end
      end
      local function round()
        for _ = 1, 2000 do
          object()
          gosched()
        end
        collectgarbage()
        collectgarbage()
        return rss()
      end
      round()
      local before = round()
      for _ = 1, 3 do round() end
      print(rss() < before * 1.2 + 2000)
    ]])
  end)
end)
