-- SPDX-License-Identifier: MIT

-- hist: the layout of histograms, recording, merging, and how they go to other goroutines.

local helper = require "spec.helper"
local histograms = require "spec.histograms"
local hist = require "luapark.hist"
local lp, run, failshere = helper.lp, helper.run, helper.failshere
local HOUR, slotof, list, raw = histograms.HOUR, histograms.slotof, histograms.list, histograms.raw

-- busted gives each block an environment of its own, and functions inherit it. Here they have the usual one, to be sent.
local assert, describe, it = assert, helper.plain(describe), helper.plain(it)
setfenv(1, getfenv(0))

describe("the layout of a histogram", function()
  it("has a slot for each number as far as the digits go, then for two, four, ...", function()
    for v, width in pairs { [0] = 1, [1] = 1, [1025] = 1, [2047] = 1, [2048] = 2, [2500] = 2, [4095] = 2, [4096] = 4,
      [8191] = 4, [8192] = 8, [10000] = 8, [1e6] = 512, [HOUR] = 2 ^ 21 } do
      local lo, hi = slotof({}, v)
      assert.equal(width, hi - lo + 1, v)
      assert.equal(0, lo % width, v)
    end
  end)

  it("is HdrHistogram's: what is equivalent", function()
    for v, range in pairs { [10007] = { 10000, 10007 }, [10008] = { 10008, 10015 }, [10009] = { 10008, 10015 },
      [8180] = { 8180, 8183 }, [8187] = { 8184, 8187 }, [8191] = { 8188, 8191 }, [8193] = { 8192, 8199 },
      [9995] = { 9992, 9999 }, [100e6] = { 99942400, 100007935 }, [50e6] = { 49971200, 50003967 } } do
      assert.same(range, { slotof({ highest = HOUR }, v) })
      local lo, hi = slotof({ lowest = 1024, highest = HOUR * 1024 }, v * 1024)
      assert.same({ range[1] * 1024, range[2] * 1024 + 1023 }, { lo, hi })
      assert.same({ lo, hi }, { slotof({ lowest = 2047, highest = HOUR * 1024 }, v * 1024 + 1023) }) -- the same unit
    end
  end)

  it("tells so many digits apart", function()
    for digits = 0, 5 do
      for _, v in ipairs { 1, 19, 20, 1234, 99999, 199999, 200000, 1e6 - 1, 1e6, 123456789, 2 ^ 40 - 1, 2 ^ 40,
        2 ^ 53 - 1 } do
        local lo, hi = slotof({ digits = digits, highest = 2 ^ 53 - 1 }, v)
        assert.is_true((hi - lo) <= v / 10 ^ digits, v .. " to " .. digits .. " digits")
        assert.is_true(v >= 2 * 10 ^ digits or lo == hi)
      end
    end
  end)

  it("reaches to where its last slots end, at least to highest", function()
    for _, case in ipairs { { 2, 0, 3 }, { 2, 3, 2047 }, { 2047, 3, 2047 }, { 2048, 3, 4095 }, { HOUR, 3, 2 ^ 32 - 1 },
      { 255, 2, 255 }, { 256, 2, 511 }, { 2 ^ 53 - 1, 5, 2 ^ 53 - 1 } } do
      local h = hist.new { highest = case[1], digits = case[2] }
      assert.is_true(h:record(case[1]))
      assert.is_true(h:record(case[3]))
      assert.is_false(h:record(case[3] + 1))
      assert.equal(case[3], h:max())
    end
  end)
end)

