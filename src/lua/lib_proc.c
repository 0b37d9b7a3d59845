/* SPDX-License-Identifier: MIT */
/* lib_proc.c - the scheduler's library: go, gopark, goready, gosched, ...
 *
 * What is called in hot loops and seldom parks (channels, mutexes) is Lua and
 * FFI, in lua/luapark/; what is here is how such code enters C to park, and the
 * addresses by which it reads and readies. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "lua/codec.h"
#include "lua/handle.h"
#include "lua/host.h"
#include "lua/panic.h"
#include "lua/vm.h"
#include "park/sudog.h"
#include "park/timer.h"

/* A duration in seconds as nanoseconds. */
static int64_t checkseconds(lua_State *L, int arg)
{
	lua_Number s = luaL_checknumber(L, arg);
	luaL_argcheck(L, s == s, arg, "seconds expected, got nan");
	return nanoseconds(s);
}

/* Starting and ending ------------------------------------------------------- */

/* go(fn, ...) -> g; its second upvalue is A_RECORDS */
static int l_go(lua_State *L)
{
	struct lstate *ls = hostof(L);
	luaL_checktype(L, 1, LUA_TFUNCTION);
	struct callsite cs = vm_callsite(L);
	G *gp = host_newg(L, ls, lua_gettop(L) - 1, lua_upvalueindex(2), &cs);
	if (!cs.wantsresult)
		return 0;
	host_pushg(L, ls, gp);
	return 1;
}

/* spawn(fn, ...) -> g: a goroutine that may run on any P.  It gets copies: of the arguments,
 * of what fn has captured, of the user's globals that it names; modules are required anew
 * there. */
static int l_spawn(lua_State *L)
{
	struct lstate *ls = hostof(L);
	luaL_checktype(L, 1, LUA_TFUNCTION);
	struct callsite cs = vm_callsite(L);
	G *gp = host_newpacked(L, ls, lua_gettop(L) - 1, &cs);
	if (!gp)
		return luaL_error(L, "cannot send %s", lua_tostring(L, -1));
	if (!cs.wantsresult)
		return 0;
	host_pushg(L, ls, gp);
	return 1;
}

/* goexit(fn): ends the running goroutine, after fn(), which does not park; never returns */
static int l_goexit(lua_State *L)
{
	struct lstate *ls = hostof(L);
	G *gp = hostcurg(ls);
	if (!gp)
		return luaL_error(L, "goexit outside a goroutine");
	bool yields = host_yields(L, gp);
	const char *busy = yields ? NULL : vm_busy(L);
	if (busy)
		return luaL_error(L, "cannot end a goroutine in %s", busy);
	lua_settop(L, 1);
	lua_call(L, 0, 0);
	gp->flags |= GF_NOREUSE;
	if (gp->id == ls->mainid)
		ls->mainend = MAIN_EXITED;
	panic_goexit(ls, gp);
	if (yields) {
		ls->yield = GOUT_EXIT;
		return lua_yield(L, 0);
	}
	(void)vm_savehook(L);
	goexit_stk(gp);
}

/* exit([code]): ends the program at once */
static int l_exit(lua_State *L)
{
	int code = lua_isboolean(L, 1) ? (lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE)
				       : luaL_optint(L, 1, EXIT_SUCCESS);
	exit(code);
}

/* run(fn, ...) -> fn's results; not in a goroutine */
static int l_run(lua_State *L)
{
	struct lstate *ls = hostof(L);
	if (m0.p)
		return luaL_error(L, "run in the scheduler itself (a finalizer, an unlockf or a timer)");
	if (load_relaxed(&ls->closes) || (*vm_hookmask(L) & VM_BUSY)) /* LuaJIT takes a yield there for another kind of yield */
		return luaL_error(L, "run in a finalizer, or a VM event handler (jit.attach)");
	int n;
	enum runend end = host_run(L, ls, lua_gettop(L) - 1, &n);
	if (end == RUN_PANIC)
		panic_take(L);
	return end == RUN_OK ? n : lua_error(L);
}

/* Parking ------------------------------------------------------------------- */

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

/* Output -------------------------------------------------------------------------- */

/* print(...): Lua's, but written by one call, so that lines of several Ps stay whole. */
static int l_print(lua_State *L)
{
	int n = lua_gettop(L);
	luaL_checkstack(L, n + 4, "values to print");
	lua_getglobal(L, "tostring");
	for (int i = 1; i <= n; i++) {
		lua_pushvalue(L, n + 1);
		lua_pushvalue(L, i);
		lua_call(L, 1, 1);
		if (!lua_isstring(L, -1))
			return luaL_error(L, LUA_QL("tostring") " must return a string to " LUA_QL("print"));
		lua_replace(L, i);
	}
	lua_settop(L, n);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		if (i > 1)
			luaL_addchar(&b, '\t');
		lua_pushvalue(L, i);
		luaL_addvalue(&b);
	}
	luaL_addchar(&b, '\n');
	luaL_pushresult(&b);
	size_t len;
	const char *s = lua_tolstring(L, -1, &len);
	fwrite(s, 1, len, stdout);
	return 0;
}

/* How many Ps -------------------------------------------------------------------- */

