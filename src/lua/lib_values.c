/* SPDX-License-Identifier: MIT */
/* lib_values.c - what Lua sees of known objects, portability and the codec. */
#include <lauxlib.h>

#include "lua/codec.h"
#include "lua/code.h"
#include "lua/known.h"
#include "lua/portable.h"

/* portable(fn) -> true | false, why */
static int portable(lua_State *L)
{
	char why[256];
	luaL_checktype(L, 1, LUA_TFUNCTION);
	bool ok = portable_check(L, hostof(L), 1, why, sizeof why);
	lua_pushboolean(L, ok);
	if (ok)
		return 1;
	lua_pushstring(L, why);
	return 2;
}

/* known(name, object): every state that has the module has it under this name */
static int known(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	luaL_checkany(L, 2);
	known_add(L, hostof(L), name, 2);
	return 0;
}

/* standard(function...): Lua's own library as it stands now, the functions among it */
static int standard(lua_State *L)
{
	known_standard(L, hostof(L), lua_gettop(L));
	return 0;
}

/* randomseed(...): math.randomseed; who draws random numbers stays from now on */
static int randomseed(lua_State *L)
{
	hostof(L)->values->seeded = true;
	lua_pushvalue(L, lua_upvalueindex(2));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

/* isknown(v): whether every state has it under the same name */
static int isknown(lua_State *L)
{
	lua_pushboolean(L, known_find(L, hostof(L)->values, 1) != NULL);
	return 1;
}

static void unref(struct msg **m)
{
	msg_free(*m);
}

static int refused(lua_State *L)
{
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

/* copy(v) -> another state's v | nil, why */
static int copy(lua_State *L)
{
	struct lstate *ls = hostof(L);
	lua_settop(L, 1);
	struct msg *m __attribute__((cleanup(unref))) = msg_encode(L, ls, 1, CODEC_SHARE, "value");
	return m ? msg_decode(L, ls, m) : refused(L);
}

/* pack("share" | "copy" | "move", ...) -> message | nil, why */
static int pack(lua_State *L)
{
	static const char *const modes[] = {"share", "copy", "move", NULL};
	enum codecmode mode = luaL_checkoption(L, 1, NULL, modes);
	struct msg *m = msg_encode(L, hostof(L), lua_gettop(L) - 1, mode, mode == CODEC_SHARE ? "value" : NULL);
	if (!m)
		return refused(L);
	lua_pushlightuserdata(L, m);
	return 1;
}

static struct msg *checkmsg(lua_State *L, int idx)
{
	luaL_checktype(L, idx, LUA_TLIGHTUSERDATA);
	return lua_touserdata(L, idx);
}

/* unpack(message) -> its values; the message is gone */
static int unpack(lua_State *L)
{
	struct msg *m __attribute__((cleanup(unref))) = checkmsg(L, 1);
	lua_settop(L, 0);
	return msg_decode(L, hostof(L), m);
}

/* Tests only: bytes(message) -> string; frombytes(string, message) -> another message;
 * drop(message); counts() -> messages, codes in the process */
static int bytes(lua_State *L)
{
	size_t n;
	const uint8_t *p = msg_bytes(checkmsg(L, 1), &n);
	lua_pushlstring(L, (const char *)p, n);
	return 1;
}

static int frombytes(lua_State *L)
{
	size_t n;
	const char *p = luaL_checklstring(L, 1, &n);
	struct msg *m = values_need(L, msg_like(checkmsg(L, 2), (const uint8_t *)p, n));
	lua_pushlightuserdata(L, m);
	return 1;
}

static int drop(lua_State *L)
{
	msg_free(checkmsg(L, 1));
	return 0;
}

static int counts(lua_State *L)
{
	lua_pushnumber(L, msg_count());
	lua_pushnumber(L, code_count());
	return 2;
}

void lib_values_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {{"portable", portable},   {"known", known}, {"isknown", isknown}, {"standard", standard}, {"copy", copy},
					 {"pack", pack},	   {"unpack", unpack}, {"bytes", bytes},     {"frombytes", frombytes},
					 {"drop", drop},	   {"counts", counts}, {NULL, NULL}};
	host_register(L, ls, funcs);
	lua_pushlightuserdata(L, ls);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, "math");
	lua_remove(L, -2);
	lua_getfield(L, -1, "randomseed");
	lua_remove(L, -2);
	lua_pushcclosure(L, randomseed, 2);
	lua_setfield(L, -2, "randomseed");
}
