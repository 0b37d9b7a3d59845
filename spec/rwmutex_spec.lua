-- SPDX-License-Identifier: MIT

-- rwmutex: many readers or one writer, and whose turn it is. (Under contention of many Ps: spec/corpus/rwmutex.lua.)

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local go, gosched = lp.go, lp.gosched

describe("an rwmutex", function()
  it("lets all readers in at the same time", run(function()
    local rw, inside, gate, wg = lp.rwmutex(), lp.atomic(), lp.chan(), lp.waitgroup()
    for _ = 1, 10 do
      wg:go(function()
        rw:rlock()
        inside:add(1)
        gate:recv()
        rw:runlock()
      end)
    end
    assert.is_true(helper.eventually(function() return inside:load() == 10 end))
    assert.is_false(rw:trylock())
    gate:close()
    wg:wait()
    assert.is_true(rw:trylock())
  end))

  it("lets one writer in at a time, and no readers with it", run(function()
    local rw, readers, writers, wg = lp.rwmutex(), 0, 0, lp.waitgroup()
    for i = 1, 40 do
      wg:go(function()
        for _ = 1, 10 do
          if i % 4 == 0 then
            rw:lock()
            assert(readers == 0 and writers == 0)
            writers = writers + 1
            gosched()
            writers = writers - 1
            rw:unlock()
          else
            rw:rlock()
            assert(writers == 0)
            readers = readers + 1
            gosched()
            readers = readers - 1
            rw:runlock()
          end
        end
      end)
    end
    wg:wait()
    assert.is_true(rw:trylock())
  end))

  it("keeps new readers out while a writer waits, and lets all who wait go before the next writer", run(function()
    local rw, order = lp.rwmutex(), {}
    rw:rlock()
    for i, kind in ipairs { "w", "r", "w", "r", "r", "w" } do
      go(function()
        if kind == "w" then
          rw:lock()
          order[#order + 1] = "w" .. i
          settle(3)
          rw:unlock()
        else
          rw:rlock()
          order[#order + 1] = "r"
          settle(3)
          rw:runlock()
        end
      end)
      gosched()
    end
    settle()
    assert.same({}, order)
    assert.is_false(rw:tryrlock())
    rw:runlock()
    assert.is_true(helper.eventually(function() return #order == 6 end))
    assert.same({ "w1", "r", "r", "r", "w3", "w6" }, order)
  end))

  it("is tried without waiting", run(function()
    local rw = lp.rwmutex()
    assert.is_true(rw:tryrlock())
    assert.is_true(rw:tryrlock())
    assert.is_false(rw:trylock())
    rw:runlock()
    assert.is_false(rw:trylock())
    rw:runlock()
    assert.is_true(rw:trylock())
    assert.is_false(rw:trylock())
    assert.is_false(rw:tryrlock())
    rw:unlock()
    assert.is_true(rw:tryrlock())
  end))

  it("returns true when it is locked", run(function()
    local rw = lp.rwmutex()
    assert.is_true(rw:rlock())
    go(function() settle(3); rw:runlock() end)
    assert.is_true(rw:lock())
    go(function() settle(3); rw:unlock() end)
    assert.is_true(rw:rlock())
  end))

  it("may be unlocked by another goroutine", run(function()
    local rw = lp.rwmutex()
    rw:lock()
    go(function() rw:unlock() end)
    rw:rlock()
    go(function() rw:runlock() end)
    rw:lock()
  end))

  it("unlocked by nobody who holds it is an error at the caller's line, and all stays as it was", run(function()
    local rw = lp.rwmutex()
    failshere("unlock of unlocked rwmutex", function() rw:unlock() end)
    failshere("runlock of rwmutex that is not locked for reading", function() rw:runlock() end)
    rw:rlock()
    failshere("unlock of unlocked rwmutex", function() rw:unlock() end)
    rw:runlock()
    rw:lock()
    failshere("runlock of rwmutex that is not locked for reading", function() rw:runlock() end)
    assert.is_false(rw:tryrlock())
    rw:unlock()
    assert.is_true(rw:trylock())
  end))

  it("refuses a dot where a colon belongs", run(function()
    local rw = lp.rwmutex()
    for _, method in ipairs { "lock", "unlock", "rlock", "runlock", "trylock", "tryrlock" } do
      failshere("calling '" .. method .. "' on bad self (rwmutex expected, got nil", function() rw[method]() end)
      failshere("calling '" .. method .. "' on bad self (rwmutex expected, got table", function() rw[method](lp.mutex()) end)
    end
    assert.is_true(rw:trylock())
  end))

  it("works under C functions and in coroutines", run(function()
    local rw, n, wg = lp.rwmutex(), 0, lp.waitgroup()
    for i = 1, 30 do
      wg:go(function()
        local function critical()
          rw:lock()
          local v = n
          gosched()
          n = v + 1
          rw:unlock()
          rw:rlock()
          gosched()
          rw:runlock()
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

  it("shows what is waited for", function()
    local _, err, status = helper.script [[local rw = luapark.rwmutex() rw:rlock() rw:lock()]]
    assert.matches("all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[sync.RWMutex.Lock%]:", err)
    assert.equal(2, status)
    _, err, status = helper.script [[local rw = luapark.rwmutex() rw:lock() rw:rlock()]]
    assert.matches("\n\ngoroutine 1 %[sync.RWMutex.RLock%]:", err)
    assert.equal(2, status)
  end)
end)
