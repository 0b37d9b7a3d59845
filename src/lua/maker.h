/* SPDX-License-Identifier: MIT */
/* maker.h - bytecode of functions that make closures of a given code.
 *
 * Loaded as it is, a dumped function would get upvalues that nothing can be said
 * about.  So it is loaded as the child of a maker, compiled from
 *
 *	local function maker(u1, u2) return function() local _ = u1, u2 end end
 *
 * whose own bytes are the same whatever its child is: dump = header of the child's,
 * the child's prototypes, the maker's, 0.  The child's references to its upvalues are
 * the maker's parameters, with LuaJIT's marks for those that nothing assigns to. */
#ifndef LUAPARK_LUA_MAKER_H
#define LUAPARK_LUA_MAKER_H

#include "lua/code.h"

/* Whether this LuaJIT's bytecode is what we take it for; tried out at the first call,
 * in a state of its own.  If not, nothing can be examined or made. */
bool maker_works(void);

/* Sets the function's references in its dump. */
void maker_patch(uint8_t *dump, const struct dumpinfo *info, uint64_t immutable);

/* Pushes a maker, newly loaded; b is for the bytes.  May raise a memory error. */
void maker_load(lua_State *L, const struct code *c, uint64_t immutable, struct buf *b);

#endif
