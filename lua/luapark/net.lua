-- SPDX-License-Identifier: MIT

-- net: stream sockets that park the goroutine, not the thread.
--
-- Addresses are "host:port" ("[::1]:80" for IPv6), or a path for unix sockets. On failure a call returns nil, message,
-- code: "timeout", "closed", or the system's words; code is the errno's name. Misuse raises an error.
--
-- Every operation is the same loop: try, and if the system says "not now", park until the descriptor is ready.
--
-- A connection or listener is a handle of a C object (src/park/netfd.h). It may go to goroutines on other Ps, which may use
-- it at the same time: one waits for reading (or in accept), one for writing, and others are told EBUSY. close, by
-- whomever, ends the waits of all. The time-out is the connection's, as in Go: whoever sets it sets it for all. A call that
-- waits may be given a limit of its own, as its last argument: seconds or a context.

local core = require "luapark.core"
local rt = require "luapark.rt"
local share = require "luapark.share"
local limit = require "luapark.limit"

local sys = core.net
local view, now = rt.view, rt.clock -- the world outside does not keep to a bubble's time
local getmetatable, setmetatable, type, error, tostring, tonumber = getmetatable, setmetatable, type, error, tostring,
  tonumber
local concat, select, ipairs = table.concat, select, ipairs

local ended, enlist, delist, less, iscontext, secondsto = limit.ended, limit.enlist, limit.delist, limit.less,
  limit.iscontext, limit.secondsto

local AGAIN, READY, CLOSED = sys.EAGAIN, sys.READY, sys.CLOSED
local ENDED = 1 -- among the codes, which are negative: the call's context has ended

local FD = 2 -- of a handle: its socket, a reference (share.lua)

local net = {}

-- What a failed call returns: nil, message, code.
local function fail(code, ctx)
  if code == ENDED then
    return nil, ended(ctx)
  elseif code == sys.EOF then
    return nil, "closed", "EOF"
  elseif code == sys.EBADF then
    return nil, "closed", "EBADF" -- by this side
  elseif code == sys.EPIPE then
    return nil, "closed", "EPIPE" -- by the peer, seen while writing
  elseif code == sys.ETIMEDOUT then
    return nil, "timeout", "ETIMEDOUT"
  end
  return nil, sys.error(code)
end
net.fail = fail

-- An argument error at the line that called fname, which called us over `between` other functions.
local function badarg(n, fname, what, got, between)
  error(("bad argument #%d to '%s' (%s, got %s)"):format(n, fname, what, got), 3 + (between or 0))
end

local function typename(v)
  return v == nil and "no value" or type(v)
end

-- The same with a context.
local function awaitctx(fd, forwriting, seconds, ctx)
  local d, when, refused = enlist(ctx)
  if refused then
    error(refused, 0)
  elseif d == false then
    return ENDED
  end
  local _, code, why = sys.wait(fd, forwriting, less(seconds, secondsto(ctx, when)), d)
  local wake = view.wake
  if d then
    delist(ctx, d, not code)
  end
  if why then
    error(why, 0)
  elseif code then
    return code
  elseif wake ~= READY then
    return wake == CLOSED and sys.EBADF or ended(ctx) and ENDED or sys.ETIMEDOUT
  end
end

-- Parks until fd is ready: nothing, or the code of what went wrong. deadline: on now()'s clock, or nil or false; ctx: a
-- context or nil.
local function await(fd, forwriting, deadline, ctx)
  local seconds = deadline and deadline - now() or nil
  if seconds and seconds <= 0 then
    return sys.ETIMEDOUT
  elseif ctx then
    return awaitctx(fd, forwriting, seconds, ctx)
  end
  local _, code, why = sys.wait(fd, forwriting, seconds)
  if why then
    error(why, 0)
  elseif code then
    return code
  end
  local wake = view.wake
  if wake ~= READY then
    return wake == CLOSED and sys.EBADF or sys.ETIMEDOUT
  end
end
net.await = await

-- When an operation that starts now must have ended.
local function deadlineof(timeout)
  return timeout and now() + timeout
end

-- The same of one on fd, which has found at its first try that it must wait; seconds: its own limit, if any. false: at no
-- time.
local function fddeadline(fd, seconds)
  return deadlineof(seconds or sys.timeout(fd)) or false
end

local function checktimeout(s, fname)
  if s ~= nil and (type(s) ~= "number" or s ~= s or s < 0) then
    badarg(1, fname, "seconds or nil expected", type(s) == "number" and tostring(s) or typename(s), 1)
  end
  return s
