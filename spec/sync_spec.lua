-- SPDX-License-Identifier: MIT

-- sync: wait groups and mutexes.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local go, gosched = lp.go, lp.gosched

describe("a wait group", function()
  it("is waited for until its counter is zero", run(function()
    local wg, n = lp.waitgroup(), 0
    wg:add(10)
    for i = 1, 10 do
      go(function()
        for _ = 1, i do
          gosched()
        end
        n = n + 1
        wg:done()
      end)
    end
    wg:wait()
    assert.equal(10, n)
  end))

  it("at zero is not waited for", run(function()
    local wg = lp.waitgroup()
    wg:wait()
    wg:add()
    wg:done()
    wg:wait()
    wg:add(0)
    wg:wait()
  end))

  it("wakes all who wait", run(function()
    local wg, n = lp.waitgroup(), 0
    wg:add()
    for _ = 1, 100 do
      go(function() wg:wait(); n = n + 1 end)
    end
    settle()
    assert.equal(0, n)
    wg:done()
    settle()
    assert.equal(100, n)
  end))

  it("counts up and down by any whole number", run(function()
    local wg, woken = lp.waitgroup(), false
    wg:add(5)
    go(function() wg:wait(); woken = true end)
    settle()
    wg:add(-2)
    wg:add(1)
    wg:add(-3)
    settle()
    assert.is_false(woken)
    wg:add(-1)
    settle()
    assert.is_true(woken)
  end))

  it("serves again and again", run(function()
    local wg, n = lp.waitgroup(), 0
    for round = 1, 100 do
      for _ = 1, 3 do
        wg:go(function() gosched(); n = n + 1 end)
      end
      wg:wait()
      assert.equal(round * 3, n)
    end
  end))

  it("starts goroutines that it counts, with arguments", run(function()
    local wg, got = lp.waitgroup(), nil
    local g = wg:go(function(...) got = { n = select("#", ...), ... } end, 1, nil, 3, nil)
    assert.equal("runnable", g.status)
    wg:wait()
    assert.same({ n = 4, 1, nil, 3, nil }, got)
    settle()
    assert.equal("dead", g.status)
  end))

  it("may be added to while others wait", run(function()
    local wg, order = lp.waitgroup(), {}
    wg:go(function()
      gosched()
      wg:go(function() gosched(); order[#order + 1] = "child" end)
      order[#order + 1] = "parent"
    end)
    wg:wait()
    assert.same({ "parent", "child" }, order)
  end))

  it("below zero is an error at the caller's line, and the counter stays", run(function()
    local wg = lp.waitgroup()
    failshere("negative counter of the wait group", function() wg:done() end)
    failshere("negative counter of the wait group", function() wg:add(-1) end)
    wg:add(1)
    failshere("negative counter of the wait group", function() wg:add(-2) end)
    wg:done()
    wg:wait()
  end))

  it("refuses wrong arguments at the caller's line", run(function()
    local wg = lp.waitgroup()
    failshere("bad argument #1 to 'add' (whole number expected, got 1.5)", function() wg:add(1.5) end)
    failshere("bad argument #1 to 'add'", function() wg:add("1") end)
    failshere("bad argument #1 to 'add'", function() wg:add(0 / 0) end)
    failshere("bad argument #1 to 'add'", function() wg:add(math.huge) end)
    failshere("bad argument #1 to 'go' (function expected, got no value)", function() wg:go() end)
    failshere("bad argument #1 to 'go' (function expected, got table)", function() wg:go({}) end)
    wg:wait() -- a refused go counts nothing
  end))

  it("refuses a dot where a colon belongs", run(function()
    local wg = lp.waitgroup()
    failshere("calling 'add' on bad self (wait group expected, got number", function() wg.add(1) end)
    failshere("calling 'done' on bad self", function() wg.done() end)
    failshere("calling 'wait' on bad self", function() wg.wait() end)
    failshere("calling 'go' on bad self (wait group expected, got function", function() wg.go(print) end)
    failshere("calling 'wait' on bad self", function() wg.wait(lp.mutex()) end)
  end))

  it("works where the waiting stands under a C function", run(function()
    local wg, out = lp.waitgroup(), nil
    wg:add(2)
    go(function() wg:done() end)
    go(function() gosched(); wg:done() end)
    string.gsub("x", "x", function() wg:wait(); out = "done" end)
    assert.equal("done", out)
  end))

  it("counts a goroutine that ended by goexit as done", run(function()
    local wg, waited = lp.waitgroup(), false
    wg:go(function() lp.goexit() end)
    go(function() wg:wait(); waited = true end)
    settle()
    assert.is_true(waited)
  end))

  it("shows that it is waited for", function()
    local _, err, status = helper.script [[local wg = luapark.waitgroup() wg:add() wg:wait()]]
    assert.matches("goroutine 1 %[sync.WaitGroup.Wait%]:", err)
    assert.equal(2, status)
  end)
end)

describe("a mutex", function()
  it("lets one in at a time", run(function()
    local m, inside, most, wg = lp.mutex(), 0, 0, lp.waitgroup()
    for _ = 1, 50 do
      wg:go(function()
        for _ = 1, 20 do
          m:lock()
          inside = inside + 1
          most = math.max(most, inside)
          gosched()
          inside = inside - 1
          m:unlock()
        end
      end)
    end
    wg:wait()
    assert.equal(1, most)
    assert.is_true(m:trylock())
  end))

  it("is handed on first come, first served", run(function()
    local m, order = lp.mutex(), {}
    m:lock()
    for i = 1, 20 do
      go(function()
        m:lock()
        order[#order + 1] = i
        gosched()
        m:unlock()
      end)
      gosched()
    end
    m:unlock()
    assert.is_true(helper.eventually(function() return #order == 20 end))
    for i = 1, 20 do
      assert.equal(i, order[i])
    end
    settle()
    assert.is_true(m:trylock())
  end))

  it("cannot be snatched from the one it was handed to", run(function()
    local m, got = lp.mutex(), false
    m:lock()
    go(function() m:lock(); got = true end)
    gosched()
    m:unlock()
    assert.is_false(m:trylock()) -- it is the waiter's already
    gosched()
    assert.is_true(got)
    m:unlock()
    assert.is_true(m:trylock())
  end))

  it("is tried without waiting", run(function()
    local m = lp.mutex()
    assert.is_true(m:trylock())
    assert.is_false(m:trylock())
    m:unlock()
    assert.is_true(m:trylock())
  end))

  it("may be unlocked by another goroutine", run(function()
    local m = lp.mutex()
    m:lock()
    go(function() m:unlock() end)
    m:lock()
    m:unlock()
  end))

  it("unlocked twice is an error at the caller's line", run(function()
    local m = lp.mutex()
    failshere("unlock of unlocked mutex", function() m:unlock() end)
    m:lock()
    m:unlock()
    failshere("unlock of unlocked mutex", function() m:unlock() end)
    assert.is_true(m:trylock())
  end))

  it("refuses a dot where a colon belongs", run(function()
    local m = lp.mutex()
    failshere("calling 'lock' on bad self (mutex expected, got nil", function() m.lock() end)
    failshere("calling 'unlock' on bad self", function() m.unlock() end)
    failshere("calling 'trylock' on bad self", function() m.trylock(lp.waitgroup()) end)
  end))

  it("works under C functions and in coroutines", run(function()
    local m, n, wg = lp.mutex(), 0, lp.waitgroup()
    for i = 1, 30 do
      wg:go(function()
        local function critical()
          m:lock()
          local v = n
          gosched()
          n = v + 1
          m:unlock()
        end
        if i % 3 == 0 then
          critical()
        elseif i % 3 == 1 then
          string.gsub("x", "x", critical)
        else
          coroutine.wrap(critical)()
        end
      end)
    end
    wg:wait()
    assert.equal(30, n)
  end))

  it("locked twice by one goroutine is a deadlock in words", function()
    local _, err, status = helper.script [[local m = luapark.mutex() m:lock() m:lock()]]
    assert.matches("all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[sync.Mutex.Lock%]:", err)
    assert.equal(2, status)
  end)
end)
