-- SPDX-License-Identifier: MIT

-- server: an HTTP server that checks load generators: it notes each request of each connection, and tells.
--
--   luapark spec/wrk/server.lua      on any free port of 127.0.0.1; says "listening on http://127.0.0.1:41873"
--
-- What it answers depends on the path:
--   /authenticate     200, with X-Token: sesame
--   /resource         200 with X-Token: sesame, 401 without
--   /status/N         status N
--   /large/N          a body of N bytes
--   /close            and closes the connection, as it says
--   /half             half of an answer, then closes
--   /slow/S           after S seconds
--   /-/report         what was noted since the last report, as Lua: a table for loadstring. Paths in /-/ are not noted
--   /-/stall/A/S      from now on in A seconds, for S seconds, it answers nothing
--   /-/die/A          in A seconds it ends, whatever is under way
--   anything else     200 and "ok\n"

local net = require "luapark.net"

local MOST = 300 -- requests of a connection that are kept in order
local now = luapark.now

local noted
local function forget()
  noted = { requests = 0, bytes = 0, connections = 0, forms = {}, sequences = {} }
end
forget()

local stallfrom, stalltill = 0, 0

-- A request as text that does not depend on the order of its headers.
local function normal(raw)
  local head, body = raw:match "^(.-)\r\n\r\n(.*)$"
  local first, rest = head:match "^([^\r]*)(.*)$"
  local lines = {}
  for line in rest:gmatch "\r\n([^\r]*)" do
    lines[#lines + 1] = line
  end
  table.sort(lines)
  return first .. "\n" .. table.concat(lines, "\n") .. "\n\n" .. body
end

local function report()
  local t = {}
  for i, name in ipairs { "requests", "bytes", "connections" } do
    t[i] = ("%s = %.0f,"):format(name, noted[name])
  end
  local forms = {}
  for raw, n in pairs(noted.forms) do
    forms[normal(raw)] = (forms[normal(raw)] or 0) + n
  end
  t[#t + 1] = "forms = {"
  for form, n in pairs(forms) do
    t[#t + 1] = ("[%q] = %.0f,"):format(form, n)
  end
  t[#t + 1] = "}, sequences = {"
  for _, sequence in ipairs(noted.sequences) do
    t[#t + 1] = "{"
    for _, raw in ipairs(sequence) do
      t[#t + 1] = ("%q,"):format(normal(raw))
    end
    t[#t + 1] = "},"
  end
  t[#t + 1] = "}"
  forget()
  return "return {" .. table.concat(t, "\n") .. "}"
end

-- Answers ----------------------------------------------------------------------------------------------------------------

local function answer(status, body, headers)
  return ("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s"):format(status, #body, headers or "", body)
end

local OK = answer("200 OK", "ok\n")

-- -> the answer, whether the connection is to be closed, whether the request is noted
local function respond(path, head)
  local name, rest = path:match "^/([^/?]*)/?(.*)$"
  if name == "-" then
    local what, a, b = rest:match "^(%w+)/?([%d.]*)/?([%d.]*)$"
    if what == "report" then
      return answer("200 OK", report()), false, false
    elseif what == "stall" then
      stallfrom = now() + tonumber(a)
      stalltill = stallfrom + tonumber(b)
    elseif what == "die" then
      go(function()
        luapark.sleep(tonumber(a))
        os.exit(0)
      end)
    end
    return OK, false, false
  elseif name == "authenticate" then
    return answer("200 OK", "ok\n", "X-Token: sesame\r\n"), false, true
  elseif name == "resource" and not head:find("\r\nX-Token: sesame", 1, true) then
    return answer("401 Unauthorized", "who?\n"), false, true
  elseif name == "status" then
    return answer(rest .. " Status", "status\n"), false, true
  elseif name == "large" then
    return answer("200 OK", ("x"):rep(tonumber(rest))), false, true
  elseif name == "close" then
    return answer("200 OK", "bye\n", "Connection: close\r\n"), true, true
  elseif name == "half" then
    return OK:sub(1, -2), true, true
  elseif name == "slow" then
    luapark.sleep(tonumber(rest))
  end
  return OK, false, true
end

-- Connections ------------------------------------------------------------------------------------------------------------

-- The next request, of what is in the buffer and what comes. -> head, body, what is left | nil
local function nextrequest(conn, buffer)
  local last
  while true do
    last = select(2, buffer:find("\r\n\r\n", 1, true))
    if last then
      break
    end
    local s = conn:readany()
    if not s then
      return nil
    end
    buffer = buffer .. s
  end
  local head = buffer:sub(1, last)
  local length = tonumber(head:lower():match "\r\ncontent%-length: *(%d+)") or 0
  while #buffer < last + length do
    local s = conn:readany()
    if not s then
      return nil
    end
    buffer = buffer .. s
  end
  return head, buffer:sub(last + 1, last + length), buffer:sub(last + length + 1)
end

local function serve(conn)
  local buffer, sequence = "", nil
  while true do
    local head, body, rest = nextrequest(conn, buffer)
    if not head then
      break
    end
    buffer = rest
    if now() >= stallfrom and now() < stalltill then
      luapark.sleep(stalltill - now())
    end
    local text, last, isnoted = respond(head:match "^%S+ (%S+)" or "/", head)
    if head:find "^HEAD " then
      text = text:match "^.-\r\n\r\n"
    end
    if isnoted then
      if not sequence or sequence.of ~= noted then
        sequence = { of = noted }
        noted.connections = noted.connections + 1
        noted.sequences[noted.connections] = sequence
      end
      local raw = head .. body
      if #sequence < MOST then
        sequence[#sequence + 1] = raw
      end
      noted.forms[raw] = (noted.forms[raw] or 0) + 1
      noted.requests = noted.requests + 1
    end
    local written = conn:write(text)
    if written and isnoted then
      noted.bytes = noted.bytes + written
    end
    if last or not written then
      break
    end
  end
  conn:close()
end

local listener = assert(net.listen("tcp", "127.0.0.1:0", { backlog = 16384 }))
print("listening on http://" .. listener:addr())
io.stdout:flush()
while true do
  local conn = listener:accept()
  if conn then
    go(serve, conn)
  else -- no more descriptors, say
    luapark.sleep(0.01)
  end
end
