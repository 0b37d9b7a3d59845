-- SPDX-License-Identifier: MIT

-- select_race: many goroutines select over the same channels, both ways; of each select exactly one case happens.
--
-- Prints:
--   600 sent, 600 received, sum 180300
--   left over: 0 0 0

local lp = luapark
local SENDERS, EACH = 6, 100

local a, b, c = chan(), chan(1), chan(3)

local function sender(id, n, ax, bx, cx, done)
  for i = 1, n do
    local v = (id - 1) * n + i
    lp.select { { ax, send = v }, { bx, send = v }, { cx, send = v } }
  end
  done:done()
end

local function receiver(ax, bx, cx, quit, out)
  while true do
    local i, v = lp.select { ax, bx, cx, quit }
    if i == 4 then
      out:send(false)
      return
    end
    out:send(v)
  end
end

local done, quit, out = lp.waitgroup(), chan(), chan()
done:add(SENDERS)
for id = 1, SENDERS do
  go(sender, id, EACH, a, b, c, done)
  go(receiver, a, b, c, quit, out)
end

local seen, n, sum = {}, 0, 0
while n < SENDERS * EACH do
  local v = out:recv()
  assert(not seen[v], "twice")
  seen[v] = true
  n, sum = n + 1, sum + v
end
done:wait()
quit:close()
for _ = 1, SENDERS do
  assert(out:recv() == false)
end
print(("%d sent, %d received, sum %d"):format(SENDERS * EACH, n, sum))
print(("left over: %d %d %d"):format(a:len(), b:len(), c:len()))
