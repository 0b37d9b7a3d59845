/* SPDX-License-Identifier: MIT */
/* lib_park.c - how Lua code waits and wakes: park, for what keeps waiting lines of its own
 * (lua/luapark/waitq.lua), sleep, gosched, gopark and goready.
 *
 * What is called in hot loops and seldom parks (channels, mutexes) is Lua and FFI, in
 * lua/luapark/, and enters C here, to park. */
#include <stdlib.h>

#include "base/os.h"
#include "lua/codec.h"
#include "lua/handle.h"
#include "lua/host.h"
#include "park/timer.h"
#include "sched/bubble.h"

/* A duration in seconds as nanoseconds. */
static int64_t checkseconds(lua_State *L, int arg)
{
	lua_Number s = luaL_checknumber(L, arg);
	luaL_argcheck(L, s == s, arg, "seconds expected, got nan");
	return nanoseconds(s);
}

/* park() -> nothing; or why it may not
 * The way in for Lua code that keeps its own waiting lines.  The reason and the
 * sudog are in the view; so is, afterwards, what the waker said. */
static int l_park(lua_State *L)
{
	struct lstate *ls = hostof(L);
	const struct pview *view = &ls->pp->view;
	G *gp = hostcurg(ls);
	if (host_yields(L, gp) && !host_isover(ls, gp)) {
		gp->sel = view->sel;
		gp->nval = 0;
		host_yieldpark(L, ls, gp, (enum waitreason)view->reason);
		return lua_yield(L, 0);
	}
	const char *why = host_nopark(L, ls);
	if (why) {
		if (host_isover(ls, gp))
			synctest_insists(L, ls, gp, view->sel);
		lua_pushstring(L, why);
		return 1;
	}
	gp->sel = view->sel;
	return host_parkret(L, ls, (enum waitreason)view->reason, 0);
}

/* parkuntil(when, real): the same; when the goroutine's clock says so, or, if real, the real one,
 * the waker is the timer, and says 0 */
static int l_parkuntil(lua_State *L)
{
	struct lstate *ls = hostof(L);
	double when = luaL_checknumber(L, 1);
	const char *why = host_nopark(L, ls);
	G *gp = hostcurg(ls);
	if (why)
		return l_park(L);
	if (lp_unlikely(ls->pp->view.bubble != 0) && !lua_toboolean(L, 2))
		bubble_timer(gp, when);
	else
		timer_park(gp, nanoseconds(when));
	return l_park(L);
}

/* parknews(): parks until somebody who has decided the goroutine's wait brings the news, which is
 * certain */
static int l_parknews(lua_State *L)
{
	struct lstate *ls = hostof(L);
	const struct pview *view = &ls->pp->view;
	hostcurg(ls)->sel = view->sel;
	return host_parkret(L, ls, (enum waitreason)view->reason, 0);
}

/* nopark([inline]) -> why the running function may not wait, or nil.  inline: it stands in a line. */
static int l_nopark(lua_State *L)
{
	struct lstate *ls = hostof(L);
	const char *why = host_nopark(L, ls);
	if (why && host_isover(ls, hostcurg(ls)) && !lua_toboolean(L, 1))
		synctest_insists(L, ls, hostcurg(ls), 0);
	lua_pushstring(L, why);
	return 1;
}

/* sleep(s) */
static int l_sleep(lua_State *L)
{
	struct lstate *ls = hostof(L);
	int64_t ns = checkseconds(L, 1);
	const char *why = host_nopark(L, ls);
	if (why)
		return luaL_error(L, "%s", why);
	G *gp = hostcurg(ls);
	gp->sel = 0;
	timer_parkfor(gp, ns);
	return host_parkret(L, ls, WR_SLEEP, 0);
}

/* gosched() */
static int l_gosched(lua_State *L)
{
	struct lstate *ls = hostof(L);
	G *gp = hostcurg(ls);
	if (host_yields(L, gp) && !host_isover(ls, gp)) {
		ls->yield = GOUT_GOSCHED;
		return lua_yield(L, 0);
	}
	if (host_isover(ls, gp))
		synctest_insists(L, ls, gp, 0);
	const char *why = host_nopark(L, ls);
	if (why)
		return luaL_error(L, "%s", why);
	host_goschedstk(L, gp);
	return 0;
}

/* gopark(unlockf, lock, reason) -> what goready gave; or parkerr, error, refused.
 * The arguments' types have been checked. */
static int l_gopark(lua_State *L)
{
	struct lstate *ls = hostof(L);
	lua_settop(L, 3);
	const char *reason = lua_tostring(L, 3);
	const char *why = host_nopark(L, ls);
	if (why) {
		if (host_isover(ls, hostcurg(ls)))
			synctest_insists(L, ls, hostcurg(ls), 0);
		lua_pushlightuserdata(L, &host_parkerr);
		lua_pushstring(L, why);
		lua_pushboolean(L, 1);
		return 3;
	}
	G *gp = hostcurg(ls);
	uint16_t flags = GF_GOPARK;
	if (reason) {
		lua_pushvalue(ls->anchor, A_TEXT);
		lua_xmove(ls->anchor, L, 1);
		lua_insert(L, 3);
		lua_rawseti(L, 3, (int)gindex(ls->pp, gp->slot));
		flags |= GF_REASONTEXT;
	}
	lua_settop(L, 2);
	gp->flags |= flags;
	return host_parkret(L, ls, WR_USER, 2);
}

