/* SPDX-License-Identifier: MIT */
#include "park/semaphore.h"

#include "waiters.h"

static struct hsemaphore *begin(double size)
{
	sim_init((struct schedops){0});
	struct hsemaphore *sem = semaphore_new(size);
	CHECK(sem);
	return sem;
}

static void end(struct hsemaphore *sem)
{
	CHECK_EQ(runqlen(&p0), 0);
	CHECK_EQ(sem->line, 0);
	CHECK(sem->held == 0);
	obj_unref(&sem->o);
	sim_term();
}

TEST(semaphore)
{
	struct hsemaphore *sem = begin(3);
	CHECK(!semaphore_release(sem, 1));
	CHECK(semaphore_acquire(sem, 0, 0));
	CHECK(semaphore_acquire(sem, 2, waiter()));
	CHECK(!semaphore_acquire(sem, 2, 0));
	CHECK(semaphore_acquire(sem, 1, 0));
	CHECK(!semaphore_acquire(sem, 1, 0));
	CHECK(semaphore_acquire(sem, 0, 0));
	CHECK(!semaphore_release(sem, 4)); /* as it was */
	CHECK(semaphore_release(sem, 3));
	CHECK(semaphore_acquire(sem, 3, 0));
	CHECK(semaphore_release(sem, 1));
	CHECK(semaphore_release(sem, 2));
	end(sem);
}

/* Who is first and wants much keeps back those behind it that want little. */
TEST(semaphore_first_come_first_served)
{
	int32_t s[4];
	struct hsemaphore *sem = begin(10);
	CHECK(semaphore_acquire(sem, 8, 0));
	CHECK(!semaphore_acquire(sem, 5, s[0] = waiter()));
	CHECK(!semaphore_acquire(sem, 1, s[1] = waiter()));
	CHECK(!semaphore_acquire(sem, 1, 0));
	CHECK(!semaphore_acquire(sem, 0, s[2] = waiter()));
	CHECK(!semaphore_acquire(sem, 9, s[3] = waiter()));
	CHECK(semaphore_release(sem, 2));
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(semaphore_release(sem, 1)); /* 5 are free: for the first, and the 0; not for the 1 before that */
	check_woken(s[0]);
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(semaphore_release(sem, 1));
	check_woken(s[2]); /* readied last */
	check_woken(s[1]);
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(sem->held == 10);
	CHECK(semaphore_release(sem, 8));
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(semaphore_release(sem, 1));
	check_woken(s[3]);
	CHECK(sem->held == 10);
	CHECK(semaphore_release(sem, 10));
	end(sem);
}

/* Whose wants are larger than all there is stands in nobody's way. */
TEST(semaphore_too_much)
{
	int32_t s;
	struct hsemaphore *sem = begin(2);
	CHECK(!semaphore_acquire(sem, 3, s = waiter()));
	CHECK(semaphore_acquire(sem, 2, 0));
	CHECK(semaphore_release(sem, 2));
	timedout(s);
	semaphore_leave(sem, s);
	end(sem);
}

/* Who leaves the line lets those behind it go on that fit. */
TEST(semaphore_gives_up)
{
	int32_t s[3];
	struct hsemaphore *sem = begin(4);
	CHECK(semaphore_acquire(sem, 2, 0));
	CHECK(!semaphore_acquire(sem, 3, s[0] = waiter()));
	CHECK(!semaphore_acquire(sem, 1, s[1] = waiter()));
	CHECK(!semaphore_acquire(sem, 4, s[2] = waiter()));
	timedout(s[0]);
	CHECK_EQ(runqlen(&p0), 0);
	semaphore_leave(sem, s[0]);
	semaphore_leave(sem, s[0]);
	check_woken(s[1]);
	CHECK_EQ(runqlen(&p0), 0);
	timedout(s[2]);
	CHECK(semaphore_release(sem, 3)); /* takes it out, though it has not run yet */
	CHECK_EQ(sem->line, 0);
	CHECK(semaphore_acquire(sem, 4, 0));
	CHECK(semaphore_release(sem, 4));
	semaphore_leave(sem, s[2]);
	end(sem);
}

/* All at once -------------------------------------------------------------------- */

enum { ROUNDS = 6000, SIZE = 5 };

static struct hsemaphore *shared;
static atomic_i32 held;

static void takers(int i)
{
	setm(&ms[i]);
	for (int r = 0; r < ROUNDS; r++) {
		int n = (int)dice(i, SIZE + 1);
		int32_t s = sim_sudog(pp[i], gs[i]);
		bool ours = semaphore_acquire(shared, n, s);
		if (!ours && await_or_not(i, s, true) == 1)
			ours = true;
		else if (!ours)
			semaphore_leave(shared, s);
		sim_freesudog(pp[i], s);
		if (!ours)
			continue;
		CHECK(fetch_add_relaxed(&held, n) + n <= SIZE);
		fetch_add_relaxed(&held, -n);
		CHECK(semaphore_release(shared, n));
	}
	setm(NULL);
}

TEST(semaphore_by_threads)
{
	init_threads();
	shared = semaphore_new(SIZE);
	test_threads(NTHREAD, takers);
	end(shared);
}
