/* SPDX-License-Identifier: MIT */
#include "park/rwmutex.h"

#include <stdlib.h>

#define RW_WRITER (UINT64_C(1) << 63)
#define RW_WAITERS (UINT64_C(1) << 62)
#define RW_BITS (RW_WRITER | RW_WAITERS)

static void rwmutex_free(struct obj *o)
{
	lock_term(&((struct hrwmutex *)o)->lock);
	free(o);
}

struct hrwmutex *rwmutex_new(void)
{
	struct hrwmutex *rw = calloc(1, sizeof *rw);
	if (rw) {
		obj_init(&rw->o, OBJ_RWMUTEX, rwmutex_free);
		lock_init(&rw->lock, RANK_OBJ);
	}
	return rw;
}

/* The state is the caller's until settle: its bits but for RW_WAITERS. */
static uint64_t own(struct hrwmutex *rw)
{
	lock(&rw->lock);
	return fetch_or_seqcst(&rw->state, RW_WAITERS) & ~RW_WAITERS;
}

/* Ends that.  woken: a chain of who is inside, and does not know it yet. */
static void settle(struct hrwmutex *rw, uint64_t state, int32_t woken)
{
	if (rw->rline || rw->wline)
		state |= RW_WAITERS;
	store_release(&rw->state, state); /* pairs with the compare-and-swaps below */
	unlock(&rw->lock);
	sudogreadyall(woken, 1);
}

/* All readers that wait are inside. */
static uint64_t admitreaders(struct hrwmutex *rw, uint64_t state, int32_t *woken)
{
	*woken = linetakeall(&rw->rline);
	for (int32_t s = *woken; s; s = sudogs.next[s])
		state++;
	return state;
}

static uint64_t admitwriter(struct hrwmutex *rw, uint64_t state, int32_t *woken)
{
	if ((*woken = lineget(&rw->wline)) == 0)
		return state;
	sudogs.next[*woken] = 0;
	return state | RW_WRITER;
}

/* Somebody has left, or waits no more: lets in who may come in now. */
static uint64_t admit(struct hrwmutex *rw, uint64_t state, int32_t *woken)
{
	if (state == 0)
		state = admitwriter(rw, state, woken);
	if (!(state & RW_WRITER) && !linewaits(rw->wline))
		state = admitreaders(rw, state, woken);
	return state;
}

bool rwmutex_rlock(struct hrwmutex *rw, int32_t s)
{
	uint64_t state = load_relaxed(&rw->state);
	while (!(state & RW_BITS))
		if (cas_acqrel(&rw->state, &state, state + 1))
			return true;
	state = own(rw);
	bool in = !(state & RW_WRITER) && !linewaits(rw->wline);
	if (in)
		state++;
	else if (s)
		lineput(&rw->rline, s);
	settle(rw, state, 0);
	return in;
}

bool rwmutex_lock(struct hrwmutex *rw, int32_t s)
{
	uint64_t state = 0;
	if (cas_acqrel(&rw->state, &state, RW_WRITER))
		return true;
	state = own(rw);
	bool in = state == 0;
	if (in)
		state = RW_WRITER;
	else if (s)
		lineput(&rw->wline, s);
	settle(rw, state, 0);
	return in;
}

bool rwmutex_runlock(struct hrwmutex *rw)
{
	int32_t woken = 0;
	uint64_t state = load_relaxed(&rw->state);
	while (!(state & RW_BITS) && state != 0)
		if (cas_acqrel(&rw->state, &state, state - 1))
			return true;
	state = own(rw);
	bool was = (state & ~RW_WRITER) != 0;
	if (was)
		state = admit(rw, state - 1, &woken);
	settle(rw, state, woken);
	return was;
}

bool rwmutex_unlock(struct hrwmutex *rw)
{
	int32_t woken = 0;
	uint64_t state = RW_WRITER;
	if (cas_acqrel(&rw->state, &state, 0))
		return true;
	state = own(rw);
	bool was = (state & RW_WRITER) != 0;
	if (was) {
		state = admitreaders(rw, 0, &woken);
		if (state == 0)
			state = admitwriter(rw, 0, &woken);
	}
	settle(rw, state, woken);
	return was;
}

void rwmutex_leave(struct hrwmutex *rw, bool writer, int32_t s)
{
	int32_t woken = 0;
	uint64_t state = own(rw);
	lineleave(writer ? &rw->wline : &rw->rline, s);
	state = admit(rw, state, &woken);
	settle(rw, state, woken);
}
