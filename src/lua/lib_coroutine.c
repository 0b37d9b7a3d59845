/* SPDX-License-Identifier: MIT */
/* lib_coroutine.c - a G's coroutine is not the user's.
 *
 * coroutine.running() must not hand it out: whoever resumed a parked G's
 * coroutine would continue it without the scheduler.  Wrapping coroutine.resume
 * to refuse that would slow down every generator of every program.  So running()
 * hands out a stand-in instead: a coroutine of the G's own, always the same, that
 * can be compared and used as a key, and whose resumption is an error in words.
 * coroutine.resume and wrap stay LuaJIT's own.
 *
 * The main G looks like Lua's main thread: running() is nil there. */
#include "lua/host.h"

enum { PROXIES = 2 }; /* upvalue: weak table, stand-in -> handle of its G */

static int refuse(lua_State *L)
{
	return luaL_error(L, "cannot resume a goroutine's coroutine (use goready)");
}

static void newproxy(lua_State *L, struct lstate *ls, G *gp)
{
	lua_State *proxy = lua_newthread(L);
	lua_pushcfunction(proxy, refuse);
	lua_pushvalue(L, -1);
	host_pushg(L, ls, gp);
	lua_rawset(L, lua_upvalueindex(PROXIES));
	lua_pushvalue(ls->anchor, A_PROXY);
	lua_xmove(ls->anchor, L, 1);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, (int)gindex(ls->pp, gp->slot));
	lua_pop(L, 1);
	gp->flags |= GF_PROXY;
}

static int running(lua_State *L)
{
	struct lstate *ls = hostof(L);
	G *gp = hostcurg(ls);
	if (!gp || L != gp->L) {
		if (lua_pushthread(L)) /* the state's main thread */
			lua_pushnil(L);
	} else if (gp->id == ls->mainid) {
		lua_pushnil(L);
	} else if (gp->flags & GF_PROXY) {
		lua_rawgeti(ls->anchor, A_PROXY, (int)gindex(ls->pp, gp->slot));
		lua_xmove(ls->anchor, L, 1);
	} else {
		newproxy(L, ls, gp);
	}
	return 1;
}

/* As LuaJIT's, but where a G's own coroutine cannot yield (in a sort comparator,
 * say) it gives up the time slice all the same. */
static int yield(lua_State *L)
{
	if (lp_unlikely(!lua_isyieldable(L))) {
		struct lstate *ls = hostof(L);
		G *gp = hostcurg(ls);
		if (gp && L == gp->L && !host_nopark(L, ls)) {
			host_goschedstk(L, gp);
			return 0;
		}
		return luaL_error(L, "attempt to yield across C-call boundary");
	}
	return lua_yield(L, lua_gettop(L));
}

/* The main G looks like the main thread, which cannot yield. */
static int isyieldable(lua_State *L)
{
	struct lstate *ls = hostof(L);
	G *gp = hostcurg(ls);
	bool ismain = gp && L == gp->L && gp->id == ls->mainid;
	lua_pushboolean(L, !ismain && lua_isyieldable(L));
	return 1;
}

/* The status of the G a stand-in stands for, in the words of coroutines; nil if
 * the argument is not one: status.lua goes on to LuaJIT's own then. */
static int proxystatus(lua_State *L)
{
	struct lstate *ls = hostof(L);
	lua_settop(L, 1);
	if (lua_isnil(L, 1))
		return 0;
	lua_rawget(L, lua_upvalueindex(PROXIES));
	if (lua_isnil(L, -1))
		return 1;
	G *gp = host_checkg(L, -1);
	if (!gp)
		lua_pushliteral(L, "dead");
	else if (gp == hostcurg(ls))
		lua_pushstring(L, L == gp->L ? "running" : "normal");
	else
		lua_pushliteral(L, "suspended");
	return 1;
}

/* The function that the G was started with, which the xpcall at the bottom has called. */
static bool startedwith(lua_State *co, lua_Debug *ar)
{
	int lo = 0, hi = 1; /* levels that are there, and that are not; the last is the xpcall */
	for (; lua_getstack(co, hi, ar); hi *= 2)
		lo = hi;
	while (hi - lo > 1) {
		int mid = lo + (hi - lo) / 2;
		if (lua_getstack(co, mid, ar))
			lo = mid;
		else
			hi = mid;
	}
	return lo > 0 && lua_getstack(co, lo - 1, ar);
}

/* outermost(fn) -> the first argument of fn, if the running goroutine was started with it */
static int outermost(lua_State *L)
{
	lua_Debug ar;
	const G *gp = hostcurg(hostof(L));
	lua_State *co = gp ? gp->L : NULL;
	if (!co || !startedwith(co, &ar) || !lua_checkstack(co, 1) || !lua_getinfo(co, "f", &ar))
		return 0;
	bool is = lua_topointer(co, -1) == lua_topointer(L, 1);
	lua_pop(co, 1);
	if (!is || !lua_getlocal(co, &ar, 1))
		return 0;
	lua_xmove(co, L, 1);
	return 1;
}

bool host_pushstart(lua_State *L, const G *gp)
{
	lua_Debug ar;
	lua_State *co = gp->L;
	if (!startedwith(co, &ar) || !lua_checkstack(co, 2) || !lua_getinfo(co, "f", &ar))
		return false;
	if (!lua_getlocal(co, &ar, 1)) {
		lua_pop(co, 1);
		return false;
	}
	if (co != L)
		lua_xmove(co, L, 2);
	return true;
}

void lib_coroutine_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {
		{"running", running}, {"yield", yield}, {"isyieldable", isyieldable}, {"proxystatus", proxystatus},
		{"outermost", outermost}, {NULL, NULL}};
	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "k");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	for (const luaL_Reg *f = funcs; f->name; f++) {
		lua_pushlightuserdata(L, ls);
		lua_pushvalue(L, -2);
		lua_pushcclosure(L, f->func, 2);
		lua_setfield(L, -3, f->name);
	}
	lua_pop(L, 1);
}
