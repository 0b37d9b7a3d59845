-- How `luapark load` ends, well and badly: what it counts is what the server counts (spec/wrk/server.lua), to the request;
-- and what goes wrong is told at once, by its cause.

local checking = require "spec.wrk.checking"
local cjson = require "cjson"
local helper = require "spec.helper"

-- The executable is the same in both ways to run the specs.
if not helper.inexe then
  return
end

local PROMPTLY = 15 -- seconds; an end that is not prompt takes the 60 that the runs are given

-- Runs `luapark load`. -> stdout, stderr, status
local function load(args)
  return helper.luapark("load " .. args)
end

-- Runs it, and it ends well. -> its results, as the JSON has them; what the server noted meanwhile; its output
local function results(server, args)
  local file = os.tmpname()
  local out, err, status = load(("--json %s %s"):format(file, args:gsub("URL", server.url)))
  local text = helper.slurp(file)
  os.remove(file)
  assert.same({ 0, "" }, { status, err }, out .. err)
  return cjson.decode(text), server:report(), out
end

describe("a load", function()
  local server

  setup(function()
    server = checking.start()
  end)

  teardown(function()
    server:stop()
  end)

  -- What it counted is what the server did.
  local function agrees(args)
    local r, noted, out = results(server, args)
    assert.equal(noted.requests, r.requests, out)
    assert.equal(noted.bytes, r.bytes, out)
    assert.equal(r.requests, r.latency.count, out)
    assert.same({ connect = 0, read = 0, write = 0, status = r.errors.status, timeout = 0 }, r.errors)
    assert.equal(tostring(noted.requests), out:match "\n  (%d+) requests in ")
    return r, noted
  end

  it("that ends after its time agrees with the server", function()
    agrees "-t1 -c1 -d 300ms URL"
    agrees "-t2 -c16 -d 300ms URL"
    agrees "-t2 -c16 -d 300ms URL/large/100000"
    local r = agrees "-t2 -c4 -d 300ms URL/status/503"
    assert.equal(r.requests, r.errors.status)
  end)

  it("of so many requests agrees with the server", function()
    for _, args in ipairs { "-n 1 -t1 -c1 URL", "-n 1000 -t2 -c8 URL", "-n 7 -t2 -c10 URL", "-n 1001 -t3 -c7 URL/x",
      "-n 200 -t2 -c8 URL/close", "-n 300 -t2 -c4 -R 3000 URL" } do
      local r = agrees(args)
      assert.equal(tonumber(args:match "%-n (%d+)"), r.requests, args)
    end
  end)

  it("with a script agrees with the server", function()
    agrees "-t2 -c8 -d 300ms -s spec/wrk/counter.lua URL"
    agrees "-t2 -c8 -d 300ms -s spec/wrk/pipeline.lua URL"
    agrees "-t2 -c8 -d 300ms -s spec/wrk/setup.lua URL"
  end)

  it("sends what it is told to send", function()
    local _, noted = agrees "-n 4 -t1 -c2 -m PUT -b 'some text' -H 'X-A: b' URL/put"
    assert.same({ [("PUT /put HTTP/1.1\nContent-Length: 9\nHost: %s\nX-A: b\n\nsome text"):format(server.address)] = 4 },
      noted.forms)
    helper.withfile("of a file\0\r\n", function(name)
      _, noted = agrees(("-n 4 -t1 -c2 -b @%s URL"):format(name))
      assert.same({ [("POST / HTTP/1.1\nContent-Length: 12\nHost: %s\n\nof a file\0\r\n"):format(server.address)] = 4 },
        noted.forms)
    end)
  end)

  it("knows that nothing follows an answer to HEAD", function()
    agrees "-n 100 -t1 -c2 -m HEAD URL/large/1000"
  end)

  it("keeps to its rate", function()
    local r = agrees "-R 400 -n 400 -t2 -c8 URL"
    assert.equal(400, r.requests)
    assert.is_true(r.duration > 0.98e6 and r.duration < PROMPTLY * 1e6, r.duration) -- the last is due after 0.9975 s
    assert.equal(400, r.rate)
    assert.same(r.latency, r.response_time)
    assert.equal(r.requests, r.service_time.count)
    r = agrees "-R 400 -d 1 -t2 -c8 URL"
    assert.equal(400, r.requests)
  end)

  it("ends by the first Ctrl-C, with all that was measured", function()
    local file = os.tmpname()
    -- In the foreground timeout sends one signal, else two.
    local out, err, status = helper.sh(("timeout --foreground --preserve-status -s INT 1 %s load -d 60 -t2 -c4 --json %s %s")
      :format(helper.quote(helper.exe), file, server.url))
    local text, noted = helper.slurp(file), server:report()
    os.remove(file)
    assert.same({ 0, "" }, { status, err }, out .. err)
    local r = cjson.decode(text)
    assert.is_true(r.interrupted)
    assert.is_true(r.requests > 0 and r.duration < PROMPTLY * 1e6, text)
    assert.equal(noted.requests, r.requests)
    assert.matches("\nRequests/sec: ", out)
  end)

  it("shows a stall of the server in response times, not in service times", function()
    server:get "/-/stall/0.7/0.8"
    local r = results(server, "-R 500 -d 2 -t1 -c4 URL")
    local function at(times, p)
      for _, each in ipairs(times.percentiles) do
        if each.percentile == p then
          return each.value
        end
      end
    end
    -- 400 of 1000 were due while it stalled; four of them had been sent.
    assert.is_true(at(r.response_time, 99) > 400e3, at(r.response_time, 99))
    assert.is_true(at(r.response_time, 75) > 50e3, at(r.response_time, 75))
    assert.is_true(at(r.service_time, 95) < 200e3, at(r.service_time, 95))
    assert.is_true(at(r.service_time, 100) > 400e3, at(r.service_time, 100))
  end)

  it("counts answers that break off, and goes on", function()
    local file = os.tmpname()
    local out = load(("-d 500ms -t1 -c2 --json %s %s/half"):format(file, server.url))
    local r = cjson.decode(helper.slurp(file))
    os.remove(file)
    assert.is_true(r.errors.read > 0, out)
    assert.equal(0, r.requests)
    assert.is_truthy(next(r.causes.read), out)
    assert.matches("\n  Socket errors: connect 0, read %d+, write 0, timeout 0\n", out)
    assert.matches("\n    read +%d+: %w", out)
    server:report()
  end)

  it("counts answers that do not come in time", function()
    local out = load(("-d 1 -t1 -c2 --timeout 100ms %s/slow/0.5"):format(server.url))
    assert.matches("\n  Socket errors: connect 0, read 0, write 0, timeout [1-9]%d*\n", out)
    server:report()
  end)

  it("holds ten thousand connections", function()
    local limit = "ulimit -n 10100 2>/dev/null"
    local _, _, status = helper.sh(limit)
    if status ~= 0 then
      return pending "the limit of open files is below 10,100"
    end
    local crowded = checking.start(limit)
    finally(function()
      crowded:stop()
    end)
    local file = os.tmpname()
    local out, err
    out, err, status = helper.sh(("%s && exec %s load -t2 -c 10000 -n 20000 --timeout 30 --json %s %s"):format(limit,
      helper.quote(helper.exe), file, crowded.url))
    local text = helper.slurp(file)
    os.remove(file)
    assert.same({ 0, "" }, { status, err }, out .. err)
    local r, noted = cjson.decode(text), crowded:report()
    assert.same({ 20000, 20000 }, { r.requests, noted.requests })
    assert.equal(10000, noted.connections)
    assert.same({ connect = 0, read = 0, write = 0, status = 0, timeout = 0 }, r.errors)
  end)
end)

