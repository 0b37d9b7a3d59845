-- SPDX-License-Identifier: MIT

-- Module mode: require "luapark" in a stock luajit. Each program runs in a process of its own, so that these specs are the
-- same when busted runs in the executable.

local helper = require "spec.helper"
local module_ = helper.module

local function expect(out, text, stdin)
  assert.same({ out, "", 0 }, { module_(text, "", stdin) })
end

describe("require 'luapark'", function()
  it("in a stock luajit gives the module, and no globals", function()
    expect("true\tnil\tnil\tnil\ttable\n", [[
      local before = {}
      for k in pairs(_G) do before[k] = true end
      local lp = require "luapark"
      local new = 0
      for k in pairs(_G) do if not before[k] then new = new + 1 end end
      print(new == 0, go, chan, gopark, type(lp))
    ]])
  end)

  it("may be asked for again after package.loaded forgot it: the same state, no error about another one", function()
    local out, err = module_ [[
      require "luapark"
      for k in pairs(package.loaded) do
        if k:find "^luapark" then package.loaded[k] = nil end
      end
      local ok, e = pcall(require, "luapark")
      print(ok, ok and e.run(function() return 5 end) or e)
    ]]
    assert.equal("", err)
    assert.is_nil(out:find("another Lua state", 1, true), out)
  end)

  it("leaves the program luajit's: errors, exit status, output", function()
    local out, err, status = module_ "require 'luapark' print 'x' error 'plain'"
    assert.equal("x\n", out)
    assert.matches("^luajit: .-:1: plain\nstack traceback:\n", err)
    assert.equal(1, status)
  end)
end)

describe("lp.run", function()
  it("returns its function's results, nil holes and all", function()
    expect("5\t1\tnil\t3\tnil\tnil\n0\n0\n", [[
      local lp = require "luapark"
      print(select("#", lp.run(function(...) return ... end, 1, nil, 3, nil, nil)), lp.run(function(...) return ... end,
        1, nil, 3, nil, nil))
      print(select("#", lp.run(function() end)))
      print(select("#", lp.run(function() lp.sleep(0.001) end)))
    ]])
  end)

  it("returns many results", function()
    expect("5000\t5000\n", [[
      local lp = require "luapark"
      local t = {}
      for i = 1, 5000 do t[i] = i end
      local function last(...) return select("#", ...), (select(select("#", ...), ...)) end
      print(last(lp.run(function() lp.gosched() return unpack(t) end)))
    ]])
  end)

  it("waits for the goroutines that it started", function()
    expect("main\n1\n2\n3\nresult\n", [[
      local lp = require "luapark"
      print(lp.run(function()
        for i = 1, 3 do lp.go(function() lp.sleep(i * 0.005) print(i) end) end
        print "main"
        return "result"
      end))
    ]])
  end)

  it("is a plain call inside a run", function()
    expect("1\t2\tgoroutine 1 [running]\n", [[
      local lp = require "luapark"
      print(lp.run(function()
        return lp.run(function(a) lp.gosched() return a, 2, tostring(lp.getg()) end, 1)
      end))
    ]])
  end)

  it("refuses what is no function, at the caller's line", function()
    expect("false\tSCRIPT:3: bad argument #1 to 'run' (function expected, got nil)\n" ..
      "false\tSCRIPT:4: bad argument #1 to 'run' (function expected, got nil)\n", [[
      local lp = require "luapark" local function try(...) local ok, e = pcall(...)
        print(ok, (e:gsub("^.-:(%d+:)", "SCRIPT:%1"):gsub("no value", "nil"))) end
      try(function() lp.run(nil) end)
      try(function() lp.run() end)
    ]])
  end)

  it("works under the host's pcall, coroutines and C functions", function()
    expect("true\t1\n2\n123\n", [[
      local lp = require "luapark"
      local c = lp.chan()
      print(pcall(lp.run, function() lp.gosched() return 1 end))
      print(coroutine.wrap(function() return lp.run(function() lp.sleep(0.001) return 2 end) end)())
      local t = { 3, 1, 2 }
      table.sort(t, function(a, b) return lp.run(function() lp.gosched() return a < b end) end)
      print(table.concat(t))
    ]])
  end)

  it("inside the host's coroutine lets the coroutine yield before and after, not across", function()
    expect("before\nin\nafter\n", [[
      local lp = require "luapark"
      for v in coroutine.wrap(function()
        coroutine.yield "before"
        coroutine.yield(lp.run(function() lp.gosched() return "in" end))
        coroutine.yield "after"
      end) do print(v) end
    ]])
  end)
end)

