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
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/randord.h"
#include "sched/bubble.h"
#include "sched/sched.h"

enum {
	GOID_BATCH = 16,  /* ids that a P takes at a time */
	SLICE = 10000000, /* ns, as in Go */
};

struct sched sched = {.world = COND_INIT, .patience = -1, .halted = true};
M m0;
P p0;

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

void gmain(void *unused)
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

void gopreempt_stk(G *gp)
{
	mcall_stk(gp, GOUT_PREEMPTSTK);
}

void gosyscall_stk(G *gp)
{
	mcall_stk(gp, GOUT_SYSCALL);
}

_Noreturn void goexit_stk(G *gp)
{
	mcall(gp, GOUT_EXITSTK);
	throw("goexit returned");
}

bool scheddebug(const char *word)
{
	const char *s = getenv("LUAPARK_DEBUG");
	size_t n = strlen(word);
	while (s && *s) {
		if (strncmp(s, word, n) == 0 && (s[n] == '\0' || s[n] == ','))
			return true;
		s = strchr(s, ',');
		s = s ? s + 1 : NULL;
	}
	return false;
}

void schedinit(const struct schedops *ops)
{
	const char *steal = getenv("LUAPARK_STEAL");
	lock_init(&sched.lock, RANK_SCHED);
	sched.ops = *ops;
	sched.steal = ops->pack && !(steal && strcmp(steal, "0") == 0);
	sched.stress = scheddebug("stress");
	const char *preempt = getenv("LUAPARK_PREEMPT");
	sched.preempt = ops->interrupt && !(preempt && strcmp(preempt, "0") == 0);
	sched.slice = sched.stress || scheddebug("preempt") ? SLICE / 10 : SLICE;
	store_relaxed(&sched.stopping, STOP_EXIT); /* as between two runs */
	procinit();
	minit();
	sched.started = true;
}

static void born(P *pp, G *gp, uint32_t site)
{
	if (lp_unlikely(pp->goid == pp->goidend)) {
		pp->goid = fetch_add_relaxed(&sched.goidgen, GOID_BATCH);
		pp->goidend = pp->goid + GOID_BATCH;
	}
	store_relaxed(&gp->id, ++pp->goid);
	gp->parent = pp->view.cur ? load_relaxed(&sched.gs[pp->view.cur].id) : 0;
	gp->site = site;
	store_relaxed(&gp->reason, WR_NONE);
	gp->sel = 0;
	store_relaxed(&pp->nlive, load_relaxed(&pp->nlive) + 1);
	casgstatus(gp, Gdead, Grunnable);
}

void newproc(P *pp, G *gp, uint32_t site)
{
	store_relaxed(&gp->p, pp);
	gp->flags = GF_FRESH;
	if (lp_unlikely(pp->view.bubble))
		bubble_join(bubble_current(pp), gp);
	born(pp, gp, site);
	runqput(pp, gp, true);
}

void newprocpacked(P *pp, G *gp, uint32_t site)
{
	gp->flags = GF_FRESH | GF_PACKED;
	if (lp_unlikely(pp->view.bubble)) { /* whose Gs are all on one P */
		store_relaxed(&gp->p, pp);
		bubble_join(bubble_current(pp), gp);
		born(pp, gp, site);
		runqput(pp, gp, true);
		return;
	}
	store_relaxed(&gp->p, NULL);
	born(pp, gp, site);
	stealqput(pp, gp);
	wakep();
}

void newprocat(P *pp, G *gp, uint32_t site, P *home)
{
	store_relaxed(&gp->p, NULL);
	gp->flags = GF_FRESH | GF_PACKED | GF_STAYS;
	born(pp, gp, site);
	postg(home, gp);
}

/* Waiting Gs whose event comes from outside keep the program alive. */
static bool isevent(const G *gp)
{
	static const uint8_t event[WR_COUNT] = {
#define X(name, text, event, durable) event,
		WAITREASONS(X)
#undef X
	};
	return (event[load_relaxed(&gp->reason)] || gp->timer) && !(gp->flags & GF_DAEMON);
}

static void countevent(G *gp)
{
	bool is = readgstatus(gp) == Gwaiting && isevent(gp);
	if (lp_likely(is == !!(gp->flags & GF_EVENT)))
		return;
	if (is && (gp->flags & GF_BUBBLE) && gp->inbubble->durable)
		return; /* the event would be the bubble's own */
	gp->flags ^= GF_EVENT;
	gp->p->nevent += is ? 1 : -1u;
}

void gsetdaemon(G *gp, bool daemon)
{
	daemon = daemon && !(gp->flags & GF_FAILING);
	if (lp_unlikely(gp->flags & GF_BUBBLE))
		bubble_daemon(gp, daemon);
	gp->flags = (uint16_t)(daemon ? gp->flags | GF_DAEMON : gp->flags & ~GF_DAEMON);
	countevent(gp);
}

