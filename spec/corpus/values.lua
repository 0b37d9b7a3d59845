-- SPDX-License-Identifier: MIT

-- values: each kind of value that is no table, there and back over channels, from a goroutine that may have moved.
--
-- Prints:
--   nil is received, and is not the end: nil true
--   true false
--   zeros: 0 -0
--   numbers: 18 of 18
--   a NaN
--   strings: 9 of 9
--   bytes: 256 of 256
--   16777216 bytes, equal
--   int64: -9223372036854775808LL 9223372036854775807LL -1LL
--   uint64: 18446744073709551615ULL 0ULL
--   complex trip: nil false 0 -1LL text

local ffi = require "ffi"

local there, back = chan(), chan(1)
go(function(from, to)
  while true do
    local v, ok = from:recv()
    if not ok then
      to:close()
      return
    end
    to:send(v)
  end
end, there, back)

local function trip(v)
  there:send(v)
  return back:recv()
end

print("nil is received, and is not the end: " .. tostring((trip(nil))) .. " " .. tostring(select(2, trip(nil))))
print(tostring(trip(true)) .. " " .. tostring(trip(false)))
-- Not -0: for arm64 LuaJIT reads the integer 0 there.
local minus0 = -1 / math.huge
print(("zeros: %s %s"):format(1 / trip(0) == math.huge and "0" or "?", 1 / trip(minus0) == -math.huge and "-0" or "?"))

local n, numbers = 0, { 1, -1, 0.1, 1 / 3, 2 ^ 31 - 1, 2 ^ 31, -2 ^ 31, -2 ^ 31 - 1, 2 ^ 32, 2 ^ 53, -2 ^ 53, 2 ^ 63, 1e308,
  -1e308, 2 ^ -1074, 2 ^ -1022, math.huge, -math.huge }
for _, v in ipairs(numbers) do
  n = n + (trip(v) == v and 1 or 0)
end
print(("numbers: %d of %d"):format(n, #numbers))
local nan = trip(0 / 0)
print(nan ~= nan and "a NaN" or "?")

local strings = { "", "\0", "a\0b", ("\0"):rep(100), "\n\r\t", "\255\254", "héllo", ("x"):rep(127), ("x"):rep(128) }
n = 0
for _, s in ipairs(strings) do
  n = n + (trip(s) == s and 1 or 0)
end
print(("strings: %d of %d"):format(n, #strings))
n = 0
for i = 0, 255 do
  n = n + (trip(string.char(i)) == string.char(i) and 1 or 0)
end
print(("bytes: %d of 256"):format(n))
local huge = ("0123456789abcdef"):rep(2 ^ 20)
print(("%d bytes, %s"):format(#huge, trip(huge) == huge and "equal" or "different"))

local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"
local function name(v, type)
  return ffi.istype(type, v) and tostring(v) or "?"
end
print(("int64: %s %s %s"):format(name(trip(int64(-2 ^ 63)), int64), name(trip(0x7fffffffffffffffLL), int64),
  name(trip(-1LL), int64)))
print(("uint64: %s %s"):format(name(trip(0xffffffffffffffffULL), uint64), name(trip(0ULL), uint64)))

local t = trip { nil, false, 0, -1LL, "text" }
print(("complex trip: %s %s %d %s %s"):format(tostring(t[1]), tostring(t[2]), t[3], tostring(t[4]), t[5]))
there:close()
assert(select(2, back:recv()) == false)
