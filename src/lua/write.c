/* SPDX-License-Identifier: MIT */
/* write.c - values and objects into a message's bytes: see codec.h. */
#include <lauxlib.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "lua/encode.h"
#include "lua/handle.h"
#include "lua/known.h"
#include "lua/portable.h"
#include "lua/share.h"

bool encode_fail(struct encoder *e, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e->why, sizeof e->why, fmt, ap);
	va_end(ap);
	return false;
}

/* Objects and references ---------------------------------------------------- */

uint32_t encode_newobj(struct encoder *e, enum objtag tag, uint32_t aux)
{
	if (e->nobj == e->capobj) {
		uint32_t cap = e->capobj ? e->capobj * 2 : 16;
		e->obj = values_need(e->L, realloc(e->obj, cap * sizeof *e->obj));
		e->capobj = cap;
	}
	e->obj[e->nobj++] = (struct eobj){(uint8_t)tag, e->done, aux};
	shelf_put(e->L, &e->objects, e->nobj);
	return e->nobj;
}

uint32_t encode_newref(struct encoder *e, struct msgref r)
{
	if (e->nref == e->capref) {
		uint32_t cap = e->capref ? e->capref * 2 : 8;
		struct msgref *p = realloc(e->ref, cap * sizeof *p);
		if (!p) {
			msgref_drop(&r);
			values_nomem(e->L);
		}
		e->ref = p;
		e->capref = cap;
	}
	e->ref[e->nref] = r;
	return e->nref++;
}

uint32_t encode_bytesref(struct encoder *e, enum refkind kind, const char *s, size_t len)
{
	uint32_t i = encode_newref(e, (struct msgref){.kind = (uint8_t)kind, .len = len, .bytes = NULL});
	e->ref[i].bytes = values_need(e->L, malloc(len + 1));
	memcpy(e->ref[i].bytes, s, len + 1);
	return i;
}

/* The number of the reference to p; NOREF: there is none yet, and *at is its place. */
enum { NOREF = UINT32_MAX };

static uint32_t oldref(struct encoder *e, const void *p, uint32_t **at)
{
	bool isnew;
	*at = values_need(e->L, ptrmap_put(&e->refseen, p, &isnew));
	if (isnew)
		**at = e->nref + 1;
	return isnew ? NOREF : **at - 1;
}

uint32_t encode_coderef(struct encoder *e, struct code *c)
{
	uint32_t *at, i = oldref(e, c, &at);
	return i != NOREF ? i : encode_newref(e, (struct msgref){.kind = REF_CODE, .code = code_ref(c)});
}

/* Writes the number of the object at the address; a new one is taken from the top of L. */
static void object(struct encoder *e, const void *p, enum objtag tag)
{
	bool isnew;
	uint32_t *at = values_need(e->L, ptrmap_put(&e->seen, p, &isnew));
	if (isnew) {
		*at = e->nobj + 1;
		lua_pushvalue(e->L, -1);
		encode_newobj(e, tag, 0);
	} else if (*at != 1 && *at <= e->nobj1) {
		e->keep = false; /* an argument that is also something inside the function */
	}
	buf_byte(&e->body, T_OBJECT);
	buf_varint(&e->body, *at);
}

/* Values -------------------------------------------------------------------- */

static void number(struct encoder *e, lua_Number n)
{
	int64_t i = n >= -9007199254740992.0 && n <= 9007199254740992.0 ? (int64_t)n : 0;
	if ((lua_Number)i == n && !(i == 0 && signbit(n))) {
		if (i >= T_SMALLEST && i <= UINT8_MAX - T_SMALL + T_SMALLEST) {
			buf_byte(&e->body, (uint8_t)(i - T_SMALLEST + T_SMALL));
			return;
		}
		buf_byte(&e->body, T_INT);
		buf_varint(&e->body, (uint64_t)i << 1 ^ (i < 0 ? ~(uint64_t)0 : 0));
	} else {
		buf_byte(&e->body, T_NUM);
		buf_put(&e->body, &n, sizeof n);
	}
}

static void string(struct encoder *e)
{
	size_t len;
	const char *s = lua_tolstring(e->L, -1, &len);
	if (len > SHORT) {
		object(e, s, len < BLOB ? O_STRING : O_BLOB);
		return;
	}
	buf_byte(&e->body, T_STR);
	buf_varint(&e->body, len);
	buf_put(&e->body, s, len);
}

