/* SPDX-License-Identifier: MIT */
#include "park/sudog.h"

#include <errno.h>

#include "base/os.h"
#include "base/randord.h"
#include "sim.h"
#include "test.h"

enum { ARRAYS = 6 };

/* Every array has room for the last slot, and none reaches into another. */
TEST(sudog_arrays_are_apart)
{
	sim_init((struct schedops){0});
	int32_t *const a[ARRAYS] = {sudogs.next,  sudogs.prev,	sudogs.g, sudogs.own,
				    sudogs.index, (int32_t *)sudogs.done};
	uint32_t last = (1 << 30) - 1;
	for (int i = 0; i < ARRAYS; i++)
		a[i][0] = a[i][last] = i + 1;
	sudogs.val[0].u.n = sudogs.val[last].u.n = -1;
	for (int i = 0; i < ARRAYS; i++)
		CHECK(a[i][0] == i + 1 && a[i][last] == i + 1);
	CHECK(sudogs.val[0].u.n == -1 && sudogs.val[last].u.n == -1);
	CHECK_EQ(p0.view.sudogfree, 0);
	sim_term();
}

/* Each slot is handed out once; 0 never; each P's are of its own range. */
TEST(sudog_refill_gives_new_slots)
{
	static bool seen[2][1000];
	int n = 0;
	M m;
	sim_init((struct schedops){0});
	P *pp[2] = {&p0, sim_newp(&m)};
	CHECK_EQ(sudogbase(pp[0]), 0);
	CHECK_EQ(sudogbase(pp[1]), (1 << 30) / sched.maxprocs);
	for (int round = 0; round < 6; round++) {
		P *mine = pp[round % 2];
		CHECK(sudogrefill(mine));
		uint32_t s = mine->view.sudogfree;
		CHECK(s != 0);
		for (; s; s = (uint32_t)sudogs.next[s]) {
			uint32_t i = s - (uint32_t)sudogbase(mine);
			CHECK(i > 0 && i < 1000 && !seen[mine->id][i]);
			seen[mine->id][i] = true;
			n++;
		}
		mine->view.sudogfree = 0; /* all taken */
	}
	CHECK_EQ(n, 6 * 64);
	sim_term();
}

TEST(sudog_table_shrinks_where_addresses_are_few)
{
	sim_init((struct schedops){0});
	os_failnth(1, ENOMEM);
	sudogs_init();
	P last = {.id = sched.maxprocs - 1};
	CHECK_EQ(sudogbase(&last), (1 << 29) / sched.maxprocs * last.id);
	CHECK(sudogrefill(&p0));
	sim_term();
}

static void notable(void)
{
	sim_init((struct schedops){0});
	test_narrow(1 << 20);
	sudogs_init();
}

TEST_NARROW(sudog_table_without_addresses)
{
	CHECK_THROWS(notable, "no address space for the table of waiters");
}

TEST_NARROW(sudog_table_full)
{
	sim_init((struct schedops){0});
	test_narrow((ARRAYS * sizeof(int32_t) + sizeof(struct val)) * (3 << 19)); /* room for 1 << 20 of them */
	sudogs_init();
	int n = 0, perp = (1 << 20) / (int)sched.maxprocs;
	while (sudogrefill(&p0))
		CHECK(++n <= perp);
	CHECK_EQ(n, perp / 64 - 1); /* slot 0 costs the last chunk */
	CHECK(!sudogrefill(&p0));
}

/* Shared lines ------------------------------------------------------------------ */

static int32_t newsudog(void)
{
	return sim_sudog(&p0, sim_waiter(&p0));
}

TEST(sudog_decide)
{
	sim_init((struct schedops){0});
	int32_t s = newsudog();
	CHECK(sudogdecide(s, DONE_VAL));
	CHECK_EQ(sudogs.done[s], DONE_VAL);
	CHECK(!sudogdecide(s, DONE_VAL));
	CHECK(!sudogdecide(s, DONE_YES));
	CHECK_EQ(sudogs.done[s], DONE_VAL);
	store_relaxed(&sudogs.done[s], DONE_NO); /* at home */
	CHECK(sudogdecide(s, DONE_YES));
	CHECK(!sudogdecide(s, DONE_VAL));
	CHECK_EQ(sudogs.done[s], DONE_YES);
	sim_term();
}

TEST(sudog_line_fifo)
{
	int32_t line = 0, s[5];
	sim_init((struct schedops){0});
	CHECK_EQ(lineget(&line), 0);
	CHECK_EQ(linetakeall(&line), 0);
	CHECK(!linewaits(line));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 5; i++) {
			s[i] = newsudog();
			lineput(&line, s[i]);
			CHECK_EQ(line, s[0]);
		}
		for (int i = 0; i < 5; i++) {
			CHECK(linewaits(line));
			CHECK_EQ(lineget(&line), s[i]);
			CHECK_EQ(sudogs.done[s[i]], DONE_VAL);
			CHECK_EQ(sudogs.prev[s[i]], 0);
		}
		CHECK_EQ(line, 0);
	}
	sim_term();
}

