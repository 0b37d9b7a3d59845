-- SPDX-License-Identifier: MIT

-- gopark: goroutines that wait until somebody who knows them wakes them, from whatever P, and what they are told.
--
-- Prints:
--   100 slept, told 1 to 100, each once
--   values: 5 of them, the third nil
--   woken before it slept: again
--   by a handle in a request: pong 7
--   a chain of 50: 50

local lp = luapark

-- unlockf runs when the goroutine waits, and says so: from then on others may wake it.
local function tell(g, c)
  c:trysend(g)
end

local waiting, out = chan(100), chan()
local function sleeper()
  local n, t = gopark(tell, waiting, "a reason of its own")
  out:send(n == t[1] and n)
end
for _ = 1, 100 do
  go(sleeper)
end
for i = 1, 100 do
  goready(waiting:recv(), i, { i })
end
local told, n = {}, 0
for _ = 1, 100 do
  local v = out:recv()
  assert(v and not told[v])
  told[v], n = true, n + 1
end
print(("%d slept, told 1 to 100, each once"):format(n))

go(function()
  local function count(...)
    local third = select(3, ...)
    out:send(("%d of them, the third %s"):format(select("#", ...), tostring(third)))
  end
  count(gopark(tell, waiting))
end)
goready(waiting:recv(), 1, "two", nil, 0 / 0, nil)
print("values: " .. out:recv())

-- false from unlockf: it goes on at once.
go(function()
  local c = chan(1)
  c:send "again"
  gopark(function(_, there) return there:len() == 0 end, c)
  out:send((c:recv()))
end)
print("woken before it slept: " .. out:recv())

-- A request that brings its asker instead of a channel.
local requests = chan()
go(function()
  for request in requests do
    local answer = ("pong %d"):format(request.n)
    while not pcall(goready, request.g, answer) do
      gosched() -- it does not wait yet
    end
  end
end)
go(function()
  requests:send { n = 7, g = getg() }
  out:send((gopark()))
end)
print("by a handle in a request: " .. out:recv())
requests:close()

-- Each wakes the one before it and adds one.
local function link(before, depth)
  if depth == 0 then
    goready(before, 0)
    return
  end
  local function start(g)
    go(link, g, depth - 1)
  end
  goready(before, gopark(start) + 1)
end
go(function()
  out:send((gopark(function(g) go(link, g, 50) end)))
end)
print("a chain of 50: " .. out:recv())
assert(lp.numgoroutine() >= 1)
