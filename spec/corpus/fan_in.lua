-- SPDX-License-Identifier: MIT

-- fan_in: eight producers, one channel, one consumer. Among producers there is no order; what one of them sent comes in
-- its order, buffered or not.
--
-- Prints:
--   capacity 0: 4000 items, each producer's in order, sum 1002000
--   capacity 1: 4000 items, each producer's in order, sum 1002000
--   capacity 16: 4000 items, each producer's in order, sum 1002000

local PRODUCERS, ITEMS = 8, 500

local function produce(c, id, n, done)
  for i = 1, n do
    c:send { id, i }
  end
  done:done()
end

for _, capacity in ipairs { 0, 1, 16 } do
  local c, done = chan(capacity), luapark.waitgroup()
  for id = 1, PRODUCERS do
    done:add()
    go(produce, c, id, ITEMS, done)
  end
  go(function()
    done:wait()
    c:close()
  end)
  local last, n, sum = {}, 0, 0
  for item in c do
    local id, i = item[1], item[2]
    assert(i == (last[id] or 0) + 1)
    last[id] = i
    n, sum = n + 1, sum + i
  end
  print(("capacity %d: %d items, each producer's in order, sum %d"):format(capacity, n, sum))
end
