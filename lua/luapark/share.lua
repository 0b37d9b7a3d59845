-- SPDX-License-Identifier: MIT

-- share: what several Ps know: how a handle becomes shared, and operations on shared channels.
--
-- A shared object lives in C (src/park/chan.h, sync.h) behind a lock, and nothing there parks. So each operation is: try;
-- if it must wait, once more with a sudog, which the object puts into its line if it still must; then park. Values are
-- beside the sudog, in vals[s].

local ffi = require "ffi"
local core = require "luapark.core"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local cleartable = require "table.clear"
local carry = require "luapark.carry"

local vals, done, view = rt.vals, rt.sudogs.done, rt.view
local take, takeany, free, SHARED = waitq.take, waitq.takeany, waitq.free, waitq.SHARED
local sendnum, chansend, chanrecv, valstring, valfree = rt.chan_sendnum, rt.chan_send, rt.chan_recv, rt.valstring,
  rt.valfree
local park, nopark, encode, decode = core.park, core.nopark, core.encode, core.decode
local RECVREASON, SENDREASON = core.reason.CHANRECV, core.reason.CHANSEND
local type, error, getmetatable, setmetatable = type, error, getmetatable, setmetatable
local ffistring, cast = ffi.string, ffi.cast

local share = {}

-- Handles --------------------------------------------------------------------------------------------------------------

local kinds = { chan = 0, waitgroup = 1, mutex = 2, atomic = 3, conn = 4, listener = 5, rwmutex = 6, cond = 7, once = 8,
  semaphore = 9, map = 10, timer = 11, done = 12, ctx = 13 } -- enum objkind
local modules = { [kinds.conn] = "luapark.net", [kinds.listener] = "luapark.net" } -- kind -> who brings its class
local classes = {} -- kind -> metatable of shared handles
local adopts = {} -- kind -> what makes the handle, where that is more than the address

local OBJECT, REF = 1, 2 -- fields of a shared handle: its address, and what the collector holds it by

-- A kind of handle: its metatable while it is at home, and when it is shared. adopt(handle or nil, object, ref): makes
-- the shared handle, but for its metatable.
function share.class(kind, home, shared, adopt)
  classes[kinds[kind]] = shared
  adopts[kinds[kind]] = adopt
  core.class(kinds[kind], home, shared)
  carry.handle(home)
  carry.handle(shared)
end

-- A handle of a new object, of a kind that is always shared.
function share.new(kind, n)
  return core.object(kinds[kind], n)
end

-- For a method: the object of self; an error if that is no handle with this metatable.
function share.object(self, class, method, name)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (%s expected, got %s; call it with a colon)"):format(method, name, type(self)), 3)
  end
  return self[OBJECT]
end

-- The handle of an object: the one that was at home, or a new one. Called by src/lua/share.c.
local function adopt(kind, handle, object, ref)
  if not classes[kind] then
    core.require(modules[kind])
  end
  object = cast("void *", object)
  if adopts[kind] then
    return setmetatable(adopts[kind](handle, object, ref), classes[kind])
  end
  if handle then
    cleartable(handle)
  else
    handle = {}
  end
  handle[OBJECT] = object
  handle[REF] = ref
  return setmetatable(handle, classes[kind])
end

-- What a goroutine that came as a message runs: the function in it, with its arguments. Tail calls: no frame of ours stays,
-- and it can yield.
local function call(fn, ...)
  return fn(...)
end

local function boot(message)
  return call(core.unpack(message))
end

core.on(adopt, carry.try, boot, waitq.elem)

-- Values beside a sudog ------------------------------------------------------------------------------------------------

local NIL, FALSE, TRUE, NUM, STR = 0, 1, 2, 3, 5 -- enum valtag

