-- SPDX-License-Identifier: MIT

-- spawn: copies for the new goroutine, errors where something cannot be copied, and how a spawned goroutine looks.
--
-- Programs with everything that may be copied are in spec/corpus (spawn_*.lua). Here the number of Ps is whatever it is;
-- what must hold for certain numbers runs in processes of its own.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, fails, script = helper.run, helper.failshere, helper.fails, helper.script
local chan, getg, spawn = lp.chan, lp.getg, lp.spawn

-- Busted gives each file an environment of its own. What is spawned here is to have the usual one.
local describe, it, assert = describe, it, assert
setfenv(1, getfenv(0))

-- spawn(fn, ...) is refused at the caller's line: the message must hold each of the other words.
local function refused(words, fn, ...)
  local args, n = { ... }, select("#", ...)
  local e = fails(function() spawn(fn, unpack(args, 1, n)) end)
  assert.equal("string", type(e), "an error of another kind: " .. tostring(e))
  for _, word in ipairs(words) do
    assert.truthy(e:find(word, 1, true), ("'%s' is missing in: %s"):format(word, e))
  end
  return e
end

-- What fn sends when it is spawned with the arguments and, last, a channel.
local function result(fn, ...)
  local out, args, n = chan(), { ... }, select("#", ...)
  args[n + 1] = out
  spawn(fn, unpack(args, 1, n + 1))
  return (out:recv())
end

describe("spawn", function()
  it("gives a handle", run(function()
    local hold, out = chan(), chan()
    local g = spawn(function()
      out:send(getg())
      hold:recv()
    end)
    assert.equal("number", type(g.id))
    assert.matches("^goroutine " .. g.id .. " %[%l[%l ]*%]$", tostring(g))
    local same = out:recv()
    assert.equal(g, same)
    assert.equal(g.id, same.id)
    assert.is_true(helper.eventually(function() return g.waitreason == "chan receive" end, 1e6))
    assert.equal("waiting", g.status)
    hold:send(true)
    assert.is_true(helper.eventually(function() return g.status == "dead" end, 1e6))
  end))

  it("counts in numgoroutine until it ends", run(function()
    local before, hold, ready = lp.numgoroutine(), chan(), chan()
    for _ = 1, 10 do
      spawn(function()
        ready:send(true)
        hold:recv()
      end)
    end
    for _ = 1, 10 do
      ready:recv()
    end
    assert.equal(before + 10, lp.numgoroutine())
    hold:close()
    assert.is_true(helper.eventually(function() return lp.numgoroutine() == before end, 1e6))
  end))

  it("refuses what is no function, at the caller's line", run(function()
    failshere("bad argument #1 to 'spawn' (function expected, got no value)", function() spawn() end)
    failshere("bad argument #1 to 'spawn' (function expected, got nil)", function() spawn(nil) end)
    failshere("bad argument #1 to 'spawn' (function expected, got string)", function() spawn "x" end)
    failshere("bad argument #1 to 'spawn' (function expected, got table)", function() spawn({}, 1) end)
  end))

  it("hands on its arguments, nil among them and at the end", run(function()
    local c = chan()
    spawn(function(out, ...) out:send { n = select("#", ...), ... } end, c, nil, 2, nil, "x", nil)
    assert.same({ n = 5, nil, 2, nil, "x", nil }, (c:recv()))
  end))

  it("starts functions of the standard library and of Luapark", run(function()
    local c, m, wg = chan(1), lp.mutex(), lp.waitgroup()
    spawn(c.send, c, "sent")
    assert.equal("sent", (c:recv()))
    wg:add()
    spawn(wg.done, wg)
    wg:wait()
    m:lock()
    spawn(m.unlock, m)
    m:lock()
    spawn(table.insert, {}, 1)
    spawn(lp.gosched)
    spawn(lp.goexit)
  end))

  it("starts functions of the script under pcall and the like", run(function()
    local c = chan(1)
    spawn(pcall, function() c:send "called" end)
    assert.equal("called", (c:recv()))
    spawn(xpcall, function() error("x", 0) end, function(e) c:send("handled " .. e) end)
    assert.equal("handled x", (c:recv()))
  end))

  it("copies 1,000 times", run(function()
    local t, c = { n = 0 }, chan(10)
    for i = 1, 1000 do
      t.n = i
      spawn(function() c:send(t.n) end)
    end
    local sum = 0
    for _ = 1, 1000 do
      sum = sum + c:recv()
    end
    assert.equal(500500, sum)
    assert.equal(1000, t.n)
  end))

  it("works from a spawned goroutine, deep", run(function()
    local out = chan()
    local function down(n, t)
      t.depth = t.depth + 1
      if n == 0 then
        out:send(t.depth)
      else
        spawn(down, n - 1, t)
      end
    end
    local t = { depth = 0 }
    spawn(down, 50, t)
    assert.equal(51, (out:recv()))
    assert.equal(0, t.depth)
  end))
end)

