-- SPDX-License-Identifier: MIT

-- load: an HTTP load generator, as a command (`luapark load`) and as a module.
--
--   local load, loadargs = require "luapark.load", require "luapark.loadargs"
--   local result = load.run(loadargs.parse { "-c100", "-d10s", "http://127.0.0.1:8080/" })
--
-- Each thread is a goroutine on a P of its own (loadthread.lua). What is here runs in the caller's goroutine: it tells them
-- what to do, looks after them while they run, and puts together what they have counted.

local core = require "luapark.core"
local channel = require "luapark.chan"
local select = require "luapark.select"
local time = require "luapark.time"
local hist = require "luapark.hist"
local loadargs = require "luapark.loadargs"
local loadreport = require "luapark.loadreport"
local loadstat = require "luapark.loadstat"
local loadwrk = require "luapark.loadwrk"

local clib = core.load
local chan, now = channel.chan, time.now
local type, error, pcall, ipairs, pairs, unpack, tostring, floor, min, max = type, error, pcall, ipairs, pairs, unpack,
  tostring, math.floor, math.min, math.max
local stderr, stdout = io.stderr, io.stdout

local load = {}

local LOOK = 0.1 -- seconds between two looks at the threads
local GONE = 1 -- seconds without any connection, each refused, after which the server is taken to be gone
local MUSTER = 2 -- seconds that threads may take to begin
local SPARE = 64 -- descriptors for other things than connections

-- Failures of a run are raised as tables, so that they are not taken for errors of ours.
local function fail(why)
  error({ load = why }, 0)
end

-- Threads -------------------------------------------------------------------------------------------------------------

local thread = {}
thread.__index = thread

local function start(opts, mates)
  local t = setmetatable({ orders = chan(1), answers = chan(1) }, thread)
  core.spawn(function(options, orders, answers, n)
    require("luapark.loadthread").main(options, orders, answers, n)
  end, opts, t.orders, t.answers, mates)
  return t
end

function thread:tell(...)
  self.orders:send { n = _G.select("#", ...), ... }
end

-- The answer to the last order -> ok, values
function thread:answer()
  local a = self.answers:recv()
  return a[1], unpack(a, 2, a.n + 1)
end

local function checked(ok, ...)
  if not ok then
    fail(tostring((...)))
  end
  return ...
end

-- Tells, and waits. -> what comes back; its failure is ours
function thread:order(...)
  self:tell(...)
  return checked(self:answer())
end

-- What setup is given for it.
local function proxy(t)
  local function ask(...)
    t:tell(...)
    local ok, value = t:answer()
    if not ok then
      error(value, 0)
    end
    return value
  end
  -- The same for a value of that name, which may be of a kind that does not go over.
  local function carry(how, name, ...)
    local ok, value = pcall(ask, how, name, ...)
    if not ok then
      error(("cannot transfer '%s' %s thread: %s"):format(tostring(name), how == "get" and "from" or "to",
        tostring(value):match "cannot send [^:]*: (.*)$" or tostring(value)), 4)
    end
    return value
  end
  return loadwrk.thread {
    get = function(name)
      return (carry("get", name))
    end,
    set = function(name, value)
      carry("set", name, value)
      return nil
    end,
    stop = function()
      error("thread:stop before the thread runs", 3)
    end,
    address = function()
      return ask "address"
    end,
    connectto = function(bytes)
      ask("connectto", bytes)
    end,
  }
end

-- Starts the threads, each on a P of its own as far as there can be so many; the caller's P is none of them.
local function muster(opts, threads, procs)
  local n = opts.threads
  local wanted = n + 1
  while wanted > procs and not pcall(core.gomaxprocs, wanted) do
    wanted = floor(wanted / 2)
  end
  local mates = min(n + 1, core.gomaxprocs())
  clib.muster(0)
  for i = 1, n do
    threads[i] = start(opts, mates)
  end
  clib.muster(mates, MUSTER)
end

-- Before the run ------------------------------------------------------------------------------------------------------

