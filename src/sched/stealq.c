/* SPDX-License-Identifier: MIT */
/* stealq.c - what goes from P to P: packed Gs, woken Gs, and mail.
 *
 * The ring is that of Go's runqput, runqget and runqgrab.  Its owner alone moves
 * the tail; the head is moved by whoever takes, with a cas.  A thief copies half
 * of the ring first and then tries to make it its own: if the cas fails, what it
 * copied was somebody else's, and is forgotten.
 *
 * An inbox is a stack that many push to and one takes whole: so there is no ABA. */
#include <stdlib.h>

#include "base/os.h"
#include "base/randord.h"
#include "sched/sched.h"

void stealqput(P *pp, G *gp)
{
	struct stealq *q = &pp->stealq;
	uint32_t head = load_acquire(&q->head); /* pairs with the thieves' cas: the slots before it are free */
	uint32_t tail = load_relaxed(&q->tail);
	if (tail - head >= (lp_unlikely(sched.stress) ? 4 : RUNQ_SIZE) || pp->draining) {
		lock(&sched.lock);
		globrunqput(gp);
		unlock(&sched.lock);
		return;
	}
	store_relaxed(&q->ring[tail % RUNQ_SIZE], gp);
	store_release(&q->tail, tail + 1); /* pairs with the thieves' load of tail */
}

G *stealqget(P *pp)
{
	struct stealq *q = &pp->stealq;
	uint32_t head = load_acquire(&q->head);
	for (;;) {
		if (head == load_relaxed(&q->tail))
			return NULL;
		G *gp = load_relaxed(&q->ring[head % RUNQ_SIZE]);
		if (cas_acqrel(&q->head, &head, head + 1))
			return gp;
	}
}

G *stealqsteal(P *pp, P *victim)
{
	struct stealq *from = &victim->stealq, *to = &pp->stealq;
	uint32_t tail = load_relaxed(&to->tail);
	uint32_t room = RUNQ_SIZE - (tail - load_acquire(&to->head));
	uint32_t head = load_acquire(&from->head);
	for (;;) {
		uint32_t n = load_acquire(&from->tail) - head; /* pairs with stealqput's release */
		n -= n / 2;
		if (n == 0)
			return NULL;
		if (n > RUNQ_SIZE / 2) { /* head and tail were not of one moment */
			head = load_acquire(&from->head);
			continue;
		}
		if (n > room + 1)
			n = room + 1;
		G *first = load_relaxed(&from->ring[head % RUNQ_SIZE]);
		for (uint32_t i = 1; i < n; i++)
			store_relaxed(&to->ring[(tail + i - 1) % RUNQ_SIZE],
				      load_relaxed(&from->ring[(head + i) % RUNQ_SIZE]));
		if (cas_acqrel(&from->head, &head, head + n)) {
			if (n > 1)
				store_release(&to->tail, tail + n - 1);
			return first;
		}
	}
}

bool stealq_isempty(const P *pp)
{
	return load_acquire(&pp->stealq.head) == load_acquire(&pp->stealq.tail);
}

void globrunqput(G *gp)
{
	struct gqueue *q = &sched.runq;
	lp_assert(lock_isheld(&sched.lock));
	gp->schedlink = 0;
	if (q->head == 0)
		q->head = gp->slot;
	else
		sched.gs[q->tail].schedlink = gp->slot;
	q->tail = gp->slot;
	store_relaxed(&q->n, load_relaxed(&q->n) + 1);
}

static G *globrunqpop(void)
{
	struct gqueue *q = &sched.runq;
	G *gp = &sched.gs[q->head];
	q->head = gp->schedlink;
	gp->schedlink = 0;
	store_relaxed(&q->n, load_relaxed(&q->n) - 1);
	return gp;
}

G *globrunqget(P *pp)
{
	lp_assert(lock_isheld(&sched.lock));
	uint32_t n = load_relaxed(&sched.runq.n);
	if (n == 0)
		return NULL;
	G *first = globrunqpop();
	uint32_t more = n / load_relaxed(&sched.gomaxprocs);
	struct stealq *q = &pp->stealq;
	while (more-- > 0 && load_relaxed(&sched.runq.n) > 0) {
		uint32_t tail = load_relaxed(&q->tail);
		if (tail - load_acquire(&q->head) >= RUNQ_SIZE / 2)
			break;
		store_relaxed(&q->ring[tail % RUNQ_SIZE], globrunqpop());
		store_release(&q->tail, tail + 1);
	}
	return first;
}

/* Coming in ------------------------------------------------------------------ */

void inboxput(G *gp)
{
	P *pp = gp->p;
	uint32_t head = load_relaxed(&pp->inbox);
	do
		gp->schedlink = head;
	while (!cas_weak_release(&pp->inbox, &head, gp->slot)); /* pairs with inboxrun's exchange */
	wakeidle(pp);
}

void postmail(P *pp, struct mail *m)
{
	struct mail *head = load_relaxed(&pp->post);
	do
		m->next = head;
	while (!cas_weak_release(&pp->post, &head, m)); /* likewise */
	wakeidle(pp);
}

struct sentg {
	struct mail m;
	G *gp;
	uint64_t id;
};

static void garrived(P *pp, struct mail *m)
{
	struct sentg *gm = (struct sentg *)m;
	if (load_relaxed(&gm->gp->id) == gm->id) { /* else the run that it was for has ended */
		store_relaxed(&gm->gp->p, pp);
		runqput(pp, gm->gp, false);
	}
	free(gm);
}

void postg(P *pp, G *gp)
{
	struct sentg *gm = xmalloc(sizeof *gm);
	*gm = (struct sentg){{NULL, garrived}, gp, load_relaxed(&gp->id)};
	postmail(pp, &gm->m);
}

static void runmail(P *pp)
{
	struct mail *m = exchange_acquire(&pp->post, NULL), *first = NULL;
	while (m) { /* first come, first served */
		struct mail *next = m->next;
		m->next = first;
		first = m;
		m = next;
	}
	while (first) {
		m = first;
		first = m->next;
		m->fn(pp, m);
	}
}

bool inboxrun(P *pp)
{
	bool any = false;
	if (load_relaxed(&pp->post)) {
		runmail(pp);
		any = true;
	}
	if (load_relaxed(&pp->inbox) == 0)
		return any;
	uint32_t slot = exchange_acquire(&pp->inbox, 0), first = 0; /* pairs with inboxput's cas */
	while (slot) {
		G *gp = &sched.gs[slot];
		slot = gp->schedlink;
		gp->schedlink = first;
		first = gp->slot;
	}
	while (first) {
		G *gp = &sched.gs[first];
		first = gp->schedlink;
		gp->schedlink = 0;
		if (readgstatus(gp) == Gwaiting)
			goreadylast(gp, gp->wake);
		else /* back from a system call */
			runqput(pp, gp, false);
	}
	return true;
}
