/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/os.h"
#include "park/netpoll.h"
#include "park/sudog.h"
#include "park/timer.h"
#include "test.h"

enum { MAXG = 1 << 15 };

static struct {
	simbody *body;
	void *ud;
} sims[MAXG];

static bool realpoll, realtimers;
static int nfds;

static enum gout rung(G *gp)
{
	gp->L = &sims[gp->slot];
	return sims[gp->slot].body(gp, sims[gp->slot].ud);
}

static bool unlockf(G *gp)
{
	(void)gp;
	return true;
}

static bool gdead(G *gp)
{
	return !(gp->flags & GF_NOREUSE);
}

static bool pending(P *pp)
{
	return realtimers && timers_pending(pp);
}

static void firenothing(P *pp, int32_t ref)
{
	(void)pp;
	(void)ref;
}

static bool wakesnobody(P *pp, int32_t ref)
{
	(void)pp;
	(void)ref;
	return false;
}

void sim_init(struct schedops ops)
{
	realpoll = !ops.netpoll;
	realtimers = !ops.timers;
	nfds = test_nfds();
	ops.rung = ops.rung ? ops.rung : rung;
	ops.unlockf = ops.unlockf ? ops.unlockf : unlockf;
	ops.gdead = ops.gdead ? ops.gdead : gdead;
	ops.timers = ops.timers ? ops.timers : timers_run;
	ops.netpoll = ops.netpoll ? ops.netpoll : netpoll;
	ops.pending = ops.pending ? ops.pending : pending;
	ops.stoptimer = ops.stoptimer ? ops.stoptimer : timer_unpark;
	schedinit(&ops);
	sudogs_init();
	if (realpoll)
		netpoll_init(&p0);
	if (realtimers)
		timers_init(&p0, firenothing, wakesnobody);
}

void sim_term(void)
{
	if (realtimers)
		timers_term(&p0);
	if (realpoll) {
		netpoll_term(&p0);
		uv_library_shutdown();
	}
	CHECK_EQ(test_nfds(), nfds);
}

G *sim_go(simbody *body, void *ud)
{
	G *gp = gfget(&p0);
	CHECK(gp && gp->slot < MAXG);
	sims[gp->slot].body = body;
	sims[gp->slot].ud = ud;
	newproc(&p0, gp, 0);
	return gp;
}

const char *sim_run(simbody *body, void *ud)
{
	sim_go(body, ud);
	return mstart(&m0, &p0);
}

int32_t sim_park(G *gp, enum waitreason reason, int64_t until)
{
	CHECK(cstack_spare(&p0.stacks));
	gp->reason = (uint8_t)reason;
	if (until)
		timer_park(gp, until);
	gopark_stk(gp);
	return p0.view.wake;
}

void sim_sleep(G *gp, int64_t ns)
{
	CHECK_EQ(sim_park(gp, WR_SLEEP, timer_when(nanotime(), ns)), 0);
}

void sim_gosched(G *gp)
{
	CHECK(cstack_spare(&p0.stacks));
	gosched_stk(gp);
}

int sim_nfreestacks(void)
{
	int n = 0;
	for (const struct cstack *s = p0.stacks.free; s; s = s->next)
		n++;
	return n;
}

char sim_logged[4096];
static size_t loglen;

void sim_log(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(sim_logged + loglen, sizeof sim_logged - loglen, fmt, ap);
	va_end(ap);
	loglen += (size_t)n;
	CHECK(loglen < sizeof sim_logged);
}
