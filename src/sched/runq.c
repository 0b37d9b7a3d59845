/* SPDX-License-Identifier: MIT */
/* runq.c - the run queue of a P.  See struct runq for order and conservation. */
#include "sched/sched.h"

static void ringput(struct runq *q, G *gp)
{
	q->ring[q->tail++ % RUNQ_SIZE] = gp;
}

static bool ringfull(const struct runq *q)
{
	return q->tail - q->head == RUNQ_SIZE;
}

static void put(struct runq *q, G *gp)
{
	if (lp_likely(q->nover == 0 && !ringfull(q))) {
		ringput(q, gp);
		return;
	}
	gp->schedlink = 0;
	if (q->nover++ == 0)
		q->over = gp->slot;
	else
		sched.gs[q->overtail].schedlink = gp->slot;
	q->overtail = gp->slot;
}

void runqput(P *pp, G *gp, bool next)
{
	struct runq *q = &pp->runq;
	if (next) {
		G *old = q->next;
		q->next = gp;
		if (old == NULL)
			return;
		gp = old; /* who was to be next goes to the end, as in Go */
	}
	put(q, gp);
}

/* The ring is empty: fill it from the list, oldest first. */
static void refill(struct runq *q)
{
	while (q->nover > 0 && !ringfull(q)) {
		G *gp = &sched.gs[q->over];
		q->over = gp->schedlink;
		q->nover--;
		gp->schedlink = 0;
		ringput(q, gp);
	}
}

G *runqget(P *pp)
{
	struct runq *q = &pp->runq;
	G *gp = q->next;
	if (gp) {
		q->next = NULL;
		return gp;
	}
	if (q->head == q->tail) {
		if (q->nover == 0)
			return NULL;
		refill(q);
	}
	__builtin_prefetch(q->ring[(q->head + 2) % RUNQ_SIZE]); /* stale or NULL does no harm */
	return q->ring[q->head++ % RUNQ_SIZE];
}

uint32_t runqlen(const P *pp)
{
	const struct runq *q = &pp->runq;
	return (q->next != NULL) + (q->tail - q->head) + q->nover;
}

bool runq_isvalid(const P *pp)
{
	const struct runq *q = &pp->runq;
	if (q->tail - q->head > RUNQ_SIZE)
		return false;
	uint32_t n = 0, last = 0;
	for (uint32_t s = q->nover ? q->over : 0; s; s = sched.gs[s].schedlink) {
		last = s;
		if (++n > q->nover)
			return false;
	}
	return n == q->nover && (n == 0 || last == q->overtail);
}
