/* SPDX-License-Identifier: MIT */
#include "park/cond.h"

#include "park/once.h"
#include "park/sync.h"
#include "waiters.h"

/* Conditions --------------------------------------------------------------------- */

TEST(cond)
{
	int32_t s[4];
	sim_init((struct schedops){0});
	struct hcond *c = cond_new();
	cond_signal(c);
	cond_wakeall(c);
	for (int i = 0; i < 4; i++)
		cond_enlist(c, s[i] = waiter());
	cond_signal(c);
	check_woken(s[0]);
	CHECK_EQ(runqlen(&p0), 0);
	timedout(s[1]);
	cond_signal(c); /* is for the next */
	check_woken(s[2]);
	cond_leave(c, s[1]);
	cond_leave(c, s[3]);
	cond_enlist(c, s[0] = waiter());
	cond_enlist(c, s[1] = waiter());
	cond_wakeall(c);
	check_woken(s[1]); /* readied last */
	check_woken(s[0]);
	cond_wakeall(c);
	CHECK_EQ(runqlen(&p0), 0);
	CHECK_EQ(c->line, 0);
	obj_unref(&c->o);
	sim_term();
}

static int nfreed;
static void (*realfree)(struct obj *o);

static void freed(struct obj *o)
{
	nfreed++;
	realfree(o);
}

/* It holds what guards it. */
TEST(cond_locker)
{
	sim_init((struct schedops){0});
	struct hcond *c = cond_new();
	struct hmutex *m = mutex_new();
	realfree = m->o.free;
	m->o.free = freed;
	c->locker = &m->o;
	obj_unref(obj_ref(&c->o));
	CHECK_EQ(nfreed, 0);
	obj_unref(&c->o);
	CHECK_EQ(nfreed, 1);
	sim_term();
}

enum { ROUNDS = 3000 };

/* A queue, of which one thread puts and two take: each value is taken once, though some give up
 * waiting, and a signal may have been meant for them. */
static struct hcond *notempty;
static struct lock guard = LOCK_INIT(RANK_SCHED); /* below the cond's */
static int nqueued, ntaken;

static void take(int i)
{
	lock(&guard);
	while (nqueued == 0 && ntaken < ROUNDS) {
		int32_t s = sim_sudog(pp[i], gs[i]);
		cond_enlist(notempty, s);
		unlock(&guard);
		if (await_or_not(i, s, true) == 0)
			cond_leave(notempty, s);
		sim_freesudog(pp[i], s);
		lock(&guard);
	}
	if (ntaken < ROUNDS) {
		nqueued--;
		if (++ntaken == ROUNDS)
			cond_wakeall(notempty);
	}
	unlock(&guard);
}

static void queue(int i)
{
	setm(&ms[i]);
	for (int r = 0; r < ROUNDS; r++) {
		if (i != 0) {
			take(i);
			continue;
		}
		lock(&guard);
		nqueued++;
		unlock(&guard);
		cond_signal(notempty);
	}
	setm(NULL);
}

TEST(cond_by_threads)
{
	init_threads();
	notempty = cond_new();
	test_threads(NTHREAD, queue);
	CHECK_EQ(ntaken, ROUNDS);
	CHECK_EQ(nqueued, 0);
	CHECK_EQ(notempty->line, 0);
	obj_unref(&notempty->o);
	sim_term();
}

/* Once --------------------------------------------------------------------------- */

TEST(once)
{
	int32_t s[2];
	sim_init((struct schedops){0});
	struct honce *once = once_new();
	CHECK_EQ(once_begin(once, waiter()), ONCE_NEW);
	CHECK_EQ(once_begin(once, 0), ONCE_RUNS);
	CHECK_EQ(once->line, 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(once_begin(once, s[i] = waiter()), ONCE_RUNS);
	once_end(once);
	check_woken(s[1]);
	check_woken(s[0]);
	CHECK_EQ(once_begin(once, waiter()), ONCE_OVER);
	CHECK_EQ(once->line, 0);
	obj_unref(&once->o);
	sim_term();
}

static struct honce *onces[ROUNDS];
static int made[ROUNDS];

static void begin(int i)
{
	setm(&ms[i]);
	for (int r = 0; r < ROUNDS; r++) {
		int32_t s = sim_sudog(pp[i], gs[i]);
		switch (once_begin(onces[r], s)) {
		case ONCE_NEW:
			made[r]++;
			once_end(onces[r]);
			break;
		case ONCE_RUNS:
			CHECK_EQ(sim_await(gs[i]), 1);
			break;
		case ONCE_OVER:
			break;
		}
		CHECK_EQ(made[r], 1);
		sim_freesudog(pp[i], s);
	}
	setm(NULL);
}

TEST(once_by_threads)
{
	init_threads();
	for (int r = 0; r < ROUNDS; r++)
		onces[r] = once_new();
	test_threads(NTHREAD, begin);
	for (int r = 0; r < ROUNDS; r++)
		obj_unref(&onces[r]->o);
	sim_term();
}
