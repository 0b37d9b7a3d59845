/* SPDX-License-Identifier: MIT */
/* timer.h - the timers of a P: a 4-ary heap, deadlines in nanoseconds.
 *
 * A timer ends the wait of a parked G, which lives on that P; only its owner touches
 * them.  What Lua calls a timer is a channel that looks at the clock when somebody looks
 * at it (chan.h), and is here while a G waits for it, as in Go since 1.23. */
#ifndef LUAPARK_PARK_TIMER_H
#define LUAPARK_PARK_TIMER_H

#include "base/heap.h"
#include "sched/sched.h"

struct timer {
	uint32_t pos; /* in the heap; first, since the heap finds us by it */
	int64_t when; /* ns */
	G *gp;
	struct timer *next; /* free list */
};

struct timers {
	struct heap heap;
	struct timer *free;
};

void timers_init(P *pp);
void timers_term(P *pp);

/* The real clock, in seconds: what lp.now() says outside of bubbles.  Any M. */
double clocknow(void);

/* Seconds as nanoseconds, rounded up; less than 0 is 0, and 292 years are for ever. */
int64_t nanoseconds(double s);

/* now + ns without overflow: the far future is for ever. */
int64_t timer_when(int64_t now, int64_t ns);

/* gp, about to park, will be woken with wake 0 and GF_TIMEOUT at `when`.
 * Owner P only. */
void timer_park(G *gp, int64_t when);
/* The same in ns from now. */
void timer_parkfor(G *gp, int64_t ns);
/* The scheduler's stoptimer. */
void timer_unpark(G *gp);
/* The scheduler's decide. */
bool timer_decide(const G *gp);

/* The scheduler's timers: fires what is due; when the next one is, or 0. */
int64_t timers_run(P *pp, int64_t now);

#endif
