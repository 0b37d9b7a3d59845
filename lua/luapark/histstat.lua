-- SPDX-License-Identifier: MIT

-- histstat: what can be asked of a histogram, and the walks through it. Each is HdrHistogram's of that name, also in what
-- stands for the values of a slot: the highest in percentiles and walks, the middle one in sums.
--
-- A walk may be under way while its histogram goes on recording: it sees some of that, and ends.

local histslot = require "luapark.histslot"

local check, badarg, iswhole, isvalue = histslot.check, histslot.badarg, histslot.iswhole, histslot.isvalue
local slot, range, highest, middle = histslot.slot, histslot.range, histslot.highest, histslot.middle
local max, min, floor, ceil, sqrt, log = math.max, math.min, math.floor, math.ceil, math.sqrt, math.log

local hist = histslot.hist

-- Values ---------------------------------------------------------------------------------------------------------------

-- The lowest and the highest value that may have been recorded; 0 if none was.
function hist:min()
  check(self, "min")
  for i = 1, self.length do
    if self.counts[i] > 0 then
      return (range(self, i))
    end
  end
  return 0
end

function hist:max()
  check(self, "max")
  for i = self.length, 1, -1 do
    if self.counts[i] > 0 then
      return highest(self, i)
    end
  end
  return 0
end

local function mean(h)
  local counts, sum = h.counts, 0
  for i = 1, h.length do
    if counts[i] > 0 then
      sum = sum + middle(h, i) * counts[i]
    end
  end
  return h.total > 0 and sum / h.total or 0
end

local function stdev(h, average)
  local counts, sum = h.counts, 0
  for i = 1, h.length do
    if counts[i] > 0 then
      sum = sum + (middle(h, i) - average) ^ 2 * counts[i]
    end
  end
  return h.total > 0 and sqrt(sum / h.total) or 0
end

function hist:mean()
  check(self, "mean")
  return mean(self)
end

function hist:stdev()
  check(self, "stdev")
  return stdev(self, mean(self))
end

-- How many percent lie within n (1) standard deviations of the mean.
function hist:within(n)
  check(self, "within")
  n = n == nil and 1 or n
  if not isvalue(n) then
    badarg(1, "within", "number from 0 expected", n)
  end
  local counts, inside, average = self.counts, 0, mean(self)
  local away = n * stdev(self, average)
  for i = 1, self.length do
    if counts[i] > 0 and middle(self, i) >= average - away and middle(self, i) <= average + away then
      inside = inside + counts[i]
    end
  end
  return self.total > 0 and 100 * inside / self.total or 0
end

-- The value that p percent do not exceed; 0 if none was recorded.
function hist:percentile(p)
  check(self, "percentile")
  if not isvalue(p) or p > 100 then
    badarg(1, "percentile", "number from 0 to 100 expected", p)
  end
  local counts, seen = self.counts, 0
  -- p is taken as the next smaller number: what was rounded up must not ask for one value more.
  local wanted = max(ceil(p * (1 - 2 ^ -53) * self.total / 100), 1)
  for i = 1, self.length do
    seen = seen + counts[i]
    if seen >= wanted then
      return p == 0 and range(self, i) or highest(self, i)
    end
  end
  return 0
end

-- Counts ---------------------------------------------------------------------------------------------------------------

local function sum(h, from, to)
  local counts, n = h.counts, 0
  for i = from, min(to, h.length) do
    n = n + counts[i]
  end
  return n
end

-- How many percent do not exceed v; 100 if none was recorded.
function hist:percentileat(v)
  check(self, "percentileat")
  if not isvalue(v) then
    badarg(1, "percentileat", "number from 0 expected", v)
  end
  return self.total > 0 and 100 * sum(self, 1, slot(self, v)) / self.total or 100
end

-- How many are equivalent to v.
function hist:countat(v)
  check(self, "countat")
  if not isvalue(v) then
    badarg(1, "countat", "number from 0 expected", v)
  end
  return self.counts[slot(self, v)] or 0
