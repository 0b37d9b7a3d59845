/* SPDX-License-Identifier: MIT */
/* How a run ends over several Ps: nothing is alive, somebody says stop, a signal comes. */
#include <signal.h>
#include <unistd.h>

#include "base/os.h"
#include "park/timer.h"
#include "sim.h"
#include "test.h"

static const uint32_t nprocs[] = {1, 2, 4, 8};

static atomic_u32 nstarted, ndone;

static struct hchan *newchan(uint32_t size)
{
	struct hchan *c = chan_new(size);
	CHECK(c);
	return c;
}

/* Counts what runs, to see that nothing does. */
static uint64_t ticks(void)
{
	uint64_t n = load_relaxed(&nstarted) + load_relaxed(&ndone);
	for (uint32_t i = 0; i < sched.maxprocs && sched.allp[i]; i++)
		n += sched.allp[i]->schedtick;
	return n;
}

static void check_stopped(void)
{
	CHECK_EQ(sched.nrunning, 0);
	CHECK(sched.halted);
	CHECK_EQ(sched.stopping, STOP_EXIT);
	uint64_t n = ticks();
	os_nanosleep(2000000);
	CHECK_EQ(ticks(), n);
}

/* Counts itself, and computes until there are n: so that each has a P of its own, where there
 * are enough. */
static void spread(G *gp, uint32_t n)
{
	uint32_t procs = load_relaxed(&sched.gomaxprocs);
	fetch_add_seqcst(&nstarted, 1);
	CHECK(sim_compute(gp, &nstarted, n < procs ? n : procs, false));
}

static struct hchan *never; /* nobody sends there */

/* A program: main, which stays on p0, and n others that it starts first. */
static struct {
	simbody *main, *other;
	void *mainud, *ud;
} prog;

static enum gout begin(G *gp, void *ud)
{
	for (int i = 0; i < (int)(intptr_t)ud; i++)
		sim_spawn(prog.other, prog.ud);
	return prog.main(gp, prog.mainud);
}

static const char *run(simbody *body, void *mainud, int n, simbody *other, void *ud)
{
	prog.main = body;
	prog.mainud = mainud;
	prog.other = other;
	prog.ud = ud;
	if (!never)
		never = newchan(0);
	store_relaxed(&nstarted, 0);
	store_relaxed(&ndone, 0);
	return sim_run(begin, (void *)(intptr_t)n);
}

/* Nothing is alive ------------------------------------------------------------------- */

enum { WAITERS = 10 };

static uint32_t nwaiters = WAITERS;

static enum gout waits(G *gp, void *ud)
{
	double n;
	spread(gp, nwaiters);
	while (sim_recv(gp, ud, &n))
		;
	fetch_add_relaxed(&ndone, 1);
	return GOUT_EXIT;
}

static enum gout closes(G *gp, void *ud)
{
	(void)gp;
	CHECK(chan_close(ud));
	return GOUT_EXIT;
}

/* All wait for one another, on all Ps: that is seen once, and soon. */
TEST(ends_deadlock)
{
	for (int k = 0; k < 4; k++) {
		if (k > 0)
			procresize(nprocs[k]);
		else
			sim_initprocs(1);
		for (int round = 0; round < 20; round++) {
			struct hchan *c = newchan(0);
			store_relaxed(&nstarted, 0);
			store_relaxed(&ndone, 0);
			for (int i = 0; i < WAITERS; i++)
				sim_spawn(waits, c);
			int64_t start = nanotime();
			CHECK(mstart(&m0, &p0) == NULL);
			CHECK(nanotime() - start < 20 * (int64_t)1000000000);
			CHECK_EQ(gcount(), WAITERS);
			CHECK_EQ(nstarted, WAITERS);
			if (round % 10 == 0)
				check_stopped();
			/* It was not the end of them. */
			CHECK(sim_run(closes, c) == NULL);
			CHECK_EQ(ndone, WAITERS);
			CHECK_EQ(gcount(), 0);
			obj_unref(&c->o);
		}
	}
	sim_term();
}

/* Whoever is the last to go to sleep, m0 learns of it: it has long been asleep, or has not. */
static enum gout lingers(G *gp, void *ud)
{
	int64_t ns = (int64_t)(intptr_t)ud;
	double n;
	spread(gp, 2);
	int64_t end = nanotime() + ns;
	while (nanotime() < end)
		;
	return sim_recv(gp, never, &n) ? GOUT_EXIT : GOUT_PARK;
}

