/* SPDX-License-Identifier: MIT */
/* syscall.c - Gs that block their thread, and Gs that are bound to one.
 *
 * An M that enters a system call leaves itself in its P's `insyscall`.  Whoever takes it
 * out of there, with a cas, has the P: the M itself when it comes back in time, which
 * costs it that cas and nothing else; sysmon, which gives the P to another M (retake);
 * or who stops the world, and puts it back afterwards.
 *
 * A G is at home on its P, so an M that comes back too late sends it there through the
 * inbox, like any other G that was readied from elsewhere, and looks for a new P.  The
 * G stands on its C stack, which any M can continue.
 *
 * m0 is the host's thread and ends the run, for which it needs p0: when it comes back
 * to find p0 with another M it asks for it.  A locked G's M is the heir of that G's P
 * whenever the G is to run (Go's startlockedm), and gives it away when the G has parked
 * (stoplockedm). */
#include "base/os.h"
#include "sched/bubble.h"
#include "sched/sched.h"

static bool take(P *pp, M *mp)
{
	M *was = mp;
	return cas_acqrel(&pp->insyscall, &was, NULL); /* pairs with entersyscall's store, and with each other */
}

void entersyscall(G *gp)
{
	M *mp = getm();
	P *pp = mp->p;
	casgstatus(gp, Grunning, Gsyscall);
	pp->view.cur = 0;
	pp->view.bubble = 0;
	store_relaxed(&pp->syscalltick, load_relaxed(&pp->syscalltick) + 1);
	mp->oldp = pp;
	mp->p = NULL; /* signal handlers look at it */
	__asm__ volatile("" ::: "memory");
	store_release(&pp->insyscall, mp); /* pairs with take's cas: from here on pp is not ours */
}

void exitsyscall(G *gp)
{
	M *mp = getm();
	P *pp = mp->oldp;
	if (lp_likely(take(pp, mp))) {
		mp->p = pp;
		pp->view.cur = gp->slot;
		pp->view.bubble = gp->flags & GF_BUBBLE ? gp->inbubble->b->id : 0;
		store_relaxed(&pp->schedtick, load_relaxed(&pp->schedtick) + 1); /* a new time slice */
		casgstatus(gp, Gsyscall, Grunning);
		return;
	}
	gosyscall_stk(gp);
}

G *exitsyscall0(M *mp, G *gp)
{
	P *pp = load_relaxed(&gp->p);
	lock(&sched.lock);
	while (pp->sysstopped && pp->m == mp)
		cond_wait(&sched.world, &sched.lock);
	if (take(pp, mp)) {
		mp->p = pp;
		unlock(&sched.lock);
		casgstatus(gp, Gsyscall, Grunnable);
		return gp;
	}
	if (mp == &m0) { /* gp is one of p0's, and brings the news with it */
		mp->waits = true;
		store_relaxed(&sched.m0wants, !mp->lockedg); /* else it gets p0 with gp */
		cond_broadcast(&sched.world);
	}
	unlock(&sched.lock);
	casgstatus(gp, Gsyscall, Grunnable);
	gp->wake = 0;
	inboxput(gp);
	lock(&sched.lock);
	sched.nsyscall--;
	cond_broadcast(&sched.world); /* the end of the run may wait for it */
	unlock(&sched.lock);
	checkdead0();
	return NULL;
}

bool retake(P *pp)
{
	lp_assert(lock_isheld(&sched.lock));
	M *mp = load_relaxed(&pp->insyscall);
	if (!mp || !take(pp, mp))
		return false;
	if (startm(pp)) {
		sched.nsyscall++;
		return true;
	}
	pp->m = mp;
	store_release(&pp->insyscall, mp); /* it cannot have seen that: it looks again under the lock */
	return false;
}

bool giveaway(M *mp, P *pp)
{
	lock(&sched.lock);
	mp->waits = mp == &m0;
	bool given = handover(mp, pp) || startm(pp);
	if (given) {
		mp->p = NULL;
	} else {
		mp->waits = false;
		store_relaxed(&sched.m0wants, false);
	}
	unlock(&sched.lock);
	return given;
}

/* Locked Gs ------------------------------------------------------------------------ */

bool lockosthread(G *gp)
{
	M *mp = getm();
	lock(&sched.lock);
	bool can = sparem(mp->p);
	if (can) {
		mp->lockedg = gp;
		mp->nlocked++;
		gp->flags |= GF_LOCKED;
	}
	unlock(&sched.lock);
	return can;
}

static void unlockm(M *mp, G *gp)
{
	mp->lockedg = NULL;
	mp->nlocked = 0;
	gp->flags &= (uint16_t)~GF_LOCKED;
}

bool unlockosthread(G *gp)
{
	M *mp = getm();
	if (mp->lockedg != gp)
		return false;
	lock(&sched.lock);
	if (--mp->nlocked == 0)
		unlockm(mp, gp);
	unlock(&sched.lock);
	return true;
}

M *lockedm(const G *gp)
{
	lp_assert(lock_isheld(&sched.lock));
	for (M *mp = sched.allm; mp; mp = mp->all)
		if (mp->lockedg == gp)
			return mp;
	return m0.lockedg == gp ? &m0 : NULL;
}

void unlockg(G *gp)
{
	lock(&sched.lock);
	M *mp = lockedm(gp);
	if (mp) {
		mp->goes = mp != &m0;
		unlockm(mp, gp);
		note_wake(&mp->note); /* it may be waiting for gp's P */
	}
	unlock(&sched.lock);
}
