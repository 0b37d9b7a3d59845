/* SPDX-License-Identifier: MIT */
/* lib_proc.c - the scheduler's library: go, spawn, run, gomaxprocs, stack, ...; and the
 * addresses by which Lua code reads and readies.  How it parks is in lib_park.c. */
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

void lib_proc_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {
		{"goexit", l_goexit},	      {"exit", l_exit},	    {"run", l_run},
		{"getg", l_getg},	      {"stack", l_stack},   {"spawn", l_spawn},
		{"gomaxprocs", l_gomaxprocs}, {"numcpu", l_numcpu}, {"print", l_print},
		{"preemptible", l_preemptible}, {"ntimers", l_ntimers}, {NULL, NULL}};
	handle_open(L, ls);
	host_register(L, ls, funcs);
	lua_pushlightuserdata(L, ls);
	lua_pushvalue(ls->anchor, A_RECORDS);
	lua_xmove(ls->anchor, L, 1);
	lua_pushcclosure(L, l_go, 2);
	lua_setfield(L, -2, "go");
	pushaddresses(L, ls);
	lua_setfield(L, -2, "address");
	lua_pushinteger(L, sudogbase(ls->pp));
	lua_setfield(L, -2, "sudogbase");
}
