-- SPDX-License-Identifier: MIT

-- luapark.portable: one case for every rule, and for each the reason as a person reads it.

local helper = require "spec.helper"
local lp = helper.lp
local core = require "luapark.core"

local portable = lp.portable

-- busted gives each block an environment of its own, and functions inherit it. Here they have the usual one.
local assert, describe, it = assert, helper.plain(describe), helper.plain(it)
setfenv(1, getfenv(0))

local function yes(fn)
  local ok, why = portable(fn)
  assert.is_nil(why)
  assert.is_true(ok)
end

local function no(reason, fn)
  local ok, why = portable(fn)
  assert.is_false(ok)
  assert.equal(reason, why)
end

-- What a whole script finds, run in a process of its own, which may do as it likes with the standard library.
local function why(text)
  local out, err, status = (helper.inexe and helper.script or helper.module)([[
    local lp = require "luapark"
    local function show(ok, why) io.stdout:write(tostring(ok), why and ": " .. why or "", "\n") end
  ]] .. text)
  assert.equal("", err)
  assert.equal(0, status)
  return (out:gsub("\n$", ""))
end

-- "names the global 'x' (FILE:LINE)", for the caller's line.
local function at(offset)
  local info = debug.getinfo(2, "Sl")
  return (" (%s:%d)"):format(info.short_src, info.currentline + (offset or 0))
end

