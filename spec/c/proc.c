/* SPDX-License-Identifier: MIT */
/* The scheduler's loop; its poller and timers are fakes here. */
#include <errno.h>
#include <string.h>

#include "base/os.h"
#include "sim.h"
#include "test.h"

static int npolls, nblocked;
static int64_t lastuntil;
static G *wakeonblock; /* readied when the poller was asked to block */

static void fakepoll(P *pp)
{
	CHECK(pp == &p0);
	CHECK(getg() == NULL);
	CHECK_EQ(pp->status, Prunning);
	npolls++;
	if (wakeonblock && nblocked > 0) {
		G *gp = wakeonblock;
		wakeonblock = NULL;
		goready(gp, 77);
	}
}

static void fakeblock(P *pp, int64_t until)
{
	CHECK(pp == &p0);
	CHECK(getg() == NULL);
	CHECK_EQ(pp->status, Pidle);
	CHECK(until != 0);
	nblocked++;
	lastuntil = until;
	CHECK(nblocked < 1000);
}

static int64_t notimers(P *pp, int64_t now)
{
	(void)pp;
	(void)now;
	return 0;
}

static const struct schedops fakes = {.netpoll = fakepoll, .netblock = fakeblock, .timers = notimers};

static enum gout say(G *gp, void *ud)
{
	(void)gp;
	sim_log("%s ", (const char *)ud);
	return GOUT_EXIT;
}

/* Order -------------------------------------------------------------------- */

static enum gout gothree(G *gp, void *ud)
{
	(void)ud;
	sim_go(say, "a");
	sim_go(say, "b");
	sim_go(say, "c");
	CHECK(getg() == gp);
	CHECK(getm() == &m0);
	CHECK_EQ(p0.view.cur, gp->slot);
	sim_log("main ");
	return GOUT_EXIT;
}

/* As in Go: the last one readied is next, the others keep their order. */
TEST(proc_go_order)
{
	sim_init(fakes);
	sim_inorder();
	CHECK(sim_run(gothree, NULL) == NULL);
	CHECK_STR(sim_logged, "main c a b ");
	CHECK_EQ(gcount(), 0);
	CHECK(getm() == NULL);
	CHECK(p0.m == NULL && m0.p == NULL && m0.curg == NULL);
	CHECK_EQ(p0.view.cur, 0);
	CHECK_EQ(p0.schedtick, 4);
	CHECK_EQ(p0.nhome, 0);
	CHECK_EQ(p0.status, Phost);
	CHECK_EQ(sched.nrunning, 0);
	CHECK(sched.dead && sched.halted);
	CHECK_EQ(sched.stopping, STOP_EXIT); /* until the next run */
	CHECK_EQ(sim_nfreestacks(), 1);
	sim_term();
}

/* Step bodies: ud says how often they were called. */
static enum gout yielding(G *gp, void *ud)
{
	int *n = ud;
	sim_log("%d%c ", (int)gp->slot, 'a' + (*n)++);
	return *n == 3 ? GOUT_EXIT : GOUT_GOSCHED;
}

static enum gout yieldingdeep(G *gp, void *ud)
{
	int *n = ud;
	for (; *n < 3; ++*n) {
		sim_log("%d%c ", (int)gp->slot, 'a' + *n);
		if (*n < 2)
			sim_gosched(gp);
	}
	return GOUT_EXIT;
}

TEST(proc_gosched_turns)
{
	int n[3] = {0};
	sim_init(fakes);
	sim_inorder();
	sim_go(yielding, &n[0]);
	sim_go(yielding, &n[1]);
	sim_go(yieldingdeep, &n[2]);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_STR(sim_logged, "3a 1a 2a 3b 1b 2b 3c 1c 2c ");
	sim_term();
}

/* A chain of go runs depth first, through next, before what was queued earlier. */
static enum gout chain(G *gp, void *ud)
{
	(void)gp;
	int *n = ud;
	sim_log("%d ", *n);
	if (--*n > 0)
		sim_go(chain, n);
	return GOUT_EXIT;
}

