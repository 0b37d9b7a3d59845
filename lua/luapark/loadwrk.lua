-- SPDX-License-Identifier: MIT

-- loadwrk: what a script of `luapark load` finds: its own globals, and among them the table `wrk`, as wrk has it.
--
-- A script runs once for each thread, and once more for setup and done. Each time it has globals of its own, behind which
-- stand Lua's and luapark's. Modules that it requires first see the same ones.

local buffer = require "string.buffer"
local core = require "luapark.core"
local netaddr = require "luapark.netaddr"
local netwait = require "luapark.netwait"

local sys, load, describe = core.net, core.load, core.onerror.describe
local type, tostring, pairs, ipairs, error, xpcall, setmetatable, getmetatable =
  type, tostring, pairs, ipairs, error, xpcall, setmetatable, getmetatable
local setfenv, getfenv, loadfile = setfenv, getfenv, loadfile

local loadwrk = {}

-- Addresses -----------------------------------------------------------------------------------------------------------

-- An address is a table with the bytes of a struct sockaddr, which says "127.0.0.1:80".
local address = {}
address.__index = address
function address:__tostring()
  return load.address(self.bytes)
end

-- The bytes of an address; raises an error that names the argument otherwise.
local function bytesof(a, what)
  if getmetatable(a) ~= address then
    error(("bad argument to '%s' (address expected, as lookup gives them, got %s)"):format(what, type(a)), 3)
  end
  return a.bytes
end

function loadwrk.address(bytes)
  return bytes and setmetatable({ bytes = bytes }, address)
end

function loadwrk.bytes(a)
  return bytesof(a, "thread.addr")
end

-- lookup(host, service) -> list of addresses | nil, why. Parks.
function loadwrk.lookup(host, service)
  local list, why = netaddr.resolve("tcp", host, service)
  if not list then
    return nil, why
  end
  for i, bytes in ipairs(list) do
    list[i] = loadwrk.address(bytes)
  end
  return list
end

-- connect(address, seconds) -> true | nil, why. Parks.
function loadwrk.connect(a, seconds)
  local fd, code = netaddr.connect(a.bytes, netwait.deadlineof(seconds))
  if not fd then
    local _, why = netwait.fail(code)
    return nil, why
  end
  sys.close(fd)
  return true
end

-- The table wrk -------------------------------------------------------------------------------------------------------

local request = buffer.new() -- nothing parks between its first byte and its last

local function text(v)
  local kind = type(v)
  return (kind == "string" or kind == "number") and v or tostring(v)
end

-- new(opts, env) -> the table wrk for a script's globals. opts: those of loadargs.
local function new(opts, env)
  local wrk = {
    scheme = opts.scheme, host = opts.host, port = opts.urlport, path = opts.path,
    method = opts.method or "GET", body = opts.body, headers = {},
  }
  for _, h in ipairs(opts.headers) do
    wrk.headers[h[1]] = h[2]
  end

  -- A request as text, of the arguments and what is in wrk. It also sets two headers in the table that it is given, as
  -- wrk's does.
  function wrk.format(method, path, headers, body)
    method, path, headers, body = method or wrk.method, path or wrk.path, headers or wrk.headers, body or wrk.body
    if headers.Host == nil then
      headers.Host = wrk.headers.Host
    end
    if body then
      body = text(body)
      headers["Content-Length"] = #tostring(body)
    elseif headers["Content-Length"] ~= nil then
      headers["Content-Length"] = nil
    end
    local b = request:reset():put(text(method), " ", text(path), " HTTP/1.1\r\n")
    for name, value in pairs(headers) do
      b:put(text(name), ": ", text(value), "\r\n")
    end
    b:put "\r\n"
    if body then
      b:put(body)
    end
    return b:get()
  end

  function wrk.lookup(host, service)
    local list, why = loadwrk.lookup(tostring(host), tostring(service))
    if not list then
      error(("unable to resolve %s:%s: %s"):format(host, service, why), 2)
    end
    return list
  end

  function wrk.connect(a)
    bytesof(a, "connect")
    return loadwrk.connect(a, opts.timeout) or false
  end

  -- The addresses of the host that can be connected to, as wrk.addrs.
  function wrk.resolve(host, service)
    local addrs = wrk.lookup(host, service)
    for i = #addrs, 1, -1 do
      if not wrk.connect(addrs[i]) then
        table.remove(addrs, i)
      end
    end
    wrk.addrs = addrs
  end

  function wrk.setup(thread)
    thread.addr = wrk.addrs[1]
    if type(env.setup) == "function" then
      env.setup(thread)
    end
  end

  function wrk.init(args)
    if wrk.headers.Host == nil then
      local host = wrk.host:find ":" and "[" .. wrk.host .. "]" or wrk.host
      wrk.headers.Host = wrk.port and host .. ":" .. wrk.port or host
    end
    if type(env.init) == "function" then
      env.init(args)
    end
    local req = wrk.format()
    function wrk.request()
      return req
    end
  end

  return wrk
