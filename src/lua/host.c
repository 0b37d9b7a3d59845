/* SPDX-License-Identifier: MIT */
/* host.c - Gs as coroutines: started, parked, resumed, ended. */
#include "lua/host.h"

#include <stdio.h>

#include "base/os.h"
#include "lua/codec.h"
#include "lua/handle.h"
#include "lua/panic.h"
#include "lua/record.h"
#include "lua/vm.h"
#include "park/netpoll.h"
#include "park/sudog.h"
#include "park/timer.h"

enum { FEWARGS = 15 }; /* this many fit a fresh coroutine's stack without asking */

char host_parkerr, host_parkmsg;

static bool debugportable; /* LUAPARK_DEBUG=portable */

/* Removes it; never allocates, for the key exists. */
static void delanchor(struct lstate *ls, int table, uint32_t slot)
{
	lua_pushnil(ls->anchor);
	lua_rawseti(ls->anchor, table, (int)gindex(ls->pp, slot));
}

bool host_protected(struct lstate *ls, lua_CFunction fn, void *ud)
{
	return lua_cpcall(ls->service, fn, ud) == 0;
}

/* Starting ------------------------------------------------------------------ */

G *host_newg(lua_State *L, struct lstate *ls, int n, int records, const struct callsite *cs)
{
	P *pp = ls->pp;
	uint32_t site = site_of(L, ls, cs);
	if (lp_unlikely(debugportable))
		host_debugportable(L, ls, n, site);
	G *gp = gfget(pp);
	if (!gp) {
		luaL_error(L, "too many goroutines (%d)", (int)sched.gsperp);
		return NULL; /* not reached */
	}
	lua_State *co = gp->L;
	if (lp_likely(co != NULL)) {
		if (lp_unlikely(n > FEWARGS && !lua_checkstack(co, n + 3))) {
			gfput(pp, gp);
			luaL_error(L, "too many arguments for a goroutine (%d)", n);
		}
		host_begincall(co);
		lua_xmove(L, co, n + 1);
		host_endcall(gp, co, n);
	} else {
		gp->wake = (int32_t)record_put(L, ls, n, records);
		gp->nval = (uint32_t)n;
	}
	newproc(pp, gp, site);
	return gp;
}

static int newco(lua_State *S)
{
	struct lstate *ls = lua_touserdata(S, 1);
	lua_State *co = lua_newthread(S);
	lua_pushvalue(ls->anchor, A_XPCALL);
	lua_pushvalue(ls->anchor, A_HANDLER);
	lua_xmove(ls->anchor, co, B_COUNT);
	lua_pushvalue(ls->anchor, A_CO);
	lua_xmove(ls->anchor, S, 1);
	lua_insert(S, -2);
	lua_rawseti(S, -2, (int)gindex(ls->pp, ls->starting->slot));
	ls->starting->L = co;
	return 0;
}

/* Gives gp, which runs for the first time, a coroutine: a dead G's, or a new one. */
static lua_State *startg(struct lstate *ls, G *gp)
{
	G *donor = gfgetstarted(ls->pp);
	if (donor) {
		gp->L = donor->L;
		donor->L = NULL;
		lua_rawgeti(ls->anchor, A_CO, (int)gindex(ls->pp, donor->slot));
		lua_rawseti(ls->anchor, A_CO, (int)gindex(ls->pp, gp->slot));
		delanchor(ls, A_CO, donor->slot);
		gfput(ls->pp, donor);
	} else {
		ls->starting = gp;
		if (!host_protected(ls, newco, ls))
			throw("out of memory for a goroutine's coroutine");
	}
	int n = (int)gp->nval;
	host_begincall(gp->L);
	if (lp_unlikely(gp->flags & GF_PACKED)) {
		host_pushboot(ls, gp->L, gp);
		n = 1;
	} else {
		record_take(ls, (uint32_t)gp->wake, gp->L, n);
	}
	host_endcall(gp, gp->L, n);
	return gp->L;
}

/* Ending -------------------------------------------------------------------- */

/* gp's function has returned, or failed.  True: it is not over, for onerror's function
 * shall run. */
