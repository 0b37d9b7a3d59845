-- SPDX-License-Identifier: MIT

-- once: what is run once, however that ends. (Across Ps: spec/corpus/once.lua.)

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local go, gosched = lp.go, lp.gosched

describe("a once", function()
  it("runs the first function that it is given, with its arguments", run(function()
    local o, got = lp.once(), nil
    for i = 1, 3 do
      o:run(function(...) got = { n = select("#", ...), ... } end, i, nil, "x", nil)
    end
    assert.same({ n = 4, 1, nil, "x", nil }, got)
  end))

  it("lets the others wait until that is over", run(function()
    local o, gate, n, after = lp.once(), lp.chan(), 0, 0
    for _ = 1, 10 do
      go(function()
        o:run(function()
          gate:recv()
          n = n + 1
        end)
        assert(n == 1)
        after = after + 1
      end)
    end
    settle()
    assert.equal(0, after)
    gate:send(true)
    assert.is_true(helper.eventually(function() return after == 10 end))
    assert.equal(1, n)
  end))

  it("raises the function's error to who called first, as it is, and has run", run(function()
    for _, what in ipairs { { "a table" }, "a string", 42, false } do
      local o, n = lp.once(), 0
      local ok, err = pcall(o.run, o, function() error(what, 0) end)
      assert.is_false(ok)
      assert.equal(what, err)
      o:run(function() n = n + 1 end)
      assert.equal(0, n)
    end
    local o = lp.once()
    failshere("here", function() o:run(function() error("here") end) end)
    local ok, err = pcall(lp.once().run, o, function() end)
    assert.is_true(ok, err)
  end))

  it("wakes those who wait when it fails", run(function()
    local o, woken, err = lp.once(), 0, nil
    go(function()
      local _
      _, err = pcall(o.run, o, function()
        settle(5)
        error("no", 0)
      end)
    end)
    gosched()
    for _ = 1, 5 do
      go(function() o:run(error); woken = woken + 1 end)
    end
    assert.is_true(helper.eventually(function() return woken == 5 end))
    assert.equal("no", err)
  end))

  it("has run when its goroutine ended by goexit", run(function()
    local o, woken, n = lp.once(), 0, 0
    local wg = lp.waitgroup()
    wg:go(function()
      o:run(function()
        settle(5)
        lp.goexit()
      end)
      n = n + 1
    end)
    gosched()
    for _ = 1, 5 do
      go(function() o:run(error); woken = woken + 1 end)
    end
    wg:wait()
    assert.is_true(helper.eventually(function() return woken == 5 end))
    assert.equal(0, n)
  end))

  it("and all those around it", run(function()
    local outer, inner, wg = lp.once(), lp.once(), lp.waitgroup()
    wg:go(function()
      outer:run(function()
        inner:run(function()
          string.gsub("x", "x", coroutine.wrap(function() lp.goexit() end))
        end)
      end)
    end, 1, 2, 3)
    wg:wait()
    outer:run(error)
    inner:run(error)
  end))

  it("is not over, nor is its goroutine counted as done, when a goexit is refused", run(function()
    local o, wg, why, after = lp.once(), lp.waitgroup(), nil, false
    wg:go(function()
      o:run(function()
        local p = newproxy(true)
        getmetatable(p).__gc = function() why = select(2, pcall(lp.goexit)) end
        p = nil -- luacheck: ignore
        repeat collectgarbage() until why
        settle(3)
        after = true
      end)
      assert(after)
    end)
    gosched()
    o:run(error)
    assert.is_true(after)
    wg:wait()
    assert.matches("cannot end a goroutine in a finalizer", why)
  end))

  it("ends with nothing that it is not in", run(function()
    local o, second, wg = lp.once(), lp.once(), lp.waitgroup()
    wg:go(function()
      o:run(function() end)
      pcall(o.run, lp.once(), error)
      lp.goexit() -- in none: the group is done once, nothing else
    end)
    wg:wait()
    local n = 0
    second:run(function() n = n + 1 end)
    assert.equal(1, n)
  end))

  it("runs another once inside, but not itself", run(function()
    local a, b, out = lp.once(), lp.once(), {}
    a:run(function()
      b:run(function() out[#out + 1] = "b" end)
      out[#out + 1] = "a"
    end)
    assert.same({ "b", "a" }, out)
    local _, err, status = helper.script [[
      local o = luapark.once()
      o:run(function() o:run(print) end)]]
    assert.matches("all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[sync.Once.Do%]:", err)
    assert.equal(2, status)
  end))

  it("refuses what is no function, and has not run then", run(function()
    local o, n = lp.once(), 0
    failshere("bad argument #1 to 'run' (function expected, got no value)", function() o:run() end)
    failshere("bad argument #1 to 'run' (function expected, got number)", function() o:run(1) end)
    failshere("calling 'run' on bad self (once expected, got function", function() o.run(print) end)
    o:run(function() n = 1 end)
    assert.equal(1, n)
    failshere("bad argument #1 to 'run'", function() o:run({}) end)
  end))

  it("works under C functions and in coroutines", run(function()
    local o, n, after = lp.once(), 0, 0
    for i = 1, 9 do
      go(function()
        local function once()
          o:run(function()
            settle(3)
            n = n + 1
          end)
          after = after + 1
        end
        if i % 3 == 0 then
          once()
        elseif i % 3 == 1 then
          string.gsub("x", "x", once)
        else
          coroutine.wrap(once)()
        end
      end)
    end
    assert.is_true(helper.eventually(function() return after == 9 end))
    assert.equal(1, n)
  end))

  it("fails in a goroutine as the function does", function()
    local _, err, status = helper.script [[
      local o = luapark.once()
      go(function() o:run(function() error("oh") end) end)
      luapark.sleep(1)]]
    assert.matches("^goroutine %d+ %[running%]:\n[^\n]*:2: oh\n", err)
    assert.equal(2, status)
  end)
end)
