-- SPDX-License-Identifier: MIT

-- loadasks: how a response is shown to a script: what its function does not look at is not made.
--
-- Whether it looks at a parameter is seen in its bytecode, and supposed wherever that is not clear: where it makes
-- functions, which may have captured it, or has more arguments than names.

local ffi = require "ffi"
local hasutil, util = pcall(require, "jit.util")

local string, find, sub = ffi.string, string.find, string.sub
local getinfo, band, rshift = debug.getinfo, bit.band, bit.rshift

local loadasks = {}

-- LuaJIT's modes of operands, as jit.util.funcbc tells them: A in bits 0 to 2, B in 3 to 6, C or D in 7 to 10.
local BASE, VAR, RBASE, FUNC = 2, 3, 4, 12

-- Whether fn, a Lua function, may read its parameter number i (from 0).
local function reads(fn, i)
  if not hasutil then
    return true
  end
  local pc = 1
  while true do
    local ins, mode = util.funcbc(fn, pc)
    if not ins then
      return false
    end
    local modea, modeb, modec = band(mode, 7), band(rshift(mode, 3), 15), band(rshift(mode, 7), 15)
    local a, b = band(rshift(ins, 8), 255), rshift(ins, 24)
    local c = modeb == 0 and rshift(ins, 16) or band(rshift(ins, 16), 255)
    if modec == FUNC then
      return true -- a closure
    elseif modea == VAR and a == i or modeb == VAR and b == i or modec == VAR and c == i then
      return true
    elseif modea == RBASE and a == 0 and modeb == 0 and c == 1 then -- luacheck: ignore 542 (returns nothing: RET0)
    elseif (modea == BASE or modea == RBASE) and a <= i or modeb == RBASE and b <= i or modec == RBASE and c <= i then
      return true -- the first of several
    end
    pc = pc + 1
  end
end

-- looksat(fn) -> whether it may look at headers, and at the body
function loadasks.looksat(fn)
  local info = getinfo(fn, "Su")
  if info.what == "C" or info.isvararg then
    return true, true
  end
  return info.nparams >= 2 and reads(fn, 1), info.nparams >= 3 and reads(fn, 2)
end

-- The head of a response -> { name = value }, names as they came; of equal ones the last.
function loadasks.headers(head)
  local t = {}
  local at = find(head, "\n", 1, true)
  while at do
    local colon = find(head, ":", at, true)
    local past = find(head, "\n", at + 1, true)
    if not past or not colon then
      break
    end
    if colon < past then
      local _, blanks = find(head, "^[ \t]*", colon + 1)
      local from, to = blanks + 1, past - 1
      while to >= from and find(head, "^[ \t\r]", to) do
        to = to - 1
      end
      t[sub(head, at + 1, colon - 1)] = sub(head, from, to)
    end
    at = past
  end
  return t
end

-- shower(view) -> a function that calls one with the response that is in view.
function loadasks.shower(view)
  local last, wantshead, wantsbody
  return function(response)
    if response ~= last then
      last, wantshead, wantsbody = response, loadasks.looksat(response)
    end
    local headers, body
    if wantshead then
      headers = loadasks.headers(string(view.head, view.headlen))
    end
    if wantsbody then
      body = string(view.body, view.bodylen)
    end
    response(view.status, headers, body)
  end
end

return loadasks