static bool finished(struct lstate *ls, G *gp, lua_State *co, int status)
{
	if (lp_unlikely(status != 0 || !lua_toboolean(co, B_COUNT + 1))) /* not 0: no memory even for xpcall */
		return panic_failed(ls, gp, co, status);
	if (lp_unlikely(gp->id == ls->mainid)) {
		int n = lua_gettop(co) - B_COUNT - 1;
		ls->mainend = MAIN_RETURNED;
		if (!lua_checkstack(ls->results, n))
			throw("too many results of the main function");
		lua_xmove(co, ls->results, n);
	}
	return false;
}

static bool gdead(G *gp)
{
	struct lstate *ls = gp->p->lua;
	lua_State *co = gp->L;
	if (lp_unlikely(!ls || load_relaxed(&ls->closes))) { /* its coroutine is gone with its state */
		if ((gp->flags & GF_PACKED) && (gp->flags & GF_FRESH))
			msg_free(gp->mail);
		return false;
	}
	if (gp->flags & GF_HANDLE)
		handle_release(ls, gp);
	if (lp_unlikely(gp->flags & (GF_PROXY | GF_FAILING))) {
		if (gp->flags & GF_PROXY)
			delanchor(ls, A_PROXY, gp->slot);
		if (gp->flags & GF_FAILING)
			panic_gdead(ls, gp);
	}
	if (ls->loading)
		lib_require_gdead(ls, gp);
	if (lp_likely(co && !(gp->flags & GF_NOREUSE) && lua_topointer(co, LUA_GLOBALSINDEX) == ls->globals)) {
		lua_settop(co, B_COUNT);
		return true;
	}
	if (co)
		delanchor(ls, A_CO, gp->slot);
	else if (gp->flags & GF_PACKED) /* killed before it ran */
		msg_free(gp->mail);
	else
		record_free(ls, (uint32_t)gp->wake, (int)gp->nval);
	return false;
}

/* Running ------------------------------------------------------------------- */

static enum gout rung(G *gp)
{
	struct lstate *ls = gp->p->lua;
	lua_State *co = gp->L;
	if (host_isover(ls, gp) && (!co || lua_status(co) == 0)) /* and it has not begun */
		return GOUT_EXIT;
	if (lp_unlikely(!co))
		co = startg(ls, gp);
	int n = (int)gp->nval;
	gp->nval = 0;
	if (lp_unlikely(gp->flags & GF_PARKERR)) {
		gp->flags &= (uint16_t)~GF_PARKERR;
		lua_pushlightuserdata(co, &host_parkerr);
		lua_insert(co, -2);
		n = 2;
	}
	for (;;) {
		int status = lua_resume(co, n);
		if (lp_likely(status == LUA_YIELD)) {
			enum gout why = ls->yield;
			ls->yield = 0;
			if (lp_likely(why != 0))
				return why;
			lua_settop(co, 0); /* a coroutine.yield of its own: others may run, and nobody takes the values */
			return GOUT_GOSCHED;
		}
		if (lp_likely(!finished(ls, gp, co, status)))
			return GOUT_EXIT;
		n = (int)gp->nval;
		gp->nval = 0;
	}
}

const char *host_nopark(lua_State *L, struct lstate *ls)
{
	G *gp = hostcurg(ls);
	bool over = host_isover(ls, gp);
	if (host_yields(L, gp) && !over)
		return NULL;
	if (!gp)
		return "cannot wait outside a goroutine (see luapark.run)";
	const char *busy = vm_busy(L);
	if (over)
		return synctest_over;
	if (busy) {
		snprintf(ls->why, sizeof ls->why, "cannot wait in %s", busy);
		return ls->why;
	}
	if (!cstack_spare(&ls->pp->stacks)) {
		snprintf(ls->why, sizeof ls->why,
			 "cannot wait inside a C call: %u goroutines do, and no more can (C stacks)", cstack_limit());
		return ls->why;
	}
	return NULL;
}

void host_parkstk(lua_State *L, struct lstate *ls, enum waitreason reason)
{
	G *gp = &sched.gs[ls->pp->view.cur];
	store_relaxed(&gp->reason, (uint8_t)reason);
	gp->parkL = L;
	int hook = vm_savehook(L);
	gopark_stk(gp);
	vm_restorehook(L, hook);
}

void host_goschedstk(lua_State *L, G *gp)
{
	int hook = vm_savehook(L);
	gosched_stk(gp);
	vm_restorehook(L, hook);
}

