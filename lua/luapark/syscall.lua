-- SPDX-License-Identifier: MIT

-- syscall: calls a C function that blocks, while others go on with this P.

local ffi = require "ffi"
local core = require "luapark.core"

local cast, typeof, tostring, tonumber, type, error = ffi.cast, ffi.typeof, tostring, tonumber, type, error
local coresyscall, iscallback, cparams = core.syscall, core.iscallback, core.cparams

local NARGS = 8 -- integers and pointers, in src/lua/lib_syscall.c

local words_t = ffi.typeof("int64_t[?]")

local function isplain(ctype) -- an integer, a pointer or what goes as one
  if ctype:find "[*%[&(]" then
    return true
  end
  return not (ctype:find "%f[%w]double%f[%W]" or ctype:find "%f[%w]float%f[%W]" or ctype:find "^struct " or
    ctype:find "^union " or ctype:find "complex")
end

local function toreturn(text)
  if text == "void" then
    return function() end
  elseif text == "bool" or text == "_Bool" then
    return function(word) return word % 256 ~= 0 end
  end
  local ok, ctype = pcall(typeof, text)
  if not ok then
    ctype = typeof "void *" -- to a struct without a name
  end
  if not text:find "%*" and ffi.sizeof(ctype) < 8 then
    return function(word) return tonumber(cast(ctype, word)) end
  end
  return function(word) return cast(ctype, word) end
end

local signatures = {} -- id of a function's type -> its signature, or why there is none

-- LuaJIT writes the types of functions without their parameters.
local function parse(text, fn)
  local result = text:match "^ctype<([^(]-)%s*%(%*%s*%)%(%)>$" or text:match "^ctype<([^(]-)%s*%(%)>$"
  if not result then
    return nil, "C function expected, got cdata of " .. text
  elseif not isplain(result) then
    return nil, ("it returns %s, which is no integer nor pointer"):format(result)
  end
  local n, variadic, words = cparams(fn)
  if n and not words then
    return nil, "it takes what is no integer nor pointer"
  elseif n and n > NARGS then
    return nil, ("it takes more than %d arguments"):format(NARGS)
  end
  return { atleast = n or 0, atmost = variadic and NARGS or n or NARGS, result = toreturn(result) }
end

local function signature(fn)
  if type(fn) ~= "cdata" then
    error(("bad argument #1 to 'syscall' (C function expected, got %s)"):format(fn == nil and "no value" or type(fn)), 3)
  end
  local id = tonumber(typeof(fn))
  local s = signatures[id]
  if not s then
    local why
    s, why = parse(tostring(typeof(fn)), fn)
    s = s or why
    signatures[id] = s
  end
  if type(s) == "string" then
    error(("bad argument #1 to 'syscall' (%s)"):format(s), 3)
  end
  return s
end

-- v as the word that a C function gets; or nil, and what it is instead.
local function toword(v, words)
  local t = type(v)
  if t == "number" then
    if v % 1 ~= 0 or v >= 2 ^ 64 or v < -2 ^ 63 then
      return nil, ("whole number of 64 bits expected, got %.14g"):format(v)
    end
    return v < 2 ^ 63 and v or cast("int64_t", cast("uint64_t", v))
  elseif t == "nil" then
    return 0
  elseif t == "boolean" then
    return v and 1 or 0
  elseif t == "string" then
    return cast("int64_t", cast("intptr_t", cast("const char *", v)))
  elseif t ~= "cdata" and t ~= "userdata" then
    return nil, "integer or pointer expected, got " .. t
  end
  local text = t == "cdata" and tostring(typeof(v)) or ""
  if text == "ctype<double>" or text == "ctype<float>" or text:find "^ctype<complex" then
    return nil, "integer or pointer expected, got " .. text:match "<(.*)>"
  end
  local ok, p = pcall(cast, "const void *", v)
  if not ok then
    return nil, "integer or pointer expected, got " .. t
  end
  local word = cast("int64_t", cast("intptr_t", p))
  if text:find "%(" then
    words[0] = word
    local is = iscallback(words)
    if is == nil and not text:find "^ctype<[^(]*%([^*]" then
      return nil, "a function pointer may be a Lua function, which cannot run without its P; this LuaJIT does not tell"
    elseif is then
      return nil, "a Lua function cannot run without its P"
    end
  end
  return word
end

-- syscall(fn, ...) -> fn's result, as FFI gives it (its errno: ffi.errno()).
-- Calls the C function, a function or function pointer of FFI's, with integers, pointers, strings, booleans and nil, at most
-- eight. Meanwhile the other goroutines of this P go on, on another thread, if the call takes long; so does the goroutine
-- afterwards. The function must not call back into Lua, and what the pointers point to must not change meanwhile.
return function(fn, ...)
  local s, n = signature(fn), select("#", ...)
  if n < s.atleast or n > s.atmost then
    error(("wrong number of arguments for the function given to 'syscall' (%d expected, got %d)"):format(
      n < s.atleast and s.atleast or s.atmost, n), 2)
  end
  local words = words_t(NARGS + 1)
  for i = 1, n do
    local word, why = toword((select(i, ...)), words)
    if not word then
      error(("bad argument #%d to 'syscall' (%s)"):format(i + 1, why), 2)
    end
    words[i] = word
  end
  words[0] = cast("int64_t", cast("intptr_t", cast("void *", fn)))
  coresyscall(words)
  return s.result(words[0])
end
