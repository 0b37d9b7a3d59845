/* SPDX-License-Identifier: MIT */
/* known.c - see known.h.
 *
 * An object of the standard library is known only if it is what a state that nobody
 * touched has under the same name: a host may have changed `string` before it loaded
 * us.  Such a table is known too, but as one that was changed. */
#include "lua/known.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "lua/pristine.h"
#include "lua/watch.h"

static char *copy(const char *s)
{
	char *p = xmalloc(strlen(s) + 1);
	strcpy(p, s);
	return p;
}

/* Registering --------------------------------------------------------------- */

static bool listed(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

static uint16_t flagsof(const char *name)
{
	static const char *const stays[] = {"_G",	"getfenv",  "setfenv", "getmetatable", "rawset",
					    "load",	"loadstring", "loadfile", "dofile",    "require",
					    "module",	"collectgarbage", "gcinfo", "newproxy", "io.input",
					    "io.output", "math.randomseed", "os.setlocale", "debug", "package", "jit", NULL};
	static const char *const io[] = {"io.write", "io.read", "io.lines", "io.close", NULL};
	if (listed(name, stays) || strncmp(name, "debug.", 6) == 0 || strncmp(name, "package.", 8) == 0 ||
	    strncmp(name, "jit.", 4) == 0)
		return KNOWN_STAYS;
	if (listed(name, io))
		return KNOWN_IO;
	if (strcmp(name, "print") == 0)
		return KNOWN_PRINT;
	return strcmp(name, "math.random") == 0 ? KNOWN_RANDOM : 0;
}

struct known *known_find(lua_State *L, const struct values *v, int idx)
{
	const uint32_t *i = ptrmap_get(&v->byptr, lua_topointer(L, idx));
	return i ? &v->known[*i - 1] : NULL;
}

/* Registers the object on top of L, unless it is known under another name already;
 * then that is one more of its names. */
static struct known *enter(lua_State *L, struct values *v, const char *name, uint16_t flags)
{
	bool isnew;
	luaL_checkstack(L, 8, "known objects");
	const void *ptr = lua_topointer(L, -1);
	uint32_t *at = ptrmap_put(&v->byptr, ptr, &isnew);
	if (!at)
		throw("out of memory");
	if (isnew) {
		if (v->nknown == v->capknown) {
			v->capknown = v->capknown ? v->capknown * 2 : 256;
			struct known *p = realloc(v->known, v->capknown * sizeof *p);
			if (!p)
				throw("out of memory");
			v->known = p;
		}
		v->known[v->nknown++] = (struct known){
			.name = copy(name), .ptr = ptr, .flags = flags, .type = (uint8_t)lua_type(L, -1)};
		*at = v->nknown;
	}
	uint32_t i = *at;
	values_push(L, v, V_OBJECT);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, (int)i);
	lua_pop(L, 1);
	values_push(L, v, V_NAME);
	lua_pushstring(L, name);
	lua_pushinteger(L, (lua_Integer)i);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return &v->known[i - 1];
}

void known_add(lua_State *L, struct lstate *ls, const char *name, int idx)
{
	struct values *v = ls->values;
	luaL_checkstack(L, 8, "known objects");
	lua_pushvalue(L, idx);
	int top = lua_gettop(L);
	struct known *k = enter(L, v, name, KNOWN_LUAPARK);
	if (lua_istable(L, top)) {
		uint32_t i = (uint32_t)(k - v->known);
		for (lua_pushnil(L); lua_next(L, top); lua_pop(L, 1)) {
			if (lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1))
				continue;
			lua_pushfstring(L, "%s.%s", name, lua_tostring(L, -2));
			lua_pushvalue(L, -2);
			enter(L, v, lua_tostring(L, -2), KNOWN_LUAPARK);
			lua_pop(L, 2);
		}
		watch_start(L, v, &v->known[i], NULL);
	}
	lua_settop(L, top - 1);
}

/* Whether the value on top of L is what the entry says. */
static bool genuine(lua_State *L, struct values *v, const struct pristine *p)
{
	if (lua_type(L, -1) != p->type)
		return false;
	if (p->type == LUA_TNUMBER)
		return lua_tonumber(L, -1) == p->num;
	if (p->type != LUA_TFUNCTION)
		return true;
	bool isc = p->dump.n == 0;
	if (lua_iscfunction(L, -1) ? isc && lua_tocfunction(L, -1) == p->f
				   : !isc && pristine_dump(L, &v->dump) && v->dump.n == p->dump.n &&
					     memcmp(v->dump.p, p->dump.p, p->dump.n) == 0)
		return true;
	values_push(L, v, V_OURS);
	lua_pushvalue(L, -2);
	lua_rawget(L, -2);
	bool ours = lua_toboolean(L, -1);
	lua_pop(L, 2);
	return ours;
}

/* The entries of one table, p[0] to p[n - 1], whose name is the first's; the table
 * is on top of L. */
static void standardtable(lua_State *L, struct values *v, const struct pristine *p, uint32_t n)
{
	char changed[128] = "", name[128];
	int top = lua_gettop(L);
	const char *table = p[0].table;
	for (uint32_t i = 0; i < n; i++) {
		lua_pushstring(L, p[i].key);
		lua_rawget(L, top);
		if (!genuine(L, v, &p[i])) {
			snprintf(changed, sizeof changed, "'%s' %s", p[i].key, lua_isnil(L, -1) ? "removed" : "replaced");
		} else if (p[i].type == LUA_TFUNCTION || p[i].type == LUA_TUSERDATA) {
			snprintf(name, sizeof name, "%s.%s", table, p[i].key);
			enter(L, v, name, flagsof(name));
		}
		lua_settop(L, top);
	}
	for (lua_pushnil(L); lua_next(L, top); lua_pop(L, 1)) {
		uint32_t i = 0;
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		while (i < n && strcmp(p[i].key, key) != 0)
			i++;
		if (i == n)
			snprintf(changed, sizeof changed, "'%s' added", key);
	}
	struct known *k = enter(L, v, table, flagsof(table));
	k->global = table;
	if (!(k->flags & KNOWN_STAYS))
		watch_start(L, v, k, *changed ? changed : NULL);
}

