-- SPDX-License-Identifier: MIT

-- A method that ended in a tail call of an FFI function returning a bool: where compiled code left its trace for the other
-- answer, who asked for two results got what lay on the stack as the second, not nil. Waits for wait groups that several
-- Ps share took that for an error.

local helper = require "spec.helper"

local program = [[
  local lp = require "luapark"
  local m, rw, sem, a, t = lp.mutex(), lp.rwmutex(), lp.semaphore(1), lp.atomic(), lp.timer(1e6)
  -- Others' values lie where the results will be.
  local function dirty()
    local a, b, c, d, e, f, g, h, i, j, k, l = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
    return a + b + c + d + e + f + g + h + i + j + k + l
  end
  jit.off(dirty)
  -- no: the next answer will be no; after: as before the question
  local function ask(name, two, no, after)
    local bad, nos = 0, 0
    for i = 1, 2000 do
      if i % 7 == 0 then no() end
      dirty()
      local first, second = two()
      if second ~= nil then bad = bad + 1 end
      if not first then nos = nos + 1 end
      after()
    end
    print(name, bad, nos)
  end
  jit.off(ask)
  lp.run(function()
    lp.spawn(function(x, y) return x, y end, m, t) -- both are shared from here on
    ask("mutex", function() local x, y = m:trylock() return x, y end,
      function() m:lock() end, function() m:unlock() end)
    ask("rwmutex", function() local x, y = rw:trylock() return x, y end,
      function() rw:lock() end, function() rw:unlock() end)
    local writes = false
    ask("readers", function() local x, y = rw:tryrlock() return x, y end,
      function() rw:lock() writes = true end,
      function() if writes then writes = false rw:unlock() else rw:runlock() end end)
    ask("semaphore", function() local x, y = sem:tryacquire() return x, y end,
      function() sem:acquire() end, function() sem:release() end)
    ask("atomic", function() local x, y = a:cas(0, 0) return x, y end,
      function() a:store(1) end, function() a:store(0) end)
    ask("timer", function() local x, y = t:stop() return x, y end,
      function() t:stop() end, function() t:reset(1e6) end)
  end)
]]
describe("a method that answers yes or no", function()
  it("has no second result, compiled or not", function()
    local want = {}
    for i, name in ipairs { "mutex", "rwmutex", "readers", "semaphore", "atomic", "timer" } do
      want[i] = name .. "\t0\t285\n"
    end
    local run = helper.inexe and helper.script or helper.module
    assert.same({ table.concat(want), "", 0 }, { run(program) })
  end)
end)
