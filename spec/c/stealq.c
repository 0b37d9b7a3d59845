/* SPDX-License-Identifier: MIT */
/* The queues that all Ps may take from: each P's ring, and the global one. */
#include "sim.h"
#include "test.h"

static P *pp[3];
static M ms[3];

static void init(void)
{
	sim_init((struct schedops){0});
	pp[0] = &p0;
	pp[1] = sim_newp(&ms[1]);
	pp[2] = sim_newp(&ms[2]);
}

static G *packed(void)
{
	G *gp = gfget(&p0);
	CHECK(gp);
	gp->flags = GF_FRESH | GF_PACKED;
	return gp;
}

static uint32_t len(const P *p)
{
	return p->stealq.tail - p->stealq.head;
}

static void begin(P *p, uint32_t at)
{
	p->stealq.head = p->stealq.tail = at;
}

static void put(P *p, uint32_t n, G **gs)
{
	for (uint32_t i = 0; i < n; i++)
		stealqput(p, gs[i] = packed());
	CHECK_EQ(len(p), n);
}

static void check_get(P *p, const G *want)
{
	const G *got = stealqget(p);
	CHECK_EQ(got ? got->slot : 0, want ? want->slot : 0);
}

static G *globget(P *p)
{
	lock(&sched.lock);
	G *gp = globrunqget(p);
	unlock(&sched.lock);
	return gp;
}

static void globput(G *gp)
{
	lock(&sched.lock);
	globrunqput(gp);
	unlock(&sched.lock);
}

/* A ring ------------------------------------------------------------------------ */

TEST(stealq_fifo)
{
	init();
	G *gs[RUNQ_SIZE];
	static const uint32_t at[] = {0, RUNQ_SIZE - 1, UINT32_MAX - 1};
	for (int k = 0; k < 3; k++) {
		begin(&p0, at[k]);
		check_get(&p0, NULL);
		CHECK(stealq_isempty(&p0));
		put(&p0, RUNQ_SIZE, gs);
		CHECK(!stealq_isempty(&p0));
		for (uint32_t i = 0; i < RUNQ_SIZE; i++)
			check_get(&p0, gs[i]);
		check_get(&p0, NULL);
		CHECK(stealq_isempty(&p0));
	}
	CHECK_EQ(sched.runq.n, 0);
	sim_term();
}

TEST(stealq_overflows_to_global)
{
	init();
	G *gs[RUNQ_SIZE], *a = packed(), *b = packed();
	put(&p0, RUNQ_SIZE, gs);
	stealqput(&p0, a);
	stealqput(&p0, b);
	CHECK_EQ(len(&p0), RUNQ_SIZE);
	CHECK_EQ(sched.runq.n, 2);
	check_get(&p0, gs[0]);
	stealqput(&p0, packed());
	CHECK_EQ(sched.runq.n, 2);
	CHECK(globget(pp[1]) == a);
	sim_term();
}

/* A P that shall end keeps nothing that others could run. */
TEST(stealq_of_draining_p)
{
	init();
	p0.draining = true;
	G *gp = packed();
	stealqput(&p0, gp);
	CHECK(stealq_isempty(&p0));
	CHECK(globget(pp[1]) == gp);
	sim_term();
}

/* Stealing ------------------------------------------------------------------------ */

/* Half, the larger one, of the oldest: the first is the thief's to run, the others are in its
 * ring in their order. */
TEST(stealq_steals_half)
{
	G *gs[RUNQ_SIZE];
	init();
	for (uint32_t n = 0; n <= RUNQ_SIZE; n++) {
		uint32_t half = n - n / 2;
		begin(&p0, UINT32_MAX - n / 2);
		begin(pp[1], UINT32_MAX - n / 4);
		put(&p0, n, gs);
		G *first = stealqsteal(pp[1], &p0);
		CHECK(first == (n > 0 ? gs[0] : NULL));
		CHECK_EQ(len(&p0), n / 2);
		CHECK_EQ(len(pp[1]), n > 0 ? half - 1 : 0);
		for (uint32_t i = 1; i < half; i++)
			check_get(pp[1], gs[i]);
		for (uint32_t i = half; i < n; i++)
			check_get(&p0, gs[i]);
	}
	sim_term();
}

/* It takes no more than it has room for. */
TEST(stealq_steals_what_fits)
{
	G *theirs[RUNQ_SIZE], *mine[RUNQ_SIZE];
	init();
	for (uint32_t room = 0; room < RUNQ_SIZE; room++) {
		uint32_t n = room + 1 < RUNQ_SIZE / 2 ? room + 1 : RUNQ_SIZE / 2;
		begin(&p0, 0);
		begin(pp[1], 5);
		put(&p0, RUNQ_SIZE, theirs);
		put(pp[1], RUNQ_SIZE - room, mine);
		CHECK(stealqsteal(pp[1], &p0) == theirs[0]);
		CHECK_EQ(len(&p0), RUNQ_SIZE - n);
		CHECK_EQ(len(pp[1]), RUNQ_SIZE - room + n - 1);
		for (uint32_t i = 0; i < RUNQ_SIZE - room; i++)
			check_get(pp[1], mine[i]);
		for (uint32_t i = 1; i < n; i++)
			check_get(pp[1], theirs[i]);
		check_get(pp[1], NULL);
	}
	sim_term();
}

TEST(stealq_steals_one_after_the_other)
{
	G *gs[RUNQ_SIZE];
	init();
	put(&p0, RUNQ_SIZE, gs);
	for (uint32_t left = RUNQ_SIZE; left > 0; left /= 2) {
		CHECK(stealqsteal(pp[1], &p0) != NULL);
		while (stealqget(pp[1]))
			;
		CHECK_EQ(len(&p0), left / 2);
	}
	CHECK(stealqsteal(pp[1], &p0) == NULL);
	sim_term();
}

