/* SPDX-License-Identifier: MIT */
#include "sched/bubble.h"

#include <stdlib.h>
#include <string.h>

#include "base/os.h"

static atomic_u32 ids, nbubbles;

_Static_assert(sizeof(double) == sizeof(int64_t), "a deadline is a key of the heap");

/* A clock that is never negative: as whole numbers, its doubles have the same order. */
static int64_t keyof(double when)
{
	int64_t key;
	when += 0.0; /* of -0, too */
	memcpy(&key, &when, sizeof key);
	return key;
}

static double whenof(int64_t key)
{
	double when;
	memcpy(&when, &key, sizeof when);
	return when;
}

static struct bubbled *ofheap(struct heapitem *it)
{
	return (struct bubbled *)it->pos;
}

struct bubble *bubble_new(P *pp, G *runner)
{
	struct bubble *b = xcalloc(1, sizeof *b);
	b->pp = pp;
	b->id = (int32_t)(fetch_add_relaxed(&ids, 1) + 1);
	b->runner = runner;
	heap_init(&b->heap);
	b->link = pp->bubbles;
	pp->bubbles = b;
	fetch_add_relaxed(&nbubbles, 1);
	return b;
}

/* b is in no P's list any more. */
static void release(struct bubble *b)
{
	lp_assert(b->ngs == 0);
	heap_term(&b->heap);
	free(b->report);
	free(b);
	fetch_sub_relaxed(&nbubbles, 1);
}

void bubble_free(struct bubble *b)
{
	struct bubble **at = &b->pp->bubbles;
	while (*at != b)
		at = &(*at)->link;
	*at = b->link;
	release(b);
}

struct bubble *bubble_find(const P *pp, int32_t id)
{
	struct bubble *b = pp->bubbles;
	while (b && b->id != id)
		b = b->link;
	return b;
}

double bubble_clock(void)
{
	if (lp_unlikely(load_relaxed(&nbubbles) != 0)) {
		const M *mp = getm();
		const struct bubble *b = mp && mp->p ? bubble_current(mp->p) : NULL;
		if (b)
			return b->now;
	}
	return (double)nanotime() * 1e-9;
}

/* Gs -------------------------------------------------------------------------------- */

void bubble_join(struct bubble *b, G *gp)
{
	struct bubbled *in = xmalloc(sizeof *in);
	*in = (struct bubbled){.pos = HEAP_NOWHERE, .gp = gp, .b = b, .next = in, .prev = in};
	if (b->gs) {
		in->next = b->gs;
		in->prev = b->gs->prev;
		in->prev->next = in->next->prev = in;
	} else {
		b->gs = in;
	}
	b->ngs++;
	b->nactive++;
	gp->inbubble = in;
	gp->flags |= GF_BUBBLE | GF_STAYS;
}

/* Its wait is over, or was never one. */
static void activate(struct bubbled *in)
{
	if (in->durable) {
		in->durable = false;
		in->b->nactive++;
	}
	if (in->pos != HEAP_NOWHERE)
		heap_del(&in->b->heap, &in->pos);
}

struct bubble *bubble_left(G *gp)
{
	struct bubbled *in = gp->inbubble;
	struct bubble *b = in->b;
	activate(in);
	b->nactive--;
	b->ngs--;
	if (gp->flags & GF_DAEMON)
		b->ndaemons--;
	if (load_relaxed(&gp->id) == b->mainid)
		b->mainended = true;
	in->prev->next = in->next;
	in->next->prev = in->prev;
	if (b->gs == in)
		b->gs = in->next == in ? NULL : in->next;
	free(in);
	gp->waitsince = 0;
	gp->flags &= (uint16_t)~GF_BUBBLE;
	return b;
}

void bubble_daemon(G *gp, bool on)
{
	struct bubble *b = gp->inbubble->b;
	if (on == !!(gp->flags & GF_DAEMON))
		return;
	b->ndaemons += on ? 1 : -1u;
	if (b->ngs == b->ndaemons)
		bubble_end(b, BUBBLE_OVER);
}

/* Waiting --------------------------------------------------------------------------- */

void bubble_timer(G *gp, double when)
{
	struct bubbled *in = gp->inbubble;
	struct bubble *b = in->b;
	gp->flags &= (uint16_t)~GF_TIMEOUT;
	if (!(when < BUBBLE_FAR))
		return;
	in->order = b->norders++;
	if (!heap_add(&b->heap, keyof(when < b->now ? b->now : when), &in->pos))
		throw("out of memory");
}

static bool isdurable(const G *gp)
{
	static const uint8_t durable[WR_COUNT] = {
#define X(name, text, event, durable) durable,
		WAITREASONS(X)
#undef X
	};
	return durable[load_relaxed(&gp->reason)] || gp->inbubble->pos != HEAP_NOWHERE;
}

