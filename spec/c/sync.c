/* SPDX-License-Identifier: MIT */
#include "park/sync.h"

#include <math.h>
#include <sched.h>

#include "waiters.h"

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

static struct hmutex *locked(int n, int32_t s[])
{
	sim_init((struct schedops){0});
	struct hmutex *m = mutex_new();
	CHECK(mutex_lock(m, waiter(), false));
	for (int i = 0; i < n; i++)
		CHECK(!mutex_lock(m, s[i] = waiter(), false));
	return m;
}

static void end(struct hmutex *m)
{
	CHECK_EQ(runqlen(&p0), 0);
	CHECK_EQ(m->line, 0);
	obj_unref(&m->o);
	sim_term();
}

TEST(sync_mutex)
{
	struct hmutex *m = locked(0, NULL);
	CHECK(!mutex_lock(m, 0, false)); /* only tries */
	CHECK_EQ(m->line, 0);
	CHECK(mutex_unlock(m));
	CHECK(!mutex_unlock(m));
	CHECK(mutex_lock(m, 0, false));
	end(m);
}

/* Who unlocks lets go of it; the longest waiting competes, and keeps its place. */
TEST(sync_mutex_normal)
{
	int32_t s[3];
	struct hmutex *m = locked(3, s);
	mutex_leave(m, s[1]);
	CHECK(mutex_unlock(m));
	CHECK(!m->locked);
	CHECK(mutex_lock(m, 0, false)); /* somebody comes by */
	CHECK(mutex_unlock(m));
	CHECK(mutex_lock(m, 0, false));
	check_wokenby(s[0], MUTEX_FREE, DONE_WOKEN); /* it was woken once; nobody else was */
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(!mutex_lock(m, s[0], false)); /* it loses, and is the first in line as before */
	CHECK_EQ(m->line, s[0]);
	CHECK_EQ(sudogs.done[s[0]], DONE_SHARED);
	sim_waitagain(&sched.gs[sudogs.g[s[0]]]);
	CHECK(mutex_unlock(m));
	check_wokenby(s[0], MUTEX_FREE, DONE_WOKEN);
	CHECK(mutex_lock(m, s[0], false)); /* it wins */
	CHECK_EQ(m->line, s[2]);
	CHECK(!m->starving);
	CHECK(mutex_unlock(m));
	check_wokenby(s[2], MUTEX_FREE, DONE_WOKEN);
	CHECK(mutex_lock(m, s[2], true)); /* after long; but there is nobody to be protected from */
	CHECK(!m->starving);
	end(m);
}

/* Who has lost and waited for long has it handed over, and so have those behind it. */
TEST(sync_mutex_starving)
{
	int32_t s[4];
	struct hmutex *m = locked(4, s);
	CHECK(mutex_unlock(m));
	CHECK(mutex_lock(m, 0, false));
	check_wokenby(s[0], MUTEX_FREE, DONE_WOKEN);
	CHECK(!mutex_lock(m, s[0], true));
	sim_waitagain(&sched.gs[sudogs.g[s[0]]]);
	CHECK(m->starving);
	CHECK(mutex_unlock(m));
	CHECK(m->locked && !mutex_lock(m, 0, false)); /* it was never free */
	check_wokenby(s[0], MUTEX_YOURS, DONE_VAL);
	mutex_inherit(m, true);
	CHECK(m->starving); /* others may have waited as long */
	timedout(s[1]);
	CHECK(mutex_unlock(m));
	check_wokenby(s[2], MUTEX_YOURS, DONE_VAL); /* s[1] is passed over */
	mutex_inherit(m, false);
	CHECK(!m->starving);
	mutex_leave(m, s[1]);
	CHECK(mutex_unlock(m));
	CHECK(!m->locked);
	check_wokenby(s[3], MUTEX_FREE, DONE_WOKEN);
	CHECK(mutex_lock(m, s[3], false));
	end(m);
}

/* The last one that waits, however long, ends it; so does an unlock when all have given up. */
TEST(sync_mutex_starving_ends)
{
	int32_t s[2];
	struct hmutex *m = locked(2, s);
	for (int round = 0; round < 2; round++) {
		CHECK(mutex_unlock(m));
		CHECK(mutex_lock(m, 0, false));
		check_wokenby(s[0], MUTEX_FREE, DONE_WOKEN);
		CHECK(!mutex_lock(m, s[0], true));
		sim_waitagain(&sched.gs[sudogs.g[s[0]]]);
		CHECK(m->starving);
		if (round == 0) {
			CHECK(mutex_unlock(m));
			check_wokenby(s[0], MUTEX_YOURS, DONE_VAL);
			timedout(s[1]);
			mutex_inherit(m, true);
			CHECK(!m->starving);
			mutex_leave(m, s[1]);
			CHECK(!mutex_lock(m, s[0] = waiter(), false));
		}
	}
	timedout(s[0]);
	CHECK(mutex_unlock(m));
	CHECK(!m->starving && !m->locked);
	mutex_leave(m, s[0]);
	end(m);
}

