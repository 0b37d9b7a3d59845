/* SPDX-License-Identifier: MIT */
/* stop.c - the world stops: for a moment (gomaxprocs), and at the end of a run.
 *
 * Somebody sets a bit in sched.stopping.  Each M sees it when it next asks for a G, and
 * comes to a halt; one whose G computes is interrupted.  Idle Ps need not be told:
 * before an M makes its P run again it takes sched.lock, and finds the bit there.  So
 * the world is stopped when nrunning has fallen to the stopper's own P; and then, for
 * who holds sched.lock, all that belongs to any P is as its own.
 *
 * STOP_WORLD is a stopper's, there is one at a time.  STOP_EXIT says that the run ends;
 * m0 then leaves its loop and waits for the others, and the bit stays set until the
 * next run begins: between two runs nothing moves, whatever timers are due.
 *
 * The end of a run comes from three sides: nothing is alive (checkdead), an error that
 * nobody caught (schedstop), a signal. */
#include <signal.h>

#include "base/os.h"
#include "sched/sched.h"

enum {
	NUDGE = 10000000,   /* ns: who has not come to a halt is interrupted again */
	COMPUTES = 1000000, /* ns: who runs for so long is not about to park */
};

static bool ending(void)
{
	return sched.dead || sched.exitwhy || load_relaxed(&sched.signal) != 0;
}

/* Whether mp must not wait, with pp, until the world starts again.  Holding sched.lock. */
static bool mustleave(const M *mp, const P *pp)
{
	return mp->exits || (mp == &m0 ? ending() : pp == &p0 && m0.waits && (ending() || m0wants(mp, pp)));
}

/* Whether m0 computes, or is in a system call, and so does not see that the run ends.
 * Holding sched.lock. */
static bool m0isaway(void)
{
	return ending() && (p0.m == &m0 ? load_relaxed(&p0.status) == Prunning : !m0.waits);
}

/* An M waits for the world to start; where the run ends it sees to it that m0 learns of
 * it, also if that computes.  Holding sched.lock. */
static void waitstart(const M *mp, int64_t since)
{
	if (mp == &m0 || !m0isaway()) {
		cond_wait(&sched.world, &sched.lock);
		return;
	}
	interrupt(&p0);
	cond_timedwait(&sched.world, &sched.lock, NUDGE);
	if (sched.patience >= 0 && nanotime() - since > sched.patience && m0isaway() && sched.ops.abandon)
		sched.ops.abandon();
}

bool halt(M *mp, P *pp)
{
	bool stays = true;
	int64_t since = nanotime();
	lock(&sched.lock);
	store_relaxed(&pp->status, Pstopped);
	sched.nrunning--;
	cond_broadcast(&sched.world);
	while (load_relaxed(&sched.stopping) != 0 && (stays = !mustleave(mp, pp)))
		waitstart(mp, since);
	store_relaxed(&pp->status, Prunning);
	sched.nrunning++;
	unlock(&sched.lock);
	return stays;
}

void leaveidle(M *mp, P *pp)
{
	lock(&sched.lock);
	while (load_relaxed(&sched.stopping) != 0 && load_relaxed(&pp->status) == Pidle && !mustleave(mp, pp))
		cond_wait(&sched.world, &sched.lock);
	if (load_relaxed(&pp->status) == Pidle)
		pidletake(pp);
	if (load_relaxed(&pp->handspin)) { /* counted by who woke us */
		store_relaxed(&pp->handspin, false);
		pp->spinning = true;
	}
	unlock(&sched.lock);
}

/* pp's M is in a system call: that is as good as a halt, as long as it must wait there for
 * the world when it comes back.  Holding sched.lock. */
static void stopsyscall(P *pp)
{
	M *mp = load_relaxed(&pp->insyscall);
	if (!mp || !cas_acqrel(&pp->insyscall, &mp, NULL)) /* as take in syscall.c */
		return;
	pp->sysstopped = true;
	store_relaxed(&pp->status, Pstopped);
	sched.nrunning--;
}

/* Waits until `left` Ps run; false when that takes longer than ns (< 0: any time).  At the
 * end of a run all must come back from their system calls, too.  Holding sched.lock. */
static bool waithalt(const P *me, uint32_t left, bool end, int64_t ns)
{
	int64_t start = nanotime();
	while (sched.nrunning > left || (end && sched.nsyscall > 0)) {
		if (ns >= 0 && nanotime() - start > ns)
			return false;
		for (uint32_t i = 0; i < sched.maxprocs; i++) {
			P *pp = load_relaxed(&sched.allp[i]);
			if (!pp)
				break;
			if (pp != me && !end)
				stopsyscall(pp);
			if (pp != me)
				interrupt(pp);
		}
		if (sched.nrunning > left || end)
			cond_timedwait(&sched.world, &sched.lock, NUDGE);
	}
	return true;
}

void stoptheworld(void)
{
	M *mp = getm();
	P *pp = mp ? mp->p : NULL;
	lock(&sched.lock);
	while (sched.stopper) { /* meanwhile we are one of those who halt */
		if (pp) {
			store_relaxed(&pp->status, Pstopped);
			sched.nrunning--;
			cond_broadcast(&sched.world);
		}
		cond_wait(&sched.world, &sched.lock);
		if (pp) {
			store_relaxed(&pp->status, Prunning);
			sched.nrunning++;
		}
	}
	sched.stopper = true;
	fetch_or_seqcst(&sched.stopping, STOP_WORLD);
	waithalt(pp, pp != NULL, false, -1);
	unlock(&sched.lock);
}

