/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/os.h"
#include "park/netpoll.h"
#include "park/timer.h"
#include "test.h"

enum { MAXP = 16, MAXG = 1 << 15 };

/* What a G runs.  By slot: who takes a packed G must see what its maker wrote. */
static struct call {
	simbody *body;
	void *ud;
	bool portable;
} calls[MAXP][MAXG];

static bool realpoll, realtimers;
static int nfds, nthreads;
static atomic_flg interrupted[MAXP];

static struct call *callof(const G *gp)
{
	uint32_t p = gp->slot / sched.gsperp, i = gp->slot % sched.gsperp;
	CHECK(p < MAXP && i < MAXG);
	return &calls[p][i];
}

static P *mine(void)
{
	const M *mp = getm();
	return mp ? mp->p : &p0;
}

/* What the core asks for ------------------------------------------------------- */

static enum gout rung(G *gp)
{
	struct call *c = callof(gp);
	if (gp->flags & GF_PACKED) {
		CHECK(gp->mail == c);
		gp->mail = NULL;
		gp->flags &= (uint16_t)~GF_PACKED;
	}
	G *donor = gp->L ? NULL : gfgetstarted(gp->p);
	if (donor) { /* of its coroutine, as far as such a thing exists here */
		donor->L = NULL;
		gfput(gp->p, donor);
	}
	gp->L = c;
	return c->body(gp, c->ud);
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

static void wakenobody(P *pp)
{
	(void)pp;
}

static bool openp(P *pp)
{
	netpoll_init(pp);
	timers_init(pp);
	return true;
}

static void closep(P *pp)
{
	timers_term(pp);
	netpoll_term(pp);
	for (G *gp; (gp = gfgetstarted(pp)) != NULL;) {
		gp->L = NULL;
		gfput(pp, gp);
	}
}

static enum packed pack(P *pp, G *gp, bool chatty)
{
	(void)chatty;
	CHECK(mine() == pp && load_relaxed(&gp->p) == pp);
	CHECK_EQ(readgstatus(gp), Grunnable);
	struct call *c = callof(gp);
	if (!c->portable)
		return PACK_NEVER;
	gp->L = NULL;
	gp->mail = c;
	store_relaxed(&gp->p, NULL);
	gp->flags |= GF_PACKED;
	return PACK_DONE;
}

static void interruptp(P *pp)
{
	store_relaxed(&interrupted[pp->id], true);
}

const struct schedops sim_procs = {.openp = openp, .closep = closep, .pack = pack, .interrupt = interruptp};

/* Starting and ending ------------------------------------------------------------ */

void sim_init(struct schedops ops)
{
	realpoll = !ops.netpoll;
	realtimers = !ops.timers;
	nfds = test_nfds();
	nthreads = test_nthreads();
	ops.rung = ops.rung ? ops.rung : rung;
	ops.unlockf = ops.unlockf ? ops.unlockf : unlockf;
	ops.gdead = ops.gdead ? ops.gdead : gdead;
	ops.timers = ops.timers ? ops.timers : timers_run;
	ops.netpoll = ops.netpoll ? ops.netpoll : netpoll;
	ops.netblock = ops.netblock ? ops.netblock : netblock;
	ops.wakenetpoll = ops.wakenetpoll ? ops.wakenetpoll : realpoll ? netpoll_wake : wakenobody;
	ops.stoptimer = ops.stoptimer ? ops.stoptimer : timer_unpark;
	schedinit(&ops);
	sudogs_init();
	if (realpoll)
		netpoll_init(&p0);
	if (realtimers)
		timers_init(&p0);
}

void sim_initprocs(uint32_t n)
{
	char text[16];
	snprintf(text, sizeof text, "%u", n);
	setenv("LUAPARK_MAXPROCS", text, 1);
	sim_init(sim_procs);
	CHECK_EQ(sched.gomaxprocs, n);
}

void sim_term(void)
{
	if (sched.ops.openp)
		CHECK(stopms());
	if (realtimers)
		timers_term(&p0);
	if (realpoll) {
		netpoll_term(&p0);
		uv_library_shutdown();
	}
	CHECK_EQ(test_nfds(), nfds);
	/* The kernel may count a thread that was joined for a moment more. */
	for (int i = 0; i < 1000 && test_nthreads() > nthreads; i++)
		os_nanosleep(1000000);
	CHECK_EQ(test_nthreads(), nthreads);
}

/* Goroutines --------------------------------------------------------------------- */

static G *newg(G *gp, simbody *body, void *ud, bool portable)
{
	CHECK(gp);
	*callof(gp) = (struct call){body, ud, portable};
	return gp;
}

G *sim_go(simbody *body, void *ud)
{
	P *pp = mine();
	G *gp = newg(gfget(pp), body, ud, false);
	newproc(pp, gp, 0);
	return gp;
}

G *sim_goany(simbody *body, void *ud)
{
	P *pp = mine();
	G *gp = newg(gfget(pp), body, ud, true);
	newproc(pp, gp, 0);
	return gp;
}

G *sim_spawn(simbody *body, void *ud)
{
	P *pp = mine();
	G *gp = newg(gfgetempty(pp), body, ud, true);
	gp->mail = callof(gp);
	newprocpacked(pp, gp, 0);
	return gp;
}

G *sim_at(P *home, simbody *body, void *ud)
{
	P *pp = mine();
	G *gp = newg(gfgetempty(pp), body, ud, true);
	gp->mail = callof(gp);
	newprocat(pp, gp, 0, home);
	return gp;
}

const char *sim_run(simbody *body, void *ud)
{
	sim_go(body, ud);
	return mstart(&m0, &p0);
}

int32_t sim_park(G *gp, enum waitreason reason, int64_t until)
{
	P *pp = mine();
	CHECK(cstack_spare(&pp->stacks));
	store_relaxed(&gp->reason, (uint8_t)reason);
	if (until)
		timer_park(gp, until);
	gopark_stk(gp);
	CHECK(mine() == pp); /* a started G stays */
	return pp->view.wake;
}

void sim_sleep(G *gp, int64_t ns)
{
	CHECK_EQ(sim_park(gp, WR_SLEEP, timer_when(nanotime(), ns)), 0);
}

void sim_gosched(G *gp)
{
	CHECK(cstack_spare(&mine()->stacks));
	gosched_stk(gp);
}

void sim_block(G *gp, int64_t ns)
{
	CHECK(cstack_spare(&gp->p->stacks));
	entersyscall(gp);
	os_nanosleep(ns);
	exitsyscall(gp);
}

bool sim_poll(G *gp)
{
	P *pp = mine();
	if (!load_relaxed(&interrupted[pp->id]))
		return false;
	store_relaxed(&interrupted[pp->id], false);
	if (schedinterrupted(pp)) {
		CHECK(cstack_spare(&pp->stacks));
		gopreempt_stk(gp);
	}
	return true;
}

/* Waiting ------------------------------------------------------------------------ */

int32_t sim_sudog(P *pp, G *gp)
{
	if (pp->view.sudogfree == 0)
		CHECK(sudogrefill(pp));
	int32_t s = (int32_t)pp->view.sudogfree;
	pp->view.sudogfree = (uint32_t)sudogs.next[s];
	sudogs.g[s] = (int32_t)gp->slot;
	sudogs.own[s] = s;
	sudogs.index[s] = 0;
	sudogs.prev[s] = 0;
	sudogs.val[s].tag = VAL_NIL;
	store_relaxed(&sudogs.done[s], DONE_SHARED);
	return s;
}

void sim_freesudog(P *pp, int32_t s)
{
	val_free(&sudogs.val[s]);
	sudogs.next[s] = (int32_t)pp->view.sudogfree;
	pp->view.sudogfree = (uint32_t)s;
}

/* What became of an operation for which s may have to wait: 1, 0 for a closed channel, -1 when
 * the time has come. */
static int outcome(G *gp, enum chanresult r, int32_t s, enum waitreason reason, int64_t until)
{
	if (r != CHAN_BLOCK)
		return r == CHAN_DONE;
	gp->sel = (uint32_t)s;
	int32_t wake = sim_park(gp, reason, until);
	return wake == 0 ? -1 : wake > 0;
}

bool sim_send(G *gp, struct hchan *c, double n)
{
	int32_t s = sim_sudog(mine(), gp);
	struct val v = {.tag = VAL_NUM, .u.n = n};
	bool ok = outcome(gp, chan_send(c, &v, s), s, WR_CHANSEND, 0);
	sim_freesudog(mine(), s);
	return ok;
}

int sim_recvuntil(G *gp, struct hchan *c, double *n, int64_t until)
{
	int32_t s = sim_sudog(mine(), gp);
	int is = outcome(gp, chan_recv(c, &sudogs.val[s], s), s, WR_CHANRECV, until);
	if (is < 0)
		chan_leave(c, false, s);
	CHECK_EQ(sudogs.val[s].tag, is > 0 ? VAL_NUM : VAL_NIL);
	if (is > 0)
		*n = sudogs.val[s].u.n;
	sim_freesudog(mine(), s);
	return is;
}

bool sim_recv(G *gp, struct hchan *c, double *n)
{
	return sim_recvuntil(gp, c, n, 0) > 0;
}

bool sim_compute(G *gp, const atomic_u32 *n, uint32_t atleast, bool poll)
{
	int64_t end = nanotime() + 30 * (int64_t)1000000000;
	while (load_acquire(n) < atleast) {
		if (poll)
			sim_poll(gp);
		else
			sched_yield(); /* to other threads, of which there may be more than cores */
		if (nanotime() > end)
			return false;
	}
	return true;
}

/* Ps and Gs that no M runs --------------------------------------------------------- */

P *sim_newp(M *mp)
{
	uint32_t id = 1;
	while (load_relaxed(&sched.allp[id]))
		id++;
	CHECK(id < sched.maxprocs && id < MAXP);
	P *pp = aligned_alloc(_Alignof(P), sizeof *pp);
	CHECK(pp);
	*pp = (P){.id = id, .gbase = id * sched.gsperp, .gtop = id * sched.gsperp, .gend = (id + 1) * sched.gsperp};
	pp->rand = id;
	store_relaxed(&pp->status, Prunning);
	store_release(&sched.allp[id], pp);
	*mp = (M){.p = pp};
	return pp;
}

G *sim_waiter(P *pp)
{
	G *gp = gfgetempty(pp);
	CHECK(gp);
	store_relaxed(&gp->p, pp);
	gp->flags = 0;
	casgstatus(gp, Gdead, Gwaiting);
	return gp;
}

void sim_waitagain(G *gp)
{
	casgstatus(gp, Grunnable, Gwaiting);
}

int32_t sim_await(G *gp)
{
	P *pp = load_relaxed(&gp->p);
	while (!inboxrun(pp))
		sched_yield();
	CHECK(runqget(pp) == gp);
	CHECK_EQ(runqlen(pp), 0);
	sim_waitagain(gp);
	return gp->wake;
}

void sim_inorder(void)
{
	p0.lookin = 10000;
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