static bool cdata(struct encoder *e)
{
	lua_State *L = e->L;
	values_push(L, e->v, V_CDATA);
	lua_pushvalue(L, -2);
	int kind = lua_pcall(L, 1, 1, 0) == 0 ? (int)lua_tointeger(L, -1) : 0;
	lua_pop(L, 1);
	if (kind == 0)
		return encode_fail(e, "a cdata");
	buf_byte(&e->body, kind == 1 ? T_I64 : T_U64);
	buf_put(&e->body, lua_topointer(L, -1), sizeof(int64_t));
	return true;
}

static void known(struct encoder *e, const struct known *k)
{
	size_t len = strlen(k->name);
	buf_byte(&e->body, T_KNOWN);
	buf_varint(&e->body, len);
	buf_put(&e->body, k->name, len);
}

/* What a bubble has made, of the kind on top, which never leaves its P: but a G that is started by
 * spawn does not, either. */
static bool own(struct encoder *e)
{
	lua_State *L = e->L;
	struct lstate *ls = e->ls;
	if (e->mode != CODEC_COPY || ls->pp->view.bubble == 0)
		return encode_fail(e, "a %s of a synctest bubble", lua_tostring(L, -1));
	lua_pop(L, 1);
	host_pushanchor(L, ls, A_OWN);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, (int)++ls->nown);
	lua_pop(L, 1);
	buf_byte(&e->body, T_OWN);
	buf_varint(&e->body, ls->nown);
	return true;
}

static bool table(struct encoder *e)
{
	lua_State *L = e->L;
	if (share_is(L, e->ls, lua_gettop(L))) {
		uint32_t *at, i = oldref(e, lua_topointer(L, -1), &at);
		if (i == NOREF) {
			i = encode_newref(e, (struct msgref){.kind = REF_OBJ, .obj = NULL});
			lua_pushvalue(L, -1);
			shelf_put(L, &e->handles, i + 1);
		}
		buf_byte(&e->body, T_SHARED);
		buf_varint(&e->body, i);
		return true;
	}
	if (lua_getmetatable(L, -1)) {
		lua_pushliteral(L, "__own"); /* bubble.lua */
		lua_rawget(L, -2);
		lua_remove(L, -2);
		if (lua_isstring(L, -1))
			return own(e);
		lua_pop(L, 1);
	}
	if (e->mode == CODEC_COPY && encode_module(e))
		return true;
	object(e, lua_topointer(L, -1), O_TABLE);
	return true;
}

/* portable.c's words, of a value somewhere in others. */
static bool notportable(struct encoder *e, const char *why)
{
	static const char upvalue[] = "upvalue '", is[] = "is ";
	const char *name = why + sizeof upvalue - 1;
	const char *end = strncmp(why, upvalue, sizeof upvalue - 1) == 0 ? strstr(name, "'") : NULL;
	if (strncmp(why, "is a C", 6) == 0)
		return encode_fail(e, "%s", why + sizeof is - 1);
	if (strstr(why, "metatable") || strstr(why, " table '"))
		return encode_fail(e, "function: %s", why);
	if (!end)
		return encode_fail(e, "function %s", why);
	int len = (int)(end - name);
	if (end[1] == ':')
		return encode_fail(e, "function captures '%.*s'%s", len, name, end + 1);
	return encode_fail(e, "function captures '%.*s', which%s", len, name, end + 1);
}

static bool function(struct encoder *e)
{
	lua_State *L = e->L;
	char why[192];
	if (e->mode == CODEC_COPY) {
		if (encode_module(e))
			return true;
		if (lua_iscfunction(L, -1))
			return encode_fail(e, "a C function that Luapark does not know");
		object(e, lua_topointer(L, -1), O_COPIED);
		return true;
	}
	if (!e->trusted && !ptrmap_get(&e->seen, lua_topointer(L, -1)) &&
	    !portable_check(L, e->ls, lua_gettop(L), why, sizeof why))
		return e->mode == CODEC_MOVE ? encode_fail(e, "%s", why) : notportable(e, why);
	object(e, lua_topointer(L, -1), O_FUNC);
	return true;
}

bool encode_value(struct encoder *e)
{
	lua_State *L = e->L;
	const struct known *k;
	struct handleid id;
	int type = lua_type(L, -1);
	switch (type) {
	case LUA_TNIL:
		buf_byte(&e->body, T_NIL);
		return true;
	case LUA_TBOOLEAN:
		buf_byte(&e->body, lua_toboolean(L, -1) ? T_TRUE : T_FALSE);
		return true;
	case LUA_TNUMBER:
		number(e, lua_tonumber(L, -1));
		return true;
	case LUA_TSTRING:
		string(e);
		return true;
	case LUA_TLIGHTUSERDATA:
		buf_byte(&e->body, T_LIGHT);
		buf_varint(&e->body, encode_newref(e, (struct msgref){.kind = REF_LIGHT, .light = lua_touserdata(L, -1)}));
		return true;
	case LUA_TTABLE:
	case LUA_TFUNCTION:
	case LUA_TUSERDATA:
		if ((k = known_find(L, e->v, -1)) != NULL) {
			known(e, k);
			return true;
		}
		if (type != LUA_TUSERDATA)
			return type == LUA_TTABLE ? table(e) : function(e);
		if (!handle_id(L, e->ls, -1, &id))
			return encode_fail(e, "a userdata");
		buf_byte(&e->body, T_G);
		buf_varint(&e->body, id.slot);
		buf_varint(&e->body, id.id);
		return true;
	case LUA_TTHREAD:
		return encode_fail(e, "a coroutine");
	default:
		return cdata(e);
	}
}

