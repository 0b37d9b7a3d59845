-- SPDX-License-Identifier: MIT

-- histograms: what the specs of histograms share.

local hist = require "luapark.hist"

local histograms = {}

histograms.HOUR = 3600e6 -- in microseconds

-- The slot that v falls into: its lowest and highest value.
function histograms.slotof(options, v)
  local h = hist.new(options)
  assert(h:record(v))
  local lo, hi, n = h:recorded()()
  assert(n == 1 and lo <= v and v < hi + 1)
  return lo, hi
end

-- What a walk gives, as list.
function histograms.list(walk)
  local t = {}
  for a, b, c in walk do
    t[#t + 1] = { a, b, c }
  end
  return t
end

-- The example that HdrHistogram's own tests and pages use: a server that answers each 10 ms in 1 ms, for 100 s, and then
-- stalls for 100 s.
local function stalled(recordone)
  local h = hist.new()
  for _ = 1, 10000 do
    recordone(h, 1000)
  end
  recordone(h, 100e6)
  return h
end
histograms.raw = stalled(function(h, v) h:record(v) end)
histograms.corrected = stalled(function(h, v) h:recordcorrected(v, 10000) end)

return histograms
