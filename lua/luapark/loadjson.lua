-- SPDX-License-Identifier: MIT

-- loadjson: the results of `luapark load` as JSON, for programs; docs/load.md tells the fields. Valid whatever the URL and
-- the system's words hold, and whatever the numbers are: strings come out as UTF-8, and what is no number as null.

local loadstat = require "luapark.loadstat"

local concat, sort, huge = table.concat, table.sort, math.huge
local ipairs, pairs, type = ipairs, pairs, type

local loadjson = {}

-- Writing --------------------------------------------------------------------------------------------------------------

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
  ["\t"] = "\\t" }

-- How many bytes the character at s[i] has in UTF-8; nil where it is none: what continues nothing, breaks off, is longer
-- than need be, a surrogate, or beyond the last.
local function utf8length(s, i)
  local a, b, c, d = s:byte(i, i + 3)
  local function continues(x)
    return x and x >= 0x80 and x <= 0xbf
  end
  if a >= 0xc2 and a <= 0xdf then
    return continues(b) and 2 or nil
  elseif a >= 0xe0 and a <= 0xef then
    local least, most = a == 0xe0 and 0xa0 or 0x80, a == 0xed and 0x9f or 0xbf
    return b and b >= least and b <= most and continues(c) and 3 or nil
  elseif a >= 0xf0 and a <= 0xf4 then
    local least, most = a == 0xf0 and 0x90 or 0x80, a == 0xf4 and 0x8f or 0xbf
    return b and b >= least and b <= most and continues(c) and continues(d) and 4 or nil
  end
end

-- Bytes that are no UTF-8 become U+FFFD.
local function utf8(s)
  local t, i = {}, 1
  while i <= #s do
    local plain = s:match("^[%z\1-\127]+", i)
    local n = plain and #plain or utf8length(s, i)
    t[#t + 1] = n and s:sub(i, i + n - 1) or "\239\191\189"
    i = i + (n or 1)
  end
  return concat(t)
end

local function text(s)
  if s:find "[\128-\255]" then
    s = utf8(s)
  end
  return '"' .. s:gsub('[%c"\\\127]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function number(n)
  if n ~= n or n == huge or n == -huge then
    return "null"
  end
  return (n % 1 == 0 and n < 1e21 and "%.0f" or "%.10g"):format(n)
end

local write -- below

-- An object is an array of { name, value }, so that its fields stand in the order they were thought of.
local function object(fields, indent)
  local t, inner = {}, indent .. "  "
  for i, f in ipairs(fields) do
    t[i] = inner .. text(f[1]) .. ": " .. write(f[2], inner)
  end
  return #t == 0 and "{}" or "{\n" .. concat(t, ",\n") .. "\n" .. indent .. "}"
end

-- An array of objects, one a line.
local function array(list, indent)
  local t, inner = {}, indent .. "  "
  for i, v in ipairs(list) do
    t[i] = inner .. write(v, inner):gsub("\n%s*", " ")
  end
  return #t == 0 and "[]" or "[\n" .. concat(t, ",\n") .. "\n" .. indent .. "]"
end

function write(v, indent)
  if type(v) == "number" then
    return number(v)
  elseif type(v) == "string" then
    return text(v)
  elseif type(v) == "table" then
    return v.array and array(v.array, indent) or object(v, indent)
  end
  return v == nil and "null" or (v and "true" or "false")
end

-- Results --------------------------------------------------------------------------------------------------------------

local PERCENTILES = { 50, 75, 90, 95, 99, 99.9, 99.99, 99.999, 100 }

local function statistics(samples)
  local count, least, mean, stdev, most, within = loadstat.moments(samples)
  return { { "count", count }, { "min", least }, { "mean", mean }, { "stdev", stdev }, { "max", most },
    { "within_stdev", within } }
end

local function distribution(h)
  local fields, list = statistics(h), {}
  for i, p in ipairs(PERCENTILES) do
    list[i] = { { "percentile", p }, { "value", h:percentile(p) } }
  end
  fields[#fields + 1] = { "percentiles", { array = list } }
  return fields
end

local function errors(result)
  local fields = {}
  for i, class in ipairs(loadstat.classes) do
    fields[i] = { class, result.errors[class] }
  end
  return fields
end

-- { class = { words = n } }, in order.
local function causes(result)
  local fields = {}
  for _, class in ipairs(loadstat.classes) do
    local list = {}
    for words, n in pairs(result.causes and result.causes[class] or {}) do
      list[#list + 1] = { words, n }
    end
    sort(list, function(a, b)
      return a[1] < b[1]
    end)
    if #list > 0 then
      fields[#fields + 1] = { class, list }
    end
  end
  return fields
end

-- encode(result, opts) -> text. result: as in loadreport.lua; opts: as in loadargs.lua.
function loadjson.encode(result, opts)
  local seconds = result.duration / 1e6
  local fields = {
    { "url", opts.url },
    { "threads", opts.threads },
    { "connections", opts.connections },
    { "interrupted", result.interrupted and true or false },
    { "duration", result.duration },
    { "requests", result.requests },
    { "bytes", result.bytes },
    { "requests_per_second", seconds > 0 and result.requests / seconds or 0 },
    { "bytes_per_second", seconds > 0 and result.bytes / seconds or 0 },
    { "errors", errors(result) },
    { "causes", causes(result) },
    { "latency", distribution(result.latency) },
  }
  local function add(name, value)
    fields[#fields + 1] = { name, value }
  end
  if result.service then
    add("rate", opts.rate)
    add("response_time", distribution(result.latency))
    add("service_time", distribution(result.service))
  end
  add("thread_requests_per_second", statistics(result.rates))
  return object(fields, "") .. "\n"
end

return loadjson
