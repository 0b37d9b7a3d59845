-- SPDX-License-Identifier: MIT

-- select: which case is chosen, and what it leaves behind.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local chan, go, gosched, select_ = lp.chan, lp.go, lp.gosched, lp.select

local function pack(...) return { n = select("#", ...), ... } end

-- That nobody is registered on c any more: a value sent to it stays, one that is there is not taken.
local function clean(c)
  assert(c:cap() == 0, "for unbuffered channels")
  assert.is_false(c:trysend("probe"))
  assert.same({ n = 3, nil, false, false }, pack(c:tryrecv()))
end

describe("select", function()
  it("receives: index, value, true", run(function()
    local a, b = chan(1), chan(1)
    b:send("x")
    assert.same({ n = 3, 2, "x", true }, pack(select_ { a, b }))
    a:send(nil)
    assert.same({ n = 3, 1, nil, true }, pack(select_ { a, b }))
  end))

  it("sends: index", run(function()
    local a, b = chan(), chan(1)
    local r = pack(select_ { a, { b, send = "x" } })
    assert.equal(2, r[1])
    assert.is_nil(r[2])
    assert.equal("x", (b:recv()))
  end))

  it("sends nil and false where the case says so", run(function()
    local c = chan(2)
    assert.equal(1, (select_ { { c, send = false } }))
    assert.equal(1, (select_ { { c } }))
    assert.same({ false, true }, { c:recv() })
    assert.same({ nil, true }, { c:recv() })
    local u, got = chan(), nil
    go(function() got = { u:recv() } end)
    gosched()
    assert.equal(1, (select_ { { u, send = false } }))
    gosched()
    assert.same({ false, true }, got)
  end))

  it("waits for a receive", run(function()
    local a, b = chan(), chan()
    go(function() b:send("x") end)
    assert.same({ n = 3, 2, "x", true }, pack(select_ { a, b }))
    clean(a)
    clean(b)
  end))

  it("waits for a send", run(function()
    local a, b, got = chan(), chan(), nil
    go(function() got = b:recv() end)
    assert.equal(2, (select_ { a, { b, send = "x" } }))
    gosched()
    assert.equal("x", got)
    clean(a)
    clean(b)
  end))

  it("waits for room in a buffer, and for a value in one", run(function()
    local full, empty = chan(1), chan(1)
    full:send(1)
    go(function() full:recv() end)
    assert.equal(1, (select_ { { full, send = 2 }, empty }))
    assert.equal(2, (full:recv()))
    full:send(3)
    go(function() empty:send(4) end)
    assert.same({ 2, 4, true }, { select_ { { full, send = 5 }, empty } })
    assert.equal(3, (full:recv()))
    assert.equal(0, full:len())
  end))

  it("gets a waiting sender's value, and lets the sender go on", run(function()
    local c, sent = chan(), false
    go(function() c:send("x"); sent = true end)
    gosched()
    assert.same({ 1, "x", true }, { select_ { c } })
    gosched()
    assert.is_true(sent)
  end))

  it("meets another select", run(function()
    local a, b, got = chan(), chan(), nil
    go(function() got = pack(select_ { { a, send = "from other" }, b }) end)
    local mine = pack(select_ { { b, send = "from main" }, a })
    settle()
    -- Either channel will do, the same for both: one has received, and the other sent.
    local received, sender = mine, got
    if mine[1] == 1 then
      received, sender = got, mine
    end
    assert.same({ 2, mine[1] == 1 and "from main" or "from other", true }, { received[1], received[2], received[3] })
    assert.equal(1, sender[1])
    clean(a)
    clean(b)
  end))

  it("carries ping-pong between two selects, each value once", run(function()
    local a, b, n = chan(), chan(), 0
    go(function()
      local out
      while true do
        local i, v = select_ { a, out and { b, send = out } }
        if i == 1 then
          if not v then
            return
          end
          out = v
        else
          out = nil
        end
      end
    end)
    for i = 1, 2000 do
      assert.equal(1, (select_ { { a, send = i }, b }))
      local _, v = select_ { b }
      n = n + (v == i and 1 or 0)
    end
    a:close()
    gosched()
    assert.equal(2000, n)
  end))
end)

