/* SPDX-License-Identifier: MIT */
#include "lua/cross.h"

#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "lua/codec.h"

void cross_string(struct val *v, const char *s, size_t len)
{
	struct valstr *copy = xmalloc(sizeof *copy + len);
	store_relaxed(&copy->refs, 1);
	copy->len = len;
	memcpy(copy->data, s, len);
	v->tag = VAL_STR;
	v->u.s = copy;
}

bool cross_out(lua_State *L, struct lstate *ls, int idx, const char *what, struct val *v)
{
	size_t len;
	const char *s;
	switch (lua_type(L, idx)) {
	case LUA_TNIL:
		v->tag = VAL_NIL;
		return true;
	case LUA_TBOOLEAN:
		v->tag = lua_toboolean(L, idx) ? VAL_TRUE : VAL_FALSE;
		return true;
	case LUA_TNUMBER:
		v->tag = VAL_NUM;
		v->u.n = lua_tonumber(L, idx);
		return true;
	case LUA_TLIGHTUSERDATA:
		v->tag = VAL_PTR;
		v->u.p = lua_touserdata(L, idx);
		return true;
	case LUA_TSTRING:
		s = lua_tolstring(L, idx, &len);
		cross_string(v, s, len);
		return true;
	default:
		lua_pushvalue(L, idx);
		v->u.m = msg_encode(L, ls, 1, CODEC_SHARE, what);
		if (!v->u.m) {
			lua_remove(L, -2);
			return false;
		}
		lua_pop(L, 1);
		v->tag = VAL_MSG;
		return true;
	}
}

void cross_look(lua_State *L, struct lstate *ls, const struct val *v)
{
	switch (v->tag) {
	case VAL_FALSE:
	case VAL_TRUE:
		lua_pushboolean(L, v->tag == VAL_TRUE);
		return;
	case VAL_NUM:
		lua_pushnumber(L, v->u.n);
		return;
	case VAL_PTR:
		lua_pushlightuserdata(L, v->u.p);
		return;
	case VAL_STR:
		lua_pushlstring(L, v->u.s->data, v->u.s->len);
		return;
	case VAL_MSG:
		msg_decode(L, ls, v->u.m);
		return;
	default:
		lua_pushnil(L);
		return;
	}
}

static int look(lua_State *L)
{
	cross_look(L, hostof(L), lua_touserdata(L, 1));
	return 1;
}

void cross_in(lua_State *L, struct lstate *ls, struct val *v)
{
	struct val mine = *v;
	v->tag = VAL_NIL;
	if (mine.tag != VAL_MSG) {
		cross_look(L, ls, &mine);
		val_free(&mine);
		return;
	}
	lua_pushlightuserdata(L, ls);
	lua_pushcclosure(L, look, 1);
	lua_pushlightuserdata(L, &mine);
	int status = lua_pcall(L, 1, 1, 0);
	val_free(&mine);
	if (status != 0)
		lua_error(L);
}
