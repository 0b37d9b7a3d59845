/* SPDX-License-Identifier: MIT */
/* decode.c - values out of a message: see codec.h.
 *
 * Trusts the references, but no byte.  What it makes is Lua's from the start, so it may
 * be left by an error at any point.  Since loading a module may park, nothing of it is
 * kept in the state's own struct meanwhile: another may be at work.
 *
 * Variables of copied functions (struct eobj's O_VARIABLE) are upvalues of functions made
 * for the purpose, all from the same two, whatever code they end up in: LuaJIT takes
 * variables made at different places for different ones when it optimizes. */
#include <lauxlib.h>

#include "lua/decode.h"
#include "lua/handle.h"
#include "lua/known.h"
#include "lua/share.h"

_Noreturn void decode_bad(const struct decoder *d)
{
	luaL_error(d->L, "invalid message");
	__builtin_unreachable();
}

uint32_t decode_count(struct decoder *d)
{
	uint32_t n = rd_varint32(&d->rd);
	if (d->rd.bad || n > rd_left(&d->rd))
		decode_bad(d);
	return n;
}

static const struct msgref *ref(struct decoder *d, enum refkind kind)
{
	uint32_t i = rd_varint32(&d->rd);
	if (d->rd.bad || i >= d->m->nrefs || d->m->refs[i].kind != kind)
		decode_bad(d);
	return &d->m->refs[i];
}

static uint8_t tagof(const struct decoder *d, uint32_t i)
{
	return i > 0 && i <= d->nobj ? d->tag[i - 1] : 0;
}

/* Modules ------------------------------------------------------------------- */

/* The sender's search paths become this state's. */
static void setpaths(struct decoder *d)
{
	static const char *const fields[] = {"path", "cpath"};
	lua_State *L = d->L;
	d->pathset = true;
	if (!(d->m->bytes[0] & M_PATH) || d->m->nrefs < 2)
		return;
	int top = lua_gettop(L);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, "package");
	for (uint32_t i = 0; i < 2 && lua_istable(L, top + 2); i++) {
		const struct msgref *r = &d->m->refs[d->m->nrefs - 2 + i];
		if (r->kind != REF_PATH || r->len == 0)
			continue;
		lua_pushstring(L, fields[i]);
		lua_pushlstring(L, r->bytes, r->len);
		lua_rawset(L, top + 2);
	}
	lua_settop(L, top);
}

/* What a bubble has made: in this very state. */
static void pushown(struct decoder *d)
{
	uint32_t i = rd_varint32(&d->rd);
	if (d->rd.bad || i > INT32_MAX)
		decode_bad(d);
	host_pushanchor(d->L, d->ls, A_OWN);
	lua_rawgeti(d->L, -1, (int)i);
	lua_remove(d->L, -2);
	if (!lua_istable(d->L, -1)) /* its bubble has ended */
		decode_bad(d);
}

static void pushmodule(struct decoder *d)
{
	lua_State *L = d->L;
	const struct msgref *r = ref(d, REF_MODULE);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_pushlstring(L, r->bytes, r->len);
	lua_rawget(L, -2);
	if (lua_istable(L, -1) || lua_isfunction(L, -1)) {
		lua_remove(L, -2);
		return;
	}
	lua_pop(L, 2);
	if (!d->pathset)
		setpaths(d);
	if (!known_named(L, d->v, "require", strlen("require")))
		lua_getglobal(L, "require");
	lua_pushlstring(L, r->bytes, r->len);
	lua_call(L, 1, 1);
}

/* Values -------------------------------------------------------------------- */

static void pushstring(struct decoder *d)
{
	uint32_t len = decode_count(d);
	lua_pushlstring(d->L, (const char *)rd_bytes(&d->rd, len), len);
}

static void pushnum(struct decoder *d)
{
	lua_Number n = 0;
	const uint8_t *p = rd_bytes(&d->rd, sizeof n);
	if (p)
		memcpy(&n, p, sizeof n);
	else
		decode_bad(d);
	lua_pushnumber(d->L, n == n ? n : (lua_Number)__builtin_nan("")); /* no other NaN is a number to LuaJIT */
}

static void pushcdata(struct decoder *d, int kind)
{
	const uint8_t *p = rd_bytes(&d->rd, sizeof(int64_t));
	values_push(d->L, d->v, V_NEWCDATA);
	lua_pushinteger(d->L, kind);
	lua_call(d->L, 1, 1);
	if (p)
		memcpy((void *)(uintptr_t)lua_topointer(d->L, -1), p, sizeof(int64_t));
	else
		decode_bad(d);
}

static void pushg(struct decoder *d)
{
	struct handleid id = {.slot = rd_varint32(&d->rd)};
	id.id = rd_varint(&d->rd);
	if (d->rd.bad || !handle_push(d->L, d->ls, &id))
		decode_bad(d);
}

static void pushknown(struct decoder *d)
{
	uint32_t len = decode_count(d);
	const char *name = (const char *)rd_bytes(&d->rd, len);
	if (!known_push(d->L, d->ls, name, len))
		luaL_error(d->L, "invalid message (a name that is not known here)");
}

