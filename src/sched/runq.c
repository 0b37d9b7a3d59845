/* SPDX-License-Identifier: MIT */
/* runq.c - the run queue of a P.  See struct runq for order and conservation. */
#include "base/randord.h"
#include "sched/sched.h"

enum { STRESS_SIZE = 4 }; /* so that its edges are reached */

static uint32_t headof(const struct runq *q)
{
	return load_relaxed(&q->head);
}

static uint32_t tailof(const struct runq *q)
{
	return load_relaxed(&q->tail);
}

static void setnover(struct runq *q, uint32_t n)
{
	store_relaxed(&q->nover, n);
}

static uint32_t nover(const struct runq *q)
{
	return load_relaxed(&q->nover);
}

static void ringput(struct runq *q, G *gp)
{
	uint32_t tail = tailof(q);
	q->ring[tail % RUNQ_SIZE] = gp;
	store_relaxed(&q->tail, tail + 1);
}

static bool ringfull(const struct runq *q)
{
	return tailof(q) - headof(q) >= (lp_unlikely(sched.stress) ? STRESS_SIZE : RUNQ_SIZE);
}

static void put(struct runq *q, G *gp)
{
	uint32_t n = nover(q);
	if (lp_likely(n == 0 && !ringfull(q))) {
		ringput(q, gp);
		return;
	}
	gp->schedlink = 0;
	setnover(q, n + 1);
	if (n == 0)
		q->over = gp->slot;
	else
		sched.gs[q->overtail].schedlink = gp->slot;
	q->overtail = gp->slot;
}

void runqput(P *pp, G *gp, bool next)
{
	struct runq *q = &pp->runq;
	if (lp_unlikely(sched.stress) && randnext(&pp->rand) % 4 == 0)
		next = false;
	if (next) {
		G *old = load_relaxed(&q->next);
		store_relaxed(&q->next, gp);
		if (old == NULL)
			return;
		gp = old; /* who was to be next goes to the end, as in Go */
	}
	put(q, gp);
}

void runqturn(P *pp)
{
	struct runq *q = &pp->runq;
	uint32_t head = headof(q);
	bool waits = head != tailof(q);
	G *next = load_relaxed(&q->next);
	if (next && waits && head == q->seen) {
		store_relaxed(&q->next, NULL);
		put(q, next);
	}
	q->seen = waits ? head : head - 1;
}

/* The ring is empty: fill it from the list, oldest first. */
static void refill(struct runq *q)
{
	while (nover(q) > 0 && !ringfull(q)) {
		G *gp = &sched.gs[q->over];
		q->over = gp->schedlink;
		setnover(q, nover(q) - 1);
		gp->schedlink = 0;
		ringput(q, gp);
	}
}

G *runqget(P *pp)
{
	struct runq *q = &pp->runq;
	G *gp = load_relaxed(&q->next);
	if (gp) {
		store_relaxed(&q->next, NULL);
		return gp;
	}
	uint32_t head = headof(q);
	if (head == tailof(q)) {
		if (nover(q) == 0)
			return NULL;
		refill(q);
	}
	__builtin_prefetch(q->ring[(head + 2) % RUNQ_SIZE]); /* stale or NULL does no harm */
	store_relaxed(&q->head, head + 1);
	return q->ring[head % RUNQ_SIZE];
}

uint32_t runqlen(const P *pp)
{
	const struct runq *q = &pp->runq;
	return (load_relaxed(&q->next) != NULL) + (tailof(q) - headof(q)) + nover(q);
}

uint32_t runqpack(P *pp, uint32_t before, uint32_t max, bool chatty)
{
	struct runq *q = &pp->runq;
	uint32_t n = 0;
	/* What ops.pack runs may queue more, at the tail; it takes nothing. */
	for (uint32_t i = headof(q); (int32_t)(before - i) > 0 && n < max; i++) {
		G *gp = q->ring[i % RUNQ_SIZE];
		if ((gp->flags & (GF_FRESH | GF_STAYS)) != GF_FRESH)
			continue;
		enum packed p = sched.ops.pack(pp, gp, chatty);
		if (p != PACK_DONE) {
			gp->flags |= p == PACK_NEVER ? GF_STAYS : 0;
			continue;
		}
		for (uint32_t j = i; j != headof(q); j--)
			q->ring[j % RUNQ_SIZE] = q->ring[(j - 1) % RUNQ_SIZE];
		store_relaxed(&q->head, headof(q) + 1);
		stealqput(pp, gp);
		n++;
	}
	if (n > 0)
		refill(q); /* who is behind the ring may be next to go, while a G computes */
	return n;
}

bool runq_isvalid(const P *pp)
{
	const struct runq *q = &pp->runq;
	if (tailof(q) - headof(q) > RUNQ_SIZE)
		return false;
	uint32_t n = 0, last = 0;
	for (uint32_t s = nover(q) ? q->over : 0; s; s = sched.gs[s].schedlink) {
		last = s;
		if (++n > nover(q))
			return false;
	}
	return n == nover(q) && (n == 0 || last == q->overtail);
}