/* Idle Ps that were given something while they could not be woken, or shall end. */
static void wakeall(void)
{
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		P *pp = load_relaxed(&sched.allp[i]);
		if (!pp)
			break;
		if (load_relaxed(&pp->status) == Pidle && (hasincoming(pp) || pp->draining)) {
			pidletake(pp);
			sched.ops.wakenetpoll(pp);
		}
	}
}

/* System calls during which the world stopped are again what they were. */
static void startsyscalls(void)
{
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		P *pp = load_relaxed(&sched.allp[i]);
		if (!pp)
			break;
		if (!pp->sysstopped)
			continue;
		pp->sysstopped = false;
		store_relaxed(&pp->status, Prunning);
		sched.nrunning++;
		store_release(&pp->insyscall, pp->m); /* which waits for it if it came back meanwhile */
	}
}

void starttheworld(void)
{
	lock(&sched.lock);
	sched.stopper = false;
	fetch_and_seqcst(&sched.stopping, ~(uint32_t)STOP_WORLD);
	if (load_relaxed(&sched.stopping) == 0)
		wakeall();
	startsyscalls();
	cond_broadcast(&sched.world);
	unlock(&sched.lock);
	wakep();
}

void runbegin(M *mp, P *pp)
{
	lock(&sched.lock);
	sched.dead = false;
	sched.exitwhy = NULL;
	sched.halted = false; /* until runend has seen it: os.exit closes nothing that others use */
	store_relaxed(&pp->status, Prunning);
	sched.nrunning++;
	mp->p = pp;
	pp->m = mp;
	fetch_and_seqcst(&sched.stopping, ~(uint32_t)STOP_EXIT);
	if (load_relaxed(&sched.signal) != 0) /* it came too late for the last run */
		fetch_or_seqcst(&sched.stopping, STOP_EXIT);
	else
		wakeall();
	sysmonstart();
	sysmonwake();
	cond_broadcast(&sched.world);
	unlock(&sched.lock);
	if (anystealable()) /* spawned by the host: nobody could be woken for it then */
		wakep();
}

bool runend(P *pp)
{
	lock(&sched.lock);
	fetch_or_seqcst(&sched.stopping, STOP_EXIT);
	store_relaxed(&pp->status, Phost); /* first, for somebody may be waiting for us to halt */
	sched.nrunning--;
	cond_broadcast(&sched.world);
	sched.halted = waithalt(pp, 0, true, sched.dead ? -1 : sched.patience);
	pp->m->p = NULL;
	pp->m = NULL;
	bool halted = sched.halted;
	unlock(&sched.lock);
	return halted;
}

bool checkdead(void)
{
	lp_assert(lock_isheld(&sched.lock));
	if (load_relaxed(&sched.stopping) != 0 || sched.nrunning > 0 || sched.nsyscall > 0 ||
	    load_relaxed(&sched.runq.n) > 0)
		return false;
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		P *pp = load_relaxed(&sched.allp[i]);
		if (!pp)
			break;
		if (load_relaxed(&pp->status) == Pdead)
			continue;
		if (load_relaxed(&pp->status) != Pidle) /* halted, and not on its feet again */
			return false;
		if (hasincoming(pp) || !stealq_isempty(pp) || pp->nevent > 0)
			return false;
	}
	fetch_or_seqcst(&sched.stopping, STOP_EXIT);
	return sched.dead = true;
}

void checkdead0(void)
{
	lock(&sched.lock);
	bool dead = checkdead();
	if (dead)
		pidletake(&p0);
	unlock(&sched.lock);
	if (dead)
		sched.ops.wakenetpoll(&p0);
}

void schedstop(const char *why)
{
	lock(&sched.lock);
	if (!sched.exitwhy)
		sched.exitwhy = why;
	fetch_or_seqcst(&sched.stopping, STOP_EXIT);
	cond_broadcast(&sched.world);
	bool idle = load_relaxed(&p0.status) == Pidle;
	if (!idle && getm() != &m0)
		interrupt(&p0);
	unlock(&sched.lock);
	if (idle)
		sched.ops.wakenetpoll(&p0);
}

void schedsignal(int sig)
{
	store_relaxed(&sched.signal, (uint32_t)sig); /* the next line orders it */
	fetch_or_seqcst(&sched.stopping, STOP_EXIT);
	if (!p0.netpoll)
		return;
	sched.ops.wakenetpoll(&p0);
	M *mp = getm();
	if (mp == &m0 && mp->p && mp->curg && sched.ops.interrupt)
		sched.ops.interrupt(&p0);
	else if (mp != &m0 && m0.thread)
		pthread_kill(m0.thread, SIGURG); /* its handler looks whether it has a P: only m0 itself may */
}

bool schedinterrupted(P *pp)
{
	if (preempting(pp))
		return true;
	servethieves(pp, pp->runq.tail, nanotime() - pp->now < COMPUTES);
	return false;
}
