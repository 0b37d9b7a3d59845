/* SPDX-License-Identifier: MIT */
/* sysmon.c - the monitor: a thread without a P.
 *
 * It looks at all Ps, 20 us apart while there is something to do, and more and more
 * seldom, up to 10 ms, where there is not, as Go's does; while all Ps are idle it
 * sleeps.  A P that was in one G for the whole time between two looks is asked
 *
 *   for the processor, when the G's time slice is over and others wait for it: in the
 *     queues, for a timer that is due, or for the network, which nobody polls meanwhile;
 *   for work, when others are idle: it packs what waits in its queue. */
#include <poll.h>
#include <sys/prctl.h>

#include "base/os.h"
#include "sched/sched.h"

enum {
	SHORTEST = 20000, LONGEST = 10000000, /* ns between two looks */
	PATIENT = 50,			      /* looks in vain before they become more seldom */
	SOON = 50000, LATE = 10000000,	      /* ns that a G runs before it is interrupted for */
					      /* work: late where that was in vain */
	SYSCALL_MAX = 10000000,		      /* ns */
};

struct seen {
	uint64_t tick;
	int64_t asked;	/* ns when the G began, or was last asked for the processor; */
	int64_t packed; /* and when it was first seen, or last asked for work: */
	int64_t wait;	/* how long it must be in one G for that, */
	bool asks;	/* whether it was asked at the last look, */
	uint32_t npacked; /* and what it had packed then */
	uint32_t syscalltick; /* the system call it was in, */
	int64_t entered;      /* and when that was first seen */
};

static struct {
	pthread_t thread;
	bool runs, stop, sleeps;
	struct note note;
	struct seen *seen; /* by P */
} mon;

static bool ringwaits(const P *pp)
{
	return load_relaxed(&pp->runq.head) != load_relaxed(&pp->runq.tail) || load_relaxed(&pp->runq.nover) > 0;
}

/* Whether somebody waits for pp while a G computes there. */
static bool somebodywaits(P *pp, int64_t now)
{
	struct pollfd pfd = {.fd = load_relaxed(&pp->pollfd), .events = POLLIN};
	return sched.stress || ringwaits(pp) || load_relaxed(&pp->runq.next) || hasincoming(pp) ||
	       load_relaxed(&pp->nexttimer) <= now || !stealq_isempty(pp) || load_relaxed(&sched.runq.n) > 0 ||
	       load_relaxed(&pp->pollstale) || poll(&pfd, 1, 0) > 0;
}

/* Pre-empts the G that has been running on pp for its time slice; again after as long.
 * When it must look again at the latest.  Holding sched.lock. */
static int64_t preempt(P *pp, struct seen *s, int64_t now)
{
	int64_t due = s->asked + sched.slice;
	if (now < due)
		return due;
	s->asked = now;
	if (load_relaxed(&sched.stopping) != 0) { /* asked before, perhaps where it could not be heard */
		interrupt(pp);
	} else if (somebodywaits(pp, now)) {
		store_relaxed(&pp->preempt, true);
		interrupt(pp);
	}
	return now + sched.slice;
}

/* Takes pp from an M that is in a system call, by Go's rules: when others wait for it, or
 * after ten milliseconds in any case (its timers and its network are looked after by
 * whoever has it).  Whether that was so; *next: as preempt's.  Holding sched.lock. */
static bool retakesyscall(P *pp, struct seen *s, int64_t now, int64_t *next)
{
	uint32_t tick = load_relaxed(&pp->syscalltick);
	if (s->syscalltick != tick || !s->entered) {
		s->syscalltick = tick;
		s->entered = now;
	} else if (load_relaxed(&sched.stopping) != 0 || now - s->entered >= SYSCALL_MAX || somebodywaits(pp, now)) {
		return retake(pp);
	}
	int64_t due = now + (somebodywaits(pp, now) ? SHORTEST : SYSCALL_MAX);
	if (due < *next)
		*next = due;
	return false;
}

