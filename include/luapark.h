/* SPDX-License-Identifier: MIT */
/* luapark.h - for C programs that have a LuaJIT state of their own and want goroutines in it.
 *
 * Such a program needs nothing but Lua's API: it does `require "luapark"` and calls the module's functions, of which
 * `run` is the one for hosts.  examples/host.c shows all of it.
 *
 * The rules:
 *
 *   - LuaJIT 2.1, and the program shows its API to C modules: linked with the shared library, or with -Wl,-E.
 *   - One state of the process can have luapark.  Another may when that has been closed (lua_close).
 *   - Goroutines run while `run` does, in the thread that called it and in threads of luapark's own.  Between two runs
 *     nothing of them moves.  `run` may be called again and again, by one thread at a time.
 *   - An error that nobody catches, and a deadlock, are errors that `run` raises.  Nothing ends the process but
 *     luapark.exit and os.exit.
 *   - lua_close ends the threads.  Goroutines that still wait are gone then.
 *   - SIGURG interrupts who computes; a handler that was there before is called, too.
 *   - The program may fork if the child does exec; luapark does not work in a child that does not. */
#ifndef LUAPARK_H
#define LUAPARK_H

#include <lua.h>

#define LUAPARK_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* require "luapark.core": the C half of the module, for programs that are linked with core.so, as with any library, and
 * preload it.  The Lua half asks for it, and must be found by package.path:
 *
 *	lua_getglobal(L, "package");
 *	lua_getfield(L, -1, "preload");
 *	lua_pushcfunction(L, luaopen_luapark_core);
 *	lua_setfield(L, -2, "luapark.core");
 *
 * Raises an error in a Lua that is no LuaJIT, and in a second state. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int luaopen_luapark_core(lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
