/* SPDX-License-Identifier: MIT */
/* m.c - Ms: threads, made when a P needs one and kept for the next.
 *
 * An M other than m0 runs one P after another: until the P is drained (gomaxprocs
 * shrank); then it waits on its note for another P, or its end. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/os.h"
#include "sched/sched.h"

enum { SIGSTACK = 64 << 10 };

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
	if (mp && sched.ops.interrupt && load_relaxed(&pp->status) == Prunning && mp->thread)
		pthread_kill(mp->thread, SIGURG);
}

/* Runs pp until it is drained, or the M must end. */
static void runp(M *mp, P *pp)
{
	bool opened = sched.ops.openp(pp);
	if (opened)
		schedule(mp, pp);
	if (opened)
		sched.ops.closep(pp);
	lock(&sched.lock);
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
	bool dead = checkdead(); /* all others may have gone idle while this one closed */
	if (dead)
		pidletake(&p0);
	unlock(&sched.lock);
	if (dead)
		sched.ops.wakenetpoll(&p0);
}

/* The P that mp is to run, or NULL: it shall end.  Waits for one or the other. */
static P *takep(M *mp)
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

static void *mmain(void *arg)
{
	M *mp = arg;
	stack_t ss = {.ss_sp = xmalloc(SIGSTACK), .ss_size = SIGSTACK}, none = {.ss_flags = SS_DISABLE};
	sigaltstack(&ss, NULL);
	setm(mp);
	for (P *pp; (pp = takep(mp)) != NULL;) {
		runp(mp, pp);
		lock(&sched.lock);
		mp->link = sched.midle;
		sched.midle = mp;
		unlock(&sched.lock);
	}
	setm(NULL);
	sigaltstack(&none, NULL);
	free(ss.ss_sp);
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
		mp->nextp = pp;
		pp->m = mp;
		note_wake(&mp->note);
		return true;
	}
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
	return true;
}

bool stopms(void)
{
	if (!sched.halted)
		return false;
	sysmonstop();
	lock(&sched.lock);
	for (M *mp = sched.allm; mp; mp = mp->all)
		mp->exits = true;
	for (M *mp = sched.midle; mp; mp = mp->link)
		note_wake(&mp->note);
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
	return true;
}