TEST(proc_next_runs_before_queue)
{
	int n = 4;
	sim_init(fakes);
	sim_inorder();
	sim_go(say, "last");
	CHECK(sim_run(chain, &n) == NULL);
	CHECK_STR(sim_logged, "4 3 2 1 last ");
	sim_term();
}

/* Parking ------------------------------------------------------------------ */

static enum gout pair(G *gp, void *ud)
{
	G **peer = ud;
	for (int i = 0; i < 3; i++) {
		sim_log("%d ", (int)gp->slot);
		if (*peer && readgstatus(*peer) == Gwaiting)
			goready(*peer, i);
		if (i < 2)
			sim_park(gp, WR_USER, 0);
	}
	return GOUT_EXIT;
}

TEST(proc_park_ready_turns)
{
	G *a = NULL, *b = NULL;
	sim_init(fakes);
	sim_inorder();
	b = sim_go(pair, &a);
	a = sim_go(pair, &b);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_STR(sim_logged, "2 1 2 1 2 1 ");
	CHECK_EQ(gcount(), 0);
	sim_term();
}

static enum gout parkonce(G *gp, void *ud)
{
	bool deep = *(bool *)ud;
	if (gp->nval == 0) { /* the step: nothing else uses it here */
		gp->nval = 1;
		gp->reason = WR_CHANRECV;
		if (!deep)
			return GOUT_PARK;
		CHECK(cstack_spare(&p0.stacks));
		gopark_stk(gp);
	}
	CHECK_EQ(p0.view.wake, -5);
	CHECK_EQ(gp->wake, -5);
	gp->nval = 0;
	return GOUT_EXIT;
}

static enum gout readier(G *gp, void *ud)
{
	G *other = ud;
	CHECK_EQ(readgstatus(other), Gwaiting);
	CHECK_EQ(other->reason, WR_CHANRECV);
	CHECK(other->waitsince > 0 && other->waitsince <= nanotime());
	uint32_t seq = other->parkseq;
	goready(other, -5);
	CHECK_EQ(readgstatus(other), Grunnable);
	CHECK_EQ(seq % 2, 0); /* goready cannot claim it: it is not in gopark */
	CHECK_EQ(other->parkseq, seq + 2);
	CHECK_EQ(readgstatus(gp), Grunning);
	return GOUT_EXIT;
}

static void parkready(bool deep)
{
	sim_init(fakes);
	G *gp = sim_go(parkonce, &deep);
	CHECK(mstart(&m0, &p0) == NULL); /* it waits for ever: nothing is alive */
	CHECK_EQ(gcount(), 1);
	CHECK_EQ((gp->stk != NULL), deep);
	CHECK(sim_run(readier, gp) == NULL);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(nblocked, 0);
	sim_term();
}

TEST(proc_park_yielding)
{
	parkready(false);
}

TEST(proc_park_keeping_stack)
{
	parkready(true);
}

/* However many park by a yield, they take turns on one C stack. */
static enum gout parkyield(G *gp, void *ud)
{
	(void)ud;
	if (gp->nval++ == 0)
		return GOUT_PARK;
	gp->nval = 0;
	return GOUT_EXIT;
}

TEST(proc_parked_hold_no_stack)
{
	static G *gs[1000];
	sim_init(fakes);
	for (int i = 0; i < 1000; i++)
		gs[i] = sim_go(parkyield, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 1000);
	for (int i = 0; i < 1000; i++) {
		CHECK(gs[i]->stk == NULL);
		goready(gs[i], 0);
	}
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(sim_nfreestacks(), 1);
	sim_term();
}

/* Many wait in the depth of calls, are woken in any order, and find their
 * frames as they left them. */
enum { NDEEP = 100 };

static __attribute__((noinline)) uint32_t frames(G *gp, int depth)
{
	volatile uint32_t frame[32];
	for (int i = 0; i < 32; i++)
		frame[i] = gp->slot * 1000 + (uint32_t)depth;
	if (depth > 0)
		frames(gp, depth - 1);
	else
		for (int i = 0; i < 5; i++)
			CHECK_EQ(sim_park(gp, WR_USER, 0), (int32_t)gp->slot);
	for (int i = 0; i < 32; i++)
		CHECK_EQ(frame[i], gp->slot * 1000 + (uint32_t)depth);
	return frame[0];
}

