-- SPDX-License-Identifier: MIT

-- histogram: goroutines record into histograms of their own, which are merged: sent as they are, or as bytes.
--
-- Prints:
--   a copy: 10000 values, 97 too high, p50 495615, p99 983039, max 991231
--   bytes: 10000 values, 97 too high, p50 495615, p99 983039, max 991231
--   both are what one histogram would have counted: true
--   the sender's own goes on: 3 values, the receiver's: 1

local hist = require "luapark.hist"

local WORKERS, EACH, OPTIONS = 8, 1250, { lowest = 1, highest = 1e6, digits = 2 }
local results = chan(3)

-- Values 1 to 1,000,000 in steps of 99, and now and then one that is out of range.
local function fill(h, first, last)
  for i = first, last do
    h:record(i * 99 % 1000000)
    if i % 103 == 0 then
      h:record(1e9)
    end
  end
end
local function worker(out, fillup, k, asbytes)
  local h = hist.new { lowest = 1, highest = 1e6, digits = 2 }
  fillup(h, k * EACH + 1, (k + 1) * EACH)
  out:send(asbytes and h:encode() or h)
end

local function show(what, h)
  print(("%s: %d values, %d too high, p50 %d, p99 %d, max %d"):format(what, h:count(), h:overflow(), h:percentile(50),
    h:percentile(99), h:max()))
end

local merged = {}
for i, what in ipairs { "a copy", "bytes" } do
  for k = 0, WORKERS - 1 do
    go(worker, results, fill, k, what == "bytes")
  end
  local h = hist.new(OPTIONS)
  for _ = 1, WORKERS do
    local v = results:recv()
    h:merge(what == "bytes" and assert(hist.decode(v)) or v)
  end
  show(what, h)
  merged[i] = h:encode()
end

local one = hist.new(OPTIONS)
fill(one, 1, WORKERS * EACH)
print("both are what one histogram would have counted: " .. tostring(one:encode() == merged[1] and merged[1] == merged[2]))

local function receiver(from, to)
  local h = from:recv()
  to:send(h:count())
end
local c = chan()
go(receiver, c, results)
local h = hist.new()
h:record(5)
c:send(h)
h:record(6)
h:record(7)
print(("the sender's own goes on: %d values, the receiver's: %d"):format(h:count(), results:recv()))
