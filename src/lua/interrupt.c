/* SPDX-License-Identifier: MIT */
/* interrupt.c - stopping whoever runs Lua on a P, for a moment or for good.
 *
 * The scheduler's signal sets a count hook, which LuaJIT calls before its next
 * instruction (in compiled loops too, where it was built to).  The hook gives the
 * user's own one back and asks the scheduler what it wanted.
 *
 * It does nothing, and is tried again at the next instruction, where another G must not
 * see things as they are: in the VM's own business (a finalizer), in the middle of our
 * own Lua code, which may be half-way through a change of a waiting line, and in what
 * runs on the service coroutine on behalf of a G (its coroutine is made, or it is packed). */
#include "lua/host.h"
#include "lua/vm.h"

static void onhook(lua_State *L, lua_Debug *ar);

/* Whether others must not see things as they are now: our own Lua code runs; or a C function is being
 * called, as LuaJIT's call hook tells, which may be a part of one of ours (a protected call in the
 * middle of the codec). */
static bool isours(lua_State *L)
{
	lua_Debug ar;
	if (!lua_getstack(L, 0, &ar) || !lua_getinfo(L, "S", &ar))
		return false;
	return *ar.what == 'C' || ours_file(&ar);
}

/* Gives the user's hook back.  An interrupt that comes in the middle of that would take ours for the user's: it waits. */
static void disarm(lua_State *L, struct lstate *ls)
{
	store_relaxed(&ls->disarming, true);
	vm_sethook(L, ls->userhook, ls->usermask, ls->usercount, ls->userleft);
	store_relaxed(&ls->disarming, false);
	if (lp_unlikely(load_relaxed(&ls->again))) {
		store_relaxed(&ls->again, false);
		host_interrupt(ls->pp);
	}
}

/* While ours is set the user's hook is called by us: no event is lost to it. */
static void callusers(lua_State *L, struct lstate *ls, lua_Debug *ar)
{
	if (!(ls->usermask & 1 << ar->event))
		return;
	if (ar->event == LUA_HOOKCOUNT) {
		if (--ls->userleft > 0)
			return;
		ls->userleft = ls->usercount;
	}
	ls->userhook(L, ar);
}

/* Whether a goroutine may be pre-empted at this event.  LuaJIT calls the line hook where a loop goes round and where the
 * line is another than that of the place which it last noted: where the hook has just been set that is any place, so the
 * first event says nothing; and the lines of one statement follow each other downwards. */
static bool atedge(lua_State *L, struct lstate *ls, const lua_Debug *ar)
{
	if (ar->event != LUA_HOOKLINE)
		return vm_atedge(L);
	int last = ls->hookline;
	ls->hookline = ar->currentline;
	return last != 0 && ar->currentline <= last;
}

static void onhook(lua_State *L, lua_Debug *ar)
{
	const M *mp = getm();
	struct lstate *ls = mp && mp->p ? mp->p->lua : p0.lua; /* it may strike when the run is over */
	callusers(L, ls, ar);
	if (lua_gethook(L) != onhook || !(vm_edgeevents() & 1 << ar->event)) /* the user's may have set another */
		return;
	G *gp = hostcurg(ls);
	if (!gp) { /* the scheduler itself */
		disarm(L, ls);
		return;
	}
	if (!atedge(L, ls, ar) && preempting(ls->pp))
		return;
	/* At the end of a run, too: a host may use the same channels in another one. */
	if (vm_busy(L) || L == ls->service || isours(L))
		return;
	disarm(L, ls);
	if (host_isover(ls, gp)) {
		synctest_insists(L, ls, gp, 0);
		luaL_error(L, "%s", synctest_over);
	}
	if (schedinterrupted(ls->pp) && cstack_spare(&ls->pp->stacks)) {
		int hook = vm_savehook(L);
		gopreempt_stk(gp);
		vm_restorehook(L, hook);
	}
}

void host_interrupt(P *pp)
{
	struct lstate *ls = pp->lua;
	lua_State *L = ls->service;
	if (load_relaxed(&ls->closes))
		return;
	if (load_relaxed(&ls->disarming)) {
		store_relaxed(&ls->again, true);
		return;
	}
	if (lua_gethook(L) != onhook) {
		ls->userhook = lua_gethook(L);
		ls->usermask = lua_gethookmask(L);
		ls->usercount = lua_gethookcount(L);
		ls->userleft = vm_hookleft(L);
		ls->hookline = 0;
	}
	lua_sethook(L, onhook, vm_edgeevents() | ls->usermask, 1);
}

/* debug.sethook and gethook, in upvalue 2, must find the user's hook; again where an interrupt came in between. */
static int libhook(lua_State *L)
{
	struct lstate *ls = hostof(L);
	lua_CFunction fn = lua_tocfunction(L, lua_upvalueindex(2));
	bool armed = false;
	int top = lua_gettop(L), n;
	do {
		if (lua_gethook(L) == onhook) {
			disarm(L, ls);
			armed = true;
		}
		lua_settop(L, top);
		n = fn(L);
	} while (lua_gethook(L) == onhook);
	if (armed)
		host_interrupt(ls->pp);
	return n;
}

void interrupt_open(lua_State *L, struct lstate *ls)
{
	static const char *const names[] = {"sethook", "gethook"};
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, "debug");
	lua_remove(L, -2);
	for (int i = 0; i < 2; i++) {
		lua_getfield(L, -1, names[i]);
		if (lua_iscfunction(L, -1) && !lua_getupvalue(L, -1, 1)) { /* else the host has replaced it */
			lua_pushlightuserdata(L, ls);
			lua_insert(L, -2);
			lua_pushcclosure(L, libhook, 2);
		}
		lua_setfield(L, -3, names[i]);
	}
	lua_pop(L, 1);
}
