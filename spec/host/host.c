/* SPDX-License-Identifier: MIT */
/* host.c - a C program that has luapark in its Lua states, for spec/host_spec.lua.
 *
 *   host [-k] FILE...
 *
 * Runs each file in a state of its own, which it closes before it opens the next one (-k: all are kept, and the last one
 * is closed first).  What a file returns is printed, or the first line of its error.  When all are closed it says how many
 * threads there are: one, if luapark has ended its own.
 *
 * It is linked with the module's objects, and so, in a build with sanitizers, has them. */
#include <dirent.h>
#include <lauxlib.h>
#include <luapark.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int threads(void)
{
	int n = -2; /* . and .. */
	DIR *dir = opendir("/proc/self/task");
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
#ifdef __SANITIZE_THREAD__ /* which has had one of its own since there was another */
	n -= n > 1;
#endif
	return n;
}

static lua_State *openstate(void)
{
	lua_State *L = luaL_newstate();
	if (!L) {
		fprintf(stderr, "host: no memory\n");
		exit(1);
	}
	luaL_openlibs(L);
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, luaopen_luapark_core);
	lua_setfield(L, -2, "luapark.core");
	lua_pop(L, 2);
	return L;
}

static void runfile(lua_State *L, const char *name)
{
	int failed = luaL_loadfile(L, name) || lua_pcall(L, 0, 1, 0);
	const char *text = lua_tostring(L, -1);
	if (text)
		printf("%s%.*s\n", failed ? "error: " : "", (int)strcspn(text, "\n"), text);
	lua_pop(L, 1);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int keep = argc > 1 && strcmp(argv[1], "-k") == 0, n = 0;
	lua_State **all = calloc((size_t)argc, sizeof(lua_State *));
	for (int i = 1 + keep; all && i < argc; i++) {
		all[n++] = openstate();
		runfile(all[n - 1], argv[i]);
		if (!keep)
			lua_close(all[--n]);
	}
	while (n > 0)
		lua_close(all[--n]);
	free(all);
	printf("%d thread%s\n", threads(), threads() == 1 ? "" : "s");
	return 0;
}
