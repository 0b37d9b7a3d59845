-- SPDX-License-Identifier: MIT

-- select_rules: what Go promises of select, with the channels' other ends wherever they happen to be.
--
-- Prints:
--   never its own value: 400 met
--   four sends in one select: 2000 values, none twice
--   stress: 1600 sent, 1600 received
--   fair: both came
--   default only if nothing can proceed: 100 of 100
--   nil channels never proceed
--   closed: 3 nil false; send on closed channel
--   a loser takes nothing: 200
--   a hundred cases: 100
--   sends what it was to send: for c
--   a timeout leaves nobody waiting

local lp = luapark
local spawn = lp.spawn

-- Go's TestSelfSelect, unbuffered: two who send and receive in one select meet each other, not themselves.
do
  local c, out = chan(), chan()
  for p = 0, 1 do
    spawn(function()
      local good = 0
      for i = 1, 400 do
        local cases = i % 2 == p and { c, { c, send = p } } or { { c, send = p }, c }
        local which, v = lp.select(cases)
        if type(cases[which][1]) == "table" then -- it was the send
          good = good + 1
        elseif v == 1 - p then
          good = good + 1
        end
      end
      out:send(good)
    end)
  end
  print(("never its own value: %d met"):format((out:recv() + out:recv()) / 2))
end

-- Go's doubleselect: one select with several sends; what is received on all channels together is each value once.
do
  local cs, out, n = { chan(), chan(), chan(), chan() }, chan(), 2000
  local quit = chan()
  spawn(function()
    for i = 1, n do
      lp.select { { cs[1], send = i }, { cs[2], send = i }, { cs[3], send = i }, { cs[4], send = i } }
    end
    quit:close()
  end)
  local wg = lp.waitgroup()
  wg:add(4)
  for k = 1, 4 do
    spawn(function()
      while true do
        local i, v = lp.select { cs[k], cs[k % 4 + 1], quit }
        if i == 3 then
          break
        end
        out:send(v)
      end
      wg:done()
    end)
  end
  spawn(function()
    wg:wait()
    out:close()
  end)
  local seen, count, twice = {}, 0, 0
  for v in out do
    twice = twice + (seen[v] and 1 or 0)
    seen[v] = true
    count = count + 1
  end
  print(("four sends in one select: %d values, %s twice"):format(count, twice == 0 and "none" or twice))
end

-- Go's TestSelectStress: fixed and selecting senders and receivers on four channels.
do
  local N = 200
  local c, wg, sent, received = { chan(), chan(), chan(2), chan(3) }, lp.waitgroup(), lp.atomic(), lp.atomic()
  wg:add(10)
  for k = 1, 4 do
    spawn(function()
      for i = 1, N do
        c[k]:send(i)
        sent:add(1)
      end
      wg:done()
    end)
    spawn(function()
      for _ = 1, N do
        c[k]:recv()
        received:add(1)
      end
      wg:done()
    end)
  end
  spawn(function()
    local left, cases = { N, N, N, N }, {}
    for i = 1, 4 * N do
      for k = 1, 4 do
        cases[k] = left[k] > 0 and { c[k], send = i }
      end
      local k = lp.select(cases)
      left[k] = left[k] - 1
      sent:add(1)
    end
    wg:done()
  end)
  spawn(function()
    local left, cases = { N, N, N, N }, {}
    for _ = 1, 4 * N do
      for k = 1, 4 do
        cases[k] = left[k] > 0 and c[k]
      end
      local k = lp.select(cases)
      left[k] = left[k] - 1
      received:add(1)
    end
    wg:done()
  end)
  wg:wait()
  print(("stress: %d sent, %d received"):format(sent:load(), received:load()))
end

-- Go's TestSelectFairness: of two that can always send both are served.
do
  local a, b, stop = chan(), chan(), chan()
  local ended = lp.waitgroup()
  ended:add(2)
  for _, c in ipairs { a, b } do
    spawn(function(to)
      repeat
        local i = lp.select { { to, send = 1 }, stop }
      until i == 2
      ended:done()
    end, c)
  end
  local count = { 0, 0 }
  while count[1] < 50 or count[2] < 50 do
    local i = lp.select { a, b }
    count[i] = count[i] + 1
    assert(count[1] + count[2] < 1e6, "one of them starves")
  end
  stop:close()
  ended:wait()
  print "fair: both came"
end

do
  local n = 0
  for _ = 1, 50 do
    local c, out = chan(1), chan()
    n = n + (lp.select { c, default = true } == "default" and 1 or 0)
    spawn(function()
      c:send(1)
      out:send()
    end)
    out:recv()
    n = n + (lp.select { c, default = true } == 1 and 1 or 0)
  end
  print(("default only if nothing can proceed: %d of 100"):format(n))
end

do
  local c = chan()
  spawn(function() c:send "x" end)
  local i, v = lp.select { false, nil, { nil, send = 1 }, { false, send = 2 }, c }
  print(i == 5 and v == "x" and "nil channels never proceed")
end

do
  local a, b, c = chan(), chan(), chan()
  spawn(function()
    lp.sleep(0.001)
    c:close()
  end)
  local i, v, ok = lp.select { a, { b, send = 1 }, c }
  local _, err = pcall(lp.select, { a, { c, send = 1 } })
  print(("closed: %d %s %s; %s"):format(i, tostring(v), tostring(ok), err:match "send on closed channel$"))
end

-- Both channels get a value; who has taken one has not taken the other.
do
  local n, total = 0, 200
  local a, b, out = chan(), chan(), chan(2)
  spawn(function()
    for i = 1, total do
      local which, v = lp.select { a, b }
      out:send(which == 1 and v == i or which == 2 and v == -i)
      local other = (which == 1 and b or a):recv()
      out:send(other == (which == 1 and -i or i))
    end
  end)
  for i = 1, total do
    spawn(function(x) b:send(x) end, -i)
    a:send(i)
    local first = out:recv()
    n = n + (out:recv() and first and 1 or 0)
  end
  print("a loser takes nothing: " .. n)
end

do
  local cases, n, last = {}, 0, chan()
  for i = 1, 100 do
    cases[i] = chan()
  end
  for i = 1, 100 do
    spawn(function(c) c:send(i) end, cases[i])
  end
  for _ = 1, 100 do
    local i, v = lp.select(cases)
    n = n + (i == v and 1 or 0)
    cases[i] = last -- of which nothing comes
  end
  print("a hundred cases: " .. n)
end

-- A channel that another case sends goes to another P by that.
do
  local out, c, got, over = chan(), chan(), chan(), chan()
  spawn(function()
    got:send(out:cap())
    over:recv()
  end)
  got:recv()
  go(function(from, to) to:send((from:recv())) end, c, got)
  local i = lp.select { { c, send = "for c" }, { out, send = { c, c } } }
  print("sends what it was to send: " .. (i == 1 and got:recv() or "wrong case"))
  over:send()
end

do
  local c, out = chan(), chan()
  spawn(function()
    for _ = 1, 20 do
      assert(lp.select { c, { c, send = 1 }, timeout = 0.0002 } == "timeout")
    end
    out:send()
  end)
  out:recv()
  print(not c:trysend(1) and not select(3, c:tryrecv()) and "a timeout leaves nobody waiting")
end
