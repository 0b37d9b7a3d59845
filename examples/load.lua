-- SPDX-License-Identifier: MIT

-- load: an HTTP load generator, one goroutine a connection.
--
--   luapark examples/load.lua URL [-c 64] [-d 5]      -c connections, -d seconds
--
-- Each connection sends its next request when the last one was answered. A line on stderr, each second, says how it
-- goes. At the end it prints, for example:
--   64 connections, 5.0 s, http://127.0.0.1:41873/
--   requests   208421, 41684/s
--   latency    p50 1.60 ms, p90 1.81 ms, p99 2.57 ms, max 9.09 ms
--   bytes      3959999 of bodies, 0.79 MB/s
--   errors     none
--
-- Exits with 1 when the arguments are bad, the server cannot be reached, or no request succeeds.

local http = require "luapark.http"
local ffi = require "ffi"
ffi.cdef "int isatty(int);"

local function check(ok, ...)
  if not ok then
    io.stderr:write("load: ", table.concat({ ... }), "\n")
    os.exit(1)
  end
  return ok
end

-- The command line --------------------------------------------------------------------------------------------------

local USAGE = "\nusage: luapark examples/load.lua URL [-c connections] [-d seconds]"
local args, option, url, i = { ... }, { ["-c"] = 64, ["-d"] = 5 }, nil, 1
while args[i] do
  if option[args[i]] then
    option[args[i]] = check(tonumber(args[i + 1]), args[i], " wants a number", USAGE)
    i = i + 1
  else
    check(not url and not args[i]:find("^%-"), "what is '", args[i], "'?", USAGE)
    url = args[i]
  end
  i = i + 1
end
local connections, seconds = option["-c"], option["-d"]
check(url, "no URL", USAGE)
check(connections >= 1 and connections <= 1e5 and connections % 1 == 0, "-c wants a whole number, 1 to 100000", USAGE)
check(seconds > 0 and seconds <= 1e6, "-d wants seconds, more than 0 and up to a million", USAGE)

-- The load ----------------------------------------------------------------------------------------------------------

local now = luapark.now
local requests, bytes, failed, slowest = 0, 0, 0, 0
local latencies, errors = {}, {} -- how many took so many microseconds; how many failed for this reason

local function fail(kind)
  failed = failed + 1
  errors[kind] = (errors[kind] or 0) + 1
end

local function connection(stop)
  local client = http.client { timeout = 10, keepalive = true }
  while now() < stop do
    local start = now()
    local response, message = client:get(url)
    if not response then
      fail(message)
      luapark.sleep(0.01) -- a dead server is no reason to spin
    elseif response.status >= 400 then
      fail("status " .. response.status)
    else
      local us = math.floor((now() - start) * 1e6)
      latencies[us] = (latencies[us] or 0) + 1
      slowest = math.max(slowest, us)
      requests = requests + 1
      bytes = bytes + #response.body
    end
  end
  client:close()
end

-- Once alone, so that what is wrong with the URL or the server is said once.
local first, why = http.client({ timeout = 10, keepalive = false }):get(url)
check(first, "cannot load ", url, ": ", why)

local start = now()
local workers, done = luapark.waitgroup(), chan()
for _ = 1, connections do
  workers:go(connection, start + seconds)
end
go(function()
  workers:wait()
  done:close()
end)

-- One line that is written over on a terminal, a line a second elsewhere.
local tty, last = ffi.C.isatty(2) == 1, 0
while luapark.select { done, timeout = 1 } == "timeout" do
  io.stderr:write(("%s%4.0f s %9d requests %8d/s %6d errors%s"):format(
    tty and "\r" or "", now() - start, requests, requests - last, failed, tty and "" or "\n"))
  last = requests
end
local elapsed = now() - start
io.stderr:write(tty and last > 0 and "\n" or "")

-- The report --------------------------------------------------------------------------------------------------------

-- The latency, in ms, that a share q of the requests did not exceed.
local function percentile(q)
  local n = 0
  for us = 0, slowest do
    n = n + (latencies[us] or 0)
    if n >= q * requests then
      return us / 1e3
    end
  end
end

local kinds = {}
for kind, n in pairs(errors) do
  kinds[#kinds + 1] = ("%d %s"):format(n, kind)
end
table.sort(kinds)

print(("%d connection%s, %.1f s, %s"):format(connections, connections == 1 and "" or "s", elapsed, url))
print(("requests   %d, %.0f/s"):format(requests, requests / elapsed))
if requests > 0 then
  print(("latency    p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, max %.2f ms"):format(
    percentile(0.5), percentile(0.9), percentile(0.99), slowest / 1e3))
end
print(("bytes      %d of bodies, %.2f MB/s"):format(bytes, bytes / elapsed / 1e6))
print("errors     " .. (kinds[1] and table.concat(kinds, ", ") or "none"))
check(requests > 0, "no request succeeded")
