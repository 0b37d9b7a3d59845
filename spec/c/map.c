/* SPDX-License-Identifier: MIT */
#include "park/map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

/* Messages that count how many hold them. */
struct msg {
	atomic_u32 refs;
};

static atomic_u32 nmsgs;

static void refmsg(struct msg *m)
{
	fetch_add_relaxed(&m->refs, 1);
}

static void freemsg(struct msg *m)
{
	if (fetch_sub_acqrel(&m->refs, 1) == 1) {
		free(m);
		fetch_sub_relaxed(&nmsgs, 1);
	}
}

static struct val msg(void)
{
	struct msg *m = malloc(sizeof *m);
	CHECK(m);
	store_relaxed(&m->refs, 1);
	fetch_add_relaxed(&nmsgs, 1);
	return (struct val){.tag = VAL_MSG, .u.m = m};
}

static struct hmap *begin(void)
{
	val_refmsg = refmsg;
	val_freemsg = freemsg;
	struct hmap *m = map_new();
	CHECK(m);
	return m;
}

static void end(struct hmap *m)
{
	obj_unref(&m->o);
	CHECK_EQ(load_relaxed(&nmsgs), 0);
}

static struct mapkey num(double n)
{
	return (struct mapkey){.tag = VAL_NUM, .s = "", .n = n};
}

static struct mapkey str(const char *s)
{
	return (struct mapkey){.tag = VAL_STR, .s = s, .len = strlen(s)};
}

static struct val text(const char *s)
{
	struct valstr *p = malloc(sizeof *p + strlen(s));
	CHECK(p);
	store_relaxed(&p->refs, 1);
	p->len = strlen(s);
	memcpy(p->data, s, p->len);
	return (struct val){.tag = VAL_STR, .u.s = p};
}

static struct val val(double n)
{
	return (struct val){.tag = VAL_NUM, .u.n = n};
}

static void store(struct hmap *m, struct mapkey k, struct val v)
{
	map_swap(m, &k, &v);
	val_free(&v);
}

/* What k has as a number; -1: nothing. */
static double load(struct hmap *m, struct mapkey k)
{
	struct val v;
	if (!map_load(m, &k, &v))
		return -1;
	CHECK_EQ(v.tag, VAL_NUM);
	return v.u.n;
}

TEST(map)
{
	struct hmap *m = begin();
	struct mapkey k = str("k"), other = str("other");
	struct val v = val(1), old = val(1);
	CHECK(!map_load(m, &k, &v));
	CHECK(!map_loadanddelete(m, &k, &v));
	CHECK(!map_swap(m, &k, &v)); /* stored */
	CHECK_EQ(v.tag, VAL_NIL);
	CHECK_EQ(map_len(m), 1);
	v = val(2);
	CHECK(map_loadorstore(m, &k, &v));
	CHECK(v.tag == VAL_NUM && v.u.n == 1);
	v = val(3);
	CHECK(!map_loadorstore(m, &other, &v));
	CHECK(load(m, other) == 3);
	v = val(4);
	CHECK(map_swap(m, &k, &v));
	CHECK(v.u.n == 1);
	CHECK(!map_cas(m, &k, &old, &v));
	old = val(4), v = val(5);
	CHECK(map_cas(m, &k, &old, &v));
	CHECK_EQ(v.tag, VAL_NIL);
	CHECK(load(m, k) == 5);
	CHECK(!map_cad(m, &k, &old));
	old = val(5);
	CHECK(map_cad(m, &k, &old));
	CHECK(load(m, k) == -1);
	CHECK(!map_cad(m, &k, &old));
	v = val(1);
	CHECK(!map_cas(m, &k, &old, &v));
	CHECK(map_loadanddelete(m, &other, &v));
	CHECK(v.u.n == 3);
	CHECK_EQ(map_len(m), 0);
	end(m);
}

TEST(map_keys)
{
	struct hmap *m = begin();
	struct mapkey no = {.tag = VAL_FALSE, .s = ""}, yes = {.tag = VAL_TRUE, .s = ""}, zeros = str("a");
	const struct mapkey keys[] = {no,	yes,	  num(0),	num(1),	     num(-1),	 num(0.5), num(INFINITY),
				      num(1e300), num(-1e-300), str(""), str("1"), str("12345678"), str("123456789"),
				      str("123456780"), zeros};
	enum { N = sizeof keys / sizeof *keys };
	for (int i = 0; i < N; i++)
		store(m, keys[i], val(i));
	CHECK_EQ(map_len(m), N);
	for (int i = 0; i < N; i++)
		CHECK(load(m, keys[i]) == i);
	char buf[] = "12345678"; /* the key is kept, not its place */
	store(m, str(buf), val(100));
	memset(buf, 'x', sizeof buf - 1);
	CHECK(load(m, str("12345678")) == 100);
	CHECK(load(m, str("xxxxxxxx")) == -1);
	zeros.s = "a\0b", zeros.len = 3;
	CHECK(load(m, zeros) == -1);
	map_clear(m);
	CHECK_EQ(map_len(m), 0);
	for (int i = 0; i < N; i++)
		CHECK(load(m, keys[i]) == -1);
	store(m, keys[3], val(1));
	CHECK_EQ(map_len(m), 1);
	end(m);
}

