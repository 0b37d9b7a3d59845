-- SPDX-License-Identifier: MIT

-- cores: goroutines on all cores: what `go` moves, what it leaves where it is, and what spawn copies.
--
-- A goroutine that has not begun may go to another P if nobody could tell. `work` captures `fib` and `results`, a
-- function and a channel that nothing assigns to: it may. `add` captures a table, which it would share: it stays, and
-- finds ours. For the last one spawn copies the table, whatever P it comes to.
--
--   LUAPARK_DEBUG=portable luapark examples/cores.lua     names each `go` that stays, and says why
--
-- Prints (for example):
--   gomaxprocs 1: 0.24 s
--   gomaxprocs 2: 0.13 s
--   work is portable: true
--   add is portable: false, upvalue 'totals' is a table; pass a channel
--   go:    21 there, 21 here
--   spawn: 42 there, 21 here

local lp = luapark

local function fib(n)
  return n < 2 and n or fib(n - 1) + fib(n - 2)
end

local results = chan()

local function work()
  results:send(fib(32))
end

for _, procs in ipairs { 1, math.max(2, lp.numcpu()) } do
  lp.gomaxprocs(procs)
  local start = lp.now()
  for _ = 1, 8 do
    go(work)
  end
  for _ = 1, 8 do
    results:recv()
  end
  print(("gomaxprocs %d: %.2f s"):format(procs, lp.now() - start))
end

local totals = { n = 0 }

local function add()
  totals.n = totals.n + fib(8)
  results:send(totals.n)
end

print("work is portable: " .. tostring(lp.portable(work)))
print(("add is portable: %s, %s"):format(lp.portable(add)))
go(add)
print(("go:    %d there, %d here"):format(results:recv(), totals.n))
lp.spawn(add)
print(("spawn: %d there, %d here"):format(results:recv(), totals.n))