describe("recording", function()
  it("counts each value once, or as often as told", function()
    local h = hist.new()
    assert.is_true(h:record(4))
    assert.is_true(h:record(4, 9))
    assert.is_true(h:record(5, 0))
    assert.equal(10, h:count())
    assert.equal(10, h:countat(4))
    assert.equal(0, h:countat(5))
    assert.same({ 4, 4 }, { h:min(), h:max() })
    assert.equal("histogram(10)", tostring(h))
  end)

  it("takes a fraction's whole part", function()
    for options, unit in pairs { [{}] = 1, [{ lowest = 1000, highest = HOUR }] = 512 } do
      local h, whole = hist.new(options), hist.new(options)
      for v = 0, 5000 * unit, unit * 0.3 do
        h:record(v)
        whole:record(math.floor(v))
      end
      assert.equal(whole:encode(), h:encode())
    end
    local h = hist.new()
    h:record(0.999999)
    h:record(2047.9999999)
    h:record(2 ^ 32 - 2 ^ -20)
    assert.same({ { 0, 0, 1 }, { 2047, 2047, 1 }, { 2 ^ 32 - 2 ^ 21, 2 ^ 32 - 1, 1 } }, list(h:recorded()))
  end)

  it("says when a value is too high, and counts such apart", function()
    local h = hist.new { highest = 1000, digits = 1 }
    assert.is_true(h:record(1023.9))
    for _, v in ipairs { 1024, 1e9, 2 ^ 53, 1e300, math.huge } do
      assert.is_false(h:record(v))
    end
    assert.is_false(h:record(5000, 10))
    assert.same({ 1, 15, 1023 }, { h:count(), h:overflow(), h:percentile(100) })
  end)

  it("counts up to 2^53", function()
    local h = hist.new()
    h:record(3, 2 ^ 53 - 1)
    h:record(3)
    h:record(HOUR, 2 ^ 31)
    h:record(HOUR)
    assert.equal(2 ^ 53, h:countat(3))
    assert.equal(2 ^ 31 + 1, h:countat(HOUR))
    assert.equal(3, h:percentile(99))
  end)

  it("means the same in compiled code and out of it", function()
    local function fill(h)
      for i = 1, 20000 do
        h:record(i ^ 2 % 7919 * i)
        h:record(i / 7, 3)
      end
    end
    local interpreted = hist.new()
    jit.off(fill)
    jit.off(interpreted.record)
    fill(interpreted)
    jit.on(fill)
    jit.on(interpreted.record)
    local compiled = hist.new()
    fill(compiled)
    assert.equal(80000, compiled:count())
    assert.equal(interpreted:encode(), compiled:encode())
  end)
end)

describe("corrected recording", function()
  it("counts what was due meanwhile", function()
    local h = hist.new()
    assert.is_true(h:recordcorrected(4, 1))
    assert.same({ { 1, 1, 1 }, { 2, 2, 1 }, { 3, 3, 1 }, { 4, 4, 1 } }, list(h:recorded()))
    h = hist.new()
    h:recordcorrected(207, 100)
    assert.same({ { 107, 107, 1 }, { 207, 207, 1 } }, list(h:recorded()))
    h = hist.new()
    h:recordcorrected(1000.9, 333.3, 2) -- and 667.6, 334.3
    assert.same({ { 334, 334, 2 }, { 667, 667, 2 }, { 1000, 1000, 2 } }, list(h:recorded()))
  end)

  it("counts nothing else where nothing was due", function()
    for _, case in ipairs { { 99, 100 }, { 100, 100 }, { 199, 100 }, { 5, math.huge }, { 0, 1 } } do
      local h = hist.new()
      assert.is_true(h:recordcorrected(unpack(case)))
      assert.equal(1, h:count())
    end
    local h = hist.new()
    h:recordcorrected(200, 100)
    assert.equal(2, h:count())
  end)

  it("does not correct what is too high", function()
    local h = hist.new { highest = 1000 }
    assert.is_false(h:recordcorrected(1e6, 100, 3))
    assert.is_false(h:recordcorrected(math.huge, 100))
    assert.same({ 0, 4 }, { h:count(), h:overflow() })
  end)

  it("is what recording one by one would be", function()
    math.randomseed(3)
    for _ = 1, 200 do
      local h, one, v, interval = hist.new(), hist.new(), math.random(0, 1e7), math.random(1, 1e4) + math.random(0, 1) / 4
      h:recordcorrected(v, interval, 2)
      one:record(v, 2)
      for missing = v - interval, interval, -interval do
        one:record(missing, 2)
      end
      assert.equal(one:encode(), h:encode(), ("%.17g %.17g"):format(v, interval))
    end
  end)

  it("ends soon, however much was due", function()
    local h = hist.new()
    h:recordcorrected(HOUR, 1)
    assert.same({ HOUR, 1, 2047 }, { h:count(), h:min(), h:countbetween(1, 2047) })
    assert.equal(50, math.floor(h:percentileat(HOUR / 2) + 0.5))
  end)

  it("after the fact", function()
    local h = raw:corrected(10000)
    assert.equal(20000, h:count())
    assert.equal(10001, raw:count())
    assert.equal(1000, h:percentile(50))
    assert.is_true(math.abs(h:percentile(75) / 50e6 - 1) < 0.001)
  end)
end)

