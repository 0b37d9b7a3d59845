-- SPDX-License-Identifier: MIT

-- gopark and goready: what every wait is made of.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere = helper.run, helper.failshere

describe("gopark", function()
  it("parks until goready, and returns its values", run(function()
    local got
    local g = lp.go(function()
      local function pack(...) return { n = select("#", ...), ... } end
      got = pack(lp.gopark())
    end)
    lp.gosched()
    assert.equal("waiting", g.status)
    assert.is_nil(got)
    lp.goready(g, 1, nil, "three", nil)
    assert.is_nil(got)
    lp.gosched()
    assert.same({ n = 4, 1, nil, "three", nil }, got)
  end))

  it("returns nothing where goready gives nothing", run(function()
    local n
    local g = lp.go(function() n = select("#", lp.gopark()) end)
    lp.gosched()
    lp.goready(g)
    lp.gosched()
    assert.equal(0, n)
  end))

  it("returns 0 to 200 values, waiting in Lua or under a C function", run(function()
    local values = {}
    for n = 0, 200 do
      local plain, deep
      local function wait() return select("#", lp.gopark()) end
      local a = lp.go(function() plain = wait() end)
      local b = lp.go(function() string.gsub("x", "x", function() deep = wait() end) end)
      lp.gosched()
      lp.goready(a, unpack(values, 1, n))
      lp.goready(b, unpack(values, 1, n))
      lp.gosched()
      assert.equal(n, plain)
      assert.equal(n, deep)
      values[n + 1] = {}
    end
  end))

  it("may be readied again and again", run(function()
    local sum = 0
    local g = lp.go(function()
      for _ = 1, 1000 do
        local v = lp.gopark()
        sum = sum + v
      end
    end)
    lp.gosched()
    for i = 1, 1000 do
      lp.goready(g, i)
      lp.gosched()
    end
    assert.equal(500500, sum)
    assert.equal("dead", g.status)
  end))

  it("returns false and nil as such, not as a refusal", run(function()
    local a, b
    local g = lp.go(function() a, b = lp.gopark() end)
    lp.gosched()
    lp.goready(g, false, nil)
    lp.gosched()
    assert.is_false(a)
    assert.is_nil(b)
  end))

  it("shows its reason", run(function()
    local a = lp.go(function() lp.gopark() end)
    local b = lp.go(function() lp.gopark(nil, nil, "cache fill") end)
    lp.gosched()
    assert.equal("gopark", a.waitreason)
    assert.equal("cache fill", b.waitreason)
    assert.truthy(lp.stack(true):find(("goroutine %d [cache fill]:"):format(b.id), 1, true))
    lp.goready(a)
    lp.goready(b)
    assert.is_nil(b.waitreason)
    lp.gosched()
  end))

  it("forgets the reason of the last wait", run(function()
    local c = lp.chan()
    local g = lp.go(function()
      lp.gopark(nil, nil, "first")
      lp.gopark()
      c:recv()
    end)
    lp.gosched()
    lp.goready(g)
    lp.gosched()
    assert.equal("gopark", g.waitreason)
    lp.goready(g)
    lp.gosched()
    assert.equal("chan receive", g.waitreason)
    c:close()
    lp.gosched()
  end))

  it("refuses wrong arguments at the caller's line", run(function()
    failshere("bad argument #1 to 'gopark' (function expected, got number)", function() lp.gopark(5) end)
    failshere("bad argument #1 to 'gopark' (function expected, got boolean)", function() lp.gopark(false) end)
    failshere("bad argument #3 to 'gopark' (string expected, got table)", function() lp.gopark(nil, nil, {}) end)
  end))
end)

