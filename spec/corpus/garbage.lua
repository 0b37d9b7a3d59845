-- SPDX-License-Identifier: MIT

-- garbage: goroutines that make much garbage and keep a little, with the collector at work all the time.
--
-- Prints:
--   40 goroutines kept what they kept
--   finalizers ran: yes
--   20 with full collections, at home: 20
--   channels that nobody holds any more: 2000

local lp = luapark

local out = chan()

local function churn(seed)
  local kept = {}
  for i = 1, 400 do
    local t = { i, tostring(i * seed), { i } }
    if i % 20 == 0 then
      kept[#kept + 1] = t
      gosched()
    end
    local s = ("garbage"):rep(i % 50) .. i
    t[4] = #s
  end
  for k, t in ipairs(kept) do
    if t[1] ~= k * 20 or t[2] ~= tostring(k * 20 * seed) or t[3][1] ~= k * 20 then
      return false
    end
  end
  return #kept == 20
end
for seed = 1, 40 do
  go(function() out:send(churn(seed)) end)
end
local n = 0
for _ = 1, 40 do
  n = n + (out:recv() and 1 or 0)
end
print(("%d goroutines kept what they kept"):format(n))

local finalized = 0
for _ = 1, 100 do
  local p = newproxy(true)
  getmetatable(p).__gc = function() finalized = finalized + 1 end
end
collectgarbage()
collectgarbage()
print("finalizers ran: " .. (finalized > 0 and "yes" or "no"))

local home = {}
for seed = 1, 20 do
  go(function()
    collectgarbage(seed % 2 == 0 and "collect" or "step")
    home[seed] = churn(seed)
    out:send(home[seed])
  end)
end
n = 0
for _ = 1, 20 do
  n = n + (out:recv() and 1 or 0)
end
print("20 with full collections, at home: " .. n)

-- Two thousand channels travel, are used once and forgotten, on both sides.
local there, done = chan(), lp.waitgroup()
for _ = 1, 4 do
  done:go(function()
    for c in there do
      c:send(1)
    end
  end)
end
n = 0
for _ = 1, 2000 do
  local c = chan(1)
  there:send(c)
  n = n + c:recv()
end
there:close()
done:wait()
print("channels that nobody holds any more: " .. n)
