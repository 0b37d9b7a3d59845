/* SPDX-License-Identifier: MIT */
/* find.c - the next G to run, and what a P does that has none.
 *
 * A P runs its own Gs; takes packed ones of its own and of the global queue; looks at its
 * timers and its network; tries to steal; and goes to sleep in its poller.  Whether it
 * looks at the clock is decided by a cheaper one, for Gs may be as short as 30 ns.
 *
 * What goes the other way, to Ps that have nothing to do, is packed here, too: Gs that
 * have waited for their turn for some tens of microseconds, the oldest first, since in a
 * tree of goroutines they are the biggest.  Never the one in `next`: who is started or woken
 * by the running G is about to talk to it. */
#include "base/os.h"
#include "base/randord.h"
#include "sched/sched.h"

enum {
	POLL_EVERY = 100000, /* ns: a busy P looks at its network this often */
	LOOK_EVERY = 32,     /* at most so many Gs run between two looks at the tick counter */
	FAIR_EVERY = 16,     /* looks between two turns of the queues that others may take from */
	STEAL_ROUNDS = 4,
	AWAKE = 50000,	     /* ns that an idle P waits awake, where that has paid */
	GC_AFTER = 2000000,  /* ns that a P is idle before each step of its collector */
	CHATTY = 64000,	     /* ns: who parks sooner, by the mean, may be talking all the time */
	LONGSLICE = 100000,
};

int64_t checkclock(P *pp)
{
	pp->polltick = cputicks();
	pp->now = nanotime();
	store_relaxed(&pp->looked, pp->now);
	int64_t next = sched.ops.timers(pp, pp->now);
	store_relaxed(&pp->nexttimer, next ? next : INT64_MAX);
	if (pp->now - pp->polled > POLL_EVERY) {
		pp->polled = pp->now;
		sched.ops.netpoll(pp);
	}
	return next;
}

/* What to give away at once: half of the queue, or more where more Ps are idle. */
static uint32_t fairshare(const P *pp)
{
	uint32_t n = pp->runq.tail - pp->runq.head, idle = load_relaxed(&sched.npidle);
	return n * idle / (idle + 1) + 1;
}

void servethieves(P *pp, uint32_t before, bool chatty)
{
	uint32_t n = 0;
	if (!sched.steal)
		return;
	if (lp_unlikely(pp->draining))
		n = runqpack(pp, pp->runq.tail, RUNQ_SIZE, false);
	else if (load_relaxed(&sched.npidle) > 0 && stealq_isempty(pp))
		/* Where Gs are short one is enough until the next look; where each takes
		 * long it may be long until then. */
		n = runqpack(pp, before, pp->lookevery == 0 || before == pp->runq.tail ? fairshare(pp) : 1, chatty);
	if (n > 0) {
		store_relaxed(&pp->npacked, load_relaxed(&pp->npacked) + 1);
		wakep();
	}
}

/* A G's time from when it runs until it parks, as a mean over some looks.  No sample counts
 * for much: at first each is long, while code is compiled. */
static void measure(P *pp, int64_t passed)
{
	uint64_t tick = load_relaxed(&pp->schedtick), n = tick - pp->looktick;
	int64_t each = n > 0 ? passed / (int64_t)n : passed;
	pp->looktick = tick;
	pp->slice += ((each < LONGSLICE ? each : LONGSLICE) - pp->slice) / 16;
}

/* Looks at the clock if some microseconds may have passed since it last did.  The
 * tick counter alone costs 10 ns, a quarter of a yield: so it is read after every
 * G where each takes long, and more and more seldom where they are short.
 *
 * Who was in the queue at the last look and still is has waited for tens of
 * microseconds: it may go to another P that has nothing to do. */
