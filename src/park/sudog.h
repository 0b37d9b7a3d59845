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
 * A sudog is an index into six arrays of numbers; 0 is none.  Arrays and not an
 * array of structs, because reading a number through FFI allocates nothing even
 * in the interpreter, and so no finalizer can run while a line is in the middle
 * of a change.  They belong to the P that took them. */
#ifndef LUAPARK_PARK_SUDOG_H
#define LUAPARK_PARK_SUDOG_H

#include <stdint.h>

#include "sched/sched.h"

struct sudogs {
	int32_t *next, *prev; /* the circular line; next also links the free list */
	int32_t *g;	      /* slot of the waiting G */
	int32_t *own;	      /* the sudog that stands for the whole wait */
	int32_t *index;	      /* of the case in its select */
	int32_t *done;	      /* in `own`: the wait has been decided */
};

extern struct sudogs sudogs;

void sudogs_init(void);

/* Refills pp's empty free list.  false when the table is full. */
bool sudogrefill(P *pp);

/* The wait of gp has been decided. */
void sudogdone(const G *gp);

#endif
