/* SPDX-License-Identifier: MIT */
/* core.c - the C half of the module: require "luapark.core". */
#include "lua/host.h"

__attribute__((visibility("default"))) int luaopen_luapark_core(lua_State *L);

static const char loaded[] = "luapark.core"; /* in the registry: the library's table */

/* One state can be the process's P0; a second is refused in words. */
int luaopen_luapark_core(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, loaded);
	if (lua_istable(L, -1)) /* package.loaded has forgotten us */
		return 1;
	lua_pop(L, 1);
	if (sched.started)
		return luaL_error(L, "luapark is already loaded in another Lua state of this process");
	struct lstate *ls = host_open(L, &p0);
	lua_newtable(L);
	lib_proc_open(L, ls);
	lib_coroutine_open(L, ls);
	lib_require_open(L, ls);
	lib_net_open(L, ls);
	lib_http_open(L, ls);
	lua_pushvalue(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, loaded);
	return 1;
}
