-- SPDX-License-Identifier: MIT

-- philosophers: five of them, five forks, each a mutex that travels as an argument. The last takes them the other way
-- round, so that they do not starve.
--
-- Prints:
--   philosopher 1 ate 60 times
--   philosopher 2 ate 60 times
--   philosopher 3 ate 60 times
--   philosopher 4 ate 60 times
--   philosopher 5 ate 60 times

local lp = luapark
local SEATS, MEALS = 5, 60

local function dine(seat, one, other, out)
  local eaten = 0
  for _ = 1, MEALS do
    one:lock()
    gosched()
    other:lock()
    eaten = eaten + 1
    other:unlock()
    one:unlock()
  end
  out:send { seat = seat, eaten = eaten }
end

local forks, out = {}, chan()
for i = 1, SEATS do
  forks[i] = lp.mutex()
end
for i = 1, SEATS do
  local left, right = forks[i], forks[i % SEATS + 1]
  if i == SEATS then
    left, right = right, left
  end
  go(dine, i, left, right, out)
end
local eaten = {}
for _ = 1, SEATS do
  local r = out:recv()
  eaten[r.seat] = r.eaten
end
for i = 1, SEATS do
  print(("philosopher %d ate %d times"):format(i, eaten[i]))
end
