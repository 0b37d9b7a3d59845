-- SPDX-License-Identifier: MIT

-- netaddr: "host:port" and paths as the addresses that the system wants: strings that hold a struct sockaddr; and how
-- to connect to one.

local core = require "luapark.core"
local rt = require "luapark.rt"
local limit = require "luapark.limit"
local netwait = require "luapark.netwait"

local sys = core.net
local now = rt.clock
local tonumber, error = tonumber, error

local ended, enlist, delist, less, secondsto = limit.ended, limit.enlist, limit.delist, limit.less, limit.secondsto
local fail, await, ENDED = netwait.fail, netwait.await, netwait.ENDED
local AGAIN = sys.EAGAIN

local netaddr = {}

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
netaddr.split = split

-- By network; also which networks there are, but for "unix".
local families = { tcp = 0, tcp4 = sys.INET, tcp6 = sys.INET6 }
netaddr.families = families

-- The addresses of a host and a port, which is a number or a service's name: a list | nil, message, code. passive: to
-- listen at. deadline: on the real clock, or nil; ctx: a context or nil. May park.
function netaddr.resolve(network, host, port, passive, deadline, ctx)
  local family = families[network]
  if host == "" then
    host = passive and (network == "tcp4" and "0.0.0.0" or "::") or "localhost"
  end
  local number = tonumber(port)
  if number and not (number >= 0 and number <= 65535) then -- the C library would take what fits 16 bits
    return nil, "no such port: " .. port, "EAI_SERVICE"
  end
  local numeric, itsfamily = sys.numeric(host, number or 0)
  if numeric and number then
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

-- The same of an address as net.dial has it.
function netaddr.addresses(network, s, passive, deadline, ctx)
  if network == "unix" then
    return { sys.unixaddr(s) }
  end
  local host, port = split(s)
  return netaddr.resolve(network, host, port, passive, deadline, ctx)
end

-- Connects to one address: fd | nil, code. Parks.
function netaddr.connect(address_, deadline, ctx)
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

return netaddr