describe("select's choice", function()
  -- Chi-squared of 100,000 picks among k ready cases: with k - 1 degrees of freedom more than `bound` happens to a fair
  -- choice once in a million.
  for _, case in ipairs { { 2, 23.9 }, { 3, 27.6 }, { 5, 33.4 } } do
    local k, bound = case[1], case[2]
    it("is fair among " .. k .. " ready cases", run(function()
      local cases, count, n = {}, {}, 100000
      for i = 1, k do
        cases[i] = chan(1)
        cases[i]:send(i)
        count[i] = 0
      end
      for _ = 1, n do
        local i, v = select_(cases)
        assert(i == v)
        count[i] = count[i] + 1
        cases[i]:send(i)
      end
      local chi = 0
      for i = 1, k do
        chi = chi + (count[i] - n / k) ^ 2 / (n / k)
      end
      assert.is_true(chi < bound, ("chi-squared is %g: %s"):format(chi, table.concat(count, " ")))
      assert.is_true(chi > 1e-9, "too even to be random")
    end))
  end

  it("is fair among sends and receives, with cases that are not ready between", run(function()
    local r, s, never = chan(1), chan(1), chan()
    local n, count = 20000, { 0, 0, 0, 0, 0 }
    for _ = 1, n do
      r:trysend(1)
      s:tryrecv()
      local i = select_ { never, r, false, { s, send = 1 }, { never, send = 1 } }
      count[i] = count[i] + 1
    end
    assert.equal(n, count[2] + count[4])
    local chi = (count[2] - n / 2) ^ 2 / (n / 2) * 2
    assert.is_true(chi < 23.9, ("%d %d"):format(count[2], count[4]))
  end))

  it("does not disturb math.random", run(function()
    local c, d = chan(1), chan(1)
    math.randomseed(42)
    local a = math.random()
    math.randomseed(42)
    for _ = 1, 10 do
      c:trysend(1)
      d:trysend(1)
      select_ { c, d }
    end
    assert.equal(a, math.random())
  end))

  it("serves no case for ever at another's cost", run(function()
    local a, b, stop = chan(), chan(), false
    local function feed(c) return function() while not stop do c:send(1) end end end
    go(feed(a))
    go(feed(b))
    local count = { 0, 0 }
    for _ = 1, 2000 do
      local i = select_ { a, b }
      count[i] = count[i] + 1
      gosched()
    end
    stop = true
    settle()
    a:tryrecv()
    b:tryrecv()
    settle()
    assert.is_true(count[1] > 500 and count[2] > 500, count[1] .. " " .. count[2])
  end))
end)

describe("select with one channel in several cases", function()
  it("takes one value once", run(function()
    local c = chan()
    go(function() c:send("x") end)
    local i, v, ok = select_ { c, c, c }
    assert.is_true(i >= 1 and i <= 3)
    assert.same({ "x", true }, { v, ok })
    clean(c)
  end))

  it("sends one value once", run(function()
    local c, got = chan(), nil
    go(function() got = c:recv() end)
    local i = select_ { { c, send = 1 }, { c, send = 2 }, { c, send = 3 } }
    gosched()
    assert.equal(i, got)
    clean(c)
  end))

  it("does not talk to itself when it sends and receives", run(function()
    local c = chan()
    assert.equal("default", (select_ { c, { c, send = 1 }, default = true }))
    assert.equal("timeout", (select_ { c, { c, send = 1 }, timeout = 0.001 }))
    clean(c)
    go(function() c:send("x") end)
    assert.same({ 1, "x", true }, { select_ { c, { c, send = 1 } } })
    clean(c)
    local got
    go(function() got = c:recv() end)
    assert.equal(2, (select_ { c, { c, send = "y" } }))
    gosched()
    assert.equal("y", got)
    clean(c)
  end))

  it("talks to its own buffer", run(function()
    local c = chan(1)
    assert.equal(2, (select_ { c, { c, send = "x" } }))
    assert.same({ 1, "x", true }, { select_ { c, { c, send = "y" } } })
  end))

  it("wakes once when the channel is closed", run(function()
    local c = chan()
    go(function() c:close() end)
    local i, v, ok = select_ { c, c, c, c }
    assert.is_true(i >= 1 and i <= 4)
    assert.is_nil(v)
    assert.is_false(ok)
  end))
end)

describe("select's default", function()
  it("is chosen when nothing can proceed, only then", run(function()
    local c = chan(1)
    assert.same({ n = 1, "default" }, pack(select_ { c, default = true }))
    c:send(1)
    assert.same({ n = 3, 1, 1, true }, pack(select_ { c, default = true }))
    assert.equal("default", (select_ { default = true }))
    assert.equal("default", (select_ { false, default = true }))
    clean(chan())
  end))

  it("goes before a timeout", run(function()
    assert.equal("default", (select_ { chan(), default = true, timeout = 0 }))
    assert.equal("default", (select_ { chan(), default = true, timeout = 3600 }))
  end))

  it("that is false is none", run(function()
    assert.equal("timeout", (select_ { chan(), default = false, timeout = 0 }))
  end))
end)

