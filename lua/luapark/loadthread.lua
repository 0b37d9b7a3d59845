-- SPDX-License-Identifier: MIT

-- loadthread: one thread of `luapark load`, on its own P: its copy of the script, and the loop that answers what the loader
-- asks (src/load/loader.h).
--
-- It is told what to do by load.lua, in tables that go through a channel: each names a function of `orders`, and what
-- that returns, or how it failed, goes back. So values of its globals cross by the codec, at any time but while it runs.

local ffi = require "ffi"
local core = require "luapark.core"
local loadwrk = require "luapark.loadwrk"
local loadasks = require "luapark.loadasks"

local load, gosched = core.load, core.gosched
local OVER, WAIT, TURN, DELAY, REQUEST, RESPONSE = load.OVER, load.WAIT, load.TURN, load.DELAY, load.REQUEST, load.RESPONSE
local type, error, tonumber, pcall, unpack, select = type, error, tonumber, pcall, unpack, select

local loadthread = {}

pcall(ffi.cdef, [[
struct luapark_loadview { const char *head, *body; double headlen, bodylen; int32_t status; };
]])

local nextask = ffi.cast("int32_t (*)(void *)", load.nextask)
local sendask = ffi.cast("void (*)(void *, const char *, size_t)", load.sendask)
local delayask = ffi.cast("void (*)(void *, double)", load.delayask)
local view_t = ffi.typeof "struct luapark_loadview *"

-- Runs the loader to its end. Functions are looked up each time: a script may exchange them.
local function drive(ld, env)
  local pointer, watched = ffi.cast("void *", ld), assert(load.watch(ld))
  local show = loadasks.shower(ffi.cast(view_t, ld))
  local ok, why = loadwrk.call(env, function()
    while true do
      local ask = nextask(pointer)
      if ask == REQUEST then
        local s = (env.request or env.wrk.request)()
        if type(s) ~= "string" then
          error(("request returned %s, not the text of a request"):format(s == nil and "nothing" or type(s)), 0)
        end
        sendask(pointer, s, #s)
      elseif ask == RESPONSE then
        local response = env.response
        if response then
          show(response)
        end
      elseif ask == DELAY then
        local delay = env.delay
        local ms = delay and delay()
        delayask(pointer, tonumber(ms) or 0)
      elseif ask == WAIT then
        load.wait(watched, ld)
      elseif ask == TURN then
        gosched()
      elseif ask == OVER then
        return
      end
    end
  end)
  load.unwatch(watched)
  if not ok then
    error(why, 0)
  end
end

-- Orders -----------------------------------------------------------------------------------------------------------------

local orders = {}

function orders.open(self)
  local env, why = loadwrk.open(self.opts)
  if not env then
    error(why, 0)
  end
  self.env = env
  env.wrk.thread = loadwrk.thread {
    get = function(name)
      return env[name]
    end,
    set = function(name, value)
      env[name] = value
    end,
    stop = function()
      if not self.ld then
        error("thread:stop before the thread runs", 3)
      end
      load.stop(self.ld)
    end,
    address = function()
      return self.address
    end,
    connectto = function(bytes)
      self.address = bytes
    end,
  }
end

function orders.set(self, name, value)
  self.env[name] = value
end

function orders.get(self, name)
  return self.env[name]
end

function orders.address(self)
  return self.address
end

function orders.connectto(self, bytes)
  self.address = bytes
end

local function scripted(env, name)
  return type(env[name]) == "function"
end

local function try(self, fn, ...)
  local ok, result = loadwrk.call(self.env, fn, ...)
  if not ok then
    error(result, 0)
  end
  return result
end

function orders.init(self)
  try(self, self.env.wrk.init, self.opts.args)
end

-- The next request as text, and how many it holds.
local function sample(self)
  local env = self.env
  local s = try(self, scripted(env, "request") and env.request or env.wrk.request)
  if type(s) ~= "string" then
    error(("request returned %s, not the text of a request"):format(s == nil and "nothing" or type(s)), 0)
  end
  local n, heads, at = load.count(s)
  if n then
    return s, n, heads
  end
  local before = s:sub(1, at)
  local _, lines = before:gsub("\n", "")
  error(("bad request: %s at %d:%d of\n%s"):format(heads, lines + 1, #before:match "[^\n]*$" + 1, s), 0)
end

-- -> how many requests one string holds. As in wrk the first thread makes one to find out.
function orders.pipeline(self)
  local _, n = sample(self)
  return n
end

-- Makes the loader. -> a pointer to it
function orders.prepare(self, conf)
  local env = self.env
  conf.address = self.address
  conf.delay, conf.response = scripted(env, "delay"), scripted(env, "response")
  if not scripted(env, "request") then
    conf.request, conf.pipeline, conf.heads = sample(self)
  end
  self.asks = conf.delay or conf.response or not conf.request
  local ld, code = load.new(conf)
  if not ld then
    error("cannot begin: " .. core.net.error(code), 0)
  end
  self.ld = ld
  return ld
end

-- Runs it; returns when it is over.
function orders.run(self)
  if self.asks then
    drive(self.ld, self.env)
  else
    load.run(self.ld)
  end
end

local function answer(answers, ok, ...)
  local sent, why = pcall(answers.send, answers, { ok, n = select("#", ...), ... })
  if not sent then
    answers:send { false, n = 1, why }
  end
end

-- main(opts, channel, answers, mates): until the channel of orders is closed. mates: how many wait for each other at first,
-- each on a P.
function loadthread.main(opts, channel, answers, mates)
  if mates > 1 then
    load.muster(mates, 2)
  end
  local self = { opts = opts }
  for order in channel do
    answer(answers, pcall(orders[order[1]], self, unpack(order, 2, order.n)))
  end
end

return loadthread
