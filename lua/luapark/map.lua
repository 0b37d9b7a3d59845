-- SPDX-License-Identifier: MIT

-- map: a map that all Ps share, for counters and caches; Go's sync.Map. src/park/map.h says how it is made.
--
-- What is stored crosses by the one rule for values (carry.lua), and is read as a copy of one's own each time. Numbers go
-- through FFI alone; other values lie beside a sudog meanwhile, as those of channels do (share.lua).

local ffi = require "ffi"
local rt = require "luapark.rt"
local waitq = require "luapark.waitq"
local share = require "luapark.share"

local vals, takeany, free = rt.vals, waitq.takeany, waitq.free
local set, get, drop = share.set, share.get, share.drop
local loadnum, storenum, swapval = rt.map_loadnum, rt.map_storenum, rt.map_swap
local ffistring, gc = ffi.string, ffi.gc
local type, error, tostring = type, error, tostring

local map = {}

local Map = {}
Map.__index = Map
share.class("map", Map, Map)

local FALSE, TRUE, NUM, STR = 1, 2, 3, 5 -- enum valtag

-- What a call says besides; read before anything else can run.
local out = ffi.new "double[1]"

-- map() -> m
function map.map()
  return share.new "map"
end

local function object(self, method)
  return share.object(self, Map, method, "map") -- a tail call: no level of its own
end

-- A key as rt's functions take it.
local function key(k, method)
  local t = type(k)
  if t == "string" then
    return STR, k, #k
  elseif t == "number" and k == k then
    return NUM, nil, k
  elseif t == "boolean" then
    return k and TRUE or FALSE, nil, 0
  end
  error(("bad argument #1 to '%s' (key: string, number or boolean expected, got %s)"):format(method,
    k == nil and "no value" or t == "number" and "nan" or t), 3)
end

-- A place with v beside it.
local function with(v)
  local s = takeany()
  local why = set(s, v)
  if why then
    free(s)
    error(why, 3)
  end
  return s
end

-- What is beside s, if there is anything.
local function result(s, is)
  if is then
    return get(s), true
  end
  free(s)
  return nil, false
end

local function discard(s, ...)
  drop(s)
  free(s)
  return ...
end

-- -> what k has, and whether it has anything
function Map:load(k)
  local m = object(self, "load")
  local tag, str, n = key(k, "load")
  if loadnum(m, tag, str, n, out) then
    return out[0], true
  end
  local s = takeany()
  return result(s, rt.map_load(m, tag, str, n, vals[s]))
end

function Map:store(k, v)
  local m = object(self, "store")
  local tag, str, n = key(k, "store")
  if type(v) == "number" then
    storenum(m, tag, str, n, v)
    return
  end
  local s = with(v)
  swapval(m, tag, str, n, vals[s])
  discard(s)
end

-- Stores v. -> what k had, and whether it had anything
function Map:swap(k, v)
  local m = object(self, "swap")
  local tag, str, n = key(k, "swap")
  local s = with(v)
  return result(s, swapval(m, tag, str, n, vals[s]))
end

-- -> what k has, true; or stores v: v, false
function Map:loadorstore(k, v)
  local m = object(self, "loadorstore")
  local tag, str, n = key(k, "loadorstore")
  if loadnum(m, tag, str, n, out) then
    return out[0], true
  end
  local s = with(v)
  if rt.map_loadorstore(m, tag, str, n, vals[s]) then
    return get(s), true
  end
  free(s)
  return v, false
end

-- -> what k had, and whether it had anything
function Map:loadanddelete(k)
  local m = object(self, "loadanddelete")
  local tag, str, n = key(k, "loadanddelete")
  local s = takeany()
  return result(s, rt.map_loadanddelete(m, tag, str, n, vals[s]))
end

function Map:delete(k)
  local m = object(self, "delete")
  local tag, str, n = key(k, "delete")
  local s = takeany()
  rt.map_loadanddelete(m, tag, str, n, vals[s])
  discard(s)
end

local function checkold(old, method)
  local t = type(old)
  if t ~= "number" and t ~= "string" and t ~= "boolean" and t ~= "nil" then
    error(("bad argument #2 to '%s' (nil, boolean, number or string expected, got %s)"):format(method, t), 3)
  end
end

-- Stores new if k has old: whether it did.
function Map:cas(k, old, new)
  local m = object(self, "cas")
  local tag, str, n = key(k, "cas")
  checkold(old, "cas")
  local s = with(new)
  local was = with(old)
  local did = rt.map_cas(m, tag, str, n, vals[was], vals[s])
  discard(was)
  return discard(s, did)
end

-- Deletes k if it has old: whether it did.
function Map:cad(k, old)
  local m = object(self, "cad")
  local tag, str, n = key(k, "cad")
  checkold(old, "cad")
  local was = with(old)
  return discard(was, rt.map_cad(m, tag, str, n, vals[was]))
end

-- Adds n to the number that k has, 0 if it has nothing. -> the new one
function Map:add(k, n)
  local m = object(self, "add")
  local tag, str, num = key(k, "add")
  if type(n) ~= "number" then
    error(("bad argument #2 to 'add' (number expected, got %s)"):format(n == nil and "no value" or type(n)), 2)
  end
  if not rt.map_add(m, tag, str, num, n, out) then
    error(("'add' to a value that is no number (key %s)"):format(tostring(k)), 2)
  end
  return out[0]
end

-- How many keys there are; while others change it, a moment ago.
function Map:len()
  return rt.map_len(object(self, "len"))
end

function Map:clear()
  rt.map_clear(object(self, "clear"))
end

-- The key where a walk stands.
local function current(r)
  local k = r.key
  if k.tag == STR then
    return ffistring(k.s, k.len)
  elseif k.tag == NUM then
    return k.n
  end
  return k.tag == TRUE
end

local function step(r)
  local s = takeany()
  if not rt.map_next(r, vals[s]) then
    free(s)
    return nil
  end
  return current(r), (get(s))
end

-- for k, v in m:pairs() do: each key once at most, as in Go's Range. Others may change the map meanwhile, and so may the
-- loop: what comes later may be left out, what is deleted before its turn is.
function Map:pairs()
  local r = gc(rt.map_range(object(self, "pairs")), rt.map_rangefree)
  return function() return step(r) end
end

-- fn(k, v) for each key, until it returns false.
function Map:range(fn)
  object(self, "range")
  if type(fn) ~= "function" then
    error(("bad argument #1 to 'range' (function expected, got %s)"):format(fn == nil and "no value" or type(fn)), 2)
  end
  for k, v in self:pairs() do
    if fn(k, v) == false then
      return
    end
  end
end

function Map:__tostring()
  return ("map [%d]"):format(self:len())
end

map.Map = Map
return map
