/* SPDX-License-Identifier: MIT */
/* The run queue: who leaves it for other Ps, and whose turn it is. */
#include <string.h>

#include "base/os.h"
#include "sim.h"
#include "test.h"

/* A G is a letter in G.site: a to z are fresh and portable, A to Z have run, and of digits, which
 * are fresh, even ones are not portable. */
static G *fresh(char name)
{
	G *gp = gfget(&p0);
	CHECK(gp);
	store_relaxed(&gp->p, &p0);
	gp->site = (uint32_t)name;
	gp->flags = name >= 'A' && name <= 'Z' ? 0 : GF_FRESH;
	casgstatus(gp, Gdead, Grunnable);
	return gp;
}

static bool isportable(char name)
{
	return (name >= 'a' && name <= 'z') || (name >= '0' && name <= '9' && name % 2);
}

static char asked[4096]; /* whom pack was asked about */
static uint32_t nasked;

static bool later, chattyasked; /* PACK_LATER instead of PACK_NEVER; what pack was told */

static enum packed pack(P *pp, G *gp, bool chatty)
{
	chattyasked = chatty;
	CHECK(pp == &p0 && gp->p == pp && (gp->flags & GF_FRESH));
	CHECK(nasked < sizeof asked - 1);
	asked[nasked++] = (char)gp->site;
	asked[nasked] = '\0';
	if (!isportable((char)gp->site))
		return later ? PACK_LATER : PACK_NEVER;
	store_relaxed(&gp->p, NULL);
	gp->flags |= GF_PACKED;
	return PACK_DONE;
}

static const char *names(G *(*get)(P *pp))
{
	static char text[4 * RUNQ_SIZE + 8];
	uint32_t n = 0;
	for (G *gp; (gp = get(&p0)) != NULL;)
		text[n++] = (char)gp->site;
	text[n] = '\0';
	return text;
}

static void init(void)
{
	sim_init((struct schedops){.pack = pack});
}

/* Where the ring begins; the last two wrap: around the ring, and around the counters. */
static const uint32_t begins[] = {0, RUNQ_SIZE - 2, UINT32_MAX - 1};

/* Of this queue runqpack packs these and leaves those, wherever the ring begins. */
static void packs(const char *queue, uint32_t before, uint32_t max, const char *packed, const char *left)
{
	for (int i = 0; i < 3; i++) {
		p0.runq.head = p0.runq.tail = begins[i];
		for (const char *name = queue; *name; name++)
			runqput(&p0, fresh(*name), false);
		CHECK_EQ(runqpack(&p0, begins[i] + before, max, false), strlen(packed));
		CHECK(runq_isvalid(&p0));
		CHECK_EQ(runqlen(&p0), strlen(left));
		CHECK_STR(names(stealqget), packed);
		CHECK_STR(names(runqget), left);
	}
}

enum { ALL = RUNQ_SIZE };

TEST(runqpack_oldest_first)
{
	init();
	packs("", 0, ALL, "", "");
	packs("a", 1, ALL, "a", "");
	packs("abcd", 4, ALL, "abcd", "");
	packs("abcd", 4, 1, "a", "bcd");
	packs("abcd", 4, 3, "abc", "d");
	packs("abcd", 4, 0, "", "abcd");
	sim_term();
}

/* Who has run stays where it was among the others. */
TEST(runqpack_skips_started)
{
	init();
	packs("A", 1, ALL, "", "A");
	packs("AbCd", 4, ALL, "bd", "AC");
	packs("aBcD", 4, ALL, "ac", "BD");
	packs("ABCd", 4, ALL, "d", "ABC");
	packs("aBCd", 4, 1, "a", "BCd");
	packs("ABcd", 4, 1, "c", "ABd");
	sim_term();
}

TEST(runqpack_only_those_before)
{
	init();
	packs("abcd", 0, ALL, "", "abcd");
	packs("abcd", 2, ALL, "ab", "cd");
	packs("AbCd", 2, ALL, "b", "ACd");
	packs("AbCd", 3, ALL, "b", "ACd");
	packs("abcd", -1u, ALL, "", "abcd"); /* all of those have run since */
	packs("abcd", -100u, ALL, "", "abcd");
	sim_term();
}

