-- SPDX-License-Identifier: MIT

-- histstat: what histograms answer, compared with what HdrHistogram is known to answer and with sorted lists of the
-- values; and walks.

local helper = require "spec.helper"
local histograms = require "spec.histograms"
local hist = require "luapark.hist"
local failshere = helper.failshere
local HOUR, slotof, list, raw, corrected = histograms.HOUR, histograms.slotof, histograms.list, histograms.raw,
  histograms.corrected

describe("HdrHistogram's example", function()
  it("counts", function()
    assert.equal(10001, raw:count())
    assert.equal(20000, corrected:count())
    assert.same({ 10000, 1, 10000, 0 }, { raw:countbetween(1000, 1000), raw:countbetween(5000, 150e6), raw:countat(1000),
      raw:countbetween(10000, 10010) })
    assert.same({ 10000, 10000, 1 }, { corrected:countbetween(5000, 150e6), corrected:countat(1000),
      corrected:countbetween(10000, 10010) })
  end)

  it("has percentiles", function()
    for p, want in pairs { [0] = 1000, [30] = 1000, [99] = 1000, [99.99] = 1000, [99.999] = 100007935, [100] = 100007935 } do
      assert.equal(want, raw:percentile(p), p)
    end
    for p, want in pairs { [0] = 1000, [30] = 1000, [50] = 1000, [75] = 50003967, [90] = 80019455, [99] = 98041855,
      [99.999] = 100007935, [100] = 100007935 } do
      assert.equal(want, corrected:percentile(p), p)
    end
    assert.is_true(math.abs(raw:percentileat(5000) - 99.99) < 0.0001)
    assert.equal(50, corrected:percentileat(5000))
    assert.equal(100, corrected:percentileat(100e6))
  end)

  it("has least, greatest, mean and deviation", function()
    assert.same({ 1000, 100007935 }, { raw:min(), raw:max() })
    local mean = (10000 * 1000 + 100e6) / 10001
    local function near(want, got)
      assert.is_true(math.abs(got / want - 1) < 0.001, got .. ", not about " .. want)
    end
    near(mean, raw:mean())
    near(math.sqrt((10000 * (1000 - mean) ^ 2 + (100e6 - mean) ^ 2) / 10001), raw:stdev())
    mean = (1000 + 50e6) / 2
    local squares = 10000 * (1000 - mean) ^ 2
    for v = 10000, 100e6, 10000 do
      squares = squares + (v - mean) ^ 2
    end
    near(mean, corrected:mean())
    near(math.sqrt(squares / 20000), corrected:stdev())
  end)

  it("walked in steps of 100 ms, of 10 ms, and in doubling ones", function()
    local steps = list(raw:linear(100000))
    assert.equal(1000, #steps)
    for i, step in ipairs(steps) do
      assert.same({ (i - 1) * 100000, i * 100000 - 1, i == 1 and 10000 or i == 1000 and 1 or 0 }, step)
    end
    local sum, n = 0, 0
    for lo, hi, count in corrected:linear(10000) do
      assert.equal(9999, hi - lo)
      assert.is_true(n ~= 0 or count == 10000)
      sum, n = sum + count, n + 1
    end
    assert.same({ 10000, 20000 }, { n, sum })

    local at = 10000
    n = 0
    for lo, hi, count in raw:logarithmic(10000, 2) do
      assert.same({ n == 0 and 0 or at / 2, at - 1, n == 0 and 10000 or n == 14 and 1 or 0 }, { lo, hi, count })
      n, at = n + 1, at * 2
    end
    assert.equal(15, n)
    sum = 0
    for _, _, count in corrected:logarithmic(10000, 2) do
      sum = sum + count
    end
    assert.equal(20000, sum)
  end)

  it("walked by what was recorded", function()
    assert.same({ { 1000, 1000, 10000 }, { 99942400, 100007935, 1 } }, list(raw:recorded()))
    local sum, last = 0, -1
    for lo, hi, n in corrected:recorded() do
      assert.is_true(lo > last and hi >= lo and n > 0 and n == corrected:countat(lo))
      sum, last = sum + n, hi
    end
    assert.equal(20000, sum)
  end)

  it("walked by percentiles, each of which is what percentile says", function()
    local all, levels = list(corrected:percentiles()), {}
    for i, step in ipairs(all) do
      local value, p, n = unpack(step)
      assert.equal(value, corrected:percentile(p))
      assert.equal(n, corrected:countbetween(0, value))
      levels[i] = p
    end
    assert.same({ 0, 10, 20, 30, 40, 50, 55, 60, 65, 70, 75, 77.5 }, { unpack(levels, 1, 12) })
    assert.same({ 100007935, 100, 20000 }, all[#all])
    assert.same({ 0, 50, 75, 87.5 }, { unpack((function()
      local t = {}
      for _, p in raw:percentiles(1) do
        t[#t + 1] = p
      end
      return t
    end)(), 1, 4) })
  end)
end)

describe("an empty histogram", function()
  it("answers like HdrHistogram's", function()
    local h = hist.new { lowest = 1000, highest = HOUR }
    assert.same({ 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0 }, { h:count(), h:min(), h:max(), h:mean(), h:stdev(), h:percentile(50),
      h:percentile(0), h:percentileat(5), h:countat(5), h:countbetween(0, HOUR), h:overflow() })
    assert.equal(0, h:within())
    assert.same({}, list(h:recorded()))
    assert.same({}, list(h:linear(5)))
    assert.same({}, list(h:logarithmic(5, 2)))
    assert.same({}, list(h:percentiles()))
    assert.equal("histogram(0)", tostring(h))
    assert.equal(0, h:corrected(10):count())
  end)

  it("is one that was reset", function()
    local h = raw:copy()
    h:record(1e12)
    h:reset()
    assert.equal(hist.new():encode(), h:encode())
    assert.same({ 0, 0, 0 }, { h:count(), h:overflow(), h:max() })
    h:record(7)
    assert.same({ { 7, 7, 1 } }, list(h:recorded()))
  end)
end)

describe("questions", function()
  it("of what lies within some standard deviations", function()
    local h = hist.new()
    for v = 1, 5 do -- mean 3, deviation sqrt(2)
      h:record(v)
    end
    assert.same({ 20, 60, 60, 100, 100 }, { h:within(0), h:within(), h:within(1), h:within(2), h:within(math.huge) })
    assert.same({ 3, math.sqrt(2) }, { h:mean(), h:stdev() })
    h:record(1000, 95)
    assert.equal(95, h:within(1))
  end)

  it("beyond the range", function()
    local h = hist.new { highest = 1000 }
    h:record(5)
    assert.equal(0, h:countat(1e9))
    assert.equal(0, h:countat(math.huge))
    assert.equal(100, h:percentileat(math.huge))
    assert.equal(1, h:countbetween(0, math.huge))
    assert.equal(0, h:countbetween(1e9, math.huge))
    assert.equal(0, h:countbetween(10, 1))
  end)

  it("are not led astray by rounding", function()
    for n = 2, 1000 do -- where 100 * (n - 1) / n percent of n may come out above n - 1
      local h = hist.new()
      h:record(1, n - 1)
      h:record(2)
      assert.equal(1, h:percentile(100 * (n - 1) / n), n)
      assert.equal(n - 1, h:countbetween(0, h:percentile(h:percentileat(1))), n)
    end
  end)

  it("are answered as from the sorted list of all values", function()
    math.randomseed(7)
    for round = 1, 60 do
      local digits, scale = math.random(0, 4), 2 ^ math.random(1, 40)
      local h, values, sum = hist.new { digits = digits, highest = 2 ^ 41 }, {}, 0
      for i = 1, math.random(1, 400) do
        values[i] = math.floor(round % 3 == 0 and math.exp(math.random() * math.log(scale)) or math.random() * scale)
        sum = sum + values[i]
        assert.is_true(h:record(values[i]))
      end
      table.sort(values)
      local n, slack = #values, 10 ^ -digits
      local function near(want, got)
        assert.is_true(got >= want and got <= want * (1 + slack), ("round %d: %.17g, not %.17g"):format(round, got, want))
      end
      assert.equal(n, h:count())
      near(h:min(), values[1])
      near(values[n], h:max())
      assert.is_true(math.abs(h:mean() - sum / n) <= sum / n * slack)
      for _, p in ipairs { 0.001, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100, math.random() * 100 } do
        near(values[math.max(1, math.ceil(p * n / 100 - 1e-9))], h:percentile(p))
      end
      assert.equal(h:min(), h:percentile(0))
      for _ = 1, 20 do
        local v = values[math.random(n)]
        local lo, hi = slotof({ digits = digits, highest = 2 ^ 41 }, v)
        local at, upto = 0, 0
        for _, w in ipairs(values) do
          at = at + (w >= lo and w <= hi and 1 or 0)
          upto = upto + (w <= hi and 1 or 0)
        end
        assert.same({ at, upto, at }, { h:countat(v), h:countbetween(0, v), h:countbetween(lo, hi) })
        assert.equal(100 * upto / n, h:percentileat(v))
      end
      local recorded, told = 0, 0
      for lo, hi, k in h:recorded() do
        assert.equal(k, h:countbetween(lo, hi))
        recorded = recorded + k
      end
      for _, _, k in h:linear(math.ceil(scale / 7)) do
        told = told + k
      end
      assert.same({ n, n }, { recorded, told })
    end
  end)
end)

describe("walks", function()
  it("in steps narrower than the slots go on inside the last slot", function()
    local h = hist.new()
    h:record(2049) -- 2048 and 2049 are equivalent
    assert.same({ { 0, 2046, 0 }, { 2047, 4093, 1 } }, list(h:linear(2047)))
    assert.same({ { 0, 0, 0 }, { 1, 2047, 0 }, { 2048, 2 ^ 22 - 1, 1 } }, list(h:logarithmic(1, 2048)))
    local steps = list(h:linear(1))
    assert.equal(2049, #steps)
    assert.same({ { 2047, 2047, 0 }, { 2048, 2048, 1 } }, { steps[2048], steps[2049] })
    h:record(4097) -- with 4096 to 4099
    steps = list(h:linear(1))
    assert.equal(4099, #steps)
    assert.same({ { 2049, 2049, 0 }, { 4096, 4096, 1 }, { 4097, 4097, 0 }, { 4098, 4098, 0 } }, { steps[2050], steps[4097],
      steps[4098], steps[4099] })
  end)

  it("by a base that is no whole number", function()
    local h = hist.new()
    h:record(9)
    assert.same({ { 0, 1, 0 }, { 2, 2, 0 }, { 3, 3, 0 }, { 4, 5, 0 }, { 6, 9, 1 } }, list(h:logarithmic(2, 1.5)))
  end)

  it("end, whatever is recorded meanwhile", function()
    for _, walk in ipairs { function(h) return h:recorded() end, function(h) return h:linear(1) end,
      function(h) return h:logarithmic(1, 1.5) end, function(h) return h:percentiles() end } do
      local h, n = raw:copy(), 0
      for _ in walk(h) do
        n = n + 1
        h:record(n * 1e6)
        if n == 10 then
          h:reset()
        end
      end
      assert.is_true(n < 10000)
    end
    local h = raw:copy()
    local walk = h:percentiles()
    h:reset()
    assert.same({ 0, 100, 0 }, { walk() })
    assert.is_nil(walk())
  end)

  it("through percentiles end, however many were recorded", function()
    for _, ticks in ipairs { 1, 5, 7, 1000 } do
      local h, n, last = hist.new(), 0, {}
      h:record(5, 2 ^ 53 - 1)
      h:record(1000)
      for v, p, k in h:percentiles(ticks) do
        n, last = n + 1, { v, p, k }
      end
      assert.is_true(n <= 54 * ticks + 2)
      assert.same({ 1000, 100, 2 ^ 53 }, last)
    end
  end)
end)

describe("wrong arguments are errors at the caller's line:", function()
  local h = hist.new()

  it("of questions and walks", function()
    failshere("bad argument #1 to 'percentile' (number from 0 to 100 expected, got no value)", function() h:percentile() end)
    failshere("bad argument #1 to 'percentile' (number from 0 to 100 expected, got 101)", function() h:percentile(101) end)
    failshere("bad argument #1 to 'percentile' (number from 0 to 100 expected, got -1)", function() h:percentile(-1) end)
    failshere("bad argument #1 to 'percentile'", function() h:percentile(0 / 0) end)
    failshere("bad argument #1 to 'percentileat' (number from 0 expected, got no value)", function() h:percentileat() end)
    failshere("bad argument #1 to 'countat' (number from 0 expected, got -1)", function() h:countat(-1) end)
    failshere("bad argument #1 to 'countbetween' (number from 0 expected, got -1)", function() h:countbetween(-1, 1) end)
    failshere("bad argument #2 to 'countbetween' (number from 0 expected, got no value)", function() h:countbetween(1) end)
    failshere("bad argument #1 to 'within' (number from 0 expected, got -1)", function() h:within(-1) end)
    failshere("bad argument #1 to 'linear' (whole number from 1 expected, got 0)", function() h:linear(0) end)
    failshere("bad argument #1 to 'linear' (whole number from 1 expected, got 1.5)", function() h:linear(1.5) end)
    failshere("bad argument #1 to 'logarithmic' (whole number from 1 expected, got 0)", function() h:logarithmic(0, 2) end)
    failshere("bad argument #2 to 'logarithmic' (number above 1 expected, got 1)", function() h:logarithmic(1, 1) end)
    failshere("bad argument #2 to 'logarithmic' (number above 1 expected, got no value)", function() h:logarithmic(1) end)
    failshere("bad argument #1 to 'percentiles' (whole number from 1 expected, got 0)", function() h:percentiles(0) end)
  end)
end)
