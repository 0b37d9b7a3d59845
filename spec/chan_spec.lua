-- SPDX-License-Identifier: MIT

-- chan: what Go's channels promise, as far as one P can show it.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local chan, go, gosched = lp.chan, lp.go, lp.gosched

describe("chan", function()
  it("has the capacity it is given, 0 by default", run(function()
    assert.equal(0, chan():cap())
    assert.equal(0, chan(nil):cap())
    assert.equal(0, chan(0):cap())
    assert.equal(7, chan(7):cap())
    assert.equal(2 ^ 31 - 1, chan(2 ^ 31 - 1):cap())
  end))

  it("refuses other capacities at the caller's line", run(function()
    failshere("bad argument #1 to 'chan' (capacity must be a whole number from 0, got -1)", function() chan(-1) end)
    failshere("bad argument #1 to 'chan'", function() chan(1.5) end)
    failshere("bad argument #1 to 'chan'", function() chan(0 / 0) end)
    failshere("bad argument #1 to 'chan'", function() chan(math.huge) end)
    failshere("bad argument #1 to 'chan'", function() chan(-math.huge) end)
    failshere("bad argument #1 to 'chan'", function() chan(2 ^ 31) end)
    failshere("bad argument #1 to 'chan' (capacity must be a whole number from 0, got string)",
      function() chan("3") end)
    failshere("bad argument #1 to 'chan'", function() chan({}) end)
    failshere("bad argument #1 to 'chan'", function() chan(true) end)
  end))

  it("says what it is", run(function()
    local c = chan(3)
    c:send(1)
    assert.equal("chan(3) [1]", tostring(c))
    c:close()
    assert.equal("chan(3) [1, closed]", tostring(c))
  end))

  it("refuses a dot where a colon belongs, and other things that are no channel", run(function()
    local c = chan(1)
    failshere("calling 'send' on bad self (channel expected, got number", function() c.send(5) end)
    failshere("calling 'recv' on bad self (channel expected, got nil", function() c.recv() end)
    failshere("calling 'trysend' on bad self", function() c.trysend(5) end)
    failshere("calling 'tryrecv' on bad self", function() c.tryrecv() end)
    failshere("calling 'close' on bad self", function() c.close() end)
    failshere("calling 'len' on bad self", function() c.len({}) end)
    failshere("calling 'cap' on bad self", function() c.cap("x") end)
    failshere("calling 'recv' on bad self (channel expected, got userdata", function() c.recv(lp.getg()) end)
    failshere("calling 'recv' on bad self", function() c.recv(setmetatable({}, {})) end)
  end))
end)

