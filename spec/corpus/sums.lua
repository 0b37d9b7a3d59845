-- SPDX-License-Identifier: MIT

-- sums: ranges of a sum by functions that name standard functions and tables as most people do, by locals.
--
-- Prints:
--   odd and even: 250000000000 250000500000
--   digits: 2250000
--   words: 1,3,5,7,9,11,13,15,17,19

local lp = require "luapark"
local math, floor = math, math.floor
local insert, concat = table.insert, table.concat

local RANGES, N = 20, 1000000

local parts = lp.chan(RANGES)
for r = 1, RANGES do
  lp.go(function()
    local odd, even = 0, 0
    for i = (r - 1) * N / RANGES + 1, r * N / RANGES do
      if i % 2 == 0 then
        even = even + i
      else
        odd = odd + i
      end
    end
    parts:send { odd, even }
  end)
end
local odd, even = 0, 0
for _ = 1, RANGES do
  local part = parts:recv()
  odd, even = odd + part[1], even + part[2]
end
print(("odd and even: %d %d"):format(odd, even))

local function digits(from, to)
  local n = 0
  for i = from, to do
    for place = 0, 4 do
      n = n + math.max(0, floor(i / 10 ^ place) % 10)
    end
  end
  return n
end

local sums = lp.chan()
for r = 0, 9 do
  lp.go(function(out, from, to) out:send(digits(from, to)) end, sums, r * 10000, r * 10000 + 9999)
end
local sum = 0
for _ = 0, 9 do
  sum = sum + sums:recv()
end
print(("digits: %d"):format(sum))

local words = lp.chan()
lp.go(function(...)
  local t = {}
  for i = 1, select("#", ...) do
    insert(t, tostring((select(i, ...))))
  end
  words:send(concat(t, ","))
end, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)
print("words: " .. words:recv())
