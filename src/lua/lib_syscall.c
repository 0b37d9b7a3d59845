/* SPDX-License-Identifier: MIT */
/* lib_syscall.c - C functions that block, and goroutines that must stay on their thread.
 * lua/luapark/syscall.lua has what users see. */
#include <errno.h>

#include "lua/host.h"
#include "lua/vm.h"

enum { NARGS = 8 }; /* as in syscall.lua */

/* Of integers and pointers only; variadic, so that it fits functions that are. */
typedef int64_t anyfn(int64_t, ...);

static int64_t call(const int64_t *a)
{
	anyfn *fn = (anyfn *)(uintptr_t)a[0];
	return fn(a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[NARGS]);
}

/* syscall(words): words[0] is a function, words[1] to [8] its arguments; its result comes
 * into words[0], and its errno is the thread's when this returns.
 * Where the goroutine cannot be left alone (a finalizer, no more C stacks), and in the host,
 * it is called as it is. */
static int l_syscall(lua_State *L)
{
	struct lstate *ls = hostof(L);
	int64_t words[NARGS + 1], *given = (int64_t *)lua_topointer(L, 1);
	G *gp = hostcurg(ls);
	for (int i = 0; i <= NARGS; i++) /* no object of Lua's is touched without the P */
		words[i] = given[i];
	if (!gp || vm_busy(L) || !cstack_spare(&ls->pp->stacks)) {
		given[0] = call(words);
		return 0;
	}
	int hook = vm_savehook(L);
	entersyscall(gp);
	words[0] = call(words);
	int err = errno;
	exitsyscall(gp);
	vm_restorehook(L, hook);
	given[0] = words[0];
	errno = err;
	return 0;
}

/* iscallback(words) -> whether words[0] is a Lua function made a C function, if that can be
 * known; else nil */
static int l_iscallback(lua_State *L)
{
	const int64_t *words = lua_topointer(L, 1);
	if (!vm_knowscallbacks())
		return 0;
	lua_pushboolean(L, vm_iscallback(L, (const void *)(uintptr_t)words[0]));
	return 1;
}

/* cparams(fn) -> how many parameters fn has, whether there may be more, and whether all are
 * integers and pointers; nothing where that cannot be known */
static int l_cparams(lua_State *L)
{
	bool variadic, words;
	int n = vm_cparams(L, 1, &variadic, &words);
	if (n < 0)
		return 0;
	lua_pushinteger(L, n);
	lua_pushboolean(L, variadic);
	lua_pushboolean(L, words);
	return 3;
}

static G *running(lua_State *L, const char *name)
{
	G *gp = hostcurg(hostof(L));
	if (!gp)
		luaL_error(L, "%s outside a goroutine (see luapark.run)", name);
	return gp;
}

/* lockosthread(): the running goroutine, and nobody else, runs on this thread from here on;
 * unlockosthread as often ends that. */
static int l_lockosthread(lua_State *L)
{
	if (!lockosthread(running(L, "lockosthread")))
		return luaL_error(L, "lockosthread where no thread is left for the others");
	return 0;
}

static int l_unlockosthread(lua_State *L)
{
	if (!unlockosthread(running(L, "unlockosthread")))
		return luaL_error(L, "unlockosthread of a goroutine that is not locked to a thread");
	return 0;
}

void lib_syscall_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {{"syscall", l_syscall},
					 {"iscallback", l_iscallback},
					 {"cparams", l_cparams},
					 {"lockosthread", l_lockosthread},
					 {"unlockosthread", l_unlockosthread},
					 {NULL, NULL}};
	host_register(L, ls, funcs);
}
