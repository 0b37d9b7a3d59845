-- SPDX-License-Identifier: MIT

-- sleep: goroutines wake in the order of their times, never too early, and clocks agree wherever they are read.
--
-- Prints:
--   in order: 0 80 160 240
--   30 of 30 slept long enough
--   100 sleepers at once
--   no clock went back: 100

local lp = luapark

local wg, woke = lp.waitgroup(), {}
for _, ms in ipairs { 240, 80, 160, 0 } do
  wg:go(function()
    lp.sleep(ms / 1000)
    woke[#woke + 1] = ms
  end)
end

local out = chan()
for i = 1, 30 do
  go(function()
    local s = i / 2000
    local before = lp.now()
    lp.sleep(s)
    out:send(lp.now() - before >= s)
  end)
end
local n = 0
for _ = 1, 30 do
  n = n + (out:recv() and 1 or 0)
end

local all = lp.waitgroup()
for _ = 1, 100 do
  all:go(function() lp.sleep(0.005) end)
end
all:wait()

-- A time that was read before is not later than one that is read afterwards, on whatever P.
local times, back, right = chan(), chan(), 0
go(function(from, to)
  for t in from do
    to:send(lp.now() >= t and lp.now())
  end
end, times, back)
for _ = 1, 100 do
  times:send(lp.now())
  local t = back:recv()
  right = right + (t and lp.now() >= t and 1 or 0)
end

wg:wait()
print("in order: " .. table.concat(woke, " "))
print(("%d of 30 slept long enough"):format(n))
print "100 sleepers at once"
print("no clock went back: " .. right)
