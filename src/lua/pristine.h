/* SPDX-License-Identifier: MIT */
/* pristine.h - what Lua's standard library holds before anybody has touched it. */
#ifndef LUAPARK_LUA_PRISTINE_H
#define LUAPARK_LUA_PRISTINE_H

#include <lua.h>
#include <stdint.h>

#include "base/buf.h"

struct pristine {
	const char *table; /* "math", "" for globals, or PRISTINE_MODULE */
	const char *key;
	int type;	 /* LUA_T... */
	lua_CFunction f; /* NULL for those that LuaJIT has in assembly */
	lua_Number num;
	struct buf dump; /* of those that LuaJIT has in bytecode */
};

/* Modules that LuaJIT brings along without loading them ("table.new"). */
#define PRISTINE_MODULE "package.preload"

/* All of it; a table's entries follow each other, globals come first.  Made at the
 * first call, from a state of its own, for the process.  Any thread. */
const struct pristine *pristine(uint32_t *n);

/* Dumps the Lua function on top of L; false if that cannot be. */
bool pristine_dump(lua_State *L, struct buf *out);

#endif
