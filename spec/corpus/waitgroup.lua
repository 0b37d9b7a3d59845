-- SPDX-License-Identifier: MIT

-- waitgroup: add, done, go and wait; groups that are used again, waited for by many, and nested.
--
-- Prints:
--   50 done
--   again: 50 done
--   10 waited, all after the end
--   the tree has 1093 nodes
--   negative counter of the wait group (done)

local lp = luapark

local wg, c = lp.waitgroup(), chan(100)
for round = 1, 2 do
  for i = 1, 50 do
    if i % 2 == 0 then
      wg:add()
      go(function()
        gosched()
        c:send(i)
        wg:done()
      end)
    else
      wg:go(function(v) c:send(v) end, i)
    end
  end
  wg:wait()
  local n = c:len()
  for _ = 1, n do
    c:recv()
  end
  print(("%s%d done"):format(round == 2 and "again: " or "", n))
end

local gate, waited = lp.waitgroup(), chan()
gate:add(3)
local open = lp.waitgroup()
for _ = 1, 10 do
  open:add()
  go(function()
    open:done()
    gate:wait()
    waited:send(true)
  end)
end
open:wait()
assert(select("#", waited:tryrecv()) == 3 and not select(3, waited:tryrecv()))
gate:done()
gate:add(-2)
for _ = 1, 10 do
  assert(waited:recv())
end
print "10 waited, all after the end"

-- Each node waits for its children, and counts them over a channel.
local function node(count, depth)
  local children = lp.waitgroup()
  if depth > 0 then
    for _ = 1, 3 do
      children:go(node, count, depth - 1)
    end
  end
  children:wait()
  count:send(1)
end
local count, all = chan(16), lp.waitgroup()
all:go(node, count, 6)
go(function()
  all:wait()
  count:close()
end)
local n = 0
for one in count do
  n = n + one
end
print(("the tree has %d nodes"):format(n))

print((select(2, pcall(function() wg:done() end)):gsub("^.-:%d+: ", "")))