describe("lp.run raises", function()
  it("its function's error, with the position and a traceback", function()
    local out, err, status = module_ [[
local lp = require "luapark"
local function work()
  lp.sleep(0.001)
  error "boom"
end
local ok, e = pcall(lp.run, function() work() end)
print(ok)
print(e)
]]
    assert.equal("", err)
    assert.equal(0, status)
    assert.matches("^false\n[^\n]-:4: boom\nstack traceback:\n\t%[C%]: in function 'error'\n" ..
      "\t[^\n]-:4: in function 'work'\n", out)
  end)

  it("uncaught in the host as luajit reports errors, exit 1", function()
    local out, err, status = module_ [[
      local lp = require "luapark"
      lp.run(function() print "x" lp.gosched() error "boom" end)
      print "not reached"
    ]]
    assert.equal("x\n", out)
    assert.matches("^luajit: .-:2: boom\nstack traceback:\n", err)
    assert.equal(1, status)
  end)

  it("error objects as they are", function()
    expect("true\ttrue\ttrue\tnil\n", [[
      local lp = require "luapark"
      local object = setmetatable({}, { __tostring = function() return "words" end })
      local _, a = pcall(lp.run, function() lp.gosched() error(object) end)
      local _, b = pcall(lp.run, function() error(true) end)
      local _, c = pcall(lp.run, function() error(print) end)
      local _, d = pcall(lp.run, function() error() end)
      print(rawequal(a, object), b, c == print, d)
    ]])
  end)

  it("an error of another goroutine, in words: goroutine, message, traceback, creator", function()
    local out, err, status = module_ [[
local lp = require "luapark"
local ok, e = pcall(lp.run, function()
  lp.go(function()
    lp.sleep(0.001)
    error "boom"
  end)
  lp.chan():recv()
end)
print(ok)
print(e)
]]
    assert.equal("", err)
    assert.equal(0, status)
    assert.matches("^false\ngoroutine 2 %[running%]:\n[^\n]-:5: boom\nstack traceback:\n", out)
    assert.matches("\ncreated by [^\n]-:3 in goroutine 1\n", out)
  end)

  it("and then counts nobody any more that wg:go had started", function()
    expect("false\ntrue\tfine\n20\n", [[
      local lp = require "luapark"
      local wg
      print((pcall(lp.run, function()
        wg = lp.waitgroup()
        for i = 1, 20 do wg:go(function() lp.chan():recv() end) end
        lp.gosched()
        error "x"
      end)))
      print(pcall(lp.run, function()
        for i = 1, 20 do lp.go(lp.goexit) end -- in the same slots
        lp.gosched()
        return "fine"
      end))
      local n = 0
      while pcall(wg.done, wg) do n = n + 1 end
      print(n)
    ]])
  end)

  it("an error of another goroutine after its function has returned", function()
    local out = module_ [[
      local lp = require "luapark"
      print(pcall(lp.run, function() lp.go(function() lp.sleep(0.001) error "late" end) return "result" end))
    ]]
    assert.matches("^false\tgoroutine 2 %[running%]:\n[^\n]-: late\n", out)
  end)

  it("a deadlock, in words", function()
    local out, err, status = module_ [[
      local lp = require "luapark"
      local ok, e = pcall(lp.run, function()
        lp.go(function() lp.chan():send(1) end)
        lp.chan():recv()
      end)
      print(ok)
      print(e)
    ]]
    assert.equal("", err)
    assert.equal(0, status)
    assert.matches("^false\nfatal error: all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[chan receive%]:\n", out)
    assert.matches("goroutine 2 %[chan send%]:\n", out)
  end)

  it("a deadlock uncaught as luajit does, exit 1", function()
    local _, err, status = module_ "local lp = require 'luapark' lp.run(function() lp.chan():recv() end)"
    assert.matches("^luajit: fatal error: all goroutines are asleep %- deadlock!\n", err)
    assert.equal(1, status)
  end)

  it("that main called goexit", function()
    local out = module_ "local lp = require 'luapark' print(pcall(lp.run, function() lp.goexit() end))"
    assert.matches("^false\tfatal error: no goroutines %(main called luapark.goexit%) %- deadlock!", out)
  end)
end)

