/* SPDX-License-Identifier: MIT */
/* buf.h - bytes that grow, and varints in them; and a reader that does not leave them. */
#ifndef LUAPARK_BASE_BUF_H
#define LUAPARK_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct buf {
	uint8_t *p;
	size_t n, cap;
	bool failed; /* memory was out once: what is in it is no good */
};

/* Room for n more bytes behind the last, or NULL. */
uint8_t *buf_room(struct buf *b, size_t n);

/* Empties it; a large one is given back to the system. */
void buf_reset(struct buf *b);
void buf_free(struct buf *b);

static inline void buf_byte(struct buf *b, uint8_t c)
{
	uint8_t *p = buf_room(b, 1);
	if (p) {
		*p = c;
		b->n++;
	}
}

static inline void buf_put(struct buf *b, const void *from, size_t n)
{
	uint8_t *p = buf_room(b, n);
	if (p && n) {
		memcpy(p, from, n);
		b->n += n;
	}
}

/* Seven bits a byte, the lowest first; the top bit says that more follow. */
enum { VARINT_MAX = 10 };

static inline void buf_varint(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_room(b, VARINT_MAX);
	if (!p)
		return;
	uint8_t *at = p;
	while (v >= 0x80) {
		*at++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*at++ = (uint8_t)v;
	b->n += (size_t)(at - p);
}

/* Reads from p up to end.  Once a read would have left that, bad is set, p stays,
 * and all reads give zeros. */
struct rd {
	const uint8_t *p, *end;
	bool bad;
};

static inline size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}

/* The next n bytes, or NULL. */
static inline const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	if (r->bad || n > rd_left(r)) {
		r->bad = true;
		return NULL;
	}
	const uint8_t *p = r->p;
	r->p += n;
	return p;
}

static inline uint8_t rd_byte(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 1);
	return p ? *p : 0;
}

static inline uint64_t rd_varint(struct rd *r)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t c = rd_byte(r);
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80)
			return v;
	}
	r->bad = true;
	return 0;
}

/* One that must fit 32 bits. */
static inline uint32_t rd_varint32(struct rd *r)
{
	uint64_t v = rd_varint(r);
	if (v > UINT32_MAX) {
		r->bad = true;
		return 0;
	}
	return (uint32_t)v;
}

#endif