/* The global queue ------------------------------------------------------------------ */

/* One to run, and a fair share of the others: n by the number of Ps, but no more than half a
 * ring. */
TEST(globrunq_gives_a_share)
{
	enum { N = 4 * RUNQ_SIZE };
	static G *gs[N];
	init();
	for (uint32_t procs = 1; procs <= 8; procs++)
		for (uint32_t n = 0; n <= N; n += 1 + n / 7) {
			sched.gomaxprocs = procs;
			for (uint32_t i = 0; i < n; i++)
				globput(gs[i] = packed());
			CHECK_EQ(sched.runq.n, n);
			uint32_t share = n == 0 ? 0 : n / procs < n - 1 ? n / procs : n - 1;
			share = share < RUNQ_SIZE / 2 ? share : RUNQ_SIZE / 2;
			CHECK(globget(pp[1]) == (n > 0 ? gs[0] : NULL));
			CHECK_EQ(len(pp[1]), share);
			CHECK_EQ(sched.runq.n, n > 0 ? n - 1 - share : 0);
			for (uint32_t i = 1; i <= share; i++)
				check_get(pp[1], gs[i]);
			for (uint32_t i = 1 + share; i < n; i++) {
				begin(pp[2], 0);
				put(pp[2], RUNQ_SIZE / 2, (G *[RUNQ_SIZE]){0}); /* no room: one at a time */
				CHECK(globget(pp[2]) == gs[i]);
				CHECK_EQ(len(pp[2]), RUNQ_SIZE / 2);
			}
			CHECK(globget(pp[1]) == NULL);
		}
	sim_term();
}

TEST(globrunq_refills)
{
	init();
	for (int round = 0; round < 3; round++) {
		G *a = packed(), *b = packed();
		globput(a);
		CHECK(globget(&p0) == a);
		CHECK(globget(&p0) == NULL);
		sched.gomaxprocs = 4; /* a share of 2 among 4 is none */
		globput(b);
		globput(a);
		CHECK(globget(&p0) == b);
		CHECK(globget(&p0) == a);
		CHECK_EQ(a->schedlink, 0);
		CHECK_EQ(b->schedlink, 0);
	}
	CHECK(stealq_isempty(&p0));
	sim_term();
}

/* All at once ------------------------------------------------------------------------ */

/* Three threads take from all queues and put what they have taken into their own; each G makes
 * so many journeys, and is in one place at a time. */
enum { NTHREAD = 3, NG = 4 * RUNQ_SIZE + 1, HOPS = RUNQ_SIZE > 4 ? 200 : 2000 };

static atomic_u32 taken[NG + 1], left;

static G *takeany(P *mine, uint32_t random)
{
	P *victim = pp[random % NTHREAD];
	G *gp = random / 8 % 4 == 0 ? NULL : stealqget(mine);
	if (!gp && victim != mine)
		gp = stealqsteal(mine, victim);
	if (!gp && sched.runq.n > 0)
		gp = globget(mine);
	return gp;
}

static void hammer(int i)
{
	uint32_t rand = (uint32_t)i + 1;
	while (load_relaxed(&left) > 0) {
		rand = rand * 1664525 + 1013904223;
		G *gp = takeany(pp[i], rand >> 8);
		if (!gp)
			continue;
		CHECK(gp->slot <= NG);
		CHECK_EQ(fetch_add_relaxed(&taken[gp->slot], 1), 0);
		bool again = ++gp->nval < HOPS; /* a race if anybody else has it */
		CHECK_EQ(fetch_sub_relaxed(&taken[gp->slot], 1), 1);
		if (again)
			stealqput(pp[i], gp);
		else
			fetch_sub_relaxed(&left, 1);
	}
}

TEST(stealq_hammered)
{
	static G *gs[NG];
	init();
	sched.gomaxprocs = NTHREAD;
	for (int i = 0; i < NTHREAD; i++)
		begin(pp[i], UINT32_MAX - 1000);
	for (int i = 0; i < NG; i++)
		stealqput(pp[i % NTHREAD], gs[i] = packed());
	store_relaxed(&left, NG);
	test_threads(NTHREAD, hammer);
	for (int i = 0; i < NG; i++)
		CHECK_EQ(gs[i]->nval, HOPS);
	for (int i = 0; i < NTHREAD; i++)
		CHECK(stealq_isempty(pp[i]));
	CHECK_EQ(sched.runq.n, 0);
	sim_term();
}

/* One puts, the others take all: the owner's get and a steal meet at the last one. */
static void drain(int i)
{
	static G *again[NG];
	uint32_t n = NG;
	if (i == 0)
		for (int k = 0; k < NG; k++)
			again[k] = &sched.gs[k + 1];
	while (load_relaxed(&left) > 0) {
		G *gp = NULL;
		if (i == 0 && n > 0 && len(&p0) < 2)
			stealqput(&p0, again[--n]);
		gp = i == 0 ? stealqget(&p0) : stealqsteal(pp[i], &p0);
		for (; gp; gp = stealqget(pp[i])) {
			CHECK_EQ(fetch_add_relaxed(&taken[gp->slot], 1), 0);
			fetch_sub_relaxed(&left, 1);
		}
	}
}

TEST(stealq_last_one_is_taken_once)
{
	init();
	for (int i = 0; i < NG; i++)
		packed();
	for (int round = 0; round < (RUNQ_SIZE > 4 ? 20 : 1000); round++) {
		store_relaxed(&left, NG);
		for (int i = 0; i <= NG; i++)
			store_relaxed(&taken[i], 0);
		test_threads(NTHREAD, drain);
		for (int i = 1; i <= NG; i++)
			CHECK_EQ(taken[i], 1);
	}
	sim_term();
}
