-- SPDX-License-Identifier: MIT

-- hello: three goroutines, one channel.
--
-- go() starts a function as a goroutine. A channel carries values between goroutines: send waits for a receiver, recv
-- for a sender. While one waits, others run. Nobody locks anything, and no callback is in sight.
--
-- Prints:
--   hello, world
--   hello, Lua
--   hello, Go
--   all said

local greetings = chan()

for i, name in ipairs { "world", "Lua", "Go" } do
  go(function()
    luapark.sleep(i * 0.01) -- seconds; the goroutine waits, the thread does not
    greetings:send("hello, " .. name)
  end)
end

for _ = 1, 3 do
  print((greetings:recv()))
end
print("all said")
