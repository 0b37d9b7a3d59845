/* SPDX-License-Identifier: MIT */
/* Select over shared channels, by one thread. */
#include "park/chan.h"
#include "sim.h"
#include "test.h"

enum { MAX = 40 };

static struct hchan *chans[MAX];
static struct selcase cases[MAX];
static G *gp; /* who selects */
static int32_t n;

static void init(void)
{
	sim_init((struct schedops){0});
	for (int i = 0; i < MAX; i++)
		CHECK((chans[i] = chan_new(1)) != NULL);
	gp = sim_waiter(&p0);
}

static void term(void)
{
	for (int i = 0; i < MAX; i++) {
		CHECK_EQ(chans[i]->o.refs, 1);
		obj_unref(&chans[i]->o);
	}
	sim_term();
}

static void begin(void)
{
	n = 0;
}

/* One more case: it sends v, or receives. */
static void add(struct hchan *c, bool sends, double v)
{
	int32_t s = sim_sudog(&p0, gp);
	sudogs.own[s] = n > 0 ? cases[0].s : s;
	sudogs.index[s] = n + 1;
	if (sends)
		sudogs.val[s] = (struct val){.tag = VAL_NUM, .u.n = v};
	cases[n++] = (struct selcase){c, s, sends};
}

static int32_t go(void)
{
	return chan_select(cases, n, test_rand() | 1);
}

/* As the waiter does when it runs again: every sudog out of every line. */
static void end(void)
{
	for (int32_t i = 0; i < n; i++) {
		chan_leave(cases[i].c, cases[i].sends, cases[i].s);
		sim_freesudog(&p0, cases[i].s);
	}
}

static void put(struct hchan *c, double x)
{
	struct val v = {.tag = VAL_NUM, .u.n = x};
	CHECK_EQ(chan_send(c, &v, 0), CHAN_DONE);
}

static double get(struct hchan *c)
{
	struct val v = {.tag = VAL_NIL};
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_DONE);
	CHECK_EQ(v.tag, VAL_NUM);
	return v.u.n;
}

TEST(select_does_what_is_ready)
{
	init();
	put(chans[2], 5);
	begin();
	for (int i = 0; i < 4; i++)
		add(chans[i], false, 0);
	CHECK_EQ(go(), 3);
	CHECK(sudogs.val[cases[2].s].u.n == 5);
	for (int i = 0; i < 4; i++) /* nobody waits */
		CHECK(chans[i]->rq == 0 && chans[i]->sq == 0);
	end();

	put(chans[0], 1); /* full */
	begin();
	add(chans[0], true, 8);
	add(chans[1], true, 9);
	CHECK_EQ(go(), 2);
	CHECK_EQ(sudogs.val[cases[1].s].tag, VAL_NIL); /* given away */
	CHECK_EQ(sudogs.val[cases[0].s].tag, VAL_NUM);
	CHECK(get(chans[1]) == 9 && get(chans[0]) == 1);
	end();
	term();
}

/* A closed one is ready, and says so. */
TEST(select_closed)
{
	init();
	CHECK(chan_close(chans[1]));
	begin();
	add(chans[0], false, 0);
	add(chans[1], false, 0);
	CHECK_EQ(go(), -2);
	end();
	begin();
	add(chans[1], true, 7);
	CHECK_EQ(go(), -1);
	CHECK(sudogs.val[cases[0].s].u.n == 7); /* still the caller's */
	end();
	term();
}

/* All that are ready are chosen about as often. */
TEST(select_is_fair)
{
	enum { N = 5, ROUNDS = 10000 };
	int chosen[N] = {0};
	init();
	for (int i = 0; i < N; i++)
		put(chans[i], i);
	for (int r = 0; r < ROUNDS; r++) {
		begin();
		add(chans[N], false, 0); /* never ready */
		for (int i = 0; i < N; i++)
			add(chans[i], false, 0);
		int32_t k = go() - 2;
		CHECK(k >= 0 && k < N);
		chosen[k]++;
		put(chans[k], k);
		end();
	}
	for (int i = 0; i < N; i++)
		CHECK(chosen[i] > ROUNDS / N * 8 / 10 && chosen[i] < ROUNDS / N * 12 / 10);
	term();
}

