-- SPDX-License-Identifier: MIT

-- loadargs: the command line of `luapark load`, as a table. It is wrk's as it is (options anywhere, joined or apart, long
-- ones cut short), with wrk2's --rate and a few of our own. What is wrong is told in one line that names it.
--
-- What can be refused here is: later, nobody knows any more which option a number came from.

local tonumber, ipairs = tonumber, ipairs

local loadargs = {}

loadargs.usage = [[
Usage: luapark load <options> <url> [-- <arguments of the script>]
  Options:
    -c, --connections <N>  Connections to keep open (10)
    -d, --duration    <T>  Duration of test (10s, or as long as -n takes)
    -t, --threads     <N>  Number of threads to use (2)
    -n, --requests    <N>  Number of requests to make
    -R, --rate        <N>  Requests per second to make, however long answers take

    -s, --script      <S>  Load Lua script file
    -H, --header      <H>  Add header to request
    -m, --method      <M>  Method of the request (GET, or POST with -b)
    -b, --body        <B>  Body of the request, or @FILE for what is in it
        --latency          Print latency statistics
        --timeout     <T>  Socket/request timeout (2s)
        --json        <F>  Write the results to a file, as JSON
    -v, --version          Print version details
    -h, --help             Print this

  Numeric arguments may include a SI unit (1k, 1M, 1G)
  Time arguments may include a time unit (2s, 2m, 2h, 200ms)
]]

-- Values ---------------------------------------------------------------------------------------------------------------
-- Each reads an option's text: -> value | nil, what was expected

local METRIC = { [""] = 1, k = 1e3, m = 1e6, g = 1e9, t = 1e12, p = 1e15 }
local TIMES = { [""] = 1, s = 1, m = 60, h = 3600, ms = 1e-3, us = 1e-6 }
local LONGEST = 1e9 -- seconds: what is added to a clock in ns must not wrap

-- A whole number with one of those units, in whatever case, as wrk takes them.
local function scaled(text, units)
  local digits, unit = text:match "^%s*(%d+)%s*(%a*)%s*$"
  local scale = digits and units[unit:lower()]
  return scale and tonumber(digits) * scale
end

-- A count from 1 to most.
local function count(most)
  return function(text)
    local n = scaled(text, METRIC)
    if not n then
      return nil, "whole number expected, such as 200, 10k or 1M"
    elseif n < 1 then
      return nil, "number from 1 expected"
    elseif n > most then
      return nil, ("number up to %.0f expected"):format(most)
    end
    return n
  end
end

local function time(text)
  local s = scaled(text, TIMES)
  if not s then
    return nil, "time expected, such as 30, 30s, 5m, 1h or 200ms"
  elseif s <= 0 then
    return nil, "time above 0 expected"
  elseif s > LONGEST then
    return nil, ("time up to %.0f seconds expected"):format(LONGEST)
  end
  return s
end

local function name(text)
  if text == "" then
    return nil, "name of a file expected"
  end
  return text
end

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$" -- HTTP's

local function method(text)
  if not text:find(TOKEN) then
    return nil, "HTTP method expected"
  end
  return text
end

-- "Name: value" -> { name, value }; one space after the colon is no part of the value.
local function header(text)
  local key, value = text:match "^([^:]*): ?(.*)$"
  if not key or not key:find(TOKEN) then
    return nil, "'Name: value' expected"
  elseif value:find "[%z\r\n]" then
    return nil, "header without line breaks expected"
  end
  return { key, value }
end

local function body(text)
  local file = text:match "^@(.*)$"
  if not file then
    return text
  end
  local f, why = io.open(file, "rb")
  local content
  if f then
    content, why = f:read "*a"
    f:close()
  end
  if not content then
    return nil, "cannot read it: " .. (why or "unknown error") -- io's message has the file's name
  end
  return content
end

-- URLs -----------------------------------------------------------------------------------------------------------------

-- "host:port", "[::1]" and the like -> host, port or nil | nil
local function hostport(authority)
  local host, rest = authority:match "^%[([%x:.]+%%?[%w._~-]*)%](.*)$"
  if not host then
    host, rest = authority:match "^([%w._-]+)(.*)$"
  elseif not host:find ":.*:" then
    return nil
  end
  local port = host and rest:match "^:(%d+)$"
  if not host or (rest ~= "" and not port) then
    return nil
  end
  return host, port
end

