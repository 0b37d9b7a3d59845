-- SPDX-License-Identifier: MIT

-- onerror: what a program does about errors that no goroutine of its own has caught.
--
-- The function lives where onerror was called with it, in one Lua state. A goroutine that fails there calls it itself:
-- its stack is unwound, but it is not dead yet. One that fails elsewhere starts a goroutine there that calls the function
-- for it, and waits for the answer. (src/lua/panic.c is what comes before and after, src/lua/onerror.c knows where.)

local core = require "luapark.core"
local rt = require "luapark.rt"
local sync = require "luapark.sync"
local exits = require "luapark.exits"
local channel = require "luapark.chan"

local set, whom, idof, startat, describe, message = core.onerror.set, core.onerror.whom, core.onerror.idof,
  core.onerror.startat, core.onerror.describe, core.onerror.message
local view, pack = rt.view, core.pack
local chan, HCHAN = channel.chan, channel.HCHAN
local recv, reason = require("luapark.share").recv, core.reason.ONERROR
local type, error, pcall, xpcall, select = type, error, pcall, xpcall, select

local onerror = {}

-- Goroutine's slot -> who waits for its answer, for functions that end by goexit (which calls onerror.exiting).
local serving = {}

-- What runs where the function lives: calls it, and sends what it has come to. true: the error is handled; false: not; a
-- string: how the function has failed; nil: it is not there any more.
local function serve(id, g, words, trace, question, answer)
  local fn = whom(id)
  if not fn then
    answer:send(nil)
    return
  end
  local came, err = pcall(question.recv, question)
  if not came then -- its module cannot be loaded here
    err = words
  end
  local slot = view.cur
  serving[slot] = answer
  local ok, handled = xpcall(fn, describe, g, err, trace)
  serving[slot] = nil
  if not ok then
    handled = "failed, too:\n" .. handled
  elseif handled ~= true then
    handled = false
  end
  answer:send(handled)
end
onerror.serve = serve

function onerror.exiting()
  local answer = serving[view.cur]
  if answer then
    serving[view.cur] = nil
    answer:send "has called goexit"
  end
end

-- Asks the function behind the reference: its answer, see serve.
local function ask(reference, g, err, trace, words)
  local question, answer = chan(1), chan(1)
  if not pcall(question.send, question, err) then -- it cannot leave its state
    question:send(words)
  end
  local m, why = pack("share", serve, idof(reference), g, words, trace, question, answer)
  if not m then
    error(why, 0)
  end
  if not startat(reference, m) then
    return nil
  end
  return (recv(answer[HCHAN], reason)) -- shared by now
end

-- What a failed goroutine runs. -> whether the error is handled, and how the function has failed if it has.
local function failed(g, err, trace, words, start, arg)
  local handled
  repeat
    local fn = whom()
    if not fn then
      return false
    elseif type(fn) == "function" then
      handled = fn(g, err, trace) == true
    else
      handled = ask(fn, g, err, trace, words)
    end
  until handled ~= nil
  if handled == true then
    exits.finish()
    sync.failed(start, arg) -- who waits in wg:wait() for a goroutine of wg:go waits no longer
    return true
  end
  return false, handled or nil
end
core.onerror.onfailed(failed)

-- onerror(fn) -> the function before, or nil. From now on fn(g, err, traceback) is called for each error that no goroutine
-- but the main one catches. If it returns true that was all; else the program ends as it would have without it, and so it
-- does when fn itself fails. fn may wait, and may run in several goroutines at once. nil: nobody is asked any more.
function onerror.onerror(...)
  local fn = ...
  if type(fn) ~= "function" and (fn ~= nil or select("#", ...) == 0) then
    error(("bad argument #1 to 'onerror' (function or nil expected, got %s)"):format(
      select("#", ...) == 0 and "no value" or type(fn)), 2)
  end
  local former = set(fn)
  if type(former) ~= "userdata" then
    return former
  end
  return function(g, err, trace) -- it lives on another P
    local handled = ask(former, g, err, trace, message(err))
    if type(handled) == "string" then
      error("the function on another P " .. handled, 0)
    end
    return handled
  end
end

return onerror
