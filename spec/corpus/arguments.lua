-- SPDX-License-Identifier: MIT

-- arguments: go hands on any number of arguments, nil among them and at the end, to whatever P the goroutine runs on.
--
-- Prints:
--   0 to 100 arguments: 101 right
--   nil at any place: 64 right
--   100 goroutines of 200 arguments: 100 right
--   C functions: a,b 1

local out = chan()

local function check(...)
  local n, sum = select("#", ...), 0
  for i = 1, n do
    sum = sum + (select(i, ...))
  end
  out:send { n, sum }
end
local args, right = {}, 0
for n = 0, 100 do
  go(check, unpack(args, 1, n))
  local r = out:recv()
  right = right + (r[1] == n and r[2] == n * (n + 1) / 2 and 1 or 0)
  args[n + 1] = n + 1
end
print(("0 to 100 arguments: %d right"):format(right))

-- Six arguments, each of them nil or its place.
local function mask(bits, ...)
  local got = 0
  for i = 1, select("#", ...) do
    local v = select(i, ...)
    if v ~= nil then
      got = got + 2 ^ (v - 1)
    end
  end
  out:send(select("#", ...) == 6 and got == bits)
end
right = 0
for bits = 0, 63 do
  local v = {}
  for i = 1, 6 do
    v[i] = bit.band(bits, 2 ^ (i - 1)) ~= 0 and i or nil
  end
  go(mask, bits, unpack(v, 1, 6))
end
for _ = 0, 63 do
  right = right + (out:recv() and 1 or 0)
end
print(("nil at any place: %d right"):format(right))

local many = {}
for i = 1, 200 do
  many[i] = i
end
for _ = 1, 100 do
  go(check, unpack(many))
end
right = 0
for _ = 1, 100 do
  local r = out:recv()
  right = right + (r[1] == 200 and r[2] == 20100 and 1 or 0)
end
print(("100 goroutines of 200 arguments: %d right"):format(right))

local t, wg = {}, luapark.waitgroup()
wg:go(table.insert, t, "a")
wg:wait()
wg:go(table.insert, t, "b")
wg:wait()
local c = chan(1)
go(c.send, c, 1)
print(("C functions: %s %d"):format(table.concat(t, ","), (c:recv())))
