/* SPDX-License-Identifier: MIT */
/* where.c - the way to a value that cannot be sent: value.conn.cb.
 *
 * Found only when it is needed.  An encoder knows of each object in which other one it
 * was found first; where in that is looked up again. */
#include "lua/encode.h"

#include <lauxlib.h>
#include <stdio.h>

#include "base/os.h"

enum { ENDS = 8 }; /* of a long way, so many steps at either end */

static bool isname(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		if (!letter && !(c >= '0' && c <= '9' && i > 0))
			return false;
	}
	return len > 0 && len <= 40;
}

static void keystep(lua_State *L, int idx, char *buf, size_t size)
{
	size_t len;
	const char *s;
	switch (lua_type(L, idx)) {
	case LUA_TSTRING:
		s = lua_tolstring(L, idx, &len);
		if (isname(s, len))
			snprintf(buf, size, ".%s", s);
		else
			snprintf(buf, size, "[\"%.40s%s\"]", s, len > 40 ? "..." : "");
		break;
	case LUA_TNUMBER:
		snprintf(buf, size, "[%.14g]", lua_tonumber(L, idx));
		break;
	case LUA_TBOOLEAN:
		snprintf(buf, size, "[%s]", lua_toboolean(L, idx) ? "true" : "false");
		break;
	default:
		snprintf(buf, size, "[a %s]", luaL_typename(L, idx));
		break;
	}
}

void encode_step(struct encoder *e, int idx)
{
	keystep(e->L, idx, e->step, sizeof e->step);
}

/* Whether the value at idx is the object; number child in the message. */
static bool is(struct encoder *e, int idx, uint32_t child)
{
	shelf_push(e->L, &e->objects, child);
	bool same = lua_rawequal(e->L, -1, idx < 0 ? idx - 1 : idx);
	lua_pop(e->L, 1);
	return same;
}

/* The step from the object up to its object child. */
static void step(struct encoder *e, uint32_t up, uint32_t child, char *buf, size_t size)
{
	lua_State *L = e->L;
	int top = lua_gettop(L);
	enum objtag tag = e->obj[up - 1].tag, childtag = e->obj[child - 1].tag;
	buf[0] = '\0';
	shelf_push(L, &e->objects, up);
	if (childtag == O_GLOBAL) {
		const struct dumpname *name = &e->gname[e->obj[child - 1].aux];
		const struct code *c = e->ref[e->gcode[e->obj[child - 1].aux]].code;
		snprintf(buf, size, " global '%.*s'", (int)name->len, (const char *)c->dump + name->ofs);
	} else if (childtag == O_VARIABLE) {
		const char *name = lua_getupvalue(L, -1, (int)e->obj[child - 1].aux);
		snprintf(buf, size, " upvalue '%s'", name && *name ? name : "?");
	} else if (tag == O_TABLE) {
		snprintf(buf, size, "[?]");
		for (lua_pushnil(L); lua_next(L, top + 1); lua_pop(L, 1)) {
			if (is(e, -1, child)) {
				keystep(L, -2, buf, size);
				break;
			}
			if (is(e, -2, child)) {
				snprintf(buf, size, "[a %s]", luaL_typename(L, -2));
				break;
			}
		}
	}
	lua_settop(L, top);
}

/* What the value is called that the way begins with: object `child`, or if that is 0
 * the one being written. */
static void root(struct encoder *e, uint32_t child, char *buf, size_t size)
{
	int i = 0;
	if (child > 0)
		while (i < e->n - 1 && !is(e, e->first + i, child))
			i++;
	else
		i = e->at;
	if (!e->what && i == 0)
		snprintf(buf, size, "function");
	else if (e->what && e->n == 1)
		snprintf(buf, size, "%s", e->what);
	else
		snprintf(buf, size, "%s #%d", e->what ? e->what : "argument", i + 1);
}

static void push(lua_State *L, const char *s)
{
	luaL_checkstack(L, 8, "message");
	lua_pushstring(L, s);
	lua_concat(L, 2);
}

void encode_where(struct encoder *e, uint32_t at)
{
	lua_State *L = e->L;
	char text[128];
	uint32_t depth = 0, *way, n = 0;
	for (uint32_t i = at; i > 0; i = e->obj[i - 1].parent)
		depth++;
	way = lua_newuserdata(L, (depth + 1) * sizeof *way);
	for (uint32_t i = at; i > 0; i = e->obj[i - 1].parent)
		way[n++] = i;
	root(e, depth > 0 ? way[depth - 1] : 0, text, sizeof text);
	lua_pushstring(L, text);
	for (uint32_t i = 1; i < depth; i++) {
		if (i > ENDS && i + ENDS < depth) {
			if (i == ENDS + 1)
				push(L, "...");
			continue;
		}
		step(e, way[depth - i], way[depth - i - 1], text, sizeof text);
		push(L, text);
	}
	push(L, e->step);
	lua_pushfstring(L, ": %s", e->why);
	lua_concat(L, 2);
}
