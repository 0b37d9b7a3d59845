-- SPDX-License-Identifier: MIT

-- http_server: a small HTTP/1.1 server on luapark.net, one goroutine a connection.
--
--   luapark examples/http_server.lua [host:port]      127.0.0.1:0, any free port, unless told
--
-- It answers every request with 200 and a line of text. It keeps connections alive, takes pipelined requests in their
-- order, reads bodies that have a Content-Length, and closes where the client asks for it. It is a server to try things
-- against, not one to face the world.
--
-- It says where it listens and serves until it is interrupted:
--   listening on http://127.0.0.1:41873/
--
-- Loaded by another script (run.lua does), the file returns its listener; closing that ends it.

local net = require "luapark.net"

local IDLE = 60 -- seconds that a connection may wait for its peer
local PIECE = 65536 -- bytes of a body that are read at once

-- Writes a response; whether the connection can serve another request.
local function respond(conn, status, body, keepalive, bodiless)
  local head = ("HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n"):format(
    status, #body, keepalive and "" or "Connection: close\r\n")
  return conn:write(head, bodiless and "" or body) and keepalive
end

-- Reads header lines up to the empty one: the fields that matter here, or nil.
local function readheaders(conn)
  local headers = {}
  while true do
    local line = conn:read("*l")
    if line == "" then
      return headers
    end
    local name, value = (line or ""):match("^([^%s:]+):[ \t]*(.-)[ \t]*$")
    if not name then
      return nil
    end
    headers[name:lower()] = value
  end
end

-- Reads n bytes of body and throws them away: whether all of them came.
local function skip(conn, n)
  while n > 0 do
    local s = conn:read(math.min(n, PIECE))
    if not s then
      return false
    end
    n = n - #s
  end
  return true
end

-- Serves one request: whether there may be another.
local function serveone(conn)
  local line = conn:read("*l")
  if not line then
    return false
  end
  if line == "" then -- tolerated before a request
    return true
  end
  local method, minor = line:match("^(%u+) %S+ HTTP/1%.(%d)$")
  local headers = method and readheaders(conn)
  if not headers then
    return respond(conn, "400 Bad Request", "what?\n", false)
  end
  if headers["transfer-encoding"] then
    return respond(conn, "411 Length Required", "a body needs a Content-Length here\n", false)
  end
  local length = headers["content-length"] or "0"
  if not length:find("^%d+$") then
    return respond(conn, "400 Bad Request", "bad Content-Length\n", false)
  end
  if not skip(conn, tonumber(length)) then
    return false
  end
  local keepalive = minor ~= "0" and not (headers.connection or ""):lower():find("close", 1, true)
  local body = method == "POST" and ("received %s bytes\n"):format(length) or "hello from Luapark\n"
  return respond(conn, "200 OK", body, keepalive, method == "HEAD")
end

local function serve(conn)
  conn:settimeout(IDLE)
  while serveone(conn) do end
  conn:close()
end

local address = ... or "127.0.0.1:0"
local listener, message = net.listen("tcp", address)
if not listener then
  io.stderr:write("http_server: cannot listen on ", address, ": ", message, "\n")
  os.exit(1)
end
print("listening on http://" .. listener:addr() .. "/")
io.stdout:flush()

go(function()
  while true do
    local conn, why = listener:accept()
    if conn then
      go(serve, conn)
    elseif why == "closed" then
      return
    else -- no more descriptors, say: others may be closed soon
      luapark.sleep(0.01)
    end
  end
end)

return listener
