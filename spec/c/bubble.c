/* SPDX-License-Identifier: MIT */
/* Bubbles: what their Gs' waits come to, and their clock. */
#include "sched/bubble.h"

#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "sim.h"
#include "test.h"

static struct bubble *b; /* the one of the test */

/* Runs body as the first G of a bubble, and waits for its end: what that was.  Left to the caller:
 * who is left of it, and to free it. */
static enum bubblestate inbubble(G *runner, simbody *body, void *ud)
{
	b = bubble_new(&p0, runner);
	G *gp = sim_go(body, ud);
	bubble_join(b, gp);
	b->mainid = gp->id;
	CHECK(bubble_isvalid(b) && b->ngs == 1 && b->nactive == 1);
	while (b->state == BUBBLE_RUNS)
		CHECK_EQ(sim_park(runner, WR_SYNCTESTRUN, 0), 1);
	CHECK(bubble_isvalid(b));
	CHECK_EQ(p0.view.bubble, 0);
	return b->state;
}

static void bubblesleep(G *gp, double s)
{
	CHECK_EQ(p0.view.bubble, b->id);
	bubble_timer(gp, bubble_clock() + s);
	CHECK_EQ(sim_park(gp, WR_SLEEP, 0), 0);
	CHECK(gp->flags & GF_TIMEOUT);
	CHECK(bubble_isvalid(b));
}

/* Readies all that are left, which end then, and frees it. */
static void freeafter(G *runner)
{
	struct bubbled *in = b->gs;
	uint32_t n = b->ngs;
	while (n-- > 0) {
		if (readgstatus(in->gp) == Gwaiting)
			goreadylast(in->gp, -1);
		in = in->next;
	}
	while (b->ngs > 0)
		CHECK_EQ(sim_park(runner, WR_SYNCTESTRUN, 0), 1);
	bubble_free(b);
	CHECK(p0.bubbles == NULL);
}

/* The clock -------------------------------------------------------------------------- */

static enum gout sleeper(G *gp, void *ud)
{
	double s = *(double *)ud;
	bubblesleep(gp, s);
	sim_log("%g at %g;", s, bubble_clock());
	return GOUT_EXIT;
}

static enum gout sleeps(G *gp, void *ud)
{
	static double s[] = {3, 1, 2, 1, 0.5};
	(void)ud;
	CHECK(bubble_clock() == 0 && bubble_current(&p0) == b);
	for (int i = 0; i < 5; i++)
		CHECK(sim_go(sleeper, &s[i])->inbubble->b == b);
	CHECK_EQ(b->ngs, 6);
	bubblesleep(gp, 10);
	CHECK(bubble_clock() == 10);
	bubblesleep(gp, -1);
	CHECK(bubble_clock() == 10);
	return GOUT_EXIT;
}

static enum gout clockrunner(G *gp, void *ud)
{
	(void)ud;
	double before = bubble_clock();
	CHECK(before > 100); /* the machine has run for so long */
	CHECK_EQ(inbubble(gp, sleeps, NULL), BUBBLE_OVER);
	CHECK(bubble_clock() >= before);
	freeafter(gp);
	return GOUT_EXIT;
}

TEST(bubble_clock_jumps_in_order)
{
	sim_init((struct schedops){0});
	CHECK(!sim_run(clockrunner, NULL));
	CHECK_STR(sim_logged, "0.5 at 0.5;1 at 1;1 at 1;2 at 2;3 at 3;");
	sim_term();
}

/* Among equal deadlines who has asked first goes first, however many. */
enum { MANY = 1000 };
static int turn;

static enum gout oneofmany(G *gp, void *ud)
{
	int me = (int)(intptr_t)ud;
	bubblesleep(gp, me % 10);
	CHECK_EQ(turn, me % 10 * (MANY / 10) + me / 10);
	turn++;
	return GOUT_EXIT;
}

static enum gout startsmany(G *gp, void *ud)
{
	(void)ud;
	for (intptr_t i = 0; i < MANY; i++) {
		sim_go(oneofmany, (void *)i);
		sim_gosched(gp); /* it runs, and asks */
	}
	bubblesleep(gp, 1e6);
	CHECK_EQ(turn, MANY);
	return GOUT_EXIT;
}

