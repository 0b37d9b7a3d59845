-- SPDX-License-Identifier: MIT

-- time: sleeping, the clock, and channels that tell the time.

local helper = require "spec.helper"
local lp = helper.lp
local run, bubble, failshere = helper.run, helper.bubble, helper.failshere
local go, gosched, chan = lp.go, lp.gosched, lp.chan

describe("now", function()
  it("never goes back, and has fractions", run(function()
    local last, fractions = lp.now(), false
    for i = 1, 100000 do
      local t = lp.now()
      assert(t >= last)
      fractions = fractions or t % 1 ~= 0
      last = t
      if i % 1000 == 0 then
        gosched()
      end
    end
    assert.is_true(fractions)
  end))

  it("counts seconds", run(function()
    local t0, w0 = lp.now(), os.time()
    lp.sleep(0.05)
    local dt = lp.now() - t0
    assert.is_true(dt >= 0.05 and dt < 30, tostring(dt))
    assert.is_true(os.time() - w0 < 30)
  end))

  it("works outside goroutines", function()
    assert.is_number(lp.now())
  end)
end)

describe("sleep", function()
  it("lasts as long as it is told, at least", run(function()
    for _, s in ipairs { 0.0001, 0.001, 0.0105 } do
      local t0 = lp.now()
      assert.equal(0, select("#", lp.sleep(s)))
      assert.is_true(lp.now() - t0 >= s)
    end
  end))

  it("wakes in the order of the deadlines", bubble(function()
    local order, wg = {}, lp.waitgroup()
    for _, i in ipairs { 5, 1, 4, 2, 3 } do
      wg:go(function()
        lp.sleep(i * 0.004)
        order[#order + 1] = i
        assert(lp.now() == i * 0.004)
      end)
    end
    wg:wait()
    assert.same({ 1, 2, 3, 4, 5 }, order)
  end))

  it("lets others run meanwhile", run(function()
    local n, stop = 0, false
    go(function()
      while not stop do
        n = n + 1
        gosched()
      end
    end)
    lp.sleep(0.01)
    stop = true
    assert.is_true(n > 10, "only " .. n .. " turns")
    gosched()
  end))

  it("wakes although others never wait", run(function()
    local stop = false
    for _ = 1, 3 do
      go(function()
        while not stop do
          gosched()
        end
      end)
    end
    lp.sleep(0.005)
    stop = true
    gosched()
  end))

  it("of 0 comes back, and lets everybody else run in a loop", run(function()
    local turns, stop = {}, false
    for i = 1, 10 do
      turns[i] = 0
      go(function()
        while not stop do
          turns[i] = turns[i] + 1
          gosched()
        end
      end)
    end
    for _ = 1, 200 do
      lp.sleep(0)
    end
    stop = true
    for i = 1, 10 do
      assert.is_true(turns[i] > 0)
    end
  end))

  it("of a negative time is as of 0", run(function()
    for _, s in ipairs { -1, -1e9, -math.huge, -0.0001 } do
      local t0 = lp.now()
      lp.sleep(s)
      assert.is_true(lp.now() - t0 < 30)
    end
  end))

  it("takes numbers only, at the caller's line", run(function()
    failshere("bad argument #1 to 'sleep'", function() lp.sleep(0 / 0) end)
    failshere("bad argument #1 to 'sleep' (number expected, got no value)", function() lp.sleep() end)
    failshere("bad argument #1 to 'sleep' (number expected, got table)", function() lp.sleep({}) end)
    failshere("bad argument #1 to 'sleep' (number expected, got string)", function() lp.sleep("soon") end)
  end))

  it("of infinite time waits, and is no deadlock", function()
    local out, err, status = helper.script [[
      go(function() luapark.sleep(math.huge) end)
      go(function() luapark.sleep(1e300) end)
      luapark.sleep(0.02)
      print(luapark.numgoroutine())
      os.exit(7)
    ]]
    assert.equal("", err)
    assert.equal("3\n", out)
    assert.equal(7, status)
  end)

  it("works under C functions", bubble(function()
    local t = { 3, 1, 2 }
    local n = 0
    table.sort(t, function(a, b) lp.sleep(1); n = n + 1; return a < b end)
    assert.same({ 1, 2, 3 }, t)
    assert.equal(n, lp.now())
  end))
end)

describe("10,000 sleepers", function()
  it("wake in the order of their deadlines", bubble(function()
    local n, order, early, wg = 10000, {}, 0, lp.waitgroup()
    math.randomseed(7)
    for _ = 1, n do
      local at = 0.05 + math.random() * 0.05
      wg:go(function()
        lp.sleep(at)
        early = early + (lp.now() == at and 0 or 1)
        order[#order + 1] = at
      end)
    end
    wg:wait()
    assert.equal(0, early)
    assert.equal(n, #order)
    for i = 2, n do
      assert(order[i - 1] <= order[i])
    end
  end))

  it("that are due at one look at the clock wake in order as well", run(function()
    local order, wg = {}, lp.waitgroup()
    for i = 1, 20 do
      wg:go(function()
        lp.sleep(i <= 19 and i * 0.001 or 0.0005)
        order[#order + 1] = i
      end)
    end
    gosched()
    local t0 = lp.now()
    while lp.now() < t0 + 0.05 do end -- nobody else runs
    wg:wait()
    assert.same({ 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 }, order)
  end))
end)

describe("after", function()
  it("sends the time, once", bubble(function()
    local c = lp.after(0.005)
    assert.same({ 0.005, true }, { c:recv() })
    assert.equal(0.005, lp.now())
    assert.is_false(select(3, c:tryrecv()))
  end))

  it("of 0 and less is due at once", run(function()
    for _, s in ipairs { 0, -1, -math.huge } do
      assert.is_number((lp.after(s):recv()))
    end
  end))

  it("waits in a select", bubble(function()
    local c = chan()
    assert.equal(2, (lp.select { c, lp.after(0.002) }))
    assert.equal(0.002, lp.now())
    go(function() c:send(1) end)
    assert.equal(1, (lp.select { c, lp.after(60) }))
  end))

  it("fires though nobody waits yet", bubble(function()
    local c = lp.after(0.001)
    lp.sleep(0.005)
    assert.equal(0, c:len()) -- nothing is buffered
    assert.is_number((c:recv()))
  end))

  it("many at once come in order", bubble(function()
    local cs, got = {}, {}
    for i = 1, 100 do
      cs[i] = lp.after(i * 37 % 100)
    end
    for i = 1, 100 do
      got[i * 37 % 100] = cs[i]:recv()
    end
    for i = 0, 99 do
      assert.equal(i, got[i])
    end
  end))

  it("is receive-only", run(function()
    local c = lp.after(1)
    failshere("send on receive-only channel (timer)", function() c:send(1) end)
    failshere("send on receive-only channel (timer)", function() c:trysend(1) end)
    failshere("close of receive-only channel (timer)", function() c:close() end)
    failshere("bad argument #1 to 'select' (case 1: send on receive-only channel)", function()
      lp.select { { c, send = 1 }, default = true }
    end)
    failshere("calling 'recv' on bad self (timer expected, got nil; call it with a colon)", function() c.recv() end)
  end))

  it("takes numbers only, at the caller's line", run(function()
    failshere("bad argument #1 to 'after'", function() lp.after(0 / 0) end)
    failshere("bad argument #1 to 'after' (number of seconds expected, got no value)", function() lp.after() end)
    failshere("bad argument #1 to 'after'", function() lp.after("1") end)
    failshere("bad argument #1 to 'after'", function() lp.after({}) end)
  end))

  it("may be infinite", bubble(function()
    local c = lp.after(math.huge)
    assert.equal("timeout", (lp.select { c, timeout = 0.002 }))
    assert.equal(0, c:len())
  end))

  it("that nobody waits on keeps nothing alive", function()
    local t0 = os.time()
    local out, err, status = helper.script [[luapark.after(3600) print "end"]]
    assert.same({ "end\n", "", 0 }, { out, err, status })
    -- ... and is a deadlock for those who wait for something else
    out, err, status = helper.script [[local t = luapark.after(3600) chan():recv()]]
    assert.equal("", out)
    assert.matches("all goroutines are asleep", err)
    assert.equal(2, status)
    -- ... and for a daemon alone it does not keep the program either
    out, err, status = helper.script [[
      local t = luapark.after(3600)
      go(function() t:recv() end):daemon()
      gosched()
      print "end"
    ]]
    assert.same({ "end\n", "", 0 }, { out, err, status })
    assert.is_true(os.time() - t0 < 60)
  end)

  it("that somebody waits on keeps the program alive", function()
    local out, err, status = helper.script [[
      go(function() luapark.after(0.02):recv() print "one" end)
      go(function() print(luapark.select { chan(), luapark.after(0.03) } == 2 and "two") end)
    ]]
    assert.same({ "one\ntwo\n", "", 0 }, { out, err, status })
  end)
end)
