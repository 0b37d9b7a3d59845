/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/os.h"
#include "sim.h"
#include "test.h"

static int started; /* its address is a coroutine to gfput */

static G *get(void)
{
	G *gp = gfget(&p0);
	CHECK(gp != NULL);
	CHECK_EQ(readgstatus(gp), Gdead);
	CHECK(gp == &sched.gs[gp->slot]);
	return gp;
}

TEST(g_slots_count_from_one)
{
	sim_init((struct schedops){0});
	for (uint32_t i = 1; i <= 1000; i++) {
		G *gp = get();
		CHECK_EQ(gp->slot, i);
		CHECK(gp->L == NULL && gp->id == 0);
	}
	CHECK_EQ(p0.gtop, 1001);
	sim_term();
}

TEST(g_reuse_lifo)
{
	sim_init((struct schedops){0});
	G *a = get(), *b = get();
	gfput(&p0, a);
	gfput(&p0, b);
	CHECK(get() == b);
	CHECK(get() == a);
	CHECK_EQ(a->schedlink, 0);
	CHECK_EQ(b->schedlink, 0);
	CHECK_EQ(get()->slot, 3);
	sim_term();
}

TEST(g_those_with_coroutine_first)
{
	sim_init((struct schedops){0});
	G *with = get(), *without = get();
	with->L = &started;
	CHECK(gfgetstarted(&p0) == NULL);
	gfput(&p0, with);
	gfput(&p0, without);
	CHECK(p0.gfree == with->slot);
	CHECK(get() == with);
	CHECK_EQ(p0.gfree, 0);
	CHECK(gfgetstarted(&p0) == NULL);
	CHECK(get() == without);
	gfput(&p0, without);
	gfput(&p0, with);
	CHECK(gfgetstarted(&p0) == with);
	CHECK_EQ(p0.gfree, 0);
	/* A donor that gave its coroutine away serves as an empty one. */
	with->L = NULL;
	gfput(&p0, with);
	CHECK(gfgetstarted(&p0) == NULL);
	CHECK(get() == with);
	CHECK(get() == without);
	sim_term();
}

TEST(g_table_full)
{
	sim_init((struct schedops){0});
	p0.gend = p0.gtop + 3;
	G *a = get(), *b = get(), *c = get();
	CHECK(gfget(&p0) == NULL);
	CHECK(gfget(&p0) == NULL);
	gfput(&p0, b);
	CHECK(get() == b);
	CHECK(gfget(&p0) == NULL);
	CHECK_EQ(p0.gtop, p0.gend);
	CHECK(a != b && b != c && a != c);
	sim_term();
}

TEST(g_table_shrinks_where_addresses_are_few)
{
	os_failnth(1, ENOMEM);
	sim_init((struct schedops){0});
	CHECK_EQ(sched.gsperp, (1 << 29) / sched.maxprocs);
	CHECK_EQ(p0.gend - p0.gbase, sched.gsperp);
	sim_term();
}

/* Each P makes Gs in a range of its own, and tells its own from others'. */
TEST(g_ranges_of_ps)
{
	M m[2];
	sim_init((struct schedops){0});
	P *p1 = sim_newp(&m[0]), *p2 = sim_newp(&m[1]);
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_EQ(gfget(p1)->slot, sched.gsperp + i);
		CHECK_EQ(gfget(p2)->slot, 2 * sched.gsperp + i);
		CHECK_EQ(get()->slot, i + 1);
	}
	CHECK_EQ(gindex(&p0, 1), 1);
	CHECK_EQ(gindex(p1, sched.gsperp), 0);
	CHECK_EQ(gindex(p2, 2 * sched.gsperp + 99), 99);
	/* Others' are far from its own, and from each other's. */
	CHECK_EQ(gindex(&p0, sched.gsperp), sched.gsperp + (1u << 30));
	CHECK_EQ(gindex(p1, 1), 1 + (1u << 30));
	p1->gend = p1->gtop + 1;
	CHECK(gfget(p1) != NULL);
	CHECK(gfget(p1) == NULL); /* full, whatever room the others have */
	CHECK(gfget(p2) != NULL);
	sim_term();
}

