-- SPDX-License-Identifier: MIT

-- close: wakes whoever waits, receivers with nothing, senders with an error; what is buffered comes out first.
--
-- Prints:
--   200 receivers woken, 0 values
--   200 senders woken: send on closed channel
--   100 selects woken
--   buffered: 1 2 3 4 5, then nil false
--   close of closed channel

local lp = luapark

local function receiver(c, out)
  local v, ok = c:recv()
  out:send { v ~= nil, ok }
end

local function sender(c, out)
  local ok, e = pcall(c.send, c, "value")
  out:send { ok, e }
end

local c, out = chan(), chan()
for _ = 1, 200 do
  go(receiver, c, out)
end
gosched()
c:close()
local woken, values = 0, 0
for _ = 1, 200 do
  local r = out:recv()
  assert(r[1] == false and r[2] == false)
  woken, values = woken + 1, values + (r[1] and 1 or 0)
end
print(("%d receivers woken, %d values"):format(woken, values))

c = chan()
for _ = 1, 200 do
  go(sender, c, out)
end
gosched()
c:close()
woken = 0
local message
for _ = 1, 200 do
  local r = out:recv()
  assert(r[1] == false)
  message, woken = r[2], woken + 1
end
print(("%d senders woken: %s"):format(woken, message:match "send on closed channel"))

local x, y = chan(), chan()
for i = 1, 100 do
  go(function()
    local case, _, ok
    if i % 2 == 0 then
      case, _, ok = lp.select { x, y }
    else
      case, _, ok = lp.select { y, x }
    end
    out:send { case == (i % 2 == 0 and 2 or 1), ok }
  end)
end
gosched()
y:close()
woken = 0
for _ = 1, 100 do
  local r = out:recv()
  assert(r[1] == true and r[2] == false)
  woken = woken + 1
end
print(("%d selects woken"):format(woken))

local b = chan(5)
for i = 1, 5 do
  b:send(i)
end
b:close()
go(function()
  local t = {}
  for v in b do
    t[#t + 1] = v
  end
  local v, ok = b:recv()
  out:send(("buffered: %s, then %s %s"):format(table.concat(t, " "), tostring(v), tostring(ok)))
end)
print((out:recv()))
print((select(2, pcall(b.close, b)):match "close of closed channel"))
