/* SPDX-License-Identifier: MIT */
/* proc.c - the scheduler's loop.
 *
 * Gs are multiplexed onto Ps, and Ps onto Ms, as in Go's runtime/proc.go:
 *
 *   schedule -> findrunnable -> execute -> (the G runs) -> park, yield or exit
 *
 * The loop runs on g0, the M's own stack.  A G runs on a C stack from its P's
 * pool; gogo goes there and mcall comes back, with the reason in a word.
 *
 * What runs on a pooled stack is gmain, a loop of its own: take the M's current
 * G, run its coroutine (ops.rung), tell g0 how it ended, wait to be continued
 * with another G.  So a G whose coroutine yields leaves nothing on the C stack,
 * which serves the next G while it is warm, without being set up anew.  A G
 * that parks where Lua cannot yield (below a sort comparator, say) calls mcall
 * from the depth where it stands and keeps the stack until it runs again.
 *
 * A park in steps; the order is what makes wake-ups safe:
 *   1. The G tells somebody where it can be found (a channel's queue, a poll).
 *   2. It leaves for g0: its coroutine has yielded, or its context is saved.
 *      From here on any M could continue it.
 *   3. g0 marks it waiting.
 *   4. g0 calls unlockf, the user's last word.  Only now may others ready it;
 *      if unlockf says no, it is continued at once.
 *
 * Rejected:
 *   - lua_resume straight from the scheduler's loop, without C stacks for Gs:
 *     two switches cheaper (5 ns), but a G could then not park under a C
 *     function, and could not come back on another thread.
 *   - A C stack per G: simplest, and the price is 8 KB for each parked G.
 *   - The loop on the G's stack after a yield (no g0): saves the same 5 ns; but
 *     stealing, hand-off and the collector's steps then run on a stack that the
 *     next G needs. */
#include <string.h>

#include "base/os.h"
#include "sched/sched.h"

enum {
	POLL_EVERY = 100000,	    /* ns: a busy P looks at its network this often */
	LOOK_EVERY = 32,	    /* at most so many Gs run between two looks at the tick counter */
	GS_MAX = 1 << 25,	    /* Gs in the table, if the address space allows */
	GS_MIN = 1 << 16,
};

struct sched sched;
M m0;
P p0;

static _Thread_local M *tlsm __attribute__((tls_model("initial-exec")));

__attribute__((noinline)) M *getm(void)
{
	M *mp = tlsm;
	__asm__ volatile("" : "+r"(mp)); /* no caller may keep what it learnt before a switch */
	return mp;
}

/* g0 to G: continues gp on its C stack; returns how it came back. */
static enum gout gogo(M *mp, G *gp)
{
	return (enum gout)(uintptr_t)gobuf_switch(&mp->g0, &gp->stk->buf, NULL);
}

/* G to g0: leaves with a reason; returns when the stack is continued. */
static void mcall(G *gp, enum gout why)
{
	gobuf_switch(&gp->stk->buf, &getm()->g0, (void *)(uintptr_t)why);
}

/* What runs on every pooled C stack. */
static void gmain(void *unused)
{
	(void)unused;
	gobuf_arrived();
	for (;;) {
		G *gp = getg();
		mcall(gp, sched.ops.rung(gp));
	}
}

/* mcall from inside C calls, which own the floating-point modes (asm/fpenv.h). */
static void mcall_stk(G *gp, enum gout why)
{
	struct fpenv mine = fpenv_get();
	mcall(gp, why);
	fpenv_set(mine);
}

void gopark_stk(G *gp)
{
	mcall_stk(gp, GOUT_PARKSTK);
}

void gosched_stk(G *gp)
{
	mcall_stk(gp, GOUT_GOSCHEDSTK);
}

_Noreturn void goexit_stk(G *gp)
{
	mcall(gp, GOUT_EXITSTK);
	throw("goexit returned");
}

void schedinit(const struct schedops *ops)
{
	sched.ops = *ops;
	uint32_t n = GS_MAX;
	while (!(sched.gs = os_reserverw((size_t)n * sizeof(G)))) {
		if (n <= GS_MIN)
			throw("no address space for the table of goroutines");
		n /= 2;
	}
	sched.gsmax = n;
	sched.ngs = 1; /* slot 0 means none */
	cstackpool_init(&p0.stacks, gmain);
	p0.now = nanotime();
	sched.started = true;
}

