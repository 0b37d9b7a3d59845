-- SPDX-License-Identifier: MIT

-- rt: the runtime's memory and functions as compiled Lua code reaches them.
--
-- A classic C function ends a JIT trace; an FFI call does not. So what is called in hot loops and seldom parks reads
-- and writes the scheduler's structures here, and enters C by core.park only to park. None of the functions below ever
-- parks, switches or enters Lua: they may be called from a trace.
--
-- Those that return a bool must not be called in a tail call (`return (rt.f())`): when compiled code leaves its trace for
-- the other answer, a second result that the caller's caller asked for is not nil, but what lay on the stack.
--
-- The layouts are those of struct pview (src/sched/sched.h), struct sudogs (src/park/sudog.h), struct val
-- (src/park/val.h) and struct mapkey (src/park/map.h). Numbers that are unsigned there are int32_t here: none reaches
-- 2^31, and the JIT keeps an int32_t an integer, where it makes a uint32_t a double.

local ffi = require "ffi"
local core = require "luapark.core"

-- (Loaded anew after package.loaded forgot us, the types are there already.)
pcall(ffi.cdef, [[
struct luapark_view { int32_t cur, sudogfree, wake, reason, sel, bubble; };
struct luapark_sudogs { int32_t *next, *prev, *g, *own, *index, *done; };
struct luapark_valstr { uint32_t refs; size_t len; char data[1]; };
struct luapark_selcase { void *c; int32_t s, sends; };
struct luapark_val { int32_t tag, unused; union { double n; struct luapark_valstr *s; } u; };
struct luapark_mapkey { int32_t tag; const char *s; size_t len; double n; };
struct luapark_maprange { struct luapark_mapkey key; };
]])

local address = core.address

local function fn(name, type)
  return ffi.cast(type, address[name])
end