describe("gopark's unlockf", function()
  it("is called with the goroutine and the lock, once the goroutine waits", run(function()
    local lock, seen = {}, nil
    local g = lp.go(function()
      lp.gopark(function(g, l)
        seen = { g = g, l = l, status = g.status, reason = g.waitreason, getg = lp.getg() }
      end, lock, "why")
    end)
    lp.gosched()
    assert.equal(g, seen.g)
    assert.equal(lock, seen.l)
    assert.equal("waiting", seen.status)
    assert.equal("why", seen.reason)
    assert.is_nil(seen.getg)
    assert.equal("waiting", g.status)
    lp.goready(g)
    lp.gosched()
  end))

  it("resumes at once by returning false, before anybody else runs", run(function()
    local order = {}
    local g = lp.go(function()
      lp.go(function() order[#order + 1] = "other" end)
      order[#order + 1] = select("#", lp.gopark(function() return false end))
      order[#order + 1] = "resumed"
    end)
    lp.gosched()
    lp.gosched()
    assert.same({ 0, "resumed", "other" }, order)
    assert.equal("dead", g.status)
  end))

  it("parks by returning nil, nothing, true or anything else", run(function()
    for _, r in ipairs { { n = 0 }, { n = 1 }, { true, n = 1 }, { 0, n = 1 }, { "false", n = 1 } } do
      local g = lp.go(function() lp.gopark(function() return unpack(r, 1, r.n) end) end)
      lp.gosched()
      assert.equal("waiting", g.status)
      lp.goready(g)
      lp.gosched()
      assert.equal("dead", g.status)
    end
  end))

  it("may ready its goroutine", run(function()
    local got
    local g = lp.go(function() got = { lp.gopark(function(g) lp.goready(g, "early", 2) end) } end)
    helper.settle()
    assert.same({ "early", 2 }, got)
    assert.equal("dead", g.status)
  end))

  it("may ready its goroutine and return false: it goes on once", run(function()
    local n = 0
    local g = lp.go(function()
      lp.gopark(function(g) lp.goready(g); return false end)
      n = n + 1
    end)
    helper.settle()
    assert.equal(1, n)
    assert.equal("dead", g.status)
  end))

  it("may ready another goroutine, start one, and use a mutex", run(function()
    local order = {}
    local m = lp.mutex()
    local a = lp.go(function() local v = lp.gopark(); order[#order + 1] = v end)
    lp.gosched()
    m:lock()
    local b = lp.go(function()
      lp.gopark(function(_, lock)
        lock:unlock()
        lp.goready(a, "a")
        lp.go(function() order[#order + 1] = "new" end)
      end, m)
      order[#order + 1] = "b"
    end)
    helper.settle()
    assert.is_true(m:trylock())
    lp.goready(b)
    helper.settle()
    table.sort(order)
    assert.same({ "a", "b", "new" }, order)
  end))

  it("raises its error in the parked goroutine", run(function()
    local thrown = { "an object" }
    local a, b, c
    lp.go(function() a = { pcall(lp.gopark, function() error(thrown) end) } end)
    lp.go(function() b = { pcall(lp.gopark, function() error("in words", 0) end) } end)
    lp.go(function() c = { pcall(lp.gopark, function() error() end) } end)
    helper.settle()
    assert.same({ false, thrown }, a)
    assert.equal(thrown, a[2])
    assert.same({ false, "in words" }, b)
    assert.equal(false, c[1])
    assert.is_nil(c[2])
  end))

  it("raises its error also under a C function", run(function()
    local ok, err
    lp.go(function()
      ok, err = pcall(table.sort, { 3, 2, 1 }, function() lp.gopark(function() error("in words", 0) end) end)
    end)
    helper.settle()
    assert.is_false(ok)
    assert.equal("in words", err)
  end))

  it("leaves the goroutine able to park again after its error", run(function()
    local got
    local g = lp.go(function()
      pcall(lp.gopark, function() error "x" end)
      got = lp.gopark()
    end)
    helper.settle()
    assert.equal("waiting", g.status)
    lp.goready(g, "fine")
    lp.gosched()
    assert.equal("fine", got)
  end))

  it("cannot park, itself", run(function()
    local c, errs = lp.chan(), {}
    local function try(fn, ...) errs[#errs + 1] = { pcall(fn, ...) } end
    lp.go(function()
      lp.gopark(function()
        try(lp.sleep, 0.001)
        try(lp.gosched)
        try(lp.gopark)
        try(c.recv, c)
        try(c.send, c, 1)
        try(lp.select, { c })
        try(coroutine.wrap(function() lp.sleep(0.001) end))
        try(lp.goexit)
        return false
      end)
    end)
    helper.settle()
    assert.equal(8, #errs)
    for i, e in ipairs(errs) do
      assert.is_false(e[1], "try " .. i)
      assert.matches("outside a goroutine", e[2])
    end
    -- The channel keeps no waiter of these attempts:
    assert.is_false(c:trysend(1))
    local _, _, ready = c:tryrecv()
    assert.is_false(ready)
  end))

  it("that readies and fails leaves the goroutine running once, with the error or without", run(function()
    local n = 0
    local g = lp.go(function()
      pcall(lp.gopark, function(g) lp.goready(g); error("x", 0) end)
      n = n + 1
    end)
    helper.settle()
    assert.equal(1, n)
    assert.equal("dead", g.status)
  end))

  it("works in 200 goroutines at once, in Lua and under C", run(function()
    local n, parked = 0, {}
    local function keep(g) parked[#parked + 1] = g end
    for i = 1, 200 do
      lp.go(function()
        if i % 2 == 0 then
          local v = lp.gopark(keep)
          n = n + v
        else
          string.gsub("x", "x", function() local v = lp.gopark(keep); n = n + v end)
        end
      end)
    end
    helper.settle()
    assert.equal(200, #parked)
    for i, g in ipairs(parked) do
      lp.goready(g, i)
      if i % 7 == 0 then
        lp.gosched()
      end
    end
    helper.settle()
    assert.equal(20100, n)
    for _, g in ipairs(parked) do
      assert.equal("dead", g.status)
    end
  end))
end)

describe("goready", function()
  it("runs the readied goroutine next", run(function()
    local order = {}
    local a = lp.go(function() lp.gopark(); order[#order + 1] = "a" end)
    lp.gosched()
    lp.go(function() order[#order + 1] = "b" end)
    lp.goready(a)
    lp.gosched()
    assert.same({ "a", "b" }, order)
  end))

  it("refuses a goroutine that runs, has not started, is dead", run(function()
    local me = lp.getg()
    local text = failshere("bad argument #1 to 'goready'", function() lp.goready(me) end)
    assert.matches("goroutine %d+ %[running%] is not parked in gopark", text)
    local g = lp.go(function() end)
    text = failshere("bad argument #1 to 'goready'", function() lp.goready(g) end)
    assert.matches("%[runnable%] is not parked in gopark", text)
    lp.gosched()
    text = failshere("bad argument #1 to 'goready'", function() lp.goready(g) end)
    assert.matches("%[dead%] is not parked in gopark", text)
  end))

  it("refuses one that waits for something else, and leaves it waiting", run(function()
    local c, m, wg = lp.chan(), lp.mutex(), lp.waitgroup()
    m:lock()
    wg:add()
    local gs = {
      lp.go(function() c:recv() end),
      lp.go(function() lp.select { c } end),
      lp.go(function() m:lock() end),
      lp.go(function() wg:wait() end),
      lp.go(function() lp.sleep(0.01) end),
    }
    lp.gosched()
    for _, g in ipairs(gs) do
      local reason = g.waitreason
      local text = failshere("bad argument #1 to 'goready'", function() lp.goready(g, 1) end)
      assert.truthy(text:find("[" .. reason .. "] is not parked in gopark", 1, true), text)
      assert.equal("waiting", g.status)
    end
    c:close()
    m:unlock()
    wg:done()
    lp.sleep(0.02)
  end))

  it("refuses the second of two goreadys", run(function()
    local got
    local g = lp.go(function() got = lp.gopark() end)
    lp.gosched()
    lp.goready(g, "first")
    failshere("is not parked in gopark", function() lp.goready(g, "second") end)
    lp.gosched()
    assert.equal("first", got)
  end))

  it("refuses what is no goroutine", run(function()
    failshere("bad argument #1 to 'goready'", function() lp.goready() end)
    failshere("bad argument #1 to 'goready'", function() lp.goready(nil) end)
    failshere("bad argument #1 to 'goready'", function() lp.goready(7) end)
    failshere("bad argument #1 to 'goready'", function() lp.goready({}) end)
    failshere("bad argument #1 to 'goready'", function() lp.goready(coroutine.create(print)) end)
  end))

  it("is not fooled by a slot that another goroutine uses now", run(function()
    local old = lp.go(function() end)
    lp.gosched()
    local g = lp.go(function() lp.gopark() end)
    lp.gosched()
    failshere("[dead] is not parked in gopark", function() lp.goready(old) end)
    assert.equal("waiting", g.status)
    lp.goready(g)
    lp.gosched()
  end))

  it("gives too many values an error and leaves the goroutine parked", run(function()
    local g = lp.go(function() lp.gopark() end)
    lp.gosched()
    local many = {}
    for i = 1, 7900 do
      many[i] = i
    end
    pcall(function() lp.goready(g, unpack(many)) end) -- either way: no crash
    if g.status == "waiting" then
      lp.goready(g)
    end
    lp.gosched()
    assert.equal("dead", g.status)
  end))

  it("works from outside goroutines too, between two runs", function()
    if helper.inexe then
      return -- there is no outside
    end
    local before, got = lp.numgoroutine(), nil
    local g
    lp.run(function()
      g = lp.go(function() got = lp.gopark() end)
      lp.gosched()
    end)
    assert.equal("waiting", g.status)
    lp.goready(g, "hello")
    assert.equal("runnable", g.status)
    lp.run(function() lp.gosched() end)
    assert.equal("hello", got)
    assert.equal(before, lp.numgoroutine())
  end)
end)

describe("outside goroutines", function()
  it("whatever would wait is refused in words", function()
    if helper.inexe then
      return -- there is no outside
    end
    local c, wg, m = lp.chan(), lp.waitgroup(), lp.mutex()
    wg:add()
    m:lock()
    failshere("cannot wait outside a goroutine (see luapark.run)", function() lp.gopark() end)
    failshere("cannot wait outside a goroutine", function() lp.gosched() end)
    failshere("cannot wait outside a goroutine", function() lp.sleep(0.1) end)
    failshere("cannot wait outside a goroutine", function() c:recv() end)
    failshere("cannot wait outside a goroutine", function() c:send(1) end)
    failshere("cannot wait outside a goroutine", function() lp.select { c } end)
    failshere("cannot wait outside a goroutine", function() wg:wait() end)
    failshere("cannot wait outside a goroutine", function() m:lock() end)
    failshere("outside a goroutine", function() lp.goexit() end)
    -- and leaves no waiter behind
    assert.is_false(c:trysend(1))
    wg:done()
    m:unlock()
    assert.is_true(m:trylock())
  end)

  it("what need not wait works", function()
    local c = lp.chan(2)
    c:send(1)
    c:send(2)
    assert.same({ 1, true }, { c:recv() })
    assert.equal("default", lp.select { lp.chan(), default = true })
    assert.same({ 1, 2, true }, { lp.select { c } })
    local m = lp.mutex()
    m:lock()
    m:unlock()
    lp.waitgroup():wait()
    c:close()
  end)
end)
