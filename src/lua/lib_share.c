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
#include "park/sync.h"
#include "park/timer.h"

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
		interrupt_init(L);
	lua_settop(L, 4);
	host_setanchor(L, ls, A_ELEM);
	host_setanchor(L, ls, A_BOOT);
	host_setanchor(L, ls, A_CARRY);
	host_setanchor(L, ls, A_ADOPT);
	return 0;
}

/* encode(value, sudog) -> true | nil, why: into the sudog's val */
static int l_encode(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct val v;
	if (!cross_out(L, ls, 1, &v)) {
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

/* after(seconds) -> channel */
static int l_after(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct hchan *c = chan_new(1);
	lua_Number s = luaL_checknumber(L, 1);
	int64_t now = nanotime(), ns = s >= 9e9 ? INT64_MAX : s <= 0 ? 0 : (int64_t)(s * 1e9 + 0.999);
	if (!c)
		return luaL_error(L, "not enough memory");
	obj_ref(&c->o);
	timer_start(ls->pp, timer_when(now, ns), c);
	share_pushnew(L, ls, &c->o);
	return 1;
}

/* atomic(n) -> atomic */
static int l_atomic(lua_State *L)
{
	share_pushnew(L, hostof(L), (struct obj *)anum_new(lua_tonumber(L, 1)));
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

/* Decides a wait that others may be deciding at the same moment. */
static bool ffi_decide(int32_t own)
{
	return sudogdecide(own, DONE_YES);
}

void lib_share_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {
		{"class", l_class},   {"on", l_on},	    {"encode", l_encode}, {"decode", l_decode},
		{"after", l_after},   {"atomic", l_atomic}, {"ishandle", l_ishandle},
		{NULL, NULL}};
	share_open(L);
	host_register(L, ls, funcs);
	lua_getfield(L, -1, "address");
#define ADDRESS(name, p) (lua_pushlightuserdata(L, (void *)(p)), lua_setfield(L, -2, name))
	ADDRESS("decide", ffi_decide);
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
	ADDRESS("waitgroup_add", waitgroup_add);
	ADDRESS("waitgroup_wait", waitgroup_wait);
	ADDRESS("waitgroup_leave", waitgroup_leave);
	ADDRESS("mutex_lock", mutex_lock);
	ADDRESS("mutex_unlock", mutex_unlock);
	ADDRESS("mutex_leave", mutex_leave);
	ADDRESS("atomic_load", anum_load);
	ADDRESS("atomic_store", anum_store);
	ADDRESS("atomic_add", anum_add);
	ADDRESS("atomic_swap", anum_swap);
	ADDRESS("atomic_cas", anum_cas);
#undef ADDRESS
	lua_pop(L, 1);
}
