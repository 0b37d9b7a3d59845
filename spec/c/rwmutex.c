/* SPDX-License-Identifier: MIT */
#include "park/rwmutex.h"

#include "waiters.h"

static struct hrwmutex *begin(void)
{
	sim_init((struct schedops){0});
	struct hrwmutex *rw = rwmutex_new();
	CHECK(rw);
	return rw;
}

/* Nobody is inside, and nobody waits: also no trace is left of those who did. */
static void end(struct hrwmutex *rw)
{
	CHECK_EQ(runqlen(&p0), 0);
	CHECK_EQ(load_relaxed(&rw->state), 0);
	CHECK_EQ(rw->rline, 0);
	CHECK_EQ(rw->wline, 0);
	obj_unref(&rw->o);
	sim_term();
}

TEST(rwmutex_many_readers_or_one_writer)
{
	struct hrwmutex *rw = begin();
	CHECK(!rwmutex_unlock(rw));
	CHECK(!rwmutex_runlock(rw));
	CHECK(rwmutex_rlock(rw, 0));
	CHECK(rwmutex_rlock(rw, waiter()));
	CHECK(!rwmutex_lock(rw, 0));
	CHECK(!rwmutex_unlock(rw));
	CHECK(rwmutex_runlock(rw));
	CHECK(!rwmutex_lock(rw, 0));
	CHECK(rwmutex_runlock(rw));
	CHECK(!rwmutex_runlock(rw));
	CHECK(rwmutex_lock(rw, 0));
	CHECK(!rwmutex_lock(rw, 0));
	CHECK(!rwmutex_rlock(rw, 0));
	CHECK(!rwmutex_runlock(rw));
	CHECK(rwmutex_unlock(rw));
	CHECK(!rwmutex_unlock(rw));
	end(rw);
}

/* A writer that waits keeps new readers out; all of them go first when it unlocks. */
TEST(rwmutex_turns)
{
	int32_t w[2], r[3];
	struct hrwmutex *rw = begin();
	CHECK(rwmutex_rlock(rw, 0));
	CHECK(rwmutex_rlock(rw, 0));
	CHECK(!rwmutex_lock(rw, w[0] = waiter()));
	CHECK(!rwmutex_rlock(rw, 0));
	CHECK(!rwmutex_rlock(rw, r[0] = waiter()));
	CHECK(!rwmutex_lock(rw, w[1] = waiter()));
	CHECK(rwmutex_runlock(rw));
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(rwmutex_runlock(rw));
	check_woken(w[0]);
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(!rwmutex_runlock(rw));
	CHECK(!rwmutex_rlock(rw, r[1] = waiter()));
	CHECK(rwmutex_unlock(rw));
	check_woken(r[1]); /* readied last */
	check_woken(r[0]);
	CHECK_EQ(runqlen(&p0), 0);
	CHECK(!rwmutex_rlock(rw, r[2] = waiter())); /* there is a writer again */
	CHECK(!rwmutex_lock(rw, 0));
	CHECK(rwmutex_runlock(rw));
	CHECK(rwmutex_runlock(rw));
	check_woken(w[1]);
	CHECK(rwmutex_unlock(rw));
	check_woken(r[2]);
	CHECK(rwmutex_runlock(rw));
	end(rw);
}

/* With nobody else waiting a writer hands it to the next. */
TEST(rwmutex_from_writer_to_writer)
{
	int32_t w[2];
	struct hrwmutex *rw = begin();
	CHECK(rwmutex_lock(rw, 0));
	CHECK(!rwmutex_lock(rw, w[0] = waiter()));
	CHECK(!rwmutex_lock(rw, w[1] = waiter()));
	for (int i = 0; i < 2; i++) {
		CHECK(rwmutex_unlock(rw));
		check_woken(w[i]);
		CHECK(!rwmutex_lock(rw, 0)); /* it was never free */
	}
	CHECK(rwmutex_unlock(rw));
	end(rw);
}

/* A writer that gives up lets those in whom it kept out. */
TEST(rwmutex_writer_gives_up)
{
	int32_t w[2], r[2];
	struct hrwmutex *rw = begin();
	CHECK(rwmutex_rlock(rw, 0));
	CHECK(!rwmutex_lock(rw, w[0] = waiter()));
	CHECK(!rwmutex_lock(rw, w[1] = waiter()));
	CHECK(!rwmutex_rlock(rw, r[0] = waiter()));
	timedout(w[0]);
	rwmutex_leave(rw, true, w[0]);
	rwmutex_leave(rw, true, w[0]);
	CHECK_EQ(runqlen(&p0), 0); /* there is another one */
	CHECK(!rwmutex_rlock(rw, 0));
	timedout(w[1]);
	CHECK(rwmutex_rlock(rw, 0)); /* from now on */
	CHECK_EQ(runqlen(&p0), 0);
	rwmutex_leave(rw, true, w[1]);
	check_woken(r[0]);
	CHECK(!rwmutex_lock(rw, w[0] = waiter()));
	CHECK(!rwmutex_rlock(rw, r[0] = waiter()));
	CHECK(!rwmutex_rlock(rw, r[1] = waiter()));
	timedout(w[0]); /* and has not run yet */
	timedout(r[0]);
	for (int i = 0; i < 3; i++)
		CHECK(rwmutex_runlock(rw));
	check_woken(r[1]);
	CHECK(rwmutex_runlock(rw));
	CHECK_EQ(load_relaxed(&rw->state), 0); /* those who gave up were taken out */
	rwmutex_leave(rw, true, w[0]);
	rwmutex_leave(rw, false, r[0]);
	end(rw);
}

/* All at once -------------------------------------------------------------------- */

enum { ROUNDS = 6000 };

static struct hrwmutex *shared;
static atomic_i32 inside; /* readers; or -1, a writer */
static int written;
static atomic_u32 nwritten;

/* False when it gave up. */
static bool enter(int i, bool writer)
{
	bool (*trylock)(struct hrwmutex *, int32_t) = writer ? rwmutex_lock : rwmutex_rlock;
	if (dice(i, 2) && trylock(shared, 0))
		return true;
	int32_t s = sim_sudog(pp[i], gs[i]);
	bool in = trylock(shared, s);
	if (!in && await_or_not(i, s, true) == 1)
		in = true;
	else if (!in)
		rwmutex_leave(shared, writer, s);
	sim_freesudog(pp[i], s);
	return in;
}

static void readandwrite(int i)
{
	setm(&ms[i]);
	for (int r = 0; r < ROUNDS; r++) {
		bool writer = dice(i, 4) == 0;
		if (!enter(i, writer))
			continue;
		if (writer) {
			CHECK_EQ(load_relaxed(&inside), 0);
			store_relaxed(&inside, -1);
			written++;
			fetch_add_relaxed(&nwritten, 1);
			store_relaxed(&inside, 0);
			CHECK(rwmutex_unlock(shared));
		} else {
			CHECK(fetch_add_relaxed(&inside, 1) >= 0);
			CHECK_EQ(written, load_relaxed(&nwritten));
			CHECK(fetch_add_relaxed(&inside, -1) > 0);
			CHECK(rwmutex_runlock(shared));
		}
	}
	setm(NULL);
}

TEST(rwmutex_by_threads)
{
	init_threads();
	shared = rwmutex_new();
	test_threads(NTHREAD, readandwrite);
	CHECK_EQ(written, load_relaxed(&nwritten));
	CHECK(written > ROUNDS / 8);
	end(shared);
}
