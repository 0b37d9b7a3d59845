-- SPDX-License-Identifier: MIT

-- limit: how long a call may wait: so many seconds, or until a context ends.
--
-- A goroutine that waits for something has a second sudog in the line of the context's channel, which stands for the same
-- wait: whoever is first decides it (waitq.lua). Its index is CTX, so that the waker's code tells them apart.

local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local channel = require "luapark.chan"
local due = require "luapark.due"
local context = require "luapark.context"

local index, own, done, prev, vals, decide = rt.sudogs.index, rt.sudogs.own, rt.sudogs.done, rt.sudogs.prev, rt.vals,
  rt.decide
local enqueue, leave, free, takeany, SHARED, YES = waitq.enqueue, waitq.leave, waitq.free, waitq.takeany,
  waitq.SHARED, waitq.YES
local chanrecv, chanleave, parknews, nopark = rt.chan_recv, rt.chan_leave, core.parknews, core.nopark
local RQ, HCHAN, ishome = channel.RQ, channel.HCHAN, due.homes
local doneof, ended, isown, now, clock = context.doneof, context.ended, due.owns, rt.now, rt.clock
local getmetatable, type, error, tostring = getmetatable, type, error, tostring

local limit = {}

local CTX = 2
limit.CTX = CTX

-- A call's limit, its n-th argument: seconds or nil, and context or nil. level: whose fault a bad one is, as for error.
function limit.check(l, n, fname, level)
  if l == nil then
    return nil, nil
  elseif type(l) == "number" and l >= 0 then
    return l, nil
  elseif context.is(l) then
    context.checkown(l, "use of", level)
    return nil, l
  end
  error(("bad argument #%d to '%s' (limit: seconds or a context expected, got %s)"):format(n, fname,
    type(l) == "number" and tostring(l) or type(l)), level + 1)
end

local function finite(when)
  return when < due.NEVER and when or nil
end

-- Has the running goroutine, which is about to park, woken when ctx ends. s: the sudog that stands for its wait, in no
-- line yet; nil: the one that this returns does. -> a sudog, and when ctx ends by itself, on its own clock, or nil. Or
-- nil: it never ends. Or false: it has ended. Or nil, nil, and why nothing may wait here: once others can find it, it must
-- park.
function limit.enlist(ctx, s)
  local c = doneof(ctx)
  if not c then
    return nil
  elseif ended(ctx) then
    return false
  end
  local why = nopark()
  if why then
    return nil, nil, why
  end
  local d = takeany()
  index[d] = CTX
  own[d] = s or d
  if ishome[getmetatable(c)] then
    enqueue(c, RQ, d)
    return d, finite(c[due.WHEN])
  end
  done[s or d] = SHARED
  local r = chanrecv(c[HCHAN], vals[d], d)
  if r ~= 0 then
    free(d)
    return false
  end
  return d, finite(vals[d].u.n)
end

-- Takes d, which enlist gave, out again. parked: whether the goroutine has waited; if not, and ctx has ended meanwhile, the
-- news is on its way, and is taken here: then true.
function limit.delist(ctx, d, parked)
  local c, o = doneof(ctx), own[d]
  if ishome[getmetatable(c)] then
    if prev[d] ~= 0 then
      leave(c, RQ, d)
    end
  else
    chanleave(c[HCHAN], false, d)
  end
  local news = not parked and done[o] ~= 0 and not (done[o] == SHARED and decide(o, YES))
  free(d)
  if news then
    parknews()
  end
  return news
end

-- s, which stands for a wait, waits again: it can be decided as enlist has said.
function limit.openagain(ctx, s)
  if done[s] == 0 and not ishome[getmetatable(doneof(ctx))] then
    done[s] = SHARED
  end
end

-- Whether ctx goes by the real clock although the running goroutine, of a bubble, does not. It may end.
function limit.isforeign(ctx)
  return not isown[getmetatable(doneof(ctx))]
end

-- The seconds until `when`, which enlist has given for ctx.
function limit.secondsto(ctx, when)
  return when and when - (limit.isforeign(ctx) and clock() or now())
end

-- The less of two numbers of seconds, of which nil is for ever.
function limit.less(a, b)
  if a and b then
    return a < b and a or b
  end
  return a or b
end

limit.ended, limit.iscontext = ended, context.is

return limit
