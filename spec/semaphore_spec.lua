-- SPDX-License-Identifier: MIT

-- semaphore: weighted, first come, first served. (Across Ps: spec/corpus/semaphore.lua.)

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local go, gosched = lp.go, lp.gosched

describe("a semaphore", function()
  it("has so many units", run(function()
    local s = lp.semaphore(3)
    assert.is_true(s:acquire())
    assert.is_true(s:acquire(2))
    assert.is_false(s:tryacquire())
    s:release()
    assert.is_false(s:tryacquire(2))
    assert.is_true(s:tryacquire(1))
    s:release(3)
    assert.is_true(s:tryacquire(3))
    assert.is_true(s:tryacquire(0))
    assert.is_true(s:acquire(0))
    assert.is_false(lp.semaphore(0):tryacquire())
  end))

  it("lets no more work than there are units", run(function()
    local s, wg, inside, most = lp.semaphore(5), lp.waitgroup(), 0, 0
    for i = 1, 60 do
      wg:go(function()
        local n = i % 5 + 1
        s:acquire(n)
        inside = inside + n
        most = math.max(most, inside)
        gosched()
        inside = inside - n
        s:release(n)
      end)
    end
    wg:wait()
    assert.equal(5, most)
    assert.is_true(s:tryacquire(5))
  end))

  it("serves first who came first, also when it wants much", run(function()
    local s, order = lp.semaphore(10), {}
    local function want(n)
      go(function()
        assert(s:acquire(n) == true)
        order[#order + 1] = n
      end)
      gosched()
    end
    s:acquire(8)
    want(5)
    want(1)
    want(2)
    settle()
    assert.same({}, order) -- 1 and 2 would fit
    assert.is_false(s:tryacquire())
    s:release(2)
    settle()
    assert.same({}, order)
    s:release(3)
    settle()
    table.sort(order) -- who was served last runs first
    assert.same({ 1, 5 }, order)
    s:release(1)
    settle()
    assert.same({ 1, 5, 2 }, order)
    s:release(10)
    assert.is_true(s:tryacquire(10))
  end))

  -- Go's TestLargeAcquireDoesntStarve.
  it("starves nobody who wants all", run(function()
    local n = 10
    local s, wg, running = lp.semaphore(n), lp.waitgroup(), true
    for _ = 1, n do
      s:acquire()
      wg:go(function()
        while running do
          lp.sleep(0.0001)
          s:release()
          s:acquire()
        end
        s:release()
      end)
    end
    assert.is_true(s:acquire(n))
    running = false
    s:release(n)
    wg:wait()
    assert.is_true(s:tryacquire(n))
  end))

  -- Go's TestAllocCancelDoesntStarve.
  it("lets those go on that fit, where one in front of them gives up", run(function()
    local s, got = lp.semaphore(10), nil
    s:acquire()
    go(function() assert(not s:acquire(10, 0.01)) end)
    gosched()
    go(function() got = s:acquire(1) end)
    gosched()
    settle()
    assert.is_nil(got)
    assert.is_true(helper.eventually(function() return got end, 1e8))
    s:release(2)
    assert.is_true(s:tryacquire(10))
  end))

  -- Go's TestWeightedDoesntBlockIfTooBig.
  it("is in nobody's way for who wants more than there is", run(function()
    local s, said = lp.semaphore(2), nil
    go(function() said = { s:acquire(3, 0.02) } end)
    gosched()
    for _ = 1, 20 do
      assert.is_true(s:tryacquire(2))
      s:release(2)
    end
    assert.is_true(helper.eventually(function() return said end, 1e8))
    assert.same({ nil, "timeout", "ETIMEDOUT" }, said)
    assert.same({ nil, "timeout", "ETIMEDOUT" }, { s:acquire(3, 0) })
    local _, err, status = helper.script [[luapark.semaphore(2):acquire(3)]]
    assert.matches("goroutine 1 %[semaphore acquire%]:", err)
    assert.equal(2, status)
  end))

  it("released more than held is an error at the caller's line, and all stays as it was", run(function()
    local s = lp.semaphore(3)
    failshere("semaphore released more than held", function() s:release() end)
    s:acquire(2)
    failshere("semaphore released more than held", function() s:release(3) end)
    assert.is_false(s:tryacquire(2))
    s:release(2)
    assert.is_true(s:tryacquire(3))
  end))

  it("refuses wrong arguments at the caller's line", run(function()
    local s = lp.semaphore(1)
    for _, bad in ipairs { -1, 1.5, 0 / 0, 1 / 0, -1 / 0, 2 ^ 54, "1", {} } do
      failshere("bad argument #1 to 'semaphore' (whole number from 0 expected, got ", function() lp.semaphore(bad) end)
      for _, method in ipairs { "acquire", "tryacquire", "release" } do
        failshere("bad argument #1 to '" .. method .. "' (whole number from 0 expected, got ",
          function() s[method](s, bad) end)
      end
    end
    failshere("expected, got no value)", function() lp.semaphore() end)
    for _, method in ipairs { "acquire", "tryacquire", "release" } do
      failshere("calling '" .. method .. "' on bad self (semaphore expected, got number", function() s[method](1) end)
    end
    assert.is_true(s:tryacquire())
  end))

  it("works under C functions and in coroutines", run(function()
    local s, n = lp.semaphore(1), 0
    s:acquire()
    for i = 1, 10 do
      go(function()
        local function take()
          s:acquire()
          n = n + 1
          s:release()
        end
        if i % 2 == 0 then
          string.gsub("x", "x", take)
        else
          coroutine.wrap(take)()
        end
      end)
    end
    settle()
    assert.equal(0, n)
    s:release()
    assert.is_true(helper.eventually(function() return n == 10 end))
  end))
end)
