/* SPDX-License-Identifier: MIT */
#include "park/timer.h"

#include <math.h>

#include "base/os.h"
#include "park/sudog.h"
#include "sim.h"
#include "test.h"

static void init(void)
{
	sim_init((struct schedops){0});
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

/* A G that waits until then. */
static G *waits(int64_t when)
{
	G *gp = sim_waiter(&p0);
	timer_park(gp, when);
	return gp;
}

static bool ready(const G *gp)
{
	return readgstatus(gp) == Grunnable;
}

TEST(timer_fires_in_order)
{
	static const int64_t when[] = {50, 10, 40, 20, 30};
	G *gs[5];
	init();
	CHECK_EQ(timers_run(&p0, 1000), 0);
	for (int i = 0; i < 5; i++)
		gs[i] = waits(when[i]);
	static const struct {
		int64_t now, next;
		uint32_t fired;
	} step[] = {{9, 10, 0}, {10, 20, 1}, {39, 40, 3}, {49, 50, 4}, {1000, 0, 5}};
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(timers_run(&p0, step[i].now), step[i].next);
		CHECK_EQ(p0.timers->heap.len, 5 - step[i].fired);
		for (int k = 0; k < 5; k++)
			CHECK_EQ(ready(gs[k]), when[k] <= step[i].now);
	}
	sim_term();
}

/* Those that are due in one run fire in the order of their times, too. */
TEST(timer_fires_in_order_in_one_run)
{
	static const int64_t when[] = {5, 1, 4, 2, 3};
	G *gs[6];
	init();
	for (int i = 0; i < 5; i++)
		gs[when[i]] = waits(when[i]);
	CHECK_EQ(timers_run(&p0, 1500000000), 0);
	for (int i = 1; i <= 5; i++) {
		CHECK(runqget(&p0) == gs[i]);
		CHECK_EQ(gs[i]->wake, 0);
		CHECK(gs[i]->flags & GF_TIMEOUT);
	}
	sim_term();
}

TEST(timer_stop_from_middle)
{
	G *gs[10];
	init();
	for (int32_t i = 0; i < 10; i++)
		gs[i] = waits(100 - i);
	goready(gs[9], 7);
	goready(gs[5], 7);
	goready(gs[0], 7);
	CHECK_EQ(p0.timers->heap.len, 7);
	CHECK_EQ(timers_run(&p0, 0), 92);
	CHECK_EQ(timers_run(&p0, 94), 96); /* gs[5]'s is gone */
	CHECK_EQ(timers_run(&p0, 1000), 0);
	for (int i = 0; i < 10; i++)
		CHECK_EQ(gs[i]->wake, i == 9 || i == 5 || i == 0 ? 7 : 0);
	sim_term();
}

TEST(timer_hundredthousand)
{
	enum { N = 100000 };
	static G *gs[N];
	init();
	uint32_t nstopped = 0;
	for (int32_t i = 0; i < N; i++)
		gs[i] = waits(1 + test_rand() % 1000000);
	struct timer *first = gs[0]->timer;
	for (int32_t i = 0; i < N; i += 3, nstopped++)
		goready(gs[i], 1);
	CHECK(heap_isvalid(&p0.timers->heap));
	CHECK_EQ(p0.timers->heap.len, N - nstopped);
	int64_t now = 0;
	for (int64_t next; (next = timers_run(&p0, now)) != 0; now = next)
		CHECK(next > now);
	CHECK_EQ(p0.timers->heap.len, 0);
	for (int32_t i = 0; i < N; i++)
		CHECK(ready(gs[i]) && gs[i]->timer == NULL);
	/* Their memory serves again. */
	bool found = false;
	for (int i = 0; i < N && !found; i++)
		found = waits(1)->timer == first;
	CHECK(found);
	sim_term(); /* frees those that run, too */
}

/* 292 years and more are for ever, and what is past is now. */
TEST(timer_nanoseconds)
{
	CHECK_EQ(nanoseconds(1.5), 1500000000);
	CHECK_EQ(nanoseconds(1e-10), 1);
	CHECK_EQ(nanoseconds(0), 0);
	CHECK_EQ(nanoseconds(-5), 0);
	CHECK_EQ(nanoseconds(9e9), INT64_MAX);
	CHECK_EQ(nanoseconds(INFINITY), INT64_MAX);
	CHECK_EQ(nanoseconds(-INFINITY), 0);
}

/* Through the scheduler ---------------------------------------------------- */

static int64_t epoch; /* of all sleeps; far enough for all to be parked by then, also where all is slow */

static enum gout sleeper(G *gp, void *ud)
{
	int64_t ns = *(int64_t *)ud;
	CHECK_EQ(sim_park(gp, WR_SLEEP, timer_when(epoch, ns)), 0);
	CHECK(gp->flags & GF_TIMEOUT);
	CHECK(gp->timer == NULL);
	CHECK(nanotime() - epoch >= ns);
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
	epoch = nanotime() + 100000000;
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
	gkillall();
	CHECK_EQ(p0.timers->heap.len, 0);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* A wait that its timer ended is decided, and its sudog says so. */
static enum gout selecting(G *gp, void *ud)
{
	gp->sel = *(uint32_t *)ud;
	CHECK_EQ(sim_park(gp, WR_SELECT, timer_when(nanotime(), 1000000)), 0);
	CHECK_EQ(gp->sel, 0);
	CHECK(gp->flags & GF_TIMEOUT);
	CHECK_EQ(sudogs.done[*(uint32_t *)ud], DONE_YES);
	return GOUT_EXIT;
}

static void decides(enum sudogdone undecided)
{
	init();
	CHECK(sudogrefill(&p0));
	uint32_t s = p0.view.sudogfree;
	store_relaxed(&sudogs.done[s], undecided);
	CHECK(sim_run(selecting, &s) == NULL);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

TEST(timer_decides_select)
{
	decides(DONE_NO);
}

TEST(timer_decides_shared_select)
{
	decides(DONE_SHARED);
}

/* Somebody on another P has decided it before: the timer is over, and wakes nobody. */
TEST(timer_finds_wait_decided)
{
	init();
	G *gp = sim_waiter(&p0);
	int32_t s = sim_sudog(&p0, gp);
	gp->sel = (uint32_t)s;
	timer_park(gp, 5);
	CHECK(sudogdecide(s, DONE_VAL));
	CHECK_EQ(timers_run(&p0, 10), 0);
	CHECK_EQ(readgstatus(gp), Gwaiting);
	CHECK(gp->timer == NULL && !(gp->flags & GF_TIMEOUT));
	CHECK_EQ(p0.timers->heap.len, 0);
	CHECK_EQ(runqlen(&p0), 0);
	inboxput(gp); /* the news */
	CHECK(inboxrun(&p0));
	CHECK(runqget(&p0) == gp);
	sim_term();
}

static void outofmemory(void)
{
	init();
	test_failrealloc(1);
	waits(1);
}

TEST(timer_without_memory)
{
	CHECK_THROWS(outofmemory, "out of memory");
}
