/* SPDX-License-Identifier: MIT */
/* buf.c - see buf.h. */
#include "base/buf.h"

enum { FIRST = 256, KEEP = 1 << 16 };

uint8_t *buf_room(struct buf *b, size_t n)
{
	if (n <= b->cap - b->n && b->p)
		return b->p + b->n;
	size_t cap = b->cap ? b->cap : FIRST;
	while (cap - b->n < n && cap <= SIZE_MAX / 4)
		cap *= 2;
	uint8_t *p = cap - b->n < n ? NULL : realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	return p + b->n;
}

void buf_reset(struct buf *b)
{
	if (b->cap > KEEP)
		buf_free(b);
	b->n = 0;
	b->failed = false;
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){NULL, 0, 0, false};
}
