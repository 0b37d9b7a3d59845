-- SPDX-License-Identifier: MIT

-- histslot: the layout of histograms, which is HdrHistogram's, and their class.
--
-- A slot counts the values of one range; they are equivalent from then on. Values from 0 on:
--
--   slots 1 .. 2 * half         unit wide each
--   the next half slots         2 * unit wide each
--   the next half slots         4 * unit wide each, and so on up to highest
--
-- unit and half are powers of two: unit the largest not above lowest, half so large that no slot (but the first, of unit)
-- is wider than one in the last of the digits asked for. HdrHistogram calls each line a bucket, and slots sub-buckets.

local ffi = require "ffi"
local bit = require "bit"
local newtable = require "table.new"

local rshift, max, min, floor = bit.rshift, math.max, math.min, math.floor
local type, error, tostring, getmetatable, setmetatable = type, error, tostring, getmetatable, setmetatable

local MOST = 2 ^ 53 -- numbers are exact up to there

-- The class: methods, metatable and the module "luapark.hist" in one, as values that cross want it.
local hist = { __module = "luapark.hist" }
hist.__index = hist

local histslot = { hist = hist }

-- Arguments ------------------------------------------------------------------------------------------------------------

function histslot.check(self, method)
  if getmetatable(self) ~= hist then
    error(("calling '%s' on bad self (histogram expected, got %s; call it with a colon)"):format(method, type(self)), 3)
  end
end

function histslot.badarg(i, method, what, got)
  got = got == nil and "no value" or type(got) == "number" and what:find "number" and tostring(got) or type(got)
  error(("bad argument #%d to '%s' (%s, got %s)"):format(i, method, what, got), 3)
end

local function iswhole(v, least)
  return type(v) == "number" and v >= least and v <= MOST and v % 1 == 0
end
histslot.iswhole = iswhole

function histslot.isvalue(v)
  return type(v) == "number" and v >= 0
end

-- Slots ----------------------------------------------------------------------------------------------------------------

local bits = ffi.new "union { double value; struct { int32_t low, high; }; }"

-- The slot of v, which is not negative; one beyond h.length if v is too high.
--
-- Below half * unit it is v / unit; from there on the exponent of v and the first bits of its mantissa are the slot, as
-- they stand. This is the sum of both, each held at that border where it is not its turn: a branch, which would depend
-- on the value and be mispredicted half of the time, takes three times as long as all of it.
local function slot(h, v)
  local border = h.border
  bits.value = max(v, border)
  local high = bits.high -- still this v's: in Luapark's own functions nobody is pre-empted
  return rshift(high, h.shift) - h.base + floor(min(v, border) * h.perunit)
end
histslot.slot = slot

-- The lowest value of slot i, and how many (whole) values it is wide.
local function range(h, i)
  local half = h.half
  local doublings = max(floor((i - 1) / half) - 1, 0)
  local width = h.unit * 2 ^ doublings
  return (i - 1 - doublings * half) * width, width
end
histslot.range = range

function histslot.highest(h, i)
  local lowest, width = range(h, i)
  return lowest + width - 1
end

-- What stands for the values of slot i in a sum.
function histslot.middle(h, i)
  local lowest, width = range(h, i)
  return lowest + floor(width / 2)
end

-- Making ---------------------------------------------------------------------------------------------------------------

-- The largest power of two that is not above n.
local function powerof2(n)
  local p = 1
  while p * 2 <= n do
    p = p * 2
  end
  return p
end

-- Why there can be no such histogram, or nil.
function histslot.unfit(lowest, highest, digits)
  if not iswhole(lowest, 1) then
    return "lowest must be a whole number from 1"
  elseif not iswhole(highest, 2 * lowest) or highest == MOST then
    return "highest must be a whole number, at least twice lowest and below 2^53"
  elseif not iswhole(digits, 0) or digits > 5 then
    return "digits must be 0, 1, 2, 3, 4 or 5"
  end
end

-- For what is not unfit: a histogram that has counted nothing.
function histslot.make(lowest, highest, digits)
  local unit, half = powerof2(lowest), powerof2(2 * 10 ^ digits - 1)
  local buckets, past = 1, 2 * half * unit
  while past <= highest do
    buckets, past = buckets + 1, past * 2
  end
  local length = (buckets + 1) * half
  local counts = newtable(length, 0)
  for i = 1, length do
    counts[i] = 0
  end
  local shift = 20
  while 2 ^ (20 - shift) < half do
    shift = shift - 1
  end
  local h = {
    lowest = lowest, highest = highest, digits = digits, buckets = buckets,
    unit = unit, half = half,
    border = half * unit, perunit = 1 / unit,
    shift = shift, -- how many of the upper 32 bits of a double are not the slot's
    base = 0, -- what the others are at the border, for slot half + 1
    counts = counts, length = length,
    total = 0, -- the sum of counts
    refused = 0, -- how many were too high
  }
  h.base = slot(h, h.border) - (half + 1)
  return setmetatable(h, hist)
end

return histslot
