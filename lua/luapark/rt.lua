-- SPDX-License-Identifier: MIT

-- rt: the runtime's memory and functions as compiled Lua code reaches them.
--
-- A classic C function ends a JIT trace; an FFI call does not. So what is called in hot loops and seldom parks reads
-- and writes the scheduler's structures here, and enters C by core.park only to park. None of the functions below ever
-- parks, switches or enters Lua: they may be called from a trace.
--
-- The layouts are those of struct pview (src/sched/sched.h) and struct sudogs (src/park/sudog.h). Numbers that are
-- unsigned there are int32_t here: none reaches 2^31, and the JIT keeps an int32_t an integer, where it makes a uint32_t
-- a double.

local ffi = require "ffi"
local core = require "luapark.core"

-- (Loaded anew after package.loaded forgot us, the types are there already.)
pcall(ffi.cdef, [[
struct luapark_view { int32_t cur, sudogfree, wake, reason, sel; };
struct luapark_sudogs { int32_t *next, *prev, *g, *own, *index, *done; };
]])

local address = core.address

return {
  view = ffi.cast("struct luapark_view *", address.view), -- of this state's P
  sudogs = ffi.cast("struct luapark_sudogs *", address.sudogs),
  hookmask = ffi.cast("uint8_t *", address.hookmask), -- LuaJIT's: what it is in the middle of
  nlive = ffi.cast("uint32_t *", address.nlive),
  -- ready(slot, wake): the waiting G runs next, and its park returns wake
  ready = ffi.cast("void (*)(int32_t, int32_t)", address.ready),
  sudogrefill = ffi.cast("bool (*)(struct luapark_view *)", address.sudogrefill),
  now = ffi.cast("double (*)(void)", address.now),
}
