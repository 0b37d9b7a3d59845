-- SPDX-License-Identifier: MIT

-- ending: how a program with many Ps ends by itself: by os.exit, by an error, by falling off its end. Whatever the others
-- do at that moment, output is flushed, the exit status is right, what is said is said once and whole, and nothing hangs.

local helper = require "spec.helper"
local endings = require "spec.endings"
local ends, says, count, SECONDS = endings.ends, endings.says, endings.count, endings.SECONDS

if not helper.inexe then -- once is enough for the executable's endings; the module has its own

  describe("lp.run with many Ps", function()
    local function host(text)
      return helper.withfile("local lp = require 'luapark'\n" .. text, function(name)
        return helper.sh(helper.moduleenv .. ("LUAPARK_MAXPROCS=4 timeout %d luajit %s"):format(SECONDS, name))
      end)
    end

    it("raises the error of a spawned goroutine, and the host goes on, many times", function()
      assert.same({ "50\n50\n", "", 0 }, { host [[
        local failed, went = 0, 0
        for i = 1, 50 do
          local ok, e = pcall(lp.run, function()
            for k = 1, 6 do
              lp.spawn(function()
                lp.sleep(k == 3 and 0 or 3600)
                error("boom " .. i)
              end)
            end
            lp.chan():recv()
          end)
          failed = failed + (not ok and e:find("^goroutine %d+ %[running%]:\n[^\n]-: boom " .. i .. "\n") and 1 or 0)
          went = went + lp.run(function()
            local c = lp.chan()
            lp.spawn(function() c:send(1) end)
            return (c:recv())
          end)
        end
        print(failed)
        print(went)
      ]] })
    end)

    it("raises a deadlock over several Ps, and the host goes on, many times", function()
      assert.same({ "50\n", "", 0 }, { host [[
        local n = 0
        for i = 1, 50 do
          local ok, e = pcall(lp.run, function()
            local c = lp.chan()
            for k = 1, 5 do
              lp.spawn(function() c:recv() end)
            end
            lp.chan():recv()
          end)
          local _, listed = e:gsub("\ngoroutine %d+ %[chan receive%]:\n", "")
          n = n + (not ok and e:find("all goroutines are asleep", 1, true) and listed == 6 and 1 or 0)
        end
        print(n)
      ]] })
    end)

    it("waits for what runs on other Ps, many times", function()
      assert.same({ "50\n", "", 0 }, { host [[
        local done = 0
        for i = 1, 50 do
          local a = lp.atomic()
          lp.run(function()
            for k = 1, 8 do
              lp.spawn(function()
                lp.sleep(0.0005 * k)
                a:add(1)
              end)
            end
          end)
          done = done + (a:load() == 8 and 1 or 0)
        end
        print(done)
      ]] })
    end)

    it("leaves the other Ps asleep between runs, and a host may end at any time", function()
      for _ = 1, 20 do
        assert.same({ "2\n", "", 0 }, { host [[
          local c = lp.run(function()
            local c = lp.chan()
            for k = 1, 4 do
              lp.spawn(function() c:send(1) end)
            end
            return c:recv() + c:recv()
          end)
          print(c)
        ]] })
      end
    end)
  end)
  return
end

