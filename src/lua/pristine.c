/* SPDX-License-Identifier: MIT */
/* pristine.c - see pristine.h. */
#include "lua/pristine.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <string.h>

#include "base/os.h"

static struct {
	struct pristine *entry;
	uint32_t n, cap;
} all;

static char *copy(const char *s)
{
	char *p = xmalloc(strlen(s) + 1);
	strcpy(p, s);
	return p;
}

static int writer(lua_State *L, const void *p, size_t n, void *ud)
{
	(void)L;
	struct buf *b = ud;
	buf_put(b, p, n);
	return b->failed;
}

bool pristine_dump(lua_State *L, struct buf *out)
{
	buf_reset(out);
	return lua_dump(L, writer, out) == 0 && !out->failed;
}

/* Adds the value on top of L. */
static void add(lua_State *L, const char *table, const char *key)
{
	if (all.n == all.cap) {
		all.cap = all.cap ? all.cap * 2 : 256;
		struct pristine *p = realloc(all.entry, all.cap * sizeof *p);
		if (!p)
			throw("out of memory");
		all.entry = p;
	}
	struct pristine *p = &all.entry[all.n++];
	*p = (struct pristine){table, copy(key), lua_type(L, -1), lua_tocfunction(L, -1), lua_tonumber(L, -1), {0}};
	if (p->type == LUA_TFUNCTION && !lua_iscfunction(L, -1) && !pristine_dump(L, &p->dump))
		all.n--;
}

/* Adds what the table on top of L holds. */
static void addtable(lua_State *L, const char *table)
{
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		if (lua_type(L, -2) == LUA_TSTRING)
			add(L, table, lua_tostring(L, -2));
}

/* The modules table.* and string.* of LuaJIT: they need nothing of the rest. */
static void addmodules(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
	if (!lua_istable(L, -1))
		return;
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
		if (strncmp(name, "table.", 6) != 0 && strncmp(name, "string.", 7) != 0)
			continue;
		lua_pushvalue(L, -2);
		if (lua_pcall(L, 1, 1, 0) == 0)
			add(L, PRISTINE_MODULE, name);
		lua_pushnil(L); /* for lua_pop */
		lua_replace(L, -2);
	}
	lua_pop(L, 1);
}

static void make(void)
{
	lua_State *L = luaL_newstate();
	if (!L)
		return; /* nothing is known: nothing moves */
	luaL_openlibs(L);
	lua_pushvalue(L, LUA_GLOBALSINDEX);
	addtable(L, "");
	addmodules(L);
	for (uint32_t i = 0, n = all.n; i < n; i++) {
		const char *name = all.entry[i].key;
		if (all.entry[i].type != LUA_TTABLE || strcmp(name, "_G") == 0 || *all.entry[i].table)
			continue;
		lua_getglobal(L, name);
		addtable(L, name);
		lua_pop(L, 1);
	}
	lua_close(L);
}

const struct pristine *pristine(uint32_t *n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make);
	*n = all.n;
	return all.entry;
}
