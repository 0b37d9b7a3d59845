-- SPDX-License-Identifier: MIT

-- threads: nothing holds a P for long. A loop that never waits is pre-empted; a C function that blocks leaves its P to
-- others; and who must stay on one thread can.
--
--   LUAPARK_PREEMPT=0 luapark examples/threads.lua        never ends: the loop below is all that runs
--
-- Prints (for example):
--   the clock has ticked 5 times beside a loop for ever
--   10 naps of 50 ms took 55 ms
--   a locked goroutine keeps its thread: true

local lp, ffi = luapark, require "ffi"
ffi.cdef "int usleep(unsigned int us); int gettid(void);"

lp.gomaxprocs(1)

-- A loop that neither waits nor calls anything, and a clock.
local stop = false
go(function()
  local x = 0
  while not stop do x = x + 1 end
end)
local ticks = 0
for _ = 1, 5 do
  lp.sleep(0.001)
  ticks = ticks + 1
end
stop = true
print(("the clock has ticked %d times beside a loop for ever"):format(ticks))

-- Ten goroutines that block at once: each takes its thread along, and the P goes on.
local start, wg = lp.now(), lp.waitgroup()
for _ = 1, 10 do
  wg:go(function() lp.syscall(ffi.C.usleep, 50000) end)
end
wg:wait()
print(("10 naps of 50 ms took %.0f ms"):format((lp.now() - start) * 1e3))

-- What some C libraries ask for: always the same thread.
local same = chan()
go(function()
  lp.lockosthread()
  local id, ok = ffi.C.gettid(), true
  for _ = 1, 100 do
    lp.syscall(ffi.C.usleep, 10)
    ok = ok and ffi.C.gettid() == id
  end
  lp.unlockosthread()
  same:send(ok)
end)
print("a locked goroutine keeps its thread: " .. tostring(same:recv()))
