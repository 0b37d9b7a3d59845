-- SPDX-License-Identifier: MIT

-- timer: timers, tickers and functions to be called later, as in Go since 1.23: what stop and reset return and leave, in
-- every state, also while goroutines wait, and from other Ps.

local helper = require "spec.helper"
local lp = helper.lp
local run, bubble, failshere, settle, prints = helper.run, helper.bubble, helper.failshere, helper.settle, helper.prints
local chan, go, gosched, select_ = lp.chan, lp.go, lp.gosched, lp.select

local FAR = 3600

-- Until cond() holds; timers need time, and other Ps do.
local function eventually(cond)
  for _ = 1, 2000 do
    if cond() then
      return true
    end
    lp.sleep(0.001)
  end
end

-- The same rules for timers at home, for shared ones, and for those of a bubble.
for _, kind in ipairs { "at home", "shared", "in a bubble" } do
  local exact = kind == "in a bubble" -- there no time passes but what is waited for
  local body = exact and bubble or run
  local function timer(s)
    local t = lp.timer(s)
    return kind == "shared" and helper.share(t) or t
  end
  local function ticker(s)
    local t = lp.ticker(s)
    return kind == "shared" and helper.share(t) or t
  end
  -- Nothing comes from t.c now.
  local function quiet(t)
    assert.same({ nil, false, false }, { t.c:tryrecv() })
    assert.equal("default", (select_ { t.c, default = true }))
    assert.equal("timeout", (select_ { t.c, timeout = 0 }))
  end

  describe("a timer " .. kind, function()
    it("sends its time once, and has no buffer", body(function()
      local t = timer(FAR)
      assert.equal(t, t.c)
      assert.equal(0, t.c:len())
      assert.equal(0, t.c:cap())
      quiet(t)
      local t0 = lp.now()
      t = timer(0.005)
      assert.equal(0, t.c:len())
      local v, ok = t.c:recv()
      assert.is_true(ok and v - t0 >= 0.005 and v <= lp.now())
      assert.is_true(not exact or v == t0 + 0.005 and lp.now() == v)
      quiet(t)
      assert.matches("^timer %[stopped%]$", tostring(t))
      t:reset(FAR)
      assert.matches("^timer %[3.6e%+03 s%]$", tostring(t))
      t:stop()
    end))

    it("is stopped before its time: true, and nothing comes", body(function()
      local t = timer(0.005)
      assert.is_true(t:stop())
      assert.is_false(t:stop())
      lp.sleep(0.01)
      quiet(t)
    end))

    it("is stopped after its time, but before anybody received: true, and nothing stale comes", body(function()
      for _, wait in ipairs { 0, 0.003 } do
        local t = timer(wait)
        lp.sleep(0.004)
        assert.equal(0, t.c:len())
        assert.is_true(t:stop())
        quiet(t)
      end
    end))

    it("is stopped after its time was received: false", body(function()
      local t = timer(0.001)
      t.c:recv()
      assert.is_false(t:stop())
      quiet(t)
    end))

    it("is set anew in each of these states, and only the last time comes", body(function()
      -- running, due and not received, received, stopped
      local states = {
        { function() return timer(FAR) end, true },
        { function() local t = timer(0) lp.sleep(0.001) return t end, true },
        { function() local t = timer(0) t.c:recv() return t end, false },
        { function() local t = timer(FAR) t:stop() return t end, false },
      }
      for i, state in ipairs(states) do
        local t = state[1]()
        local t0 = lp.now()
        assert.equal(state[2], t:reset(0.004), i)
        local v = t.c:recv()
        assert.is_true(v >= t0 + 0.004 and (not exact or v == t0 + 0.004), i)
        quiet(t)
        assert.is_false(t:reset(-5), i) -- due at once
        assert.is_number((t.c:recv()))
        quiet(t)
        assert.is_false(t:reset(FAR), i)
        assert.is_true(t:reset(FAR), i)
        assert.is_true(t:stop(), i)
      end
    end))

    it("that is reset lets those who wait have the new time", body(function()
      local t, got = timer(FAR), nil
      go(function() got = t.c:recv() end)
      settle()
      assert.is_true(t:reset(0.002))
      assert.is_true(eventually(function() return got end))
      -- later as well: who waits does not come too soon
      t:reset(0.05)
      local came
      go(function() came = t.c:recv() end)
      settle(2)
      local t0 = lp.now()
      if t:reset(0.1) then -- else this machine has stood still
        assert.is_true(eventually(function() return came end))
        assert.is_true(came >= t0 + 0.1 and (not exact or came == t0 + 0.1))
      end
    end))

    it("that is stopped leaves those who wait waiting, until it is reset", body(function()
      local t, got = timer(0.03), 0
      for _ = 1, 3 do
        go(function() t.c:recv(); got = got + 1 end)
      end
      settle()
      local left = t:stop() and 3 or 2
      lp.sleep(0.04)
      assert.equal(3 - left, got)
      for i = got + 1, 3 do
        t:reset(0)
        assert.is_true(eventually(function() return got == i end))
        lp.sleep(0.001)
        assert.equal(i, got) -- each time is received once
      end
      quiet(t)
    end))

    it("wakes those who come while others have been told to look again", body(function()
      -- The first waiter is ready, but has not run, when the second one takes its place in the line.
      for round = 1, 50 do
        local t, got, c = timer(FAR), 0, chan()
        for _ = 1, round % 3 + 1 do
          go(function()
            t.c:recv()
            got = got + 1
            c:recv() -- in another line
            got = got + 1
          end)
        end
        settle(2)
        t:reset(FAR)
        go(function() t.c:recv(); got = got + 1; c:recv(); got = got + 1 end)
        gosched()
        t:reset(FAR)
        settle(2)
        local n = round % 3 + 2
        for i = 1, n do
          t:reset(0)
          assert.is_true(helper.eventually(function() return got == i end), round)
        end
        for _ = 1, n do
          c:send()
        end
        assert.is_true(helper.eventually(function() return got == 2 * n end))
      end
    end))

    it("waits in selects, in several cases, and beside others", body(function()
      local t, c = timer(0.002), chan()
      local i, v, ok = select_ { c, t.c, t.c, { c, send = 1 } }
      assert.is_true((i == 2 or i == 3) and type(v) == "number" and ok)
      quiet(t)
      t:reset(FAR)
      assert.equal("timeout", (select_ { t.c, timeout = 0 }))
      t:reset(0.001)
      assert.equal(2, (select_ { c, t.c, timeout = FAR }))
      -- stopped while a select waits: the other case still can
      t:reset(FAR)
      local got
      go(function() got = { select_ { t.c, c } } end)
      settle()
      t:stop()
      settle()
      assert.is_nil(got)
      c:send "x"
      settle()
      assert.same({ 2, "x", true }, got)
      -- reset while a select waits
      go(function() got = (select_ { c, t.c, timeout = FAR }) end)
      settle()
      t:reset(0)
      assert.is_true(eventually(function() return got == 2 end))
      -- and the select's own time passes beside it
      t:reset(FAR)
      assert.equal("timeout", (select_ { t.c, timeout = 0.001 }))
      assert.is_true(t:stop())
    end))

    it("that many wait for is received by one of them", body(function()
      local t, got = timer(FAR), 0
      for i = 1, 20 do
        go(function()
          local v = i % 2 == 0 and t.c:recv() or select_ { chan(), t.c }
          got = got + (v and 1 or 0)
        end)
      end
      settle()
      for i = 1, 20 do
        t:reset(0)
        assert.is_true(eventually(function() return got == i end))
        settle()
        assert.equal(i, got)
      end
    end))

    it("is refused with a dot, and other things than seconds, at the caller's line", body(function()
      local t = timer(FAR)
      failshere("calling 'stop' on bad self (timer expected, got nil; call it with a colon)", function() t.stop() end)
      failshere("calling 'reset' on bad self (timer expected, got number; call it with a colon)",
        function() t.reset(1) end)
      failshere("calling 'recv' on bad self", function() t.c.recv() end)
      failshere("calling 'tryrecv' on bad self", function() t.c.tryrecv() end)
      failshere("calling 'len' on bad self", function() t.c.len() end)
      failshere("calling 'cap' on bad self", function() t.c.cap() end)
      failshere("bad argument #1 to 'reset' (number of seconds expected, got no value)", function() t:reset() end)
      failshere("bad argument #1 to 'reset' (number of seconds expected, got nan)", function() t:reset(0 / 0) end)
      failshere("send on receive-only channel (timer)", function() t.c:send(1) end)
      failshere("send on receive-only channel (timer)", function() t.c:trysend(1) end)
      failshere("close of receive-only channel (timer)", function() t.c:close() end)
      failshere("bad argument #1 to 'select' (case 1: send on receive-only channel)",
        function() select_ { { t.c, send = 1 }, default = true } end)
      assert.is_true(t:stop()) -- and it is as it was
    end))
  end)

  describe("a ticker " .. kind, function()
    it("sends again and again, at its period", body(function()
      local t0 = lp.now()
      local t, last = ticker(0.002), nil
      for i = 1, 5 do
        local v, ok = t.c:recv()
        assert.is_true(ok and v >= t0 + i * 0.002 - 1e-9)
        assert.is_true(not last or v > last)
        assert.is_true(not exact or v == lp.now())
        last = v
      end
      assert.is_true(t:stop())
      quiet(t)
      assert.is_false(t:stop())
      lp.sleep(0.005)
      quiet(t)
    end))

    it("drops the ticks that nobody receives in time", body(function()
      local t = ticker(0.001)
      lp.sleep(0.01)
      assert.equal(0, t.c:len())
      local v = t.c:recv()
      assert.is_true(v < lp.now())
      local n = 0
      while select(3, t.c:tryrecv()) do -- one more may be due by now, not ten
        n = n + 1
      end
      assert.is_true(n <= 2 and (not exact or n == 0), n)
      t:stop()
    end))

    it("takes another period by reset, also when it was stopped", body(function()
      local t = ticker(FAR)
      assert.is_true(t:reset(0.001))
      t.c:recv()
      t.c:recv()
      t:stop()
      assert.is_false(t:reset(0.001))
      t.c:recv()
      t.c:recv()
      assert.matches("^ticker %[", tostring(t))
      t:stop()
      assert.equal("ticker [stopped]", tostring(t))
    end))

    it("wakes who waits when it is reset", body(function()
      local t, n = ticker(FAR), 0
      go(function()
        for _ in t.c do
          n = n + 1
          if n == 3 then
            t:stop()
            return
          end
        end
      end)
      settle()
      t:reset(0.001)
      assert.is_true(eventually(function() return n == 3 end))
      quiet(t)
    end))

    it("takes no period of 0 or less, at the caller's line, and goes on", body(function()
      local t = ticker(FAR)
      for _, bad in ipairs { 0, -1, -math.huge } do
        failshere("bad argument #1 to 'reset' (positive number of seconds expected", function() t:reset(bad) end)
        failshere("bad argument #1 to 'ticker' (positive number of seconds expected", function() lp.ticker(bad) end)
      end
      failshere("bad argument #1 to 'ticker' (number of seconds expected, got no value)", function() lp.ticker() end)
      failshere("bad argument #1 to 'ticker' (number of seconds expected, got string)", function() lp.ticker("x") end)
      failshere("bad argument #1 to 'ticker' (number of seconds expected, got nan)", function() lp.ticker(0 / 0) end)
      failshere("bad argument #1 to 'reset' (number of seconds expected, got no value)", function() t:reset() end)
      assert.is_true(t:stop())
    end))
  end)