static void unpark(G *gp)
{
	casgstatus(gp, Gwaiting, Grunnable);
	/* On to the next even number: a gopark that was readied has added one already. */
	store_relaxed(&gp->parkseq, (load_relaxed(&gp->parkseq) | 1) + 1);
	gp->sel = 0;
	if (gp->flags & (GF_EVENT | GF_BUBBLE)) {
		if (gp->flags & GF_BUBBLE)
			bubble_unparked(gp);
		if (gp->flags & GF_EVENT) {
			lp_assert(gp->p->nevent > 0);
			gp->flags &= (uint16_t)~GF_EVENT;
			gp->p->nevent--;
		}
	}
	if (gp->timer)
		sched.ops.stoptimer(gp);
}

static void readyhere(G *gp, int32_t wake)
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

/* Stress: gp, which is ours, takes the way of those that are not.  (A bubble would find all blocked
 * meanwhile.) */
static bool detours(const M *mp, const G *gp)
{
	return mp && readgstatus(gp) == Gwaiting && !(gp->flags & GF_BUBBLE) && randnext(&mp->p->rand) % 4 == 0;
}

void goready(G *gp, int32_t wake)
{
	const M *mp = getm();
	/* The host's is p0's. */
	if (lp_likely(!mp || mp->p == gp->p) && !(lp_unlikely(sched.stress) && detours(mp, gp))) {
		readyhere(gp, wake);
		return;
	}
	gp->wake = wake;
	inboxput(gp);
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

bool gclaim(G *gp, uint64_t id)
{
	uint32_t seq = load_acquire(&gp->parkseq); /* pairs with park's release */
	return (seq & 1) && load_relaxed(&gp->id) == id && cas_acqrel(&gp->parkseq, &seq, seq + 1);
}

/* gp, of a bubble or in gopark, waits; or it has been readied before that.  Returns gp if it shall
 * go on at once. */
static __attribute__((noinline)) G *parkslowly(const P *pp, G *gp)
{
	struct bubble *b = gp->flags & GF_BUBBLE ? gp->inbubble->b : NULL;
	if (b)
		bubble_parked(gp);
	else
		gp->waitsince = pp->now;
	countevent(gp);
	if (gp->flags & GF_WOKEN) {
		gp->flags &= (uint16_t)~GF_WOKEN;
		unpark(gp);
		return gp;
	}
	if (gp->flags & GF_GOPARK) {
		uint32_t seq = load_relaxed(&gp->parkseq) | 1;
		store_release(&gp->parkseq, seq); /* from here on goready may claim it */
		/* An unlockf that let somebody ready gp and then refused to park would run it twice. */
		if (!sched.ops.unlockf(gp) && cas_acqrel(&gp->parkseq, &seq, seq + 1)) {
			unpark(gp);
			return gp;
		}
	}
	if (b)
		bubble_turn(b);
	return NULL;
}

/* Returns gp if it shall go on at once. */
static G *park(const P *pp, G *gp)
{
	casgstatus(gp, Grunning, Gwaiting);
	if (lp_unlikely(gp->flags & (GF_GOPARK | GF_WOKEN | GF_BUBBLE)))
		return parkslowly(pp, gp);
	gp->waitsince = pp->now;
	countevent(gp);
	return NULL;
}

static void gdead(P *pp, G *gp)
{
	if (lp_unlikely(gp->flags & GF_LOCKED))
		unlockg(gp);
	if (lp_unlikely(!gisown(pp, gp->slot)))
		gp->flags |= GF_NOREUSE; /* its slot goes back */
	if (!sched.ops.gdead(gp))
		gp->L = NULL;
	struct bubble *b = lp_unlikely(gp->flags & GF_BUBBLE) ? bubble_left(gp) : NULL;
	store_relaxed(&gp->id, 0);
	store_relaxed(&pp->nlive, load_relaxed(&pp->nlive) - 1);
	gfput(pp, gp);
	if (lp_unlikely(b != NULL))
		bubble_turn(b);
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
	case GOUT_PREEMPTSTK:
		casgstatus(gp, Grunning, Gpreempted);
		checkclock(pp); /* who waits for that has waited long enough */
		if (hasincoming(pp))
			inboxrun(pp);
		servethieves(pp, pp->runq.tail, false); /* once they have begun they stay here */
		casgstatus(gp, Gpreempted, Grunnable);
		runqput(pp, gp, false);
		return NULL;
	case GOUT_EXITSTK:
		cstack_reset(&pp->stacks, gp->stk);
		/* fall through */
	case GOUT_EXIT:
		givestack(pp, gp);
		casgstatus(gp, Grunning, Gdead);
		pp->nhome--;
		gdead(pp, gp);
		return NULL;
	case GOUT_SYSCALL: /* see execute */
		break;
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
	if (gp->flags & (GF_FRESH | GF_BUBBLE)) {
		pp->nhome += (gp->flags & GF_FRESH) != 0;
		gp->flags &= (uint16_t)~(GF_FRESH | GF_STAYS);
		pp->view.bubble = gp->flags & GF_BUBBLE ? gp->inbubble->b->id : 0;
	}
	store_relaxed(&pp->schedtick, load_relaxed(&pp->schedtick) + 1);
	if (lp_unlikely(load_relaxed(&pp->preempt))) /* it was for the one before */
		store_relaxed(&pp->preempt, false);
	mp->curg = gp;
	pp->view.cur = gp->slot;
	pp->view.wake = gp->wake;
	enum gout why = gogo(mp, gp);
	mp->curg = NULL;
	if (lp_unlikely(why == GOUT_SYSCALL)) { /* pp is not ours any more */
		fpenv_set(mp->fpenv);
		return exitsyscall0(mp, gp);
	}
	pp->view.cur = 0;
	if (lp_unlikely(pp->view.bubble))
		pp->view.bubble = 0;
	if (lp_unlikely(why >= GOUT_PARKSTK))
		fpenv_set(mp->fpenv);
	return left(pp, gp, why);
}

/* gp runs on another M, which gets pp for it. */
static void sendtolocked(P *pp, G *gp)
{
	lock(&sched.lock);
	pp->heir = lockedm(gp);
	pp->first = gp;
	unlock(&sched.lock);
}

/* Stress: a P changes its M at any time. */
static bool handoff(M *mp, P *pp)
{
	if (pp->spinning || randnext(&pp->rand) % 64 != 0)
		return false;
	if (mp == &m0)
		store_relaxed(&sched.m0wants, true); /* whoever gets p0 gives it back */
	return giveaway(mp, pp);
}

void schedule(M *mp, P *pp)
{
	G *gp;
	pp->spinning = load_relaxed(&pp->handspin); /* counted by wakep */
	store_relaxed(&pp->handspin, false);
	gp = pp->first;
	pp->first = NULL;
	for (;;) {
		/* Not now?  (mp is locked to pp->first's, and for nobody else: it takes none but on its way out.)  Each is asked
		 * once: m0 may want p0 at any moment, and who was taken from a queue must not be left in none. */
		if (m0wants(mp, pp) || (gp && load_relaxed(&sched.stopping) != 0 && !halt(mp, pp))) {
			if (gp)
				runqput(pp, gp, true);
			break;
		}
		if (!gp && !(gp = findrunnable(mp, pp)))
			break;
		if (lp_unlikely(gp->flags & GF_LOCKED) && mp->lockedg != gp) {
			sendtolocked(pp, gp);
			break;
		}
		while ((gp = execute(mp, pp, gp)) != NULL)
			;
		if (lp_unlikely(!mp->p))
			return;
		if (lp_unlikely(mp->lockedg || mp->goes)) {
			if (!giveaway(mp, pp))
				throw("no thread for a P whose own is locked");
			return;
		}
		if (lp_unlikely(sched.stress) && handoff(mp, pp))
			return;
	}
	if (pp->spinning)
		setspinning(pp, false);
}

const char *mstart(M *mp, P *pp)
{
	M *outer = getm();
	if (mp->p)
		throw("mstart of an M that runs already");
	setm(mp);
	if (!pthread_equal(mp->thread, pthread_self())) /* as a rule it is: schedsignal may be looking */
		mp->thread = pthread_self();
	runbegin(mp, pp);
	for (bool over = false; !over;) {
		schedule(mp, pp);
		lock(&sched.lock);
		if (mp->p) {
			over = !handover(mp, pp);
			mp->waits = !over;
		}
		unlock(&sched.lock);
		if (!over)
			takep(mp);
	}
	runend(pp);
	setm(outer);
	return sched.dead ? NULL : sched.exitwhy ? sched.exitwhy : "signal";
}

void gkillall(void)
{
	lock(&sched.lock);
	while (globrunqget(&p0) != NULL)
		;
	unlock(&sched.lock);
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		P *pp = load_relaxed(&sched.allp[i]);
		if (!pp)
			break;
		store_relaxed(&pp->inbox, 0);
		pp->first = NULL;
		pp->heir = NULL;
		while (stealqget(pp) != NULL || runqget(pp) != NULL)
			;
	}
	for (uint32_t i = 0; i < sched.maxprocs && load_relaxed(&sched.allp[i]); i++)
		bubble_killall(load_relaxed(&sched.allp[i]));
	for (G *gp = gnext(0); gp; gp = gnext(gp->slot + 1)) {
		P *pp = gp->p ? gp->p : &p0;
		store_relaxed(&gp->p, pp);
		if (readgstatus(gp) == Gwaiting)
			unpark(gp);
		casgstatus(gp, Grunnable, Gdead);
		if (!(gp->flags & GF_FRESH))
			pp->nhome--;
		gp->flags |= GF_NOREUSE;
		if (gp->stk) {
			cstack_reset(&pp->stacks, gp->stk);
			givestack(pp, gp);
		}
		gdead(pp, gp);
	}
	for (uint32_t i = 0; i < sched.maxprocs && load_relaxed(&sched.allp[i]); i++)
		bubble_forgetall(load_relaxed(&sched.allp[i]));
}
