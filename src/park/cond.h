/* SPDX-License-Identifier: MIT */
/* cond.h - a condition: who waits for it, oldest first, and what guards it.
 *
 * Only the line is here.  Letting go of the lock, parking, and taking it again is the
 * waiter's own affair.  Any M. */
#ifndef LUAPARK_PARK_COND_H
#define LUAPARK_PARK_COND_H

#include "base/lock.h"
#include "park/obj.h"
#include "park/sudog.h"

struct hcond {
	struct obj o;
	struct lock lock;
	int32_t line;
	struct obj *locker; /* the mutex or rwmutex; a reference.  NULL: known to one state alone */
};

/* NULL when memory is out. */
struct hcond *cond_new(void);

void cond_enlist(struct hcond *c, int32_t s);
/* Wakes the longest waiting, if anybody waits. */
void cond_signal(struct hcond *c);
void cond_wakeall(struct hcond *c);
void cond_leave(struct hcond *c, int32_t s);

#endif
