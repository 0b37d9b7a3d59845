/* SPDX-License-Identifier: MIT */
/* values.c - begins and ends a state's struct values. */
#include "lua/values.h"

#include <lauxlib.h>

#include "base/os.h"

/* Two helpers that need LuaJIT's ffi, if there is one; and variables for decode.c. */
static const char helpers[] =
	"local ffi = ...\n"
	"local function constant(v) return function() return v end end\n"
	"local function variable(v) return function(x) v = x end end\n"
	"if not ffi then return function() end, function() end, constant, variable end\n"
	"local is, i64, u64, tostring = ffi.istype, ffi.typeof 'int64_t', ffi.typeof 'uint64_t', tostring\n"
	"local function kind(x) return is(i64, x) and 1 or is(u64, x) and 2 or nil end\n"
	"return function(x) return kind(x) and tostring(x):byte() ~= 99 and kind(x) end,\n" /* 99: ctype<int64_t> */
	"  function(kind) return kind == 1 and i64() or u64() end, constant, variable";

_Noreturn void values_nomem(lua_State *L)
{
	luaL_error(L, "not enough memory");
	__builtin_unreachable();
}

void *values_need(lua_State *L, void *p)
{
	if (!p)
		values_nomem(L);
	return p;
}

static void newtable(lua_State *L, struct values *v, int slot, const char *mode)
{
	lua_newtable(L);
	if (mode) {
		lua_createtable(L, 0, 1);
		lua_pushstring(L, mode);
		lua_setfield(L, -2, "__mode");
		lua_setmetatable(L, -2);
	}
	lua_xmove(L, v->V, 1);
	lua_replace(v->V, slot);
}

void values_init(lua_State *L, struct lstate *ls)
{
	struct values *v = xcalloc(1, sizeof *v);
	int top = lua_gettop(L);
	luaL_checkstack(L, LUA_MINSTACK, "values");
	ls->values = v;
	v->V = lua_newthread(L);
	luaL_ref(L, LUA_REGISTRYINDEX);
	if (!lua_checkstack(v->V, V_COUNT + LUA_MINSTACK))
		values_nomem(L);
	lua_settop(v->V, V_COUNT);
	for (int slot = 1; slot < V_CDATA; slot++)
		newtable(L, v, slot, slot == V_PROTO || slot == V_CLOSURE ? "v" : slot == V_ENV ? "k" : NULL);
	if (luaL_loadbuffer(L, helpers, sizeof helpers - 1, "=luapark") != 0)
		lua_error(L);
	lua_getglobal(L, "require");
	lua_pushliteral(L, "ffi");
	if (!lua_isfunction(L, -2) || lua_pcall(L, 1, 1, 0) != 0) {
		lua_settop(L, top + 1);
		lua_pushnil(L);
	}
	lua_call(L, 1, V_COUNT - V_CDATA + 1);
	lua_xmove(L, v->V, V_COUNT - V_CDATA + 1);
	for (int slot = V_COUNT; slot >= V_CDATA; slot--)
		lua_replace(v->V, slot);
	lua_settop(L, top);
}

void values_term(struct lstate *ls)
{
	struct values *v = ls->values;
	encode_term(v);
	portable_term(v);
	code_term(v);
	known_term(v);
	free(v);
	ls->values = NULL;
}
