// SPDX-License-Identifier: MIT
/*
 * The host of the self-test of a LuaJIT build: runs selftest.lua, and gives it the one function that needs C,
 *
 *	run(name, f, n, preempt) -> results of f(n)..., preemptions, seconds, worst latency
 *
 * which runs f in a coroutine, as the scheduler runs a G: with preempt, a timer's signal arms a hook each
 * millisecond, the hook disarms itself and yields, and run resumes.  Times are of this thread's CPU clock, so
 * that a busy machine does not fail the test.
 *
 * The timer ticks in each run, as it is the watchdog too: a form that takes HANG ticks hangs, and only a signal
 * handler can still say so.
 */
#define _GNU_SOURCE /* struct sigaction under -std=c11 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef CHECKHOOK
#define CHECKHOOK 0 /* was LuaJIT built with LUAJIT_ENABLE_CHECKHOOK? */
#endif

enum { TICK = 1000 /* us */, HANG = 10000 /* ticks */ };

/* What the signal handler shares with the one thread. */
static lua_State *volatile state; /* whose hook is armed; NULL: nobody's */
static volatile sig_atomic_t ticks;
static volatile int64_t armed; /* since when the hook is armed; 0: it is not */
static const char *volatile form = "(none)";

static int preemptions;
static int64_t latency; /* the worst from arming to yield, in ns of CPU time */

static int64_t cputime(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The hook.  Until armed is 0 again, the signal handler leaves the hook alone. */
static void yield(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	if (armed == 0)
		return;
	int64_t t = cputime() - armed;
	armed = 0;
	if (t > latency)
		latency = t;
	preemptions++;
	lua_yield(L, 0);
}

static void tell(const char *s)
{
	if (write(STDERR_FILENO, s, strlen(s)) < 0)
		_exit(2);
}

static void tick(int sig)
{
	(void)sig;
	if (++ticks > HANG) {
		tell("LuaJIT self-test: ");
		tell(form);
		tell(state ? ": hangs when pre-empted\n" : ": hangs\n");
		_exit(1);
	}
	if (state && armed == 0) {
		armed = cputime();
		lua_sethook(state, yield, LUA_MASKCOUNT, 1);
	}
}

static void timer(int us)
{
	struct itimerval t = {{0, us}, {0, us}};
	setitimer(ITIMER_REAL, &t, NULL);
}

static int run(lua_State *L)
{
	form = luaL_checkstring(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_State *co = lua_newthread(L);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 3);
	lua_xmove(L, co, 2);

	preemptions = 0;
	latency = 0;
	ticks = 0;
	armed = 0;
	state = lua_toboolean(L, 4) ? L : NULL;
	int64_t t = cputime();
	timer(TICK);
	int rc = lua_resume(co, 1);
	while (rc == LUA_YIELD)
		rc = lua_resume(co, 0);
	timer(0);
	t = cputime() - t;
	state = NULL;
	lua_sethook(L, NULL, 0, 0);

	if (rc != 0) {
		lua_pushfstring(L, "%s: %s", form, lua_tostring(co, -1));
		return lua_error(L);
	}
	int n = lua_gettop(co);
	lua_xmove(co, L, n);
	lua_pushinteger(L, preemptions);
	lua_pushnumber(L, (double)t / 1e9);
	lua_pushnumber(L, (double)latency / 1e9);
	return n + 3;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: selftest selftest.lua [the folder of jit/*.lua]\n");
		return 2;
	}
	struct sigaction sa = {.sa_handler = tick, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &sa, NULL);

	lua_State *L = luaL_newstate();
	if (L == NULL)
		return 2;
	luaL_openlibs(L);
	lua_register(L, "run", run);
	int rc = luaL_loadfile(L, argv[1]);
	if (rc == 0) {
		lua_pushboolean(L, CHECKHOOK);
		for (int i = 2; i < argc; i++)
			lua_pushstring(L, argv[i]);
		rc = lua_pcall(L, argc - 1, 0, 0);
	}
	if (rc != 0) {
		fprintf(stderr, "LuaJIT self-test: %s\n", lua_tostring(L, -1));
		return 1;
	}
	lua_close(L);
	return 0;
}