static void maybecheckclock(P *pp)
{
	if (lp_likely(pp->lookin-- > 0))
		return;
	uint64_t passed = cputicks() - pp->polltick;
	if (passed > CPUTICKS_SOON) {
		pp->lookevery /= 4;
		int64_t before = pp->now;
		checkclock(pp);
		measure(pp, pp->now - before);
		servethieves(pp, pp->oldtail, pp->slice < CHATTY);
		runqturn(pp);
		pp->oldtail = pp->runq.tail;
		pp->looks++;
	} else if (pp->lookevery < LOOK_EVERY) {
		pp->lookevery++;
	}
	pp->lookin = pp->lookevery;
}

/* Stress: what could happen at any time happens now and then. */
static void stress(P *pp)
{
	uint32_t r = randnext(&pp->rand);
	if (r % 4 == 0 && sched.steal && load_relaxed(&sched.gomaxprocs) > 1 &&
	    runqpack(pp, pp->runq.tail, r / 4 % 4 + 1, false) > 0)
		wakep();
	if (r / 16 % 8 == 0)
		checkclock(pp);
	if (r / 128 % 64 == 0)
		os_nanosleep((int64_t)(r % 4) * 10000);
}

/* gp came from a queue that all may take from: it is pp's from now on. */
static G *adopt(P *pp, G *gp)
{
	lp_assert(gp->p == NULL);
	store_relaxed(&gp->p, pp);
	return gp;
}

/* A packed G of our own queue or the global one, or NULL. */
static G *commonget(P *pp)
{
	if (lp_unlikely(pp->draining)) /* what it adopts would have to end here */
		return NULL;
	G *gp = stealqget(pp);
	if (!gp && load_relaxed(&sched.runq.n) > 0) {
		lock(&sched.lock);
		gp = globrunqget(pp);
		unlock(&sched.lock);
	}
	return gp ? adopt(pp, gp) : NULL;
}

void setspinning(P *pp, bool on)
{
	lp_assert(pp->spinning != on);
	pp->spinning = on;
	if (on)
		fetch_add_seqcst(&sched.nmspinning, 1);
	else if (fetch_sub_seqcst(&sched.nmspinning, 1) == 0)
		throw("negative nmspinning");
}

/* pp, which was spinning, has work now: if it was the last one to look for some, another
 * shall look on, for there may be more. */
static void resetspinning(P *pp)
{
	setspinning(pp, false);
	wakep();
}

static G *stealwork(P *pp)
{
	for (int round = 0; round < STEAL_ROUNDS; round++) {
		struct randord r = randord_begin(sched.maxprocs, randnext(&pp->rand));
		for (uint32_t i; randord_next(&r, &i);) {
			P *victim = load_acquire(&sched.allp[i]); /* pairs with initp's release */
			G *gp = victim && victim != pp ? stealqsteal(pp, victim) : NULL;
			if (gp)
				return adopt(pp, gp);
		}
		if (load_relaxed(&pp->inbox))
			break;
	}
	return NULL;
}

bool anystealable(void)
{
	if (load_relaxed(&sched.runq.n) > 0)
		return true;
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		P *pp = load_acquire(&sched.allp[i]);
		if (!pp)
			return false;
		if (!stealq_isempty(pp))
			return true;
	}
	return false;
}

/* Where another P woke us soon when we last went idle, waiting for it awake is cheaper
 * for both than the kernel's sleep. */
static bool waitawake(P *pp)
{
	if (!pp->remote || sched.ncpu == 1)
		return false;
	int64_t start = nanotime();
	for (int i = 1; !hasincoming(pp); i++) {
		cpu_relax();
		if (load_relaxed(&sched.stopping) != 0 || (i % 32 == 0 && nanotime() - start > AWAKE)) {
			pp->remote = false;
			return false;
		}
	}
	return true;
}

enum idled { IDLE_AGAIN, IDLE_OVER };

/* pp has nothing to do: blocks in its poller until there may be something.  The order
 * of the steps is that of p.c's table.  On g0. */
