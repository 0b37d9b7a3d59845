-- SPDX-License-Identifier: MIT

-- stopping: how a program with many Ps is stopped: by SIGINT, by SIGQUIT, by a deadlock over several Ps. Every goroutine of
-- every P is listed once, the exit status is right, and nothing hangs.

local helper = require "spec.helper"
local endings = require "spec.endings"
local ends, says, count = endings.ends, endings.says, endings.count

if not helper.inexe then
  return -- once is enough
end

-- ThreadSanitizer keeps a signal until the thread next calls something it knows, which compiled Lua code never does.
local computing = (os.getenv "LUAPARK_BUILD" or ""):find "tsan" and pending or it

describe("SIGINT with many Ps", function()
  local interrupted = says("text", "luapark: interrupted!\n", 130)

  it("ends the program by the signal while all wait", function()
    ends([[
      io.write "text"
      local here, all = barrier(6)
      for i = 1, 6 do
        spawn(function()
          here()
          if i % 2 == 0 then lp.sleep(3600) else chan():recv() end
        end)
      end
      all()
      kill(2)
      lp.sleep(3600)
    ]], interrupted)
  end)

  it("sent by a spawned goroutine, while others take turns", function()
    ends([[
      io.write "text"
      for _ = 1, 6 do
        spawn(function() while true do gosched() end end)
      end
      spawn(function()
        kill(2)
        lp.sleep(3600)
      end)
      lp.sleep(3600)
    ]], interrupted)
  end)

  computing("while all compute, the main goroutine too, and pcall holds nobody back", function()
    ends([[
      io.write "text"
      hogs(4, function()
        kill(2)
        while true do pcall(compute) end
      end)
      lp.sleep(3600)
    ]], interrupted, 20)
    ends([[
      io.write "text"
      local here = hogs(3, function() end)
      repeat until here:load() == 3
      kill(2)
      while true do pcall(compute) end
    ]], interrupted, 20)
  end)

  it("from outside, when all Ps are idle", function()
    ends([[
      io.write "text"
      local here, all = barrier(6)
      for _ = 1, 6 do
        spawn(function()
          here()
          lp.sleep(3600)
        end)
      end
      all()
      local ffi = require "ffi"
      ffi.cdef "int getpid(void);"
      io.popen("sleep 0.01; kill -INT " .. ffi.C.getpid())
      lp.sleep(3600)
    ]], interrupted, 30)
  end)
end)

describe("SIGQUIT with many Ps", function()
  it("lists the goroutines of all Ps with their reasons, and exits 2", function()
    ends([[
      io.write "text"
      local here, all = barrier(8)
      local m = lp.mutex()
      m:lock()
      for i = 1, 8 do
        spawn(function()
          here()
          if i <= 3 then chan():recv()
          elseif i <= 5 then lp.sleep(3600)
          elseif i <= 6 then lp.select { chan(), chan() }
          elseif i <= 7 then m:lock()
          else gopark(nil, nil, "my own reason") end
        end)
      end
      all()
      lp.sleep(0.01) -- on to their waits; a reason may still be missing, a goroutine not
      kill(3)
      lp.sleep(3600)
    ]], function(out, err, status)
      assert.equal("text", out)
      assert.equal(2, status)
      assert.matches("^SIGQUIT: quit\n\ngoroutine 1 %[", err)
      local seen, n = {}, 0
      for id, reason in err:gmatch "\ngoroutine (%d+) %[([^%]\n]*)%]:\n" do
        assert.is_nil(seen[id], id .. " is listed twice:\n" .. err)
        assert.is_true(#reason > 0)
        seen[id], n = true, n + 1
      end
      assert.equal(9, n, err)
      assert.equal(8, count(err, "\ncreated by [^\n]-:%d+ in goroutine 1\n"))
    end, 50)
  end)

  computing("while all compute", function()
    ends([[
      hogs(4, function() kill(3) end)
      lp.sleep(3600)
    ]], function(_, err, status)
      assert.equal(2, status)
      assert.matches("^SIGQUIT: quit\n\ngoroutine 1 %[", err)
      assert.equal(5, count(err, "\ngoroutine %d+ %[[^%]\n]+%]:\n"))
    end, 20)
  end)
end)

describe("a deadlock over several Ps", function()
  -- Every goroutine is listed once; `reasons` says how many wait for what.
  local function deadlock(reasons)
    return function(out, err, status)
      assert.equal("begin\n", out)
      assert.equal(2, status)
      assert.matches("^fatal error: all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[", err)
      local seen, got = {}, {}
      for id, reason in err:gmatch "\ngoroutine (%d+) %[([^%]\n]*)%]:\n" do
        assert.is_nil(seen[id], id .. " is listed twice:\n" .. err)
        seen[id] = true
        got[reason] = (got[reason] or 0) + 1
      end
      assert.same(reasons, got)
    end
  end

  it("is found at once", function()
    ends([[
      print "begin"
      local c = chan()
      for _ = 1, 6 do
        spawn(function() c:recv() end)
      end
      c:recv()
    ]], deadlock { ["chan receive"] = 7 })
  end)

  it("is found after work that went to and fro", function()
    ends([[
      print "begin"
      local function pass(from, to)
        for v in from do
          to:send(v + 1)
        end
      end
      local first = chan()
      local last = first
      for _ = 1, 8 do
        local next = chan()
        spawn(pass, last, next)
        last = next
      end
      for i = 1, 20 do
        first:send(i)
        assert(last:recv() == i + 8)
      end
      last:recv()
    ]], deadlock { ["chan receive"] = 9 })
  end)

  it("is found when the last sleeper has come to its end", function()
    ends([[
      print "begin"
      local c, m, wg = chan(), lp.mutex(), lp.waitgroup()
      m:lock()
      wg:add()
      for i = 1, 4 do
        spawn(function() lp.sleep(0.0005 * i) c:send(i) end)
        spawn(function() lp.sleep(0.0004 * i) m:lock() end)
        spawn(function() lp.sleep(0.0003 * i) wg:wait() end)
        spawn(function() lp.sleep(0.0002 * i) end)
      end
      gopark(nil, nil, "my own reason")
    ]], deadlock { ["chan send"] = 4, ["sync.Mutex.Lock"] = 4, ["sync.WaitGroup.Wait"] = 4, ["my own reason"] = 1 })
  end)

  it("is found though daemons sleep, and though a goroutine has called goexit", function()
    ends([[
      print "begin"
      for _ = 1, 3 do
        spawn(function() lp.sleep(3600) end):daemon()
        spawn(lp.goexit)
      end
      chan():recv()
    ]], function(out, err, status)
      assert.equal("begin\n", out)
      assert.equal(2, status)
      assert.matches("^fatal error: all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[chan receive%]:\n", err)
      assert.equal(3, count(err, "\ngoroutine %d+ %[sleep%]:\n"))
    end, 50)
  end)

  it("is none while one of them computes or sleeps that will end it", function()
    ends([[
      local c = chan()
      spawn(function()
        local x = 0
        for i = 1, 1e6 do x = x + i % 3 end
        lp.sleep(0.002)
        c:send(x)
      end)
      spawn(function() chan():recv() end)
      print((c:recv()))
    ]], says("1000000\n", "", 0), 50)
  end)

  it("under C functions is found as well", function()
    ends([[
      print "begin"
      local c = chan()
      for _ = 1, 4 do
        spawn(function() ("x"):gsub("x", function() c:recv() end) end)
      end
      table.sort({ 2, 1 }, function() c:recv() end)
    ]], deadlock { ["chan receive"] = 5 }, 50)
  end)
end)
