/* SPDX-License-Identifier: MIT */
#include "park/timer.h"

#include <errno.h>

#include "base/os.h"
#include "park/sudog.h"
#include "sim.h"
#include "test.h"

static int64_t fired;
static int32_t lastref, order[16], wakesref = -1;

static void fire(P *pp, int32_t ref)
{
	CHECK(pp == &p0);
	order[fired++ % 16] = lastref = ref;
}

static bool wakes(P *pp, int32_t ref)
{
	(void)pp;
	return ref == wakesref;
}

static void init(void)
{
	sim_init((struct schedops){0});
	p0.timers->fire = fire;
	p0.timers->wakes = wakes;
}

TEST(timer_when_saturates)
{
	CHECK_EQ(timer_when(100, 5), 105);
	CHECK_EQ(timer_when(100, 0), 100);
	CHECK_EQ(timer_when(100, -1), 100);
	CHECK_EQ(timer_when(100, INT64_MIN), 100);
	CHECK_EQ(timer_when(100, INT64_MAX), INT64_MAX);
	CHECK_EQ(timer_when(100, INT64_MAX - 100), INT64_MAX);
	CHECK_EQ(timer_when(100, INT64_MAX - 101), INT64_MAX - 1);
	CHECK_EQ(timer_when(0, INT64_MAX), INT64_MAX);
	CHECK_EQ(timer_when(INT64_MAX, 1), INT64_MAX);
}

TEST(timer_fires_in_order)
{
	static const int64_t when[] = {50, 10, 40, 20, 30};
	init();
	CHECK_EQ(timers_run(&p0, 1000), 0);
	for (int32_t i = 0; i < 5; i++)
		timer_start(&p0, when[i], (int32_t)when[i]);
	CHECK_EQ(timers_run(&p0, 9), 10);
	CHECK_EQ(fired, 0);
	CHECK_EQ(timers_run(&p0, 10), 20);
	CHECK_EQ(fired, 1);
	CHECK_EQ(timers_run(&p0, 39), 40);
	CHECK_EQ(timers_run(&p0, 1000), 0);
	for (int32_t i = 0; i < 5; i++)
		CHECK_EQ(order[i], (i + 1) * 10);
	CHECK_EQ(fired, 5);
	sim_term();
}

TEST(timer_stop_from_middle)
{
	struct timer *t[10];
	init();
	for (int32_t i = 0; i < 10; i++)
		t[i] = timer_start(&p0, 100 - i, i);
	timer_stop(&p0, t[9]);
	timer_stop(&p0, t[5]);
	timer_stop(&p0, t[0]);
	CHECK_EQ(timers_run(&p0, 0), 92);
	CHECK_EQ(timers_run(&p0, 1000), 0);
	CHECK_EQ(fired, 7);
	static const int32_t want[] = {8, 7, 6, 4, 3, 2, 1};
	for (int i = 0; i < 7; i++)
		CHECK_EQ(order[i], want[i]);
	sim_term();
}

TEST(timer_hundredthousand)
{
	enum { N = 100000 };
	static struct timer *t[N];
	init();
	int64_t nstopped = 0;
	for (int32_t i = 0; i < N; i++)
		t[i] = timer_start(&p0, 1 + test_rand() % 1000000, i);
	for (int32_t i = 0; i < N; i += 3, nstopped++)
		timer_stop(&p0, t[i]);
	CHECK(heap_isvalid(&p0.timers->heap));
	int64_t now = 0;
	for (int64_t next; (next = timers_run(&p0, now)) != 0; now = next)
		CHECK(next > now);
	CHECK_EQ(fired, N - nstopped);
	CHECK_EQ(p0.timers->heap.len, 0);
	/* Their memory serves again. */
	struct timer *again = timer_start(&p0, 1, 0);
	bool found = false;
	for (int i = 0; i < N; i++)
		found |= t[i] == again;
	CHECK(found);
	sim_term(); /* frees the one that still runs, too */
}

/* One that is started by a firing one and already due fires in the same run. */
static void startanother(P *pp, int32_t ref)
{
	fired++;
	if (ref > 0)
		timer_start(pp, 5, ref - 1);
}

TEST(timer_started_by_firing)
{
	init();
	p0.timers->fire = startanother;
	timer_start(&p0, 1, 3);
	CHECK_EQ(timers_run(&p0, 10), 0);
	CHECK_EQ(fired, 4);
	sim_term();
}

