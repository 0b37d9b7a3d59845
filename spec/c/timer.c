/* SPDX-License-Identifier: MIT */
#include "park/timer.h"

#include <errno.h>

#include "base/os.h"
#include "park/sudog.h"
#include "sim.h"
#include "test.h"

static struct hchan *newchan(uint32_t size)
{
	struct hchan *c = chan_new(size);
	CHECK(c);
	return c;
}

/* A timer that sends to c, which the caller keeps. */
static struct timer *start(int64_t when, struct hchan *c)
{
	obj_ref(&c->o);
	return timer_start(&p0, when, c);
}

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

TEST(timer_fires_in_order)
{
	static const int64_t when[] = {50, 10, 40, 20, 30};
	struct hchan *c[5];
	init();
	CHECK_EQ(timers_run(&p0, 1000), 0);
	for (int i = 0; i < 5; i++)
		start(when[i], c[i] = newchan(1));
	CHECK_EQ(p0.timers->nchan, 5);
	static const struct {
		int64_t now, next;
		int fired;
	} step[] = {{9, 10, 0}, {10, 20, 1}, {39, 40, 3}, {49, 50, 4}, {1000, 0, 5}};
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(timers_run(&p0, step[i].now), step[i].next);
		CHECK_EQ(p0.timers->nchan, 5 - step[i].fired);
		for (int k = 0; k < 5; k++)
			CHECK_EQ(chan_len(c[k]), when[k] <= step[i].now);
	}
	for (int i = 0; i < 5; i++)
		obj_unref(&c[i]->o);
	sim_term();
}

/* Those that are due in one run fire in the order of their times, too.  What they send is the
 * time, in seconds. */
TEST(timer_fires_in_order_in_one_run)
{
	static const int64_t when[] = {5, 1, 4, 2, 3};
	G *gs[6];
	init();
	for (int i = 0; i < 5; i++) {
		struct hchan *c = newchan(0);
		G *gp = gs[when[i]] = sim_waiter(&p0);
		struct val v;
		CHECK_EQ(chan_recv(c, &v, sim_sudog(&p0, gp)), CHAN_BLOCK);
		timer_start(&p0, when[i], c);
		gp->nval = (uint32_t)c->rq;
	}
	CHECK_EQ(timers_run(&p0, 1500000000), 0);
	CHECK(runqget(&p0) == gs[5]); /* readied last, so it is next */
	for (int i = 1; i < 5; i++) {
		CHECK(runqget(&p0) == gs[i]);
		CHECK_EQ(gs[i]->wake, 1);
	}
	for (int i = 1; i <= 5; i++) {
		CHECK_EQ(sudogs.val[gs[i]->nval].tag, VAL_NUM);
		CHECK(sudogs.val[gs[i]->nval].u.n == 1.5);
	}
	sim_term();
}

TEST(timer_stop_from_middle)
{
	struct timer *t[10];
	struct hchan *c[10];
	init();
	for (int32_t i = 0; i < 10; i++)
		t[i] = start(100 - i, c[i] = newchan(1));
	timer_stop(&p0, t[9]);
	timer_stop(&p0, t[5]);
	timer_stop(&p0, t[0]);
	CHECK_EQ(p0.timers->nchan, 7);
	CHECK_EQ(timers_run(&p0, 0), 92);
	CHECK_EQ(timers_run(&p0, 94), 96); /* c[5]'s is gone */
	CHECK_EQ(timers_run(&p0, 1000), 0);
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(chan_len(c[i]), i != 9 && i != 5 && i != 0);
		CHECK_EQ(c[i]->o.refs, 1);
		obj_unref(&c[i]->o);
	}
	sim_term();
}

