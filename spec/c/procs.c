/* SPDX-License-Identifier: MIT */
/* Whole programs over several Ps: nothing is run twice, and nobody waits for ever. */
#include "base/os.h"
#include "base/randord.h"
#include "park/sync.h"
#include "park/timer.h"
#include "sim.h"
#include "test.h"

/* A test over one, two, four and eight Ps. */
#define OVERPROCS(name)                  \
	static void name(uint32_t nprocs); \
	TEST(name##_1)                   \
	{                                \
		name(1);                 \
	}                                \
	TEST(name##_2)                   \
	{                                \
		name(2);                 \
	}                                \
	TEST(name##_4)                   \
	{                                \
		name(4);                 \
	}                                \
	TEST(name##_8)                   \
	{                                \
		name(8);                 \
	}                                \
	static void name(uint32_t nprocs)

static struct hchan *newchan(uint32_t size)
{
	struct hchan *c = chan_new(size);
	CHECK(c);
	return c;
}

/* Each of n goroutines computes until all Ps have one of them. */
static atomic_u32 nstarted;

static void spread(G *gp, uint32_t n)
{
	uint32_t nprocs = load_relaxed(&sched.gomaxprocs);
	fetch_add_seqcst(&nstarted, 1);
	CHECK(sim_compute(gp, &nstarted, n < nprocs ? n : nprocs, false));
}

static void check_over(void)
{
	CHECK_EQ(gcount(), 0);
	/* Who goes idle is that first, and stops spinning after: the run may be over before. */
	for (int i = 0; i < 1000 && load_relaxed(&sched.nmspinning) > 0; i++)
		os_nanosleep(1000000);
	CHECK_EQ(sched.nmspinning, 0);
	CHECK_EQ(sched.runq.n, 0);
	CHECK_EQ(sched.nrunning, 0);
	for (uint32_t i = 0; i < sched.maxprocs && sched.allp[i]; i++) {
		P *pp = sched.allp[i];
		CHECK(!hasincoming(pp) && stealq_isempty(pp) && runqlen(pp) == 0);
		CHECK_EQ(pp->nhome, 0);
		CHECK_EQ(pp->nevent, 0);
	}
}

/* Trees ---------------------------------------------------------------------------- */

/* Each node starts three more, in three ways, and sums up what they say. */
enum { FAN = 3, DEPTH = 6, NODES = 1093 };

static struct node {
	atomic_u32 ran;
	struct hchan *to; /* where the sum goes */
	int n, depth;
} nodes[NODES + 1];

static enum gout node(G *gp, void *ud)
{
	static G *(*const start[])(simbody *, void *) = {sim_spawn, sim_goany, sim_go};
	struct node *me = ud;
	CHECK_EQ(fetch_add_relaxed(&me->ran, 1), 0);
	double sum = 1, n = 0;
	if (me->depth < DEPTH) {
		struct hchan *c = newchan(me->n % 2 ? 0 : FAN);
		for (int i = 0; i < FAN; i++) {
			struct node *child = &nodes[FAN * me->n + i + 1];
			child->to = c;
			child->n = FAN * me->n + i + 1;
			child->depth = me->depth + 1;
			start[(me->n + i) % 3](node, child);
			if (me->n % 5 == 0)
				sim_gosched(gp);
		}
		for (int i = 0; i < FAN; i++, sum += n)
			CHECK(sim_recv(gp, c, &n));
		obj_unref(&c->o);
	} else if (me->n % 7 == 0) {
		sim_sleep(gp, me->n % 3 * 100000);
	}
	if (me->to)
		CHECK(sim_send(gp, me->to, sum));
	else
		CHECK(sum == NODES);
	return GOUT_EXIT;
}

OVERPROCS(procs_tree)
{
	sim_initprocs(nprocs);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < NODES; i++)
			nodes[i] = (struct node){.n = 0};
		CHECK(sim_run(node, &nodes[0]) == NULL);
		for (int i = 0; i < NODES; i++)
			CHECK_EQ(nodes[i].ran, 1);
		check_over();
	}
	sim_term();
}

/* Nobody waits for anybody: all the work is in the queues. */
enum { MANY = 5000 };

static atomic_u32 ran[MANY], nran;

static enum gout once(G *gp, void *ud)
{
	atomic_u32 *me = ud;
	CHECK_EQ(fetch_add_relaxed(me, 1), 0);
	CHECK(gp->p == getm()->p && getg() == gp);
	fetch_add_relaxed(&nran, 1);
	return GOUT_EXIT;
}

static enum gout spawnmany(G *gp, void *ud)
{
	(void)gp;
	(void)ud;
	for (int i = 0; i < MANY; i++)
		(i % 3 == 0 ? sim_go : i % 3 == 1 ? sim_goany : sim_spawn)(once, &ran[i]);
	return GOUT_EXIT;
}

OVERPROCS(procs_flat)
{
	sim_initprocs(nprocs);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < MANY; i++)
			store_relaxed(&ran[i], 0);
		CHECK(sim_run(spawnmany, NULL) == NULL);
		for (int i = 0; i < MANY; i++)
			CHECK_EQ(ran[i], 1);
		check_over();
	}
	sim_term();
}

