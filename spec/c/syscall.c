/* SPDX-License-Identifier: MIT */
/* Gs that block their thread, whose P goes to others meanwhile. */
#include <stdlib.h>

#include "base/os.h"
#include "base/randord.h"
#include "sim.h"
#include "test.h"

static atomic_u32 ndone, stop, inside;

/* Blocks until *n is at least this: half a minute at most. */
static void blockuntil(G *gp, const atomic_u32 *n, uint32_t atleast)
{
	P *home = gp->p;
	int64_t end = nanotime() + 30 * (int64_t)1000000000;
	CHECK(cstack_spare(&home->stacks));
	entersyscall(gp);
	while (load_acquire(n) < atleast && nanotime() < end)
		os_nanosleep(20000);
	exitsyscall(gp);
	CHECK(load_acquire(n) >= atleast);
	CHECK(getm()->p == home && getm()->curg == gp);
	CHECK_EQ(readgstatus(gp), Grunning);
	CHECK_EQ(home->view.cur, gp->slot);
}

static enum gout short_(G *gp, void *ud)
{
	(void)ud;
	const M *mp = getm();
	for (int i = 0; i < 1000; i++) {
		CHECK(cstack_spare(&gp->p->stacks));
		entersyscall(gp);
		exitsyscall(gp);
		CHECK(getm() == mp); /* with nobody else there, and in no time */
	}
	CHECK_EQ(sched.nsyscall, 0);
	return GOUT_EXIT;
}