end

describe("a timer that becomes shared", function()
  it("keeps who waits for it, and who stops and resets it reaches them", run(function()
    local t, u, got = lp.timer(FAR), lp.timer(0.003), 0
    for i = 1, 4 do
      go(function() local w = i % 2 == 0 and t.c:recv() or select_ { chan(), t.c }; got = got + (w and 1 or 0) end)
    end
    go(function() u.c:recv(); got = got + 10 end)
    settle()
    helper.share(t)
    helper.share(u)
    assert.is_true(eventually(function() return got == 10 end)) -- in its own time
    t:stop()
    settle()
    for i = 1, 4 do
      t:reset(0)
      assert.is_true(eventually(function() return got == 10 + i end))
    end
    assert.is_false(t:stop())
  end))

  it("between a reset and the waking of those who waited", run(function()
    for _ = 1, 20 do
      local t, got = lp.timer(FAR), 0
      for _ = 1, 3 do
        go(function() t.c:recv(); got = got + 1 end)
      end
      settle(2)
      t:reset(0)
      helper.share(t)
      for i = 1, 3 do
        t:reset(0)
        assert.is_true(eventually(function() return got >= i end))
      end
      assert.is_true(eventually(function() return got == 3 or not t:reset(0) and false end))
    end
  end))
end)

