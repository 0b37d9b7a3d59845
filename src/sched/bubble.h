/* SPDX-License-Identifier: MIT */
/* bubble.h - a test's own world of Gs, with its own clock; Go's testing/synctest.
 *
 * All Gs of a bubble live on one P, and whoever one of them starts is in it, too.  A G is
 * durably blocked when it waits for what only another G of its bubble, or the bubble's
 * clock, can bring about (enum waitreason says which waits are such).  When all of them
 * are, the first of these happens:
 *
 *   1. somebody waits for just that (synctest.wait): it goes on;
 *   2. the clock jumps to the next deadline, and all who wait until then go on; but not when
 *      the bubble's first G has ended;
 *   3. it is a deadlock, and the bubble ends.
 *
 * What always holds, but for Gs between two steps of the scheduler:
 *
 *   ngs == the Gs in the list
 *   nactive == those of them that are not durably blocked
 *   ndaemons == those of them that are daemons, and for whom a bubble does not go on
 *
 * Owner P only, all of it: no locks, no atomics, but the count of all bubbles. */
#ifndef LUAPARK_SCHED_BUBBLE_H
#define LUAPARK_SCHED_BUBBLE_H

#include "base/heap.h"
#include "sched/sched.h"

enum bubblestate {
	BUBBLE_RUNS,
	/* From here on whoever is left is ended, and may wait for nothing any more. */
	BUBBLE_OVER,	 /* all Gs that count have ended */
	BUBBLE_DEADLOCK, /* all are blocked, and nothing will come */
	BUBBLE_FAILED,	 /* a G has failed */
};

/* What a bubble knows of one of its Gs (G.inbubble). */
struct bubbled {
	uint32_t pos; /* of its deadline in the heap; first, since the heap finds us by it */
	bool durable; /* durably blocked */
	uint8_t refused; /* how often it wanted to wait after the bubble's end */
	uint64_t order; /* among equal deadlines: who has asked first goes first */
	G *gp;
	struct bubble *b;
	struct bubbled *next, *prev;
};

struct bubble {
	P *pp;
	int32_t id; /* from 1; never used twice */
	enum bubblestate state;
	uint32_t ngs, nactive, ndaemons;
	struct bubbled *gs; /* a circle, the oldest first; NULL: none */
	double now;	    /* seconds since it began */
	struct heap heap;   /* deadlines, see keyof */
	uint64_t norders;
	G *runner;    /* outside: waits for its end (WR_SYNCTESTRUN); NULL: is being killed */
	G *waiter;    /* of its Gs: waits for all others (WR_SYNCTESTWAIT); NULL */
	uint64_t mainid; /* its first G, and */
	bool mainended;	 /* whether that has ended */
	char *report; /* of BUBBLE_FAILED: what has been kept, or NULL */
	size_t reportlen;
	struct bubble *link; /* of the P's */
};

/* Waits of more seconds than that are for ever. */
#define BUBBLE_FAR 1e15

/* A new bubble on pp; its `runner` will wait for its end.  Owner P only. */
struct bubble *bubble_new(P *pp, G *runner);
/* Forgets one that no G is in any more.  Owner P only. */
void bubble_free(struct bubble *b);
/* The bubble of this id on pp, or NULL.  Owner P only. */
struct bubble *bubble_find(const P *pp, int32_t id);

/* The running G's, or NULL.  Owner P only. */
static inline struct bubble *bubble_current(const P *pp)
{
	return lp_likely(pp->view.bubble == 0) ? NULL : sched.gs[pp->view.cur].inbubble->b;
}

/* gp, fresh, is in it from now on.  Owner P only. */
void bubble_join(struct bubble *b, G *gp);

/* Seconds on the clock of whoever runs on this thread: its bubble's, or the real one's.  Any
 * M. */
double bubble_clock(void);

/* gp, about to park, will be woken with wake 0 and GF_TIMEOUT when its bubble's clock says
 * `when`.  Its wait is durable by that, whatever it is for.  Owner P only. */
void bubble_timer(G *gp, double when);

/* Whether the running G, of a bubble, must not wait any more, since that has ended. */
static inline bool bubble_isover(const G *gp)
{
	return gp->inbubble->b->state != BUBBLE_RUNS;
}

/* Makes gp the one that waits for all others: false if these are durably blocked already; but
 * *taken if another one waits.  It parks next.  Owner P only. */
bool bubble_await(G *gp, bool *taken);

/* The bubble ends for this reason, unless it has; its runner is told.  Owner P only. */
void bubble_end(struct bubble *b, enum bubblestate why);
/* The same as BUBBLE_FAILED, with a report that is kept. */
void bubble_fail(struct bubble *b, const char *report, size_t len);

/* What proc.c tells of a G that has GF_BUBBLE. */

/* It waits from now on. */
void bubble_parked(G *gp);
/* It has been parked for good: maybe it was the last one.  On g0. */
void bubble_turn(struct bubble *b);
/* It waits no more. */
void bubble_unparked(G *gp);
/* It is dead.  Its bubble, for bubble_turn. */
struct bubble *bubble_left(G *gp);
/* It becomes a daemon, or ceases to be one. */
void bubble_daemon(G *gp, bool on);

/* Every goroutine will be killed, runners, too; and has been.  The world is stopped. */
void bubble_killall(P *pp);
void bubble_forgetall(P *pp);

bool bubble_isvalid(const struct bubble *b);

#endif
