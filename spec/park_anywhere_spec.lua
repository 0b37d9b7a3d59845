-- SPDX-License-Identifier: MIT

-- Parking where Lua cannot yield: under C functions, in metamethods, in the user's coroutines, in callbacks.

local helper = require "spec.helper"
local lp = helper.lp
local ffi = require "ffi"
local run, settle = helper.run, helper.settle
local go, gosched, chan = lp.go, lp.gosched, lp.chan

ffi.cdef "void qsort(void *base, size_t nmemb, size_t size, int (*compar)(const void *, const void *));"

-- Each place: a function that calls pause() in that place, some times, and returns whether what it computed is right.
local places = {}

function places.sort(pause)
  local t = { 5, 2, 8, 1, 9, 3, 7, 4, 6 }
  table.sort(t, function(a, b) pause(); return a < b end)
  return table.concat(t) == "123456789"
end

function places.gsub(pause)
  return string.gsub("hello", ".", function(c) pause(); return c:upper() end) == "HELLO"
end

function places.foreach(pause)
  local n = 0
  table.foreach({ 1, 2, 3 }, function(_, v) pause(); n = n + v end)
  return n == 6
end

function places.index(pause)
  local t = setmetatable({}, { __index = function(_, k) pause(); return k .. "!" end })
  return t.x == "x!" and t["y"] == "y!"
end

function places.newindex(pause)
  local t = setmetatable({}, { __newindex = function(t, k, v) pause(); rawset(t, k, v + 1) end })
  t.x = 1
  return t.x == 2
end

function places.call(pause)
  local t = setmetatable({}, { __call = function(_, a, b) pause(); return a + b, a * b end })
  local s, p = t(3, 4)
  return s == 7 and p == 12
end

function places.concat(pause)
  local t = setmetatable({}, { __concat = function(a, b) pause(); return type(a) .. type(b) end })
  return t .. "x" == "tablestring" and "x" .. t == "stringtable" and "a" .. "b" .. t == "astringtable"
end

function places.arith(pause)
  local mt = {}
  mt.__add = function(a, b) pause(); return setmetatable({ v = a.v + b.v }, mt) end
  mt.__unm = function(a) pause(); return setmetatable({ v = -a.v }, mt) end
  local a, b = setmetatable({ v = 1 }, mt), setmetatable({ v = 2 }, mt)
  return (a + b).v == 3 and (-(a + b)).v == -3
end

function places.compare(pause)
  local mt = {}
  mt.__lt = function(a, b) pause(); return a.v < b.v end
  mt.__le = function(a, b) pause(); return a.v <= b.v end
  mt.__eq = function(a, b) pause(); return a.v == b.v end
  local a, b, c = setmetatable({ v = 1 }, mt), setmetatable({ v = 2 }, mt), setmetatable({ v = 1 }, mt)
  return a < b and not (b < a) and a <= c and a == c and a ~= b and not (b <= a)
end

function places.tostring(pause)
  local t = setmetatable({}, { __tostring = function() pause(); return "T" end })
  return tostring(t) == "T" and ("%s"):format(t) == "T"
end

function places.pcall(pause)
  local ok, a, b = pcall(function(x) pause(); return x, x + 1 end, 1)
  local ok2, err = pcall(function() pause(); error({ "x" }) end)
  return ok and a == 1 and b == 2 and not ok2 and err[1] == "x"
end

function places.xpcall(pause)
  local ok, a = xpcall(function() pause(); return "fine" end, print)
  local ok2, err = xpcall(function() pause(); error("x", 0) end, function(e) return e .. "y" end)
  return ok and a == "fine" and not ok2 and err == "xy"
end

function places.handler(pause)
  local ok, err = xpcall(function() error("x", 0) end, function(e) pause(); return e .. "y" end)
  return not ok and err == "xy"
end

function places.load(pause)
  local parts = { "return ", "1 ", "+ 2" }
  local i = 0
  local f = load(function() pause(); i = i + 1; return parts[i] end)
  return f() == 3
end

