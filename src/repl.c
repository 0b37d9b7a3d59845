/* SPDX-License-Identifier: MIT */
/* repl.c - interactive mode: each chunk is a main goroutine of its own; those it
 * starts go on when it has returned, until all of them wait. */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

#include "lua/host.h"
#include "main.h"

enum { MAXLINE = 4096 };

/* Pushes the next line of input, as `return ...` where it begins with `=`. */
static bool pushline(lua_State *L, const char *prompt)
{
	char buf[MAXLINE];
	fputs(prompt, stdout);
	fflush(stdout);
	if (fgets(buf, sizeof buf, stdin) == NULL)
		return false;
	buf[strcspn(buf, "\n")] = '\0';
	if (buf[0] == '=')
		lua_pushfstring(L, "return %s", buf + 1);
	else
		lua_pushstring(L, buf);
	return true;
}

/* Whether the chunk failed to compile only because it goes on. */
static bool incomplete(lua_State *L, int status)
{
	static const char eof[] = LUA_QL("<eof>");
	size_t len;
	const char *msg = lua_tolstring(L, -1, &len);
	return status == LUA_ERRSYNTAX && len >= sizeof eof - 1 &&
	       strcmp(msg + len - (sizeof eof - 1), eof) == 0;
}

static int printresults(lua_State *L)
{
	int n = lua_gettop(L);
	if (n == 0)
		return 0;
	lua_getglobal(L, "print");
	lua_insert(L, 1);
	lua_call(L, n, 0);
	return 0;
}

/* The chunk's function on top becomes one that prints what the chunk returns. */
static const char wrap[] = "local print_, chunk = ... return function() return print_(chunk()) end";

static int loadchunk(lua_State *L)
{
	int status = luaL_loadbuffer(L, lua_tostring(L, -1), lua_objlen(L, -1), "=stdin");
	while (incomplete(L, status)) {
		lua_pop(L, 1);
		if (!pushline(L, ">> "))
			break;
		lua_pushliteral(L, "\n");
		lua_insert(L, -2);
		lua_concat(L, 3);
		status = luaL_loadbuffer(L, lua_tostring(L, -1), lua_objlen(L, -1), "=stdin");
	}
	return status;
}

int repl(lua_State *L)
{
	int status = 0;
	while (status != 130 && pushline(L, "> ")) {
		if (report(L, loadchunk(L)) == 0) {
			if (luaL_loadstring(L, wrap) != 0)
				return 1;
			lua_pushcfunction(L, printresults);
			lua_pushvalue(L, -3);
			lua_call(L, 2, 1);
			status = domain(L, 0);
		}
		lua_settop(L, 0);
	}
	putchar('\n');
	return status == 130 ? status : 0;
}
