/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include "test.h"

struct thing {
	uint32_t pos; /* first: things are found by it */
	int64_t key;
};

static struct thing *least(const struct heap *h)
{
	return (struct thing *)heap_min(h)->pos;
}

TEST(heap_empty)
{
	struct heap h;
	heap_init(&h);
	CHECK(heap_min(&h) == NULL);
	CHECK(heap_isvalid(&h));
	heap_term(&h);
}

/* Adds and deletes at random; a plain array is the reference. */
static void againstarray(uint32_t n, uint32_t nkeys, int rounds)
{
	static struct thing things[600];
	struct heap h;
	heap_init(&h);
	for (uint32_t i = 0; i < n; i++)
		things[i].pos = HEAP_NOWHERE;
	for (int r = 0; r < rounds; r++) {
		struct thing *t = &things[test_rand() % n];
		if (t->pos == HEAP_NOWHERE) {
			t->key = (int64_t)(test_rand() % nkeys) - nkeys / 2;
			CHECK(heap_add(&h, t->key, &t->pos));
		} else {
			heap_del(&h, &t->pos);
			CHECK_EQ(t->pos, HEAP_NOWHERE);
		}
		uint32_t len = 0;
		int64_t min = INT64_MAX;
		for (uint32_t i = 0; i < n; i++) {
			if (things[i].pos == HEAP_NOWHERE)
				continue;
			len++;
			min = things[i].key < min ? things[i].key : min;
		}
		CHECK_EQ(h.len, len);
		CHECK(heap_isvalid(&h));
		CHECK(len == 0 ? heap_min(&h) == NULL : heap_min(&h)->key == min && least(&h)->key == min);
	}
	heap_term(&h);
}

TEST(heap_random_small)
{
	againstarray(7, 4, 5000);
}

TEST(heap_random_manyduplicates)
{
	againstarray(300, 3, 5000);
}

TEST(heap_random_large)
{
	againstarray(600, 1000000, 5000);
}

TEST(heap_sorts)
{
	enum { N = 5000 };
	static struct thing things[N];
	struct heap h;
	heap_init(&h);
	for (int i = 0; i < N; i++) {
		things[i].key = test_rand() % 1000;
		CHECK(heap_add(&h, things[i].key, &things[i].pos));
	}
	int64_t last = INT64_MIN;
	for (int i = 0; i < N; i++) {
		CHECK(heap_min(&h)->key >= last);
		last = heap_min(&h)->key;
		heap_del(&h, heap_min(&h)->pos);
	}
	CHECK(heap_min(&h) == NULL);
	heap_term(&h);
}

TEST(heap_extremekeys)
{
	struct thing a = {0, INT64_MAX}, b = {0, INT64_MIN}, c = {0, 0};
	struct heap h;
	heap_init(&h);
	CHECK(heap_add(&h, a.key, &a.pos) && heap_add(&h, c.key, &c.pos) && heap_add(&h, b.key, &b.pos));
	CHECK(least(&h) == &b);
	heap_del(&h, &b.pos);
	CHECK(least(&h) == &c);
	heap_del(&h, &a.pos);
	CHECK(least(&h) == &c);
	heap_term(&h);
}

/* The last item, put in a removed one's place, may have to go up: its new
 * parent is another branch's. */
TEST(heap_del_movesup)
{
	/* one branch of large keys, then small ones that end in the last place */
	static const int64_t keys[] = {0, 100, 1, 2, 3, 101, 102, 103, 104, 4, 5};
	enum { N = sizeof keys / sizeof *keys };
	struct thing things[N];
	struct heap h;
	heap_init(&h);
	for (int i = 0; i < N; i++) {
		things[i].key = keys[i];
		CHECK(heap_add(&h, keys[i], &things[i].pos));
	}
	CHECK(heap_isvalid(&h));
	CHECK_EQ(things[5].pos, 5);
	CHECK_EQ(things[N - 1].pos, N - 1);
	heap_del(&h, &things[5].pos);
	CHECK(heap_isvalid(&h));
	CHECK_EQ(things[N - 1].pos, 1);
	heap_term(&h);
}

TEST(heap_add_outofmemory)
{
	struct thing things[17];
	struct heap h;
	heap_init(&h);
	test_failrealloc(1);
	CHECK(!heap_add(&h, 1, &things[0].pos));
	CHECK_EQ(h.len, 0);
	for (int i = 0; i < 16; i++)
		CHECK(heap_add(&h, -i, &things[i].pos));
	test_failrealloc(1);
	CHECK(!heap_add(&h, -100, &things[16].pos));
	CHECK_EQ(h.len, 16);
	CHECK(heap_isvalid(&h));
	CHECK(least(&h) == &things[15]);
	CHECK(heap_add(&h, -100, &things[16].pos));
	CHECK(least(&h) == &things[16]);
	heap_term(&h);
}

static void delstranger(void)
{
	struct thing a = {0, 1}, stranger = {0, 1};
	struct heap h;
	heap_init(&h);
	heap_add(&h, a.key, &a.pos);
	heap_del(&h, &stranger.pos);
}

static void deltwice(void)
{
	struct thing a = {0, 1};
	struct heap h;
	heap_init(&h);
	heap_add(&h, a.key, &a.pos);
	heap_del(&h, &a.pos);
	heap_del(&h, &a.pos);
}

TEST(heap_del_ofstranger)
{
	CHECK_THROWS(delstranger, "heap_del of what is not in the heap");
	CHECK_THROWS(deltwice, "heap_del of what is not in the heap");
}
