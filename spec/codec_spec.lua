-- SPDX-License-Identifier: MIT

-- The value codec, through core.copy (the one rule), core.pack and core.unpack, within one state.

local helper = require "spec.helper"
local lp = helper.lp
local core = require "luapark.core"
local ffi = require "ffi"

local copy, pack, unpack = core.copy, core.pack, core.unpack

-- busted gives each block an environment of its own, and functions inherit it. Here they have the usual one.
local assert, describe, it = assert, helper.plain(describe), helper.plain(it)
setfenv(1, getfenv(0))

local function same(v)
  local c, why = copy(v)
  assert.is_nil(why)
  assert.same(v, c)
  return c
end

local function refused(why, ...)
  local v, msg = copy(...)
  assert.is_nil(v)
  assert.equal(why, msg)
end

-- The values after packing and unpacking.
local function through(mode, ...)
  return unpack(assert(pack(mode, ...)))
end

-- Every message is freed, however things end.
local function balanced(fn)
  return function()
    local before = core.counts()
    fn()
    assert.equal(before, (core.counts()))
  end
end

describe("plain values", function()
  it("stay what they are", balanced(function()
    for _, v in ipairs { true, false, 0, 1, -1, 159, 160, -32, -33, 255, 256, 65536, 2 ^ 31, -2 ^ 31, 2 ^ 32 + 1, 2 ^ 53,
      -2 ^ 53, 2 ^ 53 + 2, 0.5, -0.5, 1e300, -1e-300, math.huge, -math.huge, math.pi, "", "x", "\0", "a\0b\0" } do
      assert.equal(v, copy(v))
    end
    assert.is_nil(copy(nil))
    local nan = copy(0 / 0)
    assert.is_true(nan ~= nan)
    assert.equal("-inf", tostring(1 / copy(-1 / math.huge))) -- not -0.0: for arm64 LuaJIT reads the integer 0 there
    assert.equal("inf", tostring(1 / copy(0)))
  end))

  it("are as many as there are, nils included", balanced(function()
    assert.equal(0, select("#", through("share")))
    assert.same({ n = 4, nil, 2, nil, nil }, { n = select("#", through("share", nil, 2, nil, nil)),
      through("share", nil, 2, nil, nil) })
    local t = {}
    for i = 1, 5000 do
      t[i] = i
    end
    assert.same(t, { through("share", _G.unpack(t)) })
  end))

  it("may be strings of any length", balanced(function()
    for _, n in ipairs { 1, 39, 40, 41, 127, 128, 16383, 16384, 16385, 1e6, 2e7 } do
      local s = ("\0abc\255"):rep(n / 5) .. "end"
      assert.is_true(s == copy(s))
    end
  end))

  it("have long strings in the message once", balanced(function()
    local s = ("x"):rep(1000)
    local m = pack("share", s, { s, { s }, [s] = s })
    assert.is_true(#core.bytes(m) < 1100)
    core.drop(m)
    local huge = ("y"):rep(100000) -- and huge ones beside it
    m = pack("share", huge, { huge })
    assert.is_true(#core.bytes(m) < 100)
    local a, b = unpack(m)
    assert.is_true(a == huge and b[1] == huge)
  end))

  it("may be light userdata and 64-bit integers", balanced(function()
    local p = pack("share")
    assert.equal(p, copy(p))
    core.drop(p)
    local i, u = copy(-5LL), copy(2ULL ^ 63)
    assert.equal("-5LL", tostring(i))
    assert.equal("9223372036854775808ULL", tostring(u))
    assert.is_true(ffi.istype("int64_t", i) and ffi.istype("uint64_t", u))
    assert.equal("1LL", tostring(copy { 1LL }[1]))
    refused("value: a cdata", ffi.new "int[2]")
    refused("value: a cdata", ffi.typeof "int64_t")
  end))
end)

describe("tables", function()
  it("are copied", balanced(function()
    local t = { 1, 2, 3, a = "b", [10] = 10, [2.5] = { {} }, [true] = false, [-1] = -1 }
    local c = same(t)
    assert.is_true(c ~= t and c[2.5] ~= t[2.5])
    same {}
    same { nil, 2 }
    same { 1, nil, 3, nil }
    same { [1] = 1, [3] = 3, [2] = 2 }
    same { [{ 1 } and 1] = { { { {} } } } }
  end))

  it("keep cycles and shared references", balanced(function()
    local t = { list = {} }
    t.self, t.list[1], t.list[2] = t, t, t.list
    t[t] = t
    local shared = {}
    t.x, t.y = shared, shared
    local c = copy(t)
    assert.is_true(c.self == c and c.list[1] == c and c.list[2] == c.list and c[c] == c)
    assert.is_true(c.x == c.y and c.x ~= shared)
    local a, b = through("share", shared, { shared })
    assert.is_true(a == b[1])
  end))

  it("may be a million deep, or a million wide", balanced(function()
    local t = {}
    for i = 1, 1000000 do
      t = { t, i }
    end
    local c, n = copy(t), 0
    while c[1] do
      n = n + 1
      c = c[1]
    end
    assert.equal(1000000, n)
    local wide = {}
    for i = 1, 1000000 do
      wide[i] = i
    end
    c = copy(wide)
    assert.equal(1000000, #c)
    for i = 1, 1000000 do
      if c[i] ~= i then
        error(i)
      end
    end
  end))

  it("with a metatable are refused", balanced(function()
    refused("value: a table with a metatable that has no __module", setmetatable({}, {}))
    refused("value.a[2]: a table with a metatable that has no __module", { a = { 1, setmetatable({}, {}) } })
  end))

  it("with a metatable that a module returns are given that one", balanced(function()
    local mt = { __module = "lpspec.point", __add = function(a, b) return a.x + b.x end, secret = newproxy() }
    mt.__index = mt
    package.loaded["lpspec.point"] = mt
    local p = copy { setmetatable({ x = 1 }, mt), setmetatable({ x = 2 }, mt) }
    assert.equal(3, p[1] + p[2])
    assert.equal(mt, getmetatable(p[1]))
    package.loaded["lpspec.point"] = {}
    refused("value: a table whose metatable is not what its __module 'lpspec.point' returns", setmetatable({}, mt))
    package.loaded["lpspec.point"] = nil
    refused("value: a table whose metatable is not what its __module 'lpspec.point' returns", setmetatable({}, mt))
  end))

  it("are read as they lie: no metamethod is called", balanced(function()
    local mt = { __module = "lpspec.raw", __index = error, __newindex = error, __len = error, __call = error }
    package.loaded["lpspec.raw"] = mt
    assert.equal(1, rawget(copy(setmetatable({ 1, a = 2 }, mt)), 1))
    package.loaded["lpspec.raw"] = nil
  end))
end)

describe("known objects", function()
  it("are themselves", balanced(function()
    for _, v in ipairs { print, math, math.sqrt, string, string.len, io.stdout, lp, lp.sleep, coroutine.yield, require,
      require "table.new", _G } do
      assert.equal(v, copy(v))
      assert.equal(v, copy { v }[1])
      assert.equal(v, (through("copy", v)))
    end
  end))
end)

describe("the name of something of ours", function()
  it("loads the module that it is in, and no other", function()
    local out, err = (helper.inexe and helper.script or helper.module) [[
      require "luapark"
      local core = require "luapark.core"
      local like = core.pack("share")
      local function try(name)
        local m = core.frombytes("\0\1\1\0\12" .. string.char(#name) .. name, like)
        print(name, pcall(core.unpack, m))
      end
      print(package.loaded["luapark.http"])
      try "luapark.http.get"
      print(package.loaded["luapark.http"] ~= nil)
      try "luapark.net"
      try "luapark.none.at_all"
      try "os.nothing"
      try "luapark.."
      try "luapark.x/../../y"
      try "jit.util"
    ]]
    assert.equal("", err)
    assert.matches("^nil\nluapark%.http%.get\ttrue\tfunction: 0x%x+\ntrue\nluapark%.net\ttrue\ttable: 0x%x+\n", out)
    assert.matches("\nluapark.none.at_all\tfalse\tmodule 'luapark%.none' not found:", out)
    for _, name in ipairs { "os.nothing", "luapark..", "luapark.x/../../y", "jit.util" } do
      assert.truthy(out:find(name .. "\tfalse\tinvalid message (a name that is not known here)\n", 1, true), name)
    end
  end)
end)

describe("goroutines", function()
  it("are themselves", helper.run(function()
    local me = lp.getg()
    assert.equal(me, copy(me))
    assert.equal(me, copy { me }[1])
    local g = lp.go(function() end)
    lp.gosched()
    local dead = copy(g)
    assert.equal("dead", dead.status)
    assert.equal(g.id, dead.id)
  end))
end)

describe("functions, by the one rule", function()
  it("go by code", balanced(function()
    local k, name = 3, ("n"):rep(100)
    local function double(x) return x * 2 end
    local function f(x) return double(x) + k, name end
    local c = copy(f)
    assert.is_true(c ~= f)
    local a, b = c(5)
    assert.equal(13, a)
    assert.equal(name, b)
    assert.is_true(lp.portable(c))
  end))

  it("may name themselves", balanced(function()
    local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
    local c = copy(fib)
    assert.equal(55, c(10))
    local _, up = debug.getupvalue(c, 1)
    assert.equal(c, up)
    assert.is_true(lp.portable(c))
    local cc = copy { c, c, fib }
    assert.is_true(cc[1] == cc[2] and cc[1] ~= cc[3])
  end))

  it("keep their lines", balanced(function()
    local function fails() error "here" end
    local info = debug.getinfo(fails, "S")
    local _, err = pcall(copy(fails))
    assert.equal(("%s:%d: here"):format(info.short_src, info.linedefined), err)
    local c = debug.getinfo(copy(fails), "S")
    assert.same({ info.source, info.linedefined, info.lastlinedefined }, { c.source, c.linedefined, c.lastlinedefined })
  end))

  it("have every kind of constant", balanced(function()
    local function f(...)
      local t = { 1, 2, "three", x = { y = -1.5 }, [100000] = true, nil, false }
      local n = 5LL
      return t[3], t.x.y, t[100000], n + 2ULL, 1e100, -7, 123456789, select("#", ...), ("long string "):rep(2), 2i
    end
    local want, got = { f(1, 2) }, { copy(f)(1, 2) }
    for i = 1, #want do
      assert.equal(tostring(want[i]), tostring(got[i])) -- complex numbers are not even equal to themselves
    end
  end))

  it("may have 60 upvalues, none, or children", balanced(function()
    local names, sum = {}, {}
    for i = 1, 60 do
      names[i], sum[i] = "local v" .. i .. " = " .. i, "v" .. i
    end
    local f = assert(loadstring(table.concat(names, " ") .. " return function() return " .. table.concat(sum, "+") ..
      " end"))()
    assert.equal(1830, copy(f)())
    assert.equal(1, copy(function() return 1 end)())
    local g = copy(function(x) return function(y) return function() x = x + y return x end end end)
    local h = g(1)(2)
    assert.equal(3, h())
    assert.equal(5, h())
  end))

  it("are refused otherwise, by name and path", balanced(function()
    local x = {}
    refused("value: function captures 'x', which is a table; pass a channel", function() return x end)
    refused("value.conn.cb: function captures 'x', which is a table; pass a channel", {
      conn = { cb = function() return x end } })
    local function inner() return x end
    refused("value[1]: function captures 'inner': upvalue 'x' is a table; pass a channel", {
      function() return inner() end })
    refused("value: function uses 'setfenv'", function() setfenv(1, {}) end)
    refused("value: a C function that Luapark does not know", ("x"):gmatch "x")
    refused("value: function has an environment of its own", setfenv(function() end, {}))
  end))
end)

describe("refusals", function()
  it("name the path", balanced(function()
    local u = newproxy()
    refused("value: a userdata", u)
    refused("value[1]: a userdata", { u })
    refused("value.a.b.c: a userdata", { a = { b = { c = u } } })
    refused('value["not a name"][-1][true]: a userdata', { ["not a name"] = { [-1] = { [true] = u } } })
    refused("value[a key]: a userdata", { [u] = 1 })
    refused("value[a table].x: a userdata", { [{ x = u }] = 1 })
    refused("value.t: a coroutine", { t = coroutine.create(print) })
    refused("value[0.5]: a userdata", { 1, 2, [0.5] = u })
    local t = {}
    local deep = t
    for _ = 1, 100000 do
      t.n = {}
      t = t.n
    end
    t.last = u
    local _, why = copy(deep)
    assert.matches("^value%.n%.n%.n.*%.%.%..*%.n%.n%.last: a userdata$", why)
    assert.is_true(#why < 200)
    local cycle = { {} }
    cycle[1][1], cycle[1].x = cycle, u
    refused("value[1].x: a userdata", cycle)
  end))

  it("name a call's arguments", balanced(function()
    local u, ok = newproxy(), nil
    local function reason(...)
      local m, why = pack("copy", ...)
      ok = m
      return why
    end
    assert.equal("argument #2: a userdata", reason(print, u))
    assert.equal("argument #3.x: a userdata", reason(print, 1, { x = u }))
    local t = { x = u }
    assert.equal("function upvalue 't'.x: a userdata", reason(function() return t end))
    local function inner() return t end
    assert.equal("function upvalue 'inner' upvalue 't'.x: a userdata", reason(function() return inner() end))
    lpspec_g = { u } -- luacheck: ignore
    assert.equal("function global 'lpspec_g'[1]: a userdata", reason(function() return lpspec_g end)) -- luacheck: ignore
    lpspec_g = nil -- luacheck: ignore
    assert.is_nil(ok)
    assert.same({ nil, "upvalue 't' is a table; pass a channel" }, { pack("move", inner) })
    assert.same({ nil, "argument #2 is a table; pass a channel" }, { pack("move", print, {}) })
    assert.same({ nil, "argument #2: upvalue 't' is a table; pass a channel" }, { pack("move", print, inner) })
  end))
end)

describe("a call's function", function()
  it("is made once for the same bytes and references", balanced(function()
    local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
    local a, n = through("move", fib, 32)
    local b, m = through("move", fib, 16)
    assert.equal(32, n)
    assert.equal(16, m)
    assert.is_true(a == b and a ~= fib)
    local function make(k) return function() return k end end
    local f, g, h = through("move", make(1)), through("move", make(2)), through("move", make(1))
    assert.is_true(f ~= g and f == h)
    assert.equal(1, f())
    assert.equal(2, g())
    local c = through("move", a)
    assert.is_true(c == a)
  end))

  it("may be among its own arguments", balanced(function()
    local function inner() return 1 end
    local function f() return inner() end
    for _ = 1, 3 do
      local a, b, c, d = through("move", f, f, inner, inner)
      assert.is_true(a == b and c == d)
      local _, up = debug.getupvalue(a, 1)
      assert.equal(c, up)
    end
  end))
end)

describe("functions, copied", function()
  it("have copies of what they capture, shared as the originals are", balanced(function()
    local count, log = 0, {}
    local function inc()
      count = count + 1
      log[#log + 1] = count
    end
    local function get() return count, #log end
    local i, g = through("copy", inc, get)
    i()
    i()
    assert.same({ 2, 2 }, { g() })
    assert.same({ 0, 0 }, { get() })
    local t = through("copy", { inc = inc, get = get, log = log })
    t.inc()
    assert.same({ 1, 1 }, { t.get() })
    assert.equal(1, t.log[1])
  end))

  it("may name each other", balanced(function()
    local odd
    local function even(n) if n == 0 then return true end return odd(n - 1) end
    function odd(n) if n == 0 then return false end return even(n - 1) end
    local e, o = through("copy", even, odd)
    assert.is_true(e(1000))
    assert.is_true(o(7))
    local _, up = debug.getupvalue(e, 1)
    assert.equal(o, up)
  end))

  it("keep the marks of variables: what could move may move on", balanced(function()
    local k = 5
    local function f() return k end
    local n = 0
    local function g() n = n + 1 return n end
    local cf, cg = through("copy", f, g)
    assert.is_true(lp.portable(cf))
    assert.is_false(lp.portable(cg))
  end))

  it("bring the globals that they name", balanced(function()
    -- luacheck: push ignore
    lpspec_n, lpspec_t = 7, { 1 }
    function lpspec_helper(x) return x + lpspec_n, lpspec_t end
    local function f(x) return lpspec_helper(x) end
    local c = through("copy", f)
    lpspec_n = 100
    local n, t = c(1)
    assert.equal(8, n)
    assert.same({ 1 }, t)
    assert.is_true(t ~= lpspec_t)
    local function set() lpspec_n = 1 return lpspec_n, _G.lpspec_n, print == _G.print end
    assert.same({ 1, 1, true }, { through("copy", set)() })
    assert.equal(100, lpspec_n)
    local again = through("copy", c) -- a copy's copy
    assert.equal(8, (again(1)))
    assert.is_nil(through("copy", function() return lpspec_nowhere end)())
    lpspec_n, lpspec_t, lpspec_helper = nil, nil, nil
    -- luacheck: pop
  end))

  it("of one message share their globals", balanced(function()
    -- luacheck: push ignore
    lpspec_n = 1
    local a, b = through("copy", function() lpspec_n = lpspec_n + 1 end, function() return lpspec_n end)
    a()
    assert.equal(2, b())
    assert.equal(1, lpspec_n)
    lpspec_n = nil
    -- luacheck: pop
  end))

  it("require modules anew", balanced(function()
    helper.withfile("local n = 0 return { inc = function() n = n + 1 return n end }", function(file)
      local dir, name = file:match "^(.*)/(.*)%.lua$"
      local path = package.path
      package.path = dir .. "/?.lua"
      local util = require(name)
      util.inc()
      lpspec_util = util -- luacheck: ignore
      local function f() return util.inc(), util end
      local function g() return lpspec_util.inc() end -- luacheck: ignore
      local m, m2 = pack("copy", f), pack("copy", g)
      package.path = path
      package.loaded[name] = nil
      local n, other = unpack(m)()
      assert.equal(1, n)
      assert.is_true(other ~= util)
      assert.equal(dir .. "/?.lua", package.path)
      assert.equal(2, unpack(m2)())
      package.path = path
      package.loaded[name] = nil
      lpspec_util = nil -- luacheck: ignore
    end, ".lua")
  end))

  it("say so when a module is not there", balanced(function()
    local util = {}
    package.loaded["lpspec.gone"] = util
    local m = pack("copy", function() return util end)
    package.loaded["lpspec.gone"] = nil
    assert.matches("module 'lpspec.gone' not found", helper.fails(unpack, m))
  end))

  it("are refused if they have an environment, or are C's", balanced(function()
    local f = setfenv(function() end, {})
    assert.same({ nil, "function: function has an environment of its own" }, { pack("copy", f) })
    local g = ("x"):gmatch "x"
    assert.same({ nil, "function upvalue 'g': a C function that Luapark does not know" }, {
      pack("copy", function() return g end) })
  end))

  it("run compiled as ever", balanced(function()
    local n, m = 0, 0
    local function both(k)
      for _ = 1, k do
        n = n + 1
        m = n - m
      end
      return n, m
    end
    for _ = 1, 20 do
      assert.same({ 1000, 500 }, { through("copy", both)(1000) })
    end
  end))
end)

describe("invalid bytes", function()
  it("raise an error, and nothing else", balanced(function()
    local fuzz = dofile "spec/fuzz/codec.lua"
    local rounds = tonumber(os.getenv "LUAPARK_FUZZ") or 20000
    local good, bad, clean = fuzz(rounds, tonumber(os.getenv "LUAPARK_FUZZ_SEED") or 1)
    assert.is_true(clean)
    assert.is_true(good > rounds / 100, good)
    assert.is_true(bad > rounds / 3, bad)
  end))
end)
