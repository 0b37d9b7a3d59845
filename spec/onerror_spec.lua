-- SPDX-License-Identifier: MIT

-- onerror: who is asked about errors that no goroutine has caught, on the same P and on others, and what the answers do.

local helper = require "spec.helper"
local lp = helper.lp
local run, fails, failshere, program = helper.run, helper.fails, helper.failshere, helper.program

local SOAK = tonumber(os.getenv "LUAPARK_SOAK") or 1

describe("onerror", function()
  after_each(function()
    lp.onerror(nil)
  end)

  it("takes a function or nil, and gives the one before", run(function()
    local function a() end
    local function b() end
    assert.is_nil(lp.onerror(a))
    assert.equal(a, lp.onerror(b))
    assert.equal(b, lp.onerror(b))
    assert.equal(b, lp.onerror(nil))
    assert.is_nil(lp.onerror(nil))
    failshere("bad argument #1 to 'onerror' (function or nil expected, got no value)", function() lp.onerror() end)
    failshere("bad argument #1 to 'onerror' (function or nil expected, got number)", function() lp.onerror(1) end)
    failshere("bad argument #1 to 'onerror' (function or nil expected, got boolean)", function() lp.onerror(false) end)
    lp.onerror(a)
    failshere("bad argument #1 to 'onerror'", function() lp.onerror({}) end)
    assert.equal(a, lp.onerror(nil)) -- what was refused has changed nothing
  end))

  it("has the function called with goroutine, error and traceback, in that goroutine", run(function()
    local got = {}
    lp.onerror(function(...)
      got = { n = select("#", ...), lp.getg(), (...).status, lp.numgoroutine(), ... }
      return true
    end)
    local n = lp.numgoroutine()
    local g = lp.go(function() error "boom" end)
    local line = debug.getinfo(1, "l").currentline - 1
    helper.settle()
    assert.equal(3, got.n)
    assert.equal(g, got[1])
    assert.same({ "running", n + 1 }, { got[2], got[3] })
    assert.equal(g, got[4])
    local here = "[^\n]-onerror_spec.lua:" .. line
    assert.matches("^" .. here .. ": boom$", got[5])
    assert.matches("^stack traceback:\n\t%[C%]: in function 'error'\n\t" .. here .. ": in function <" .. here
      .. ">\ncreated by function [^\n]- at " .. here .. " in goroutine " .. lp.getg().id .. "$", got[6])
    assert.equal("dead", g.status)
    assert.equal(n, lp.numgoroutine())
  end))

  it("has it called with errors as they are, where it is called on the same P", run(function()
    local got, n = {}, 0
    lp.onerror(function(_, err)
      n = n + 1
      got[n] = err
      return true
    end)
    local object = setmetatable({}, { __tostring = function() return "words" end })
    local errors = { object, false, 42, print, coroutine.create(print), 1LL }
    for i = 1, 6 do
      lp.go(function() error(errors[i], 0) end)
      helper.settle()
      assert.is_true(rawequal(got[n], errors[i]))
    end
    lp.go(error)
    helper.settle()
    assert.equal(7, n)
    assert.is_nil(got[7])
  end))

  it("has it called where the stack is unwound: after a stack overflow it has all of it", run(function()
    local depth
    lp.onerror(function()
      local function down(n) return n == 0 and 0 or 1 + down(n - 1) end
      depth = down(10000)
      return true
    end)
    lp.go(function()
      local function down() return 1 + down() end
      down()
    end)
    helper.settle()
    assert.equal(10000, depth)
  end))

  it("has it called for errors in C functions, in coroutines, in what gopark calls, and for wordless ones", run(function()
    local words, objects = {}, 0
    lp.onerror(function(_, err, trace)
      assert(trace:find("stack traceback:\n", 1, true))
      if type(err) == "string" then
        words[#words + 1] = err:match ": ([^:]*)$"
      else
        objects = objects + 1
      end
      return true
    end)
    lp.go(function() table.sort({ 2, 1 }, function() lp.gosched() error "sort" end) end)
    lp.go(function() coroutine.wrap(function() lp.gosched() error "wrap" end)() end)
    lp.go(function() lp.gopark(function() error "unlockf" end) end)
    lp.go(function() error(setmetatable({}, { __tostring = function() error "worse" end })) end)
    while #words + objects < 4 do
      lp.sleep(0.0005)
    end
    table.sort(words)
    assert.same({ "sort", "unlockf", "wrap" }, words)
    assert.equal(1, objects)
  end))

  it("has it called in several goroutines at once, and it may wait", run(function()
    local c, inside, most = lp.chan(), 0, 0
    lp.onerror(function(_, err)
      inside = inside + 1
      most = math.max(most, inside)
      lp.sleep(0.001)
      string.gsub("x", "x", function() lp.gosched() end)
      c:send(err)
      inside = inside - 1
      return true
    end)
    for i = 1, 200 do
      lp.go(function() error(i % 2 == 0 and i or { i }, 0) end)
    end
    local sum = 0
    for _ = 1, 200 do
      local v = c:recv()
      sum = sum + (type(v) == "table" and v[1] or v)
    end
    assert.equal(200 * 201 / 2, sum)
    assert.is_true(most > 1)
  end))

  it("lets who waits for a goroutine of wg:go go on, when the function has returned", run(function()
    local wg, said = lp.waitgroup(), {}
    lp.onerror(function(_, err)
      lp.sleep(0.002)
      said[#said + 1] = err
      return true
    end)
    for i = 1, 4 do
      wg:go(function(k)
        lp.sleep(0.001)
        if k % 2 == 0 then
          error(k, 0)
        end
      end, i)
    end
    wg:wait()
    table.sort(said)
    assert.same({ 2, 4 }, said)
    wg:add()
    wg:done() -- it counts as before
  end))

  it("has it called again for a goroutine that it starts itself", run(function()
    local n = 0
    lp.onerror(function()
      n = n + 1
      if n < 5 then
        lp.go(error, "again")
      end
      return true
    end)
    lp.go(error, "first")
    helper.settle(50)
    assert.equal(5, n)
  end))

  it("leaves what is caught alone", run(function()
    lp.onerror(function() error "not reached" end)
    local c = lp.chan(2)
    lp.go(function() c:send((pcall(error, "x"))) end)
    lp.go(function() c:send((coroutine.resume(coroutine.create(error), "x"))) end)
    assert.is_false(c:recv())
    assert.is_false(c:recv())
    fails(function() lp.run(error, "in a plain call") end)
  end))

  it("may be called by the function", run(function()
    local first, second = 0, 0
    lp.onerror(function()
      first = first + 1
      lp.onerror(function()
        second = second + 1
        return true
      end)
      return true
    end)
    for _ = 1, 3 do
      lp.go(error, "x")
      helper.settle()
    end
    assert.same({ 1, 2 }, { first, second })
  end))
end)

-- What the programs below share. fail(...) starts goroutines that fail, on this P or on another one.
local HEAD = [[
local lp = luapark
local function here(fn)
  local function stays() return lp end -- it captures a table
  return go(function() return fn(stays) end)
end
local function elsewhere(fn)
  local begun = lp.atomic()
  local g = lp.spawn(function()
    begun:add(1)
    return fn()
  end)
  while begun:load() == 0 do end -- nobody is pre-empted, so it is another P that runs it
  return g
end
-- Waits until no more than so many live.
local function alone(n)
  while lp.numgoroutine() > (n or 1) do lp.sleep(0.0005) end
end
]]
local MANY = "LUAPARK_MAXPROCS=4 LUAPARK_PREEMPT=0"

for _, place in ipairs { "here", "elsewhere" } do
  describe(("the function for an error %s"):format(place), function()
    local function does(text, environment)
      return program(("%slocal fail = %s\n%s"):format(HEAD, place, text), environment or MANY)
    end

    local REPORT = "^goroutine 2 %[running%]:\nboom\nstack traceback:\n\t%[C%]: in function 'error'\n.-"
      .. "created by [^\n]- at SCRIPT:%d+ in goroutine 1\n"

    it("that says true has handled it", function()
      local out, err, status = does [[
        local n = 0
        lp.onerror(function(g, e, trace)
          n = n + 1
          print(n, g.id, e, g.status == "dead", trace:match "created by main chunk" or trace:match "created by function")
          return true
        end)
        local gs = {}
        for i = 1, 3 do gs[i] = fail(function() error("boom", 0) end) end
        alone()
        print(gs[1].status, gs[2].status, gs[3].status, lp.numgoroutine())
      ]]
      assert.same({ "", 0 }, { err, status })
      local lines = {}
      for line in out:gmatch "[^\n]+" do
        lines[#lines + 1] = line
      end
      for i = 1, 3 do
        assert.matches("^" .. i .. "\t%d+\tboom\tfalse\tcreated by ", lines[i])
      end
      assert.equal("dead\tdead\tdead\t1", lines[4])
    end)

    it("that says anything else has not: the program ends as it would have", function()
      for _, answer in ipairs { "", "return nil", "return false", "return 1", "return 'true'", "return false, true" } do
        local out, err, status = does(([[
          lp.onerror(function() print "asked" %s end)
          fail(function() error("boom", 0) end)
          lp.sleep(3600)
        ]]):format(answer))
        assert.same({ "asked\n", 2 }, { out, status }, err)
        assert.matches(REPORT .. "$", err)
      end
    end)

    it("that fails itself is reported, too", function()
      for how, words in pairs {
        ["error 'worse'"] = "SCRIPT:%d+: worse",
        ["lp.sleep(0.001) local t = nil; t.x = 1"] = "SCRIPT:%d+: attempt to index local 't' %(a nil value%)",
        ["error {}"] = "%(error object is a table value%)",
        ["string.gsub('x', 'x', function() lp.gosched() error 'worse' end)"] = "SCRIPT:%d+: worse",
        ["local function down() local x = down() return x end down()"] = "[^\n]*stack overflow",
      } do
        local _, err, status = does(([[
          lp.onerror(function() %s end)
          fail(function() error("boom", 0) end)
          lp.sleep(3600)
        ]]):format(how))
        assert.equal(2, status, err)
        assert.matches(REPORT .. "\nluapark.onerror: the function failed, too:\n" .. words .. "\nstack traceback:\n", err)
        assert.is_nil(err:find("/onerror.lua", 1, true), err)
      end
    end)

    it("that calls goexit has not handled it", function()
      local _, err, status = does [[
        lp.onerror(function() lp.sleep(0.001) lp.goexit() end)
        fail(function() error("boom", 0) end)
        lp.sleep(3600)
      ]]
      assert.equal(2, status, err)
      assert.matches(REPORT .. "\nluapark.onerror: the function has called goexit\n$", err)
    end)

    it("that never returns has not handled it, when the program ends", function()
      for _, ending in ipairs { "", "lp.sleep(0.01)", "lp.sleep(0.01) chan():recv()", "lp.sleep(0.01) lp.goexit()" } do
        local _, err, status = does(([[
          lp.onerror(function() chan():recv() return true end)
          fail(function() error("boom", 0) end)
          %s
        ]]):format(ending))
        assert.equal(2, status, err)
        assert.matches(REPORT .. "\nluapark.onerror: the function has not returned\n$", err)
      end
    end)

    it("that sleeps is waited for at the end of the program, also for a daemon", function()
      for _, daemon in ipairs { "", "g:daemon()", "lp.sleep(0.01) g:daemon()" } do
        assert.same({ "handled\n", "", 0 }, { does(([[
          lp.onerror(function() lp.sleep(0.03) print "handled" return true end)
          local g = fail(function() error "boom" end)
          %s
        ]]):format(daemon)) })
      end
    end)

    it("may end the program", function()
      assert.same({ "asked\n", "", 3 }, { does [[
        lp.onerror(function() print "asked" os.exit(3) end)
        fail(function() error "boom" end)
        lp.sleep(3600)
      ]] })
    end)

    it("is not asked when onerror(nil) was called before, and goes on when it is called meanwhile", function()
      local out, err, status = does [[
        local begun, gate = chan(), chan()
        lp.onerror(function(_, e)
          print(e)
          begun:send(true)
          gate:recv()
          print "handled"
          return true
        end)
        fail(function() error("first", 0) end)
        begun:recv()
        lp.onerror(nil)
        gate:send(true)
        alone()
        fail(function() error("boom", 0) end)
        lp.sleep(3600)
      ]]
      assert.same({ "first\nhandled\n", 2 }, { out, status }, err)
      assert.matches("^goroutine %d+ %[running%]:\nboom\n", err)
    end)

    it("gets errors that are tables, and others as what they say", function()
      local out, err, status = does [[
        local c = chan()
        lp.onerror(function(_, e)
          c:send(type(e) == "table" and not getmetatable(e) and ("table %d %d"):format(e.code, #e.list) or tostring(e))
          return true
        end)
        for _, fn in ipairs {
          function() error { code = 7, list = { 1, 2 } } end,
          function() error(setmetatable({}, { __tostring = function() return "in words" end })) end,
          function() error() end,
          function() error(true) end,
          function() error(luapark.chan(3)) end,
        } do
          fail(fn)
          print((c:recv()))
        end
      ]]
      assert.same({ "table 7 2\nin words\nnil\ntrue\nchan(3) [0]\n", "", 0 }, { out, err, status })
    end)
  end)
end

describe("onerror over several Ps", function()
  it("gives what cannot leave its P in words", function()
    assert.same({ "string\t(error object is a thread value)\n", "", 0 }, { program(HEAD .. [[
      lp.onerror(function(_, e) print(type(e), e) return true end)
      elsewhere(function() error(coroutine.create(print)) end)
      alone()
    ]], MANY) })
  end)

  it("calls the function where it lives, while the goroutine waits", function()
    local out, err, status = program(HEAD .. [[
      local seen, done = {}, chan(8)
      lp.onerror(function(g, e)
        while g.status ~= "waiting" do lp.sleep(0.0005) end
        seen[#seen + 1] = e
        done:send { tostring(g) == ("goroutine %d [onerror]"):format(g.id), g.status, getg() == g }
        return true
      end)
      for i = 1, 8 do elsewhere(function() error(("%d"):format(i), 0) end) end
      for _ = 1, 8 do
        local v = done:recv()
        print(v[1], v[2], v[3])
      end
      table.sort(seen)
      print(table.concat(seen, " "))
    ]], MANY)
    assert.same({ ("true\twaiting\tfalse\n"):rep(8) .. "1 2 3 4 5 6 7 8\n", "", 0 }, { out, err, status })
  end)

  it("may be called on any, and keeps that P from ending", function()
    local out, err, status = program(HEAD .. [[
      local said, ready = chan(), chan()
      elsewhere(function()
        local calls = {}
        luapark.onerror(function(_, e)
          calls[#calls + 1] = e
          said:send(table.concat(calls, " "))
          return true
        end)
        ready:send(true)
      end)
      ready:recv()
      lp.gomaxprocs(1)
      for i = 1, 3 do
        go(function() error(i, 0) end)
        print((said:recv()))
      end
      lp.onerror(nil)
      lp.gomaxprocs(3)
      alone()
      print(lp.numgoroutine())
    ]], MANY)
    assert.same({ "1\n1 2\n1 2 3\n1\n", "", 0 }, { out, err, status })
  end)

  it("gives the former function of another P as one that calls it there", function()
    local out, err, status = program(HEAD .. [[
      local ready, state = chan(), "of p0"
      lp.onerror(function(g, e, trace)
        if e == "worse" then error("worse in " .. state, 0) end
        print("p0", g.id > 0, e, trace:match "^[^\n]*", state)
        return e ~= "refused"
      end)
      elsewhere(function()
        local former
        former = luapark.onerror(function(g, e, trace)
          print("p1", g.id > 0, e)
          local ok, handled = pcall(former, g, e, trace)
          print(ok, tostring(handled):match "^[^\n]*", tostring(handled):match "\n([^\n]*)")
          return true
        end)
        ready:send(type(former))
        ready:recv()
        luapark.onerror(former)
        ready:send(true)
        ready:recv()
      end)
      print((ready:recv()))
      for _, e in ipairs { "one", "refused", "worse" } do
        here(function() error(e, 0) end)
        alone(2)
      end
      ready:send(true)
      ready:recv()
      here(function() error("two", 0) end)
      alone(2)
      print(type(lp.onerror(nil))) -- one that calls the one that calls ours
      ready:send(true)
      alone()
      for _ = 1, 3 do collectgarbage() end
    ]], MANY)
    assert.same({ "", 0 }, { err, status })
    assert.equal([[
function
p1	true	one
p0	true	one	stack traceback:	of p0
true	true	nil
p1	true	refused
p0	true	refused	stack traceback:	of p0
true	false	nil
p1	true	worse
false	the function on another P failed, too:	worse in of p0
p0	true	two	stack traceback:	of p0
function
]], out)
  end)

  it("handles all of many that fail everywhere, also while the program ends", function()
    for _, environment in ipairs { "LUAPARK_MAXPROCS=1", "LUAPARK_MAXPROCS=4", "LUAPARK_MAXPROCS=4 LUAPARK_DEBUG=preempt",
      "LUAPARK_MAXPROCS=2 LUAPARK_DEBUG=stress", "LUAPARK_MAXPROCS=16 LUAPARK_DEBUG=stress" } do
      for _ = 1, 5 * SOAK do
        local out, err, status = program([[
          local lp, n, handled = luapark, luapark.atomic(), {}
          lp.onerror(function(_, e)
            if e.n % 3 == 0 then lp.sleep(0.0005 * (e.n % 5)) end
            assert(not handled[e.n])
            handled[e.n] = true
            if n:add(1) == 60 then print(#handled) end
            return true
          end)
          for i = 1, 60 do
            local start = i % 3 == 0 and go or lp.spawn
            start(function(k)
              if k % 4 == 0 then luapark.sleep(0.0002 * k) end
              error { n = k }
            end, i)
          end
        ]], "env -u LUAPARK_PREEMPT " .. environment)
        assert.same({ "60\n", "", 0 }, { out, err, status }, environment)
      end
    end
  end)

  it("ends the program once, where one of many is not handled", function()
    for _, environment in ipairs { "LUAPARK_MAXPROCS=4", "LUAPARK_MAXPROCS=4 LUAPARK_DEBUG=stress" } do
      for _ = 1, 10 * SOAK do
        local _, err, status = program([[
          local lp = luapark
          lp.onerror(function(_, e)
            if e == 13 then error "unlucky" end
            lp.sleep(0.0001 * e)
            return true
          end)
          for i = 1, 20 do
            lp.spawn(function(k) error(k, 0) end, i)
          end
          lp.sleep(3600)
        ]], "env -u LUAPARK_PREEMPT " .. environment)
        assert.equal(2, status, err)
        assert.matches("^goroutine %d+ %[running%]:\n13\nstack traceback:\n", err)
        assert.matches("\n\nluapark.onerror: the function failed, too:\n[^\n]-: unlucky\nstack traceback:\n", err)
        assert.equal(1, select(2, err:gsub("%[running%]", "")))
      end
    end
  end)
end)

if helper.inexe then
  describe("the main goroutine's error in a script", function()
    it("ends it as ever, whatever onerror says", function()
      local out, err, status = helper.script [[
        luapark.onerror(function() print "asked" return true end)
        error "main"
      ]]
      assert.same({ "", 1 }, { out, status })
      assert.matches("^luapark: [^\n]-:2: main\nstack traceback:\n", err)
    end)
  end)
  return
end

describe("onerror in a host", function()
  local function host(text)
    return helper.module("local lp = require 'luapark'\n" .. text)
  end

  it("may be called outside of lp.run, and holds for all runs", function()
    assert.same({ "nil\none\tx\ntwo\tx\nfunction\n", "", 0 }, { host [[
      local which
      print(lp.onerror(function(_, e) print(which, e) return true end))
      for _, w in ipairs { "one", "two" } do
        which = w
        lp.run(function() lp.spawn(function() error("x", 0) end) end)
      end
      print(type(lp.onerror(nil)))
    ]] })
  end)

  it("comes before what lp.run raises", function()
    local out, err, status = host [[
      local asked = 0
      lp.onerror(function(g, e) asked = asked + 1 return e == "fine" end)
      for i = 1, 20 do
        local ok, e = pcall(lp.run, function()
          lp.go(function() error("fine", 0) end)
          lp.spawn(function() lp.sleep(0.001) error("bad", 0) end)
          lp.chan():recv()
        end)
        assert(not ok and e:find "^goroutine %d+ %[running%]:\nbad\nstack traceback:\n", e)
        assert(lp.numgoroutine() == 0)
      end
      print(asked)
      print(pcall(lp.run, error, { "main's own" }))
      lp.onerror(nil)
      print(lp.run(function() return "over" end))
    ]]
    assert.same({ "", 0 }, { err, status })
    assert.matches("^40\nfalse\ttable: 0x%x+\nover\n$", out)
  end)

  it("reports who was not answered, and the next run knows nothing of it", function()
    local out, err, status = host [[
      lp.onerror(function() lp.chan():recv() end)
      for i = 1, 20 do
        local ok, e = pcall(lp.run, function() (i % 2 == 0 and lp.go or lp.spawn)(function() error("x", 0) end) end)
        assert(not ok and e:find("the function has not returned", 1, true), e)
        assert(lp.numgoroutine() == 0)
        assert(lp.run(function() lp.gosched() return 1 end) == 1)
      end
      print "done"
    ]]
    assert.same({ "done\n", "", 0 }, { out, err, status })
  end)
end)
