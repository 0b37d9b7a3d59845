-- SPDX-License-Identifier: MIT

-- stack(true) stops the world to look at every goroutine. If it failed there, as where the Lua stack was nearly full, the
-- world stayed stopped.

local helper = require "spec.helper"

local program = [[
  local lp = require "luapark"
  local function at(depth, fn)
    if depth == 0 then return fn() end
    local result = at(depth - 1, fn)
    return result
  end
  lp.run(function()
    lp.gomaxprocs(4)
    local low, high = 1, 1e6 -- how deep it can go
    while low + 1 < high do
      local middle = math.floor((low + high) / 2)
      if pcall(at, middle, function() end) then low = middle else high = middle end
    end
    local failed = 0
    for depth = low - 100, low do
      local ok, err = pcall(at, depth, function() return lp.stack(true) end)
      if not ok then
        failed = failed + 1
        assert(err:find("stack overflow", 1, true), err)
      end
    end
    local c = lp.chan()
    for _ = 1, 8 do
      lp.spawn(function() c:send(1) end)
    end
    local sum = 0
    for _ = 1, 8 do sum = sum + c:recv() end
    print(failed > 0, sum)
  end)
]]

describe("stack(true)", function()
  it("lets the world go on when it fails", function()
    local run = helper.inexe and helper.script or helper.module
    assert.same({ "true\t8\n", "", 0 }, { run(program) })
  end)
end)