describe("a function is portable", function()
  it("if it captures nothing and names nothing", function()
    yes(function() end)
    yes(function(a, b) return a + b end)
    yes(function(...) local t = { ... } t[1] = {} return t, #t end)
  end)

  it("with variables that nothing assigns to, of plain values", function()
    local a, b, c, d = nil, true, 3.5, "text"
    local e = lp.now -- a function of ours
    yes(function() return a, b, c, d, e end)
  end)

  it("as a parameter, a loop's variable, a variable of each turn", function()
    local function outer(x) return function() return x end end
    yes(outer(1))
    for i = 1, 3 do
      local j = i * 2
      yes(function() return i, j end)
    end
    for k in pairs { a = 1 } do
      yes(function() return k end)
    end
  end)

  it("if it names itself", function()
    local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
    yes(fib)
    local function user() return fib(3) end
    yes(function() return user(), fib(1) end)
  end)

  it("with standard functions and tables, by name and by upvalue", function()
    yes(function(s) return print, type(s), tostring(s), pcall, error, select("#", s), ipairs, _VERSION end)
    yes(function(x) return math.sqrt(x), math.pi, ("%d"):format(x), string.rep("x", 3), bit.band(x, 1), os.time() end)
    local m, s, sqrt, tostr = math, string, math.sqrt, tostring
    yes(function(x) return m.floor(x), s.len "x", sqrt(x), tostr(x) end)
    yes(function() return function() return m.pi end end)
    local out = io.stdout
    yes(function() return out end)
    local newtable = require "table.new"
    yes(function() return newtable(1, 1) end)
  end)

  it("with Luapark's", function()
    local l, sleep = lp, lp.sleep
    yes(function() l.sleep(0) sleep(0) return l.now(), l.chan() end)
    yes(lp.chan)
    yes(print)
  end)

  it("with functions inside it, which see only what it may", function()
    local n = 1
    yes(function() local t = {} return function() t[1] = n return function() return t end end end)
  end)

  it("with functions captured, however deep", function()
    local function chain(n, f)
      for _ = 1, n do
        local g = f
        f = (function(h) return function() return h() end end)(g)
      end
      return f
    end
    local last = chain(20000, function() return 1 end)
    yes(last)
    yes(function() return last() end)
  end)
end)

describe("a function is not portable", function()
  it("if a captured variable is assigned to, by whomever", function()
    local reason = "upvalue 'count' is assigned to after it was captured; pass its value as an argument, or use a channel"
    local count = 0
    local function inc() count = count + 1 end
    no(reason, inc)
    no(reason, function() return count end)
    no(reason, function() return function() return function() return count end end end)
    no(reason, function() return function() count = 1 end end)
    local later
    later = 1
    no((reason:gsub("count", "later")), function() return later end)
  end)

  it("if it and another name each other: that takes an assignment", function()
    local b
    local function a() return b end
    function b() return a end
    no("upvalue 'b' is assigned to after it was captured; pass its value as an argument, or use a channel", a)
  end)

  it("if one holds a table", function()
    local results = {}
    no("upvalue 'results' is a table; pass a channel", function() results[1] = 1 end)
    no("upvalue 'results' is a table; pass a channel", function() return function() return results end end)
  end)

  it("if one holds a module of the user's", function()
    package.loaded["spec.some.module"] = { f = print }
    local util = require "spec.some.module"
    no("upvalue 'util' is a table (module 'spec.some.module'); use luapark.spawn", function() return util.f end)
    package.loaded["spec.some.module"] = nil
  end)

  it("if one holds a userdata, a coroutine, a cdata", function()
    local u, co, c = newproxy(), coroutine.create(print), 1LL
    no("upvalue 'u' is a userdata", function() return u end)
    no("upvalue 'co' is a coroutine", function() return co end)
    no("upvalue 'c' is a cdata", function() return c end)
  end)

  it("if one holds a C function that is not known", function()
    local f = string.gmatch("x", "x")
    no("upvalue 'f' is a C function that Luapark does not know", function() return f end)
    no("is a C function that Luapark does not know", f)
  end)

  it("at any depth", function()
    local u = newproxy()
    local function c() return u end
    local function b() return c() end
    local function a() return b() end
    no("upvalue 'c': upvalue 'u' is a userdata", b)
    no("upvalue 'a': upvalue 'b': upvalue 'c': upvalue 'u' is a userdata", function() return a() end)
    local f = c
    for _ = 1, 100 do
      f = (function(g) return function() return g() end end)(f)
    end
    local deep = f
    -- luacheck: ignore
    no("upvalue 'deep': upvalue 'g': upvalue 'g': ...: upvalue 'g': upvalue 'g': upvalue 'g': upvalue 'u' is a userdata",
      (function(deep) return function() return deep() end end)(deep))
  end)

  it("if it names a global of the user's", function()
    -- luacheck: push ignore
    no("names the global 'lpspec_none'" .. at() .. "; make it local", function() return lpspec_none end)
    no("names the global 'lpspec_none'" .. at(1) .. "; make it local", function()
      return function() return lpspec_none end
    end)
    _G.lpspec_alias = print
    no("names the global 'lpspec_alias'" .. at() .. "; make it local", function() return lpspec_alias() end)
    _G.lpspec_alias = nil
    -- luacheck: pop
  end)

  it("if a standard global is another now", function()
    assert.matches("^false: names the global 'print' %(.*:%d+%); make it local$", why [[
      local old = print
      print = function(...) return old(...) end
      show(lp.portable(function() print(1) end))
    ]])
  end)

  it("if it prints, and tostring is another now, which print calls", function()
    assert.equal("false: uses 'print', and the global 'tostring' was changed\ntrue", why [[
      local old = tostring
      tostring = function(v) return old(v) end
      show(lp.portable(function() print(1) end))
      show(lp.portable(function() return type(1) end))
    ]])
  end)

  it("if it writes a global", function()
    -- luacheck: push ignore
    no("writes the global 'lpspec_x'" .. at(), function() lpspec_x = 1 end)
    no("writes the global 'print'" .. at(), function() return function() print = 1 end end)
    -- luacheck: pop
  end)

  it("if it uses what works on one state alone", function()
    -- luacheck: push ignore
    no("uses '_G'", function() return _G end)
    no("uses 'getfenv'", function() return getfenv() end)
    no("uses 'setfenv'", function() return setfenv(1, {}) end)
    no("uses 'getmetatable'", function() return getmetatable "" end)
    no("uses 'rawset'", function() return rawset({}, 1, 1) end)
    no("uses 'debug'", function() return debug.getinfo(1) end)
    no("uses 'package'", function() return package.path end)
    no("uses 'load'", function() return load "" end)
    no("uses 'loadstring'", function() return loadstring "" end)
    no("uses 'loadfile'", function() return loadfile "x" end)
    no("uses 'dofile'", function() return dofile "x" end)
    no("uses 'require'", function() return require "x" end)
    no("uses 'collectgarbage'", function() return collectgarbage() end)
    no("uses 'gcinfo'", function() return gcinfo() end)
    no("uses 'newproxy'", function() return newproxy() end)
    no("uses 'jit'", function() return jit.off() end)
    no("uses 'io.input'", function() return io.input() end)
    no("uses 'io.output'", function() return io.output() end)
    no("uses 'math.randomseed'", function() math.randomseed(1) end)
    no("uses 'os.setlocale'", function() return os.setlocale() end)
    -- luacheck: pop
  end)

  it("under whatever name", function()
    local l, d, off, m, output = loadstring, debug, jit.off, math, io.output
    no("upvalue 'l': uses 'loadstring'", function() return l end)
    no("upvalue 'd': uses 'debug'", function() return d.getinfo(1) end)
    no("upvalue 'off': uses 'jit.off'", function() return off() end)
    no("uses 'math.randomseed'", function() return m.randomseed(1) end)
    no("upvalue 'output': uses 'io.output'", function() return output() end)
    no("uses 'loadstring'", loadstring)
    no("uses 'require'", require)
    local ffi = require "ffi"
    no("upvalue 'ffi' is a table (module 'ffi'); use luapark.spawn", function() return ffi.new "int" end)
  end)

  it("if it uses a standard table as a value", function()
    local m, l = math, lp
    -- luacheck: push ignore
    no("uses 'math' as a value", function() return math end)
    no("uses 'math' as a value", function(k) return math[k] end)
    no("uses 'math' as a value", function() math.x = 1 end)
    no("uses 'math' as a value", function() local t = math return t.pi, t.sqrt(1) end)
    no("uses 'math' as a value", function() local t = math local p = t.pi return t, p end)
    no("uses 'math' as a value", function(x) return (x and math or string).pi end)
    no("uses 'math' as a value", function() return m end)
    no("uses 'math' as a value", function() m.x = 1 end)
    no("uses 'math' as a value", function() return function() for k in pairs(m) do print(k) end end end)
    no("uses 'luapark' as a value", function() l.x = 1 end)
    yes(function(x) x = math.pi return x end)
    yes(function(x) local y = m.pi x = m.huge return x, y end)
    -- luacheck: pop
  end)

  it("if it has an environment of its own", function()
    no("has an environment of its own", setfenv(function() end, {}))
    local f = setfenv(function() end, {})
    no("upvalue 'f': has an environment of its own", function() return f() end)
  end)

  it("if it draws random numbers that somebody seeded", function()
    assert.equal("true\nfalse: uses math.random after math.randomseed\n" ..
      "false: upvalue 'r': uses math.random after math.randomseed\ntrue", why [[
      local r = math.random
      show(lp.portable(function() return math.random() end))
      math.randomseed(42)
      show(lp.portable(function() return math.random() end))
      show(lp.portable(function() return r() end))
      show(lp.portable(function() return math.floor(1) end))
    ]])
  end)

  it("if it writes to an output that is not stdout, of this state", function()
    assert.equal("true\nfalse: uses 'io.write' after io.input or io.output\ntrue\ntrue", why [[
      local function w() io.write "" end
      show(lp.portable(w))
      local old = io.output()
      local f = io.tmpfile()
      io.output(f)
      show(lp.portable(w))
      show(lp.portable(function() print(1) end))
      io.output(old)
      show(lp.portable(w))
    ]])
  end)

  it("if a standard table that it names was changed", function()
    assert.equal("true\nfalse: standard table 'math' was changed ('tau' added)\ntrue\ntrue\n" ..
      "false: standard table 'math' was changed ('pi' replaced)\n" ..
      "false: standard table 'math' was changed ('sin' removed)\n" ..
      "false: standard table 'math' was changed ('cos' replaced)\n" ..
      "false: standard table 'math' was changed (another metatable)\ntrue", why [[
      local m = math
      local function f() return math.sqrt(2), m.pi end
      show(lp.portable(f))
      math.tau = 6.28
      show(lp.portable(f))
      show(lp.portable(function() return os.time() end))
      math.tau = nil
      show(lp.portable(f))
      local pi, sin = math.pi, math.sin
      math.pi = 3
      show(lp.portable(f))
      math.pi = pi
      math.sin = nil
      show(lp.portable(f))
      math.sin = sin
      local cos = math.cos
      math.cos = print
      show(lp.portable(f))
      math.cos = cos
      setmetatable(math, {})
      show(lp.portable(f))
      setmetatable(math, nil)
      show(lp.portable(f))
    ]])
  end)

  it("if `string` was changed, which each string reaches", function()
    assert.equal("false: standard table 'string' was changed ('trim' added)", why [[
      function string.trim(s) return s end
      show(lp.portable(function(s) return s:trim() end))
    ]])
  end)

  it("if `string` had been changed before we came", function()
    local out = helper.module [[
      function string.trim(s) return s end
      local lp = require "luapark"
      print(lp.portable(function() end))
      string.trim = nil
      print(lp.portable(function() end))
    ]]
    assert.equal(("false\tstandard table 'string' was changed ('trim' added)\n"):rep(2), out)
  end)

  it("if a table of Luapark's was changed", function()
    assert.equal("false: Luapark's table 'luapark' was changed ('mine' added)", why [[
      lp.mine = 1
      show(lp.portable(function() return lp.now() end))
    ]])
  end)

  it("if base types were given a metatable", function()
    assert.equal([[
false: a metatable was set for numbers
false: a metatable was set for nil
false: a metatable was set for booleans
false: a metatable was set for functions
false: a metatable was set for coroutines
false: a metatable was set for light userdata
false: strings' metatable was changed
false: strings' metatable was changed
true]], why [[
      local light = require "luapark.core".pack("share", 1)
      local function try(v)
        debug.setmetatable(v, {})
        local ok, why = lp.portable(function() end)
        debug.setmetatable(v, nil)
        show(ok, why)
      end
      try(1) try(nil) try(true) try(print) try(coroutine.create(print)) try(light)
      local mt = getmetatable ""
      mt.__add = function() end
      show(lp.portable(function() end))
      mt.__add = nil
      mt.__index = {}
      local ok, why = lp.portable(function() end)
      mt.__index = string
      show(ok, why)
      show(lp.portable(function() end))
    ]])
  end)

  it("if its bytecode was stripped, only where that matters", function()
    yes(loadstring(string.dump(loadstring "return math.sqrt(2)", true)))
    no("uses 'math' as a value", loadstring(string.dump(loadstring "local x x = math.pi return x", true)))
  end)
end)

describe("portable", function()
  it("checks its argument as the standard library does", function()
    helper.failshere("bad argument #1 to 'portable' (function expected, got table)", function() portable {} end)
    helper.failshere("bad argument #1 to 'portable' (function expected, got no value)", function() portable() end)
  end)

  it("answers anew each time, for more functions than are cached", function()
    local box = {}
    local function f() return box end
    for _ = 1, 3 do
      assert.is_false(portable(f))
    end
    for i = 1, 5000 do
      yes(loadstring(("return %d"):format(i)))
    end
    collectgarbage()
    assert.is_false(portable(f))
    local _, codes = core.counts()
    assert.is_true(codes <= 4096 + 100)
  end)

  it("does not keep what a function captures alive", function()
    local weak = setmetatable({}, { __mode = "v" })
    do
      weak[1] = {}
      local t = weak[1]
      portable(function() return t end)
    end
    helper.collect()
    assert.is_nil(weak[1])
  end)
end)
