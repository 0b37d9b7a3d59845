/* SPDX-License-Identifier: MIT */
/* sudog.h - a G in the waiting line of a channel, mutex or wait group.
 *
 * Lines of what is at home on one P are kept by Lua code (lua/luapark/waitq.lua)
 * through FFI; lines of what several Ps share, here, under their object's lock.  Both
 * are made of the same memory, so that what was at home can become shared while Gs wait
 * in it.
 *
 * A G that waits in several lines at once (select) has a sudog in each; the
 * first of them stands for the whole wait (`own` of all), and its `done` says
 * whether somebody has won: whoever takes a sudog from a line must look there
 * first, and skip it when the wait is over.  While all lines are at home, `done` is a
 * plain word of the P; if one of them is shared it is decided by compare-and-swap, Go's
 * selectDone.
 *
 * A sudog is an index into arrays of numbers; 0 is none.  Arrays and not an
 * array of structs, because reading a number through FFI allocates nothing even
 * in the interpreter, and so no finalizer can run while a line is in the middle
 * of a change.  They belong to the P that took them, from a range of its own. */
#ifndef LUAPARK_PARK_SUDOG_H
#define LUAPARK_PARK_SUDOG_H

#include <stdint.h>

#include "park/val.h"
#include "sched/sched.h"

/* `done` of a sudog that stands for a wait. */
enum sudogdone {
	DONE_NO,     /* undecided, and all lines are at home */
	DONE_YES,    /* decided; a value, if any, is where the home P keeps it */
	DONE_SHARED, /* undecided, and a line is shared: compare and swap */
	DONE_VAL,    /* decided; a value, if any, is in `val` of the sudog that won */
	DONE_WOKEN,  /* decided until it waits again: the G is awake and competes, its sudog keeps its place */
};

struct sudogs {
	int32_t *next, *prev; /* the circular line; next also links the free list; prev 0: in no line */
	int32_t *g;	      /* slot of the waiting G */
	int32_t *own;	      /* the sudog that stands for the whole wait */
	int32_t *index;	      /* of the case in its select */
	atomic_i32 *done;     /* in `own`: enum sudogdone */
	struct val *val;      /* what a sender brings, or a receiver is given, in shared lines, and */
			      /* how much is to be acquired; of a free sudog it holds no memory */
};

extern struct sudogs sudogs;

void sudogs_init(void);

/* No G waits any more, nor is there an object in whose line one could stand: all are as they
 * were at the start. */
void sudogs_reset(void);

/* The sudog before the first one of pp: the Lua floor's tables count from there. */
int32_t sudogbase(const P *pp);

/* Refills pp's empty free list.  false when its range is used up. */
bool sudogrefill(P *pp);

/* Decides the wait that `own` stands for: false if somebody has already.  how: DONE_YES,
 * DONE_VAL or DONE_WOKEN.  Any M if a line is shared, else the home P's. */
bool sudogdecide(int32_t own, enum sudogdone how);

/* All Gs were killed: whoever stands in a line is passed over from now on.  The world is
 * stopped. */
void sudogvoid(void);

/* Lines that are shared.  Holding their object's lock. */

void lineput(int32_t *line, int32_t s);
/* Takes s out if it still stands there. */
void lineleave(int32_t *line, int32_t s);
/* The longest waiting whose wait was undecided; it is decided now.  0: none. */
int32_t lineget(int32_t *line);
/* Whether somebody's wait is undecided, as it seems. */
bool linewaits(int32_t line);
/* The longest waiting whose wait seems undecided, still in its place.  0: none. */
int32_t linefirst(int32_t *line);
/* The longest waiting, to be woken: it competes for what it waits for, and keeps its place
 * until it has won or gives up (DONE_WOKEN).  0: none, or it is awake already. */
int32_t linerouse(int32_t *line);
/* All whose wait was undecided, chained by next, and the line is empty. */
int32_t linetakeall(int32_t *line);

/* Tells the G of s, whose wait we have decided; code > 0, or < 0 for the end of what it
 * waited for: 1 and -1, or by the case's number in a select. */
void sudogready(int32_t s, int32_t code);
/* The same for a chain that linetakeall made. */
void sudogreadyall(int32_t s, int32_t code);

#endif
