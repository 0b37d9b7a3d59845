/* SPDX-License-Identifier: MIT */
/* m.c - Ms: threads, made when a P needs one and kept for the next.
 *
 * An M runs a P until that is drained (gomaxprocs shrank), or is another M's (a system
 * call, a locked G); then it waits on its note for another P, or its end.  m0 waits for
 * p0 only. */
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

bool handover(M *mp, P *pp)
{
	lp_assert(lock_isheld(&sched.lock));
	M *heir = pp->heir;
	pp->heir = NULL;
	if (!heir && pp == &p0 && m0.waits && (load_relaxed(&sched.m0wants) || load_relaxed(&sched.stopping) != 0))
		heir = &m0;
	if (!heir || heir == mp)
		return false;
	if (heir == &m0) {
		m0.waits = false;
		store_relaxed(&sched.m0wants, false);
	}
	mp->p = NULL;
	heir->nextp = pp;
	pp->m = heir;
	note_wake(&heir->note);
	return true;
}

/* Runs pp until it is drained, or others have it, or the M must end. */
static void runp(M *mp, P *pp)
{
	pp->open = pp->open || sched.ops.openp(pp);
	bool opened = pp->open;
	if (opened)
		schedule(mp, pp);
	if (!mp->p)
		return;
	lock(&sched.lock);
	if (pp == &p0 && !pp->heir) /* it is never drained: the run ends, or m0 wants it, and waits for it */
		pp->heir = &m0;
	bool given = handover(mp, pp);
	unlock(&sched.lock);
	if (given)
		return;
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
	unlock(&sched.lock);
	checkdead0(); /* all others may have gone idle while this one closed */
}

P *takep(M *mp)
{
	for (;;) {
		lock(&sched.lock);
		P *pp = mp->nextp;
		bool exits = mp->exits;
		mp->nextp = NULL;
		mp->p = exits ? NULL : pp;
		unlock(&sched.lock);
		if (exits || pp)
			return exits ? NULL : pp;
		note_sleep(&mp->note);
		note_clear(&mp->note);
	}
}

/* mp waits for its next P; false if there are enough who do. */
static bool idle(M *mp)
{
	lock(&sched.lock);
	bool stays = sched.nmidle < MIDLE_MAX;
	if (stays) {
		sched.nmidle++;
		mp->link = sched.midle;
		sched.midle = mp;
	}
	unlock(&sched.lock);
	return stays;
}

/* A thread ends before the others do. */
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
	bool stays = true;
	for (P *pp; stays && (pp = takep(mp)) != NULL;) {
		runp(mp, pp);
		stays = mp->lockedg || (!mp->goes && idle(mp));
	}
	setm(NULL);
	sigaltstack(&none, NULL);
	free(ss.ss_sp);
	if (!stays)
		freem(mp);
	return NULL;
}

static M *newm(void)
{
	M *mp = xcalloc(1, sizeof *mp);
	note_init(&mp->note);
	return mp;
}

bool startm(P *pp)
{
	lp_assert(lock_isheld(&sched.lock));
	M *mp = sched.midle;
	if (mp) {
		sched.midle = mp->link;
		sched.nmidle--;
		mp->nextp = pp;
		pp->m = mp;
		note_wake(&mp->note);
		return true;
	}
	if (sched.nm >= M_MAX)
		throw("program exceeds 10000-thread limit");
	mp = newm();
	mp->nextp = pp;
	pp->m = mp;
	if (os_mayfail() || pthread_create(&mp->thread, NULL, mmain, mp) != 0) {
		pp->m = NULL;
		note_term(&mp->note);
		free(mp);
		return false;
	}
	mp->all = sched.allm;
	sched.allm = mp;
	sched.nm++;
	return true;
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
