/* SPDX-License-Identifier: MIT */
/* onerror.c - the function that is asked about errors which nobody caught: where it is.
 *
 * There is one for the process, and it lives in the state of the P where onerror was called
 * with it, as an entry of that state's A_ONERROR.  A goroutine that fails there calls it;
 * one that fails elsewhere starts a goroutine there, which calls it for it
 * (lua/luapark/onerror.lua).
 *
 * An entry belongs to the place below, or, when onerror was called with another function
 * on another P, to the userdata by which that P knows the former one: until it is
 * collected.  As long as there is an entry its P must not end.  So it counts as a goroutine
 * of that P (nhome; p0 never ends), and what takes it away arrives by mail after all that
 * was sent to it: whoever sends holds the lock. */
#include <stdlib.h>

#include "base/os.h"
#include "lua/codec.h"
#include "lua/panic.h"

#define WHERE "luapark.onerror"

struct where {
	P *home; /* NULL: nowhere */
	uint32_t id;
};

static struct lock placelock = LOCK_INIT(RANK_ONERROR);
static struct where place;
static uint32_t lastid;

struct reference {
	struct where to;
	bool owns;
};

bool onerror_isset(void)
{
	lock(&placelock);
	bool is = place.home != NULL;
	unlock(&placelock);
	return is;
}

static void unpin(P *pp)
{
	if (pp != &p0)
		pp->nhome--;
}

struct dropmail {
	struct mail m;
	uint32_t id;
};

static void droparrived(P *pp, struct mail *m)
{
	lua_State *A = pp->lua->anchor;
	lua_pushnil(A);
	lua_rawseti(A, A_ONERROR, (int)((struct dropmail *)m)->id);
	unpin(pp);
	free(m);
}

/* A reference is collected. */
static int collected(lua_State *L)
{
	const struct reference *r = lua_touserdata(L, 1);
	if (!r->owns)
		return 0;
	struct dropmail *d = xmalloc(sizeof *d);
	*d = (struct dropmail){{NULL, droparrived}, r->to.id};
	postmail(r->to.home, &d->m);
	return 0;
}

static struct reference *newreference(lua_State *L)
{
	struct reference *r = lua_newuserdata(L, sizeof *r);
	*r = (struct reference){{NULL, 0}, false};
	luaL_getmetatable(L, WHERE);
	lua_setmetatable(L, -2);
	return r;
}

/* set(function or nil) -> the former one: nil, a function, or a reference */
static int set(lua_State *L)
{
	struct lstate *ls = hostof(L);
	P *pp = ls->pp;
	struct where now = {NULL, 0};
	lua_settop(L, 1);
	struct reference *r = newreference(L);
	host_pushanchor(L, ls, A_ONERROR);
	if (lua_isfunction(L, 1)) {
		lock(&placelock);
		now = (struct where){pp, ++lastid};
		unlock(&placelock);
		lua_pushvalue(L, 1);
		lua_rawseti(L, 3, (int)now.id);
		pp->nhome += pp != &p0;
	}
	lock(&placelock);
	struct where was = place;
	place = now;
	unlock(&placelock);
	if (was.home == pp) {
		lua_rawgeti(L, 3, (int)was.id);
		lua_pushnil(L);
		lua_rawseti(L, 3, (int)was.id);
		unpin(pp);
		return 1;
	}
	if (!was.home)
		return 0;
	*r = (struct reference){was, true};
	lua_settop(L, 2);
	return 1;
}

/* whom() -> the function, if it lives here; else a reference to it; nil if there is none
 * whom(id) -> the function with this id here, or nil */
static int whom(lua_State *L)
{
	struct lstate *ls = hostof(L);
	uint32_t id = (uint32_t)lua_tointeger(L, 1);
	if (id == 0) {
		lock(&placelock);
		struct where to = place;
		unlock(&placelock);
		if (!to.home)
			return 0;
		if (to.home != ls->pp) {
			newreference(L)->to = to;
			return 1;
		}
		id = to.id;
	}
	host_pushanchor(L, ls, A_ONERROR);
	lua_rawgeti(L, -1, (int)id);
	return 1;
}

/* idof(reference) -> the id that its function has where it lives */
static int idof(lua_State *L)
{
	const struct reference *r = luaL_checkudata(L, 1, WHERE);
	lua_pushinteger(L, (lua_Integer)r->to.id);
	return 1;
}

/* startat(reference, message) -> true: a goroutine runs the message where the function
 * lives; false: that function has been replaced */
static int startat(lua_State *L)
{
	struct lstate *ls = hostof(L);
	const struct reference *r = luaL_checkudata(L, 1, WHERE);
	struct msg *m = lua_touserdata(L, 2);
	struct callsite cs = vm_callsite(L);
	uint32_t site = site_of(L, ls, &cs);
	G *gp = gfgetempty(ls->pp);
	if (!gp) {
		msg_free(m);
		return luaL_error(L, "too many goroutines (%d)", (int)sched.gsperp);
	}
	gp->mail = m;
	gp->wake = 0;
	gp->nval = 0;
	lock(&placelock);
	bool there = r->owns || (place.home == r->to.home && place.id == r->to.id);
	if (there)
		newprocat(ls->pp, gp, site, r->to.home);
	unlock(&placelock);
	if (!there) {
		gfput(ls->pp, gp);
		msg_free(m);
	}
	lua_pushboolean(L, there);
	return 1;
}

/* describe(error) -> the error and a traceback, in words */
static int describe(lua_State *L)
{
	lua_settop(L, 1);
	panic_describe(L, hostof(L), 1);
	return 1;
}

/* message(error) -> the error in words */
static int message(lua_State *L)
{
	lua_settop(L, 1);
	panic_pushmessage(L, 1);
	return 1;
}

/* onfailed(fn): see A_ONFAILED */
static int onfailed(lua_State *L)
{
	struct lstate *ls = hostof(L);
	lua_settop(L, 1);
	host_setanchor(L, ls, A_ONFAILED);
	return 0;
}

void onerror_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {{"set", set},		 {"whom", whom},       {"idof", idof},	     {"startat", startat},
					 {"describe", describe}, {"message", message}, {"onfailed", onfailed}, {NULL, NULL}};
	luaL_newmetatable(L, WHERE);
	lua_pushcfunction(L, collected);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	lua_newtable(L);
	host_register(L, ls, funcs);
	lua_setfield(L, -2, "onerror");
}