/* Others start what one has brought, while it computes and never looks up. */
static enum gout computes(G *gp, void *ud)
{
	uint32_t n = *(uint32_t *)ud;
	for (uint32_t i = 1; i <= n; i++) {
		sim_spawn(once, &ran[i]);
		if (i % 4 == 0) /* sometimes the others have gone to sleep, and sometimes not */
			CHECK(sim_compute(gp, &nran, i, false));
		if (i % 64 == 0)
			os_nanosleep(100000);
	}
	CHECK(sim_compute(gp, &nran, n, false));
	return GOUT_EXIT;
}

static void othersrun(uint32_t nprocs)
{
	uint32_t n = 2000;
	sim_initprocs(nprocs);
	CHECK(sim_run(computes, &n) == NULL);
	CHECK_EQ(nran, n);
	check_over();
	sim_term();
}

TEST(procs_others_run_2)
{
	othersrun(2);
}

TEST(procs_others_run_8)
{
	othersrun(8);
}

/* The same for goroutines in the queue of one that computes: it is interrupted for them. */
static enum gout interrupted(G *gp, void *ud)
{
	(void)ud;
	for (int i = 0; i < 20; i++)
		sim_goany(once, &ran[i]);
	/* All but the one that is next, which is about to talk to us. */
	CHECK(sim_compute(gp, &nran, 19, true));
	return GOUT_EXIT;
}

TEST(procs_interrupted_to_share)
{
	sim_initprocs(2);
	CHECK(sim_run(interrupted, NULL) == NULL);
	CHECK_EQ(nran, 20);
	check_over();
	sim_term();
}

/* Talking ---------------------------------------------------------------------------- */

enum { PAIRS = 3, ROUNDS = 3000 };

static struct pair {
	struct hchan *ping, *pong;
	G *partner;
	P *at;
} pairs[PAIRS];

static enum gout partner(G *gp, void *ud)
{
	struct pair *p = ud;
	p->at = gp->p;
	fetch_add_seqcst(&nstarted, 1);
	double n;
	while (sim_recv(gp, p->ping, &n))
		CHECK(sim_send(gp, p->pong, n + 1));
	return GOUT_EXIT;
}

static enum gout pinger(G *gp, void *ud)
{
	struct pair *p = ud;
	double n = 0;
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(sim_send(gp, p->ping, n));
		CHECK(sim_recv(gp, p->pong, &n));
		CHECK(n == i + 1);
	}
	CHECK(chan_close(p->ping));
	return GOUT_EXIT;
}

static enum gout startpairs(G *gp, void *ud)
{
	bool apart = *(uint32_t *)ud > 1;
	for (int i = 0; i < PAIRS; i++) {
		pairs[i] = (struct pair){.ping = newchan((uint32_t)i), .pong = newchan(0)};
		pairs[i].partner = sim_spawn(partner, &pairs[i]);
	}
	/* They start elsewhere, since we do not let go. */
	CHECK(!apart || sim_compute(gp, &nstarted, PAIRS, false));
	for (int i = 0; i < PAIRS; i++) {
		CHECK(!apart || pairs[i].at != &p0);
		sim_go(pinger, &pairs[i]);
	}
	return GOUT_EXIT;
}

OVERPROCS(procs_pingpong)
{
	sim_initprocs(nprocs);
	CHECK(sim_run(startpairs, &nprocs) == NULL);
	check_over();
	for (int i = 0; i < PAIRS; i++) {
		obj_unref(&pairs[i].ping->o);
		obj_unref(&pairs[i].pong->o);
	}
	sim_term();
}

/* Many senders and receivers on few channels: each value arrives once. */
enum { SENDERS = 6, EACH = 500 };

static struct hchan *chans[3];
static struct hwaitgroup *sending;
static atomic_u32 got[SENDERS * EACH];

static enum gout sender(G *gp, void *ud)
{
	int me = (int)(intptr_t)ud;
	spread(gp, 2 * SENDERS);
	for (int i = 0; i < EACH; i++) {
		CHECK(sim_send(gp, chans[i % 3], me * EACH + i));
		if (i % 50 == 0)
			sim_gosched(gp);
	}
	CHECK(waitgroup_add(sending, -1));
	return GOUT_EXIT;
}