static enum gout deepparker(G *gp, void *ud)
{
	(void)ud;
	frames(gp, (int)(gp->slot % 40));
	return GOUT_EXIT;
}

static enum gout randomreadier(G *gp, void *ud)
{
	G **gs = ud;
	for (int left = NDEEP; left > 0;) {
		left = 0;
		for (int i = 0; i < NDEEP; i++) {
			left += readgstatus(gs[i]) != Gdead;
			if (readgstatus(gs[i]) == Gwaiting && test_rand() % 3 == 0)
				goready(gs[i], (int32_t)gs[i]->slot);
		}
		sim_gosched(gp);
	}
	return GOUT_EXIT;
}

TEST(proc_many_kept_stacks)
{
	static G *gs[NDEEP];
	sim_init(fakes);
	for (int i = 0; i < NDEEP; i++)
		gs[i] = sim_go(deepparker, NULL);
	CHECK(sim_run(randomreadier, gs) == NULL);
	CHECK_EQ(gcount(), 0);
	int n = sim_nfreestacks();
	CHECK(n > NDEEP && n <= NDEEP + 2);
	sim_term();
}

static void readyrunnable(void)
{
	sim_init(fakes);
	goready(sim_go(say, ""), 0);
}

static void readylastrunnable(void)
{
	sim_init(fakes);
	goreadylast(sim_go(say, ""), 0);
}

TEST(proc_ready_only_of_waiting)
{
	CHECK_THROWS(readyrunnable, "bad g status");
	CHECK_THROWS(readylastrunnable, "bad g status");
}

/* Readied after it has told where it waits and before it parks: the park does
 * not wait, and only this one. */
static enum gout readyself(G *gp, void *ud)
{
	(void)ud;
	sim_go(say, "other");
	goready(gp, 42);
	CHECK_EQ(readgstatus(gp), Grunning);
	CHECK_EQ(sim_park(gp, WR_CHANRECV, 0), 42);
	sim_log("back ");
	sim_park(gp, WR_CHANRECV, 0);
	sim_log("never ");
	return GOUT_EXIT;
}

TEST(proc_ready_before_park)
{
	sim_init(fakes);
	sim_inorder();
	CHECK(sim_run(readyself, NULL) == NULL);
	CHECK_STR(sim_logged, "back other ");
	CHECK_EQ(gcount(), 1);
	sim_term();
}

/* goready: next; goreadylast: behind all others. */
static enum gout saywoken(G *gp, void *ud)
{
	sim_park(gp, WR_USER, 0);
	return say(gp, ud);
}

static enum gout wakeall(G *gp, void *ud)
{
	G **gs = ud;
	sim_go(say, "new");
	goreadylast(gs[0], 0);
	goreadylast(gs[1], 0);
	goready(gs[2], 0);
	(void)gp;
	return GOUT_EXIT;
}

TEST(proc_ready_next_and_last)
{
	G *gs[3];
	sim_init(fakes);
	sim_inorder();
	gs[0] = sim_go(saywoken, "last1");
	gs[1] = sim_go(saywoken, "last2");
	gs[2] = sim_go(saywoken, "next");
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK(sim_run(wakeall, gs) == NULL);
	CHECK_STR(sim_logged, "next last1 last2 new ");
	sim_term();
}

/* unlockf ------------------------------------------------------------------ */

enum answer { YES, NO, READY_YES, READY_NO };

static enum answer answer;
static int nunlocked;

static bool unlockf(G *gp)
{
	CHECK(getg() == NULL);
	CHECK_EQ(p0.view.cur, 0);
	CHECK_EQ(readgstatus(gp), Gwaiting);
	nunlocked++;
	if (answer == READY_YES || answer == READY_NO)
		goready(gp, 1);
	return answer == YES || answer == READY_YES;
}

static enum gout userpark(G *gp, void *ud)
{
	bool deep = *(bool *)ud;
	if (gp->nval == 0) {
		gp->nval = 1;
		sim_go(say, "other");
		gp->reason = WR_USER;
		gp->flags |= GF_GOPARK;
		if (!deep)
			return GOUT_PARK;
		CHECK(cstack_spare(&p0.stacks));
		gopark_stk(gp);
	}
	gp->nval = 0;
	sim_log("back ");
	return GOUT_EXIT;
}