end

-- Scripts -------------------------------------------------------------------------------------------------------------

local function leave(outer, ok, ...)
  setfenv(0, outer)
  if not ok then
    return false, ((...):gsub("\ncreated by [^\n]*$", "")) -- by load.lua
  end
  return true, ...
end

-- call(env, fn, ...) -> true and fn's results | false and its error with a traceback. Meanwhile what is loaded has the
-- script's globals.
function loadwrk.call(env, fn, ...)
  local outer = getfenv(0)
  setfenv(0, env)
  return leave(outer, xpcall(fn, describe, ...))
end

-- open(opts) -> the globals of a script that has run, with the table wrk | nil, why
function loadwrk.open(opts)
  local env = setmetatable({}, { __index = _G })
  env._G = env
  env.wrk = new(opts, env)
  if not opts.script then
    return env
  end
  local chunk, why = loadfile(opts.script)
  if not chunk then
    return nil, why
  end
  local ok
  ok, why = loadwrk.call(env, setfenv(chunk, env))
  if not ok then
    return nil, why
  end
  return env
end

-- Threads, as scripts see them ----------------------------------------------------------------------------------------

-- thread(way) -> what setup gets. way: get(name) -> value; set(name, value); stop(); address() -> bytes; connectto(bytes).
function loadwrk.thread(way)
  local methods = {}
  function methods.get(_, name)
    return way.get(name)
  end
  function methods.set(_, name, value)
    way.set(name, value)
  end
  function methods.stop()
    way.stop()
  end
  return setmetatable({}, {
    __index = function(_, name)
      if name == "addr" then
        return loadwrk.address(way.address())
      end
      return methods[name]
    end,
    __newindex = function(_, name, value)
      if name ~= "addr" then
        error(("cannot set '%s' on thread"):format(tostring(name)), 2)
      end
      way.connectto(bytesof(value, "thread.addr"))
    end,
  })
end

-- Statistics, as done gets them ---------------------------------------------------------------------------------------

-- stats(h, moments) -> what wrk gives for a histogram: fields, percentile(p), #, and (i): the i-th value and how often it
-- occurred. moments: loadstat's.
function loadwrk.stats(h, moments)
  local _, _, mean, stdev = moments(h)
  local values
  local function each()
    if not values then
      values = {}
      for lowest, _, n in h:recorded() do
        values[#values + 1] = { lowest, n }
      end
    end
    return values
  end
  local fields = { min = h:min(), max = h:max(), mean = mean, stdev = stdev }
  function fields.percentile(_, p)
    return h:percentile(p)
  end
  local stats = newproxy(true) -- of tables LuaJIT takes the length itself
  local mt = getmetatable(stats)
  mt.__index = fields
  function mt.__len()
    return #each()
  end
  function mt.__call(_, i)
    local v = each()[i]
    if not v then
      return 0, 0
    end
    return v[1], v[2]
  end
  return stats
end

return loadwrk
