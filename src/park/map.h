/* SPDX-License-Identifier: MIT */
/* map.h - a map that all Ps share, Go's sync.Map: from strings, numbers and booleans to values.
 *
 * Cut into shards by the key's hash, each a table with a lock of its own, so that who works
 * on different keys seldom meets.  A lock is held for one operation on one key; values are
 * freed, and copied for others to see, outside of it: strings and messages never change, so
 * a copy is one more reference.
 *
 * Nothing here parks.  Any M. */
#ifndef LUAPARK_PARK_MAP_H
#define LUAPARK_PARK_MAP_H

#include <stddef.h>

#include "base/buf.h"
#include "base/lock.h"
#include "park/obj.h"
#include "park/val.h"

/* Also read by Lua code: lua/luapark/rt.lua has the same layout. */
struct mapkey {
	int32_t tag;   /* VAL_STR, VAL_NUM, VAL_FALSE or VAL_TRUE */
	const char *s; /* VAL_STR: len bytes */
	size_t len;
	double n; /* VAL_NUM; 0 is never -0, and there is no NaN.  Else 0 */
};

struct mapentry;

struct hmap {
	struct obj o;
	struct mapshard {
		_Alignas(64) struct lock lock;
		struct mapentry *head; /* the table, by uthash */
		atomic_u32 n;	       /* keys; written under lock */
	} shard[32];
};

/* NULL when memory is out. */
struct hmap *map_new(void);

/* False if there is no such key; else *v is what it has. */
bool map_load(struct hmap *m, const struct mapkey *k, struct val *v);

/* *v, which is not the caller's any more, becomes what k has.  Whether it had something
 * before, which is *v then. */
bool map_swap(struct hmap *m, const struct mapkey *k, struct val *v);

/* The same if it has nothing yet.  Whether it had: then *v is that, and what it was is freed. */
bool map_loadorstore(struct hmap *m, const struct mapkey *k, struct val *v);

/* Whether it was there; *v is what it had. */
bool map_loadanddelete(struct hmap *m, const struct mapkey *k, struct val *v);

/* If what k has equals *old: stores *v, which is then not the caller's any more; or deletes
 * k.  Whether it was so.  Scalars are equal by value; messages never are. */
bool map_cas(struct hmap *m, const struct mapkey *k, const struct val *old, struct val *v);
bool map_cad(struct hmap *m, const struct mapkey *k, const struct val *old);

/* Adds n to the number that k has, or to 0.  False if it has something else; *sum: the new one. */
bool map_add(struct hmap *m, const struct mapkey *k, double n, double *sum);

void map_clear(struct hmap *m);
/* How many keys; a moment's while others change it. */
uint32_t map_len(struct hmap *m);

/* A walk over all keys, each at most once.  The keys of a shard are noted when the walk comes
 * to it: who comes later is not seen, who is gone is left out. */
struct maprange {
	struct mapkey key; /* where it stands */
	struct hmap *m;	   /* a reference */
	uint32_t shard;	   /* the next one */
	uint32_t i, n;
	struct buf keys; /* n, and behind them their bytes */
};

struct maprange *map_range(struct hmap *m);
/* On to the next key; *v is what it has.  False at the end. */
bool map_next(struct maprange *r, struct val *v);
void map_rangefree(struct maprange *r);

#endif
