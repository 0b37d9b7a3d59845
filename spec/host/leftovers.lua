-- SPDX-License-Identifier: MIT

-- leftovers: a program that leaves behind whatever a state can be closed with: goroutines in all kinds of waits, on several
-- Ps and in C functions, timers, sockets, messages on their way, finalizers that use luapark. Says ok.

local early = newproxy(true) -- older than luapark: its finalizer runs after luapark's own

local lp = require "luapark"
local net = require "luapark.net"
local ffi = require "ffi"
pcall(ffi.cdef, "int usleep(unsigned);")

local ps = lp.gomaxprocs()
local c, shared, m, wg = lp.chan(), lp.chan(1), lp.mutex(), lp.waitgroup()
local ln, conn
local kept = {}

lp.run(function()
  ln = assert(net.listen("tcp", "127.0.0.1:0"))
  lp.go(function()
    while true do
      local peer = ln:accept()
      if not peer then
        return
      end
      kept[#kept + 1] = peer
    end
  end):daemon()
  conn = assert(net.dial("tcp", ln:addr()))
  lp.go(function() conn:read() end):daemon()
  lp.go(function() lp.sleep(1000) end):daemon()
  lp.go(function() lp.select { c, timeout = 1000 } end):daemon()
  kept.after = lp.after(1000)
  lp.go(function() lp.gopark(nil, nil, "for ever") end)
  for _ = 1, 20 do
    lp.go(function() c:recv() end)
  end
  for _ = 1, 5 do -- with a C stack
    lp.go(function() table.sort({ 2, 1 }, function(a, b) c:recv() return a < b end) end)
  end
  lp.go(function() coroutine.wrap(function() lp.chan():recv() end)() end)
  lp.go(function()
    lp.lockosthread()
    c:recv()
  end)
  m:lock()
  lp.go(function() m:lock() end)
  wg:add(1)
  lp.spawn(function(group) group:wait() end, wg)
  lp.spawn(function(mutex) mutex:lock() end, m)
  for i = 1, 4 do
    lp.spawn(function(from) from:recv() end, shared, i)
  end
  lp.sleep(0.002)
  for i = 1, 10 do -- values that nobody takes
    lp.spawn(function(to, n) to:send { n, "text" } end, shared, i)
    lp.go(function() shared:send(("x"):rep(100)) end)
    lp.go(function() shared:send(print) end)
  end
  lp.go(function() shared:send { handle = c } end)
  for _ = 1, 4 do
    lp.go(function() lp.syscall(ffi.C.usleep, 1000) end)
  end
  for i = 1, 100 do
    lp.go(function() return math.sin(i) end)
  end
  lp.sleep(0.005)
end)

-- A run that fails kills all that the first one left; so there is a third.
assert(not pcall(lp.run, function()
  lp.spawn(function() lp.sleep(1000) end)
  lp.sleep(0.001)
  error "x"
end))
lp.run(function()
  lp.go(function() lp.sleep(1000) end):daemon()
  lp.go(function() c:recv() end)
  lp.go(function() string.gsub("x", "x", function() c:recv() end) end)
  lp.spawn(function(from) from:recv() end, shared)
  lp.spawn(function(to) to:send { 1 } end, shared)
  lp.sleep(0.002)
end)

lp.gomaxprocs(3)
lp.go(function() end) -- they never run
lp.spawn(function() end)

local function finalizer()
  pcall(lp.go, function() end)
  pcall(lp.spawn, function() end)
  pcall(shared.trysend, shared, {})
  pcall(shared.tryrecv, shared)
  conn:close()
  ln:close()
  assert(not pcall(lp.run, function() return "runs" end))
end
local late = newproxy(true)
getmetatable(early).__gc = finalizer
getmetatable(late).__gc = finalizer
_G.early, _G.late = early, late

return "ok " .. ps