return {
  view = ffi.cast("struct luapark_view *", address.view), -- of this state's P
  sudogs = ffi.cast("struct luapark_sudogs *", address.sudogs),
  base = core.sudogbase, -- this P's sudogs are counted from there
  vals = ffi.cast("struct luapark_val *", address.vals), -- by sudog: what it brings or gets, in shared lines
  hookmask = ffi.cast("uint8_t *", address.hookmask), -- LuaJIT's: what it is in the middle of

  gcount = fn("gcount", "int32_t (*)(void)"), -- goroutines that live, on all Ps
  -- ready(slot, wake): the waiting G runs next, and its park returns wake
  ready = fn("ready", "void (*)(int32_t, int32_t)"),
  sudogrefill = fn("sudogrefill", "bool (*)(struct luapark_view *)"),
  now = fn("now", "double (*)(void)"), -- seconds on the clock of the running goroutine: a bubble has its own
  clock = fn("clock", "double (*)(void)"), -- the real one

  -- Shared objects. Results of send and recv: BLOCK, DONE, CLOSED.
  decide = fn("decide", "bool (*)(int32_t, int32_t)"),
  valfree = fn("valfree", "void (*)(struct luapark_val *)"),
  valstring = fn("valstring", "void (*)(struct luapark_val *, const char *, size_t)"),
  chan_sendnum = fn("chan_sendnum", "int32_t (*)(void *, double)"),
  chan_send = fn("chan_send", "int32_t (*)(void *, struct luapark_val *, int32_t)"),
  chan_recv = fn("chan_recv", "int32_t (*)(void *, struct luapark_val *, int32_t)"),
  chan_ready = fn("chan_ready", "bool (*)(void *, bool)"),
  chan_select = fn("chan_select", "int32_t (*)(struct luapark_selcase *, int32_t, int32_t)"),
  chan_close = fn("chan_close", "bool (*)(void *)"),
  chan_leave = fn("chan_leave", "void (*)(void *, bool, int32_t)"),
  chan_len = fn("chan_len", "int32_t (*)(void *)"),
  chan_cap = fn("chan_cap", "int32_t (*)(void *)"),
  chan_isclosed = fn("chan_isclosed", "bool (*)(void *)"),
  chan_settimer = fn("chan_settimer", "bool (*)(void *, double, double)"),
  chan_when = fn("chan_when", "double (*)(void *)"),
  chan_period = fn("chan_period", "double (*)(void *)"),
  ctx_err = fn("ctx_err", "int32_t (*)(void *)"),
  waitgroup_add = fn("waitgroup_add", "bool (*)(void *, double)"),
  waitgroup_wait = fn("waitgroup_wait", "bool (*)(void *, int32_t)"),
  waitgroup_leave = fn("waitgroup_leave", "void (*)(void *, int32_t)"),
  mutex_lock = fn("mutex_lock", "bool (*)(void *, int32_t, bool)"),
  mutex_inherit = fn("mutex_inherit", "void (*)(void *, bool)"),
  mutex_unlock = fn("mutex_unlock", "bool (*)(void *)"),
  mutex_leave = fn("mutex_leave", "void (*)(void *, int32_t)"),
  atomic_load = fn("atomic_load", "double (*)(void *)"),
  atomic_store = fn("atomic_store", "void (*)(void *, double)"),
  atomic_add = fn("atomic_add", "double (*)(void *, double)"),
  atomic_swap = fn("atomic_swap", "double (*)(void *, double)"),
  atomic_cas = fn("atomic_cas", "bool (*)(void *, double, double)"),
  atomic_and = fn("atomic_and", "double (*)(void *, double)"),
  atomic_or = fn("atomic_or", "double (*)(void *, double)"),
  rwmutex_rlock = fn("rwmutex_rlock", "bool (*)(void *, int32_t)"),
  rwmutex_lock = fn("rwmutex_lock", "bool (*)(void *, int32_t)"),
  rwmutex_runlock = fn("rwmutex_runlock", "bool (*)(void *)"),
  rwmutex_unlock = fn("rwmutex_unlock", "bool (*)(void *)"),
  rwmutex_leave = fn("rwmutex_leave", "void (*)(void *, bool, int32_t)"),
  cond_enlist = fn("cond_enlist", "void (*)(void *, int32_t)"),
  cond_signal = fn("cond_signal", "void (*)(void *)"),
  cond_wakeall = fn("cond_wakeall", "void (*)(void *)"),
  cond_leave = fn("cond_leave", "void (*)(void *, int32_t)"),
  once_begin = fn("once_begin", "int32_t (*)(void *, int32_t)"),
  once_end = fn("once_end", "void (*)(void *)"),
  once_leave = fn("once_leave", "void (*)(void *, int32_t)"),
  semaphore_acquire = fn("semaphore_acquire", "bool (*)(void *, double, int32_t)"),
  semaphore_release = fn("semaphore_release", "bool (*)(void *, double)"),
  semaphore_leave = fn("semaphore_leave", "void (*)(void *, int32_t)"),

  -- Maps. A key is three arguments: its tag; a string and its length, or nil and a number.
  map_load = fn("map_load", "bool (*)(void *, int32_t, const char *, double, struct luapark_val *)"),
  map_loadnum = fn("map_loadnum", "bool (*)(void *, int32_t, const char *, double, double *)"),
  map_swap = fn("map_swap", "bool (*)(void *, int32_t, const char *, double, struct luapark_val *)"),
  map_storenum = fn("map_storenum", "void (*)(void *, int32_t, const char *, double, double)"),
  map_loadorstore = fn("map_loadorstore", "bool (*)(void *, int32_t, const char *, double, struct luapark_val *)"),
  map_loadanddelete = fn("map_loadanddelete", "bool (*)(void *, int32_t, const char *, double, struct luapark_val *)"),
  map_cas = fn("map_cas",
    "bool (*)(void *, int32_t, const char *, double, const struct luapark_val *, struct luapark_val *)"),
  map_cad = fn("map_cad", "bool (*)(void *, int32_t, const char *, double, const struct luapark_val *)"),
  map_add = fn("map_add", "bool (*)(void *, int32_t, const char *, double, double, double *)"),
  map_len = fn("map_len", "int32_t (*)(void *)"),
  map_clear = fn("map_clear", "void (*)(void *)"),
  map_range = fn("map_range", "struct luapark_maprange *(*)(void *)"),
  map_next = fn("map_next", "bool (*)(struct luapark_maprange *, struct luapark_val *)"),
  map_rangefree = fn("map_rangefree", "void (*)(struct luapark_maprange *)"),
}
