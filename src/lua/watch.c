/* SPDX-License-Identifier: MIT */
/* watch.c - see watch.h.
 *
 * A watched table is compared with a list of what it held, in the order in which
 * lua_next gives it: as long as nothing is changed the order stays.  (Where LuaJIT's
 * layout is known, with the bytes of its memory, which is quicker.)  A copy of the
 * table keeps what it held alive, so that no address is used again. */
#include "lua/watch.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"

/* What makes a value the same one, without keeping it alive. */
struct ident {
	int type;
	union {
		const void *p;
		lua_Number n;
	};
};

struct snapshot {
	char *changed; /* it was not as it should be from the start: how; or NULL */
	const void *mt; /* its metatable, or NULL */
	uint32_t n;
	struct snapentry {
		struct ident key, val;
	} *entry;
	void *bytes; /* as vm_tablebytes gave them, or NULL */
	size_t nbytes;
};

static struct ident ident(lua_State *L, int idx)
{
	struct ident id = {.type = lua_type(L, idx), .p = NULL};
	if (id.type == LUA_TNUMBER)
		id.n = lua_tonumber(L, idx);
	else if (id.type == LUA_TSTRING)
		id.p = lua_tostring(L, idx);
	else if (id.type == LUA_TBOOLEAN)
		id.n = lua_toboolean(L, idx);
	else
		id.p = lua_topointer(L, idx);
	return id;
}

static bool same(const struct ident *a, const struct ident *b)
{
	if (a->type != b->type)
		return false;
	return a->type == LUA_TNUMBER || a->type == LUA_TBOOLEAN ? a->n == b->n : a->p == b->p;
}

void values_round(struct values *v, bool on)
{
	v->inround = on;
	v->round++;
}

void values_call(struct values *v)
{
	if (!v->inround)
		v->round++;
}

void watch_free(struct snapshot *s)
{
	if (s) {
		free(s->changed);
		free(s->entry);
		free(s->bytes);
		free(s);
	}
}

/* Writes down what the table on top of L holds. */
static void listentries(lua_State *L, struct snapshot *s)
{
	const void *bytes = vm_tablebytes(lua_topointer(L, -1), &s->nbytes);
	free(s->bytes);
	s->bytes = bytes ? xmalloc(s->nbytes) : NULL;
	if (bytes)
		memcpy(s->bytes, bytes, s->nbytes);
	uint32_t cap = 0;
	s->n = 0;
	free(s->entry);
	s->entry = NULL;
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		if (s->n == cap) {
			cap = cap ? cap * 2 : 32;
			void *p = realloc(s->entry, cap * sizeof *s->entry);
			if (!p)
				throw("out of memory");
			s->entry = p;
		}
		s->entry[s->n++] = (struct snapentry){ident(L, -2), ident(L, -1)};
	}
}

/* What the metatable of the table on top is. */
static const void *metatable(lua_State *L)
{
	const void *mt = NULL;
	if (lua_getmetatable(L, -1)) {
		mt = lua_topointer(L, -1);
		lua_pop(L, 1);
	}
	return mt;
}

void watch_start(lua_State *L, struct values *v, struct known *k, const char *changed)
{
	uint32_t i = (uint32_t)(k - v->known) + 1;
	struct snapshot *s = xcalloc(1, sizeof *s);
	watch_free(k->snap);
	k->snap = s;
	if (changed) {
		s->changed = xmalloc(strlen(changed) + 1);
		strcpy(s->changed, changed);
	}
	s->mt = metatable(L);
	lua_newtable(L);
	for (lua_pushnil(L); lua_next(L, -3);) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, -4);
	}
	values_push(L, v, V_SNAP);
	lua_insert(L, -2);
	lua_rawseti(L, -2, (int)i);
	lua_pop(L, 1);
	listentries(L, s);
}

/* How the table at t differs from its copy at was: false if it does not. */
static bool differs(lua_State *L, int t, int was, char *how, size_t size)
{
	for (int pass = 0; pass < 2; pass++) {
		int from = pass == 0 ? was : t, to = pass == 0 ? t : was;
		for (lua_pushnil(L); lua_next(L, from); lua_pop(L, 1)) {
			lua_pushvalue(L, -2);
			lua_rawget(L, to);
			struct ident a = ident(L, -2), b = ident(L, -1);
			lua_pop(L, 1);
			if (same(&a, &b))
				continue;
			const char *what = b.type != LUA_TNIL ? "replaced" : pass == 0 ? "removed" : "added";
			if (lua_type(L, -2) == LUA_TSTRING)
				snprintf(how, size, "'%s' %s", lua_tostring(L, -2), what);
			else
				snprintf(how, size, "a %s %s", luaL_typename(L, -2), what);
			lua_pop(L, 2);
			return true;
		}
	}
	return false;
}