describe("several runs in one process", function()
  it("follow one another", function()
    expect("500500\t1000\n", [[
      local lp = require "luapark"
      local sum, runs = 0, 0
      for i = 1, 1000 do
        sum = sum + lp.run(function()
          local c = lp.chan()
          lp.go(function() lp.gosched() c:send(i) end)
          return (c:recv())
        end)
        runs = runs + 1
      end
      print(sum, runs)
    ]])
  end)

  it("share channels and waiting goroutines", function()
    expect("from the second run\n0\n", [[
      local lp = require "luapark"
      local c, got = lp.chan(), nil
      lp.run(function() lp.go(function() got = c:recv() end) end)
      lp.run(function() c:send "from the second run" end)
      print(got)
      print(lp.numgoroutine())
    ]])
  end)

  it("leave nothing of one that failed: goroutines, waiters, timers, stacks", function()
    expect("0\nfalse\tfalse\n0\nok\n123\n0\n", [[
      local lp = require "luapark"
      local c, d, woken = lp.chan(), lp.chan(), 0
      for round = 1, 50 do
        local ok = pcall(lp.run, function()
          for i = 1, 20 do
            lp.go(function() c:recv() woken = woken + 1 end)
            lp.go(function() lp.select { c, { d, send = 1 }, timeout = 0.001 } woken = woken + 1 end)
            lp.go(function() string.gsub("x", "x", function() lp.sleep(0.001) woken = woken + 1 end) end)
            lp.go(function() lp.sleep(0.001) woken = woken + 1 end)
            lp.go(function() coroutine.wrap(function() c:recv() end)() end)
          end
          lp.gosched()
          lp.go(function() woken = woken + 1 end) -- never starts
          error "failed"
        end)
        assert(not ok)
      end
      print(lp.numgoroutine())
      lp.run(function()
        lp.sleep(0.005)
        -- nobody of the failed runs takes or gives a value
        print(c:trysend(1), (select(3, d:tryrecv())))
      end)
      print(woken)
      print(lp.run(function()
        local wg = lp.waitgroup()
        for i = 1, 100 do wg:go(function() lp.sleep(0.001) end) end
        wg:wait()
        return "ok"
      end))
      lp.run(function()
        local t = { 3, 1, 2 }
        table.sort(t, function(a, b) lp.gosched() return a < b end)
        print(table.concat(t))
      end)
      print(lp.numgoroutine())
    ]])
  end)

  -- A goroutine that was stopped between entering a line and parking stayed in it.
  it("leave nobody in the lines of channels that several Ps share", function()
    expect("0\n", [[
      local lp = require "luapark"
      lp.gomaxprocs(4)
      local chans = {}
      for i = 1, 8 do chans[i] = lp.chan() end
      for round = 1, 100 do
        assert(not pcall(lp.run, function()
          local started = lp.waitgroup()
          for i = 1, 8 do
            started:add(1)
            lp.spawn(function(a, b, wg)
              wg:done()
              while true do
                if i % 2 == 0 then a:send(i) b:recv() else b:recv() a:send(i) end
              end
            end, chans[i], chans[i % 8 + 1], started)
          end
          started:wait()
          error "failed"
        end))
        for i = 1, 8 do
          assert(not lp.run(chans[i].trysend, chans[i], 1), round)
          assert(not select(3, lp.run(chans[i].tryrecv, chans[i])), round)
        end
      end
      print(lp.numgoroutine())
    ]])
  end)

  it("leave nothing of a deadlock, of an error in another goroutine, of a goexit", function()
    expect("0\tfine\n", [[
      local lp = require "luapark"
      local m = lp.mutex()
      for i = 1, 30 do
        assert(not pcall(lp.run, function() lp.go(function() string.gsub("x", "x", function() lp.chan():recv() end) end)
          lp.chan():recv() end))
        assert(not pcall(lp.run, function() for i = 1, 10 do lp.go(function() lp.gosched() error "x" end) end
          lp.sleep(1) end))
        assert(not pcall(lp.run, function() lp.go(lp.sleep, 0.0001) lp.goexit() end))
      end
      print(lp.numgoroutine(), lp.run(function() lp.gosched() return "fine" end))
    ]])
  end)

  it("leave nobody in the lines of what they waited for, whether at home or shared, asleep or awake", function()
    expect("8\n", [[
      local lp = require "luapark"
      local core = require "luapark.core"
      lp.gomaxprocs(1) -- who is woken when it fails must not be fast enough
      local n = 0
      for round = 1, 8 do
        local m, rw, s, wg = lp.mutex(), lp.rwmutex(), lp.semaphore(1), lp.waitgroup()
        local c = lp.cond(m)
        if round % 2 == 0 then
          core.drop(core.pack("share", m, wg)) -- another P might know them
        end
        local function waiters()
          for i = 1, 2 do
            lp.go(function() m:lock() c:wait() end)
            lp.go(m.lock, m, i == 1 and 60 or nil)
            lp.go(rw.lock, rw)
            lp.go(rw.rlock, rw)
            lp.go(s.acquire, s)
            lp.go(wg.wait, wg)
          end
          for _ = 1, 5 do lp.gosched() end
        end
        assert(not pcall(lp.run, function()
          m:lock() rw:rlock() s:acquire() wg:add()
          waiters()
          if round > 4 then
            m:unlock() -- wakes one, which does not run any more
          end
          error "failed"
        end))
        lp.run(function()
          if round <= 4 then
            m:unlock()
          end
          assert(rw:tryrlock())
          rw:runlock()
          rw:runlock()
          assert(rw:trylock())
          s:release()
          assert(s:tryacquire())
          wg:done()
          local got = 0
          m:lock()
          for _ = 1, 3 do
            lp.go(function() m:lock() c:wait() m:unlock() got = got + 1 end)
          end
          lp.gosched()
          m:unlock()
          for i = 1, 3 do
            for _ = 1, 20 do lp.gosched() end
            assert(got == i - 1)
            c:signal()
          end
          while got < 3 do lp.gosched() end
          n = n + 1
        end)
      end
      print(n)
    ]])
  end)

  it("do not grow the process's memory", function()
    expect("true\n", [[
      local lp = require "luapark"
      local function rss()
        local f = io.open "/proc/self/statm"
        local pages = f:read "*l":match "%d+ (%d+)"
        f:close()
        return tonumber(pages)
      end
      local function round()
        for i = 1, 100 do
          pcall(lp.run, function()
            for k = 1, 20 do lp.go(function() string.gsub("x", "x", function() lp.chan():recv() end) end) end
            lp.gosched()
            if i % 2 == 0 then error "x" end
            lp.chan():recv()
          end)
        end
        collectgarbage() collectgarbage()
        return rss()
      end
      round()
      local first = round()
      local last
      for i = 1, 5 do last = round() end
      print(last < first * 1.2 + 500)
    ]])
  end)
end)

