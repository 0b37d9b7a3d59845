/* SPDX-License-Identifier: MIT */
/* kept.c - functions that messages brought, kept for the next message that brings them.
 *
 * A goroutine's function, portable and with the same upvalues, is the same function.  As
 * one closure it keeps its compiled traces, which are made for a closure and not for its
 * prototype.  V_CLOSURE keeps it weakly, the last few are kept for a while. */
#include "lua/decode.h"

enum { RECENT = 32 };

/* Pushes what names the function: the bytes of its part, and what its references are.
 * False, and nothing, if it cannot be kept. */
static bool pushkey(struct decoder *d, bool *shared)
{
	const struct msg *m = d->m;
	uint8_t key[KEYMAX];
	size_t from = (size_t)(d->rd.p - m->bytes);
	if (m->keylen <= from || m->keylen > m->nbytes || m->keyrefs > m->nrefs ||
	    m->keylen + m->keyrefs * sizeof(uint64_t) > sizeof key)
		return false;
	size_t n = m->keylen - from;
	memcpy(key, d->rd.p, n);
	for (uint32_t i = 0; i < m->keyrefs; i++) {
		const struct msgref *r = &m->refs[i];
		uint64_t id = r->kind == REF_CODE ? r->code->id : (uintptr_t)r->obj; /* or r->light */
		if (r->kind > REF_LIGHT)
			return false;
		*shared |= r->kind == REF_OBJ;
		memcpy(key + n, &id, sizeof id);
		n += sizeof id;
	}
	lua_pushlstring(d->L, (const char *)key, n);
	return true;
}

/* Of a kept function only itself can be named in what follows, as object 1. */
bool decode_kept(struct decoder *d, bool *keyed, bool *shared)
{
	lua_State *L = d->L;
	*keyed = pushkey(d, shared);
	if (!*keyed)
		return false;
	values_push(L, d->v, V_CLOSURE);
	lua_pushvalue(L, -2);
	lua_rawget(L, -2);
	lua_remove(L, -2);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1); /* the key stays */
		return false;
	}
	uint32_t n = decode_count(d), nobjs = decode_count(d);
	if (n != 1 || nobjs == 0 || nobjs > LOCALTAGS)
		decode_bad(d);
	memset(d->tag, 0, nobjs);
	d->tag[0] = O_FUNC;
	d->nobj = nobjs;
	d->rd.p = d->m->bytes + d->m->keylen;
	lua_pushvalue(L, -1);
	shelf_put(L, &d->objects, 1);
	lua_replace(L, d->base + 1);
	lua_pop(L, 1);
	return true;
}

void decode_keep(struct decoder *d, bool shared)
{
	lua_State *L = d->L;
	int key = lua_gettop(L);
	if (lua_isfunction(L, d->base + 1) && d->rd.p == d->m->bytes + d->m->keylen && d->nobj <= LOCALTAGS) {
		values_push(L, d->v, V_CLOSURE);
		lua_pushvalue(L, key);
		lua_pushvalue(L, d->base + 1);
		lua_rawset(L, -3);
		if (!shared) { /* keeps no handle from being collected */
			values_push(L, d->v, V_RECENT);
			lua_pushvalue(L, d->base + 1);
			lua_rawseti(L, -2, (int)(d->v->recent++ % RECENT) + 1);
		}
	}
	lua_settop(L, key - 1);
}
