/* SPDX-License-Identifier: MIT */
/* gomaxprocs changes while goroutines run, and Ps that cannot be had. */
#include <errno.h>
#include <stdlib.h>

#include "base/os.h"
#include "base/randord.h"
#include "park/timer.h"
#include "sim.h"
#include "test.h"

static atomic_u32 nstarted, ndone, stop;

static struct hchan *newchan(uint32_t size)
{
	struct hchan *c = chan_new(size);
	CHECK(c);
	return c;
}

static void spread(G *gp, uint32_t n)
{
	uint32_t procs = load_relaxed(&sched.gomaxprocs);
	fetch_add_seqcst(&nstarted, 1);
	CHECK(sim_compute(gp, &nstarted, n < procs ? n : procs, false));
}

static uint32_t nopen(void)
{
	uint32_t n = 0;
	lock(&sched.lock); /* who has closed one has done with all that its Gs used */
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		const P *pp = load_acquire(&sched.allp[i]);
		if (pp)
			n += load_relaxed(&pp->status) != Pdead;
	}
	unlock(&sched.lock);
	return n;
}

/* Waits until only n Ps are left: half a minute at most.  G by G, so that p0 does its part. */
static bool closes(G *gp, uint32_t n)
{
	int64_t end = nanotime() + 30 * (int64_t)1000000000;
	while (nopen() > n) {
		if (nanotime() > end)
			return false;
		sim_sleep(gp, 100000);
	}
	return true;
}

/* Up and down -------------------------------------------------------------------------- */

/* Some talk, some compute, some sleep, all the time. */
enum { PAIRS = 6 };

static struct pair {
	struct hchan *a, *b;
	int n;
} pairs[PAIRS];

static enum gout echo(G *gp, void *ud)
{
	struct pair *p = ud;
	double n;
	while (sim_recv(gp, p->a, &n))
		CHECK(sim_send(gp, p->b, n + 1));
	fetch_add_relaxed(&ndone, 1);
	return GOUT_EXIT;
}

static enum gout talk(G *gp, void *ud)
{
	struct pair *p = ud;
	double n = 0;
	fetch_add_relaxed(&nstarted, 1);
	for (int i = 0; !load_relaxed(&stop) || i < 100; i++) {
		CHECK(sim_send(gp, p->a, n));
		CHECK(sim_recv(gp, p->b, &n));
		CHECK(n == ++p->n);
		if (i % 16 == 0)
			sim_sleep(gp, 50000);
		else if (i % 16 == 8)
			sim_gosched(gp);
		int64_t end = nanotime() + i % 4 * 5000;
		while (nanotime() < end)
			sim_poll(gp);
	}
	CHECK(chan_close(p->a));
	fetch_add_relaxed(&ndone, 1);
	return GOUT_EXIT;
}

static void startpairs(void)
{
	for (int i = 0; i < PAIRS; i++) {
		pairs[i] = (struct pair){newchan((uint32_t)i % 3), newchan(0), 0};
		sim_spawn(talk, &pairs[i]);
		sim_spawn(echo, &pairs[i]);
	}
}

static void endpairs(void)
{
	CHECK_EQ(ndone, 2 * PAIRS);
	for (int i = 0; i < PAIRS; i++) {
		obj_unref(&pairs[i].a->o);
		obj_unref(&pairs[i].b->o);
	}
}

static enum gout resizer(G *gp, void *ud)
{
	int rounds = (int)(intptr_t)ud;
	uint32_t rand = gp->slot + 99;
	for (int i = 0; i < rounds; i++) {
		uint32_t n = 1 + randnext(&rand) % 8;
		procresize(n);
		sim_sleep(gp, randnext(&rand) % 200000);
		if (i % 8 == 0)
			sim_gosched(gp);
	}
	fetch_add_relaxed(&stop, 1);
	return GOUT_EXIT;
}

TEST(resize_under_load)
{
	sim_initprocs(4);
	startpairs();
	CHECK(sim_run(resizer, (void *)300) == NULL);
	endpairs();
	CHECK_EQ(gcount(), 0);
	CHECK(sched.gomaxprocs >= 1 && sched.gomaxprocs <= 8);
	sim_term();
}

