-- SPDX-License-Identifier: MIT

-- checking: server.lua as a process of its own, for specs.

local helper = require "spec.helper"
local http = require "luapark.http"

local checking = {}
checking.__index = checking

-- start([limits]) -> a server that listens: its url "http://127.0.0.1:41873", and address without the "http://". limits: a
-- shell command to run before.
function checking.start(limits)
  local log = os.tmpname()
  local command = ("%s { LUAPARK_MAXPROCS=1 exec %s spec/wrk/server.lua; } >%s 2>&1 & echo $!"):format(
    limits and limits .. " &&" or "", helper.quote(helper.exe), log)
  local server = setmetatable({ log = log, pid = helper.sh(command):match "%d+" }, checking)
  for _ = 1, 500 do
    server.address = helper.slurp(log):match "listening on http://(%S+)\n"
    if server.address then
      server.url = "http://" .. server.address
      return server
    end
    helper.sh "sleep 0.01"
  end
  server:stop()
  error("the server does not come up: " .. helper.slurp(log))
end

-- What the server answers to a GET of the path. Those in /-/ are orders (server.lua).
function checking:get(path)
  local body
  helper.lp.run(function()
    body = assert(http.get(self.url .. path)).body
  end)
  return body
end

-- What the server did since the last report:
--   requests, bytes, connections   how many; bytes of answers
--   forms                          { [request as text] = n, ... }: distinct requests
--   sequences                      { { request as text, ... }, ... }: the first ones of each connection, in order
function checking:report()
  return assert(loadstring(self:get "/-/report"))()
end

function checking:stop()
  os.execute(("kill %s 2>/dev/null"):format(self.pid))
  os.remove(self.log)
end

return checking