/* Pushes a value. */
static void value(struct decoder *d)
{
	lua_State *L = d->L;
	uint8_t tag = rd_byte(&d->rd);
	uint64_t u;
	uint32_t i;
	if (d->rd.bad)
		decode_bad(d);
	if (tag >= T_SMALL) {
		lua_pushnumber(L, (lua_Number)(tag - T_SMALL + T_SMALLEST));
		return;
	}
	switch (tag) {
	case T_NIL:
		lua_pushnil(L);
		break;
	case T_FALSE:
	case T_TRUE:
		lua_pushboolean(L, tag == T_TRUE);
		break;
	case T_INT:
		u = rd_varint(&d->rd);
		lua_pushnumber(L, (lua_Number)(int64_t)(u >> 1 ^ (~(u & 1) + 1)));
		break;
	case T_NUM:
		pushnum(d);
		break;
	case T_STR:
		pushstring(d);
		break;
	case T_OBJECT:
		i = rd_varint32(&d->rd);
		tag = tagof(d, i);
		if (tag == 0 || tag == O_VARIABLE || tag == O_GLOBAL)
			decode_bad(d);
		shelf_push(L, &d->objects, i);
		break;
	case T_SHARED:
		share_push(L, d->ls, ref(d, REF_OBJ)->obj);
		break;
	case T_LIGHT:
		lua_pushlightuserdata(L, ref(d, REF_LIGHT)->light);
		break;
	case T_I64:
	case T_U64:
		pushcdata(d, tag == T_I64 ? 1 : 2);
		break;
	case T_G:
		pushg(d);
		break;
	case T_KNOWN:
		pushknown(d);
		break;
	case T_MODULE:
		pushmodule(d);
		break;
	case T_OWN:
		pushown(d);
		break;
	default:
		decode_bad(d);
	}
}

/* Objects ------------------------------------------------------------------- */

static void newtable(struct decoder *d, bool mt)
{
	lua_State *L = d->L;
	if (mt)
		pushmodule(d);
	uint32_t narray = decode_count(d), nhash = decode_count(d);
	size_t n = (size_t)narray + 2 * (size_t)nhash;
	if (n > d->budget || narray > INT32_MAX || nhash > INT32_MAX)
		decode_bad(d);
	d->budget -= n;
	lua_createtable(L, (int)narray, (int)nhash);
	if (mt) {
		lua_insert(L, -2);
		if (!lua_istable(L, -1))
			luaL_error(L, "a metatable's module did not return a table");
		lua_setmetatable(L, -2);
	}
}

static void newfunction(struct decoder *d, bool copied)
{
	lua_State *L = d->L;
	struct code *c = ref(d, REF_CODE)->code;
	uint32_t nuv = rd_varint32(&d->rd);
	if (d->rd.bad || !c->examined || nuv != c->info.nuv)
		decode_bad(d);
	code_pushmaker(L, d->v, c, ~(uint64_t)0);
	lua_call(L, 0, 1);
	if (copied && !lua_isnil(L, d->env)) {
		lua_pushvalue(L, d->env);
		lua_setfenv(L, -2);
	}
}

static void newobject(struct decoder *d)
{
	lua_State *L = d->L;
	const struct msgref *r;
	uint8_t tag = rd_byte(&d->rd);
	switch (tag) {
	case O_STRING:
		pushstring(d);
		break;
	case O_BLOB:
		r = ref(d, REF_BLOB);
		lua_pushlstring(L, r->bytes, r->len);
		break;
	case O_TABLE:
	case O_TABLEMT:
		newtable(d, tag == O_TABLEMT);
		break;
	case O_FUNC:
	case O_COPIED:
		newfunction(d, tag == O_COPIED);
		break;
	case O_VARIABLE:
		values_push(L, d->v, rd_byte(&d->rd) ? V_CONSTANT : V_VARIABLE);
		lua_call(L, 0, 1);
		break;
	case O_GLOBAL:
		lua_pushnil(L);
		break;
	default:
		decode_bad(d);
	}
	shelf_put(L, &d->objects, d->nobj + 1);
	d->tag[d->nobj++] = tag;
}

/* The objects of a part. */
static void objects(struct decoder *d, uint32_t n)
{
	if (n > UINT32_MAX - d->nobj)
		decode_bad(d);
	if (d->nobj + n > d->captag) {
		uint8_t *p = lua_newuserdata(d->L, d->nobj + n);
		memcpy(p, d->tag, d->nobj);
		lua_replace(d->L, d->tagsat);
		d->tag = p;
		d->captag = d->nobj + n;
	}
	for (uint32_t i = 0; i < n; i++)
		newobject(d);
}

