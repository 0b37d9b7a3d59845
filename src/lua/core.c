/* SPDX-License-Identifier: MIT */
/* core.c - the C half of the module: require "luapark.core". */
#include "luapark.h"

#include "lua/host.h"
#include "lua/panic.h"

static const char loaded[] = "luapark.core"; /* in the registry: the library's table */

/* A state's end, by os.exit also in the middle of a G, is told by a value in its registry,
 * whose finalizer runs then.  The host's is ours. */
static int closing(lua_State *L)
{
	struct lstate *ls = lua_touserdata(L, lua_upvalueindex(1));
	store_relaxed(&ls->closes, true);
	if (ls->pp == &p0)
		(void)host_close();
	return 0;
}

static void watchend(lua_State *L, struct lstate *ls)
{
	lua_newuserdata(L, 1);
	lua_createtable(L, 0, 1);
	lua_pushlightuserdata(L, ls);
	lua_pushcclosure(L, closing, 1);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	luaL_ref(L, LUA_REGISTRYINDEX);
}

/* One state of the host's can be p0's; a second is refused in words, until that is closed.
 * The others are our own (state.c). */
int luaopen_luapark_core(lua_State *L)
{
	if (!vm_isluajit())
		return luaL_error(L, "luapark needs LuaJIT 2.1; this is another Lua");
	lua_getfield(L, LUA_REGISTRYINDEX, loaded);
	if (lua_istable(L, -1)) /* package.loaded has forgotten us */
		return 1;
	lua_pop(L, 1);
	P *pp = state_owner(L);
	if (!pp && !host_enter())
		return luaL_error(L, "luapark is already loaded in another Lua state of this process");
	struct lstate *ls = host_open(L, pp ? pp : &p0);
	watchend(L, ls);
	lua_newtable(L);
	lib_proc_open(L, ls);
	lib_park_open(L, ls);
	lib_share_open(L, ls);
	lib_sync_open(L, ls);
	lib_coroutine_open(L, ls);
	interrupt_open(L, ls);
	lib_require_open(L, ls);
	lib_net_open(L, ls);
	lib_syscall_open(L, ls);
	lib_http_open(L, ls);
	lib_load_open(L, ls);
	lib_values_open(L, ls);
	lib_synctest_open(L, ls);
	onerror_open(L, ls);
	if (!pp)
		state_model(L);
	lua_pushvalue(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, loaded);
	return 1;
}
