/* SPDX-License-Identifier: MIT */
/* timer.h - the timers of a P: a 4-ary heap, deadlines in nanoseconds.
 *
 * Two kinds: one that ends the wait of a parked G (sleep, a deadline), and one
 * that sends the time to a channel (after).  A P's Gs live on
 * that P, and so do their timers; only its owner touches them. */
#ifndef LUAPARK_PARK_TIMER_H
#define LUAPARK_PARK_TIMER_H

#include "base/heap.h"
#include "park/chan.h"
#include "sched/sched.h"

struct timer {
	uint32_t pos; /* in the heap; first, since the heap finds us by it */
	int64_t when; /* ns */
	G *gp;
	struct hchan *chan; /* gp == NULL: what gets the time; a reference of its own */
	struct timer *next; /* free list */
};

struct timers {
	struct heap heap;
	struct timer *free;
	uint32_t nchan; /* timers without a G */
};

void timers_init(P *pp);
void timers_term(P *pp);

/* now + ns without overflow: the far future is for ever. */
int64_t timer_when(int64_t now, int64_t ns);

/* gp, about to park, will be woken with wake 0 and GF_TIMEOUT at `when`.
 * Owner P only. */
void timer_park(G *gp, int64_t when);
/* The scheduler's stoptimer. */
void timer_unpark(G *gp);

/* Sends the time, in seconds, to c at `when`, if it has room; c is the timer's reference
 * now.  Owner P only. */
struct timer *timer_start(P *pp, int64_t when, struct hchan *c);
/* Owner P only; t must not have fired. */
void timer_stop(P *pp, struct timer *t);

/* The scheduler's timers: fires what is due; when the next one is, or 0. */
int64_t timers_run(P *pp, int64_t now);
/* The scheduler's pending, as far as timers know. */
bool timers_pending(P *pp);

#endif
