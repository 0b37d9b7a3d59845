/* SPDX-License-Identifier: MIT */
/* vm.h - what we must know of LuaJIT that its public API does not tell.
 *
 * Two implementations, chosen by the build:
 *   vm_private.c  the executable's own LuaJIT, whose private headers are at hand:
 *                 the one file that includes them
 *   vm_public.c   any LuaJIT (the module in a stock luajit): finds the places
 *                 it needs by experiment, in a state of its own, at start */
#ifndef LUAPARK_LUA_VM_H
#define LUAPARK_LUA_VM_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the Lua around us is LuaJIT 2.1; ask before calling anything else of its API. */
bool vm_isluajit(void);

/* Learns what it needs of this LuaJIT.  Once, before all others. */
void vm_init(void);

/* Why the VM itself is in the middle of something, so that a G must not be
 * switched away with its C stack ("a finalizer", ...); NULL if it may. */
const char *vm_busy(lua_State *L);

/* The byte that vm_busy looks at, for Lua code that must look too: nonzero under
 * VM_BUSY means busy.  Always zero where it is not known. */
const uint8_t *vm_hookmask(lua_State *L);
enum { VM_BUSY = 0x60 };

/* Tells LuaJIT that it is L that runs: for a C function which L called, and in which
 * another coroutine of the state has run since.  When the function returns LuaJIT sees to
 * that itself.  When it raises an error that pcall catches, only from September 2023 on
 * (its commit e86990f7): before, compiled code then took the other coroutine's stack for
 * the one it stands on.  Does nothing where a G cannot be switched away either (vm_busy). */
void vm_current(lua_State *L);

/* Around a park that keeps the C stack: a G that stands in a debug hook must not
 * leave the mark "a hook is running" behind for others; and afterwards L runs again
 * (vm_current). */
int vm_savehook(lua_State *L);
void vm_restorehook(lua_State *L, int saved);

/* Whether this C function is a Lua function of L's state (ffi.cast made it one).  Always
 * false where that is not known, see vm_knowscallbacks. */
bool vm_iscallback(lua_State *L, const void *fn);
bool vm_knowscallbacks(void);

/* The parameters of a C function, or a pointer to one, which is the cdata at idx: how
 * many; *variadic: there may be more; *words: all are integers and pointers.  -1 where
 * that is not known. */
int vm_cparams(lua_State *L, int idx, bool *variadic, bool *words);

/* How many instructions the count hook that is set will let pass yet (0: this is not known);
 * and lua_sethook with that. */
int vm_hookleft(lua_State *L);
void vm_sethook(lua_State *L, lua_Hook fn, int mask, int count, int left);

/* The hook events by which a program that computes is stopped, and, in that hook, whether
 * it stands where a goroutine may be pre-empted: where it goes round in a loop, calls a Lua
 * function, or returns to C; so that a statement such as n = n + 1 stays whole. */
int vm_edgeevents(void);
/* Why not all Lua code can be stopped like that, or NULL. */
const char *vm_unstoppable(void);
bool vm_atedge(lua_State *L);

/* The call of the running C function. */
struct callsite {
	/* Names the place in Lua code, in three words that are cheap to get and the
	 * same for each call from there; key[0] is 0 where that is not known. */
	uintptr_t key[3];
	/* Whether the caller uses the results; true where that is not known. */
	bool wantsresult;
};

struct callsite vm_callsite(lua_State *L);

/* Names the prototype of the Lua function at idx: the same for all its closures, as
 * long as one of them is alive.  NULL where that is not known. */
const void *vm_proto(lua_State *L, int idx);

/* Whether nothing ever assigns to upvalue n of the Lua function at idx once it has
 * its first value.  Always false where that is not known, see vm_knowsupvalues. */
bool vm_upvalimmutable(lua_State *L, int idx, int n);
bool vm_knowsupvalues(void);

/* The memory that holds all of a table, whose lua_topointer it is: as long as its bytes
 * are the same nothing in the table has changed.  NULL where that is not known, or it
 * has a metatable. */
const void *vm_tablebytes(const void *table, size_t *n);

#endif
