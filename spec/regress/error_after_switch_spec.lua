-- SPDX-License-Identifier: MIT

-- An error that a C function of ours raises after other coroutines have run in it. LuaJIT before September 2023 went on
-- to think that one of these runs, if pcall caught the error: the next exit of compiled code went to another coroutine's
-- stack, and the program died of it. So compiled code runs here right after such errors, without calling C in between.

local helper = require "spec.helper"

-- Leaves compiled code at a third of its turns.
local exits = [[
  local n = 0
  local function exits()
    for i = 1, 100 do n = i % 3 == 0 and n + 1 or n - 1 end
  end
]]

local runs = exits .. [[
  local lp = require "luapark"
  local function fails() error("fails", 0) end
  local failed = 0
  for _ = 1, 50 do
    local ok, err = pcall(lp.run, fails)
    exits()
    if not ok and err:find("fails", 1, true) then failed = failed + 1 end
  end
  print(failed)
]]

-- One of the two finds a loop at once; the other has waited for it, keeping its C stack.
local requires = exits .. [[
  local lp = require "luapark"
  package.preload.a = function() lp.sleep(0.0001) return require "b" end
  package.preload.b = function() lp.sleep(0.0001) return require "a" end
  local failed = 0
  local function load(name)
    local ok, err = pcall(require, name)
    exits()
    if not ok and err:find("loop or previous error", 1, true) then failed = failed + 1 end
  end
  lp.run(function()
    for _ = 1, 50 do
      local wg = lp.waitgroup()
      wg:go(load, "a")
      wg:go(load, "b")
      wg:wait()
      package.loaded.a, package.loaded.b = nil, nil
    end
  end)
  print(failed)
]]

describe("compiled code after an error", function()
  it("of lp.run, in the host", function()
    assert.same({ "50\n", "", 0 }, { helper.module(runs) })
  end)

  it("of a C function that had waited, in the host", function()
    assert.same({ "100\n", "", 0 }, { helper.module(requires) })
  end)

  it("of a C function that had waited, in the executable", function()
    assert.same({ "100\n", "", 0 }, { helper.script(requires) })
  end)
end)