/* Reads past an object, giving its sizes. */
static void sizes(struct rd *objs, uint32_t *a, uint32_t *b)
{
	uint8_t tag = rd_byte(objs);
	*a = *b = 0;
	switch (tag) {
	case O_STRING:
		rd_bytes(objs, rd_varint32(objs));
		break;
	case O_BLOB:
		rd_varint32(objs);
		break;
	case O_TABLEMT:
	case O_FUNC:
	case O_COPIED:
		rd_varint32(objs);
		/* fall through */
	case O_TABLE:
		*a = rd_varint32(objs);
		if (tag == O_TABLE || tag == O_TABLEMT)
			*b = rd_varint32(objs);
		break;
	case O_VARIABLE:
		rd_byte(objs);
		break;
	default:
		break;
	}
}

/* Contents ------------------------------------------------------------------ */

static void content(struct decoder *d, uint32_t i, uint32_t a, uint32_t b)
{
	lua_State *L = d->L;
	uint32_t var;
	uint8_t tag = d->tag[i - 1];
	if (tag == O_STRING || tag == O_BLOB)
		return;
	shelf_push(L, &d->objects, i);
	int at = lua_gettop(L);
	switch (tag) {
	case O_TABLE:
	case O_TABLEMT:
		for (uint32_t k = 1; k <= a; k++) {
			value(d);
			lua_rawseti(L, at, (int)k);
		}
		for (uint32_t k = 0; k < b; k++) {
			value(d);
			value(d);
			lua_rawset(L, at);
		}
		break;
	case O_FUNC:
		for (uint32_t k = 1; k <= a; k++) {
			value(d);
			lua_setupvalue(L, at, (int)k);
		}
		break;
	case O_COPIED:
		for (uint32_t k = 1; k <= a; k++) {
			var = rd_varint32(&d->rd);
			if (tagof(d, var) != O_VARIABLE)
				decode_bad(d);
			shelf_push(L, &d->objects, var);
			lua_upvaluejoin(L, at, (int)k, at + 1, 1);
			lua_pop(L, 1);
		}
		break;
	case O_VARIABLE:
		value(d);
		lua_setupvalue(L, at, 1);
		break;
	case O_GLOBAL:
		value(d);
		value(d);
		if (lua_type(L, -2) != LUA_TSTRING || lua_isnil(L, d->env))
			decode_bad(d);
		lua_rawset(L, d->env);
		break;
	default:
		decode_bad(d);
	}
	lua_settop(L, at - 1);
}

/* One part; its values are results from number `first` on.  How many it had. */
static uint32_t part(struct decoder *d, uint32_t first, uint32_t max)
{
	lua_State *L = d->L;
	uint32_t n = decode_count(d), nobjs = decode_count(d), from = d->nobj;
	if (n > max)
		decode_bad(d);
	struct rd objs = d->rd;
	objects(d, nobjs);
	objs.end = d->rd.p;
	for (uint32_t i = 0; i < n; i++) {
		value(d);
		lua_replace(L, d->base + (int)(first + i));
	}
	for (uint32_t i = 1; i <= nobjs; i++) {
		uint32_t a, b;
		sizes(&objs, &a, &b);
		content(d, from + i, a, b);
	}
	if (d->rd.bad)
		decode_bad(d);
	return n;
}

/* Pushes the environment of copied functions: what is not in it is the state's. */
static void newenv(struct decoder *d)
{
	lua_State *L = d->L;
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "_G");
	lua_createtable(L, 0, 1);
	values_push(L, d->v, LUA_GLOBALSINDEX);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	values_push(L, d->v, V_ENV);
	lua_pushvalue(L, -2);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

int msg_decode(lua_State *L, struct lstate *ls, const struct msg *m)
{
	struct decoder d = {.L = L, .ls = ls, .v = ls->values, .m = m, .captag = LOCALTAGS, .budget = m->nbytes};
	d.tag = d.local;
	d.rd = (struct rd){m->bytes, m->bytes + m->nbytes, false};
	d.base = lua_gettop(L);
	uint8_t flags = rd_byte(&d.rd);
	uint32_t n = rd_varint32(&d.rd), got = 0;
	if (d.rd.bad || n > rd_left(&d.rd))
		decode_bad(&d);
	if (n > INT32_MAX / 2)
		decode_bad(&d);
	luaL_checkstack(L, (int)n + SHELF + 2 * LUA_MINSTACK, "too many values");
	lua_settop(L, d.base + (int)n);
	if (flags & M_ENV)
		newenv(&d);
	else
		lua_pushnil(L);
	d.env = lua_gettop(L);
	lua_pushnil(L);
	d.tagsat = lua_gettop(L);
	shelf_open(L, &d.objects);
	bool shared = false, keyed = false;
	if (m->keylen > 0) {
		if (decode_kept(&d, &keyed, &shared)) {
			got = 1;
		} else {
			got = part(&d, 1, n);
			if (keyed)
				decode_keep(&d, shared);
		}
	}
	while (rd_left(&d.rd) > 0)
		got += part(&d, got + 1, n - got);
	if (got != n)
		decode_bad(&d);
	lua_settop(L, d.base + (int)n);
	return (int)n;
}
