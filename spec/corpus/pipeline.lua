-- SPDX-License-Identifier: MIT

-- pipeline: a thousand stages, each of which adds one; values come out in the order in which they went in.
--
-- Prints:
--   50 values, each 1000 more, in order
--   the end has come through

local STAGES, VALUES = 1000, 50

local function stage(from, to)
  for v in from do
    to:send(v + 1)
  end
  to:close()
end

local first = chan()
local last = first
for _ = 1, STAGES do
  local next = chan(1)
  go(stage, last, next)
  last = next
end

go(function()
  for v = 1, VALUES do
    first:send(v)
  end
  first:close()
end)

for v = 1, VALUES do
  assert(last:recv() == v + STAGES)
end
print(("%d values, each %d more, in order"):format(VALUES, STAGES))
local v, ok = last:recv()
assert(v == nil and ok == false)
print "the end has come through"
