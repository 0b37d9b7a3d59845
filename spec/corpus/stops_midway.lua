-- SPDX-License-Identifier: MIT

-- stops_midway: many goroutines begin, and each needs a coroutine of its own, while another stops the world again and
-- again.
--
-- Prints:
--   20000 have begun

local lp = luapark

local N, begun = 20000, 0
local quit, over = chan(), lp.atomic()

lp.gomaxprocs(math.max(2, lp.gomaxprocs()))
lp.spawn(function(stop, n)
  local more = 0
  while stop:load() == 0 do
    lp.gomaxprocs(n + more)
    more = 1 - more
    gosched()
  end
end, over, lp.gomaxprocs())

for i = 1, N do
  go(function()
    begun = begun + 1
    quit:recv()
  end)
  if i % 100 == 0 then
    gosched()
  end
end
while begun < N do
  gosched()
end
over:store(1)
quit:close()
print(("%d have begun"):format(begun))