/* A slot is used by the Gs of its P: one that died elsewhere comes back. */
TEST(g_slots_come_back)
{
	M m[2];
	G *gs[10];
	sim_init((struct schedops){0});
	P *p1 = sim_newp(&m[0]), *p2 = sim_newp(&m[1]);
	for (int i = 0; i < 10; i++)
		gs[i] = get();
	G *theirs = gfget(p1);
	gfput(p1, theirs);
	for (int i = 0; i < 10; i++)
		gfput(i % 2 ? p1 : p2, gs[i]);
	CHECK(gfget(p1) == theirs); /* nobody else's */
	CHECK_EQ(gfget(p1)->slot, p1->gbase + 1);
	CHECK_EQ(gfget(p2)->slot, p2->gbase);
	for (int i = 10; i-- > 0;)
		CHECK(get() == gs[i]);
	CHECK_EQ(get()->slot, 11);
	sim_term();
}

/* Those of its own go first, and one that has a coroutine stays where that is. */
TEST(g_slots_of_the_dead)
{
	M m;
	sim_init((struct schedops){0});
	P *p1 = sim_newp(&m);
	G *a = get(), *b = get(), *c = get();
	gfput(p1, a);
	gfput(&p0, b);
	CHECK(get() == b);
	CHECK(get() == a);
	c->L = &started;
	gfput(&p0, c);
	CHECK(gfgetempty(&p0) != c);
	CHECK(get() == c);
	sim_term();
}

/* Several Ps use one another's Gs at the same time: each is somebody's once, and no new ones are
 * needed. */
enum { NTHREAD = 3, PERTHREAD = 300, ROUNDS = 100000 };

static P *procs[NTHREAD];
static M ms[NTHREAD];
static atomic_u32 owned[NTHREAD][PERTHREAD], gone;
static atomic_ptr(G) given[NTHREAD]; /* to thread i by the one before it */

static void takeandgive(int i)
{
	G *held[PERTHREAD];
	int n = 0;
	uint32_t rand = (uint32_t)i + 1;
	setm(&ms[i]);
	for (int round = 0; round < ROUNDS || load_relaxed(&gone) < ROUNDS / 100; round++) {
		if (round % 1000 == 0)
			sched_yield();
		rand = rand * 1664525 + 1013904223;
		G *gp = (rand >> 16) % 3 ? gfget(procs[i]) : NULL;
		if (gp) {
			CHECK(gisown(procs[i], gp->slot));
			CHECK_EQ(fetch_add_relaxed(&owned[i][gindex(procs[i], gp->slot)], 1), 0);
			gp->nval = (uint32_t)round; /* a race if anybody else has it */
			/* It runs, and dies, on the next P; or else here. */
			G *none = NULL;
			if (n < PERTHREAD && !cas_acqrel(&given[(i + 1) % NTHREAD], &none, gp))
				held[n++] = gp;
		}
		if (!gp && n > 0 && (rand >> 20) % 2) {
			gp = held[--n];
			CHECK_EQ(fetch_sub_relaxed(&owned[i][gindex(procs[i], gp->slot)], 1), 1);
			gfput(procs[i], gp);
		}
		gp = exchange_acqrel(&given[i], NULL);
		if (gp) {
			int from = (i + NTHREAD - 1) % NTHREAD;
			CHECK(gisown(procs[from], gp->slot));
			CHECK_EQ(fetch_sub_relaxed(&owned[from][gindex(procs[from], gp->slot)], 1), 1);
			gp->nval = 0;
			gfput(procs[i], gp);
			fetch_add_relaxed(&gone, 1);
		}
	}
	for (int k = 0; k < n; k++)
		gfput(procs[i], held[k]);
	setm(NULL);
}

