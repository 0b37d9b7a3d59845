-- SPDX-License-Identifier: MIT

-- histform: a histogram as text and as bytes, in the forms of HdrHistogram: the table of percentiles that its tools print
-- and plot, and its encoding V2 (not compressed), which they read.
--
-- V2 is a header of big-endian words, then the counts of all slots up to the last that is not 0, in a variable number of
-- bytes each (LEB128, zig-zag: the sign is the lowest bit); -n stands for n counts of 0.
--
-- What the encoding has no word for is the overflow. If there is any it follows the counts, where others do not look.

local ffi = require "ffi"
local histslot = require "luapark.histslot"

local check, badarg, iswhole, isvalue = histslot.check, histslot.badarg, histslot.iswhole, histslot.isvalue
local floor, max, min, concat, char, byte = math.floor, math.max, math.min, table.concat, string.char, string.byte

local hist = histslot.hist

local histform = {}

-- Text -----------------------------------------------------------------------------------------------------------------

-- text([scale [, ticks]]) -> the percentiles, as HdrHistogram prints them; values are divided by scale (1).
function hist:text(scale, ticks)
  check(self, "text")
  scale, ticks = scale == nil and 1 or scale, ticks == nil and 5 or ticks
  if not isvalue(scale) or scale == 0 then
    badarg(1, "text", "number above 0 expected", scale)
  elseif not iswhole(ticks, 1) then
    badarg(2, "text", "whole number from 1 expected", ticks)
  end
  local value = "%12." .. self.digits .. "f"
  local line, last = value .. " %2.12f %10d %14.2f\n", value .. " %2.12f %10d\n"
  local t = { ("%12s %14s %10s %14s\n\n"):format("Value", "Percentile", "TotalCount", "1/(1-Percentile)") }
  for v, p, n in self:percentiles(ticks) do
    t[#t + 1] = p < 100 and line:format(v / scale, p / 100, n, 1 / (1 - p / 100)) or last:format(v / scale, 1, n)
  end
  t[#t + 1] = ("#[Mean    = " .. value .. ", StdDeviation   = " .. value .. "]\n"):format(self:mean() / scale,
    self:stdev() / scale)
  t[#t + 1] = ("#[Max     = " .. value .. ", Total count    = %12d]\n"):format(self:max() / scale, self.total)
  t[#t + 1] = ("#[Buckets = %12d, SubBuckets     = %12d]\n"):format(self.buckets, 2 * self.half)
  return concat(t)
end

-- Bytes ----------------------------------------------------------------------------------------------------------------

local COOKIE = 0x1c849313 -- "V2", and that counts are of variable length
local HEADER = 40 -- bytes
local MOST = 2 ^ 53 -- that is counted; takes eight bytes
local ONE = "\63\240\0\0\0\0\0\0" -- the number 1.0: what our values are multiplied by

-- n as big-endian word.
local function word(n)
  return char(floor(n / 2 ^ 24), floor(n / 2 ^ 16) % 256, floor(n / 2 ^ 8) % 256, n % 256)
end

-- The big-endian word at place i.
local function wordat(s, i)
  local a, b, c, d = byte(s, i, i + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- Writes n, which is not negative, to p[at]. -> where it ends
local function put(p, at, n)
  while n >= 128 do
    p[at] = n % 128 + 128
    n = floor(n / 128)
    at = at + 1
  end
  p[at] = n
  return at + 1
end

-- encode() -> the histogram as a string of bytes, for decode.
function hist:encode()
  check(self, "encode")
  local counts, last = self.counts, self.length
  while last > 1 and counts[last] == 0 do
    last = last - 1
  end
  local p, at, i = ffi.new("uint8_t[?]", 8 * (last + 1)), 0, 1 -- room for all of them, and the overflow
  while i <= last do
    local n, first = counts[i], i
    i = i + 1
    while n == 0 and i <= last and counts[i] == 0 do
      i = i + 1
    end
    -- n is written as 2 * n, -n as 2 * n - 1.
    at = put(p, at, i - first > 1 and 2 * (i - first) - 1 or 2 * min(n, MOST))
  end
  local payload = at
  if self.refused > 0 then
    at = put(p, at, 2 * min(self.refused, MOST))
  end
  return word(COOKIE) .. word(payload) .. word(0) .. word(self.digits) .. word(floor(self.lowest / 2 ^ 32))
    .. word(self.lowest % 2 ^ 32) .. word(floor(self.highest / 2 ^ 32)) .. word(self.highest % 2 ^ 32) .. ONE
    .. ffi.string(p, at)
end

-- The number at s[at], before s[past]. -> n, where it ends | nil, why
local function get(s, at, past)
  local n, weight, sign = 0, 1, nil
  for i = 1, 9 do
    if at == past then
      return nil, "it breaks off"
    end
    local b = byte(s, at)
    at = at + 1
    sign = sign or b % 2
    local more = b >= 128 and i < 9 -- the ninth byte is whole
    n = n + (more and b - 128 or b) * weight
    weight = weight * 128
    if not more then
      break
    end
  end
  n = sign == 1 and -(n + 1) / 2 or n / 2
  if n > MOST then
    return nil, "a count is above 2^53"
  end
  return n, at
end

-- decode(s) -> h | nil, why
function histform.decode(s)
  if #s < HEADER then
    return nil, "it breaks off"
  elseif wordat(s, 1) ~= COOKIE then
    return nil, "it is not in HdrHistogram's encoding V2"
  elseif wordat(s, 9) ~= 0 or s:sub(33, 40) ~= ONE then
    return nil, "its values are scaled"
  end
  local past = HEADER + 1 + wordat(s, 5) -- the counts
  if past > #s + 1 then
    return nil, "it breaks off"
  end
  local digits, lowest, highest = wordat(s, 13), wordat(s, 17) * 2 ^ 32 + wordat(s, 21),
    wordat(s, 25) * 2 ^ 32 + wordat(s, 29)
  local why = histslot.unfit(lowest, highest, digits)
  if why then
    return nil, why
  end
  local h = histslot.make(lowest, highest, digits)
  local at, i = HEADER + 1, 1
  while at < past do
    local n, after = get(s, at, past)
    if not n then
      return nil, after
    elseif i + max(-n, 1) > h.length + 1 then
      return nil, "it has more counts than slots"
    elseif n >= 0 then
      h.counts[i], h.total = n, h.total + n
    end
    at, i = after, i + max(-n, 1)
  end
  if past <= #s then
    local n, after = get(s, past, #s + 1)
    if not n or n < 0 or after <= #s then
      return nil, "what follows the counts is not the overflow"
    end
    h.refused = n
  end
  return h
end

return histform
