-- SPDX-License-Identifier: MIT

-- skynet: a tree of 111,111 goroutines; each of the 100,000 leaves sends its number up, each node the sum of its ten.
--
-- Prints:
--   4999950000

local function skynet(out, num, size)
  if size == 1 then
    out:send(num)
    return
  end
  local sums, part = chan(10), size / 10
  for i = 0, 9 do
    go(skynet, sums, num + i * part, part)
  end
  local sum = 0
  for _ = 1, 10 do
    sum = sum + sums:recv()
  end
  out:send(sum)
end

local out = chan()
go(skynet, out, 0, 100000)
print(("%d"):format((out:recv())))