/* Several stop the world at once, from any P: one after the other. */
TEST(resize_by_many)
{
	sim_initprocs(4);
	startpairs();
	for (int i = 0; i < 4; i++)
		sim_spawn(resizer, (void *)100);
	CHECK(sim_run(resizer, (void *)100) == NULL);
	CHECK_EQ(stop, 5);
	endpairs();
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* Who stopped the world and goes to sleep at once: the others are not on their feet yet, but
 * alive. */
static enum gout computes(G *gp, void *ud)
{
	int64_t end = nanotime() + 300000;
	(void)ud;
	spread(gp, 3);
	while (nanotime() < end)
		sim_poll(gp);
	fetch_add_relaxed(&ndone, 1);
	return GOUT_EXIT;
}

static enum gout resizeandsleep(G *gp, void *ud)
{
	double n;
	sim_spawn(computes, NULL);
	sim_spawn(computes, NULL);
	spread(gp, 3);
	procresize(3);
	sim_recv(gp, ud, &n); /* nobody sends */
	return GOUT_EXIT;
}

TEST(resize_is_no_deadlock)
{
	sim_initprocs(3);
	struct hchan *c = newchan(0);
	for (int round = 0; round < 200; round++) {
		store_relaxed(&nstarted, 0);
		store_relaxed(&ndone, 0);
		CHECK(sim_run(resizeandsleep, c) == NULL);
		CHECK_EQ(ndone, 2);
		CHECK_EQ(gcount(), 1);
		gkillall();
	}
	obj_unref(&c->o);
	sim_term();
}

/* The run is stopped while somebody on another P stops the world. */
static enum gout resizes(G *gp, void *ud)
{
	(void)ud;
	spread(gp, 2);
	for (uint32_t i = 0; load_relaxed(&stop) == 0; i++) { /* for ever */
		procresize(2 + i % 2);
		sim_poll(gp);
	}
	return GOUT_EXIT;
}

static enum gout stopsrun(G *gp, void *ud)
{
	sim_spawn(resizes, NULL);
	spread(gp, 2);
	int64_t end = nanotime() + test_rand() % 50000;
	while (nanotime() < end)
		;
	schedstop(ud);
	return GOUT_EXIT;
}

TEST(resize_while_run_ends)
{
	sim_initprocs(2);
	for (int round = 0; round < 100; round++) {
		store_relaxed(&nstarted, 0);
		CHECK_STR(sim_run(stopsrun, "stop"), "stop");
		CHECK(sched.halted);
		CHECK_EQ(sched.nrunning, 0);
		CHECK(!sched.stopper);
		gkillall();
	}
	sim_term();
}

/* In the host: before the first run, and between two. */
static enum gout once(G *gp, void *ud)
{
	(void)gp;
	(void)ud;
	fetch_add_relaxed(&ndone, 1);
	return GOUT_EXIT;
}

TEST(resize_in_host)
{
	sim_initprocs(1);
	for (uint32_t round = 0; round < 20; round++) {
		uint32_t n = 1 + (round + 3) % 8;
		procresize(n);
		CHECK_EQ(sched.gomaxprocs, n);
		store_relaxed(&ndone, 0);
		for (int i = 0; i < 20; i++)
			sim_spawn(once, NULL);
		os_nanosleep(1000000);
		CHECK_EQ(ndone, 0); /* outside a run nothing moves */
		CHECK(mstart(&m0, &p0) == NULL);
		CHECK_EQ(ndone, 20);
	}
	sim_term();
}

/* Draining ------------------------------------------------------------------------------ */

/* A P that is too many goes when its last goroutine has ended, and at once if it has none. */
static enum gout stays(G *gp, void *ud)
{
	double n;
	spread(gp, 4);
	while (sim_recv(gp, ud, &n))
		;
	fetch_add_relaxed(&ndone, 1);
	return GOUT_EXIT;
}

static enum gout shrink(G *gp, void *ud)
{
	struct hchan *c = newchan(0);
	(void)ud;
	for (int round = 0; round < 10; round++) {
		store_relaxed(&nstarted, 0);
		store_relaxed(&ndone, 0);
		for (int i = 0; i < 3; i++)
			sim_spawn(round % 2 ? once : stays, c);
		if (round % 2) {
			CHECK(sim_compute(gp, &ndone, 3, false));
			sim_sleep(gp, 1000000); /* all others are idle */
		} else {
			spread(gp, 4);
			sim_sleep(gp, 1000000);
			CHECK_EQ(nopen(), 4);
		}
		procresize(1);
		if (round % 2 == 0) {
			sim_sleep(gp, 2000000);
			CHECK_EQ(nopen(), 4); /* there they are at home */
			CHECK_EQ(ndone, 0);
			CHECK(sim_send(gp, c, 1)); /* and alive */
			CHECK(chan_close(c));
		}
		CHECK(closes(gp, 1));
		obj_unref(&c->o);
		c = newchan(0);
		CHECK_EQ(ndone, 3);
		lock(&sched.lock);
		CHECK_EQ(sched.nrunning, 1);
		unlock(&sched.lock);
		procresize(4);
	}
	obj_unref(&c->o);
	return GOUT_EXIT;
}

TEST(resize_drains)
{
	sim_initprocs(4);
	CHECK(sim_run(shrink, NULL) == NULL);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* A P that drains takes no new work, however much there is. */
static enum gout breeds(G *gp, void *ud)
{
	(void)gp;
	if (load_relaxed(&stop) == 0) {
		int64_t end = nanotime() + 20000;
		while (nanotime() < end)
			;
		sim_spawn(breeds, ud);
	}
	return GOUT_EXIT;
}

static enum gout shrinkunderload(G *gp, void *ud)
{
	for (int i = 0; i < 8; i++)
		sim_spawn(breeds, ud);
	sim_sleep(gp, 5000000);
	procresize(1);
	CHECK(closes(gp, 1));
	store_relaxed(&stop, 1);
	return GOUT_EXIT;
}

TEST(resize_drains_under_load)
{
	sim_initprocs(4);
	CHECK(sim_run(shrinkunderload, NULL) == NULL);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(nopen(), 1);
	sim_term();
}

/* Who sleeps is not lost with the P that it lives on. */
static enum gout sendlater(G *gp, void *ud)
{
	spread(gp, 2);
	CHECK(gp->p != &p0);
	fetch_add_relaxed(&ndone, 1);
	sim_sleep(gp, 5000000);
	CHECK(sim_send(gp, ud, 1));
	return GOUT_EXIT;
}

static enum gout shrinkandwait(G *gp, void *ud)
{
	double seconds = 0;
	sim_spawn(sendlater, ud);
	spread(gp, 2);
	CHECK(sim_compute(gp, &ndone, 1, false));
	procresize(1);
	CHECK(sim_recv(gp, ud, &seconds));
	CHECK(seconds > 0);
	fetch_add_relaxed(&ndone, 1);
	CHECK(closes(gp, 1));
	return GOUT_EXIT;
}

TEST(resize_keeps_sleepers)
{
	sim_initprocs(2);
	struct hchan *c = newchan(1);
	CHECK(sim_run(shrinkandwait, c) == NULL);
	CHECK_EQ(ndone, 2);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(c->o.refs, 1);
	obj_unref(&c->o);
	sim_term();
}

/* What cannot be had ------------------------------------------------------------------------ */

/* Without a thread for another P it goes on with those there are. */
static enum gout spawnwithout(G *gp, void *ud)
{
	(void)ud;
	CHECK(cstack_spare(&gp->p->stacks));
	os_failnth(1, EAGAIN);
	for (int i = 0; i < 20; i++)
		sim_spawn(once, NULL);
	os_failnth(0, 0);
	return GOUT_EXIT;
}

TEST(resize_without_threads)
{
	struct schedops ops = sim_procs;
	ops.interrupt = NULL; /* no monitor, which also needs a thread */
	setenv("LUAPARK_MAXPROCS", "4", 1);
	sim_init(ops);
	CHECK(sim_run(spawnwithout, NULL) == NULL);
	CHECK_EQ(ndone, 20);
	CHECK_EQ(sched.gomaxprocs, 1);
	CHECK_EQ(sched.npidle, 0);
	CHECK_EQ(sched.nmspinning, 0);
	CHECK_EQ(nopen(), 1);
	/* It can be tried again. */
	procresize(3);
	CHECK_EQ(sched.npidle, 2);
	store_relaxed(&ndone, 0);
	store_relaxed(&nstarted, 0);
	for (int i = 0; i < 3; i++)
		sim_spawn(computes, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(ndone, 3);
	CHECK_EQ(sched.gomaxprocs, 3);
	sim_term();
}

/* The same where a P's state cannot be made, on its own thread. */
static atomic_u32 refuse;

static bool maybeopen(P *pp)
{
	return load_relaxed(&refuse) == 0 && sim_procs.openp(pp);
}

static enum gout spawnrefused(G *gp, void *ud)
{
	(void)ud;
	store_relaxed(&refuse, 1);
	for (int i = 0; i < 20; i++) {
		sim_spawn(once, NULL);
		if (i == 0) { /* the thread that tries it comes and goes */
			int64_t end = nanotime() + 30 * (int64_t)1000000000;
			while (load_relaxed(&sched.gomaxprocs) > 1 && nanotime() < end)
				;
		}
	}
	CHECK_EQ(sched.gomaxprocs, 1);
	CHECK(closes(gp, 1));
	return GOUT_EXIT;
}

TEST(resize_without_state)
{
	struct schedops ops = sim_procs;
	ops.openp = maybeopen;
	setenv("LUAPARK_MAXPROCS", "4", 1);
	sim_init(ops);
	CHECK(sim_run(spawnrefused, NULL) == NULL);
	CHECK_EQ(ndone, 20);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(sched.nmspinning, 0);
	CHECK_EQ(sched.npidle, 0);
	store_relaxed(&refuse, 0);
	procresize(2);
	store_relaxed(&ndone, 0);
	for (int i = 0; i < 2; i++)
		sim_spawn(computes, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(ndone, 2);
	sim_term();
}