/* An unlock that was meant for one that gives up is another one's. */
TEST(sync_mutex_gives_up)
{
	int32_t s[3];
	struct hmutex *m = locked(3, s);
	timedout(s[0]);
	CHECK(mutex_unlock(m));
	check_wokenby(s[1], MUTEX_FREE, DONE_WOKEN);
	mutex_leave(m, s[0]);
	CHECK_EQ(runqlen(&p0), 0); /* one is awake: enough */
	mutex_leave(m, s[1]);	   /* it cannot wait on, say */
	check_wokenby(s[2], MUTEX_FREE, DONE_WOKEN);
	CHECK(mutex_lock(m, s[2], false));
	mutex_leave(m, s[1]);
	CHECK_EQ(runqlen(&p0), 0);
	end(m);
}

/* After gkillall nobody stands in a line any more, whether woken or not. */
TEST(sync_mutex_void)
{
	int32_t s[3];
	struct hmutex *m = locked(2, s);
	CHECK(mutex_unlock(m));
	check_wokenby(s[0], MUTEX_FREE, DONE_WOKEN);
	sudogvoid();
	CHECK(mutex_lock(m, 0, false));
	CHECK(!mutex_lock(m, s[2] = waiter(), false));
	CHECK(mutex_unlock(m));
	check_wokenby(s[2], MUTEX_FREE, DONE_WOKEN);
	CHECK(mutex_lock(m, s[2], false));
	end(m);
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

/* As Go's: the old value. */
TEST(sync_atomic_bits)
{
	struct anum *a = anum_new(6);
	CHECK(anum_and(a, 3) == 6);
	CHECK(anum_or(a, 8) == 2);
	CHECK(anum_load(a) == 10);
	CHECK(anum_and(a, -9) == 10); /* all but 8 */
	CHECK(anum_or(a, -4) == 2);
	CHECK(anum_load(a) == -2);
	CHECK(anum_and(a, 9007199254740991.0) == -2);
	CHECK(anum_load(a) == 9007199254740990.0);
	CHECK(anum_or(a, -9007199254740992.0) == 9007199254740990.0);
	CHECK(anum_load(a) == -2);
	const double no[] = {0.5, 9007199254740992.0, -9007199254740994.0, INFINITY, -INFINITY, NAN};
	for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
		anum_store(a, no[i]);
		CHECK(isnan(anum_and(a, 1)));
		CHECK(isnan(anum_or(a, 1)));
		CHECK(anum_load(a) == no[i] || isnan(no[i]));
	}
	obj_unref(&a->o);
}

/* All at once -------------------------------------------------------------------- */

enum { ROUNDS = 4000 };

static struct hmutex *mutex;
static struct hwaitgroup *group;
static struct anum *number;
static int counter; /* under mutex */

/* As lua/luapark/mutex.lua does it; false: gave up. */
static bool locks(int i)
{
	if (mutex_lock(mutex, 0, false))
		return true;
	int32_t s = sim_sudog(pp[i], gs[i]), wake;
	bool ours = mutex_lock(mutex, s, false), starving = false;
	while (!ours && (wake = await_or_not(i, s, true)) != 0) {
		starving = dice(i, 3) == 0;
		ours = wake == MUTEX_YOURS || mutex_lock(mutex, s, starving);
		if (wake == MUTEX_YOURS)
			mutex_inherit(mutex, starving);
	}
	if (!ours)
		mutex_leave(mutex, s);
	sim_freesudog(pp[i], s);
	return ours;
}

static void lockers(int i)
{
	setm(&ms[i]);
	for (int r = 0; r < ROUNDS;) {
		if (dice(i, 4) == 0 ? !mutex_lock(mutex, 0, false) : !locks(i))
			continue;
		counter++;
		r++;
		CHECK(mutex_unlock(mutex));
	}
	setm(NULL);
}

TEST(sync_mutex_by_threads)
{
	init_threads();
	mutex = mutex_new();
	test_threads(NTHREAD, lockers);
	CHECK_EQ(counter, NTHREAD * ROUNDS);
	CHECK(!mutex->locked && !mutex->starving && mutex->line == 0);
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
	init_threads();
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
