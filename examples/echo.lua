-- SPDX-License-Identifier: MIT

-- echo: a TCP echo server and its clients in one program.
--
-- A goroutine accepts, one serves each connection, and one stands for each client. All of them are written as if
-- reading and writing blocked; what blocks is the goroutine.
--
-- Prints:
--   100 clients, 100 lines each
--   server: 100 connections, 10000 lines
--   clients: 10000 echoes, all as sent

local net = require "luapark.net"

local CLIENTS, LINES = 100, 100

local listener = assert(net.listen("tcp", "127.0.0.1:0")) -- port 0: any free one
local served, connections, lines = luapark.waitgroup(), 0, 0

local function serve(conn)
  for line in conn:lines() do
    lines = lines + 1
    assert(conn:write(line, "\n"))
  end
  conn:close()
end

served:go(function()
  while true do
    local conn = listener:accept()
    if not conn then -- closed
      return
    end
    connections = connections + 1
    served:go(serve, conn)
  end
end)

print(("%d clients, %d lines each"):format(CLIENTS, LINES))
local clients, echoes = luapark.waitgroup(), 0
for c = 1, CLIENTS do
  clients:go(function()
    local conn = assert(net.dial("tcp", listener:addr(), { timeout = 5 }))
    for i = 1, LINES do
      local line = ("client %d, line %d"):format(c, i)
      assert(conn:write(line, "\n"))
      assert(conn:read("*l") == line)
      echoes = echoes + 1
    end
    conn:close()
  end)
end

clients:wait()
listener:close()
served:wait()
print(("server: %d connections, %d lines"):format(connections, lines))
print(("clients: %d echoes, all as sent"):format(echoes))