static enum gout manyrunner(G *gp, void *ud)
{
	(void)ud;
	CHECK_EQ(inbubble(gp, startsmany, NULL), BUBBLE_OVER);
	freeafter(gp);
	return GOUT_EXIT;
}

TEST(bubble_equal_deadlines)
{
	sim_init((struct schedops){0});
	CHECK(!sim_run(manyrunner, NULL));
	CHECK_EQ(turn, MANY);
	sim_term();
}

/* Durable and not -------------------------------------------------------------------- */

static enum gout blockedfor(G *gp, void *ud)
{
	(void)sim_park(gp, (enum waitreason)(intptr_t)ud, 0);
	return GOUT_EXIT;
}

static enum gout blocks(G *gp, void *ud)
{
	G *other = sim_go(blockedfor, ud);
	sim_gosched(gp);
	CHECK_EQ(readgstatus(other), Gwaiting);
	CHECK_EQ(b->nactive, 1 + !other->inbubble->durable);
	CHECK(bubble_isvalid(b));
	if (!other->inbubble->durable) {
		goready(other, 1);
		sim_gosched(gp);
		CHECK_EQ(b->ngs, 1);
		return GOUT_EXIT;
	}
	bool taken;
	CHECK(!bubble_await(gp, &taken) && !taken);
	sim_log("%d ", (int)(intptr_t)ud);
	(void)sim_park(gp, WR_OWNRECV, 0); /* for ever */
	return GOUT_EXIT;
}

static enum gout reasonsrunner(G *gp, void *ud)
{
	(void)ud;
	for (intptr_t r = WR_USER; r < WR_COUNT; r++) {
		enum bubblestate end = inbubble(gp, blocks, (void *)r);
		CHECK(end == BUBBLE_OVER || (end == BUBBLE_DEADLOCK && b->ngs == 2 && b->nactive == 0 && !b->mainended));
		freeafter(gp);
	}
	return GOUT_EXIT;
}

TEST(bubble_durable_reasons)
{
	static const enum waitreason durable[] = {WR_USER, WR_CHANNIL, WR_SELECTNOCASES, WR_SLEEP, WR_COND, WR_OWNRECV,
						  WR_OWNSEND, WR_OWNSELECT, WR_OWNWAITGROUP, WR_OWNSEMAPHORE,
						  WR_SYNCTESTWAIT};
	char want[256] = "";
	sim_init((struct schedops){0});
	CHECK(!sim_run(reasonsrunner, NULL));
	for (size_t i = 0; i < sizeof durable / sizeof *durable; i++)
		snprintf(want + strlen(want), sizeof want - strlen(want), "%d ", durable[i]);
	CHECK_STR(sim_logged, want);
	sim_term();
}

/* A wait with a deadline is durable, whatever it is for. */
static enum gout locks(G *gp, void *ud)
{
	(void)ud;
	bubble_timer(gp, 7);
	CHECK_EQ(sim_park(gp, WR_MUTEX, 0), 0);
	CHECK(bubble_clock() == 7);
	bubble_timer(gp, BUBBLE_FAR); /* which is for ever */
	CHECK_EQ(b->heap.len, 0);
	CHECK_EQ(sim_park(gp, WR_COND, 0), -1);
	return GOUT_EXIT;
}

static enum gout lockrunner(G *gp, void *ud)
{
	(void)ud;
	CHECK_EQ(inbubble(gp, locks, NULL), BUBBLE_DEADLOCK);
	freeafter(gp);
	return GOUT_EXIT;
}

TEST(bubble_wait_with_deadline)
{
	sim_init((struct schedops){0});
	CHECK(!sim_run(lockrunner, NULL));
	sim_term();
}

/* Somebody else has decided the wait when its time comes. */
static bool decided;

static bool decide(const G *gp)
{
	CHECK(gp->inbubble->b == b);
	return !decided;
}

static enum gout loses(G *gp, void *ud)
{
	(void)ud;
	bubble_timer(gp, 1);
	CHECK_EQ(sim_park(gp, WR_OWNSELECT, 0), 5);
	CHECK(!(gp->flags & GF_TIMEOUT));
	return GOUT_EXIT;
}

