-- SPDX-License-Identifier: MIT

-- loadstat: the statistics that the summary of `luapark load` and its JSON share.

local min, max, sqrt = math.min, math.max, math.sqrt

local loadstat = {}

-- The classes of errors, in the order in which they are told.
loadstat.classes = { "connect", "read", "write", "status", "timeout" }

-- for v, n in values(samples): each value of a histogram or an array, and how often it is there.
local function values(samples)
  if samples.recorded then
    local following = samples:recorded()
    return function()
      local lowest, highest, n = following()
      if lowest then
        return (lowest + highest) / 2, n
      end
    end
  end
  local i = 0
  return function()
    i = i + 1
    return samples[i], 1
  end
end

-- moments(samples) -> how many, smallest, mean, standard deviation (of a sample, as wrk's), largest, and how many percent
-- lie within one deviation. All are 0 where there is no sample.
function loadstat.moments(samples)
  local total, sum, least, most = 0, 0, nil, 0
  for v, n in values(samples) do
    total, sum, least, most = total + n, sum + n * v, least and min(least, v) or v, max(most, v)
  end
  if total == 0 then
    return 0, 0, 0, 0, 0, 0
  end
  local mean, squares, inside = sum / total, 0, 0
  for v, n in values(samples) do
    squares = squares + n * (v - mean) ^ 2
  end
  local stdev = total > 1 and sqrt(squares / (total - 1)) or 0
  for v, n in values(samples) do
    if v >= mean - stdev and v <= mean + stdev then
      inside = inside + n
    end
  end
  if samples.recorded then
    most = samples:max()
  end
  return total, least, mean, stdev, most, 100 * inside / total
end

return loadstat
