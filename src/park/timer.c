/* SPDX-License-Identifier: MIT */
#include "park/timer.h"

#include <math.h>
#include <stdlib.h>

#include "base/os.h"
#include "park/sudog.h"

static struct timer *oftimer(struct heapitem *it)
{
	return (struct timer *)it->pos;
}

void timers_init(P *pp)
{
	pp->timers = xcalloc(1, sizeof *pp->timers);
	heap_init(&pp->timers->heap);
}

static void drop(struct timers *ts, struct timer *t)
{
	heap_del(&ts->heap, &t->pos);
	t->next = ts->free;
	ts->free = t;
}

void timers_term(P *pp)
{
	struct timers *ts = pp->timers;
	struct heapitem *it;
	while ((it = heap_min(&ts->heap)) != NULL) {
		oftimer(it)->gp->timer = NULL;
		drop(ts, oftimer(it));
	}
	while (ts->free) {
		struct timer *t = ts->free;
		ts->free = t->next;
		free(t);
	}
	heap_term(&ts->heap);
	free(ts);
	pp->timers = NULL;
}

double clocknow(void)
{
	return (double)nanotime() * 1e-9;
}

int64_t nanoseconds(double s)
{
	if (s >= 9e9)
		return INT64_MAX;
	return s <= 0 ? 0 : (int64_t)ceil(s * 1e9);
}

int64_t timer_when(int64_t now, int64_t ns)
{
	if (ns < 0)
		ns = 0;
	return ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

void timer_park(G *gp, int64_t when)
{
	P *pp = gp->p;
	struct timers *ts = pp->timers;
	struct timer *t = ts->free;
	if (t)
		ts->free = t->next;
	else
		t = xmalloc(sizeof *t);
	*t = (struct timer){.pos = HEAP_NOWHERE, .when = when, .gp = gp};
	if (!heap_add(&ts->heap, when, &t->pos))
		throw("out of memory");
	if (when < load_relaxed(&pp->nexttimer))
		store_relaxed(&pp->nexttimer, when);
	gp->flags &= (uint16_t)~GF_TIMEOUT;
	gp->timer = t;
}

void timer_parkfor(G *gp, int64_t ns)
{
	timer_park(gp, timer_when(nanotime(), ns));
}

void timer_unpark(G *gp)
{
	struct timer *t = gp->timer;
	gp->timer = NULL;
	drop(load_relaxed(&gp->p)->timers, t);
}

bool timer_decide(const G *gp)
{
	return gp->sel == 0 || sudogdecide((int32_t)gp->sel, DONE_YES);
}

int64_t timers_run(P *pp, int64_t now)
{
	struct timers *ts = pp->timers;
	struct heapitem *it;
	while ((it = heap_min(&ts->heap)) != NULL) {
		if (it->key > now)
			return it->key;
		struct timer *t = oftimer(it);
		G *gp = t->gp;
		if (timer_decide(gp)) {
			/* The wait is decided before anybody else can look. */
			gp->flags |= GF_TIMEOUT;
			goreadylast(gp, 0); /* which stops the timer */
		} else { /* somebody has decided it, and the news is on its way */
			gp->timer = NULL;
			drop(ts, t);
		}
	}
	return 0;
}
