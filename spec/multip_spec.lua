-- SPDX-License-Identifier: MIT

-- multip: many Ps as a program sees them: how many there are, that they share the work, that they rest when there is none,
-- and what crosses from one to another.
--
-- No time is compared but generous ones. That two goroutines run at once is shown by a meeting: each waits, without
-- parking, until all are there, so each of them occupies a P. Which thread runs a goroutine stands in /proc/thread-self.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, sh, quote = helper.run, helper.failshere, helper.sh, helper.quote

local SECONDS = 30 -- that a program may take
local sanitized = (os.getenv "LUAPARK_BUILD" or "build") ~= "build"

local HEAD = [[
local lp, spawn = luapark, luapark.spawn
-- The thread that runs the caller. Portable: it names nothing but standard functions.
local function thread()
  local f = assert(io.open "/proc/thread-self/stat")
  local id = tonumber(f:read "*l":match "^%d+")
  f:close()
  return id
end
local function size(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end
local function threads()
  for line in io.lines "/proc/self/status" do
    local n = line:match "^Threads:%s*(%d+)"
    if n then return tonumber(n) end
  end
end
-- n goroutines, each on a P of its own, since none of them parks before all have come; then each calls fn and sends what
-- that returns. -> what they sent
local function meeting(n, fn)
  local here, out, t = lp.atomic(), chan(n), {}
  for _ = 1, n do
    spawn(function()
      here:add(1)
      while here:load() < n do end
      out:send(fn())
    end)
  end
  for i = 1, n do
    t[i] = out:recv()
  end
  return t
end
]]

local CLEAN = "env -u LUA_INIT -u LUAPARK_PREEMPT -u LUAPARK_MAXPROCS -u LUAPARK_STEAL -u LUAPARK_DEBUG "

-- The program's output, which must be all that comes of it.
local function prints(want, text, environment, before, args)
  helper.withfile(HEAD .. text, function(name)
    local out, err, status = sh((CLEAN .. "%s timeout %d %s %s %s"):format(environment or "", SECONDS, before or "",
      quote(helper.exe), (args or "%s"):format(name)))
    assert.same({ want, "", 0 }, { out, err, status })
  end)
end

describe("gomaxprocs", function()
  it("says how many there are, and returns what it was when it changes that", function()
    prints("3\n3\n5\n5\n1\n", [[
      print(lp.gomaxprocs())
      print(lp.gomaxprocs(5))
      print(lp.gomaxprocs())
      print(lp.gomaxprocs(1))
      print(lp.gomaxprocs())
    ]], "LUAPARK_MAXPROCS=3")
  end)

  it("refuses what is no number of Ps, at the caller's line", run(function()
    for _, bad in ipairs { 0, -1, 1.5, 0 / 0, math.huge, "2", true, {}, 1e9 } do
      failshere("bad argument #1 to 'gomaxprocs'", function() lp.gomaxprocs(bad) end)
    end
  end))

  it("is by default the cores that the process may use", function()
    prints("1\t1\n", "print(lp.gomaxprocs(), lp.numcpu())", "", "taskset -c 0")
    local nproc = tonumber((sh "nproc"))
    helper.withfile("print(luapark.gomaxprocs(), luapark.numcpu())", function(name)
      local out = sh((CLEAN .. "%s %s"):format(quote(helper.exe), name))
      local procs, cpus = out:match "^(%d+)\t(%d+)\n$"
      assert.truthy(procs, out)
      procs, cpus = tonumber(procs), tonumber(cpus)
      assert.is_true(procs >= 1 and procs <= nproc and cpus <= nproc, out) -- a quota may make it fewer
    end)
  end)

  it("comes from LUAPARK_MAXPROCS, unless that is no number of Ps", function()
    for _, n in ipairs { 1, 2, 7, 64 } do
      prints(n .. "\n", "print(lp.gomaxprocs())", "LUAPARK_MAXPROCS=" .. n)
    end
    for _, bad in ipairs { "", "0", "-3", "x", "2x", "1.5" } do
      prints("1\n", "print(lp.gomaxprocs())", "LUAPARK_MAXPROCS=" .. bad, "taskset -c 0")
    end
  end)

  it("grows and shrinks at run time, while goroutines are at work", function()
    prints("1000 50 50\n", [[
      local jobs, results, wg = chan(4), chan(), lp.waitgroup()
      for _ = 1, 10 do
        wg:add()
        spawn(function()
          for v in jobs do results:send(v * 2) end
          wg:done()
        end)
      end
      spawn(function()
        for i = 1, 1000 do jobs:send(i) end
        jobs:close()
        wg:wait()
        results:close()
      end)
      local n, up, down, set = 0, 0, 0, 1
      for v in results do
        n = n + 1
        if n % 10 == 0 then
          local new = n % 20 == 0 and 1 or n % 7 + 2
          assert(lp.gomaxprocs(new) == set)
          up, down = up + (new > set and 1 or 0), down + (new < set and 1 or 0)
          set = new
        end
      end
      print(n .. " " .. up .. " " .. down)
    ]], "LUAPARK_MAXPROCS=1")
  end)

  it("makes new Ps useful at once, and takes work from those that go", function()
    prints("4\n1\n3\n", [[
      print(size(meeting(lp.gomaxprocs(), thread)) == 1 and lp.gomaxprocs(4) and #meeting(4, thread))
      lp.gomaxprocs(1)
      print(#meeting(1, thread))
      lp.gomaxprocs(3)
      print(#meeting(3, thread))
    ]], "LUAPARK_MAXPROCS=1")
  end)

  it("keeps a P on which goroutines live until they have ended", function()
    prints("1\n300\n1\n", [[
      local ready, work, out = lp.waitgroup(), chan(), chan()
      ready:add(3)
      spawn(function()
        meeting(3, function()
          ready:done()
          for i = 1, 100 do out:send((work:recv())) end
          return true
        end)
      end)
      ready:wait()
      lp.gomaxprocs(1)
      print(lp.gomaxprocs())
      local sum = 0
      for i = 1, 300 do
        work:send(1)
        sum = sum + out:recv()
      end
      print(sum)
      while lp.numgoroutine() > 1 do lp.sleep(0.001) end
      print(lp.numgoroutine())
    ]], "LUAPARK_MAXPROCS=4")
  end)

  it("may be called on any P, and by several at once", function()
    prints("true\n", [[
      local wg = lp.waitgroup()
      for i = 1, 8 do
        wg:add()
        spawn(function()
          for k = 1, 10 do
            local was = lp.gomaxprocs((i + k) % 5 + 1)
            assert(was >= 1 and was <= 6)
            gosched()
          end
          wg:done()
        end)
      end
      wg:wait()
      local n = lp.gomaxprocs()
      print(n >= 1 and n <= 5)
    ]], "LUAPARK_MAXPROCS=6")
  end)
end)

describe("Ps", function()
  it("are as many as gomaxprocs, and run at the same time", function()
    for _, n in ipairs { 1, 2, 4, 16 } do
      prints(("%d\n"):format(n), [[
        local set = {}
        for _, id in ipairs(meeting(lp.gomaxprocs(), thread)) do set[id] = true end
        print(size(set))
      ]], "LUAPARK_MAXPROCS=" .. n)
    end
  end)

  it("take portable functions that plain go started", function()
    prints("2\n", [[
      local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
      local out, ids, running, n = chan(), {}, 0, 0
      local function work()
        assert(fib(20) == 6765)
        out:send(thread())
      end
      -- until both Ps have been seen at work; that ends, or the time-out does
      while size(ids) < 2 do
        while running < 8 do
          go(work)
          running, n = running + 1, n + 1
        end
        ids[out:recv()] = true
        running = running - 1
      end
      for _ = 1, running do ids[out:recv()] = true end
      print(size(ids))
    ]], "LUAPARK_MAXPROCS=2")
  end)

  it("take none of them with LUAPARK_STEAL=0", function()
    prints("1\ttrue\n", [[
      local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
      local out, ids = chan(), {}
      for _ = 1, 100 do
        go(function()
          fib(18)
          out:send(thread())
        end)
      end
      for _ = 1, 100 do ids[out:recv()] = true end
      print(size(ids), ids[thread()])
    ]], "LUAPARK_MAXPROCS=4 LUAPARK_STEAL=0")
  end)

  it("never take a function that shares something", function()
    prints("1\ttrue\t100\n", [[
      local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
      local ids, n, wg = {}, 0, lp.waitgroup()
      for _ = 1, 100 do
        wg:go(function()
          fib(18)
          n = n + 1
          ids[thread()] = true
        end)
      end
      wg:wait()
      print(size(ids), ids[thread()], n)
    ]], "LUAPARK_MAXPROCS=4")
  end)

  it("are started when there is work for them, not before", function()
    prints("true\n", "print(threads() <= 4)", "LUAPARK_MAXPROCS=16")
    prints("true\n", [[
      go(function() end)
      gosched()
      print(threads() <= 6)
    ]], "LUAPARK_MAXPROCS=16")
  end)

  it("that are idle use no CPU", function()
    if sanitized then
      pending "sanitizers cost time of their own"
      return
    end
    prints("true\n", [[
      meeting(16, thread)
      lp.sleep(0.5) -- each looks through its state once, for garbage
      local before = os.clock() -- of all threads
      lp.sleep(2)
      local used = os.clock() - before
      print(used < 0.02 or used)
    ]], "LUAPARK_MAXPROCS=16")
    prints("true\n", "lp.sleep(1) print(os.clock() < 0.02 or os.clock())", "LUAPARK_MAXPROCS=16")
  end)

  it("that are idle while one computes use none either", function()
    if sanitized then
      pending "sanitizers cost time of their own"
      return
    end
    prints("true\n", [[
      meeting(16, thread)
      lp.sleep(0.05)
      local cpu, clock, x = os.clock(), lp.now(), 0
      while lp.now() - clock < 1 do x = x + 1 end
      local used = os.clock() - cpu
      print(used < 1.05 or used) -- this thread's second, and little else
    ]], "LUAPARK_MAXPROCS=16")
  end)

  it("have random numbers of their own, the same in each run", function()
    local function draw()
      local text = HEAD .. [[
        local seen = {}
        for _, v in ipairs(meeting(4, function() return ("%.14g %.14g"):format(math.random(), math.random()) end)) do
          assert(not seen[v], "the same on two Ps")
          seen[v] = true
        end
        local list = {}
        for v in pairs(seen) do list[#list + 1] = v end
        table.sort(list)
        print(table.concat(list, "\n"))
      ]]
      return helper.withfile(text, function(name)
        local out, err, status = sh(("env -u LUAPARK_PREEMPT LUAPARK_MAXPROCS=4 timeout %d %s %s"):format(SECONDS,
          quote(helper.exe), name))
        assert.same({ "", 0 }, { err, status })
        return out
      end)
    end
    assert.equal(draw(), draw())
  end)

  it("take part in -j and -O", function()
    prints("false false false false\n", [[
      local t = meeting(4, function() return tostring((jit.status())) end)
      print(table.concat(t, " "))
    ]], "LUAPARK_MAXPROCS=4", "", "-joff %s")
    prints("false false false\n", [[
      local t = meeting(3, function()
        for i = 1, 20 do
          local name = select(i, jit.status())
          if name == "loop" then return "true" end
        end
        return "false"
      end)
      print(table.concat(t, " "))
    ]], "LUAPARK_MAXPROCS=3", "", "-O-loop %s")
  end)

  it("know the same paths, and arg where a function names it", function()
    prints("true true\nx x\n", [[
      local path, cpath = package.path, package.cpath
      local t = meeting(2, function() return tostring(package.path == path and package.cpath == cpath) end)
      print(table.concat(t, " "))
      print(table.concat(meeting(2, function() return arg[1] end), " "))
    ]], "LUAPARK_MAXPROCS=2 LUA_PATH='/nowhere/?.lua;;'", "", "%s x")
  end)
end)

describe("across Ps", function()
  it("numgoroutine counts all", function()
    prints("501\n1\n", [[
      local hold, ready = chan(), lp.waitgroup()
      ready:add(500)
      for _ = 1, 500 do
        spawn(function()
          ready:done()
          hold:recv()
        end)
      end
      ready:wait()
      print(lp.numgoroutine())
      hold:close()
      while lp.numgoroutine() > 1 do lp.sleep(0.001) end
      print(lp.numgoroutine())
    ]], "LUAPARK_MAXPROCS=4")
  end)

  it("lp.stack(true) shows all", function()
    prints("7\n6\n", [[
      local hold, ready = chan(), lp.waitgroup()
      ready:add(6)
      for _ = 1, 6 do
        spawn(function()
          ready:done()
          hold:recv()
        end)
      end
      ready:wait()
      local text = lp.stack(true)
      print((select(2, text:gsub("goroutine %d+ %[", ""))))
      print((select(2, text:gsub("created by [^\n]* in goroutine 1\n", ""))))
      hold:close()
    ]], "LUAPARK_MAXPROCS=4")
  end)

  it("goready hands over values, tables as copies", function()
    prints("5 nil x nil 1 true\nours\n200\n", [[
      local waiting, out = chan(1), chan()
      local function tell(g) waiting:trysend(g) end
      local function sleeper()
        spawn(function()
          local function report(...)
            local a, t, b = ...
            local d, e = select(4, ...)
            out:send(("%d %s %s %s %d %s"):format(select("#", ...), tostring(d), b, tostring(e), a, tostring(t.self == t)))
            t.x = "theirs"
            out:send(true)
          end
          report(gopark(tell))
        end)
        return waiting:recv()
      end
      local t = { x = "ours" }
      t.self = t
      goready(sleeper(), 1, t, "x", nil, nil)
      print((out:recv()))
      out:recv()
      print(t.x)

      -- two hundred, asleep wherever they are
      local asleep, n = chan(200), 0
      for _ = 1, 200 do
        spawn(function()
          out:send((gopark(function(g) asleep:trysend(g) end)))
        end)
      end
      for _ = 1, 200 do goready(asleep:recv(), 1) end
      for _ = 1, 200 do n = n + out:recv() end
      print(n)
    ]], "LUAPARK_MAXPROCS=4")
  end)

  it("goready of one that does not wait in gopark is an error, wherever it lives", function()
    prints("false true\nfalse true\nfalse true\n", [[
      local hold, ready = chan(), lp.waitgroup()
      ready:add()
      local g = spawn(function()
        ready:done()
        hold:recv()
      end)
      ready:wait()
      local function try()
        local ok, e = pcall(function() goready(g) end)
        print(tostring(ok) .. " " .. tostring(e:find("bad argument #1 to 'goready'", 1, true) ~= nil))
      end
      try()
      while g.waitreason ~= "chan receive" do gosched() end
      try()
      hold:close()
      while g.status ~= "dead" do gosched() end
      try()
    ]], "LUAPARK_MAXPROCS=4")
  end)

  it("two that goready the same one: one succeeds", function()
    prints("100 100\n", [[
      local waiting, out, wins = chan(1), chan(2), 0
      local awake = chan()
      local go_on = chan()
      spawn(function()
        for _ = 1, 100 do
          gopark(function(g) waiting:trysend(g) end)
          awake:send(1)
          go_on:recv()
        end
      end)
      local woken = 0
      for _ = 1, 100 do
        local g = waiting:recv()
        for _ = 1, 2 do
          spawn(function() out:send((pcall(goready, g))) end)
        end
        woken = woken + awake:recv()
        for _ = 1, 2 do wins = wins + (out:recv() and 1 or 0) end
        go_on:send(1)
      end
      print(wins .. " " .. woken)
    ]], "LUAPARK_MAXPROCS=4")
  end)

  it("a goroutine may be made a daemon, and be looked at, from another P", function()
    prints("goroutine true true\n", [[
      local g = spawn(function() lp.sleep(3600) end)
      while g.status ~= "waiting" do gosched() end
      g:daemon()
      print(tostring(g):match "^goroutine" .. " " .. tostring(g.waitreason == "sleep") .. " " .. tostring(g.id > 1))
    ]], "LUAPARK_MAXPROCS=4")
  end)

  it("handles that are dropped on all sides come free", function()
    prints("true\n", [[
      local there, back = chan(), chan()
      for _ = 1, 4 do
        spawn(function()
          for c in there do back:send(c) end
        end)
      end
      local function round()
        for _ = 1, 5000 do
          there:send(chan(8))
          back:recv()
        end
        collectgarbage()
        collectgarbage()
        for line in io.lines "/proc/self/status" do
          local kb = line:match "^VmRSS:%s*(%d+)"
          if kb then return tonumber(kb) end
        end
      end
      round()
      local first, last = round(), 0
      for _ = 1, 4 do last = round() end
      print(last < first * 1.5 or last / first)
    ]], "LUAPARK_MAXPROCS=4")
  end)
end)
