/* SPDX-License-Identifier: MIT */
/* m.c - Ms: threads, made when a P needs one and kept for the next.
 *
 * An M runs a P until that is drained (gomaxprocs shrank), or is another M's (a system
 * call, a locked G); then it waits on its note for another P, or its end.  m0 waits for
 * p0 only.
 *
 * There may be no further thread.  A P too many is then not made, and one whose M is in a
 * system call waits for it; but one whose M is locked must go to another M when the
 * locked G parks.  So for each of these an idle M is kept that nobody else gets:
 *
 *   sched.nmidle >= owed()
 *
 * lockosthread makes it, or fails; who hands a P to a locked M is idle at that moment.  m0,
 * while it waits, is p0's. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/os.h"
#include "sched/sched.h"

enum {
	SIGSTACK = 64 << 10,
	M_MAX = 10000,	/* threads, as in Go */
	MIDLE_MAX = 64, /* that are kept for later */
};

static _Thread_local M *tlsm __attribute__((tls_model("initial-exec")));
static struct sigaction formerurg; /* who had SIGURG before us */

__attribute__((noinline)) M *getm(void)
{
	M *mp = tlsm;
	__asm__ volatile("" : "+r"(mp)); /* no caller may keep what it learnt before a switch */
	return mp;
}

void setm(M *mp)
{
	tlsm = mp;
	if (!mp)
		return;
	mp->fpenv = fpenv_get();
#ifdef LUAPARK_TSAN
	mp->g0.fiber = __tsan_get_current_fiber();
#endif
#ifdef LUAPARK_ASAN
	os_stackbounds(&mp->g0.lo, &mp->g0.size);
#endif
}

/* SIGURG, since nobody else has a use for it, as in Go. */
static void onurg(int sig, siginfo_t *info, void *context)
{
	int err = errno;
	M *mp = tlsm;
	if (mp && mp->p && mp->curg)
		sched.ops.interrupt(mp->p);
	if (formerurg.sa_flags & SA_SIGINFO)
		formerurg.sa_sigaction(sig, info, context);
	else if (formerurg.sa_handler != SIG_DFL && formerurg.sa_handler != SIG_IGN)
		formerurg.sa_handler(sig);
	errno = err;
}

void minit(void)
{
	note_init(&m0.note);
	if (!sched.ops.interrupt)
		return;
	struct sigaction sa = {.sa_sigaction = onurg, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	sigemptyset(&sa.sa_mask);
	sigaction(SIGURG, &sa, &formerurg);
}

void interrupt(P *pp)
{
	lp_assert(lock_isheld(&sched.lock));
	M *mp = pp->m;
	if (mp && sched.ops.interrupt && load_relaxed(&pp->status) == Prunning && !load_relaxed(&pp->insyscall) &&
	    mp->thread)
		pthread_kill(mp->thread, SIGURG);
}

/* m0 waits, and may as well have pp from its M. */
static bool m0stands(const P *pp)
{
	return pp == &p0 && pp->m != &m0 && m0.waits && !m0.lockedg;
}

/* Whether pp's M is for one G only, and pp must go on upon an idle one. */
static bool owes(const P *pp)
{
	return pp->m && (pp->m->lockedg || pp->m->goes) && !m0stands(pp);
}

/* How many Ps but this one do. */
static uint32_t owed(const P *but)
{
	uint32_t n = 0;
	lp_assert(lock_isheld(&sched.lock));
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		const P *pp = load_relaxed(&sched.allp[i]);
		if (!pp)
			break;
		n += pp != but && owes(pp);
	}
	return n;
}

/* mp, which has none, gets pp. */
static void give(P *pp, M *mp)
{
	if (mp == &m0) {
		m0.waits = false;
		store_relaxed(&sched.m0wants, false);
	}
	mp->nextp = pp;
	pp->m = mp;
	note_wake(&mp->note);
}

bool handover(M *mp, P *pp)
{
	lp_assert(lock_isheld(&sched.lock));
	M *heir = pp->heir;
	pp->heir = NULL;
	bool wanted = load_relaxed(&sched.m0wants) || (load_relaxed(&sched.stopping) & STOP_EXIT);
	if (!heir && pp == &p0 && m0.waits && wanted)
		heir = &m0;
	if (!heir || heir == mp)
		return false;
	mp->p = NULL;
	give(pp, heir);
	return true;
}

static void putidle(M *mp)
{
	sched.nmidle++;
	mp->link = sched.midle;
	sched.midle = mp;
}

/* mp, which has no P, waits for its next; false if its thread shall end.  Holding
 * sched.lock. */
static bool idle(M *mp)
{
	if (mp->lockedg) /* for the P of that */
		return true;
	if (mp->goes || (sched.nmidle >= MIDLE_MAX && sched.nmidle >= owed(NULL)))
		return false;
	putidle(mp);
	lp_assert(sched.nmidle >= owed(NULL));
	return true;
}

