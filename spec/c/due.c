/* SPDX-License-Identifier: MIT */
/* Channels that become ready by themselves. */
#include "park/chan.h"
#include "park/timer.h"
#include "sim.h"
#include "test.h"

static struct hchan *newdue(enum objkind kind, double when, double period)
{
	struct hchan *c = chan_new(0);
	CHECK(c);
	c->o.kind = (uint8_t)kind;
	c->when = when;
	c->period = period;
	return c;
}

TEST(due_timer_is_received_once)
{
	struct val v;
	sim_init((struct schedops){0});
	struct hchan *c = newdue(OBJ_TIMER, 1, 0); /* a second after the machine started */
	CHECK(chan_ready(c, false));
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_DONE);
	CHECK(v.tag == VAL_NUM && v.u.n == 1);
	CHECK(!chan_ready(c, false));
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_BLOCK);
	CHECK(!chan_isclosed(c));
	CHECK(!chan_settimer(c, 2, 0)); /* it was over */
	CHECK(chan_settimer(c, CHAN_NEVER, 0)); /* nobody had received */
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_BLOCK);
	obj_unref(&c->o);
	sim_term();
}

/* Ticks that nobody received are dropped, and the next one is on time. */
TEST(due_ticker_drops)
{
	struct val v;
	sim_init((struct schedops){0});
	double period = 1e6; /* so that no second tick comes by during the test */
	struct hchan *c = newdue(OBJ_TIMER, clocknow() - 3.25 * period, period);
	double first = c->when;
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_DONE);
	CHECK(v.u.n == first);
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_BLOCK);
	CHECK(chan_when(c) == first + 4 * period);
	CHECK(chan_settimer(c, CHAN_NEVER, -1));
	CHECK(chan_period(c) == period); /* a stopped ticker is one */
	obj_unref(&c->o);
	sim_term();
}

/* Who waits is told when to look again, and that it must when the time is changed. */
TEST(due_timer_wakes_who_waits)
{
	struct val v;
	sim_init((struct schedops){0});
	double far = clocknow() + 1e6;
	struct hchan *c = newdue(OBJ_TIMER, far, 0);
	G *gp = sim_waiter(&p0);
	int32_t s = sim_sudog(&p0, gp);
	CHECK_EQ(chan_recv(c, &v, s), CHAN_BLOCK);
	CHECK(sudogs.val[s].tag == VAL_NIL && sudogs.val[s].u.n == far);
	CHECK(chan_settimer(c, 1, 0));
	CHECK(runqget(&p0) == gp);
	CHECK_EQ(gp->wake, 1);
	CHECK_EQ(chan_recv(c, &v, s), CHAN_DONE);
	obj_unref(&c->o);
	sim_term();
}

TEST(due_done_is_closed_from_then_on)
{
	struct val v;
	sim_init((struct schedops){0});
	struct hchan *late = newdue(OBJ_DONE, clocknow() + 1e6, 0), *due = newdue(OBJ_DONE, 1, 0);
	CHECK(!chan_isclosed(late) && !chan_ready(late, false));
	CHECK_EQ(chan_recv(late, &v, 0), CHAN_BLOCK);
	CHECK(chan_isclosed(due) && chan_ready(due, false));
	CHECK_EQ(chan_recv(due, &v, 0), CHAN_CLOSED);
	CHECK_EQ(chan_recv(due, &v, 0), CHAN_CLOSED);
	CHECK(chan_close(late));
	CHECK(!chan_close(late));
	CHECK_EQ(chan_recv(late, &v, 0), CHAN_CLOSED);
	obj_unref(&late->o);
	obj_unref(&due->o);
	sim_term();
}

/* Of a context's channel nothing is received, also if its time comes between two looks at the clock. */
TEST(due_done_is_closed_in_the_very_moment)
{
	struct val v;
	sim_init((struct schedops){0});
	for (int i = 0; i < 2000; i++) {
		double when = clocknow() + 1e-6;
		struct hchan *c = newdue(OBJ_DONE, when, 0);
		enum chanresult r;
		while ((r = chan_recv(c, &v, 0)) == CHAN_BLOCK)
			;
		CHECK_EQ(r, CHAN_CLOSED);
		CHECK(chan_when(c) == when && chan_isclosed(c));
		obj_unref(&c->o);
	}
	sim_term();
}
