/* SPDX-License-Identifier: MIT */
#include "park/sync.h"

#include <math.h>
#include <sched.h>

#include "base/randord.h"
#include "sim.h"
#include "test.h"

static int32_t waiter(void)
{
	return sim_sudog(&p0, sim_waiter(&p0));
}

static void check_woken(int32_t s)
{
	const G *gp = runqget(&p0);
	CHECK_EQ(gp ? gp->slot : 0, sudogs.g[s]);
	CHECK_EQ(gp->wake, 1);
	CHECK_EQ(sudogs.done[s], DONE_VAL);
}

/* Wait groups ----------------------------------------------------------------- */

TEST(sync_waitgroup)
{
	int32_t s[3];
	sim_init((struct schedops){0});
	struct hwaitgroup *wg = waitgroup_new();
	CHECK(!waitgroup_wait(wg, waiter())); /* nothing to wait for */
	CHECK_EQ(wg->line, 0);
	CHECK(!waitgroup_add(wg, -1));
	CHECK(wg->count == 0);
	CHECK(waitgroup_add(wg, 3));
	for (int i = 0; i < 3; i++)
		CHECK(waitgroup_wait(wg, s[i] = waiter()));
	CHECK(waitgroup_add(wg, -2));
	CHECK(!waitgroup_add(wg, -2)); /* as it was */
	CHECK(wg->count == 1);
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(waitgroup_add(wg, -1));
	check_woken(s[2]); /* readied last, so it is next */
	check_woken(s[0]);
	check_woken(s[1]);
	CHECK_EQ(wg->line, 0);
	CHECK(waitgroup_add(wg, 1)); /* and once more */
	CHECK(waitgroup_wait(wg, s[0] = waiter()));
	CHECK(waitgroup_wait(wg, s[1] = waiter()));
	waitgroup_leave(wg, s[0]);
	waitgroup_leave(wg, s[0]);
	CHECK(waitgroup_add(wg, 0));
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(waitgroup_add(wg, -1));
	check_woken(s[1]);
	CHECK_EQ(runqlen(&p0), 0);
	obj_unref(&wg->o);
	sim_term();
}

/* Mutexes ---------------------------------------------------------------------- */

TEST(sync_mutex)
{
	int32_t s[3];
	sim_init((struct schedops){0});
	struct hmutex *m = mutex_new();
	CHECK(!mutex_unlock(m));
	CHECK(mutex_lock(m, waiter()));
	CHECK(!mutex_lock(m, 0)); /* only tries */
	CHECK_EQ(m->line, 0);
	for (int i = 0; i < 3; i++)
		CHECK(!mutex_lock(m, s[i] = waiter()));
	mutex_leave(m, s[1]);
	CHECK(mutex_unlock(m)); /* it goes to the heir without ever being free */
	check_woken(s[0]);
	CHECK(m->locked && !mutex_lock(m, 0));
	CHECK(mutex_unlock(m));
	check_woken(s[2]);
	CHECK(mutex_unlock(m));
	CHECK(!m->locked && !mutex_unlock(m));
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(mutex_lock(m, 0));
	obj_unref(&m->o);
	sim_term();
}

/* Atomics ---------------------------------------------------------------------- */

TEST(sync_atomic)
{
	struct anum *a = anum_new(1.5);
	CHECK(anum_load(a) == 1.5);
	CHECK(anum_add(a, 2) == 3.5);
	CHECK(anum_add(a, -4) == -0.5);
	CHECK(anum_swap(a, 7) == -0.5);
	CHECK(anum_load(a) == 7);
	anum_store(a, 8);
	CHECK(!anum_cas(a, 7, 9));
	CHECK(anum_load(a) == 8);
	CHECK(anum_cas(a, 8, 9));
	CHECK(anum_cas(a, 9, 9));
	CHECK(anum_load(a) == 9);
	obj_unref(&a->o);
}

/* Equal is what == says: 0 and -0 are, NaN is not even to itself. */
TEST(sync_atomic_compares_numbers)
{
	struct anum *a = anum_new(-0.0);
	CHECK(signbit(anum_load(a)));
	CHECK(anum_cas(a, 0.0, 0.0));
	CHECK(!signbit(anum_load(a)));
	CHECK(anum_cas(a, -0.0, -0.0));
	CHECK(signbit(anum_load(a)));
	CHECK(anum_cas(a, 0.0, 5));
	CHECK(anum_load(a) == 5);
	anum_store(a, NAN);
	CHECK(isnan(anum_load(a)));
	CHECK(!anum_cas(a, NAN, 1));
	CHECK(!anum_cas(a, 0, 1));
	CHECK(isnan(anum_swap(a, INFINITY)));
	CHECK(!anum_cas(a, -INFINITY, 1));
	CHECK(!anum_cas(a, NAN, 1));
	CHECK(anum_cas(a, INFINITY, NAN));
	CHECK(isnan(anum_add(a, 1)));
	obj_unref(&a->o);
}

