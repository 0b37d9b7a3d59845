/* SPDX-License-Identifier: MIT */
/* copied.c - functions into a message with what they capture: spawn's half of encode.c.
 *
 * A variable that several functions share is one object of the message, so they share
 * the copy, too.  The user's globals that a function names go along; modules do not, but
 * are required anew over there. */
#include "lua/encode.h"

#include <lauxlib.h>

#include "lua/known.h"
#include "lua/portable.h"

/* Notes what package.loaded holds, so that most values need no search. */
static void readmodules(struct encoder *e)
{
	lua_State *L = e->L;
	bool isnew;
	e->modulesread = true;
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		if (lua_istable(L, -1) || lua_isfunction(L, -1))
			values_need(L, ptrmap_put(&e->modules, lua_topointer(L, -1), &isnew));
	lua_pop(L, 1);
}

uint32_t encode_moduleref(struct encoder *e, int idx)
{
	size_t len;
	bool isnew;
	const char *name = lua_tolstring(e->L, idx, &len);
	uint32_t *at = values_need(e->L, ptrmap_put(&e->refseen, name, &isnew));
	e->flags |= M_PATH;
	if (!isnew)
		return *at - 1;
	*at = e->nref + 1;
	return encode_bytesref(e, REF_MODULE, name, len);
}

void encode_paths(struct encoder *e)
{
	static const char *const fields[] = {"path", "cpath"};
	lua_State *L = e->L;
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, "package");
	for (int i = 0; i < 2; i++) {
		size_t len = 0;
		const char *path = "";
		if (lua_istable(L, -1)) {
			lua_pushstring(L, fields[i]);
			lua_rawget(L, -2);
			if (lua_type(L, -1) == LUA_TSTRING)
				path = lua_tolstring(L, -1, &len);
		} else {
			lua_pushnil(L);
		}
		encode_bytesref(e, REF_PATH, path, len);
		lua_pop(L, 1);
	}
	lua_pop(L, 2);
}

bool encode_module(struct encoder *e)
{
	lua_State *L = e->L;
	luaL_checkstack(L, 8, "message");
	if (!e->modulesread)
		readmodules(e);
	if (!ptrmap_get(&e->modules, lua_topointer(L, -1)) || !portable_module(L, e->v, -1))
		return false;
	uint32_t i = encode_moduleref(e, -1);
	lua_pop(L, 1);
	buf_byte(&e->body, T_MODULE);
	buf_varint(&e->body, i);
	return true;
}

/* Writes the variable that is upvalue uv of the function at fn. */
static void variable(struct encoder *e, int fn, int uv)
{
	bool isnew;
	uint32_t *at = values_need(e->L, ptrmap_put(&e->seen, lua_upvalueid(e->L, fn, uv), &isnew));
	if (isnew) {
		*at = e->nobj + 1;
		lua_pushvalue(e->L, fn);
		encode_newobj(e, O_VARIABLE, (uint32_t)uv);
	}
	buf_varint(&e->body, *at);
}

/* A name for the global whose value is on top, which goes along.  Takes it off. */
static void addglobal(struct encoder *e, struct dumpname name, uint32_t ref)
{
	if (e->ngname == e->capgname) {
		uint32_t cap = e->capgname ? e->capgname * 2 : 8;
		e->gname = values_need(e->L, realloc(e->gname, cap * sizeof *e->gname));
		e->gcode = values_need(e->L, realloc(e->gcode, cap * sizeof *e->gcode));
		e->capgname = cap;
	}
	e->gname[e->ngname] = name;
	e->gcode[e->ngname] = ref;
	e->flags |= M_ENV;
	encode_newobj(e, O_GLOBAL, e->ngname++);
}

/* What the function calls `name`, if its user made it: it goes along, once.  env: where
 * its own environment is on L, or 0. */
static void global(struct encoder *e, const struct code *c, struct dumpname name, uint32_t ref, int env)
{
	lua_State *L = e->L;
	int top = lua_gettop(L);
	bool isnew;
	lua_pushlstring(L, (const char *)c->dump + name.ofs, name.len);
	const char *text = lua_tostring(L, -1);
	values_need(L, ptrmap_put(&e->gseen, text, &isnew));
	if (isnew) {
		values_push(L, e->v, LUA_GLOBALSINDEX);
		lua_pushvalue(L, top + 1);
		lua_rawget(L, -2);
		if (env) {
			lua_pushvalue(L, top + 1);
			lua_rawget(L, env);
			lua_insert(L, -2);
			if (lua_isnil(L, -2))
				lua_remove(L, -2);
			else
				lua_pop(L, 1);
		}
		const struct known *k = known_find(L, e->v, -1);
		if (k && k->global && strcmp(k->global, text) == 0)
			e->flags |= strcmp(text, "_G") == 0 ? M_ENV : 0;
		else if (!lua_isnil(L, -1) && strcmp(text, "_VERSION") != 0)
			addglobal(e, name, ref);
	}
	lua_settop(L, top);
}

bool encode_copied(struct encoder *e, uint32_t i)
{
	lua_State *L = e->L;
	int fn = lua_gettop(L), env = 0;
	(void)i;
	luaL_checkstack(L, LUA_MINSTACK, "message");
	e->step[0] = '\0';
	lua_getfenv(L, fn);
	if (lua_topointer(L, -1) != e->ls->globals) {
		if (!portable_isenv(L, e->v, -1))
			return encode_fail(e, "function has an environment of its own");
		env = lua_gettop(L);
	}
	struct code *c = code_of(L, e->v, fn);
	if (!c->examined)
		return encode_fail(e, "function cannot be examined (its bytecode is of an unknown kind)");
	uint32_t ref = encode_coderef(e, c);
	buf_byte(&e->objs, O_COPIED);
	buf_varint(&e->objs, ref);
	buf_varint(&e->objs, c->info.nuv);
	for (uint32_t u = 0; u < c->info.nuv; u++)
		variable(e, fn, (int)u + 1);
	for (uint32_t u = 0; u < c->info.nuse; u++)
		if (c->info.use[u].global)
			global(e, c, c->info.name[c->info.use[u].first], ref, env);
	if (c->info.writesglobal)
		e->flags |= M_ENV;
	return true;
}

bool encode_global(struct encoder *e, uint32_t i)
{
	lua_State *L = e->L;
	uint32_t g = e->obj[i - 1].aux;
	const struct code *c = e->ref[e->gcode[g]].code;
	e->step[0] = '\0';
	buf_byte(&e->objs, O_GLOBAL);
	lua_pushlstring(L, (const char *)c->dump + e->gname[g].ofs, e->gname[g].len);
	encode_value(e);
	lua_pop(L, 1);
	return encode_value(e);
}