describe("os.exit in module mode", function()
  it("is the host's own", function()
    for _, call in ipairs { "os.exit(7)", "os.exit(7, true)", "lp.exit(7)" } do
      assert.same({ "x\n", "", 7 }, { module_("local lp = require 'luapark' lp.run(function() lp.go(function() print 'x' "
        .. call .. " end) lp.chan():recv() end)") })
    end
  end)
end)

describe("a second Lua state of the process", function()
  it("is refused in words", function()
    expect("1\tluapark is already loaded in another Lua state of this process\ngoes on\n", [[
      local ffi = require "ffi"
      local lp = require "luapark"
      ffi.cdef "typedef struct lua_State lua_State; lua_State *luaL_newstate(void); void luaL_openlibs(lua_State *L); "
      ffi.cdef "int luaL_loadstring(lua_State *L, const char *s); int lua_pcall(lua_State *L, int n, int r, int e);"
      ffi.cdef "const char *lua_tolstring(lua_State *L, int i, size_t *n); void lua_close(lua_State *L);"
      local C = ffi.C
      if not pcall(function() return C.luaL_newstate end) then
        C = ffi.load "luajit-5.1"
      end
      local L = C.luaL_newstate()
      C.luaL_openlibs(L)
      assert(C.luaL_loadstring(L, "local ok, e = pcall(require, 'luapark') return e") == 0)
      C.lua_pcall(L, 0, 1, 0)
      local text = ffi.string(C.lua_tolstring(L, -1, nil))
      print(select(2, text:gsub("luapark is already loaded", "")), text:match "luapark is already[^\n]*")
      C.lua_close(L)
      print(lp.run(function() lp.gosched() return "goes on" end))
    ]])
  end)
end)

