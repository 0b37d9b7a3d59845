/* SPDX-License-Identifier: MIT */
/* portable.h - whether a function may run on another state, where nobody could tell
 * the difference. */
#ifndef LUAPARK_LUA_PORTABLE_H
#define LUAPARK_LUA_PORTABLE_H

#include "lua/values.h"

/* Whether the function at idx is portable.  If not, why says so in one line.  Changes
 * nothing and runs nothing; may raise memory errors. */
bool portable_check(lua_State *L, struct lstate *ls, int idx, char *why, size_t size);

/* Whether the n values from idx on may be arguments of a function that moves: nothing
 * that the caller shares with it. */
bool portable_values(lua_State *L, struct lstate *ls, int idx, int n, char *why, size_t size);

/* The environment at idx is one made for copied functions (see codec.h). */
bool portable_isenv(lua_State *L, const struct values *v, int idx);

/* Pushes the name of the module whose value is at idx, looking into package.loaded;
 * or nothing, and false.  None of Lua's own. */
bool portable_module(lua_State *L, const struct values *v, int idx);

#endif
