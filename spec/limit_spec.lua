-- SPDX-License-Identifier: MIT

-- limit: every wait of sync that takes one gives up in time, leaves nothing behind, and takes nobody else's turn.
--
-- No time is compared but with generous bounds, or on the clock of a bubble.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local go, gosched = lp.go, lp.gosched

-- Each wait: an object that has nothing to give; wait, up to a limit; give what one waits for; after which `back` makes
-- it such an object again.
local WAITS = {
  ["waitgroup:wait"] = {
    make = function()
      local wg = lp.waitgroup()
      wg:add()
      return wg
    end,
    wait = function(wg, ...) return wg:wait(...) end,
    give = function(wg) wg:done() end,
    all = true, -- who waits goes on with one give
    back = function() end,
  },
  ["mutex:lock"] = {
    make = function()
      local m = lp.mutex()
      m:lock()
      return m
    end,
    wait = function(m, ...) return m:lock(...) end,
    give = function(m) m:unlock() end,
    back = function(m) m:unlock() end,
  },
  ["rwmutex:lock"] = {
    make = function()
      local rw = lp.rwmutex()
      rw:rlock()
      return rw
    end,
    wait = function(rw, ...) return rw:lock(...) end,
    give = function(rw) rw:runlock() end,
    back = function(rw) rw:unlock() end,
  },
  ["rwmutex:rlock"] = {
    make = function()
      local rw = lp.rwmutex()
      rw:lock()
      return rw
    end,
    wait = function(rw, ...) return rw:rlock(...) end,
    give = function(rw) rw:unlock() end,
    all = true,
    back = function(rw) rw:runlock() end,
  },
  ["semaphore:acquire"] = {
    argument = 2,
    make = function()
      local s = lp.semaphore(3)
      s:acquire(3)
      return s
    end,
    wait = function(s, ...) return s:acquire(nil, ...) end,
    give = function(s) s:release(1) end,
    back = function(s) s:release(1) end,
  },
}

local function spent(t)
  local start, n = os.clock(), lp.now()
  while lp.now() - n < t and os.clock() - start < 20 do end
end

for name, kind in pairs(WAITS) do
  for _, where in ipairs(name:match "^[mw][ua]" and { "at home", "shared", "in a bubble" } or { "shared", "in a bubble" }) do
    local exact = where == "in a bubble" -- where time passes when all wait for it, and by no more than that
    local body = exact and helper.bubble or run
    describe(("%s, %s,"):format(name, where), function()
      local function make()
        local o = kind.make()
        return where == "shared" and helper.shared(o) or o
      end

      -- A goroutine that waits. -> a table with what that returned, once it has
      local function waiting(o, ...)
        local said = {}
        go(function(...)
          said[1], said[2], said[3] = kind.wait(o, ...)
          said.over = true
          if said[1] then
            kind.back(o)
          end
        end, ...)
        gosched()
        return said
      end

      local function over(said)
        while exact and not said.over and lp.now() < 100 do
          lp.sleep(0.0001)
        end
        return helper.eventually(function() return said.over end, exact and 1 or 1e8)
      end

      it("gives up when its time has passed, not before", body(function()
        local o, start = make(), lp.now()
        assert.same({ nil, "timeout", "ETIMEDOUT" }, { kind.wait(o, 0.02) })
        local took = lp.now() - start
        assert.is_true(took >= 0.02 and took < (exact and 0.02 + 1e-9 or 20))
        kind.give(o)
        assert.is_true(kind.wait(o, 1))
      end))

      it("does not wait at all with 0, but takes what is there", body(function()
        local o, ran = make(), false
        go(function() ran = true end)
        assert.same({ nil, "timeout", "ETIMEDOUT" }, { kind.wait(o, 0) })
        assert.is_false(ran)
        kind.give(o)
        assert.is_true(kind.wait(o, 0))
        gosched()
      end))

      it("gets what comes in time", body(function()
        local o = make()
        for _, limit in ipairs { 20, 1e300, math.huge } do
          local said = waiting(o, limit)
          settle()
          assert.is_nil(said.over)
          kind.give(o)
          assert.is_true(over(said))
          assert.same({ true, over = true }, said)
          o = make()
        end
      end))

      it("leaves its place to who is behind it", body(function()
        local o = make()
        local first = waiting(o, 0.001)
        local second = waiting(o, exact and 50 or nil) -- for a mutex and its kin a bubble's time waits, too
        local third = waiting(o, 0.002)
        assert.is_true(over(first))
        assert.is_true(over(third))
        assert.is_nil(second.over)
        kind.give(o)
        assert.is_true(over(second))
        assert.is_true(second[1])
      end))

      if not exact then -- these two are about real time
        it("that has given up, but does not know it yet, takes nothing from the others", run(function()
          for round = 1, 20 do
            local o = make()
            local first = waiting(o, 0.0002)
            local second = waiting(o)
            spent(0.0003) -- only now do timers run, before or after what we give
            if round % 2 == 0 then
              gosched()
            end
            kind.give(o)
            assert.is_true(over(first))
            assert.is_true(over(second))
            assert.is_true(second[1])
          end
        end))

        it("loses none of many that come and go", run(function()
          local o, n, got, gaveup = make(), 60, 0, 0
          local wg = lp.waitgroup()
          for i = 1, n do
            wg:go(function()
              if i % 3 == 0 then
                lp.sleep(i / 100000)
              end
              if kind.wait(o, i % 2 == 0 and i / 50000 or nil) then
                got = got + 1
                if i % 5 == 0 then
                  lp.sleep(0.00005)
                end
                kind.back(o)
              else
                gaveup = gaveup + 1
              end
            end)
          end
          lp.sleep(0.0005)
          kind.give(o)
          wg:wait()
          assert.equal(n, got + gaveup)
          assert.is_true(got >= n / 2)
        end))
      end

      it("works under C functions and in coroutines", body(function()
        local o, said = make(), nil
        string.gsub("x", "x", function() said = { kind.wait(o, 0.001) } end)
        assert.same({ nil, "timeout", "ETIMEDOUT" }, said)
        said = { coroutine.wrap(function() return kind.wait(o, 0.001) end)() }
        assert.same({ nil, "timeout", "ETIMEDOUT" }, said)
        go(function() gosched(); kind.give(o) end)
        string.gsub("x", "x", function() said = { kind.wait(o, 20) } end)
        assert.same({ true }, said)
      end))

      it("refuses what is no limit, at the caller's line", body(function()
        local method, argument = name:match ":(.*)", kind.argument or 1
        local o = make()
        for _, bad in ipairs { -1, -1e-9, 0 / 0, "1", false, {} } do
          local args = {}
          args[argument] = bad
          failshere(("bad argument #%d to '%s' (limit: seconds or a context expected, got "):format(argument, method),
            function() o[method](o, unpack(args, 1, argument)) end)
        end
        kind.give(o)
        failshere("limit", function() kind.wait(o, -1) end) -- though there is nothing to wait for
      end))
    end)
  end
