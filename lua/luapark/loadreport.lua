-- SPDX-License-Identifier: MIT

-- loadreport: what `luapark load` says of a run: wrk's summary, to the blank, and what wrk has no words for below it; and
-- the status line. The same as JSON is in loadjson.lua.
--
-- A result, of the whole run:
--   duration     in microseconds
--   requests     how many were answered
--   bytes        how many were read
--   errors       { connect =, read =, write =, status =, timeout = }: how many of each
--   causes       { connect = { ["connection refused"] = n, ... }, ... }: why, in the system's words; may lack classes
--   latency      a histogram of microseconds; with a rate, of response times: from when a request was due
--   service      with a rate, a histogram of service times: from when it was sent
--   rates        requests per second of each thread, as it was again and again: a histogram, or an array
--   interrupted  whether it was ended before its time

local loadstat = require "luapark.loadstat"
local loadjson = require "luapark.loadjson"

local floor, max, concat = math.floor, math.max, table.concat
local ipairs, pairs, type = ipairs, pairs, type

local loadreport = {}

-- Numbers with units -----------------------------------------------------------------------------------------------------
-- wrk's: a unit is used from 0.85 of it on, and the last of each list never.

local MICROSECONDS = { scale = 1000, [0] = "us", "ms", "s" }
local SECONDS = { scale = 60, [0] = "s", "m", "h" }
local BINARY = { scale = 1024, [0] = "", "K", "M", "G", "T", "P" }
local METRIC = { scale = 1000, [0] = "", "k", "M", "G", "T", "P" }

local function withunit(n, units, digits)
  local i = 0
  while units[i + 2] and n >= units.scale * 0.85 do
    n = n / units.scale
    i = i + 1
  end
  return ("%." .. digits .. "f%s"):format(n, units[i])
end

-- n microseconds, n of something, n bytes ("B" is for the caller to add), as text.
function loadreport.time(n)
  if n >= 1e6 then
    return withunit(n / 1e6, SECONDS, 2)
  end
  return withunit(n, MICROSECONDS, 2)
end

function loadreport.metric(n)
  return withunit(n, METRIC, 2)
end

function loadreport.binary(n)
  return withunit(n, BINARY, 2)
end

local time, metric, binary = loadreport.time, loadreport.metric, loadreport.binary

-- A duration on the command line, in seconds: whole as wrk says it.
local function length(s)
  return s % 1 == 0 and withunit(s, SECONDS, 0) or time(s * 1e6)
end

-- Right-aligned in `width` so that the numbers stand below one another, the units to their right.
local function column(text, width)
  local pad = 2
  for i = #text - 1, #text do
    if text:find("^%a", i) then
      pad = pad - 1
    end
  end
  return ("%" .. width - pad .. "s%s"):format(text, (" "):rep(pad))
end

-- The summary ----------------------------------------------------------------------------------------------------------

local function row(name, samples, form)
  local _, _, mean, stdev, most, within = loadstat.moments(samples)
  return ("    %-10s%s%s%s%8.2f%%\n"):format(name, column(form(mean), 8), column(form(stdev), 10), column(form(most), 9),
    within)
end

local function percentiles(title, h, list)
  local lines = { ("  %s\n"):format(title) }
  for _, p in ipairs(list) do
    lines[#lines + 1] = ("%s%%%s\n"):format(p % 1 == 0 and ("%7.0f"):format(p) or ("%7.5g"):format(p),
      column(time(h:percentile(p)), 10))
  end
  return concat(lines)
end

local WRKS = { 50, 75, 90, 99 }
local OURS = { 50, 75, 90, 99, 99.9, 99.99, 100 }

-- How many errors of each cause: most frequent first.
local function causes(result)
  local lines = {}
  for _, class in ipairs(loadstat.classes) do
    local list = {}
    for words, n in pairs(result.causes and result.causes[class] or {}) do
      list[#list + 1] = { words, n }
    end
    table.sort(list, function(a, b)
      return a[2] > b[2] or a[2] == b[2] and a[1] < b[1]
    end)
    for _, cause in ipairs(list) do
      lines[#lines + 1] = ("    %-8s %.0f: %s\n"):format(class, cause[2], cause[1])
    end
  end
  return #lines > 0 and "  Errors by cause\n" .. concat(lines) or ""
end

-- head(opts) -> the first two lines, known before the run. opts: those of loadargs.
function loadreport.head(opts)
  local what
  if opts.number then
    what = ("%.0f requests%s"):format(opts.number, opts.duration and " or " .. length(opts.duration) or "")
  else
    what = length(opts.duration) .. " test"
  end
  return ("Running %s @ %s\n  %d threads and %d connections%s\n"):format(what, opts.url, opts.threads, opts.connections,
    opts.rate and (", %.0f requests/sec"):format(opts.rate) or "")
end

-- results(result, opts) -> the lines that follow.
function loadreport.results(result, opts)
  local t, e, seconds = {}, result.errors, max(result.duration, 1) / 1e6
  local function say(form, ...)
    t[#t + 1] = form:format(...)
  end
  say("  Thread Stats%6s%11s%8s%12s\n", "Avg", "Stdev", "Max", "+/- Stdev")
  t[#t + 1] = row("Latency", result.latency, time)
  t[#t + 1] = row("Req/Sec", result.rates, metric)
  if result.service then
    t[#t + 1] = row("Service", result.service, time)
    t[#t + 1] = percentiles("Response time (from when each request was due; Latency above)", result.latency, OURS)
    t[#t + 1] = percentiles("Service time (from when it was sent)", result.service, OURS)
  elseif opts.latency then
    t[#t + 1] = percentiles("Latency Distribution", result.latency, WRKS)
  end
  say("  %.0f requests in %s, %sB read\n", result.requests, time(result.duration), binary(result.bytes))
  if e.connect > 0 or e.read > 0 or e.write > 0 or e.timeout > 0 then
    say("  Socket errors: connect %.0f, read %.0f, write %.0f, timeout %.0f\n", e.connect, e.read, e.write, e.timeout)
  end
  if e.status > 0 then
    say("  Non-2xx or 3xx responses: %.0f\n", e.status)
  end
  t[#t + 1] = causes(result)
  say("Requests/sec: %9.2f\n", result.requests / seconds)
  say("Transfer/sec: %10sB\n", binary(result.bytes / seconds))
  return concat(t)
end

-- summary(result, opts) -> all of it.
function loadreport.summary(result, opts)
  return loadreport.head(opts) .. loadreport.results(result, opts)
end

-- json(result, opts) -> the same for programs.
loadreport.json = loadjson.encode

-- The status line --------------------------------------------------------------------------------------------------------

-- live(sample) -> one line without its end, at most 79 columns wide. sample: elapsed and duration (or nil) in seconds;
-- requests, number (or nil) and errors, so far; rate, requests per second of late; p99 (or nil), in microseconds.
function loadreport.live(sample)
  local t = { ("%.0fs"):format(floor(sample.elapsed)) }
  if sample.duration then
    t[1] = t[1] .. " of " .. length(sample.duration)
  end
  t[2] = ("%.0f%s requests"):format(sample.requests, sample.number and (" of %.0f"):format(sample.number) or "")
  t[3] = sample.rate and metric(sample.rate) .. "/s"
  t[#t + 1] = sample.p99 and "99% in " .. time(sample.p99)
  t[#t + 1] = type(sample.errors) == "number" and sample.errors > 0
    and ("%.0f error%s"):format(sample.errors, sample.errors == 1 and "" or "s") or nil
  return concat(t, ", "):sub(1, 79)
end

return loadreport
