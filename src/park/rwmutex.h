/* SPDX-License-Identifier: MIT */
/* rwmutex.h - a lock that many readers hold, or one writer.
 *
 * As Go's: a writer that waits keeps new readers out, so it waits only for those who are
 * inside; and when it unlocks, all readers that wait by then go first, then the next
 * writer.  So neither starves.  Unlike Go's, writers do not compete: it is handed to who
 * waits longest.
 *
 * All is in `state` as long as nobody waits, and changed by one compare-and-swap.  Who has to
 * wait, or finds RW_WAITERS there, takes the lock.  While that is held, RW_WAITERS is set, so
 * nobody else changes the state.
 *
 * As in chan.h nothing here parks.  Any M. */
#ifndef LUAPARK_PARK_RWMUTEX_H
#define LUAPARK_PARK_RWMUTEX_H

#include "base/lock.h"
#include "park/obj.h"
#include "park/sudog.h"

struct hrwmutex {
	struct obj o;
	struct lock lock;
	atomic_u64 state;   /* RW_ bits, and how many readers are inside */
	int32_t rline, wline; /* readers and writers that wait.  Under lock */
};

/* NULL when memory is out. */
struct hrwmutex *rwmutex_new(void);

/* Whether the caller is inside now; else s, if not 0, is in the line, and inside when it is
 * woken. */
bool rwmutex_rlock(struct hrwmutex *rw, int32_t s);
bool rwmutex_lock(struct hrwmutex *rw, int32_t s);
/* False if no reader, or no writer, was inside. */
bool rwmutex_runlock(struct hrwmutex *rw);
bool rwmutex_unlock(struct hrwmutex *rw);
/* s, which waits no more, leaves its line: a writer makes way for the readers behind it. */
void rwmutex_leave(struct hrwmutex *rw, bool writer, int32_t s);

#endif