describe("a copy", function()
  it("goes its own way", function()
    local h = raw:copy()
    assert.equal(raw:encode(), h:encode())
    h:record(5)
    assert.equal(10001, raw:count())
    assert.equal(0, raw:countat(5))
    assert.equal(10002, h:count())
  end)
end)

describe("merging", function()
  it("adds up", function()
    local a, b = hist.new(), hist.new()
    a:record(4)
    a:record(4000)
    a:record(1e12)
    b:record(4, 2)
    b:record(70)
    b:record(1e12, 5)
    assert.is_true(a:merge(b))
    assert.same({ { 4, 4, 3 }, { 70, 70, 1 }, { 4000, 4001, 1 } }, list(a:recorded()))
    assert.same({ 5, 6 }, { a:count(), a:overflow() })
    assert.same({ 3, 5 }, { b:count(), b:overflow() })
    assert.is_true(a:merge(a))
    assert.same({ 10, 12 }, { a:count(), a:overflow() })
  end)

  it("is as if one had recorded all", function()
    local all, merged = hist.new(), hist.new()
    for _ = 1, 4 do
      local h = hist.new()
      for _ = 1, 1000 do
        local v = math.exp(math.random() * 25) -- some are too high
        all:record(v)
        h:record(v)
      end
      merged:merge(h)
    end
    assert.equal(all:encode(), merged:encode())
    assert.equal(all:overflow(), merged:overflow())
  end)

  it("of other ranges and digits", function()
    local wide, narrow = hist.new { highest = 2 * HOUR }, hist.new { highest = 1000, digits = 2 }
    wide:record(4)
    wide:record(300)
    wide:record(1.5 * HOUR, 3)
    narrow:record(300, 7) -- with 301
    assert.is_false(narrow:merge(wide))
    assert.same({ { 4, 4, 1 }, { 300, 301, 8 } }, list(narrow:recorded()))
    assert.same({ 9, 3 }, { narrow:count(), narrow:overflow() })
    assert.is_true(wide:merge(narrow)) -- all fits; what never did is counted on
    assert.same({ 9 + 5, 3 }, { wide:count(), wide:overflow() })
    assert.equal(2, wide:countat(4))
    assert.equal(9, wide:countat(300))
    local coarse = hist.new { lowest = 1024, highest = 2 * HOUR }
    assert.is_true(coarse:merge(wide))
    local lo, hi = slotof({ lowest = 1024, highest = 2 * HOUR }, 1.5 * HOUR)
    assert.same({ { 0, 1023, 11 }, { lo, hi, 3 } }, list(coarse:recorded()))
  end)
end)

describe("a histogram that is sent", function()
  it("arrives as a copy", run(function()
    local h, c = raw:copy(), lp.chan(1)
    h:record(1e12)
    c:send { h, again = h }
    h:record(7)
    local got = c:recv()
    assert.equal(got[1], got.again)
    assert.equal(hist, getmetatable(got[1]))
    assert.same({ 10001, 1, 0 }, { got[1]:count(), got[1]:overflow(), got[1]:countat(7) })
    assert.is_true(got[1]:record(7))
    assert.same({ 1, 1 }, { got[1]:countat(7), h:countat(7) })
    assert.equal(h:encode():sub(1, -3), got[1]:encode():sub(1, -3))
  end))

  it("goes to other goroutines by spawn", run(function()
    local h, c = hist.new(), lp.chan()
    h:record(5)
    lp.spawn(function()
      h:record(6)
      c:send(h)
    end)
    assert.same({ { 5, 5, 1 }, { 6, 6, 1 } }, list(c:recv():recorded()))
    assert.equal(1, h:count())
  end))

  it("is made by goroutines that may go to any P", function()
    assert.is_true((lp.portable(function(c)
      local h = hist.new()
      h:record(5)
      c:send(h)
    end)))
  end)
end)