static enum gout receiver(G *gp, void *ud)
{
	struct hchan *c = ud;
	double n;
	spread(gp, 2 * SENDERS);
	while (sim_recv(gp, c, &n))
		CHECK_EQ(fetch_add_relaxed(&got[(int)n], 1), 0);
	return GOUT_EXIT;
}

static enum gout manytoone(G *gp, void *ud)
{
	(void)ud;
	CHECK(waitgroup_add(sending, SENDERS));
	for (int i = 0; i < SENDERS; i++) {
		sim_spawn(sender, (void *)(intptr_t)i);
		sim_spawn(receiver, chans[i % 3]);
	}
	int32_t s = sim_sudog(gp->p, gp);
	if (waitgroup_wait(sending, s)) {
		gp->sel = (uint32_t)s;
		CHECK_EQ(sim_park(gp, WR_WAITGROUP, 0), 1);
	}
	sim_freesudog(gp->p, s);
	for (int i = 0; i < 3; i++)
		CHECK(chan_close(chans[i]));
	return GOUT_EXIT;
}

OVERPROCS(procs_conserve)
{
	sim_initprocs(nprocs);
	sending = waitgroup_new();
	for (uint32_t i = 0; i < 3; i++)
		chans[i] = newchan(3 * i);
	CHECK(sim_run(manytoone, NULL) == NULL);
	for (int i = 0; i < SENDERS * EACH; i++)
		CHECK_EQ(got[i], 1);
	check_over();
	for (int i = 0; i < 3; i++)
		obj_unref(&chans[i]->o);
	obj_unref(&sending->o);
	sim_term();
}

/* A mutex that goes from P to P; some wait for it only so long. */
static struct hmutex *mutex;
static int counter;

/* ns: 0 for ever.  False when it gave up. */
static bool lockfor(G *gp, int64_t ns)
{
	int64_t since = nanotime();
	int32_t s = sim_sudog(gp->p, gp), wake = 1;
	bool ours = mutex_lock(mutex, s, false);
	while (!ours && wake) {
		gp->sel = (uint32_t)s;
		wake = sim_park(gp, WR_MUTEX, ns ? since + ns : 0);
		bool starving = nanotime() - since > 1000000;
		if (wake == MUTEX_YOURS)
			mutex_inherit(mutex, starving);
		ours = wake && (wake == MUTEX_YOURS || mutex_lock(mutex, s, starving));
	}
	if (!ours)
		mutex_leave(mutex, s);
	sim_freesudog(gp->p, s);
	return ours;
}

static enum gout locker(G *gp, void *ud)
{
	(void)ud;
	spread(gp, SENDERS);
	for (int i = 0; i < EACH; i++) {
		while (!lockfor(gp, i % 4 == 0 ? 20000 : 0))
			;
		int n = counter;
		if (i % 16 == 0)
			sim_gosched(gp);
		counter = n + 1;
		CHECK(mutex_unlock(mutex));
	}
	return GOUT_EXIT;
}

