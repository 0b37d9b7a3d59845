/* SPDX-License-Identifier: MIT */
/* code.c - see code.h.
 *
 * A state keeps no function alive for its cache: an entry holds a closure weakly, and
 * counts only while that lives, for then the prototype's address cannot be used
 * again.  After it died the next closure is dumped anew, and finds the same code. */
#include "lua/code.h"

#include <lauxlib.h>
#include <stdio.h>

#include "base/lock.h"
#include "base/os.h"
#include "lua/maker.h"

enum { CACHE = 4096, BUCKETS = 1024 };

static struct {
	struct lock lock;
	struct code *bucket[BUCKETS];
	uint64_t lastid;
	uint32_t n;
} table = {.lock = LOCK_INIT(RANK_CODE)};

struct code *code_ref(struct code *c)
{
	fetch_add_relaxed(&c->refs, 1);
	return c;
}

void code_unref(struct code *c)
{
	/* The last reference goes under the lock, under which others find the code. */
	uint32_t refs = load_relaxed(&c->refs);
	while (refs > 1)
		if (cas_weak_release(&c->refs, &refs, refs - 1))
			return;
	lock(&table.lock);
	bool last = fetch_sub_acqrel(&c->refs, 1) == 1;
	if (last) {
		struct code **at = &table.bucket[c->hash % BUCKETS];
		while (*at != c)
			at = &(*at)->next;
		*at = c->next;
		table.n--;
	}
	unlock(&table.lock);
	if (last) {
		dump_free(&c->info);
		free(c);
	}
}

uint32_t code_count(void)
{
	lock(&table.lock);
	uint32_t n = table.n;
	unlock(&table.lock);
	return n;
}

