/* SPDX-License-Identifier: MIT */
#include "base/lock.h"

#include "base/atomic.h"
#include "base/os.h"
#include "test.h"

enum { MANY = 50 }; /* TSan itself counts no further than 64 */

static struct lock a = LOCK_INIT(RANK_SCHED), b = LOCK_INIT(RANK_OBJ), c = LOCK_INIT(RANK_SITE);
static struct lock many[MANY]; /* of one rank, by address */

static void initmany(void)
{
	for (int i = 0; i < MANY; i++)
		lock_init(&many[i], RANK_OBJ);
}

static void termmany(void)
{
	for (int i = 0; i < MANY; i++)
		lock_term(&many[i]);
}

TEST(lock_by_rank)
{
	for (int i = 0; i < 3; i++) {
		lock(&a);
		lock(&b);
		lock(&c);
		unlock(&c);
		lock(&c);
		unlock(&c);
		unlock(&b);
		lock(&c);
		unlock(&c);
		unlock(&a);
		lock(&c); /* no lower one is held any more */
		unlock(&c);
	}
}

/* As many of one rank as somebody likes, as a select does. */
TEST(lock_by_address)
{
	initmany();
	for (int n = 1; n <= MANY; n++) {
		lock(&a);
		for (int i = 0; i < n; i++)
			lock(&many[i]);
		lock(&c);
		unlock(&c);
		for (int i = n; i-- > 0;)
			unlock(&many[i]);
		unlock(&a);
	}
	termmany();
}

#ifdef LUAPARK_DEBUG_BUILD

static void lowerrank(void)
{
	lock(&b);
	lock(&a);
}

static void loweraddress(void)
{
	initmany();
	lock(&many[1]);
	lock(&many[0]);
}

static void loweraddressdeep(void)
{
	initmany();
	for (int i = 20; i < 26; i++)
		lock(&many[i]);
	lock(&many[0]);
}

static void lowerrankafterwait(void)
{
	struct cond cond = COND_INIT;
	lock(&c);
	cond_timedwait(&cond, &c, 1000);
	lock(&a);
}

TEST(lock_order_is_checked)
{
	CHECK_THROWS(lowerrank, "locks taken out of order");
	CHECK_THROWS(loweraddress, "locks taken out of order");
	CHECK_THROWS(loweraddressdeep, "locks taken out of order");
	CHECK_THROWS(lowerrankafterwait, "locks taken out of order");
}

static void notlast(void)
{
	lock(&a);
	lock(&b);
	unlock(&a);
}

static void nottaken(void)
{
	unlock(&a);
}

TEST(lock_unlocks_are_checked)
{
	CHECK_THROWS(notlast, "unlock of a lock that is not the last one taken");
	CHECK_THROWS(nottaken, "unlock of a lock that is not the last one taken");
}

static void otherthread(int i)
{
	(void)i;
	CHECK(!lock_isheld(&a));
}

TEST(lock_isheld_by_this_thread)
{
	CHECK(!lock_isheld(&a));
	lock(&a);
	lock(&b);
	CHECK(lock_isheld(&a) && lock_isheld(&b) && !lock_isheld(&c));
	test_threads(1, otherthread);
	unlock(&b);
	CHECK(lock_isheld(&a) && !lock_isheld(&b));
	unlock(&a);
	CHECK(!lock_isheld(&a));
}

#endif

/* Between threads ------------------------------------------------------------ */

enum { NTHREAD = 3, ROUNDS = 20000 };

static int counter;

static void count(int i)
{
	(void)i;
	for (int r = 0; r < ROUNDS; r++) {
		lock(&a);
		counter++;
		unlock(&a);
	}
}

TEST(lock_excludes)
{
	test_threads(NTHREAD, count);
	CHECK_EQ(counter, NTHREAD * ROUNDS);
}

/* Takes turns with the others: who may go is a condition of what the lock guards. */
static struct cond turned = COND_INIT;

static void turns(int i)
{
	lock(&a);
	for (int r = 0; r < 1000; r++) {
		while (counter % NTHREAD != i)
			if (r % 2)
				cond_wait(&turned, &a);
			else
				cond_timedwait(&turned, &a, 1000000000);
		counter++;
		cond_broadcast(&turned);
	}
	unlock(&a);
}

TEST(lock_conditions)
{
	test_threads(NTHREAD, turns);
	CHECK_EQ(counter, NTHREAD * 1000);
}

TEST(lock_timedwait_ends)
{
	int64_t start = nanotime();
	lock(&a);
	cond_timedwait(&turned, &a, 2000000);
	unlock(&a);
	CHECK(nanotime() - start < 1000000000);
	lock(&a);
	cond_timedwait(&turned, &a, 0);
	unlock(&a);
}

/* Notes ---------------------------------------------------------------------- */

static struct note ping, pong;
static int value;

static void pingpong(int i)
{
	for (int r = 0; r < 5000; r++) {
		if (i == 0) {
			value = r;
			note_wake(&ping);
			note_sleep(&pong);
			note_clear(&pong);
			CHECK_EQ(value, -r);
		} else {
			note_sleep(&ping);
			note_clear(&ping);
			CHECK_EQ(value, r);
			value = -r;
			note_wake(&pong);
		}
	}
}

TEST(note_pingpong)
{
	note_init(&ping);
	note_init(&pong);
	test_threads(2, pingpong);
	note_term(&ping);
	note_term(&pong);
}

/* Whoever comes first; and it stays until it is cleared. */
TEST(note_is_sticky)
{
	note_init(&ping);
	note_wake(&ping);
	note_wake(&ping);
	note_sleep(&ping);
	note_sleep(&ping);
	CHECK(note_sleepfor(&ping, 0));
	note_clear(&ping);
	int64_t start = nanotime();
	CHECK(!note_sleepfor(&ping, 2000000));
	CHECK(nanotime() - start >= 1000000); /* it measures by another clock than nanotime */
	CHECK(!note_sleepfor(&ping, 0));
	note_wake(&ping);
	CHECK(note_sleepfor(&ping, (int64_t)100 * 1000000000));
	CHECK(nanotime() - start < (int64_t)50 * 1000000000);
	note_term(&ping);
}