TEST(timer_hundredthousand)
{
	enum { N = 100000 };
	static struct timer *t[N];
	init();
	struct hchan *c = newchan(N);
	uint32_t nstopped = 0;
	for (int32_t i = 0; i < N; i++)
		t[i] = start(1 + test_rand() % 1000000, c);
	CHECK_EQ(c->o.refs, N + 1);
	for (int32_t i = 0; i < N; i += 3, nstopped++)
		timer_stop(&p0, t[i]);
	CHECK(heap_isvalid(&p0.timers->heap));
	int64_t now = 0;
	for (int64_t next; (next = timers_run(&p0, now)) != 0; now = next)
		CHECK(next > now);
	CHECK_EQ(chan_len(c), N - nstopped);
	CHECK_EQ(p0.timers->heap.len, 0);
	CHECK_EQ(p0.timers->nchan, 0);
	CHECK_EQ(c->o.refs, 1);
	/* Their memory serves again. */
	struct timer *again = timer_start(&p0, 1, c);
	bool found = false;
	for (int i = 0; i < N; i++)
		found |= t[i] == again;
	CHECK(found);
	sim_term(); /* frees the one that still runs, and its channel */
}

/* A timer's reference may be the last one; and what has no room, or is closed, is passed over. */
TEST(timer_sends_where_it_can)
{
	init();
	timer_start(&p0, 1, newchan(1));
	timer_start(&p0, 1, newchan(0));
	struct hchan *full = newchan(1), *closed = newchan(1);
	start(1, full);
	start(2, full);
	start(1, closed);
	CHECK(chan_close(closed));
	CHECK_EQ(timers_run(&p0, 5), 0);
	CHECK_EQ(p0.timers->nchan, 0);
	CHECK_EQ(chan_len(full), 1);
	CHECK_EQ(chan_len(closed), 0);
	obj_unref(&full->o);
	obj_unref(&closed->o);
	sim_term();
}

/* It keeps the program alive while somebody waits for it who does. */
TEST(timer_pending_asks_who_waits)
{
	struct val v;
	init();
	CHECK(!timers_pending(&p0));
	struct hchan *a = newchan(1), *b = newchan(1);
	start(100, a);
	start(50, b);
	CHECK(!timers_pending(&p0));
	G *gp = sim_waiter(&p0);
	int32_t s = sim_sudog(&p0, gp);
	CHECK_EQ(chan_recv(a, &v, s), CHAN_BLOCK);
	CHECK(timers_pending(&p0));
	gp->flags |= GF_DAEMON;
	CHECK(!timers_pending(&p0));
	gp->flags = 0;
	CHECK(timers_pending(&p0));
	CHECK_EQ(timers_run(&p0, 60), 100);
	CHECK(timers_pending(&p0));
	CHECK(sudogdecide(s, DONE_VAL)); /* it waits for something else, too, and has got it */
	CHECK(!timers_pending(&p0));
	/* A sender does not wait for a timer. */
	CHECK_EQ(chan_len(b), 1);
	start(200, b);
	int32_t sender = sim_sudog(&p0, sim_waiter(&p0));
	v = (struct val){.tag = VAL_NUM};
	CHECK_EQ(chan_send(b, &v, sender), CHAN_BLOCK);
	CHECK(!timers_pending(&p0));
	obj_unref(&a->o);
	obj_unref(&b->o);
	sim_term();
}

/* Nobody waits, so the timer keeps nothing alive and is not waited for. */
TEST(timer_idle_does_not_block)
{
	init();
	timer_start(&p0, timer_when(nanotime(), INT64_MAX), newchan(1));
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(p0.timers->nchan, 1);
	sim_term();
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

/* What a G waits for on a channel comes from a timer, and keeps it alive until then. */
static enum gout after(G *gp, void *ud)
{
	struct hchan *c = ud;
	double seconds = 0;
	int64_t when = timer_when(nanotime(), 2000000);
	start(when, c);
	CHECK(sim_recv(gp, c, &seconds));
	CHECK(seconds >= (double)when * 1e-9);
	CHECK(nanotime() >= when);
	return GOUT_EXIT;
}

TEST(timer_wakes_receiver)
{
	init();
	struct hchan *c = newchan(1);
	CHECK(sim_run(after, c) == NULL);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(c->o.refs, 1);
	obj_unref(&c->o);
	sim_term();
}

static void outofmemory(void)
{
	init();
	test_failrealloc(1);
	timer_start(&p0, 1, newchan(1));
}

TEST(timer_without_memory)
{
	CHECK_THROWS(outofmemory, "out of memory");
}
