/* SPDX-License-Identifier: MIT */
/* sudog.h - a G in the waiting line of a channel, mutex or wait group.
 *
 * Lines are kept by Lua code (lua/luapark/waitq.lua) through FFI; this is the
 * memory they are kept in, and the one thing that C must know: how to tell the
 * line that a waiter has been woken by something else, its timer.
 *
 * A G that waits in several lines at once (select) has a sudog in each; the
 * first of them stands for the whole wait (`own` of all), and its `done` says
 * that somebody has won: whoever takes a sudog from a line must look there
 * first, and skip it when the wait is over.
 *
 * Sudogs are slots of one reserved array, named by index; 0 is none.  They
 * belong to the P that took them. */
#ifndef LUAPARK_PARK_SUDOG_H
#define LUAPARK_PARK_SUDOG_H

#include <stdint.h>

#include "sched/sched.h"

/* The layout is also written in lua/luapark/rt.lua. */
struct sudog {
	uint32_t next, prev; /* the circular line; next also links the free list */
	uint32_t g;	     /* slot of the waiting G */
	uint32_t own;	     /* the sudog that stands for the whole wait */
	int32_t index;	     /* of the case in its select */
	uint32_t done;	     /* in `own`: the wait has been decided */
};

struct sudog *sudogtable(void);

/* Refills pp's empty free list.  false when the table is full. */
bool sudogrefill(P *pp);

/* The wait of gp has been decided. */
void sudogdone(const G *gp);

#endif