describe("os.exit on one of many Ps", function()
  it("by a spawned goroutine ends the program while others wait", function()
    ends([[
      local c = chan()
      io.write "text"
      for _ = 1, 6 do
        spawn(function() c:recv() end)
      end
      spawn(function()
        io.write " and more"
        os.exit(3)
      end)
      c:recv()
    ]], says("text and more", "", 3))
  end)

  it("while others take turns, sleep, send and receive", function()
    ends([[
      local c = chan(2)
      io.write "text"
      for i = 1, 3 do
        spawn(function() while true do gosched() end end)
        spawn(function() while true do lp.sleep(0.0001) end end)
        spawn(function() while true do c:send(i) end end)
        spawn(function() while true do c:recv() end end)
      end
      spawn(function()
        lp.sleep(0.002)
        os.exit(3)
      end)
      lp.sleep(3600)
    ]], says("text", "", 3))
  end)

  it("while others compute and never wait", function()
    ends([[
      hogs(4, function() os.exit(3) end)
      lp.sleep(3600)
    ]], says("", "", 3), 30)
  end)

  it("by the main goroutine, at once after many were started", function()
    ends([[
      for _ = 1, 20 do
        spawn(function() lp.sleep(1) end)
      end
      io.write "text"
      os.exit(3)
    ]], says("text", "", 3), nil, "LUAPARK_MAXPROCS=16")
  end)

  it("from inside a C function, a coroutine, a pcall, with the state closed or not", function()
    for _, how in ipairs {
      "table.sort({ 2, 1 }, function() gosched() os.exit(3) end)",
      "coroutine.wrap(function() os.exit(3, true) end)()",
      "pcall(function() luapark.exit(3) end)",
      "go(function() os.exit(3) end)",
    } do
      ends(("spawn(function() %s end) spawn(function() chan():recv() end) lp.sleep(3600)"):format(how), says("", "", 3), 25)
    end
  end)

  -- The C library calls raise(23) when all is over, and that is SIGURG, by which the scheduler interrupts who runs.
  it("with the state closed, interrupted once more afterwards", function()
    for _, how in ipairs { "%s", "go(function() %s end) lp.sleep(10)", "spawn(function() %s end) lp.sleep(10)" } do
      ends(how:format [[
        local ffi = require "ffi"
        ffi.cdef "int raise(int); int on_exit(void (*fn)(int, void *), void *arg);"
        assert(ffi.C.on_exit(ffi.cast("void (*)(int, void *)", ffi.C.raise), nil) == 0)
        os.exit(23, true)
      ]], says("", "", 23), 5)
    end
  end)

  it("by several at once: one of them wins", function()
    ends([[
      local here, all = barrier(6)
      for i = 1, 6 do
        spawn(function()
          here()
          all()
          os.exit(i)
        end)
      end
      chan():recv()
    ]], function(out, err, status)
      assert.same({ "", "" }, { out, err })
      assert.is_true(status >= 1 and status <= 6, status)
    end)
  end)

  it("with true and false", function()
    ends("spawn(os.exit, true) lp.sleep(3600)", says("", "", 0), 20)
    ends("spawn(os.exit, false) lp.sleep(3600)", says("", "", 1), 20)
  end)
end)

describe("an error on one of many Ps", function()
  local FAILED = "^goroutine %%d+ %%[running%%]:\n[^\n]-: %s\nstack traceback:\n.*\ncreated by [^\n]- in goroutine 1\n$"

  it("that a spawned goroutine does not catch is said, once, and exits 2", function()
    ends([[
      local c = chan()
      io.write "text"
      for _ = 1, 3 do
        spawn(function() c:recv() end)
        spawn(function() while true do gosched() end end)
      end
      spawn(function()
        lp.sleep(0)
        error "boom"
      end)
      c:recv()
    ]], function(out, err, status)
      assert.equal("text", out)
      assert.matches(FAILED:format "boom", err)
      assert.equal(1, count(err, "boom"))
      assert.equal(2, status)
    end)
  end)

  it("of several at once: one is said, whole", function()
    ends([[
      local here, all = barrier(6)
      for i = 1, 6 do
        spawn(function()
          here()
          all()
          error("boom " .. i .. ("x"):rep(5000))
        end)
      end
      chan():recv()
    ]], function(out, err, status)
      assert.equal("", out)
      assert.matches(FAILED:format "boom %dx+", err)
      assert.equal(1, count(err, "%[running%]"))
      assert.equal(1, count(err, "created by"))
      assert.equal(2, status)
    end)
  end)

  it("by the main goroutine exits 1, whatever the others do", function()
    ends([[
      io.write "text"
      for i = 1, 3 do
        spawn(function() chan():recv() end)
        spawn(function() while true do gosched() end end)
        spawn(function() lp.sleep(3600) end)
      end
      lp.sleep(0.001)
      error "main"
    ]], function(out, err, status)
      assert.equal("text", out)
      assert.matches("^luapark: [^\n]-: main\nstack traceback:\n", err)
      assert.equal(1, count(err, "main\n"))
      assert.equal(1, status)
    end)
  end)

  it("while others compute and never wait", function()
    ends([[
      hogs(4, function() error "boom" end)
      lp.sleep(3600)
    ]], function(_, err, status)
      assert.matches("^goroutine %d+ %[running%]:\n[^\n]-: boom\n", err)
      assert.equal(2, status)
    end, 30)
  end)

  it("may be any object", function()
    for object, said in pairs {
      ["{}"] = "(error object is a table value)",
      ["nil"] = "(error object is a nil value)",
      ["42"] = "42",
      ["setmetatable({}, { __tostring = function() return 'in words' end })"] = "\nin words\n",
      ["setmetatable({}, { __tostring = function() error 'worse' end })"] = "created by",
    } do
      ends(("spawn(function() error(%s) end) chan():recv()"):format(object), function(_, err, status)
        assert.truthy(err:find(said, 1, true), err)
        assert.matches("^goroutine %d+ %[running%]:\n", err)
        assert.equal(2, status)
      end, 5)
    end
  end)

  it("of a goroutine that was moved by stealing is as good", function()
    ends([[
      local function work(i, to)
        local x = 0
        for k = 1, 20000 do x = x + k % 7 end
        if i == 30 then error("boom " .. i) end
        to:send(x)
      end
      local c = chan(40)
      for i = 1, 40 do go(work, i, c) end
      for i = 1, 40 do c:recv() end
    ]], function(out, err, status)
      assert.equal("", out)
      assert.matches("^goroutine %d+ %[running%]:\n[^\n]-: boom 30\nstack traceback:\n.*in function <[^\n]*>\ncreated by "
        .. "[^\n]-:%d+ in goroutine 1\n$", err)
      assert.equal(2, status)
    end, 30)
  end)

  it("after the main goroutine has returned exits 2", function()
    ends([[
      for i = 1, 4 do
        spawn(function()
          lp.sleep(0.001 * i)
          if i == 2 then error "late" end
          chan():recv()
        end)
      end
      print "end"
    ]], function(out, err, status)
      assert.equal("end\n", out)
      assert.matches("^goroutine %d+ %[running%]:\n[^\n]-: late\n", err)
      assert.equal(2, status)
    end, 50)
  end)
end)

