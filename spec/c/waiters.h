/* SPDX-License-Identifier: MIT */
/* waiters.h - goroutines that stand in the lines of mutexes and their kin: of p0, which no
 * thread runs; or one for each of several threads, which really waits. */
#ifndef LUAPARK_SPEC_WAITERS_H
#define LUAPARK_SPEC_WAITERS_H

#include "base/randord.h"
#include "sim.h"
#include "test.h"

/* The sudog of a new one. */
static inline int32_t waiter(void)
{
	return sim_sudog(&p0, sim_waiter(&p0));
}

/* s was the first that was woken of those not asked for yet, or (readied last) the last one. */
static inline void check_wokenby(int32_t s, int32_t wake, int32_t done)
{
	const G *gp = runqget(&p0);
	CHECK_EQ(gp ? gp->slot : 0, sudogs.g[s]);
	CHECK_EQ(gp->wake, wake);
	CHECK_EQ(sudogs.done[s], done);
}

static inline void check_woken(int32_t s)
{
	check_wokenby(s, 1, DONE_VAL);
}

/* Its time has passed; its G has not run since. */
static inline void timedout(int32_t s)
{
	CHECK(sudogdecide(s, DONE_YES));
}

enum { NTHREAD = 3 };

static P *pp[NTHREAD];
static M ms[NTHREAD];
static G *gs[NTHREAD];

static inline void init_threads(void)
{
	sim_init((struct schedops){0});
	for (int i = 0; i < NTHREAD; i++) {
		pp[i] = sim_newp(&ms[i]);
		gs[i] = sim_waiter(pp[i]);
	}
}

/* A number from 0 to n - 1, for thread i. */
static inline uint32_t dice(int i, uint32_t n)
{
	return randnext(&pp[i]->rand) % n;
}

/* Waits, with s in a line: what the waker says; or, sometimes, 0, having given up. */
static inline int32_t await_or_not(int i, int32_t s, bool maygiveup)
{
	if (maygiveup && dice(i, 4) == 0 && sudogdecide(s, DONE_YES))
		return 0;
	return sim_await(gs[i]);
}

#endif
