-- SPDX-License-Identifier: MIT

-- coroutines: a goroutine's is not the user's, and the user's are as in LuaJIT.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local go, gosched, chan = lp.go, lp.gosched, lp.chan

-- What fn returns in another goroutine than the main one.
local function ingoroutine(fn)
  local done, r = chan(), nil
  go(function()
    local function pack(...) return { n = select("#", ...), ... } end
    r = pack(pcall(fn)) -- coroutines, for one, do not go through channels
    done:close()
  end)
  done:recv()
  if not r[1] then
    error(r[2], 0)
  end
  return unpack(r, 2, r.n)
end

describe("coroutine.running", function()
  it("is nil in the main goroutine, as in Lua's main thread", run(function()
    assert.is_nil(coroutine.running())
    gosched()
    assert.is_nil(coroutine.running())
    assert.is_nil((select(2, pcall(coroutine.running))))
    table.sort({ 2, 1 }, function() assert(coroutine.running() == nil) end)
  end))

  it("is nil outside goroutines", function()
    if not helper.inexe then
      assert.is_nil(coroutine.running())
    end
  end)

  it("is a thread in other goroutines: the same each time, another in each, a key in tables", run(function()
    local same, t = true, {}
    for i = 1, 10 do
      go(function()
        local co = coroutine.running()
        assert(type(co) == "thread")
        t[co] = i
        for _ = 1, 3 do
          gosched()
          collectgarbage()
          string.gsub("x", "x", function() same = same and coroutine.running() == co end)
          same = same and coroutine.running() == co and t[coroutine.running()] == i
        end
      end)
    end
    settle()
    assert.is_true(same)
    local n = 0
    for _ in pairs(t) do
      n = n + 1
    end
    assert.equal(10, n)
  end))

  it("is not the stand-in of an earlier goroutine", run(function()
    local seen = {}
    for _ = 1, 50 do
      local co = ingoroutine(coroutine.running)
      assert.is_nil(seen[co])
      seen[co] = true
    end
  end))

  it("is the user's coroutine inside one", run(function()
    local function check()
      local co
      co = coroutine.create(function() gosched(); return coroutine.running() == co end)
      return select(2, coroutine.resume(co))
    end
    assert.is_true(check())
    assert.is_true(ingoroutine(check))
  end))
end)

describe("a goroutine's stand-in", function()
  it("cannot be resumed, in words, and the goroutine goes on unharmed", run(function()
    local co, got
    local g = go(function()
      co = coroutine.running()
      got = lp.gopark()
    end)
    gosched()
    local ok, err = coroutine.resume(co, "bogus")
    assert.is_false(ok)
    assert.matches("cannot resume a goroutine's coroutine", err)
    ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("cannot resume", err)
    assert.equal("waiting", g.status)
    lp.goready(g, "right")
    gosched()
    assert.equal("right", got)
  end))

  it("cannot be resumed by its own goroutine", run(function()
    local ok, err = ingoroutine(function() return coroutine.resume(coroutine.running()) end)
    assert.is_false(ok)
    assert.matches("cannot resume", err)
  end))

  it("has the status that its goroutine has, in the words of coroutines", run(function()
    local co, inside, nested
    local g = go(function()
      co = coroutine.running()
      inside = coroutine.status(co)
      nested = coroutine.wrap(function() return coroutine.status(co) end)()
      lp.gopark()
    end)
    gosched()
    assert.equal("running", inside)
    assert.equal("normal", nested)
    assert.equal("suspended", coroutine.status(co))
    pcall(coroutine.resume, co)
    assert.equal("suspended", coroutine.status(co))
    lp.goready(g)
    assert.equal("suspended", coroutine.status(co))
    gosched()
    assert.equal("dead", coroutine.status(co))
  end))

  it("is let go with its goroutine", run(function()
    local weak = setmetatable({}, { __mode = "k" })
    for _ = 1, 20 do
      go(function() weak[coroutine.running()] = true end)
    end
    settle()
    helper.collect()
    assert.is_nil(next(weak))
  end))
end)

