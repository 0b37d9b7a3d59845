-- SPDX-License-Identifier: MIT

-- cond: signals and broadcasts, in the manner of Go's own tests. (Across Ps: spec/corpus/cond.lua.)

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local go, gosched = lp.go, lp.gosched

for _, what in ipairs { "mutex", "shared mutex", "rwmutex" } do
  describe("a cond of a " .. what, function()
    local m, c

    local function make()
      m = what == "rwmutex" and lp.rwmutex() or lp.mutex()
      if what == "shared mutex" then
        helper.shared(m)
      end
      c = lp.cond(m)
    end

    it("wakes one for a signal, the longest waiting", run(function()
      make()
      local awake = {}
      for i = 1, 10 do
        go(function()
          m:lock()
          assert(c:wait() == true)
          assert(not m:trylock())
          awake[#awake + 1] = i
          m:unlock()
        end)
        gosched()
      end
      for i = 1, 10 do
        settle()
        assert.equal(i - 1, #awake)
        m:lock()
        c:signal()
        settle()
        assert.equal(i - 1, #awake) -- it has to have the lock
        m:unlock()
        assert.is_true(helper.eventually(function() return #awake == i end))
        assert.equal(i, awake[i])
      end
      c:signal() -- for nobody: and nobody has it later
      local woken
      go(function() m:lock(); c:wait(); woken = true; m:unlock() end)
      settle()
      assert.is_nil(woken)
      c:signal()
      settle()
      assert.is_true(woken)
    end))

    it("wakes all for a broadcast, and nobody who comes later", run(function()
      make()
      local woken, rounds = 0, {}
      for i = 1, 50 do
        rounds[i] = 0
        go(function()
          m:lock()
          for _ = 1, 3 do
            c:wait()
            woken = woken + 1
            rounds[i] = rounds[i] + 1
          end
          m:unlock()
        end)
      end
      for round = 1, 3 do
        settle()
        m:lock()
        assert.equal((round - 1) * 50, woken)
        c:broadcast()
        m:unlock()
        assert.is_true(helper.eventually(function() return woken == round * 50 end))
        settle()
        for i = 1, 50 do
          assert.equal(round, rounds[i])
        end
      end
      c:broadcast()
    end))

    it("lets go of the lock while it waits, and of nothing else", run(function()
      make()
      local turn, seen = 1, {}
      local wg = lp.waitgroup()
      for i = 1, 4 do
        wg:go(function()
          m:lock()
          while turn ~= i do
            c:wait()
          end
          seen[#seen + 1] = i
          turn = turn + 1
          c:broadcast()
          m:unlock()
        end)
      end
      wg:wait()
      assert.same({ 1, 2, 3, 4 }, seen)
      assert.is_true(m:trylock())
    end))

    it("refuses to wait without the lock, at the caller's line", run(function()
      make()
      failshere("wait of a cond whose mutex is not locked", function() c:wait() end)
      failshere("wait of a cond whose mutex is not locked", function() c:wait(1) end)
      local woken
      go(function() m:lock(); c:wait(); woken = true; m:unlock() end)
      settle()
      c:signal() -- what was refused stands in no line
      settle()
      assert.is_true(woken)
      assert.is_true(m:trylock())
    end))

    it("refuses to wait without the lock for a context, in whose line nothing is left", run(function()
      for _, share in ipairs { false, true } do
        make()
        local ctx, cancel = lp.context.withcancel(lp.context.background())
        if share then
          helper.share(ctx)
        end
        failshere("wait of a cond whose mutex is not locked", function() c:wait(ctx) end)
        local other, quit, got = lp.chan(), lp.chan(), 0
        go(function() got = lp.select { other, quit } end) -- has the place that was given back
        settle()
        cancel()
        settle()
        assert.equal(0, got) -- the context's end is none of its business
        quit:close()
        settle()
        assert.equal(2, got)
      end
    end))

    it("works under C functions and in coroutines", run(function()
      make()
      local n = 0
      for i = 1, 10 do
        go(function()
          local function waits()
            m:lock()
            c:wait()
            n = n + 1
            m:unlock()
          end
          if i % 2 == 0 then
            string.gsub("x", "x", waits)
          else
            coroutine.wrap(waits)()
          end
        end)
      end
      settle()
      for i = 1, 10 do
        c:signal()
        assert.is_true(helper.eventually(function() return n == i end))
      end
    end))

    it("waits up to a limit, and has the lock again in any case", run(function()
      make()
      m:lock()
      assert.same({ nil, "timeout", "ETIMEDOUT" }, { c:wait(0.001) })
      assert.is_false(m:trylock())
      assert.same({ nil, "timeout", "ETIMEDOUT" }, { c:wait(0) })
      assert.is_false(m:trylock())
      local holds, stop = true, false
      go(function()
        m:lock() -- while it waits
        lp.sleep(0.02)
        holds = false
        m:unlock()
        stop = true
      end)
      assert.same({ nil, "timeout", "ETIMEDOUT" }, { c:wait(0.001) })
      assert.is_false(holds)
      assert.is_false(m:trylock())
      m:unlock()
      assert.is_true(helper.eventually(function() return stop end))
    end))

    it("wakes another one where the first has given up", run(function()
      make()
      local said, woken
      go(function() m:lock(); said = { c:wait(0.002) }; m:unlock() end)
      gosched()
      go(function() m:lock(); c:wait(); woken = true; m:unlock() end)
      gosched()
      local start = lp.now()
      while lp.now() - start < 0.003 do end -- its time has passed, and it has not run
      c:signal()
      assert.is_true(helper.eventually(function() return said end, 1e8))
      if said[1] == nil then -- the timer was first
        c:signal()
      else
        assert.is_nil(woken)
        c:signal()
      end
      assert.is_true(helper.eventually(function() return woken end))
      assert.is_true(m:trylock())
    end))
  end)
end

describe("a cond", function()
  it("is made of a lock", run(function()
    failshere("bad argument #1 to 'cond' (mutex or rwmutex expected, got no value)", function() lp.cond() end)
    failshere("bad argument #1 to 'cond' (mutex or rwmutex expected, got table)", function() lp.cond({}) end)
    failshere("bad argument #1 to 'cond' (mutex or rwmutex expected, got table)", function() lp.cond(lp.waitgroup()) end)
    failshere("bad argument #1 to 'cond' (mutex or rwmutex expected, got string)", function() lp.cond("m") end)
  end))

  it("refuses a dot where a colon belongs", run(function()
    local c = lp.cond(lp.mutex())
    for _, method in ipairs { "wait", "signal", "broadcast" } do
      failshere("calling '" .. method .. "' on bad self (cond expected, got nil", function() c[method]() end)
      failshere("calling '" .. method .. "' on bad self (cond expected, got table", function() c[method](lp.mutex()) end)
    end
  end))

  it("brings its lock along", run(function()
    local m = lp.mutex()
    local c = lp.cond(m)
    local out = lp.chan(1)
    m:lock()
    lp.spawn(setfenv(function()
      m:lock() -- the very same: so we wait already
      out:send(true)
      c:signal()
      m:unlock()
    end, getfenv(0)))
    assert.equal(0, out:len())
    assert.is_true(c:wait(20))
    assert.equal(1, out:len())
    m:unlock()
  end))

  it("brings its lock along where nobody else knows that", run(function()
    local c, out = lp.cond(lp.rwmutex()), lp.chan()
    lp.spawn(setfenv(function()
      out:send(select(2, pcall(c.wait, c)))
    end, getfenv(0)))
    assert.matches("wait of a cond whose mutex is not locked", (out:recv()))
  end))

  it("shows that it is waited for", function()
    local _, err, status = helper.script [[local m = luapark.mutex() m:lock() luapark.cond(m):wait()]]
    assert.matches("goroutine 1 %[sync.Cond.Wait%]:", err)
    assert.equal(2, status)
  end)
end)
