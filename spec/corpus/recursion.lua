-- SPDX-License-Identifier: MIT

-- recursion: deep in Lua and deep in C, with a wait at the bottom, and stack overflows that are caught.
--
-- Prints:
--   10 goroutines, 10000 deep: 10
--   10 goroutines, 30 deep in gsub: 10
--   10 stack overflows, caught: 10
--   endless tail calls: 200000

local lp = luapark

local out = chan()
local function collect(what, n)
  local right = 0
  for _ = 1, n do
    right = right + (out:recv() and 1 or 0)
  end
  print(("%s: %d"):format(what, right))
end

local function down(n)
  if n == 0 then
    lp.sleep(0)
    return 0
  end
  return 1 + down(n - 1)
end
for _ = 1, 10 do
  go(function() out:send(down(10000) == 10000) end)
end
collect("10 goroutines, 10000 deep", 10)

local function nested(n)
  if n == 0 then
    gosched()
    return "x"
  end
  return (("x"):gsub("x", function() return nested(n - 1) .. n % 10 end))
end
for _ = 1, 10 do
  go(function() out:send(nested(30) == "x" .. ("1234567890"):rep(3)) end)
end
collect("10 goroutines, 30 deep in gsub", 10)

local function endless(n)
  return 1 + endless(n + 1)
end
for _ = 1, 10 do
  go(function()
    local ok, e = pcall(endless, 1)
    gosched()
    out:send(not ok and e:find "stack overflow")
  end)
end
collect("10 stack overflows, caught", 10)

local function loop(n)
  if n == 0 then
    return out:send(200000)
  end
  return loop(n - 1)
end
go(loop, 200000)
print("endless tail calls: " .. out:recv())
