/* SPDX-License-Identifier: MIT */
/* handle.c - a goroutine as Lua sees it: g.id, g.status, g.waitreason, g:daemon().
 *
 * A userdata that names the goroutine by slot and id, so that it may outlive it.
 * While the goroutine lives it has one handle at most, kept by the anchor: the
 * same object each time, good as a table key. */
#include <string.h>

#include "lua/handle.h"

#define HANDLE "luapark.g"

struct handle {
	struct lstate *ls;
	G *gp;
	uint64_t id;
};

static G *alive(const struct handle *h)
{
	return h->gp->id == h->id ? h->gp : NULL;
}

static void pushanchor(lua_State *L, struct lstate *ls, int idx)
{
	lua_pushvalue(ls->anchor, idx);
	lua_xmove(ls->anchor, L, 1);
}

void host_pushg(lua_State *L, struct lstate *ls, G *gp)
{
	if (gp->flags & GF_HANDLE) {
		lua_rawgeti(ls->anchor, A_HANDLE, (int)gp->slot);
		lua_xmove(ls->anchor, L, 1);
		return;
	}
	struct handle *h = lua_newuserdata(L, sizeof *h);
	*h = (struct handle){ls, gp, gp->id};
	pushanchor(L, ls, A_HANDLEMT);
	lua_setmetatable(L, -2);
	pushanchor(L, ls, A_HANDLE);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, (int)gp->slot);
	lua_pop(L, 1);
	gp->flags |= GF_HANDLE;
}

G *host_checkg(lua_State *L, int idx)
{
	struct handle *h = luaL_checkudata(L, idx, HANDLE);
	return alive(h);
}

static int daemon(lua_State *L)
{
	struct handle *h = luaL_checkudata(L, 1, HANDLE);
	bool on = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
	G *gp = alive(h);
	if (gp)
		gsetdaemon(gp, on);
	lua_settop(L, 1);
	return 1;
}

static int getfield(lua_State *L)
{
	struct handle *h = luaL_checkudata(L, 1, HANDLE);
	const char *key = lua_tostring(L, 2);
	G *gp = alive(h);
	if (!key) {
		lua_pushnil(L);
	} else if (strcmp(key, "id") == 0) {
		lua_pushnumber(L, (lua_Number)h->id);
	} else if (strcmp(key, "status") == 0) {
		lua_pushstring(L, gp ? gstatustext(gp) : "dead");
	} else if (strcmp(key, "waitreason") == 0) {
		if (gp && readgstatus(gp) == Gwaiting)
			host_pushreason(L, h->ls, gp);
		else
			lua_pushnil(L);
	} else {
		lua_getmetatable(L, 1);
		lua_pushvalue(L, 2);
		lua_rawget(L, -2);
	}
	return 1;
}

static int tostring(lua_State *L)
{
	struct handle *h = luaL_checkudata(L, 1, HANDLE);
	G *gp = alive(h);
	if (gp)
		host_pushtitle(L, h->ls, gp);
	else
		lua_pushfstring(L, "goroutine %f [dead]", (lua_Number)h->id);
	return 1;
}

void handle_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg meta[] = {
		{"__index", getfield}, {"__tostring", tostring}, {"daemon", daemon}, {NULL, NULL}};
	luaL_newmetatable(L, HANDLE);
	luaL_register(L, NULL, meta);
	lua_xmove(L, ls->anchor, 1);
	lua_replace(ls->anchor, A_HANDLEMT);
}