/* Who is found not to be portable stays, is not counted, and is not asked again. */
TEST(runqpack_asks_once)
{
	init();
	packs("0b2d", 4, ALL, "bd", "02");
	packs("0b2d", 4, 1, "b", "02d");
	nasked = 0;
	for (const char *name = "2a1c"; *name; name++)
		runqput(&p0, fresh(*name), false);
	CHECK_EQ(runqpack(&p0, p0.runq.tail, 1, false), 1);
	CHECK_STR(asked, "2a");
	CHECK_EQ(runqpack(&p0, p0.runq.tail, 1, false), 1);
	CHECK_STR(asked, "2a1");
	CHECK_EQ(runqpack(&p0, p0.runq.tail, ALL, false), 1);
	CHECK_EQ(runqpack(&p0, p0.runq.tail, ALL, false), 0);
	CHECK_STR(asked, "2a1c");
	G *gp = runqget(&p0);
	CHECK(gp->flags == (GF_FRESH | GF_STAYS));
	sim_term();
}

/* Who may go another time stays, and is asked again then. */
TEST(runqpack_asks_again)
{
	init();
	later = true;
	for (const char *name = "2a4"; *name; name++)
		runqput(&p0, fresh(*name), false);
	CHECK_EQ(runqpack(&p0, p0.runq.tail, ALL, true), 1);
	CHECK(chattyasked);
	CHECK_EQ(runqpack(&p0, p0.runq.tail, ALL, false), 0);
	CHECK(!chattyasked);
	CHECK_STR(asked, "2a424");
	CHECK_EQ(p0.runq.ring[p0.runq.head % RUNQ_SIZE]->flags, GF_FRESH);
	CHECK_STR(names(runqget), "24");
	sim_term();
}

/* Neither who is next nor who stands behind the ring is looked at; from there they come to the
 * ring later. */
TEST(runqpack_looks_at_ring_only)
{
	init();
	for (uint32_t i = 0; i < RUNQ_SIZE + 2; i++)
		runqput(&p0, fresh(i < RUNQ_SIZE ? 'A' : 'b'), false);
	runqput(&p0, fresh('n'), true);
	CHECK_EQ(runqpack(&p0, p0.runq.tail, ALL, false), 0);
	for (uint32_t i = 0; i < RUNQ_SIZE + 1; i++)
		CHECK(runqget(&p0)->site != 'b');
	CHECK(runqget(&p0)->site == 'b');
	CHECK_EQ(runqpack(&p0, p0.runq.tail, ALL, false), 1);
	CHECK_EQ(runqlen(&p0), 0);
	sim_term();
}

/* A finalizer that runs while a message is made may queue more: that is at the tail. */
static enum packed packandqueue(P *pp, G *gp, bool chatty)
{
	if (runqlen(pp) < RUNQ_SIZE)
		runqput(pp, fresh('z'), false);
	return pack(pp, gp, chatty);
}

TEST(runqpack_queue_grows_meanwhile)
{
	sim_init((struct schedops){.pack = packandqueue});
	runqput(&p0, fresh('a'), false);
	runqput(&p0, fresh('B'), false);
	runqput(&p0, fresh('c'), false);
	CHECK_EQ(runqpack(&p0, p0.runq.tail, ALL, false), 2);
	CHECK(runq_isvalid(&p0));
	CHECK_STR(names(stealqget), "ac");
	CHECK_STR(names(runqget), "Bzz");
	sim_term();
}

/* What the stealq has no room for goes to the global queue. */
TEST(runqpack_overflows_to_global)
{
	init();
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < RUNQ_SIZE; i++)
			runqput(&p0, fresh('a'), false);
		CHECK_EQ(runqpack(&p0, p0.runq.tail, ALL, false), RUNQ_SIZE);
	}
	CHECK_EQ(strlen(names(stealqget)), RUNQ_SIZE);
	CHECK_EQ(sched.runq.n, RUNQ_SIZE);
	sim_term();
}

