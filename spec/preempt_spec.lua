-- SPDX-License-Identifier: MIT

-- preempt: who computes while others wait is made to let them go on, wherever it stands, and nothing else changes.
--
-- Each program runs in a process of its own, most of them with slices of a millisecond (LUAPARK_DEBUG=preempt). No time is
-- compared but generous ones: who is not pre-empted at all hangs, is killed, and has failed.

local helper = require "spec.helper"
local sh, quote = helper.sh, helper.quote

local build = os.getenv "LUAPARK_BUILD" or "build"
local sanitized = build ~= "build"
-- ThreadSanitizer keeps a signal back until the program next calls the C library, which who computes does not.
local deaf = build:find("tsan", 1, true)
local SECONDS = sanitized and 110 or 30 -- that a program may take; it needs some tenths
local CLEAN = "env -u LUA_INIT -u LUAPARK_PREEMPT -u LUAPARK_MAXPROCS -u LUAPARK_STEAL -u LUAPARK_DEBUG "
local SLICES, ONE = "LUAPARK_DEBUG=preempt ", "LUAPARK_DEBUG=preempt LUAPARK_MAXPROCS=1 "

-- A scale for what takes long where it is watched.
local HEAD = "local lp, SCALE = luapark, " .. (sanitized and 0.1 or 1) .. "\n" .. [[
-- Computes for s seconds.
local function compute(s)
  local x, stop = 0, lp.now() + s
  repeat
    for i = 1, 100 do x = (x * 7 + i) % 1000003 end
  until lp.now() > stop
  return x
end
-- A goroutine that wakes all the time, so that somebody waits; until the function that it gives is called.
local function competitor()
  local stop, wakes = false, 0
  go(function()
    while not stop do
      lp.sleep(0.0005)
      wakes = wakes + 1
    end
  end)
  return function()
    stop = true
    return wakes
  end
end
]]

-- -> what the program says, and its exit status
local function ran(text, environment, options)
  return helper.withfile(HEAD .. text, function(name)
    return sh((CLEAN .. "%s timeout %d %s %s %s"):format(environment or "", SECONDS, quote(helper.exe), options or "", name))
  end)
end

local function prints(want, text, environment, options)
  local out, err, status = ran(text, environment, options)
  assert.same({ want, "", 0 }, { out, err, status })
end

local PREEMPTIBLE = "print(require 'luapark'.preemptible())"

if not helper.inexe then
  describe("preemptible in a stock luajit", function()
    it("is false, and says why", function()
      helper.withfile(PREEMPTIBLE, function(name)
        local out, err, status = sh("env -u LUAPARK_PREEMPT " .. helper.moduleenv .. "luajit " .. name)
        assert.same({ "", 0 }, { err, status })
        assert.matches("^false\t.*compiled loops", out)
      end)
    end)
  end)
  return
end

describe("preemptible", function()
  it("is true in the executable", function()
    prints("true\n", PREEMPTIBLE)
  end)

  it("is false, and says why, where it is turned off", function()
    prints("false\tLUAPARK_PREEMPT=0\n", PREEMPTIBLE, "LUAPARK_PREEMPT=0")
  end)
end)

local describesignals = deaf and function() end or describe

