-- SPDX-License-Identifier: MIT

-- pingpong: two goroutines hit a ball back and forth over two unbuffered channels.
--
-- Each hit is a rendezvous: the sender waits until the other has the ball. So this measures what it costs to park one
-- goroutine and run another, there and back.
--
-- Prints (for example):
--   ping 1
--   pong 2
--   ping 3
--   pong 4
--   500000 round trips, 131 ns each

local ROUNDS, SHOWN = 500000, 4

local there, back = chan(), chan()

local function show(name, ball)
  if ball <= SHOWN then
    print(name .. " " .. ball)
  end
end

go(function()
  for ball in there do -- until the channel is closed
    show("pong", ball + 1)
    back:send(ball + 1)
  end
end)

local start, ball = luapark.now(), 0
for _ = 1, ROUNDS do
  show("ping", ball + 1)
  there:send(ball + 1)
  ball = back:recv()
end
there:close()

assert(ball == 2 * ROUNDS)
print(("%d round trips, %.0f ns each"):format(ROUNDS, (luapark.now() - start) / ROUNDS * 1e9))