void bubble_parked(G *gp)
{
	struct bubbled *in = gp->inbubble;
	if (!isdurable(gp))
		return;
	in->durable = true;
	in->b->nactive--;
}

void bubble_unparked(G *gp)
{
	activate(gp->inbubble);
}

bool bubble_await(G *gp, bool *taken)
{
	struct bubble *b = gp->inbubble->b;
	*taken = b->waiter != NULL;
	if (*taken || b->nactive == 1)
		return false;
	b->waiter = gp;
	return true;
}

/* What happens when all are blocked ----------------------------------------------------- */

static void tellrunner(struct bubble *b)
{
	G *gp = b->runner; /* it may not wait yet, or run again */
	if (gp && readgstatus(gp) == Gwaiting && load_relaxed(&gp->reason) == WR_SYNCTESTRUN)
		goreadylast(gp, 1);
}

void bubble_end(struct bubble *b, enum bubblestate why)
{
	if (b->state != BUBBLE_RUNS)
		return;
	b->state = why;
	b->waiter = NULL;
	tellrunner(b);
}

void bubble_fail(struct bubble *b, const char *report, size_t len)
{
	if (b->state == BUBBLE_RUNS) {
		b->report = xmalloc(len + 1);
		memcpy(b->report, report, len);
		b->reportlen = len;
	}
	bubble_end(b, BUBBLE_FAILED);
}

static int byorder(const void *x, const void *y)
{
	const struct bubbled *a = *(struct bubbled *const *)x, *b = *(struct bubbled *const *)y;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Takes all that is due at the next deadline out of the heap, who has asked first first. */
static struct bubbled **takedue(struct bubble *b, uint32_t *n)
{
	int64_t key = heap_min(&b->heap)->key;
	struct bubbled **due = xmalloc(b->heap.len * sizeof(struct bubbled *));
	*n = 0;
	for (struct heapitem *it; (it = heap_min(&b->heap)) != NULL && it->key == key;) {
		due[(*n)++] = ofheap(it);
		heap_del(&b->heap, it->pos);
	}
	qsort(due, *n, sizeof(struct bubbled *), byorder);
	b->now = whenof(key);
	return due;
}

/* The clock jumps. */
static void jump(struct bubble *b)
{
	uint32_t n;
	struct bubbled **due = takedue(b, &n);
	for (uint32_t i = 0; i < n; i++) {
		G *gp = due[i]->gp;
		if (!sched.ops.decide || sched.ops.decide(gp)) {
			gp->flags |= GF_TIMEOUT;
			goreadylast(gp, 0);
		} else {
			activate(due[i]); /* somebody has decided it, and the news is on its way */
		}
	}
	free(due);
}

void bubble_turn(struct bubble *b)
{
	if (b->state != BUBBLE_RUNS) {
		if (b->ngs == 0)
			tellrunner(b);
		return;
	}
	if (b->ngs == b->ndaemons) {
		bubble_end(b, BUBBLE_OVER);
		return;
	}
	if (b->nactive > 0)
		return;
	if (hasincoming(b->pp)) { /* news from outside, which does not keep to the bubble's time */
		inboxrun(b->pp);
		if (b->nactive > 0 || b->state != BUBBLE_RUNS)
			return;
	}
	if (b->waiter) {
		G *gp = b->waiter;
		b->waiter = NULL;
		goreadylast(gp, 1);
	} else if (heap_min(&b->heap) && !b->mainended) {
		jump(b);
	} else {
		bubble_end(b, BUBBLE_DEADLOCK);
	}
}

void bubble_killall(P *pp)
{
	for (struct bubble *b = pp->bubbles; b; b = b->link) {
		b->state = BUBBLE_OVER;
		b->runner = NULL;
	}
}

void bubble_forgetall(P *pp)
{
	struct bubble *b = pp->bubbles;
	pp->bubbles = NULL;
	while (b) {
		struct bubble *next = b->link;
		release(b);
		b = next;
	}
}

bool bubble_isvalid(const struct bubble *b)
{
	uint32_t ngs = 0, nactive = 0, ndaemons = 0, ntimers = 0;
	const struct bubbled *in = b->gs;
	if (in)
		do {
			if (in->gp->inbubble != in || in->b != b || in->next->prev != in || !(in->gp->flags & GF_BUBBLE))
				return false;
			ngs++;
			nactive += !in->durable;
			ndaemons += (in->gp->flags & GF_DAEMON) != 0;
			ntimers += in->pos != HEAP_NOWHERE;
			in = in->next;
		} while (in != b->gs);
	return ngs == b->ngs && nactive == b->nactive && ndaemons == b->ndaemons && ntimers == b->heap.len &&
	       heap_isvalid(&b->heap);
}