TEST(ends_whoever_is_last)
{
	sim_initprocs(2);
	for (int round = 0; round < 200; round++) {
		void *a = (void *)(intptr_t)(test_rand() % 100000), *b = (void *)(intptr_t)(test_rand() % 100000);
		CHECK(run(lingers, a, 1, lingers, b) == NULL);
		CHECK_EQ(gcount(), 2);
		gkillall();
		CHECK_EQ(gcount(), 0);
	}
	sim_term();
}

/* Daemons keep nothing alive, wherever they are and whatever they wait for. */
static enum gout daemonsleeps(G *gp, void *ud)
{
	(void)ud;
	gsetdaemon(gp, true);
	spread(gp, WAITERS);
	sim_park(gp, WR_SLEEP, INT64_MAX);
	return GOUT_EXIT;
}

TEST(ends_with_daemons)
{
	sim_initprocs(4);
	for (int i = 0; i < WAITERS; i++)
		sim_spawn(daemonsleeps, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), WAITERS);
	check_stopped();
	gkillall();
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* One sleeper anywhere keeps all alive. */
static enum gout sleepsandcloses(G *gp, void *ud)
{
	spread(gp, 2);
	sim_sleep(gp, 20000000);
	CHECK(chan_close(ud));
	return GOUT_EXIT;
}

TEST(ends_after_the_last_sleeper)
{
	sim_initprocs(4);
	nwaiters = 2;
	for (int round = 0; round < 10; round++) {
		struct hchan *c = newchan(0);
		CHECK(run(waits, c, 1, sleepsandcloses, c) == NULL);
		CHECK_EQ(ndone, 1);
		CHECK_EQ(gcount(), 0);
		obj_unref(&c->o);
	}
	sim_term();
}

/* Somebody says stop ------------------------------------------------------------------- */

enum waiting { MAIN_PARKS, MAIN_COMPUTES, MAIN_YIELDS, MAIN_SLEEPS, MAIN_WAYS };

static enum waiting mainway;

static enum gout stops(G *gp, void *ud)
{
	(void)gp;
	spread(gp, 2);
	int64_t end = nanotime() + test_rand() % 50000; /* one at a time: no race */
	while (nanotime() < end)
		;
	schedstop(ud);
	return GOUT_EXIT;
}

static enum gout mainwaits(G *gp, void *ud)
{
	double n;
	(void)ud;
	spread(gp, 2);
	switch (mainway) {
	case MAIN_PARKS:
		sim_recv(gp, never, &n);
		break;
	case MAIN_COMPUTES:
		sim_compute(gp, &ndone, 1, true);
		break;
	case MAIN_YIELDS:
		while (load_relaxed(&ndone) == 0)
			sim_gosched(gp);
		break;
	default:
		sim_sleep(gp, (int64_t)3600 * 1000000000);
	}
	return GOUT_EXIT;
}

/* From another P than main's, whatever main does. */
TEST(ends_stopped_from_elsewhere)
{
	sim_initprocs(2);
	for (mainway = 0; mainway < MAIN_WAYS; mainway++)
		for (int round = 0; round < 50; round++) {
			CHECK_STR(run(mainwaits, NULL, 1, stops, "because"), "because");
			if (round % 10 == 0)
				check_stopped();
			gkillall();
			CHECK_EQ(gcount(), 0);
		}
	sim_term();
}

/* What computes on the other Ps is interrupted, and goes on in the next run. */
static enum gout computes(G *gp, void *ud)
{
	spread(gp, 4);
	CHECK(sim_compute(gp, ud, 1, true));
	fetch_add_relaxed(&ndone, 1);
	return GOUT_EXIT;
}

static enum gout stopwhenspread(G *gp, void *ud)
{
	spread(gp, 4);
	schedstop(ud);
	return GOUT_EXIT;
}

static enum gout release(G *gp, void *ud)
{
	(void)gp;
	store_release((atomic_u32 *)ud, 1);
	return GOUT_EXIT;
}

TEST(ends_stopped_goes_on)
{
	static atomic_u32 go;
	sim_initprocs(4);
	for (int round = 0; round < 20; round++) {
		store_relaxed(&go, 0);
		CHECK_STR(run(stopwhenspread, "stop", 3, computes, &go), "stop");
		CHECK_EQ(gcount(), 3);
		CHECK_EQ(ndone, 0);
		if (round % 5 == 0)
			check_stopped();
		CHECK(sim_run(release, &go) == NULL);
		CHECK_EQ(ndone, 3);
		CHECK_EQ(gcount(), 0);
	}
	sim_term();
}

/* All Gs on all Ps are killed, whatever they do, and all goes on as if they had never been. */
static enum gout anything(G *gp, void *ud)
{
	static atomic_u32 zero;
	uint32_t k = gp->slot;
	double n;
	(void)ud;
	spread(gp, 12);
	if (k % 4 == 0)
		sim_recv(gp, never, &n);
	else if (k % 4 == 1)
		sim_compute(gp, &zero, 1, true);
	else if (k % 4 == 2)
		sim_sleep(gp, INT64_MAX);
	else
		for (;;)
			sim_gosched(gp);
	return GOUT_EXIT;
}