TEST(syscall_short)
{
	setenv("LUAPARK_MAXPROCS", "1", 1);
	struct schedops ops = sim_procs;
	ops.interrupt = NULL; /* no monitor */
	sim_init(ops);
	CHECK(sim_run(short_, NULL) == NULL);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* Who blocks waits for what only another G of the same P can do. */
static enum gout unblocks(G *gp, void *ud)
{
	(void)gp;
	(void)ud;
	fetch_add_seqcst(&stop, 1);
	return GOUT_EXIT;
}

static enum gout blocks(G *gp, void *ud)
{
	uint32_t n = (uint32_t)(uintptr_t)ud;
	sim_go(unblocks, NULL);
	blockuntil(gp, &stop, n);
	fetch_add_seqcst(&ndone, 1);
	return GOUT_EXIT;
}

TEST(syscall_gives_its_p_to_others)
{
	sim_initprocs(1);
	CHECK(sim_run(blocks, (void *)1) == NULL);
	CHECK_EQ(ndone, 1);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(sched.nsyscall, 0);
	CHECK_EQ(sched.nrunning, 0);
	sim_term();
}

enum { MANY = 100 };

static enum gout manyblock(G *gp, void *ud)
{
	(void)gp;
	(void)ud;
	for (int i = 0; i < MANY; i++)
		sim_go(blocks, (void *)(uintptr_t)MANY);
	return GOUT_EXIT;
}

TEST(syscall_many_at_once)
{
	sim_initprocs(1);
	CHECK(sim_run(manyblock, NULL) == NULL);
	CHECK_EQ(ndone, MANY);
	CHECK_EQ(gcount(), 0);
	CHECK(sched.nmidle <= 64); /* those that wait for another P are few */
	sim_term();
}

/* Back on another thread, or the same, in the middle of C frames: all that is on the stack
 * is there. */
static double depth(G *gp, int n, uint32_t *rand)
{
	volatile double mine = n;
	if (n == 0) {
		sim_block(gp, randnext(rand) % 4 == 0 ? randnext(rand) % 50000 : 0);
		return 0;
	}
	double below = depth(gp, n - 1, rand);
	CHECK(mine == n);
	return mine + below;
}

static enum gout comesandgoes(G *gp, void *ud)
{
	uint32_t rand = gp->slot + 1;
	for (int i = (int)(intptr_t)ud; i > 0; i--) {
		CHECK(depth(gp, 10, &rand) == 55);
		CHECK_EQ(readgstatus(gp), Grunning);
		if (i % 8 == 0)
			sim_gosched(gp);
		if (i % 16 == 0)
			sim_sleep(gp, randnext(&rand) % 20000);
	}
	fetch_add_seqcst(&ndone, 1);
	return GOUT_EXIT;
}

static enum gout startall(G *gp, void *ud)
{
	(void)gp;
	for (int i = 0; i < 8; i++)
		sim_spawn(comesandgoes, ud);
	return GOUT_EXIT;
}

static void comeandgo(uint32_t n)
{
	sim_initprocs(n);
	CHECK(sim_run(startall, (void *)500) == NULL);
	CHECK_EQ(ndone, 8);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(sched.nsyscall, 0);
	sim_term();
}

/* There is no thread for the others, or one. */
TEST(syscall_comes_back_without_threads)
{
	test_fewthreads(1);
	comeandgo(1);
}

TEST(syscall_comes_back_with_one_thread)
{
	test_fewthreads(2);
	comeandgo(4);
}

TEST(syscall_comes_back_1) { comeandgo(1); }
TEST(syscall_comes_back_2) { comeandgo(2); }
TEST(syscall_comes_back_4) { comeandgo(4); }
TEST(syscall_comes_back_stress)
{
	setenv("LUAPARK_DEBUG", "stress", 1);
	comeandgo(4);
}

/* The world can be stopped while somebody blocks, and goes on when he comes back. */
static enum gout resizes(G *gp, void *ud)
{
	(void)ud;
	CHECK(sim_compute(gp, &inside, 1, true));
	procresize(2); /* would wait for ever */
	procresize(4);
	fetch_add_seqcst(&stop, 1);
	return GOUT_EXIT;
}

static enum gout blocksmeanwhile(G *gp, void *ud)
{
	(void)ud;
	sim_spawn(resizes, NULL);
	sim_gosched(gp);
	fetch_add_seqcst(&inside, 1);
	blockuntil(gp, &stop, 1);
	return GOUT_EXIT;
}

TEST(syscall_does_not_hold_the_world)
{
	sim_initprocs(4);
	for (int i = 0; i < 50; i++) {
		store_relaxed(&inside, 0);
		store_relaxed(&stop, 0);
		CHECK(sim_run(blocksmeanwhile, NULL) == NULL);
		CHECK_EQ(gcount(), 0);
	}
	sim_term();
}

/* Everything else waits: that is no deadlock as long as somebody is in a system call. */
static enum gout sendslate(G *gp, void *ud)
{
	sim_block(gp, 30000000); /* so that its P is taken, and goes idle */
	CHECK(sim_send(gp, ud, 1));
	return GOUT_EXIT;
}

static enum gout receives(G *gp, void *ud)
{
	double n;
	sim_go(sendslate, ud);
	CHECK(sim_recv(gp, ud, &n));
	fetch_add_seqcst(&ndone, 1);
	return GOUT_EXIT;
}

TEST(syscall_is_alive)
{
	sim_initprocs(1);
	struct hchan *c = chan_new(0);
	CHECK(sim_run(receives, c) == NULL);
	CHECK_EQ(ndone, 1);
	obj_unref(&c->o);
	sim_term();
}

/* The last thing alive ends on a thread that has lost its P. */
static enum gout blockslate(G *gp, void *ud)
{
	(void)ud;
	sim_block(gp, 30000000);
	return GOUT_EXIT;
}

static enum gout waitsinvain(G *gp, void *ud)
{
	double n;
	sim_go(blockslate, NULL);
	sim_recv(gp, ud, &n);
	return GOUT_EXIT;
}

TEST(syscall_last_one_out)
{
	sim_initprocs(2);
	struct hchan *c = chan_new(0);
	CHECK(sim_run(waitsinvain, c) == NULL);
	CHECK(sched.dead);
	CHECK_EQ(gcount(), 1);
	gkillall();
	obj_unref(&c->o);
	sim_term();
}

/* The run ends while m0, or another, blocks: it waits for them, and nothing is lost. */
static enum gout endsrun(G *gp, void *ud)
{
	CHECK(sim_compute(gp, &inside, 1, true));
	schedstop(ud);
	return GOUT_EXIT;
}

static enum gout blocksatend(G *gp, void *ud)
{
	(void)ud;
	fetch_add_seqcst(&inside, 1);
	sim_block(gp, test_rand() % 15000000);
	return GOUT_EXIT;
}

static enum gout m0blocks(G *gp, void *ud)
{
	sim_go(endsrun, ud);
	return blocksatend(gp, NULL);
}

static enum gout otherblocks(G *gp, void *ud)
{
	sim_spawn(blocksatend, NULL);
	sim_sleep(gp, 1000);
	return endsrun(gp, ud);
}

static void endwhile(simbody *body)
{
	sim_initprocs(2);
	for (int i = 0; i < 20; i++) {
		store_relaxed(&inside, 0);
		CHECK_STR(sim_run(body, "stop"), "stop");
		CHECK(sched.halted);
		CHECK(m0.p == NULL && !m0.waits);
		CHECK_EQ(sched.nsyscall, 0);
		CHECK_EQ(sched.nrunning, 0);
		gkillall();
		CHECK_EQ(gcount(), 0);
	}
	sim_term();
}

TEST(syscall_run_ends_while_m0_blocks) { endwhile(m0blocks); }
TEST(syscall_run_ends_while_another_blocks) { endwhile(otherblocks); }
