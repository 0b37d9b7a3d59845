/* SPDX-License-Identifier: MIT */
/* g.c - the table of Gs, and the lists of dead ones.
 *
 * A G is a slot in one large reserved array: its address never changes, a slot
 * number names it in 32 bits, and anybody may look at a G that has died.  Each P
 * makes new ones in a range of its own, and a slot whose G died elsewhere comes back: the
 * Lua floor's tables by slot have no holes then.  (Go's global list of dead Gs would mix
 * them.)
 * Rejected: Gs as Lua userdata (one allocation fewer, but another P could not
 * look at them), and Gs from malloc (eight bytes a link instead of four). */
#include <string.h>

#include "base/os.h"
#include "sched/sched.h"

const char *const waitreasontext[WR_COUNT] = {
#define X(name, text, event, durable) text,
	WAITREASONS(X)
#undef X
};

const char *gstatustext(const G *gp)
{
	static const char *const text[] = {"idle",    "runnable", "running",  "syscall",
					   "waiting", "dead",	  "preempted"};
	return text[readgstatus(gp)];
}

static G *push(uint32_t *list, G *gp)
{
	gp->schedlink = *list;
	*list = gp->slot;
	return gp;
}

static G *pop(uint32_t *list)
{
	G *gp = &sched.gs[*list];
	*list = gp->schedlink;
	gp->schedlink = 0;
	return gp;
}

G *gfgetstarted(P *pp)
{
	if (pp->gfree == 0)
		return NULL;
	return pop(&pp->gfree);
}

G *gfget(P *pp)
{
	return lp_likely(pp->gfree) ? gfgetstarted(pp) : gfgetempty(pp);
}

G *gfgetempty(P *pp)
{
	if (pp->gempty == 0 && load_relaxed(&pp->gback) != 0)
		pp->gempty = exchange_acquire(&pp->gback, 0); /* pairs with giveback's cas */
	if (pp->gempty)
		return pop(&pp->gempty);
	if (pp->gtop == pp->gend)
		return NULL;
	G *gp = &sched.gs[pp->gtop];
	gp->slot = pp->gtop;
	store_relaxed(&gp->status, Gdead);
	pp->gtop++;
	return gp;
}

static void giveback(G *gp)
{
	P *owner = load_relaxed(&sched.allp[gp->slot / sched.gsperp]);
	uint32_t head = load_relaxed(&owner->gback);
	do
		gp->schedlink = head;
	while (!cas_weak_release(&owner->gback, &head, gp->slot));
}

void gfput(P *pp, G *gp)
{
	if (gp->L)
		push(&pp->gfree, gp);
	else if (lp_likely(gisown(pp, gp->slot)))
		push(&pp->gempty, gp);
	else
		giveback(gp);
}

uint32_t gcount(void)
{
	int32_t n = 0;
	for (uint32_t i = 0; i < sched.maxprocs && load_acquire(&sched.allp[i]); i++)
		n += load_relaxed(&load_relaxed(&sched.allp[i])->nlive);
	return (uint32_t)n;
}

G *gnext(uint32_t slot)
{
	for (uint32_t i = slot / sched.gsperp; i < sched.maxprocs; i++) {
		const P *pp = load_relaxed(&sched.allp[i]);
		if (!pp)
			break;
		uint32_t s = slot > pp->gbase ? slot : pp->gbase + (i == 0); /* slot 0 means none */
		for (; s < pp->gtop; s++)
			if (readgstatus(&sched.gs[s]) != Gdead)
				return &sched.gs[s];
	}
	return NULL;
}
