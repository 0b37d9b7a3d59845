-- SPDX-License-Identifier: MIT

-- http: an HTTP/1.1 client over luapark.net, its responses parsed by llhttp.
--
--   local http = require "luapark.http"
--   local res, err = http.get("http://127.0.0.1:8080/")       -- res.status, res.reason, res.headers, res.body
--
-- A client keeps idle connections and uses them again; http.get, http.post and http.request use one of the module's own.
-- Redirects are answers like any other. All calls park, and return nil, message, code on failure.

local core = require "luapark.core"
local rt = require "luapark.rt"
local net = require "luapark.net"
local limit = require "luapark.limit"

local sys, parser = core.net, core.http
local now = rt.clock -- as net's
local type, error, pairs, tostring, setmetatable, getmetatable = type, error, pairs, tostring, setmetatable, getmetatable
local concat, pcall, max = table.concat, pcall, math.max

local http = {}

local FD = 2 -- of a connection: its socket (net.lua)
local MAXIDLE = 100 -- connections kept for each address, as in Go's transport: what MaxIdleConns is there

-- URLs -----------------------------------------------------------------------------------------------------------------

-- "http://host:port/path?query" -> address, host header, path | nil, message, code
local function parseurl(url)
  local scheme, rest = url:match("^(%a[%w+.-]*)://(.*)$")
  if not scheme then
    return nil, "bad URL '" .. url .. "' (http://host[:port]/path expected)", "EINVAL"
  elseif scheme:lower() ~= "http" then
    return nil, "unsupported protocol scheme '" .. scheme .. "'", "EPROTONOSUPPORT"
  end
  local authority, path = rest:gsub("#.*$", ""):match("^([^/?]*)(.*)$")
  local host = authority:gsub("^.*@", "")
  local name, port = host:match("^(%[[%x:.]+%]):?(%d*)$")
  if not name then
    name, port = host:match("^([^:%[%]%s]+):?(%d*)$")
  end
  if not name or url:find("[%c ]") or (port ~= "" and tonumber(port) > 65535) then
    return nil, "bad URL '" .. url .. "' (http://host[:port]/path expected)", "EINVAL"
  end
  if path:sub(1, 1) ~= "/" then
    path = "/" .. path
  end
  return name .. ":" .. (port ~= "" and port or "80"), host, path
end

-- Requests -------------------------------------------------------------------------------------------------------------

