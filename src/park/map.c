/* SPDX-License-Identifier: MIT */
#include "park/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/os.h"

struct mapkey;
static uint32_t hashof(const struct mapkey *k);
static bool samekey(const struct mapkey *a, const struct mapkey *b);

#define HASH_FUNCTION(key, len, hash) ((hash) = hashof(key))
#define HASH_KEYCMP(a, b, len) (!samekey(a, b))
#define uthash_fatal(why) throw(why)
#include <uthash.h>

struct mapentry {
	UT_hash_handle hh;
	struct mapkey key; /* s: its bytes are behind us */
	struct val v;
};

enum { SHARDS = sizeof((struct hmap *)0)->shard / sizeof(struct mapshard), SHARDBITS = 5 };
_Static_assert(SHARDS == 1 << SHARDBITS, "a shard is chosen by bits of the hash");

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 32;
}

/* Eight bytes at a time, where uthash's own take one or three. */
static uint32_t hashof(const struct mapkey *k)
{
	uint64_t h = (uint64_t)k->tag << 56 ^ k->len, word = 0;
	const char *s = k->s;
	size_t n = k->len;
	for (; n >= sizeof word; n -= sizeof word, s += sizeof word) {
		memcpy(&word, s, sizeof word);
		h = mix(h, word);
	}
	word = 0;
	memcpy(&word, k->tag == VAL_NUM ? (const char *)&k->n : s, k->tag == VAL_NUM ? sizeof k->n : n);
	return (uint32_t)(mix(mix(h, word), 0) >> 16);
}

static bool samekey(const struct mapkey *a, const struct mapkey *b)
{
	return a->tag == b->tag && a->n == b->n && a->len == b->len && memcmp(a->s, b->s, a->len) == 0;
}

static bool same(const struct val *a, const struct val *b)
{
	if (a->tag != b->tag)
		return false;
	switch ((enum valtag)a->tag) {
	case VAL_NUM:
		return a->u.n == b->u.n;
	case VAL_PTR:
		return a->u.p == b->u.p;
	case VAL_STR:
		return a->u.s->len == b->u.s->len && memcmp(a->u.s->data, b->u.s->data, a->u.s->len) == 0;
	case VAL_MSG:
		return false;
	case VAL_NIL:
	case VAL_FALSE:
	case VAL_TRUE:
		break;
	}
	return true;
}

static void map_free(struct obj *o)
{
	struct hmap *m = (struct hmap *)o;
	map_clear(m);
	for (int i = 0; i < SHARDS; i++)
		lock_term(&m->shard[i].lock);
	free(m);
}

struct hmap *map_new(void)
{
	struct hmap *m = aligned_alloc(_Alignof(struct hmap), sizeof *m);
	if (!m)
		return NULL;
	memset(m, 0, sizeof *m);
	obj_init(&m->o, OBJ_MAP, map_free);
	for (int i = 0; i < SHARDS; i++)
		lock_init(&m->shard[i].lock, RANK_OBJ);
	return m;
}

/* A key's place while the lock of its shard is held. */
struct place {
	struct mapshard *sh;
	uint32_t hash;
	struct mapentry *e; /* NULL: it is not there */
};

static struct place enter(struct hmap *m, const struct mapkey *k)
{
	struct place p = {.hash = hashof(k)};
	p.sh = &m->shard[p.hash >> (32 - SHARDBITS)]; /* the table uses the low bits */
	lock(&p.sh->lock);
	HASH_FIND_BYHASHVALUE(hh, p.sh->head, k, sizeof *k, p.hash, p.e);
	return p;
}

static void leave(const struct place *p)
{
	unlock(&p->sh->lock);
}

/* The key, which is not there, gets v. */
static void put(struct place *p, const struct mapkey *k, struct val v)
{
	struct mapentry *e = xmalloc(sizeof *e + k->len);
	e->key = *k;
	e->key.s = (const char *)(e + 1);
	memcpy(e + 1, k->s, k->len);
	e->v = v;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, p->sh->head, &e->key, sizeof e->key, p->hash, e);
	store_relaxed(&p->sh->n, load_relaxed(&p->sh->n) + 1);
}

/* Takes the key, which is there, out.  To be freed, but for its value. */
static struct mapentry *take(const struct place *p)
{
	HASH_DELETE(hh, p->sh->head, p->e);
	store_relaxed(&p->sh->n, load_relaxed(&p->sh->n) - 1);
	return p->e;
}

bool map_load(struct hmap *m, const struct mapkey *k, struct val *v)
{
	struct place p = enter(m, k);
	if (p.e)
		*v = val_ref(&p.e->v);
	leave(&p);
	return p.e != NULL;
}

