/* SPDX-License-Identifier: MIT */
/* traceback.c - goroutines in words, as Go prints them. */
#include "lua/host.h"

void host_pushreason(lua_State *L, struct lstate *ls, G *gp)
{
	enum gstatus st = readgstatus(gp);
	if (st != Gwaiting) {
		lua_pushstring(L, gstatustext(gp));
	} else if (gp->p == ls->pp && (gp->flags & GF_REASONTEXT)) {
		lua_rawgeti(ls->anchor, A_TEXT, (int)gindex(ls->pp, gp->slot));
		lua_xmove(ls->anchor, L, 1);
	} else {
		lua_pushstring(L, waitreasontext[load_relaxed(&gp->reason)]);
	}
	int64_t minutes = st == Gwaiting && gp->p == ls->pp && !(gp->flags & GF_BUBBLE) ? (ls->pp->now - gp->waitsince) / 60000000000 : 0;
	if (minutes > 0) {
		lua_pushfstring(L, ", %d minutes", (int)minutes);
		lua_concat(L, 2);
	}
}

void host_pushtitle(lua_State *L, struct lstate *ls, G *gp)
{
	lua_pushfstring(L, "goroutine %f [", (lua_Number)gp->id);
	host_pushreason(L, ls, gp);
	if (gp->p == ls->pp && (gp->flags & GF_BUBBLE)) {
		const struct bubbled *in = gp->inbubble;
		lua_pushfstring(L, "%s, synctest bubble %d", in->durable ? " (durable)" : "", (int)in->b->id);
	} else {
		lua_pushliteral(L, "");
	}
	lua_pushliteral(L, "]");
	lua_concat(L, 4);
}

void host_pushcreatedby(lua_State *L, const G *gp)
{
	const char *who = site_creator(gp->site);
	if (!gp->parent && !who)
		lua_pushliteral(L, "");
	else if (!gp->parent)
		lua_pushfstring(L, "created by %s\n", who);
	else if (!who)
		lua_pushfstring(L, "created in goroutine %f\n", (lua_Number)gp->parent);
	else
		lua_pushfstring(L, "created by %s in goroutine %f\n", who, (lua_Number)gp->parent);
}

void host_pushstack(lua_State *L, struct lstate *ls, G *gp)
{
	luaL_checkstack(L, 10, "a traceback");
	host_pushtitle(L, ls, gp);
	lua_pushliteral(L, ":\n");
	lua_State *base = gp->L, *top = base;
	int level = 0, lines = 0;
	if (!base || gp->flags & GF_FRESH) {
		lua_pushliteral(L, "\t(not started)\n");
		lines++;
		base = NULL;
	} else if (readgstatus(gp) == Grunning) {
		top = L; /* the running G's, or the user's coroutine in it */
		level = 1;
	} else if (gp->parkL && readgstatus(gp) == Gwaiting) {
		top = gp->parkL;
	}
	if (base)
		lines = host_pushframes(L, base, top, level, true);
	lua_pushstring(L, lines > 0 ? "" : "\t(no Lua function)\n");
	host_pushcreatedby(L, gp);
	lua_concat(L, 5);
}

struct stacks {
	struct lstate *ls;
	G *gp;
};

static int pushonestack(lua_State *S)
{
	struct stacks *a = lua_touserdata(S, 1);
	host_pushstack(S, a->ls, a->gp);
	lua_xmove(S, a->ls->results, 1);
	return 0;
}

/* Pushes what is known of gp, which lives on another P that does not run. */
static void pushforeign(lua_State *L, struct lstate *ls, G *gp)
{
	struct stacks a = {ls, gp};
	int top = lua_gettop(ls->results);
	if (!host_protected(ls, pushonestack, &a))
		lua_xmove(ls->service, ls->results, 1);
	const char *text = lua_tostring(ls->results, -1);
	lua_pushstring(L, text ? text : "(not enough memory for a traceback)\n");
	lua_settop(ls->results, top);
}

/* Pushes what can be said without looking at gp's state: it is packed, or its P runs. */
static void pushbrief(lua_State *L, struct lstate *ls, G *gp)
{
	host_pushtitle(L, ls, gp);
	lua_pushstring(L, gp->p ? ":\n\t(goroutine running on another thread; stack unavailable)\n"
				: ":\n\t(not started)\n");
	host_pushcreatedby(L, gp);
	lua_concat(L, 3);
}

void host_pushstacks(lua_State *L, struct lstate *ls)
{
	luaL_Buffer b;
	bool first = true;
	luaL_checkstack(L, 30, "tracebacks");
	luaL_buffinit(L, &b);
	for (G *gp = gnext(0); gp; gp = gnext(gp->slot + 1)) {
		P *home = gp->p;
		if (!first)
			luaL_addchar(&b, '\n');
		first = false;
		if (home == ls->pp)
			host_pushstack(L, ls, gp);
		else if (home && load_relaxed(&home->status) != Prunning)
			pushforeign(L, home->lua, gp);
		else
			pushbrief(L, ls, gp);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
}
