/* SPDX-License-Identifier: MIT */
/* sync.h - wait groups, mutexes and atomics that several Ps share.
 *
 * As with channels (chan.h) nothing here parks: who must wait has its sudog put into the
 * line under the lock.  Any M. */
#ifndef LUAPARK_PARK_SYNC_H
#define LUAPARK_PARK_SYNC_H

#include "base/lock.h"
#include "park/obj.h"
#include "park/sudog.h"

struct hwaitgroup {
	struct obj o;
	struct lock lock;
	double count;
	int32_t line;
};

/* Go's mutex, in one of two modes.  Normally who unlocks lets go of it and wakes the longest
 * waiting, which has to compete with whoever comes by: it stays the first in the line until it
 * has won.  That is fast, and unfair.  So a waiter that has lost when it has waited for more
 * than a millisecond makes the mutex starving: now it is handed from who unlocks to the
 * longest waiting, without ever being free, until a waiter gets it that has waited for less,
 * or is the last one. */
struct hmutex {
	struct obj o;
	struct lock lock;
	bool locked, starving;
	int32_t line;
};

/* What a waiter is woken with. */
enum { MUTEX_FREE = 1, MUTEX_YOURS };

/* A number that all may change; its bits, since C has no atomic double to add to. */
struct anum {
	struct obj o;
	atomic_u64 bits;
};

/* NULL when memory is out. */
struct hwaitgroup *waitgroup_new(void);
struct hmutex *mutex_new(void);
struct anum *anum_new(double n);

/* False if the counter would become negative; then it is as it was. */
bool waitgroup_add(struct hwaitgroup *wg, double n);
/* False if there is nothing to wait for; else s, if not 0, is in the line. */
bool waitgroup_wait(struct hwaitgroup *wg, int32_t s);
void waitgroup_leave(struct hwaitgroup *wg, int32_t s);

/* Whether it is the caller's now, and s out of the line; else s, if not 0, waits in it: at
 * the end, or where it stands, if it was woken in vain.  starving: it has waited for long. */
bool mutex_lock(struct hmutex *m, int32_t s, bool starving);
/* For who was woken with MUTEX_YOURS.  starving: whether it had waited for long. */
void mutex_inherit(struct hmutex *m, bool starving);
/* False if it was not locked. */
bool mutex_unlock(struct hmutex *m);
/* s, which waits no more, leaves the line; if it was woken for a mutex that is free, another
 * one is. */
void mutex_leave(struct hmutex *m, int32_t s);

/* Sequentially consistent, as Go's sync/atomic. */
double anum_load(struct anum *a);
void anum_store(struct anum *a, double n);
double anum_add(struct anum *a, double n); /* the new value */
double anum_swap(struct anum *a, double n); /* the old value */
bool anum_cas(struct anum *a, double old, double n); /* by ==: NaN is never there */
/* Bit by bit, in two's complement: the old value; or NaN, and nothing was done, if that is no
 * whole number from -2^53 to 2^53 - 1.  n is one. */
double anum_and(struct anum *a, double n);
double anum_or(struct anum *a, double n);

#endif