TEST(timer_pending_asks_who_wakes)
{
	init();
	CHECK(!timers_pending(&p0));
	timer_start(&p0, 100, 1);
	timer_start(&p0, 50, 2);
	CHECK(!timers_pending(&p0));
	wakesref = 1;
	CHECK(timers_pending(&p0));
	wakesref = 2;
	CHECK(timers_pending(&p0));
	CHECK_EQ(timers_run(&p0, 60), 100);
	CHECK(!timers_pending(&p0));
	sim_term();
}

/* Nobody waits, so the timer keeps nothing alive and is not waited for. */
TEST(timer_idle_does_not_block)
{
	init();
	timer_start(&p0, timer_when(nanotime(), INT64_MAX), 1);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(fired, 0);
	sim_term();
}

/* Through the scheduler ---------------------------------------------------- */

static int64_t start; /* of all sleeps; far enough for all to be parked by then, also where all is slow */

static enum gout sleeper(G *gp, void *ud)
{
	int64_t ns = *(int64_t *)ud;
	CHECK_EQ(sim_park(gp, WR_SLEEP, timer_when(start, ns)), 0);
	CHECK(gp->flags & GF_TIMEOUT);
	CHECK(gp->timer == NULL);
	CHECK(nanotime() - start >= ns);
	sim_log("%d ", (int)(ns / 1000000));
	return GOUT_EXIT;
}

TEST(timer_sleepers_wake_in_order)
{
	static int64_t ns[] = {30000000, 1000000, 20000000, 0, 10000000};
	struct cstack *s[6];
	init();
	for (int i = 0; i < 6; i++) /* making stacks takes valgrind long */
		CHECK((s[i] = cstackget(&p0.stacks)) != NULL);
	for (int i = 0; i < 6; i++)
		cstackput(&p0.stacks, s[i]);
	start = nanotime() + 100000000;
	for (int i = 0; i < 5; i++)
		sim_go(sleeper, &ns[i]);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_STR(sim_logged, "0 1 10 20 30 ");
	CHECK_EQ(p0.nevent, 0);
	CHECK_EQ(p0.timers->heap.len, 0);
	sim_term();
}

static enum gout patient(G *gp, void *ud)
{
	*(int32_t *)ud = sim_park(gp, WR_CHANRECV, INT64_MAX);
	CHECK(!(gp->flags & GF_TIMEOUT));
	return GOUT_EXIT;
}

static enum gout wake9(G *gp, void *ud)
{
	(void)gp;
	goready(ud, 9);
	return GOUT_EXIT;
}

/* Woken before the deadline: the timer is gone. */
TEST(timer_stopped_by_ready)
{
	int32_t got = 0;
	init();
	G *gp = sim_go(patient, &got);
	gp->flags |= GF_TIMEOUT; /* of an earlier wait: must be forgotten */
	sim_go(wake9, gp);
	runqput(&p0, runqget(&p0), false); /* behind the one it wakes */
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, 9);
	CHECK_EQ(p0.timers->heap.len, 0);
	CHECK_EQ(p0.nevent, 0);
	sim_term();
}

TEST(timer_daemon_sleeper_is_left)
{
	int64_t ns = INT64_MAX;
	init();
	gsetdaemon(sim_go(sleeper, &ns), true);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(p0.timers->heap.len, 1);
	gkillall(&p0);
	CHECK_EQ(p0.timers->heap.len, 0);
	CHECK_EQ(sched.nlive, 0);
	sim_term();
}

/* A wait that its timer ended is decided, and its sudog says so. */
static enum gout selecting(G *gp, void *ud)
{
	gp->sel = *(uint32_t *)ud;
	CHECK_EQ(sim_park(gp, WR_SELECT, timer_when(nanotime(), 1000000)), 0);
	CHECK_EQ(gp->sel, 0);
	CHECK_EQ(sudogs.done[*(uint32_t *)ud], 1);
	return GOUT_EXIT;
}

TEST(timer_decides_select)
{
	init();
	CHECK(sudogrefill(&p0));
	uint32_t s = p0.view.sudogfree;
	sudogs.done[s] = 0;
	CHECK(sim_run(selecting, &s) == NULL);
	CHECK_EQ(sched.nlive, 0);
	sim_term();
}

static void outofmemory(void)
{
	init();
	test_failrealloc(1);
	timer_start(&p0, 1, 1);
}

TEST(timer_without_memory)
{
	CHECK_THROWS(outofmemory, "out of memory");
}