describe("a load ends promptly, with a cause and a status,", function()
  local server

  setup(function()
    server = checking.start()
  end)

  teardown(function()
    server:stop()
  end)

  -- Ends in time with a status other than 0, and has all of that on stderr, in whatever case. -> stderr
  local function fails(args, ...)
    local start = helper.lp.now()
    local out, err, status = load(args:gsub("URL", server.url))
    assert.is_true(helper.lp.now() - start < PROMPTLY, args)
    assert.is_true(status > 0 and status < 124, args .. ": " .. out .. err)
    for _, text in ipairs { ... } do
      assert.is_truthy(err:lower():find(text:lower(), 1, true), ("'%s' is not in: %s"):format(text, err))
    end
    return err
  end

  local function script(text, ...)
    local causes = { ... }
    return helper.withfile(text, function(name)
      for i, cause in ipairs(causes) do
        causes[i] = cause:gsub("FILE", name)
      end
      return fails(("-d 60 -t2 -c2 -s %s URL"):format(name), unpack(causes))
    end)
  end

  it("where the server is down", function()
    fails("-d 60 http://127.0.0.1:1/", "127.0.0.1:1", "connection refused")
  end)

  it("where the server dies midway", function()
    local mortal = checking.start()
    finally(function()
      mortal:stop()
    end)
    mortal:get "/-/die/0.5"
    local start = helper.lp.now()
    local out, err, status = load("-d 60 -t2 -c8 " .. mortal.url)
    assert.is_true(helper.lp.now() - start < PROMPTLY)
    assert.is_true(status > 0 and status < 124, out .. err)
    assert.is_truthy((out .. err):lower():find("connection refused", 1, true), out .. err)
    assert.matches("\n  [1-9]%d* requests in ", out)
  end)

  it("where the host has no address", function()
    fails("-d 60 http://no-such-host.invalid/", "no-such-host.invalid")
  end)

  it("where the command line is wrong", function()
    fails("-d 60 127.0.0.1", "127.0.0.1", "invalid URL")
    fails("-d 60 ftp://127.0.0.1/", "ftp")
    fails("-d 60", "no URL")
    fails("-c x URL", "-c", "'x'")
    fails("-t 4 -c 2 URL", "number of connections must be >= threads")
    fails("-R 0 URL", "-R", "'0'")
    fails("-b @/nonexistent URL", "/nonexistent", "No such file")
  end)

  it("where the results cannot be written", function()
    fails("-n 1 -t1 -c1 --json /nonexistent/file URL", "/nonexistent/file")
  end)

  it("where the script is not there, or no Lua", function()
    fails("-d 60 -s /nonexistent.lua URL", "/nonexistent.lua", "No such file")
    script("function request(\n  return 'x'\nend", "FILE:2:", "expected near")
  end)

  it("where the script raises an error", function()
    script("\nerror 'at once'", "FILE:2:", "at once")
    script("function init()\n  error 'in init'\nend", "FILE:2:", "in init")
    script("function setup()\n  error 'in setup'\nend", "FILE:2:", "in setup")
    script("function request()\n  error 'in request'\nend", "FILE:2:", "in request")
    script("local n = 0\nfunction request()\n  n = n + 1\n  if n > 50 then error 'later' end\n  return wrk.request()\nend",
      "FILE:4:", "later")
    script("function response()\n  error 'in response'\nend", "FILE:2:", "in response")
    script("function delay()\n  error 'in delay'\nend", "FILE:2:", "in delay")
    -- In the script's own frames.
    script("function request()\n  error 'in request'\nend",
      "in request\nstack traceback:\n\t[C]: in function 'error'\n\tFILE:2: in function ")
  end)

  it("where the script raises an error at the end", function()
    helper.withfile("function done()\n  error 'in done'\nend", function(name)
      fails(("-n 10 -t2 -c2 -s %s URL"):format(name), name .. ":2:", "in done")
    end)
  end)

  it("where the script makes no request", function()
    script("function request() end", "request")
    script("function request() return 'GET /\\r\\n' end", "request")
    script("function request() return {} end", "request")
  end)
end)