TEST(g_slots_come_back_by_threads)
{
	sim_init((struct schedops){0});
	for (int i = 0; i < NTHREAD; i++) {
		procs[i] = sim_newp(&ms[i]);
		procs[i]->gend = procs[i]->gtop + PERTHREAD;
	}
	test_threads(NTHREAD, takeandgive);
	uint32_t left = 0;
	for (int i = 0; i < NTHREAD; i++) {
		left += given[i] != NULL;
		for (G *gp; (gp = gfget(procs[i])) != NULL;)
			left++;
	}
	CHECK_EQ(left, NTHREAD * PERTHREAD);
	sim_term();
}

/* gcount and gnext look at all Ps. */
TEST(g_count_and_next_over_ps)
{
	M m;
	sim_init((struct schedops){0});
	P *p1 = sim_newp(&m);
	CHECK_EQ(gcount(), 0);
	CHECK(gnext(0) == NULL);
	G *a = get(), *b = get(), *c = gfget(p1), *d = gfget(p1), *e = gfget(p1);
	newproc(&p0, b, 0);
	newproc(p1, d, 0);
	newproc(p1, e, 0);
	CHECK_EQ(gcount(), 3);
	CHECK(gnext(0) == b && gnext(b->slot) == b);
	CHECK(gnext(b->slot + 1) == d && gnext(c->slot) == d);
	CHECK(gnext(d->slot + 1) == e);
	CHECK(gnext(e->slot + 1) == NULL);
	CHECK(gnext(3 * sched.gsperp) == NULL && gnext(UINT32_MAX) == NULL);
	CHECK_EQ(a->id, 0);
	/* One that was born here and died there. */
	p0.nlive--;
	CHECK_EQ(gcount(), 2);
	p0.nlive -= 2;
	p1->nlive += 2;
	CHECK_EQ(gcount(), 2);
	sim_term();
}

/* Ids come in batches, so they are unique over all Ps, and in order on each. */
TEST(g_ids_over_ps)
{
	M m;
	static bool seen[1000];
	sim_init((struct schedops){0});
	P *p1 = sim_newp(&m);
	uint64_t last[2] = {0};
	for (int i = 0; i < 200; i++) {
		P *pp = test_rand() % 3 == 0 ? p1 : &p0;
		G *gp = gfget(pp);
		newproc(pp, gp, 7);
		CHECK_EQ(gp->site, 7);
		CHECK(gp->id > last[pp->id]);
		last[pp->id] = gp->id;
		CHECK(gp->id < 1000 && !seen[gp->id]);
		seen[gp->id] = true;
	}
	CHECK(sched.goidgen < 240); /* no more than one batch each is left over */
	sim_term();
}

static void initnarrow(void)
{
	test_narrow(1 << 20);
	sim_init((struct schedops){0});
}

TEST_NARROW(g_table_without_addresses)
{
	CHECK_THROWS(initnarrow, "no address space for the table of goroutines");
}

TEST(g_texts)
{
	static const char *const text[] = {"idle",    "runnable", "running",  "syscall",
					   "waiting", "dead",     "preempted"};
	G g = {0};
	for (int i = Gidle; i <= Gpreempted; i++) {
		store_relaxed(&g.status, (uint8_t)i);
		CHECK_STR(gstatustext(&g), text[i]);
	}
	for (int i = 0; i < WR_COUNT; i++)
		CHECK(waitreasontext[i] && (strlen(waitreasontext[i]) > 0) == (i != WR_NONE));
	CHECK_STR(waitreasontext[WR_CHANRECV], "chan receive");
}

static void badstatus(void)
{
	G g = {0};
	casgstatus(&g, Grunnable, Grunning);
}

TEST(g_status_has_one_path)
{
	G g = {0};
	casgstatus(&g, Gidle, Grunnable);
	CHECK_EQ(readgstatus(&g), Grunnable);
	CHECK_THROWS(badstatus, "bad g status");
}
