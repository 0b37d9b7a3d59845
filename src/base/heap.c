/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include <stdlib.h>
#include <string.h>

#include "base/throw.h"

enum { ARITY = 4 };

void heap_init(struct heap *h)
{
	memset(h, 0, sizeof *h);
}

void heap_term(struct heap *h)
{
	free(h->item);
	heap_init(h);
}

static void place(struct heap *h, uint32_t i, struct heapitem it)
{
	h->item[i] = it;
	*it.pos = i;
}

static void siftup(struct heap *h, uint32_t i, struct heapitem it)
{
	while (i > 0) {
		uint32_t parent = (i - 1) / ARITY;
		if (h->item[parent].key <= it.key)
			break;
		place(h, i, h->item[parent]);
		i = parent;
	}
	place(h, i, it);
}

static void siftdown(struct heap *h, uint32_t i, struct heapitem it)
{
	for (;;) {
		uint32_t first = i * ARITY + 1, least = first;
		if (first >= h->len)
			break;
		uint32_t end = first + ARITY < h->len ? first + ARITY : h->len;
		for (uint32_t c = first + 1; c < end; c++)
			if (h->item[c].key < h->item[least].key)
				least = c;
		if (it.key <= h->item[least].key)
			break;
		place(h, i, h->item[least]);
		i = least;
	}
	place(h, i, it);
}

bool heap_add(struct heap *h, int64_t key, uint32_t *pos)
{
	if (h->len == h->cap) {
		uint32_t cap = h->cap ? h->cap * 2 : 16;
		struct heapitem *p = realloc(h->item, cap * sizeof *p);
		if (!p)
			return false;
		h->item = p;
		h->cap = cap;
	}
	siftup(h, h->len++, (struct heapitem){key, pos});
	return true;
}

void heap_del(struct heap *h, uint32_t *pos)
{
	uint32_t i = *pos;
	if (i >= h->len || h->item[i].pos != pos)
		throw("heap_del of what is not in the heap");
	struct heapitem last = h->item[--h->len];
	*pos = HEAP_NOWHERE;
	if (last.pos == pos)
		return;
	if (i > 0 && last.key < h->item[(i - 1) / ARITY].key)
		siftup(h, i, last);
	else
		siftdown(h, i, last);
}

bool heap_isvalid(const struct heap *h)
{
	for (uint32_t i = 0; i < h->len; i++)
		if (*h->item[i].pos != i || (i > 0 && h->item[i].key < h->item[(i - 1) / ARITY].key))
			return false;
	return true;
}