describe("with LuaJIT's own modules", function()
  it("jit.p, jit.v and jit.dump do not get in the way", function()
    expect("true\n", [[
      local lp = require "luapark"
      require "jit.v".start "/dev/null"
      local ok = lp.run(function()
        local c, s = lp.chan(), 0
        lp.go(function() for i = 1, 10000 do c:send(i) end c:close() end)
        for v in c do s = s + v end
        return s == 50005000
      end)
      require "jit.v".off()
      print(ok)
    ]])
  end)
end)

describe("many Ps", function()
  -- Which thread runs a goroutine stands in /proc/thread-self. Three of them wait, without parking, until all are there: on
  -- one P that would take the pre-emption of two, so that in the end there are several threads. Without the JIT: a compiled
  -- loop of a stock LuaJIT gives nothing away that waits behind it.
  local MEETING = [[
    jit.off()
    local lp = require "luapark"
    local function thread()
      local f = assert(io.open "/proc/thread-self/stat")
      local id = f:read "*l":match "^%d+"
      f:close()
      return id
    end
    local function meet(start)
      local here, ids, n = lp.atomic(), lp.chan(3), 0
      for i = 1, 3 do
        start(function()
          here:add(1)
          while here:load() < 3 do end
          ids:send(thread())
        end)
      end
      local set = {}
      for i = 1, 3 do
        local id = ids:recv()
        n = n + (set[id] and 0 or 1)
        set[id] = true
      end
      return n > 1
    end
  ]]
  local function with(n, want, text)
    helper.withfile(MEETING .. text, function(name)
      assert.same({ want, "", 0 }, { helper.sh(("env -u LUAPARK_PREEMPT LUAPARK_MAXPROCS=%d %s timeout 30 luajit %s"):format(
        n, helper.moduleenv, name)) })
    end)
  end

  it("are there in a host, too", function()
    with(3, "3\n", "print(lp.gomaxprocs())")
  end)

  it("share what spawn starts, and what go starts if it is portable, the host's P among them", function()
    with(3, "true\ttrue\n", "print(lp.run(meet, lp.spawn), lp.run(meet, lp.go))")
  end)

  it("do so in each run, and stand still between two", function()
    with(3, ("true\n"):rep(5), [[
      local ticks = lp.atomic()
      lp.run(function() lp.spawn(function(a) while true do a:add(1) lp.sleep(0.001) end end, ticks):daemon() end)
      for i = 1, 5 do
        print((lp.run(meet, lp.go)))
        local before = ticks:load()
        io.popen "sleep 0.02":close()
        assert(ticks:load() == before)
      end
    ]])
  end)

  it("are as many as gomaxprocs says, from the host and from inside", function()
    with(1, "1\ttrue\t3\ttrue\n", [[
      io.write(lp.gomaxprocs(3), "\t", tostring(lp.run(meet, lp.go)), "\t", lp.gomaxprocs(1), "\t")
      print(lp.run(function() lp.gomaxprocs(3) return meet(lp.spawn) end))
    ]])
  end)
end)

