/* SPDX-License-Identifier: MIT */
/* heap.h - a 4-ary min-heap of pointers with 64-bit keys.
 *
 * Four children a node, as in Go's timer heaps: half as many levels as a binary
 * heap, and the children of a node share a cache line or two.  Keys lie beside
 * the pointers, so sifting never touches the objects, except to tell each one
 * its new place (pos), which is what makes removal from the middle possible.
 *
 * Invariant: item[i].key >= item[(i - 1) / 4].key, and *item[i].pos == i. */
#ifndef LUAPARK_BASE_HEAP_H
#define LUAPARK_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct heapitem {
	int64_t key;
	uint32_t *pos; /* the object's own record of its place; the object is found from it */
};

struct heap {
	struct heapitem *item;
	uint32_t len, cap;
};

#define HEAP_NOWHERE UINT32_MAX

void heap_init(struct heap *h);
void heap_term(struct heap *h);

/* Adds the object whose place is kept in *pos.  false when memory is out (and
 * the heap is as it was). */
bool heap_add(struct heap *h, int64_t key, uint32_t *pos);

/* Removes the object whose place is *pos; sets *pos to HEAP_NOWHERE. */
void heap_del(struct heap *h, uint32_t *pos);

/* The smallest key's object (its pos pointer), or NULL. */
static inline struct heapitem *heap_min(const struct heap *h)
{
	return h->len ? &h->item[0] : 0;
}

/* Whether the invariant holds: for tests and debug builds. */
bool heap_isvalid(const struct heap *h);

#endif