describe("after", function()
  it("of a time that nobody lives to see is waited for, and is no deadlock", function()
    local out, err, status = helper.script [[
      for _, s in ipairs { math.huge, 1e300, 1e16, 1e10 } do
        go(function() luapark.after(s):recv() print "never" end)
        go(function() luapark.select { luapark.timer(s).c } print "never" end)
      end
      go(function() luapark.sleep(0.02) print(luapark.numgoroutine()) os.exit(7) end)
      luapark.after(math.huge):recv()
    ]]
    assert.same({ "10\n", "", 7 }, { out, err, status })
  end)
end)

describe("afterfunc", function()
  it("calls the function with its arguments, in a goroutine of its own, not before its time", run(function()
    local done, t0, me = chan(), lp.now(), lp.getg()
    lp.afterfunc(0.004, function(...)
      done:send { select("#", ...), (...), select(3, ...), lp.now() - t0 >= 0.004, lp.getg() ~= me }
    end, "x", nil, "z")
    assert.same({ 3, "x", "z", true, true }, (done:recv()))
  end))

  it("of 0 and less is called soon, not at once", run(function()
    for _, s in ipairs { 0, -1, -math.huge } do
      local called = false
      lp.afterfunc(s, function() called = true end)
      assert.is_false(called)
      assert.is_true(eventually(function() return called end))
    end
  end))

  it("that is stopped in time is not called: true, once", bubble(function()
    local called = 0
    local t = lp.afterfunc(0.01, function() called = called + 1 end)
    assert.is_true(t:stop())
    assert.is_false(t:stop())
    lp.sleep(0.02)
    assert.equal(0, called)
    -- due, but it has not begun
    t = lp.afterfunc(0, function() called = called + 1 end)
    assert.is_true(t:stop())
    settle()
    assert.equal(0, called)
  end))

  it("that has been called is not stopped: false; reset calls it once more", bubble(function()
    local at = {}
    local t = lp.afterfunc(1, function() at[#at + 1] = lp.now() end)
    lp.sleep(1.5)
    assert.is_false(t:stop())
    assert.is_false(t:reset(1))
    lp.sleep(1.5)
    assert.is_false(t:reset(FAR))
    assert.is_true(t:reset(1)) -- it was set
    lp.sleep(2 * FAR)
    assert.same({ 1, 2.5, 4 }, at)
  end))

  it("may be stopped and reset at once, and from its own function", bubble(function()
    local called, t = 0, nil
    t = lp.afterfunc(FAR, function()
      called = called + 1
      if called < 5 then
        assert(t:reset(0.0005) == false)
      end
    end)
    assert.is_true(t:stop())
    assert.is_false(t:reset(0.001))
    assert.is_true(eventually(function() return called == 5 end))
    assert.is_false(t:stop())
  end))

  it("may run while it is called again", run(function()
    local gate, inside = chan(), 0
    local t = lp.afterfunc(0, function()
      inside = inside + 1
      gate:recv()
      inside = inside - 1
    end)
    for i = 1, 3 do
      assert.is_true(eventually(function() return inside == i end))
      t:reset(0)
    end
    assert.is_true(eventually(function() return inside == 4 end))
    gate:close()
    assert.is_true(eventually(function() return inside == 0 end))
  end))

  it("10,000 times leaves no goroutine and no deadline", run(function()
    local core = require "luapark.core"
    local goroutines, timers, called = lp.numgoroutine(), core.ntimers(), 0
    for i = 1, 10000 do
      local t = lp.afterfunc(i % 2 == 0 and FAR or 0, function() called = called + 1 end)
      if i % 2 == 0 then
        assert(t:stop())
      end
    end
    assert.is_true(eventually(function() return called == 5000 and lp.numgoroutine() <= goroutines end))
    assert.equal(timers, core.ntimers())
  end))

  it("keeps the program alive until it is called, not when it was stopped", function()
    local out, err, status = helper.script [[
      luapark.afterfunc(0.02, print, "called")
      luapark.afterfunc(3600, print, "never"):stop()
      print "end of main"
    ]]
    assert.same({ "end of main\ncalled\n", "", 0 }, { out, err, status })
  end)

  it("whose function fails ends the program, as any goroutine", function()
    local out, err, status = helper.script [[
      luapark.afterfunc(0.001, function() error "oops" end)
      luapark.sleep(5)
      print "never"
    ]]
    assert.equal("", out)
    assert.matches("goroutine %d+ %[running%]:\n[^\n]*:1: oops\n", err)
    assert.equal(2, status)
  end)

  it("checks its arguments at the caller's line", run(function()
    local t = lp.afterfunc(FAR, print)
    assert.is_nil(t.c)
    failshere("bad argument #1 to 'afterfunc' (number of seconds expected, got no value)", function() lp.afterfunc() end)
    failshere("bad argument #1 to 'afterfunc' (number of seconds expected, got nan)",
      function() lp.afterfunc(0 / 0, print) end)
    failshere("bad argument #2 to 'afterfunc' (function expected, got no value)", function() lp.afterfunc(1) end)
    failshere("bad argument #2 to 'afterfunc' (function expected, got string)", function() lp.afterfunc(1, "print") end)
    failshere("calling 'stop' on bad self (afterfunc expected, got nil; call it with a colon)", function() t.stop() end)
    failshere("calling 'reset' on bad self (afterfunc expected, got number; call it with a colon)",
      function() t.reset(1) end)
    failshere("bad argument #1 to 'reset' (number of seconds expected, got no value)", function() t:reset() end)
    failshere("cannot send value: a table with a metatable that has no __module", function() chan(1):send(t) end)
    assert.is_true(t:stop())
  end))
end)

describe("many timers", function()
  it("a million, made and stopped, leave no memory", run(function()
    local n, part = 1000000, 100000
    helper.collect()
    local before, most = collectgarbage "count", 0
    for i = 1, n do
      local t = lp.timer(FAR)
      if i % 2 == 0 then
        t:stop()
      end
      if i % part == 0 then
        most = math.max(most, collectgarbage "count")
      end
    end
    helper.collect()
    assert.is_true(collectgarbage "count" - before < 1500, collectgarbage "count" - before)
    assert.is_true(most - before < 200 * 1024, most) -- they were collected on the way
    assert.equal(0, require("luapark.core").ntimers())
  end))

  it("of which others know leave none either", run(function()
    helper.collect()
    local before
    for i = 1, 20000 do
      local t = helper.share(lp.timer(FAR))
      if i % 64 == 0 then
        settle()
      end
      if i % 2 == 0 then
        t:stop()
      end
      if i == 2000 then
        assert.is_true(eventually(function() return lp.numgoroutine() <= 2 end))
        helper.collect()
        before = collectgarbage "count"
      end
    end
    assert.is_true(eventually(function() return lp.numgoroutine() <= 2 end))
    helper.collect()
    assert.is_true(collectgarbage "count" - before < 3000, collectgarbage "count" - before)
  end))

  it("that are waited for one after the other come in their order", run(function()
    local n, ts = 2000, {}
    math.randomseed(3)
    for i = 1, n do
      ts[i] = { at = math.random() * 0.05 }
    end
    for i = 1, n do
      ts[i].t = lp.timer(ts[i].at)
    end
    local wg, early, t0 = lp.waitgroup(), 0, lp.now()
    for i = 1, n do
      wg:go(function()
        local v = ts[i].t.c:recv()
        ts[i].came, ts[i].v = lp.now(), v
        early = early + (lp.now() < v and 1 or 0)
      end)
    end
    wg:wait()
    assert.equal(0, early)
    table.sort(ts, function(a, b) return a.v < b.v end)
    for i = 2, n do
      assert.is_true(ts[i].came >= ts[i].v)
    end
    assert.is_true(lp.now() - t0 < 30)
  end))

  it("100,000 sleepers wake in their order", run(function()
    local n, at, latest, early, wrong, gate, wg = 100000, {}, 0, 0, 0, chan(), lp.waitgroup()
    local start = math.huge
    for i = 1, n do
      wg:go(function()
        gate:recv()
        local t = lp.now()
        lp.sleep(at[i] - t)
        early = early + (lp.now() < at[i] - 1e-6 and 1 or 0)
        -- The sleeps were told from moments that are not quite the same, least so where the machine stands still in
        -- between. Who came to it late is none to judge.
        wrong = wrong + (t < start and at[i] < latest - 0.05 and 1 or 0)
        latest = t < start and math.max(latest, at[i]) or latest
      end)
    end
    gosched()
    math.randomseed(11)
    start = lp.now() + 0.5 -- by then they sleep
    for i = 1, n do
      at[i] = start + math.random() * 0.2
    end
    gate:close()
    wg:wait()
    assert.equal(0, early)
    assert.equal(0, wrong)
  end))
end)

describe("timers on several Ps", function()
  it("are received, stopped and reset wherever they are known", function()
    prints("received\nstopped elsewhere: true, nothing came\nreset elsewhere: true\n3 of 3 ticks\nonce\n", [[
      local out = chan()
      -- received on another P
      elsewhere(function(t) out:send(type(t.c:recv()) == "number" and "received") end, lp.timer(0.002))
      print((out:recv()))
      -- stopped on another P, while we wait for it
      local t, far = lp.timer(0.05), lp.timer(3600)
      elsewhere(function(x, f)
        lp.sleep(0.002)
        out:send(x:stop())
        f:reset(0.01)
      end, t, far)
      local stopped = out:recv()
      local which = lp.select { t.c, far.c }
      lp.sleep(0.06)
      print("stopped elsewhere: " .. tostring(stopped) .. (which == 2 and not select(3, t.c:tryrecv()) and
        ", nothing came" or ", something came"))
      -- reset on another P, while goroutines wait for it here and there
      local u = lp.timer(3600)
      local got = chan(2)
      elsewhere(function() u.c:recv() got:send(1) end)
      go(function() u.c:recv() got:send(1) end)
      gosched()
      elsewhere(function() out:send(u:reset(0)) end)
      local was = out:recv()
      got:recv()
      while got:len() == 0 do u:reset(0) gosched() end
      got:recv()
      print("reset elsewhere: " .. tostring(was))
      -- a ticker
      local k = lp.ticker(0.002)
      for _ = 1, 3 do
        elsewhere(function(x) out:send(type(x.c:recv()) == "number" and 1 or 0) end, k)
      end
      print(out:recv() + out:recv() + out:recv() .. " of 3 ticks")
      k:stop()
      -- three Ps want one time
      local one, n = lp.timer(0.02), lp.atomic()
      local wg = lp.waitgroup()
      wg:add(3)
      for _ = 1, 3 do
        elsewhere(function()
          if lp.select { one.c, timeout = 0.1 } == 1 then n:add(1) end
          wg:done()
        end)
      end
      wg:wait()
      print(n:load() == 1 and "once" or n:load() .. " times")
    ]])
  end)

  it("may be stopped and reset on one while another waits, thousands of times", function()
    prints("ok\n", [[
      local t, sum, stop = lp.timer(3600), lp.atomic(), lp.atomic()
      local wg = lp.waitgroup()
      wg:add(2)
      for _ = 1, 2 do
        elsewhere(function() -- one that waits in a select, one that receives
          local quit = lp.ticker(0.001)
          while stop:load() == 0 do
            if lp.select { t.c, quit.c } == 1 then sum:add(1) end
          end
          wg:done()
        end)
      end
      local fired = 0
      local me = lp.timer(3600)
      for i = 1, 20000 do
        if t:reset(0) == false then fired = fired + 1 end -- the last one was received
        if i % 3 == 0 then t:stop() t:reset(3600) end
        if i % 100 == 0 then lp.sleep(0.0002) end
      end
      t:stop()
      stop:store(1)
      wg:wait()
      print(sum:load() > 0 and sum:load() <= 20000 and "ok" or sum:load())
    ]])
  end)
end)