TEST(sudog_leave_from_anywhere)
{
	static const int order[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	sim_init((struct schedops){0});
	for (int k = 0; k < 6; k++) {
		int32_t line = 0, s[3];
		for (int i = 0; i < 3; i++)
			lineput(&line, s[i] = newsudog());
		for (int i = 0; i < 3; i++) {
			lineleave(&line, s[order[k][i]]);
			lineleave(&line, s[order[k][i]]); /* it stands there no more: nothing */
			CHECK_EQ(sudogs.prev[s[order[k][i]]], 0);
		}
		CHECK_EQ(line, 0);
	}
	sim_term();
}

/* Who has won elsewhere is passed over, and out of the line. */
TEST(sudog_line_passes_decided)
{
	int32_t line = 0, s[6];
	sim_init((struct schedops){0});
	for (int i = 0; i < 6; i++)
		lineput(&line, s[i] = newsudog());
	for (int i = 0; i < 6; i += 2)
		CHECK(sudogdecide(s[i], DONE_YES));
	CHECK_EQ(lineget(&line), s[1]);
	CHECK_EQ(sudogs.prev[s[0]], 0);
	CHECK_EQ(line, s[2]);
	/* Those that are left, chained; the line is empty. */
	CHECK_EQ(linetakeall(&line), s[3]);
	CHECK_EQ(sudogs.next[s[3]], s[5]);
	CHECK_EQ(sudogs.next[s[5]], 0);
	CHECK_EQ(line, 0);
	CHECK_EQ(sudogs.prev[s[4]], 0);
	for (int i = 0; i < 6; i++)
		CHECK_EQ(sudogs.done[s[i]], i % 2 ? DONE_VAL : DONE_YES);
	/* Only such as are decided. */
	for (int i = 0; i < 3; i++)
		lineput(&line, s[i]);
	CHECK(!linewaits(line));
	CHECK_EQ(linetakeall(&line), 0);
	CHECK_EQ(line, 0);
	sim_term();
}

/* One of several that stand for one wait. */
TEST(sudog_own_decides)
{
	int32_t a = 0, b = 0;
	sim_init((struct schedops){0});
	G *gp = sim_waiter(&p0);
	int32_t first = sim_sudog(&p0, gp), second = sim_sudog(&p0, gp), other = newsudog();
	sudogs.own[second] = first;
	lineput(&a, first);
	lineput(&b, second);
	lineput(&a, other);
	CHECK(linewaits(b));
	CHECK_EQ(lineget(&b), second);
	CHECK_EQ(sudogs.done[first], DONE_VAL);
	CHECK_EQ(lineget(&a), other);
	CHECK_EQ(sudogs.prev[first], 0);
	sim_term();
}

/* What the waiter is told: the code, or by the case's number in a select. */
TEST(sudog_ready_tells)
{
	static const struct {
		int32_t index, code, wake;
	} t[] = {{0, 1, 1}, {0, -1, -1}, {1, 1, 1}, {3, 1, 3}, {3, -1, -3}};
	sim_init((struct schedops){0});
	for (int i = 0; i < 5; i++) {
		G *gp = sim_waiter(&p0);
		int32_t s = sim_sudog(&p0, gp);
		sudogs.index[s] = t[i].index;
		sudogready(s, t[i].code);
		CHECK(runqget(&p0) == gp);
		CHECK_EQ(gp->wake, t[i].wake);
	}
	int32_t line = 0;
	G *gs[4];
	for (int i = 0; i < 4; i++) {
		gs[i] = sim_waiter(&p0);
		lineput(&line, sim_sudog(&p0, gs[i]));
	}
	sudogreadyall(linetakeall(&line), -1);
	CHECK(runqget(&p0) == gs[3]); /* readied last, so it is next */
	for (int i = 0; i < 3; i++)
		CHECK(runqget(&p0) == gs[i] && gs[i]->wake == -1);
	sudogreadyall(0, 1);
	CHECK_EQ(runqlen(&p0), 0);
	sim_term();
}

/* Three decide all waits at once, each in an order of its own: each wait is decided once. */
enum { DECIDERS = 3, NWAITS = 20000 };

static int32_t waits[NWAITS];
static atomic_u32 nwon[NWAITS];

static void decide(int i)
{
	struct randord r = randord_begin(NWAITS, (uint32_t)i * 7919 * NWAITS + 1);
	for (uint32_t k; randord_next(&r, &k);)
		if (sudogdecide(waits[k], i % 2 ? DONE_YES : DONE_VAL))
			fetch_add_relaxed(&nwon[k], 1);
}

TEST(sudog_decided_once_by_threads)
{
	sim_init((struct schedops){0});
	G *gp = sim_waiter(&p0);
	for (int i = 0; i < NWAITS; i++)
		waits[i] = sim_sudog(&p0, gp);
	test_threads(DECIDERS, decide);
	for (int i = 0; i < NWAITS; i++)
		CHECK_EQ(nwon[i], 1);
	sim_term();
}
