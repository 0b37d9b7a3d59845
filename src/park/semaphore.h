/* SPDX-License-Identifier: MIT */
/* semaphore.h - so many units, of which each takes some: golang.org/x/sync/semaphore.
 *
 * First come, first served.  Who is first in the line and wants much keeps back those behind
 * it that want little, or it might never have its turn.  Who wants more than there is waits
 * outside of the line, where it is in nobody's way.  Any M. */
#ifndef LUAPARK_PARK_SEMAPHORE_H
#define LUAPARK_PARK_SEMAPHORE_H

#include "base/lock.h"
#include "park/obj.h"
#include "park/sudog.h"

struct hsemaphore {
	struct obj o;
	struct lock lock;
	double size, held;
	int32_t line; /* what each wants is in sudogs.val */
};

/* NULL when memory is out. */
struct hsemaphore *semaphore_new(double size);

/* Whether the caller has n units more now; else s, if not 0, waits, and has them when it is
 * woken. */
bool semaphore_acquire(struct hsemaphore *sem, double n, int32_t s);
/* False if fewer were held; then it is as it was. */
bool semaphore_release(struct hsemaphore *sem, double n);
/* s, which waits no more, leaves the line: those behind it may fit. */
void semaphore_leave(struct hsemaphore *sem, int32_t s);

#endif