describe("select's timeout", function()
  it("of 0 and less tries once", run(function()
    local c = chan(1)
    assert.same({ n = 1, "timeout" }, pack(select_ { c, timeout = 0 }))
    assert.equal("timeout", (select_ { c, timeout = -5 }))
    c:send(1)
    assert.equal(1, (select_ { c, timeout = 0 }))
    c:send(1)
    assert.equal(1, (select_ { c, timeout = -math.huge }))
    assert.equal("timeout", (select_ { c, timeout = -math.huge }))
    clean(chan())
  end))

  it("passes, and leaves nobody waiting", run(function()
    local c, t0 = chan(), lp.now()
    assert.same({ n = 1, "timeout" }, pack(select_ { c, { c, send = 1 }, timeout = 0.02 }))
    assert.is_true(lp.now() - t0 >= 0.02)
    clean(c)
    go(function() c:send("later") end)
    assert.equal("later", (c:recv()))
  end))

  it("does not hold up what comes earlier, nor fire afterwards", run(function()
    local c = chan()
    for i = 1, 100 do
      go(function() c:send(i) end)
      assert.same({ 1, i, true }, { select_ { c, timeout = 0.005 } })
    end
    local woken = 0
    local g = go(function() lp.gopark(); woken = woken + 1 end)
    lp.sleep(0.01) -- the timeouts' time
    assert.equal(0, woken)
    lp.goready(g)
    gosched()
  end))

  it("may be infinite", run(function()
    local c = chan()
    go(function() c:send("x") end)
    assert.same({ 1, "x", true }, { select_ { c, timeout = math.huge } })
    clean(c)
  end))

  it("that is no number is an error at the caller's line", run(function()
    failshere("bad argument #1 to 'select'", function() select_ { chan(), timeout = 0 / 0 } end)
    failshere("bad argument #1 to 'select'", function() select_ { chan(), timeout = "1" } end)
    failshere("bad argument #1 to 'select'", function() select_ { chan(), timeout = {} } end)
  end))

  it("alone waits that long", run(function()
    local t0 = lp.now()
    assert.equal("timeout", (select_ { timeout = 0.01 }))
    assert.is_true(lp.now() - t0 >= 0.01)
    assert.equal("timeout", (select_ { false, { nil, send = 1 }, timeout = 0.001 }))
  end))

  it("races with senders and loses no value", run(function()
    local c, sent, got, timeouts = chan(), 0, 0, 0
    local wg, done = lp.waitgroup(), chan()
    math.randomseed(1)
    for s = 1, 20 do
      wg:go(function()
        for i = 1, 50 do
          lp.sleep((s * 7 + i * 13) % 10 * 1e-4)
          c:send(1)
          sent = sent + 1
        end
      end)
    end
    go(function() wg:wait(); done:close() end)
    local finished = chan()
    for r = 1, 10 do
      go(function()
        while true do
          local i, v = select_ { c, done, timeout = (r % 5) * 1e-4 + 1e-5 }
          if i == "timeout" then
            timeouts = timeouts + 1
            if timeouts % 16 == 0 then
              gosched()
            end
          elseif i == 1 then
            got = got + v
          else
            break
          end
        end
        finished:send()
      end)
    end
    for _ = 1, 10 do
      finished:recv()
    end
    assert.equal(1000, sent)
    assert.equal(1000, got)
    assert.is_true(timeouts > 0)
    clean(c)
  end))

  it("races with receivers and sends no value twice", run(function()
    local c, acknowledged, got, wg = chan(), 0, 0, lp.waitgroup()
    local stop = false
    for r = 1, 10 do
      wg:go(function()
        while not stop do
          if select_ { c, timeout = r * 1e-4 } == 1 then
            got = got + 1
          end
        end
      end)
    end
    for i = 1, 500 do
      if select_ { { c, send = i }, timeout = (i % 5) * 1e-4 } == 1 then
        acknowledged = acknowledged + 1
      end
      if i % 3 == 0 then
        lp.sleep(1e-4)
      end
    end
    stop = true
    wg:wait()
    assert.equal(acknowledged, got)
    assert.is_true(got > 0)
    clean(c)
  end))
end)

