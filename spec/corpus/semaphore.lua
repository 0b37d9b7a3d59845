-- SPDX-License-Identifier: MIT

-- semaphore: weighted, hammered from all sides: never more is held than there is, and nobody starves.
--
-- Prints:
--   1600 times, never more than 7 held
--   some gave up, and all is there
--   who wants all has had it 5 times

local lp = luapark

local SIZE = 7

local function hold(s, n, held, i)
  assert(held:add(n) <= SIZE, "more held than there is")
  if i % 3 == 0 then
    gosched()
  end
  held:add(-n)
  s:release(n)
end

local function take(id, s, held, count, wg)
  for i = 1, 100 do
    local n = (id + i) % (SIZE + 1)
    if i % 4 == 0 then
      while not s:tryacquire(n) do
        gosched()
      end
    else
      s:acquire(n)
    end
    hold(s, n, held, i)
    count:add(1)
  end
  wg:done()
end

local s, held, count, wg = lp.semaphore(SIZE), lp.atomic(), lp.atomic(), lp.waitgroup()
wg:add(16)
for id = 1, 16 do
  (id % 2 == 0 and lp.spawn or go)(take, id, s, held, count, wg)
end
wg:wait()
print(("%d times, never more than %d held"):format(count:load(), SIZE))

local function hurry(id, group, sem, h)
  for i = 1, 60 do
    local n = (id * i) % (SIZE + 2) -- some want more than there is
    if sem:acquire(n, i % 5 == 0 and 0 or i / 1e6) then
      hold(sem, n, h, i)
    end
  end
  group:done()
end

wg:add(16)
for id = 1, 16 do
  (id % 2 == 0 and lp.spawn or go)(hurry, id, wg, s, held)
end
wg:wait()
assert(held:load() == 0 and s:tryacquire(SIZE))
s:release(SIZE)
print "some gave up, and all is there"

local stop = lp.atomic()
for _ = 1, SIZE do
  wg:add()
  lp.spawn(function()
    while stop:load() == 0 do
      s:acquire()
      lp.sleep(0)
      s:release()
    end
    wg:done()
  end)
end
local n = 0
for _ = 1, 5 do
  s:acquire(SIZE)
  n = n + 1
  s:release(SIZE)
  gosched()
end
stop:store(1)
wg:wait()
print(("who wants all has had it %d times"):format(n))
