-- SPDX-License-Identifier: MIT

-- timers: timers and tickers that goroutines everywhere wait for, stop and reset.
--
-- Prints:
--   never too early: 40 of 40
--   in order: 1 2 3 4 5 6 7 8
--   stopped elsewhere: 20 of 20, nothing came
--   reset elsewhere to now: 20 of 20
--   one time, one receiver: 20 of 20
--   ticks that rise, for three who share them: 30
--   a tick that nobody awaits is dropped
--   functions called later: 30, stopped: 30
--   the earliest of many: 8 of 8
--   who waits for a stopped timer waits on: default, then the new time
--   forgotten timers keep nothing alive

local lp = luapark
local spawn = lp.spawn
local FAR = 3600

do
  local out, good = chan(40), 0
  for i = 1, 40 do
    local s = i % 8 * 0.0007
    spawn(function()
      local t0 = lp.now()
      local t = lp.timer(s)
      local v, ok = t.c:recv()
      out:send(ok and v >= t0 + s - 1e-9 and lp.now() >= v)
    end)
  end
  for _ = 1, 40 do
    good = good + (out:recv() and 1 or 0)
  end
  print(("never too early: %d of 40"):format(good))
end

-- One goroutine waits for all of them, wherever they were made.
do
  local made, cases, order = chan(8), {}, {}
  local t0 = lp.now()
  for i = 1, 8 do
    spawn(function() made:send { i, lp.timer(t0 + 0.01 + i * 0.004 - lp.now()) } end)
  end
  for _ = 1, 8 do
    local got = made:recv()
    cases[got[1]] = got[2].c
  end
  lp.sleep(t0 + 0.05 - lp.now()) -- all are due by now: their times tell the order
  local times = {}
  for i = 1, 8 do
    order[i] = i
    times[i] = cases[i]:recv()
  end
  table.sort(order, function(a, b) return times[a] < times[b] end)
  print("in order: " .. table.concat(order, " "))
end

do
  local out, stopped, quiet = chan(), 0, 0
  for i = 1, 20 do
    local t = lp.timer(i % 2 == 0 and FAR or 0) -- also one that is due, but was not received
    spawn(function() out:send(t:stop()) end)
    stopped = stopped + (out:recv() and 1 or 0)
    quiet = quiet + (lp.select { t.c, default = true } == "default" and 1 or 0)
  end
  print(("stopped elsewhere: %d of 20, %s came"):format(stopped, quiet == 20 and "nothing" or "something"))
end

do
  local n = 0
  for i = 1, 20 do
    local t, was = lp.timer(FAR), chan(1)
    spawn(function() was:send(t:reset(0)) end)
    local got = i % 2 == 0 and t.c:recv() or lp.select { chan(), t.c } == 2
    n = n + (got and was:recv() and not t:stop() and 1 or 0)
  end
  print(("reset elsewhere to now: %d of 20"):format(n))
end

do
  local n = 0
  for _ = 1, 20 do
    local t, out, quit = lp.timer(FAR), chan(4), chan()
    for _ = 1, 4 do
      spawn(function() out:send(lp.select { t.c, quit }) end)
    end
    t:reset(0)
    local first = out:recv()
    quit:close()
    local sum = 0
    for _ = 1, 3 do
      sum = sum + out:recv()
    end
    n = n + (first == 1 and sum == 6 and 1 or 0)
  end
  print(("one time, one receiver: %d of 20"):format(n))
end

do
  local t, out = lp.ticker(0.0005), chan()
  for _ = 1, 3 do
    spawn(function()
      local last, rising = 0, 0
      for v in t.c do
        rising = rising + (v > last and 1 or 0)
        last = v
        if rising == 10 then
          break
        end
      end
      out:send(rising)
    end)
  end
  local sum = out:recv() + out:recv() + out:recv()
  t:stop()
  print("ticks that rise, for three who share them: " .. sum)
end

do
  local t, out = lp.ticker(0.001), chan()
  lp.sleep(0.02)
  spawn(function()
    local n = 0
    while select(3, t.c:tryrecv()) do
      n = n + 1
      t:stop() -- one tick was due, not twenty
    end
    out:send(n)
  end)
  print(out:recv() == 1 and "a tick that nobody awaits is dropped")
end

do
  local called, ended, out = lp.atomic(), lp.waitgroup(), chan()
  ended:add(3)
  for _ = 1, 3 do
    spawn(function()
      local wg, stopped = lp.waitgroup(), 0
      wg:add(10)
      for i = 1, 20 do
        local t = lp.afterfunc(i % 2 == 0 and FAR or i * 0.0001, function(a)
          called:add(a)
          wg:done()
        end, 1)
        if i % 2 == 0 then
          stopped = stopped + (t:stop() and 1 or 0)
        end
      end
      wg:wait()
      ended:done()
      out:send(stopped)
    end)
  end
  local stopped = out:recv() + out:recv() + out:recv()
  ended:wait()
  print(("functions called later: %d, stopped: %d"):format(called:load(), stopped))
end

do
  local out, n = chan(), 0
  for k = 1, 8 do
    spawn(function()
      local cases = {}
      for i = 1, 8 do
        cases[i] = lp.after(i == k and 0.002 or FAR)
      end
      out:send(lp.select(cases) == k)
    end)
  end
  for _ = 1, 8 do
    n = n + (out:recv() and 1 or 0)
  end
  print(("the earliest of many: %d of 8"):format(n))
end

do
  local t, waits, out = lp.timer(0.005), chan(), chan()
  spawn(function()
    waits:send()
    out:send((t.c:recv()))
  end)
  t:stop()
  waits:recv()
  lp.sleep(0.01)
  local word = lp.select { out, default = true }
  local t0 = lp.now()
  t:reset(0.001)
  print(("who waits for a stopped timer waits on: %s, then %s"):format(word,
    out:recv() >= t0 + 0.001 and "the new time" or "another"))
end

for _ = 1, 100 do
  spawn(function()
    lp.timer(FAR)
    lp.ticker(0.001)
    lp.after(FAR)
    lp.afterfunc(FAR, print):stop()
  end)
end
print "forgotten timers keep nothing alive"
