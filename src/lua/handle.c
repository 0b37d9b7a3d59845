/* SPDX-License-Identifier: MIT */
/* handle.c - a goroutine as Lua sees it: g.id, g.status, g.waitreason, g:daemon().
 *
 * A userdata that names the goroutine by slot and id, so that it may outlive it, and be
 * held where the goroutine does not live.  A state has one handle of a goroutine at
 * most, the same object each time, good as a table key: kept by the anchor while the
 * goroutine lives here, else as long as somebody holds it. */
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "lua/handle.h"

#define HANDLE "luapark.g"

struct handle {
	struct lstate *ls;
	G *gp;
	uint64_t id;
};

static G *alive(const struct handle *h)
{
	return load_relaxed(&h->gp->id) == h->id ? h->gp : NULL;
}

static struct handle *newhandle(lua_State *L, struct lstate *ls, G *gp, uint64_t id)
{
	struct handle *h = lua_newuserdata(L, sizeof *h);
	*h = (struct handle){ls, gp, id};
	host_pushanchor(L, ls, A_HANDLEMT);
	lua_setmetatable(L, -2);
	return h;
}

/* The handle on top of L is what `table` has at i. */
static void keep(lua_State *L, struct lstate *ls, int table, uint32_t i)
{
	host_pushanchor(L, ls, table);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, (int)i);
	lua_pop(L, 1);
}

/* The handle on top of L, of a G that does not live here; or NULL. */
static struct handle *foreign(lua_State *L, struct lstate *ls, uint32_t slot)
{
	lua_rawgeti(ls->anchor, A_FOREIGN, (int)slot);
	lua_xmove(ls->anchor, L, 1);
	return lua_touserdata(L, -1);
}

/* Pushes the handle that goroutine `id` in this slot has here without living here. */
static void pushforeign(lua_State *L, struct lstate *ls, G *gp, uint64_t id)
{
	uint32_t slot = (uint32_t)(gp - sched.gs);
	struct handle *h = foreign(L, ls, slot);
	if (h && h->id == id)
		return;
	lua_pop(L, 1);
	newhandle(L, ls, gp, id);
	keep(L, ls, A_FOREIGN, slot);
}

void host_pushg(lua_State *L, struct lstate *ls, G *gp)
{
	if (lp_unlikely(gp->p != ls->pp)) {
		pushforeign(L, ls, gp, load_relaxed(&gp->id));
	} else if (gp->flags & GF_HANDLE) {
		lua_rawgeti(ls->anchor, A_HANDLE, (int)gindex(ls->pp, gp->slot));
		lua_xmove(ls->anchor, L, 1);
	} else {
		pushforeign(L, ls, gp, load_relaxed(&gp->id)); /* it may have come here with one */
		keep(L, ls, A_HANDLE, gindex(ls->pp, gp->slot));
		gp->flags |= GF_HANDLE;
	}
}

bool handle_push(lua_State *L, struct lstate *ls, const struct handleid *id)
{
	if (id->slot == 0 || id->slot / sched.gsperp >= sched.maxprocs)
		return false;
	G *gp = &sched.gs[id->slot];
	/* If it lives here nobody else can end it. */
	if (load_relaxed(&gp->id) == id->id && gp->p == ls->pp)
		host_pushg(L, ls, gp);
	else
		pushforeign(L, ls, gp, id->id);
	return true;
}

void handle_release(struct lstate *ls, G *gp)
{
	lua_State *A = ls->anchor;
	int i = (int)gindex(ls->pp, gp->slot);
	if (load_relaxed(&sched.gomaxprocs) > 1) { /* it may come back from elsewhere */
		lua_rawgeti(A, A_HANDLE, i);
		lua_rawseti(A, A_FOREIGN, (int)gp->slot);
	}
	lua_pushnil(A);
	lua_rawseti(A, A_HANDLE, i);
	gp->flags &= (uint16_t)~GF_HANDLE;
}

bool handle_id(lua_State *L, struct lstate *ls, int idx, struct handleid *out)
{
	const struct handle *h = lua_touserdata(L, idx);
	if (!h || lua_islightuserdata(L, idx) || !lua_getmetatable(L, idx))
		return false;
	host_pushanchor(L, ls, A_HANDLEMT);
	bool is = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	if (is)
		*out = (struct handleid){(uint32_t)(h->gp - sched.gs), h->id};
	return is;
}

bool handle_is(lua_State *L, struct lstate *ls, int idx)
{
	struct handleid id;
	return handle_id(L, ls, idx, &id);
}

G *host_checkg(lua_State *L, int idx)
{
	struct handle *h = luaL_checkudata(L, idx, HANDLE);
	return alive(h);
}

struct daemonmail {
	struct mail m;
	G *gp;
	uint64_t id;
	bool on;
};

/* On the G's own P, or one that it has left; or it is packed: it will be somewhere soon. */
static void daemonarrived(P *pp, struct mail *m)
{
	struct daemonmail *d = (struct daemonmail *)m;
	bool lives = load_relaxed(&d->gp->id) == d->id;
	P *home = load_relaxed(&d->gp->p);
	if (lives && home != pp) {
		postmail(home ? home : pp, m);
		return;
	}
	if (lives)
		gsetdaemon(d->gp, d->on);
	free(d);
}

/* daemon([on]) -> g */
static int daemon(lua_State *L)
{
	struct handle *h = luaL_checkudata(L, 1, HANDLE);
	bool on = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
	G *gp = alive(h);
	P *home = gp ? load_relaxed(&gp->p) : NULL;
	if (gp && home == h->ls->pp) {
		gsetdaemon(gp, on);
	} else if (gp) {
		struct daemonmail *d = xmalloc(sizeof *d);
		*d = (struct daemonmail){{NULL, daemonarrived}, gp, h->id, on};
		postmail(home ? home : h->ls->pp, &d->m);
	}
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
