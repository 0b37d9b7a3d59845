/* SPDX-License-Identifier: MIT */
/* lib_share.c - what Lua code needs for handles that are shared.
 *
 * Operations on shared objects that never park are called through FFI (the addresses);
 * here is what must make or read Lua values. */
#include "base/os.h"
#include "lua/cross.h"
#include "lua/handle.h"
#include "lua/share.h"
#include "park/chan.h"
#include "park/context.h"

/* class(kind, metatable at home, metatable of shared ones) */
static int l_class(lua_State *L)
{
	struct lstate *ls = hostof(L);
	int kind = luaL_checkint(L, 1);
	ls->mt[kind][0] = lua_topointer(L, 2);
	ls->mt[kind][1] = lua_topointer(L, 3);
	return 0;
}

/* on(adopt, carry, boot, elem): see the anchor's list in host.h */
static int l_on(lua_State *L)
{
	struct lstate *ls = hostof(L);
	if (ls->pp == &p0)
		ours_init(L);
	lua_settop(L, 4);
	host_setanchor(L, ls, A_ELEM);
	host_setanchor(L, ls, A_BOOT);
	host_setanchor(L, ls, A_CARRY);
	host_setanchor(L, ls, A_ADOPT);
	return 0;
}

/* oncontext(fn): see the anchor's list in host.h */
static int l_oncontext(lua_State *L)
{
	lua_settop(L, 1);
	host_setanchor(L, hostof(L), A_CONTEXT);
	return 0;
}

static struct hctx *checkctx(lua_State *L, int idx)
{
	struct obj *o = share_checkref(L, idx);
	luaL_argcheck(L, o && o->kind == OBJ_CTX, idx, "context expected");
	return (struct hctx *)o;
}

/* ctxparts(reference) -> its channel or nil, its values or nil, its deadline, and the cause if
 * that passes or nil; of a context that came from elsewhere */
static int l_ctxparts(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct hctx *c = checkctx(L, 1);
	if (c->core)
		share_push(L, ls, &c->core->done->o);
	else
		lua_pushnil(L);
	cross_look(L, ls, &c->values);
	lua_pushnumber(L, c->core ? c->core->done->when : CHAN_NEVER);
	if (c->core)
		cross_look(L, ls, &c->core->duecause);
	else
		lua_pushnil(L);
	return 4;
}

/* Of a value that cannot cross: its text, or where even that fails, what kind of thing it is.  (An
 * error here would leave a tree of contexts half canceled.) */
static void textof(lua_State *L, int idx, struct val *v)
{
	size_t len;
	lua_getglobal(L, "tostring");
	lua_pushvalue(L, idx);
	if (lua_pcall(L, 1, 1, 0) != 0 || lua_type(L, -1) != LUA_TSTRING) {
		lua_pop(L, 1);
		lua_pushstring(L, luaL_typename(L, idx));
	}
	const char *s = lua_tolstring(L, -1, &len);
	cross_string(v, s, len);
	lua_pop(L, 1);
}

/* ctxcancel(reference, error, cause) -> true if that has ended it */
static int l_ctxcancel(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct hctx *c = checkctx(L, 1);
	struct val cause;
	if (!cross_out(L, ls, 3, "value", &cause))
		textof(L, 3, &cause);
	bool ours = ctx_cancel(c, (enum ctxerr)luaL_checkint(L, 2), &cause);
	if (!ours)
		val_free(&cause);
	lua_pushboolean(L, ours);
	return 1;
}

/* ctxcause(reference) -> the cause of its end, or nil */
static int l_ctxcause(lua_State *L)
{
	cross_look(L, hostof(L), ctx_cause(checkctx(L, 1)));
	return 1;
}

/* exits(table): see the anchor's list in host.h */
static int l_exits(lua_State *L)
{
	lua_settop(L, 1);
	host_setanchor(L, hostof(L), A_EXITS);
	return 0;
}

/* encode(value, sudog) -> true | nil, why: into the sudog's val */
static int l_encode(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct val v;
	if (!cross_out(L, ls, 1, "value", &v)) {
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	sudogs.val[lua_tointeger(L, 2)] = v;
	lua_pushboolean(L, 1);
	return 1;
}

/* decode(sudog) -> value; its val is empty then */
static int l_decode(lua_State *L)
{
	cross_in(L, hostof(L), &sudogs.val[lua_tointeger(L, 1)]);
	return 1;
}

/* ishandle(userdata): whether it is a goroutine's */
static int l_ishandle(lua_State *L)
{
	lua_pushboolean(L, handle_is(L, hostof(L), 1));
	return 1;
}

/* For FFI: these never park, switch, or enter Lua ---------------------------- */

static int32_t ffi_sendnum(struct hchan *c, double n)
{
	struct val v = {.tag = VAL_NUM, .u.n = n};
	return (int32_t)chan_send(c, &v, 0);
}

static int32_t ffi_send(struct hchan *c, struct val *v, int32_t s)
{
	return (int32_t)chan_send(c, v, s);
}

static int32_t ffi_recv(struct hchan *c, struct val *v, int32_t s)
{
	return (int32_t)chan_recv(c, v, s);
}

static int32_t ffi_len(struct hchan *c)
{
	return (int32_t)chan_len(c);
}

static int32_t ffi_cap(struct hchan *c)
{
	return (int32_t)c->size;
}

static int32_t ffi_ctxerr(struct hctx *c)
{
	return (int32_t)ctx_err(c);
}

void lib_share_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {
		{"class", l_class},   {"on", l_on},	    {"encode", l_encode}, {"decode", l_decode},
		{"ishandle", l_ishandle}, {"oncontext", l_oncontext}, {"exits", l_exits},
		{"ctxparts", l_ctxparts}, {"ctxcancel", l_ctxcancel}, {"ctxcause", l_ctxcause},
		{NULL, NULL}};
	share_open(L, ls);
	host_register(L, ls, funcs);
	lua_getfield(L, -1, "address");
#define ADDRESS(name, p) (lua_pushlightuserdata(L, (void *)(p)), lua_setfield(L, -2, name))
	ADDRESS("decide", sudogdecide);
	ADDRESS("valfree", val_free);
	ADDRESS("valstring", cross_string);
	ADDRESS("chan_sendnum", ffi_sendnum);
	ADDRESS("chan_send", ffi_send);
	ADDRESS("chan_recv", ffi_recv);
	ADDRESS("chan_ready", chan_ready);
	ADDRESS("chan_select", chan_select);
	ADDRESS("chan_close", chan_close);
	ADDRESS("chan_leave", chan_leave);
	ADDRESS("chan_len", ffi_len);
	ADDRESS("chan_cap", ffi_cap);
	ADDRESS("chan_isclosed", chan_isclosed);
	ADDRESS("chan_settimer", chan_settimer);
	ADDRESS("chan_when", chan_when);
	ADDRESS("chan_period", chan_period);
	ADDRESS("ctx_err", ffi_ctxerr);
#undef ADDRESS
	lua_pop(L, 1);
}
