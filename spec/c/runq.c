/* SPDX-License-Identifier: MIT */
#include "sim.h"
#include "test.h"

static G *newg(void)
{
	G *gp = gfget(&p0);
	CHECK(gp != NULL);
	return gp;
}

static void check_get(const G *want)
{
	const G *got = runqget(&p0);
	CHECK_EQ(got ? got->slot : 0, want ? want->slot : 0);
	CHECK(runq_isvalid(&p0));
}

TEST(runq_empty)
{
	sim_init((struct schedops){0});
	CHECK(runqget(&p0) == NULL);
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(runq_isvalid(&p0));
	sim_term();
}

TEST(runq_next_first)
{
	sim_init((struct schedops){0});
	G *a = newg(), *b = newg(), *c = newg(), *d = newg();
	runqput(&p0, a, false);
	runqput(&p0, b, true);
	runqput(&p0, c, false);
	runqput(&p0, d, true); /* b goes to the end */
	CHECK_EQ(runqlen(&p0), 4);
	check_get(d);
	check_get(a);
	check_get(c);
	check_get(b);
	check_get(NULL);
	sim_term();
}

TEST(runq_fifo_throughlist)
{
	sim_init((struct schedops){0});
	enum { N = 3 * RUNQ_SIZE + 1 };
	static G *gs[N];
	for (uint32_t i = 0; i < N; i++) {
		runqput(&p0, gs[i] = newg(), false);
		CHECK_EQ(p0.runq.nover, i < RUNQ_SIZE ? 0 : i + 1 - RUNQ_SIZE);
		CHECK_EQ(runqlen(&p0), i + 1);
		CHECK(runq_isvalid(&p0));
	}
	for (uint32_t i = 0; i < N; i++)
		check_get(gs[i]);
	check_get(NULL);
	sim_term();
}

/* While the list holds Gs, new ones go behind it even where the ring has room. */
TEST(runq_fifo_holds_beside_list)
{
	sim_init((struct schedops){0});
	G *gs[RUNQ_SIZE + 2];
	for (uint32_t i = 0; i <= RUNQ_SIZE; i++)
		runqput(&p0, gs[i] = newg(), false);
	check_get(gs[0]);
	runqput(&p0, gs[RUNQ_SIZE + 1] = newg(), false);
	CHECK_EQ(p0.runq.nover, 2);
	for (uint32_t i = 1; i < RUNQ_SIZE + 2; i++)
		check_get(gs[i]);
	check_get(NULL);
	sim_term();
}

/* Who was to be next goes to the end also when the ring is full. */
TEST(runq_next_displaced_to_list)
{
	sim_init((struct schedops){0});
	for (uint32_t i = 0; i < RUNQ_SIZE; i++)
		runqput(&p0, newg(), false);
	G *a = newg(), *b = newg();
	runqput(&p0, a, true);
	CHECK_EQ(p0.runq.nover, 0);
	runqput(&p0, b, true);
	CHECK_EQ(p0.runq.nover, 1);
	check_get(b);
	for (uint32_t i = 0; i < RUNQ_SIZE; i++)
		CHECK(runqget(&p0) != a);
	check_get(a);
	check_get(NULL);
	sim_term();
}

TEST(runq_counters_wrap)
{
	sim_init((struct schedops){0});
	G *gs[RUNQ_SIZE];
	p0.runq.head = p0.runq.tail = UINT32_MAX - RUNQ_SIZE / 2;
	for (uint32_t i = 0; i < RUNQ_SIZE; i++)
		gs[i] = newg();
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < RUNQ_SIZE; i++) {
			runqput(&p0, gs[i], false);
			CHECK_EQ(runqlen(&p0), i + 1);
			CHECK(runq_isvalid(&p0));
		}
		CHECK_EQ(p0.runq.nover, 0);
		for (uint32_t i = 0; i < RUNQ_SIZE; i++)
			check_get(gs[i]);
		check_get(NULL);
	}
	CHECK(p0.runq.head < UINT32_MAX / 2);
	sim_term();
}

/* Against a reference: an array whose first item is the next. */
enum { NRANDOM = 4 * RUNQ_SIZE + 3 };

struct reference {
	G *next;
	G *list[NRANDOM]; /* circular */
	uint32_t head, len;
};

static void ref_put(struct reference *r, G *gp, bool next)
{
	if (next) {
		G *old = r->next;
		r->next = gp;
		gp = old;
	}
	if (gp)
		r->list[(r->head + r->len++) % NRANDOM] = gp;
}

static G *ref_get(struct reference *r)
{
	G *gp = r->next;
	if (gp) {
		r->next = NULL;
	} else if (r->len > 0) {
		gp = r->list[r->head];
		r->head = (r->head + 1) % NRANDOM;
		r->len--;
	}
	return gp;
}

TEST(runq_random)
{
	static struct reference ref;
	static G *out[NRANDOM]; /* those not in the queue */
	uint32_t nout = 0;
	sim_init((struct schedops){0});
	p0.runq.head = p0.runq.tail = UINT32_MAX - 100;
	while (nout < NRANDOM)
		out[nout++] = newg();
	for (uint32_t i = 0; i < 100000; i++) {
		/* the bias changes, so that the queue grows to the full and drains */
		bool fill = i / (4 * NRANDOM) % 2 == 0;
		bool put = fill ? test_rand() % 4 != 0 : test_rand() % 4 == 0;
		if (put && nout > 0) {
			bool next = test_rand() % 3 == 0;
			G *gp = out[--nout];
			runqput(&p0, gp, next);
			ref_put(&ref, gp, next);
		} else {
			G *gp = ref_get(&ref);
			check_get(gp);
			if (gp)
				out[nout++] = gp;
		}
		CHECK(runq_isvalid(&p0));
		CHECK_EQ(runqlen(&p0), (ref.next != NULL) + ref.len);
		CHECK_EQ(runqlen(&p0) + nout, NRANDOM);
	}
	sim_term();
}

/* The checker itself must see what is wrong. */
TEST(runq_isvalid_sees)
{
	sim_init((struct schedops){0});
	for (uint32_t i = 0; i < RUNQ_SIZE + 3; i++)
		runqput(&p0, newg(), false);
	struct runq good = p0.runq;
	p0.runq.nover++;
	CHECK(!runq_isvalid(&p0));
	p0.runq.nover -= 2;
	CHECK(!runq_isvalid(&p0));
	p0.runq = good;
	p0.runq.overtail = p0.runq.over;
	CHECK(!runq_isvalid(&p0));
	p0.runq = good;
	p0.runq.tail++;
	CHECK(!runq_isvalid(&p0));
	p0.runq = good;
	CHECK(runq_isvalid(&p0));
	sim_term();
}
