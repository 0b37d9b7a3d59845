/* SPDX-License-Identifier: MIT */
/* g.c - the table of Gs, and the lists of dead ones.
 *
 * A G is a slot in one large reserved array: its address never changes, a slot
 * number names it in 32 bits, and anybody may look at a G that has died.
 * Rejected: Gs as Lua userdata (one allocation fewer, but another P could not
 * look at them), and Gs from malloc (eight bytes a link instead of four). */
#include <string.h>

#include "base/os.h"
#include "sched/sched.h"

const char *const waitreasontext[WR_COUNT] = {
#define X(name, text, event) text,
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
	pp->ngfree--;
	return pop(&pp->gfree);
}

G *gfget(P *pp)
{
	if (pp->gfree)
		return gfgetstarted(pp);
	if (pp->gempty)
		return pop(&pp->gempty);
	if (sched.ngs == sched.gsmax)
		return NULL;
	G *gp = &sched.gs[sched.ngs];
	gp->slot = sched.ngs++;
	store_relaxed(&gp->status, Gdead);
	return gp;
}

void gfput(P *pp, G *gp)
{
	if (gp->L) {
		push(&pp->gfree, gp);
		pp->ngfree++;
	} else {
		push(&pp->gempty, gp);
	}
}
