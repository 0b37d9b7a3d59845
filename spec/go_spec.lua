-- SPDX-License-Identifier: MIT

-- go: starting goroutines, their order, their handles, their ends.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere = helper.run, helper.failshere

describe("go", function()
  it("hands on its arguments, nil among them and at the end", run(function()
    local c = lp.chan(1)
    lp.go(function(...) c:send({ n = select("#", ...), ... }) end, nil, 2, nil, "x", nil)
    assert.same({ n = 5, nil, 2, nil, "x", nil }, (c:recv()))
  end))

  it("hands on any number of arguments from 0 to 200", run(function()
    local c = lp.chan()
    local args = {}
    for n = 0, 200 do
      lp.go(function(...)
        local sum = 0
        for i = 1, select("#", ...) do
          sum = sum + (select(i, ...))
        end
        c:send(select("#", ...))
        c:send(sum)
      end, unpack(args, 1, n))
      assert.equal(n, (c:recv()))
      assert.equal(n * (n + 1) / 2, (c:recv()))
      args[n + 1] = n + 1
    end
  end))

  it("hands on 200 arguments to goroutines that have not started yet, many at once", run(function()
    local args, got = {}, {}
    for i = 1, 200 do
      args[i] = i
    end
    for g = 1, 50 do
      lp.go(function(...) got[g] = select("#", ...) + (select(200, ...)) end, unpack(args))
    end
    helper.settle()
    for g = 1, 50 do
      assert.equal(400, got[g])
    end
  end))

  it("shares upvalues and tables with the new goroutine", run(function()
    local n, t = 0, {}
    lp.go(function() n = n + 1; t.x = "seen" end)
    lp.gosched()
    assert.equal(1, n)
    assert.equal("seen", t.x)
  end))

  it("runs the goroutine started last first, the others in the order of starting", run(function()
    local order = {}
    for i = 1, 5 do
      lp.go(function() order[#order + 1] = i end)
    end
    lp.gosched()
    assert.same({ 5, 1, 2, 3, 4 }, order)
  end))

  it("keeps first in, first out beyond the ring of the run queue", run(function()
    local order = {}
    for i = 1, 2000 do
      lp.go(function() order[#order + 1] = i end)
    end
    lp.gosched()
    assert.equal(2000, #order)
    assert.equal(2000, order[1])
    for i = 2, 2000 do
      assert.equal(i - 1, order[i])
    end
  end))

  it("does not run the new goroutine before the caller waits", run(function()
    local ran = false
    lp.go(function() ran = true end)
    assert.is_false(ran)
    lp.gosched()
    assert.is_true(ran)
  end))

  it("takes turns: goroutines that yield run round robin", run(function()
    local order = {}
    for i = 1, 3 do
      lp.go(function()
        for _ = 1, 3 do
          order[#order + 1] = i
          lp.gosched()
        end
      end)
    end
    helper.settle()
    assert.same({ 3, 1, 2, 3, 1, 2, 3, 1, 2 }, order)
  end))

  it("refuses what is no function, at the caller's line", run(function()
    failshere("bad argument #1 to 'go' (function expected, got no value)", function() lp.go() end)
    failshere("bad argument #1 to 'go' (function expected, got nil)", function() lp.go(nil) end)
    failshere("bad argument #1 to 'go' (function expected, got number)", function() lp.go(5) end)
    failshere("bad argument #1 to 'go' (function expected, got table)", function() lp.go(setmetatable({},
      { __call = print })) end)
  end))

  it("starts C functions", run(function()
    local t = {}
    lp.go(table.insert, t, "x")
    lp.gosched()
    assert.same({ "x" }, t)
    lp.go(lp.gosched)
    lp.go(coroutine.yield, 1, 2, 3)
    helper.settle()
  end))

  it("ignores what the function returns", run(function()
    lp.go(function() return 1, nil, 3 end)
    lp.gosched()
  end))

  it("runs 100,000 goroutines", run(function()
    local n, before = 0, lp.numgoroutine()
    for _ = 1, 100000 do
      lp.go(function() n = n + 1 end)
    end
    assert.equal(before + 100000, lp.numgoroutine())
    lp.gosched()
    assert.equal(100000, n)
    assert.equal(before, lp.numgoroutine())
  end))

  it("runs 100,000 goroutines that all wait at once", run(function()
    local c, quit, n = lp.chan(), lp.chan(), 0
    for _ = 1, 100000 do
      lp.go(function() local v = c:recv(); n = n + v end)
    end
    lp.gosched()
    lp.go(function()
      for _ = 1, 100000 do
        c:send(1)
      end
      quit:close()
    end)
    quit:recv()
    assert.is_true(helper.eventually(function() return n == 100000 end))
  end))

  it("starts goroutines from goroutines, deep", run(function()
    local depth = 0
    local done = lp.chan()
    local function down(n)
      depth = depth + 1
      if n == 0 then
        done:close()
      else
        lp.go(down, n - 1)
      end
    end
    lp.go(down, 10000)
    done:recv()
    assert.equal(10001, depth)
  end))
end)

describe("a goroutine's handle", function()
  it("is what go returns and what getg answers inside", run(function()
    local inside
    local g = lp.go(function() inside = lp.getg() end)
    lp.gosched()
    assert.equal(g, inside)
    assert.is_true(rawequal(g, inside))
  end))

  it("is the same object each time, and a table key", run(function()
    local me = lp.getg()
    local t = { [me] = "me" }
    helper.collect()
    assert.equal("me", t[lp.getg()])
    assert.is_true(rawequal(me, lp.getg()))
  end))

  it("is the same object although nobody held it in between", run(function()
    local c = lp.chan()
    local weak = setmetatable({}, { __mode = "v" })
    lp.go(function()
      weak[1] = lp.getg()
      c:recv()
      c:send(lp.getg())
    end)
    lp.gosched()
    local id = weak[1].id
    helper.collect()
    c:send()
    assert.equal(id, c:recv().id)
  end))

  it("has id, status and wait reason", run(function()
    local c = lp.chan()
    local g = lp.go(function() c:recv() end)
    assert.is_number(g.id)
    assert.equal("runnable", g.status)
    assert.is_nil(g.waitreason)
    lp.gosched()
    assert.equal("waiting", g.status)
    assert.equal("chan receive", g.waitreason)
    c:send()
    assert.equal("runnable", g.status)
    assert.is_nil(g.waitreason)
    lp.gosched()
    assert.equal("dead", g.status)
    assert.is_nil(g.waitreason)
    assert.equal("running", lp.getg().status)
    assert.is_nil(g.nosuchfield)
    assert.is_nil(g[1])
    assert.is_nil(g[{}])
  end))

  it("prints as Go names goroutines", run(function()
    local c, out, m, wg = lp.chan(), lp.chan(), lp.mutex(), lp.waitgroup()
    m:lock()
    wg:add()
    local gs = {
      ["chan receive"] = lp.go(function() c:recv() end),
      ["chan send"] = lp.go(function() out:send(1) end),
      ["select"] = lp.go(function() lp.select { c, lp.chan() } end),
      ["sleep"] = lp.go(function() lp.sleep(0.01) end),
      ["gopark"] = lp.go(function() lp.gopark() end),
      ["my reason"] = lp.go(function() lp.gopark(nil, nil, "my reason") end),
      ["sync.Mutex.Lock"] = lp.go(function() m:lock() end),
      ["sync.WaitGroup.Wait"] = lp.go(function() wg:wait() end),
    }
    for _, g in pairs(gs) do
      assert.equal(("goroutine %d [runnable]"):format(g.id), tostring(g))
    end
    assert.equal(("goroutine %d [running]"):format(lp.getg().id), tostring(lp.getg()))
    lp.gosched()
    for reason, g in pairs(gs) do
      assert.equal(("goroutine %d [%s]"):format(g.id, reason), tostring(g))
      assert.equal(reason, g.waitreason)
    end
    c:close()
    out:recv()
    m:unlock()
    wg:done()
    lp.goready(gs.gopark)
    lp.goready(gs["my reason"])
    lp.sleep(0.02)
    for _, g in pairs(gs) do
      assert.equal(("goroutine %d [dead]"):format(g.id), tostring(g))
    end
  end))

  it("tells apart goroutines that used the same slot", run(function()
    local seen, last = {}, 0
    for _ = 1, 100 do
      local g = lp.go(function() end)
      assert.is_nil(seen[g])
      assert.is_true(g.id > last)
      seen[g], last = true, g.id
      lp.gosched()
    end
    for g in pairs(seen) do
      assert.equal("dead", g.status)
    end
  end))

  it("gives the ids in the order of starting, the main goroutine's included", run(function()
    local a = lp.go(function() end)
    local b = lp.go(function() end)
    assert.equal(a.id + 1, b.id)
    assert.is_true(lp.getg().id < a.id)
    lp.gosched()
  end))

  it("is not mistaken for another userdata", run(function()
    failshere("bad argument #1 to 'goready'", function() lp.goready(io.stdout) end)
    local meta = getmetatable(lp.getg())
    if type(meta) == "table" then
      failshere("bad argument #1 to '__tostring'", function() local text = meta.__tostring(io.stdout); return text end)
    end
  end))

  it("cannot be assigned to", run(function()
    assert.is_false(pcall(function() lp.getg().id = 5 end))
  end))
end)

describe("getg", function()
  it("answers nil outside goroutines, a goroutine inside", function()
    if not helper.inexe then
      assert.is_nil(lp.getg())
    end
    lp.run(function() assert.equal("running", lp.getg().status) end)
  end)

  it("answers the goroutine inside the user's coroutines", run(function()
    local g = lp.getg()
    assert.equal(g, coroutine.wrap(function() return lp.getg() end)())
    assert.equal(g, coroutine.wrap(function()
      return coroutine.wrap(function() lp.gosched(); return lp.getg() end)()
    end)())
  end))
end)

describe("gosched", function()
  it("returns nothing and comes back", run(function()
    assert.equal(0, select("#", lp.gosched()))
    for _ = 1, 1000 do
      lp.gosched()
    end
  end))

  it("goes behind everyone who can run", run(function()
    local order = {}
    lp.go(function() order[#order + 1] = "a" end)
    lp.go(function() order[#order + 1] = "b" end)
    lp.gosched()
    order[#order + 1] = "main"
    assert.same({ "b", "a", "main" }, order)
  end))
end)

describe("numgoroutine", function()
  it("counts those that live", run(function()
    local before = lp.numgoroutine()
    assert.is_true(before >= 1)
    local c = lp.chan()
    for _ = 1, 10 do
      lp.go(function() c:recv() end)
    end
    assert.equal(before + 10, lp.numgoroutine())
    lp.gosched()
    assert.equal(before + 10, lp.numgoroutine())
    c:close()
    lp.gosched()
    assert.equal(before, lp.numgoroutine())
  end))
end)

describe("goexit", function()
  local function ends(fn)
    local before, after, done = lp.numgoroutine(), false, lp.chan()
    local g = lp.go(function()
      done:close()
      fn(lp.goexit)
      after = true
    end)
    done:recv()
    helper.settle()
    assert.is_false(after)
    assert.equal("dead", g.status)
    assert.equal(before, lp.numgoroutine())
  end

  it("ends the goroutine", run(function()
    ends(function(goexit) goexit() end)
  end))

  it("ends it through pcall and xpcall", run(function()
    local caught = false
    ends(function(goexit) pcall(goexit); caught = true end)
    ends(function(goexit) pcall(pcall, goexit); caught = true end)
    ends(function(goexit) xpcall(goexit, function() caught = true end); caught = true end)
    ends(function(goexit) xpcall(function() error "x" end, goexit); caught = true end)
    assert.is_false(caught)
  end))

  it("ends it in a sort comparator, a gsub callback, a metamethod, a load reader", run(function()
    ends(function(goexit) table.sort({ 3, 2, 1 }, goexit) end)
    ends(function(goexit) string.gsub("abc", ".", goexit) end)
    ends(function(goexit) return setmetatable({}, { __index = function() goexit() end }).x end)
    ends(function(goexit) load(goexit) end)
    ends(function(goexit) tostring(setmetatable({}, { __tostring = goexit })) end)
  end))

  it("ends it in coroutines of the user's, nested", run(function()
    ends(function(goexit) coroutine.wrap(goexit)() end)
    ends(function(goexit) coroutine.wrap(function() coroutine.wrap(goexit)() end)() end)
    ends(function(goexit) coroutine.resume(coroutine.create(function() table.sort({ 3, 2, 1 }, goexit) end)) end)
  end))

  it("works after a wait under a C function", run(function()
    ends(function(goexit) table.sort({ 3, 2, 1 }, function() lp.gosched(); goexit() end) end)
  end))

  it("harms no other goroutine: 1,000 of them end inside C calls among others that go on", run(function()
    local n, sorted = 0, 0
    local wg = lp.waitgroup()
    for i = 1, 1000 do
      lp.go(function()
        table.sort({ 5, 4, 3, 2, 1 }, function() lp.gosched(); lp.goexit() end)
        n = n + 1
      end)
      if i % 10 == 0 then
        wg:go(function()
          local t = { 5, 4, 3, 2, 1 }
          table.sort(t, function(a, b) lp.gosched(); return a < b end)
          sorted = sorted + (table.concat(t) == "12345" and 1 or 0)
        end)
      end
    end
    wg:wait()
    assert.equal(0, n)
    assert.equal(100, sorted)
  end))

  it("in the main goroutine lets the others go on, and is a deadlock when they are done", function()
    local out, err, status = helper.script [[
      go(function() gosched(); print "still here" end)
      luapark.goexit()
      print "not reached"
    ]]
    assert.equal("still here\n", out)
    assert.matches("^fatal error: no goroutines %(main called luapark.goexit%) %- deadlock!\n", err)
    assert.equal(2, status)
  end)
end)

describe("a coroutine that serves again", function()
  it("does not carry an environment over", run(function()
    for _ = 1, 20 do
      lp.go(function()
        setfenv(0, setmetatable({ leaked = true }, { __index = _G }))
      end)
    end
    helper.settle()
    local seen = {}
    for i = 1, 100 do
      lp.go(function() seen[i] = getfenv(0).leaked or getfenv(0) ~= getfenv(lp.chan) end)
    end
    helper.settle()
    assert.equal(100, #seen)
    for i = 1, 100 do
      assert.is_false(seen[i])
    end
  end))

  it("does not carry values over", run(function()
    local seen = {}
    for i = 1, 100 do
      lp.go(function(...) seen[i] = select("#", ...) end, i, {}, "x")
      lp.gosched()
      lp.go(function(...) seen[i] = seen[i] * 1000 + select("#", ...); seen[-i] = (...) or false end)
      lp.gosched()
    end
    for i = 1, 100 do
      assert.equal(3000, seen[i])
      assert.is_false(seen[-i])
    end
  end))

  it("does not keep what its last goroutine held", run(function()
    local weak = setmetatable({}, { __mode = "v" })
    local wg = lp.waitgroup()
    for i = 1, 50 do
      wg:go(function(v)
        local held = {}
        weak[i], weak[-i] = held, v
        lp.gosched()
        return held
      end, {})
    end
    wg:wait()
    helper.settle()
    helper.collect()
    local left = 0
    for _ in pairs(weak) do
      left = left + 1
    end
    assert.equal(0, left)
  end))

  it("is not the one whose goroutine ended by goexit or waits still", run(function()
    local c, got = lp.chan(), {}
    for i = 1, 10 do
      lp.go(function() got[i] = c:recv() end)
      lp.go(function() pcall(lp.goexit) end)
    end
    helper.settle()
    for _ = 1, 10 do
      lp.go(function() lp.gosched() end)
    end
    helper.settle()
    for i = 1, 10 do
      c:send(i)
    end
    helper.settle()
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, got)
  end))
end)

describe("stack", function()
  it("tells the running goroutine's traceback", run(function()
    local function inner() return (lp.stack()) end
    local text = inner()
    assert.matches("^goroutine %d+ %[running%]:\n", text)
    assert.matches("go_spec.lua:%d+: in function 'inner'", text)
  end))

  it("names the place that started the goroutine, and its parent", run(function()
    local c = lp.chan(1)
    local place = helper.here(1):match("^(.-): $")
    lp.go(function() c:send(lp.stack()) end)
    local text = c:recv()
    local said, id = text:match "\ncreated by function [^\n]- at ([^\n]-) in goroutine (%d+)\n$"
    assert.same({ place, lp.getg().id }, { said, tonumber(id) }, text)
  end))

  it("tells all goroutines' when asked: waiting, not started, in a user's coroutine", run(function()
    local c = lp.chan()
    local waiter = lp.go(function() c:recv() end)
    local nested = lp.go(function() coroutine.wrap(function() c:recv() end)() end)
    lp.gosched()
    local fresh = lp.go(function() end)
    local text = lp.stack(true)
    for _, title in ipairs {
      ("goroutine %d [running]:\n"):format(lp.getg().id),
      ("goroutine %d [chan receive]:\n"):format(waiter.id),
      ("goroutine %d [chan receive]:\n"):format(nested.id),
      ("goroutine %d [runnable]:\n"):format(fresh.id),
    } do
      assert.truthy(text:find(title, 1, true), title .. " is not in:\n" .. text)
    end
    assert.is_nil(lp.stack():find("chan receive", 1, true))
    c:close()
    lp.gosched()
  end))

  it("works inside the user's coroutine and outside goroutines", function()
    if not helper.inexe then
      assert.matches("stack traceback", lp.stack())
    end
    lp.run(function()
      local function deep() return (lp.stack()) end
      assert.matches("in function 'deep'", coroutine.wrap(function() local s = deep(); return s end)())
    end)
  end)
end)

describe("a daemon", function()
  it("is marked by g:daemon(), which returns the handle", run(function()
    local g = lp.go(function() end)
    assert.equal(g, g:daemon())
    assert.equal(g, g:daemon(false))
    lp.gosched()
    assert.equal(g, g:daemon()) -- dead: nothing to mark, no harm
  end))

  it("does not keep the program alive", function()
    local out, _, status = helper.script [[
      go(function() while true do luapark.sleep(3600) end end):daemon()
      print "end"
    ]]
    assert.equal("end\n", out)
    assert.equal(0, status)
  end)

  it("does not count as alive in a deadlock", function()
    local _, err, status = helper.script [[
      go(function() while true do luapark.sleep(3600) end end):daemon()
      chan():recv()
    ]]
    assert.matches("^fatal error: all goroutines are asleep %- deadlock!", err)
    assert.equal(2, status)
  end)

  it("may be marked and unmarked while it waits", function()
    local out, err, status = helper.script [[
      local g = go(function() luapark.sleep(0.05) print "done" end)
      gosched()
      g:daemon()
      g:daemon(false)
    ]]
    assert.equal("", err)
    assert.equal("done\n", out)
    assert.equal(0, status)
    out, err, status = helper.script [[
      local g = go(function() luapark.sleep(3600) print "done" end)
      gosched()
      g:daemon()
      g:daemon()
    ]]
    assert.equal("", err)
    assert.equal("", out)
    assert.equal(0, status)
  end)
end)
