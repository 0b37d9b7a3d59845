/* SPDX-License-Identifier: MIT */
#include "park/timer.h"

#include <stdlib.h>

#include "base/os.h"
#include "park/sudog.h"

static struct timer *oftimer(struct heapitem *it)
{
	return (struct timer *)it->pos;
}

void timers_init(P *pp, void (*fire)(P *, int32_t), bool (*wakes)(P *, int32_t))
{
	pp->timers = xcalloc(1, sizeof *pp->timers);
	heap_init(&pp->timers->heap);
	pp->timers->fire = fire;
	pp->timers->wakes = wakes;
}

void timers_term(P *pp)
{
	struct timers *ts = pp->timers;
	struct heapitem *it;
	while ((it = heap_min(&ts->heap)) != NULL)
		timer_stop(pp, oftimer(it));
	while (ts->free) {
		struct timer *t = ts->free;
		ts->free = t->next;
		free(t);
	}
	heap_term(&ts->heap);
	free(ts);
	pp->timers = NULL;
}

int64_t timer_when(int64_t now, int64_t ns)
{
	if (ns < 0)
		ns = 0;
	return ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

static struct timer *add(P *pp, int64_t when, G *gp, int32_t ref)
{
	struct timers *ts = pp->timers;
	struct timer *t = ts->free;
	if (t)
		ts->free = t->next;
	else
		t = xmalloc(sizeof *t);
	*t = (struct timer){.pos = HEAP_NOWHERE, .ref = ref, .when = when, .gp = gp};
	if (!heap_add(&ts->heap, when, &t->pos))
		throw("out of memory");
	return t;
}

void timer_stop(P *pp, struct timer *t)
{
	heap_del(&pp->timers->heap, &t->pos);
	t->next = pp->timers->free;
	pp->timers->free = t;
}

void timer_park(G *gp, int64_t when)
{
	gp->flags &= (uint16_t)~GF_TIMEOUT;
	gp->timer = add(gp->p, when, gp, 0);
}

void timer_unpark(G *gp)
{
	struct timer *t = gp->timer;
	gp->timer = NULL;
	timer_stop(gp->p, t);
}

struct timer *timer_start(P *pp, int64_t when, int32_t ref)
{
	return add(pp, when, NULL, ref);
}

int64_t timers_run(P *pp, int64_t now)
{
	struct timers *ts = pp->timers;
	struct heapitem *it;
	while ((it = heap_min(&ts->heap)) != NULL) {
		if (it->key > now)
			return it->key;
		struct timer *t = oftimer(it);
		if (t->gp) {
			/* The wait is decided before anybody else can look. */
			G *gp = t->gp;
			gp->flags |= GF_TIMEOUT;
			sudogdone(gp);
			goreadylast(gp, 0); /* which stops the timer */
		} else {
			int32_t ref = t->ref;
			timer_stop(pp, t);
			ts->fire(pp, ref);
		}
	}
	return 0;
}

bool timers_pending(P *pp)
{
	/* Timers of parked Gs are counted in pp->nevent; look at the others. */
	struct timers *ts = pp->timers;
	for (uint32_t i = 0; i < ts->heap.len; i++) {
		struct timer *t = oftimer(&ts->heap.item[i]);
		if (!t->gp && ts->wakes(pp, t->ref))
			return true;
	}
	return false;
}
