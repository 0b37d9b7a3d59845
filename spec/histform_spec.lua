-- SPDX-License-Identifier: MIT

-- histform: the text of histograms and their bytes, compared with what was worked out by hand.

local helper = require "spec.helper"
local histograms = require "spec.histograms"
local hist = require "luapark.hist"
local failshere, HOUR, raw = helper.failshere, histograms.HOUR, histograms.raw

local function bytes(hex)
  return (hex:gsub("%s", ""):gsub("..", function(xx) return string.char(tonumber(xx, 16)) end))
end

describe("the text of a histogram", function()
  it("is HdrHistogram's table of percentiles", function()
    local h = hist.new { highest = 100000, digits = 2 }
    for v = 1, 8 do
      h:record(v)
    end
    h:record(1000, 2) -- 1000 to 1003 are equivalent; the middle is 1002
    -- The mean is (36 + 2004) / 10, the deviation sqrt((203^2 + ... + 196^2 + 2 * 798^2) / 10).
    assert.equal([[
       Value     Percentile TotalCount 1/(1-Percentile)

        1.00 0.000000000000          1           1.00
        3.00 0.250000000000          3           1.33
        5.00 0.500000000000          5           2.00
        7.00 0.625000000000          7           2.67
        8.00 0.750000000000          8           4.00
     1003.00 0.812500000000         10           5.33
     1003.00 1.000000000000         10
#[Mean    =       204.00, StdDeviation   =       399.01]
#[Max     =      1003.00, Total count    =           10]
#[Buckets =           10, SubBuckets     =          256]
]], h:text(1, 2))
  end)

  it("divides values by a scale", function()
    local h = hist.new()
    h:record(1500)
    h:record(2000000)
    local text = h:text(1000)
    assert.matches("\n       1%.500 0%.000000000000          1           1%.00\n", text)
    assert.matches("\n    2000%.895 1%.000000000000          2\n#%[Mean    =     1000%.942, Std", text)
    assert.matches("\n#%[Max     =     2000%.895, Total count    =            2%]\n", text)
    assert.matches("#%[Buckets =           22, SubBuckets     =         2048%]\n$", text)
  end)

  it("of nothing", function()
    assert.equal([[
       Value     Percentile TotalCount 1/(1-Percentile)

#[Mean    =            0, StdDeviation   =            0]
#[Max     =            0, Total count    =            0]
#[Buckets =            3, SubBuckets     =            2]
]], hist.new({ highest = 4, digits = 0 }):text())
  end)
end)

