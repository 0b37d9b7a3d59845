/* SPDX-License-Identifier: MIT */
/* host.c - Luapark in a C program that has a main loop and a LuaJIT state of its own.
 *
 *   cc examples/host.c -o host -I/usr/local/include /usr/local/lib/lua/5.1/luapark/core.so \
 *     $(pkg-config --cflags --libs luajit)
 *   ./host
 *
 * Between two calls of luapark.run the program is alone: no goroutine moves. During one they are as many as they like, on
 * all cores, and may wait inside of its own C functions' callbacks, too.
 *
 * Prints:
 *   3 goroutines: 6
 *   100 goroutines: 5050
 *   on its way through C: three two one
 *   an error: order.lua:17: no goroutine is left
 */
#include <luapark.h>

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char order[] =
	"local luapark = require 'luapark'\n"
	"local order = {}\n"
	"\n"
	"function order.sum(n)\n"
	"  local c, sum = luapark.chan(), 0\n"
	"  for i = 1, n do luapark.go(function() luapark.sleep(0.01 / i) c:send(i) end) end\n"
	"  for _ = 1, n do sum = sum + c:recv() end\n"
	"  return sum\n"
	"end\n"
	"\n"
	"function order.backwards()\n"
	"  local words = { 'one', 'two', 'three' }\n"
	"  return backwards(3, function(i) luapark.sleep(0.001) return words[i] end) -- it waits below a C function\n"
	"end\n"
	"\n"
	"function order.fail()\n"
	"  error 'no goroutine is left'\n"
	"end\n"
	"\n"
	"return order";

/* backwards(n, fn) -> what fn gives for n, n - 1, ... 1, as one string.  It knows nothing of goroutines. */
static int backwards(lua_State *L)
{
	int n = luaL_checkint(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_pushliteral(L, "");
	for (int i = n; i > 0; i--) {
		lua_pushliteral(L, " ");
		lua_pushvalue(L, 2);
		lua_pushinteger(L, i);
		lua_call(L, 1, 1);
		lua_concat(L, 3);
	}
	return 1;
}

static lua_State *openstate(void)
{
	lua_State *L = luaL_newstate();
	if (!L)
		exit(1);
	luaL_openlibs(L);
	lua_register(L, "backwards", backwards);

	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, luaopen_luapark_core);
	lua_setfield(L, -2, "luapark.core");
	lua_pop(L, 2);
	return L;
}

/* luapark.run(order[name], n): the result, or the error's first line, is on top afterwards.  0 if it went well. */
static int run(lua_State *L, const char *name, int n)
{
	lua_getglobal(L, "require");
	lua_pushliteral(L, "luapark");
	int status = lua_pcall(L, 1, 1, 0);
	if (status == 0) {
		lua_getfield(L, -1, "run");
		lua_getfield(L, 1, name);
		lua_pushinteger(L, n);
		status = lua_pcall(L, 2, 1, 0);
	}
	if (status != 0) { /* a traceback follows */
		const char *text = lua_tostring(L, -1);
		lua_pushlstring(L, text, strcspn(text, "\n"));
	}
	return status;
}

int main(void)
{
	lua_State *L = openstate();
	if (luaL_loadbuffer(L, order, sizeof order - 1, "@order.lua") != 0 || lua_pcall(L, 0, 1, 0) != 0) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		return 1;
	}
	for (int n = 3; n <= 100; n += 97) { /* the main loop */
		if (run(L, "sum", n) == 0)
			printf("%d goroutines: %d\n", n, (int)lua_tointeger(L, -1));
		lua_settop(L, 1);
	}
	if (run(L, "backwards", 0) == 0)
		printf("on its way through C:%s\n", lua_tostring(L, -1));
	lua_settop(L, 1);
	if (run(L, "fail", 0) != 0)
		printf("an error: %s\n", lua_tostring(L, -1));
	lua_close(L); /* ends luapark's threads */
	return 0;
}
