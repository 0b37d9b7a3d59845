/* SPDX-License-Identifier: MIT */
/* known.h - objects that every state has under the same name: Lua's own functions
 * and tables, and Luapark's.  They cross by name. */
#ifndef LUAPARK_LUA_KNOWN_H
#define LUAPARK_LUA_KNOWN_H

#include "lua/values.h"

enum knownflag {
	KNOWN_STAYS = 1,  /* works on this state alone: who uses it cannot move */
	KNOWN_RANDOM = 2, /* draws random numbers: stays once somebody seeded them */
	KNOWN_IO = 4,	  /* uses the default input or output */
	KNOWN_LUAPARK = 8,
	KNOWN_PRINT = 16, /* calls what is global as tostring */
};

/* Registers Lua's own functions and tables, as they stand in the state now.  The
 * n functions on top of L, which stay, count as Lua's own although they are ours. */
void known_standard(lua_State *L, struct lstate *ls, int n);

/* Registers the object at idx under the name; of a table, its functions too, and
 * from now on nothing may change in it. */
void known_add(lua_State *L, struct lstate *ls, const char *name, int idx);

/* What is global under these names now is so in every state. */
void known_globals(lua_State *L, struct lstate *ls, const char *const *names);

/* The known object at idx, or NULL. */
struct known *known_find(lua_State *L, const struct values *v, int idx);

/* Pushes the known object if it is there already; false, and nothing pushed, if not. */
bool known_named(lua_State *L, const struct values *v, const char *name, size_t len);

/* Pushes the known object, requiring one of Luapark's modules where the name asks for
 * it.  False, and nothing pushed, if there is none; may raise, and park. */
bool known_push(lua_State *L, struct lstate *ls, const char *name, size_t len);

#endif
