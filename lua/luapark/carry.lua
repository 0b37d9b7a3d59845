-- SPDX-License-Identifier: MIT

-- carry: a value as the goroutine that gets it shall see it.
--
-- One rule for all values that go from goroutine to goroutine, on whatever P these are: nil, booleans, numbers, strings,
-- light userdata and 64-bit integers as they are; tables as deep copies; handles (channels, mutexes, goroutines, ...) as
-- references; functions if they are portable. So it makes no difference whether the receiver shares this Lua state. Here the
-- copies are made where it does; where it does not the value codec makes them, of bytes.

local ffi = require "ffi"
local core = require "luapark.core"

local type, getmetatable, setmetatable, next, rawget, error = type, getmetatable, setmetatable, next, rawget, error
local istype, portable, ishandle, isknown = ffi.istype, core.portable, core.ishandle, core.isknown
local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"
local loaded = package.loaded

local handles = {} -- metatable of a kind of handle -> true

local carry = {}

-- Values with this metatable are handles.
function carry.handle(mt)
  handles[mt] = true
end

-- Whether v, no table, is the same for everybody.
local function isplain(v)
  local t = type(v)
  if t == "number" or t == "string" or t == "boolean" or t == "nil" then
    return true
  elseif t == "function" then
    return (portable(v))
  elseif t == "userdata" then
    return ishandle(v) or isknown(v)
  elseif t == "cdata" then
    return istype(int64, v) or istype(uint64, v)
  end
  return false
end

-- What says how a table with a metatable crosses: the module that the metatable is.
local function bymodule(mt)
  local name = rawget(mt, "__module")
  return type(name) == "string" and rawget(loaded, name) == mt
end

-- A copy of the table, with all that it holds; nil if something cannot cross. Without recursion: tables may be nested as
-- deep as they like.
local function copytable(root)
  local copies, todo, n = {}, { root }, 1
  copies[root] = {}
  local i = 0
  local function copyof(v)
    if type(v) ~= "table" then
      return v, isplain(v)
    end
    local copy = copies[v]
    if copy then
      return copy, true
    elseif isknown(v) then
      return v, true
    end
    local mt = getmetatable(v)
    if mt ~= nil then
      if handles[mt] then
        return v, true
      elseif type(mt) ~= "table" or not bymodule(mt) then
        return nil, false
      end
    end
    copy = {}
    copies[v] = copy
    n = n + 1
    todo[n] = v
    return copy, true
  end
  while i < n do
    i = i + 1
    local from = todo[i]
    todo[i] = false
    local to = copies[from]
    for k, v in next, from do
      local k2, ok = copyof(k)
      if not ok then
        return nil
      end
      local v2
      v2, ok = copyof(v)
      if not ok then
        return nil
      end
      to[k2] = v2
    end
    local mt = getmetatable(from)
    if mt ~= nil then
      setmetatable(to, mt)
    end
  end
  return copies[root]
end

-- v as another goroutine shall see it; or nil, and why it cannot be sent.
local function try(v)
  local t = type(v)
  if t == "table" then
    local mt = getmetatable(v)
    if handles[mt] or isknown(v) then
      return v
    end
    if mt == nil or (type(mt) == "table" and bymodule(mt)) then
      local copy = copytable(v)
      if copy then
        return copy
      end
    end
  elseif isplain(v) then
    return v
  end
  return core.copy(v) -- the codec finds the words (and where it knows better, its copy will do)
end
carry.try = try

-- The same, or an error; level: whose fault it is, as for error.
function carry.carry(v, level)
  local copy, why = try(v)
  if copy == nil then
    error("cannot send " .. why, level + 1)
  end
  return copy
end

return carry