end

-- How many are from a to b, or equivalent to these.
function hist:countbetween(a, b)
  check(self, "countbetween")
  if not isvalue(a) then
    badarg(1, "countbetween", "number from 0 expected", a)
  elseif not isvalue(b) then
    badarg(2, "countbetween", "number from 0 expected", b)
  end
  return sum(self, slot(self, a), slot(self, b))
end

-- Walks ----------------------------------------------------------------------------------------------------------------

-- for lowest, highest, n in h:recorded(): the slots that have counted something.
function hist:recorded()
  check(self, "recorded")
  local counts, i = self.counts, 0
  return function()
    for at = i + 1, self.length do
      if counts[at] > 0 then
        i = at
        local lowest, width = range(self, at)
        return lowest, lowest + width - 1, counts[at]
      end
    end
    i = self.length
  end
end

-- Walks in steps of one's own: to value `to`, then to what following() says. A slot belongs to the step in which it begins.
-- The walk ends when all has been told and the next step would go beyond the last slot.
local function steps(h, to, following)
  local from, i, seen, total = 0, 0, 0, h.total
  return function()
    local all = seen >= min(total, h.total) or i == h.length
    if total == 0 or all and to >= highest(h, i) then
      return nil
    end
    local last = min(max(slot(h, to), i), h.length)
    local n = sum(h, i + 1, last)
    i, seen = last, seen + n
    local lo, hi = from, to
    from, to = to + 1, following()
    return lo, hi, n
  end
end

-- for lowest, highest, n in h:linear(step): from 0 to step - 1, from step to 2 * step - 1, ...
function hist:linear(step)
  check(self, "linear")
  if not iswhole(step, 1) then
    badarg(1, "linear", "whole number from 1 expected", step)
  end
  local past = step
  return steps(self, past - 1, function()
    past = past + step
    return past - 1
  end)
end

-- for lowest, highest, n in h:logarithmic(first, base): from 0 to first - 1, from first to first * base - 1, ...
function hist:logarithmic(first, base)
  check(self, "logarithmic")
  if not iswhole(first, 1) then
    badarg(1, "logarithmic", "whole number from 1 expected", first)
  elseif not isvalue(base) or base <= 1 then
    badarg(2, "logarithmic", "number above 1 expected", base)
  end
  local past = first
  return steps(self, past - 1, function()
    past = past * base
    return floor(past) - 1
  end)
end

-- The percentile after this one: there are `ticks` in each half of what is left to 100 %.
local function following(level, ticks)
  local halvings = floor(log(100 / (100 - level)) / log(2)) + 1
  local after = level + 100 / (ticks * 2 ^ halvings)
  return after > level and min(after, 100) or 100 -- so near to 100 that nothing lies between
end

-- for value, p, n in h:percentiles([ticks]): p percent do not exceed value; n values do not. p goes to 50 % in `ticks` (5)
-- steps, to 75 % in as many, to 87.5 %, and so on until n is all; at last p is 100 %.
function hist:percentiles(ticks)
  check(self, "percentiles")
  ticks = ticks == nil and 5 or ticks
  if not iswhole(ticks, 1) then
    badarg(1, "percentiles", "whole number from 1 expected", ticks)
  end
  local counts, total = self.counts, self.total
  local i, seen, top, level, told = 0, 0, 0, 0, 0
  return function()
    while told < total and i <= self.length do
      if i > 0 and counts[i] > 0 and level < 100 and 100 * seen / total >= level then
        local p = level
        level, told = following(level, ticks), seen
        return highest(self, i), p, seen
      end
      i = i + 1
      local n = counts[i] or 0
      if n > 0 then
        top, seen = i, seen + n
      end
    end
    if total > 0 and level then
      level = nil -- once
      return highest(self, max(top, 1)), 100, seen
    end
  end
end