/* All at once -------------------------------------------------------------------- */

enum { NTHREAD = 3, ROUNDS = 4000 };

static P *pp[NTHREAD];
static M ms[NTHREAD];
static G *gs[NTHREAD];
static struct hmutex *mutex;
static struct hwaitgroup *group;
static struct anum *number;
static int counter; /* under mutex */

static void init(void)
{
	sim_init((struct schedops){0});
	for (int i = 0; i < NTHREAD; i++) {
		pp[i] = sim_newp(&ms[i]);
		gs[i] = sim_waiter(pp[i]);
	}
}

static void locked(int i)
{
	setm(&ms[i]);
	for (int r = 0; r < ROUNDS; r++) {
		bool tries = randnext(&pp[i]->rand) % 4 == 0;
		if (!tries || !mutex_lock(mutex, 0)) {
			int32_t s = sim_sudog(pp[i], gs[i]);
			if (!mutex_lock(mutex, s))
				CHECK_EQ(sim_await(gs[i]), 1);
			sim_freesudog(pp[i], s);
		}
		counter++;
		CHECK(mutex_unlock(mutex));
	}
	setm(NULL);
}

TEST(sync_mutex_by_threads)
{
	init();
	mutex = mutex_new();
	test_threads(NTHREAD, locked);
	CHECK_EQ(counter, NTHREAD * ROUNDS);
	CHECK(!mutex->locked && mutex->line == 0);
	obj_unref(&mutex->o);
	sim_term();
}

static void waits(int i)
{
	int32_t s = sim_sudog(pp[i], gs[i]);
	if (waitgroup_wait(group, s))
		CHECK_EQ(sim_await(gs[i]), 1);
	sim_freesudog(pp[i], s);
}

/* The first makes work, the second waits for it, the third does it.  What it did is seen. */
static atomic_u32 rounds, waited;
static int work;

static void grouped(int i)
{
	setm(&ms[i]);
	for (uint32_t r = 1; r <= ROUNDS / 4; r++)
		switch (i) {
		case 0:
			CHECK(waitgroup_add(group, 2));
			store_release(&rounds, r);
			waits(i);
			CHECK_EQ(work, r);
			while (load_acquire(&waited) < r)
				sched_yield();
			break;
		case 1:
			while (load_acquire(&rounds) < r)
				sched_yield();
			waits(i);
			CHECK_EQ(work, r);
			store_release(&waited, r);
			break;
		case 2:
			while (load_acquire(&rounds) < r)
				sched_yield();
			CHECK(waitgroup_add(group, -1));
			work++;
			CHECK(waitgroup_add(group, -1));
			break;
		}
	setm(NULL);
}

TEST(sync_waitgroup_by_threads)
{
	init();
	group = waitgroup_new();
	test_threads(NTHREAD, grouped);
	CHECK(group->count == 0 && group->line == 0);
	obj_unref(&group->o);
	sim_term();
}

static void numbers(int i)
{
	for (int r = 0; r < 10 * ROUNDS; r++) {
		if (i == 0) {
			anum_add(number, 1);
		} else if (i == 1) {
			double old = anum_load(number);
			while (!anum_cas(number, old, old + 1))
				old = anum_load(number);
		} else {
			double old = anum_swap(number, 0);
			anum_add(number, old + 1);
		}
	}
}

TEST(sync_atomic_by_threads)
{
	number = anum_new(0);
	test_threads(NTHREAD, numbers);
	CHECK(anum_load(number) == NTHREAD * 10 * ROUNDS);
	obj_unref(&number->o);
}

/* The last of all who drop a reference frees, and sees what the others did. */
static struct anum *shared;
static int nfreed, touched[NTHREAD];
static void (*realfree)(struct obj *o);

static void freed(struct obj *o)
{
	nfreed++;
	for (int i = 0; i < NTHREAD; i++)
		CHECK_EQ(touched[i], 1);
	realfree(o);
}

static void drops(int i)
{
	struct obj *o = &shared->o;
	for (int r = 0; r < 100; r++)
		obj_unref(obj_ref(o));
	touched[i] = 1;
	obj_unref(o);
}

TEST(sync_last_reference_frees)
{
	for (int round = 0; round < 200; round++) {
		nfreed = 0;
		for (int i = 0; i < NTHREAD; i++)
			touched[i] = 0;
		shared = anum_new(0);
		realfree = shared->o.free;
		shared->o.free = freed;
		for (int i = 1; i < NTHREAD; i++)
			obj_ref(&shared->o);
		test_threads(NTHREAD, drops);
		CHECK_EQ(nfreed, 1);
	}
}
