/* SPDX-License-Identifier: MIT */
/* Gs that are locked to a thread, also where there can be no further one. */
#include <stdlib.h>

#include "base/os.h"
#include "base/randord.h"
#include "sim.h"
#include "test.h"

static atomic_u32 ndone;

/* Whatever gp does, once it is locked. */
static void stays(G *gp, int n)
{
	const M *mp = getm();
	for (int i = n; i > 0; i--) {
		switch (i % 3) {
		case 0:
			sim_gosched(gp);
			break;
		case 1:
			sim_sleep(gp, 1000);
			break;
		case 2:
			sim_block(gp, i % 2 * 50000);
			break;
		}
		CHECK(getm() == mp && mp->lockedg == gp);
	}
}

static enum gout locked(G *gp, void *ud)
{
	CHECK(lockosthread(gp));
	stays(gp, (int)(intptr_t)ud);
	CHECK(unlockosthread(gp));
	CHECK(!unlockosthread(gp));
	fetch_add_seqcst(&ndone, 1);
	return GOUT_EXIT;
}

/* Nobody else ever runs where a locked one lives. */
static enum gout neverthere(G *gp, void *ud)
{
	for (int i = (int)(intptr_t)ud; i > 0; i--) {
		CHECK(getm()->lockedg == NULL);
		sim_gosched(gp);
	}
	fetch_add_seqcst(&ndone, 1);
	return GOUT_EXIT;
}

static enum gout startlocked(G *gp, void *ud)
{
	for (int i = 0; i < 4; i++) {
		sim_go(locked, ud);
		sim_spawn(locked, ud);
		sim_go(neverthere, ud);
		sim_spawn(neverthere, ud);
	}
	return locked(gp, ud); /* on m0 */
}

static void locks(uint32_t n)
{
	sim_initprocs(n);
	CHECK(sim_run(startlocked, (void *)60) == NULL);
	CHECK_EQ(ndone, 17);
	CHECK_EQ(gcount(), 0);
	CHECK(m0.lockedg == NULL);
	sim_term();
}

TEST(locked_stay_on_their_thread_1) { locks(1); }
TEST(locked_stay_on_their_thread_4) { locks(4); }
TEST(locked_stay_on_their_thread_stress)
{
	setenv("LUAPARK_DEBUG", "stress", 1);
	locks(4);
}

/* m0 wants p0 back at the moment in which a locked G gets it. */
static enum gout m0comesback(G *gp, void *ud)
{
	for (int i = 0; i < 4; i++)
		sim_go(locked, ud);
	uint32_t rand = 7;
	while (load_relaxed(&ndone) < 4)
		sim_block(gp, randnext(&rand) % 300000);
	return GOUT_EXIT;
}

TEST(locked_while_m0_blocks)
{
	sim_initprocs(1);
	for (int i = 0; i < 10; i++) {
		store_relaxed(&ndone, 0);
		CHECK(sim_run(m0comesback, (void *)100) == NULL);
		CHECK_EQ(ndone, 4);
		CHECK_EQ(gcount(), 0);
	}
	sim_term();
}

/* Its end takes the thread along. */
static enum gout endslocked(G *gp, void *ud)
{
	(void)ud;
	CHECK(lockosthread(gp));
	CHECK(lockosthread(gp));
	CHECK(unlockosthread(gp)); /* once is not enough */
	CHECK(gp->flags & GF_LOCKED);
	sim_sleep(gp, 1000);
	fetch_add_seqcst(&ndone, 1);
	return GOUT_EXIT;
}

enum { FEW = 10 }; /* some that take over, and the monitor */
static int nthreads;

static enum gout startendslocked(G *gp, void *ud)
{
	for (int i = 0; i < 20; i++)
		sim_go(endslocked, ud);
	while (load_relaxed(&ndone) < 20)
		sim_sleep(gp, 100000);
	/* None of their 20 threads was kept. */
	for (int i = 0; i < 1000 && test_nthreads() > nthreads + FEW; i++)
		sim_sleep(gp, 1000000);
	CHECK(test_nthreads() <= nthreads + FEW);
	return GOUT_EXIT;
}