void newproc(P *pp, G *gp, uint32_t site)
{
	gp->id = ++sched.goidgen;
	gp->parent = pp->view.cur ? sched.gs[pp->view.cur].id : 0;
	gp->site = site;
	gp->p = pp;
	gp->reason = WR_NONE;
	gp->flags = 0;
	gp->sel = 0;
	sched.nlive++;
	casgstatus(gp, Gdead, Grunnable);
	runqput(pp, gp, true);
}

/* Waiting Gs whose event comes from outside keep the program alive. */
static bool isevent(const G *gp)
{
	static const uint8_t event[WR_COUNT] = {
#define X(name, text, event) event,
		WAITREASONS(X)
#undef X
	};
	return (event[gp->reason] || gp->timer) && !(gp->flags & GF_DAEMON);
}

static void countevent(G *gp)
{
	bool is = readgstatus(gp) == Gwaiting && isevent(gp);
	if (is == !!(gp->flags & GF_EVENT))
		return;
	gp->flags ^= GF_EVENT;
	gp->p->nevent += is ? 1 : -1u;
}

void gsetdaemon(G *gp, bool daemon)
{
	gp->flags = (uint16_t)(daemon ? gp->flags | GF_DAEMON : gp->flags & ~GF_DAEMON);
	countevent(gp);
}

static void unpark(G *gp)
{
	casgstatus(gp, Gwaiting, Grunnable);
	gp->parkseq++;
	gp->sel = 0;
	if (gp->flags & GF_EVENT) {
		lp_assert(gp->p->nevent > 0);
		gp->flags &= (uint16_t)~GF_EVENT;
		gp->p->nevent--;
	}
	if (gp->timer)
		sched.ops.stoptimer(gp);
}

void goready(G *gp, int32_t wake)
{
	if (lp_unlikely(readgstatus(gp) == Grunning)) {
		gp->flags |= GF_WOKEN;
		gp->wake = wake;
		return;
	}
	__builtin_prefetch(gp->L); /* it runs soon, and may have waited long */
	unpark(gp);
	gp->wake = wake;
	runqput(gp->p, gp, true);
}

void goreadylast(G *gp, int32_t wake)
{
	unpark(gp);
	gp->wake = wake;
	runqput(gp->p, gp, false);
}

static void givestack(P *pp, G *gp)
{
	cstackput(&pp->stacks, gp->stk);
	gp->stk = NULL;
}

/* Returns gp if it shall go on at once. */
static G *park(P *pp, G *gp)
{
	gp->waitsince = pp->now;
	casgstatus(gp, Grunning, Gwaiting);
	countevent(gp);
	if (lp_likely(!(gp->flags & (GF_GOPARK | GF_WOKEN))))
		return NULL;
	if (gp->flags & GF_WOKEN)
		gp->flags &= (uint16_t)~GF_WOKEN;
	else if (sched.ops.unlockf(gp))
		return NULL;
	/* An unlockf that readied gp and then refused to park would run it twice. */
	if (readgstatus(gp) != Gwaiting)
		return NULL;
	unpark(gp);
	return gp;
}

static void gdead(P *pp, G *gp)
{
	if (!sched.ops.gdead(gp))
		gp->L = NULL;
	gp->id = 0;
	sched.nlive--;
	gfput(pp, gp);
}

/* Takes gp from how it left its stack to where it belongs now.  Returns the G
 * that must go on at once, or NULL.  On g0. */
static G *left(P *pp, G *gp, enum gout why)
{
	switch (why) {
	case GOUT_PARK:
		givestack(pp, gp);
		return park(pp, gp);
	case GOUT_PARKSTK:
		return park(pp, gp);
	case GOUT_GOSCHED:
		givestack(pp, gp);
		/* fall through */
	case GOUT_GOSCHEDSTK:
		casgstatus(gp, Grunning, Grunnable);
		runqput(pp, gp, false);
		return NULL;
	case GOUT_EXITSTK:
		cstack_reset(&pp->stacks, gp->stk);
		/* fall through */
	case GOUT_EXIT:
		givestack(pp, gp);
		casgstatus(gp, Grunning, Gdead);
		gdead(pp, gp);
		return NULL;
	}
	throw("a goroutine left its stack for no reason");
}

