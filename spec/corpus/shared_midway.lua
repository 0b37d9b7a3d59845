-- SPDX-License-Identifier: MIT

-- shared_midway: handles become shared while those who know them at home are in the middle of using them, and are
-- pre-empted.
--
-- Prints:
--   2000 mutexes, each locked by three others

local lp = luapark

local locked = lp.atomic()
for _ = 1, 2000 do
  local m, wg = lp.mutex(), lp.waitgroup()
  m:lock()
  wg:add(3)
  for _ = 1, 2 do
    go(function()
      m:lock()
      locked:add(1)
      m:unlock()
      wg:done()
    end)
  end
  lp.spawn(function(mutex, group, n)
    mutex:lock()
    n:add(1)
    mutex:unlock()
    group:done()
  end, m, wg, locked)
  m:unlock()
  wg:wait()
end
print(("%d mutexes, each locked by three others"):format(locked:load() / 3))