struct parkmail {
	struct mail m;
	G *gp;
	uint64_t id;
	struct msg *msg;
};

/* The values of a goready from another P: gopark takes them out of the message.  Since nobody
 * else can wake the G it waits yet, or a run that failed has killed it. */
static void parkarrived(P *pp, struct mail *m)
{
	struct parkmail *pm = (struct parkmail *)m;
	G *gp = pm->gp;
	(void)pp;
	if (load_relaxed(&gp->id) != pm->id) {
		msg_free(pm->msg);
		free(pm);
		return;
	}
	lua_pushlightuserdata(gp->parkL, &host_parkmsg);
	lua_pushlightuserdata(gp->parkL, pm->msg);
	gp->nval = 2;
	gp->flags &= (uint16_t) ~(GF_GOPARK | GF_REASONTEXT);
	goreadylast(gp, 1);
	free(pm);
}

static int notparked(lua_State *L)
{
	lua_settop(L, 1);
	luaL_callmeta(L, 1, "__tostring");
	lua_pushfstring(L, "%s is not parked in gopark", lua_tostring(L, -1));
	return luaL_argerror(L, 1, lua_tostring(L, -1));
}

/* Replaces the arguments from 2 on by what another G shall see of them. */
static void carry(lua_State *L, struct lstate *ls, int n)
{
	luaL_checkstack(L, 4, "values for goready");
	for (int i = 2; i <= n + 1; i++) {
		int t = lua_type(L, i);
		if (t <= LUA_TLIGHTUSERDATA || t == LUA_TNUMBER || t == LUA_TSTRING)
			continue;
		host_pushanchor(L, ls, A_CARRY);
		lua_pushvalue(L, i);
		lua_call(L, 1, 2);
		if (lua_isnil(L, -2))
			luaL_error(L, "cannot send %s", lua_tostring(L, -1));
		lua_pop(L, 1);
		lua_replace(L, i);
	}
}

/* goready(g, ...) */
static int l_goready(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct handleid h;
	G *gp = host_checkg(L, 1);
	if (!gp || !handle_id(L, ls, 1, &h))
		return notparked(L);
	int n = lua_gettop(L) - 1;
	if (gp->p == ls->pp && (gp->flags & GF_BUBBLE) && bubble_current(ls->pp) != gp->inbubble->b)
		return luaL_error(L, "goready of goroutine of a synctest bubble from outside");
	if (gp->p == ls->pp) {
		if (readgstatus(gp) != Gwaiting || !(gp->flags & GF_GOPARK))
			return notparked(L);
		carry(L, ls, n);
		if (!lua_checkstack(gp->parkL, n + 2))
			return luaL_error(L, "too many values for goready (%d)", n);
		if (!gclaim(gp, h.id))
			return notparked(L);
		lua_xmove(L, gp->parkL, n);
		gp->nval = (uint32_t)n;
		gp->flags &= (uint16_t) ~(GF_GOPARK | GF_REASONTEXT);
		goready(gp, 1);
		return 0;
	}
	struct msg *msg = msg_encode(L, ls, n, CODEC_SHARE, NULL);
	if (!msg)
		return luaL_error(L, "cannot send %s", lua_tostring(L, -1));
	struct parkmail *pm = xmalloc(sizeof *pm);
	*pm = (struct parkmail){{NULL, parkarrived}, gp, h.id, msg};
	if (!gclaim(gp, h.id)) {
		msg_free(msg);
		free(pm);
		return notparked(L);
	}
	postmail(gp->p, &pm->m);
	return 0;
}

static void pushreasons(lua_State *L)
{
	lua_newtable(L);
#define X(name, text, event, durable) (lua_pushinteger(L, WR_##name), lua_setfield(L, -2, #name));
	WAITREASONS(X)
#undef X
}

void lib_park_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {
		{"park", l_park},   {"parkuntil", l_parkuntil}, {"parknews", l_parknews}, {"nopark", l_nopark},
		{"sleep", l_sleep}, {"gosched", l_gosched},	{"gopark", l_gopark},	  {"goready", l_goready},
		{NULL, NULL}};
	host_register(L, ls, funcs);
	pushreasons(L);
	lua_setfield(L, -2, "reason");
	lua_pushlightuserdata(L, &host_parkerr);
	lua_setfield(L, -2, "parkerr");
	lua_pushlightuserdata(L, &host_parkmsg);
	lua_setfield(L, -2, "parkmsg");
}