describe("spawn copies", function()
  it("tables in upvalues and arguments, at the call", run(function()
    local up, out, start = { 1, { 2 } }, chan(), chan()
    local arg = { x = { y = "z" } }
    spawn(function(a)
      start:recv()
      out:send { up[1], up[2][1], a.x.y }
      up[2][1], a.x.y = "theirs", "theirs"
      out:send(true)
    end, arg)
    up[1], up[2][1], arg.x.y = "late", "late", "late"
    start:send(true)
    assert.same({ 1, 2, "z" }, (out:recv()))
    out:recv()
    assert.same({ "late", { "late" } }, up)
    assert.same({ x = { y = "late" } }, arg)
  end))

  it("a table that is reached on several ways once, cycles too", run(function()
    local t = {}
    t.t = t
    local function get() return t end
    assert.same({ true, true, true }, result(function(a, out)
      out:send { a == t, get() == t, t.t == t }
    end, t))
  end))

  it("a variable that closures share once, so that they share the copy", run(function()
    local n = 0
    local counter = {
      inc = function() n = n + 1 end,
      get = function() return n end,
    }
    assert.equal(2, result(function(out)
      counter.inc()
      counter.inc()
      out:send(counter.get())
    end))
    assert.equal(2, result(function(c, out)
      c.inc()
      n = n + 1
      out:send(c.get())
    end, counter))
    assert.equal(0, n)
  end))

  it("functions that name each other", run(function()
    local even, odd
    function even(n) return n == 0 or odd(n - 1) end
    function odd(n) return n ~= 0 and even(n - 1) end
    assert.is_true(result(function(out) out:send(even(10)) end))
    assert.is_false(result(function(f, out) out:send(f(10)) end, odd))
  end))

  it("functions with many upvalues, many constants and nested functions", run(function()
    local source = { "local out = ...\n" }
    for i = 1, 55 do
      source[#source + 1] = ("local v%d = %d\n"):format(i, i)
    end
    source[#source + 1] = "return function() local function inner() return 0"
    for i = 1, 55 do
      source[#source + 1] = (" + v%d"):format(i)
    end
    source[#source + 1] = " end local t = {"
    for i = 1, 3000 do
      source[#source + 1] = ("'constant %d', "):format(i)
    end
    source[#source + 1] = "} out:send(inner() + #t) end"
    local out = chan()
    spawn(assert(loadstring(table.concat(source)))(out))
    assert.equal(55 * 56 / 2 + 3000, (out:recv()))
  end))

  it("int64 and uint64, and the kinds of numbers", run(function()
    local big, ubig, nan, minus = -2LL ^ 62, 2ULL ^ 63, 0 / 0, -1 / math.huge -- for arm64 LuaJIT reads -0 as the integer
    assert.is_true(result(function(a, out)
      out:send(tostring(big) == "-4611686018427387904LL" and tostring(ubig) == "9223372036854775808ULL" and nan ~= nan
        and 1 / minus == -math.huge and a == 5LL)
    end, 5LL))
  end))

  it("handles by reference: they are the same here and there", run(function()
    local c, a, wg = chan(1), lp.atomic(), lp.waitgroup()
    wg:add()
    local t = { c = c, a = a }
    spawn(function(u)
      u.a:add(1)
      a:add(t.a == a and 1 or 0)
      a:add(t.c == c and u.c == c and 1 or 0)
      c:send(c)
      wg:done()
    end, t)
    wg:wait()
    assert.equal(3, a:load())
    assert.equal(c, (c:recv()))
  end))

  it("a goroutine's handle by reference", run(function()
    local g, c = lp.getg(), chan(1)
    spawn(function(who)
      c:send(who.id)
      while not pcall(lp.goready, g, "woken") do
        lp.gosched()
      end
    end, g)
    assert.equal("woken", lp.gopark())
    assert.equal(g.id, (c:recv()))
  end))

  it("functions loaded from strings, with their names in errors", run(function()
    local out = chan()
    spawn(assert(loadstring("local out = ... local ok, e = pcall(error, 'x', 2) out:send((select(2, pcall(function() " ..
      "error 'here' end))))", "=chunk")), out)
    assert.equal("chunk:1: here", (out:recv()))
  end))
end)

describe("spawn refuses at the call, and names the way to", function()
  it("a coroutine", run(function()
    local co = coroutine.create(function() end)
    refused({ "cannot send", "co", "coroutine" }, function() return co end)
    refused({ "cannot send", "x.y", "coroutine" }, function() end, { x = { y = co } })
  end))

  it("userdata", run(function()
    local proxy, file = newproxy(), io.stdout
    refused({ "cannot send", "proxy", "userdata" }, function() return proxy end)
    refused({ "cannot send", "userdata" }, function() end, proxy)
    refused({ "cannot send", "list[2]", "userdata" }, function() end, { list = { 1, proxy } })
    assert.truthy(file)
  end))

  it("cdata that is no 64-bit integer", run(function()
    local ffi = require "ffi"
    local array = ffi.new "int[4]"
    refused({ "cannot send", "array", "cdata" }, function() return array end)
    refused({ "cannot send", "a.b", "cdata" }, function() end, { a = { b = ffi.new("struct { int x; }") } })
  end))

  it("a C function of somebody else's", run(function()
    local f = coroutine.wrap(function() end)
    refused({ "cannot send", "f" }, function() return f() end)
    refused({ "cannot send", "callback" }, function() end, { callback = f })
  end))

  it("a table whose metatable does not say how", run(function()
    local object = setmetatable({}, { __index = function() return 1 end })
    refused({ "cannot send", "object", "metatable" }, function() return object end)
    refused({ "cannot send", "deep.object", "metatable" }, function() end, { deep = { object = object } })
  end))

  it("what a function that came along captures, and a function of that", run(function()
    local proxy = newproxy()
    local function inner() return proxy end
    local function outer() return inner() end
    refused({ "cannot send", "outer", "inner", "proxy", "userdata" }, function() return outer() end)
    local t = { f = outer }
    refused({ "cannot send", "'t'.f", "proxy" }, function() return t end)
    refused({ "cannot send", "cb", "proxy" }, function() end, { conn = { cb = outer } })
  end))

  it("a global that the function names", function()
    local _, err, status = script [[
      handle = newproxy()
      function use() return handle end
      local ok, e = pcall(luapark.spawn, function() return use() end)
      io.stderr:write(tostring(ok), " ", e, "\n")
      local ok, e = pcall(luapark.spawn, function() return handle end)
      io.stderr:write(tostring(ok), " ", e, "\n")
    ]]
    assert.equal(0, status)
    assert.matches("^false [^\n]*cannot send [^\n]*use[^\n]*handle[^\n]*userdata[^\n]*\n" ..
      "false [^\n]*cannot send [^\n]*handle[^\n]*userdata[^\n]*\n$", err)
  end)

  it("and does so at the caller's line, before anything has started", run(function()
    local proxy, before, c = newproxy(), lp.numgoroutine(), chan(1)
    failshere("cannot send", function()
      spawn(function()
        c:send "ran"
        return proxy
      end)
    end)
    helper.settle()
    assert.equal(0, c:len())
    assert.equal(before, lp.numgoroutine())
  end))

  it("keys as well as values", run(function()
    refused({ "cannot send", "userdata" }, function() end, { [newproxy()] = 1 })
  end))
end)

describe("a spawned goroutine", function()
  -- In a process of its own, with that many Ps.
  local function with(procs, text)
    return helper.withfile(text, function(name)
      return helper.sh(("LUAPARK_MAXPROCS=%d %s %s"):format(procs, helper.quote(helper.exe), name))
    end)
  end

  for _, procs in ipairs { 1, 2, 4 } do
    it(("with %d Ps that fails says so as others do"):format(procs), function()
      local out, err, status = with(procs, [[
local function work(x)
  return x + 1
end
print "begin"
local c = chan()
luapark.spawn(function()
  luapark.sleep(0.001)
  work(nil)
end)
c:recv()
print "not reached"
]])
      assert.equal("begin\n", out)
      assert.equal(2, status)
      assert.matches("^goroutine %d+ %[running%]:\n" ..
        "[^\n]-:2: attempt to perform arithmetic on local 'x' %(a nil value%)\n" ..
        "stack traceback:\n" ..
        "\t[^\n]-:2: in function 'work'\n" ..
        "\t[^\n]-:8: in function <[^\n]-:6>\n" ..
        "created by [^\n]-:6 in goroutine 1\n$", err)
    end)

    it(("with %d Ps names its creator among spawned ones"):format(procs), function()
      local _, err, status = with(procs, [[
local spawn = luapark.spawn
spawn(function()
  spawn(function()
    spawn(error, "third generation", 0)
  end)
end)
chan():recv()
]])
      local id = err:match "^goroutine (%d+) %[running%]:\nthird generation\nstack traceback:\n"
      local creator = err:match "\ncreated by [^\n]-:4 in goroutine (%d+)\n$"
      assert.truthy(id and creator and creator ~= "1" and creator ~= id, err)
      assert.equal(2, status)
    end)

    it(("with %d Ps has its file and lines in tracebacks and errors"):format(procs), function()
      local out, err, status = with(procs, [[
local out = chan()
local function inner()
  error "boom"
end
luapark.spawn(function()
  local _, e = pcall(inner)
  out:send((e:gsub("^.*/", "")))
  out:send(luapark.stack())
end)
print((out:recv():gsub("^[^:]*", "FILE")))
print((out:recv()))
]])
      assert.equal("", err)
      assert.equal(0, status)
      assert.matches("^FILE:3: boom\n", out)
      assert.matches("\n\t[^\n]-:8: in function <[^\n]-:5>\n", out)
      assert.matches("created by [^\n]-:5 in goroutine 1\n", out)
    end)

    it(("with %d Ps is listed where it waits"):format(procs), function()
      local _, err, status = with(procs, [[
local c, ready = chan(), luapark.waitgroup()
ready:add(3)
for i = 1, 3 do
  luapark.spawn(function()
    ready:done()
    c:recv()
  end)
end
ready:wait()
c:recv()
]])
      assert.equal(2, status)
      assert.matches("^fatal error: all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[chan receive%]:\n", err)
      local _, n = err:gsub("goroutine %d+ %[chan receive%]:\n", "")
      assert.equal(4, n)
      _, n = err:gsub("\n\t[^\n]-:6: in function <[^\n]-:4>\ncreated by [^\n]-:4 in goroutine 1\n", "")
      assert.equal(3, n)
    end)
  end

  it("sees the modules of a path that the script has set", function()
    helper.withfile("return { name = ... }", function(name)
      local dir, base = name:match "^(.*)/(.*)%.lua$"
      for _, procs in ipairs { 1, 4 } do
        local out, err, status = with(procs, ([[
          package.path = "%s/?.lua;" .. package.path
          local m = require "%s"
          local out = chan()
          for i = 1, 4 do
            luapark.spawn(function() out:send(m.name) end)
          end
          for i = 1, 4 do print((out:recv())) end
        ]]):format(dir, base))
        assert.same({ (base .. "\n"):rep(4), "", 0 }, { out, err, status })
      end
    end, ".lua")
  end)

  it("may use all of Lua: ffi, debug, load, its own globals", function()
    for _, procs in ipairs { 1, 4 } do
      local out, err, status = with(procs, [[
        local out = chan()
        luapark.spawn(function()
          local ffi = require "ffi"
          x = loadstring "return 20 + 1"()
          collectgarbage()
          out:send(ffi.sizeof "int64_t" + x + #debug.traceback())
        end)
        print(out:recv() > 29, x)
      ]])
      assert.same({ "true\tnil\n", "", 0 }, { out, err, status })
    end
  end)
end)
