-- SPDX-License-Identifier: MIT

-- wait: how a goroutine waits for a mutex, a wait group and their kin, for as long as it takes or up to a limit. Channels
-- have their own ways (chan.lua, select.lua).
--
-- What is waited for says how, in a table (`way`):
--   reason                   what tracebacks show
--   ownreason                the same of what a bubble has made (bubble.lua); nil: to wait for it is never durable
--   home                     the metatable of such objects at home; nil: they are always shared
--   enlist(self, s, n)       puts the sudog s into the line, unless there is nothing to wait for any more: whether it did.
--                            Or an error, a string: s is decided, and nobody will wake us
--   leave(self, s, n)        the wait was given up: takes s out of the line, if it still stands there, and passes on
--                            whatever kept others waiting
--   again(self, s, wake, since)    where being woken is not all: whether s, in the line, has to wait on
--   parks                    whether it lets others run even if it may wait for 0 seconds
--   level                    whose fault an error is, if not our caller's
-- Each of them must look whether self is at home or shared: it may have gone to another P while we waited.
--
-- s stands for the whole wait: who decides it (waitq) ends it. The time does so by G.sel.

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local share = require "luapark.share"
local limits = require "luapark.limit"

local view, prev, now = rt.view, rt.sudogs.prev, rt.now
local take, takeshared, free = waitq.take, share.take, waitq.free
local park, parkuntil, nopark = core.park, core.parkuntil, core.nopark
local ended, enlist, delist, openagain, checklimit, CTX, isforeign = limits.ended, limits.enlist, limits.delist,
  limits.openagain, limits.check, limits.CTX, limits.isforeign
local type, error, getmetatable = type, error, getmetatable

local wait = {}

-- For a method's argument i: how long it may wait, seconds or a context. -> why that has ended and its code, or nothing.
function wait.checklimit(l, i, method)
  local _, ctx = checklimit(l, i, method, 3)
  if ctx then
    return ended(ctx)
  end
end

-- The wait is over: the context's line is left, too.
local function gotten(s, ctx, d)
  if d then
    delist(ctx, d, true)
  end
  free(s)
  return true
end

local function giveup(self, way, s, n, ctx, d, why)
  way.leave(self, s, n)
  gotten(s, ctx, d)
  if why then
    error(why, way.level or 2) -- of a tail call
  end
  local ctxwhy, code
  if ctx then
    ctxwhy, code = ended(ctx)
  end
  return nil, ctxwhy or "timeout", code or "ETIMEDOUT"
end

-- Parks until the wait of s, in its line, is decided, or until `deadline`. (A tail call of itself where it has to wait on:
-- the JIT records no loops here, and there is one frame of ours on a parked goroutine's stack.)
local function parked(self, way, s, deadline, n, since, ctx, d)
  local refused
  local foreign = d and isforeign(ctx)
  view.reason = not foreign and way.ownreason and self.bubble and way.ownreason or way.reason
  view.sel = s
  if deadline then
    refused = parkuntil(deadline, foreign)
  else
    refused = park()
  end
  local wake = view.wake
  if refused or wake == 0 or wake == -CTX then
    return giveup(self, way, s, n, ctx, d, refused)
  end
  local again = way.again
  if again then
    if getmetatable(self) ~= way.home then -- as in share.take: ask before others can find us
      local why = nopark(true)
      if why then
        return giveup(self, way, s, n, ctx, d, why)
      end
    end
    if again(self, s, wake, since) then
      -- From here on the context's end can decide it; before, that found it decided, and passed us over.
      if d then
        openagain(ctx, s)
        if ended(ctx) then
          return giveup(self, way, s, n, ctx, d)
        end
      end
      return parked(self, way, s, deadline, n, since, ctx, d)
    end
  end
  return gotten(s, ctx, d)
end

-- Waits for self, which had nothing to give a moment ago, for `limit` at most: seconds, a context, or nil. n: for the way.
-- -> true, or nil, why and its code. To be called as a tail call.
function wait.wait(self, way, limit, n)
  if limit == 0 and not way.parks then
    return nil, "timeout", "ETIMEDOUT"
  end
  local s
  if getmetatable(self) ~= way.home then
    s = takeshared(way.level or 2)
  else
    s = take(way.level or 2)
  end
  prev[s] = 0
  local since, deadline, ctx, d = now(), nil, nil, nil
  if type(limit) == "number" then
    deadline = since + limit
  elseif limit then
    ctx = limit
    local why
    d, deadline, why = enlist(ctx, s)
    if why then
      free(s)
      error(why, way.level or 2)
    elseif d == false then
      free(s)
      return nil, ended(ctx)
    end
  end
  local waits = way.enlist(self, s, n)
  if waits ~= true then
    if d then
      delist(ctx, d, waits ~= false)
    end
    free(s)
    if waits then
      error(waits, way.level or 2)
    end
    return true
  end
  return parked(self, way, s, deadline, n, since, ctx, d)
end

return wait