describe("wrong arguments are errors at the caller's line:", function()
  local h = hist.new()

  it("of new", function()
    failshere("bad argument #1 to 'new' (table expected, got number)", function() hist.new(5) end)
    for why, bad in pairs {
      ["lowest must be a whole number from 1"] = { { lowest = 0 }, { lowest = 1.5 }, { lowest = -1 }, { lowest = "1" },
        { lowest = 0 / 0 }, { lowest = false }, { lowest = math.huge } },
      ["highest must be a whole number, at least twice lowest and below 2^53"] = { { highest = 1 }, { highest = 2 ^ 53 },
        { highest = 1e300 }, { highest = math.huge }, { highest = 0 / 0 }, { highest = 10.5 }, { highest = "10" },
        { lowest = 10, highest = 19 }, { lowest = 3600e6 }, { highest = false } },
      ["digits must be 0, 1, 2, 3, 4 or 5"] = { { digits = -1 }, { digits = 6 }, { digits = 2.5 }, { digits = "3" },
        { digits = 0 / 0 } } } do
      for _, options in ipairs(bad) do
        failshere("bad argument #1 to 'new' (" .. why .. ")", function() hist.new(options) end)
      end
    end
  end)

  it("of recording", function()
    failshere("bad argument #1 to 'record' (number from 0 expected, got no value)", function() h:record() end)
    failshere("bad argument #1 to 'record' (number from 0 expected, got string)", function() h:record "5" end)
    failshere("bad argument #1 to 'record' (number from 0 expected, got -1)", function() h:record(-1) end)
    failshere("bad argument #1 to 'record' (number from 0 expected, got -0.5)", function() h:record(-0.5) end)
    failshere("bad argument #1 to 'record' (number from 0 expected, got -inf)", function() h:record(-math.huge) end)
    failshere("bad argument #1 to 'record' (number from 0 expected, got ", function() h:record(0 / 0) end)
    failshere("bad argument #1 to 'record' (number from 0 expected, got cdata)", function() h:record(5LL) end)
    failshere("bad argument #2 to 'record' (whole number from 0 expected, got -1)", function() h:record(1, -1) end)
    failshere("bad argument #2 to 'record' (whole number from 0 expected, got 0.5)", function() h:record(1, 0.5) end)
    failshere("bad argument #2 to 'record' (whole number from 0 expected, got 1e+300)", function() h:record(1, 1e300) end)
    failshere("bad argument #2 to 'record' (whole number from 0 expected, got string)", function() h:record(1, "1") end)
    failshere("bad argument #2 to 'record' (whole number from 0 expected, got boolean)", function()
      h:record(1, false)
    end)
    failshere("bad argument #1 to 'recordcorrected' (number from 0 ", function() h:recordcorrected(-1, 1) end)
    failshere("bad argument #2 to 'recordcorrected' (number from 1 expected, got no value)", function()
      h:recordcorrected(1)
    end)
    failshere("bad argument #2 to 'recordcorrected' (number from 1 expected, got 0)", function() h:recordcorrected(1, 0) end)
    failshere("bad argument #2 to 'recordcorrected'", function() h:recordcorrected(1, 0 / 0) end)
    failshere("bad argument #3 to 'recordcorrected' (whole number from 0 ", function() h:recordcorrected(1, 1, 1.5) end)
    failshere("bad argument #1 to 'corrected' (number from 1 expected, got 0.5)", function() h:corrected(0.5) end)
    failshere("bad argument #1 to 'merge' (histogram expected, got no value)", function() h:merge() end)
    failshere("bad argument #1 to 'merge' (histogram expected, got table)", function() h:merge {} end)
    assert.equal(0, h:count())
  end)

  it("a dot where a colon belongs", function()
    for _, method in ipairs { "record", "recordcorrected", "corrected", "merge", "reset", "copy", "count", "overflow", "min",
      "max", "mean", "stdev", "within", "percentile", "percentileat", "countat", "countbetween", "recorded", "linear",
      "logarithmic", "percentiles", "text", "encode" } do
      failshere(("calling '%s' on bad self (histogram expected, got number; call it with a colon)"):format(method),
        function() local _ = h[method](5) end)
      failshere(("calling '%s' on bad self (histogram expected, got table"):format(method),
        function() local _ = h[method]({}, 1, 2) end)
    end
  end)
end)
