-- loadreport: what `luapark load` says of a run, in wrk's form and as JSON. What real runs of wrk print is compared in
-- wrk_spec.lua.

local cjson = require "cjson"
local hist = require "luapark.hist"
local loadargs = require "luapark.loadargs"
local loadreport = require "luapark.loadreport"

-- A histogram of values and how often each is there.
local function histogram(counts)
  local h = hist.new()
  for v, n in pairs(counts) do
    h:record(v, n)
  end
  return h
end

local function options(...)
  return assert(loadargs.parse { "http://127.0.0.1:8080/x", ... })
end

-- A result, with fields of one's own.
local function result(fields)
  local r = {
    duration = 2000000, requests = 1000, bytes = 2048000, errors = { connect = 0, read = 0, write = 0, status = 0,
    timeout = 0 }, latency = histogram { [500] = 500, [1500] = 400, [2000] = 99, [60000] = 1 }, rates = { 200, 300 },
  }
  for k, v in pairs(fields or {}) do
    r[k] = v
  end
  return r
end

local function with(errors)
  local all = { connect = 0, read = 0, write = 0, status = 0, timeout = 0 }
  for class, n in pairs(errors) do
    all[class] = n
  end
  return all
end

describe("a load's numbers", function()
  it("have wrk's units", function()
    local time, metric, binary = loadreport.time, loadreport.metric, loadreport.binary
    for n, want in pairs {
      [0] = "0.00us", [1] = "1.00us", [635.91] = "635.91us", [849.99] = "849.99us", [850] = "0.85ms", [12920] = "12.92ms",
      [849999] = "850.00ms", [850000] = "850.00ms", [999999] = "1000.00ms", [1e6] = "1.00s", [50.99e6] = "50.99s",
      [51e6] = "0.85m", [60e6] = "1.00m", [3600e6] = "60.00m", [7200e6] = "120.00m",
    } do
      assert.equal(want, time(n))
    end
    for n, want in pairs {
      [0] = "0.00", [849] = "849.00", [850] = "0.85k", [1000] = "1.00k", [56200] = "56.20k", [850000] = "0.85M",
      [1.5e9] = "1.50G", [2e12] = "2.00T", [9e15] = "9000.00T",
    } do
      assert.equal(want, metric(n))
    end
    for n, want in pairs {
      [0] = "0.00", [870] = "870.00", [871] = "0.85K", [1024] = "1.00K", [606.33 * 2 ^ 20] = "606.33M",
      [17.76 * 2 ^ 30] = "17.76G", [2 ^ 40] = "1.00T",
    } do
      assert.equal(want, binary(n))
    end
  end)
end)

