-- SPDX-License-Identifier: MIT

-- pingpong: two goroutines and two channels, each answer one more than its question. Then the same over one channel.
--
-- Prints:
--   4000 after 2000 round trips
--   4000 over one channel

local function pong(from, to)
  for v in from do
    to:send(v + 1)
  end
  to:close()
end

local there, back = chan(), chan()
go(pong, there, back)
local v = 0
for _ = 1, 2000 do
  there:send(v + 1)
  v = back:recv()
end
there:close()
assert(select(2, back:recv()) == false)
print(v .. " after 2000 round trips")

-- The first to receive an even number adds one and sends it on, and so does the second with an odd one. Unbuffered,
-- nobody can receive what he sent himself.
local function player(c, last, over)
  while true do
    local n, ok = c:recv()
    if not ok then
      return
    end
    if n == last then
      over:send(n)
      c:close()
      return
    end
    c:send(n + 1)
  end
end
local c, over = chan(), chan()
go(player, c, 4000, over)
go(player, c, 4000, over)
c:send(0)
print(over:recv() .. " over one channel")
