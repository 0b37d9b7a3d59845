/* SPDX-License-Identifier: MIT */
#include "park/timer.h"

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

static struct timer *add(P *pp, int64_t when, G *gp, struct hchan *c)
{
	struct timers *ts = pp->timers;
	struct timer *t = ts->free;
	if (t)
		ts->free = t->next;
	else
		t = xmalloc(sizeof *t);
	*t = (struct timer){.pos = HEAP_NOWHERE, .when = when, .gp = gp, .chan = c};
	if (!heap_add(&ts->heap, when, &t->pos))
		throw("out of memory");
	ts->nchan += c != NULL;
	if (when < load_relaxed(&pp->nexttimer))
		store_relaxed(&pp->nexttimer, when);
	return t;
}

void timer_stop(P *pp, struct timer *t)
{
	heap_del(&pp->timers->heap, &t->pos);
	if (t->chan) {
		pp->timers->nchan--;
		obj_unref(&t->chan->o);
	}
	t->next = pp->timers->free;
	pp->timers->free = t;
}

void timer_park(G *gp, int64_t when)
{
	gp->flags &= (uint16_t)~GF_TIMEOUT;
	gp->timer = add(gp->p, when, gp, NULL);
}

void timer_unpark(G *gp)
{
	struct timer *t = gp->timer;
	gp->timer = NULL;
	timer_stop(gp->p, t);
}

struct timer *timer_start(P *pp, int64_t when, struct hchan *c)
{
	return add(pp, when, NULL, c);
}

static void sendtime(struct hchan *c, int64_t now)
{
	struct val v = {.tag = VAL_NUM, .u.n = (double)now * 1e-9};
	chan_send(c, &v, 0); /* full, or closed by its user: that is its user's business */
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
		if (!gp) {
			sendtime(t->chan, now);
			timer_stop(pp, t);
		} else if (gp->sel == 0 || sudogdecide((int32_t)gp->sel, DONE_YES)) {
			/* The wait is decided before anybody else can look. */
			gp->flags |= GF_TIMEOUT;
			goreadylast(gp, 0); /* which stops the timer */
		} else { /* somebody has decided it, and the news is on its way */
			gp->timer = NULL;
			timer_stop(pp, t);
		}
	}
	return 0;
}

bool timers_pending(P *pp)
{
	/* Timers of parked Gs are counted in pp->nevent; look at the others. */
	struct timers *ts = pp->timers;
	for (uint32_t i = 0; ts->nchan > 0 && i < ts->heap.len; i++) {
		struct hchan *c = oftimer(&ts->heap.item[i])->chan;
		if (!c)
			continue;
		lock(&c->lock);
		bool alive = linealive(c->rq);
		unlock(&c->lock);
		if (alive)
			return true;
	}
	return false;
}
