/* SPDX-License-Identifier: MIT */
/* share.c - a handle that was at home becomes shared, and a state's handles of objects.
 *
 * At home a channel, a wait group or a mutex is all in its Lua table.  When it first goes
 * to another P, its state moves into a struct obj: what is buffered, who waits, whether
 * it is closed.  The table stays the handle: it gets another metatable, and the object's
 * address.  Its waiters go on waiting: their sudogs are the same memory in both worlds,
 * and from now on their wait is decided by compare-and-swap.
 *
 * The layouts at home are those of chan.lua, due.lua, sync.lua and mutex.lua; of a context
 * Lua tells what is to be known elsewhere (context.lua), and it stays what it was for this
 * state.  Atomics, maps and the rest of sync are always shared; a cond has the handle of
 * what guards it beside its own object's, and that becomes shared when the cond goes.  A
 * connection or a listener is an object from the start, and its handle as one that is
 * shared, but not known to A_OBJECTS before it is (and not locked: park/netfd.h). */
#include "lua/share.h"

#include "base/os.h"
#include "lua/cross.h"
#include "park/chan.h"
#include "park/cond.h"
#include "park/context.h"
#include "park/netfd.h"
#include "park/sync.h"

#define REF "luapark.obj"

enum { C_SIZE = 1, C_N, C_RX, C_RQ, C_SQ, C_SHUT, C_BUF = C_SHUT, C_WHEN, C_PERIOD };
enum { S_COUNT = 1, S_LOCKED = 1, S_LINE, S_STARVING };
enum { H_ADDRESS = 1, H_REF, H_LOCKER }; /* of a shared handle; H_LOCKER: of a cond */

/* Which kind of handle the value at idx is, and whether it is shared; -1: none. */
static int kindof(lua_State *L, struct lstate *ls, int idx, bool *shared)
{
	if (!lua_istable(L, idx) || !lua_getmetatable(L, idx))
		return -1;
	const void *mt = lua_topointer(L, -1);
	lua_pop(L, 1);
	for (int kind = 0; kind < OBJ_KINDS; kind++)
		for (int s = 1; s >= 0; s--) /* an atomic's are the same: it is always shared */
			if (mt == ls->mt[kind][s]) {
				*shared = s == 1;
				return kind;
			}
	return -1;
}

bool share_is(lua_State *L, struct lstate *ls, int idx)
{
	bool shared;
	return kindof(L, ls, idx, &shared) >= 0;
}

static lua_Integer getint(lua_State *L, int idx, int field)
{
	lua_rawgeti(L, idx, field);
	lua_Integer v = lua_isboolean(L, -1) ? lua_toboolean(L, -1) : lua_tointeger(L, -1);
	lua_pop(L, 1);
	return v;
}

bool share_busy(lua_State *L, struct lstate *ls, int idx)
{
	bool shared;
	if (idx < 0 && idx > LUA_REGISTRYINDEX)
		idx = lua_gettop(L) + idx + 1;
	return kindof(L, ls, idx, &shared) == OBJ_CHAN && !shared &&
	       (getint(L, idx, C_N) > 0 || getint(L, idx, C_SQ) != 0);
}

struct ref {
	struct obj *o;
};

void share_pushref(lua_State *L, struct obj *o)
{
	struct ref *ref = lua_newuserdata(L, sizeof *ref);
	ref->o = o;
	luaL_getmetatable(L, REF);
	lua_setmetatable(L, -2);
}

/* Pushes the handle of o, if finalizers that are yet to come can still reach it: it is gone
 * from A_OBJECTS otherwise. */
static bool pushreached(lua_State *L, struct lstate *ls, const struct obj *o)
{
	host_pushanchor(L, ls, A_OBJECTS);
	lua_pushlightuserdata(L, (void *)o);
	lua_rawget(L, -2);
	if (!lua_istable(L, -1))
		return false;
	lua_rawgeti(L, -1, H_REF);
	bool its = lua_rawequal(L, -1, 1);
	lua_pop(L, 1);
	return its;
}

/* The collector finds a reference and its handle dead together, and calls finalizers, the
 * youngest first.  What can still reach the handle then keeps it, with another reference; until
 * its state is closed, when it becomes a table like any. */
static int dropref(lua_State *L)
{
	struct lstate *ls = lua_touserdata(L, lua_upvalueindex(1));
	struct ref *ref = luaL_checkudata(L, 1, REF);
	struct obj *o = ref->o;
	bool reached = o && pushreached(L, ls, o), lives = reached && !load_relaxed(&ls->closes);
	if (lives) {
		share_pushref(L, o);
		lua_rawseti(L, -2, H_REF);
	} else if (reached) {
		lua_pushnil(L);
		lua_setmetatable(L, -2);
		lua_pushlightuserdata(L, o);
		lua_pushnil(L);
		lua_rawset(L, -4);
	}
	ref->o = NULL;
	if (o && !lives)
		obj_unref(o);
	return 0;
}