-- Fills opts in. -> true | nil, why
local function parseurl(opts, url)
  local function bad(why)
    return nil, ("invalid URL '%s': %s"):format(url, why)
  end
  if url:find "[%c ]" then
    return bad "it has blanks or control characters"
  end
  local scheme, authority, rest = url:match "^(%a[%w+.-]*)://([^/?#]*)(.*)$"
  if not scheme then
    return bad "http://host[:port][/path] expected"
  end
  scheme = scheme:lower()
  if scheme ~= "http" then
    return bad(("scheme '%s' is not supported, only http"):format(scheme))
  elseif authority:find "@" then
    return bad "users are not supported; send -H 'Authorization: ...'"
  end
  local host, port = hostport(authority)
  if not host then
    return bad(authority == "" and "no host" or ("bad host or port '%s'"):format(authority))
  elseif port and (#port > 5 or tonumber(port) < 1 or tonumber(port) > 65535) then
    return bad "port from 1 to 65535 expected"
  end
  local path = rest:gsub("#.*$", "")
  opts.url, opts.scheme, opts.host, opts.urlport, opts.port = url, scheme, host, port, port or "80"
  opts.path = path:find "^/" and path or "/" .. path
  return true
end

-- Options --------------------------------------------------------------------------------------------------------------

local OPTIONS = {
  -- short, long, field, how its value is read; without that it is a flag
  { "t", "threads", "threads", count(1024) },
  { "c", "connections", "connections", count(1e6) },
  { "d", "duration", "duration", time },
  { "n", "requests", "number", count(1e15) },
  { "R", "rate", "rate", count(1e9) },
  { "s", "script", "script", name },
  { "H", "header", "headers", header },
  { "m", "method", "method", method },
  { "b", "body", "body", body },
  { "L", "latency", "latency" },
  { "T", "timeout", "timeout", time },
  { nil, "json", "json", name },
  { "v", "version", "version" },
  { "h", "help", "help" },
}

local short = {}
for _, o in ipairs(OPTIONS) do
  if o[1] then
    short[o[1]] = o
  end
end

-- The option of that long name, which may be cut short where that is clear. -> option | nil, why
local function long(given)
  local found
  for _, o in ipairs(OPTIONS) do
    if o[2] == given then
      return o
    elseif o[2]:sub(1, #given) == given then
      if found then
        return nil, ("option '--%s' is ambiguous: --%s or --%s"):format(given, found[2], o[2])
      end
      found = o
    end
  end
  return found, ("unknown option '--%s'"):format(given)
end

-- Reads text for the option, named as the user did. -> true | nil, why
local function set(opts, option, named, text)
  local value, expected = option[4](text)
  if value == nil then
    return nil, ("%s '%s': %s"):format(named, text, expected)
  elseif option[3] == "headers" then
    opts.headers[#opts.headers + 1] = value
  else
    opts[option[3]] = value
  end
  return true
end

-- One long option, at argv[i]. -> the last place it took | nil, why
local function takelong(opts, argv, i)
  local given, text = argv[i]:match "^%-%-([^=]*)=?(.*)$"
  local joined = argv[i]:find("=", 1, true)
  local option, why = long(given)
  if not option then
    return nil, why
  elseif not option[4] then
    if joined then
      return nil, ("option '--%s' takes no value"):format(option[2])
    end
    opts[option[3]] = true
    return i
  elseif not joined then
    i = i + 1
    text = argv[i]
    if not text then
      return nil, ("option '--%s' needs a value"):format(option[2])
    end
  end
  local ok
  ok, why = set(opts, option, "--" .. option[2], text)
  return ok and i, why
end

-- The short options of argv[i]: flags, and perhaps one with a value, joined or in the next place.
local function takeshort(opts, argv, i)
  local at = 2
  while at <= #argv[i] do
    local letter = argv[i]:sub(at, at)
    local option = short[letter]
    if not option then
      return nil, ("unknown option '-%s'"):format(letter)
    elseif option[4] then
      local text = argv[i]:sub(at + 1)
      if text == "" then
        i = i + 1
        text = argv[i]
        if not text then
          return nil, ("option '-%s' needs a value"):format(letter)
        end
      end
      local ok, why = set(opts, option, "-" .. letter, text)
      return ok and i, why
    end
    opts[option[3]] = true
    at = at + 1
  end
  return i
end

-- What does not fit together. -> opts | nil, why
local function whole(opts)
  if opts.connections < opts.threads then
    return nil, ("number of connections must be >= threads (%d connections, %d threads)"):format(opts.connections,
      opts.threads)
  end
  if not opts.duration and not opts.number then
    opts.duration = 10
  end
  if opts.body and not opts.method then
    opts.method = "POST"
  end
  return opts
end

-- parse(argv) -> opts | nil, message. argv: the words after "load". opts.help is set alone; opts.version too, where there
-- is no URL. Otherwise:
--   url, scheme, host, port    as strings; host of an IPv6 address without brackets; port "80" unless told
--   urlport                    the port, where the URL has one
--   path                       with query; "/" if none
--   threads, connections       2 and 10 unless told
--   duration                   in seconds; 10 unless told, nil with a number of requests alone
--   number, rate               of requests, and per second; nil unless told
--   timeout                    in seconds; 2 unless told
--   headers                    { { name, value }, ... } in order
--   method, body               nil unless told; the method of a body is POST unless told. The body is read from its file
--   script, json               names of files, or nil
--   latency                    true or false
--   args                       what wrk gives to init: [0] is the URL, [1] and on what follows it
function loadargs.parse(argv)
  local opts = { threads = 2, connections = 10, timeout = 2, headers = {}, latency = false, args = {} }
  local words, i = {}, 1
  while argv[i] do
    local word, why = argv[i], nil
    if word == "--" then
      for k = i + 1, #argv do
        words[#words + 1] = argv[k]
      end
      break
    elseif word:find "^%-%-" then
      i, why = takelong(opts, argv, i)
    elseif word:find "^%-." then
      i, why = takeshort(opts, argv, i)
    else
      words[#words + 1] = word
    end
    if not i then
      return nil, why
    elseif opts.help then
      return { help = true }
    end
    i = i + 1
  end
  for k, word in ipairs(words) do
    opts.args[k - 1] = word
  end
  if not words[1] then
    if opts.version then
      return { version = true }
    end
    return nil, "no URL"
  end
  local ok, why = parseurl(opts, words[1])
  if not ok then
    return nil, why
  end
  return whole(opts)
end

return loadargs
