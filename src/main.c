/* SPDX-License-Identifier: MIT */
/* main.c - the executable: luajit's command line, with the script's main chunk
 * as goroutine 1. */
#include <lauxlib.h>
#include <limits.h>
#include <luajit.h>
#include <lualib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lua/host.h"
#include "lua/known.h"
#include "lua/panic.h"
#include "luapark.h"
#include "main.h"

static const char progname[] = "luapark";

static void print_usage(void)
{
	fputs("usage: luapark [options]... [script [args]...].\n"
	      "       luapark load ...  Make load on an HTTP server (luapark load -h).\n"
	      "Available options are:\n"
	      "  -e chunk  Execute string " LUA_QL("chunk") ".\n"
	      "  -l name   Require library " LUA_QL("name") ".\n"
	      "  -i        Enter interactive mode after executing " LUA_QL("script") ".\n"
	      "  -j cmd    Perform LuaJIT control command.\n"
	      "  -O[opt]   Control LuaJIT optimizations.\n"
	      "  -v        Show version information.\n"
	      "  -E        Ignore environment variables.\n"
	      "  --        Stop handling options.\n"
	      "  -         Execute stdin and stop handling options.\n",
	      stderr);
}

static void message(const char *text)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", progname, text);
	fflush(stderr);
}

int report(lua_State *L, int status)
{
	if (status == 0)
		return 0;
	if (!lua_isnil(L, -1)) { /* error(): the exit status says enough */
		const char *msg = lua_tostring(L, -1);
		message(msg ? msg : "(error object is not a string)");
	}
	lua_pop(L, 1);
	return status;
}

static int traceback(lua_State *L)
{
	if (lua_isstring(L, 1))
		luaL_traceback(L, L, lua_tostring(L, 1), 1);
	return 1;
}

/* Calls the function and n arguments on top, outside goroutines. */
static int docall(lua_State *L, int n)
{
	int base = lua_gettop(L) - n;
	lua_pushcfunction(L, traceback);
	lua_insert(L, base);
	int status = lua_pcall(L, n, 0, base);
	lua_remove(L, base);
	return report(L, status) ? 1 : 0;
}

/* LUAPARK_DEBUG=leaks: the Gs that could only have waited for ever. */
static void reportleaks(lua_State *L)
{
	uint32_t n = gcount();
	if (!scheddebug("leaks") || n == 0)
		return;
	host_pushstacks(L, p0.lua);
	fflush(stdout);
	fprintf(stderr, "left waiting for ever (%d):\n\n%s", (int)n, lua_tostring(L, -1));
	lua_pop(L, 1);
}

int domain(lua_State *L, int n)
{
	int nresults;
	switch (host_run(L, p0.lua, n, &nresults)) {
	case RUN_OK:
		lua_pop(L, nresults);
		reportleaks(L);
		return 0;
	case RUN_FAILED:
		report(L, LUA_ERRRUN);
		return 1;
	case RUN_SIGNAL:
		if (load_relaxed(&sched.signal) == SIGINT) {
			message("interrupted!");
			return 128 + SIGINT;
		}
		fputs("SIGQUIT: quit\n\n", stderr);
		/* fall through */
	case RUN_DEADLOCK:
		fflush(stdout);
		fputs(lua_tostring(L, -1), stderr);
		return 2;
	case RUN_PANIC:
		panic_print();
		return 2;
	}
	return 1;
}

/* The options --------------------------------------------------------------- */

/* ns: a goroutine that is in a C function does not keep a program from ending. */
enum { PATIENCE = 300000000 };

enum { F_INTERACTIVE = 1, F_VERSION = 2, F_OPTION = 4, F_NOENV = 8 };

