/* SPDX-License-Identifier: MIT */
/* randord.h - all of 0..n-1, each once, in an order that differs each time.
 *
 * Go's randomOrder: from a random start by a random stride that is coprime to n.
 * No permutation is stored; the strides are counted out on the spot, n is small. */
#ifndef LUAPARK_BASE_RANDORD_H
#define LUAPARK_BASE_RANDORD_H

#include <stdbool.h>
#include <stdint.h>

/* Marsaglia's xorshift32; state must not be 0. */
static inline uint32_t randnext(uint32_t *state)
{
	uint32_t x = *state;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

struct randord {
	uint32_t n, left, pos, stride;
};

static inline uint32_t randord_gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t t = a % b;
		a = b;
		b = t;
	}
	return a;
}

static inline struct randord randord_begin(uint32_t n, uint32_t random)
{
	struct randord r = {n, n, random % n, 1};
	if (n > 2) {
		r.stride = 1 + random / n % (n - 1);
		while (randord_gcd(r.stride, n) != 1)
			r.stride = r.stride + 1 < n ? r.stride + 1 : 1;
	}
	return r;
}

/* False when all were had. */
static inline bool randord_next(struct randord *r, uint32_t *i)
{
	if (r->left == 0)
		return false;
	r->left--;
	*i = r->pos;
	r->pos = (r->pos + r->stride) % r->n;
	return true;
}

#endif