static uint64_t hashof(const uint8_t *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u ^ n, w;
	for (; n >= sizeof w; n -= sizeof w, p += sizeof w) {
		memcpy(&w, p, sizeof w);
		h = (h ^ w) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	w = 0;
	memcpy(&w, p, n);
	h = (h ^ w) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

/* The one code of these bytes, with a reference for the caller; NULL: out of memory.
 * Takes *info over. */
static struct code *intern(const uint8_t *bytes, size_t n, bool examined, struct dumpinfo *info)
{
	uint64_t h = hashof(bytes, n);
	struct code *c = malloc(sizeof *c + n);
	if (c) {
		*c = (struct code){.hash = h, .examined = examined, .info = *info, .len = n};
		store_relaxed(&c->refs, 1);
		memcpy(c->dump, bytes, n);
	}
	lock(&table.lock);
	struct code *at = table.bucket[h % BUCKETS];
	while (at && !(at->hash == h && at->len == n && memcmp(at->dump, bytes, n) == 0))
		at = at->next;
	if (at) {
		code_ref(at);
	} else if (c) {
		c->id = ++table.lastid;
		c->next = table.bucket[h % BUCKETS];
		table.bucket[h % BUCKETS] = c;
		table.n++;
	}
	unlock(&table.lock);
	if (at || !c) {
		free(c);
		dump_free(info);
		return at;
	}
	return c;
}

static int writer(lua_State *L, const void *p, size_t n, void *ud)
{
	(void)L;
	struct buf *b = ud;
	buf_put(b, p, n);
	return b->failed;
}

static struct code *dumped(lua_State *L, struct values *v, int idx)
{
	struct buf *b = &v->dump;
	struct dumpinfo info = {0};
	buf_reset(b);
	luaL_checkstack(L, 2, "code");
	lua_pushvalue(L, idx);
	int status = lua_dump(L, writer, b);
	lua_pop(L, 1);
	if (status != 0 || b->failed)
		values_nomem(L);
	bool examined = maker_works() && dump_examine(b->p, b->n, &info);
	if (examined)
		maker_patch(b->p, &info, ~(uint64_t)0);
	return values_need(L, intern(b->p, b->n, examined, &info));
}

/* Forgets all that the state has cached. */
static void forget(lua_State *L, struct values *v)
{
	luaL_checkstack(L, 4, "code");
	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "v");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_xmove(L, v->V, 1);
	lua_replace(v->V, V_PROTO);
	for (uint32_t i = 0; i < v->ncode; i++)
		code_unref(v->code[i]);
	v->ncode = 0;
	ptrmap_clear(&v->byproto);
}

/* Writes down that the function at idx, a closure of the prototype, has this code. */
static struct code *cache(lua_State *L, struct values *v, const void *proto, int idx, struct code *c)
{
	bool isnew;
	if (v->ncode == CACHE || !v->code) {
		if (!v->code)
			v->code = xcalloc(CACHE, sizeof(struct code *));
		forget(L, v);
	}
	uint32_t *at = proto ? ptrmap_put(&v->byproto, proto, &isnew) : NULL;
	uint32_t i = 0; /* without a prototype's address: one place, which keeps c alive until the next */
	if (!at && v->ncode == 0)
		isnew = true;
	else if (!at)
		isnew = false;
	else if (isnew)
		i = v->ncode;
	else
		i = *at - 1;
	if (isnew)
		v->ncode++;
	else
		code_unref(v->code[i]);
	v->code[i] = c;
	if (at) {
		*at = i + 1;
		luaL_checkstack(L, 2, "code");
		lua_pushvalue(L, idx);
		values_push(L, v, V_PROTO);
		lua_insert(L, -2);
		lua_rawseti(L, -2, (int)i + 1);
		lua_pop(L, 1);
	}
	return c;
}

struct code *code_of(lua_State *L, struct values *v, int idx)
{
	const void *proto = vm_proto(L, idx);
	const uint32_t *at = proto ? ptrmap_get(&v->byproto, proto) : NULL;
	if (at) {
		luaL_checkstack(L, 2, "code");
		values_push(L, v, V_PROTO);
		lua_rawgeti(L, -1, (int)*at);
		bool alive = !lua_isnil(L, -1);
		lua_pop(L, 2);
		if (alive)
			return v->code[*at - 1];
	}
	return cache(L, v, proto, idx, dumped(L, v, idx));
}

uint64_t code_immutable(lua_State *L, int idx, uint32_t nuv)
{
	uint64_t mask = 0;
	for (uint32_t i = 0; i < nuv; i++)
		if (vm_upvalimmutable(L, idx, (int)i + 1))
			mask |= (uint64_t)1 << i;
	return mask;
}

void code_pushmaker(lua_State *L, struct values *v, struct code *c, uint64_t immutable)
{
	char key[48];
	int n = snprintf(key, sizeof key, "%llx:%llx", (unsigned long long)c->id, (unsigned long long)immutable);
	luaL_checkstack(L, 8, "code");
	values_push(L, v, V_MAKER);
	lua_pushlstring(L, key, (size_t)n);
	lua_rawget(L, -2);
	if (!lua_isnil(L, -1)) {
		lua_remove(L, -2);
		return;
	}
	lua_pop(L, 2);
	maker_load(L, c, immutable, &v->dump);
	values_push(L, v, LUA_GLOBALSINDEX); /* the coroutine's own may be another */
	lua_setfenv(L, -2);
	/* Its closures have a prototype of their own, of the same code. */
	lua_pushvalue(L, -1);
	lua_call(L, 0, 1);
	const void *proto = vm_proto(L, -1);
	if (proto)
		cache(L, v, proto, lua_gettop(L), code_ref(c));
	lua_pop(L, 1);
	if (v->nmaker++ == CACHE) {
		lua_newtable(L);
		lua_xmove(L, v->V, 1);
		lua_replace(v->V, V_MAKER);
		v->nmaker = 1;
	}
	values_push(L, v, V_MAKER);
	lua_pushlstring(L, key, (size_t)n);
	lua_pushvalue(L, -3);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

void code_term(struct values *v)
{
	for (uint32_t i = 0; i < v->ncode; i++)
		code_unref(v->code[i]);
	free(v->code);
	ptrmap_free(&v->byproto);
	buf_free(&v->dump);
}
