-- SPDX-License-Identifier: MIT

-- park: gopark and goready, the two words from which everything that waits is made.
--
-- gopark parks the running goroutine; goready(g, ...) wakes g and hands it values. Here they make something that
-- Luapark does not have: a barrier, at which goroutines wait until the last one has come. The wait may stand anywhere,
-- even in a table.sort comparator: there is no "attempt to yield across C-call boundary".
--
-- Prints:
--   at the barrier: ann bob eve joe
--   one was the last, 4 went on
--   sorted in slow motion: 1 2 3 5 8

-- barrier(n) -> wait(): parks until n goroutines have called it; true for the last.
local function barrier(n)
  local waiting = {}
  return function()
    if #waiting == n - 1 then
      for _, g in ipairs(waiting) do
        goready(g, false)
      end
      waiting = {}
      return true
    end
    return gopark(function(g) -- called once this goroutine waits: from here on others may ready it
      waiting[#waiting + 1] = g
    end, nil, "barrier") -- what a traceback says it waits for
  end
end

local wait, wg = barrier(4), luapark.waitgroup()
local came, last, went = {}, 0, 0
for _, name in ipairs { "ann", "bob", "eve", "joe" } do
  wg:go(function()
    came[#came + 1] = name
    if wait() then
      last = last + 1
    end
    went = went + #came / 4 -- all have come
  end)
end
wg:wait()
table.sort(came)
print("at the barrier: " .. table.concat(came, " "))
print(("%s was the last, %d went on"):format(last == 1 and "one" or "not one", went))

local list = { 5, 3, 8, 1, 2 }
table.sort(list, function(a, b)
  luapark.sleep(0.001)
  return a < b
end)
print("sorted in slow motion: " .. table.concat(list, " "))
