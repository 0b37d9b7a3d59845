/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/os.h"
#include "sim.h"
#include "test.h"

static int started; /* its address is a coroutine to gfput */

static G *get(void)
{
	G *gp = gfget(&p0);
	CHECK(gp != NULL);
	CHECK_EQ(readgstatus(gp), Gdead);
	CHECK(gp == &sched.gs[gp->slot]);
	return gp;
}

TEST(g_slots_count_from_one)
{
	sim_init((struct schedops){0});
	for (uint32_t i = 1; i <= 1000; i++) {
		G *gp = get();
		CHECK_EQ(gp->slot, i);
		CHECK(gp->L == NULL && gp->id == 0);
	}
	CHECK_EQ(sched.ngs, 1001);
	sim_term();
}

TEST(g_reuse_lifo)
{
	sim_init((struct schedops){0});
	G *a = get(), *b = get();
	gfput(&p0, a);
	gfput(&p0, b);
	CHECK(get() == b);
	CHECK(get() == a);
	CHECK_EQ(a->schedlink, 0);
	CHECK_EQ(b->schedlink, 0);
	CHECK_EQ(get()->slot, 3);
	sim_term();
}

TEST(g_those_with_coroutine_first)
{
	sim_init((struct schedops){0});
	G *with = get(), *without = get();
	with->L = &started;
	CHECK(gfgetstarted(&p0) == NULL);
	gfput(&p0, with);
	gfput(&p0, without);
	CHECK_EQ(p0.ngfree, 1);
	CHECK(get() == with);
	CHECK_EQ(p0.ngfree, 0);
	CHECK(gfgetstarted(&p0) == NULL);
	CHECK(get() == without);
	gfput(&p0, without);
	gfput(&p0, with);
	CHECK(gfgetstarted(&p0) == with);
	CHECK_EQ(p0.ngfree, 0);
	/* A donor that gave its coroutine away serves as an empty one. */
	with->L = NULL;
	gfput(&p0, with);
	CHECK(gfgetstarted(&p0) == NULL);
	CHECK(get() == with);
	CHECK(get() == without);
	sim_term();
}

TEST(g_table_full)
{
	sim_init((struct schedops){0});
	sched.gsmax = sched.ngs + 3;
	G *a = get(), *b = get(), *c = get();
	CHECK(gfget(&p0) == NULL);
	CHECK(gfget(&p0) == NULL);
	gfput(&p0, b);
	CHECK(get() == b);
	CHECK(gfget(&p0) == NULL);
	CHECK_EQ(sched.ngs, sched.gsmax);
	CHECK(a != b && b != c && a != c);
	sim_term();
}

TEST(g_table_shrinks_where_addresses_are_few)
{
	os_failnth(1, ENOMEM);
	sim_init((struct schedops){0});
	CHECK_EQ(sched.gsmax, 1 << 24);
	sim_term();
}

static void initnarrow(void)
{
	test_narrow(1 << 20);
	sim_init((struct schedops){0});
}

TEST_NARROW(g_table_without_addresses)
{
	CHECK_THROWS(initnarrow, "no address space for the table of goroutines");
}

TEST(g_texts)
{
	static const char *const text[] = {"idle",    "runnable", "running",  "syscall",
					   "waiting", "dead",     "preempted"};
	G g = {0};
	for (int i = Gidle; i <= Gpreempted; i++) {
		store_relaxed(&g.status, (uint8_t)i);
		CHECK_STR(gstatustext(&g), text[i]);
	}
	for (int i = 0; i < WR_COUNT; i++)
		CHECK(waitreasontext[i] && (strlen(waitreasontext[i]) > 0) == (i != WR_NONE));
	CHECK_STR(waitreasontext[WR_CHANRECV], "chan receive");
}

static void badstatus(void)
{
	G g = {0};
	casgstatus(&g, Grunnable, Grunning);
}

TEST(g_status_has_one_path)
{
	G g = {0};
	casgstatus(&g, Gidle, Grunnable);
	CHECK_EQ(readgstatus(&g), Grunnable);
	CHECK_THROWS(badstatus, "bad g status");
}