/* None is ready: it waits in all lines, and whoever comes first decides it. */
TEST(select_waits_in_all_lines)
{
	init();
	put(chans[2], 1);
	for (int who = 0; who < 3; who++) {
		begin();
		add(chans[0], false, 0);
		add(chans[1], false, 0);
		add(chans[2], true, 30);
		CHECK_EQ(go(), 0);
		CHECK_EQ(chans[0]->rq, cases[0].s);
		CHECK_EQ(chans[1]->rq, cases[1].s);
		CHECK_EQ(chans[2]->sq, cases[2].s);
		if (who < 2)
			put(chans[who], who);
		else
			CHECK(get(chans[2]) == 1);
		CHECK(runqget(&p0) == gp);
		sim_waitagain(gp);
		CHECK_EQ(gp->wake, who + 1);
		CHECK_EQ(sudogs.done[cases[0].s], DONE_VAL);
		if (who < 2)
			CHECK(sudogs.val[cases[who].s].u.n == who);
		else
			CHECK(get(chans[2]) == 30);
		/* The others pass it over. */
		for (int i = 0; i < 2; i++)
			if (i != who) {
				put(chans[i], 99);
				CHECK_EQ(chan_len(chans[i]), 1);
				CHECK(get(chans[i]) == 99);
			}
		CHECK_EQ(runqlen(&p0), 0);
		end();
		for (int i = 0; i < 3; i++)
			CHECK(chans[i]->rq == 0 && chans[i]->sq == 0);
	}
	term();
}

TEST(select_woken_by_close)
{
	init();
	put(chans[1], 1);
	begin();
	add(chans[0], false, 0);
	add(chans[1], true, 2);
	CHECK_EQ(go(), 0);
	CHECK(chan_close(chans[1]));
	CHECK(runqget(&p0) == gp);
	CHECK_EQ(gp->wake, -2);
	CHECK(sudogs.val[cases[1].s].u.n == 2);
	CHECK(chan_close(chans[0]));
	CHECK_EQ(runqlen(&p0), 0);
	end();
	term();
}

/* One channel several times, in both directions: it is locked once, and does not meet itself. */
TEST(select_same_channel)
{
	struct hchan *c = chan_new(0);
	init();
	begin();
	for (int i = 0; i < 6; i++)
		add(c, i % 2, i);
	CHECK_EQ(go(), 0);
	struct val v;
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_DONE);
	CHECK(v.u.n == 1); /* the first that sends */
	CHECK(runqget(&p0) == gp && gp->wake == 2);
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_BLOCK);
	v = (struct val){.tag = VAL_NUM};
	CHECK_EQ(chan_send(c, &v, 0), CHAN_BLOCK);
	end();
	CHECK(c->rq == 0 && c->sq == 0);
	obj_unref(&c->o);
	term();
}

/* Two selects meet. */
TEST(select_meets_select)
{
	init();
	struct hchan *a = chan_new(0), *b = chan_new(0);
	begin();
	add(a, false, 0);
	add(b, true, 5);
	CHECK_EQ(go(), 0);
	struct selcase first[2] = {cases[0], cases[1]};
	G *waits = gp;
	gp = sim_waiter(&p0);
	begin();
	add(a, false, 0);
	add(b, false, 0);
	CHECK_EQ(go(), 2);
	CHECK(sudogs.val[cases[1].s].u.n == 5);
	CHECK(runqget(&p0) == waits && waits->wake == 2);
	chan_leave(a, false, first[0].s);
	chan_leave(b, true, first[1].s);
	CHECK(a->rq == 0 && b->sq == 0 && a->sq == 0 && b->rq == 0);
	obj_unref(&a->o);
	obj_unref(&b->o);
	term();
}

/* However many, in whatever order: all locks are taken, by address. */
TEST(select_many_channels)
{
	init();
	for (int k = 1; k <= MAX; k++) {
		begin();
		for (int i = 0; i < k; i++)
			add(chans[test_rand() % MAX], false, 0);
		CHECK_EQ(go(), 0);
		int32_t who = (int32_t)(test_rand() % (uint32_t)k);
		put(cases[who].c, k);
		CHECK(runqget(&p0) == gp);
		sim_waitagain(gp);
		CHECK(cases[gp->wake - 1].c == cases[who].c);
		CHECK(sudogs.val[cases[gp->wake - 1].s].u.n == k);
		end();
	}
	for (int i = 0; i < MAX; i++)
		CHECK(chans[i]->rq == 0 && chan_len(chans[i]) == 0);
	term();
}

/* Who looks ready, but has been decided elsewhere, is not chosen; another case is. */
TEST(select_passes_over_decided_peer)
{
	init();
	struct val v = {.tag = VAL_NIL};
	int32_t peer = sim_sudog(&p0, sim_waiter(&p0));
	struct hchan *a = chan_new(0);
	CHECK_EQ(chan_recv(a, &v, peer), CHAN_BLOCK);
	CHECK(sudogdecide(peer, DONE_YES));
	begin();
	add(a, true, 1);
	CHECK_EQ(go(), 0);
	end();
	begin();
	add(a, true, 1);
	add(chans[0], true, 2);
	CHECK_EQ(go(), 2);
	end();
	CHECK(get(chans[0]) == 2);
	obj_unref(&a->o);
	term();
}
