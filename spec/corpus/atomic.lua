-- SPDX-License-Identifier: MIT

-- atomic: numbers that any goroutine on any P may change, without a lock and without a copy.
--
-- Prints:
--   new: 0, 5, -1.5
--   add gives the new: 7, swap the old: 7, then 100
--   cas: true false, then 1
--   added by 20 goroutines: 20000
--   compared and swapped: 2000
--   swapped: each of 200 tickets once
--   over a channel it is the same: 42

local lp = luapark

print(("new: %s, %s, %s"):format(lp.atomic():load(), lp.atomic(5):load(), lp.atomic(-1.5):load()))
local a = lp.atomic(5)
print(("add gives the new: %d, swap the old: %d, then %d"):format(a:add(2), a:swap(100), a:load()))
a:store(0)
local first, second = a:cas(0, 1), a:cas(0, 2)
print(("cas: %s %s, then %d"):format(tostring(first), tostring(second), a:load()))

local sum, wg = lp.atomic(), lp.waitgroup()
for i = 1, 20 do
  wg:go(function()
    for k = 1, 1000 do
      sum:add(1)
      if k % (100 * i) == 0 then
        gosched()
      end
    end
  end)
end
wg:wait()
print("added by 20 goroutines: " .. sum:load())

local cell = lp.atomic()
for _ = 1, 10 do
  wg:go(function()
    for k = 1, 200 do
      local old
      repeat
        old = cell:load()
        if k % 50 == 0 then
          gosched()
        end
      until cell:cas(old, old + 1)
    end
  end)
end
wg:wait()
print("compared and swapped: " .. cell:load())

-- Who swaps a ticket out has it alone.
local slot, out = lp.atomic(0), chan(200)
for i = 1, 200 do
  go(function() out:send(slot:swap(i)) end)
end
local seen, n = {}, 0
for _ = 1, 200 do
  local v = out:recv()
  assert(not seen[v])
  seen[v], n = true, n + 1
end
assert(not seen[slot:load()])
print(("swapped: each of %d tickets once"):format(n))

local c = chan()
go(function() c:recv().counter:store(42) end)
local mine = lp.atomic()
local done = chan()
go(function(counter)
  while counter:load() ~= 42 do
    gosched()
  end
  done:send(counter:load())
end, mine)
c:send { counter = mine }
print("over a channel it is the same: " .. done:recv())