local nmodules = 0
function places.require(pause)
  nmodules = nmodules + 1
  local name = "luapark_spec_module_" .. nmodules
  package.preload[name] = function(n) pause(); return { n } end
  local m = require(name)
  local right = m[1] == name and require(name) == m
  package.preload[name], package.loaded[name] = nil, nil
  return right
end

function places.dofile(pause)
  _G.luapark_spec_pause = pause
  return helper.withfile("local pause = ... or luapark_spec_pause pause() return 'done'", function(name)
    return dofile(name) == "done" and loadfile(name)(pause) == "done"
  end)
end

function places.iterator(pause)
  local n = 0
  for i in function(_, i) pause(); i = (i or 0) + 1; return i <= 3 and i or nil end do
    n = n + i
  end
  return n == 6
end

function places.wrap(pause)
  local got = {}
  for v in coroutine.wrap(function()
    for i = 1, 3 do
      pause()
      coroutine.yield(i)
      pause()
    end
  end) do
    pause()
    got[#got + 1] = v
  end
  return table.concat(got) == "123"
end

function places.nested(pause)
  local outer = coroutine.wrap(function()
    local inner = coroutine.wrap(function()
      pause()
      coroutine.yield("inner")
      table.sort({ 3, 2, 1 }, function(a, b) pause(); return a < b end)
      coroutine.yield("sorted")
      pause()
    end)
    pause()
    coroutine.yield(inner())
    pause()
    coroutine.yield(inner())
    pause()
    return "end"
  end)
  return outer() == "inner" and outer() == "sorted" and outer() == "end"
end

function places.resume(pause)
  local co = coroutine.create(function(a)
    pause()
    local b = coroutine.yield(a + 1)
    pause()
    error({ b })
  end)
  local ok, v = coroutine.resume(co, 1)
  local ok2, e = coroutine.resume(co, "gone")
  return ok and v == 2 and not ok2 and e[1] == "gone" and coroutine.status(co) == "dead"
end

function places.ffi(pause)
  local a = ffi.new("int[?]", 6, { 4, 2, 6, 1, 5, 3 })
  local cb = ffi.cast("int (*)(const void *, const void *)", function(x, y)
    pause()
    return ffi.cast("const int *", x)[0] - ffi.cast("const int *", y)[0]
  end)
  ffi.C.qsort(a, 6, 4, cb)
  cb:free()
  for i = 0, 5 do
    if a[i] ~= i + 1 then
      return false
    end
  end
  return true
end
jit.off(places.ffi) -- a compiled call must not call back (LuaJIT's own rule)

function places.setfenvcall(pause)
  local f = setfenv(function() p(); return x end, { p = pause, x = "env" }) -- luacheck: ignore 113
  return f() == "env"
end

function places.mixed(pause)
  local out = {}
  local ok = pcall(function()
    string.gsub("ba", ".", function(c)
      local t = { 3, 1, 2 }
      table.sort(t, function(a, b)
        pause()
        return coroutine.wrap(function() pause(); coroutine.yield(a < b) end)()
      end)
      out[#out + 1] = c .. table.concat(t)
    end)
    pause()
    error "x"
  end)
  return not ok and table.concat(out, ",") == "b123,a123"
end

local names = {}
for name in pairs(places) do
  names[#names + 1] = name
end
table.sort(names)

local ways = {
  gosched = gosched,
  sleep = function() lp.sleep(0.0001) end,
  gopark = function()
    local v = lp.gopark(function(g) go(lp.goready, g, "v", 2) end)
    assert(v == "v")
  end,
  channel = function()
    local c = chan()
    go(function() c:send("v") end)
    local v, ok = c:recv()
    assert(v == "v" and ok)
  end,
  select = function()
    local c = chan()
    go(function() c:recv() end)
    assert(lp.select { { c, send = 1 }, chan(), timeout = 60 } == 1)
  end,
  timeout = function() assert(lp.select { chan(), timeout = 0.0001 } == "timeout") end,
}

describe("parking in", function()
  for _, place in ipairs(names) do
    it(place, run(function()
      for way, pause in pairs(ways) do
        local n = 0
        local right = places[place](function() n = n + 1; pause() end)
        assert.is_true(right, way)
        assert.is_true(n > 0, way)
      end
      -- again, in another goroutine than this one
      local done = chan()
      go(function() done:send({ pcall(places[place], gosched) }) end)
      assert.same({ true, true }, (done:recv()))
    end))
  end

  it("a coroutine's place: others run meanwhile, the coroutine stays the running one", run(function()
    local co, status
    co = coroutine.create(function() gosched(); status = coroutine.status(co); return "end" end)
    local ran = false
    go(function()
      ran = coroutine.status(co)
    end)
    assert.same({ true, "end" }, { coroutine.resume(co) })
    assert.equal("running", status)
    assert.is_truthy(ran)
    assert.not_equal("suspended", ran) -- nobody else may resume it
    assert.equal("dead", coroutine.status(co))
  end))

  it("a coroutine that others then try to resume: refused, and nothing breaks", run(function()
    local co = coroutine.create(function() local v = lp.gopark(); return v end)
    local results = {}
    local g = go(function() results[1] = { coroutine.resume(co) } end)
    gosched()
    results[2] = { coroutine.resume(co) }
    lp.goready(g, "v")
    settle()
    assert.is_false(results[2][1])
    assert.is_string(results[2][2])
    assert.same({ true, "v" }, results[1])
  end))
end)

describe("an error thrown", function()
  it("across a place where the goroutine waited is caught as ever", run(function()
    for _, place in ipairs(names) do
      local thrown, n = {}, 0
      local ok, err = pcall(places[place], function()
        gosched()
        n = n + 1
        if n == 2 or place == "call" or place == "newindex" or place == "handler" or place == "setfenvcall"
          or place == "require" then
          error(thrown)
        end
      end)
      -- pcall, xpcall, handler and mixed catch it themselves; all others hand it on.
      if not ok and place ~= "ffi" and place ~= "handler" and type(err) == "table" then
        assert.equal(thrown, err, place)
      end
    end
    for i = 1, nmodules do
      package.preload["luapark_spec_module_" .. i] = nil
      package.loaded["luapark_spec_module_" .. i] = nil
    end
    -- and everything works afterwards
    for _, place in ipairs(names) do
      assert.is_true(places[place](gosched), place)
    end
  end))

  it("out of the comparator, with its position and traceback", run(function()
    local line = debug.getinfo(1, "l").currentline
    local ok, err = xpcall(function()
      table.sort({ 3, 2, 1 }, function() lp.sleep(0.0001); error "boom" end)
    end, debug.traceback)
    assert.is_false(ok)
    assert.matches("park_anywhere_spec.lua:" .. line + 2 .. ": boom\nstack traceback:\n", err)
    assert.matches("%[C%]: in function 'sort'", err)
  end))

  it("by the runtime: a channel closed while its sender waits in a comparator", run(function()
    local c, result = chan(), nil
    go(function()
      result = { pcall(table.sort, { 3, 2, 1 }, function() c:send(1) end) }
    end)
    gosched()
    c:close()
    settle()
    assert.is_false(result[1])
    assert.matches("send on closed channel$", result[2])
  end))

  it("from a memory of thousands of waits: 2,000 of them in a row", run(function()
    for _ = 1, 2000 do
      local ok, err = pcall(string.gsub, "x", "x", function() gosched(); error("e", 0) end)
      assert(not ok and err == "e")
    end
  end))
end)

describe("200 goroutines at once", function()
  local function mixed()
    local wg, wrong, n = lp.waitgroup(), {}, 0
    math.randomseed(11)
    for i = 1, 200 do
      local place = names[i % #names + 1]
      local pauses = 0
      wg:go(function()
        for _ = 1, 3 do
          local ok, right = pcall(places[place], function()
            pauses = pauses + 1
            local garbage = {}
            for k = 1, 5 do
              garbage[k] = { tostring(k) .. i }
            end
            assert(#garbage == 5)
            if (pauses + i) % 7 == 0 then
              lp.sleep(0.0001)
            elseif (pauses + i) % 3 == 0 then
              ways.channel()
            elseif (pauses + i) % 11 == 0 then
              collectgarbage "step"
            else
              gosched()
            end
          end)
          n = n + 1
          if not (ok and right) then
            wrong[#wrong + 1] = place .. ": " .. tostring(right)
          end
        end
      end)
    end
    wg:wait()
    assert.equal("", table.concat(wrong, "\n"))
    assert.equal(600, n)
  end

  -- The dofile place hands its pause on in a global, and so needs one goroutine at a time.
  setup(function()
    for i, name in ipairs(names) do
      if name == "dofile" then
        table.remove(names, i)
        break
      end
    end
  end)

  it("in mixed places", run(mixed))

  it("in mixed places, the collector under pressure", run(function()
    local pause, stepmul = collectgarbage("setpause", 1), collectgarbage("setstepmul", 10000)
    local ok, err = pcall(mixed)
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", stepmul)
    assert(ok, err)
  end))

  it("in mixed places, a full collection every few switches", run(function()
    local stop = false
    go(function()
      while not stop do
        collectgarbage()
        for _ = 1, 20 do
          gosched()
        end
      end
    end)
    local ok, err = pcall(mixed)
    stop = true
    gosched()
    assert(ok, err)
  end))

  it("in mixed places, without the JIT", run(function()
    jit.off()
    local ok, err = pcall(mixed)
    jit.on()
    assert(ok, err)
  end))

  it("that throw across the places where they waited", run(function()
    local wg, caught = lp.waitgroup(), 0
    for i = 1, 200 do
      wg:go(function()
        for _ = 1, 5 do
          local n = 0
          local thrown = {}
          local ok, err = pcall(table.sort, { 5, 4, 3, 2, 1 }, function()
            local r = string.gsub("x", "x", function()
              gosched()
              n = n + 1
              if n == i % 5 + 1 then
                error(thrown)
              end
            end)
            return r == nil
          end)
          if not ok and err == thrown then
            caught = caught + 1
          end
        end
      end)
    end
    wg:wait()
    assert.equal(1000, caught)
  end))
end)

describe("parking is refused in words", function()
  local function tryall(errs)
    local c = chan()
    local function try(fn, ...)
      local ok, err = pcall(fn, ...)
      errs[#errs + 1] = ok and "no error" or tostring(err)
    end
    try(lp.sleep, 0.001)
    try(gosched)
    try(lp.gopark)
    try(c.recv, c)
    try(c.send, c, 1)
    try(lp.select, { c, timeout = 0.001 })
    try(lp.goexit)
    assert(not c:trysend(1))
  end

  local function check(errs, place)
    assert.equal(7, #errs)
    for _, e in ipairs(errs) do
      assert.truthy(e:find(place, 1, true), e)
    end
  end

  it("in a finalizer, and harms no other goroutine", run(function()
    local errs, n, stop = {}, 0, false
    for _ = 1, 20 do
      go(function()
        while not stop do
          n = n + 1
          string.gsub("x", "x", gosched)
        end
      end)
    end
    gosched()
    do
      local p = newproxy(true)
      getmetatable(p).__gc = function() tryall(errs) end
    end
    for _ = 1, 10 do
      collectgarbage()
      gosched()
    end
    check(errs, "a finalizer")
    local before = n
    settle()
    assert.is_true(n > before)
    stop = true
    settle()
  end))

  it("in an FFI finalizer", run(function()
    local errs = {}
    local function make() ffi.gc(ffi.new "int[1]", function() tryall(errs) end) end
    make()
    for _ = 1, 5 do
      collectgarbage()
      gosched()
    end
    check(errs, "a finalizer")
  end))

  it("in a finalizer that another goroutine's collection runs", run(function()
    local errs = {}
    for _ = 1, 20 do
      local p = newproxy(true)
      getmetatable(p).__gc = function()
        local ok, err = pcall(lp.sleep, 0.001)
        errs[#errs + 1] = ok and "no error" or err
      end
    end
    local done = chan()
    go(function()
      lp.sleep(0.0005)
      for _ = 1, 5 do
        string.gsub("x", "x", function() collectgarbage(); gosched() end)
      end
      done:close()
    end)
    done:recv()
    assert.equal(20, #errs)
    for _, e in ipairs(errs) do
      assert.truthy(e:find("a finalizer", 1, true), e)
    end
  end))

  it("in a jit.attach handler, and harms no other goroutine", run(function()
    local errs, n = {}, 0
    local function handler() if #errs == 0 then tryall(errs) end end
    jit.attach(handler, "bc")
    assert(loadstring "return 1")
    jit.attach(handler)
    check(errs, "VM event")
    for i = 1, 20 do
      go(function() string.gsub("x", "x", gosched); n = n + i end)
    end
    settle()
    assert.equal(210, n)
  end))

  it("in a jit.attach handler for traces", run(function()
    -- At a trace's end only: compiled code run while one starts makes Debian 12's LuaJIT crash now and then, with or
    -- without Luapark (the handler's own side exits seem to overwrite what the side trace is to start from).
    local errs = {}
    local function handler(what) if what == "stop" and #errs == 0 then tryall(errs) end end
    jit.attach(handler, "trace")
    local x = 0
    for round = 1, 50 do
      assert(loadstring("local x = 0 for i = 1, 200 do x = x + i * " .. round .. " end return x"))()
      x = x + round
      if #errs > 0 then
        break
      end
    end
    jit.attach(handler)
    if jit.status() then
      check(errs, "VM event")
    end
  end))
end)

describe("a debug hook", function()
  it("that parks works or is refused in words", run(function()
    local errs, n, others, stop = {}, 0, 0, false
    go(function()
      while not stop do
        others = others + 1
        gosched()
      end
    end)
    debug.sethook(function()
      n = n + 1
      local ok, err = pcall(lp.sleep, 0.0001)
      if not ok then
        errs[#errs + 1] = err
      end
    end, "l")
    local x = 0
    for i = 1, 20 do
      x = x + i
    end
    debug.sethook()
    stop = true
    assert.equal(210, x)
    assert.is_true(n >= 20)
    for _, e in ipairs(errs) do
      assert.matches("cannot wait", e)
    end
    if #errs == 0 then
      assert.is_true(others > 0)
    end
  end))

  -- In a process of its own, since whoever waits for what a hook has broken waits for ever.
  for _, how in ipairs { "script", "module" } do
    it("that parks breaks nothing of others', wherever it strikes (" .. how .. ")", function()
      local out, err, status = helper[how] [[
        local lp = require "luapark"
        lp.run(function()
          local wg, c, sorted, received = lp.waitgroup(), lp.chan(), {}, {}
          debug.sethook(function() pcall(lp.gosched) end, "", 7)
          for i = 1, 50 do
            wg:go(function()
              local t = { 4, 3, 2, 1 }
              for _ = 1, 10 do
                table.sort(t, function(a, b) lp.gosched() return a < b end)
                t[1], t[4] = t[4], t[1]
              end
              sorted[i] = true
              c:send(i)
            end)
            wg:go(function() received[c:recv()] = true end)
          end
          wg:wait()
          debug.sethook()
          -- The mark that a hook runs stays on nobody: hooks are called afterwards.
          local calls = 0
          debug.sethook(function() calls = calls + 1 end, "l")
          local x = 1
          x = x + 1
          debug.sethook()
          print(#sorted, #received, calls >= 2)
        end)
      ]]
      assert.same({ "50\t50\ttrue\n", "", 0 }, { out, err, status })
    end)
  end

  it("that throws after it parked throws into the program", run(function()
    local thrown = {}
    local ok, err = pcall(function()
      debug.sethook(function()
        debug.sethook()
        pcall(gosched)
        error(thrown)
      end, "l")
      local x = 1
      x = x + 1
      return x
    end)
    debug.sethook()
    assert.is_false(ok)
    assert.equal(thrown, err)
    settle()
  end))
end)

describe("depth", function()
  local function nest(n, park)
    local deepest = 0
    local function down(k)
      if k > deepest then
        deepest = k
      end
      if k == n then
        park()
      else
        string.gsub("x", "x", function() down(k + 1) end)
      end
    end
    down(1)
    return deepest
  end

  it("of 500 nested gsub callbacks works in a goroutine, waiting at the bottom", run(function()
    local done = chan()
    go(function() done:send({ pcall(nest, 500, gosched) }) end)
    assert.same({ true, 500 }, (done:recv()))
    local wg, right = lp.waitgroup(), 0
    for _ = 1, 20 do
      wg:go(function()
        local deepest = nest(500, gosched)
        right = right + (deepest == 500 and 1 or 0)
      end)
    end
    wg:wait()
    assert.equal(20, right)
  end))

  for _, depth in ipairs { 20000, 1000000 } do
    for _, what in ipairs { "string.gsub('x', 'x', f)", "table.sort({3, 2, 1}, f)", "pcall(string.gsub, 'x', 'x', f)",
      "coroutine.wrap(f)()", "setmetatable({}, {__index = f}).x = setmetatable({}, {__index = f}).x",
      "load(f)", "tostring(setmetatable({}, {__tostring = f}))", "xpcall(f, f)" } do
      it(("of %d %s ends in an error, not in a crash"):format(depth, what), function()
        local text = ([[
          local n = 0
          local function f() n = n + 1 if n < %d then %s end return "" end
          local done = chan()
          go(function()
            local ok, err = pcall(f)
            io.write(ok and "deep enough" or tostring(err), "\n")
            done:close()
          end)
          done:recv()
          local t = {3, 1, 2}
          table.sort(t, function(a, b) gosched() return a < b end)
          print(table.concat(t))
        ]]):format(depth, what)
        local out, err, status = helper.script(text)
        assert.equal("", err)
        assert.equal(0, status)
        local first = out:match "^(.-)\n123\n$"
        assert.truthy(first, out)
        if first ~= "deep enough" then
          assert.truthy(first:find("stack overflow", 1, true) or first:find("error in error handling", 1, true), first)
        end
      end)
    end
  end

  it("of recursion in plain Lua is Lua's own limit", run(function()
    local done = chan()
    local function f(n) return 1 + f(n + 1) end
    go(function() done:send((select(2, pcall(f, 1)))) end)
    assert.matches("stack overflow", (done:recv()))
  end))
end)

describe("40,000 goroutines that ask to wait under C frames", function()
  for _, how in ipairs { "script", "module" } do
    it("get a clear error beyond the limit, and the program goes on (" .. how .. ")", function()
      local text = [[
        local lp = require "luapark"
        local waiting, refused, words = 0, 0, nil
        local function main()
          local c = lp.chan()
          local wg = lp.waitgroup()
          for i = 1, 40000 do
            wg:go(function()
              local ok, err = pcall(string.gsub, "x", "x", function()
                waiting = waiting + 1
                c:recv()
              end)
              if not ok then waiting = waiting - 1 refused = refused + 1 words = words or err end
            end)
          end
          lp.gosched()
          print(waiting > 1000, refused > 0, waiting + refused)
          print(words)
          -- Everything else goes on: plain waits, compiled code, new goroutines
          local s = 0
          for i = 1, 1e6 do s = s + i % 7 end
          local d = lp.chan()
          for i = 1, 100 do lp.go(function() d:send(i) end) end
          local sum = 0
          for i = 1, 100 do sum = sum + d:recv() * 1 end
          print(s > 0, sum)
          c:close()
          wg:wait()
          -- and the stacks serve again
          local t = {3, 1, 2}
          table.sort(t, function(a, b) lp.gosched() return a < b end)
          print(table.concat(t))
        end
        lp.run(main)
      ]]
      local out, err, status = helper[how](text)
      assert.equal("", err)
      assert.equal(0, status)
      local words = out:match "^true\ttrue\t40000\n(.-)\ntrue\t5050\n123\n$"
      assert.truthy(words, out)
      assert.matches("cannot wait inside a C call", words)
    end)
  end
end)
