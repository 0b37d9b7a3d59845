-- wrk's scripts under `luapark load`: what they find, when they are called, and with what. (Whether that is what wrk does is
-- wrk_spec.lua's matter.)

local helper = require "spec.helper"
local loadserver = require "spec.loadserver"
local loadasks = require "luapark.loadasks"
local lp, run = helper.lp, helper.run

describe("a script of a load", function()
  -- it, with a server: fn(server, load)
  local function with(name, fn, respond)
    it(name, loadserver.with(respond, fn))
  end

  -- What the script says by the header X-Say of its requests, one for each.
  local function said(server)
    local list = {}
    for i, text in ipairs(server.texts) do
      list[i] = text:match "\r\nX%-Say: ([^\r]*)"
    end
    return list
  end

  local SAY = [[
    local function say(v) return wrk.format(nil, nil, { ["X-Say"] = tostring(v) }) end
  ]]

  with("finds the table wrk", function(server, load)
    load("-t1 -c1 -n 1 -m PUT -b text -H X-A:b", SAY .. [[
      function init(args)
        assert(wrk.scheme == "http" and wrk.host == "127.0.0.1" and wrk.path == "/" and tonumber(wrk.port))
        assert(wrk.method == "PUT" and wrk.body == "text" and wrk.headers["X-A"] == "b")
        assert(wrk.headers.Host == wrk.host .. ":" .. wrk.port)
        assert(args[0]:find "^http://" and args[1] == "one" and args[2] == "-n" and #args == 2)
        assert(_G.wrk == wrk and _G.init == init and _G._G == _G)
      end
      function request() return say "all well" end
    ]], { "--", "one", "-n" })
    assert.same({ "all well" }, said(server))
    local want = "PUT / HTTP/1.1\r\nX-Say: all well\r\nHost: %s\r\nContent-Length: 4\r\n\r\ntext"
    assert.equal(#want:format(server.address), #server.texts[1])
  end)

  with("formats requests", function(server, load)
    load("-t1 -c1 -n 3", [[
      local n = -1 -- the first one is only looked at
      function request()
        n = n + 1
        if n < 2 then return wrk.format() end
        if n == 2 then return wrk.format("POST", "/x?y", { A = 1, B = true }, "a\0b") end
        wrk.method, wrk.path, wrk.body, wrk.headers["X-Z"] = "PUT", "/z", "zz", "z"
        return wrk.format()
      end]])
    local host = server.address
    assert.equal(("GET / HTTP/1.1\r\nHost: %s\r\n\r\n"):format(host), server.texts[1])
    local head, body = server.texts[2]:match "^(.*\r\n)\r\n(.*)$"
    assert.equal("a\0b", body)
    local lines = {}
    for line in head:gmatch "[^\r\n]+" do
      lines[#lines + 1] = line
    end
    table.sort(lines)
    assert.same({ "A: 1", "B: true", "Content-Length: 3", "Host: " .. host, "POST /x?y HTTP/1.1" }, lines)
    assert.matches("^PUT /z HTTP/1.1\r\n.*\r\n\r\nzz$", server.texts[3])
    assert.matches("\r\nX%-Z: z\r\n", server.texts[3])
  end)

  with("looks up and connects", function(_, load)
    local r, why = load("-t1 -c1 -n 1", [[
      function setup(thread)
        local list = wrk.lookup("127.0.0.1", wrk.port)
        assert(#list == 1 and tostring(list[1]) == "127.0.0.1:" .. wrk.port)
        assert(wrk.connect(list[1]) == true)
        assert(wrk.connect(wrk.lookup("127.0.0.1", "1")[1]) == false)
        assert(tostring(wrk.lookup("localhost", "http")[1]):find ":80$")
        assert(tostring(thread.addr) == tostring(list[1]))
        thread.addr = list[1]
        assert(not pcall(function() thread.addr = "127.0.0.1" end))
        assert(not pcall(function() thread.other = 1 end))
        assert(not pcall(wrk.connect, "127.0.0.1"))
        local ok, err = pcall(wrk.lookup, "no-such-host.invalid", "80")
        assert(not ok and err:find "unable to resolve no%-such%-host.invalid:80: ", err)
        ok, err = pcall(wrk.lookup, "127.0.0.1", "99999")
        assert(not ok and err:find "no such port: 99999", err)
      end
      function init() assert(tostring(wrk.thread.addr) == "127.0.0.1:" .. wrk.port) end]])
    assert.is_nil(why)
    assert.equal(1, r.requests)
  end)

  with("reaches its threads' globals, which are separate", function(_, load)
    local r, why = load("-t3 -c3 -n 30", [[
      local threads = {}
      answered = 5
      function setup(thread)
        assert(thread:get "answered" == 5) -- the thread's own
        threads[#threads + 1] = thread
        thread:set("number", #threads)
        thread:set("answered", 0)
        thread:set("list", { 1, { two = "2" }, t = true })
        thread:set("gone", 1)
        thread:set("gone", nil)
      end
      function init()
        assert(gone == nil and list[2].two == "2" and list.t == true)
        assert(wrk.thread:get "number" == number)
        wrk.thread:set("mine", { number })
      end
      function response() answered = answered + 1 end
      function done()
        assert(answered == 5)
        local sum = 0
        for i, thread in ipairs(threads) do
          assert(thread:get("mine")[1] == i and thread:get "nothing" == nil)
          sum = sum + thread:get "answered"
          local ok, err = pcall(thread.get, thread, "init")
          assert(ok or err:find "function")
          ok, err = pcall(thread.set, thread, "x", coroutine.create(print))
          assert(not ok and err:find "cannot transfer 'x' to thread: a coroutine", err)
        end
        assert(sum == 30, sum)
      end]])
    assert.is_nil(why)
    assert.equal(30, r.requests)
  end)

  with("keeps its globals to itself", function(_, load)
    local _, why = load("-t1 -c1 -n 1", "leaked = 1 function init() leaked2 = 1 end function setup() leaked3 = 1 end")
    assert.is_nil(why)
    assert.same({}, { rawget(_G, "leaked"), rawget(_G, "leaked2"), rawget(_G, "leaked3"), rawget(_G, "wrk") })
  end)

  with("is shown answers", function(server, load)
    local _, why = load("-t1 -c1 -n 4", SAY .. [[
      local last = "nothing"
      function request() return say(last) end
      function response(status, headers, body)
        local names = {}
        for name, value in pairs(headers) do names[#names + 1] = name .. "=" .. value end
        table.sort(names)
        last = status .. " " .. table.concat(names, ",") .. " " .. body
      end]])
    assert.is_nil(why)
    assert.same({ "nothing", "200 Content-Length=3,X-Empty=,X-Two=b b two", "404 Transfer-Encoding=chunked three",
      "204 A=b " }, said(server))
  end, function(_, _, server)
    return ({ "HTTP/1.1 200 OK\r\nX-Two:  b b \t\r\nX-Empty:\r\nContent-Length: 3\r\n\r\ntwo",
      "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nth\r\n3\r\nree\r\n0\r\n\r\n",
      "HTTP/1.1 204 No\r\nA: b\r\n\r\n", loadserver.OK })[server.requests]
  end)

  with("pipelines", function(server, load)
    local r, why = load("-t2 -c2 -n 12", [[
      function init()
        local r = {}
        for i = 1, 3 do r[i] = wrk.format(nil, "/" .. i) end
        all = table.concat(r)
      end
      function request() return all end
      answers = 0
      function response() answers = answers + 1 end
      local threads = {}
      function setup(thread) threads[#threads + 1] = thread end
      function done(summary)
        assert(threads[1]:get "answers" + threads[2]:get "answers" == summary.requests)
      end]])
    assert.is_nil(why)
    assert.same({ 12, 12 }, { r.requests, server.requests })
    assert.equal(12, r.latency:count())
    local count = {}
    for _, text in ipairs(server.texts) do
      local path = text:match " (%S+)"
      count[path] = (count[path] or 0) + 1
    end
    assert.same({ ["/1"] = 4, ["/2"] = 4, ["/3"] = 4 }, count)
  end)

  with("delays requests", function(server, load)
    local r, why = load("-t1 -c2 -n 6", "function delay() return 30 end")
    assert.is_nil(why)
    assert.equal(6, server.requests)
    assert.is_true(r.duration >= 89e3, r.duration) -- three on each connection
    assert.is_nil(select(2, load("-t1 -c2 -n 3", "function delay() end")))
    assert.is_nil(select(2, load("-t1 -c2 -n 6 -R 1000",
      "function delay() return 1 end function request() return wrk.format() end")))
    assert.equal(15, server.requests)
  end)

  with("stops its thread", function(server, load)
    for _, args in ipairs { "-t2 -c2 -d 60", "-t2 -c2 -d 60 -R 1000" } do
      local before = server.requests
      local r, why = load(args, [[
        local n = 0
        function response()
          n = n + 1
          if n == 10 then wrk.thread:stop() end
        end]])
      assert.is_nil(why)
      assert.same({ 20, 20 }, { r.requests, server.requests - before })
    end
  end)

  with("may stop in request, and before anything", function(server, load)
    local r = load("-t1 -c1 -d 60", "function request() wrk.thread:stop() return wrk.request() end")
    assert.is_true(r == nil or r.requests <= 1)
    assert.is_true(server.requests <= 1)
  end)

  with("may park", function(server, load)
    local r, why = load("-t2 -c2 -n 8", [[
      local lp = require "luapark"
      local texts = lp.chan()
      function request()
        lp.go(function()
          lp.sleep(0.002)
          texts:send(wrk.format())
        end)
        return (texts:recv())
      end
      function response(status, headers, body)
        lp.sleep(0.001)
        assert(body == "ok" and status == 200)
      end]])
    assert.is_nil(why)
    assert.same({ 8, 8 }, { r.requests, server.requests })
  end)

  with("gets its statistics", function(_, load)
    local r, why = load("-t2 -c4 -n 100", [[
      function done(summary, latency, requests)
        assert(summary.requests == 100 and summary.duration > 0 and summary.bytes == 100 * 40, summary.bytes)
        for _, class in ipairs { "connect", "read", "write", "status", "timeout" } do
          assert(summary.errors[class] == 0)
        end
        local sum, last = 0, -1
        for i = 1, #latency do
          local value, count = latency(i)
          assert(value > last and count > 0)
          sum, last = sum + count, value
        end
        assert(sum == 100)
        assert(latency.min == latency(1) and latency.min <= latency.mean and latency.mean <= latency.max)
        assert(latency.stdev >= 0)
        assert(latency:percentile(50) <= latency:percentile(99.9) and latency:percentile(99.9) <= latency.max)
        assert(requests.min > 0 and #requests >= 1 and requests:percentile(50) <= requests.max)
        assert(select("#", latency(0)) == 2 and latency(10 ^ 6) == 0)
      end]])
    assert.is_nil(why)
    assert.equal(100, r.requests)
  end)

  with("sees its globals in modules that it requires", function(server, load)
    local dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir " .. dir) == 0)
    local f = assert(io.open(dir .. "/loadpart.lua", "w"))
    f:write "function request() return wrk.format(nil, '/' .. part) end return {}"
    f:close()
    local _, why = load("-t2 -c2 -n 4",
      ("package.path = %q .. package.path part = 'p' require 'loadpart'"):format(dir .. "/?.lua;"))
    os.execute("rm -r " .. dir)
    package.loaded.loadpart = nil
    package.path = package.path:gsub("^[^;]*;", "", 1)
    assert.is_nil(why)
    assert.matches("^GET /p ", server.texts[1])
  end)

  with("fails by its own words", function(server, load)
    local function fails(script, text, args)
      local r, why = load(args or "-t2 -c2 -d 60", script)
      assert.is_nil(r)
      assert.is_truthy(why:find(text, 1, true), why)
      return why
    end
    fails("function request(", "FILE:1:")
    fails("\nerror 'at once'", "FILE:2: at once")
    fails("\nfunction setup() error 'a' end", "FILE:2: a")
    fails("\nfunction init() error 'b' end", "FILE:2: b")
    assert.matches("traceback", fails("\nfunction request() error 'c' end", "FILE:2: c"))
    fails("local n = 0 function request()\n n = n + 1 if n > 9 then error 'd' end return wrk.request() end", "FILE:2: d")
    fails("\nfunction response() error 'e' end", "FILE:2: e")
    fails("\nfunction delay() error 'f' end", "FILE:2: f")
    fails("function done() error({}) end", "table", "-t1 -c1 -n 2")
    fails("function request() end", "request returned nothing")
    fails("function request() return {} end", "request returned table")
    fails("function request() return 'GET /' end", "bad request: incomplete request at 1:6")
    fails("local n = 0 function request() n = n + 1 return n < 5 and wrk.request() or nil end", "request returned nothing")
    fails("function setup(t) t:stop() end", "thread:stop before the thread runs")
    assert.is_true(server.requests > 0)
  end)
end)

describe("what a response's function does not look at", function()
  local function looks(wantshead, wantsbody, fn)
    local head, body = loadasks.looksat(fn)
    assert.is_true(not wantshead or head)
    assert.is_true(not wantsbody or body)
    return head, body
  end

  it("is not made", function()
    local up = 0
    assert.same({ false, false }, { loadasks.looksat(function() up = up + 1 end) })
    assert.same({ false, false }, { loadasks.looksat(function(status) up = status end) })
    assert.same({ false, true }, { loadasks.looksat(function(_, _, body) up = up + #body end) })
    assert.same({ true, false }, { loadasks.looksat(function(_, headers) up = headers.A end) })
  end)

  it("is made where it may be looked at", function()
    local up
    looks(true, false, function(_, h) up = h end)
    looks(true, false, function(_, h) return h end)
    looks(true, true, function(s, h, b) return s, h, b end)
    looks(true, false, function(s, h) return s .. h end)
    looks(true, false, function(_, h) return { h } end)
    looks(true, false, function(_, h) return { [h] = 1 } end)
    looks(true, false, function(_, h) h.x = 1 end)
    looks(true, false, function(_, h) if h then return up end end)
    looks(true, false, function(_, h) for k in pairs(h) do up = k end end)
    looks(true, true, function(_, h, b) return function() return h, b end end)
    looks(true, true, function(...) up = select(3, ...) end)
    looks(true, true, print)
    looks(false, true, function(_, _, b) print(b) end)
    looks(false, true, function(_, _, b) return b == nil end)
    looks(false, true, function(_, _, b) return #b, -b, not b end)
    looks(false, true, function(_, _, b) for _ = 1, b do up = 1 end end)
    looks(false, true, function(_, _, b) while b do b = nil end end)
  end)

  it("headers are those of the head", function()
    assert.same({ A = "b", C = "d e", E = "", ["x-y"] = "1:2" },
      loadasks.headers "HTTP/1.1 200 OK: so\r\nA: a\r\nC:d e \r\nE:\r\nx-y:\t1:2\r\nA:b\r\n\r\n")
    assert.same({}, loadasks.headers "HTTP/1.1 200 OK\r\n\r\n")
    assert.same({ A = "b" }, loadasks.headers "HTTP/1.1 200 OK\nA: b\n\n")
    assert.same({}, loadasks.headers "")
  end)
end)

describe("luapark", function()
  it("has the load as a module", run(function()
    assert.equal("function", type(require("luapark.load").run))
    assert.is_true(lp.gomaxprocs() >= 1)
  end))
end)
