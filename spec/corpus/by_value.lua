-- SPDX-License-Identifier: MIT

-- by_value: a table that is sent is copied. What the receiver does to it the sender does not see, nor the other way
-- round; cycles and shared parts come over as they were.
--
-- Prints:
--   the sender's: 1 2 old
--   the receiver's: changed 2 new
--   buffered: 1, trysend: 2, select: 3
--   two receivers, two tables: true
--   cycle: true, shared: true, as key: value
--   holes: nil 2 nil 4, zero and negative: zero minus
--   deep: 100000
--   wide: 100000
--   what waits to be received was sent: before

local lp = luapark

-- A receiver far away, perhaps.
local function change(from, to)
  local t = from:recv()
  t[1] = "changed"
  t[3].x = "new"
  to:send(("%s %s %s"):format(t[1], t[2], t[3].x))
end
local c, out = chan(), chan()
go(change, c, out)
local t = { 1, 2, { x = "old" } }
c:send(t)
local theirs = out:recv()
print(("the sender's: %s %s %s"):format(t[1], t[2], t[3].x))
print("the receiver's: " .. theirs)

-- The copy is made when it is sent, also into a buffer, also for oneself.
local b = chan(3)
t = { 1 }
b:send(t)
t[1] = 2
b:trysend(t)
t[1] = 3
lp.select { { b, send = t } }
t[1] = 4
print(("buffered: %d, trysend: %d, select: %d"):format(b:recv()[1], b:recv()[1], b:recv()[1]))

t = {}
b:send(t)
b:send(t)
local one, other = b:recv(), b:recv()
print("two receivers, two tables: " .. tostring(one ~= other and one ~= t and other ~= t))

local function identities(from, to)
  local got = from:recv()
  to:send { got.self == got, got.twice[1] == got.twice[2] and got.twice[1] == got.twice.three, got[got.key] }
end
c = chan()
go(identities, c, out)
local shared, key = {}, {}
t = { twice = { shared, shared, three = shared }, key = key, [key] = "value" }
t.self = t
c:send(t)
local r = out:recv()
print(("cycle: %s, shared: %s, as key: %s"):format(tostring(r[1]), tostring(r[2]), r[3]))

local function echo(from, to) to:send((from:recv())) end
local function roundtrip(v)
  local there, back = chan(), chan()
  go(echo, there, back)
  there:send(v)
  return (back:recv())
end
r = roundtrip { nil, 2, nil, 4, [0] = "zero", [-1] = "minus" }
print(("holes: %s %s %s %s, zero and negative: %s %s"):format(tostring(r[1]), r[2], tostring(r[3]), r[4], r[0], r[-1]))

local deep = {}
for _ = 1, 100000 do
  deep = { deep }
end
deep = roundtrip(deep)
local depth = 0
while deep[1] do
  deep, depth = deep[1], depth + 1
end
print("deep: " .. depth)

local wide = {}
for i = 1, 50000 do
  wide[i] = i
  wide["key" .. i] = -i
end
wide = roundtrip(wide)
local n = 0
for i = 1, 50000 do
  n = n + (wide[i] == i and 1 or 0) + (wide["key" .. i] == -i and 1 or 0)
end
print("wide: " .. n)

-- Who waits with a table in his hand has sent it already.
c = chan()
local offered = { "before" }
local g = go(function() lp.select { { c, send = offered } } end)
while g.status ~= "waiting" do
  gosched()
end
offered[1] = "after"
print("what waits to be received was sent: " .. c:recv()[1])
