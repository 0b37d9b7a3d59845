-- net: sockets that park the goroutine. Everything here stays on the loopback device.

local helper = require "spec.helper"
local lp, net = helper.lp, require "luapark.net"
local ffi = require "ffi"
local run, failshere, settle = helper.run, helper.failshere, helper.settle
local go, gosched, chan = lp.go, lp.gosched, lp.chan

ffi.cdef [[
  struct spec_linger { int onoff, linger; };
  struct spec_rlimit { unsigned long cur, max; };
  int setsockopt(int fd, int level, int name, const void *value, unsigned len);
  int getrlimit(int what, struct spec_rlimit *lim);
  int setrlimit(int what, const struct spec_rlimit *lim);
]]
local SOL_SOCKET, SO_SNDBUF, SO_LINGER, RLIMIT_NOFILE = 1, 7, 13, 7

local LIMIT = 20 -- seconds after which an operation that should have ended is a failure, not a hang

-- The first wait makes what the poller keeps for good.
run(function()
  local ln = assert(net.listen("tcp", "127.0.0.1:0"))
  ln:settimeout(0.001)
  ln:accept()
  ln:close()
  net.dial("tcp", ("a"):rep(70) .. ":1")
end)()

-- run, and no descriptor is left behind either.
local function tidy(fn)
  local body = run(fn)
  return function()
    local before = helper.ndescriptors()
    body()
    local after = helper.ndescriptors()
    if after > before then
      error(("%d descriptors were open before, %d are after"):format(before, after), 0)
    end
  end
end

-- The number of a connection's or listener's descriptor.
local function fdof(c)
  return require "luapark.core".net.number(c[2])
end

local function setbuffer(c, which, bytes)
  assert(ffi.C.setsockopt(fdof(c), SOL_SOCKET, which, ffi.new("int[1]", bytes), 4) == 0)
end

-- Closes so that the peer is reset.
local function reset(c)
  assert(ffi.C.setsockopt(fdof(c), SOL_SOCKET, SO_LINGER, ffi.new("struct spec_linger", 1, 0), 8) == 0)
  c:close()
end

local function listen(network, address)
  local ln = assert(net.listen(network or "tcp", address or "127.0.0.1:0"))
  ln:settimeout(LIMIT)
  return ln
end

-- Two ends of one connection.
local function pair(network, address)
  local ln = listen(network, address)
  local a = assert(net.dial(network or "tcp", address or ln:addr(), { timeout = LIMIT }))
  local b = assert(ln:accept())
  ln:close()
  a:settimeout(LIMIT)
  b:settimeout(LIMIT)
  return a, b
end

local function shut(...)
  for i = 1, select("#", ...) do
    select(i, ...):close()
  end
end

-- Two ends with little room between them. (A unix socket: TCP with tiny buffers waits for its own timers.)
local function narrow()
  local name = os.tmpname()
  os.remove(name)
  local a, b = pair("unix", name)
  os.remove(name)
  setbuffer(a, SO_SNDBUF, 8192)
  return a, b
end

-- What fn(...) returned, as a table.
local function results(...)
  return { n = select("#", ...), ... }
end

-- fn runs in a goroutine of its own: a function that waits for its results.
local function async(fn, ...)
  local done, args = chan(1), results(...)
  go(function()
    done:send(results(pcall(fn, unpack(args, 1, args.n))))
  end)
  return function()
    local case, r = lp.select { done, timeout = LIMIT }
    assert(case == 1, "the other goroutine did not end")
    assert(r[1], r[2])
    return unpack(r, 2, r.n)
  end
end

-- All of what was returned, nils included.
local function expect(wanted, ...)
  local got = results(...)
  wanted.n = wanted.n or #wanted
  assert.same(wanted, got)
end

local function expectclosed(...)
  local got = results(...)
  assert.equal(nil, got[1])
  assert.equal("closed", got[2])
  assert.is_string(got[3])
end

local TIMEOUT = { nil, "timeout", "ETIMEDOUT", n = 3 }
local EOF = { nil, "closed", "EOF", n = 3 }

local hasipv6 = (function()
  local ln
  run(function()
    ln = net.listen("tcp", "[::1]:0")
    if ln then
      ln:close()
    end
  end)()
  return ln ~= nil
end)()

-- A name for a unix socket.
local function socketname()
  local name = os.tmpname()
  os.remove(name)
  return name .. ".sock"
end

