-- SPDX-License-Identifier: MIT

-- generators: coroutines of one's own inside goroutines, which wait in the middle of them.
--
-- Prints:
--   primes below 50: 15, at each of 20 goroutines
--   permutations of 4: 24
--   a coroutine that fails: caught in it
--   a scheduler in a goroutine: a1 b1 a2 b2 a3 b3
--   a channel read by a coroutine: 55

local lp = luapark

local out = chan()

local function primes(limit)
  return coroutine.wrap(function()
    for n = 2, limit do
      local prime = true
      for d = 2, n - 1 do
        prime = prime and n % d ~= 0
      end
      if n % 10 == 0 then
        gosched()
      end
      if prime then
        coroutine.yield(n)
      end
    end
  end)
end
for _ = 1, 20 do
  go(function()
    local n = 0
    for _ in primes(50) do
      n = n + 1
    end
    out:send(n)
  end)
end
local n = out:recv()
for _ = 2, 20 do
  assert(out:recv() == n)
end
print(("primes below 50: %d, at each of 20 goroutines"):format(n))

local function permute(a, k)
  if k == 0 then
    coroutine.yield(a)
    return
  end
  for i = 1, k do
    a[k], a[i] = a[i], a[k]
    permute(a, k - 1)
    a[k], a[i] = a[i], a[k]
  end
end
go(function()
  local seen, count = {}, 0
  for p in coroutine.wrap(function() permute({ "a", "b", "c", "d" }, 4) end) do
    local s = table.concat(p)
    assert(not seen[s])
    seen[s], count = true, count + 1
    lp.sleep(0)
  end
  out:send(count)
end)
print("permutations of 4: " .. out:recv())

go(function()
  local co = coroutine.create(function()
    lp.sleep(0.001)
    error("caught in it", 0)
  end)
  local ok, e = coroutine.resume(co)
  out:send(not ok and coroutine.status(co) == "dead" and e)
end)
print("a coroutine that fails: " .. out:recv())

go(function()
  local log, tasks = {}, {}
  for i, name in ipairs { "a", "b" } do
    tasks[i] = coroutine.create(function()
      for k = 1, 3 do
        log[#log + 1] = name .. k
        gosched() -- the goroutine waits, not the coroutine
        coroutine.yield()
      end
    end)
  end
  for _ = 1, 3 do
    for _, task in ipairs(tasks) do
      assert(coroutine.resume(task))
    end
  end
  out:send(table.concat(log, " "))
end)
print("a scheduler in a goroutine: " .. out:recv())

local numbers = chan()
go(function()
  for i = 1, 10 do
    numbers:send(i)
  end
  numbers:close()
end)
go(function()
  local sum = 0
  for v in coroutine.wrap(function()
    for v in numbers do
      coroutine.yield(v)
    end
  end) do
    sum = sum + v
  end
  out:send(sum)
end)
print("a channel read by a coroutine: " .. out:recv())