static enum gout decidedrunner(G *gp, void *ud)
{
	(void)ud;
	decided = true;
	b = bubble_new(&p0, gp);
	G *loser = sim_go(loses, NULL);
	bubble_join(b, loser);
	sim_gosched(gp);
	CHECK(bubble_isvalid(b) && b->now == 1);
	CHECK(b->nactive == 1 && b->heap.len == 0); /* the news is on its way */
	CHECK_EQ(b->state, BUBBLE_RUNS);
	goready(loser, 5);
	while (b->state == BUBBLE_RUNS)
		CHECK_EQ(sim_park(gp, WR_SYNCTESTRUN, 0), 1);
	CHECK_EQ(b->state, BUBBLE_OVER);
	freeafter(gp);
	return GOUT_EXIT;
}

TEST(bubble_deadline_that_comes_too_late)
{
	sim_init((struct schedops){.decide = decide});
	CHECK(!sim_run(decidedrunner, NULL));
	sim_term();
}

/* Ends --------------------------------------------------------------------------------- */

static enum gout forever(G *gp, void *ud)
{
	double s = *(double *)ud;
	if (s > 0)
		bubble_timer(gp, s);
	CHECK_EQ(sim_park(gp, WR_SLEEP, 0), -1);
	return GOUT_EXIT;
}

static enum gout leaves(G *gp, void *ud)
{
	(void)gp;
	sim_go(forever, ud);
	return GOUT_EXIT;
}

static enum gout leavesdaemon(G *gp, void *ud)
{
	G *other = sim_go(forever, ud);
	sim_gosched(gp);
	gsetdaemon(other, true);
	gsetdaemon(other, true);
	CHECK_EQ(b->ndaemons, 1);
	gsetdaemon(other, false);
	gsetdaemon(other, true);
	CHECK(bubble_isvalid(b) && b->state == BUBBLE_RUNS);
	return GOUT_EXIT;
}

static enum gout fails(G *gp, void *ud)
{
	(void)gp;
	sim_go(forever, ud);
	bubble_fail(b, "why", 3);
	bubble_fail(b, "again", 5);
	return GOUT_EXIT;
}

static enum gout endsrunner(G *gp, void *ud)
{
	static double never = 0, later = 5;
	(void)ud;
	for (int i = 0; i < 2; i++) {
		void *s = i ? &later : &never; /* the clock stops with the first G */
		CHECK_EQ(inbubble(gp, leaves, s), BUBBLE_DEADLOCK);
		CHECK(b->mainended && b->ngs == 1 && b->now == 0);
		freeafter(gp);
		CHECK_EQ(inbubble(gp, leavesdaemon, s), BUBBLE_OVER);
		CHECK(b->ngs == 1 && b->ndaemons == 1);
		freeafter(gp);
	}
	CHECK_EQ(inbubble(gp, fails, &never), BUBBLE_FAILED);
	CHECK(b->reportlen == 3 && memcmp(b->report, "why", 3) == 0);
	int32_t id = b->id;
	CHECK(bubble_find(&p0, id) == b);
	while (b->nactive > 0) /* it has begun all the same: here nobody keeps it from that */
		sim_gosched(gp);
	freeafter(gp);
	CHECK(bubble_find(&p0, id) == NULL);
	return GOUT_EXIT;
}

TEST(bubble_ends)
{
	sim_init((struct schedops){0});
	CHECK(!sim_run(endsrunner, NULL));
	sim_term();
}

/* Waiting for all others ------------------------------------------------------------------ */

static enum gout works(G *gp, void *ud)
{
	for (int i = 0; i < 10; i++)
		sim_gosched(gp);
	++*(int *)ud;
	bubble_timer(gp, 3);
	CHECK_EQ(sim_park(gp, WR_SLEEP, 0), 0);
	++*(int *)ud;
	return GOUT_EXIT;
}

static enum gout second(G *gp, void *ud)
{
	bool taken;
	(void)ud;
	CHECK(!bubble_await(gp, &taken) && taken);
	return GOUT_EXIT;
}

