/* SPDX-License-Identifier: MIT */
#include "park/sync.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Wait groups ----------------------------------------------------------------- */

static void waitgroup_free(struct obj *o)
{
	lock_term(&((struct hwaitgroup *)o)->lock);
	free(o);
}

struct hwaitgroup *waitgroup_new(void)
{
	struct hwaitgroup *wg = calloc(1, sizeof *wg);
	if (wg) {
		obj_init(&wg->o, OBJ_WAITGROUP, waitgroup_free);
		lock_init(&wg->lock, RANK_OBJ);
	}
	return wg;
}

bool waitgroup_add(struct hwaitgroup *wg, double n)
{
	int32_t waiters = 0;
	lock(&wg->lock);
	bool ok = wg->count + n >= 0;
	if (ok) {
		wg->count += n;
		if (wg->count == 0)
			waiters = linetakeall(&wg->line);
	}
	unlock(&wg->lock);
	sudogreadyall(waiters, 1);
	return ok;
}

bool waitgroup_wait(struct hwaitgroup *wg, int32_t s)
{
	lock(&wg->lock);
	bool waits = wg->count > 0;
	if (waits && s)
		lineput(&wg->line, s);
	unlock(&wg->lock);
	return waits;
}

void waitgroup_leave(struct hwaitgroup *wg, int32_t s)
{
	lock(&wg->lock);
	lineleave(&wg->line, s);
	unlock(&wg->lock);
}

/* Mutexes ---------------------------------------------------------------------- */

static void mutex_free(struct obj *o)
{
	lock_term(&((struct hmutex *)o)->lock);
	free(o);
}

struct hmutex *mutex_new(void)
{
	struct hmutex *m = calloc(1, sizeof *m);
	if (m) {
		obj_init(&m->o, OBJ_MUTEX, mutex_free);
		lock_init(&m->lock, RANK_OBJ);
	}
	return m;
}

bool mutex_lock(struct hmutex *m, int32_t s, bool starving)
{
	lock(&m->lock);
	bool ours = !m->locked;
	m->locked = true;
	if (ours && s) {
		lineleave(&m->line, s);
	} else if (s) {
		if (starving)
			m->starving = true;
		store_relaxed(&sudogs.done[sudogs.own[s]], DONE_SHARED); /* it may be woken again */
		if (sudogs.prev[s] == 0)
			lineput(&m->line, s);
	}
	unlock(&m->lock);
	return ours;
}

void mutex_inherit(struct hmutex *m, bool starving)
{
	lock(&m->lock);
	if (!starving || !linewaits(m->line))
		m->starving = false;
	unlock(&m->lock);
}

/* It is not locked: whoever waits longest is told.  Holding the lock. */
static int32_t offer(struct hmutex *m)
{
	m->locked = m->starving = false;
	return linerouse(&m->line);
}

bool mutex_unlock(struct hmutex *m)
{
	int32_t heir = 0, woken = 0;
	lock(&m->lock);
	bool was = m->locked;
	if (was && m->starving)
		heir = lineget(&m->line); /* for whom it stays locked */
	if (was && !heir)
		woken = offer(m);
	unlock(&m->lock);
	if (heir)
		sudogready(heir, MUTEX_YOURS);
	else if (woken)
		sudogready(woken, MUTEX_FREE);
	return was;
}

void mutex_leave(struct hmutex *m, int32_t s)
{
	int32_t woken = 0;
	lock(&m->lock);
	lineleave(&m->line, s);
	if (!m->locked)
		woken = offer(m);
	unlock(&m->lock);
	if (woken)
		sudogready(woken, MUTEX_FREE);
}

/* Atomics ---------------------------------------------------------------------- */

static uint64_t bitsof(double n)
{
	uint64_t b;
	memcpy(&b, &n, sizeof b);
	return b;
}

static double numof(uint64_t b)
{
	double n;
	memcpy(&n, &b, sizeof n);
	return n;
}

static void atomic_free(struct obj *o)
{
	free(o);
}

struct anum *anum_new(double n)
{
	struct anum *a = calloc(1, sizeof *a);
	if (a) {
		obj_init(&a->o, OBJ_ATOMIC, atomic_free);
		store_relaxed(&a->bits, bitsof(n));
	}
	return a;
}

double anum_load(struct anum *a)
{
	return numof(load_seqcst(&a->bits));
}

void anum_store(struct anum *a, double n)
{
	store_seqcst(&a->bits, bitsof(n));
}

double anum_add(struct anum *a, double n)
{
	uint64_t old = load_relaxed(&a->bits);
	while (!cas_seqcst(&a->bits, &old, bitsof(numof(old) + n)))
		;
	return numof(old) + n;
}

double anum_swap(struct anum *a, double n)
{
	return numof(exchange_seqcst(&a->bits, bitsof(n)));
}

bool anum_cas(struct anum *a, double old, double n)
{
	uint64_t was = load_seqcst(&a->bits);
	while (numof(was) == old) /* 0 and -0 are the same number in two forms */
		if (cas_seqcst(&a->bits, &was, bitsof(n)))
			return true;
	return false;
}

/* What the bits of a double can count. */
static bool iswhole(double n)
{
	const double limit = 9007199254740992.0; /* 2^53 */
	return n >= -limit && n < limit && n == (double)(int64_t)n;
}

double anum_and(struct anum *a, double n)
{
	uint64_t was = load_seqcst(&a->bits);
	while (iswhole(numof(was)))
		if (cas_seqcst(&a->bits, &was, bitsof((double)((int64_t)numof(was) & (int64_t)n))))
			return numof(was);
	return NAN;
}

double anum_or(struct anum *a, double n)
{
	uint64_t was = load_seqcst(&a->bits);
	while (iswhole(numof(was)))
		if (cas_seqcst(&a->bits, &was, bitsof((double)((int64_t)numof(was) | (int64_t)n))))
			return numof(was);
	return NAN;
}
