-- SPDX-License-Identifier: MIT

-- synctest: bubbles: their clock, what blocks durably, wait, how they end, and that nothing is left of them.

local helper = require "spec.helper"
local synctest = require "luapark.synctest"
local lp = helper.lp
local run, fails, failshere = helper.run, helper.fails, helper.failshere
local go, gosched, chan = lp.go, lp.gosched, lp.chan
local background = lp.context.background

-- For `it`: fn as the first goroutine of a bubble.
local function bubble(fn)
  return run(function() synctest.run(fn) end)
end

-- spawn, of functions with the environment that programs have; busted gives them another.
local function spawn(fn, ...)
  return lp.spawn(setfenv(fn, getfenv(0)), ...)
end

-- A goroutine of the running bubble that calls fn. -> a function: whether it has returned
local function started(fn, ...)
  local over = false
  go(function(...)
    fn(...)
    over = true
  end, ...)
  return function() return over end
end

-- A bubble whose first goroutine does fn finds itself blocked for ever.
local function deadlocks(fn)
  local err = fails(synctest.run, fn)
  assert.matches("^deadlock: all goroutines in bubble are blocked\n\n", err)
  return err
end

describe("run", function()
  it("calls the function with its arguments, and returns its results", run(function()
    assert.equal(0, select("#", synctest.run(function() end)))
    local function pass(...) return select("#", ...), ... end
    assert.same({ 4, 1, nil, "x", nil, n = 5 }, { n = 5, synctest.run(pass, 1, nil, "x", nil) })
  end))

  it("works in the host, and in any goroutine", function()
    local function body()
      lp.sleep(1)
      return lp.now()
    end
    assert.equal(1, synctest.run(body))
    run(function()
      local c = chan()
      go(function() c:send(synctest.run(body)) end)
      assert.equal(1, (c:recv()))
    end)()
  end)

  it("takes functions only", run(function()
    failshere("bad argument #1 to 'run' (function expected, got no value)", function() synctest.run() end)
    failshere("bad argument #1 to 'run' (function expected, got table)", function() synctest.run({}) end)
  end))

  it("must not be called in a bubble", bubble(function()
    failshere("synctest.run called from within a synctest bubble", function() synctest.run(function() end) end)
  end))

  it("waits for all goroutines of the bubble", run(function()
    local order = {}
    synctest.run(function()
      go(function()
        for _ = 1, 10 do gosched() end
        go(function()
          gosched()
          order[#order + 1] = "third"
        end)
        order[#order + 1] = "second"
      end)
      order[#order + 1] = "first"
    end)
    assert.same({ "first", "second", "third" }, order)
  end))

  it("has whatever its goroutines start in it", bubble(function()
    local id, n = lp.getg().id, 0
    local function inside()
      local t0 = lp.now()
      lp.sleep(1e6) -- nobody waits so long outside
      assert(lp.now() == t0 + 1e6 and lp.getg().id ~= id)
      n = n + 1
    end
    local wg, eg = lp.waitgroup(), lp.errgroup()
    wg:go(inside)
    eg:go(inside)
    eg:trygo(inside)
    go(function() go(inside) end)
    lp.afterfunc(1, inside)
    local ctx, cancel = lp.context.withcancel(background())
    lp.context.afterfunc(ctx, inside)
    cancel()
    spawn(function() require("luapark").sleep(5e5) end)
    lp.sleep(2e6)
    assert.equal(6, n)
    assert.is_true(wg:wait() and eg:wait())
  end))

  it("may park anywhere in it", bubble(function()
    local t = { 3, 1, 2 }
    table.sort(t, function(a, b)
      lp.sleep(1)
      return a < b
    end)
    local each = coroutine.wrap(function()
      for i = 1, 3 do
        lp.sleep(10)
        coroutine.yield(i)
      end
    end)
    local t0 = lp.now()
    assert.same({ 1, 2, 3, 1, 2, 3 }, { t[1], t[2], t[3], each(), each(), each() })
    assert.equal(t0 + 30, lp.now())
  end))

  it("does not go on in what cannot wait", run(function()
    local err
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = function() err = select(2, pcall(synctest.run, function() end)) end
    proxy = nil -- luacheck: ignore
    helper.collect()
    assert.matches("cannot wait in a finalizer", err)
  end))

  it("may be many at once, each with its own clock", run(function()
    local wg, clocks = lp.waitgroup(), {}
    for i = 1, 20 do
      wg:go(function()
        synctest.run(function()
          local c = chan()
          go(function()
            for _ = 1, i do
              lp.sleep(i)
              gosched()
              c:send(lp.now())
            end
            c:close()
          end)
          for t in c do
            clocks[i] = t
          end
        end)
      end)
    end
    wg:wait()
    for i = 1, 20 do
      assert.equal(i * i, clocks[i])
    end
  end))
end)

describe("an error in a bubble", function()
  it("of the first goroutine is run's, with its traceback", run(function()
    local here
    local err = fails(synctest.run, function()
      here = helper.here(1)
      error "boom"
    end)
    assert.equal(here .. "boom\nstack traceback:\n", err:sub(1, #here + 22))
    assert.matches("synctest_spec.lua", err:sub(#here + 22), 1, true)
    assert.is_nil(err:find("created by", 1, true))
    assert.is_nil(err:find("[luapark]", 1, true)) -- the user's frames alone
  end))

  it("stays what it is if it is no string", run(function()
    local object = setmetatable({}, { __tostring = function() return "an object" end })
    for _, e in ipairs { object, {}, true, print } do
      local ok, err = pcall(synctest.run, function() error(e) end)
      assert.is_false(ok)
      assert.equal(e, err)
    end
    assert.same({ false, nil, n = 2 }, { n = select("#", pcall(synctest.run, error)), pcall(synctest.run, error) })
  end))

  it("of another goroutine ends the bubble, and run raises its report", run(function()
    local reached = false
    local err = fails(synctest.run, function()
      go(function()
        lp.sleep(1)
        error "in the background"
      end)
      lp.sleep(2)
      reached = true
    end)
    assert.matches("^goroutine %d+ %[running%]:\n[^\n]*synctest_spec.lua:%d+: in the background\nstack traceback:\n", err)
    assert.matches("created by function <[^\n]*> at [^\n]*synctest_spec.lua:%d+ in goroutine %d+$", err)
    assert.is_false(reached)
  end))

  it("is not for onerror's function", run(function()
    local asked = false
    local former = lp.onerror(function()
      asked = true
      return true
    end)
    local err = fails(synctest.run, function()
      go(error, "mine")
      chan():recv()
    end)
    lp.onerror(former)
    assert.matches("mine", err)
    assert.is_false(asked)
  end))

  it("is the first that there was", run(function()
    local err = fails(synctest.run, function()
      go(function()
        lp.sleep(1)
        error "one"
      end)
      go(function()
        lp.sleep(1)
        error "two"
      end)
      lp.sleep(1)
      error "three"
    end)
    assert.matches("three", err) -- who asked first is woken first
    assert.is_nil(err:find("two", 1, true))
  end))

  it("leaves the program as it was", run(function()
    for _ = 1, 3 do
      fails(synctest.run, function()
        go(error, "x")
        lp.sleep(1)
      end)
    end
    assert.equal(3, synctest.run(function()
      lp.sleep(3)
      return lp.now()
    end))
  end))

  it("goexit of the first goroutine is one", run(function()
    assert.equal("the main function of the synctest bubble has called goexit", fails(synctest.run, lp.goexit))
    local n = 0
    synctest.run(function()
      go(function()
        n = n + 1
        lp.goexit()
      end)
    end)
    assert.equal(1, n)
  end))
end)

describe("the clock of a bubble", function()
  it("starts at 0, and goes by what is waited for, exactly", bubble(function()
    assert.equal(0, lp.now())
    for _, s in ipairs { 0.1, 1 / 3, 1e-9, 7, 3600 * 24 * 365 } do
      local t0 = lp.now()
      lp.sleep(s)
      assert.equal(t0 + s, lp.now())
    end
  end))

  it("stands still while somebody runs", bubble(function()
    local t0 = os.clock()
    while os.clock() < t0 + 0.01 do
      gosched()
    end
    assert.equal(0, lp.now())
    lp.sleep(0)
    lp.sleep(-5)
    assert.equal(0, lp.now())
  end))

  it("jumps when all are blocked, and not before", bubble(function()
    local c, n = chan(), 0
    go(function()
      lp.sleep(1)
      for _ = 1, 1000 do
        n = n + 1
        gosched()
      end
      c:send(lp.now())
    end)
    lp.sleep(1 + 1e-9)
    assert.equal(1000, n)
    assert.equal(1, (c:recv()))
  end))

  it("wakes in the order of the deadlines, and among equal ones who asked first", bubble(function()
    local order, wg = {}, lp.waitgroup()
    for i, s in ipairs { 3, 1, 2, 1, 3, 1 } do
      wg:go(function()
        lp.sleep(s)
        order[#order + 1] = i
      end)
    end
    wg:wait()
    assert.same({ 6, 2, 4, 3, 1, 5 }, order) -- who is started last runs first
    assert.equal(3, lp.now())
  end))

  it("takes an hour for a million sleepers' steps in no time", bubble(function()
    local wg, sum = lp.waitgroup(), 0
    for i = 1, 1000 do
      wg:go(function()
        for _ = 1, 100 do
          lp.sleep(36)
          sum = sum + 1
        end
        assert(lp.now() == 3600 or i < 0)
      end)
    end
    wg:wait()
    assert.equal(100000, sum)
    assert.equal(3600, lp.now())
  end))

  it("stops when the first goroutine has ended", run(function()
    local later = false
    local err = fails(synctest.run, function()
      go(function()
        lp.sleep(1)
        later = true
      end)
    end)
    assert.matches("^deadlock: main bubble goroutine has exited but blocked goroutines remain\n\ngoroutine %d+ " ..
      "%[sleep %(durable%), synctest bubble %d+%]:\n", err)
    assert.is_false(later)
  end))

  it("is not the real one's, which goes on outside", run(function()
    local t0 = lp.now()
    synctest.run(function() lp.sleep(1e9) end)
    assert.is_true(lp.now() - t0 < 1000)
    assert.is_true(lp.now() >= t0)
  end))

  it("does not go on for a ticker that nobody waits for", run(function()
    assert.matches("all goroutines in bubble are blocked", deadlocks(function()
      local t, u = lp.ticker(1), lp.timer(5)
      chan():recv()
      return t, u
    end))
  end))

  it("does not go on for ever for what will never be", run(function()
    deadlocks(function() lp.sleep(math.huge) end)
    deadlocks(function() lp.after(math.huge):recv() end)
    deadlocks(function() lp.select { chan(), timeout = math.huge } end)
  end))
end)

describe("in a bubble", function()
  it("after, timers and tickers go by its clock", bubble(function()
    assert.equal(0.25, (lp.after(0.25):recv()))
    local t = lp.timer(5)
    assert.is_true(t:stop())
    assert.is_false(t:reset(2))
    assert.equal(2.25, (t.c:recv()))
    assert.equal(2.25, lp.now())
    local tick, times = lp.ticker(0.5), {}
    for i = 1, 4 do
      times[i] = tick.c:recv()
    end
    assert.same({ 2.75, 3.25, 3.75, 4.25 }, times)
    lp.sleep(10.25) -- what nobody received in time is dropped
    assert.equal(4.75, (tick.c:recv()))
    assert.equal(15, (tick.c:recv()) + 0.25)
    tick:stop()
    assert.equal("timer [0.5 s]", tostring(lp.timer(0.5)))
  end))

  it("afterfunc goes by its clock, and may be stopped and set anew", bubble(function()
    local at = {}
    local function note(what) at[#at + 1] = what .. " " .. lp.now() end
    local f, g = lp.afterfunc(1, note, "f"), lp.afterfunc(2, note, "g")
    lp.afterfunc(3, note, "h")
    assert.is_true(g:stop())
    lp.sleep(3)
    synctest.wait()
    assert.is_false(f:reset(1))
    lp.sleep(1)
    synctest.wait()
    assert.same({ "f 1", "h 3", "f 4" }, at)
  end))

  it("afterfunc that is pending at the end is no deadlock, and is not called", run(function()
    local called = false
    synctest.run(function()
      lp.afterfunc(1, function() called = true end)
      local ctx = lp.context.withtimeout(background(), 1)
      lp.context.afterfunc(ctx, function() called = true end)
      gosched()
    end)
    assert.is_false(called)
  end))

  it("afterfunc that is pending is an event for who waits", bubble(function()
    local c = chan()
    lp.afterfunc(7, function() c:send "due" end)
    assert.equal("due", (c:recv()))
    assert.equal(7, lp.now())
  end))

  it("contexts end by its clock", bubble(function()
    local ctx, cancel = lp.context.withtimeout(background(), 5, "late")
    assert.equal(5, ctx:deadline())
    lp.sleep(5 - 1e-9)
    synctest.wait()
    assert.is_nil(ctx:err())
    lp.sleep(1e-9)
    synctest.wait()
    assert.equal("context deadline exceeded", ctx:err())
    assert.equal("late", ctx:cause())
    cancel()
    local child = lp.context.withdeadline(background(), 8)
    assert.same({ nil, false }, { child:done():recv() })
    assert.equal(8, lp.now())
    local grandchild = lp.context.withvalue(lp.context.withcancel(lp.context.withtimeout(background(), 1)), "k", "v")
    assert.same({ nil, "context deadline exceeded", "ETIMEDOUT" }, { lp.sleep(3, grandchild) })
    assert.equal(9, lp.now())
  end))

  it("a context's afterfunc is called when it ends", bubble(function()
    local ctx = lp.context.withtimeout(background(), 4)
    local at
    lp.context.afterfunc(ctx, function() at = lp.now() end)
    lp.sleep(4)
    synctest.wait()
    assert.equal(4, at)
  end))

  it("a context of one from outside ends with that, and takes over what is left of its time", run(function()
    local outside, cancel = lp.context.withcancel(background())
    local far = lp.context.withtimeout(background(), 1000)
    synctest.run(function()
      local ctx = lp.context.withcancel(outside)
      local left = lp.context.withcancel(far):deadline()
      assert.is_true(left > 500 and left <= 1000)
      cancel "enough"
      assert.equal("enough", ctx:cause())
      lp.sleep(1001)
      assert.equal("context deadline exceeded", lp.context.withtimeout(far, 1e-9) and
        select(2, lp.sleep(1, (lp.context.withtimeout(far, 1e-9)))))
      assert.is_nil(far:err()) -- by the real clock
    end)
  end))

  it("limits in seconds go by its clock, whatever is waited for", bubble(function()
    local m, rw, s, wg, once = lp.mutex(), lp.rwmutex(), lp.semaphore(1), lp.waitgroup(), lp.once()
    local lock = lp.mutex()
    local cond = lp.cond(lock)
    m:lock()
    rw:lock()
    s:acquire()
    wg:add()
    local t = 0
    local function times(expected, ...)
      t = t + expected
      assert.same({ nil, "timeout", "ETIMEDOUT" }, { ... })
      assert.equal(t, lp.now())
    end
    times(1, m:lock(1))
    times(2, rw:lock(2))
    times(4, rw:rlock(4))
    times(8, s:acquire(1, 8))
    times(16, wg:wait(16))
    lock:lock()
    times(32, cond:wait(32))
    lock:unlock()
    assert.same("timeout", (lp.select { chan(), timeout = 64 }))
    assert.equal(t + 64, lp.now())
    once:run(function() end)
    local ctx = lp.context.withtimeout(background(), 128)
    assert.same({ nil, "context deadline exceeded", "ETIMEDOUT" }, { wg:wait(ctx) })
    assert.equal(t + 64 + 128, lp.now())
    wg:done()
  end))

  it("who gets a lock in time has it", bubble(function()
    local m = lp.mutex()
    m:lock()
    go(function()
      lp.sleep(1)
      m:unlock()
    end)
    assert.is_true(m:lock(2))
    assert.equal(1, lp.now())
  end))

  it("channels, select and groups work as ever", bubble(function()
    local c, d, quit = chan(2), chan(), chan()
    go(function()
      for i = 1, 10 do
        local case = lp.select { { c, send = i }, { d, send = -i } }
        assert(case == 1 or case == 2)
      end
      quit:close()
    end)
    local sum, n = 0, 0
    repeat
      local i, v = lp.select { c, d, quit }
      if i ~= 3 then
        sum, n = sum + math.abs(v), n + 1
      end
    until i == 3 and c:len() == 0
    assert.same({ 55, 10 }, { sum, n })
    assert.equal("default", (lp.select { d, default = true }))
    assert.equal("chan(2) [0]", tostring(c))
    assert.equal(2, c:cap())
    assert.is_true(c:trysend { x = 1 })
    assert.same({ x = 1 }, (c:tryrecv()))
    c:send(1)
    c:close()
    assert.same({ 1, true }, { c:recv() })
    assert.same({ nil, false }, { c:recv() })
    assert.matches("send on closed channel", fails(c.send, c, 1))
    assert.matches("close of closed channel", fails(c.close, c))
    d:send(nil, go(function() d:recv() end))
    local carried = chan(1)
    c = chan(1)
    carried:send { c }
    assert.equal(c, carried:recv()[1])
  end))

  it("a goroutine of spawn gets copies, and what the bubble has made as it is", bubble(function()
    local t, c, wg = { 1 }, chan(), lp.waitgroup()
    local ctx = lp.context.withtimeout(background(), 100)
    wg:add()
    spawn(function(extra)
      local sleep = require("luapark").sleep
      t[1] = t[1] + extra
      sleep(2)
      c:send(t[1])
      c:send(ctx:deadline())
      wg:done()
    end, 41)
    assert.equal(42, (c:recv()))
    assert.equal(100, (c:recv()))
    assert.is_true(wg:wait())
    assert.equal(1, t[1])
    assert.equal(2, lp.now())
  end))

  it("pre-emption goes on", function()
    local out, err, status = helper.program([[
      local lp, synctest = require "luapark", require "luapark.synctest"
      if not lp.preemptible() then jit.off() end
      print(synctest.run(function()
        local stop = false
        lp.go(function()
          lp.gosched()
          stop = true
        end)
        while not stop do local _ = string.rep("x", 10):upper() end
        return lp.now()
      end))
    ]], "LUAPARK_PREEMPT=1")
    assert.same({ "0\n", "", 0 }, { out, err, status })
  end)
end)

describe("wait", function()
  it("returns when all others are durably blocked", bubble(function()
    local c, n = chan(), 0
    for _ = 1, 5 do
      go(function()
        for _ = 1, 20 do
          n = n + 1
          gosched()
        end
        c:recv()
        n = n + 1
      end)
    end
    assert.equal(0, n)
    synctest.wait()
    assert.equal(100, n)
    c:close()
    synctest.wait()
    assert.equal(105, n)
  end))

  it("returns at once where nobody else is", bubble(function()
    for _ = 1, 3 do
      synctest.wait()
    end
    local wakes = 0
    go(function()
      lp.sleep(1)
      wakes = wakes + 1
    end)
    synctest.wait()
    assert.same({ 0, 0 }, { wakes, lp.now() }) -- the clock stands still for it
    lp.sleep(1)
    synctest.wait()
    assert.equal(1, wakes)
  end))

  it("sees who wakes at the same time", bubble(function()
    local done = 0
    for _ = 1, 10 do
      go(function()
        lp.sleep(1)
        gosched()
        done = done + 1
      end)
    end
    lp.sleep(1)
    synctest.wait()
    assert.equal(10, done)
  end))

  it("may be called by any goroutine of the bubble, but by one at a time", bubble(function()
    local over = started(synctest.wait)
    local c = chan()
    go(function()
      gosched()
      c:send(select(2, pcall(synctest.wait)))
    end)
    assert.matches("synctest.wait already in progress", (c:recv()))
    c:tryrecv()
    lp.sleep(1)
    assert.is_true(over())
  end))

  it("is an error outside of bubbles", run(function()
    failshere("synctest.wait called from outside a synctest bubble", function() synctest.wait() end)
  end))

  it("may be called where Lua cannot yield", bubble(function()
    local n = 0
    go(function() n = n + 1 end)
    local s = ("x"):gsub("x", function()
      synctest.wait()
      return tostring(n)
    end)
    assert.equal("1", s)
  end))
end)

-- What blocks durably: wait returns, the clock goes on, and if nothing else is there it is a deadlock.
describe("a goroutine is durably blocked", function()
  -- For `it`: block blocks so. A goroutine in it lets wait return and the clock go on, and is reported for `reason`.
  local function blocks(reason, block)
    return run(function()
      local n = 0
      local err = deadlocks(function()
        go(block)
        synctest.wait()
        n = n + 1
        lp.sleep(5)
        assert.equal(5, lp.now())
        chan():recv()
      end)
      assert.equal(1, n)
      assert.matches("goroutine %d+ %[" .. reason .. " %(durable%), synctest bubble %d+%]:\n", err)
    end)
  end

  it("in a receive from a channel of the bubble", blocks("chan receive", function() chan():recv() end))

  it("in a send to one", blocks("chan send", function() chan():send(1) end))

  it("in a send to a full one", blocks("chan send", function()
    local c = chan(1)
    c:send(1)
    c:send(2)
  end))

  it("in a loop over one", blocks("chan receive", function() for _ in chan() do end end))

  it("in a select of such cases", blocks("select", function() lp.select { chan(), { chan(), send = 1 } } end))

  it("in a select with a nil channel", blocks("select", function() lp.select { chan(), false } end))

  it("in a select with nothing else", blocks("select %(no cases%)", function() lp.select { false, false } end))

  it("in a select without a case", blocks("select %(no cases%)", function() lp.select {} end))

  it("in a select with a context", blocks("select", function()
    lp.select { chan(), ctx = lp.context.withcancel(background()) }
  end))

  it("in a receive from a context that never ends, or a select with it", blocks("chan receive", function()
    assert.equal("timeout", (lp.select { chan(), background():done(), timeout = 0 }))
    go(function() lp.select { background():done(), ctx = background() } end)
    background():done():recv()
  end))

  it("in a receive from a context of the bubble", blocks("chan receive", function()
    lp.context.withcancel(background()):done():recv()
  end))

  it("in a receive from a timer that is stopped", blocks("chan receive", function()
    local t = lp.timer(1)
    t:stop()
    t.c:recv()
  end))

  it("in a cond's wait", blocks("sync.Cond.Wait", function()
    local m = lp.mutex()
    m:lock()
    lp.cond(m):wait()
  end))

  it("in a wait group's wait", blocks("sync.WaitGroup.Wait", function()
    local wg = lp.waitgroup()
    wg:add()
    wg:wait()
  end))

  it("in an errgroup's wait", blocks("sync.WaitGroup.Wait", function()
    local eg = lp.errgroup()
    eg:go(function() chan():recv() end)
    eg:wait()
  end))

  it("in a semaphore of the bubble", blocks("semaphore acquire", function() lp.semaphore(0):acquire() end))

  it("in sleep", blocks("sleep", function() lp.sleep(math.huge) end))

  it("in gopark", blocks("gopark", function() lp.gopark() end))

  it("in the wait of a group from outside that the bubble uses first", run(function()
    local wg = lp.waitgroup()
    synctest.run(function()
      wg:go(function() lp.sleep(3) end)
      assert.is_true(wg:wait())
      assert.equal(3, lp.now())
    end)
    wg:go(function() end) -- and is everybody's again
    assert.is_true(wg:wait())
  end))

  it("and readied by gopark's counterpart in the bubble", bubble(function()
    local g = go(function() return lp.gopark() end)
    synctest.wait()
    lp.sleep(1)
    lp.goready(g)
    synctest.wait()
    assert.equal("dead", g.status)
  end))
end)

-- What does not: the clock stands still until somebody outside has ended the wait.
describe("a goroutine is not durably blocked", function()
  -- block waits for what end_ does, outside, some time later. Meanwhile the bubble does not go on.
  local function standsstill(block, end_)
    local ended, over = false, false
    go(function()
      for _ = 1, 50 do
        gosched()
      end
      ended = true
      end_()
    end)
    synctest.run(function()
      local wg = lp.waitgroup()
      wg:go(block)
      lp.sleep(1)
      assert.is_true(ended)
      over = true
      wg:wait()
    end)
    assert.is_true(over)
  end

  it("in a receive from a channel from outside", run(function()
    local c = chan()
    standsstill(function() assert(c:recv() == 1) end, function() c:send(1) end)
  end))

  it("in a send to one", run(function()
    local c = chan()
    standsstill(function() c:send(1) end, function() c:recv() end)
  end))

  it("in a receive from one that is shared, or a send", run(function()
    local c = helper.share(chan())
    standsstill(function() assert(c:recv() == 1) end, function() c:send(1) end)
    standsstill(function() c:send(2) end, function() c:recv() end)
  end))

  it("in a select with a case from outside", run(function()
    local c, d = chan(), helper.share(chan())
    standsstill(function() assert(lp.select { chan(), c } == 2) end, function() c:send(1) end)
    standsstill(function() assert(lp.select { chan(), { d, send = 1 }, timeout = 5 } == 2) end, function() d:recv() end)
  end))

  it("in the wait for a context from outside", run(function()
    local ctx, cancel = lp.context.withcancel(background())
    standsstill(function() ctx:done():recv() end, cancel)
    local ctx2, cancel2 = lp.context.withcancel(background())
    standsstill(function() assert(not lp.sleep(100, ctx2)) end, cancel2)
  end))

  it("in a mutex", run(function()
    local m = lp.mutex()
    m:lock()
    standsstill(function() m:lock() end, function() m:unlock() end)
  end))

  it("in an rwmutex", run(function()
    local rw = lp.rwmutex()
    rw:lock()
    standsstill(function() rw:rlock() end, function() rw:unlock() end)
    standsstill(function() rw:lock() end, function() rw:runlock() end)
  end))

  it("in a once, a semaphore or a wait group from outside", run(function()
    local once, s, wg, c = lp.once(), lp.semaphore(1), lp.waitgroup(), chan()
    s:acquire()
    go(function() once:run(c.recv, c) end)
    gosched()
    standsstill(function() once:run(print) end, function() c:send(1) end)
    standsstill(function() s:acquire() end, function() s:release() end)
    wg:add()
    standsstill(function() wg:wait() end, function() wg:done() end)
  end))

  it("in a timer from outside, which goes by the real clock", run(function()
    local t = lp.after(0.01)
    local t0 = lp.now()
    synctest.run(function()
      local wg = lp.waitgroup()
      wg:go(function() t:recv() end)
      lp.sleep(100)
      wg:wait()
    end)
    assert.is_true(lp.now() - t0 >= 0.009)
    local tick = lp.ticker(0.005)
    synctest.run(function()
      assert.equal(1, (lp.select { tick.c, timeout = 1e-6 }))
      assert.equal(0, lp.now())
      tick:reset(0.001)
      assert.equal(2, (lp.select { chan(), tick.c, lp.after(1e-6) }))
      tick:stop()
    end)
  end))

  it("in I/O, whose timeouts are real", run(function()
    local net = require "luapark.net"
    local ln = assert(net.listen("tcp", "127.0.0.1:0"))
    local conn = assert(net.dial("tcp", ln:addr()))
    local peer = assert(ln:accept())
    standsstill(function() assert(peer:read(1) == "x") end, function() conn:write "x" end)
    synctest.run(function()
      peer:settimeout(0.002)
      assert.same({ nil, "timeout" }, { peer:read(1), (select(2, peer:read(1))) })
      assert.equal(0, lp.now())
    end)
    for _, c in ipairs { conn, peer, ln } do
      c:close()
    end
  end))

  it("in a system call", run(function()
    local ffi = require "ffi"
    pcall(ffi.cdef, "int usleep(unsigned int);")
    synctest.run(function()
      local over = started(function() lp.syscall(ffi.C.usleep, 5000) end)
      lp.sleep(1)
      assert.is_true(over())
    end)
  end))
end)

describe("from outside", function()
  local function made(fn)
    return synctest.run(fn)
  end

  it("a bubble's channel cannot be used", run(function()
    local c = made(function() return chan(1) end)
    failshere("send on synctest channel from outside bubble", function() c:send(1) end)
    failshere("send on synctest channel from outside bubble", function() c:trysend(1) end)
    failshere("receive on synctest channel from outside bubble", function() local _ = c:recv() end)
    failshere("receive on synctest channel from outside bubble", function() c:tryrecv() end)
    failshere("close of synctest channel from outside bubble", function() c:close() end)
    failshere("select on synctest channel from outside bubble", function() local _ = lp.select { c } end)
    failshere("select on synctest channel from outside bubble", function()
      local _ = lp.select { { c, send = 1 }, default = true }
    end)
    assert.same({ 0, 1, "chan(1) [0]" }, { c:len(), c:cap(), tostring(c) })
    synctest.run(function()
      failshere("send on synctest channel from outside bubble", function() c:send(1) end) -- another bubble
    end)
  end))

  it("nor its timers", run(function()
    local t, k = made(function() return lp.timer(1), lp.ticker(1) end)
    failshere("receive on synctest timer from outside bubble", function() local _ = t.c:recv() end)
    failshere("receive on synctest timer from outside bubble", function() t.c:tryrecv() end)
    failshere("stop of synctest timer from outside bubble", function() t:stop() end)
    failshere("reset of synctest timer from outside bubble", function() k:reset(1) end)
    failshere("select on synctest channel from outside bubble", function() local _ = lp.select { k.c } end)
  end))

  it("nor its contexts", run(function()
    local ctx, cancel, done = made(function()
      local ctx, cancel = lp.context.withtimeout(background(), 1)
      return ctx, cancel, ctx:done()
    end)
    failshere("err of synctest context from outside bubble", function() ctx:err() end)
    failshere("done of synctest context from outside bubble", function() ctx:done() end)
    failshere("cancel of synctest context from outside bubble", function() cancel() end)
    failshere("withcancel of synctest context from outside bubble", function() lp.context.withcancel(ctx) end)
    failshere("receive on synctest context's channel from outside bubble", function() local _ = done:recv() end)
    failshere("sleep of synctest context from outside bubble", function() lp.sleep(0, ctx) end)
    failshere("use of synctest context from outside bubble", function()
      local m = lp.mutex()
      m:lock(ctx)
    end)
  end))

  it("nor its wait groups, semaphores and conds", run(function()
    local wg, s, c = made(function() return lp.waitgroup(), lp.semaphore(1), lp.cond(lp.mutex()) end)
    failshere("add of synctest wait group from outside bubble", function() wg:add() end)
    failshere("done of synctest wait group from outside bubble", function() wg:done() end)
    failshere("go of synctest wait group from outside bubble", function() local _ = wg:go(print) end)
    failshere("release of synctest semaphore from outside bubble", function() s:release() end)
    synctest.run(function()
      failshere("signal of synctest cond from outside bubble", function() c:signal() end)
      failshere("broadcast of synctest cond from outside bubble", function() c:broadcast() end)
    end)
    assert.is_true(wg:wait())
  end))

  it("nor its goroutines be readied", run(function()
    local g, refused
    go(function()
      while not (g and g.status == "waiting") do gosched() end
      refused = fails(lp.goready, g)
    end)
    local m = lp.mutex()
    m:lock()
    go(function()
      while not refused do gosched() end
      m:unlock()
    end)
    synctest.run(function()
      g = go(function() lp.gopark() end)
      m:lock() -- which is not durable: the clock stands still
      lp.goready(g)
    end)
    assert.matches("goroutine of a synctest bubble", refused)
  end))

  it("what a bubble has made cannot go to another P", bubble(function()
    local m = lp.map()
    for what, o in pairs { channel = chan(), timer = lp.timer(1), context = lp.context.withcancel(background()),
      ["wait group"] = lp.waitgroup() } do
      assert.matches("cannot send value: a " .. what .. " of a synctest bubble", fails(m.store, m, 1, o), 1, true)
    end
  end))
end)

describe("a deadlock in a bubble", function()
  it("says who waits where for what", run(function()
    local here
    local err = deadlocks(function()
      go(function()
        here = helper.here(1)
        chan():send(1)
      end)
      lp.context.withcancel(background()):done():recv()
    end)
    local name = here:match "^(.*): $":gsub("%p", "%%%0")
    assert.matches("goroutine %d+ %[chan receive %(durable%), synctest bubble %d+%]:\n", err)
    assert.matches("goroutine %d+ %[chan send %(durable%), synctest bubble %d+%]:\n[^\n]*\n\t" .. name, err)
    assert.matches("created by function <[^\n]*> at [^\n]*synctest_spec.lua:%d+ in goroutine %d+", err)
  end))

  it("after the first goroutine has ended says that", run(function()
    local err = fails(synctest.run, function()
      go(function() chan():recv() end)
      return 1
    end)
    assert.matches("^deadlock: main bubble goroutine has exited but blocked goroutines remain\n\n", err)
    assert.matches("chan receive (durable)", err, 1, true)
  end))

  it("is none of the others outside", run(function()
    local c, stop = chan(), false
    go(function() c:send "outside" end)
    go(function() while not stop do gosched() end end)
    deadlocks(function() chan():recv() end)
    assert.equal("outside", (c:recv()))
    stop = true
  end))

  it("with what is waited for outside is the program's", function()
    local out, err, status = helper.script [[
      local synctest = require "luapark.synctest"
      local m = luapark.mutex()
      m:lock()
      synctest.run(function()
        go(function() luapark.sleep(1) m:unlock() end)
        m:lock()
      end)
    ]]
    assert.same({ "", 2 }, { out, status })
    assert.matches("^fatal error: all goroutines are asleep %- deadlock!", err)
    assert.matches("sync.Mutex.Lock, synctest bubble 1]", err, 1, true)
    assert.matches("sleep (durable), synctest bubble 1]", err, 1, true)
  end)
end)

describe("the goroutines that are left", function()
  -- The bubble fails while a goroutine stands in block. -> what that got there
  local function left(block)
    local got
    fails(synctest.run, function()
      go(function()
        got = select(2, pcall(block))
        error(got)
      end)
      gosched()
      gosched()
      error "the end"
    end)
    return got
  end

  it("are ended by an error where they wait, whatever that is", run(function()
    local m, rw, out, shared, ctx = lp.mutex(), lp.rwmutex(), chan(), helper.share(chan()),
      lp.context.withcancel(background())
    local s, wg, once, c = lp.semaphore(1), lp.waitgroup(), lp.once(), chan()
    s:acquire()
    local sharedtimer, timer = helper.share(lp.timer(1000)), lp.timer(1000)
    m:lock()
    rw:lock()
    wg:add()
    go(function() once:run(c.recv, c) end)
    gosched()
    for i, block in ipairs {
      function() chan():recv() end, function() chan():send(1) end, function() out:recv() end,
      function() out:send {} end, function() shared:recv() end, function() shared:send "a string, and so on" end,
      function() lp.select { chan(), out, shared, { out, send = 1 }, { shared, send = 2 }, timer, sharedtimer } end,
      function() lp.select {} end, function() m:lock() end, function() m:lock(5) end, function() m:lock(ctx) end,
      function() rw:lock() end, function() rw:rlock() end, function() s:acquire() end, function() wg:wait() end,
      function() once:run(print) end, function() lp.sleep(7) end, function() lp.sleep(7, ctx) end,
      function() timer.c:recv() end, function() sharedtimer.c:recv() end, function() ctx:done():recv() end,
      function() lp.gopark(nil, nil, "my own reason") end, function() synctest.wait() end,
      function() table.sort({ 1, 2 }, function() chan():recv() end) end,
      function() coroutine.wrap(function() lp.sleep(1) end)() end,
      function()
        local l = lp.mutex()
        l:lock()
        lp.cond(l):wait()
      end,
    } do
      local got = left(block)
      assert.matches("the synctest bubble of this goroutine has ended", tostring(got), 1, true, "case " .. i)
    end
    -- and stand in no line any more
    go(function() assert(out:recv() == 1) end)
    out:send(1)
    go(function() shared:send(2) end)
    assert.equal(2, (shared:recv()))
    m:unlock()
    assert.is_true(m:trylock())
    rw:unlock()
    assert.is_true(rw:trylock())
    s:release()
    assert.is_true(s:tryacquire())
    c:send(1)
    once:run(print)
    timer:reset(0)
    assert.is_number((timer.c:recv()))
    wg:done()
  end))

  it("are ended in I/O", run(function()
    local net = require "luapark.net"
    local ln = assert(net.listen("tcp", "127.0.0.1:0"))
    local conn = assert(net.dial("tcp", ln:addr()))
    local peer = assert(ln:accept())
    local after
    fails(synctest.run, function()
      go(function()
        after = select(2, peer:read(1))
        chan():recv()
        after = "more"
      end)
      gosched()
      error "the end"
    end)
    assert.equal("timeout", after)
    conn:write "y"
    assert.equal("y", peer:read(1))
    for _, c in ipairs { conn, peer, ln } do
      c:close()
    end
  end))

  it("clean up behind them", run(function()
    local m, unlocked = lp.mutex(), 0
    fails(synctest.run, function()
      for _ = 1, 3 do
        go(function()
          m:lock()
          pcall(lp.sleep, 1)
          m:unlock()
          unlocked = unlocked + 1
        end)
      end
      gosched()
      gosched()
      error "the end"
    end)
    assert.is_true(m:trylock())
    assert.is_true(unlocked >= 1)
  end))

  it("do not begin if they have not", run(function()
    local begun = false
    fails(synctest.run, function()
      for _ = 1, 10 do
        go(function() begun = true end)
        lp.spawn(function() error "spawned" end)
      end
      error "the end"
    end)
    assert.is_false(begun)
  end))

  it("cannot go on for ever", run(function()
    local once, n, c, shared, m = lp.once(), 0, chan(), helper.share(chan()), lp.mutex()
    m:lock()
    local before = lp.numgoroutine()
    fails(synctest.run, function()
      go(function()
        once:run(function()
          while true do
            pcall(lp.sleep, 1)
            n = n + 1
          end
        end)
      end)
      for _, again in ipairs { gosched, function() c:recv() end, function() shared:send(1) end, function() m:lock() end,
        function() lp.select { c, shared } end, lp.gopark, function() m:lock(1) end, synctest.wait } do
        go(function()
          while true do
            pcall(again)
          end
        end)
      end
      gosched()
      gosched()
      error "the end"
    end)
    assert.is_true(n > 1)
    once:run(error) -- it has been run
    assert.is_true(lp.numgoroutine() <= before)
    go(function() c:send "x" end) -- nobody of them is found in a line
    assert.equal("x", (c:recv()))
    go(function() assert(shared:recv() == "y") end)
    shared:send "y"
    go(function()
      m:lock()
      n = 0
    end)
    gosched()
    m:unlock()
    assert.is_true(helper.eventually(function() return n == 0 end))
  end))

  it("are ended at the end if they are daemons", run(function()
    local ticks = 0
    synctest.run(function()
      go(function()
        for _ in lp.ticker(1).c do
          ticks = ticks + 1
        end
      end):daemon()
      local g = go(function() chan():recv() end)
      gosched()
      g:daemon()
      lp.sleep(5.5)
    end)
    assert.equal(5, ticks)
  end))

  it("can be pre-empted to their end", function()
    local out, err, status = helper.program([[
      local lp, synctest = require "luapark", require "luapark.synctest"
      if not lp.preemptible() then jit.off() end
      lp.run(function()
        local stop = false
        lp.go(function() while not stop do lp.gosched() end end)
        print((select(2, pcall(synctest.run, function()
          lp.go(function()
            while true do pcall(string.rep, "x", 1) end
          end)
          lp.gosched()
          error("the end", 0)
        end)):gsub("\n.*", "")))
        stop = true
      end)
    ]], "LUAPARK_PREEMPT=1")
    assert.same({ "the end\n", "", 0 }, { out, err, status })
  end)
end)

describe("many bubbles in turn", function()
  it("leave nothing", run(function()
    local core = require "luapark.core"
    local c, m = chan(), lp.mutex()
    m:lock()
    local function all()
      synctest.run(function()
        local wg = lp.waitgroup()
        for i = 1, 10 do
          wg:go(lp.sleep, i)
        end
        lp.ticker(1).c:recv()
        lp.context.withtimeout(background(), 5):done():recv()
        wg:wait()
      end)
      fails(synctest.run, function()
        for _ = 1, 5 do
          go(function() c:recv() end)
          go(function() m:lock(3) end)
          go(function() lp.select { c, chan(), timeout = 9 } end)
          go(function() chan():send {} end)
        end
        gosched()
        lp.spawn(function() end)
        error "the end"
      end)
      deadlocks(function()
        go(function() chan():recv() end)
        lp.semaphore(0):acquire()
      end)
    end
    local function memory()
      helper.collect()
      return collectgarbage "count"
    end
    local ngs, ntimers = lp.numgoroutine(), core.ntimers()
    for _ = 1, 100 do
      all()
    end
    local before = memory()
    for _ = 1, 300 do
      all()
    end
    local after = memory()
    assert.equal(ngs, lp.numgoroutine())
    assert.equal(ntimers, core.ntimers())
    assert.is_true(after < before + 64, ("%d KB before, %d KB after"):format(before, after))
    go(function() c:send(1) end)
    assert.equal(1, (c:recv()))
  end))
end)

-- The same on several Ps, and where all choices are random.
describe("a program with bubbles", function()
  local program = [[
    local lp, synctest = require "luapark", require "luapark.synctest"
    local function test(i)
      local ok, err = pcall(synctest.run, function()
        local c, wg, order, eg = lp.chan(2), lp.waitgroup(), {}, lp.errgroup()
        for k = 1, 10 do
          wg:go(function()
            lp.sleep(k * i)
            c:send(lp.now())
          end)
          eg:go(function()
            lp.select { lp.chan(), timeout = k }
            assert(lp.now() >= k)
          end)
        end
        lp.spawn(function(c) require("luapark").sleep(1e6) c:close() end, c)
        for t in c do order[#order + 1] = t end
        for k = 1, 10 do assert(order[k] == k * i, "order") end
        assert(#order == 10 and lp.now() == 1e6)
        assert(eg:wait() and wg:wait())
        if i % 3 == 0 then lp.go(error, "as it should") lp.sleep(1) end
        if i % 3 == 1 then lp.chan():recv() end
      end)
      local want = i % 3 == 0 and "as it should" or i % 3 == 1 and "deadlock" or nil
      assert(ok == (want == nil) and (ok or err:find(want, 1, true)), tostring(err))
      return 1
    end
    lp.run(function()
      local results = lp.chan()
      for i = 1, 60 do
        lp.go(function() results:send(test(i)) end)
      end
      for i = 61, 90 do
        lp.spawn(function(results, test, i) results:send(test(i)) end, results, test, i)
      end
      local sum = 0
      for _ = 1, 90 do sum = sum + results:recv() end
      print(sum, lp.numgoroutine())
    end)
  ]]
  for _, env in ipairs { "LUAPARK_MAXPROCS=1", "LUAPARK_MAXPROCS=2", "LUAPARK_MAXPROCS=16",
    "LUAPARK_MAXPROCS=4 LUAPARK_DEBUG=stress LUAPARK_PREEMPT=1" } do
    it("gets the same with " .. env, function()
      local out, err, status = helper.program(program, env)
      assert.same({ "", 0 }, { err, status })
      assert.matches("^90\t%d+\n$", out)
    end)
  end
end)