enum parked host_park(lua_State *L, struct lstate *ls, enum waitreason reason)
{
	G *gp = hostcurg(ls);
	if (host_yields(L, gp)) {
		host_yieldpark(L, ls, gp, reason);
		return PARK_YIELD;
	}
	host_parkstk(L, ls, reason);
	return PARK_DONE;
}

int host_parkret(lua_State *L, struct lstate *ls, enum waitreason reason, int keep)
{
	G *gp = hostcurg(ls);
	gp->nval = 0;
	if (lp_likely(host_park(L, ls, reason) == PARK_YIELD))
		return lua_yield(L, keep);
	int n = (int)gp->nval;
	gp->nval = 0;
	if (gp->flags & GF_PARKERR) {
		gp->flags &= (uint16_t)~GF_PARKERR;
		lua_pushlightuserdata(L, &host_parkerr);
		lua_insert(L, -2);
		n = 2;
	}
	return n;
}

struct unlock {
	struct lstate *ls;
	G *gp;
	bool refused;
};

static int callunlockf(lua_State *S)
{
	struct unlock *a = lua_touserdata(S, 1);
	lua_State *from = a->gp->parkL;
	/* gopark's two arguments: what a yield has left on top, or a frame's first two. */
	lua_pushvalue(from, 1);
	lua_pushvalue(from, 2);
	lua_xmove(from, S, 2);
	if (!a->gp->stk)
		lua_settop(from, 0);
	if (lua_isnil(S, 2))
		return 0;
	lua_pushvalue(S, 2);
	host_pushg(S, a->ls, a->gp);
	lua_pushvalue(S, 3);
	lua_call(S, 2, 1);
	a->refused = lua_isboolean(S, -1) && !lua_toboolean(S, -1);
	return 0;
}

static bool unlockf(G *gp)
{
	struct lstate *ls = gp->p->lua;
	struct unlock a = {ls, gp, false};
	if (!host_protected(ls, callunlockf, &a)) {
		lua_State *to = gp->parkL;
		if (!gp->stk)
			lua_settop(to, 0);
		lua_xmove(ls->service, to, 1);
		gp->nval = 1;
		gp->flags |= GF_PARKERR;
		a.refused = true;
	}
	if (a.refused)
		gp->flags &= (uint16_t) ~(GF_GOPARK | GF_REASONTEXT);
	return !a.refused;
}

/* The run ------------------------------------------------------------------- */

/* What the run left on the results coroutine, onto L. */
static int takeresults(lua_State *L, struct lstate *ls)
{
	int n = lua_gettop(ls->results);
	luaL_checkstack(L, n, "too many results");
	lua_xmove(ls->results, L, n);
	return n;
}

/* Another goroutine may have gp's slot in the next run. */
static void forgetexits(lua_State *A, const G *gp)
{
	lua_rawgeti(A, A_EXITS, (int)gp->slot);
	bool is = !lua_isnil(A, -1);
	lua_pop(A, 1);
	if (!is)
		return;
	lua_pushnil(A);
	lua_rawseti(A, A_EXITS, (int)gp->slot);
}

/* Ends all that a failed run has left.  What the dead waited for may outlive them
 * (a channel of the host's): their places in its lines are void. */
void host_killall(void)
{
	for (G *gp = gnext(0); gp; gp = gnext(gp->slot + 1)) {
		if (gp->p && gp->p->lua) {
			gp->p->lua->loading = NULL; /* its frames stood on their stacks */
			if (!load_relaxed(&gp->p->lua->closes)) /* else its tables are gone, too */
				forgetexits(gp->p->lua->anchor, gp);
		}
	}
	sudogvoid();
	gkillall();
}

