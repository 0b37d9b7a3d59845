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
local share = require "luapark.share"
local limit = require "luapark.limit"
local netwait = require "luapark.netwait"
local netaddr = require "luapark.netaddr"

local sys = core.net
local getmetatable, setmetatable, type, error, tostring = getmetatable, setmetatable, type, error, tostring
local concat, select, ipairs = table.concat, select, ipairs

local ended, iscontext = limit.ended, limit.iscontext
local fail, await, badarg, typename, deadlineof, fddeadline = netwait.fail, netwait.await, netwait.badarg,
  netwait.typename, netwait.deadlineof, netwait.fddeadline
local split, families, addresses, connect = netaddr.split, netaddr.families, netaddr.addresses, netaddr.connect

local AGAIN, ENDED = sys.EAGAIN, netwait.ENDED

local FD = 2 -- of a handle: its socket, a reference (share.lua)

local net = {}

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

-- Dialling and listening ----------------------------------------------------------------------------------------------

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

net.fail, net.await = fail, await
net.newconn = newconn
net.Conn = Conn

core.known("luapark.net", net)
core.known("luapark.net.Conn", Conn)
core.known("luapark.net.Listener", Listener)

return net
