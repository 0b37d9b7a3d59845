-- SPDX-License-Identifier: MIT

-- cancel: every call that waits is given up at random moments, and leaves no goroutine, deadline, descriptor or memory, and
-- loses nothing that was on its way.
--
-- Each program has four Ps. A call's limit is by turns a number of seconds, a context with a deadline, one that a goroutine
-- of this P cancels, and one that a goroutine of another P cancels, each some microseconds from now. LUAPARK_SOAK makes it
-- 10,000 turns.

local helper = require "spec.helper"

local TURNS = os.getenv "LUAPARK_SOAK" and 10000 or 300

local HEAD = "local TURNS = " .. TURNS .. "\n" .. [[
local net, http, core, context = require "luapark.net", require "luapark.http", require "luapark.core", lp.context
local ffi = require "ffi"
local bg = context.background()
local FAR = 3600

ffi.cdef [=[
int fcntl(int fd, int cmd, ...);
struct mallinfo2 { size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost; };
struct mallinfo2 mallinfo2(void);
]=]
local function ndescriptors()
  local n = 0
  for fd = 0, 1023 do
    n = n + (ffi.C.fcntl(fd, 1) ~= -1 and 1 or 0)
  end
  return n
end

-- How many kilobytes C has allocated, where the library tells.
local function cmemory()
  local ok, info = pcall(function() return ffi.C.mallinfo2() end)
  return ok and tonumber(info.uordblks) / 1024 or 0
end

-- All four Ps run once: each has descriptors of its own.
local function meeting()
  local here, wg = lp.atomic(), lp.waitgroup()
  wg:add(3)
  for _ = 1, 3 do
    spawn(function()
      here:add(1)
      while here:load() < 3 do end
      wg:done()
    end)
  end
  while here:load() < 3 do end
  wg:wait()
end

-- Another P, which cancels what it is told to in so many seconds.
local todo = chan()
local function canceler()
  elsewhere(function()
    for job in todo do
      local stop = lp.now() + job[2]
      while lp.now() < stop do end
      job[1]()
    end
    collectgarbage() -- what is garbage on that P still holds memory of C's
    collectgarbage()
  end)
end

local function delay()
  return math.random() * 2e-4
end

-- One call: bylimit(seconds) or bylimit(context), which gives up or does what it is to do.
local function limited(i, bylimit)
  local kind = i % 4
  if kind == 0 then
    return bylimit(delay())
  elseif kind == 1 then
    return bylimit((context.withtimeout(bg, delay())))
  end
  local ctx, cancel = context.withcancel(bg)
  if kind == 2 then
    local s = delay()
    go(function() lp.sleep(s) cancel() end)
  else
    todo:send { cancel, delay() }
  end
  return bylimit(ctx)
end

local CODES = { ETIMEDOUT = true, ECANCELED = true }

-- So many turns, a few times: tables that have grown stay so, but in the end a round leaves nothing. A call gives up: nil,
-- why, ETIMEDOUT or ECANCELED.
local function turns(bylimit)
  local goroutines, timers, descriptors = lp.numgoroutine(), core.ntimers(), nil
  local function gone()
    for _ = 1, 10 do -- each halves the buffer that strings are made in
      collectgarbage()
    end
    return lp.numgoroutine() <= goroutines and core.ntimers() <= timers and
      (not descriptors or ndescriptors() <= descriptors)
  end
  meeting()
  local grown, cgrown
  for _ = 1, 5 do
    eventually(gone)
    descriptors = ndescriptors()
    local memory, cmem, gaveup = collectgarbage "count", cmemory(), 0
    canceler()
    for i = 1, TURNS do
      local r, why, code = limited(i, bylimit)
      if r == nil and CODES[code] then
        gaveup = gaveup + 1
      else
        print("turn " .. i, r, why, code)
        break
      end
    end
    todo:close()
    todo = chan()
    eventually(gone)
    grown, cgrown = collectgarbage "count" - memory, cmemory() - cmem
    if gaveup < TURNS or grown < 100 and cgrown < 8 then
      break
    end
  end
  print(lp.numgoroutine() - goroutines, ndescriptors() - descriptors, core.ntimers() - timers,
    grown < 100 and cgrown < 8 and "nothing left" or ("%d KB, of C's %d KB"):format(grown, cgrown))
end

local function listen(options)
  return assert(net.listen("tcp", "127.0.0.1:0", options))
end
local function pair()
  local ln = listen()
  local a = assert(net.dial("tcp", ln:addr()))
  local b = assert(ln:accept())
  ln:close()
  return a, b
end
]]