-- Goroutines that never wait. Each is the text of a function's body.
local hogs = {
  { "a loop", "local x = 0 while true do x = x + 1 end" },
  { "a repeat loop", "local x = 0 repeat x = x + 1 until x < 0" },
  { "a loop of nothing", "while true do end" },
  { "for loops", "local x = 0 while true do for i = 1, 10 do x = x + i end end" },
  { "one long for loop", "local x = 0 for i = 1, 1e15 do x = x + i end" },
  { "pairs", "local t, n = { a = 1, b = 2, c = 3 }, 0 while true do for _, v in pairs(t) do n = n + v end end" },
  { "an iterator that does not end", "local n = 0 for i in function() return 1 end do n = n + i end" },
  { "a goto", "local x = 0 ::again:: x = x + 1 goto again" },
  { "tail calls", "local function f(n) return f(n + 1) end return f(1)" },
  { "tail calls of two functions", "local g local function f(n) return g(n + 1) end g = function(n) return f(n) end f(1)" },
  { "recursion", "local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end fib(70)" },
  { "a coroutine", "coroutine.wrap(function() local x = 0 while true do x = x + 1 end end)()" },
  { "a coroutine in a coroutine", [[
    coroutine.wrap(function()
      coroutine.wrap(function() local x = 0 while true do x = x + 1 end end)()
    end)()]] },
  { "a generator", [[
    local n = 0
    for i in coroutine.wrap(function() local i = 0 while true do i = i + 1 coroutine.yield(i) end end) do n = n + i end]] },
  { "a sort comparator that loops", "table.sort({ 3, 1, 2 }, function() local x = 0 while true do x = x + 1 end end)" },
  { "a sort of much", [[
    local t = {}
    for i = 1, 3e6 do t[i] = (i * 7919) % 1000003 end
    while true do
      table.sort(t, function(a, b) return a > b end)
      table.sort(t, function(a, b) return a < b end)
    end]] },
  { "a sort by __lt", [[
    local mt, t = { __lt = function(a, b) return a[1] < b[1] end }, {}
    for i = 1, 1e6 do t[i] = setmetatable({ (i * 7919) % 1000003 }, mt) end
    while true do table.sort(t) end]] },
  { "a gsub callback that loops", "(' '):gsub('.', function() local x = 0 while true do x = x + 1 end end)" },
  { "a gsub of much", "local s = ('x'):rep(2e7) while true do s:gsub('.', function(c) return c end) end" },
  { "strings", "local s = '' while true do s = ('x'):rep(1000) .. #s end" },
  { "garbage", "local t while true do t = { t and t[1], { 2 } } t[1] = {} end" },
  { "64-bit integers", "local x = 0LL while true do x = x + 3LL end" },
  { "cdata", "local ffi = require 'ffi' while true do ffi.new('int[4]')[0] = 1 end" },
  { "pcall", "while true do pcall(error, 'x') end" },
  { "a function in pcall", "pcall(function() local x = 0 while true do x = x + 1 end end)" },
  { "an error handler", "xpcall(error, function() local x = 0 while true do x = x + 1 end end)" },
  { "__index", "local x = setmetatable({}, { __index = function() while true do end end }).x" },
  { "__newindex", "setmetatable({}, { __newindex = function() while true do end end }).x = 1" },
  { "__add", "local x = setmetatable({}, { __add = function() while true do end end }) + 1" },
  { "__concat", "local x = setmetatable({}, { __concat = function() while true do end end }) .. 'x'" },
  { "__lt", "local mt = { __lt = function() while true do end end }\n" ..
    "local x = setmetatable({}, mt) < setmetatable({}, mt)" },
  { "__eq", "local mt = { __eq = function() while true do end end }\n" ..
    "local x = setmetatable({}, mt) == setmetatable({}, mt)" },
  { "__call", "setmetatable({}, { __call = function() while true do end end })()" },
  { "__tostring", "tostring(setmetatable({}, { __tostring = function() while true do end end }))" },
  { "nothing but __index", [[
    local t
    t = setmetatable({}, { __index = function(_, k) if k < 2 then return k end return t[k - 1] + t[k - 2] end })
    local x = t[70] ]] },
  { "the reader of load", "load(function() while true do end end)" },
  { "a reader without an end", "load(function() return ' ' end)" },
  { "a module's main chunk", "package.preload.hog = function() while true do end end require 'hog'" },
  { "a callback of an FFI function", [[
    local ffi = require "ffi"
    ffi.cdef "void qsort(void *, size_t, size_t, int (*)(const void *, const void *));"
    ffi.C.qsort(ffi.new("int[2]"), 2, 4, function() while true do end end)]] },
  { "an FFI function that calls back often", [[
    local ffi = require "ffi"
    ffi.cdef "void qsort(void *, size_t, size_t, int (*)(const void *, const void *));"
    local a = ffi.new("uint8_t[?]", 1000000)
    while true do
      for i = 0, 999999 do a[i] = i * 7 % 251 end
      ffi.C.qsort(a, 1000000, 1, function(x, y)
        return ffi.cast("const uint8_t *", x)[0] - ffi.cast("const uint8_t *", y)[0]
      end)
    end]] },
}

-- Beside the hog a goroutine sleeps 100 times for a millisecond.
local function beside(hog, environment, options)
  prints("slept\n", ([[
    go(function()
      for _ = 1, 100 do lp.sleep(0.001) end
      print "slept"
      os.exit(0)
    end);
    %s
  ]]):format(hog), environment, options)
end