/* Whether what was asked at the last look has borne fruit.  Holding sched.lock. */
static bool askwork(P *pp, struct seen *s, int64_t now, bool ran)
{
	uint32_t npacked = load_relaxed(&pp->npacked);
	bool fruit = s->asks && npacked != s->npacked;
	if (s->asks)
		s->wait = fruit ? SOON : s->wait * 2 > LATE ? LATE : s->wait * 2;
	s->asks = false;
	s->npacked = npacked;
	if (!ringwaits(pp)) /* what comes next may be of another kind */
		s->wait = SOON;
	if (!ran || !sched.steal || !ringwaits(pp) || load_relaxed(&sched.npidle) == 0 || now - s->packed < s->wait)
		return fruit;
	s->asks = true;
	s->packed = now;
	interrupt(pp);
	return fruit;
}

/* Whether this was worth while; *next: when to look again at the latest. */
static bool lookall(int64_t *next)
{
	bool any = false;
	int64_t now = nanotime();
	*next = now + LONGEST;
	lock(&sched.lock);
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		P *pp = load_relaxed(&sched.allp[i]);
		struct seen *s = &mon.seen[i];
		if (!pp)
			break;
		if (load_relaxed(&pp->insyscall)) {
			any |= retakesyscall(pp, s, now, next);
			continue;
		}
		s->entered = 0;
		uint64_t tick = load_relaxed(&pp->schedtick);
		bool runs = load_relaxed(&pp->status) == Prunning, same = s->tick == tick;
		if (!runs || !same) {
			s->tick = tick;
			s->asked = load_relaxed(&pp->looked);
			s->packed = now;
		}
		any |= askwork(pp, s, now, runs && same);
		bool stops = sched.preempt || load_relaxed(&sched.stopping) != 0;
		int64_t due = runs && stops ? preempt(pp, s, now) : *next;
		if (due < *next)
			*next = due;
	}
	unlock(&sched.lock);
	return any;
}

/* Sleeps for ns, or, if `deep` and all Ps are idle, until one of them runs.  False: the
 * monitor shall end. */
static bool rest(bool deep, int64_t ns)
{
	lock(&sched.lock);
	mon.sleeps = deep && sched.nrunning == 0 && !mon.stop;
	bool sleeps = mon.sleeps;
	unlock(&sched.lock);
	if (sleeps)
		note_sleep(&mon.note);
	else
		note_sleepfor(&mon.note, ns);
	lock(&sched.lock);
	bool stop = mon.stop;
	mon.sleeps = false;
	note_clear(&mon.note);
	unlock(&sched.lock);
	return !stop;
}

static void *monitor(void *unused)
{
	(void)unused;
	int64_t pause = SHORTEST, next, left;
	prctl(PR_SET_TIMERSLACK, 1000); /* ns; by default the kernel may be 50 us late */
	int vain = 0;
	do {
		vain = lookall(&next) ? 0 : vain + 1;
		pause = vain < PATIENT ? SHORTEST : pause * 2 > LONGEST ? LONGEST : pause * 2;
		left = next - nanotime();
	} while (rest(pause == LONGEST, left < SHORTEST ? SHORTEST : left < pause ? left : pause));
	return NULL;
}

void sysmonstart(void)
{
	if (mon.runs || !sched.ops.interrupt)
		return;
	mon.seen = xcalloc(sched.maxprocs, sizeof *mon.seen);
	for (uint32_t i = 0; i < sched.maxprocs; i++)
		mon.seen[i].wait = SOON;
	note_init(&mon.note);
	mon.stop = mon.sleeps = false;
	mon.runs = !os_mayfail() && pthread_create(&mon.thread, NULL, monitor, NULL) == 0;
	if (!mon.runs) {
		note_term(&mon.note);
		free(mon.seen);
	}
}

void sysmonwake(void)
{
	if (lp_unlikely(mon.sleeps)) {
		mon.sleeps = false;
		note_wake(&mon.note);
	}
}

void sysmonstop(void)
{
	if (!mon.runs)
		return;
	lock(&sched.lock);
	mon.stop = true;
	mon.sleeps = false;
	note_wake(&mon.note);
	unlock(&sched.lock);
	pthread_join(mon.thread, NULL);
	note_term(&mon.note);
	free(mon.seen);
	mon.runs = false;
}
