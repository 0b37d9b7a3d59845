-- SPDX-License-Identifier: MIT

-- portable: functions that may move to another P, with all that can come along: constants, handles, other functions.
--
-- Prints:
--   constants: nil true false 42 -0.5 text a\0b
--   int64 in the code: 9007199254740993LL
--   functions of functions: 3628800
--   even and odd: true false
--   handed to each other: true false
--   sixty upvalues: 1830
--   a counter of its own: 1 2 3
--   standard names: 3 5 ok 7
--   string methods: HELLO olleh 5
--   varargs: 3 nil 2 nil
--   nested: leaf of branch of root

local lp = luapark

local out = chan()

local nothing, yes, no, n, half, text, bytes = nil, true, false, 42, -0.5, "text", "a\0b"
go(function()
  out:send(("%s %s %s %d %s %s %s"):format(tostring(nothing), tostring(yes), tostring(no), n, half, text,
    (bytes:gsub("%z", "\\0"))))
end)
print("constants: " .. out:recv())

go(function() out:send(tostring(9007199254740993LL)) end)
print("int64 in the code: " .. out:recv())

local function mul(a, b) return a * b end
local function factorial(k)
  return k == 0 and 1 or mul(k, factorial(k - 1))
end
local function report(k) out:send(factorial(k)) end
go(report, 10)
print("functions of functions: " .. out:recv())

-- Two functions that need each other: the first is assigned after its declaration, so they stay at home.
local odd
local function even(k)
  return k == 0 or odd(k - 1)
end
function odd(k)
  return k ~= 0 and even(k - 1)
end
go(function() out:send(tostring(even(100)) .. " " .. tostring(even(101))) end)
print("even and odd: " .. out:recv())

-- The same without an assignment may move.
local function iseven(k, other)
  return k == 0 or other(k - 1, iseven)
end
local function isodd(k, other)
  return k ~= 0 and other(k - 1, isodd)
end
go(function() out:send(tostring(iseven(100, isodd)) .. " " .. tostring(iseven(101, isodd))) end)
print("handed to each other: " .. out:recv())

local a1, a2, a3, a4, a5, a6, a7, a8, a9, a10 = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local b1, b2, b3, b4, b5, b6, b7, b8, b9, b10 = 11, 12, 13, 14, 15, 16, 17, 18, 19, 20
local c1, c2, c3, c4, c5, c6, c7, c8, c9, c10 = 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
local d1, d2, d3, d4, d5, d6, d7, d8, d9, d10 = 31, 32, 33, 34, 35, 36, 37, 38, 39, 40
local e1, e2, e3, e4, e5, e6, e7, e8, e9, e10 = 41, 42, 43, 44, 45, 46, 47, 48, 49, 50
local f1, f2, f3, f4, f5, f6, f7, f8, f9 = 51, 52, 53, 54, 55, 56, 57, 58, 59
go(function(last, to)
  to:send(a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + b1 + b2 + b3 + b4 + b5 + b6 + b7 + b8 + b9 + b10
    + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + d1 + d2 + d3 + d4 + d5 + d6 + d7 + d8 + d9 + d10
    + e1 + e2 + e3 + e4 + e5 + e6 + e7 + e8 + e9 + e10 + f1 + f2 + f3 + f4 + f5 + f6 + f7 + f8 + f9 + last)
end, 60, out)
print("sixty upvalues: " .. out:recv())

-- What it makes there is its own, variables that change as well.
local function counter()
  local k = 0
  return function()
    k = k + 1
    return k
  end
end
go(function()
  local next = counter()
  out:send(("%d %d %d"):format(next(), next(), next()))
end)
print("a counter of its own: " .. out:recv())

local string, insert, bxor, park = string, table.insert, require "bit".bxor, luapark
go(function()
  local t = {}
  insert(t, bxor(1, 2))
  insert(t, math.max(4, 5))
  insert(t, park.now() > 0 and string.lower "OK" or "?")
  insert(t, string.len "seven  ")
  out:send(table.concat(t, " "))
end)
print("standard names: " .. out:recv())

go(function(s) out:send(s:upper() .. " " .. s:reverse() .. " " .. #s) end, "hello")
print("string methods: " .. out:recv())

go(function(...)
  out:send(("%d %s %s %s"):format(select("#", ...), tostring((select(1, ...))), tostring((select(2, ...))),
    tostring((select(3, ...)))))
end, nil, 2, nil)
print("varargs: " .. out:recv())

-- Goroutines that start goroutines, of functions that came along.
local function leaf(name) out:send("leaf of " .. name) end
local function branch(name)
  lp.sleep(0)
  go(leaf, "branch of " .. name)
end
go(function() go(branch, "root") end)
print("nested: " .. out:recv())