TEST(locked_end_takes_the_thread)
{
	nthreads = test_nthreads();
	sim_initprocs(1);
	CHECK(sim_run(startendslocked, NULL) == NULL);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* The run ends while they wait. */
static enum gout stopslocked(G *gp, void *ud)
{
	for (int i = 0; i < 3; i++)
		sim_go(locked, (void *)1000000);
	CHECK(lockosthread(gp));
	for (int i = 0; i < 20; i++)
		sim_sleep(gp, 10000);
	schedstop(ud);
	sim_sleep(gp, 1000000000);
	return GOUT_EXIT;
}

TEST(locked_killed)
{
	nthreads = test_nthreads();
	sim_initprocs(2);
	for (int i = 0; i < 20; i++) {
		CHECK_STR(sim_run(stopslocked, "stop"), "stop");
		gkillall();
		CHECK_EQ(gcount(), 0);
		CHECK(m0.lockedg == NULL);
	}
	for (int i = 0; i < 1000 && test_nthreads() > nthreads + FEW; i++)
		os_nanosleep(1000000);
	CHECK(test_nthreads() <= nthreads + FEW);
	sim_term();
}

/* The world stops at the moment in which a locked G gets its P. */
static enum gout resizes(G *gp, void *ud)
{
	(void)ud;
	for (int i = 0; i < 100; i++) {
		procresize(3 + i % 2);
		sim_sleep(gp, 20000);
	}
	return GOUT_EXIT;
}

static enum gout startresized(G *gp, void *ud)
{
	sim_spawn(resizes, NULL);
	sim_go(resizes, NULL);
	return startlocked(gp, ud);
}

TEST(locked_while_the_world_stops)
{
	sim_initprocs(4);
	CHECK(sim_run(startresized, (void *)300) == NULL);
	CHECK_EQ(ndone, 17);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* Threads are few -------------------------------------------------------------------- */

static atomic_u32 nlocked, nrefused;
static int tries;

/* Tries again and again to be locked, until it is or has tried often enough. */
static bool lockatlast(G *gp)
{
	for (int i = 0; !lockosthread(gp); i++) {
		CHECK(!(gp->flags & GF_LOCKED) && getm()->lockedg == NULL && !unlockosthread(gp));
		fetch_add_seqcst(&nrefused, 1);
		if (i == tries)
			return false;
		sim_sleep(gp, 20000);
	}
	fetch_add_seqcst(&nlocked, 1);
	return true;
}

static enum gout lockedatlast(G *gp, void *ud)
{
	if (!lockatlast(gp))
		return neverthere(gp, ud);
	stays(gp, (int)(intptr_t)ud);
	CHECK(unlockosthread(gp));
	fetch_add_seqcst(&ndone, 1);
	return GOUT_EXIT;
}

static enum gout startfew(G *gp, void *ud)
{
	for (int i = 0; i < 4; i++) {
		sim_go(lockedatlast, ud);
		sim_spawn(lockedatlast, ud);
		sim_go(neverthere, ud);
		sim_spawn(neverthere, ud);
	}
	return lockedatlast(gp, ud);
}

static void few(int threads, uint32_t procs, int n)
{
	tries = n;
	sim_initprocs(procs);
	test_fewthreads(threads); /* the first is the monitor's */
	CHECK(sim_run(startfew, (void *)60) == NULL);
	test_fewthreads(-1);
	CHECK_EQ(ndone, 17);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(sched.nsyscall, 0);
	sim_term();
}

TEST(locked_without_threads)
{
	few(1, 1, 3);
	CHECK_EQ(nlocked, 0);
	CHECK_EQ(nrefused, 9 * 4);
}

/* One is enough for all, one after the other: it comes back when who was locked is no more. */
TEST(locked_with_one_thread)
{
	few(2, 1, INT32_MAX);
	CHECK_EQ(nlocked, 9);
	CHECK(nrefused > 0);
}

TEST(locked_with_three_threads)
{
	few(4, 1, INT32_MAX);
	CHECK_EQ(nlocked, 9);
	CHECK(nrefused > 0);
}

/* What is left when there are more Ps. */
TEST(locked_with_six_threads_4)
{
	few(7, 4, 10);
	CHECK(nrefused > 0);
}

TEST(locked_with_six_threads_stress)
{
	setenv("LUAPARK_DEBUG", "stress", 1);
	few(7, 4, 10);
}

/* They end, and each takes a thread along, until there is no other. */
static enum gout endsifitcan(G *gp, void *ud)
{
	(void)ud;
	fetch_add_seqcst(lockosthread(gp) ? &nlocked : &nrefused, 1);
	for (int i = 0; i < 3; i++)
		sim_sleep(gp, 1000);
	fetch_add_seqcst(&ndone, 1);
	return GOUT_EXIT;
}

static enum gout startends(G *gp, void *ud)
{
	for (int i = 0; i < 20; i++) {
		sim_go(endsifitcan, NULL);
		sim_sleep(gp, 1000);
	}
	return endsifitcan(gp, ud);
}

static void fewend(uint32_t procs)
{
	sim_initprocs(procs);
	test_fewthreads(8);
	CHECK(sim_run(startends, NULL) == NULL);
	test_fewthreads(-1);
	CHECK_EQ(ndone, 21);
	CHECK_EQ(nlocked + nrefused, 21);
	CHECK(nlocked > 0);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

TEST(locked_end_with_seven_threads_1) { fewend(1); }
TEST(locked_end_with_seven_threads_4) { fewend(4); }