describe("a load's summary", function()
  it("is wrk's", function()
    assert.equal([[
Running 10s test @ http://127.0.0.1:8080/x
  2 threads and 10 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.11ms    1.95ms  60.00ms   99.90%
    Req/Sec   250.00     70.71   300.00    100.00%
  1000 requests in 2.00s, 1.95MB read
Requests/sec:    500.00
Transfer/sec:      0.98MB
]], (loadreport.summary(result(), options()):gsub("60%.0%d", "60.00"))) -- the histogram's third digit
  end)

  it("has the distribution that --latency asks for", function()
    assert.matches([[

    Req/Sec   [^
]*
  Latency Distribution
     50%%  500.00us
     75%%    1.50ms
     90%%    1.50ms
     99%%    2.00ms
  1000 requests in ]], loadreport.summary(result(), options "--latency"))
  end)

  it("tells errors, with their causes", function()
    local text = loadreport.summary(result {
      errors = with { connect = 3, timeout = 1, status = 12 },
      causes = { connect = { ["connection refused"] = 1, ["network is unreachable"] = 2 }, timeout = { timeout = 1 },
        read = {} },
    }, options())
    assert.is_truthy(text:find([[
  1000 requests in 2.00s, 1.95MB read
  Socket errors: connect 3, read 0, write 0, timeout 1
  Non-2xx or 3xx responses: 12
  Errors by cause
    connect  2: network is unreachable
    connect  1: connection refused
    timeout  1: timeout
Requests/sec:    500.00
]], 1, true), text)
  end)

  it("tells of bad statuses without errors of sockets", function()
    local text = loadreport.summary(result { errors = with { status = 12 } }, options())
    assert.is_truthy(text:find("read\n  Non-2xx or 3xx responses: 12\nRequests/sec:", 1, true), text)
  end)

  it("tells response times from service times, where there is a rate", function()
    local text = loadreport.summary(result { service = histogram { [300] = 990, [900] = 10 } }, options("-R", "500"))
    assert.is_truthy(text:find("\n  2 threads and 10 connections, 500 requests/sec\n", 1, true), text)
    assert.is_truthy(text:find("\n    Latency     1.11ms ", 1, true), text)
    assert.is_truthy(text:find("\n    Service   306.00us   59.73us   0.90ms   99.00%\n", 1, true), text)
    local response, service = text:match "\n  Response time[^\n]*\n(.-)  Service time[^\n]*\n(.-)  1000 requests"
    assert.matches("^     50%%  500.00us\n     75%%    1.50ms\n.*\n   99.9%%    2.00ms\n  99.99%%   60.0%dms\n"
      .. "    100%%   60.0%dms\n$", response)
    assert.matches("^     50%%  300.00us\n.*     99%%  300.00us\n   99.9%%    0.90ms\n", service)
  end)

  it("says what was asked for", function()
    for args, want in pairs {
      ["-d2h"] = "Running 120m test @", ["-d60"] = "Running 1m test @", ["-d250ms"] = "Running 250.00ms test @",
      ["-n5000"] = "Running 5000 requests @", ["-n5000 -d3"] = "Running 5000 requests or 3s @",
    } do
      local list = {}
      for word in args:gmatch "%S+" do
        list[#list + 1] = word
      end
      assert.equal(want .. " http://127.0.0.1:8080/x\n  2 threads and 10 connections\n",
        loadreport.head(options(unpack(list))))
    end
  end)

  it("is its head and its results", function()
    local r, o = result(), options()
    assert.equal(loadreport.head(o) .. loadreport.results(r, o), loadreport.summary(r, o))
  end)

  it("holds where nothing was answered", function()
    local text = loadreport.summary(result { requests = 0, bytes = 0, duration = 0, latency = hist.new(), rates = {},
      errors = with { connect = 1 } }, options "--latency")
    assert.is_truthy(text:find("\n    Latency     0.00us    0.00us   0.00us    0.00%\n", 1, true), text)
    assert.is_truthy(text:find("\n    Req/Sec     0.00      0.00     0.00      0.00%\n", 1, true), text)
    assert.is_truthy(text:find("\n     99%    0.00us\n", 1, true), text)
    assert.is_truthy(text:find("\nRequests/sec:      0.00\nTransfer/sec:       0.00B\n", 1, true), text)
    assert.is_falsy(text:lower():find("nan", 1, true) or text:lower():find("inf", 1, true), text)
  end)

  it("takes rates from a histogram, too", function()
    local rows = {}
    for i, rates in ipairs { { 1200, 1250, 1250 }, histogram { [1200] = 1, [1250] = 2 } } do
      rows[i] = loadreport.summary(result { rates = rates }, options()):match "\n(    Req/Sec [^\n]*)\n"
    end
    assert.equal("    Req/Sec     1.23k    28.87     1.25k    66.67%", rows[1])
    assert.equal(rows[1], rows[2])
  end)
end)

describe("a load's results as JSON", function()
  local function decode(r, ...)
    local text = loadreport.json(r, options(...))
    assert.equal("\n", text:sub(-1))
    return cjson.decode(text), text
  end

  it("have all that the summary has", function()
    local j = decode(result {
      errors = with { connect = 3, status = 2 }, causes = { connect = { ["connection refused"] = 3 } },
    })
    assert.same({ "http://127.0.0.1:8080/x", 2, 10, false, 2000000, 1000, 2048000, 500, 1024000 }, { j.url, j.threads,
      j.connections, j.interrupted, j.duration, j.requests, j.bytes, j.requests_per_second, j.bytes_per_second })
    assert.same({ connect = 3, read = 0, write = 0, status = 2, timeout = 0 }, j.errors)
    assert.same({ connect = { ["connection refused"] = 3 } }, j.causes)
    assert.same({ count = 2, min = 200, mean = 250, stdev = 70.71067812, max = 300, within_stdev = 100 },
      j.thread_requests_per_second)
    assert.same({ 1000, 500 }, { j.latency.count, j.latency.min })
    assert.is_true(j.latency.max >= 60000 and j.latency.max < 60100)
    local values = {}
    for _, p in ipairs(j.latency.percentiles) do
      values[p.percentile] = p.value
    end
    assert.same({ 500, 1500, 1500, 2000 }, { values[50], values[75], values[90], values[99] })
    assert.equal(values[100], j.latency.max)
    assert.is_nil(j.rate or j.response_time or j.service_time)
  end)

  it("have response and service times, where there is a rate", function()
    local j = decode(result { service = histogram { [300] = 1000 }, interrupted = true }, "-R", "2k")
    assert.same({ 2000, true }, { j.rate, j.interrupted })
    assert.same(j.latency, j.response_time)
    assert.same({ 1000, 300, 300 }, { j.service_time.count, j.service_time.min, j.service_time.max })
  end)

  it("are valid whatever strings hold", function()
    local odd = "\"quoted\" \\ back\n\r\t\8\12 \1\127 \226\130\172 \240\159\153\130"
    local opts = options()
    opts.url = odd
    local j = cjson.decode(loadreport.json(result { causes = { read = { [odd] = 1 } } }, opts))
    assert.equal(odd, j.url)
    assert.same({ [odd] = 1 }, j.causes.read)
    opts.url = "a\255b\192\128c\237\160\128d\226\130e\244\144\128\128f\224\128\128"
    local fffd = "\239\191\189"
    assert.equal("a" .. fffd .. "b" .. fffd:rep(2) .. "c" .. fffd:rep(3) .. "d" .. fffd:rep(2) .. "e" .. fffd:rep(4) .. "f"
      .. fffd:rep(3), cjson.decode(loadreport.json(result(), opts)).url)
  end)

  it("are valid whatever numbers there are", function()
    local j, text = decode(result { requests = 0, bytes = 2 ^ 60, duration = 0, latency = hist.new(),
      rates = { 0 / 0, 1 / 0 } })
    assert.same({ 0, 0, 0 }, { j.requests_per_second, j.bytes_per_second, j.latency.count })
    assert.equal(2 ^ 60, j.bytes)
    assert.is_falsy(text:find "[^%a]nan" or text:find "[^%a]inf")
    assert.equal(cjson.null, j.thread_requests_per_second.mean)
  end)
end)

describe("a load's status line", function()
  it("tells how far it is", function()
    assert.equal("3s of 10s, 12345 requests, 4.12k/s, 99% in 1.23ms, 2 errors", loadreport.live { elapsed = 3.7,
      duration = 10, requests = 12345, rate = 4123, errors = 2, p99 = 1234 })
    assert.equal("0s, 0 of 500 requests, 0.00/s", loadreport.live { elapsed = 0.2, requests = 0, number = 500, rate = 0,
      errors = 0 })
    assert.equal("61s of 2m, 1 requests, 1 error", loadreport.live { elapsed = 61, duration = 120, requests = 1,
      errors = 1 })
  end)

  it("fits a terminal", function()
    local line = loadreport.live { elapsed = 1e9, duration = 1e9, requests = 1e15, number = 1e15, rate = 1e15, errors = 1e15,
      p99 = 3.6e9 }
    assert.is_true(#line <= 79 and not line:find "\n", line)
  end)
end)
