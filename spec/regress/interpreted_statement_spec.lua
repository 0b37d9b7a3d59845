-- SPDX-License-Identifier: MIT

-- In a stock luajit goroutines are pre-empted by a hook for lines. LuaJIT calls that also where the line is not that of the
-- place which it noted last; and that is any place, where the hook was set in the middle of a statement. So of
-- `n = n + 1` in several goroutines half of the updates were lost. And a statement may have several lines.

local helper = require "spec.helper"

local program = [[
  jit.off()
  local lp = require "luapark"
  local N, turns, last = 3e6, 0, nil
  local n, up, t, list = 0, 0, { n = 0 }, {}
  lp.run(function()
    lp.gomaxprocs(1)
    local wg = lp.waitgroup()
    for g = 1, 4 do
      wg:go(function()
        local now = os.clock() -- a call: LuaJIT notes the place
        for i = 1, N do
          local x = i
          n = n + 1
          up =
            up
            + 1
          if last ~= g then
            last, turns = g, turns + 1
          end
          t.n = t.n + 1 list[i] = x
        end
        return now
      end)
    end
    wg:wait()
  end)
  print(n == 4 * N, up == 4 * N, t.n == 4 * N, turns > 40)
]]

describe("a statement in an interpreted loop", function()
  it("stays whole", function()
    local out, err, status = helper.withfile(program, function(name)
      return helper.sh("env -u LUAPARK_PREEMPT LUAPARK_DEBUG=preempt " .. helper.moduleenv .. "luajit " .. name)
    end)
    assert.same({ "true\ttrue\ttrue\ttrue\n", "", 0 }, { out, err, status })
  end)
end)