-- Puts v beside s: nothing, or why it cannot cross.
local function set(s, v)
  local val, t = vals[s], type(v)
  if t == "number" then
    val.tag = NUM
    val.u.n = v
  elseif t == "string" then
    valstring(val, v, #v)
  elseif t == "nil" then
    val.tag = NIL
  elseif t == "boolean" then
    val.tag = v and TRUE or FALSE
  else
    local ok, why = encode(v, s)
    if not ok then
      return "cannot send " .. why
    end
  end
end
share.set = set

-- Takes the value beside s, and frees s.
local function get(s)
  local val = vals[s]
  local tag = val.tag
  if tag == NUM then
    local v = val.u.n
    free(s)
    return v
  elseif tag == STR then
    local v = ffistring(val.u.s.data, val.u.s.len)
    valfree(val)
    free(s)
    return v
  end
  free(s)
  if tag == NIL then
    return nil
  elseif tag <= TRUE then
    return tag == TRUE
  end
  return decode(s) -- which has the value before it does anything else
end
share.get = get

-- Forgets it.
local function drop(s)
  valfree(vals[s])
end
share.drop = drop

-- Channels -------------------------------------------------------------------------------------------------------------

local BLOCK, DONE, CLOSED = 0, 1, 2 -- enum chanresult
share.BLOCK, share.DONE, share.CLOSED = BLOCK, DONE, CLOSED

-- A sudog that may wait in shared lines.
local function takeshared(level)
  local why = nopark()
  if why then
    error(why, level + 1)
  end
  local s = take(level + 1)
  done[s] = SHARED
  return s
end
share.take = takeshared

local function closedsend()
  error("send on closed channel", 3)
end

-- The slow half of send: v is no number, or the channel was full. Where nothing may wait (`refused` says why) it sends
-- what can be sent at once.
local function parksend(h, v)
  local refused = nopark()
  local s = takeany()
  local why = set(s, v)
  if why then
    free(s)
    error(why, 2)
  end
  done[s] = SHARED
  local r = chansend(h, vals[s], refused and 0 or s)
  if r == BLOCK and refused then
    drop(s)
    free(s)
    error(refused, 2)
  elseif r == BLOCK then
    view.reason = SENDREASON
    view.sel = s
    why = park()
    if why then -- its bubble has ended
      rt.chan_leave(h, true, s)
      drop(s)
      free(s)
      error(why, 2)
    end
    r = view.wake < 0 and CLOSED or DONE
  end
  if r == CLOSED then
    drop(s)
    free(s)
    closedsend()
  end
  free(s)
end

-- As chan.lua's, for the object h. The caller's line is two levels up.
function share.send(h, v)
  if type(v) == "number" then
    local r = sendnum(h, v)
    if r == DONE then
      return
    elseif r == CLOSED then
      closedsend()
    end
  end
  return parksend(h, v)
end

function share.trysend(h, v)
  local s = takeany()
  local why = set(s, v)
  if why then
    free(s)
    error(why, 2)
  end
  local r = chansend(h, vals[s], 0)
  if r ~= DONE then
    drop(s)
  end
  free(s)
  if r == CLOSED then
    closedsend()
  end
  return r == DONE
end

local function parkrecv(h, reason)
  local s = takeshared(2)
  local r = chanrecv(h, vals[s], s)
  if r == BLOCK then
    view.reason = reason or RECVREASON
    view.sel = s
    local why = park()
    if why then -- likewise
      rt.chan_leave(h, false, s)
      free(s)
      error(why, 2)
    end
    r = view.wake < 0 and CLOSED or DONE
  end
  if r == CLOSED then
    free(s)
    return nil, false
  end
  return get(s), true
end

-- reason: what the wait is called, if not "chan receive".
function share.recv(h, reason)
  local s = takeany()
  local r = chanrecv(h, vals[s], 0)
  if r == DONE then
    return get(s), true
  end
  free(s)
  if r == CLOSED then
    return nil, false
  end
  return parkrecv(h, reason)
end

function share.tryrecv(h)
  local s = takeany()
  local r = chanrecv(h, vals[s], 0)
  if r == DONE then
    return get(s), true, true
  end
  free(s)
  return nil, false, r == CLOSED
end

return share
