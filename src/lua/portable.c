/* SPDX-License-Identifier: MIT */
/* portable.c - see portable.h.
 *
 * A function is portable when all that it can reach is the same everywhere:
 *
 *   - Each upvalue is never assigned to once it is initialised, and holds a plain
 *     value, a handle, a known object, or a function that is portable in turn.
 *   - It names no globals but known ones, and writes none.
 *   - A known table is never used as a value, only indexed by a constant on the spot:
 *     else it might be changed or handed on.  The same with what lies in it.
 *   - The known tables it names, and the metatables of base types, which any function
 *     may reach, are as they were.
 *   - None of the known objects it names works on this state alone.
 *
 * What the bytecode says (dump.h) is found once for each prototype.  A check looks at
 * the rest: upvalues, environment, the globals named, the tables.
 *
 * Functions are looked at one after the other, as they are found in upvalues, each
 * once; so neither cycles nor depth matter. */
#include "lua/portable.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>

#include "lua/code.h"
#include "lua/handle.h"
#include "lua/known.h"
#include "lua/share.h"
#include "lua/watch.h"

/* A function to look at: which upvalue of which other one it is. */
struct workitem {
	uint32_t parent; /* in v->work; the first has none */
	int uv;
};

struct check {
	lua_State *L;
	struct lstate *ls;
	struct values *v;
	int root;    /* where on L the first function is */
	int fn;	     /* where the one being looked at is */
	uint32_t at; /* and in v->work */
	char *why;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static bool no(const struct check *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->why, c->size, fmt, ap);
	va_end(ap);
	return false;
}

bool portable_isenv(lua_State *L, const struct values *v, int idx)
{
	lua_pushvalue(L, idx);
	values_push(L, v, V_ENV);
	lua_insert(L, -2);
	lua_rawget(L, -2);
	bool is = lua_toboolean(L, -1);
	lua_pop(L, 2);
	return is;
}

bool portable_module(lua_State *L, const struct values *v, int idx)
{
	int top = lua_gettop(L);
	luaL_checkstack(L, 8, "modules");
	lua_pushvalue(L, idx);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	if (lua_istable(L, -1) && !known_find(L, v, idx))
		for (lua_pushnil(L); lua_next(L, top + 2); lua_pop(L, 1))
			if (lua_rawequal(L, -1, top + 1) && lua_type(L, -2) == LUA_TSTRING) {
				lua_pushvalue(L, -2);
				lua_replace(L, top + 1);
				lua_settop(L, top + 1);
				return true;
			}
	lua_settop(L, top);
	return false;
}

/* " (script.lua:12)", or "" where that is not known. */
static const char *place(const struct check *c, uint32_t line, char *buf, size_t size)
{
	lua_Debug ar;
	buf[0] = '\0';
	lua_pushvalue(c->L, c->fn);
	if (line > 0 && lua_getinfo(c->L, ">S", &ar))
		snprintf(buf, size, " (%s:%u)", ar.short_src, (unsigned)line);
	return buf;
}

/* Known objects ------------------------------------------------------------- */

/* Whether the known object may be used where the function goes. */
static bool usable(const struct check *c, const struct known *k)
{
	if (lp_likely(!(k->flags & (KNOWN_STAYS | KNOWN_RANDOM | KNOWN_IO | KNOWN_PRINT))))
		return true;
	if (k->flags & KNOWN_STAYS)
		return no(c, "uses '%s'", k->name);
	if ((k->flags & KNOWN_RANDOM) && c->v->seeded)
		return no(c, "uses %s after math.randomseed", k->name);
	if ((k->flags & KNOWN_PRINT) && !known_isglobal(c->L, c->v, "tostring"))
		return no(c, "uses 'print', and the global 'tostring' was changed");
	if ((k->flags & KNOWN_IO) && !known_defaultio(c->L, c->v))
		return no(c, "uses '%s' after io.input or io.output", k->name);
	return true;
}