/* Checks the options; the index of the script in argv, or -1. */
static int collectargs(char **argv, int *flags)
{
	int i;
	for (i = 1; argv[i] != NULL; i++) {
		if (argv[i][0] != '-')
			return i;
		switch (argv[i][1]) {
		case '-':
			if (argv[i][2] != '\0')
				return -1;
			return i + 1;
		case '\0':
			return i;
		case 'v':
			if (argv[i][2] != '\0')
				return -1;
			*flags |= F_VERSION;
			break;
		case 'i':
			if (argv[i][2] != '\0')
				return -1;
			*flags |= F_INTERACTIVE | F_VERSION;
			break;
		case 'e':
		case 'j':
		case 'l':
			*flags |= F_OPTION;
			if (argv[i][2] == '\0' && argv[++i] == NULL)
				return -1;
			break;
		case 'O':
			break;
		case 'E':
			if (argv[i][2] != '\0')
				return -1;
			*flags |= F_NOENV;
			break;
		default:
			return -1;
		}
	}
	return i;
}

static void print_version(void)
{
	lua_State *L = p0.lua->L;
	lua_getglobal(L, "luapark");
	lua_getfield(L, -1, "_VERSION");
	printf("Luapark %s -- %s\n", lua_tostring(L, -1), LUAJIT_VERSION);
	lua_pop(L, 2);
}

static int loadjitmodule(lua_State *L)
{
	lua_getglobal(L, "require");
	lua_pushliteral(L, "jit.");
	lua_pushvalue(L, -3);
	lua_concat(L, 2);
	if (lua_pcall(L, 1, 1, 0)) {
		const char *msg = lua_tostring(L, -1);
		if (msg && !strncmp(msg, "module ", 7)) {
			message("unknown luaJIT command or jit.* modules not installed");
			return 1;
		}
		return report(L, 1);
	}
	lua_getfield(L, -1, "start");
	if (lua_isnil(L, -1)) {
		message("unknown luaJIT command or jit.* modules not installed");
		return 1;
	}
	lua_remove(L, -2);
	return 0;
}

/* Pushes the comma-separated options; how many. */
static int pushoptions(lua_State *L, const char *opt)
{
	int n = 0;
	while (opt && *opt) {
		const char *comma = strchr(opt, ',');
		lua_pushlstring(L, opt, comma ? (size_t)(comma - opt) : strlen(opt));
		n++;
		opt = comma ? comma + 1 : NULL;
	}
	return n;
}

/* -j cmd or -j cmd=arg[,arg...] */
static int dojitcmd(lua_State *L, const char *cmd)
{
	const char *opt = strchr(cmd, '=');
	lua_pushlstring(L, cmd, opt ? (size_t)(opt - cmd) : strlen(cmd));
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, "jit");
	lua_remove(L, -2);
	lua_pushvalue(L, -2);
	lua_gettable(L, -2); /* a function of the jit table, */
	if (!lua_isfunction(L, -1)) {
		lua_pop(L, 2);
		if (loadjitmodule(L)) /* or the start of a module jit.cmd */
			return 1;
	} else {
		lua_remove(L, -2);
	}
	lua_remove(L, -2);
	return docall(L, pushoptions(L, opt ? opt + 1 : NULL));
}

/* -O, -O3, -O+opt, -Ohotloop=10 */
static int dojitopt(lua_State *L, const char *opt)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, "jit.opt");
	lua_remove(L, -2);
	lua_getfield(L, -1, "start");
	lua_remove(L, -2);
	return docall(L, pushoptions(L, opt));
}

static int dostring(lua_State *L, const char *s, const char *name)
{
	return report(L, luaL_loadbuffer(L, s, strlen(s), name)) ? 1 : domain(L, 0);
}

static int dolibrary(lua_State *L, const char *name)
{
	lua_getglobal(L, "require");
	lua_pushstring(L, name);
	return domain(L, 1); /* a module's main chunk may wait, too */
}