struct obj *share_checkref(lua_State *L, int idx)
{
	return ((struct ref *)luaL_checkudata(L, idx, REF))->o;
}

/* Whose wait may be decided from anywhere now. */
static void exposeline(int32_t line)
{
	int32_t s = line;
	if (s == 0)
		return;
	do {
		atomic_i32 *done = &sudogs.done[sudogs.own[s]];
		if (load_relaxed(done) == DONE_NO)
			store_relaxed(done, DONE_SHARED);
		s = sudogs.next[s];
	} while (s != line);
}

/* The functions move... : false, with the reason on top of L, if a value cannot cross.  Then
 * nothing has been moved that anybody could tell. */

/* What is buffered goes into c, oldest first. */
static bool movebuffer(lua_State *L, struct lstate *ls, int idx, struct hchan *c)
{
	uint32_t n = (uint32_t)getint(L, idx, C_N), rx = (uint32_t)getint(L, idx, C_RX);
	for (uint32_t i = 0; i < n; i++) {
		struct val v;
		lua_rawgeti(L, idx, C_BUF + 1 + (int)((rx - 1 + i) % c->size));
		if (!cross_out(L, ls, -1, "value", &v))
			return false;
		if (!chan_push(c, &v)) {
			val_free(&v);
			luaL_error(L, "not enough memory");
		}
		lua_pop(L, 1);
	}
	return true;
}

/* What the senders in line bring goes beside their sudogs.  Two passes: either all can. */
static bool movesenders(lua_State *L, struct lstate *ls, int32_t line)
{
	int32_t s = line;
	if (s == 0)
		return true;
	host_pushanchor(L, ls, A_ELEM);
	do {
		lua_rawgeti(L, -1, s - sudogbase(ls->pp));
		val_free(&sudogs.val[s]); /* of a try that failed half-way */
		if (!cross_out(L, ls, -1, "value", &sudogs.val[s]))
			return false;
		lua_pop(L, 1);
		s = sudogs.next[s];
	} while (s != line);
	lua_pop(L, 1);
	return true;
}

/* On top of L is a reference that keeps the object if anything raises an error. */
static bool movechan(lua_State *L, struct lstate *ls, int idx, struct hchan *c)
{
	c->size = (uint32_t)getint(L, idx, C_SIZE);
	int32_t rq = (int32_t)getint(L, idx, C_RQ), sq = (int32_t)getint(L, idx, C_SQ);
	if (!movebuffer(L, ls, idx, c) || !movesenders(L, ls, sq))
		return false;
	exposeline(rq);
	exposeline(sq);
	c->rq = rq;
	c->sq = sq;
	c->closed = getint(L, idx, C_SHUT) != 0;
	return true;
}

static lua_Number getnum(lua_State *L, int idx, int field)
{
	lua_rawgeti(L, idx, field);
	lua_Number n = lua_tonumber(L, -1);
	lua_pop(L, 1);
	return n;
}

/* Its core, channel, values, and the cause that passing its deadline has. */
static bool movectx(lua_State *L, struct lstate *ls, int idx, struct hctx *c)
{
	static const char valuename[] = "a context's value", causename[] = "a context's cause";
	host_pushanchor(L, ls, A_CONTEXT);
	lua_pushvalue(L, idx);
	lua_call(L, 1, 6);
	int core = lua_gettop(L) - 5, done = core + 1, values = core + 2, duecause = core + 3, err = core + 4,
	    cause = core + 5;
	if (!cross_out(L, ls, values, valuename, &c->values) || !cross_out(L, ls, duecause, causename, &c->duecause) ||
	    !cross_out(L, ls, cause, causename, &c->cause))
		return false;
	c->err = (uint8_t)lua_tointeger(L, err);
	bool iscore = lua_rawequal(L, core, idx);
	if (lua_toboolean(L, core)) {
		struct obj *o = share_obj(L, ls, iscore ? done : core);
		if (!o)
			return false;
		if (iscore)
			c->done = (struct hchan *)obj_ref(o);
		else
			c->core = (struct hctx *)obj_ref(o);
	}
	if (iscore)
		c->core = c;
	lua_settop(L, core - 1);
	return true;
}

static struct obj *newobj(lua_State *L, int kind)
{
	struct obj *o = NULL;
	switch (kind) {
	case OBJ_CHAN:
	case OBJ_TIMER:
	case OBJ_DONE:
		o = (struct obj *)chan_new(0);
		if (o)
			o->kind = (uint8_t)kind;
		break;
	case OBJ_CTX:
		o = (struct obj *)ctx_new();
		break;
	case OBJ_WAITGROUP:
		o = (struct obj *)waitgroup_new();
		break;
	case OBJ_MUTEX:
		o = (struct obj *)mutex_new();
		break;
	}
	if (!o)
		luaL_error(L, "not enough memory");
	return o;
}