static void unlocking(enum answer a, bool deep, const char *logged, uint32_t nlive)
{
	struct schedops ops = fakes;
	ops.unlockf = unlockf;
	answer = a;
	sim_init(ops);
	sim_inorder();
	CHECK(sim_run(userpark, &deep) == NULL);
	CHECK_STR(sim_logged, logged);
	CHECK_EQ(nunlocked, 1);
	CHECK_EQ(gcount(), nlive);
	CHECK_EQ(p0.nevent, 0);
	sim_term();
}

TEST(proc_unlockf_true)
{
	unlocking(YES, false, "other ", 1);
}

TEST(proc_unlockf_true_deep)
{
	unlocking(YES, true, "other ", 1);
}

/* Resumed at once: before the one that was next. */
TEST(proc_unlockf_false)
{
	unlocking(NO, false, "back other ", 0);
}

TEST(proc_unlockf_false_deep)
{
	unlocking(NO, true, "back other ", 0);
}

TEST(proc_unlockf_readies)
{
	unlocking(READY_YES, false, "back other ", 0);
}

/* It runs once, not twice. */
TEST(proc_unlockf_readies_and_refuses)
{
	unlocking(READY_NO, false, "back other ", 0);
}

TEST(proc_unlockf_readies_and_refuses_deep)
{
	unlocking(READY_NO, true, "back other ", 0);
}

/* Only the user's gopark has one. */
TEST(proc_unlockf_only_for_gopark)
{
	struct schedops ops = fakes;
	ops.unlockf = unlockf;
	sim_init(ops);
	CHECK(sim_run(parkyield, NULL) == NULL);
	CHECK_EQ(nunlocked, 0);
	sim_term();
}

/* Ending ------------------------------------------------------------------- */

static volatile bool leave = true; /* or the compiler sees that the recursion never returns */

static __attribute__((noinline)) void exitdeep(G *gp, int depth)
{
	volatile char frame[200];
	memset((char *)frame, depth, sizeof frame);
	if (depth > 0)
		exitdeep(gp, depth - 1);
	else if (leave)
		goexit_stk(gp);
	CHECK(frame[0] == 99); /* never reached */
}

static enum gout exiting(G *gp, void *ud)
{
	(void)ud;
	sim_gosched(gp);
	exitdeep(gp, 30);
	return GOUT_EXIT;
}

/* A whole frame of memory that an old frame's poison would spoil. */
static __attribute__((noinline)) void useframes(int depth)
{
	volatile char frame[3000];
	memset((char *)frame, depth, sizeof frame);
	CHECK_EQ(frame[depth], depth);
	if (depth > 0)
		useframes(depth - 1);
}

static enum gout usestack(G *gp, void *ud)
{
	(void)gp;
	(void)ud;
	useframes(20);
	return GOUT_EXIT;
}

TEST(proc_goexit_from_depth)
{
	sim_init(fakes);
	for (int i = 0; i < 50; i++)
		sim_go(exiting, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 0);
	int n = sim_nfreestacks();
	CHECK(n >= 50 && n <= 52);
	for (int i = 0; i < 50; i++)
		sim_go(usestack, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(sim_nfreestacks(), n);
	sim_term();
}

static enum gout newborn(G *gp, void *ud)
{
	G *parent = ud;
	CHECK_EQ(gp->parent, parent->id);
	CHECK_EQ(gp->id, parent->id + 1);
	CHECK_EQ(gp->flags, 0);
	CHECK_EQ(gp->reason, WR_NONE);
	CHECK(gp->p == &p0);
	return GOUT_EXIT;
}

static enum gout parent(G *gp, void *ud)
{
	(void)ud;
	CHECK_EQ(gp->parent, 0);
	sim_go(newborn, gp);
	sim_gosched(gp);
	return GOUT_EXIT;
}

TEST(proc_ids_are_never_used_twice)
{
	sim_init(fakes);
	for (uint64_t i = 0; i < 10; i++) {
		G *gp = sim_go(parent, NULL);
		CHECK_EQ(gp->id, 2 * i + 1);
		CHECK(mstart(&m0, &p0) == NULL);
		CHECK_EQ(gp->id, 0);
		CHECK_EQ(readgstatus(gp), Gdead);
	}
	CHECK_EQ(p0.gtop, 3); /* two slots have served all */
	sim_term();
}

TEST(proc_ends_when_nothing_is_there)
{
	sim_init(fakes);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(nblocked, 0);
	sim_term();
}

/* Alive -------------------------------------------------------------------- */

static enum gout ioparker(G *gp, void *ud)
{
	int32_t *got = ud;
	*got = sim_park(gp, WR_IO, 0);
	return GOUT_EXIT;
}

TEST(proc_event_keeps_alive)
{
	int32_t got = 0;
	sim_init(fakes);
	wakeonblock = sim_go(ioparker, &got);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, 77);
	CHECK_EQ(nblocked, 1);
	CHECK_EQ(lastuntil, -1);
	CHECK_EQ(p0.nevent, 0);
	sim_term();
}

