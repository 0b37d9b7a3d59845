-- `luapark load`'s engine, as the module luapark.load: what it makes of answers, ends and rates. (How the command ends is in
-- loadends_spec.lua.)

local helper = require "spec.helper"
local loadserver = require "spec.loadserver"
local load = require "luapark.load"
local net = require "luapark.net"
local lp, run, OK = helper.lp, helper.run, loadserver.OK

describe("a load", function()
  -- it, with a server that answers so: fn(server, load)
  local function with(name, respond, fn)
    it(name, loadserver.with(respond, fn))
  end

  local function noerrors(result)
    assert.same({ connect = 0, read = 0, write = 0, status = 0, timeout = 0 }, result.errors)
    assert.same({}, result.causes)
  end

  local function always(answer, last)
    return function()
      return answer, last
    end
  end

  -- So many requests are answered, with no errors and that answer; the server has seen as many.
  local function answers(name, answer, last)
    with(name, always(answer, last), function(server, makeload)
      local r, why = makeload "-t2 -c4 -n 41"
      assert.is_nil(why)
      noerrors(r)
      assert.same({ 41, 41 }, { r.requests, server.requests })
      assert.equal(41, r.latency:count())
      assert.equal(41 * #answer, r.bytes)
      assert.is_nil(r.service)
      assert.is_true(r.duration > 0)
      assert.is_true(r.rates:count() > 0)
      assert.is_false(r.interrupted)
      -- One more tries first whether anybody is there.
      assert.is_true(last and server.connections >= 41 or server.connections <= 5)
    end)
  end

  answers("takes answers with a length", OK)
  answers("takes empty ones", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
  answers("takes long ones", "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" .. ("x"):rep(300000))
  answers("takes chunked ones", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")
  answers("takes those that have no body by their status", "HTTP/1.1 204 No Content\r\n\r\n")
  answers("takes 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n")
  answers("passes over interim ones", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Wait\r\nA: b\r\n\r\n" .. OK)
  answers("connects anew where the server closes", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    true)
  answers("takes HTTP/1.0, whose bodies end with the connection", "HTTP/1.0 200 OK\r\n\r\nwhat there is", true)
  answers("takes HTTP/1.0 that stays", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")

  with("knows that an answer to HEAD has no body", always "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    function(server, makeload)
      local r = makeload "-t1 -c1 -n 5 -m HEAD"
      noerrors(r)
      assert.same({ 5, 5 }, { r.requests, server.requests })
      r = makeload("-t1 -c1 -n 3", [[
        function request()
          return "HEAD / HTTP/1.1\r\n\r\n"
        end]])
      noerrors(r)
      assert.equal(3, r.requests)
    end)

  with("counts statuses above 399", function(_, _, server)
    return server.requests % 2 == 0 and OK or "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
  end, function(_, makeload)
    local r = makeload "-t1 -c1 -n 10"
    assert.same({ 10, 5 }, { r.requests, r.errors.status })
  end)

  local function isbad(name, answer, words)
    with(name, always(answer, true), function(server, makeload)
      local r = makeload "-t1 -c1 -n 4"
      assert.equal(0, r.requests)
      assert.same({ connect = 0, read = 4, write = 0, status = 0, timeout = 0 }, r.errors)
      assert.same({ read = { [words] = 4 } }, r.causes)
      assert.equal(4, server.requests)
    end)
  end

  isbad("names what is no HTTP", "220 smtp.example ESMTP\r\n", "Expected HTTP/")
  isbad("names a bad length", "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello", "Invalid character in Content-Length")
  isbad("names an answer that breaks off", OK:sub(1, -2), "connection closed before the answer was complete")
  isbad("names an answer that does not come", "", "connection closed without an answer")
  isbad("names a head without end", "HTTP/1.1 200 OK\r\nX: " .. ("x"):rep(2 ^ 20 + 100), "header too large")

  it("takes an answer that comes before the request was sent", run(function()
    local ln = assert(net.listen("tcp", "127.0.0.1:0"))
    local last
    lp.go(function()
      while true do
        local conn = ln:accept()
        if last then
          last:close() -- who comes has seen that one's answer
        end
        if not conn then
          return
        end
        last = conn
        lp.go(function()
          if conn:readany() then -- and never the rest
            conn:write(OK)
          end
        end)
      end
    end)
    helper.withfile(("x"):rep(20e6), function(name)
      local r = loadserver.load({ url = "http://" .. ln:addr() }, "-t1 -c1 -n 3 -b @" .. name)
      ln:close()
      assert.equal(3, r.requests)
      noerrors(r)
    end)
  end))

  with("waits for the answers that are under way at the end", function()
    lp.sleep(0.05)
    return OK
  end, function(server, makeload)
    local r = makeload "-t2 -c10 -d 120ms"
    noerrors(r)
    assert.equal(server.requests, r.requests)
    assert.is_true(r.requests >= 10)
  end)

  with("counts what does not come in time once, and does not wait for it", function()
    lp.sleep(0.4)
    return OK
  end, function(server, makeload)
    local start = lp.now()
    local r = makeload "-t1 -c3 -d 50ms -T 50ms"
    assert.is_true(lp.now() - start < 5)
    assert.same({ 0, 3, 3 }, { r.requests, r.errors.timeout, server.requests })
    assert.same({ timeout = { ["no answer in time"] = 3 } }, r.causes)
  end)

  with("ends where the server goes away, and says so", function(_, _, server)
    if server.requests == 20 then
      server.stop()
    end
    return OK
  end, function(server, makeload)
    local start = lp.now()
    local r, why = makeload "-t2 -c4 -d 60"
    assert.is_true(lp.now() - start < 20)
    assert.is_true(r.requests > 0)
    assert.is_true(r.errors.connect > 0 and r.errors.connect < 500, r.errors.connect) -- with pauses
    assert.equal(server.address .. " went away: connection refused", why)
  end)

  it("of nobody is none", run(function()
    local server = loadserver.start()
    server.stop()
    local r, why = loadserver.load(server, "-t1 -c1 -d 60")
    assert.is_nil(r)
    assert.equal(("unable to connect to %s: connection refused"):format(server.address), why)
  end))

  with("keeps to a rate, and tells response and service times apart", function(_, _, server)
    if server.requests == 20 then
      lp.sleep(0.2)
    end
    return OK
  end, function(server, makeload)
    local r = makeload "-t1 -c1 -n 60 -R 200"
    noerrors(r)
    assert.same({ 60, 60, 60 }, { server.requests, r.latency:count(), r.service:count() })
    assert.is_true(r.duration >= 290e3, r.duration) -- 59 intervals of 5 ms
    assert.is_true(r.service:max() >= 195e3)
    -- Who was due while it stalled waited, too: some 40 of 60, half of them for 100 ms.
    assert.is_true(r.latency:percentile(75) >= 50e3, r.latency:percentile(75))
    assert.is_true(r.service:percentile(75) < 50e3, r.service:percentile(75))
  end)

  with("of a tiny rate ends in time", nil, function(server, makeload)
    local start = lp.now()
    local r = makeload "-t2 -c2 -d 50ms -R 1"
    assert.is_true(lp.now() - start < 10)
    assert.is_true(r.requests <= 1)
    assert.equal(server.requests, r.requests)
  end)

  with("divides what there is to do", nil, function(server, makeload)
    for _, args in ipairs { "-t3 -c3 -n 1", "-t3 -c10 -n 100", "-t2 -c5 -n 3", "-t1 -c50 -n 7" } do
      local before = server.requests
      local r = makeload(args)
      noerrors(r)
      assert.equal(tonumber(args:match "%d+$"), r.requests)
      assert.equal(r.requests, server.requests - before)
    end
  end)

  with("leaves the number of Ps as it was, and no goroutine", nil, function(_, makeload)
    local before, living = lp.gomaxprocs(), lp.numgoroutine()
    makeload "-t3 -c3 -n 30"
    assert.equal(before, lp.gomaxprocs())
    for _ = 1, 500 do
      if lp.numgoroutine() <= living + 6 then -- the server's
        break
      end
      lp.sleep(0.01)
    end
    assert.is_true(lp.numgoroutine() <= living + 6, lp.stack(true))
  end)

  with("leaves nothing behind where what looks after it fails", nil, function(server, makeload)
    local core = require "luapark.core"
    local sample = core.load.sample
    core.load.sample = function()
      error "no more"
    end
    local ok, err = pcall(makeload, "-t2 -c2 -d 60")
    core.load.sample = sample
    assert.is_false(ok)
    assert.matches("no more", err)
    local r = makeload "-t2 -c2 -n 10"
    assert.equal(10, r.requests)
    assert.is_true(server.requests >= 10)
  end)

  it("wants options", run(function()
    helper.fails(load.run)
    assert.matches("bad argument #1 to 'run' %(options expected", helper.fails(load.run, {}))
  end))
end)
