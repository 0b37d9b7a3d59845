-- SPDX-License-Identifier: MIT

-- fib: functions that compute, started by plain go; the results come in any order and say which they are.
--
-- Prints:
--   0 1 1 2 3 5 8 13 21 34 55 89 144 233 377 610 987 1597 2584 4181
--   fork and join: 6765

local function fib(n)
  return n < 2 and n or fib(n - 1) + fib(n - 2)
end

local results = chan()
for n = 0, 19 do
  go(function()
    results:send { n = n, fib = fib(n) }
  end)
end
local t = {}
for _ = 0, 19 do
  local r = results:recv()
  assert(not t[r.n + 1], "twice")
  t[r.n + 1] = r.fib
end
print(table.concat(t, " "))

-- A goroutine for each call, down to where it no longer pays.
local function fork(out, n)
  if n < 8 then
    out:send(fib(n))
    return
  end
  local parts = chan(2)
  go(fork, parts, n - 1)
  go(fork, parts, n - 2)
  out:send(parts:recv() + parts:recv())
end
local out = chan()
go(fork, out, 20)
print("fork and join: " .. out:recv())