/* Contents ------------------------------------------------------------------ */

/* The metatable on top must be what a module returns, and say which. */
static bool metatable(struct encoder *e)
{
	lua_State *L = e->L;
	lua_pushliteral(L, "__module");
	lua_rawget(L, -2);
	if (lua_type(L, -1) != LUA_TSTRING)
		return encode_fail(e, "a table with a metatable that has no __module");
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_pushvalue(L, -2);
	lua_rawget(L, -2);
	if (!lua_rawequal(L, -1, -4))
		return encode_fail(e, "a table whose metatable is not what its __module '%s' returns", lua_tostring(L, -3));
	lua_pop(L, 2);
	buf_byte(&e->objs, O_TABLEMT);
	buf_varint(&e->objs, encode_moduleref(e, -1));
	return true;
}

/* Writes a table's values 1, 2, 3, ... as they come, then its other keys and values. */
static bool contenttable(struct encoder *e)
{
	lua_State *L = e->L;
	int t = lua_gettop(L);
	e->step[0] = '\0';
	if (lua_getmetatable(L, t)) {
		if (!metatable(e))
			return false;
	} else {
		buf_byte(&e->objs, O_TABLE);
	}
	lua_settop(L, t);
	uint32_t narray = 0, nhash = 0;
	bool array = true;
	for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1)) {
		if (array && lua_type(L, -2) == LUA_TNUMBER && lua_tonumber(L, -2) == (lua_Number)narray + 1) {
			narray++;
		} else {
			array = false;
			nhash++;
			lua_pushvalue(L, -2);
			if (!encode_value(e)) {
				snprintf(e->step, sizeof e->step, "[a key]");
				return false;
			}
			lua_pop(L, 1);
		}
		if (!encode_value(e)) {
			encode_step(e, t + 1);
			return false;
		}
	}
	buf_varint(&e->objs, narray);
	buf_varint(&e->objs, nhash);
	return true;
}

static bool contentfunc(struct encoder *e)
{
	lua_State *L = e->L;
	int fn = lua_gettop(L);
	struct code *c = code_of(L, e->v, fn);
	uint32_t nuv = c->info.nuv;
	buf_byte(&e->objs, O_FUNC);
	buf_varint(&e->objs, encode_coderef(e, c));
	buf_varint(&e->objs, nuv);
	e->trusted = true;
	for (uint32_t i = 0; i < nuv; i++) {
		lua_getupvalue(L, fn, (int)i + 1);
		if (!encode_value(e))
			return false; /* cannot be: it is portable */
		lua_pop(L, 1);
	}
	e->trusted = false;
	return true;
}

static bool contentstring(struct encoder *e, enum objtag tag)
{
	size_t len;
	const char *s = lua_tolstring(e->L, -1, &len);
	buf_byte(&e->objs, (uint8_t)tag);
	if (tag == O_STRING) {
		buf_varint(&e->objs, len);
		buf_put(&e->objs, s, len);
		return true;
	}
	buf_varint(&e->objs, encode_bytesref(e, REF_BLOB, s, len));
	return true;
}

bool encode_content(struct encoder *e, uint32_t i)
{
	lua_State *L = e->L;
	const struct eobj o = e->obj[i - 1];
	shelf_push(L, &e->objects, i);
	switch ((enum objtag)o.tag) {
	case O_STRING:
	case O_BLOB:
		return contentstring(e, o.tag);
	case O_TABLE:
	case O_TABLEMT:
		return contenttable(e);
	case O_FUNC:
		return contentfunc(e);
	case O_COPIED:
		return encode_copied(e, i);
	case O_VARIABLE: /* the function that has it is on the shelf */
		buf_byte(&e->objs, O_VARIABLE);
		buf_byte(&e->objs, vm_upvalimmutable(L, lua_gettop(L), (int)o.aux));
		lua_getupvalue(L, -1, (int)o.aux);
		return encode_value(e);
	case O_GLOBAL:
		return encode_global(e, i);
	}
	return false;
}
