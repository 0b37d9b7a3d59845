-- http: the client, against servers of ours that answer byte by byte as they are told, and against nginx.

local helper = require "spec.helper"
local lp, net, http = helper.lp, require "luapark.net", require "luapark.http"
local run, failshere = helper.run, helper.failshere

local LIMIT = 20 -- seconds after which what should have ended is a failure, not a hang

-- The first wait makes what the poller keeps for good.
run(function()
  local ln = assert(net.listen("tcp", "127.0.0.1:0"))
  ln:settimeout(0.001)
  ln:accept()
  ln:close()
  net.dial("tcp", "localhost:1")
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

-- As tidy, without the collector, which might tidy up by chance.
local function uncollected(fn)
  local body = tidy(fn)
  return function()
    collectgarbage "stop"
    local ok, err = pcall(body)
    collectgarbage "restart"
    if not ok then
      error(err, 0)
    end
  end
end

-- Reads one request: { method, target, version, lines = as they came, headers = by lower-case name, body } or nil.
local function readrequest(conn)
  local line = conn:read()
  if not line then
    return nil
  end
  local r = { lines = { line }, headers = {}, body = "" }
  r.method, r.target, r.version = line:match("^(%S+) (%S+) HTTP/(%S+)$")
  for l in conn:lines() do
    if l == "" then
      break
    end
    r.lines[#r.lines + 1] = l
    local name, value = l:match("^([^:]+): ?(.*)$")
    assert(name, "a bad header line came: " .. l)
    assert(not r.headers[name:lower()], "a header came twice: " .. l)
    r.headers[name:lower()] = value
  end
  if r.headers["transfer-encoding"] then
    assert(r.headers["transfer-encoding"] == "chunked")
    r.chunks = {}
    while true do
      local size = tonumber(conn:read(), 16)
      local piece = conn:read(size)
      assert(conn:read() == "")
      if size == 0 then
        break
      end
      r.chunks[#r.chunks + 1] = piece
    end
    r.body = table.concat(r.chunks)
  elseif r.headers["content-length"] then
    r.body = conn:read(tonumber(r.headers["content-length"]))
  end
  return r
end

-- Runs body(url, server) with a server that gives each connection to handler(conn, which connection it is). The server's
-- own failures fail the spec.
local function with(handler, body, address)
  local ln = assert(net.listen("tcp", address or "127.0.0.1:0"))
  local server = { connections = 0, requests = {}, addr = ln:addr(), open = {} }
  local failures, wg = {}, lp.waitgroup()
  wg:go(function()
    while true do
      local conn = ln:accept()
      if not conn then
        return
      end
      conn:settimeout(LIMIT)
      server.connections = server.connections + 1
      local n = server.connections
      server.open[n] = conn
      wg:go(function()
        local ok, err = pcall(handler, conn, n, server)
        if not ok then
          failures[#failures + 1] = err
        end
        conn:close()
      end)
    end
  end)
  local ok, err = pcall(body, "http://" .. server.addr .. "/", server)
  ln:close()
  for _, conn in pairs(server.open) do
    if not ok then
      conn:close()
    end
  end
  wg:wait()
  if not ok then
    error(err, 0)
  end
  assert.same({}, failures)
end

-- A handler that gives to the n-th request of a connection the n-th text (the last one for all that follow), and then
-- waits for the next; a text of false closes.
local function answers(...)
  local texts = { ... }
  return function(conn, _, server)
    local n = 0
    while true do
      local r = readrequest(conn)
      if not r then
        return
      end
      server.requests[#server.requests + 1] = r
      n = math.min(n + 1, #texts)
      if not texts[n] or not conn:write(texts[n]) then
        return
      end
    end
  end
end

local function ok(body, headers)
  return ("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s"):format(headers or "", #body, body)
end

-- fn(client) with a client of its own.
local function client(fn, options)
  options = options or {}
  options.timeout = options.timeout or LIMIT
  local c = http.client(options)
  local r = { pcall(fn, c) }
  c:close()
  assert(r[1], r[2])
  return unpack(r, 2)
end

-- What one request to a server that answers `text` gives. close: the server closes then.
local function once(text, options, close)
  local res, message, code, kept
  with(close and function(conn, _, server)
    server.requests[1] = readrequest(conn)
    conn:write(text)
  end or answers(text), function(url, server)
    client(function(c)
      local o = { url = url, timeout = 5 }
      for k, v in pairs(options or {}) do
        o[k] = v
      end
      res, message, code = c:request(o)
      kept = next(c.idle) ~= nil and #select(2, next(c.idle)) > 0
    end)
    assert(server.connections <= 1, "it was asked again")
  end)
  return res, message, code, kept
end

-- An `it` that the answer is taken so. wanted: { status, reason, body, headers, whether the connection is kept }
local function takes(text, wanted, options, close)
  return tidy(function()
    local res, message, _, kept = once(text, options, close)
    assert(res, message)
    assert.same({ wanted[1], wanted[2], wanted[3] }, { res.status, res.reason, res.body })
    if wanted[4] then
      assert.same(wanted[4], res.headers)
    end
    if wanted[5] ~= nil then
      assert.equal(wanted[5], kept)
    end
  end)
end

-- An `it` that the answer is refused in words.
local function refuses(text, words, close, options)
  return tidy(function()
    local res, message, code = once(text, options, close)
    assert.equal(nil, res)
    assert.is_true(tostring(message):find(words, 1, true) ~= nil, "it says: " .. tostring(message))
    assert.equal("EPROTO", code)
  end)
end

describe("a request", function()
  -- What the server sees of a request.
  local function seen(options)
    local r
    with(answers(ok ""), function(url, server)
      options.url = options.url or url
      if options.path then
        options.url = url .. options.path
      end
      client(function(c) assert(c:request(options)) end)
      r = server.requests[1]
      r.addr = server.addr
    end)
    return r
  end

  it("of GET is a line and some headers", tidy(function()
    local r = seen {}
    assert.same({ "GET", "/", "1.1", "" }, { r.method, r.target, r.version, r.body })
    assert.equal(r.addr, r.headers.host)
    assert.is_string(r.headers["user-agent"])
    assert.equal(nil, r.headers["content-length"])
    assert.equal(nil, r.headers["transfer-encoding"])
    assert.equal(3, #r.lines)
  end))

  it("names path and query, not the fragment", tidy(function()
    assert.equal("/a/b%20c?d=e&f=/?g", seen({ path = "a/b%20c?d=e&f=/?g#here#there" }).target)
    assert.equal("/?", seen({ path = "?" }).target)
    assert.equal("/", seen({ path = "#x" }).target)
    assert.equal("//x", seen({ path = "/x" }).target)
  end))

  it("may take any method", tidy(function()
    for _, method in ipairs { "GET", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE" } do
      assert.equal(method, seen({ method = method }).method)
    end
  end))

  it("sends headers, its own instead of ours", tidy(function()
    local r = seen { headers = { ["X-A"] = "b c", ["x-n"] = 42, ["X-Empty"] = "", HOST = "example.org",
      ["user-agent"] = "me" } }
    assert.equal("b c", r.headers["x-a"])
    assert.equal("42", r.headers["x-n"])
    assert.equal("", r.headers["x-empty"])
    assert.equal("example.org", r.headers.host)
    assert.equal("me", r.headers["user-agent"])
  end))

  it("sends a body that is a string", tidy(function()
    local r = seen { method = "POST", body = "a\0b\r\n" }
    assert.equal("5", r.headers["content-length"])
    assert.equal("a\0b\r\n", r.body)
    r = seen { method = "POST", body = "" }
    assert.equal("0", r.headers["content-length"])
    r = seen { method = "POST" }
    assert.equal("0", r.headers["content-length"])
    r = seen { method = "GET", body = "strange" }
    assert.equal("strange", r.body)
  end))

  it("sends a body that a function gives, in chunks, and may wait there", tidy(function()
    local pieces, i = { "one", "", "two\r\n", ("x"):rep(70000), "\0" }, 0
    local r = seen { method = "POST", body = function()
      i = i + 1
      lp.sleep(0.001)
      return pieces[i]
    end }
    assert.same({ "one", "two\r\n", ("x"):rep(70000), "\0" }, r.chunks)
    assert.equal("chunked", r.headers["transfer-encoding"])
    assert.equal(nil, r.headers["content-length"])
    r = seen { method = "POST", body = function() end }
    assert.same({}, r.chunks)
  end))

  it("goes by get and post", tidy(function()
    with(answers(ok "fine"), function(url, server)
      client(function(c)
        assert.equal("fine", c:get(url, { headers = { A = "b" } }).body)
        assert.equal("fine", c:post(url, "text", { headers = { C = "d" } }).body)
        assert.equal("fine", c:post(url).body)
      end)
      assert.equal("b", server.requests[1].headers.a)
      assert.equal("text", server.requests[2].body)
      assert.equal("d", server.requests[2].headers.c)
      assert.equal("POST", server.requests[3].method)
      assert.equal("hello", http.post(url, "hello") and server.requests[4].body)
      assert.equal(200, http.get(url).status)
      assert.equal(200, http.request({ url = url }).status)
      assert.equal(2, server.connections)
      http.default:close()
    end)
  end))

  it("cannot be split by headers", tidy(function()
    with(answers(ok ""), function(url, server)
      for _, value in ipairs { "a\r\nB: c", "a\nb", "a\rb", "\r\n\r\nGET / HTTP/1.1", "a\0b" } do
        client(function(c)
          assert.matches("bad argument #2 to 'get' %(.*header", helper.fails(c.get, c, url, { headers = { A = value } }))
        end)
      end
      for _, name in ipairs { "A: b\r\nC", "A B", "A:", "", "A\n", "\0", "ä" } do
        client(function(c)
          assert.matches("bad argument #2 to 'get' %(.*header", helper.fails(c.get, c, url, { headers = { [name] = "x" } }))
        end)
      end
      assert.equal(0, server.connections)
    end)
  end))

  it("with headers that cannot be is an error at the caller's line", tidy(function()
    failshere("bad argument #2 to 'get' (header A", function()
      local r = http.get("http://127.0.0.1:1/", { headers = { A = "\r\n" } })
      return r
    end)
    failshere("bad argument #1 to 'request' (name of a header", function()
      local r = http.request { url = "http://127.0.0.1:1/", headers = { [1] = "x" } }
      return r
    end)
  end))

  it("cannot be split by URL or method", tidy(function()
    for _, bad in ipairs { "a b", "a\r\nb", "a\nb", "a\0b", "a\tb", " " } do
      local r, message, code = http.get("http://127.0.0.1:1/" .. bad)
      assert.equal(nil, r)
      assert.matches("^bad URL", message)
      assert.equal("EINVAL", code)
    end
    for _, bad in ipairs { "GET / HTTP/1.1\r\nA: b\r\n\r\nGET", "get", "", "G T", "GET\n" } do
      failshere("bad argument #1 to 'request'", function()
        local r = http.request { url = "http://127.0.0.1:1/", method = bad }
        return r
      end)
    end
  end))

  it("with wrong arguments is an error at the caller's line", tidy(function()
    local url, c = "http://127.0.0.1:1/", http.client()
    failshere("bad argument #1 to 'get' (URL expected, got no value)", function() local r = http.get() return r end)
    failshere("bad argument #1 to 'get' (URL expected, got table)", function() local r = http.get({}) return r end)
    failshere("bad argument #2 to 'get'", function() local r = http.get(url, 5) return r end)
    failshere("bad argument #1 to 'post' (URL expected", function() local r = http.post() return r end)
    failshere("bad argument #2 to 'post'", function() local r = http.post(url, {}) return r end)
    failshere("bad argument #3 to 'post'", function() local r = http.post(url, "", 5) return r end)
    failshere("bad argument #1 to 'request'", function() local r = http.request() return r end)
    failshere("bad argument #1 to 'request'", function() local r = http.request(url) return r end)
    failshere("bad argument #1 to 'request' (URL expected", function() local r = http.request {} return r end)
    failshere("bad argument #1 to 'request'", function() local r = http.request { url = url, body = 5 } return r end)
    failshere("bad argument #1 to 'client'", function() local r = http.client(5) return r end)
    failshere("calling 'get' on bad self", function() local r = c.get(url) return r end)
    failshere("calling 'close' on bad self", function() c.close() end)
  end))

  it("with wrong options is an error at the caller's line", tidy(function()
    local url = "http://127.0.0.1:1/"
    failshere("timeout", function() local r = http.get(url, { timeout = "soon" }) return r end)
    failshere("headers", function() local r = http.get(url, { headers = 5 }) return r end)
    failshere("timeout", function() local r = http.client({ timeout = {} }) return r end)
    failshere("bad argument #2 to 'get' (header", function() local r = http.get(url, { headers = { a = {} } }) return r end)
  end))

  it("whose body function fails raises that error, and leaves nothing", uncollected(function()
    with(function(conn)
      conn:settimeout(0.1)
      conn:read("*a")
    end, function(url)
      client(function(c)
        assert.equal("oops", helper.fails(c.post, c, url, function() error("oops", 0) end))
      end)
    end)
  end))

  it("whose body function gives no string says so", uncollected(function()
    with(function(conn)
      conn:settimeout(0.1)
      conn:read("*a")
    end, function(url)
      client(function(c)
        local err = tostring(helper.fails(c.post, c, url, function() return {} end))
        assert.is_true(not err:find("attempt to", 1, true), err)
      end)
    end)
  end))
end)

describe("a URL", function()
  it("that is none is refused in words", tidy(function()
    for _, bad in ipairs { "", "x", "/", "127.0.0.1", "127.0.0.1:80/",
      "http:", "http:/x", "http://", "http:///",
      "http://:80/", "http://a:b/", "http://a:70000/", "http://a:80:80/", "http://[::1/",
      "http://::1/", "http://[x]/", "://a/",
      "http://a b/", "http://[]/", "http://@/", "http://a:-1/" } do
      local r, message, code = http.get(bad)
      assert.equal(nil, r, bad)
      assert.is_true(message:find("bad URL '" .. bad .. "'", 1, true) ~= nil, message)
      assert.equal("EINVAL", code)
    end
  end))

  it("of another protocol is refused in words", tidy(function()
    for _, scheme in ipairs { "https", "ftp", "HTTPS", "file" } do
      local r, message, code = http.get(scheme .. "://127.0.0.1/")
      assert.equal(nil, r)
      assert.equal("unsupported protocol scheme '" .. scheme .. "'", message)
      assert.equal("EPROTONOSUPPORT", code)
    end
  end))

  it("has a host, a port, user and query in many forms", tidy(function()
    with(answers(ok "x"), function(url, server)
      local port = server.addr:match("%d+$")
      local forms = {
        { "http://127.0.0.1:" .. port, "127.0.0.1:" .. port, "/" },
        { "http://127.0.0.1:" .. port .. "?q", "127.0.0.1:" .. port, "/?q" },
        { "http://127.0.0.1:" .. port .. "#f", "127.0.0.1:" .. port, "/" },
        { "HTTP://127.0.0.1:" .. port .. "/", "127.0.0.1:" .. port, "/" },
        { "http://user:pa@ss@127.0.0.1:" .. port .. "/@x", "127.0.0.1:" .. port, "/@x" },
        { "http://localhost:" .. port .. "/", "localhost:" .. port, "/" },
        { "http://LOCALHOST:" .. port .. "/a//b/../c", "LOCALHOST:" .. port, "/a//b/../c" },
        { "http://127.0.0.1:" .. port .. "?u=http://x/", "127.0.0.1:" .. port, "/?u=http://x/" },
      }
      client(function(c)
        for i, form in ipairs(forms) do
          local res, why = c:get(form[1])
          assert(res, form[1] .. ": " .. tostring(why))
          assert.same({ form[2], form[3] }, { server.requests[i].headers.host, server.requests[i].target })
        end
      end)
      assert.is_string(url)
    end)
  end))

  it("may name an IPv6 address", tidy(function()
    local ln = net.listen("tcp", "[::1]:0")
    if not ln then
      return
    end
    ln:close()
    with(answers(ok "six"), function(url, server)
      client(function(c)
        assert.equal("six", c:get(url).body)
        assert.equal(server.addr, server.requests[1].headers.host)
        assert.equal("six", c:get("http://me@" .. server.addr .. "?x").body)
      end)
    end, "[::1]:0")
  end))

  it("whose host cannot be found or reached fails in words", tidy(function()
    local r, message, code = http.get("http://" .. ("a"):rep(64) .. "/")
    assert.equal(nil, r)
    assert.is_string(message)
    assert.matches("^E", code)
    local ln = assert(net.listen("tcp", "127.0.0.1:0"))
    local addr = ln:addr()
    ln:close()
    r, message, code = http.get("http://" .. addr .. "/")
    assert.equal(nil, r)
    assert.equal("connection refused", message)
    assert.equal("ECONNREFUSED", code)
  end))
end)

describe("an answer", function()
  it("has status, reason, headers and body", takes(
    "HTTP/1.1 201 All right, then\r\nContent-Type: text/plain\r\nCONTENT-LENGTH: 5\r\nX-y: z\r\n\r\nhello",
    { 201, "All right, then", "hello", { ["content-type"] = "text/plain", ["content-length"] = "5", ["x-y"] = "z" },
      true }))
  it("of any status is one", takes("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", { 503, "No", "no", nil, true }))
  it("of 302 is not followed", takes("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    { 302, "Found", "", { location = "/x", ["content-length"] = "0" }, true }))
  it("may lack a reason", takes("HTTP/1.1 200\r\nA: b\r\nContent-Length: 0\r\n\r\n",
    { 200, "", "", { a = "b", ["content-length"] = "0" } }))
  it("may have an empty reason", takes("HTTP/1.1 200 \r\nA: b\r\nContent-Length: 0\r\n\r\n",
    { 200, "", "", { a = "b", ["content-length"] = "0" } }))
  it("may lack headers", takes("HTTP/1.1 200 OK\r\n\r\nbody", { 200, "OK", "body", {}, false }, nil, true))
  it("may lack everything", takes("HTTP/1.1 200\r\n\r\n", { 200, "", "", {}, false }, nil, true))
  it("may hold zero bytes in its body", takes(ok "\0a\0", { 200, "OK", "\0a\0" }))
  it("may repeat headers", takes("HTTP/1.1 200 OK\r\nA: 1\r\nB: x\r\na: 2\r\nA:\r\nA: 3\r\nContent-Length: 0\r\n\r\n",
    { 200, "OK", "", { a = "1, 2, , 3", b = "x", ["content-length"] = "0" } }))
  it("may have empty headers", takes("HTTP/1.1 200 OK\r\nA:\r\nB: \r\nC:\t\r\nD: d\r\nContent-Length: 0\r\n\r\n",
    { 200, "OK", "", { a = "", b = "", c = "", d = "d", ["content-length"] = "0" } }))
  it("has values without the blanks around them", takes(ok("", "A: \t b  c \t \r\n"),
    { 200, "OK", "", { a = "b  c", ["content-length"] = "0" } }))
  it("may have a large header", takes(ok("x", "A: " .. ("y"):rep(200000) .. "\r\n"),
    { 200, "OK", "x", { a = ("y"):rep(200000), ["content-length"] = "1" } }))
  it("may have many headers", tidy(function()
    local lines = {}
    for i = 1, 500 do
      lines[i] = ("H-%d: v%d\r\n"):format(i, i)
    end
    local res = once(ok("x", table.concat(lines)))
    for i = 1, 500 do
      assert.equal("v" .. i, res.headers["h-" .. i])
    end
  end))

  it("may come byte by byte", tidy(function()
    local text = "HTTP/1.1 200 Very good\r\nAbc: def\r\nE:\r\nContent-Length: 3\r\n\r\nxyz"
      .. "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: t\r\n\r\n"
    with(function(conn)
      readrequest(conn)
      for i = 1, #text do
        conn:write(text:sub(i, i))
        lp.sleep(0.0001)
        if text:sub(i - 2, i) == "xyz" then
          readrequest(conn)
        end
      end
    end, function(url, server)
      client(function(c)
        local res = assert(c:get(url))
        assert.same({ status = 200, reason = "Very good", body = "xyz",
          headers = { abc = "def", e = "", ["content-length"] = "3" } }, res)
        assert.equal("abc", assert(c:get(url)).body)
      end)
      assert.equal(1, server.connections)
    end)
  end))

  it("that folds a header is refused or unfolded", tidy(function()
    local res, message = once("HTTP/1.1 200 OK\r\nA: b\r\n  c\r\nD: e\r\nContent-Length: 0\r\n\r\n")
    if res then
      assert.matches("^b%s+c$", res.headers.a)
      assert.equal("e", res.headers.d)
    else
      assert.matches("^malformed HTTP response", message)
    end
  end))

  local CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
  it("may be chunked", takes(CHUNKED .. "5\r\nhello\r\n1\r\n \r\n00A\r\n0123456789\r\n0\r\n\r\n",
    { 200, "OK", "hello 0123456789", nil, true }))
  it("may be empty chunks", takes(CHUNKED .. "0\r\n\r\n", { 200, "OK", "", nil, true }))
  it("may have chunk extensions", takes(CHUNKED .. "2;a=b\r\nhi\r\n0;d\r\n\r\n", { 200, "OK", "hi", nil, true }))
  it("may have several chunk extensions, or is refused in words (by llhttp 8)", tidy(function()
    local res, message, code = once(CHUNKED .. "2;a=b;c=d\r\nhi\r\n0;d=e;f\r\n\r\n")
    if res then
      assert.equal("hi", res.body)
    else
      assert.matches("^malformed HTTP response", message)
      assert.equal("EPROTO", code)
    end
  end))
  it("may quote in chunk extensions", takes(CHUNKED .. "2;a=\"b c\"\r\nhi\r\n0\r\n\r\n", { 200, "OK", "hi", nil, true }))
  it("may have trailers", takes(CHUNKED .. "2\r\nhi\r\n0\r\nT: x\r\nU:\r\nTransfer-Encoding2: y\r\n\r\n",
    { 200, "OK", "hi", { ["transfer-encoding"] = "chunked" }, true }))
  it("may be an upper-case chunked", takes("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    { 200, "OK", "hi", nil, true }))

  it("ends with the connection if nothing else says where", takes("HTTP/1.1 200 OK\r\nA: b\r\n\r\n" .. ("x"):rep(200000),
    { 200, "OK", ("x"):rep(200000), { a = "b" }, false }, nil, true))
  it("of HTTP/1.0 too", takes("HTTP/1.0 200 OK\r\n\r\nabc", { 200, "OK", "abc", {}, false }, nil, true))
  it("of HTTP/1.0 is not kept", takes("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", { 200, "OK", "hi", nil, false }))
  it("of HTTP/1.0 is kept if it says so", takes(
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", { 200, "OK", "hi", nil, true }))
  it("with Connection: close is not kept", takes(ok("hi", "Connection: close\r\n"), { 200, "OK", "hi", nil, false }))
  it("with a close among others is not kept", takes(ok("hi", "Connection: x, Close\r\n"), { 200, "OK", "hi", nil, false }))

  local head = { method = "HEAD" }
  it("to HEAD has no body", takes("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n",
    { 200, "OK", "", { ["content-length"] = "20" }, true }, head))
  it("to HEAD that says chunked has none", takes(CHUNKED, { 200, "OK", "", nil, true }, head))
  it("to HEAD without a length has none", takes("HTTP/1.1 200 OK\r\n\r\n", { 200, "OK", "", nil, true }, head))
  it("of 204 has no body", takes("HTTP/1.1 204 No\r\n\r\n", { 204, "No", "", {}, true }))
  it("of 304 has no body", takes("HTTP/1.1 304 Same\r\nETag: x\r\n\r\n", { 304, "Same", "", { etag = "x" }, true }))
  it("of 304 has none although it tells a length", takes("HTTP/1.1 304 Same\r\nContent-Length: 20\r\n\r\n",
    { 304, "Same", "", { ["content-length"] = "20" }, true }, { timeout = 0.5 }))
  it("of 204 has none although it tells a length", takes("HTTP/1.1 204 No\r\nContent-Length: 20\r\n\r\n",
    { 204, "No", "" }, { timeout = 0.5 }))
  it("may come after 100 Continue", takes("HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" .. ok "hi",
    { 200, "OK", "hi", { ["content-length"] = "2" }, true }, { method = "POST", body = "x" }))
  it("may come after several of 1xx", takes("HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" .. ok "hi",
    { 200, "OK", "hi", { ["content-length"] = "2" }, true }))
  it("of 101 leaves a connection that is no longer HTTP", takes(
    "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", { 101, "Switching", "", nil, false }))

  it("may hold 5 MB, by length, in chunks, until the end", tidy(function()
    local piece = {}
    for i = 1, 50000 do
      piece[i] = ("%09d\n"):format(i)
    end
    piece = table.concat(piece) -- 500 KB
    local chunks = {}
    for i = 1, 10 do
      chunks[i] = ("%x\r\n%s\r\n"):format(#piece, piece)
    end
    local body = piece:rep(10)
    for _, text in ipairs { ok(body), CHUNKED .. table.concat(chunks) .. "0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n" .. body } do
      local res = assert(once(text, nil, true))
      assert.is_true(res.body == body)
    end
  end))

  it("to 5 MB that were sent", tidy(function()
    local body = ("0123456789abcdef"):rep(327680)
    with(function(conn, _, server)
      for i = 1, 2 do
        server.requests[i] = readrequest(conn)
        conn:write(ok(tostring(#server.requests[i].body)))
      end
    end, function(url, server)
      client(function(c)
        assert.equal(tostring(#body), assert(c:post(url, body)).body)
        local n = 0
        assert.equal(tostring(#body), assert(c:post(url, function()
          n = n + 1
          return n <= 80 and ("0123456789abcdef"):rep(4096) or nil
        end)).body)
      end)
      assert.is_true(server.requests[1].body == body)
      assert.is_true(server.requests[2].body == body)
      assert.equal(1, server.connections)
    end)
  end))
end)

describe("a malformed answer is refused:", function()
  local MALFORMED = "malformed HTTP response: "
  it("garbage", refuses("garbage\r\n\r\n", MALFORMED))
  it("another protocol", refuses("SSH-2.0-OpenSSH_9.2\r\n", MALFORMED))
  it("HTTP/0.9", refuses("hello", MALFORMED, true))
  it("no number for a status", refuses("HTTP/1.1 abc OK\r\n\r\n", MALFORMED))
  it("a status of four digits", refuses("HTTP/1.1 2000 OK\r\n\r\n", MALFORMED))
  it("no header", refuses("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", MALFORMED))
  it("a zero byte in a header", refuses(ok("x", "A: b\0c\r\n"), MALFORMED))
  it("a zero byte in a name", refuses(ok("x", "A\0: b\r\n"), MALFORMED))
  it("a zero byte in the reason", refuses("HTTP/1.1 200 O\0K\r\nA: b\r\nContent-Length: 0\r\n\r\n", MALFORMED))
  it("two lengths", refuses("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", MALFORMED))
  it("a length and chunks", refuses(
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", MALFORMED))
  it("a negative length", refuses("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", MALFORMED))
  it("a length beyond measure", refuses("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi", MALFORMED))
  it("a length that is no number", refuses("HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nhi", MALFORMED))
  it("a chunk size that is none", refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n", MALFORMED))
  it("a chunk size beyond measure", refuses(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi\r\n", MALFORMED))
  it("a chunk longer than it says", refuses(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n", MALFORMED))
  it("the end in a body", refuses("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi", "unexpected end of input", true))
  it("the end in the status line", refuses("HTTP/1", "unexpected end of input", true))
  it("the end in a header", refuses("HTTP/1.1 200 OK\r\nContent-Le", "unexpected end of input", true))
  it("the end in a chunk", refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", "unexpected end of input",
    true))
  it("the end before the last chunk", refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    "unexpected end of input", true))
  it("the end in the answer after a 100", refuses("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le",
    "unexpected end of input", true))
  it("a header beyond a megabyte", refuses(ok("x", "A: " .. ("y"):rep(1100000) .. "\r\n"), "header too large"))
  it("a name beyond a megabyte", refuses(ok("x", ("y"):rep(1100000) .. ": a\r\n"), "header too large"))
  it("a reason beyond a megabyte", refuses("HTTP/1.1 200 " .. ("y"):rep(1100000) .. "\r\n\r\n", "header too large", true))
  it("headers without end", tidy(function()
    with(function(conn)
      readrequest(conn)
      conn:write("HTTP/1.1 200 OK\r\n")
      while conn:write(("Name%d: value\r\n"):format(math.random(1e6)):rep(1000)) do end
    end, function(url)
      client(function(c)
        local res, message, code = c:get(url)
        assert.equal(nil, res)
        assert.matches("^malformed HTTP response", message)
        assert.equal("EPROTO", code)
      end)
    end)
  end))

  it("no answer", tidy(function()
    local res, message, code = once("", nil, true)
    assert.equal(nil, res)
    assert.equal("closed", message)
    assert.equal("EOF", code)
  end))

  it("a reset in the body", tidy(function()
    with(function(conn)
      conn:read() -- and leaves the rest unread: closing resets
      conn:write("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi")
      lp.sleep(0.01)
    end, function(url)
      client(function(c)
        local res, message, code = c:post(url, ("x"):rep(100000))
        assert.equal(nil, res)
        assert.is_string(message)
        assert.is_true(code == "ECONNRESET" or code == "EPIPE" or code == "EPROTO", tostring(code))
      end)
    end)
  end))
end)

describe("the client", function()
  it("uses one connection again and again", tidy(function()
    with(answers(ok "x"), function(url, server)
      client(function(c)
        for i = 1, 50 do
          assert.equal("x", c:get(url .. i).body)
        end
        assert.equal("x", c:post(url, "y").body)
        assert.equal("", c:request({ url = url, method = "HEAD", body = nil, timeout = 5 }) and "")
      end)
      assert.equal(1, server.connections)
    end)
  end))

  it("takes one connection for each of those who ask at once, and keeps them", tidy(function()
    with(function(conn)
      while readrequest(conn) do
        lp.sleep(0.005)
        conn:write(ok "x")
      end
    end, function(url, server)
      client(function(c)
        for _ = 1, 3 do
          local wg, n = lp.waitgroup(), 0
          for _ = 1, 20 do
            wg:go(function()
              local res = c:get(url)
              n = n + (res and res.status == 200 and 1 or 0)
            end)
          end
          wg:wait()
          assert.equal(20, n)
        end
        assert.equal(20, server.connections)
      end)
    end)
  end))

  it("keeps none without keepalive", tidy(function()
    with(answers(ok "x"), function(url, server)
      client(function(c)
        for _ = 1, 3 do
          c:get(url)
        end
      end, { keepalive = false })
      assert.equal(3, server.connections)
    end)
  end))

  it("keeps none that said Connection: close, or HTTP/1.0", tidy(function()
    for _, text in ipairs { ok("x", "Connection: close\r\n"), "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx" } do
      with(answers(text), function(url, server)
        client(function(c)
          for _ = 1, 3 do
            assert.equal("x", c:get(url).body)
          end
        end)
        assert.equal(3, server.connections)
      end)
    end
  end))

  it("keeps connections of different servers apart", tidy(function()
    with(answers(ok "one"), function(url1, server1)
      with(answers(ok "two"), function(url2, server2)
        client(function(c)
          for _ = 1, 5 do
            assert.equal("one", c:get(url1).body)
            assert.equal("two", c:get(url2).body)
          end
        end)
        assert.equal(1, server2.connections)
      end)
      assert.equal(1, server1.connections)
    end)
  end))

  it("closes its idle connections, and may be used again", tidy(function()
    with(answers(ok "x"), function(url, server)
      client(function(c)
        local before = helper.ndescriptors()
        c:get(url)
        c:close()
        helper.eventually(function() return helper.ndescriptors() <= before end, 1000)
        assert.is_true(helper.ndescriptors() <= before)
        assert.equal("x", c:get(url).body)
        c:close()
        c:close()
      end)
      assert.equal(2, server.connections)
    end)
  end))

  it("gives back connections when it is collected", tidy(function()
    with(answers(ok "x"), function(url)
      do
        local c = http.client()
        c:get(url)
      end
      lp.sleep(0.001)
      helper.collect()
      helper.collect()
    end) -- else the server would wait
  end))

  it("does not use a kept connection that the server has closed", tidy(function()
    with(function(conn, _, server)
      server.requests[#server.requests + 1] = readrequest(conn)
      conn:write(ok "x")
    end, function(url, server)
      client(function(c)
        for _ = 1, 3 do
          assert.equal("x", c:get(url).body)
          lp.sleep(0.005)
        end
        assert.equal("x", c:post(url, "y").body)
      end)
      assert.equal(4, server.connections)
    end)
  end))

  -- A server that closes its first connection in reply to the second request.
  local function closes(conn, n, server)
    server.requests[#server.requests + 1] = readrequest(conn)
    conn:write(ok "x")
    server.requests[#server.requests + 1] = readrequest(conn)
    if n > 1 then
      conn:write(ok "y")
      readrequest(conn)
    end
  end

  it("repeats a GET on a fresh connection if a kept one closes", tidy(function()
    for _, method in ipairs { "GET", "HEAD", "PUT", "DELETE" } do
      with(closes, function(url, server)
        client(function(c)
          assert(c:get(url))
          local res = assert(c:request { url = url, method = method })
          assert.equal(200, res.status)
        end)
        assert.equal(2, server.connections)
        assert.equal(method, server.requests[2].method)
        assert.equal(method, server.requests[3].method)
      end)
    end
  end))

  it("does not repeat a POST", tidy(function()
    for _, method in ipairs { "POST", "PATCH" } do
      with(closes, function(url, server)
        client(function(c)
          assert(c:get(url))
          local res, message, code = c:request { url = url, method = method, body = "x" }
          assert.equal(nil, res)
          assert.equal("closed", message)
          assert.equal("EOF", code)
        end)
        assert.equal(1, server.connections)
      end)
    end
  end))

  it("does not repeat on a connection that is fresh", tidy(function()
    with(answers(false), function(url, server)
      client(function(c)
        local res, message = c:get(url)
        assert.equal(nil, res)
        assert.equal("closed", message)
      end)
      assert.equal(1, server.connections)
    end)
  end))

  it("does not repeat what was answered in part", tidy(function()
    with(answers(ok "x", "HTTP/1.1 2", false), function(url, server)
      client(function(c)
        assert(c:get(url))
        local res, message, code = c:get(url, { timeout = 0.05 })
        assert.equal(nil, res)
        assert.equal("timeout", message)
        assert.equal("ETIMEDOUT", code)
      end)
      assert.equal(1, server.connections)
    end)
  end))

  it("never takes what follows an answer for the next one", tidy(function()
    with(function(conn, n)
      local i = 0
      while readrequest(conn) do
        i = i + 1
        conn:write(ok(n .. "." .. i), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
      end
    end, function(url)
      client(function(c)
        for i = 1, 4 do
          assert.equal(i .. ".1", c:get(url).body)
          if i % 2 == 0 then
            lp.sleep(0.002)
          end
        end
      end)
    end)
  end))

  it("times out, and is no misuse, where the time is over before the connection is made", tidy(function()
    local ln = assert(net.listen("tcp", "127.0.0.1:0"))
    client(function(c)
      for _, s in ipairs { 0, 1e-9, 1e-7 } do
        assert.same({ nil, "timeout", "ETIMEDOUT" }, { c:get("http://" .. ln:addr() .. "/", { timeout = s }) })
      end
    end)
    ln:close()
  end))

  it("never takes a late answer to a request that timed out for the next one's", tidy(function()
    with(function(conn, n)
      readrequest(conn)
      if n == 1 then
        lp.sleep(0.05)
      end
      conn:write(ok("answer " .. n))
    end, function(url, server)
      client(function(c)
        local res, message, code = c:get(url, { timeout = 0.01 })
        assert.equal(nil, res)
        assert.equal("timeout", message)
        assert.equal("ETIMEDOUT", code)
        assert.equal("answer 2", c:get(url).body)
        lp.sleep(0.06)
        assert.equal("answer 3", c:get(url).body)
      end)
      assert.equal(3, server.connections)
    end)
  end))

  it("times out over a slow server, wherever it is slow", tidy(function()
    for _, text in ipairs { "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nslow",
      "HTTP/1.1 100 Continue\r\n\r\n" } do
      local t0 = lp.now()
      local res, message, code, kept = once(text, { timeout = 0.03 })
      assert.same({ nil, "timeout", "ETIMEDOUT" }, { res, message, code })
      assert.is_false(kept)
      local dt = lp.now() - t0
      assert.is_true(dt >= 0.03 and dt < 5, tostring(dt))
    end
  end))

  it("times out over a server that drips", tidy(function()
    with(function(conn)
      readrequest(conn)
      conn:write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
      while conn:write("x") do
        lp.sleep(0.002)
      end
    end, function(url)
      client(function(c)
        local t0 = lp.now()
        local res, message = c:get(url)
        assert.equal(nil, res)
        assert.equal("timeout", message)
        assert.is_true(lp.now() - t0 < 5)
      end, { timeout = 0.05 })
    end)
  end))

  it("times out over a server that does not read", tidy(function()
    with(function(conn)
      conn:read()
      lp.sleep(0.1)
    end, function(url)
      client(function(c)
        local res, message, code = c:post(url, ("x"):rep(20000000), { timeout = 0.04 })
        assert.same({ nil, "timeout", "ETIMEDOUT" }, { res, message, code })
      end)
    end)
  end))

  it("times out as a whole, over a body that a slow function gives", tidy(function()
    with(function(conn) conn:read("*a") end, function(url)
      client(function(c)
        local n = 0
        local res, message = c:post(url, function()
          lp.sleep(0.005)
          n = n + 1
          return n < 100 and "piece" or nil
        end, { timeout = 0.05 })
        assert.equal(nil, res)
        assert.equal("timeout", message)
        assert.is_true(n < 90, "all of the body was sent, in half a second")
      end)
    end)
  end))

  it("takes the answer of a server that has not read all of the body", tidy(function()
    with(function(conn)
      for line in conn:lines() do
        if line == "" then
          break
        end
      end
      conn:write("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!")
      conn:closewrite()
      lp.sleep(0.02)
    end, function(url)
      client(function(c)
        local res, message = c:post(url, ("x"):rep(20000000))
        assert(res, message)
        assert.equal(413, res.status)
        assert.equal("no!", res.body)
      end)
    end)
  end))

  it("waits inside a gsub callback, a sort and a user's coroutine", tidy(function()
    with(answers(ok "x"), function(url)
      client(function(c)
        assert.equal("xxx", (("abc"):gsub(".", function() return c:get(url).body end)))
        local t = { 3, 1, 2 }
        table.sort(t, function(a, b)
          assert(c:get(url))
          return a < b
        end)
        assert.same({ 1, 2, 3 }, t)
        local got = {}
        for i, body in coroutine.wrap(function()
          for i = 1, 3 do
            coroutine.yield(i, c:get(url).body)
          end
        end) do
          got[i] = body
        end
        assert.same({ "x", "x", "x" }, got)
      end)
    end)
  end))

  it("serves a hundred goroutines", tidy(function()
    with(function(conn)
      while true do
        local r = readrequest(conn)
        if not r then
          return
        end
        conn:write(ok(r.target:sub(2)))
      end
    end, function(url)
      client(function(c)
        local wg, right = lp.waitgroup(), 0
        for i = 1, 100 do
          wg:go(function()
            for j = 1, 10 do
              local res = c:get(url .. i .. "/" .. j)
              right = right + (res and res.body == i .. "/" .. j and 1 or 0)
            end
          end)
        end
        wg:wait()
        assert.equal(1000, right)
      end)
    end)
  end))
end)

describe("nginx", function()
  local dir, url, pid, port
  local BIG = ("0123456789abcdef"):rep(327680) -- 5 MB

  local function write(name, text)
    local f = assert(io.open(dir .. "/" .. name, "wb"))
    f:write(text)
    f:close()
  end

  local function stop()
    if pid then
      os.execute("kill " .. pid .. " 2>/dev/null")
      pid = nil
    end
    if dir then
      os.execute("rm -rf " .. helper.quote(dir))
      dir = nil
    end
  end

  setup(function()
    if helper.sh("PATH=$PATH:/usr/sbin command -v nginx") == "" then
      return
    end
    dir = helper.sh("mktemp -d"):match("%S+")
    run(function()
      local ln = assert(net.listen("tcp", "127.0.0.1:0"))
      port = ln:addr():match("%d+$")
      ln:close()
    end)()
    os.execute(("mkdir %s/www %s/tmp"):format(dir, dir))
    write("www/small.txt", "small\n")
    write("www/empty.txt", "")
    write("www/big.bin", BIG)
    write("www/page.shtml", '<!--#echo var="request_method" --> and a page\n')
    write("nginx.conf", ([[
      daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
      events { worker_connections 512; }
      http {
        access_log off; root DIR/www; client_max_body_size 6m; default_type text/plain;
        client_body_temp_path DIR/tmp/b; proxy_temp_path DIR/tmp/p; fastcgi_temp_path DIR/tmp/f;
        uwsgi_temp_path DIR/tmp/u; scgi_temp_path DIR/tmp/s; keepalive_requests 1000;
        server {
          listen 127.0.0.1:PORT;
          add_header X-Connection $connection always;
          location = /ok { return 200 "ok $request_method $args\n"; }
          location = /moved { return 302 /ok; }
          location = /none { return 204; }
          location = /gone { return 410 "gone\n"; }
          location = /cut { return 444; }
          location = /short { keepalive_requests 2; return 200 "short\n"; }
          location = /close { keepalive_timeout 0; return 200 "close\n"; }
          location = /idle { keepalive_timeout 50ms; return 200 "idle\n"; }
          location = /limited { client_max_body_size 1k; proxy_pass http://127.0.0.1:1/; }
          location = /slow { limit_rate 10k; alias DIR/www/big.bin; }
          location = /hundred { add_header X-Length $content_length; return 200 "$http_expect\n"; }
          location = /page.shtml { ssi on; ssi_types text/plain; }
        }
      }
    ]]):gsub("DIR", dir):gsub("PORT", port))
    pid = helper.sh(("PATH=$PATH:/usr/sbin; nginx -c %s/nginx.conf -p %s >%s/out 2>&1 & echo $!"):format(dir, dir, dir))
      :match("%d+")
    url = "http://127.0.0.1:" .. port
    local up
    run(function()
      for _ = 1, 500 do
        local c = net.dial("tcp", "127.0.0.1:" .. port, { timeout = 1 })
        if c then
          up = true
          return c:close()
        end
        lp.sleep(0.01)
      end
    end)()
    if not up then
      local why = helper.slurp(dir .. "/out")
      stop()
      error("nginx does not come up: " .. why)
    end
  end)

  teardown(stop)

  local function against(what, fn)
    it(what, function()
      if not dir then
        return pending("nginx is not installed")
      end
      tidy(function() client(fn) end)()
    end)
  end

  against("answers, over one connection", function(c)
    local connection
    for i = 1, 20 do
      local res = assert(c:get(url .. "/ok?" .. i))
      assert.same({ 200, "OK", "ok GET " .. i .. "\n" }, { res.status, res.reason, res.body })
      assert.matches("^nginx", res.headers.server)
      connection = connection or res.headers["x-connection"]
      assert.equal(connection, res.headers["x-connection"])
    end
    assert.equal("ok POST \n", c:post(url .. "/ok", "body").body)
    local res = assert(c:request { url = url .. "/ok", method = "HEAD" })
    assert.equal("", res.body)
    assert.equal("9", res.headers["content-length"])
    assert.equal(connection, res.headers["x-connection"])
  end)

  against("answers with other statuses", function(c)
    local res = assert(c:get(url .. "/moved"))
    assert.equal(302, res.status)
    assert.equal(url .. "/ok", res.headers.location)
    res = assert(c:get(url .. "/none"))
    assert.same({ 204, "" }, { res.status, res.body })
    res = assert(c:get(url .. "/gone"))
    assert.same({ 410, "gone\n" }, { res.status, res.body })
    assert.equal(404, assert(c:get(url .. "/nothing")).status)
    assert.equal(405, assert(c:post(url .. "/small.txt", "x")).status)
  end)

  against("serves files", function(c)
    assert.equal("small\n", c:get(url .. "/small.txt").body)
    assert.equal("", c:get(url .. "/empty.txt").body)
    for _ = 1, 3 do
      assert.is_true(assert(c:get(url .. "/big.bin")).body == BIG)
    end
    local res = assert(c:get(url .. "/big.bin", { headers = { Range = "bytes=16-31" } }))
    assert.same({ 206, "0123456789abcdef" }, { res.status, res.body })
    local etag = assert(c:get(url .. "/small.txt")).headers.etag
    res = assert(c:get(url .. "/small.txt", { headers = { ["If-None-Match"] = etag } }))
    assert.same({ 304, "" }, { res.status, res.body })
  end)

  against("serves chunks", function(c)
    local res = assert(c:get(url .. "/page.shtml"))
    assert.equal("chunked", res.headers["transfer-encoding"])
    assert.equal("GET and a page\n", res.body)
    assert.equal("small\n", c:get(url .. "/small.txt").body)
  end)

  against("takes 5 MB", function(c)
    assert.equal("ok POST \n", assert(c:post(url .. "/ok", BIG)).body)
    local n = 0
    assert.equal("ok POST \n", assert(c:post(url .. "/ok", function()
      n = n + 1
      return n <= 50 and BIG:sub(1, 100000) or nil
    end)).body)
  end)

  against("refuses large bodies and heads, and says so", function(c)
    assert.equal(413, assert(c:post(url .. "/limited", BIG)).status)
    assert.equal(400, assert(c:get(url .. "/ok", { headers = { A = ("x"):rep(100000) } })).status)
    assert.equal(414, assert(c:get(url .. "/ok?" .. ("x"):rep(100000))).status)
    assert.equal(200, assert(c:get(url .. "/ok")).status)
  end)

  against("answers a request that expects 100", function(c)
    local res = assert(c:post(url .. "/hundred", "body", { headers = { Expect = "100-continue" } }))
    assert.same({ 200, "100-continue\n", "4" }, { res.status, res.body, res.headers["x-length"] })
  end)

  against("closes without an answer", function(c)
    local res, message, code = c:get(url .. "/cut")
    assert.same({ nil, "closed", "EOF" }, { res, message, code })
    assert.equal(200, assert(c:get(url .. "/ok")).status)
    assert.equal(nil, (c:get(url .. "/cut")))
  end)

  against("closes connections when it likes", function(c)
    local seen, n = {}, 0
    for _ = 1, 6 do
      local res = assert(c:get(url .. "/short"))
      assert.equal("short\n", res.body)
      n = n + (seen[res.headers["x-connection"]] and 0 or 1)
      seen[res.headers["x-connection"]] = true
    end
    assert.equal(3, n)
    local first = assert(c:get(url .. "/close"))
    assert.equal("close", first.headers.connection)
    assert.is_true(first.headers["x-connection"] ~= assert(c:get(url .. "/close")).headers["x-connection"])
    first = assert(c:get(url .. "/idle"))
    lp.sleep(0.2)
    assert.is_true(first.headers["x-connection"] ~= assert(c:post(url .. "/idle", "x")).headers["x-connection"])
  end)

  against("may be slower than a timeout", function(c)
    local res, message, code = c:get(url .. "/slow", { timeout = 0.1 })
    assert.same({ nil, "timeout", "ETIMEDOUT" }, { res, message, code })
  end)

  against("serves fifty goroutines", function(c)
    local wg, right = lp.waitgroup(), 0
    for i = 1, 50 do
      wg:go(function()
        for j = 1, 20 do
          local res = c:get(("%s/ok?%d.%d"):format(url, i, j))
          right = right + (res and res.body == ("ok GET %d.%d\n"):format(i, j) and 1 or 0)
        end
      end)
    end
    wg:wait()
    assert.equal(1000, right)
  end)
end)