/* What is read of the known table k: by n keys from its name first on. */
static bool indexed(const struct check *c, const struct code *code, struct known *k, uint32_t first, uint32_t n)
{
	lua_State *L = c->L;
	int top = lua_gettop(L);
	for (uint32_t i = 0;; i++) {
		if (!usable(c, k) || !known_unchanged(L, c->v, k, c->why, c->size))
			return false;
		if (k->type != LUA_TTABLE)
			break;
		if (i == n)
			return no(c, "uses '%s' as a value", k->name);
		const struct dumpname *key = &code->info.name[first + i];
		values_push(L, c->v, V_OBJECT);
		lua_rawgeti(L, -1, (int)(k - c->v->known) + 1);
		lua_pushlstring(L, (const char *)code->dump + key->ofs, key->len);
		lua_rawget(L, -2);
		const char *table = k->name;
		k = known_find(L, c->v, -1);
		int type = lua_type(L, -1);
		lua_settop(L, top);
		if (k)
			continue;
		if (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA)
			return no(c, "uses '%s.%.*s'", table, (int)key->len, (const char *)code->dump + key->ofs);
		break; /* a number, a string: it is as it was */
	}
	return true;
}

static bool global(const struct check *c, const struct code *code, const struct dumpuse *use, int env)
{
	lua_State *L = c->L;
	char buf[LUA_IDSIZE + 16];
	const struct dumpname *name = &code->info.name[use->first];
	const char *text = (const char *)code->dump + name->ofs;
	int top = lua_gettop(L);
	lua_pushlstring(L, text, name->len);
	if (env) { /* of copied functions: shows what is global unless it has its own */
		lua_pushvalue(L, -1);
		lua_rawget(L, env);
		bool own = !lua_isnil(L, -1);
		lua_pop(L, 1);
		if (own) {
			lua_settop(L, top);
			return no(c, "names the global '%.*s'%s; make it local", (int)name->len, text,
				  place(c, use->line, buf, sizeof buf));
		}
	}
	values_push(L, c->v, LUA_GLOBALSINDEX);
	lua_pushvalue(L, -2);
	lua_rawget(L, -2);
	struct known *k = known_find(L, c->v, -1);
	const char *ktext = lua_tostring(L, top + 1);
	bool ok = k && k->global && strcmp(k->global, ktext) == 0;
	bool version = lua_type(L, -1) == LUA_TSTRING && strcmp(ktext, "_VERSION") == 0;
	lua_settop(L, top);
	if (ok)
		return indexed(c, code, k, use->first + 1, use->nkeys);
	return version || no(c, "names the global '%.*s'%s; make it local", (int)name->len, text,
			     place(c, use->line, buf, sizeof buf));
}

/* Values -------------------------------------------------------------------- */

/* Whether the value on top, which no keys say more of, may go along.  *fn: it is a Lua
 * function, to be looked at itself.  *table: it is a known table. */
static bool value(const struct check *c, bool *fn, struct known **table)
{
	lua_State *L = c->L;
	struct known *k;
	int type = lua_type(L, -1);
	switch (type) {
	case LUA_TNIL:
	case LUA_TBOOLEAN:
	case LUA_TNUMBER:
	case LUA_TSTRING:
	case LUA_TLIGHTUSERDATA:
		return true;
	case LUA_TFUNCTION:
		k = known_find(L, c->v, -1);
		if (k)
			return usable(c, k);
		if (lua_iscfunction(L, -1))
			return no(c, "is a C function that Luapark does not know");
		*fn = true;
		return true;
	case LUA_TTABLE:
		k = known_find(L, c->v, -1);
		if (k && usable(c, k)) {
			*table = k;
			return true;
		}
		if (k)
			return false;
		if (share_is(L, c->ls, lua_gettop(L)))
			return true;
		if (portable_module(L, c->v, -1)) {
			no(c, "is a table (module '%s'); use luapark.spawn", lua_tostring(L, -1));
			lua_pop(L, 1);
			return false;
		}
		return no(c, "is a table; pass a channel");
	case LUA_TUSERDATA:
		if (handle_is(L, c->ls, -1))
			return true;
		k = known_find(L, c->v, -1);
		return k ? usable(c, k) : no(c, "is a userdata");
	case LUA_TTHREAD:
		return no(c, "is a coroutine");
	default:
		return no(c, "is a %s", lua_typename(L, type));
	}
}

