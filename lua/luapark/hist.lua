-- SPDX-License-Identifier: MIT

-- hist: histograms, which tell how often which values occurred, to so many digits, however many there are.
--
--   local hist = require "luapark.hist"
--   local h = hist.new()                                 -- from 1 us to 1 hour, to 3 digits
--   h:record((luapark.now() - start) * 1e6)
--   print(h:percentile(99))
--
-- Layout and answers are HdrHistogram's, so that numbers can be compared with those of any tool that uses it. The
-- layout is in histslot.lua, what can be asked in histstat.lua, text and bytes in histform.lua.
--
-- A histogram is a table of numbers, the counts another one's array part. So it goes to other goroutines as any
-- table does, as a copy: each P records into one of its own, and who wants the whole merges them. Memory of FFI's could
-- not go, and compiled code would be hardly faster.

local newtable = require "table.new"
local core = require "luapark.core"
local histslot = require "luapark.histslot"
local histform = require "luapark.histform"
require "luapark.histstat"

local check, badarg, iswhole, isvalue = histslot.check, histslot.badarg, histslot.iswhole, histslot.isvalue
local slot, range, highest = histslot.slot, histslot.range, histslot.highest
local max, min, floor = math.max, math.min, math.floor
local type, error, getmetatable, setmetatable, pairs = type, error, getmetatable, setmetatable, pairs

local hist = histslot.hist

-- new([{ lowest =, highest =, digits = }]) -> h, for values from lowest to highest, told apart to so many digits; 1 to
-- 3600e6 and 3 unless told. What is below lowest may count as 0.
function hist.new(options)
  if options ~= nil and type(options) ~= "table" then
    badarg(1, "new", "table expected", options)
  end
  options = options or {}
  local low, high, digits = options.lowest, options.highest, options.digits
  low, high, digits = low == nil and 1 or low, high == nil and 3600e6 or high, digits == nil and 3 or digits
  local why = histslot.unfit(low, high, digits)
  if why then
    error("bad argument #1 to 'new' (" .. why .. ")", 2)
  end
  return histslot.make(low, high, digits)
end

function hist:copy()
  check(self, "copy")
  local h = {}
  for k, v in pairs(self) do
    h[k] = v
  end
  local counts = newtable(self.length, 0)
  for i = 1, self.length do
    counts[i] = self.counts[i]
  end
  h.counts = counts
  return setmetatable(h, hist)
end

function hist:reset()
  check(self, "reset")
  for i = 1, self.length do
    self.counts[i] = 0
  end
  self.total, self.refused = 0, 0
end

-- Counts n at slot i. -> whether there is such a slot
local function add(h, i, n)
  if i > h.length then
    h.refused = h.refused + n
    return false
  end
  local counts = h.counts
  counts[i] = counts[i] + n
  h.total = h.total + n
  return true
end

-- Counts v, n times (1); of a fraction the whole part. -> whether v is not too high; of what is, only overflow tells.
function hist:record(v, n)
  check(self, "record")
  if not isvalue(v) then
    badarg(1, "record", "number from 0 expected", v)
  elseif n == nil then
    n = 1
  elseif not iswhole(n, 0) then
    badarg(2, "record", "whole number from 0 expected", n)
  end
  return add(self, slot(self, v), n)
end

-- Counts v - interval, v - 2 * interval, ... down to interval, n times each: in one go those that share a slot.
local function fill(h, v, interval, n)
  local k, last = 1, floor(v / interval) - 1
  while k <= last do
    local i = slot(h, v - k * interval)
    local upto = min(floor((v - range(h, i)) / interval), last)
    upto = max(upto, k) -- whatever the rounding of fractions
    add(h, i, n * (upto - k + 1))
    k = upto + 1
  end
  return true
end

-- record, for who measures every interval, but waited for v instead: counts as well what those would have measured that
-- were due meanwhile.
function hist:recordcorrected(v, interval, n)
  check(self, "recordcorrected")
  if not isvalue(v) then
    badarg(1, "recordcorrected", "number from 0 expected", v)
  elseif not isvalue(interval) or interval < 1 then
    badarg(2, "recordcorrected", "number from 1 expected", interval)
  elseif n == nil then
    n = 1
  elseif not iswhole(n, 0) then
    badarg(3, "recordcorrected", "whole number from 0 expected", n)
  end
  if not add(self, slot(self, v), n) then
    return false
  elseif v - interval >= interval then
    return fill(self, v, interval, n) -- a loop in here would end the traces of compiled callers
  end
  return true
end

-- A copy that is corrected so after the fact.
function hist:corrected(interval)
  check(self, "corrected")
  if not isvalue(interval) or interval < 1 then
    badarg(1, "corrected", "number from 1 expected", interval)
  end
  local h = self:copy()
  for i = 1, self.length do
    local n = self.counts[i]
    if n > 0 then
      fill(h, highest(self, i), interval, n)
    end
  end
  return h
end

-- Adds what another one has counted, in whatever layout. -> whether none of it was too high; overflow counts what was.
function hist:merge(other)
  check(self, "merge")
  if getmetatable(other) ~= hist then
    badarg(1, "merge", "histogram expected", other)
  end
  local fits = true
  for i = 1, other.length do
    local n = other.counts[i]
    if n > 0 then
      fits = add(self, slot(self, (range(other, i))), n) and fits
    end
  end
  self.refused = self.refused + other.refused
  return fits
end

function hist:count()
  check(self, "count")
  return self.total
end

-- How many were too high.
function hist:overflow()
  check(self, "overflow")
  return self.refused
end

function hist:__tostring()
  return ("histogram(%.14g)"):format(self.total)
end

-- decode(s) -> h, as encode had it | nil, message, code
function hist.decode(s)
  if type(s) ~= "string" then
    badarg(1, "decode", "string expected", s)
  end
  local h, why = histform.decode(s)
  if not h then
    return nil, "bad histogram: " .. why, "EPROTO"
  end
  return h
end

core.known("luapark.hist", hist)

return hist