end

-- Connections ----------------------------------------------------------------------------------------------------------

local Conn = {}
Conn.__index = Conn

local function check(self, class, method)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (%s expected, got %s; call it with a colon)"):format(
      method, class == Conn and "connection" or "listener", type(self)), 3)
  end
end

local function newconn(fd)
  return setmetatable({ false, fd }, Conn)
end

-- Tries op(fd, arg) until it succeeds or fails for good.
local function reading(self, op, arg, seconds, ctx)
  local fd, deadline = self[FD], nil
  if ctx and ended(ctx) then
    return fail(ENDED, ctx)
  end
  while true do
    local s, code = op(fd, arg)
    if s then
      return s
    end
    if code == AGAIN then
      if deadline == nil then
        deadline = fddeadline(fd, seconds)
      end
      code = await(fd, false, deadline, ctx)
    end
    if code then
      return fail(code, ctx)
    end
  end
end

local function formaterror(what)
  local shown = type(what) == "number" and tostring(what) or type(what) == "string" and "'" .. what .. "'" or type(what)
  error("bad argument #1 to 'read' (\"*l\", \"*L\", \"*a\" or a number of bytes expected, got " .. shown .. ")", 3)
end

-- read() or read("*l"): a line without its end (\n or \r\n); read("*L"): with it; read(n): n bytes, fewer only at the
-- end; read("*a"): all until the end, "" if there is nothing. nil, "closed", "EOF" at the end of the input. What a
-- timeout leaves unread is still there for the next read. Parks.
function Conn:read(what, lim)
  check(self, Conn, "read")
  local seconds, ctx
  if lim ~= nil then
    seconds, ctx = limit.check(lim, 2, "read", 2)
  end
  if what == nil or what == "*l" or what == "l" then
    return reading(self, sys.readline, false, seconds, ctx)
  elseif type(what) == "number" then
    if not (what >= 0 and what < 2 ^ 53 and what % 1 == 0) then
      formaterror(what)
    end
    return reading(self, sys.readn, what, seconds, ctx)
  elseif what == "*a" or what == "a" then
    return reading(self, sys.readall, nil, seconds, ctx)
  elseif what == "*L" or what == "L" then
    return reading(self, sys.readline, true, seconds, ctx)
  end
  formaterror(what)
end

-- At least one byte, at most max (64 KiB by default): whatever is there first. Parks.
function Conn:readany(max, lim)
  check(self, Conn, "readany")
  local seconds, ctx
  if lim ~= nil then
    seconds, ctx = limit.check(lim, 2, "readany", 2)
  end
  if max ~= nil and not (type(max) == "number" and max >= 1 and max < 2 ^ 53) then
    badarg(1, "readany", "positive number of bytes expected", type(max) == "number" and tostring(max) or typename(max))
  end
  return reading(self, sys.readany, max or 65536, seconds, ctx)
end

-- for line in conn:lines() do ... end
function Conn:lines()
  check(self, Conn, "lines")
  return function()
    local line, message, code = self:read("*l")
    if not line and code ~= "EOF" then
      error(message, 2)
    end
    return line
  end
end

-- What write was given, as one string; and its context, the last argument, or nil.
local function towrite(...)
  local n, ctx = select("#", ...), nil
  if n > 1 and iscontext((select(n, ...))) then
    ctx = select(n, ...)
    n = n - 1
  end
  for i = 1, n do
    local v = select(i, ...)
    if type(v) ~= "string" and type(v) ~= "number" then
      badarg(i, "write", "string expected", type(v), 1)
    end
  end
  return concat({ ... }, "", 1, n), ctx
end

-- Writes s.
local function writing(self, s, ctx)
  if ctx and ended(ctx) then
    local _, message, name = fail(ENDED, ctx)
    return nil, message, name, 0
  end
  local fd, deadline = self[FD], nil
  local len, from = #s, 1
  while true do
    local n, code = sys.write(fd, s, from)
    if n then
      from = from + n
      if from > len then
        return len
      end
    elseif code == AGAIN then
      if deadline == nil then
        deadline = fddeadline(fd)
      end
      code = await(fd, true, deadline, ctx)
    end
    if code then
      local _, message, name = fail(code, ctx)
      return nil, message, name, from - 1
    end
  end
end

net.writing = writing