static enum idled goidle(M *mp, P *pp, int64_t next)
{
	bool spun = pp->spinning;
	uint64_t tick = load_relaxed(&pp->schedtick);
	bool collect = sched.ops.gcstep && pp->collected != tick;
	int64_t until = next ? next : -1;
	if (collect && (until < 0 || until > pp->now + GC_AFTER))
		until = pp->now + GC_AFTER;
	cstack_trim(&pp->stacks, pp->now); /* while all of pp is still ours */
	lock(&sched.lock);
	if (load_relaxed(&sched.stopping) != 0 || (load_relaxed(&sched.runq.n) > 0 && !pp->draining)) {
		unlock(&sched.lock);
		return IDLE_AGAIN;
	}
	if (lp_unlikely(pp->draining && pp->nhome == 0 && next == 0 && !hasincoming(pp))) {
		unlock(&sched.lock);
		if (spun) {
			setspinning(pp, false);
			fence_seqcst(); /* as below: somebody may have trusted our spinning */
			if (anystealable())
				wakep();
		}
		return IDLE_OVER;
	}
	pidleput(pp);
	bool dead = checkdead();
	if (dead && mp == &m0)
		pidletake(pp);
	else if (dead)
		pidletake(&p0);
	unlock(&sched.lock);
	if (spun)
		setspinning(pp, false);
	if (dead && mp == &m0)
		return IDLE_OVER;
	if (dead)
		sched.ops.wakenetpoll(&p0);

	fence_seqcst(); /* pairs with wakeidle's and wakep's */
	if (anystealable())
		wakep(); /* whether we were spinning or not; it may choose this very P */
	if (!hasincoming(pp))
		sched.ops.netblock(pp, until);
	leaveidle(mp, pp);
	int64_t now = nanotime();
	pp->remote = hasincoming(pp) && now - pp->now < AWAKE;
	bool quiet = collect && now - pp->now >= GC_AFTER;
	pp->polled = pp->now = now;
	store_relaxed(&pp->looked, now);
	if (quiet && !hasincoming(pp) && !sched.ops.gcstep(pp))
		pp->collected = tick; /* enough, until it has run again */
	return IDLE_AGAIN;
}

/* The next G to run; blocks while there is none.  NULL when the run is over, the M must
 * end, pp is drained, or m0 shall have it.
 *
 * The order: is the world stopping?  Timers and network, if their time has come.  What
 * other Ps sent.  Our queue; what we packed; the global queue.  Timers and network in
 * any case.  Others' packed Gs.  The collector.  Sleep. */
G *findrunnable(M *mp, P *pp)
{
	G *gp;
	for (;;) {
		if (lp_unlikely(load_relaxed(&sched.stopping) != 0) && !halt(mp, pp))
			return NULL;
		maybecheckclock(pp);
		if (lp_unlikely(hasincoming(pp))) {
			inboxrun(pp);
			if (m0wants(mp, pp))
				return NULL;
		}
		if (lp_unlikely(sched.stress))
			stress(pp);
		if (lp_unlikely(pp->looks >= FAIR_EVERY)) {
			pp->looks = 0;
			if ((gp = commonget(pp)) != NULL)
				break;
		}
		gp = runqget(pp);
		if (lp_likely(gp != NULL))
			break;
		if ((gp = commonget(pp)) != NULL)
			break;
		int64_t next = checkclock(pp);
		if (runqlen(pp) > 0)
			continue;
		sched.ops.netpoll(pp);
		if (runqlen(pp) > 0)
			continue;
		uint32_t procs = load_relaxed(&sched.gomaxprocs);
		if (procs > 1 && !pp->draining) {
			uint32_t spinning = load_relaxed(&sched.nmspinning);
			if (!pp->spinning && 2 * spinning < procs - load_relaxed(&sched.npidle))
				setspinning(pp, true);
			if (pp->spinning && (gp = stealwork(pp)) != NULL)
				break;
			if (waitawake(pp))
				continue;
		}
		if (goidle(mp, pp, next) == IDLE_OVER)
			return NULL;
	}
	if (lp_unlikely(pp->spinning))
		resetspinning(pp);
	return gp;
}