bool map_swap(struct hmap *m, const struct mapkey *k, struct val *v)
{
	struct val new = *v;
	struct place p = enter(m, k);
	v->tag = VAL_NIL;
	if (p.e) {
		*v = p.e->v;
		p.e->v = new;
	} else {
		put(&p, k, new);
	}
	leave(&p);
	return p.e != NULL;
}

bool map_loadorstore(struct hmap *m, const struct mapkey *k, struct val *v)
{
	struct val new = *v;
	struct place p = enter(m, k);
	v->tag = VAL_NIL;
	if (p.e)
		*v = val_ref(&p.e->v);
	else
		put(&p, k, new);
	leave(&p);
	if (p.e)
		val_free(&new);
	return p.e != NULL;
}

bool map_loadanddelete(struct hmap *m, const struct mapkey *k, struct val *v)
{
	struct place p = enter(m, k);
	struct mapentry *gone = p.e ? take(&p) : NULL;
	leave(&p);
	if (!gone)
		return false;
	*v = gone->v;
	free(gone);
	return true;
}

bool map_cas(struct hmap *m, const struct mapkey *k, const struct val *old, struct val *v)
{
	struct val was = {.tag = VAL_NIL};
	struct place p = enter(m, k);
	bool is = p.e && same(&p.e->v, old);
	if (is) {
		was = p.e->v;
		p.e->v = *v;
	}
	leave(&p);
	if (is)
		v->tag = VAL_NIL;
	val_free(&was);
	return is;
}

bool map_cad(struct hmap *m, const struct mapkey *k, const struct val *old)
{
	struct place p = enter(m, k);
	struct mapentry *gone = p.e && same(&p.e->v, old) ? take(&p) : NULL;
	leave(&p);
	if (!gone)
		return false;
	val_free(&gone->v);
	free(gone);
	return true;
}

bool map_add(struct hmap *m, const struct mapkey *k, double n, double *sum)
{
	struct place p = enter(m, k);
	bool ok = !p.e || p.e->v.tag == VAL_NUM;
	if (!p.e)
		put(&p, k, (struct val){.tag = VAL_NUM, .u.n = *sum = n});
	else if (ok)
		*sum = p.e->v.u.n += n;
	leave(&p);
	return ok;
}

void map_clear(struct hmap *m)
{
	for (int i = 0; i < SHARDS; i++) {
		struct mapshard *sh = &m->shard[i];
		lock(&sh->lock);
		struct mapentry *head = sh->head, *e = head;
		sh->head = NULL;
		store_relaxed(&sh->n, 0);
		unlock(&sh->lock);
		HASH_CLEAR(hh, head); /* the table; its entries hang together yet */
		while (e) {
			struct mapentry *next = e->hh.next;
			val_free(&e->v);
			free(e);
			e = next;
		}
	}
}

uint32_t map_len(struct hmap *m)
{
	uint32_t n = 0;
	for (int i = 0; i < SHARDS; i++)
		n += load_relaxed(&m->shard[i].n);
	return n;
}

/* Walking ------------------------------------------------------------------------ */

struct maprange *map_range(struct hmap *m)
{
	struct maprange *r = xcalloc(1, sizeof *r);
	obj_ref(&m->o);
	r->m = m;
	return r;
}

/* Notes the keys of a shard. */
static void note(struct maprange *r, struct mapshard *sh)
{
	buf_reset(&r->keys);
	lock(&sh->lock);
	size_t bytes = 0;
	for (const struct mapentry *e = sh->head; e; e = e->hh.next)
		bytes += sizeof e->key + e->key.len;
	struct mapkey *k = (struct mapkey *)buf_room(&r->keys, bytes);
	if (!k)
		throw("out of memory");
	char *at = (char *)(k + load_relaxed(&sh->n));
	for (const struct mapentry *e = sh->head; e; e = e->hh.next, k++) {
		*k = e->key;
		k->s = memcpy(at, e->key.s, e->key.len);
		at += e->key.len;
	}
	r->i = 0;
	r->n = load_relaxed(&sh->n);
	unlock(&sh->lock);
}

bool map_next(struct maprange *r, struct val *v)
{
	for (;;) {
		while (r->i < r->n) {
			r->key = ((struct mapkey *)r->keys.p)[r->i++];
			if (map_load(r->m, &r->key, v))
				return true;
		}
		if (r->shard == SHARDS)
			return false;
		note(r, &r->m->shard[r->shard++]);
	}
}

void map_rangefree(struct maprange *r)
{
	buf_free(&r->keys);
	obj_unref(&r->m->o);
	free(r);
}