static int runoptions(lua_State *L, char **argv, int argn)
{
	for (int i = 1; i < argn; i++) {
		char c = argv[i][1];
		int status = 0;
		const char *arg = argv[i] + 2;
		if (argv[i][0] != '-')
			continue;
		if ((c == 'e' || c == 'j' || c == 'l') && *arg == '\0')
			arg = argv[++i];
		if (c == 'e')
			status = dostring(L, arg, "=(command line)");
		else if (c == 'j')
			status = dojitcmd(L, arg);
		else if (c == 'l')
			status = dolibrary(L, arg);
		else if (c == 'O')
			status = dojitopt(L, arg);
		if (status)
			return status;
	}
	return 0;
}

static int handleluainit(lua_State *L)
{
	const char *init = getenv("LUA_INIT");
	if (init == NULL)
		return 0;
	if (init[0] != '@')
		return dostring(L, init, "=LUA_INIT");
	return report(L, luaL_loadfile(L, init + 1)) ? 1 : domain(L, 0);
}

static void createargtable(lua_State *L, char **argv, int argc, int argn)
{
	lua_createtable(L, argc - argn, argn);
	for (int i = 0; i < argc; i++) {
		lua_pushstring(L, argv[i]);
		lua_rawseti(L, -2, i - argn);
	}
	lua_setglobal(L, "arg");
}

static int handlescript(lua_State *L, char **argv)
{
	const char *name = argv[0];
	if (strcmp(name, "-") == 0 && strcmp(argv[-1], "--") != 0)
		name = NULL; /* stdin */
	if (report(L, luaL_loadfile(L, name)))
		return 1;
	int n = 0;
	while (argv[n + 1])
		n++;
	luaL_checkstack(L, n + 3, "too many arguments to script");
	for (int i = 1; i <= n; i++)
		lua_pushstring(L, argv[i]);
	return domain(L, n);
}

/* luapark load ...: the load generator, as it is a module, too (lua/luapark/load.lua).  A script of
 * that name is ./load. */
static int handleload(lua_State *L, char **argv)
{
	static const char chunk[] = "local status = require('luapark.load').command({...})\n"
				    "if status ~= 0 then luapark.exit(status) end";
	if (report(L, luaL_loadbuffer(L, chunk, sizeof chunk - 1, "=load")))
		return 1;
	int n = 0;
	while (argv[n + 1])
		n++;
	luaL_checkstack(L, n + 3, "too many arguments");
	for (int i = 1; i <= n; i++)
		lua_pushstring(L, argv[i]);
	return domain(L, n);
}

/* The state ----------------------------------------------------------------- */

/* Puts dir/suffix before package[field], for each suffix. */
static void prependpath(lua_State *L, const char *field, const char *dir, const char *const *suffix)
{
	luaL_Buffer b;
	lua_getglobal(L, "package");
	luaL_buffinit(L, &b);
	for (; *suffix; suffix++) {
		luaL_addstring(&b, dir);
		luaL_addstring(&b, *suffix);
		luaL_addchar(&b, ';');
	}
	luaL_pushresult(&b);
	lua_getfield(L, -2, field);
	lua_concat(L, 2);
	lua_setfield(L, -2, field);
	lua_pop(L, 1);
}

/* Our own modules lie beside us: bin/luapark, share/lua/5.1, lib/lua/5.1; those of our own
 * LuaJIT (jit.*) where no other one finds them. */
static void setpaths(lua_State *L)
{
	static const char *const path[] = {"/share/lua/5.1/?.lua", "/share/lua/5.1/?/init.lua",
					   "/share/lua/5.1/luapark-jit/?.lua", NULL};
	static const char *const cpath[] = {"/lib/lua/5.1/?.so", NULL};
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	for (int up = 0; up < 2; up++) {
		while (n > 0 && exe[n - 1] != '/')
			n--;
		if (n > 0)
			n--;
	}
	if (n <= 0)
		return;
	exe[n] = '\0';
	prependpath(L, "path", exe, path);
	prependpath(L, "cpath", exe, cpath);
}