describe("a read of", function()
  -- what the peer sends (pieces with a wait between them), then what each read gives
  local function reads(sent, ...)
    local steps = { ... }
    return tidy(function()
      local a, b = pair()
      local sender = async(function()
        for _, piece in ipairs(sent) do
          assert(b:write(piece))
          lp.sleep(0.002)
        end
        b:close()
      end)
      for i = 1, #steps, 2 do
        local what, wanted = steps[i], steps[i + 1]
        local got
        if what == "nothing" then
          got = results(a:read())
        elseif what == "nil" then
          got = results(a:read(nil))
        else
          got = results(a:read(what))
        end
        if type(wanted) == "table" then
          assert.same(wanted, got)
        else
          assert.same({ wanted, n = 1 }, got, "step " .. (i + 1) / 2)
        end
      end
      sender()
      a:close()
    end)
  end

  it("lines", reads({ "one\ntwo\nthree\n" }, "nothing", "one", "*l", "two", "nil", "three", "*l", EOF))
  it("lines, by Lua 5.3's names", reads({ "one\ntwo\n3" }, "l", "one", "L", "two\n", "a", "3", "l", EOF))
  it("lines with their ends", reads({ "one\ntwo\r\n\n\r\n" }, "*L", "one\n", "*L", "two\r\n", "*L", "\n", "*L", "\r\n",
    "*L", EOF))
  it("lines that end in CRLF", reads({ "one\r\ntwo\r\n\r\nfour\n" }, "*l", "one", "*l", "two", "*l", "", "*l", "four",
    "*l", EOF))
  it("lines with CRs elsewhere", reads({ "a\rb\r\r\n\rc\n\r" }, "*l", "a\rb\r", "*l", "\rc", "*l", "\r", "*l", EOF))
  it("empty lines", reads({ "\n\n\n" }, "*l", "", "*l", "", "*L", "\n", "*l", EOF))
  it("a line that comes in pieces", reads({ "hel", "lo, ", "wor", "ld\nnext" }, "*l", "hello, world", "*l", "next"))
  it("a line whose CR and LF come apart", reads({ "one\r", "\ntwo\r", "\n" }, "*l", "one", "*L", "two\r\n", "*l", EOF))
  it("a line in single bytes", reads({ "a", "b", "c", "\r", "\n", "d" }, "*l", "abc", "*l", "d", "*l", EOF))
  it("a last line without an end", reads({ "one\ntwo" }, "*l", "one", "*L", "two", "*L", EOF))
  it("zero bytes in lines", reads({ "a\0b\0\n\0\n" }, "*l", "a\0b\0", "*l", "\0"))
  it("zero bytes", reads({ "\0\0\0", "\0" }, 2, "\0\0", "*a", "\0\0"))
  it("a number of bytes", reads({ "abcdef" }, 1, "a", 2, "bc", 3, "def", 1, EOF))
  it("a number of bytes in pieces", reads({ "ab", "cd", "ef" }, 5, "abcde", 1, "f", 1, EOF))
  it("more bytes than there are", reads({ "ab", "cd" }, 10, "abcd", 10, EOF, 10, EOF))
  it("more bytes than there can be", reads({ "abcd" }, 2 ^ 52, "abcd", 1, EOF))
  it("no bytes", reads({ "ab" }, 0, "", 0, "", 2, "ab", 0, ""))
  it("all", reads({ "ab", "c\n", "\0d" }, "*a", "abc\n\0d", "*a", "", "*a", "", "*l", EOF))
  it("all of nothing", reads({}, "*a", "", "*a", "", "*l", EOF, "*L", EOF, 1, EOF))
  it("lines, bytes and all, mixed", reads({ "l1\n12", "345l2\r\nre", "st" }, "*l", "l1", 5, "12345", "*l", "l2", 1, "r",
    "*a", "est"))
  it("a long line", reads({ ("x"):rep(100000), ("y"):rep(100000) .. "\nz" }, "*l",
    ("x"):rep(100000) .. ("y"):rep(100000), "*l", "z"))

  it("ten thousand lines gives each of them once", tidy(function()
    local a, b = pair()
    local sender = async(function()
      local lines = {}
      for i = 1, 10000 do
        lines[i] = ("line %d %s"):format(i, ("."):rep(i % 97))
      end
      assert(b:write(table.concat(lines, "\r\n"), "\r\n"))
      b:close()
    end)
    for i = 1, 10000 do
      local line = a:read()
      if line ~= ("line %d %s"):format(i, ("."):rep(i % 97)) then
        error("line " .. i .. ": " .. tostring(line))
      end
    end
    expect(EOF, a:read())
    sender()
    a:close()
  end))

  it("a form that does not exist is an error at the caller's line", tidy(function()
    local a, b = pair()
    failshere("bad argument #1 to 'read'", function() local s = a:read("*x") return s end)
    failshere("'*n'", function() local s = a:read("*n") return s end)
    failshere("got ''", function() local s = a:read("") return s end)
    failshere("got -1", function() local s = a:read(-1) return s end)
    failshere("got 1.5", function() local s = a:read(1.5) return s end)
    failshere("bad argument #1 to 'read'", function() local s = a:read(0 / 0) return s end)
    failshere("bad argument #1 to 'read'", function() local s = a:read(math.huge) return s end)
    failshere("got table", function() local s = a:read({}) return s end)
    failshere("got boolean", function() local s = a:read(true) return s end)
    failshere("bad argument #1 to 'readany'", function() local s = a:readany(0) return s end)
    failshere("bad argument #1 to 'readany'", function() local s = a:readany("x") return s end)
    failshere("calling 'read' on bad self", function() local s = a.read() return s end)
    failshere("calling 'read' on bad self", function() local s = a.read({}) return s end)
    failshere("calling 'write' on bad self", function() local s = a.write("x") return s end)
    failshere("calling 'readany' on bad self", function() local s = a.readany(1) return s end)
    failshere("calling 'close' on bad self", function() a.close() end)
    assert.equal(1, b:write("x")) -- it still works
    assert.equal("x", a:read(1))
    shut(a, b)
  end))
end)

