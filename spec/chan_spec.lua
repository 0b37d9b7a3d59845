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

-- What Go's own tests check (test/chan, runtime/chan_test.go), written anew: of channels at home, and of shared ones.
for _, kind in ipairs { "at home", "shared" } do
  local function new(n)
    local c = chan(n)
    return kind == "shared" and helper.share(c) or c
  end

  -- Whether fn() waits: the others run, and it does not come back until unblock() has been called.
  local function waits(fn, unblock)
    local began, came = false, false
    go(function()
      began = true
      fn()
      came = true
    end)
    settle()
    local waited = began and not came
    if unblock then
      unblock()
    end
    assert.is_true(helper.eventually(function() return came end), "it waits for ever")
    return waited
  end

  describe("a channel " .. kind, function()
    it("waits exactly where it must, for each capacity", run(function()
      for size = 0, 20 do
        local c = new(size)
        local n = math.max(size, 1)
        -- an empty one: receives wait, and can be seen not to proceed
        assert.same({ nil, false, false }, { c:tryrecv() })
        assert.is_true(waits(function() c:recv() end, function() c:send(1) end))
        -- a full one: sends do
        for i = 1, size do
          assert.is_false(waits(function() c:send(i) end))
          assert.equal(i, c:len())
        end
        assert.is_false(c:trysend(0))
        assert.is_true(waits(function() c:send(0) end, function() assert.equal(size > 0 and 1 or 0, (c:recv())) end))
        assert.equal(size, c:len())
        -- first in, first out
        for i = 2, size do
          assert.equal(i, (c:recv()))
        end
        if size > 0 then
          assert.equal(0, (c:recv()))
        end
        assert.equal(0, c:len())
        -- closed: whoever waits comes back, and nobody waits any more
        assert.is_true(waits(function() assert.same({ nil, false }, { c:recv() }) end, function() c:close() end))
        for _ = 1, n do
          assert.is_false(waits(function() assert.same({ nil, false }, { c:recv() }) end))
          assert.same({ nil, false, true }, { c:tryrecv() })
        end
        assert.equal(size, c:cap())
      end
    end))

    it("keeps the order of a hundred values, for each capacity", run(function()
      for size = 0, 20 do
        local c = new(size)
        go(function()
          for i = 1, 100 do
            c:send(i)
          end
        end)
        for i = 1, 100 do
          assert.equal(i, (c:recv()))
        end
      end
    end))

    it("gives each value to one receiver, for each capacity", run(function()
      for size = 0, 20, 4 do
        local c, done, P, L = new(size), new(), 4, 250
        for _ = 1, P do
          go(function()
            for i = 1, L do
              c:send(i)
            end
          end)
        end
        for _ = 1, P do
          go(function()
            local got = {}
            for i = 1, L do
              got[i] = c:recv()
            end
            done:send(got)
          end)
        end
        local count = {}
        for _ = 1, P do
          for _, v in ipairs((done:recv())) do
            count[v] = (count[v] or 0) + 1
          end
        end
        assert.equal(L, #count)
        for i = 1, L do
          assert.equal(P, count[i])
        end
      end
    end))

    it("carries nil as a value, which is not the end", run(function()
      for size = 0, 2 do
        local c = new(size)
        go(function()
          c:send(nil)
          c:send(false)
          c:send(nil)
          c:close()
        end)
        assert.same({ nil, true }, { c:recv() })
        assert.same({ false, true }, { c:recv() })
        assert.same({ nil, true }, { c:recv() })
        assert.same({ nil, false }, { c:recv() })
      end
    end))

    it("passes a value along 10,000 goroutines", run(function()
      local leftmost = new()
      local left, right = leftmost, leftmost
      for _ = 1, 10000 do
        right = chan()
        local l, r = left, right
        go(function() l:send(1 + r:recv()) end)
        left = right
      end
      right:send(1)
      assert.equal(10001, (leftmost:recv()))
    end))

    it("lets a chain of goroutines go one after the other", run(function()
      local c, order, n = new(), {}, 20
      local before = new()
      local first = before
      for _ = 1, n do
        local from, to = before, new()
        go(function()
          from:recv()
          order[#order + 1] = c:recv()
          to:send()
        end)
        before = to
      end
      go(function()
        for i = 1, n do
          c:send(i)
        end
      end)
      first:send()
      before:recv()
      for i = 1, n do
        assert.equal(i, order[i])
      end
    end))

    it("feeds a pipeline of several consumers, nothing lost", run(function()
      local q, r, consumers, n = new(10), new(10), 23, 5000
      local wg, primes = lp.waitgroup(), { 2, 3, 5, 7, 11, 13 }
      for i = 1, consumers do
        wg:go(function()
          for v in q do
            if primes[i % #primes + 1] % (v % 7 + 1) == 0 then
              gosched()
            end
            r:send(v)
          end
        end)
      end
      local expected = 0
      go(function()
        for i = 1, n do
          local v = i % 97
          expected = expected + v
          q:send(v)
        end
        q:close()
        wg:wait()
        r:close()
      end)
      local sum, count = 0, 0
      for v in r do
        sum, count = sum + v, count + 1
      end
      assert.equal(n, count)
      assert.equal(expected, sum)
    end))

    it("that is closed lets parked receivers go with nil, false and parked senders with an error", run(function()
      local empty, full, ends = new(), new(1), {}
      full:send "kept"
      for i = 1, 10 do
        go(function() ends[i] = { empty:recv() } end)
        go(function() ends[10 + i] = { pcall(full.send, full, i) } end)
      end
      settle()
      empty:close()
      full:close()
      assert.is_true(helper.eventually(function()
        for i = 1, 20 do
          if not ends[i] then
            return false
          end
        end
        return true
      end))
      for i = 1, 10 do
        assert.same({ nil, false }, ends[i])
        assert.is_false(ends[10 + i][1])
        assert.matches("send on closed channel$", ends[10 + i][2])
      end
      assert.same({ "kept", true }, { full:recv() })
      assert.same({ nil, false }, { full:recv() })
    end))

    it("keeps what a sender brings while the sender's stack is moved", run(function()
      local c = new()
      local function deep(n, v)
        if n == 0 then
          c:send(v)
          return 0
        end
        return 1 + deep(n - 1, v)
      end
      local depth
      go(function()
        deep(5000, "not yet") -- grows the stack, which the collector then shrinks
        depth = deep(10, "x")
      end)
      assert.equal("not yet", (c:recv()))
      settle()
      for _ = 1, 5 do
        helper.collect()
      end
      assert.equal("x", (c:recv()))
      assert.is_true(helper.eventually(function() return depth end))
      assert.equal(10, depth)
    end))

    it("is refused with a dot in words, and what it was refused for has not happened", run(function()
      local c = new(1)
      failshere("calling 'send' on bad self (channel expected, got number; call it with a colon, c:send)",
        function() c.send(5) end)
      failshere("calling 'recv' on bad self (channel expected, got nil; call it with a colon, c:recv)",
        function() c.recv() end)
      failshere("calling 'trysend' on bad self", function() c.trysend(5) end)
      failshere("calling 'tryrecv' on bad self", function() c.tryrecv() end)
      failshere("calling 'close' on bad self", function() c.close() end)
      failshere("calling 'len' on bad self", function() c.len() end)
      failshere("calling 'cap' on bad self", function() c.cap() end)
      assert.equal(0, c:len())
      assert.is_true(c:trysend(1))
    end))
  end)
end

describe("a channel that becomes shared", function()
  it("keeps who waits in it, both ways, what is buffered, and that it is closed", run(function()
    local rx, tx, full, shut, got, sent = chan(), chan(), chan(2), chan(1), {}, 0
    for i = 1, 5 do
      go(function() got[i] = rx:recv() end)
      go(function() tx:send(i); sent = sent + 1 end)
    end
    full:send(1)
    full:send(nil)
    go(function() full:send(3) end)
    shut:send "last"
    shut:close()
    settle()
    for _, c in ipairs { rx, tx, full, shut } do
      helper.share(c)
    end
    for i = 1, 5 do
      rx:send(i)
    end
    local sum = 0
    for _ = 1, 5 do
      sum = sum + tx:recv()
    end
    assert.equal(15, sum)
    assert.is_true(helper.eventually(function() return sent == 5 and #got == 5 end))
    assert.equal(2, full:len())
    assert.same({ 1, true }, { full:recv() })
    assert.same({ nil, true }, { full:recv() })
    assert.same({ 3, true }, { full:recv() })
    assert.same({ "last", true }, { shut:recv() })
    assert.same({ nil, false }, { shut:recv() })
    failshere("close of closed channel", function() shut:close() end)
    failshere("send on closed channel", function() shut:send(1) end)
  end))
end)
