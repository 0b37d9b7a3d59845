/* SPDX-License-Identifier: MIT */
/* lib_sync.c - what Lua code needs of mutexes, maps and their kin: how they are made, and the
 * addresses of what is done with them, through FFI. */
#include "lua/share.h"
#include "park/cond.h"
#include "park/map.h"
#include "park/once.h"
#include "park/rwmutex.h"
#include "park/semaphore.h"
#include "park/sync.h"

/* object(kind [, number]) -> a handle of a new one */
static int l_object(lua_State *L)
{
	struct obj *o = NULL;
	lua_Number n = lua_tonumber(L, 2);
	switch (lua_tointeger(L, 1)) {
	case OBJ_ATOMIC:
		o = (struct obj *)anum_new(n);
		break;
	case OBJ_RWMUTEX:
		o = (struct obj *)rwmutex_new();
		break;
	case OBJ_COND:
		o = (struct obj *)cond_new();
		break;
	case OBJ_ONCE:
		o = (struct obj *)once_new();
		break;
	case OBJ_SEMAPHORE:
		o = (struct obj *)semaphore_new(n);
		break;
	case OBJ_MAP:
		o = (struct obj *)map_new();
		break;
	}
	share_pushnew(L, hostof(L), o);
	return 1;
}

/* For FFI: these never park, switch, or enter Lua ---------------------------- */

/* A key of a map, as Lua code says it: its enum valtag; a string's bytes, and their number; or
 * the number that it is. */
static struct mapkey key(int32_t tag, const char *s, double n)
{
	struct mapkey k = {.tag = tag, .s = ""};
	if (tag == VAL_STR) {
		k.s = s;
		k.len = (size_t)n;
	} else if (tag == VAL_NUM) {
		k.n = n + 0.0; /* of -0, too */
	}
	return k;
}

static bool ffi_load(struct hmap *m, int32_t tag, const char *s, double n, struct val *v)
{
	struct mapkey k = key(tag, s, n);
	return map_load(m, &k, v);
}

/* If it has a number: true, and that is *out.  If not, false. */
static bool ffi_loadnum(struct hmap *m, int32_t tag, const char *s, double n, double *out)
{
	struct val v = {.tag = VAL_NIL};
	struct mapkey k = key(tag, s, n);
	bool is = map_load(m, &k, &v) && v.tag == VAL_NUM;
	if (is)
		*out = v.u.n;
	else
		val_free(&v);
	return is;
}

static bool ffi_swap(struct hmap *m, int32_t tag, const char *s, double n, struct val *v)
{
	struct mapkey k = key(tag, s, n);
	return map_swap(m, &k, v);
}

static void ffi_storenum(struct hmap *m, int32_t tag, const char *s, double n, double value)
{
	struct val v = {.tag = VAL_NUM, .u.n = value};
	struct mapkey k = key(tag, s, n);
	map_swap(m, &k, &v);
	val_free(&v);
}

static bool ffi_loadorstore(struct hmap *m, int32_t tag, const char *s, double n, struct val *v)
{
	struct mapkey k = key(tag, s, n);
	return map_loadorstore(m, &k, v);
}

static bool ffi_loadanddelete(struct hmap *m, int32_t tag, const char *s, double n, struct val *v)
{
	struct mapkey k = key(tag, s, n);
	return map_loadanddelete(m, &k, v);
}

static bool ffi_mapcas(struct hmap *m, int32_t tag, const char *s, double n, const struct val *old, struct val *v)
{
	struct mapkey k = key(tag, s, n);
	return map_cas(m, &k, old, v);
}

static bool ffi_mapcad(struct hmap *m, int32_t tag, const char *s, double n, const struct val *old)
{
	struct mapkey k = key(tag, s, n);
	return map_cad(m, &k, old);
}

static bool ffi_mapadd(struct hmap *m, int32_t tag, const char *s, double n, double delta, double *sum)
{
	struct mapkey k = key(tag, s, n);
	return map_add(m, &k, delta, sum);
}

#define ADDRESS(name, p) (lua_pushlightuserdata(L, (void *)(p)), lua_setfield(L, -2, name))

static void pushmap(lua_State *L)
{
	ADDRESS("map_load", ffi_load);
	ADDRESS("map_loadnum", ffi_loadnum);
	ADDRESS("map_swap", ffi_swap);
	ADDRESS("map_storenum", ffi_storenum);
	ADDRESS("map_loadorstore", ffi_loadorstore);
	ADDRESS("map_loadanddelete", ffi_loadanddelete);
	ADDRESS("map_cas", ffi_mapcas);
	ADDRESS("map_cad", ffi_mapcad);
	ADDRESS("map_add", ffi_mapadd);
	ADDRESS("map_len", map_len);
	ADDRESS("map_clear", map_clear);
	ADDRESS("map_range", map_range);
	ADDRESS("map_next", map_next);
	ADDRESS("map_rangefree", map_rangefree);
}

void lib_sync_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {{"object", l_object}, {NULL, NULL}};
	host_register(L, ls, funcs);
	lua_getfield(L, -1, "address");
	ADDRESS("waitgroup_add", waitgroup_add);
	ADDRESS("waitgroup_wait", waitgroup_wait);
	ADDRESS("waitgroup_leave", waitgroup_leave);
	ADDRESS("mutex_lock", mutex_lock);
	ADDRESS("mutex_inherit", mutex_inherit);
	ADDRESS("mutex_unlock", mutex_unlock);
	ADDRESS("mutex_leave", mutex_leave);
	ADDRESS("atomic_load", anum_load);
	ADDRESS("atomic_store", anum_store);
	ADDRESS("atomic_add", anum_add);
	ADDRESS("atomic_and", anum_and);
	ADDRESS("atomic_or", anum_or);
	ADDRESS("atomic_swap", anum_swap);
	ADDRESS("atomic_cas", anum_cas);
	ADDRESS("rwmutex_rlock", rwmutex_rlock);
	ADDRESS("rwmutex_lock", rwmutex_lock);
	ADDRESS("rwmutex_runlock", rwmutex_runlock);
	ADDRESS("rwmutex_unlock", rwmutex_unlock);
	ADDRESS("rwmutex_leave", rwmutex_leave);
	ADDRESS("cond_enlist", cond_enlist);
	ADDRESS("cond_signal", cond_signal);
	ADDRESS("cond_wakeall", cond_wakeall);
	ADDRESS("cond_leave", cond_leave);
	ADDRESS("once_begin", once_begin);
	ADDRESS("once_end", once_end);
	ADDRESS("once_leave", once_leave);
	ADDRESS("semaphore_acquire", semaphore_acquire);
	ADDRESS("semaphore_release", semaphore_release);
	ADDRESS("semaphore_leave", semaphore_leave);
	pushmap(L);
	lua_pop(L, 1);
}