/* A module that LuaJIT brings along: loaded here and now, under LuaJIT's own name. */
static void standardmodule(lua_State *L, struct values *v, const struct pristine *p)
{
	int top = lua_gettop(L);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, p->key);
	if (lua_isnil(L, -1)) {
		lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
		lua_getfield(L, -1, p->key);
		lua_pushstring(L, p->key);
		if (!lua_iscfunction(L, -2) || lua_pcall(L, 1, 1, 0) != 0) {
			lua_settop(L, top);
			return;
		}
		lua_pushvalue(L, -1);
		lua_setfield(L, top + 1, p->key);
	}
	if (genuine(L, v, p)) {
		struct known *k = enter(L, v, p->key, 0);
		if (p->type == LUA_TTABLE)
			watch_start(L, v, k, NULL);
	}
	lua_settop(L, top);
}

void known_standard(lua_State *L, struct lstate *ls, int n)
{
	struct values *v = ls->values;
	int top = lua_gettop(L);
	luaL_checkstack(L, 16, "known objects");
	values_push(L, v, V_OURS);
	for (int i = top - n + 1; i <= top; i++) {
		lua_pushvalue(L, i);
		lua_pushboolean(L, 1);
		lua_rawset(L, -3);
	}
	lua_settop(L, top);
	uint32_t np;
	const struct pristine *p = pristine(&np);
	for (uint32_t i = 0, m; i < np; i += m) {
		for (m = 1; i + m < np && strcmp(p[i + m].table, p[i].table) == 0;)
			m++;
		if (strcmp(p[i].table, PRISTINE_MODULE) == 0) {
			for (uint32_t j = i; j < i + m; j++)
				standardmodule(L, v, &p[j]);
		} else if (*p[i].table) {
			lua_pushstring(L, p[i].table);
			lua_rawget(L, LUA_GLOBALSINDEX);
			if (lua_istable(L, -1))
				standardtable(L, v, &p[i], m);
		} else {
			for (uint32_t j = i; j < i + m; j++) {
				lua_pushstring(L, p[j].key);
				lua_rawget(L, LUA_GLOBALSINDEX);
				bool single = p[j].type == LUA_TFUNCTION || strcmp(p[j].key, "_G") == 0;
				if (single && genuine(L, v, &p[j]))
					enter(L, v, p[j].key, flagsof(p[j].key))->global = p[j].key;
				lua_settop(L, top);
			}
		}
		lua_settop(L, top);
	}
	lua_pushliteral(L, "string");
	lua_rawget(L, LUA_GLOBALSINDEX);
	const uint32_t *string = ptrmap_get(&v->byptr, lua_topointer(L, -1));
	v->string = string ? *string : 0;
	lua_settop(L, top);
}

void known_globals(lua_State *L, struct lstate *ls, const char *const *names)
{
	for (; *names; names++) {
		lua_pushstring(L, *names);
		lua_rawget(L, LUA_GLOBALSINDEX);
		struct known *k = known_find(L, ls->values, -1);
		if (k)
			k->global = *names;
		lua_pop(L, 1);
	}
}

void known_term(struct values *v)
{
	for (uint32_t i = 0; i < v->nknown; i++) {
		free(v->known[i].name);
		watch_free(v->known[i].snap);
	}
	free(v->known);
	ptrmap_free(&v->byptr);
}

/* By name ------------------------------------------------------------------- */

bool known_named(lua_State *L, const struct values *v, const char *name, size_t len)
{
	values_push(L, v, V_NAME);
	lua_pushlstring(L, name, len);
	lua_rawget(L, -2);
	int i = (int)lua_tointeger(L, -1);
	lua_pop(L, 2);
	if (i == 0)
		return false;
	values_push(L, v, V_OBJECT);
	lua_rawgeti(L, -1, i);
	lua_remove(L, -2);
	return true;
}

/* Whether such a name may make us require a module: it comes out of bytes. */
static bool isours(const char *name, size_t len)
{
	static const char prefix[] = "luapark.";
	enum { PREFIX = sizeof prefix - 1, MAX = 64 };
	if (len <= PREFIX || len > MAX || memcmp(name, prefix, PREFIX) != 0 || name[len - 1] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
		if (!word && !(c == '.' && name[i + 1] != '.'))
			return false;
	}
	return true;
}

bool known_push(lua_State *L, struct lstate *ls, const char *name, size_t len)
{
	struct values *v = ls->values;
	luaL_checkstack(L, 8, "known objects");
	if (known_named(L, v, name, len))
		return true;
	if (!isours(name, len))
		return false;
	/* luapark.net.dial: luapark, then luapark.net; what is there costs nothing. */
	for (size_t n = 0; n < len; n++) {
		const char *dot = memchr(name + n, '.', len - n);
		n = dot ? (size_t)(dot - name) : len;
		if (!known_named(L, v, "require", strlen("require")))
			lua_getglobal(L, "require");
		lua_pushlstring(L, name, n);
		lua_call(L, 1, 0);
		if (known_named(L, v, name, len))
			return true;
	}
	return false;
}