end

describe("a wait with a limit", function()
  it("keeps a program alive, one without does not", function()
    local out, err, status = helper.script [[
      local m = luapark.mutex()
      m:lock()
      go(function() print(m:lock(0.01)) end)
      go(function() m:lock() print "never" end)]]
    assert.same({ "nil\ttimeout\tETIMEDOUT\n", "", 0 }, { out, err, status })
  end)

  it("is none where one may not wait, but with nothing to wait for", function()
    local out, err, status = helper.script [[
      local m, rw, s, wg = luapark.mutex(), luapark.rwmutex(), luapark.semaphore(1), luapark.waitgroup()
      local c = luapark.cond(m)
      rw:lock() s:acquire() wg:add()
      local said
      local p = newproxy(true)
      getmetatable(p).__gc = function()
        said = {}
        said[1] = m:lock(1) -- it is free
        for _, f in ipairs { function() m:lock(1) end, function() rw:lock(1) end, function() rw:rlock() end,
            function() s:acquire(1, 1) end, function() wg:wait(1) end, function() c:wait(1) end } do
          said[#said + 1] = select(2, pcall(f))
        end
      end
      p = nil
      while not said do collectgarbage() end
      print(unpack(said))
      print(m:trylock(), rw:tryrlock(), s:tryacquire()) -- nobody stands in a line
      m:unlock() rw:unlock() s:release() wg:done()
      print(m:trylock(), rw:trylock(), s:tryacquire(), wg:wait())]]
    assert.equal("", err)
    assert.equal(0, status)
    local line = out:match "^([^\n]*)\n"
    assert.equal("true", line:match "^%a+")
    assert.equal(6, select(2, line:gsub("cannot wait in a finalizer", "")))
    assert.matches("\nfalse\tfalse\tfalse\ntrue\ttrue\ttrue\ttrue\n$", out)
  end)

  it("is none outside of goroutines, and says so at the caller's line", function()
    local out, err, status = helper.module [[
      local lp = require "luapark"
      local core = require "luapark.core"
      local m, rw, s, wg, o = lp.mutex(), lp.rwmutex(), lp.semaphore(1), lp.waitgroup(), lp.once()
      local c, m2, wg2 = lp.cond(m), lp.mutex(), lp.waitgroup()
      core.drop(core.pack("share", m2, wg2)) -- another P might know them
      assert(m:lock() and m2:lock() and rw:lock() and s:acquire())
      wg:add() wg2:add()
      o:run(function()
        for _, f in ipairs {
          function() m:lock() return end,
          function() m:lock(1) return end,
          function() m2:lock() return end,
          function() wg:wait() return end,
          function() wg2:wait(1) return end,
          function() rw:lock() return end,
          function() rw:rlock() return end,
          function() s:acquire() return end,
          function() c:wait() return end,
          function() o:run(print) return end,
        } do
          local ok, why = pcall(f)
          print(why:match(":(%d+): (.*)$"))
        end
      end)
      assert(not m:trylock())
      m:unlock() m2:unlock() rw:unlock() s:release() wg:done() wg2:done() o:run(error)
      lp.run(function() print(m:lock(), m2:lock(), rw:lock(), s:acquire(), wg:wait(), wg2:wait()) end)]]
    local want = {}
    for line = 10, 19 do
      want[#want + 1] = line .. "\tcannot wait outside a goroutine (see luapark.run)\n"
    end
    assert.same({ table.concat(want) .. ("true\t"):rep(5) .. "true\n", "", 0 }, { out, err, status })
  end)
end)
