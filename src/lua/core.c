/* SPDX-License-Identifier: MIT */
/* core.c - the C half of the module: require "luapark.core". */
#include "lua/host.h"

__attribute__((visibility("default"))) int luaopen_luapark_core(lua_State *L);

/* One state can be the process's P0; a second is refused in words. */
int luaopen_luapark_core(lua_State *L)
{
	if (sched.started)
		return luaL_error(L, "luapark is already loaded in another Lua state of this process");
	struct lstate *ls = host_open(L, &p0);
	lua_newtable(L);
	lib_proc_open(L, ls);
	lib_coroutine_open(L, ls);
	lib_require_open(L, ls);
	lib_net_open(L, ls);
	lib_http_open(L, ls);
	return 1;
}
