/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* PTHREAD_MUTEX_ADAPTIVE_NP */
#include "base/lock.h"

#include <errno.h>
#include <time.h>

#include "base/throw.h"

#ifdef LUAPARK_DEBUG_BUILD
enum { MAXHELD = 64 }; /* a select holds as many as it has channels: of more the first ones are checked */
static _Thread_local const struct lock *held[MAXHELD];
static _Thread_local int nheld;

static void entered(const struct lock *l)
{
	if (nheld > 0 && nheld <= MAXHELD) {
		const struct lock *last = held[nheld - 1];
		if (last->rank > l->rank || (last->rank == l->rank && last >= l))
			throw("locks taken out of order");
	}
	if (nheld < MAXHELD)
		held[nheld] = l;
	nheld++;
}

static void leaving(const struct lock *l)
{
	if (nheld == 0 || (nheld <= MAXHELD && held[nheld - 1] != l))
		throw("unlock of a lock that is not the last one taken");
	nheld--;
}

bool lock_isheld(const struct lock *l)
{
	for (int i = 0; i < nheld && i < MAXHELD; i++)
		if (held[i] == l)
			return true;
	return false;
}
#else
static void entered(const struct lock *l)
{
	(void)l;
}

static void leaving(const struct lock *l)
{
	(void)l;
}

bool lock_isheld(const struct lock *l)
{
	(void)l;
	return true;
}
#endif

void lock_init(struct lock *l, enum lockrank rank)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	/* What these guard takes some tens of nanoseconds: spinning for it beats the kernel. */
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&l->m, &attr);
	pthread_mutexattr_destroy(&attr);
	l->rank = (uint8_t)rank;
}

void lock_term(struct lock *l)
{
	pthread_mutex_destroy(&l->m);
}

void lock(struct lock *l)
{
	if (lp_unlikely(pthread_mutex_lock(&l->m) != 0))
		throw("lock of a broken mutex");
	entered(l);
}

void unlock(struct lock *l)
{
	leaving(l);
	pthread_mutex_unlock(&l->m);
}

static struct timespec later(int64_t ns)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	ns += t.tv_nsec;
	t.tv_sec += ns / 1000000000;
	t.tv_nsec = ns % 1000000000;
	return t;
}

void cond_wait(struct cond *c, struct lock *l)
{
	leaving(l);
	pthread_cond_wait(&c->c, &l->m);
	entered(l);
}

void cond_timedwait(struct cond *c, struct lock *l, int64_t ns)
{
	struct timespec t = later(ns);
	leaving(l);
	pthread_cond_timedwait(&c->c, &l->m, &t);
	entered(l);
}

void cond_broadcast(struct cond *c)
{
	pthread_cond_broadcast(&c->c);
}

void note_init(struct note *n)
{
	pthread_mutex_init(&n->m, NULL);
	pthread_cond_init(&n->c, NULL);
	n->set = false;
}

void note_term(struct note *n)
{
	pthread_mutex_destroy(&n->m);
	pthread_cond_destroy(&n->c);
}

void note_wake(struct note *n)
{
	pthread_mutex_lock(&n->m);
	n->set = true;
	pthread_cond_signal(&n->c);
	pthread_mutex_unlock(&n->m);
}

void note_sleep(struct note *n)
{
	pthread_mutex_lock(&n->m);
	while (!n->set)
		pthread_cond_wait(&n->c, &n->m);
	pthread_mutex_unlock(&n->m);
}

bool note_sleepfor(struct note *n, int64_t ns)
{
	struct timespec t = later(ns);
	pthread_mutex_lock(&n->m);
	while (!n->set && pthread_cond_timedwait(&n->c, &n->m, &t) != ETIMEDOUT)
		;
	bool set = n->set;
	pthread_mutex_unlock(&n->m);
	return set;
}

void note_clear(struct note *n)
{
	pthread_mutex_lock(&n->m);
	n->set = false;
	pthread_mutex_unlock(&n->m);
}
