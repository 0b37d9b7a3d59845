/* SPDX-License-Identifier: MIT */
/* lib_require.c - require, for more than one goroutine.
 *
 * Lua 5.1's require, with one difference: a module that another goroutine is
 * still loading is waited for, where LuaJIT would speak of a loop.  (Its main
 * chunk may park, so another G can well ask for the same module meanwhile.)  A
 * loop within one goroutine is LuaJIT's error as before, and so is a loop over
 * several that would wait for each other for ever.
 *
 * Its own function and not a wrapper around the old one: an error's position is
 * that of the caller of require, whichever C function that is.
 *
 * What is being loaded stands in a list of frames on the loaders' C stacks.  A
 * frame leaves the list when the load ends; also when it ends by an error, since
 * LuaJIT unwinds C frames and runs their cleanups (this file needs -fexceptions);
 * and if the whole goroutine is thrown away, gdead unlinks it. */
#include <stdbool.h>
#include <string.h>

#include "lua/host.h"

struct loading {
	struct lstate *ls;
	const char *name; /* on the loader's Lua stack */
	G *gp;
	uint32_t waiters; /* list by schedlink */
	struct loading *next;
};

static char loadingmark; /* package.loaded[name] while it is being loaded, and if that failed */

static struct loading *find(struct lstate *ls, const char *name)
{
	struct loading *ld = ls->loading;
	while (ld && strcmp(ld->name, name) != 0)
		ld = ld->next;
	return ld;
}

static void finish(struct loading *ld)
{
	struct loading **at = &ld->ls->loading;
	while (*at && *at != ld)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = ld->next;
	while (ld->waiters) {
		G *gp = &sched.gs[ld->waiters];
		ld->waiters = gp->schedlink;
		gp->schedlink = 0;
		goready(gp, 1);
	}
}

void lib_require_gdead(struct lstate *ls, G *gp)
{
	for (struct loading *ld = ls->loading, *next; ld; ld = next) {
		next = ld->next;
		if (ld->gp == gp)
			finish(ld);
	}
}

/* The load that gp waits for, or NULL. */
static struct loading *awaited(struct lstate *ls, const G *gp)
{
	for (struct loading *ld = ls->loading; ld; ld = ld->next)
		for (uint32_t s = ld->waiters; s; s = sched.gs[s].schedlink)
			if (&sched.gs[s] == gp)
				return ld;
	return NULL;
}

/* Whether waiting for ld would never end: its loader waits for ours. */
static bool isloop(struct lstate *ls, const struct loading *ld, const G *me)
{
	while (ld && ld->gp != me)
		ld = awaited(ls, ld->gp);
	return ld != NULL;
}

/* Waits until the load is over, one way or the other. */
static void await(lua_State *L, struct lstate *ls, struct loading *ld)
{
	const char *why = host_nopark(L, ls);
	/* host_nopark answers for a yield too; here the C stack is kept. */
	if (!why && !cstack_spare(&ls->pp->stacks))
		why = "too many goroutines are parked inside C calls";
	if (why)
		luaL_error(L, "%s", why);
	G *gp = hostcurg(ls);
	gp->schedlink = ld->waiters;
	ld->waiters = gp->slot;
	gp->nval = 0;
	host_parkstk(L, ls, WR_REQUIRE);
}

/* Pushes the loader of the module. */
static void pushloader(lua_State *L, const char *name)
{
	lua_getfield(L, lua_upvalueindex(2), "loaders");
	if (!lua_istable(L, -1))
		luaL_error(L, LUA_QL("package.loaders") " must be a table");
	lua_pushliteral(L, ""); /* what the searchers have to say */
	for (int i = 1;; i++) {
		lua_rawgeti(L, -2, i);
		if (lua_isnil(L, -1))
			luaL_error(L, "module " LUA_QS " not found:%s", name, lua_tostring(L, -2));
		lua_pushstring(L, name);
		lua_call(L, 1, 1);
		if (lua_isfunction(L, -1))
			return;
		if (lua_isstring(L, -1))
			lua_concat(L, 2);
		else
			lua_pop(L, 1);
	}
}

static int require(lua_State *L)
{
	struct lstate *ls = hostof(L);
	const char *name = luaL_checkstring(L, 1);
	lua_settop(L, 1);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	for (struct loading *ld;;) {
		lua_getfield(L, 2, name);
		if (!lua_toboolean(L, -1))
			break;
		if (lua_touserdata(L, -1) != &loadingmark)
			return 1;
		ld = find(ls, name);
		if (!ld || !hostcurg(ls) || isloop(ls, ld, hostcurg(ls)))
			return luaL_error(L, "loop or previous error loading module " LUA_QS, name);
		lua_pop(L, 1);
		await(L, ls, ld);
	}
	pushloader(L, name);
	lua_pushlightuserdata(L, &loadingmark);
	lua_setfield(L, 2, name);

	struct loading ld __attribute__((cleanup(finish))) = {ls, name, hostcurg(ls), 0, ls->loading};
	ls->loading = &ld;
	lua_pushstring(L, name);
	lua_call(L, 1, 1);
	if (!lua_isnil(L, -1))
		lua_setfield(L, 2, name);
	lua_getfield(L, 2, name);
	if (lua_touserdata(L, -1) == &loadingmark) {
		lua_pushboolean(L, 1);
		lua_pushvalue(L, -1);
		lua_setfield(L, 2, name);
	}
	return 1;
}

void lib_require_open(lua_State *L, struct lstate *ls)
{
	lua_pushlightuserdata(L, ls);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, "package");
	lua_remove(L, -2);
	lua_pushcclosure(L, require, 2);
	lua_setfield(L, -2, "require");
}
