/* SPDX-License-Identifier: MIT */
/* interrupt.c - stopping whoever runs Lua on a P, for a moment or for good.
 *
 * The scheduler's signal sets a count hook, which LuaJIT calls before its next
 * instruction (in compiled loops too, where it was built to).  The hook gives the
 * user's own one back and asks the scheduler what it wanted.
 *
 * It does nothing, and is tried again at the next instruction, where another G must not
 * see things as they are: in the VM's own business (a finalizer), and in the middle
 * of our own Lua code, which may be half-way through a change of a waiting line. */
#include <string.h>

#include "lua/host.h"
#include "lua/vm.h"

static void onhook(lua_State *L, lua_Debug *ar);

static char ours[LUA_IDSIZE * 4]; /* how the sources of our Lua files begin */

void interrupt_init(lua_State *L)
{
	lua_Debug ar;
	if (!lua_getstack(L, 1, &ar) || !lua_getinfo(L, "S", &ar))
		return;
	const char *end = strrchr(ar.source, '/');
	size_t n = end ? (size_t)(end - ar.source) + 1 : 0;
	if (n < sizeof ours) {
		memcpy(ours, ar.source, n);
		ours[n] = '\0';
	}
}

/* Whether the function that runs is ours, or a C function that one of ours has called. */
static bool isours(lua_State *L)
{
	lua_Debug ar;
	for (int level = 0; level < 2 && lua_getstack(L, level, &ar); level++) {
		if (!lua_getinfo(L, "S", &ar))
			return false;
		if (*ar.what != 'C')
			return *ours && strncmp(ar.source, ours, strlen(ours)) == 0;
	}
	return false;
}

static void disarm(lua_State *L, struct lstate *ls)
{
	lua_sethook(L, ls->userhook, ls->usermask, ls->usercount);
}

static void onhook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	const M *mp = getm();
	struct lstate *ls = mp && mp->p ? mp->p->lua : p0.lua; /* it may strike when the run is over */
	G *gp = hostcurg(ls);
	if (!gp) { /* the scheduler itself */
		disarm(L, ls);
		return;
	}
	if (vm_busy(L) || isours(L)) /* at the end of a run, too: a host may use the same channels in another one */
		return;
	if (preempting(ls->pp) && !vm_atedge(L))
		return;
	disarm(L, ls);
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
	if (lua_gethook(L) != onhook) {
		ls->userhook = lua_gethook(L);
		ls->usermask = lua_gethookmask(L);
		ls->usercount = lua_gethookcount(L);
	}
	lua_sethook(L, onhook, vm_edgeevents(), 1);
}