local LEFT = "0\t0\t0\tnothing left\n"

local function leavesnothing(text)
  return function()
    helper.prints(LEFT, text, HEAD)
  end
end

describe("given up at random moments, leaving nothing:", function()
  it("select", leavesnothing [[
    local a, b, far = chan(), chan(), chan()
    elsewhere(function() far:cap() end)
    turns(function(l)
      local cases = { a, { b, send = 1 }, far, { far, send = 2 }, lp.after(FAR) }
      if type(l) == "number" then
        cases.timeout = l
        assert(lp.select(cases) == "timeout")
        return nil, "timeout", "ETIMEDOUT"
      end
      cases.ctx = l
      return lp.select(cases)
    end)
  ]])

  it("sleep", leavesnothing [[
    turns(function(l)
      return lp.sleep(FAR, type(l) == "number" and context.withtimeout(bg, l) or l)
    end)
  ]])

  it("a receive from a context's channel, and children of it", leavesnothing [[
    turns(function(l)
      local parent = type(l) == "number" and context.withtimeout(bg, l) or l
      local kid = context.withtimeout(context.withvalue(context.withcancel(parent), "k", 1), FAR)
      local stop = context.afterfunc(kid, function() end)
      go(function() lp.sleep(FAR, kid) end)
      kid:done():recv()
      assert(stop() == false)
      return nil, kid:err(), "ECANCELED"
    end)
  ]])

  for _, what in ipairs { '"*l"', '"*L"', "10", '"*a"' } do
    it("read(" .. what .. ")", leavesnothing(([[
      local a, b = pair()
      turns(function(l) return a:read(%s, l) end)
      a:close()
      b:close()
    ]]):format(what)))
  end

  it("readany", leavesnothing [[
    local a, b = pair()
    turns(function(l) return a:readany(100, l) end)
    a:close()
    b:close()
  ]])

  it("reads of many connections at once", leavesnothing [[
    local pairs_ = {}
    for i = 1, 20 do pairs_[i] = { pair() } end
    turns(function(l)
      local out = chan(20)
      for i = 1, 20 do
        go(function() local _, _, code = pairs_[i][i % 2 + 1]:read("*l", l) out:send(code) end)
      end
      local code
      for i = 1, 20 do
        local c = out:recv()
        assert(not code or c == code)
        code = c
      end
      return nil, "why", code
    end)
    for i = 1, 20 do pairs_[i][1]:close() pairs_[i][2]:close() end
  ]])

  it("write, when the peer does not read", leavesnothing [[
    local a, b = pair()
    a:settimeout(0.01)
    local filler = ("x"):rep(1e6)
    repeat local n = a:write(filler) until not n
    turns(function(l)
      if type(l) == "number" then
        a:settimeout(l)
        return a:write(filler)
      end
      a:settimeout(nil)
      return a:write(filler, l)
    end)
    a:close()
    b:close()
  ]])

  it("accept", leavesnothing [[
    local ln = listen()
    turns(function(l) return ln:accept(l) end)
    ln:close()
  ]])

  it("dial, when the listener's queue is full", leavesnothing [[
    local ln = listen { backlog = 0 }
    local full = {}
    repeat -- until the kernel drops what comes
      local c = net.dial("tcp", ln:addr(), { timeout = 0.2 })
      full[#full + 1] = c
    until not c
    turns(function(l)
      return net.dial("tcp", ln:addr(), type(l) == "number" and { timeout = l } or { ctx = l })
    end)
    for _, c in ipairs(full) do c:close() end
    ln:close()
  ]])

  it("http.get, when the server does not answer", leavesnothing [[
    local ln = listen()
    local g = go(function()
      while true do
        local c = ln:accept()
        if not c then return end
        go(function()
          c:read "*a" -- until the client is gone
          c:close()
        end)
      end
    end)
    local url = "http://" .. ln:addr() .. "/"
    turns(function(l)
      return http.get(url, type(l) == "number" and { timeout = l } or { ctx = l })
    end)
    ln:close()
    eventually(function() return g.status == "dead" end)
  ]])
end)

describe("calls that are given up at random moments", function()
  it("lose no line, and get none twice", function()
    helper.prints(("%d lines\n"):format(TURNS), [[
      canceler()
      local a, b = pair()
      elsewhere(function(conn)
        for i = 1, TURNS do
          conn:write("line ", i, i % 2 == 0 and "\r\n" or "\n")
          local stop = lp.now() + i % 7 * 3e-5
          while lp.now() < stop do end
        end
        conn:close()
      end, b)
      local n, i = 0, 0
      while true do
        i = i + 1
        local line, why, code = limited(i, function(l) return a:read("*l", l) end)
        if line then
          n = n + 1
          assert(line == "line " .. n, line)
        elseif code == "EOF" then
          break
        else
          assert(CODES[code], code)
        end
      end
      todo:close()
      print(n .. " lines")
    ]], HEAD)
  end)

  it("lose no value of a channel, and send none twice", function()
    helper.prints(("%d, sum right\n"):format(2 * TURNS), [[
      canceler()
      local c, back = chan(), chan()
      local total = TURNS
      elsewhere(function()
        for i = 1, total do
          c:send(i)
          local stop = lp.now() + i % 7 * 3e-5
          while lp.now() < stop do end
        end
        -- and the other way round
        local n, sum = 0, 0
        for v in back do n, sum = n + 1, sum + v end
        c:send(n)
        c:send(sum)
      end)
      local function withlimit(l, cases)
        if type(l) == "number" then cases.timeout = l else cases.ctx = l end
        return lp.select(cases)
      end
      local n, sum, i = 0, 0, 0
      while n < total do
        i = i + 1
        local which, v = limited(i, function(l) return withlimit(l, { c }) end)
        if which == 1 then
          n, sum = n + 1, sum + v
        end
      end
      local sent, sumsent = 0, 0
      while sent < total do
        i = i + 1
        if limited(i, function(l) return withlimit(l, { { back, send = i } }) end) == 1 then
          sent, sumsent = sent + 1, sumsent + i
        end
      end
      back:close()
      todo:close()
      local got, gotsum = c:recv(), nil
      gotsum = c:recv()
      print(n + got .. (sum == total * (total + 1) / 2 and got == sent and gotsum == sumsent and ", sum right" or ", wrong"))
    ]], HEAD)
  end)

  it("lose no connection", function()
    helper.prints("100 accepted\n", [[
      canceler()
      local ln = listen()
      elsewhere(function(addr)
        for i = 1, 100 do
          local c = assert(net.dial("tcp", addr))
          c:write(i, "\n")
          c:close()
        end
      end, ln:addr())
      local seen, n, i = {}, 0, 0
      while n < 100 do
        i = i + 1
        local c, why, code = limited(i, function(l) return ln:accept(l) end)
        if c then
          local k = tonumber((c:read "*l"))
          assert(not seen[k])
          seen[k] = true
          n = n + 1
          c:close()
        else
          assert(CODES[code], code)
        end
      end
      todo:close()
      ln:close()
      print(n .. " accepted")
    ]], HEAD)
  end)
end)