describe("what a failed run leaves", function()
  -- A goroutine was killed whose goready, from another P, was on its way: its next run found nobody to give it to.
  it("are no messages to the dead", function()
    expect("300\t0\n", [[
      local lp = require "luapark"
      lp.gomaxprocs(2)
      local failed = 0
      for i = 1, 300 do
        local ok, e = pcall(lp.run, function()
          local gs, started = {}, lp.atomic()
          for k = 1, 20 do gs[k] = lp.go(lp.gopark) end
          lp.gosched()
          lp.spawn(function(a, ...)
            a:store(1)
            for k = 1, 20 do lp.goready((select(k, ...)), { 1, 2, 3 }) end
          end, started, unpack(gs))
          while started:load() == 0 do end
          for _ = 1, i % 30 * 10 do end
          error "on purpose"
        end)
        if not ok and e:find("on purpose", 1, true) then failed = failed + 1 end
        lp.run(function() lp.sleep(0.0001) end)
      end
      print(failed, lp.numgoroutine())
    ]])
  end)
end)

describe("a Lua that is no LuaJIT", function()
  local function refusal(lua, module)
    if os.execute("command -v " .. lua .. " >/dev/null 2>&1") ~= 0 then
      pending(lua .. " is not installed")
      return ""
    end
    local code = "local ok, e = pcall(require, [[" .. module .. "]]) io.write(tostring(ok), [[ ]], e)"
    local out, err = helper.sh(helper.moduleenv .. lua .. " -e " .. helper.quote(code) .. " 2>&1")
    assert.equal("", err)
    return out
  end

  it("is refused in one clear line", function()
    assert.equal("false luapark needs LuaJIT; this is Lua 5.1", refusal("lua5.1", "luapark"))
    assert.equal("false luapark needs LuaJIT; this is Lua 5.4", refusal("lua5.4", "luapark"))
  end)

  it("is refused by the C half, too", function()
    assert.equal("false luapark needs LuaJIT 2.1; this is another Lua", refusal("lua5.1", "luapark.core"))
    assert.equal("false luapark needs LuaJIT 2.1; this is another Lua", refusal("lua5.4", "luapark.core"))
  end)
end)

describe("a goroutine of the module", function()
  it("is not pre-empted in the middle of what sends values to other Ps", function()
    helper.withfile([[
      local lp = require "luapark"
      lp.run(function()
        local asked, done = lp.chan(), lp.atomic()
        lp.go(function()
          for q in asked do
            if q.n % 3 == 0 then
              lp.spawn(function(to) to:send(true) end, q.answer)
            else
              q.answer:send(true)
            end
          end
        end)
        for i = 1, 60 do
          (i % 3 == 0 and lp.go or lp.spawn)(function(n)
            local lp = require "luapark"
            if n % 4 == 0 then lp.sleep(0.0002 * n) end
            local answer = lp.chan(1)
            asked:send { n = n, answer = answer }
            answer:recv()
            if done:add(1) == 60 then print "all" end
          end, i)
        end
      end)
    ]], function(name)
      for _ = 1, 20 do
        assert.same({ "all\n", "", 0 }, { helper.sh(helper.moduleenv
          .. "LUAPARK_MAXPROCS=2 LUAPARK_DEBUG=preempt env -u LUAPARK_PREEMPT luajit " .. name) })
      end
    end)
  end)
end)
