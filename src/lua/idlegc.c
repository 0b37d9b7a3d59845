/* SPDX-License-Identifier: MIT */
/* idlegc.c - a P that has nothing to do takes a step of its state's collector. */
#include "lua/host.h"

static int collect(lua_State *S)
{
	struct lstate *ls = lua_touserdata(S, 1);
	ls->collecting = lua_gc(S, LUA_GCSTEP, 0) == 0;
	return 0;
}

/* A cycle begins here only when much has been made since the last one that ended here:
 * otherwise whoever idles often would collect all the time. */
bool host_gcstep(P *pp)
{
	struct lstate *ls = pp->lua;
	int kb = lua_gc(ls->service, LUA_GCCOUNT, 0);
	if (!ls->collecting && kb < ls->kept + ls->kept / 4 + 256)
		return false;
	if (!host_protected(ls, collect, ls)) /* a finalizer's error: LuaJIT's own collector drops it, too */
		lua_settop(ls->service, 0);
	if (!ls->collecting)
		ls->kept = lua_gc(ls->service, LUA_GCCOUNT, 0);
	return ls->collecting;
}
