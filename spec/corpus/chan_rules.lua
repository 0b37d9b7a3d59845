-- SPDX-License-Identifier: MIT

-- chan_rules: what Go promises of channels, with both ends wherever they happen to be.
--
-- Prints:
--   unbuffered: who sends goes on after its value was received: 50 of 50
--   buffered: a receive comes after its send, the k-th send after the receive before: 60
--   first in, first out, for each capacity: 9 of 9
--   each value once: 3000 of 3000
--   nil, false, nil, then closed
--   close wakes 5 receivers, and is an error for 5 senders
--   what is buffered outlives close: 1 2 3 nil false
--   a value that is there is never missed: 200
--   cap 3, len 2
--   through 300 goroutines: 301
--   channels over channels: 20 replies
--   misuse: send on closed channel; close of closed channel

local lp = luapark
local spawn = lp.spawn

-- An unbuffered send ends after its receive has begun.
do
  local c, said, good = chan(), lp.atomic(), 0
  local done = chan()
  spawn(function()
    for i = 1, 50 do
      c:send(i)
      done:send(said:load() >= i)
    end
  end)
  for i = 1, 50 do
    said:store(i)
    assert(c:recv() == i)
    good = good + (done:recv() and 1 or 0)
  end
  print(("unbuffered: who sends goes on after its value was received: %d of 50"):format(good))
end

-- A channel of n places lets its sender be n ahead, and no more.
do
  local right = 0
  for n = 1, 6 do
    local c, received, out = chan(n), lp.atomic(), chan(10)
    spawn(function()
      for i = 1, 10 do
        c:send(i)
        out:send(i - n <= received:load() + 1) -- a receive counts itself a moment late
      end
    end)
    for i = 1, 10 do
      assert(c:recv() == i)
      received:add(1)
    end
    for _ = 1, 10 do
      right = right + (out:recv() and 1 or 0)
    end
  end
  print("buffered: a receive comes after its send, the k-th send after the receive before: " .. right)
end

do
  local good = 0
  for n = 0, 8 do
    local c = chan(n)
    spawn(function()
      for i = 1, 200 do
        c:send(i)
      end
      c:close()
    end)
    local last, right = 0, true
    for v in c do
      right = right and v == last + 1
      last = v
    end
    good = good + (right and last == 200 and 1 or 0)
  end
  print(("first in, first out, for each capacity: %d of 9"):format(good))
end

do
  local c, out = chan(4), chan()
  for s = 0, 5 do
    spawn(function()
      for i = 1, 500 do
        c:send(s * 500 + i)
      end
    end)
  end
  for _ = 1, 6 do
    spawn(function()
      for _ = 1, 500 do
        out:send((c:recv()))
      end
    end)
  end
  local seen, n = {}, 0
  for _ = 1, 3000 do
    local v = out:recv()
    n = n + (seen[v] and 0 or 1)
    seen[v] = true
  end
  print(("each value once: %d of 3000"):format(n))
end

do
  local c, words = chan(1), {}
  spawn(function()
    c:send(nil)
    c:send(false)
    c:send(nil)
    c:close()
  end)
  while true do
    local v, ok = c:recv()
    if not ok then
      break
    end
    words[#words + 1] = tostring(v)
  end
  print(table.concat(words, ", ") .. ", then closed")
end

-- Those who park are parked when they are closed, or come later: it makes no difference to them.
do
  local rx, tx, out, begun = chan(), chan(), chan(), lp.waitgroup()
  begun:add(10)
  for i = 1, 5 do
    spawn(function()
      begun:done()
      local v, ok = rx:recv()
      out:send(v == nil and ok == false and "receiver")
    end)
    spawn(function()
      begun:done()
      local ok, err = pcall(tx.send, tx, i)
      out:send(not ok and err:find "send on closed channel$" and "sender")
    end)
  end
  begun:wait()
  for _ = 1, 100 do
    gosched()
  end
  rx:close()
  tx:close()
  local count = { receiver = 0, sender = 0 }
  for _ = 1, 10 do
    local who = out:recv()
    count[who] = count[who] + 1
  end
  print(("close wakes %d receivers, and is an error for %d senders"):format(count.receiver, count.sender))
end

do
  local c, out = chan(3), chan()
  for i = 1, 3 do
    c:send(i)
  end
  c:close()
  spawn(function()
    local t = {}
    for i = 1, 3 do
      t[i] = tostring((c:recv()))
    end
    local v, ok = c:recv()
    out:send(table.concat(t, " ") .. " " .. tostring(v) .. " " .. tostring(ok))
  end)
  print("what is buffered outlives close: " .. out:recv())
end

-- Go's TestNonblockRecvRace and TestNonblockSelectRace.
do
  local n = 0
  for i = 1, 100 do
    local c, out = chan(1), chan()
    c:send(1)
    spawn(function()
      local _, _, ready = c:tryrecv() -- a value, or closed
      out:send(ready)
    end)
    c:close()
    c:tryrecv()
    n = n + (out:recv() and 1 or 0)
    local c1, c2 = chan(1), chan(1)
    c1:send(1)
    spawn(function()
      out:send(lp.select { c1, c2, default = true } ~= "default")
    end)
    if i % 2 == 0 then
      c2:close()
    else
      c2:send(1)
    end
    lp.select { c1, default = true }
    n = n + (out:recv() and 1 or 0)
  end
  print("a value that is there is never missed: " .. n)
end

do
  local c, out = chan(3), chan()
  c:send(1)
  c:send(2)
  spawn(function()
    out:send(("cap %d, len %d"):format(c:cap(), c:len()))
  end)
  print((out:recv()))
end

do
  local first = chan()
  local last = first
  for _ = 1, 300 do
    local left, right = last, chan()
    spawn(function() left:send(1 + right:recv()) end)
    last = right
  end
  last:send(1)
  print("through 300 goroutines: " .. first:recv())
end

do
  local requests, n = chan(), 0
  for _ = 1, 3 do
    spawn(function()
      for r in requests do
        r.reply:send(r.x * 2)
      end
    end)
  end
  for i = 1, 20 do
    local reply = chan()
    requests:send { x = i, reply = reply }
    n = n + (reply:recv() == 2 * i and 1 or 0)
  end
  requests:close()
  print(("channels over channels: %d replies"):format(n))
end

do
  local c, out = chan(), chan()
  spawn(function()
    c:close()
    local _, err = pcall(c.close, c)
    out:send(err)
  end)
  local close = out:recv()
  local _, err = pcall(c.send, c, 1)
  print(("misuse: %s; %s"):format(err:match "send on closed channel$", close:match "close of closed channel$"))
end