-- The head of a request as text. The headers have been checked.
local function requesthead(method, host, path, headers, body)
  local lines, n, has = { method .. " " .. path .. " HTTP/1.1" }, 1, {}
  local function add(name, value)
    n = n + 1
    lines[n] = name .. ": " .. value
    has[name:lower()] = true
  end
  for name, value in pairs(headers or {}) do
    add(name, value)
  end
  if not has.host then
    add("Host", host)
  end
  if not has["user-agent"] then
    add("User-Agent", "luapark")
  end
  if type(body) == "function" then
    if not has["transfer-encoding"] then
      add("Transfer-Encoding", "chunked")
    end
  elseif not has["content-length"] and (body or method == "POST" or method == "PUT" or method == "PATCH") then
    add("Content-Length", body and #body or 0)
  end
  lines[n + 1] = "\r\n"
  return concat(lines, "\r\n")
end

-- Writes the pieces that next() gives, as chunks. An error of next is raised again, the connection closed.
local function writechunks(conn, next, deadline, ctx)
  while true do
    local ok, piece = pcall(next)
    if ok and piece ~= nil and type(piece) ~= "string" then
      ok, piece = false, "the request's body function gave a " .. type(piece) .. ", not a string"
    end
    if not ok then
      conn:close()
      error(piece, 0)
    end
    local left = deadline and deadline - now()
    if left and left <= 0 then
      return net.fail(sys.ETIMEDOUT)
    end
    sys.settimeout(conn[FD], left)
    if piece == nil then
      return net.writing(conn, "0\r\n\r\n", ctx)
    elseif piece ~= "" then
      local written, message, code = net.writing(conn, ("%x\r\n"):format(#piece) .. piece .. "\r\n", ctx)
      if not written then
        return nil, message, code
      end
    end
  end
end

-- Reads one response: the parser holds it. -> true | nil, message, code
local function readresponse(conn, ps, deadline, ctx)
  local fd = conn[FD]
  while true do
    local ok, code, why = parser.parse(ps, fd)
    if ok then
      return true
    elseif why then
      return nil, why, "EPROTO"
    end
    if code == sys.EAGAIN then
      code = net.await(fd, false, deadline, ctx)
    end
    if code then
      return net.fail(code, ctx)
    end
  end
end

-- One exchange on a connection. -> response, may be used again | nil, message, code, whether it may be tried anew
local function exchange(slot, head, body, nobody, deadline, ctx)
  local conn, ps = slot.conn, slot.parser
  sys.settimeout(conn[FD], deadline and max(deadline - now(), 0))
  parser.expect(ps, nobody)
  local ok, message, code
  if type(body) == "function" then
    ok, message, code = net.writing(conn, head, ctx)
    if ok then
      ok, message, code = writechunks(conn, body, deadline, ctx)
    end
  else
    ok, message, code = net.writing(conn, body and head .. body or head, ctx)
  end
  if not ok and code ~= "EPIPE" and code ~= "ECONNRESET" then
    return nil, message, code
  end
  -- A server may answer and close before it has read all: look for its answer first.
  local read, rmessage, rcode = readresponse(conn, ps, deadline, ctx)
  if not read then
    if ok then
      message, code = rmessage, rcode
    end
    return nil, message, code, not parser.started(ps) and rcode ~= "ETIMEDOUT" and not (ctx and limit.ended(ctx))
  end
  local status, reason, headers, text, keep = parser.message(ps)
  return { status = status, reason = reason, headers = headers, body = text }, ok and keep
end

-- Clients --------------------------------------------------------------------------------------------------------------

local Client = {}
Client.__index = Client
local checktimeout

-- client{ timeout = seconds, keepalive = true } -> client
function http.client(options)
  if options ~= nil and type(options) ~= "table" then
    error("bad argument #1 to 'client' (table expected, got " .. type(options) .. ")", 2)
  end
  options = options or {}
  checktimeout(options.timeout, 1, "client", 4)
  return setmetatable({ timeout = options.timeout, keepalive = options.keepalive ~= false, idle = {} }, Client)
end

-- An idle connection to the address that is still good, or nil.
local function takeidle(self, address)
  local list = self.idle[address]
  while list and #list > 0 do
    local slot = list[#list]
    list[#list] = nil
    local s, code = sys.readany(slot.conn[FD], 1)
    if not s and code == sys.EAGAIN then
      return slot
    end
    slot.conn:close() -- the server has closed it, or sent what nobody asked for
  end
end

local function putidle(self, address, slot)
  local list = self.idle[address]
  if not list then
    list = {}
    self.idle[address] = list
  end
  if self.keepalive and #list < MAXIDLE then
    list[#list + 1] = slot
  else
    slot.conn:close()
  end
end

local idempotent = { GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true, TRACE = true }

local function request(self, method, url, headers, body, timeout, ctx)
  local address, host, path = parseurl(url)
  if not address then
    return nil, host, path
  end
  local deadline = timeout and now() + timeout
  local head = requesthead(method, host, path, headers, body)
  while true do
    local slot = takeidle(self, address)
    local reused = slot ~= nil
    if not slot then
      local conn, message, code = net.dial("tcp", address, { timeout = deadline and max(deadline - now(), 0), ctx = ctx })
      if not conn then
        return nil, message, code
      end
      slot = { conn = conn, parser = parser.newparser() }
    end
    local res, message, code, again = exchange(slot, head, body, method == "HEAD", deadline, ctx)
    if res then
      if message then
        putidle(self, address, slot)
      else
        slot.conn:close()
      end
      return res
    end
    slot.conn:close()
    -- A kept connection may close just as we use it. What is safe to repeat goes to a fresh one.
    if not (again and reused and idempotent[method] and type(body) ~= "function") then
      return nil, message, code
    end
  end
end

-- The checks of a method's arguments: an error names the line that called the method.

local function check(self, method)
  if getmetatable(self) ~= Client then
    error(("calling '%s' on bad self (HTTP client expected, got %s; call it with a colon)"):format(method, type(self)), 3)
  end
end

local function badarg(n, fname, what, got, level)
  error(("bad argument #%d to '%s' (%s, got %s)"):format(n, fname, what, got), level)
end

local function checkurl(url, n, fname)
  if type(url) ~= "string" then
    badarg(n, fname, "URL expected", url == nil and "no value" or type(url), 4)
  end
end

local function checkbody(body, n, fname)
  if body ~= nil and type(body) ~= "string" and type(body) ~= "function" then
    badarg(n, fname, "string or function expected for the body", type(body), 4)
  end
end

function checktimeout(timeout, n, fname, level)
  if timeout ~= nil and (type(timeout) ~= "number" or not (timeout >= 0)) then
    badarg(n, fname, "timeout: seconds expected", type(timeout) == "number" and tostring(timeout) or type(timeout), level)
  end
end

local function checkoptions(options, n, fname)
  if options == nil then
    return {}
  elseif type(options) ~= "table" then
    badarg(n, fname, "table of options expected", type(options), 4)
  end
  checktimeout(options.timeout, n, fname, 5)
  if options.ctx ~= nil and not limit.iscontext(options.ctx) then
    badarg(n, fname, "ctx: context expected", type(options.ctx), 4)
  end
  local headers = options.headers
  if headers ~= nil and type(headers) ~= "table" then
    badarg(n, fname, "headers: table expected", type(headers), 4)
  end
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then
      badarg(n, fname, "name of a header expected", ("%q"):format(tostring(name)), 4)
    elseif type(value) ~= "string" and type(value) ~= "number" then
      badarg(n, fname, "header " .. name .. ": string expected", type(value), 4)
    elseif type(value) == "string" and value:find("[\r\n%z]") then
      badarg(n, fname, "header " .. name .. ": one line expected", "a line break or a zero byte", 4)
    end
  end
  return options
end

-- request{ url =, method = "GET", headers = {}, body = string or iterator, timeout = seconds, ctx = context }
-- -> response
function Client:request(options)
  check(self, "request")
  if type(options) ~= "table" then
    error("bad argument #1 to 'request' (table expected, got " .. (options == nil and "no value" or type(options)) .. ")", 2)
  end
  checkurl(options.url, 1, "request")
  checkbody(options.body, 1, "request")
  checkoptions(options, 1, "request")
  local method = options.method or "GET"
  if type(method) ~= "string" or not method:find("^%u+$") then
    error("bad argument #1 to 'request' (method in upper-case letters expected, got " .. tostring(method) .. ")", 2)
  end
  local res, message, code = request(self, method, options.url, options.headers, options.body,
    options.timeout or self.timeout, options.ctx)
  return res, message, code
end

-- get(url [, { headers =, timeout =, ctx = }]) -> response
function Client:get(url, options)
  check(self, "get")
  checkurl(url, 1, "get")
  options = checkoptions(options, 2, "get")
  local res, message, code = request(self, "GET", url, options.headers, nil, options.timeout or self.timeout, options.ctx)
  return res, message, code
end

-- post(url, body [, { headers =, timeout =, ctx = }]) -> response. The body: a string, or a function that gives a piece at
-- each call and nil at the end, sent as chunks.
function Client:post(url, body, options)
  check(self, "post")
  checkurl(url, 1, "post")
  checkbody(body, 2, "post")
  options = checkoptions(options, 3, "post")
  local res, message, code = request(self, "POST", url, options.headers, body, options.timeout or self.timeout, options.ctx)
  return res, message, code
end

-- Closes the idle connections. The client may be used again.
function Client:close()
  check(self, "close")
  for _, list in pairs(self.idle) do
    for _, slot in pairs(list) do
      slot.conn:close()
    end
  end
  self.idle = {}
end

-- The module's own client ----------------------------------------------------------------------------------------------

local default = http.client()
http.default = default

function http.request(options)
  return default:request(options)
end

function http.get(url, options)
  return default:get(url, options)
end

function http.post(url, body, options)
  return default:post(url, body, options)
end

core.known("luapark.http", http)

return http