static bool move(lua_State *L, struct lstate *ls, int kind, int idx, struct obj *o)
{
	switch (kind) {
	case OBJ_TIMER:
	case OBJ_DONE:
		((struct hchan *)o)->when = getnum(L, idx, C_WHEN);
		((struct hchan *)o)->period = getnum(L, idx, C_PERIOD);
		/* fall through */
	case OBJ_CHAN:
		return movechan(L, ls, idx, (struct hchan *)o);
	case OBJ_CTX:
		return movectx(L, ls, idx, (struct hctx *)o);
	case OBJ_WAITGROUP: {
		struct hwaitgroup *wg = (struct hwaitgroup *)o;
		wg->line = (int32_t)getint(L, idx, S_LINE);
		wg->count = getnum(L, idx, S_COUNT);
		exposeline(wg->line);
		break;
	}
	case OBJ_MUTEX: {
		struct hmutex *m = (struct hmutex *)o;
		m->line = (int32_t)getint(L, idx, S_LINE);
		m->locked = getint(L, idx, S_LOCKED) != 0;
		m->starving = getint(L, idx, S_STARVING) != 0;
		exposeline(m->line);
		break;
	}
	}
	return true;
}

/* This state knows o, from now on, by the handle on top. */
static void enter(lua_State *L, struct lstate *ls, struct obj *o)
{
	host_pushanchor(L, ls, A_OBJECTS);
	lua_pushlightuserdata(L, o);
	lua_pushvalue(L, -3);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

/* The reference is on top of L, and popped; pushes the handle: the one at idx, or a new one
 * (idx 0). */
static void adopt(lua_State *L, struct lstate *ls, struct obj *o, int idx)
{
	host_pushanchor(L, ls, A_ADOPT);
	lua_insert(L, -2);
	lua_pushinteger(L, o->kind);
	lua_insert(L, -2);
	if (idx)
		lua_pushvalue(L, idx);
	else
		lua_pushnil(L);
	lua_insert(L, -2);
	lua_pushlightuserdata(L, o);
	lua_insert(L, -2);
	lua_call(L, 4, 1);
	enter(L, ls, o);
	if (o->kind == OBJ_COND && ((struct hcond *)o)->locker) {
		share_push(L, ls, ((struct hcond *)o)->locker);
		lua_rawseti(L, -2, H_LOCKER);
	}
}

/* The object of the handle at idx, which is of a shared one. */
static struct obj *objof(lua_State *L, struct lstate *ls, int idx)
{
	lua_rawgeti(L, idx, H_REF);
	const struct ref *ref = lua_touserdata(L, -1);
	struct obj *o = ref ? ref->o : NULL;
	if (!o) { /* not of our making, or collected */
		luaL_error(L, "a handle without its object");
		return NULL; /* not reached */
	}
	lua_pop(L, 1);
	if ((o->kind == OBJ_CONN || o->kind == OBJ_LISTENER) && !((struct netfd *)o)->shared) {
		lua_pushvalue(L, idx);
		enter(L, ls, o);
		lua_pop(L, 1);
		netfd_share((struct netfd *)o);
	} else if (o->kind == OBJ_COND && !((struct hcond *)o)->locker) {
		lua_rawgeti(L, idx, H_LOCKER);
		struct obj *locker = share_obj(L, ls, -1);
		((struct hcond *)o)->locker = locker ? obj_ref(locker) : NULL;
		lua_pop(L, 1);
	}
	return o;
}

struct obj *share_obj(lua_State *L, struct lstate *ls, int idx)
{
	bool shared;
	if (idx < 0 && idx > LUA_REGISTRYINDEX)
		idx = lua_gettop(L) + idx + 1;
	int kind = kindof(L, ls, idx, &shared);
	if (kind < 0)
		return NULL;
	luaL_checkstack(L, 16, "a handle");
	if (shared)
		return objof(L, ls, idx);
	struct obj *o = newobj(L, kind);
	int top = lua_gettop(L);
	share_pushref(L, o);
	if (!move(L, ls, kind, idx, o)) {
		lua_replace(L, top + 1);
		lua_settop(L, top + 1);
		return NULL;
	}
	adopt(L, ls, o, idx);
	lua_pop(L, 1);
	return o;
}

void share_push(lua_State *L, struct lstate *ls, struct obj *o)
{
	luaL_checkstack(L, 8, "a handle");
	host_pushanchor(L, ls, A_OBJECTS);
	lua_pushlightuserdata(L, o);
	lua_rawget(L, -2);
	lua_remove(L, -2);
	if (!lua_isnil(L, -1))
		return;
	lua_pop(L, 1);
	share_pushref(L, obj_ref(o));
	adopt(L, ls, o, 0);
}

void share_pushnew(lua_State *L, struct lstate *ls, struct obj *o)
{
	if (!o) {
		luaL_error(L, "not enough memory");
		return; /* not reached */
	}
	share_pushref(L, o);
	adopt(L, ls, o, 0);
}

void share_open(lua_State *L, struct lstate *ls)
{
	luaL_newmetatable(L, REF);
	lua_pushlightuserdata(L, ls);
	lua_pushcclosure(L, dropref, 1);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
}
