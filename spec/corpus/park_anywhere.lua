-- SPDX-License-Identifier: MIT

-- park_anywhere: goroutines wait inside C functions that call back, wherever they run.
--
-- Prints:
--   sort: 30 of 30 in order
--   gsub: <a><b><c>
--   pcall: false message
--   metamethods: 12 true indexed called
--   load: 6
--   sorts that fail: 20
--   tostring: in words
--   two channels in a comparator: 1 2 3 4 5 6 7 8

local lp = luapark

local out = chan()

local function sorted(seed)
  local t = {}
  for k = 1, 30 do
    t[k] = (k * 7919 + seed * 31) % 101
  end
  table.sort(t, function(a, b)
    if (a + b) % 5 == 0 then
      gosched()
    elseif (a + b) % 31 == 0 then
      lp.sleep(0)
    end
    return a < b
  end)
  for k = 2, #t do
    if t[k - 1] > t[k] then
      return false
    end
  end
  return true
end
for seed = 1, 30 do
  go(function() out:send(sorted(seed)) end)
end
local n = 0
for _ = 1, 30 do
  n = n + (out:recv() and 1 or 0)
end
print(("sort: %d of 30 in order"):format(n))

go(function()
  out:send((("abc"):gsub("%w", function(c)
    lp.sleep(0.001)
    return "<" .. c .. ">"
  end)))
end)
print("gsub: " .. out:recv())

go(function()
  local ok, e = pcall(string.gsub, "x", "x", function()
    gosched()
    error("message", 0)
  end)
  out:send(tostring(ok) .. " " .. e)
end)
print("pcall: " .. out:recv())

go(function()
  local mt = {
    __add = function(a, b)
      gosched()
      return a.n + b.n
    end,
    __lt = function(a, b)
      gosched()
      return a.n < b.n
    end,
    __index = function()
      gosched()
      return "indexed"
    end,
    __call = function()
      gosched()
      return "called"
    end,
  }
  local a, b = setmetatable({ n = 5 }, mt), setmetatable({ n = 7 }, mt)
  out:send(("%d %s %s %s"):format(a + b, tostring(a < b), a.nothing, b()))
end)
print("metamethods: " .. out:recv())

go(function()
  local pieces, i = { "return ", "1 + ", "2 + ", "3" }, 0
  local f = assert(load(function()
    gosched()
    i = i + 1
    return pieces[i]
  end))
  out:send(f())
end)
print("load: " .. out:recv())

for i = 1, 20 do
  go(function()
    local ok, e = pcall(table.sort, { 3, 2, 1, 5, 4 }, function()
      gosched()
      error("E" .. i, 0)
    end)
    out:send(not ok and e == "E" .. i)
  end)
end
n = 0
for _ = 1, 20 do
  n = n + (out:recv() and 1 or 0)
end
print("sorts that fail: " .. n)

go(function()
  local mt = { __tostring = function()
    gosched()
    return "in words"
  end }
  out:send(tostring(setmetatable({}, mt)))
end)
print("tostring: " .. out:recv())

-- Each comparison is asked of another goroutine.
local questions, answers = chan(), chan()
go(function()
  for q in questions do
    answers:send(q[1] < q[2])
  end
end)
go(function()
  local t = { 5, 3, 8, 1, 7, 2, 6, 4 }
  table.sort(t, function(a, b)
    questions:send { a, b }
    return (answers:recv())
  end)
  questions:close()
  out:send(table.concat(t, " "))
end)
print("two channels in a comparator: " .. out:recv())
