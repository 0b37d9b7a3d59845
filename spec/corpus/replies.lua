-- SPDX-License-Identifier: MIT

-- replies: channels that travel over channels. Each request brings the channel for its answer.
--
-- Prints:
--   100 answers, 100 right
--   a channel is the same when it comes back:	true	true
--   deep: from the innermost
--   closed at the other end: nil false

local requests = chan()
go(function()
  for request in requests do
    request.reply:send(request.n * 2)
  end
end)

local function client(server, n, right)
  local reply = chan()
  server:send { n = n, reply = reply }
  right:send(reply:recv() == n * 2)
end
local right = chan()
for n = 1, 100 do
  go(client, requests, n, right)
end
local n = 0
for _ = 1, 100 do
  n = n + (right:recv() and 1 or 0)
end
requests:close()
print(("100 answers, %d right"):format(n))

-- The handle that comes back is the one that was sent: the same value, the same key.
local there, back = chan(), chan()
go(function(from, to) to:send((from:recv())) end, there, back)
local c = chan()
local names = { [c] = "c" }
there:send(c)
local same = back:recv()
print("a channel is the same when it comes back:", same == c, names[same] == "c")

-- A channel in a channel in a channel, each buffered.
local outer, middle, inner = chan(1), chan(1), chan(1)
inner:send "from the innermost"
middle:send(inner)
outer:send { middle }
local result = chan()
go(function()
  local got = outer:recv()
  result:send((got[1]:recv():recv()))
end)
print("deep: " .. result:recv())

local ends = chan()
go(function() ends:recv():close() end)
local mine = chan()
ends:send(mine)
print("closed at the other end: " .. tostring((mine:recv())) .. " " .. tostring(select(2, mine:recv())))