-- Writes all of its arguments (strings and numbers; the last may be a context). -> how many bytes | nil, message, code, how
-- many were written before. Parks.
function Conn:write(...)
  check(self, Conn, "write")
  local s = ...
  if select("#", ...) == 1 and type(s) == "string" then
    return writing(self, s)
  end
  return writing(self, towrite(...))
end

-- LuaSocket's names.
Conn.send, Conn.receive = Conn.write, Conn.read

-- How long one operation may take, in seconds; nil: for ever. For all operations on it that start later, whoever does them.
function Conn:settimeout(s)
  check(self, Conn, "settimeout")
  sys.settimeout(self[FD], checktimeout(s, "settimeout"))
  return true
end

-- Closes; who waits in read or write gets nil, "closed". May be called again.
function Conn:close()
  check(self, Conn, "close")
  sys.close(self[FD])
  return true
end

-- Tells the peer that nothing more will come; reading goes on.
function Conn:closewrite()
  check(self, Conn, "closewrite")
  local ok, code = sys.shutdown(self[FD])
  if not ok then
    return fail(code)
  end
  return true
end

-- Whether small writes go out at once (they do, unless turned off).
function Conn:setnodelay(on)
  check(self, Conn, "setnodelay")
  local ok, code = sys.nodelay(self[FD], on)
  if not ok then
    return fail(code)
  end
  return true
end

local function address(self, peer)
  local s, code = sys.address(self[FD], peer)
  if not s then
    return fail(code)
  end
  return s
end

function Conn:localaddr()
  check(self, Conn, "localaddr")
  return address(self, false)
end

function Conn:remoteaddr()
  check(self, Conn, "remoteaddr")
  return address(self, true)
end

function Conn:__tostring()
  return "connection to " .. (address(self, true) or "(closed)")
end

-- Listeners ------------------------------------------------------------------------------------------------------------

local Listener = {}
Listener.__index = Listener

-- The next connection. Parks. After close: nil, "closed". One goroutine waits in it; to spread connections over Ps, have a
-- listener for each (reuseport), or hand out what one has accepted.
function Listener:accept(lim)
  check(self, Listener, "accept")
  local fd, deadline = self[FD], nil
  local seconds, ctx
  if lim ~= nil then
    seconds, ctx = limit.check(lim, 1, "accept", 2)
    if ctx and ended(ctx) then
      return fail(ENDED, ctx)
    end
  end
  while true do
    local conn, code = sys.accept(fd)
    if conn then
      return newconn(conn)
    end
    if code == AGAIN then
      if deadline == nil then
        deadline = fddeadline(fd, seconds)
      end
      code = await(fd, false, deadline, ctx)
    end
    if code then
      return fail(code, ctx)
    end
  end
end

-- How long accept may take, in seconds; nil: for ever.
function Listener:settimeout(s)
  check(self, Listener, "settimeout")
  sys.settimeout(self[FD], checktimeout(s, "settimeout"))
  return true
end

-- Its own address, with the port that the system chose.
function Listener:addr()
  check(self, Listener, "addr")
  return address(self, false)
end

function Listener:close()
  check(self, Listener, "close")
  sys.close(self[FD])
  return true
end

function Listener:__tostring()
  return "listener on " .. (address(self, false) or "(closed)")
end

-- Addresses ------------------------------------------------------------------------------------------------------------

-- host, port of "host:port", "[v6]:port" or ":port"; nil if it is none of these. The port is a number or a service name.
local function split(s)
  local host, port = s:match("^%[([%x:.%%%w]*)%]:(%w[%w-]*)$")
  if not host then
    host, port = s:match("^([^:%[%]%s%c]*):(%w[%w-]*)$")
  end
  if port and port:find("^%d") and (not port:find("^%d+$") or tonumber(port) > 65535) then
    return nil
  end
  return host, port
end

local families = { tcp = 0, tcp4 = sys.INET, tcp6 = sys.INET6 }

