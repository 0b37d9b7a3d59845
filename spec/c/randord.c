/* SPDX-License-Identifier: MIT */
#include "base/randord.h"

#include "test.h"

enum { MAX = 70 };

/* Each once, whatever the random number. */
static void eachonce(uint32_t n, uint32_t random)
{
	bool seen[MAX] = {false};
	struct randord r = randord_begin(n, random);
	uint32_t got = 0;
	for (uint32_t i; randord_next(&r, &i); got++) {
		CHECK(got < n && i < n && !seen[i]);
		seen[i] = true;
	}
	CHECK_EQ(got, n);
	uint32_t i = 99;
	CHECK(!randord_next(&r, &i));
	CHECK_EQ(i, 99);
}

TEST(randord_each_once)
{
	static const uint32_t edge[] = {0, 1, 2, MAX - 1, MAX, UINT32_MAX, UINT32_MAX - 1, 1u << 31};
	for (uint32_t n = 1; n <= MAX; n++) {
		for (unsigned k = 0; k < sizeof edge / sizeof *edge; k++)
			eachonce(n, edge[k]);
		for (int k = 0; k < 1000; k++)
			eachonce(n, test_rand());
		for (uint32_t k = 0; k < n * n; k++)
			eachonce(n, k);
	}
	struct randord none = randord_begin(1, 0);
	none.left = 0;
	uint32_t i;
	CHECK(!randord_next(&none, &i));
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
	return b ? gcd(b, a % b) : a;
}

/* Every start and every stride that visits all occur, with the generator that Ps use. */
TEST(randord_all_starts_and_strides)
{
	uint32_t state = 0x9e3779b9;
	for (uint32_t n = 1; n <= MAX; n++) {
		uint32_t starts[MAX] = {0}, strides[MAX + 1] = {0};
		for (uint32_t k = 0; k < 200 * n; k++) {
			struct randord r = randord_begin(n, randnext(&state));
			uint32_t first, second;
			CHECK(randord_next(&r, &first));
			starts[first]++;
			if (randord_next(&r, &second))
				strides[(second + n - first) % n]++;
		}
		for (uint32_t i = 0; i < n; i++) {
			CHECK(starts[i] > 0);
			if (n > 1)
				CHECK_EQ(strides[i] > 0, i > 0 && gcd(i, n) == 1);
		}
	}
}

/* The generator never comes to its only fixed point, and returns to where it began late. */
TEST(randord_generator)
{
	uint32_t state = 1;
	for (int i = 0; i < 10000000; i++) {
		CHECK(randnext(&state) == state && state != 0);
		CHECK(state != 1);
	}
}
