/* SPDX-License-Identifier: MIT */
/* code.h - prototypes, as all states share them.
 *
 * A struct code is a function's bytecode and what dump.h found in it.  It never
 * changes, so anybody may read it who holds a reference.  The process has one for
 * each content; a state finds those of its own functions by their prototype. */
#ifndef LUAPARK_LUA_CODE_H
#define LUAPARK_LUA_CODE_H

#include "base/atomic.h"
#include "lua/dump.h"
#include "lua/values.h"

struct code {
	atomic_u32 refs;
	uint64_t id; /* never used twice */
	uint64_t hash;
	struct code *next; /* in its bucket, under the table's lock */
	bool examined;	   /* info is good; if not, it cannot be moved or copied */
	struct dumpinfo info;
	size_t len;
	uint8_t dump[]; /* its upvalue references: locals 0, 1, 2, ..., all immutable */
};

struct code *code_ref(struct code *c);
void code_unref(struct code *c); /* any thread */

/* The code of the Lua function at idx.  Good until the next call; who keeps it longer
 * takes a reference.  May raise memory errors. */
struct code *code_of(lua_State *L, struct values *v, int idx);

/* Pushes the state's maker of the code: a function that returns a closure of it, its
 * arguments being the upvalues; those with their bit set are marked immutable.  May
 * raise a memory error. */
void code_pushmaker(lua_State *L, struct values *v, struct code *c, uint64_t immutable);

/* Bit n is set: LuaJIT's mark says that nothing assigns to upvalue n + 1 of the Lua
 * function at idx. */
uint64_t code_immutable(lua_State *L, int idx, uint32_t nuv);

/* How many there are in the process. */
uint32_t code_count(void);

#endif