-- The addresses that can be connected to, in wrk.addrs, as wrk.resolve does it, but with words where there are none.
local function resolve(opts, wrk)
  local service = opts.urlport or opts.scheme
  local list, why = loadwrk.lookup(opts.host, service)
  if not list then
    fail(("unable to resolve %s:%s: %s"):format(opts.host, service, why))
  end
  local reachable = {}
  for _, a in ipairs(list) do
    local ok, words = loadwrk.connect(a, opts.timeout)
    if ok then
      reachable[#reachable + 1] = a
    else
      why = words
    end
  end
  if #reachable == 0 then
    fail(("unable to connect to %s:%s: %s"):format(opts.host, service, why))
  end
  wrk.addrs = reachable
end

-- part i of n things over `threads`: as even as can be.
local function part(n, i, threads)
  return floor(n * i / threads) - floor(n * (i - 1) / threads)
end

local function prepare(opts, threads, main)
  local pipeline
  for i, t in ipairs(threads) do
    t:order "open"
    local ok, why = loadwrk.call(main, main.wrk.setup, proxy(t))
    if not ok then
      fail(why)
    end
    t:order "init"
    pipeline = pipeline or t:order "pipeline"
    t.conf = {
      connections = part(opts.connections, i, opts.threads),
      timeout = opts.timeout, duration = opts.duration,
      number = opts.number and part(opts.number, i, opts.threads),
      interval = opts.rate and opts.threads / opts.rate, offset = (i - 1) / opts.threads,
      pipeline = pipeline,
    }
  end
end

-- The run -------------------------------------------------------------------------------------------------------------

local function all(threads, order)
  for _, t in ipairs(threads) do
    if t.ld then
      order(t.ld)
    end
  end
end

-- Sums of what the loaders have counted so far.
local function sample(threads)
  local s = { requests = 0, bytes = 0, connected = 0, open = 0, refused = 0, errors = 0 }
  for _, t in ipairs(threads) do
    local requests, bytes, connected, open, refused, errors = clib.sample(t.ld)
    s.requests, s.bytes, s.connected = s.requests + requests, s.bytes + bytes, s.connected + connected
    s.open, s.refused, s.errors = s.open + open, s.refused + refused, s.errors + errors
  end
  return s
end

-- Waits until all threads are over. hooks.interrupted() -> whether the run shall end now; hooks.live(sample) is called each
-- second. -> { interrupted =, gone = }
local function attend(opts, threads, hooks)
  local how, failure = { interrupted = false, gone = false }, nil
  local cases, begun = { timeout = LOOK }, now()
  local running = {}
  for i, t in ipairs(threads) do
    cases[i], running[i] = t.answers, t
  end
  local alive, before = begun, { requests = 0, connected = 0, refused = 0 }
  local told, requests = begun, 0
  while #cases > 0 do
    local i, a = select(cases)
    if i ~= "timeout" then
      table.remove(cases, i)
      table.remove(running, i).runs = false
      if not a[1] and not failure then
        failure = tostring(a[2])
        all(threads, clib.abort)
      end
    end
    if not how.interrupted and hooks.interrupted and hooks.interrupted() then
      how.interrupted = true
      all(threads, clib.stop)
    end
    local s, t = sample(threads), now()
    if s.open > 0 or s.requests > before.requests or s.connected > before.connected then
      alive, before = t, s
    elseif s.refused > before.refused and t - alive > GONE then
      how.gone = true
      all(threads, clib.abort)
    end
    if hooks.live and t - told >= 1 then
      hooks.live {
        elapsed = t - begun, duration = opts.duration, requests = s.requests, number = opts.number, errors = s.errors,
        rate = (s.requests - requests) / (t - told),
      }
      told, requests = t, s.requests
    end
  end
  if failure then
    fail(failure)
  end
  return how
end

-- Results -------------------------------------------------------------------------------------------------------------

local function record(h, list)
  for i = 1, #list, 2 do
    h:record(list[i], list[i + 1])
  end
end

local function collect(opts, threads, how)
  local r = {
    requests = 0, bytes = 0, errors = {}, causes = {}, latency = hist.new(), service = opts.rate and hist.new() or nil,
    rates = hist.new { highest = 1e9 }, threads = opts.threads, connections = opts.connections, url = opts.url,
    interrupted = how.interrupted,
  }
  for _, class in ipairs(loadstat.classes) do
    r.errors[class] = 0
  end
  local first, last
  for _, t in ipairs(threads) do
    local part_ = clib.results(t.ld)
    r.requests, r.bytes = r.requests + part_.requests, r.bytes + part_.bytes
    for class, n in pairs(part_.errors) do
      r.errors[class] = r.errors[class] + n
    end
    for _, cause in ipairs(part_.causes) do
      local list = r.causes[cause.class] or {}
      list[cause.words] = (list[cause.words] or 0) + cause.n
      r.causes[cause.class] = list
    end
    record(r.latency, part_.latency)
    if r.service then
      record(r.service, part_.service)
    end
    for _, rate in ipairs(part_.rates) do
      r.rates:record(rate)
    end
    first, last = min(first or part_.start, part_.start), max(last or part_.finish, part_.finish)
  end
  r.duration = floor((last - first) * 1e6 + 0.5)
  return r
end

-- The cause of that class that occurred most, in words.
local function commonest(causes)
  local most, words = 0, nil
  for text, n in pairs(causes or {}) do
    if n > most then
      most, words = n, text
    end
  end
  return words
end

local function done(main, result)
  if type(main.done) ~= "function" then
    return
  end
  local summary = { duration = result.duration, requests = result.requests, bytes = result.bytes, errors = {} }
  for class, n in pairs(result.errors) do
    summary.errors[class] = n
  end
  local ok, why = loadwrk.call(main, main.done, summary, loadwrk.stats(result.latency, loadstat.moments),
    loadwrk.stats(result.rates, loadstat.moments))
  if not ok then
    fail(why)
  end
end

-- All of a run; hooks.started() is called before it, hooks.finished(result) after it and before done. -> result
local function perform(opts, hooks, threads, main)
  prepare(opts, threads, main)
  for _, t in ipairs(threads) do
    t.ld = t:order("prepare", t.conf)
  end
  if hooks.started then
    hooks.started()
  end
  for _, t in ipairs(threads) do
    t.runs = true
    t:tell "run"
  end
  local how = attend(opts, threads, hooks)
  local result = collect(opts, threads, how)
  if hooks.finished then
    hooks.finished(result)
  end
  done(main, result)
  if how.gone then
    return result, ("%s:%s went away: %s"):format(opts.host, opts.port, commonest(result.causes.connect) or "no answer")
  end
  return result
end

-- Whatever has happened, no thread runs any more, and nothing is left of them.
local function finish(threads, procs, ok, ...)
  for _, t in ipairs(threads) do
    if t.runs then
      clib.abort(t.ld)
      t:answer()
    end
    t.orders:close()
    if t.ld then
      clib.free(t.ld)
    end
  end
  core.gomaxprocs(procs)
  local result, why = ...
  if ok then
    return result, why
  elseif type(result) == "table" and result.load then
    return nil, result.load
  end
  error(result, 0)
end

local function execute(opts, hooks)
  local main, why = loadwrk.open(opts)
  if not main then
    return nil, why
  end
  local threads, procs = {}, core.gomaxprocs()
  return finish(threads, procs, pcall(function()
    resolve(opts, main.wrk)
    local ok, limit = clib.files(opts.connections + SPARE)
    if not ok then
      fail(("%d connections need %d open files; the limit is %d (ulimit -n)"):format(opts.connections,
        opts.connections + SPARE, limit))
    end
    muster(opts, threads, procs)
    return perform(opts, hooks, threads, main)
  end))
end

-- run(opts) -> result | nil, why. Makes the load that opts say, as loadargs.parse has them; result: as in loadreport.lua.
-- Where the server went away midway, a second result says so. Parks meanwhile.
function load.run(opts)
  if type(opts) ~= "table" or type(opts.host) ~= "string" then
    error("bad argument #1 to 'run' (options expected, as loadargs.parse makes them)", 2)
  end
  return execute(opts, {})
end

-- The command ---------------------------------------------------------------------------------------------------------

local function complain(why)
  stdout:flush()
  stderr:write("luapark load: ", why, "\n")
  return 1
end

local function writejson(opts, result)
  local text = loadreport.json(result, opts)
  if opts.json == "-" then
    stdout:write(text)
    return true
  end
  local f, why = io.open(opts.json, "wb")
  if not f then
    return nil, why
  end
  local ok
  ok, why = f:write(text)
  local closed, whynot = f:close()
  if not ok or not closed then
    return nil, ("%s: %s"):format(opts.json, why or whynot)
  end
  return true
end

-- command(argv) -> exit status. argv: the words after "load".
function load.command(argv)
  local opts, why = loadargs.parse(argv)
  if not opts then
    complain(why)
    stderr:write(loadargs.usage)
    return 1
  elseif opts.help then
    stdout:write(loadargs.usage)
    return 0
  end
  if opts.version then
    stdout:write("luapark load ", require("luapark")._VERSION, "\n")
    if not opts.url then
      return 0
    end
  end
  local tty = clib.istty()
  local result, unwritten
  local hooks = { interrupted = clib.interrupted }
  function hooks.started()
    stdout:write(loadreport.head(opts))
    stdout:flush()
    clib.catch(true)
  end
  if tty then
    function hooks.live(s)
      stderr:write("\r\27[K", loadreport.live(s))
      stderr:flush()
    end
  end
  function hooks.finished(r)
    clib.catch(false)
    if tty then
      stderr:write "\r\27[K"
    end
    result = r
    stdout:write(loadreport.results(r, opts))
    if opts.json then
      local _
      _, unwritten = writejson(opts, r)
    end
    stdout:flush()
  end
  local ok
  ok, why = execute(opts, hooks)
  stdout:flush()
  if why or unwritten then
    return complain(why or unwritten)
  end
  local errors = result.errors
  if result.requests == 0 and errors.connect + errors.read + errors.write + errors.timeout > 0 then
    local c = result.causes
    return complain("nothing was answered: " .. (commonest(c.connect) or commonest(c.read) or commonest(c.write)
      or commonest(c.timeout)))
  end
  return ok and 0 or 1
end

return load