/* gomaxprocs([n]) -> previous */
static int l_gomaxprocs(lua_State *L)
{
	uint32_t was = load_relaxed(&sched.gomaxprocs);
	if (!lua_isnoneornil(L, 1)) {
		luaL_checktype(L, 1, LUA_TNUMBER);
		lua_Number n = lua_tonumber(L, 1);
		if (!(n >= 1 && n <= sched.maxprocs && n == floor(n)))
			return luaL_argerror(L, 1, lua_pushfstring(L, "whole number from 1 to %d expected, got %f",
								   (int)sched.maxprocs, n));
		if ((uint32_t)n != was)
			procresize((uint32_t)n);
	}
	lua_pushinteger(L, (lua_Integer)was);
	return 1;
}

/* preemptible() -> true if every goroutine can be pre-empted, or false and why not */
static int l_preemptible(lua_State *L)
{
	const char *why = sched.preempt ? vm_unstoppable() : "LUAPARK_PREEMPT=0";
	lua_pushboolean(L, !why);
	if (!why)
		return 1;
	lua_pushstring(L, why);
	return 2;
}

/* numcpu() -> the CPUs that this process may use */
static int l_numcpu(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)numcpu());
	return 1;
}

/* Looking ------------------------------------------------------------------- */

/* getg() -> g, or nil outside goroutines */
static int l_getg(lua_State *L)
{
	struct lstate *ls = hostof(L);
	G *gp = hostcurg(ls);
	if (gp)
		host_pushg(L, ls, gp);
	else
		lua_pushnil(L);
	return 1;
}

static int allstacks(lua_State *L)
{
	host_pushstacks(L, hostof(L));
	return 1;
}

/* stack([all]) -> text */
static int l_stack(lua_State *L)
{
	struct lstate *ls = hostof(L);
	G *gp = hostcurg(ls);
	if (lua_toboolean(L, 1)) {
		lua_pushcfunction(L, allstacks);
		stoptheworld();
		vm_current(L); /* another stopper may have been first, and looked at us */
		int status = lua_pcall(L, 0, 1, 0);
		starttheworld();
		if (status != 0)
			return lua_error(L);
	} else if (gp) {
		host_pushstack(L, ls, gp);
	} else {
		luaL_traceback(L, L, NULL, 1);
	}
	return 1;
}

/* Tests only: ntimers() -> how many goroutines of this P wait with a deadline, on the real clock */
static int l_ntimers(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)hostof(L)->pp->timers->heap.len);
	return 1;
}

/* For FFI: these never park, switch, or enter Lua ---------------------------- */

static void ffi_ready(uint32_t slot, int32_t wake)
{
	goready(&sched.gs[slot], wake);
}

static bool ffi_sudogrefill(struct pview *view)
{
	return sudogrefill((P *)view);
}

static void pushaddresses(lua_State *L, struct lstate *ls)
{
	lua_newtable(L);
#define ADDRESS(name, p) (lua_pushlightuserdata(L, (void *)(p)), lua_setfield(L, -2, name))
	ADDRESS("view", &ls->pp->view);
	ADDRESS("sudogs", &sudogs);
	ADDRESS("hookmask", vm_hookmask(L));
	ADDRESS("gcount", gcount);
	ADDRESS("vals", sudogs.val);
	ADDRESS("ready", ffi_ready);
	ADDRESS("sudogrefill", ffi_sudogrefill);
	ADDRESS("now", bubble_clock);
	ADDRESS("clock", clocknow);
#undef ADDRESS
}

static void pushreasons(lua_State *L)
{
	lua_newtable(L);
#define X(name, text, event, durable) (lua_pushinteger(L, WR_##name), lua_setfield(L, -2, #name));
	WAITREASONS(X)
#undef X
}

void lib_proc_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {
		{"goexit", l_goexit},	{"exit", l_exit},
		{"run", l_run},		{"park", l_park},	{"parkuntil", l_parkuntil}, {"parknews", l_parknews}, {"nopark", l_nopark},	{"sleep", l_sleep},
		{"gosched", l_gosched}, {"gopark", l_gopark},	{"goready", l_goready},
		{"getg", l_getg},	{"stack", l_stack},	{"spawn", l_spawn},
		{"gomaxprocs", l_gomaxprocs}, {"numcpu", l_numcpu},	{"print", l_print},
		{"preemptible", l_preemptible},	{"ntimers", l_ntimers},	{NULL, NULL}};
	handle_open(L, ls);
	host_register(L, ls, funcs);
	lua_pushlightuserdata(L, ls);
	lua_pushvalue(ls->anchor, A_RECORDS);
	lua_xmove(ls->anchor, L, 1);
	lua_pushcclosure(L, l_go, 2);
	lua_setfield(L, -2, "go");
	pushaddresses(L, ls);
	lua_setfield(L, -2, "address");
	pushreasons(L);
	lua_setfield(L, -2, "reason");
	lua_pushlightuserdata(L, &host_parkerr);
	lua_setfield(L, -2, "parkerr");
	lua_pushlightuserdata(L, &host_parkmsg);
	lua_setfield(L, -2, "parkmsg");
	lua_pushinteger(L, sudogbase(ls->pp));
	lua_setfield(L, -2, "sudogbase");
}