describe("a script that falls off its end", function()
  it("waits for goroutines on all Ps; lines come out whole", function()
    ends([[
      for i = 1, 8 do
        spawn(function()
          for k = 1, 50 do
            print(("%d %d %s"):format(i, k, ("x"):rep(70)))
            if k % 10 == 0 then lp.sleep(0) end
          end
        end)
      end
    ]], function(out, err, status)
      assert.same({ "", 0 }, { err, status })
      local last, n = {}, 0
      for line in out:gmatch "([^\n]*)\n" do
        local i, k, x = line:match "^(%d) (%d+) (x+)$"
        assert.truthy(i and #x == 70, "not whole: " .. line)
        assert.equal((last[i] or 0) + 1, tonumber(k))
        last[i], n = tonumber(k), n + 1
      end
      assert.equal(400, n)
    end, 50)
  end)

  it("waits for those that compute, sleep, and start others", function()
    ends([[
      local function step(n, c)
        if n == 0 then
          print "last"
        elseif n % 2 == 0 then
          lp.sleep(0.0005)
          spawn(step, n - 1)
        else
          go(step, n - 1)
        end
      end
      spawn(step, 20)
      print "end"
    ]], function(out, err, status)
      assert.same({ "", 0 }, { err, status })
      assert.is_true(out == "end\nlast\n" or out == "last\nend\n", out)
    end)
  end)

  it("is not kept by goroutines that could only wait for ever, nor by daemons", function()
    ends([[
      for _ = 1, 4 do
        spawn(function() chan():recv() end)
        spawn(function() gopark() end)
        spawn(function() ("x"):gsub("x", function() chan():recv() end) end)
        spawn(function() lp.sleep(3600) end):daemon()
        spawn(function() getg():daemon() lp.sleep(3600) end)
      end
      print "end"
    ]], says("end\n", "", 0))
  end)

  it("lists those that could only wait for ever where LUAPARK_DEBUG=leaks asks for it", function()
    ends([[
      for _ = 1, 3 do
        spawn(function() chan():recv() end)
      end
      spawn(function() lp.sleep(0.001) end)
      print "end"
    ]], function(out, err, status)
      assert.same({ "end\n", 0 }, { out, status })
      assert.matches("^left waiting for ever %(3%):\n", err)
      assert.equal(3, count(err, "\ngoroutine %d+ %[chan receive%]:\n"))
      assert.equal(3, count(err, "\ncreated by [^\n]- in goroutine 1\n"))
    end, 30, "LUAPARK_DEBUG=leaks")
  end)
end)
