/* SPDX-License-Identifier: MIT */
/* encode.c - values into a message: see codec.h.
 *
 * Objects are numbered as they are found, and their contents written in that order: a
 * queue, no recursion.  Handles are made shared at the very end, when all else has
 * gone well.
 *
 * Encoding may nest (making a channel shared encodes what it holds) and may be left
 * by a memory error.  So each encoding takes an encoder from the state's spare ones,
 * and gives it back when its C frame ends, however that is (this needs -fexceptions). */
#include "lua/encode.h"

#include <lauxlib.h>

#include "lua/portable.h"
#include "lua/share.h"

/* One part: the values at idx, and all objects that they lead to. */
static bool part(struct encoder *e, int idx, int n)
{
	lua_State *L = e->L;
	uint32_t before = e->nobj;
	int top = lua_gettop(L);
	e->objs.n = e->body.n = 0;
	e->done = 0;
	for (int i = 0; i < n; i++) {
		e->at = idx + i - e->first;
		lua_pushvalue(L, idx + i);
		if (!encode_value(e))
			return false;
		lua_settop(L, top);
	}
	for (e->done = before + 1; e->done <= e->nobj; e->done++) {
		if (!encode_content(e, e->done))
			return false;
		lua_settop(L, top);
	}
	buf_varint(&e->out, (uint64_t)n);
	buf_varint(&e->out, e->nobj - before);
	buf_put(&e->out, e->objs.p, e->objs.n);
	buf_put(&e->out, e->body.p, e->body.n);
	if (e->objs.failed || e->body.failed || e->out.failed)
		values_nomem(e->L);
	return true;
}

/* The message ---------------------------------------------------------------- */

static void release(struct encoder **ep)
{
	struct encoder *e = *ep;
	for (uint32_t i = 0; i < e->nref; i++)
		msgref_drop(&e->ref[i]);
	enum { KEEP = 4096 };
	if (e->capobj > KEEP) {
		free(e->obj);
		e->obj = NULL;
		e->capobj = 0;
	}
	ptrmap_clear(&e->seen);
	ptrmap_clear(&e->refseen);
	ptrmap_clear(&e->gseen);
	ptrmap_clear(&e->modules);
	buf_reset(&e->objs);
	buf_reset(&e->body);
	buf_reset(&e->out);
	e->next = e->v->spare;
	e->v->spare = e;
}

static struct encoder *take(lua_State *L, struct lstate *ls)
{
	struct values *v = ls->values;
	struct encoder *e = v->spare;
	if (e) {
		v->spare = e->next;
	} else {
		e = values_need(L, calloc(1, sizeof *e));
		e->v = v;
		e->ls = ls;
	}
	e->L = L;
	e->nobj = e->nref = e->ngname = e->nobj1 = e->done = 0;
	e->flags = 0;
	e->modulesread = e->trusted = false;
	e->why[0] = e->step[0] = '\0';
	return e;
}

/* Handles that are still local become shared; this may encode.  False, with the reason on top of
 * L, if something in one of them cannot cross. */
static bool sharehandles(struct encoder *e)
{
	lua_State *L = e->L;
	for (uint32_t i = 0; i < e->nref; i++) {
		if (e->ref[i].kind != REF_OBJ)
			continue;
		shelf_push(L, &e->handles, i + 1);
		struct obj *o = share_obj(L, e->ls, lua_gettop(L));
		if (!o)
			return false;
		e->ref[i].obj = obj_ref(o);
		lua_pop(L, 1);
	}
	return true;
}

/* NULL as sharehandles. */
static struct msg *finish(struct encoder *e, size_t keylen, uint32_t keyrefs)
{
	if (e->flags & M_PATH)
		encode_paths(e);
	if (!sharehandles(e))
		return NULL;
	e->out.p[0] = e->flags;
	struct msg *m = values_need(e->L, msg_new(e->nref, e->out.n));
	memcpy(m->bytes, e->out.p, e->out.n);
	if (e->nref > 0)
		memcpy(m->refs, e->ref, e->nref * sizeof e->ref[0]);
	e->nref = 0; /* they are the message's now */
	if (e->keep && keylen + keyrefs * sizeof(uint64_t) <= KEYMAX) {
		m->keylen = keylen;
		m->keyrefs = keyrefs;
	}
	return m;
}

struct msg *msg_encode(lua_State *L, struct lstate *ls, int n, enum codecmode mode, const char *what)
{
	struct encoder *e __attribute__((cleanup(release))) = take(L, ls);
	int top = lua_gettop(L);
	luaL_checkstack(L, 2 * SHELF + LUA_MINSTACK, "message");
	e->mode = mode;
	e->what = what;
	e->n = n;
	e->first = top - n + 1;
	shelf_open(L, &e->objects);
	shelf_open(L, &e->handles);
	bool call = !what && mode != CODEC_COPY && n > 0;
	e->keep = call;
	if (mode == CODEC_MOVE && n > 1 && !portable_values(L, ls, e->first + 1, n - 1, e->why, sizeof e->why)) {
		lua_settop(L, top);
		lua_pushstring(L, e->why);
		return NULL;
	}
	buf_byte(&e->out, 0);
	buf_varint(&e->out, (uint64_t)n);
	size_t keylen = 0;
	uint32_t keyrefs = 0;
	bool ok = true;
	if (call) {
		ok = part(e, e->first, 1);
		e->nobj1 = e->nobj;
		e->keep = e->keep && e->nobj > 0;
		for (uint32_t i = 0; i < e->nref; i++)
			e->keep = e->keep && e->ref[i].kind != REF_BLOB;
		keylen = e->out.n;
		keyrefs = e->nref;
	}
	ok = ok && part(e, e->first + call, n - call);
	if (ok) {
		struct msg *m = finish(e, keylen, keyrefs);
		if (m) {
			lua_settop(L, top);
			return m;
		}
	} else if (mode == CODEC_MOVE)
		lua_pushstring(L, e->why);
	else
		encode_where(e, e->done);
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
	return NULL;
}

void encode_term(struct values *v)
{
	for (struct encoder *e = v->spare, *next; e; e = next) {
		next = e->next;
		free(e->obj);
		free(e->ref);
		free(e->gname);
		free(e->gcode);
		ptrmap_free(&e->seen);
		ptrmap_free(&e->refseen);
		ptrmap_free(&e->gseen);
		ptrmap_free(&e->modules);
		buf_free(&e->objs);
		buf_free(&e->body);
		buf_free(&e->out);
		free(e);
	}
	v->spare = NULL;
}