/* Runs pp until it is drained, or others have it, or the M must end.  As idle. */
static bool runp(M *mp, P *pp)
{
	pp->open = pp->open || sched.ops.openp(pp);
	bool opened = pp->open;
	if (opened)
		schedule(mp, pp);
	lock(&sched.lock);
	if (mp->p && pp == &p0 && !pp->heir) /* it is never drained: the run ends, or m0 wants it, and waits for it */
		pp->heir = &m0;
	if (!mp->p || handover(mp, pp)) {
		bool stays = idle(mp); /* at once: the heir may be locked */
		unlock(&sched.lock);
		return stays;
	}
	unlock(&sched.lock);
	if (opened)
		sched.ops.closep(pp);
	lock(&sched.lock);
	pp->open = false;
	if (load_relaxed(&pp->handspin)) {
		store_relaxed(&pp->handspin, false);
		fetch_sub_seqcst(&sched.nmspinning, 1);
	}
	if (load_relaxed(&pp->status) == Prunning)
		sched.nrunning--;
	store_relaxed(&pp->status, Pdead);
	pp->m = NULL;
	mp->p = NULL;
	if (!opened && pp->id < load_relaxed(&sched.gomaxprocs)) /* there can be no more of them */
		store_relaxed(&sched.gomaxprocs, pp->id);
	procrecount();
	cond_broadcast(&sched.world);
	bool stays = idle(mp);
	unlock(&sched.lock);
	checkdead0(); /* all others may have gone idle while this one closed */
	return stays;
}

P *takep(M *mp)
{
	for (;;) {
		lock(&sched.lock);
		P *pp = mp->nextp;
		if (mp->exits)
			pp = NULL;
		bool waits = !pp && !mp->exits && !mp->goes;
		mp->nextp = NULL;
		mp->p = pp;
		unlock(&sched.lock);
		if (!waits)
			return pp;
		note_sleep(&mp->note);
		note_clear(&mp->note);
	}
}

/* mp's thread ends, with all others or before. */
static void freem(M *mp)
{
	lock(&sched.lock);
	bool joins = mp->exits; /* stopms waits for it */
	if (!joins) {
		M **at = &sched.allm;
		while (*at != mp)
			at = &(*at)->all;
		*at = mp->all;
		sched.nm--;
		pthread_detach(mp->thread);
	}
	unlock(&sched.lock);
	if (joins)
		return;
	note_term(&mp->note);
	free(mp);
}

static void *mmain(void *arg)
{
	M *mp = arg;
	stack_t ss = {.ss_sp = xmalloc(SIGSTACK), .ss_size = SIGSTACK}, none = {.ss_flags = SS_DISABLE};
	sigaltstack(&ss, NULL);
	setm(mp);
	for (P *pp; (pp = takep(mp)) != NULL && runp(mp, pp);)
		;
	setm(NULL);
	sigaltstack(&none, NULL);
	free(ss.ss_sp);
	freem(mp);
	return NULL;
}

/* A new M, whose thread waits for a P; or NULL. */
static M *newm(void)
{
	if (sched.nm >= M_MAX)
		throw("program exceeds 10000-thread limit");
	M *mp = xcalloc(1, sizeof *mp);
	note_init(&mp->note);
	if (os_mayfail() || pthread_create(&mp->thread, NULL, mmain, mp) != 0) {
		note_term(&mp->note);
		free(mp);
		return NULL;
	}
	mp->all = sched.allm;
	sched.allm = mp;
	sched.nm++;
	return mp;
}

bool startm(P *pp)
{
	lp_assert(lock_isheld(&sched.lock));
	M *mp;
	if (m0stands(pp)) {
		mp = &m0;
	} else if (sched.nmidle > owed(pp)) {
		mp = sched.midle;
		sched.midle = mp->link;
		sched.nmidle--;
	} else if (!(mp = newm())) {
		return false;
	}
	give(pp, mp);
	lp_assert(sched.nmidle >= owed(NULL));
	return true;
}

bool sparem(const P *pp)
{
	lp_assert(lock_isheld(&sched.lock));
	if (m0stands(pp) || sched.nmidle > owed(pp)) /* if it owes one already, too */
		return true;
	M *mp = newm();
	if (mp)
		putidle(mp);
	return mp != NULL;
}

bool stopms(void)
{
	if (!sched.halted)
		return false;
	sysmonstop();
	lock(&sched.lock);
	for (M *mp = sched.allm; mp; mp = mp->all) {
		mp->exits = true;
		note_wake(&mp->note);
	}
	cond_broadcast(&sched.world);
	for (uint32_t i = 1; i < sched.maxprocs; i++) {
		P *pp = load_relaxed(&sched.allp[i]);
		if (pp && load_relaxed(&pp->status) == Pidle)
			sched.ops.wakenetpoll(pp);
	}
	unlock(&sched.lock);
	for (M *mp = sched.allm, *next; mp; mp = next) {
		next = mp->all;
		pthread_join(mp->thread, NULL);
		note_term(&mp->note);
		free(mp);
	}
	sched.allm = sched.midle = NULL;
	sched.nm = sched.nmidle = 0;
	return true;
}