describe("select on closed channels", function()
  it("receives nil, false", run(function()
    local c = chan()
    c:close()
    assert.same({ n = 3, 2, nil, false }, pack(select_ { chan(), c }))
  end))

  it("receives what is buffered first", run(function()
    local c = chan(1)
    c:send("x")
    c:close()
    assert.same({ 1, "x", true }, { select_ { c } })
    assert.same({ n = 3, 1, nil, false }, pack(select_ { c }))
  end))

  it("wakes with nil, false when one is closed meanwhile", run(function()
    local a, b = chan(), chan()
    go(function() b:close() end)
    assert.same({ n = 3, 2, nil, false }, pack(select_ { a, b }))
    clean(a)
  end))

  it("raises an error for a send, at the caller's line, and leaves nobody waiting", run(function()
    local a, b = chan(), chan()
    b:close()
    failshere("send on closed channel", function() select_ { a, { b, send = 1 } } end)
    local c = chan()
    go(function() c:close() end)
    failshere("send on closed channel", function() select_ { a, { c, send = 1 } } end)
    clean(a)
  end))

  it("ends a loop over several channels that are set to false as they close", run(function()
    local a, b, got = chan(), chan(2), {}
    go(function()
      for i = 1, 3 do
        a:send("a" .. i)
      end
      a:close()
    end)
    go(function()
      for i = 1, 3 do
        b:send("b" .. i)
      end
      b:close()
    end)
    local cases = { a, b }
    while cases[1] or cases[2] do
      local i, v, ok = select_(cases)
      if ok then
        got[#got + 1] = v
      else
        cases[i] = false
      end
    end
    table.sort(got)
    assert.same({ "a1", "a2", "a3", "b1", "b2", "b3" }, got)
  end))
end)

describe("select's nil channels", function()
  it("never proceed: false, nil, {nil, send =}, {false, send =}", run(function()
    local c = chan(1)
    c:send("x")
    assert.equal(3, (select_ { false, nil, c }))
    c:send("x")
    assert.equal(4, (select_ { { nil, send = 1 }, { false, send = 1 }, {}, c }))
    assert.equal("default", (select_ { false, { nil, send = 1 }, default = true }))
  end))

  it("wait for ever, as a select without cases does: a deadlock in words", function()
    for _, cases in ipairs { "{}", "{ false }", "{ { nil, send = 1 } }", "{ {}, false }" } do
      local out, err, status = helper.script("luapark.select " .. cases .. " print 'not reached'")
      assert.equal("", out)
      assert.matches("all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[select %(no cases%)%]:", err)
      assert.equal(2, status)
    end
  end)
end)

describe("select with many cases", function()
  it("finds the ready one of 1,000", run(function()
    local cases = {}
    for i = 1, 1000 do
      cases[i] = i % 2 == 0 and chan() or { chan(), send = i }
    end
    for _, i in ipairs { 1, 500, 777, 1000 } do
      local c = i % 2 == 0 and cases[i] or cases[i][1]
      local got
      go(function()
        if i % 2 == 0 then
          c:send(i)
        else
          got = c:recv()
        end
      end)
      local which, v = select_(cases)
      gosched()
      assert.equal(i, which)
      assert.equal(i, i % 2 == 0 and v or got)
    end
    for i = 1, 1000 do
      clean(i % 2 == 0 and cases[i] or cases[i][1])
    end
  end))

  it("of which many goroutines wait", run(function()
    local cases, wg, got = {}, lp.waitgroup(), {}
    for i = 1, 50 do
      cases[i] = chan()
    end
    for g = 1, 200 do
      wg:go(function() got[g] = pack(select_(cases)) end)
    end
    gosched()
    for i = 1, 200 do
      cases[i % 50 + 1]:send(i)
    end
    wg:wait()
    local seen = {}
    for g = 1, 200 do
      seen[got[g][2]] = true
      assert.equal(got[g][2] % 50 + 1, got[g][1])
    end
    assert.equal(200, #seen)
    for i = 1, 50 do
      clean(cases[i])
    end
  end))
end)

describe("select's case table", function()
  it("may be used again, with other values to send", run(function()
    local out, quit, got = chan(), chan(), {}
    local case = { out }
    local cases = { case, quit, timeout = 10 }
    go(function()
      for _ = 1, 100 do
        got[#got + 1] = (out:recv())
      end
      quit:close()
    end)
    local n = 0
    repeat
      case.send = n + 1
      local i = select_(cases)
      n = i == 1 and n + 1 or n
    until i == 2
    assert.equal(100, #got)
    for i = 1, 100 do
      assert.equal(i, got[i])
    end
    clean(out)
  end))

  it("is left as it was", run(function()
    local c = chan()
    local case = { c, send = 1 }
    local cases = { c, case, timeout = 0.001 }
    select_(cases)
    assert.same({ c, case, timeout = 0.001 }, cases)
    assert.same({ c, send = 1 }, case)
  end))

  it("may be shared by several goroutines", run(function()
    local a, b, sum, wg = chan(), chan(), 0, lp.waitgroup()
    local cases = { a, b }
    for _ = 1, 10 do
      wg:go(function() local _, v = select_(cases); sum = sum + v end)
    end
    gosched()
    for i = 1, 5 do
      a:send(i)
      b:send(i * 100)
    end
    wg:wait()
    assert.equal(1515, sum)
    clean(a)
    clean(b)
  end))

  it("may have its value to send changed while a goroutine waits: the first value is sent", run(function()
    local c, case = chan(), { nil, send = "first" }
    case[1] = c
    go(function() select_ { case } end)
    gosched()
    case.send = "second"
    assert.equal("first", (c:recv()))
    gosched()
  end))

  -- In a process of its own, since what goes wrong here goes wrong for everybody.
  for _, how in ipairs { "script", "module" } do
    it("may be filled with other channels while a goroutine waits with it (" .. how .. ")", function()
      local out, err, status = helper[how] [[
        local lp = require "luapark"
        lp.run(function()
          local a, b, x, y = lp.chan(), lp.chan(), lp.chan(), lp.chan()
          local cases = {}
          local function wait(name, c1, c2)
            cases[1], cases[2] = c1, c2
            print(name, lp.select(cases))
          end
          lp.go(wait, "first", a, b)
          lp.gosched()
          lp.go(function() print("b", b:recv()) end) -- behind the select in b's line
          lp.gosched()
          lp.go(wait, "second", x, y)
          lp.gosched()
          a:send(1)
          lp.gosched()
          y:send(2)
          lp.gosched()
          print(b:trysend(3))
          lp.gosched()
          for _, c in ipairs { a, b, x, y } do
            io.write(tostring(c:trysend("probe")), " ", tostring(select(3, c:tryrecv())), " ")
          end
          print()
        end)
      ]]
      assert.same({ "first\t1\t1\ttrue\nsecond\t2\t2\ttrue\ntrue\nb\t3\ttrue\n" .. ("false false "):rep(4) .. "\n", "",
        0 }, { out, err, status })
    end)
  end

  it("may have a channel replaced by a send case, or set to false, while a goroutine waits with it", function()
    local out, err, status = helper.script [[
      local a, b, c = chan(), chan(), chan()
      local cases = { a, b }
      go(function() print(luapark.select(cases)) end)
      gosched()
      cases[1], cases[2] = { c, send = "x" }, false
      a:send("v") -- a receive: value and true belong to it, whatever stands there now
      gosched()
      print(b:trysend(1), c:trysend(1))
    ]]
    assert.same({ "1\tv\ttrue\nfalse\tfalse\n", "", 0 }, { out, err, status })
  end)

  it("with something else in it is an error at the caller's line", run(function()
    local c = chan()
    failshere("bad argument #1 to 'select' (table of cases expected, got nil)", function() select_() end)
    failshere("bad argument #1 to 'select' (table of cases expected, got number)", function() select_(5) end)
    failshere("bad argument #1 to 'select' (table of cases expected, got a channel)", function() select_(c) end)
    failshere("bad argument #1 to 'select' (case 2: channel", function() select_ { c, 5 } end)
    failshere("bad argument #1 to 'select' (case 1: channel", function() select_ { "x" } end)
    failshere("bad argument #1 to 'select' (case 1: channel", function() select_ { true } end)
    failshere("bad argument #1 to 'select' (case 1: channel expected in {channel, send = value}, got number)",
      function() select_ { { 5, send = 1 } } end)
    clean(c)
  end))

  it("leaves nobody waiting when a bad case stands behind good ones", run(function()
    local c = chan()
    helper.fails(select_, { c, { c, send = 1 }, 5 })
    clean(c)
  end))
end)

describe("select's losing cases", function()
  it("take no value afterwards", run(function()
    local a, b = chan(), chan()
    for i = 1, 200 do
      go(function() (i % 2 == 0 and a or b):send(i) end)
      local which, v = select_ { a, b, { chan(), send = 1 } }
      assert.equal(i % 2 == 0 and 1 or 2, which)
      assert.equal(i, v)
      clean(a)
      clean(b)
    end
  end))

  it("take no value between the decision and the waking", run(function()
    local a, b, got, bgot = chan(), chan(), nil, nil
    go(function() got = pack(select_ { a, b }) end)
    gosched()
    go(function() bgot = b:recv() end)
    gosched()
    a:send("decides") -- the select is decided but has not run
    assert.is_false(a:trysend("nobody"))
    b:send("for the other")
    settle()
    assert.same({ n = 3, 1, "decides", true }, got)
    assert.equal("for the other", bgot)
  end))

  it("give no value between the decision and the waking", run(function()
    local a, b = chan(), chan()
    local got
    go(function() got = (select_ { { a, send = "a" }, { b, send = "b" } }) end)
    gosched()
    assert.equal("a", (a:recv()))
    assert.same({ n = 3, nil, false, false }, pack(b:tryrecv()))
    settle()
    assert.equal(1, got)
  end))

  it("are not woken by a close between the decision and the waking", run(function()
    local a, b, got = chan(), chan(), nil
    go(function() got = pack(pcall(select_, { a, { b, send = 1 } })) end)
    gosched()
    a:send("x")
    b:close()
    settle()
    assert.same({ n = 4, true, 1, "x", true }, got)
  end))

  it("stay out of the way of a timeout that has just decided", run(function()
    -- Both are due at the same look at the clock: the select's timeout first, then the goroutine that sends.
    local c, results, wg = chan(), {}, lp.waitgroup()
    for i = 1, 50 do
      wg:go(function() results[i] = (select_ { c, timeout = 0.002 }) end)
    end
    local sent = 0
    for _ = 1, 50 do
      wg:go(function()
        lp.sleep(0.002)
        if c:trysend(1) then
          sent = sent + 1
        end
      end)
    end
    wg:wait()
    local received = 0
    for i = 1, 50 do
      received = received + (results[i] == 1 and 1 or 0)
    end
    assert.equal(sent, received)
    clean(c)
  end))

  it("let go of the values that they would have sent", run(function()
    local weak = setmetatable({}, { __mode = "v" })
    local a, b = chan(), chan()
    for i = 1, 20 do
      weak[i] = {}
      go(function() a:send(1) end)
      select_ { a, { b, send = weak[i] } }
    end
    settle()
    helper.collect()
    assert.is_nil(next(weak))
  end))

  it("leave sudogs for 10,000 further rounds", run(function()
    local a, b, c = chan(), chan(), chan()
    go(function()
      for i = 1, 10000 do
        if i % 2 == 0 then
          a:send(i)
        else
          b:send(i)
        end
      end
      c:close()
    end)
    local n = 0
    repeat
      local i, v = select_ { a, b, c, { chan(), send = 1 } }
      n = n + (v or 0)
    until i == 3
    assert.equal(50005000, n)
  end))
end)

describe("select under a C function and in coroutines", function()
  it("waits", run(function()
    local a, b, got = chan(), chan(), {}
    go(function()
      for i = 1, 20 do
        if i % 2 == 0 then
          a:send(i)
        else
          b:send(i)
        end
      end
      a:close()
    end)
    local t = { 5, 3, 4, 1, 2 }
    table.sort(t, function(x, y)
      local _, v = select_ { a, b, timeout = 10 }
      got[#got + 1] = v
      return x < y
    end)
    assert.same({ 1, 2, 3, 4, 5 }, t)
    for v in coroutine.wrap(function()
      while true do
        local _, v, ok = select_ { a, b }
        if not ok then
          return
        end
        coroutine.yield(v)
      end
    end) do
      got[#got + 1] = v
    end
    assert.equal(20, #got)
    for i = 1, 20 do
      assert.equal(i, got[i])
    end
  end))
end)

-- A million picks: what a fair choice exceeds once in a million times, as above.
it("select is fair over a million picks", run(function()
  local k, n, cases, count = 4, 1000000, {}, { 0, 0, 0, 0 }
  for i = 1, k do
    cases[i] = chan(1)
    cases[i]:send(i)
  end
  for _ = 1, n do
    local i = select_(cases)
    count[i] = count[i] + 1
    cases[i]:send(i)
  end
  local chi = 0
  for i = 1, k do
    chi = chi + (count[i] - n / k) ^ 2 / (n / k)
  end
  assert.is_true(chi < 30.7 and chi > 1e-9, ("chi-squared is %g: %s"):format(chi, table.concat(count, " ")))
end))

-- What Go's own tests check (test/chan, runtime/chan_test.go), written anew: with channels at home, with shared ones, and
-- with some of both in one select.
for _, kind in ipairs { "at home", "shared", "of both kinds" } do
  local made = 0
  local function new(n)
    made = made + 1
    local c = chan(n)
    return (kind == "shared" or kind ~= "at home" and made % 2 == 0) and helper.share(c) or c
  end

  describe("select over channels " .. kind, function()
    it("does what a model says, for thousands of random ones", run(function()
      local over = 0 -- assigned to: those who wait stay on this P
      local function waits(fn)
        local g = go(function()
          fn()
          over = over + 1
        end)
        assert.is_true(helper.eventually(function() return g.status == "waiting" end))
      end
      math.randomseed(5)
      for _ = 1, 2000 do
        -- Cases whose outcome is known: which can proceed, and what they give.
        local cases, can, cs, n = {}, {}, {}, math.random(0, 6)
        for i = 1, n do
          local what = math.random(9)
          local c = new(what <= 4 and 1 or 0)
          cs[i] = c
          if what == 1 then -- a value is there
            c:send(i)
            cases[i], can[i] = c, { i, i, true }
          elseif what == 2 then -- there is room
            cases[i], can[i] = { c, send = i }, { i }
          elseif what == 3 then -- there is none
            c:send(0)
            cases[i] = { c, send = i }
          elseif what == 4 then -- nothing is there
            cases[i] = c
          elseif what == 5 then -- closed
            c:close()
            cases[i], can[i] = c, { i, nil, false }
          elseif what == 6 then -- nobody is there
            cases[i] = math.random(2) == 1 and c or { c, send = i }
          elseif what == 7 then -- no channel
            cases[i] = math.random(2) == 1 and false or { false, send = i }
          elseif what == 8 then -- a receiver waits
            waits(function() c:recv() end)
            cases[i], can[i] = { c, send = i }, { i }
          else -- a sender waits
            waits(function() c:send(i) end)
            cases[i], can[i] = c, { i, i, true }
          end
        end
        cases.default = true
        local got = pack(select_(cases))
        got.n = nil
        if next(can) == nil then
          assert.same({ "default" }, got)
        else
          assert.same(can[got[1]], got)
        end
        for i = 1, n do -- those who wait go
          if tostring(cs[i]):find "closed" == nil then
            cs[i]:trysend(0)
          end
          cs[i]:tryrecv()
        end
      end
    end))

    it("blocks exactly where all of its cases do", run(function()
      local open, shut, full = new(), new(), new(1)
      shut:close()
      full:send "x"
      local blocks = {
        { open }, { { open, send = 1 } }, { open, { open, send = 1 } }, { { full, send = 1 } }, { false, open },
        { open, open, open }, { { full, send = 1 }, open },
      }
      for i, cases in ipairs(blocks) do
        cases.timeout = 0
        assert.equal("timeout", (select_(cases)), i)
        cases.timeout, cases.default = nil, true
        assert.equal("default", (select_(cases)), i)
      end
      assert.same({ n = 3, 2, nil, false }, pack(select_ { open, shut }))
      assert.same({ n = 3, 2, nil, false }, pack(select_ { open, shut, timeout = 0 }))
      assert.same({ n = 3, 2, nil, false }, pack(select_ { open, shut, default = true }))
      assert.same({ n = 3, 1, "x", true }, pack(select_ { full, open }))
      failshere("send on closed channel", function() select_ { open, { shut, send = 1 }, default = true } end)
    end))

    it("sends each value once where one goroutine waits for several channels", run(function()
      -- A select that has several sends at once, and receivers that take from one channel or select over all.
      local cs, out, n = { new(), new(), new(), new() }, new(), 2000
      local quit = new()
      go(function()
        for i = 1, n do
          select_ { { cs[1], send = i }, { cs[2], send = i }, { cs[3], send = i }, { cs[4], send = i } }
        end
        quit:close()
      end)
      local wg = lp.waitgroup()
      for r = 1, 3 do
        wg:go(function()
          while true do
            local i, v = select_ { cs[r], cs[r + 1], quit }
            if i == 3 then
              return
            end
            out:send(v)
          end
        end)
      end
      go(function() wg:wait(); out:close() end)
      local seen, count = {}, 0
      for v in out do
        assert.is_nil(seen[v])
        seen[v] = true
        count = count + 1
      end
      assert.equal(n, count)
    end))

    it("never takes its own value", run(function()
      for _, size in ipairs { 0, 10 } do
        local wg, c = lp.waitgroup(), new(size)
        for p = 0, 1 do
          wg:go(function()
            for i = 1, 500 do
              if p == 0 or i % 2 == 0 then
                local which, v = select_ { { c, send = p }, c }
                assert.is_true(which == 1 or size > 0 or v ~= p)
              else
                local which, v = select_ { c, { c, send = p } }
                assert.is_true(which == 2 or size > 0 or v ~= p)
              end
            end
          end)
        end
        wg:wait()
        if size == 0 then
          clean(c)
        end
      end
    end))

    it("loses nothing under the stress of Go's TestSelectStress", run(function()
      local n, c, wg = 300, {}, lp.waitgroup()
      c[0], c[1], c[2], c[3] = new(), new(), new(2), new(3)
      for k = 0, 3 do
        wg:go(function()
          for i = 1, n do
            c[k]:send(i)
          end
        end)
        wg:go(function()
          for _ = 1, n do
            c[k]:recv()
          end
        end)
      end
      wg:go(function() -- sends n to each, in an order of select's choice
        local left, cases = { n, n, n, n }, {}
        for _ = 1, 4 * n do
          for k = 1, 4 do
            cases[k] = left[k] > 0 and { c[k - 1], send = k }
          end
          local k = select_(cases)
          left[k] = left[k] - 1
        end
      end)
      wg:go(function()
        local left, cases = { n, n, n, n }, {}
        for _ = 1, 4 * n do
          for k = 1, 4 do
            cases[k] = left[k] > 0 and c[k - 1]
          end
          local k = select_(cases)
          left[k] = left[k] - 1
        end
      end)
      wg:wait()
      for k = 0, 3 do
        assert.equal(0, c[k]:len())
        assert.is_false(select(3, c[k]:tryrecv()))
      end
    end))

    it("with one channel in several cases leaves nothing in the line of others", run(function()
      -- Go's TestSelectDuplicateChannel: c twice in a select, and others behind it in c's line.
      local c, d, e, order = new(), new(), new(), {}
      go(function()
        order[#order + 1] = "select " .. select_ { c, c, d }
        e:send(9)
      end)
      settle(2)
      go(function() c:recv(); order[#order + 1] = "recv" end)
      settle(2)
      d:send(7) -- ends the select, which leaves c's line
      e:recv()
      c:send(8) -- for who stood behind it
      assert.is_true(helper.eventually(function() return #order == 2 end))
      table.sort(order)
      assert.same({ "recv", "select 3" }, order)
      clean(c)
    end))

    it("does not disturb who waits beside it, in a thousand rounds", run(function()
      -- Go's select6 and select7: lines from whose middle decided waiters go.
      local c1, c2 = new(), new()
      for round = 1, 1000 do
        local n, sum = 0, 0
        for _ = 1, 3 do
          go(function()
            local _, v = select_ { c1, c2 }
            n, sum = n + 1, sum + v
          end)
        end
        gosched()
        go(function() local v = c1:recv(); n, sum = n + 1, sum + v end)
        gosched()
        if round % 2 == 0 then
          c2:send(1)
          c1:send(2)
          c1:send(3)
          c1:send(4)
        else
          c1:send(1)
          c1:send(2)
          c2:send(3)
          c1:send(4)
        end
        assert.is_true(helper.eventually(function() return n == 4 end))
        assert.equal(10, sum)
      end
      clean(c1)
      clean(c2)
    end))

    it("100,000 times takes no memory", run(function()
      local c = new()
      go(function()
        for i = 1, 100000 do
          c:send(i)
        end
      end)
      for _ = 1, 50000 do
        select_ { c }
      end
      helper.collect()
      local before = collectgarbage "count"
      for _ = 1, 50000 do
        select_ { c, false }
      end
      helper.collect()
      local grown = collectgarbage "count" - before
      assert.is_true(grown < 1500, grown) -- what was compiled anew; 30 bytes of each are as much
    end))

    it("of 1,000 cases does the one that becomes ready", run(function()
      local cases = {}
      for i = 1, 1000 do
        cases[i] = i % 2 == 0 and new() or { new(), send = i }
      end
      for _, i in ipairs { 1, 2, 499, 500, 999, 1000 } do
        local c, got = i % 2 == 0 and cases[i] or cases[i][1], nil
        go(function()
          settle(2)
          if i % 2 == 0 then
            c:send(i)
          else
            got = c:recv()
          end
        end)
        local which, v = select_(cases)
        assert.equal(i, which)
        assert.is_true(helper.eventually(function() return (v or got) == i end))
      end
    end))
  end)
end

-- Values that are channels become shared when they are sent to a shared channel, also those that other cases are of.
describe("select that sends a channel to a shared one", function()
  it("waits for that channel, too, and for each of many", run(function()
    local out, cases, inner = helper.share(chan()), {}, {}
    for i = 1, 100 do
      inner[i] = chan()
      cases[i] = i % 2 == 0 and inner[i] or { inner[i], send = i }
    end
    cases[101] = { out, send = inner }
    go(function() settle(2); inner[50]:send "x" end)
    assert.same({ n = 3, 50, "x", true }, pack(select_(cases)))
    for i = 1, 100 do
      clean(inner[i])
    end
    clean(out)
  end))

  it("sends to that channel what it was to send", run(function()
    local out, c, got = helper.share(chan()), chan(), nil
    go(function() settle(2); got = c:recv() end)
    assert.equal(1, (select_ { { c, send = "for c" }, { out, send = c } }))
    assert.is_true(helper.eventually(function() return got end))
    assert.equal("for c", got)
    clean(c)
    clean(out)
  end))

  it("sends it, where that is the case that can proceed", run(function()
    local out, c, got = helper.share(chan()), chan(), nil
    go(function() settle(2); got = out:recv() end)
    assert.equal(3, (select_ { c, { c, send = 1 }, { out, send = c } }))
    assert.is_true(helper.eventually(function() return got end))
    assert.equal(c, got)
    clean(c)
  end))
end)