/* Runs gp until it leaves its stack.  Returns as left does.  On g0. */
static G *execute(M *mp, P *pp, G *gp)
{
	lp_assert(gp->p == pp && mp->curg == NULL); /* a started G runs at home */
	if (gp->stk == NULL && (gp->stk = cstackget(&pp->stacks)) == NULL)
		throw("no C stack for a goroutine");
	casgstatus(gp, Grunnable, Grunning);
	pp->schedtick++;
	mp->curg = gp;
	pp->view.cur = gp->slot;
	pp->view.wake = gp->wake;
	enum gout why = gogo(mp, gp);
	mp->curg = NULL;
	pp->view.cur = 0;
	if (lp_unlikely(why >= GOUT_PARKSTK))
		fpenv_set(mp->fpenv);
	return left(pp, gp, why);
}

/* Looks at the clock: fires timers that are due, and polls the network if that
 * was not done for a while.  Returns when the next timer is due, 0 for never. */
static int64_t checkclock(P *pp)
{
	pp->polltick = cputicks();
	pp->now = nanotime();
	int64_t next = sched.ops.timers(pp, pp->now);
	if (pp->now - pp->polled > POLL_EVERY) {
		pp->polled = pp->now;
		sched.ops.netpoll(pp, 0);
	}
	return next;
}

/* Looks at the clock if some microseconds may have passed since it last did.  The
 * tick counter alone costs 10 ns, a quarter of a yield: so it is read after every
 * G where each takes long, and more and more seldom where they are short. */
static void maybecheckclock(P *pp)
{
	if (lp_likely(pp->lookin-- > 0))
		return;
	uint64_t passed = cputicks() - pp->polltick;
	if (passed > CPUTICKS_SOON)
		checkclock(pp);
	if (passed > CPUTICKS_SOON)
		pp->lookevery /= 4;
	else if (pp->lookevery < LOOK_EVERY)
		pp->lookevery++;
	pp->lookin = pp->lookevery;
}

/* The next G to run; blocks in the poller while there is none.  NULL when
 * nothing is alive, or the M was told to stop. */
static G *findrunnable(M *mp, P *pp)
{
	for (;;) {
		if (lp_unlikely(mp->exitwhy != NULL))
			return NULL;
		if (lp_unlikely(load_relaxed(&sched.signal) != 0)) {
			mp->exitwhy = "signal";
			return NULL;
		}
		maybecheckclock(pp);
		G *gp = runqget(pp);
		if (lp_likely(gp != NULL))
			return gp;
		int64_t next = checkclock(pp);
		if (runqlen(pp) > 0)
			continue;
		sched.ops.netpoll(pp, 0);
		if (runqlen(pp) > 0)
			continue;
		if (pp->nevent == 0 && !sched.ops.pending(pp))
			return NULL;
		cstack_trim(&pp->stacks, pp->now);
		sched.ops.netpoll(pp, next ? next : -1);
		pp->polled = pp->now = nanotime();
	}
}

const char *mstart(M *mp, P *pp)
{
	M *outer = tlsm;
	if (mp->p)
		throw("mstart of an M that runs already");
	tlsm = mp;
	mp->p = pp;
	pp->m = mp;
	mp->exitwhy = NULL;
	mp->fpenv = fpenv_get();
#ifdef LUAPARK_TSAN
	mp->g0.fiber = __tsan_get_current_fiber();
#endif
#ifdef LUAPARK_ASAN
	os_stackbounds(&mp->g0.lo, &mp->g0.size);
#endif
	G *gp;
	while ((gp = findrunnable(mp, pp)) != NULL)
		while ((gp = execute(mp, pp, gp)) != NULL)
			;
	mp->p = NULL;
	pp->m = NULL;
	tlsm = outer;
	return mp->exitwhy;
}

void schedstop(const char *why)
{
	getm()->exitwhy = why;
}

void schedsignal(int sig)
{
	store_relaxed(&sched.signal, (uint32_t)sig); /* the wake-up below is what orders it */
	if (p0.netpoll)
		sched.ops.wakenetpoll(&p0);
}

void gkillall(P *pp)
{
	while (runqget(pp) != NULL)
		;
	for (uint32_t i = 1; i < sched.ngs; i++) {
		G *gp = &sched.gs[i];
		enum gstatus st = readgstatus(gp);
		if (st == Gdead)
			continue;
		if (st == Gwaiting)
			unpark(gp);
		casgstatus(gp, Grunnable, Gdead);
		gp->flags |= GF_NOREUSE;
		if (gp->stk) {
			cstack_reset(&pp->stacks, gp->stk);
			givestack(pp, gp);
		}
		gdead(pp, gp);
	}
}