/* Functions ----------------------------------------------------------------- */

/* Puts the text before what c->why says. */
__attribute__((format(printf, 2, 3))) static void before(const struct check *c, const char *fmt, ...)
{
	char text[96];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	size_t n = strlen(text), m = strlen(c->why);
	if (c->size == 0)
		return;
	if (n > c->size - 1)
		n = c->size - 1;
	if (m > c->size - 1 - n)
		m = c->size - 1 - n;
	memmove(c->why + n, c->why, m);
	memcpy(c->why, text, n);
	c->why[n + m] = '\0';
}

/* Pushes the function of a work item. */
static void pushwork(const struct check *c, uint32_t i)
{
	if (i == 0) {
		lua_pushvalue(c->L, c->root);
	} else {
		values_push(c->L, c->v, V_WORK);
		lua_rawgeti(c->L, -1, (int)i);
		lua_remove(c->L, -2);
	}
}

/* upvalue 'x', of function i */
static void nameupvalue(const struct check *c, uint32_t i, int uv, const char *sep)
{
	pushwork(c, i);
	const char *name = lua_getupvalue(c->L, -1, uv);
	if (name && *name)
		before(c, "upvalue '%s'%s", name, sep);
	else
		before(c, "upvalue #%d%s", uv, sep);
	lua_pop(c->L, name ? 2 : 1);
}

/* The reason is about an inner function: names the way to it.  Of a long way, its
 * beginning and its end. */
static void nameway(const struct check *c)
{
	enum { ENDS = 3 };
	uint32_t depth = 0, n = 0;
	for (uint32_t i = c->at; i > 0; i = c->v->work[i].parent)
		depth++;
	for (uint32_t i = c->at; i > 0; i = c->v->work[i].parent, n++) {
		if (n < ENDS || n >= depth - ENDS)
			nameupvalue(c, c->v->work[i].parent, c->v->work[i].uv, ": ");
		else if (n == ENDS)
			before(c, "...: ");
	}
}

/* The Lua function on top, upvalue uv of the one being looked at, is next. */
static void enqueue(const struct check *c, int uv)
{
	struct values *v = c->v;
	bool isnew;
	values_need(c->L, ptrmap_put(&v->seen, lua_topointer(c->L, -1), &isnew));
	if (!isnew)
		return;
	if (v->nwork == v->capwork) {
		uint32_t cap = v->capwork ? v->capwork * 2 : 16;
		v->work = values_need(c->L, realloc(v->work, cap * sizeof *v->work));
		v->capwork = cap;
	}
	if (v->nwork > 0) {
		values_push(c->L, v, V_WORK);
		lua_pushvalue(c->L, -2);
		lua_rawseti(c->L, -2, (int)v->nwork);
		lua_pop(c->L, 1);
	}
	v->work[v->nwork++] = (struct workitem){c->at, uv};
}

static bool upvalue(const struct check *c, const struct code *code, uint32_t i)
{
	lua_State *L = c->L;
	int uv = (int)i + 1;
	bool fn = false, ok;
	struct known *table = NULL;
	lua_getupvalue(L, c->fn, uv);
	if ((code->info.written >> i & 1) || !vm_upvalimmutable(L, c->fn, uv)) {
		if (vm_knowsupvalues())
			ok = no(c, "is assigned to after it was captured; pass its value as an argument, or use a channel");
		else
			ok = no(c, "may be assigned to (the layout of this LuaJIT's upvalues is not known)");
	} else {
		ok = value(c, &fn, &table);
	}
	if (fn)
		enqueue(c, uv);
	lua_pop(L, 1);
	for (uint32_t u = 0; u < code->info.nuse && ok && table; u++) {
		const struct dumpuse *use = &code->info.use[u];
		if (!use->global && use->uv == i && !indexed(c, code, table, use->first, use->nkeys))
			return false; /* says all */
	}
	if (!ok) {
		bool says = strncmp(c->why, "uses ", 5) == 0;
		nameupvalue(c, c->at, uv, says ? ": " : " ");
	}
	return ok;
}

