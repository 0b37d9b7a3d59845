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

struct hmutex {
	struct obj o;
	struct lock lock;
	bool locked;
	int32_t line;
};

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
/* False if there is nothing to wait for; else s is in the line. */
bool waitgroup_wait(struct hwaitgroup *wg, int32_t s);
void waitgroup_leave(struct hwaitgroup *wg, int32_t s);

/* Whether it is the caller's now; else s, if not 0, is in the line, and will own the
 * mutex when it is woken. */
bool mutex_lock(struct hmutex *m, int32_t s);
/* False if it was not locked. */
bool mutex_unlock(struct hmutex *m);
void mutex_leave(struct hmutex *m, int32_t s);

/* Sequentially consistent, as Go's sync/atomic. */
double anum_load(struct anum *a);
void anum_store(struct anum *a, double n);
double anum_add(struct anum *a, double n); /* the new value */
double anum_swap(struct anum *a, double n); /* the old value */
bool anum_cas(struct anum *a, double old, double n); /* by ==: NaN is never there */

#endif