describe("readany", function()
  it("gives what is there", tidy(function()
    local a, b = pair()
    b:write("hello")
    assert.equal("hello", a:readany())
    b:write("hello")
    assert.equal("he", a:readany(2))
    assert.equal("llo", a:readany(2 ^ 40))
    b:close()
    expect(EOF, a:readany())
    a:close()
  end))

  it("waits for the first byte", tidy(function()
    local a, b = pair()
    local reader = async(a.readany, a)
    settle()
    b:write("x")
    assert.equal("x", reader())
    shut(a, b)
  end))

  it("gives at most 64 KiB unless told", tidy(function()
    local a, b = pair()
    local sender = async(b.write, b, ("x"):rep(300000))
    local total, most = 0, 0
    while total < 300000 do
      local s = assert(a:readany())
      total = total + #s
      most = math.max(most, #s)
    end
    assert.equal(300000, total)
    assert.is_true(most <= 65536)
    assert.equal(300000, sender())
    shut(a, b)
  end))

  it("gives first what a line read ahead", tidy(function()
    local a, b = pair()
    b:write("one\ntwo")
    assert.equal("one", a:read())
    assert.equal("two", a:readany())
    shut(a, b)
  end))
end)

describe("lines", function()
  it("gives each line", tidy(function()
    local a, b = pair()
    b:write("one\r\n\ntwo\n\0\nlast")
    b:close()
    local got = {}
    for line in a:lines() do
      got[#got + 1] = line
    end
    assert.same({ "one", "", "two", "\0", "last" }, got)
    a:close()
  end))

  it("raises what goes wrong, at the loop", tidy(function()
    local a, b = pair()
    a:settimeout(0.005)
    b:write("one\ntw")
    local got = {}
    failshere("timeout", function()
      for line in a:lines() do
        got[#got + 1] = line
      end
    end)
    assert.same({ "one" }, got)
    a:settimeout(LIMIT)
    b:write("o\n")
    assert.equal("two", a:read())
    shut(a, b)
  end))
end)

describe("write", function()
  it("takes strings and numbers, and says how many bytes", tidy(function()
    local a, b = pair()
    expect({ 5 }, a:write("hello"))
    expect({ 0 }, a:write(""))
    expect({ 0 }, a:write())
    expect({ 12 }, a:write("a", 1, "b", -2.5, "", 1e15))
    expect({ 2 }, a:write(42))
    a:close()
    assert.equal("helloa1b-2.51e+1542", b:read("*a"))
    b:close()
  end))

  it("takes many arguments", tidy(function()
    local a, b = pair()
    local args = {}
    for i = 1, 5000 do
      args[i] = i
    end
    local all = table.concat(args)
    assert.equal(#all, a:write(unpack(args)))
    a:close()
    assert.equal(all, b:read("*a"))
    b:close()
  end))

  it("refuses others, and writes nothing then", tidy(function()
    local a, b = pair()
    failshere("bad argument #1 to 'write' (string expected, got nil)", function() local n = a:write(nil) return n end)
    failshere("bad argument #2 to 'write' (string expected, got table)", function()
      local n = a:write("x", {}) return n
    end)
    failshere("bad argument #3 to 'write' (string expected, got boolean)", function()
      local n = a:write("x", 1, true) return n
    end)
    failshere("bad argument #2 to 'write' (string expected, got nil)", function()
      local n = a:write("x", nil) return n
    end)
    a:close()
    assert.equal("", b:read("*a"))
    b:close()
  end))

  it("is called send by LuaSocket, as read is receive", tidy(function()
    local a, b = pair()
    assert.equal(3, a:send("hi\n"))
    assert.equal("hi", b:receive())
    shut(a, b)
  end))

  it("sends everything to a slow reader", tidy(function()
    local a, b = narrow()
    local text = {}
    for i = 1, 20000 do
      text[i] = ("%010d"):format(i)
    end
    text = table.concat(text)
    local writer = async(a.write, a, text)
    local got, n = {}, 0
    while n < #text do
      local s = assert(b:readany(4096))
      n = n + #s
      got[#got + 1] = s
      if #got % 8 == 0 then
        lp.sleep(0.0005)
      end
    end
    expect({ #text }, writer())
    assert.is_true(table.concat(got) == text)
    shut(a, b)
  end))

  it("that times out says how much was written", tidy(function()
    local a, b = narrow()
    a:settimeout(0.02)
    local text = ("0123456789"):rep(1000000)
    local ok, message, code, n = a:write(text)
    assert.equal(nil, ok)
    assert.equal("timeout", message)
    assert.equal("ETIMEDOUT", code)
    assert.is_number(n)
    assert.is_true(n > 0 and n < #text, tostring(n))
    a:close()
    local got = b:read("*a") -- what was written, no more and no less
    assert.equal(n, #got)
    assert.is_true(got == text:sub(1, n))
    b:close()
  end))

  it("may go on where a timeout left it", tidy(function()
    local a, b = narrow()
    local text = ("0123456789abcde\n"):rep(20000)
    a:settimeout(0.002)
    local reader = async(function()
      lp.sleep(0.02)
      return b:read(#text)
    end)
    local from, timeouts = 1, 0
    while from <= #text do
      local n, message, _, part = a:write(text:sub(from))
      if not n then
        assert.equal("timeout", message)
        timeouts = timeouts + 1
      end
      from = from + (n or part)
    end
    assert.is_true(timeouts > 0)
    assert.is_true(reader() == text)
    shut(a, b)
  end))

  it("to a peer that has closed fails in words, some time", tidy(function()
    local a, b = pair()
    b:close()
    local ok, message, code, n
    for _ = 1, 1000 do
      ok, message, code, n = a:write("x")
      if not ok then
        break
      end
      lp.sleep(0.001)
    end
    assert.equal(nil, ok)
    assert.is_string(message)
    assert.is_true(code == "EPIPE" or code == "ECONNRESET", tostring(code))
    assert.equal(0, n)
    a:close()
  end))

  it("of a waiting goroutine fails when the peer resets", tidy(function()
    local a, b = pair()
    setbuffer(a, SO_SNDBUF, 4096)
    local writer = async(a.write, a, ("x"):rep(10000000))
    lp.sleep(0.01)
    reset(b)
    local ok, _, code, n = writer()
    assert.equal(nil, ok)
    assert.is_true(code == "EPIPE" or code == "ECONNRESET", tostring(code))
    assert.is_true(n < 10000000)
    a:close()
  end))
end)

describe("10 MB both ways at once", function()
  for _, network in ipairs { "tcp", "unix" } do
    it("arrive over " .. network, tidy(function()
      local name = network == "unix" and socketname() or nil
      local a, b = pair(network, name)
      local piece = {}
      for i = 1, 65536 do
        piece[i] = string.char(i * 7 % 256)
      end
      local text = table.concat(piece):rep(160)
      local function mirrored(c)
        local writer = async(c.write, c, text)
        local got = c:read(#text)
        assert.equal(#text, writer())
        return got == text
      end
      local x, y = async(mirrored, a), async(mirrored, b)
      assert.is_true(x())
      assert.is_true(y())
      shut(a, b)
      if name then
        os.remove(name)
      end
    end))
  end

  it("are echoed in pieces", tidy(function()
    local a, b = pair()
    local echo = async(function()
      local n = 0
      while true do
        local s = b:readany()
        if not s then
          b:closewrite()
          return n
        end
        n = n + assert(b:write(s))
      end
    end)
    local text = ("echo"):rep(2500000)
    local writer = async(function()
      assert(a:write(text))
      return a:closewrite()
    end)
    assert.is_true(a:read("*a") == text)
    assert.equal(true, writer())
    assert.equal(#text, echo())
    shut(a, b)
  end))
end)

describe("a timeout", function()
  it("ends a read in time", tidy(function()
    local a, b = pair()
    a:settimeout(0.02)
    for _, what in ipairs { "*l", "*L", "*a", 1 } do
      local t0 = lp.now()
      expect(TIMEOUT, a:read(what))
      local dt = lp.now() - t0
      assert.is_true(dt >= 0.02 and dt < 5, tostring(dt))
    end
    expect(TIMEOUT, a:readany())
    shut(a, b)
  end))

  it("loses no data", tidy(function()
    local a, b = pair()
    a:settimeout(0.003)
    b:write("hel")
    expect(TIMEOUT, a:read("*l"))
    expect(TIMEOUT, a:read("*a"))
    expect(TIMEOUT, a:read(5))
    b:write("lo")
    expect(TIMEOUT, a:read("*L"))
    assert.equal("he", a:read(2))
    expect(TIMEOUT, a:read("*l"))
    b:write("\r")
    expect(TIMEOUT, a:read("*l"))
    b:write("\nrest")
    assert.equal("llo", a:read("*l"))
    expect(TIMEOUT, a:read("*a"))
    assert.equal("rest", a:readany())
    b:close()
    assert.equal("", a:read("*a"))
    a:close()
  end))

  it("of 0 takes what is there and does not wait", tidy(function()
    local a, b = pair()
    a:settimeout(0)
    expect(TIMEOUT, a:read())
    b:write("x\n")
    a:settimeout(LIMIT)
    assert.equal("x", a:read(1))
    a:settimeout(0)
    assert.equal("", a:read())
    expect(TIMEOUT, a:read())
    shut(a, b)
  end))

  it("is for each operation anew", tidy(function()
    local a, b = pair()
    a:settimeout(2)
    local sender = async(function()
      for i = 1, 20 do
        b:write(i, "\n")
        lp.sleep(0.002)
      end
    end)
    for i = 1, 20 do
      assert.equal(tostring(i), a:read())
    end
    sender()
    shut(a, b)
  end))

  it("is for the whole of an operation, however often bytes come", tidy(function()
    local a, b = pair()
    a:settimeout(0.05)
    local stop = false
    local sender = async(function()
      while not stop do
        b:write("x")
        lp.sleep(0.005)
      end
    end)
    local t0 = lp.now()
    expect(TIMEOUT, a:read("*l"))
    assert.is_true(lp.now() - t0 < 10)
    stop = true
    sender()
    shut(a, b)
  end))

  it("of nil waits for ever", tidy(function()
    local a, b = pair()
    a:settimeout(0.001)
    assert.equal(true, a:settimeout(nil))
    local reader = async(a.read, a)
    lp.sleep(0.01)
    b:write("late\n")
    assert.equal("late", reader())
    shut(a, b)
  end))

  it("of infinite time waits", tidy(function()
    local a, b = pair()
    a:settimeout(math.huge)
    local reader = async(a.read, a)
    lp.sleep(0.005)
    b:write("late\n")
    assert.equal("late", reader())
    shut(a, b)
  end))

  it("ends an accept, after which another works", tidy(function()
    local ln = listen()
    ln:settimeout(0.005)
    expect(TIMEOUT, ln:accept())
    expect(TIMEOUT, ln:accept())
    ln:settimeout(0)
    expect(TIMEOUT, ln:accept())
    ln:settimeout(LIMIT)
    local a = assert(net.dial("tcp", ln:addr()))
    local b = assert(ln:accept())
    shut(a, b, ln)
  end))

  it("ends a dial", tidy(function()
    -- A listener whose line is full answers no more.
    local ln = assert(net.listen("tcp", "127.0.0.1:0", { backlog = 0 }))
    local conns, message, code, took = {}, nil, nil, nil
    for i = 1, 8 do
      local t0 = lp.now()
      conns[i], message, code = net.dial("tcp", ln:addr(), { timeout = 0.05 })
      if not conns[i] then
        took = lp.now() - t0
        break
      end
    end
    shut(ln, unpack(conns))
    assert.equal("timeout", message)
    assert.equal("ETIMEDOUT", code)
    assert.is_true(took >= 0.05 and took < 5, tostring(took))
  end))

  it("is checked", tidy(function()
    local a, b = pair()
    local ln = listen()
    failshere("bad argument #1 to 'settimeout' (seconds or nil expected, got -1)", function() a:settimeout(-1) end)
    failshere("bad argument #1 to 'settimeout'", function() a:settimeout(0 / 0) end)
    failshere("bad argument #1 to 'settimeout' (seconds or nil expected, got string)", function() a:settimeout("1") end)
    failshere("bad argument #1 to 'settimeout'", function() ln:settimeout({}) end)
    failshere("calling 'settimeout' on bad self (connection expected", function() a.settimeout(1) end)
    failshere("calling 'settimeout' on bad self (listener expected", function() ln.settimeout(1) end)
    failshere("bad argument #3 to 'dial'", function()
      local c = net.dial("tcp", ln:addr(), { timeout = "soon" })
      return c
    end)
    shut(a, b, ln)
  end))
end)

describe("close", function()
  it("wakes who reads", tidy(function()
    for _, what in ipairs { "*l", "*L", "*a", 5 } do
      local a, b = pair()
      b:write("x")
      local reader = async(a.read, a, what)
      lp.sleep(0.002)
      assert.equal(true, a:close())
      expectclosed(reader())
      b:close()
    end
  end))

  it("wakes who reads any", tidy(function()
    local a, b = pair()
    local reader = async(a.readany, a)
    lp.sleep(0.002)
    a:close()
    expectclosed(reader())
    b:close()
  end))

  it("wakes who writes", tidy(function()
    local a, b = pair()
    local writer = async(a.write, a, ("x"):rep(20000000))
    lp.sleep(0.01)
    a:close()
    local r = results(writer())
    assert.equal(nil, r[1])
    assert.equal("closed", r[2])
    assert.is_true(type(r[4]) == "number" and r[4] > 0 and r[4] < 20000000)
    b:close()
  end))

  it("wakes reader and writer at once", tidy(function()
    local a, b = pair()
    local reader, writer = async(a.read, a), async(a.write, a, ("x"):rep(20000000))
    lp.sleep(0.01)
    a:close()
    expectclosed(reader())
    expectclosed(writer())
    b:close()
  end))

  it("wakes who accepts", tidy(function()
    local ln = listen()
    local acceptor = async(ln.accept, ln)
    lp.sleep(0.002)
    assert.equal(true, ln:close())
    expectclosed(acceptor())
    expectclosed(ln:accept())
  end))

  it("may be called again", tidy(function()
    local a, b = pair()
    local ln = listen()
    for _ = 1, 3 do
      assert.equal(true, a:close())
      assert.equal(true, b:close())
      assert.equal(true, ln:close())
    end
  end))

  it("of a closed one closes nobody else's descriptor", tidy(function()
    local a, b = pair()
    local fd = fdof(a)
    a:close()
    local c, d = pair()
    assert.is_true(fdof(c) == fd or fdof(d) == fd)
    a:close()
    c:write("alive\n")
    assert.equal("alive", d:read())
    shut(b, c, d)
  end))

  it("leaves what was written to the peer", tidy(function()
    local a, b = pair()
    local text = ("x"):rep(50000)
    a:write(text)
    a:close()
    assert.equal(text, b:read("*a"))
    b:close()
  end))

  it("makes every other call say so", tidy(function()
    local a, b = pair()
    b:write("unread\n")
    lp.sleep(0.001)
    a:close()
    expectclosed(a:read())
    expectclosed(a:read("*L"))
    expectclosed(a:read("*a"))
    expectclosed(a:read(1))
    expectclosed(a:readany())
    expectclosed(a:write("x"))
    expectclosed(a:write(""))
    expectclosed(a:closewrite())
    expectclosed(a:setnodelay(true))
    expectclosed(a:localaddr())
    expectclosed(a:remoteaddr())
    assert.equal(true, a:settimeout(1))
    assert.equal("connection to (closed)", tostring(a))
    helper.fails(function() for _ in a:lines() do end end)
    b:close()
    local ln = listen()
    ln:close()
    expectclosed(ln:addr())
    expectclosed(ln:accept())
    assert.equal("listener on (closed)", tostring(ln))
  end))

  it("makes even a read of 0 bytes say so", tidy(function()
    local a, b = pair()
    a:close()
    expectclosed(a:read(0))
    b:close()
  end))

  it("in a loop leaves nothing", tidy(function()
    local ln = listen()
    for _ = 1, 1000 do
      local a = assert(net.dial("tcp", ln:addr()))
      local b = assert(ln:accept())
      a:write("x")
      assert.equal("x", b:read(1))
      reset(a) -- no TIME_WAIT
      b:close()
    end
    ln:close()
  end))
end)

describe("closewrite", function()
  it("ends the peer's input, and reading goes on", tidy(function()
    local a, b = pair()
    a:write("question")
    assert.equal(true, a:closewrite())
    assert.equal("question", b:read("*a"))
    b:write("answer")
    b:close()
    assert.equal("answer", a:read("*a"))
    a:close()
  end))

  it("makes writing fail", tidy(function()
    local a, b = pair()
    a:closewrite()
    local ok, message, code, n = a:write("x")
    assert.equal(nil, ok)
    assert.equal("closed", message)
    assert.equal("EPIPE", code)
    assert.equal(0, n)
    shut(a, b)
  end))

  it("wakes a reader of the peer", tidy(function()
    local a, b = pair()
    local reader = async(b.read, b)
    lp.sleep(0.002)
    a:closewrite()
    expect(EOF, reader())
    shut(a, b)
  end))
end)

describe("addresses", function()
  it("name both ends", tidy(function()
    local ln = listen()
    assert.matches("^127%.0%.0%.1:%d+$", ln:addr())
    local a = assert(net.dial("tcp", ln:addr()))
    local b = assert(ln:accept())
    assert.equal(ln:addr(), a:remoteaddr())
    assert.equal(ln:addr(), b:localaddr())
    assert.equal(a:localaddr(), b:remoteaddr())
    assert.equal("connection to " .. ln:addr(), tostring(a))
    assert.equal("listener on " .. ln:addr(), tostring(ln))
    assert.equal(true, a:setnodelay(false))
    assert.equal(true, a:setnodelay(true))
    shut(a, b, ln)
  end))

  it("may be names", tidy(function()
    local ln = listen("tcp4", "localhost:0")
    local port = ln:addr():match("^127%.0%.0%.1:(%d+)$")
    assert.is_string(port)
    local a = assert(net.dial("tcp", "localhost:" .. port, { timeout = LIMIT }))
    local b = assert(ln:accept())
    local c = assert(net.dial("tcp4", ":" .. port, { timeout = LIMIT })) -- no host: this one
    local d = assert(ln:accept())
    shut(a, b, c, d, ln)
  end))

  it("without a host listen everywhere", tidy(function()
    local ln = listen("tcp4", ":0")
    local port = ln:addr():match("^0%.0%.0%.0:(%d+)$")
    local a = assert(net.dial("tcp", "127.0.0.1:" .. port))
    local b = assert(ln:accept())
    assert.equal("127.0.0.1:" .. port, b:localaddr())
    shut(a, b, ln)
  end))

  it("may be IPv6", tidy(function()
    if not hasipv6 then
      return
    end
    for _, network in ipairs { "tcp", "tcp6" } do
      local ln = listen(network, "[::1]:0")
      assert.matches("^%[::1%]:%d+$", ln:addr())
      local a = assert(net.dial(network, ln:addr(), { timeout = LIMIT }))
      local b = assert(ln:accept())
      assert.equal(ln:addr(), a:remoteaddr())
      assert.equal(a:localaddr(), b:remoteaddr())
      a:write("six\n")
      assert.equal("six", b:read())
      shut(a, b, ln)
    end
  end))

  it("must be of the network's family", tidy(function()
    local ln = listen()
    local a, message, code = net.dial("tcp6", ln:addr(), { timeout = 1 })
    shut(ln, a or ln)
    assert.equal(nil, a)
    assert.is_string(message)
    assert.is_string(code)
    if hasipv6 then
      ln = net.listen("tcp4", "[::1]:0")
      shut(ln or a or { close = function() end })
      assert.equal(nil, ln)
    end
  end))

  it("that are in use are refused", tidy(function()
    local ln = listen()
    expect({ nil, "address already in use", "EADDRINUSE", n = 3 }, net.listen("tcp", ln:addr()))
    ln:close()
  end))

  it("may be used again at once", tidy(function()
    local ln = listen()
    local addr = ln:addr()
    local a = assert(net.dial("tcp", addr))
    local b = assert(ln:accept())
    shut(ln, b, a) -- the server's side closes first: TIME_WAIT is its
    ln = assert(net.listen("tcp", addr))
    ln:close()
  end))

  it("can be shared with reuseport", tidy(function()
    local x = assert(net.listen("tcp", "127.0.0.1:0", { reuseport = true }))
    local y = assert(net.listen("tcp", x:addr(), { reuseport = true }))
    assert.equal(x:addr(), y:addr())
    shut(x, y)
  end))

  it("of others cannot be listened on", tidy(function()
    expect({ nil, "address not available", "EADDRNOTAVAIL", n = 3 }, net.listen("tcp", "192.0.2.1:0"))
  end))

  it("of nobody are refused", tidy(function()
    local ln = listen()
    local addr = ln:addr()
    ln:close()
    expect({ nil, "connection refused", "ECONNREFUSED", n = 3 }, net.dial("tcp", addr, { timeout = LIMIT }))
    expect({ nil, "connection refused", "ECONNREFUSED", n = 3 }, net.dial("tcp", addr))
    local port = addr:match(":(%d+)$")
    expect({ nil, "connection refused", "ECONNREFUSED", n = 3 }, net.dial("tcp", "localhost:" .. port))
  end))

  it("that cannot be looked up are refused in words", tidy(function()
    -- Labels have 63 letters: the resolver refuses these without asking anybody.
    for _, name in ipairs { ("a"):rep(64), ("b"):rep(300) } do
      local ok, message, code = net.dial("tcp", name .. ":80", { timeout = LIMIT })
      assert.equal(nil, ok)
      assert.is_string(message)
      assert.matches("^E%u[%u_]+$", code)
      ok, message, code = net.listen("tcp", name .. ":80")
      assert.equal(nil, ok)
      assert.is_string(message)
      assert.matches("^E%u[%u_]+$", code)
    end
    local ok, message, code = net.dial("tcp", "127.0.0.1:nosuchservice", { timeout = LIMIT })
    assert.equal(nil, ok)
    assert.is_string(message)
    assert.is_string(code)
  end))

  it("are looked up by many at once", tidy(function()
    local ln = listen("tcp4", "127.0.0.1:0")
    local port = ln:addr():match("(%d+)$")
    local wg, conns, failures = lp.waitgroup(), {}, {}
    for i = 1, 40 do
      wg:go(function()
        if i % 2 == 0 then
          local c, why = net.dial("tcp", "localhost:" .. port, { timeout = LIMIT })
          conns[#conns + 1] = c
          failures[#failures + 1] = why
        else
          local c = net.dial("tcp", ("x"):rep(64 + i) .. ":" .. port, { timeout = LIMIT })
          failures[#failures + 1] = c and "a connection to nowhere"
        end
      end)
    end
    wg:wait()
    local n = #conns
    for _ = 1, n do
      local b = ln:accept()
      b:close()
    end
    shut(ln, unpack(conns))
    assert.same({}, failures)
    assert.equal(20, n)
  end))

  it("whose look-up takes too long are given up", tidy(function()
    for _ = 1, 20 do
      local c, message, code = net.dial("tcp", "localhost:1", { timeout = 0 })
      assert.equal(nil, c)
      assert.equal("timeout", message)
      assert.equal("ETIMEDOUT", code)
    end
    lp.sleep(0.02) -- the answers come to nobody
  end))

  it("that are none are errors at the caller's line", tidy(function()
    local function both(network, address, text)
      failshere(text:format("dial"), function() local c = net.dial(network, address) return c end)
      failshere(text:format("listen"), function() local c = net.listen(network, address) return c end)
    end
    for _, bad in ipairs { "", "localhost", "127.0.0.1", "127.0.0.1:", "::1:80", "[::1]", "[::1]80", "[::1]:", "a:b:c",
      "127.0.0.1:65536", "127.0.0.1:99999999999999999999", "127.0.0.1:-1", "127.0.0.1:80 ", "127.0.0.1:8 0",
      "127.0.0.1:80.5", "http://127.0.0.1:80/" } do
      both("tcp", bad, "bad argument #2 to '%s' (\"host:port\" expected, got \"" .. bad .. "\")")
    end
    both("tcp", nil, "bad argument #2 to '%s' (address expected, got no value)")
    both("tcp", 80, "bad argument #2 to '%s' (address expected, got number)")
    both("tcp", {}, "bad argument #2 to '%s' (address expected, got table)")
    both("udp", "127.0.0.1:80", "bad argument #1 to '%s'")
    both("", "127.0.0.1:80", "bad argument #1 to '%s'")
    both(nil, "127.0.0.1:80", "bad argument #1 to '%s' (network name expected, got no value)")
    both("127.0.0.1:80", nil, "bad argument #1 to '%s'")
    both("unix", nil, "bad argument #2 to '%s' (address expected, got no value)")
  end))

  it("have decimal ports", tidy(function()
    failshere("bad argument #2 to 'dial'", function() local c = net.dial("tcp", "127.0.0.1:0x50") return c end)
    failshere("bad argument #2 to 'dial'", function() local c = net.dial("tcp", "127.0.0.1:1e2") return c end)
  end))

  it("come with a table of options, or none", tidy(function()
    failshere("bad argument #3 to 'dial'", function() local c = net.dial("tcp", "127.0.0.1:1", 5) return c end)
    failshere("bad argument #3 to 'listen'", function() local c = net.listen("tcp", "127.0.0.1:0", 5) return c end)
    failshere("bad argument #3 to 'listen'", function()
      local c = net.listen("tcp", "127.0.0.1:0", { backlog = "x" })
      return c
    end)
  end))
end)

describe("unix sockets", function()
  it("connect", tidy(function()
    local name = socketname()
    local ln = listen("unix", name)
    assert.equal(name, ln:addr())
    local a = assert(net.dial("unix", name, { timeout = LIMIT }))
    local b = assert(ln:accept())
    assert.equal(name, a:remoteaddr())
    assert.equal(name, b:localaddr())
    assert.is_string(a:localaddr()) -- it has no name
    local reader = async(b.read, b)
    settle()
    a:write("hi\n")
    assert.equal("hi", reader())
    a:closewrite()
    assert.equal("", b:read("*a"))
    b:write("bye")
    b:close()
    assert.equal("bye", a:read("*a"))
    shut(a, ln)
    os.remove(name)
  end))

  it("that are not there are refused in words", tidy(function()
    local name = socketname()
    local ok, message, code = net.dial("unix", name)
    assert.equal(nil, ok)
    assert.is_string(message)
    assert.equal("ENOENT", code)
    ok, message, code = net.listen("unix", "/nonexistent/dir/sock")
    assert.equal(nil, ok)
    assert.is_string(message)
    assert.equal("ENOENT", code)
    local ln = listen("unix", name)
    ok, message, code = net.listen("unix", name)
    assert.equal(nil, ok)
    assert.is_string(message)
    assert.equal("EADDRINUSE", code)
    ln:close()
    os.remove(name)
  end))

  it("that nobody listens on are refused", tidy(function()
    local name = socketname()
    listen("unix", name):close()
    local ok, _, code = net.dial("unix", name)
    os.remove(name)
    assert.equal(nil, ok)
    assert.is_true(code == "ECONNREFUSED" or code == "ENOENT", tostring(code))
  end))

  it("with a path that cannot be are errors at the caller's line", tidy(function()
    for _, bad in ipairs { "", ("x"):rep(108), ("x"):rep(5000) } do
      failshere("bad argument #2 to 'dial'", function() local c = net.dial("unix", bad) return c end)
      failshere("bad argument #2 to 'listen'", function() local c = net.listen("unix", bad) return c end)
    end
  end))
end)

describe("a peer that resets", function()
  it("mid-read: an error in words", tidy(function()
    for _, what in ipairs { "*l", "*a", 10 } do
      local a, b = pair()
      b:write("x")
      local reader = async(a.read, a, what)
      lp.sleep(0.002)
      reset(b)
      expect({ nil, "connection reset by peer", "ECONNRESET", n = 3 }, reader())
      expect({ nil, "connection reset by peer", "ECONNRESET", n = 3 }, a:read(2))
      assert.equal("x", a:read(1)) -- what had come before is not lost
      local ok, _, code = a:write("x")
      assert.equal(nil, ok)
      assert.is_true(code == "EPIPE" or code == "ECONNRESET", tostring(code))
      a:close()
    end
  end))

  it("by closing with unread data", tidy(function()
    local a, b = pair()
    a:write("never read")
    lp.sleep(0.001)
    b:close()
    local ok, _, code = a:read("*a")
    assert.equal(nil, ok)
    assert.equal("ECONNRESET", code)
    a:close()
  end))

  it("before it is accepted", tidy(function()
    local ln = listen()
    local a = assert(net.dial("tcp", ln:addr()))
    reset(a)
    local b = ln:accept() -- Linux hands it out
    if b then
      b:settimeout(LIMIT)
      local s, _, code = b:read()
      assert.equal(nil, s)
      assert.equal("ECONNRESET", code)
      b:close()
    end
    a = assert(net.dial("tcp", ln:addr()))
    b = assert(ln:accept())
    shut(a, b, ln)
  end))

  it("raises in lines()", tidy(function()
    local a, b = pair()
    b:write("one\n")
    local got
    local err = helper.fails(function()
      for line in a:lines() do
        got = line
        reset(b)
      end
    end)
    assert.equal("one", got)
    assert.matches("connection reset by peer", err)
    a:close()
  end))
end)

describe("two goroutines", function()
  local function busy(...)
    local ok, message, code = ...
    assert.equal(nil, ok)
    assert.equal("EBUSY", code)
    assert.is_true(#message > 3)
  end

  it("cannot wait for the input of one connection, and the first goes on", tidy(function()
    local a, b = pair()
    local reader = async(a.read, a)
    lp.sleep(0.002)
    busy(a:read())
    busy(a:readany())
    b:write("first\n")
    assert.equal("first", reader())
    b:write("second\n")
    assert.equal("second", a:read())
    shut(a, b)
  end))

  it("cannot wait in one accept", tidy(function()
    local ln = listen()
    local acceptor = async(ln.accept, ln)
    lp.sleep(0.002)
    busy(ln:accept())
    local a = assert(net.dial("tcp", ln:addr()))
    local b = assert(acceptor())
    shut(a, b, ln)
  end))

  it("cannot wait for the output of one connection", tidy(function()
    local a, b = pair()
    local text = ("x"):rep(8000000)
    local writer = async(a.write, a, text)
    lp.sleep(0.01)
    local ok, _, code, n = a:write("y")
    assert.equal(nil, ok)
    assert.equal("EBUSY", code)
    assert.equal(0, n)
    assert.is_true(b:read(#text) == text)
    assert.equal(#text, writer())
    shut(a, b)
  end))

  it("may read and write one connection", tidy(function()
    local a, b = pair()
    local reader = async(a.read, a, 8000000)
    local writer = async(a.write, a, ("x"):rep(8000000))
    lp.sleep(0.005)
    local peer = async(b.write, b, ("y"):rep(8000000))
    assert.equal(8000000, #b:read(8000000))
    assert.equal(8000000, peer())
    assert.equal(8000000, writer())
    assert.equal(8000000, #reader())
    shut(a, b)
  end))

  it("may wait one after the other's timeout", tidy(function()
    local a, b = pair()
    a:settimeout(0.005)
    local reader = async(a.read, a)
    expect(TIMEOUT, reader())
    a:settimeout(LIMIT)
    reader = async(a.read, a)
    lp.sleep(0.01)
    b:write("x\n")
    assert.equal("x", reader())
    shut(a, b)
  end))
end)

describe("500 connections at once", function()
  it("are served, and leave nothing behind", tidy(function()
    local lim = ffi.new("struct spec_rlimit")
    assert(ffi.C.getrlimit(RLIMIT_NOFILE, lim) == 0)
    if lim.cur < 2048 and lim.max >= 2048 then
      lim.cur = 2048
      assert(ffi.C.setrlimit(RLIMIT_NOFILE, lim) == 0)
    end
    local N, ROUNDS = 500, 3
    local ln, wg, open, most, failures = listen(), lp.waitgroup(), 0, 0, {}
    local function check(ok, ...)
      if not ok then
        failures[#failures + 1] = (...)
      end
      return ok
    end
    wg:go(function()
      for _ = 1, N do
        local c = check(ln:accept())
        if not c then
          return
        end
        c:settimeout(LIMIT)
        wg:go(function()
          open = open + 1
          most = math.max(most, open)
          while true do
            local line = c:read()
            if not line then
              break
            end
            check(c:write(line:reverse(), "\n"))
          end
          open = open - 1
          c:close()
        end)
      end
    end)
    local together, echoes = lp.waitgroup(), 0
    together:add(N)
    for i = 1, N do
      wg:go(function()
        local c = check(net.dial("tcp", ln:addr(), { timeout = LIMIT }))
        together:done()
        together:wait()
        if not c then
          return
        end
        c:settimeout(LIMIT)
        for r = 1, ROUNDS do
          local text = ("%d:%d"):format(i, r)
          check(c:write(text, "\n"))
          if c:read() == text:reverse() then
            echoes = echoes + 1
          end
        end
        c:close()
      end)
    end
    wg:wait()
    ln:close()
    assert.same({}, failures)
    assert.equal(N * ROUNDS, echoes)
    assert.equal(N, most)
  end))

  it("that nobody has closed give back their descriptors when collected", tidy(function()
    helper.collect()
    local before = helper.ndescriptors()
    do
      local ln = listen()
      local conns = {}
      for i = 1, 100 do
        conns[i] = assert(net.dial("tcp", ln:addr()))
        conns[100 + i] = assert(ln:accept())
        conns[i]:settimeout(0)
        conns[i]:read() -- the poller knows some of them
        if i % 2 == 0 then
          conns[100 + i]:settimeout(0.0001)
          conns[100 + i]:read()
        end
      end
      assert.equal(before + 201, helper.ndescriptors())
    end
    lp.sleep(0.001)
    helper.collect()
    helper.collect()
    assert.equal(before, helper.ndescriptors())
  end))
end)

describe("reading parks", function()
  -- fn(conn) runs while the peer sends the pieces, with waits between them
  local function fed(pieces, fn)
    local a, b = pair()
    local sender = async(function()
      for _, piece in ipairs(pieces) do
        lp.sleep(0.001)
        if not b:write(piece) then
          break -- enough
        end
      end
      b:close()
    end)
    local r = results(pcall(fn, a))
    a:close()
    sender()
    assert(r[1], r[2])
    return unpack(r, 2, r.n)
  end

  it("in a gsub callback", tidy(function()
    local text = fed({ "on", "e\n", "two\n", "three\n" }, function(c)
      return (("a b c"):gsub("%a", function() return c:read() end))
    end)
    assert.equal("one two three", text)
  end))

  it("in a sort's comparator", tidy(function()
    local pieces = {}
    for i = 1, 60 do
      pieces[i] = "tick\n"
    end
    fed(pieces, function(c)
      local t = { 5, 3, 1, 4, 2, 6 }
      table.sort(t, function(x, y)
        assert.equal("tick", c:read())
        return x < y
      end)
      assert.same({ 1, 2, 3, 4, 5, 6 }, t)
    end)
  end))

  it("in a metamethod, a pcall and a load", tidy(function()
    fed({ "a\n", "b\n", "return ", "42\n" }, function(c)
      local t = setmetatable({}, { __index = function(_, k) return k .. c:read() end })
      assert.equal("xa", t.x)
      local ok, s = pcall(c.read, c)
      assert.is_true(ok)
      assert.equal("b", s)
      assert.equal(42, load(function() return (c:readany()) end)())
    end)
  end))

  it("in the user's own coroutine, which yields its own values", tidy(function()
    local got = fed({ "o", "ne\ntw", "o\nthr", "ee\n" }, function(c)
      local got = {}
      for line, n in coroutine.wrap(function()
        local n = 0
        for line in c:lines() do
          n = n + 1
          coroutine.yield(line, n)
        end
      end) do
        got[#got + 1] = line .. n
      end
      return got
    end)
    assert.same({ "one1", "two2", "three3" }, got)
  end))

  it("in a coroutine under a gsub in a coroutine", tidy(function()
    local text = fed({ "x\n", "y\n", "z\n" }, function(c)
      local outer = coroutine.wrap(function()
        return (("123"):gsub("%d", function(d)
          local inner = coroutine.wrap(function() coroutine.yield(d .. c:read()) end)
          return inner()
        end))
      end)
      return outer()
    end)
    assert.equal("1x2y3z", text)
  end))

  it("writing, accepting and dialing there too", tidy(function()
    local ln = listen()
    local server = async(function()
      local n = 0
      table.foreach({ 1, 2, 3 }, function()
        local c = assert(ln:accept())
        c:settimeout(LIMIT)
        n = n + #c:read("*a")
        c:close()
      end)
      return n
    end)
    local s = ("abc"):gsub(".", function(x)
      local c = assert(net.dial("tcp", "localhost:" .. ln:addr():match("%d+$"), { timeout = LIMIT }))
      assert(c:write(x:rep(3000000)))
      c:close()
      return x:upper()
    end)
    assert.equal("ABC", s)
    assert.equal(9000000, server())
    ln:close()
  end))

  it("with others doing the same, 50 at once", tidy(function()
    local wg, right = lp.waitgroup(), 0
    local ln = listen()
    wg:go(function()
      for _ = 1, 50 do
        local c = ln:accept()
        wg:go(function()
          for i = 1, 5 do
            c:write(i, "\n")
            gosched()
          end
          c:close()
        end)
      end
    end)
    for i = 1, 50 do
      wg:go(function()
        local c = net.dial("tcp", ln:addr(), { timeout = LIMIT })
        c:settimeout(LIMIT)
        local s
        if i % 2 == 0 then
          s = ("....."):gsub(".", function() return c:read() end)
        else
          s = ""
          for line in coroutine.wrap(function() for l in c:lines() do coroutine.yield(l) end end) do
            s = s .. line
          end
        end
        right = right + (s == "12345" and 1 or 0)
        c:close()
      end)
    end
    wg:wait()
    ln:close()
    assert.equal(50, right)
  end))

  it("nobody where there is no goroutine to park", function()
    local out, err, status = helper.module [[
      local lp, net = require "luapark", require "luapark.net"
      local ln = assert(net.listen("tcp", "127.0.0.1:0")) -- nothing to wait for
      local ok, why = pcall(ln.accept, ln)
      print(ok, type(why), #why > 10)
      lp.run(function()
        local c = assert(net.dial("tcp", ln:addr()))
        local s = assert(ln:accept())
        s:write("hi\n")
        print(c:read())
      end)
    ]]
    assert.equal("", err)
    assert.equal("false\tstring\ttrue\nhi\n", out)
    assert.equal(0, status)
  end)

  it("nobody in a finalizer, where it is an error", tidy(function()
    local a, b = pair()
    local said
    do
      local p = newproxy(true)
      getmetatable(p).__gc = function() said = results(pcall(a.read, a)) end
    end
    helper.collect()
    helper.collect()
    assert.is_table(said)
    assert.is_false(said[1])
    assert.is_string(said[2])
    b:write("x\n")
    assert.equal("x", a:read())
    shut(a, b)
  end))
end)

describe("a process", function()
  -- In the program that the specs run in.
  local function child(text)
    return (helper.inexe and helper.script or helper.module)(text)
  end

  it("without descriptors is told so, and goes on when there are some", function()
    local out, err, status = child [[
      local lp, net, ffi = require "luapark", require "luapark.net", require "ffi"
      ffi.cdef "struct rl { unsigned long cur, max; }; int setrlimit(int what, const struct rl *lim);"
      lp.run(function()
        local ln = assert(net.listen("tcp", "127.0.0.1:0"))
        ln:settimeout(0.001)
        ln:accept() -- the poller is up
        ln:settimeout(10)
        assert(ffi.C.setrlimit(7, ffi.new("struct rl", 40, 40)) == 0)
        local conns, message, code = {}, nil, nil
        repeat
          local c
          c, message, code = net.dial("tcp", ln:addr())
          conns[#conns + 1] = c
        until not c
        print("dial", message, code)
        print("listen", net.listen("tcp", "127.0.0.1:0"))
        print("unix", net.dial("unix", "/nonexistent"))
        print("accept", ln:accept()) -- many wait for it
        local n = #conns
        for _ = 1, 5 do
          conns[n]:close()
          n = n - 1
        end
        for _ = 1, 5 do
          print(ln:accept() and "accepted")
        end
        print("accept", ln:accept())
        local g0 = lp.numgoroutine()
        print(g0)
      end)
    ]]
    assert.equal("", err)
    assert.equal(([[
dial	too many open files	EMFILE
listen	nil	too many open files	EMFILE
unix	nil	too many open files	EMFILE
accept	nil	too many open files	EMFILE
]]) .. ("accepted\n"):rep(5) .. "accept\tnil\ttoo many open files\tEMFILE\n1\n", out)
    assert.equal(0, status)
  end)

  it("that waits for a connection only is no deadlock", function()
    local out, err, status = child [[
      local lp, net = require "luapark", require "luapark.net"
      lp.run(function()
        local ln = assert(net.listen("tcp", "127.0.0.1:0"))
        lp.go(function() lp.sleep(0.02) ln:close() end)
        print(ln:accept())
      end)
    ]]
    assert.equal("", err)
    assert.equal("nil\tclosed\tEBADF\n", out)
    assert.equal(0, status)
  end)

  it("ends although a daemon waits for a connection", function()
    local out, err, status = child [[
      local lp, net = require "luapark", require "luapark.net"
      local ln
      lp.run(function()
        ln = assert(net.listen("tcp", "127.0.0.1:0"))
        lp.go(function() ln:accept() print "never" end):daemon()
        lp.gosched()
      end)
      print "end"
    ]]
    assert.equal("", err)
    assert.equal("end\n", out)
    assert.equal(0, status)
  end)

  it("may use in the next run what killed goroutines waited in", function()
    local out, err, status = helper.module [[
      local lp, net = require "luapark", require "luapark.net"
      local ln, c, s
      lp.run(function()
        ln = assert(net.listen("tcp", "127.0.0.1:0"))
        c = assert(net.dial("tcp", ln:addr()))
        s = assert(ln:accept())
      end)
      for i = 1, 3 do
        local ok, why = pcall(lp.run, function()
          c:settimeout(nil) ln:settimeout(nil)
          lp.go(function() ln:accept() print "never" end)
          lp.go(function() c:read() print "never" end)
          lp.go(function() s:write(("x"):rep(100000000)) print "never" end) -- more than a few turns can move
          lp.go(function() net.dial("tcp", "localhost:1") lp.sleep(5) print "never" end)
          lp.go(function() for _ = 1, 3 do lp.gosched() end error("stop", 0) end) -- all of them wait by then
          lp.sleep(5)
        end)
        print(ok, tostring(why):match("stop"), lp.numgoroutine())
        collectgarbage() collectgarbage()
        print(pcall(lp.run, function()
          ln:settimeout(5) c:settimeout(5) s:settimeout(5)
          local rest = c:readany()
          lp.go(function() s:write("\nhi\n") end)
          repeat rest = c:read() until rest == "hi"
          local c2 = assert(net.dial("tcp", ln:addr()))
          local s2 = assert(ln:accept())
          s2:write("ho\n")
          return rest, c2:read()
        end))
      end
    ]]
    assert.equal("", err)
    assert.equal(("false\tstop\t0\ntrue\thi\tho\n"):rep(3), out)
    assert.equal(0, status)
  end)

  it("does not die of a broken pipe", function()
    local out, err, status = child [[
      local lp, net = require "luapark", require "luapark.net"
      lp.run(function()
        local ln = assert(net.listen("tcp", "127.0.0.1:0"))
        local a = assert(net.dial("tcp", ln:addr()))
        local b = assert(ln:accept())
        b:close()
        for _ = 1, 100 do a:write("x") lp.sleep(0.0002) end
        print(a:write("x"))
      end)
    ]]
    assert.equal("", err)
    assert.equal("nil\tclosed\tEPIPE\t0\n", out)
    assert.equal(0, status)
  end)

  it("does not hand its sockets to its children", function()
    local out, err, status = child [[
      local lp, net = require "luapark", require "luapark.net"
      lp.run(function()
        local ln = assert(net.listen("tcp", "127.0.0.1:0"))
        local a = assert(net.dial("tcp", ln:addr()))
        local b = assert(ln:accept())
        local p = io.popen("ls -l /proc/self/fd")
        print(p:read("*a"):find("socket") and "leaked" or "none")
        p:close() a:close() b:close()
      end)
    ]]
    assert.equal("", err)
    assert.equal("none\n", out)
    assert.equal(0, status)
  end)
end)
