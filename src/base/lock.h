/* SPDX-License-Identifier: MIT */
/* lock.h - mutexes that know their place.
 *
 * Whoever holds a lock may only take one of a higher rank, or of the same at a higher
 * address; debug builds check it at each lock().  So the order is this table and nothing else: */
#ifndef LUAPARK_BASE_LOCK_H
#define LUAPARK_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum lockrank {
	RANK_ONERROR = 1, /* where the function of onerror is (lua/onerror.c) */
	RANK_SCHED,	/* sched.lock: idle Ps and Ms, the global queue, the state of the world */
	RANK_OBJ,	/* a shared channel's, mutex's or wait group's own */
	RANK_CODE,	/* the table of prototypes (lua/code.c) */
	RANK_SITE,	/* the table of places that say go (lua/site.c) */
	RANK_PANIC,	/* the report of an uncaught error (lua/panic.c) */
};

struct lock {
	pthread_mutex_t m;
	uint8_t rank;
};

#define LOCK_INIT(rank) {PTHREAD_MUTEX_INITIALIZER, (rank)}

void lock_init(struct lock *l, enum lockrank rank);
void lock_term(struct lock *l);
void lock(struct lock *l);
void unlock(struct lock *l);

/* For "Holding sched.lock."; true where it is not known (ordinary builds). */
bool lock_isheld(const struct lock *l);

/* A condition of what a lock guards. */
struct cond {
	pthread_cond_t c;
};

#define COND_INIT {PTHREAD_COND_INITIALIZER}

/* Holding l, which is released meanwhile.  May return for no reason. */
void cond_wait(struct cond *c, struct lock *l);
/* The same, for ns at most (real time: for things to be done again, not clocks). */
void cond_timedwait(struct cond *c, struct lock *l, int64_t ns);
void cond_broadcast(struct cond *c);

/* A one-time event between threads, Go's note: wait returns once wake was called;
 * then clear it for another use. */
struct note {
	pthread_mutex_t m;
	pthread_cond_t c;
	bool set;
};

void note_init(struct note *n);
void note_term(struct note *n);
void note_wake(struct note *n);
void note_sleep(struct note *n);
/* False when ns passed first. */
bool note_sleepfor(struct note *n, int64_t ns);
void note_clear(struct note *n);

#endif
