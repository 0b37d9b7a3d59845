-- load: examples/load.lua against examples/http_server.lua, each in a process of its own.

local helper = require "spec.helper"
local luapark, quote = helper.luapark, helper.quote

describe("examples/load.lua", function()
  local pid, url, log

  setup(function()
    log = os.tmpname()
    pid = helper.sh(("%s examples/http_server.lua >%s 2>&1 & echo $!"):format(quote(helper.exe), log)):match("%d+")
    for _ = 1, 500 do
      url = helper.slurp(log):match("listening on (http://%S+)\n")
      if url then
        return
      end
      helper.sh "sleep 0.01"
    end
    error("the server does not come up: " .. helper.slurp(log))
  end)

  teardown(function()
    os.execute("kill " .. pid)
    os.remove(log)
  end)

  -- The report as a table.
  local function load(args, seconds)
    local out, err, status = luapark("examples/load.lua " .. url .. " " .. args)
    assert.equal(0, status, out .. err)
    local r = { out = out, err = err }
    r.connections, r.seconds = out:match("^(%d+) connections?, ([%d.]+) s, ")
    r.requests, r.rate = out:match("\nrequests   (%d+), (%d+)/s\n")
    r.p50, r.p90, r.p99, r.max = out:match(
      "\nlatency    p50 ([%d.]+) ms, p90 ([%d.]+) ms, p99 ([%d.]+) ms, max ([%d.]+) ms\n")
    r.bytes = out:match("\nbytes      (%d+) of bodies, [%d.]+ MB/s\n")
    r.errors = out:match("\nerrors     ([^\n]+)\n$")
    for key, value in pairs(r) do
      r[key] = tonumber(value) or value
    end
    assert.equal("none", r.errors, out .. err)
    assert.is_true(out:find(url, 1, true) ~= nil)
    assert.is_true(r.seconds >= seconds - 0.05 and r.seconds < seconds + 10, out)
    assert.equal(r.requests * #"hello from Luapark\n", r.bytes)
    assert.is_true(math.abs(r.rate * r.seconds - r.requests) <= 0.1 * r.requests + r.rate, out)
    assert.is_true(r.p50 <= r.p90 and r.p90 <= r.p99 and r.p99 <= r.max and r.p50 > 0, out)
    assert.is_true(r.max <= r.seconds * 1000 + 100, out)
    return r
  end

  it("drives a server without an error", function()
    local r = load("-c 8 -d 1", 1)
    assert.equal(8, r.connections)
    assert.is_true(r.requests > 500, r.out) -- some 20,000 and more
  end)

  it("with one connection", function()
    local r = load("-c 1 -d 0.3", 0.3)
    assert.equal(1, r.connections)
    assert.matches("^1 connection,", r.out)
    assert.is_true(r.requests > 50, r.out)
  end)

  it("with 200 connections, and its options anywhere", function()
    local out, err, status = luapark("examples/load.lua -d 0.5 " .. url .. "some/path?x=y -c 200")
    assert.equal(0, status, out .. err)
    assert.matches("^200 connections, ", out)
    assert.matches("\nerrors     none\n$", out)
  end)

  it("shows how it goes, a line a second", function()
    local r = load("-c 2 -d 2.3", 2.3)
    local n, last = 0, 0
    for s, requests, rate, errors in r.err:gmatch(" *(%d+) s +(%d+) requests +(%d+)/s +(%d+) errors\n") do
      n = n + 1
      assert.equal(n, tonumber(s))
      assert.is_true(tonumber(requests) > last)
      assert.equal(tonumber(requests) - last, tonumber(rate))
      assert.equal("0", errors)
      last = tonumber(requests)
    end
    assert.is_true(n >= 2, r.err)
    assert.is_true(last <= r.requests)
  end)

  it("leaves the server alive, which keeps no connection open", function()
    local before = helper.sh("ls /proc/" .. pid .. "/fd | wc -l")
    load("-c 50 -d 0.2", 0.2)
    local after
    for _ = 1, 100 do
      after = helper.sh("ls /proc/" .. pid .. "/fd | wc -l")
      if tonumber(after) <= tonumber(before) then
        break
      end
      helper.sh "sleep 0.01"
    end
    assert.equal(before, after)
  end)

  -- out is empty, what is wrong is said in one line (and the usage), the status is 1, and nobody sees a traceback.
  local function refuses(args, words)
    local out, err, status = luapark("examples/load.lua " .. args)
    assert.equal("", out)
    assert.is_true(err:find(words, 1, true) ~= nil, err)
    assert.matches("^load: ", err)
    assert.is_nil(err:find("traceback", 1, true), err)
    assert.equal(1, status)
  end

  it("says that nobody listens", function()
    refuses("http://127.0.0.1:1/", "cannot load http://127.0.0.1:1/: connection refused")
  end)

  it("says what is wrong with a URL", function()
    refuses("nonsense", "bad URL 'nonsense'")
    refuses("http://", "bad URL")
    refuses("http://127.0.0.1:99999/", "bad URL")
    refuses("https://127.0.0.1/", "unsupported protocol scheme 'https'")
    refuses("http://" .. ("a"):rep(64) .. "/", "cannot load")
    refuses("''", "bad URL")
  end)

  it("says what is wrong with its arguments", function()
    local some = "http://127.0.0.1:1/ "
    refuses("", "no URL")
    refuses("-c 5", "no URL")
    refuses(some .. "-c", "-c wants a number")
    refuses(some .. "-c many", "-c wants a number")
    refuses(some .. "-d", "-d wants a number")
    refuses(some .. "-d soon", "-d wants a number")
    refuses(some .. "-c 0", "-c wants a whole number")
    refuses(some .. "-c -1", "-c wants a whole number")
    refuses(some .. "-c 1.5", "-c wants a whole number")
    refuses(some .. "-c 1000000", "-c wants a whole number")
    refuses(some .. "-c nan", "-c wants a")
    refuses(some .. "-d 0", "-d wants seconds")
    refuses(some .. "-d -1", "-d wants seconds")
    refuses(some .. "-d inf", "-d wants seconds")
    refuses(some .. "-d nan", "-d wants seconds")
    refuses(some .. "-x", "what is '-x'?")
    refuses(some .. "again", "what is 'again'?")
    refuses(some .. "-c 0", "usage: luapark examples/load.lua")
  end)

  it("says what a server does wrong", function()
    -- A server that closes each connection at once.
    local text = [[
      local net = require "luapark.net"
      local ln = assert(net.listen("tcp", "127.0.0.1:0"))
      print(ln:addr())
      io.stdout:flush()
      go(function() luapark.sleep(20) os.exit(1) end):daemon()
      local c = ln:accept()
      c:read()
      c:close()
    ]]
    local out, err, status = helper.withfile(text, function(name)
      return helper.sh(("%s %s >%s.addr & for _ in $(seq 200); do [ -s %s.addr ] && break; sleep 0.05; done; "
        .. "%s examples/load.lua http://$(cat %s.addr)/; s=$?; rm -f %s.addr; wait; exit $s"):format(
          quote(helper.exe), name, name, name, quote(helper.exe), name, name))
    end)
    assert.equal("", out)
    assert.matches("^load: cannot load http://127.0.0.1:%d+/: ", err)
    assert.equal(1, status)
  end)
end)

describe("examples/http_server.lua", function()
  it("says that it cannot listen", function()
    local out, err, status = luapark("examples/http_server.lua 192.0.2.1:0")
    assert.equal("", out)
    assert.equal("http_server: cannot listen on 192.0.2.1:0: address not available\n", err)
    assert.equal(1, status)
  end)
end)