/* Looks at the function at c->fn itself. */
static bool function(const struct check *c)
{
	lua_State *L = c->L;
	char buf[LUA_IDSIZE + 16];
	int env = 0;
	lua_getfenv(L, c->fn);
	if (lp_unlikely(lua_topointer(L, -1) != c->ls->globals)) {
		if (!portable_isenv(L, c->v, -1))
			return no(c, "has an environment of its own");
		env = lua_gettop(L);
	}
	const struct code *code = code_of(L, c->v, c->fn);
	if (!code->examined)
		return no(c, "cannot be examined (its bytecode is of an unknown kind)");
	const struct dumpinfo *info = &code->info;
	if (info->writesglobal)
		return no(c, "writes the global '%.*s'%s", (int)info->gset.len, (const char *)code->dump + info->gset.ofs,
			  place(c, info->gsetline, buf, sizeof buf));
	for (uint32_t i = 0; i < info->nuv; i++)
		if (!upvalue(c, code, i))
			return false;
	for (uint32_t i = 0; i < info->nuse; i++)
		if (info->use[i].global && !global(c, code, &info->use[i], env))
			return false;
	return true;
}

/* The Lua function at c->root, and all that it leads to. */
static bool functions(struct check *c)
{
	lua_State *L = c->L;
	struct values *v = c->v;
	int top = lua_gettop(L);
	bool ok = true;
	luaL_checkstack(L, LUA_MINSTACK, "functions");
	ptrmap_clear(&v->seen);
	v->nwork = 0;
	c->at = 0;
	lua_pushvalue(L, c->root);
	enqueue(c, 0);
	for (; ok && c->at < v->nwork; c->at += ok) {
		lua_settop(L, top);
		pushwork(c, c->at);
		c->fn = top + 1;
		ok = function(c);
	}
	if (!ok)
		nameway(c);
	lua_settop(L, top);
	if (v->nwork > 1) {
		values_push(L, v, V_WORK);
		for (uint32_t i = 1; i < v->nwork; i++) {
			lua_pushnil(L);
			lua_rawseti(L, -2, (int)i);
		}
		lua_settop(L, top);
	}
	return ok;
}

/* The value at idx: with `table` a known table is one that nobody can tell what is
 * done with, as of an argument. */
static bool whole(struct check *c, int idx)
{
	bool fn = false;
	struct known *table = NULL;
	lua_pushvalue(c->L, idx);
	bool ok = value(c, &fn, &table);
	lua_pop(c->L, 1);
	if (ok && table)
		return no(c, "is %s table '%s', which could be changed there", table->flags & KNOWN_LUAPARK ? "Luapark's" : "the standard",
			  table->name);
	c->root = idx;
	return ok && (!fn || functions(c));
}

bool portable_check(lua_State *L, struct lstate *ls, int idx, char *why, size_t size)
{
	struct check c = {.L = L, .ls = ls, .v = ls->values, .why = why, .size = size};
	luaL_checkstack(L, LUA_MINSTACK, "functions");
	values_call(c.v);
	return known_baseunchanged(L, c.v, why, size) && whole(&c, idx < 0 ? lua_gettop(L) + idx + 1 : idx);
}

bool portable_values(lua_State *L, struct lstate *ls, int idx, int n, char *why, size_t size)
{
	struct check c = {.L = L, .ls = ls, .v = ls->values, .why = why, .size = size};
	luaL_checkstack(L, LUA_MINSTACK, "functions");
	values_call(c.v);
	for (int i = 0; i < n; i++)
		if (!whole(&c, idx + i)) {
			bool says = strncmp(why, "is ", 3) == 0;
			before(&c, "argument #%d%s ", i + 2, says ? "" : ":");
			return false;
		}
	return true;
}

void portable_term(struct values *v)
{
	ptrmap_free(&v->seen);
	free(v->work);
}