describesignals("a sleeper gets on beside", function()
  for _, hog in ipairs(hogs) do
    it(hog[1], function() beside(hog[2], ONE) end)
  end

  it("a loop, with slices of the usual length", function()
    beside(hogs[1][2], "LUAPARK_MAXPROCS=1")
  end)

  for _, options in ipairs { "-joff", "-O0", "-O1", "-O2", "-O3" } do
    it("a loop, with " .. options, function() beside(hogs[1][2], ONE, options) end)
  end

  it("many that compute, on as many Ps as there may be", function()
    beside("for _ = 1, 8 do lp.spawn(function() local x = 0 while true do x = x + 1 end end) end " .. hogs[1][2],
      SLICES .. "LUAPARK_MAXPROCS=4")
  end)

  it("a loop that a user's hook watches", function()
    for _, hook in ipairs { "'', 1000000", "'', 1000000000", "'l'", "'c'", "'r'", "'crl', 10" } do
      beside(("debug.sethook(function() end, %s) local x = 0 while true do x = x + 1 end"):format(hook), ONE)
    end
  end)
end)

describesignals("others get on beside one that computes:", function()
  it("who waits for the network", function()
    prints("50\n", [[
      local net = require "luapark.net"
      local ln = assert(net.listen("tcp", "127.0.0.1:0"))
      local n = 0
      go(function()
        local conn = ln:accept()
        for line in conn:lines() do conn:write(line, "\n") end
      end)
      go(function()
        local conn = assert(net.dial("tcp", ln:addr()))
        for i = 1, 50 do
          conn:write(i, "\n")
          assert(conn:read() == tostring(i))
          n = n + 1
        end
        print(n)
        os.exit(0)
      end)
      while true do end
    ]], ONE)
  end)

  it("who is ready, who was just started, and who is sent something from another P", function()
    prints("3\n", [[
      local wg = lp.waitgroup()
      wg:go(gosched)
      wg:go(function() wg:go(function() end) end)
      local c = chan()
      wg:go(function() c:recv() end)
      lp.spawn(function() lp.sleep(0.01) c:send(1) end)
      go(function()
        wg:wait()
        print(3)
        os.exit(0)
      end)
      while true do end
    ]], SLICES .. "LUAPARK_MAXPROCS=2")
  end)
end)