/* Keys that look alike do not crowd in one shard. */
TEST(map_spreads)
{
	enum { N = 3200 };
	for (int kind = 0; kind < 4; kind++) {
		struct hmap *m = begin();
		for (int i = 0; i < N; i++) {
			char s[48];
			snprintf(s, sizeof s, kind == 3 ? "a long common prefix %d" : "%d", i);
			store(m, kind == 0 ? num(i) : kind == 1 ? num(i / 8.0 - 9) : str(s), val(i));
		}
		CHECK_EQ(map_len(m), N);
		for (size_t i = 0; i < sizeof m->shard / sizeof m->shard[0]; i++)
			CHECK(load_relaxed(&m->shard[i].n) > 50 && load_relaxed(&m->shard[i].n) < 200);
		end(m);
	}
}

/* Whoever reads has a reference of his own; what is not stored is freed. */
TEST(map_values)
{
	struct hmap *m = begin();
	struct mapkey k = num(1);
	struct val v = msg(), w, old;
	struct msg *first = v.u.m;
	CHECK(!map_swap(m, &k, &v));
	CHECK(map_load(m, &k, &v));
	CHECK(v.tag == VAL_MSG && v.u.m == first);
	CHECK_EQ(load_relaxed(&first->refs), 2);
	w = msg();
	CHECK(map_loadorstore(m, &k, &w));
	CHECK(w.u.m == first);
	val_free(&w);
	CHECK_EQ(load_relaxed(&nmsgs), 1);
	w = msg();
	CHECK(!map_cas(m, &k, &v, &w)); /* messages are no scalars */
	CHECK(!map_cad(m, &k, &v));
	store(m, k, w);
	CHECK_EQ(load_relaxed(&first->refs), 1);
	val_free(&v);
	CHECK_EQ(load_relaxed(&nmsgs), 1);
	store(m, k, text("some text"));
	CHECK_EQ(load_relaxed(&nmsgs), 0);
	CHECK(map_load(m, &k, &v));
	store(m, k, msg());
	CHECK(v.tag == VAL_STR && v.u.s->len == 9 && memcmp(v.u.s->data, "some text", 9) == 0);
	store(m, k, v);
	old = text("some tex");
	w = text("another");
	CHECK(!map_cas(m, &k, &old, &w));
	val_free(&old);
	old = text("some text");
	CHECK(map_cas(m, &k, &old, &w));
	CHECK(!map_cad(m, &k, &old));
	val_free(&old);
	old = text("another");
	CHECK(map_cad(m, &k, &old));
	val_free(&old);
	store(m, k, msg()); /* for the end to free */
	store(m, num(2), text("too"));
	end(m);
}

TEST(map_compares_scalars)
{
	struct hmap *m = begin();
	struct mapkey k = num(1);
	const struct val vals[] = {{.tag = VAL_NIL}, {.tag = VAL_FALSE}, {.tag = VAL_TRUE}, val(0), val(1),
				   {.tag = VAL_PTR, .u.p = m}, {.tag = VAL_PTR, .u.p = &k}};
	enum { N = sizeof vals / sizeof *vals };
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			struct val v = {.tag = VAL_TRUE};
			store(m, k, vals[i]);
			CHECK_EQ(map_cas(m, &k, &vals[j], &v), i == j);
			store(m, k, vals[i]);
			CHECK_EQ(map_cad(m, &k, &vals[j]), i == j);
		}
	struct val minus = val(-0.0), nan = val(NAN);
	store(m, k, val(0));
	CHECK(map_cad(m, &k, &minus));
	store(m, k, nan);
	CHECK(!map_cad(m, &k, &nan));
	end(m);
}

