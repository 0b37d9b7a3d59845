-- SPDX-License-Identifier: MIT

-- sync: wait groups, mutexes and atomics.

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
    failshere("calling 'unlock' on bad self", function() m.unlock(lp.rwmutex()) end)
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

-- The two modes of Go's mutex. The first that waits is woken and loses, where it is said to: for it others run only when
-- the body lets them.
for _, where in ipairs { "at home", "shared" } do
  describe("a mutex " .. where, function()
    local order, m

    -- Goroutines wait for it, one after the other, which is locked.
    local function waiting(n)
      order, m = {}, lp.mutex()
      if where == "shared" then
        helper.shared(m)
      end
      m:lock()
      for i = 1, n do
        go(function()
          m:lock()
          order[#order + 1] = i
          gosched()
          m:unlock()
        end)
        gosched()
      end
    end

    -- The first one is woken, but somebody else is faster.
    local function lose()
      m:unlock()
      assert.is_true(m:trylock())
      gosched()
      assert.same({}, order)
    end

    it("is had first by who waits longest", run(function()
      waiting(20)
      m:unlock()
      assert.is_true(helper.eventually(function() return #order == 20 end))
      for i = 1, 20 do
        assert.equal(i, order[i])
      end
      settle()
      assert.is_true(m:trylock())
    end))

    it("is let go of, and whoever runs may have it", run(function()
      waiting(1)
      m:unlock()
      m:lock()
      m:unlock()
      assert.is_true(m:trylock())
      m:unlock()
      assert.is_true(helper.eventually(function() return #order == 1 end))
    end))

    it("wakes one at a time, which keeps its place when it loses", run(function()
      waiting(5)
      for _ = 1, 3 do
        lose()
      end
      m:unlock()
      assert.is_true(helper.eventually(function() return #order == 5 end))
      assert.same({ 1, 2, 3, 4, 5 }, order)
    end))

    it("is handed to who has waited for too long, and was never free", run(function()
      waiting(1)
      lp.sleep(0.002)
      lose()
      m:unlock()
      assert.is_false(m:trylock())
      gosched()
      assert.same({ 1 }, order)
      settle() -- it was the last one, so all is as before
      assert.is_true(m:trylock())
      go(function() m:lock(); m:unlock() end)
      gosched()
      m:unlock()
      assert.is_true(m:trylock())
      m:unlock()
    end))

    it("is handed on to all who have waited for long", run(function()
      waiting(3)
      lp.sleep(0.002)
      lose()
      m:unlock()
      for i = 1, 3 do
        assert.is_false(m:trylock())
        assert.is_true(helper.eventually(function() return #order == i end))
      end
      assert.is_true(helper.eventually(function() return m:trylock() end))
    end))

    it("is no longer handed on when who gets it has not waited long", run(function()
      waiting(1)
      lp.sleep(0.002)
      lose()
      local late
      go(function() m:lock(); late = true; m:unlock() end)
      gosched()
      m:unlock() -- to the first; the other has only just come
      gosched()
      assert.same({ 1 }, order)
      assert.is_nil(late)
      assert.is_true(helper.eventually(function() return late end))
      settle()
      assert.is_true(m:trylock())
    end))

    it("starving is unlocked when all who waited have given up", run(function()
      m = lp.mutex()
      if where == "shared" then
        helper.shared(m)
      end
      m:lock()
      local said
      go(function() said = { m:lock(0.05) } end)
      gosched()
      lp.sleep(0.002)
      m:unlock()
      m:lock()
      assert.is_true(helper.eventually(function() return said end, 1e8))
      assert.same({ nil, "timeout", "ETIMEDOUT" }, said)
      m:unlock()
      assert.is_true(m:trylock())
    end))

    -- Go's TestMutexFairness: one holds it nearly all the time, another must have it ten times.
    it("cannot be kept from the others", run(function()
      m = lp.mutex()
      if where == "shared" then
        helper.shared(m)
      end
      local stop, greedy = false, lp.waitgroup()
      greedy:go(function()
        while not stop do
          m:lock()
          lp.sleep(0.0001)
          m:unlock()
        end
      end)
      local start = lp.now()
      for _ = 1, 10 do
        lp.sleep(0.0001)
        m:lock()
        m:unlock()
      end
      stop = true
      greedy:wait()
      assert.is_true(lp.now() - start < 20)
    end))
  end)
end

it("a mutex that others wait for becomes shared without their noticing", run(function()
  for turn = 1, 4 do
    local m, order = lp.mutex(), {}
    m:lock()
    for i = 1, 4 do
      go(function()
        local got = m:lock(i == 2 and 0.02 or nil)
        order[#order + 1] = i
        if got then
          m:unlock()
        end
      end)
      gosched()
    end
    if turn == 1 then -- all wait
      helper.shared(m)
    elseif turn == 2 then -- one is awake
      m:unlock()
      helper.shared(m)
      m:lock()
    else -- it has lost, and starves
      lp.sleep(0.002)
      m:unlock()
      m:lock()
      gosched()
      if turn == 4 then -- and has been given it
        m:unlock()
      end
      helper.shared(m)
    end
    assert.is_false(m:trylock())
    if turn < 4 then
      assert.is_true(helper.eventually(function() return order[1] == 2 end, 1e8)) -- it gave up
      m:unlock()
    end
    assert.is_true(helper.eventually(function() return #order == 4 end))
    assert.is_true(helper.eventually(function() return m:trylock() end))
    table.sort(order)
    assert.same({ 1, 2, 3, 4 }, order)
  end
end))

describe("an atomic", function()
  it("has bits", run(function()
    local a = lp.atomic(6)
    assert.equal(6, a:band(3))
    assert.equal(2, a:bor(8))
    assert.equal(10, a:band(bit.bnot(8)))
    assert.equal(2, a:load())
    assert.equal(2, a:bor(2 ^ 52))
    assert.equal(2 ^ 52 + 2, a:band(-1))
    assert.equal(2 ^ 52 + 2, a:bor(-2 ^ 53))
    assert.equal(-2 ^ 52 + 2, a:swap(0))
  end))

  it("refuses what has no bits, at the caller's line", run(function()
    local a = lp.atomic(1)
    for _, method in ipairs { "band", "bor" } do
      for _, bad in ipairs { 1.5, 2 ^ 53, -2 ^ 53 - 2, 0 / 0, 1 / 0, -1 / 0 } do
        failshere("bad argument #1 to '" .. method .. "' (whole number from -2^53 to 2^53 - 1 expected, got ",
          function() a[method](a, bad) end)
      end
      failshere("expected, got string)", function() a[method](a, "1") end)
      failshere("expected, got no value)", function() a[method](a) end)
      failshere("calling '" .. method .. "' on bad self (atomic expected, got number", function() a[method](1) end)
      a:store(0.5)
      failshere("'" .. method .. "' of an atomic that holds no whole number", function() a[method](a, 1) end)
      assert.equal(0.5, a:swap(1))
    end
  end))
end)
