-- SPDX-License-Identifier: MIT

-- run: what `make run` shows: http_server.lua and load.lua in one process, on one thread.
--
-- Prints (for example):
--   listening on http://127.0.0.1:41873/
--   64 connections, 3.0 s, http://127.0.0.1:41873/
--   requests   125015, 41649/s
--   latency    p50 1.60 ms, p90 1.81 ms, p99 2.57 ms, max 9.09 ms
--   bytes      2375285 of bodies, 0.79 MB/s
--   errors     none

local here = arg[0]:match("^(.*/)") or ""
local listener = assert(loadfile(here .. "http_server.lua"))("127.0.0.1:0")
assert(loadfile(here .. "load.lua"))("http://" .. listener:addr() .. "/", "-c", "64", "-d", "3")
listener:close()