describe("an unbuffered channel", function()
  it("hands a value to a waiting receiver", run(function()
    local c, got = chan(), nil
    go(function() got = { c:recv() } end)
    gosched()
    c:send("x")
    assert.is_nil(got) -- readied, not yet run
    gosched()
    assert.same({ "x", true }, got)
  end))

  it("hands a waiting sender's value to a receiver", run(function()
    local c, sent = chan(), false
    go(function() c:send("x"); sent = true end)
    gosched()
    assert.is_false(sent)
    assert.same({ "x", true }, { c:recv() })
    assert.is_false(sent)
    gosched()
    assert.is_true(sent)
  end))

  it("is a rendezvous: who comes second goes on, who waited runs next", run(function()
    local c, order = chan(), {}
    go(function() c:send(1); order[#order + 1] = "sent" end)
    gosched()
    go(function() order[#order + 1] = "other" end)
    c:recv()
    order[#order + 1] = "received"
    gosched()
    assert.same({ "received", "sent", "other" }, order)
  end))

  it("serves waiting receivers first come, first served", run(function()
    local c, got = chan(), {}
    for i = 1, 100 do
      go(function() local v = c:recv(); got[#got + 1] = { i, v } end)
    end
    gosched()
    for v = 1, 100 do
      c:send(v)
      gosched()
    end
    -- the goroutine started last ran first
    assert.same({ 100, 1 }, got[1])
    for n = 2, 100 do
      assert.same({ n - 1, n }, got[n])
    end
  end))

  it("serves waiting senders first come, first served", run(function()
    local c = chan()
    for i = 1, 100 do
      go(function() c:send(i) end)
    end
    gosched()
    assert.equal(100, (c:recv()))
    for i = 1, 99 do
      assert.equal(i, (c:recv()))
    end
    gosched()
  end))

  it("does not let a later receiver overtake one that was given a value", run(function()
    local c, first = chan(), nil
    go(function() first = c:recv() end)
    gosched()
    c:send("for the first")
    local _, _, ready = c:tryrecv()
    assert.is_false(ready)
    gosched()
    assert.equal("for the first", first)
  end))

  it("carries ping-pong", run(function()
    local ping, pong = chan(), chan()
    go(function()
      for v in ping do
        pong:send(v + 1)
      end
      pong:close()
    end)
    local n = 0
    for _ = 1, 10000 do
      ping:send(n)
      n = pong:recv()
    end
    ping:close()
    assert.same({ nil, false }, { pong:recv() })
    assert.equal(10000, n)
  end))
end)

describe("a buffered channel", function()
  it("takes as many values as it has room for, without waiting", run(function()
    local c, n = chan(3), 0
    go(function()
      for i = 1, 5 do
        c:send(i)
        n = i
      end
    end)
    gosched()
    assert.equal(3, n)
    assert.equal(3, c:len())
    assert.equal(1, (c:recv()))
    assert.equal(3, c:len()) -- the waiting sender's value took the place
    gosched()
    assert.equal(4, n)
    for i = 2, 5 do
      assert.equal(i, (c:recv()))
      gosched()
    end
    assert.equal(5, n)
    assert.equal(0, c:len())
  end))

  it("keeps the order, whatever the state of the ring", run(function()
    for size = 1, 9 do
      local c = chan(size)
      local wrote, read = 0, 0
      math.randomseed(size)
      for _ = 1, 2000 do
        if math.random(2) == 1 then
          if c:trysend(wrote + 1) then
            wrote = wrote + 1
          else
            assert.equal(size, c:len())
          end
        else
          local v, ok, ready = c:tryrecv()
          if ready then
            read = read + 1
            assert.equal(read, v)
            assert.is_true(ok)
          else
            assert.equal(0, c:len())
          end
        end
        assert.equal(wrote - read, c:len())
      end
    end
  end))

  it("keeps the order of buffered values and waiting senders", run(function()
    local c = chan(2)
    c:send(1)
    c:send(2)
    for i = 3, 10 do
      go(function() c:send(i) end)
      gosched()
    end
    for i = 1, 10 do
      assert.equal(i, (c:recv()))
    end
    gosched()
    assert.equal(0, c:len())
  end))

  it("gives to a waiting receiver past the buffer", run(function()
    local c, got = chan(5), nil
    go(function() got = c:recv() end)
    gosched()
    c:send("x")
    assert.equal(0, c:len())
    gosched()
    assert.equal("x", got)
  end))

  it("lets go of what it gave away", run(function()
    local c = chan(4)
    local weak = setmetatable({}, { __mode = "v" })
    for i = 1, 4 do
      weak[i] = {}
      c:send(weak[i])
    end
    for _ = 1, 4 do
      c:recv()
    end
    helper.collect()
    assert.is_nil(next(weak))
  end))
end)

describe("any channel", function()
  it("carries nil, false and every other value", run(function()
    local values = { n = 8, nil, false, true, 0, "", chan(), print, 0 / 0 }
    for size = 0, 3 do
      local c = chan(size)
      go(function()
        for i = 1, values.n do
          c:send(values[i])
        end
      end)
      for i = 1, values.n do
        local v, ok = c:recv()
        assert.is_true(ok)
        assert.is_true(rawequal(v, values[i]) or v ~= v)
      end
      gosched()
      if size > 0 then
        c:send(nil)
        assert.equal(1, c:len())
        assert.same({ n = 3, nil, true, true }, (function(...) return { n = select("#", ...), ... } end)(c:tryrecv()))
      end
    end
  end))

  it("gives the receiver a copy of a table, whether anybody waits or not", run(function()
    for size = 0, 1 do
      local c = chan(size)
      local t = { 1, nested = { "x" }, channel = c }
      t.self, t.again = t, t.nested
      go(function() c:send(t) end)
      gosched()
      t.nested[1] = "changed"
      local got = c:recv()
      assert.is_false(rawequal(t, got))
      assert.equal("x", got.nested[1])
      assert.is_true(rawequal(got, got.self) and rawequal(got.nested, got.again) and rawequal(c, got.channel))
      got.nested[1] = "mine"
      assert.equal("changed", t.nested[1])
    end
  end))

  it("carries what every state has, Lua's own tables and functions, as it is", run(function()
    local c = chan(1)
    for _, v in ipairs { string, math, lp, print, string.rep, lp.chan } do
      c:send(v)
      assert.is_true(rawequal(v, c:recv()))
      c:send { v }
      assert.is_true(rawequal(v, c:recv()[1]))
    end
  end))

  it("refuses what cannot go to another goroutine, at the caller's line, and nothing is sent", run(function()
    local count = 0
    local cases = {
      { "cannot send value: captures 'count'", function() count = count + 1 end },
      { "cannot send value.a.b", { a = { b = coroutine.create(print) } } },
      { "cannot send value", newproxy() },
      { "cannot send value", setmetatable({}, { __index = {} }) },
    }
    for _, case in ipairs(cases) do
      local what = case[2]
      local pattern = case[1]:gsub("captures.*", "")
      for size = 0, 1 do
        local c = chan(size)
        helper.failshere(pattern, function() c:send(what) end)
        helper.failshere(pattern, function() c:trysend(what) end)
        assert.equal(0, c:len())
      end
      local c = chan(1)
      helper.failshere(pattern, function() lp.select { { c, send = what } } end)
      helper.failshere(pattern, function() lp.select { { chan(), send = what }, timeout = 0.01 } end)
      assert.equal(0, c:len())
    end
  end))

  it("carries channels and goroutines", run(function()
    local c, reply = chan(), chan()
    go(function()
      local to = c:recv()
      to:send(lp.getg())
    end)
    c:send(reply)
    assert.matches("^goroutine %d+", tostring((reply:recv())))
  end))

  it("is walked by for until it is closed", run(function()
    for size = 0, 5 do
      local c, got = chan(size), {}
      go(function()
        for i = 1, 20 do
          c:send(i)
        end
        c:close()
      end)
      for v in c do
        got[#got + 1] = v
      end
      assert.equal(20, #got)
      assert.equal(20, got[20])
    end
    local c = chan()
    c:close()
    for _ in c do
      error "a closed channel has nothing"
    end
  end))

  it("is walked by for with false values in it", run(function()
    local c, n = chan(3), 0
    c:send(false)
    c:send(false)
    c:close()
    for v in c do
      assert.is_false(v)
      n = n + 1
    end
    assert.equal(2, n)
  end))

  it("spreads work over several receivers, each value once", run(function()
    for size = 0, 10, 5 do
      local c, seen, wg = chan(size), {}, lp.waitgroup()
      for w = 1, 8 do
        wg:go(function()
          for v in c do
            seen[v] = (seen[v] or 0) + 1
            if v % w == 0 then
              gosched()
            end
          end
        end)
      end
      for i = 1, 1000 do
        c:send(i)
      end
      c:close()
      wg:wait()
      for i = 1, 1000 do
        assert.equal(1, seen[i])
      end
    end
  end))

  it("collects from several senders, each one's in order", run(function()
    for size = 0, 10, 5 do
      local c, wg = chan(size), lp.waitgroup()
      for s = 1, 8 do
        wg:go(function()
          for i = 1, 200 do
            c:send(s * 1000 + i)
            if i % s == 0 then
              gosched()
            end
          end
        end)
      end
      go(function() wg:wait(); c:close() end)
      local last, n = {}, 0
      for v in c do
        local s = math.floor(v / 1000)
        assert.equal((last[s] or 0) + 1, v % 1000)
        last[s] = v % 1000
        n = n + 1
      end
      assert.equal(1600, n)
    end
  end))

  it("sieves primes", run(function()
    local first = chan()
    local stop = false
    go(function()
      local i = 2
      while not stop do
        first:send(i)
        i = i + 1
      end
      first:close()
    end)
    local c, primes = first, {}
    for n = 1, 50 do
      local p = c:recv()
      primes[n] = p
      local from, to = c, chan()
      go(function()
        for v in from do
          if v % p ~= 0 then
            to:send(v)
          end
        end
        to:close()
      end)
      c = to
    end
    assert.equal(229, primes[50])
    stop = true
    for _ in c do end -- lets the pipeline run dry
  end))

  it("is fed and drained by 10,000 goroutines", run(function()
    local c, sum = chan(), 0
    for i = 1, 10000 do
      go(function() c:send(i) end)
    end
    for _ = 1, 10000 do
      local v = c:recv()
      sum = sum + v
    end
    gosched()
    assert.equal(50005000, sum)
  end))

  it("works under a C function at both ends", run(function()
    local c, got = chan(), {}
    go(function() string.gsub("abc", ".", function(v) c:send(v) end); c:close() end)
    table.sort({ 4, 3, 2, 1 }, function(a, b)
      local v = c:recv()
      got[#got + 1] = v
      return a < b
    end)
    for v in c do
      got[#got + 1] = v
    end
    assert.equal("abc", table.concat(got))
  end))

  it("is collected with the values in it", run(function()
    local weak = setmetatable({}, { __mode = "k" })
    for _ = 1, 100 do
      local c = chan(1)
      c:send({})
      weak[c] = true
    end
    helper.collect()
    assert.is_nil(next(weak))
  end))
end)

describe("close", function()
  it("wakes all waiting receivers with nil, false", run(function()
    local c, got = chan(), {}
    for i = 1, 50 do
      go(function() got[i] = { c:recv() } end)
    end
    gosched()
    c:close()
    gosched()
    for i = 1, 50 do
      assert.same({ nil, false }, got[i])
    end
  end))

  it("wakes receivers in the order in which they came", run(function()
    local c, order = chan(), {}
    for i = 1, 5 do
      go(function() c:recv(); order[#order + 1] = i end)
      gosched()
    end
    c:close()
    settle()
    assert.equal(5, #order)
    -- As Go's: each is made runnable in turn, so that the last goes first and the others in their order.
    assert.same({ 5, 1, 2, 3, 4 }, order)
  end))

  it("raises an error in all waiting senders, at their line", run(function()
    for size = 0, 1 do
      local c, errs = chan(size), {}
      for _ = 1, size do
        c:send("buffered")
      end
      local function send() c:send(1) end
      for i = 1, 20 do
        go(function() errs[i] = select(2, pcall(send)) end)
      end
      gosched()
      c:close()
      gosched()
      local line = debug.getinfo(send, "S").linedefined
      for i = 1, 20 do
        assert.matches(("chan_spec.lua:%d: send on closed channel$"):format(line), errs[i])
      end
      -- what they wanted to send is gone, what was buffered is not
      if size == 1 then
        assert.same({ "buffered", true }, { c:recv() })
      end
      assert.same({ nil, false }, { c:recv() })
    end
  end))

  it("lets receivers have what is buffered", run(function()
    local c = chan(3)
    c:send(1)
    c:send(nil)
    c:close()
    assert.equal(2, c:len())
    assert.same({ 1, true }, { c:recv() })
    assert.same({ nil, true }, { c:recv() })
    assert.same({ nil, false }, { c:recv() })
    assert.same({ nil, false }, { c:recv() })
    assert.equal(0, c:len())
  end))

  it("makes a later send an error at the caller's line", run(function()
    for size = 0, 1 do
      local c = chan(size)
      c:close()
      assert.equal("send on closed channel", failshere("send on closed channel", function() c:send(1) end))
      assert.equal("send on closed channel", failshere("send on closed channel", function() c:trysend(1) end))
    end
  end))

  it("of a closed channel is an error at the caller's line", run(function()
    local c = chan()
    c:close()
    assert.equal("close of closed channel", failshere("close of closed channel", function() c:close() end))
    c = chan(1)
    c:send(1)
    c:close()
    failshere("close of closed channel", function() c:close() end)
  end))

  it("leaves a channel of which nobody waits usable for receiving only", run(function()
    local c = chan(1)
    c:close()
    assert.same({ nil, false, true }, { c:tryrecv() })
    assert.equal(0, c:len())
    assert.equal(1, c:cap())
  end))

  it("after a value was handed over does not take it back", run(function()
    local c, got = chan(), nil
    go(function() got = { c:recv() } end)
    gosched()
    c:send("x")
    c:close()
    gosched()
    assert.same({ "x", true }, got)
  end))

  it("after a value was taken lets its sender go on without an error", run(function()
    local c, ok = chan(), nil
    go(function() ok = pcall(c.send, c, "x") end)
    gosched()
    assert.equal("x", (c:recv()))
    c:close()
    gosched()
    assert.is_true(ok)
  end))
end)

describe("trysend", function()
  it("sends where there is room or a receiver, and never waits", run(function()
    local c = chan(1)
    assert.is_true(c:trysend(1))
    assert.is_false(c:trysend(2))
    assert.equal(1, (c:recv()))
    local u, got = chan(), nil
    assert.is_false(u:trysend(1))
    go(function() got = u:recv() end)
    gosched()
    assert.is_true(u:trysend("x"))
    assert.is_false(u:trysend("y"))
    gosched()
    assert.equal("x", got)
  end))
end)

describe("tryrecv", function()
  it("receives what is there, and never waits", run(function()
    local function pack(...) return { n = select("#", ...), ... } end
    local c = chan(1)
    assert.same({ n = 3, nil, false, false }, pack(c:tryrecv()))
    c:send("x")
    assert.same({ n = 3, "x", true, true }, pack(c:tryrecv()))
    local u, sent = chan(), false
    assert.same({ n = 3, nil, false, false }, pack(u:tryrecv()))
    go(function() u:send("y"); sent = true end)
    gosched()
    assert.same({ n = 3, "y", true, true }, pack(u:tryrecv()))
    gosched()
    assert.is_true(sent)
    u:close()
    assert.same({ n = 3, nil, false, true }, pack(u:tryrecv()))
  end))
end)