TEST(proc_daemon_keeps_nothing_alive)
{
	int32_t got = 0;
	sim_init(fakes);
	G *gp = sim_go(ioparker, &got);
	gsetdaemon(gp, true);
	CHECK_EQ(p0.nevent, 0);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(nblocked, 0);
	CHECK_EQ(p0.nevent, 0);
	CHECK_EQ(readgstatus(gp), Gwaiting);

	gsetdaemon(gp, false); /* while it waits */
	CHECK_EQ(p0.nevent, 1);
	gsetdaemon(gp, false);
	CHECK_EQ(p0.nevent, 1);
	gsetdaemon(gp, true);
	gsetdaemon(gp, true);
	CHECK_EQ(p0.nevent, 0);
	gsetdaemon(gp, false);
	goready(gp, 3);
	CHECK_EQ(p0.nevent, 0);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, 3);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* A slot's next G is no daemon because the last one was. */
TEST(proc_daemon_dies_with_g)
{
	int32_t got = 0;
	sim_init(fakes);
	G *gp = sim_go(say, "x");
	gsetdaemon(gp, true);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK(sim_go(ioparker, &got) == gp);
	wakeonblock = gp;
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, 77);
	sim_term();
}

static int64_t timerat1000(P *pp, int64_t now)
{
	(void)pp;
	(void)now;
	return 1000;
}

TEST(proc_blocks_until_next_timer)
{
	struct schedops ops = fakes;
	int32_t got = 0;
	ops.timers = timerat1000;
	sim_init(ops);
	wakeonblock = sim_go(ioparker, &got);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(lastuntil, 1000);
	CHECK_EQ(got, 77);
	sim_term();
}

static G *stopped;

static void stoptimer(G *gp)
{
	stopped = gp;
	gp->timer = NULL;
}

/* Whatever it waits for, a deadline keeps it alive, and is stopped when the
 * wait ends before. */
