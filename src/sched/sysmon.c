/* SPDX-License-Identifier: MIT */
/* sysmon.c - the monitor: a thread without a P.
 *
 * It looks at all Ps, 20 us apart while there is something to do, and more and more
 * seldom, up to 10 ms, where there is not, as Go's does; while all Ps are idle it
 * sleeps.  What it does today: where a P has been in one G for the whole time between
 * two looks and others are idle, it interrupts that G, so that its P packs what waits
 * in its queue. */
#include "base/os.h"
#include "sched/sched.h"

enum {
	SHORTEST = 20000, LONGEST = 10000000, /* ns between two looks */
	PATIENT = 50,			      /* looks in vain before they become more seldom */
	SOON = 50000, LATE = 10000000,	      /* ns that a G runs before it is interrupted: late */
					      /* where that was in vain */
};

struct seen {
	uint64_t tick;
	int64_t since; /* when the P first was at this tick, or was asked */
	int64_t wait;
	bool asked;
	uint32_t npacked;
};

static struct {
	pthread_t thread;
	bool runs, stop, sleeps;
	struct note note;
	struct seen *seen; /* by P */
} mon;

/* Whether this was worth while: what was asked at the last look has borne fruit.  Holding
 * sched.lock. */
static bool look(P *pp, struct seen *s, int64_t now)
{
	uint64_t tick = load_relaxed(&pp->schedtick);
	uint32_t npacked = load_relaxed(&pp->npacked);
	bool fruit = s->asked && npacked != s->npacked;
	if (s->asked)
		s->wait = fruit ? SOON : s->wait * 2 > LATE ? LATE : s->wait * 2;
	s->asked = false;
	s->npacked = npacked;
	if (load_relaxed(&pp->status) != Prunning || s->tick != tick) {
		s->tick = tick;
		s->since = now;
		return fruit;
	}
	bool queued = load_relaxed(&pp->runq.head) != load_relaxed(&pp->runq.tail);
	if (!queued || load_relaxed(&sched.npidle) == 0 || now - s->since < s->wait)
		return fruit;
	s->asked = true;
	s->since = now;
	interrupt(pp);
	return fruit;
}

static bool lookall(bool *sleep)
{
	bool any = false;
	int64_t now = nanotime();
	lock(&sched.lock);
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		P *pp = load_relaxed(&sched.allp[i]);
		if (!pp)
			break;
		any |= look(pp, &mon.seen[i], now);
	}
	*sleep = mon.sleeps = sched.nrunning == 0 && !mon.stop;
	unlock(&sched.lock);
	return any;
}

static void *monitor(void *unused)
{
	(void)unused;
	int64_t pause = SHORTEST;
	for (int vain = 0;;) {
		bool sleep;
		vain = lookall(&sleep) ? 0 : vain + 1;
		if (sleep) {
			note_sleep(&mon.note);
			vain = 0;
		}
		pause = vain < PATIENT ? SHORTEST : pause * 2 > LONGEST ? LONGEST : pause * 2;
		lock(&sched.lock);
		bool stop = mon.stop;
		mon.sleeps = false;
		note_clear(&mon.note);
		unlock(&sched.lock);
		if (stop)
			return NULL;
		os_nanosleep(pause);
	}
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