describe("coroutine.yield outside a user's coroutine", function()
  it("acts as gosched in a goroutine", run(function()
    local order = {}
    go(function()
      order[#order + 1] = "a1"
      order.n = select("#", coroutine.yield("nobody", "takes", "these"))
      order[#order + 1] = "a2"
    end)
    go(function() order[#order + 1] = "b" end)
    settle()
    assert.same({ "b", "a1", "a2", n = 0 }, order)
  end))

  it("acts as gosched under pcall", run(function()
    local r = { ingoroutine(function() return pcall(coroutine.yield, 1, 2) end) }
    assert.same({ true }, r)
  end))

  it("acts as gosched under a C function and under luapark.run", run(function()
    assert.same({ true }, { pcall(lp.run, coroutine.yield, 1) })
    local t = { 3, 1, 2 }
    table.sort(t, function(a, b) coroutine.yield("nobody"); return a < b end)
    assert.same({ 1, 2, 3 }, t)
  end))

  it("in the main goroutine of a script acts as gosched", function()
    local out, err, status = helper.script [[
      go(function() print "other" end)
      print(coroutine.yield(1, 2))
      print "main"
    ]]
    assert.same({ "other\n\nmain\n", "", 0 }, { out, err, status })
  end)

  it("works again and again among 50 goroutines", run(function()
    local n = 0
    for _ = 1, 50 do
      go(function()
        for _ = 1, 100 do
          coroutine.yield(n)
          n = n + 1
        end
      end)
    end
    assert.is_true(helper.eventually(function() return n == 5000 end))
  end))
end)

describe("the user's coroutines", function()
  it("hand values in and out", run(function()
    local co = coroutine.create(function(...)
      local got = { select("#", ...), ... }
      while true do
        got = { coroutine.yield(unpack(got)) }
      end
    end)
    assert.same({ true, 2, "a", "b" }, { coroutine.resume(co, "a", "b") })
    assert.same({ true, "c" }, { coroutine.resume(co, "c") })
    assert.same({ true }, { coroutine.resume(co) })
    assert.equal("suspended", coroutine.status(co))
  end))

  it("generate", run(function()
    local function range(n)
      return coroutine.wrap(function()
        for i = 1, n do
          coroutine.yield(i)
        end
      end)
    end
    local function test()
      local sum = 0
      for i in range(100) do
        for j in range(i % 3) do
          gosched()
          sum = sum + j
        end
        sum = sum + i
      end
      return sum
    end
    local expected = 5050
    for i = 1, 100 do
      expected = expected + (i % 3) * (i % 3 + 1) / 2
    end
    assert.equal(expected, test())
    assert.equal(expected, ingoroutine(test))
  end))

  it("permute", run(function()
    local function permgen(a, n)
      if n <= 1 then
        coroutine.yield(table.concat(a))
        return
      end
      for i = 1, n do
        a[n], a[i] = a[i], a[n]
        permgen(a, n - 1)
        a[n], a[i] = a[i], a[n]
      end
    end
    assert.equal(24, ingoroutine(function()
      local seen, n = {}, 0
      for p in coroutine.wrap(function() permgen({ "a", "b", "c", "d" }, 4) end) do
        n = n + (seen[p] and 0 or 1)
        seen[p] = true
        coroutine.yield() -- ours, not the generator's
      end
      return n
    end))
  end))

  it("may be resumed by several goroutines in turn", run(function()
    local gen = coroutine.wrap(function()
      for i = 1, 1000 do
        coroutine.yield(i)
      end
    end)
    local got, wg = {}, lp.waitgroup()
    for _ = 1, 10 do
      wg:go(function()
        for _ = 1, 100 do
          got[#got + 1] = gen()
          gosched()
        end
      end)
    end
    wg:wait()
    for i = 1, 1000 do
      assert.equal(i, got[i])
    end
  end))

  it("may be created in one goroutine and outlive it", run(function()
    local co = ingoroutine(function()
      local co = coroutine.create(function(a)
        local b = coroutine.yield(a * 2)
        gosched()
        return a + b
      end)
      assert(select(2, coroutine.resume(co, 5)) == 10)
      return co
    end)
    helper.collect()
    assert.same({ true, 12 }, { coroutine.resume(co, 7) })
  end))

  it("make schedulers: a user's own round robin, whose tasks wait now and then", run(function()
    local tasks, log = {}, {}
    for t = 1, 3 do
      tasks[t] = coroutine.create(function()
        for i = 1, 3 do
          log[#log + 1] = t .. ":" .. i
          if i == t then
            lp.sleep(0.0005) -- the goroutine waits, and with it the user's scheduler
          end
          coroutine.yield()
        end
      end)
    end
    local alive = true
    while alive do
      alive = false
      for t = 1, 3 do
        if coroutine.status(tasks[t]) ~= "dead" then
          assert(coroutine.resume(tasks[t]))
          alive = true
        end
      end
    end
    assert.equal("1:1 2:1 3:1 1:2 2:2 3:2 1:3 2:3 3:3", table.concat(log, " "))
  end))

  it("report errors with their traceback", run(function()
    local co = coroutine.create(function() gosched(); error("oops") end)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("coroutine_spec.lua:%d+: oops$", err)
    assert.matches("coroutine_spec.lua:%d+: in function <", debug.traceback(co))
    assert.equal("dead", coroutine.status(co))
    assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
  end))

  it("that started goroutines do not mix with them", run(function()
    local c = chan()
    local gen = coroutine.wrap(function()
      for i = 1, 5 do
        go(function() c:send(i) end)
        coroutine.yield((c:recv()))
      end
    end)
    for i = 1, 5 do
      assert.equal(i, gen())
    end
  end))

  it("know whether they may yield", run(function()
    if coroutine.isyieldable then
      assert.is_true(coroutine.wrap(coroutine.isyieldable)())
    end
  end))
end)

describe("errors of coroutine.*", function()
  -- Each line is run by both programs; what it raises must be the same to the letter, position included.
  local lines = {
    "coroutine.resume(5)", "coroutine.resume()", "coroutine.wrap()", "coroutine.wrap(5)", "coroutine.create()",
    "coroutine.create('x')", "coroutine.status()", "coroutine.status(5)", "coroutine.status(nil)", "coroutine.status({})",
    "coroutine.wrap(function() error('x') end)()", "coroutine.wrap(function() error({}) end)()",
    "local f = coroutine.wrap(function() end) f() f()",
    "coroutine.status(io.stdout)",
    "coroutine.wrap(function() table.sort({2,1}, function() coroutine.yield() end) end)()",
    "coroutine.wrap(function() string.gsub('x', 'x', function() coroutine.yield() end) end)()",
    "coroutine.resume(coroutine.running())",
    "local s = coroutine.status s(5)", "local s = coroutine.status s()",
  }

  it("name the caller's line as plain LuaJIT's do, in the main goroutine and in others", function()
    local text = {}
    for i, line in ipairs(lines) do
      text[i] = ("local function f%d() %s end"):format(i, line)
    end
    local both = table.concat(text, "\n") .. "\nlocal function all()\n"
    for i in ipairs(lines) do
      both = both .. ("print(%d, pcall(f%d))\n"):format(i, i)
    end
    both = both .. "end\n"
    local ours, plain = helper.both(both .. "all()")
    plain.out = plain.out:gsub("table: 0x%x+", "TABLE")
    ours.out = ours.out:gsub("table: 0x%x+", "TABLE")
    -- resume(running()) in the main thread: both say that nil is no coroutine
    assert.equal(plain.out, ours.out)
    assert.equal(0, ours.status)
    local ing = helper.both(both .. "if go then go(all) end")
    ing.out = ing.out:gsub("table: 0x%x+", "TABLE")
    local function without17(s) return (s:gsub("\n17\t[^\n]*", "")) end -- there running() is a stand-in
    assert.equal(without17(plain.out), without17(ing.out))
    assert.matches("\n17\ttrue\n", ing.out)
  end)

  it("are at the caller's line here as well", run(function()
    failshere("coroutine expected", function() coroutine.status(5) end)
    failshere("coroutine expected", function() coroutine.resume(5) end)
  end))
end)