/* What scripts find without require. */
static void setglobals(lua_State *L, const P *pp)
{
	static const char *const globals[] = {"go", "chan", "gopark", "goready", "getg", "gosched", NULL};
	lua_getglobal(L, "require");
	lua_pushliteral(L, "luapark");
	lua_call(L, 1, 1);
	for (const char *const *name = globals; *name; name++) {
		lua_getfield(L, -1, *name);
		lua_setglobal(L, *name);
	}
	lua_setglobal(L, "luapark");
	known_globals(L, pp->lua, globals);
	known_globals(L, pp->lua, (const char *const[]){"luapark", NULL});
}

static char **jitargs; /* the command line up to the script, for -j and -O */
static int njitargs;

/* Another P's state has been opened.  What the command line says of the JIT is for all of
 * them. */
static int opened(lua_State *L)
{
	setglobals(L, getm()->p);
	for (int i = 1; i < njitargs; i++) {
		const char *arg = jitargs[i] + 2;
		char c = jitargs[i][1];
		if ((c == 'e' || c == 'j' || c == 'l') && *arg == '\0')
			arg = jitargs[++i];
		if (c == 'j')
			dojitcmd(L, arg);
		else if (c == 'O')
			dojitopt(L, arg);
	}
	return 0;
}

static int openluapark(lua_State *L)
{
	setpaths(L);
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, luaopen_luapark_core);
	lua_setfield(L, -2, "luapark.core");
	lua_pop(L, 2);
	setglobals(L, &p0);
	state_onopen(opened);
	return 0;
}

struct mainargs {
	char **argv;
	int argc;
	int status;
};

static int pmain(lua_State *L)
{
	struct mainargs *a = lua_touserdata(L, 1);
	char **argv = a->argv;
	int flags = 0, script = collectargs(argv, &flags);
	a->status = 1;
	if (script < 0) {
		print_usage();
		return 0;
	}
	if (flags & F_NOENV) {
		lua_pushboolean(L, 1);
		lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
	}
	lua_gc(L, LUA_GCSTOP, 0);
	luaL_openlibs(L);
	lua_gc(L, LUA_GCRESTART, -1);
	lua_pushcfunction(L, openluapark);
	if (report(L, lua_pcall(L, 0, 0, 0)))
		return 0;
	p0.lua->script = true;
	sched.patience = PATIENCE;
	jitargs = argv;
	njitargs = script < a->argc ? script : a->argc;
	createargtable(L, argv, a->argc, script);
	if (!(flags & F_NOENV) && (a->status = handleluainit(L)) != 0)
		return 0;
	if (flags & F_VERSION)
		print_version();
	if ((a->status = runoptions(L, argv, script < a->argc ? script : a->argc)) != 0)
		return 0;
	if (script < a->argc) {
		bool load = strcmp(argv[script], "load") == 0;
		a->status = load ? handleload(L, argv + script) : handlescript(L, argv + script);
		if (a->status != 0)
			return 0;
	}
	bool nothing = script >= a->argc && !(flags & (F_OPTION | F_VERSION));
	if ((flags & F_INTERACTIVE) || (nothing && isatty(STDIN_FILENO))) {
		if (nothing)
			print_version();
		a->status = repl(L);
	} else if (nothing) {
		a->status = handlescript(L, (char *[]){"-", "-", NULL} + 1);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct mainargs a = {argv, argc, 1};
	lua_State *L = luaL_newstate();
	if (L == NULL) {
		message("cannot create state: not enough memory");
		return EXIT_FAILURE;
	}
	signals_init();
	int status = lua_cpcall(L, pmain, &a);
	report(L, status);
	if (host_close()) {
		lua_close(L);
		signals_exit();
	} else { /* a thread of ours is in a C function that does not return */
		fflush(NULL);
		signals_exit();
		_exit(status ? EXIT_FAILURE : a.status);
	}
	return status ? EXIT_FAILURE : a.status;
}