/* Against the plainest way to do it. */
TEST(runqpack_random)
{
	static char queue[RUNQ_SIZE + 1], packed[RUNQ_SIZE + 1], left[RUNQ_SIZE + 1];
	static const char kinds[] = "abAB12";
	init();
	for (int round = 0; round < (RUNQ_SIZE > 4 ? 300 : 3000); round++) {
		uint32_t n = test_rand() % (RUNQ_SIZE + 1), before = test_rand() % (n + 1), np = 0, nl = 0;
		uint32_t max = test_rand() % 2 ? ALL : test_rand() % (n + 1);
		for (uint32_t i = 0; i < n; i++) {
			char c = queue[i] = kinds[test_rand() % 6];
			if (i < before && np < max && isportable(c))
				packed[np++] = c;
			else
				left[nl++] = c;
		}
		queue[n] = packed[np] = left[nl] = '\0';
		nasked = 0;
		packs(queue, before, max, packed, left);
		for (G *gp = gnext(0); gp; gp = gnext(gp->slot + 1)) { /* the table is not for all rounds */
			store_relaxed(&gp->status, Gdead);
			gfput(&p0, gp);
		}
	}
	sim_term();
}

/* Turns ---------------------------------------------------------------------- */

/* One that was put behind the ring is there after it; next: who is next now, or 0. */
static void turn(char next)
{
	runqturn(&p0);
	CHECK(runq_isvalid(&p0));
	CHECK_EQ(p0.runq.next ? p0.runq.next->site : 0, next);
}

TEST(runqturn_only_where_somebody_waits)
{
	init();
	turn(0);
	turn(0);
	runqput(&p0, fresh('A'), true);
	turn('A');
	turn('A'); /* alone */
	runqput(&p0, fresh('B'), false);
	turn('A'); /* B came after the last look */
	turn(0);
	CHECK_STR(names(runqget), "BA");
	sim_term();
}

/* The first look cannot know how long anybody has waited. */
TEST(runqturn_first_look)
{
	init();
	runqput(&p0, fresh('B'), false);
	runqput(&p0, fresh('A'), true);
	turn('A');
	turn(0);
	CHECK_STR(names(runqget), "BA");
	sim_term();
}

TEST(runqturn_not_where_the_ring_moves)
{
	init();
	runqturn(&p0);
	for (const char *name = "BCD"; *name; name++)
		runqput(&p0, fresh(*name), false);
	for (int i = 0; i < 3; i++) {
		runqput(&p0, fresh('A'), true);
		turn('A');
		CHECK(runqget(&p0)->site == 'A');
		CHECK(runqget(&p0)->site == (uint32_t)"BCD"[i]);
	}
	/* Emptied and filled again in between: nobody of these has waited. */
	runqput(&p0, fresh('B'), false);
	turn(0);
	CHECK_STR(names(runqget), "B");
	turn(0);
	runqput(&p0, fresh('C'), false);
	runqput(&p0, fresh('A'), true);
	turn('A');
	turn(0);
	CHECK_STR(names(runqget), "CA");
	sim_term();
}

TEST(runqturn_behind_a_full_ring)
{
	init();
	runqturn(&p0);
	for (uint32_t i = 0; i < RUNQ_SIZE; i++)
		runqput(&p0, fresh('B'), false);
	runqput(&p0, fresh('A'), true);
	turn('A');
	turn(0);
	CHECK_EQ(p0.runq.nover, 1);
	for (uint32_t i = 0; i < RUNQ_SIZE; i++)
		CHECK(runqget(&p0)->site == 'B');
	CHECK(runqget(&p0)->site == 'A');
	sim_term();
}

/* Two that ready each other for ever, each next: who waits in the ring runs all the same. */
static bool ran;

static enum gout third(G *gp, void *ud)
{
	(void)gp;
	(void)ud;
	ran = true;
	return GOUT_EXIT;
}

static enum gout selfish(G *gp, void *ud)
{
	G **peer = ud;
	int64_t end = nanotime() + 20 * (int64_t)1000000000;
	while (!ran && nanotime() < end) {
		if (*peer && readgstatus(*peer) == Gwaiting)
			goready(*peer, 0);
		sim_park(gp, WR_IO, 0); /* alive */
	}
	if (*peer && readgstatus(*peer) == Gwaiting)
		goready(*peer, 0);
	return GOUT_EXIT;
}

TEST(runqturn_lets_others_run)
{
	G *a = NULL, *b = NULL;
	sim_init((struct schedops){0});
	sim_go(third, NULL);
	b = sim_go(selfish, &a);
	a = sim_go(selfish, &b);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK(ran);
	CHECK_EQ(gcount(), 0);
	sim_term();
}
