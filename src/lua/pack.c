/* SPDX-License-Identifier: MIT */
/* pack.c - Gs that change Ps: function and arguments become a message.
 *
 * Packing is done by the owner of the state, and only for Gs that have not run.  The
 * new P runs A_BOOT(message) as the G's function: a message is taken apart on the
 * G's own coroutine, where loading a module may park and an error has its G. */
#include <stdio.h>

#include "lua/codec.h"
#include "lua/handle.h"
#include "lua/host.h"
#include "lua/portable.h"
#include "lua/record.h"
#include "lua/share.h"

struct packing {
	struct lstate *ls;
	G *gp;
	bool chatty;
	bool later;
	struct msg *msg;
};

/* Pushes gp's function and arguments onto S; how many arguments. */
static int pushcall(lua_State *S, struct lstate *ls, G *gp)
{
	lua_State *co = gp->L;
	if (!co) {
		int n = (int)gp->nval;
		record_copy(ls, (uint32_t)gp->wake, S, n);
		return n;
	}
	/* xpcall, the function, the handler, the arguments: see host.c */
	int n = (int)gp->nval - 2, fn = lua_gettop(co) - n - 1;
	luaL_checkstack(S, n + 2, "arguments of a goroutine");
	lua_pushvalue(co, fn);
	lua_xmove(co, S, 1);
	for (int i = 0; i < n; i++) {
		lua_pushvalue(co, fn + 2 + i);
		lua_xmove(co, S, 1);
	}
	return n;
}

void host_debugportable(lua_State *L, struct lstate *ls, int n, uint32_t site)
{
	char why[512];
	int fn = lua_gettop(L) - n;
	if ((portable_check(L, ls, fn, why, sizeof why) && portable_values(L, ls, fn + 1, n, why, sizeof why)) ||
	    !site_report(site))
		return;
	const char *where = site_place(site);
	fprintf(stderr, "luapark: go at %s stays on its P: %s\n", where ? where : "?", why);
}

/* Whether the function or its n arguments, at the bottom of S, have a channel at home in
 * which values are under way: each of them would then cost ten times as much. */
static bool talks(lua_State *S, struct lstate *ls, int n)
{
	for (int i = 2; i <= n + 1; i++)
		if (share_busy(S, ls, i))
			return true;
	bool busy = false;
	for (int i = 1; !busy && lua_getupvalue(S, 1, i); i++) {
		busy = share_busy(S, ls, -1);
		lua_pop(S, 1);
	}
	return busy;
}

static int pack(lua_State *S)
{
	struct packing *a = lua_touserdata(S, 1);
	lua_settop(S, 0);
	int n = pushcall(S, a->ls, a->gp);
	if (a->chatty && (a->later = talks(S, a->ls, n)))
		return 0;
	a->msg = msg_encode(S, a->ls, n + 1, CODEC_MOVE, NULL);
	return 0;
}

enum packed host_pack(P *pp, G *gp, bool chatty)
{
	struct lstate *ls = pp->lua;
	struct packing a = {ls, gp, chatty, false, NULL};
	if (!host_protected(ls, pack, &a))
		lua_settop(ls->service, 0);
	if (!a.msg)
		return a.later ? PACK_LATER : PACK_NEVER;
	if (gp->flags & GF_HANDLE)
		handle_release(ls, gp);
	if (gp->L) {
		lua_pushnil(ls->anchor);
		lua_rawseti(ls->anchor, A_CO, (int)gindex(pp, gp->slot));
		gp->L = NULL;
	} else {
		record_free(ls, (uint32_t)gp->wake, (int)gp->nval);
	}
	gp->wake = 0;
	gp->nval = 0;
	gp->mail = a.msg;
	store_relaxed(&gp->p, NULL);
	gp->flags |= GF_PACKED;
	return PACK_DONE;
}

G *host_newpacked(lua_State *L, struct lstate *ls, int n, const struct callsite *cs)
{
	P *pp = ls->pp;
	struct msg *m = msg_encode(L, ls, n + 1, CODEC_COPY, NULL);
	if (!m)
		return NULL;
	uint32_t site = site_of(L, ls, cs);
	G *gp = gfgetempty(pp);
	if (!gp) {
		msg_free(m);
		luaL_error(L, "too many goroutines (%d)", (int)sched.gsperp);
		return NULL; /* not reached */
	}
	gp->mail = m;
	gp->wake = 0;
	gp->nval = 0;
	newprocpacked(pp, gp, site);
	return gp;
}

void host_pushboot(struct lstate *ls, lua_State *co, G *gp)
{
	lua_pushvalue(ls->anchor, A_BOOT);
	lua_xmove(ls->anchor, co, 1);
	lua_pushlightuserdata(co, gp->mail);
	gp->mail = NULL;
	gp->flags &= (uint16_t)~GF_PACKED;
}