static bool asbefore(lua_State *L, const struct snapshot *s)
{
	uint32_t i = 0;
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		if (i < s->n) {
			struct ident key = ident(L, -2), val = ident(L, -1);
			if (same(&key, &s->entry[i].key) && same(&val, &s->entry[i].val)) {
				i++;
				continue;
			}
		}
		lua_pop(L, 2);
		return false;
	}
	return i == s->n;
}

bool known_unchanged(lua_State *L, struct values *v, struct known *k, char *why, size_t size)
{
	if (!k->snap || k->verdict == v->round)
		return true;
	size_t n;
	const void *bytes = k->snap->bytes && !k->snap->changed ? vm_tablebytes(k->ptr, &n) : NULL;
	if (bytes && n == k->snap->nbytes && memcmp(bytes, k->snap->bytes, n) == 0) {
		k->verdict = v->round;
		return true;
	}
	char how[96];
	const char *changed = k->snap->changed;
	int top = lua_gettop(L), i = (int)(k - v->known) + 1;
	luaL_checkstack(L, 8, "known objects");
	values_push(L, v, V_OBJECT);
	lua_rawgeti(L, -1, i);
	if (!changed && metatable(L) != k->snap->mt) {
		changed = "another metatable";
	} else if (!changed && !asbefore(L, k->snap)) {
		values_push(L, v, V_SNAP);
		lua_rawgeti(L, -1, i);
		if (differs(L, top + 2, top + 4, how, sizeof how)) {
			changed = how;
		} else { /* in another order: something came and went */
			lua_settop(L, top + 2);
			listentries(L, k->snap);
		}
	}
	lua_settop(L, top);
	if (!changed) {
		k->verdict = v->round;
		return true;
	}
	snprintf(why, size, "%s table '%s' was changed (%s)", k->flags & KNOWN_LUAPARK ? "Luapark's" : "standard", k->name,
		 changed);
	return false;
}

bool known_baseunchanged(lua_State *L, struct values *v, char *why, size_t size)
{
	static const char *const types[] = {"nil", "booleans", "numbers", "functions", "coroutines", "light userdata"};
	if (v->basesame == v->round)
		return true;
	luaL_checkstack(L, 8, "known objects");
	int top = lua_gettop(L);
	lua_pushnil(L);
	lua_pushboolean(L, 1);
	lua_pushnumber(L, 0);
	values_push(L, v, V_CDATA); /* a function */
	lua_pushthread(L);
	lua_pushlightuserdata(L, v);
	for (int i = 0; i < 6; i++)
		if (lua_getmetatable(L, top + 1 + i)) {
			lua_settop(L, top);
			snprintf(why, size, "a metatable was set for %s", types[i]);
			return false;
		}
	lua_settop(L, top);
	if (v->string == 0) {
		snprintf(why, size, "standard table 'string' was changed (replaced)");
		return false;
	}
	/* Strings: {__index = string}, and no more. */
	lua_pushliteral(L, "");
	struct known *string = &v->known[v->string - 1];
	bool ok = lua_getmetatable(L, -1);
	if (ok) {
		lua_pushliteral(L, "__index");
		lua_rawget(L, -2);
		ok = lua_topointer(L, -1) == string->ptr;
		lua_pop(L, 1);
		lua_pushnil(L);
		ok = ok && lua_next(L, -2);
	}
	if (ok) {
		lua_pop(L, 1);
		ok = lua_next(L, -2) == 0;
	}
	lua_settop(L, top);
	if (!ok) {
		snprintf(why, size, "strings' metatable was changed");
		return false;
	}
	if (!known_unchanged(L, v, string, why, size))
		return false;
	v->basesame = v->round;
	return true;
}

bool known_isglobal(lua_State *L, struct values *v, const char *name)
{
	values_push(L, v, LUA_GLOBALSINDEX);
	lua_pushstring(L, name);
	lua_rawget(L, -2);
	const struct known *k = known_find(L, v, -1);
	lua_pop(L, 2);
	return k && k->global && strcmp(k->global, name) == 0;
}

bool known_defaultio(lua_State *L, struct values *v)
{
	static const char *const names[][2] = {{"io.output", "io.stdout"}, {"io.input", "io.stdin"}};
	int top = lua_gettop(L);
	bool ok = true;
	for (int i = 0; i < 2 && ok; i++) {
		ok = known_named(L, v, names[i][0], strlen(names[i][0])) && lua_pcall(L, 0, 1, 0) == 0 &&
		     known_named(L, v, names[i][1], strlen(names[i][1])) && lua_rawequal(L, -1, -2);
		lua_settop(L, top);
	}
	return ok;
}