static enum gout awaits(G *gp, void *ud)
{
	int n = 0;
	bool taken;
	(void)ud;
	CHECK(!bubble_await(gp, &taken) && !taken); /* it is alone */
	sim_go(works, &n);
	CHECK(bubble_await(gp, &taken) && !taken);
	sim_go(second, NULL);
	CHECK_EQ(sim_park(gp, WR_SYNCTESTWAIT, 0), 1);
	CHECK_EQ(n, 1);
	CHECK(b->now == 0 && b->waiter == NULL); /* before the clock goes on */
	CHECK(!bubble_await(gp, &taken) && !taken);
	bubblesleep(gp, 3);
	if (bubble_await(gp, &taken))
		CHECK_EQ(sim_park(gp, WR_SYNCTESTWAIT, 0), 1);
	CHECK_EQ(n, 2);
	return GOUT_EXIT;
}

static enum gout awaitrunner(G *gp, void *ud)
{
	(void)ud;
	CHECK_EQ(inbubble(gp, awaits, NULL), BUBBLE_OVER);
	freeafter(gp);
	return GOUT_EXIT;
}

TEST(bubble_await_others)
{
	sim_init((struct schedops){0});
	CHECK(!sim_run(awaitrunner, NULL));
	sim_term();
}

/* The world outside ------------------------------------------------------------------------ */

/* One that waits durably keeps no program alive: what it waits for is the bubble's. */
static enum gout waitsoutside(G *gp, void *ud)
{
	static double later = 5;
	(void)ud;
	sim_go(forever, &later);
	(void)sim_park(gp, WR_MUTEX, 0);
	return GOUT_EXIT;
}

static enum gout stuckrunner(G *gp, void *ud)
{
	(void)ud;
	inbubble(gp, waitsoutside, NULL);
	return GOUT_EXIT;
}

TEST(bubble_is_no_event)
{
	sim_init((struct schedops){0});
	CHECK(!sim_run(stuckrunner, NULL));
	CHECK(sched.dead);
	CHECK(p0.nevent == 0 && gcount() == 3 && b->now == 0);
	gkillall();
	CHECK_EQ(gcount(), 0);
	CHECK(p0.bubbles == NULL);
	sim_term();
}

/* Whoever is started in a bubble stays on its P. */
static enum gout counts(G *gp, void *ud)
{
	CHECK(gp->inbubble->b == b);
	++*(int *)ud;
	return GOUT_EXIT;
}

static enum gout spawns(G *gp, void *ud)
{
	P *home = gp->p;
	for (int i = 0; i < 300; i++) {
		G *any = sim_goany(counts, ud), *packed = sim_spawn(counts, ud);
		CHECK(any->p == home && packed->p == home && (any->flags & GF_STAYS));
	}
	sim_block(gp, 1000); /* its P goes on without it */
	CHECK_EQ(home->view.bubble, b->id);
	sim_gosched(gp);
	return GOUT_EXIT;
}

static bool over;

static enum gout outside(G *gp, void *ud)
{
	(void)ud;
	while (!over) {
		CHECK(!(gp->flags & GF_BUBBLE));
		CHECK_EQ(load_relaxed(&gp->p)->view.bubble, 0);
		sim_gosched(gp);
	}
	return GOUT_EXIT;
}

static enum gout spawnrunner(G *gp, void *ud)
{
	int n = 0;
	(void)ud;
	over = false;
	P *home = load_relaxed(&gp->p);
	sim_go(outside, NULL);
	b = bubble_new(home, gp);
	G *first = sim_go(spawns, &n);
	bubble_join(b, first);
	b->mainid = first->id;
	while (b->state == BUBBLE_RUNS || b->ngs > 0)
		CHECK_EQ(sim_park(gp, WR_SYNCTESTRUN, 0), 1);
	CHECK_EQ(b->state, BUBBLE_OVER);
	CHECK_EQ(n, 600);
	bubble_free(b);
	over = true;
	return GOUT_EXIT;
}

TEST(bubble_stays_on_its_p)
{
	sim_initprocs(4);
	for (int i = 0; i < 20; i++)
		CHECK(!sim_run(spawnrunner, NULL));
	sim_term();
}
