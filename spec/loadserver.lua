-- SPDX-License-Identifier: MIT

-- loadserver: an HTTP server in the spec's own state, for specs of `luapark load`: what it answers is a function's matter.

local helper = require "spec.helper"
local net = require "luapark.net"
local load = require "luapark.load"
local loadargs = require "luapark.loadargs"

local lp = helper.lp
local loadserver = {}

loadserver.OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

-- One request with its body, or nil at the end.
local function nextrequest(conn, buffer)
  while true do
    local _, last = buffer:find("\r\n\r\n", 1, true)
    local length = last and tonumber(buffer:sub(1, last):match "Content%-Length: (%d+)") or 0
    if last and #buffer >= last + length then
      return buffer:sub(1, last + length), buffer:sub(last + length + 1)
    end
    local s = conn:readany()
    if not s then
      return nil
    end
    buffer = buffer .. s
  end
end

-- start(respond) -> server. respond(request, conn, server) -> the answer, whether to close then; nil: it has answered
-- itself. It has: address, host, port; requests, how many came; texts, each of them.
function loadserver.start(respond)
  local server = { requests = 0, connections = 0, texts = {}, open = {} }
  local ln = assert(net.listen("tcp", "127.0.0.1:0"))
  server.address = ln:addr()
  server.url = "http://" .. server.address
  server.host, server.port = server.address:match "^(.*):(%d+)$"
  lp.go(function()
    while true do
      local conn = ln:accept()
      if not conn then
        return
      end
      server.connections = server.connections + 1
      server.open[conn] = true
      lp.go(function()
        local request, buffer
        while true do
          request, buffer = nextrequest(conn, buffer or "")
          if not request then
            break
          end
          server.requests = server.requests + 1
          server.texts[server.requests] = request
          local answer, last = loadserver.OK, false
          if respond then
            answer, last = respond(request, conn, server)
          end
          if answer and not conn:write(answer) or last then
            break
          end
        end
        conn:close()
        server.open[conn] = nil
      end)
    end
  end)
  function server.stop()
    ln:close()
    for conn in pairs(server.open) do
      conn:close()
    end
  end
  return server
end

-- load(server, args [, script [, rest]]) -> result, why. args: as on the command line, without the URL; script: its text;
-- rest: words behind the URL. In what goes wrong the script's file is called FILE.
function loadserver.load(server, args, script, rest)
  local words = {}
  for word in args:gmatch "%S+" do
    words[#words + 1] = word
  end
  words[#words + 1] = server.url .. "/"
  for _, word in ipairs(rest or {}) do
    words[#words + 1] = word
  end
  if not script then
    local opts = assert(loadargs.parse(words))
    local result, why = load.run(opts)
    return result, why
  end
  local name = os.tmpname()
  local f = assert(io.open(name, "w"))
  f:write(script)
  f:close()
  local opts = assert(loadargs.parse(words))
  opts.script = name
  local result, why = load.run(opts)
  os.remove(name)
  return result, why and (why:gsub(name:gsub("%p", "%%%0"), "FILE"))
end

-- A test's body: fn(server, load) in a goroutine, with a server that answers so.
function loadserver.with(respond, fn)
  return helper.run(function()
    local server = loadserver.start(respond)
    local ok, err = pcall(fn, server, function(...)
      return loadserver.load(server, ...)
    end)
    server.stop()
    assert(ok, err)
  end)
end

return loadserver