describe("the encoding", function()
  -- What goes before the counts: cookie, how many bytes they take, 0, digits, lowest, highest, the number 1.
  local function header(n, digits, lowest, highest)
    return bytes(("1c849313 %08x 00000000 %08x %016x %08x%08x 3ff0000000000000"):format(n, digits, lowest,
      math.floor(highest / 2 ^ 32), highest % 2 ^ 32))
  end

  it("is HdrHistogram's V2", function()
    local h = hist.new()
    assert.equal(header(1, 3, 1, HOUR) .. "\0", h:encode())
    h:record(0)
    assert.equal(header(1, 3, 1, HOUR) .. "\2", h:encode())
    h:record(2, 63)
    assert.equal(header(3, 3, 1, HOUR) .. bytes "02 00 7e", h:encode()) -- a single 0 is itself
    h:record(2)
    h:record(5, 2 ^ 53)
    -- 64 takes two bytes; -2 stands for two counts of 0; 2^54 takes eight
    assert.equal(header(13, 3, 1, HOUR) .. bytes "02 00 8001 03 8080808080808020", h:encode())
    h = hist.new { lowest = 1000, highest = 1e12, digits = 1 } -- units of 512, 32 of them and 16 for each doubling
    h:record(1e12)
    -- 1e12 is 2^39 * 29.1 / 16; 2^39 is 26 doublings up from 2^13 = 16 * 512: slots before it, 26 * 16 + 29 = 445
    assert.equal(header(3, 1, 1000, 1e12) .. bytes "f906 02", h:encode())
  end)

  it("carries the overflow behind what others read", function()
    local h = hist.new { highest = 1000 }
    h:record(1)
    local plain = h:encode()
    h:record(1e6, 100)
    assert.equal(plain .. bytes "c801", h:encode())
    local d = assert(hist.decode(h:encode()))
    assert.same({ 1, 100 }, { d:count(), d:overflow() })
    assert.equal(0, hist.decode(plain):overflow())
  end)

  it("has room for no more than 2^53", function()
    local h = hist.new { highest = 1000 }
    for v = 0, 2047 do
      for _ = 1, 50 do
        h:record(v, 2 ^ 53)
        h:record(5000, 2 ^ 53)
      end
    end
    local d = assert(hist.decode(h:encode()))
    assert.same({ 2 ^ 53, 2 ^ 53, 2 ^ 53 }, { d:countat(0), d:countat(2047), d:overflow() })
  end)

  it("comes back as it was", function()
    math.randomseed(11)
    for _ = 1, 100 do
      local lowest = math.random(1, 3000)
      local highest = math.random(2 * lowest, 2 ^ math.random(14, 52))
      local options = { lowest = lowest, highest = highest, digits = math.random(0, 4) }
      local h = hist.new(options)
      for _ = 1, math.random(0, 50) do
        h:record(math.random() * options.highest * 1.5, math.random() < 0.1 and math.random(1, 2 ^ 40) or 1)
      end
      local d = assert(hist.decode(h:encode()))
      assert.equal(h:encode(), d:encode())
      assert.equal(h:text(), d:text())
      assert.same({ h:count(), h:overflow() }, { d:count(), d:overflow() })
      assert.is_true(d:merge(h))
      assert.is_true(d:record(options.highest))
    end
  end)

  it("takes what another encoder may write", function()
    local h = hist.new { highest = 1000, digits = 1 }
    h:record(3, 5)
    local same = { "00 00 00 0a", "05 0a", "01 00 00 0a 00 00", "05 8a80808080808000", "05 0a 01", "05 8a8080808080808000" }
    for _, counts in ipairs(same) do
      counts = bytes(counts)
      local d = assert(hist.decode(header(#counts, 1, 1, 1000) .. counts))
      assert.equal(h:encode(), d:encode())
    end
  end)

  it("refuses what is none, in words", function()
    local function refused(why, s)
      assert.same({ nil, "bad histogram: " .. why, "EPROTO" }, { hist.decode(s) })
    end
    local h = hist.new { highest = 1000, digits = 1 }
    h:record(3, 5)
    h:record(900)
    local good = h:encode()
    for n = 0, #good - 1 do
      refused("it breaks off", good:sub(1, n))
    end
    local function with(place, hex)
      return good:sub(1, place - 1) .. bytes(hex) .. good:sub(place + #bytes(hex))
    end
    refused("it is not in HdrHistogram's encoding V2", with(1, "1c849301"))
    refused("it is not in HdrHistogram's encoding V2", with(1, "1c849314"))
    refused("it is not in HdrHistogram's encoding V2", ("GET / HTTP/1.1\r\n"):rep(5))
    refused("its values are scaled", with(9, "00000001"))
    refused("its values are scaled", with(33, "4000000000000000"))
    refused("digits must be 0, 1, 2, 3, 4 or 5", with(13, "00000006"))
    refused("lowest must be a whole number from 1", with(17, "0000000000000000"))
    refused("lowest must be a whole number from 1", with(17, "ffffffffffffffff"))
    refused("highest must be a whole number, at least twice lowest and below 2^53", with(25, "0000000000000001"))
    refused("highest must be a whole number, at least twice lowest and below 2^53", with(25, "7fffffffffffffff"))
    refused("it breaks off", with(5, "ffffffff"))
    refused("what follows the counts is not the overflow", good .. "\2\2")
    refused("what follows the counts is not the overflow", good .. "\3")
    refused("what follows the counts is not the overflow", good .. "\128")
    local function counts(hex)
      return header(#bytes(hex), 1, 1, 1000) .. bytes(hex)
    end
    local slots = 7 * 16
    refused("it has more counts than slots", counts(("00"):rep(slots + 1)))
    refused("it has more counts than slots", counts "e101") -- 113 times 0
    refused("it has more counts than slots", counts "df01 02 02") -- 112 times 0, and one more
    refused("it has more counts than slots", counts "ffffffffffffffffff") -- -2^63
    assert.is_truthy(hist.decode(counts "df01")) -- 112 times 0
    refused("a count is above 2^53", counts "feffffffffffffffff")
    refused("a count is above 2^53", counts "8480808080808020") -- 2^53 + 2
    refused("it breaks off", counts "80")
    refused("it breaks off", counts "02 8080808080808080")
  end)

  it("survives whatever bytes", function()
    math.randomseed(5)
    local good = raw:encode()
    local refused = 0
    for _ = 1, 3000 do
      local t = { good:byte(1, -1) }
      for _ = 1, math.random(1, 3) do
        t[math.random(math.random(2) == 1 and 41 or 33, #t)] = math.random(0, 255)
      end
      local d, why, code = hist.decode(string.char(unpack(t)))
      if d then
        assert.equal(d:encode(), hist.decode(d:encode()):encode())
        assert.is_true(d:percentile(50) <= d:max())
      else
        refused = refused + 1
        assert.matches("^bad histogram: ", why)
        assert.equal("EPROTO", code)
      end
    end
    assert.is_true(refused > 100 and refused < 2900, refused)
  end)
end)

describe("wrong arguments are errors at the caller's line:", function()
  local h = hist.new()

  it("of text and decode", function()
    failshere("bad argument #1 to 'text' (number above 0 expected, got 0)", function() h:text(0) end)
    failshere("bad argument #1 to 'text' (number above 0 expected, got string)", function() h:text "1" end)
    failshere("bad argument #2 to 'text' (whole number from 1 expected, got 0.5)", function() h:text(1, 0.5) end)
    failshere("bad argument #1 to 'decode' (string expected, got no value)", function() hist.decode() end)
    failshere("bad argument #1 to 'decode' (string expected, got table)", function() hist.decode(h) end)
  end)
end)