describe("goroutines that compute", function()
  it("all get on", function()
    prints("fair\n", [[
      local n, stop = { 0, 0, 0, 0 }, false
      for i = 1, 4 do
        go(function() while not stop do n[i] = n[i] + lp.now() * 0 + 1 end end)
      end
      lp.sleep(0.5)
      stop = true
      table.sort(n)
      print(n[1] * 10 > n[4] and "fair" or table.concat(n, " "))
    ]], ONE)
  end)

  for _, procs in ipairs { 1, 2, 4 } do
    it("compute what they would alone, on " .. procs .. (procs == 1 and " P" or " Ps"), function()
      prints("right\n", [[
        local function sum(n)
          local s = 0
          for i = 1, n do s = (s * 3 + i) % 1000003 end
          return s
        end
        local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
        local function words(n)
          local t = {}
          for i = 1, n do t[#t + 1] = ("%d"):format(i * 7919 % 1009) end
          table.sort(t, function(a, b) return a < b end)
          return table.concat(t)
        end
        local n, f, w = 5e6 * SCALE, 24, 20000 * SCALE
        local s, b, text = sum(n), fib(f), words(w)
        local results = chan()
        for i = 1, 12 do
          local start = i % 2 == 0 and go or lp.spawn
          start(function() results:send(sum(n) == s) end)
          start(function() results:send(fib(f) == b) end)
          start(function() results:send(words(w) == text) end)
        end
        for _ = 1, 36 do assert(results:recv()) end
        print "right"
      ]], SLICES .. "LUAPARK_MAXPROCS=" .. procs)
    end)
  end
end)

describe("a statement stays whole", function()
  for _, options in ipairs { "", "-joff" } do
    local turns = options == "" and 5000000 or 500000
    for what, statement in pairs {
      upvalue = "n = n + 1", global = "N = N + 1", field = "t.n = t.n + 1", ["array's end"] = "t[#t + 1] = i",
      ["swap of two"] = "a, b = b, a + 0", ["pair of fields"] = "p.x, p.y = p.x + 1, p.y - 1" } do
      it(("(%s%s)"):format(what, options), function()
        prints("whole\n", ([[
          local TURNS, n, t, a, b, p = %d * SCALE, 0, { n = 0 }, 1, 2, { x = 0, y = 0 }
          N = 0
          local wg = lp.waitgroup()
          for _ = 1, 4 do
            wg:go(function() for i = 1, TURNS do %s end end)
          end
          wg:wait()
          for what, got in pairs { n = n, N = N, field = t.n, t = #t, x = p.x, y = -p.y } do
            assert(got == 0 or got == 4 * TURNS, what)
          end
          assert(a + b == 3 and p.x + p.y == 0)
          print "whole"
        ]]):format(what == "array's end" and turns / 5 or turns, statement), ONE, options)
      end)
    end
  end
end)

describesignals("a user's debug hook", function()
  -- The same events, with the same lines, whether its goroutine is pre-empted or not. Of returns alone LuaJIT now and
  -- then loses those of a slice: a signal in the middle of its callhook is forgotten, and its dispatch is between two modes.
  for mask, want in pairs { l = "line", c = "call", r = "return", lcr = "line" } do
    it(("sees what it would see alone (%s)"):format(mask), function()
      local text = ([[
        local wakes = competitor()
        lp.sleep(0.002)
        local n, lines = 0, 0
        local function leaf(x)
          return x + 1
        end
        local function work()
          local x = 0
          for i = 1, 30000 * SCALE do
            x = leaf(x)
            x = x + math.floor(i / 2)
            x = math.max(x, select("#", leaf(1), leaf(2)))
          end
          return x
        end
        local first, last = debug.getinfo(leaf, "S").linedefined, debug.getinfo(work, "S").lastlinedefined
        debug.sethook(function(event, line)
          local info = debug.getinfo(2, "S")
          local of = info.linedefined
          if of >= first and of <= last and event:find "%s" then
            n, lines = n + 1, lines + (line or 0)
          end
        end, "%s")
        work()
        debug.sethook()
        print(n > 1000 * SCALE, n, lines)
        assert(wakes() > 0)
      ]]):format(want, mask)
      local alone = ran(text, "LUAPARK_MAXPROCS=1 LUAPARK_PREEMPT=0")
      assert.matches("^true", alone)
      if mask ~= "r" then
        prints(alone, text, ONE)
      else
        local seen = tonumber((ran(text, ONE)):match "^%a+\t(%d+)\t0\n$")
        assert.is_true(seen and seen > alone:match "%d+" / 4, tostring(seen))
      end
    end)
  end

  it("of many instructions is called when they are done, however often it is interrupted", function()
    local text = [[
      local wakes = competitor()
      lp.sleep(0.002)
      local n = 0
      debug.sethook(function() n = n + 1 end, "", 300000)
      local x = 0
      for i = 1, 2e7 * SCALE do x = x + i end
      debug.sethook()
      wakes()
      print(n)
    ]]
    local alone, got = tonumber((ran(text, "LUAPARK_MAXPROCS=1 LUAPARK_PREEMPT=0", "-joff"))), ran(text, ONE, "-joff")
    assert.truthy(tonumber(got), got)
    assert.is_true(alone > 0 and got + 0 > alone * 0.9, ("%s times, alone %s"):format(got, alone))
  end)

  it("is what gethook reports, at all times", function()
    prints("always\n", [[
      local wakes = competitor()
      lp.sleep(0.002)
      local function hook() end
      local stop = lp.now() + 0.1
      local gethook = debug.gethook
      while lp.now() < stop do
        for _ = 1, 100 do
          assert(debug.gethook() == nil)
          assert(select(2, pcall(gethook)) == nil)
        end
        debug.sethook(hook, "crl", 1000)
        for _ = 1, 100 do
          local f, mask, count = debug.gethook()
          assert(f == hook and mask == "crl" and count == 1000, tostring(f))
          local _, g = pcall(gethook)
          assert(g == hook)
        end
        debug.sethook()
      end
      wakes()
      print "always"
    ]], ONE)
  end)

  it("may throw, may be removed and may be changed at any time", function()
    prints("caught\n", [[
      local wakes = competitor()
      lp.sleep(0.002)
      local main = getg()
      for round = 1, 100 do
        local thrown, n = {}, 0
        local function throw()
          if getg() ~= main then return end -- hooks are called in all goroutines
          n = n + 1
          if n == round then
            debug.sethook()
            error(thrown)
          end
        end
        local ok, err = pcall(function()
          debug.sethook(throw, round % 2 == 0 and "l" or "", round % 2 == 0 and 0 or 1000)
          local x = 0
          while true do
            x = x + 1
          end
        end)
        assert(not ok and err == thrown and debug.gethook() == nil)
      end
      local a, b = 0, 0
      for _ = 1, 100 do
        debug.sethook(function()
          a = a + 1
          debug.sethook(function() b = b + 1 end, "l")
        end, "", 1000)
        local x = 0
        for i = 1, 10000 do
          x = x + i
        end
        debug.sethook()
      end
      assert(a == 100 and b > 100000, a .. " " .. b)
      wakes()
      compute(0.01)
      print "caught"
    ]], ONE)
  end)

  it("may wait, and start coroutines", function()
    prints("waited\n", [[
      local wakes, n = competitor(), 0
      debug.sethook(function()
        n = n + coroutine.wrap(function() return 1 end)()
        if n % 10 == 0 then lp.sleep(0.0001) end
        gosched()
      end, "", 10000)
      local wg, counts = lp.waitgroup(), {}
      for i = 1, 4 do
        wg:go(function()
          local x = 0
          for _ = 1, 500000 * SCALE do x = x + 1 end
          counts[i] = x
        end)
      end
      wg:wait()
      debug.sethook()
      wakes()
      assert(n > 0)
      for i = 1, 4 do assert(counts[i] == 500000 * SCALE) end
      print "waited"
    ]], ONE, "-joff")
  end)
end)

describesignals("a program whose goroutines all compute", function()
  -- Gets the signal after a while.
  local function signalled(signal, name, environment)
    return sh((CLEAN .. "%s timeout --foreground --preserve-status -k 20 -s %s %s %s %s; exit $?"):format(environment,
      signal, sanitized and 3 or 0.3, quote(helper.exe), name))
  end
  local ALL = "for _ = 1, 6 do lp.spawn(function() local x = 0 while true do x = x + 1 end end) end "

  for what, last in pairs {
    ["a loop"] = "while true do end",
    ["recursion"] = "local function f(n) return n < 2 or f(n - 1) and f(n - 2) end f(90)",
    ["a sort"] = "local t = {} for i = 1, 1e6 do t[i] = i % 1009 end\n" ..
      "while true do table.sort(t, function(a, b) return a > b end) end" } do
    it("is ended by Ctrl-C (" .. what .. ")", function()
      helper.withfile(HEAD .. ALL .. last, function(name)
        for _, environment in ipairs { "LUAPARK_MAXPROCS=1", "LUAPARK_MAXPROCS=3",
          "LUAPARK_MAXPROCS=1 LUAPARK_PREEMPT=0" } do
          local out, err, status = signalled("INT", name, environment)
          assert.same({ "", "luapark: interrupted!\n", 130 }, { out, err, status })
        end
      end)
    end)
  end

  it("is ended by SIGQUIT, with its goroutines in words", function()
    helper.withfile(HEAD .. ALL .. "while true do end", function(name)
      local _, err, status = signalled("QUIT", name, "LUAPARK_MAXPROCS=1")
      assert.equal(2, status)
      assert.matches("goroutine 1 %[[^\n]*%]:\n[^\n]*in main chunk", err)
      assert.matches("goroutine %d+ %[runnable%]:\n", err)
    end)
  end)

  it("is ended by os.exit", function()
    for procs = 1, 3, 2 do
      local out, err, status = ran(ALL .. [[
        go(function() lp.sleep(0.02) io.write "out\n" os.exit(7) end)
        while true do end
      ]], SLICES .. "LUAPARK_MAXPROCS=" .. procs)
      assert.same({ "out\n", "", 7 }, { out, err, status })
    end
  end)

  it("is ended by an error in one of them", function()
    local _, err, status = ran(ALL .. [[
      go(function() compute(0.02) error "enough" end)
      while true do end
    ]], SLICES .. "LUAPARK_MAXPROCS=2")
    assert.equal(2, status)
    assert.matches("goroutine %d+ %[running%]:\n[^\n]*enough", err)
  end)

  it("shows the stacks of who was pre-empted", function()
    local out, err, status = ran([[
      local function hog() while true do end end
      go(hog)
      go(function() coroutine.wrap(hog)() end)
      lp.sleep(0.01)
      print(lp.stack(true))
      os.exit(0)
    ]], ONE)
    assert.same({ "", 0 }, { err, status })
    local _, n = out:gsub("%[runnable%]", "")
    assert.equal(2, n)
    assert.matches("in function <[^\n]*:%d+>", out)
  end)
end)

describesignals("nobody is pre-empted", function()
  for what, arm in pairs {
    ["a finalizer"] = [[
      local function arm()
        getmetatable(newproxy(true)).__gc = function()
          inside = true
          compute(0.003)
          inside, n = false, n + 1
        end
      end
      for _ = 1, 20 do arm() end
      for _ = 1, 5 do collectgarbage() end
    ]],
    ["a handler of jit.attach"] = [[
      local function handler()
        inside = true
        compute(0.003)
        inside, n = false, n + 1
      end
      jit.attach(handler, "bc")
      for i = 1, 20 do assert(loadstring("return " .. i)) end
      jit.attach(handler)
    ]] } do
    it("in " .. what .. ", but afterwards", function()
      prints("0\ttrue\n", ([[
        local inside, n, seen, after = false, 0, 0, 0
        for _ = 1, 3 do
          go(function()
            while after < 20 do
              if inside then seen = seen + 1 end
              if n > 0 then lp.sleep(0.0005) after = after + 1 else gosched() end
            end
          end)
        end
        gosched()
        %s
        assert(not inside)
        while after < 20 do end
        print(seen, n >= 20)
      ]]):format(arm), ONE)
    end)
  end
end)

describe("under pre-emption", function()
  for _, procs in ipairs { 1, 2, 4 } do
    it("channels, select, mutexes, wait groups and timers are right, on " .. procs .. (procs == 1 and " P" or " Ps"),
      function()
        prints("right\n", [[
          local N = 3000 * SCALE
          local plain, buffered, m, total, turns = chan(), chan(7), lp.mutex(), lp.atomic(), 0
          local wg, done = lp.waitgroup(), chan()
          local function spin(n) local x = 0 for i = 1, n do x = x + i % 3 end return x end
          for i = 1, 4 do
            wg:add(2)
            local start = i % 2 == 0 and go or lp.spawn
            start(function()
              for v = 1, N do
                plain:send(v)
                if v % 64 == 0 then spin(200000) end
              end
              wg:done()
            end)
            start(function()
              for v = 1, N do
                lp.select { { buffered, send = v }, timeout = 60 }
                if v % 97 == 0 then spin(200000) end
              end
              wg:done()
            end)
          end
          go(function()
            wg:wait()
            plain:close()
            buffered:close()
          end)
          for _ = 1, 4 do
            go(function()
              local a, b = plain, buffered
              while a or b do
                local i, v, ok = lp.select { a or false, b or false, timeout = 60 }
                if not ok then
                  if i == 1 then a = nil else b = nil end
                else
                  total:add(v)
                  m:lock()
                  local t = turns
                  if v % 50 == 0 then spin(100000) end
                  turns = t + 1
                  m:unlock()
                end
              end
              done:send(true)
            end)
          end
          local ticks = 0
          local stop = false
          go(function()
            while not stop do
              lp.after(0.0005):recv()
              ticks = ticks + 1
            end
          end)
          for _ = 1, 4 do done:recv() end
          stop = true
          assert(turns == 8 * N, turns)
          assert(total:load() == 8 * N * (N + 1) / 2, total:load())
          assert(ticks > 0)
          print "right"
        ]], SLICES .. "LUAPARK_MAXPROCS=" .. procs)
      end)
  end

  -- In each C function that calls back: what is computed there is computed in the middle of that function.
  it("every C function that calls back goes on where it was", function()
    prints("right\n", [[
      local ffi = require "ffi"
      ffi.cdef "void qsort(void *, size_t, size_t, int (*)(const void *, const void *));"
      local busy = 0.0012
      local function work(...) compute(busy) return ... end
      local mt = {}
      mt.__index = function(_, k) return work(k) end
      mt.__newindex = function(t, k, v) rawset(t, k, work(v)) end
      mt.__call = function(_, a, b) return work(b, a) end
      mt.__add = function(a, b) return work(rawget(a, "v") + (tonumber(b) or rawget(b, "v"))) end
      mt.__unm = function(a) return work(-rawget(a, "v")) end
      mt.__concat = function(a, b) return work(type(a) .. type(b)) end
      mt.__lt = function(a, b) return work(rawget(a, "v") < rawget(b, "v")) end
      mt.__le = function(a, b) return work(rawget(a, "v") <= rawget(b, "v")) end
      mt.__eq = function(a, b) return work(rawget(a, "v") == rawget(b, "v")) end
      mt.__tostring = function() return work "T" end
      local function new(v) return setmetatable({ v = v }, mt) end
      local places = {
        function()
          local t = { 5, 2, 8, 1, 9, 3 }
          table.sort(t, function(a, b) return work(a < b) end)
          return table.concat(t) == "123589"
        end,
        function() return ("hello"):gsub(".", function(c) return work(c:upper()) end) == "HELLO" end,
        function() return new(1).x == "x" and new(1)[2] == 2 end,
        function() local t = new(1) t.y = 2 return rawget(t, "y") == 2 end,
        function() local a, b = new(1)(2, 3) return a == 3 and b == 2 end,
        function() return new(1) + new(2) == 3 and -new(4) == -4 and new(1) + 5 == 6 end,
        function() return new(1) .. "x" == "tablestring" and "a" .. "b" .. new(1) == "astringtable" end,
        function()
          return new(1) < new(2) and not (new(2) < new(1)) and new(1) <= new(1) and new(1) == new(1) and new(1) ~= new(2)
        end,
        function() return tostring(new(1)) == "T" and ("%s"):format(new(1)) == "T" end,
        function() local ok, a, b = pcall(work, 1, 2) return ok and a == 1 and b == 2 end,
        function() local ok, e = pcall(function() work() error("x", 0) end) return not ok and e == "x" end,
        function() local ok, e = xpcall(error, function(e) return work(e .. "y") end, "x") return not ok and #e >= 1 end,
        function()
          local parts, i = { "return ", "1 ", "+ 2" }, 0
          return load(function() i = i + 1 return work(parts[i]) end)() == 3
        end,
        function()
          local s = 0
          for v in coroutine.wrap(function() for i = 1, 5 do coroutine.yield(work(i)) end end) do s = s + v end
          return s == 15
        end,
        function() local co = coroutine.create(work) return select(2, coroutine.resume(co, 7)) == 7 end,
        function()
          local s = 0
          for k, v in (function() return function(_, k) k = (k or 0) + 1 return work(k <= 3 and k or nil, k) end end)() do
            s = s + k + v
          end
          return s == 12
        end,
        function()
          local s = 0
          table.foreach({ 1, 2, 3 }, function(_, v) s = s + work(v) end)
          table.foreachi({ 1, 2, 3 }, function(_, v) s = s + work(v) end)
          return s == 12
        end,
        function()
          local a = ffi.new("int[5]", { 4, 2, 5, 1, 3 })
          local cb = ffi.cast("int (*)(const void *, const void *)", function(x, y)
            return work(ffi.cast("const int *", x)[0] - ffi.cast("const int *", y)[0])
          end)
          ffi.C.qsort(a, 5, 4, cb)
          cb:free()
          return a[0] == 1 and a[1] == 2 and a[2] == 3 and a[3] == 4 and a[4] == 5
        end,
        function()
          return ("a b"):gsub("%a", function(c)
            local t = { 2, 1 }
            table.sort(t, function(x, y) return coroutine.wrap(function() return work(x < y) end)() end)
            return c .. t[1] .. t[2]
          end) == "a12 b12"
        end,
      }
      local wg, wrong = lp.waitgroup(), {}
      for turn = 1, 2 do
        for i, place in ipairs(places) do
          wg:go(function()
            if not place() then wrong[#wrong + 1] = i end
          end)
        end
      end
      wg:wait()
      print(#wrong == 0 and "right" or table.concat(wrong, " "))
    ]], ONE)
  end)

  it("errno is the goroutine's own", function()
    prints("own\n", [[
      local ffi = require "ffi"
      local wg = lp.waitgroup()
      for i = 1, 4 do
        wg:go(function()
          for _ = 1, 10 do
            ffi.errno(i)
            for _ = 1, 300000 * SCALE do
              assert(ffi.errno() == i)
            end
          end
        end)
      end
      wg:wait()
      print "own"
    ]], ONE)
  end)

  it("errors that are thrown and caught stay with their goroutine", function()
    prints("own\n", [[
      local wg = lp.waitgroup()
      for i = 1, 6 do
        wg:go(function()
          for turn = 1, 20000 * SCALE do
            local ok, err = pcall(function(n)
              local x = 0
              for k = 1, n do x = x + k end
              error({ i, turn, x })
            end, turn % 100)
            assert(not ok and err[1] == i and err[2] == turn)
          end
        end)
      end
      wg:wait()
      print "own"
    ]], ONE)
  end)

  it("code that is compiled all the time is compiled right", function()
    prints("right\n", [[
      local wg = lp.waitgroup()
      for i = 1, 4 do
        wg:go(function()
          for turn = 1, 150 * SCALE do
            local text = "local s = %d for i = 1, 300 do s = s + i %% %d end return s"
            local f = assert(loadstring(text:format(i, turn % 9 + 2)))
            local want = i
            for k = 1, 300 do want = want + k % (turn % 9 + 2) end
            for _ = 1, 20 do assert(f() == want) end
          end
        end)
      end
      wg:wait()
      print "right"
    ]], ONE)
  end)

  it("the collector finds all that is in use", function()
    prints("kept\n", [[
      local wg = lp.waitgroup()
      for i = 1, 6 do
        wg:go(function()
          for turn = 1, 40 * SCALE do
            local t = {}
            for k = 1, 2000 do t[k] = { k, tostring(k) } end
            if turn % 10 == 0 then collectgarbage() end
            for k = 1, 2000 do assert(t[k][1] == k and t[k][2] == tostring(k)) end
          end
        end)
      end
      wg:wait()
      print "kept"
    ]], ONE)
  end)

  it("number crunching gives the same numbers", function()
    local text = [[
      local stop = competitor()
      lp.sleep(0.002)
      local function spectral(n)
        local function a(i, j) return 1 / ((i + j) * (i + j + 1) / 2 + i + 1) end
        local function times(x, y, transposed)
          for i = 0, n - 1 do
            local s = 0
            for j = 0, n - 1 do s = s + x[j] * (transposed and a(j, i) or a(i, j)) end
            y[i] = s
          end
        end
        local u, v, w = {}, {}, {}
        for i = 0, n - 1 do u[i] = 1 end
        for _ = 1, 10 do
          times(u, w) times(w, v, true)
          times(v, w) times(w, u, true)
        end
        local uv, vv = 0, 0
        for i = 0, n - 1 do uv, vv = uv + u[i] * v[i], vv + v[i] * v[i] end
        return math.sqrt(uv / vv)
      end
      local function nbody(n)
        local b = {}
        for i = 1, 5 do
          b[i] = { x = i * 1.5, y = i % 3 - 1, z = i / 7, vx = 0.01 * i, vy = -0.02 * i, vz = 0.005 }
          b[i].m = i == 1 and 39 or 0.03 / i
        end
        for _ = 1, n do
          for i = 1, 5 do
            local p = b[i]
            for j = i + 1, 5 do
              local q = b[j]
              local dx, dy, dz = p.x - q.x, p.y - q.y, p.z - q.z
              local d = dx * dx + dy * dy + dz * dz
              local mag = 0.001 / (d * math.sqrt(d))
              p.vx, p.vy, p.vz = p.vx - dx * q.m * mag, p.vy - dy * q.m * mag, p.vz - dz * q.m * mag
              q.vx, q.vy, q.vz = q.vx + dx * p.m * mag, q.vy + dy * p.m * mag, q.vz + dz * p.m * mag
            end
          end
          for i = 1, 5 do
            local p = b[i]
            p.x, p.y, p.z = p.x + 0.001 * p.vx, p.y + 0.001 * p.vy, p.z + 0.001 * p.vz
          end
        end
        return b[1].x + b[2].y + b[5].z
      end
      local function mandelbrot(n)
        local inside = 0
        for y = 0, n - 1 do
          for x = 0, n - 1 do
            local cr, ci, zr, zi, k = 3 * x / n - 2, 2 * y / n - 1, 0, 0, 0
            while k < 100 and zr * zr + zi * zi < 4 do
              zr, zi, k = zr * zr - zi * zi + cr, 2 * zr * zi + ci, k + 1
            end
            inside = inside + k
          end
        end
        return inside
      end
      print(("%.17g %.17g %d"):format(spectral(200 * SCALE), nbody(200000 * SCALE), mandelbrot(300 * SCALE)))
      stop()
    ]]
    local alone, err, status = ran(text, "LUAPARK_PREEMPT=0 LUAPARK_MAXPROCS=1")
    assert.same({ "", 0 }, { err, status })
    prints(alone, text, ONE)
    prints(alone, text, ONE, "-joff")
  end)
end)