TEST(ends_gkillall_over_ps)
{
	sim_initprocs(4);
	for (int round = 0; round < 20; round++) {
		CHECK_STR(run(stopwhenspread, "stop", 12, anything, NULL), "stop");
		gkillall();
		CHECK_EQ(gcount(), 0);
		for (uint32_t i = 0; i < 4; i++) {
			const P *pp = sched.allp[i];
			CHECK(pp->nhome == 0 && pp->nevent == 0 && runqlen(pp) == 0 && pp->timers->heap.len == 0);
		}
		struct hchan *c = newchan(0);
		CHECK(sim_run(waits, c) == NULL);
		CHECK_EQ(gcount(), 1);
		gkillall();
		obj_unref(&c->o);
	}
	sim_term();
}

/* Two stop at once: the first reason counts, and the run ends once. */
TEST(ends_many_stop_at_once)
{
	sim_initprocs(4);
	for (int round = 0; round < 100; round++) {
		CHECK_STR(run(stopwhenspread, "one of us", 3, stopwhenspread, "one of us"), "one of us");
		CHECK_EQ(sched.nrunning, 0);
		gkillall();
	}
	sim_term();
}

/* A signal ------------------------------------------------------------------------------ */

static void onterm(int sig)
{
	schedsignal(sig);
}

/* Computes, or waits for something that may come. */
static enum gout hears(G *gp, void *ud)
{
	spread(gp, 2);
	if (ud)
		sim_compute(gp, &ndone, 1, true);
	else
		sim_park(gp, WR_IO, 0);
	return GOUT_EXIT;
}

static enum gout killed(G *gp, void *ud)
{
	spread(gp, 2);
	kill(getpid(), SIGTERM); /* comes on any thread */
	return hears(gp, ud);
}

TEST(ends_by_signal)
{
	sim_initprocs(2);
	signal(SIGTERM, onterm);
	for (int round = 0; round < 100; round++) {
		void *busy = round % 4 < 2 ? &ndone : NULL;
		CHECK_STR(round % 2 ? run(hears, busy, 1, killed, busy) : run(killed, busy, 1, hears, busy), "signal");
		CHECK_EQ(sched.signal, SIGTERM);
		store_relaxed(&sched.signal, 0);
		CHECK_EQ(sched.nrunning, 0);
		gkillall();
	}
	signal(SIGTERM, SIG_DFL);
	sim_term();
}

/* One that comes between two runs ends the next one at once. */
static enum gout mustnotrun(G *gp, void *ud)
{
	(void)gp;
	(void)ud;
	fetch_add_relaxed(&ndone, 1);
	return GOUT_EXIT;
}

TEST(ends_by_signal_before)
{
	sim_initprocs(2);
	CHECK(mstart(&m0, &p0) == NULL);
	schedsignal(SIGTERM);
	sim_spawn(mustnotrun, NULL);
	CHECK_STR(sim_run(mustnotrun, NULL), "signal");
	CHECK_EQ(ndone, 0);
	check_stopped();
	store_relaxed(&sched.signal, 0);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(ndone, 2);
	sim_term();
}

/* The threads --------------------------------------------------------------------------- */

/* All that ran is gone after stopms, and comes again for another run. */
TEST(ends_without_threads)
{
	int nthreads = test_nthreads();
	sim_initprocs(4);
	for (int round = 0; round < 20; round++) {
		store_relaxed(&nstarted, 0);
		struct hchan *c = newchan(0);
		for (int i = 0; i < 4; i++)
			sim_spawn(waits, c);
		CHECK(mstart(&m0, &p0) == NULL);
		CHECK(test_nthreads() > nthreads);
		gkillall();
		CHECK(stopms());
		CHECK(stopms()); /* there is nothing to do */
		for (int i = 0; i < 1000 && test_nthreads() > nthreads; i++)
			os_nanosleep(1000000);
		CHECK_EQ(test_nthreads(), nthreads);
		for (uint32_t i = 1; i < 4; i++)
			CHECK(sched.allp[i]->status == Pdead && sched.allp[i]->m == NULL);
		CHECK(sched.midle == NULL && sched.allm == NULL);
		CHECK_EQ(sched.npidle, 3);
		obj_unref(&c->o);
	}
	sim_term();
}

/* A program that never ran ends all the same. */
TEST(ends_without_a_run)
{
	sim_initprocs(4);
	procresize(8);
	procresize(2);
	sim_term();
}