enum runend host_run(lua_State *L, struct lstate *ls, int n, int *nresults)
{
	P *pp = ls->pp;
	lua_settop(ls->results, 0);
	panic_forget(); /* one that came while the last run ended by something else */
	ls->mainend = MAIN_RUNS;
	lua_pushvalue(ls->anchor, A_RECORDS);
	lua_xmove(ls->anchor, L, 1);
	int records = lua_gettop(L) - n - 1;
	lua_insert(L, records);
	struct callsite cs = vm_callsite(L);
	G *gp = host_newg(L, ls, n, records, &cs);
	gp->flags |= GF_STAYS; /* its results are wanted here */
	ls->mainid = gp->id;
	lua_remove(L, records);
	const char *why = mstart(&m0, pp);
	vm_current(L);
	enum runend end = RUN_OK;
	if (load_relaxed(&sched.signal) != 0) {
		end = RUN_SIGNAL;
		lua_settop(ls->results, 0);
		host_pushstacks(L, ls);
		lua_xmove(L, ls->results, 1);
	} else if (why || panic_unanswered()) {
		end = ls->mainend == MAIN_FAILED ? RUN_FAILED : RUN_PANIC;
		lua_settop(ls->results, end == RUN_FAILED); /* the report of a panic is kept elsewhere */
	} else if (ls->mainend != MAIN_RETURNED) {
		end = RUN_DEADLOCK;
		lua_pushliteral(L, "fatal error: ");
		if (ls->mainend == MAIN_EXITED)
			lua_pushliteral(L, "no goroutines (main called luapark.goexit) - deadlock!\n\n");
		else
			lua_pushliteral(L, "all goroutines are asleep - deadlock!\n\n");
		host_pushstacks(L, ls);
		lua_concat(L, 3);
		lua_xmove(L, ls->results, 1);
	}
	ls->mainid = 0;
	if (end != RUN_OK && sched.halted)
		host_killall();
	*nresults = takeresults(L, ls);
	return end;
}

void host_register(lua_State *L, struct lstate *ls, const luaL_Reg *funcs)
{
	for (; funcs->name; funcs++) {
		lua_pushlightuserdata(L, ls);
		lua_pushcclosure(L, funcs->func, 1);
		lua_setfield(L, -2, funcs->name);
	}
}

/* Makes the table at idx of A forget values that nobody else holds. */
static void weak(lua_State *A, int idx)
{
	lua_createtable(A, 0, 1);
	lua_pushliteral(A, "v");
	lua_setfield(A, -2, "__mode");
	lua_setmetatable(A, idx);
}

/* A coroutine of ours, kept by the registry for good. */
static lua_State *owncoroutine(lua_State *L)
{
	lua_State *co = lua_newthread(L);
	luaL_ref(L, LUA_REGISTRYINDEX);
	return co;
}

static const struct schedops ops = {
	.rung = rung,
	.unlockf = unlockf,
	.gdead = gdead,
	.timers = timers_run,
	.netpoll = netpoll,
	.netblock = netblock,
	.stoptimer = timer_unpark,
	.decide = timer_decide,
	.wakenetpoll = netpoll_wake,
	.openp = state_openp,
	.closep = state_closep,
	.pack = host_pack,
	.interrupt = host_interrupt,
	.gcstep = host_gcstep,
	.abandon = panic_abandon,
};

/* Once in the process. */
static void init(void)
{
	vm_init();
	schedinit(&ops);
	sudogs_init();
	val_refmsg = msg_ref;
	val_freemsg = msg_free;
	debugportable = scheddebug("portable");
}

struct lstate *host_open(lua_State *L, P *pp)
{
	if (pp == &p0 && !sched.started)
		init();
	struct lstate *ls = xcalloc(1, sizeof *ls);
	ls->pp = pp;
	record_init(ls);
	ls->L = L;
	ls->anchor = owncoroutine(L);
	ls->service = owncoroutine(L);
	ls->results = owncoroutine(L);
	ls->globals = lua_topointer(ls->service, LUA_GLOBALSINDEX);
	if (!lua_checkstack(ls->anchor, A_COUNT + LUA_MINSTACK))
		luaL_error(L, "not enough memory");
	for (int i = 1; i <= A_COUNT; i++)
		lua_newtable(ls->anchor);
	weak(ls->anchor, A_FOREIGN);
	weak(ls->anchor, A_OBJECTS);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, "_G");
	lua_getfield(L, -1, "xpcall");
	host_setanchor(L, ls, A_XPCALL);
	lua_pushlightuserdata(L, ls);
	lua_pushcclosure(L, panic_handler, 1);
	host_setanchor(L, ls, A_HANDLER);
	lua_pop(L, 2);
	netpoll_init(pp);
	timers_init(pp);
	pp->lua = ls;
	values_init(L, ls);
	return ls;
}