TEST(map_add)
{
	struct hmap *m = begin();
	struct mapkey k = str("n"), t = str("t");
	double sum;
	CHECK(map_add(m, &k, 2.5, &sum) && sum == 2.5);
	CHECK(map_add(m, &k, -4, &sum) && sum == -1.5);
	CHECK(load(m, k) == -1.5);
	store(m, t, text("1"));
	CHECK(!map_add(m, &t, 1, &sum));
	CHECK(map_add(m, &k, NAN, &sum) && isnan(sum));
	CHECK_EQ(map_len(m), 2);
	end(m);
}

enum { MANY = 2000 };

/* Each key once, but for those that come or go meanwhile. */
TEST(map_range)
{
	static bool seen[2 * MANY];
	struct hmap *m = begin();
	struct val v;
	struct maprange *r = map_range(m);
	CHECK(!map_next(r, &v));
	map_rangefree(r);
	for (int i = 0; i < MANY; i++)
		store(m, num(i), val(i));
	r = map_range(m);
	CHECK_EQ(load_relaxed(&m->o.refs), 2);
	int n = 0;
	while (map_next(r, &v)) {
		int i = (int)r->key.n;
		CHECK(!seen[i]);
		seen[i] = true;
		CHECK(r->key.tag == VAL_NUM && v.tag == VAL_NUM && v.u.n == i);
		n++;
		store(m, num(i), val(-1)); /* a new value is no new key */
		if (i >= MANY)
			continue;
		store(m, num(MANY + i), val(MANY + i));
		struct mapkey next = num(i + 1);
		if (i % 2 == 0 && !seen[i + 1]) { /* gone before its turn */
			CHECK(map_loadanddelete(m, &next, &v));
			seen[i + 1] = true;
		}
	}
	CHECK(!map_next(r, &v));
	for (int i = 0; i < MANY; i++)
		CHECK(seen[i]);
	CHECK(n >= MANY / 2);
	map_rangefree(r);
	r = map_range(m); /* and one that is left in the middle, of strings */
	map_clear(m);
	for (int i = 0; i < MANY; i++) {
		char s[16];
		snprintf(s, sizeof s, "%d", i);
		store(m, str(s), text(s));
	}
	for (int i = 0; i < MANY / 2; i++) {
		CHECK(map_next(r, &v));
		CHECK(r->key.tag == VAL_STR && r->key.len == v.u.s->len);
		CHECK_EQ(memcmp(r->key.s, v.u.s->data, v.u.s->len), 0);
		val_free(&v);
	}
	obj_unref(&m->o); /* the walk holds it */
	CHECK(map_next(r, &v));
	val_free(&v);
	map_rangefree(r);
}

/* All at once -------------------------------------------------------------------- */

enum { NTHREAD = 3, KEYS = 50, ROUNDS = 20000 };

static struct hmap *shared;
static atomic_i32 balance[KEYS]; /* how often each key was put, minus how often it was taken */

static void changes(int i)
{
	uint32_t rand = (uint32_t)i + 1;
	for (int r = 0; r < ROUNDS; r++) {
		rand = rand * 1664525 + 1013904223;
		int n = (int)(rand >> 8) % KEYS;
		struct mapkey k = num(n), sum = str("sum");
		struct val v = n % 2 ? msg() : text("text");
		double d;
		CHECK(map_add(shared, &sum, 1, &d));
		if (rand % 3 == 0) {
			bool had = map_loadorstore(shared, &k, &v);
			if (!had)
				fetch_add_relaxed(&balance[n], 1);
			else
				val_free(&v);
		} else if (rand % 3 == 1) {
			val_free(&v);
			if (map_load(shared, &k, &v)) {
				CHECK_EQ(v.tag, n % 2 ? VAL_MSG : VAL_STR);
				val_free(&v);
			}
		} else {
			val_free(&v);
			if (map_loadanddelete(shared, &k, &v)) {
				fetch_add_relaxed(&balance[n], -1);
				val_free(&v);
			}
		}
		if (r % 1000 == 0) {
			struct maprange *range = map_range(shared);
			while (map_next(range, &v))
				val_free(&v);
			map_rangefree(range);
		}
	}
}

TEST(map_by_threads)
{
	shared = begin();
	test_threads(NTHREAD, changes);
	CHECK(load(shared, str("sum")) == NTHREAD * ROUNDS);
	uint32_t n = 1;
	for (int i = 0; i < KEYS; i++) {
		struct mapkey k = num(i);
		struct val v;
		bool is = map_load(shared, &k, &v);
		if (is)
			val_free(&v);
		CHECK_EQ(load_relaxed(&balance[i]), is);
		n += is;
	}
	CHECK_EQ(map_len(shared), n);
	end(shared);
}