-- The addresses of "host:port": a list | nil, message, code. May park.
local function resolve(network, s, passive, deadline, ctx)
  local host, port = split(s)
  local family = families[network]
  if host == "" then
    host = passive and (network == "tcp4" and "0.0.0.0" or "::") or "localhost"
  end
  local numeric, itsfamily = sys.numeric(host, tonumber(port) or 0)
  if numeric and tonumber(port) then
    if family ~= 0 and family ~= itsfamily then
      return nil, "no " .. network .. " address: " .. host, "EAFNOSUPPORT"
    end
    return { numeric }
  end
  local lk = sys.newlookup()
  local d, when
  if ctx then
    local refused
    d, when, refused = enlist(ctx)
    if refused then
      error(refused, 0)
    elseif d == false then
      return fail(ENDED, ctx)
    end
  end
  local _, code, why = sys.lookup(lk, host, port, passive, family, less(deadline and deadline - now(),
    secondsto(ctx, when)), d)
  if d then
    delist(ctx, d, not code)
  end
  if why then
    error(why, 0)
  end
  local list
  if not code then
    list, code = sys.lookedup(lk)
  end
  sys.forget(lk)
  if not list then
    return fail(code == sys.ETIMEDOUT and ctx and ended(ctx) and ENDED or code, ctx)
  end
  return list
end

-- dial's and listen's arguments; their callers' line is two levels up from us.
local function checkarguments(fname, network, address_, options)
  if type(network) ~= "string" then
    badarg(1, fname, "network name expected", typename(network), 1)
  elseif not families[network] and network ~= "unix" then
    badarg(1, fname, "\"tcp\", \"tcp4\", \"tcp6\" or \"unix\" expected", "\"" .. network .. "\"", 1)
  elseif type(address_) ~= "string" then
    badarg(2, fname, "address expected", typename(address_), 1)
  elseif network == "unix" then
    if #address_ == 0 or #address_ > sys.UNIXMAX or address_:find("%z") then
      badarg(2, fname, "path of 1 to " .. sys.UNIXMAX .. " bytes expected", #address_ .. " bytes", 1)
    end
  elseif not split(address_) then
    badarg(2, fname, "\"host:port\" expected", "\"" .. address_ .. "\"", 1)
  end
  if options ~= nil and type(options) ~= "table" then
    badarg(3, fname, "table of options expected", type(options), 1)
  end
  for _, name in ipairs { "timeout", "backlog" } do
    local v = options and options[name]
    if v ~= nil and (type(v) ~= "number" or not (v >= 0)) then
      badarg(3, fname, name .. ": number expected", type(v) == "number" and tostring(v) or type(v), 1)
    end
  end
  if options and options.ctx ~= nil and not iscontext(options.ctx) then
    badarg(3, fname, "ctx: context expected", type(options.ctx), 1)
  end
  return options or {}
end

local function addresses(network, s, passive, deadline, ctx)
  if network == "unix" then
    return { sys.unixaddr(s) }
  end
  return resolve(network, s, passive, deadline, ctx)
end

-- Connects to one address: fd | nil, code
local function connect(address_, deadline, ctx)
  local fd, pending = sys.connect(address_)
  if not fd then
    return nil, pending
  end
  while pending do
    local code = await(fd, true, deadline, ctx)
    if not code then
      pending, code = sys.connected(fd)
      if pending then
        return fd
      end
    end
    if code ~= AGAIN then
      sys.close(fd)
      return nil, code
    end
    pending = true
  end
  return fd
end

-- dial(network, address [, { timeout = seconds, ctx = context }]) -> connection | nil, message, code. Parks. Tries a name's
-- addresses in turn; the timeout is for all of it.
function net.dial(network, address_, options)
  options = checkarguments("dial", network, address_, options)
  local deadline, ctx = deadlineof(options.timeout), options.ctx
  if ctx and ended(ctx) then
    return fail(ENDED, ctx)
  end
  local list, message, name = addresses(network, address_, false, deadline, ctx)
  if not list then
    return nil, message, name
  end
  local code
  for i = 1, #list do
    local fd
    fd, code = connect(list[i], deadline, ctx)
    if fd then
      return newconn(fd)
    elseif code == ENDED then
      break
    end
  end
  return fail(code, ctx)
end

-- listen(network, address [, { backlog = n, reuseport = true }]) -> listener | nil, message, code. Port 0 lets the system
-- choose: see ln:addr().
function net.listen(network, address_, options)
  options = checkarguments("listen", network, address_, options)
  local list, message, name = addresses(network, address_, true)
  if not list then
    return nil, message, name
  end
  local code
  for i = 1, #list do
    local fd
    fd, code = sys.listen(list[i], options.backlog, options.reuseport)
    if fd then
      return setmetatable({ false, fd }, Listener)
    end
  end
  return fail(code)
end

share.class("conn", Conn, Conn)
share.class("listener", Listener, Listener)

net.newconn = newconn
net.Conn = Conn

core.known("luapark.net", net)
core.known("luapark.net.Conn", Conn)
core.known("luapark.net.Listener", Listener)

return net