OVERPROCS(procs_mutex)
{
	sim_initprocs(nprocs);
	mutex = mutex_new();
	for (int i = 0; i < SENDERS; i++)
		sim_spawn(locker, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(counter, SENDERS * EACH);
	check_over();
	obj_unref(&mutex->o);
	sim_term();
}

/* Time ------------------------------------------------------------------------------- */

/* A value comes, or its time does, on whatever P: one of them wins, and who tried to send knows
 * whether it arrived. */
static atomic_u32 nsent, nreceived, ntimeouts;

static enum gout impatient(G *gp, void *ud)
{
	struct hchan *c = ud;
	double n, last = 0;
	uint32_t rand = 12345;
	for (;;) {
		int is = sim_recvuntil(gp, c, &n, timer_when(nanotime(), randnext(&rand) % 100000));
		if (is == 0)
			break;
		CHECK(is < 0 || n > last);
		CHECK(is >= 0 || (gp->flags & GF_TIMEOUT));
		last = is < 0 ? last : n;
		fetch_add_relaxed(is < 0 ? &ntimeouts : &nreceived, 1);
	}
	return GOUT_EXIT;
}

static enum gout trying(G *gp, void *ud)
{
	struct hchan *c = ud;
	uint32_t rand = 1;
	for (int i = 1; i < 1000 || load_relaxed(&nsent) < 20 || load_relaxed(&ntimeouts) < 20; i++) {
		struct val v = {.tag = VAL_NUM, .u.n = i};
		if (chan_send(c, &v, 0) == CHAN_DONE)
			fetch_add_relaxed(&nsent, 1);
		int64_t ns = randnext(&rand) % 100000, end = nanotime() + ns;
		if (i % 2)
			sim_sleep(gp, ns);
		while (nanotime() < end)
			sim_gosched(gp);
	}
	CHECK(chan_close(c));
	return GOUT_EXIT;
}

OVERPROCS(procs_timeouts)
{
	sim_initprocs(nprocs);
	struct hchan *c = newchan(0);
	sim_spawn(impatient, c);
	CHECK(sim_run(trying, c) == NULL);
	CHECK_EQ(nreceived, nsent);
	check_over();
	obj_unref(&c->o);
	sim_term();
}

/* Sleepers, and receivers that stop waiting, on all Ps; the program ends after the last of them, and not before. */
static int64_t epoch;
static atomic_u32 nslept;

static enum gout sleeps(G *gp, void *ud)
{
	int64_t ns = (int64_t)(intptr_t)ud;
	struct hchan *c = newchan(1);
	double seconds = 0;
	int64_t when = timer_when(nanotime(), ns);
	sim_sleep(gp, ns);
	CHECK(nanotime() >= when);
	when = timer_when(nanotime(), ns);
	CHECK_EQ(sim_recvuntil(gp, c, &seconds, when), -1);
	CHECK(nanotime() >= when);
	obj_unref(&c->o);
	fetch_add_relaxed(&nslept, 1);
	return GOUT_EXIT;
}

OVERPROCS(procs_sleepers)
{
	enum { N = 40 };
	sim_initprocs(nprocs);
	epoch = nanotime();
	for (int i = 0; i < N; i++)
		sim_spawn(sleeps, (void *)(intptr_t)(i * 500000));
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(nslept, N);
	CHECK(nanotime() - epoch >= 2 * (N - 1) * 500000);
	check_over();
	sim_term();
}

/* Goroutines that have not begun go to idle Ps before those that compute are pre-empted in
 * their favour, for then they have a home; also when others of the kind have just gone by. */
static atomic_u32 nelsewhere;

static enum gout computesat(G *gp, void *ud)
{
	int64_t end = nanotime() + 15000000; /* more than a time slice */
	(void)ud;
	fetch_add_relaxed(&nelsewhere, gp->p != &p0);
	while (nanotime() < end)
		sim_poll(gp);
	fetch_add_seqcst(&nstarted, 1);
	return GOUT_EXIT;
}

static enum gout batches(G *gp, void *ud)
{
	(void)ud;
	for (int i = 0; i < 4; i++) {
		store_relaxed(&nstarted, 0);
		store_relaxed(&nelsewhere, 0);
		for (int k = 0; k < 8; k++)
			sim_goany(computesat, NULL);
		while (load_relaxed(&nstarted) < 8)
			sim_sleep(gp, 1000000);
		CHECK(nelsewhere >= 2);
	}
	return GOUT_EXIT;
}

TEST(procs_fresh_ones_move_before_their_turn)
{
	sim_initprocs(2);
	CHECK(sim_run(batches, NULL) == NULL);
	check_over();
	sim_term();
}

/* Each of some goroutines, wherever these are, starts one on the P of each other. */
enum { ASKERS = 6 };

static P *homes[ASKERS];
static atomic_u32 nasked;

static enum gout there(G *gp, void *ud)
{
	CHECK(gp->p == homes[(intptr_t)ud] && getm()->p == gp->p);
	fetch_add_seqcst(&nasked, 1);
	return GOUT_EXIT;
}

static enum gout asks(G *gp, void *ud)
{
	int me = (int)(intptr_t)ud;
	homes[me] = gp->p;
	fetch_add_seqcst(&nstarted, 1);
	while (load_acquire(&nstarted) < ASKERS)
		sim_sleep(gp, 100000);
	for (intptr_t i = 0; i < ASKERS; i++) {
		sim_at(homes[i], there, (void *)i);
		if (i % 2 == me % 2)
			sim_gosched(gp);
	}
	while (load_relaxed(&nasked) < ASKERS * ASKERS) /* so that its P does not end */
		sim_sleep(gp, 100000);
	return GOUT_EXIT;
}

OVERPROCS(procs_start_at_home)
{
	sim_initprocs(nprocs);
	for (int round = 0; round < 20; round++) {
		store_relaxed(&nstarted, 0);
		store_relaxed(&nasked, 0);
		for (intptr_t i = 0; i < ASKERS; i++)
			sim_spawn(asks, (void *)i);
		CHECK(mstart(&m0, &p0) == NULL);
		CHECK_EQ(nasked, ASKERS * ASKERS);
		check_over();
	}
	sim_term();
}
