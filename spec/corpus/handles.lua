-- SPDX-License-Identifier: MIT

-- handles: goroutines' handles travel over channels, and name the same goroutine everywhere.
--
-- Prints:
--   200 goroutines, 200 ids
--   the handle from go is the one from getg: true
--   as key: worker
--   it came back: true, dead in the end: true
--   the waiting one, seen from another: goroutine waiting in chan receive
--   the main goroutine, woken by its child: good morning

local ids, n, out = {}, 0, chan()
for _ = 1, 200 do
  go(function() out:send(getg().id) end)
end
for _ = 1, 200 do
  local id = out:recv()
  n = n + (ids[id] and 0 or 1)
  ids[id] = true
end
print(("200 goroutines, %d ids"):format(n))

local hold = chan()
local g = go(function()
  out:send(getg())
  hold:recv()
end)
local same = out:recv()
print("the handle from go is the one from getg: " .. tostring(same == g and same.id == g.id))
print("as key: " .. ({ [g] = "worker" })[same])

local there, back = chan(), chan()
go(function(from, to) to:send((from:recv())) end, there, back)
there:send(g)
same = back:recv()
hold:close()
while g.status ~= "dead" do
  gosched()
end
print(("it came back: %s, dead in the end: %s"):format(tostring(same == g), tostring(same.status == "dead")))

local never = chan(1)
local w = go(function() never:recv() end)
go(function(who)
  while who.status ~= "waiting" or who.waitreason ~= "chan receive" do
    gosched()
  end
  out:send(("goroutine %s in %s"):format(who.status, who.waitreason))
end, w)
print("the waiting one, seen from another: " .. out:recv())
never:send(1)

go(function(parent)
  while not pcall(goready, parent, "good morning") do
    gosched() -- it does not wait yet
  end
end, getg())
print("the main goroutine, woken by its child: " .. gopark())
