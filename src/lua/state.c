/* SPDX-License-Identifier: MIT */
/* state.c - the states of the Ps beside the host's: opened and closed by their threads.
 *
 * A new state is as the host's was when it loaded luapark: the standard libraries, the
 * paths of modules, luapark itself.  What the command line adds (globals, -j, -O) is
 * done by a function of the executable's. */
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "lua/host.h"
#include "lua/values.h"
#include "luapark.h"
#include "park/netpoll.h"
#include "park/sudog.h"
#include "park/timer.h"

static const char ownerkey[] = "luapark.p"; /* in the registry of a state that is being opened */

static struct {
	char *path, *cpath;
	bool jit; /* not turned off */
	lua_CFunction onopen;
} model;

static char *copyfield(lua_State *L, const char *lib, const char *field)
{
	lua_getglobal(L, lib);
	if (!lua_istable(L, -1)) {
		lua_pop(L, 1);
		return NULL;
	}
	lua_getfield(L, -1, field);
	const char *s = lua_tostring(L, -1);
	char *copy = s ? xmalloc(strlen(s) + 1) : NULL;
	if (s)
		strcpy(copy, s);
	lua_pop(L, 2);
	return copy;
}

void state_model(lua_State *L)
{
	free(model.path);
	free(model.cpath);
	model.path = copyfield(L, "package", "path");
	model.cpath = copyfield(L, "package", "cpath");
	int top = lua_gettop(L);
	model.jit = luaL_dostring(L, "return (require('jit').status())") != 0 || lua_toboolean(L, -1);
	lua_settop(L, top);
}

void state_onopen(lua_CFunction fn)
{
	model.onopen = fn;
}

P *state_owner(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, ownerkey);
	P *pp = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return pp;
}

static void setfield(lua_State *L, const char *field, const char *s)
{
	if (!s)
		return;
	lua_getglobal(L, "package");
	lua_pushstring(L, s);
	lua_setfield(L, -2, field);
	lua_pop(L, 1);
}

static int openstate(lua_State *L)
{
	P *pp = lua_touserdata(L, 1);
	lua_gc(L, LUA_GCSTOP, 0);
	luaL_openlibs(L);
	lua_gc(L, LUA_GCRESTART, -1);
	setfield(L, "path", model.path);
	setfield(L, "cpath", model.cpath);
	if (!model.jit && luaL_dostring(L, "require('jit').off()") != 0)
		return lua_error(L);
	/* Each P's random numbers are its own, the same in each run. */
	lua_getglobal(L, "math");
	lua_getfield(L, -1, "randomseed");
	lua_pushinteger(L, (lua_Integer)pp->id);
	lua_call(L, 1, 0);
	lua_pushlightuserdata(L, pp);
	lua_setfield(L, LUA_REGISTRYINDEX, ownerkey);
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, luaopen_luapark_core);
	lua_setfield(L, -2, "luapark.core");
	lua_getglobal(L, "require");
	lua_pushliteral(L, "luapark");
	lua_call(L, 1, 0);
	if (model.onopen) {
		lua_pushcfunction(L, model.onopen);
		lua_call(L, 0, 0);
	}
	return 0;
}

bool state_openp(P *pp)
{
	/* Whoever parks with a C stack leaves his P one for the next G; so the first one must be
	 * there from the start.  Where all are in use there will be no more Ps. */
	if (!cstack_spare(&pp->stacks))
		return false;
	lua_State *L = luaL_newstate();
	int status = L ? lua_cpcall(L, openstate, pp) : LUA_ERRMEM;
	if (status == 0)
		return true;
	const char *why = L && lua_tostring(L, -1) ? lua_tostring(L, -1) : "not enough memory";
	fprintf(stderr, "luapark: no state for another P, going on with %u: %s\n", (unsigned)pp->id, why);
	if (pp->lua)
		state_closep(pp);
	else if (L)
		lua_close(L);
	return false;
}

/* What pp had for its state, which has been closed. */
static void release(P *pp)
{
	struct lstate *ls = pp->lua;
	timers_term(pp);
	netpoll_term(pp);
	values_term(ls);
	free(ls->used);
	free(ls->freepage);
	free(ls);
	pp->lua = NULL;
	pp->view = (struct pview){.sudogfree = pp->view.sudogfree};
	/* Its Gs' coroutines are gone with the state. */
	for (G *gp; (gp = gfgetstarted(pp)) != NULL;) {
		gp->L = NULL;
		gfput(pp, gp);
	}
}

void state_closep(P *pp)
{
	lua_close(pp->lua->L); /* closes its sockets */
	release(pp);
}

bool host_close(void)
{
	return stopms();
}

/* When the host closes its state p0 keeps what finalizers may yet need: until the next one
 * comes, which finds everything as at the start. */
bool host_enter(void)
{
	if (!p0.lua)
		return true;
	if (!load_relaxed(&p0.lua->closes))
		return false;
	host_killall();
	release(&p0);
	sudogs_reset();
	procresize(procdefault());
	return true;
}
