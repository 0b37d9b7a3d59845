-- SPDX-License-Identifier: MIT

-- mergesort: a tree of goroutines that sort; lists travel down and up by value, and the original stays as it was.
--
-- Prints:
--   5000 numbers in order
--   the original is untouched

local function merge(a, b)
  local t, i, j = {}, 1, 1
  for k = 1, #a + #b do
    if j > #b or i <= #a and a[i] <= b[j] then
      t[k], i = a[i], i + 1
    else
      t[k], j = b[j], j + 1
    end
  end
  return t
end

local function sort(from, to, depth)
  local list = from:recv()
  if depth == 0 then
    table.sort(list)
    to:send(list)
    return
  end
  local halves, sorted, middle = { {}, {} }, chan(), math.floor(#list / 2)
  for i, v in ipairs(list) do
    local half = halves[i <= middle and 1 or 2]
    half[#half + 1] = v
  end
  for _, half in ipairs(halves) do
    local c = chan()
    go(sort, c, sorted, depth - 1)
    c:send(half)
  end
  to:send(merge((sorted:recv()), (sorted:recv())))
end

local original, x = {}, 1
for i = 1, 5000 do
  x = x * 16807 % 2147483647
  original[i] = x
end
local copy = { unpack(original) }
local from, to = chan(), chan()
go(sort, from, to, 4)
from:send(original)
local sorted = to:recv()
assert(#sorted == #original)
for i = 2, #sorted do
  assert(sorted[i - 1] <= sorted[i])
end
print(#sorted .. " numbers in order")
for i = 1, #original do
  assert(original[i] == copy[i])
end
print "the original is untouched"
