-- SPDX-License-Identifier: MIT

-- map: what Go's sync.Map does, and what may be in it. (Across Ps: spec/corpus/map.lua.)

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere = helper.run, helper.failshere
local go = lp.go

-- All that is in m.
local function contents(m)
  local t = {}
  for k, v in m:pairs() do
    assert(t[k] == nil, "twice")
    t[k] = v
  end
  return t
end

local KEYS = { "", "a", "a\0b", ("x"):rep(100000), 0, 1, -1, 0.5, 2 ^ 60, 1 / 0, -1 / 0, 5e-324, true, false }

describe("a map", function()
  it("has what was stored, by strings, numbers and booleans", run(function()
    local m = lp.map()
    for i, k in ipairs(KEYS) do
      assert.same({ nil, false }, { m:load(k) })
      m:store(k, i)
    end
    m:store("1", "another key than 1")
    for i, k in ipairs(KEYS) do
      assert.same({ i, true }, { m:load(k) })
    end
    assert.equal(#KEYS + 1, m:len())
    assert.equal("map [15]", tostring(m))
    m:store(0, "zero")
    assert.equal("zero", (m:load(-0)))
    m:store(-0, "the same")
    assert.equal("the same", (m:load(0)))
    assert.equal(#KEYS + 1, m:len())
    for _, k in ipairs(KEYS) do
      m:delete(k)
      assert.same({ nil, false }, { m:load(k) })
      m:delete(k)
    end
    assert.same({ ["1"] = "another key than 1" }, contents(m))
  end))

  it("has values of all kinds, as each who loads them shall see them", run(function()
    local m = lp.map()
    local values = { 1, 0 / 0, "text", "", ("x"):rep(1e6), true, false, math.sin, 42LL, { 1, { x = "y" } } }
    for i, v in ipairs(values) do
      m:store("k", v)
      local got, ok = m:load "k"
      assert.is_true(ok)
      if v ~= v then
        assert.is_true(got ~= got)
      elseif type(v) == "table" then
        assert.same(v, got)
        assert.is_false(got == v)
        assert.is_false((m:load "k") == got)
        v[1] = 2
        assert.equal(1, (m:load "k")[1])
      else
        assert.equal(v, got, i)
      end
    end
    m:store("k", nil)
    assert.same({ nil, true }, { m:load "k" })
    local c = lp.chan(1)
    m:store("c", c)
    assert.equal(c, (m:load "c"))
    m:store("m", m)
    assert.equal(m, (m:load "m"))
    m:delete "m" -- it would hold itself for ever
  end))

  it("refuses values that cannot cross, and is as it was", run(function()
    local m = lp.map()
    m:store("k", 1)
    local alien = newproxy()
    failshere("cannot send value", function() m:store("k", alien) end)
    failshere("cannot send value.x[1]", function() m:swap("k", { x = { alien } }) end)
    failshere("cannot send value", function() m:loadorstore("new", alien) end)
    failshere("cannot send value", function() m:cas("k", 1, alien) end)
    assert.same({ k = 1 }, contents(m))
  end))

  it("swaps", run(function()
    local m = lp.map()
    assert.same({ nil, false }, { m:swap("k", 1) })
    assert.same({ 1, true }, { m:swap("k", "two") })
    assert.same({ "two", true }, { m:swap("k", { 3 }) })
    assert.same({ { 3 }, true }, { m:swap("k", nil) })
    assert.same({ nil, true }, { m:swap("k", 1) })
    assert.equal(1, m:len())
  end))

  it("loads or stores, loads and deletes", run(function()
    local m, t = lp.map(), { 1 }
    assert.same({ 1, false }, { m:loadorstore("n", 1) })
    assert.same({ 1, true }, { m:loadorstore("n", 2) })
    local got, loaded = m:loadorstore("t", t)
    assert.equal(t, got) -- one's own
    assert.is_false(loaded)
    got, loaded = m:loadorstore("t", 5)
    assert.same(t, got)
    assert.is_true(loaded)
    m:store("nil", nil)
    assert.same({ nil, true }, { m:loadorstore("nil", 1) })
    assert.same({ 1, true }, { m:loadanddelete "n" })
    assert.same({ nil, false }, { m:loadanddelete "n" })
    assert.same({ { 1 }, true }, { m:loadanddelete "t" })
    assert.same({ nil, true }, { m:loadanddelete "nil" })
    assert.equal(0, m:len())
  end))

  it("compares and swaps, or deletes, by value", run(function()
    local m = lp.map()
    for _, old in ipairs { 1, "one", true, false } do
      assert.is_false(m:cas("k", old, 1)) -- nothing is there
      assert.is_false(m:cad("k", old))
      m:store("k", old)
      assert.is_false(m:cas("k", "another", 1))
      assert.is_false(m:cad("k", "another"))
      assert.is_true(m:cas("k", old, { "new" }))
      assert.same({ "new" }, (m:load "k"))
      assert.is_false(m:cas("k", old, 1))
      m:store("k", old)
      assert.is_true(m:cad("k", old))
    end
    assert.is_false(m:cas("k", nil, 1)) -- nothing is not nil
    m:store("k", nil)
    assert.is_true(m:cas("k", nil, 0))
    assert.is_true(m:cas("k", -0, 0 / 0))
    assert.is_false(m:cas("k", 0 / 0, 1))
    m:store("k", ("x"):rep(1000))
    assert.is_false(m:cas("k", ("x"):rep(999) .. "y", 1))
    assert.is_true(m:cas("k", ("x"):rep(1000), 1))
    assert.is_false(m:cas("k", "1", 1))
    assert.is_false(m:cas("k", true, 1))
    assert.is_true(m:cad("k", 1))
  end))

  it("adds to numbers, from 0 on", run(function()
    local m = lp.map()
    assert.equal(2.5, m:add("k", 2.5))
    assert.equal(-1, m:add("k", -3.5))
    assert.equal(-1, (m:load "k"))
    m:store("s", "1")
    m:store("nil", nil)
    failshere("'add' to a value that is no number (key s)", function() m:add("s", 1) end)
    failshere("'add' to a value that is no number (key nil)", function() m:add("nil", 1) end)
    assert.equal("1", (m:load "s"))
  end))

  it("is cleared", run(function()
    local m = lp.map()
    for i = 1, 1000 do
      m:store(i, { i })
      m:store("k" .. i, "v" .. i)
    end
    assert.equal(2000, m:len())
    m:clear()
    assert.equal(0, m:len())
    assert.same({}, contents(m))
    m:clear()
    m:store(1, 1)
    assert.same({ 1 }, contents(m))
  end))

  it("is walked through, each key once", run(function()
    local m, want = lp.map(), {}
    assert.same({}, contents(m))
    for i = 1, 500 do
      m:store(i, i)
      m:store("k" .. i, { i })
      want[i], want["k" .. i] = i, { i }
    end
    m:store(true, false)
    want[true] = false
    assert.same(want, contents(m))
    local seen, n = {}, 0
    m:range(function(k, v)
      n = n + 1
      seen[k] = v
    end)
    assert.equal(1001, n)
    assert.same(want, seen)
    n = 0
    m:range(function()
      n = n + 1
      return n < 10
    end)
    assert.equal(10, n)
  end))

  it("may be changed while it is walked through", run(function()
    local m = lp.map()
    for i = 1, 300 do
      m:store(i, i)
    end
    local seen = {}
    for k, v in m:pairs() do
      assert.is_nil(seen[k])
      seen[k] = true
      assert.equal(k, v)
      if k <= 300 then
        m:store(k, k)
        m:delete(k)
        m:store(k, k)
        m:store(k + 1000, k + 1000)
        if k % 2 == 1 and not seen[k + 1] then
          m:delete(k + 1) -- not to come any more
          seen[k + 1] = true
        end
      end
    end
    for i = 1, 300 do
      assert.is_true(seen[i])
    end
    for k in m:pairs() do
      m:delete(k)
    end
    assert.equal(0, m:len())
    m:store("k", "v")
    m:range(function() m:clear() end)
    assert.equal(0, m:len())
    for _ = 1, 3 do -- walks in walks
      m:store(m:len(), true)
    end
    local n = 0
    for _ in m:pairs() do
      m:range(function() for _ in m:pairs() do n = n + 1 end end)
    end
    assert.equal(27, n)
  end))

  it("may be left in the middle of a walk, and walked on after its end", run(function()
    local m = lp.map()
    for i = 1, 100 do
      m:store(i, i)
    end
    for _ = 1, 100 do
      for k in m:pairs() do
        if k then break end
      end
    end
    local function walk()
      local next = m:pairs()
      m = nil
      return next
    end
    local next = walk()
    for _ = 1, 100 do
      assert.truthy(next())
      helper.collect()
    end
    for _ = 1, 3 do
      assert.is_nil(next())
    end
  end))

  it("raises an error of the function that walks", run(function()
    local m = lp.map()
    m:store(1, 1)
    assert.same({ false, "no" }, { pcall(m.range, m, function() error("no", 0) end) })
  end))

  it("refuses wrong arguments at the caller's line", run(function()
    local m = lp.map()
    for _, method in ipairs { "load", "store", "swap", "loadorstore", "loadanddelete", "delete", "cas", "cad", "add" } do
      local prefix = "bad argument #1 to '" .. method .. "' (key: string, number or boolean expected, got "
      failshere(prefix .. "no value)", function() m[method](m) end)
      failshere(prefix .. "nan)", function() m[method](m, 0 / 0, 1, 1) end)
      failshere(prefix .. "table)", function() m[method](m, {}, 1, 1) end)
      failshere("calling '" .. method .. "' on bad self (map expected, got string", function() m[method]("k", 1) end)
    end
    for _, method in ipairs { "len", "clear", "pairs", "range" } do
      failshere("calling '" .. method .. "' on bad self (map expected, got nil", function() m[method]() end)
      failshere("calling '" .. method .. "' on bad self (map expected, got table", function() m[method](lp.once()) end)
    end
    failshere("bad argument #2 to 'add' (number expected, got no value)", function() m:add("k") end)
    failshere("bad argument #2 to 'add' (number expected, got string)", function() m:add("k", "1") end)
    failshere("bad argument #2 to 'cas' (nil, boolean, number or string expected, got table)",
      function() m:cas("k", {}, 1) end)
    failshere("bad argument #2 to 'cad' (nil, boolean, number or string expected, got function)",
      function() m:cad("k", print) end)
    failshere("bad argument #1 to 'range' (function expected, got no value)", function() m:range() end)
    assert.equal(0, m:len())
  end))

  it("is one for all", run(function()
    local m, wg = lp.map(), lp.waitgroup()
    m:store("m", { lp.map() })
    for i = 1, 10 do
      wg:go(function()
        for k = 1, 100 do
          m:add("sum", k)
          m:store(i, { k })
          m:load("m")[1]:add("inner", 1)
        end
      end)
    end
    wg:wait()
    assert.equal(50500, (m:load "sum"))
    assert.equal(1000, (m:load "m"[1]:load "inner"))
    assert.equal(12, m:len())
  end))

  it("gives back what it held", run(function()
    local core = require "luapark.core"
    helper.collect()
    local messages = core.counts()
    for _ = 1, 20 do
      local m = lp.map()
      for i = 1, 50 do
        m:store(i, { i })
        m:swap(i, { "another" })
        m:loadorstore(i, { "not stored" })
        m:cas(i, 1, { "not stored" })
        m:load(i)
      end
      for k in m:pairs() do
        m:delete(k)
        if k % 7 == 0 then
          break
        end
      end
      m:store("again", {})
    end
    helper.collect()
    assert.equal(messages, (core.counts()))
  end))

  it("may be used in a finalizer, in the middle of a use", run(function()
    local m, n = lp.map(), 0
    local function finalizer()
      n = n + 1
      m:store("k", "from a finalizer")
      m:add("n", 1)
      assert(m:load "k" == "from a finalizer")
    end
    for i = 1, 3000 do
      local p = newproxy(true)
      getmetatable(p).__gc = finalizer
      m:store(i % 10, "value " .. i)
      assert.equal("value " .. i, (m:load(i % 10)))
      assert.equal(i, m:add("sum", 1))
    end
    helper.collect()
    assert.is_true(n > 0)
    assert.equal(n, (m:load "n"))
  end))

  it("outlives who made it", run(function()
    local out = lp.chan()
    go(function()
      local m = lp.map()
      m:store("k", { "v" })
      out:send(m)
    end)
    helper.collect()
    assert.same({ "v" }, (out:recv():load "k"))
  end))
end)