TEST(proc_deadline_keeps_alive)
{
	struct schedops ops = fakes;
	ops.stoptimer = stoptimer;
	sim_init(ops);
	G *gp = sim_go(parkyield, NULL);
	gp->timer = (struct timer *)&stopped;
	wakeonblock = gp;
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(nblocked, 1);
	CHECK(stopped == gp);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* A P that is never idle still looks at its network and its timers. */
static int ntimers;

static int64_t counttimers(P *pp, int64_t now)
{
	CHECK(now > 0 && now == pp->now);
	ntimers++;
	return 0;
}

static enum gout spin(G *gp, void *ud)
{
	int64_t end = nanotime() + 5 * (int64_t)1000000000;
	(void)ud;
	while ((npolls <= 5 || ntimers <= 10) && nanotime() < end)
		sim_gosched(gp);
	return GOUT_EXIT;
}

TEST(proc_busy_looks_around)
{
	struct schedops ops = fakes;
	ops.timers = counttimers;
	sim_init(ops);
	sim_go(spin, NULL);
	CHECK(sim_run(spin, NULL) == NULL);
	CHECK(npolls > 5);
	CHECK(ntimers > 10);
	CHECK_EQ(nblocked, 0);
	sim_term();
}

/* Stopping ----------------------------------------------------------------- */

static enum gout stopper(G *gp, void *ud)
{
	(void)gp;
	sim_log("stop ");
	schedstop(ud);
	return GOUT_EXIT;
}

TEST(proc_schedstop_leaves_the_rest)
{
	sim_init(fakes);
	sim_inorder();
	sim_go(say, "rest");
	CHECK_STR(sim_run(stopper, "because"), "because");
	CHECK_STR(sim_logged, "stop ");
	CHECK_EQ(gcount(), 1);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_STR(sim_logged, "stop rest ");
	CHECK_EQ(gcount(), 0);
	sim_term();
}

static enum gout restart(G *gp, void *ud)
{
	(void)gp;
	(void)ud;
	mstart(&m0, &p0);
	return GOUT_EXIT;
}

static void mstarttwice(void)
{
	sim_init(fakes);
	sim_run(restart, NULL);
}

TEST(proc_mstart_is_not_reentrant)
{
	CHECK_THROWS(mstarttwice, "mstart of an M that runs already");
}

TEST(proc_gkillall)
{
	static G *gs[40];
	int32_t got = 0;
	sim_init(fakes);
	for (int i = 0; i < 40; i++)
		gs[i] = i % 2 ? sim_go(deepparker, NULL) : sim_go(parkyield, NULL);
	G *io = sim_go(ioparker, &got);
	sim_go(stopper, "stop");
	while (readgstatus(io) != Gwaiting || readgstatus(gs[38]) != Gwaiting) {
		CHECK(mstart(&m0, &p0) != NULL);
		sim_go(stopper, "stop");
		while (p0.runq.next) /* stoppers go last */
			runqput(&p0, runqget(&p0), false);
	}
	CHECK_EQ(p0.nevent, 1);
	uint32_t seq = io->parkseq;
	for (int i = 0; i < 20; i++)
		sim_go(say, "never");
	CHECK_EQ(gcount(), 40 + 1 + 20 + 1); /* and a stopper */
	gkillall();
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(p0.nevent, 0);
	CHECK_EQ(p0.nhome, 0);
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(gnext(0) == NULL);
	CHECK_EQ(p0.gfree, 0); /* no coroutine may serve again */
	CHECK(io->parkseq != seq);
	for (uint32_t i = 1; i < p0.gtop; i++) {
		const G *gp = &sched.gs[i];
		CHECK_EQ(readgstatus(gp), Gdead);
		CHECK(gp->stk == NULL && gp->L == NULL && gp->id == 0);
	}
	/* And all goes on. */
	uint32_t gtop = p0.gtop;
	for (uint32_t i = 1; i < gtop; i++)
		sim_go(usestack, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(p0.gtop, gtop);
	CHECK(sim_logged[0] == 's' && !strstr(sim_logged, "never"));
	sim_term();
}

/* The stacks of the killed are as good as new ones, although nobody left the
 * frames on them. */
TEST(proc_gkillall_stacks_serve_again)
{
	sim_init(fakes);
	for (int i = 0; i < 50; i++)
		sim_go(deepparker, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 50);
	gkillall();
	int n = sim_nfreestacks();
	CHECK(n >= 50);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 50; i++)
			sim_go(usestack, NULL);
		for (int i = 0; i < 50; i++)
			sim_go(deepparker, NULL);
		CHECK(mstart(&m0, &p0) == NULL);
		gkillall();
	}
	CHECK_EQ(sim_nfreestacks(), n);
	sim_term();
}

/* Without a C stack -------------------------------------------------------- */

static enum gout nospare(G *gp, void *ud)
{
	(void)gp;
	(void)ud;
	CHECK(p0.stacks.free == NULL);
	os_failnth(1, ENOMEM);
	CHECK(!cstack_spare(&p0.stacks));
	CHECK_EQ(errno, ENOMEM);
	return GOUT_EXIT;
}

TEST(proc_no_spare_stack_is_told)
{
	sim_init(fakes);
	CHECK(sim_run(nospare, NULL) == NULL);
	CHECK_EQ(sim_nfreestacks(), 1);
	sim_term();
}
