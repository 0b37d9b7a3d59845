-- SPDX-License-Identifier: MIT

-- random: after math.randomseed, goroutines draw from that one sequence, each number once.
--
-- Prints:
--   20 numbers of the sequence, each drawn once
--   drawn without a seed: 50 in range

local lp = luapark

local N = 20
math.randomseed(42)
local sequence = {}
for i = 1, N do
  sequence[i] = math.random(2 ^ 31)
end

math.randomseed(42)
local drawn, wg = {}, lp.waitgroup()
for _ = 1, N do
  wg:go(function()
    gosched()
    drawn[#drawn + 1] = math.random(2 ^ 31)
  end)
end
wg:wait()
table.sort(sequence)
table.sort(drawn)
local n = 0
for i = 1, N do
  n = n + (sequence[i] == drawn[i] and 1 or 0)
end
print(("%d numbers of the sequence, each drawn once"):format(n))

local out = chan()
local random = math.random
for _ = 1, 50 do
  go(function()
    local a, b = random(), math.random(10, 20)
    out:send(a >= 0 and a < 1 and b >= 10 and b <= 20)
  end)
end
n = 0
for _ = 1, 50 do
  n = n + (out:recv() and 1 or 0)
end
print(("drawn without a seed: %d in range"):format(n))
