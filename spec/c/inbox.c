/* SPDX-License-Identifier: MIT */
/* What other Ps send to a P: Gs that they readied, and mail. */
#include <sched.h>
#include <stdlib.h>

#include "sim.h"
#include "test.h"

static P *p1;
static M m1;
static int nwoken;

static void wakenetpoll(P *pp)
{
	CHECK(pp == p1);
	nwoken++;
}

static void nopoll(P *pp)
{
	(void)pp;
}

static void init(void)
{
	sim_init((struct schedops){.netpoll = nopoll, .wakenetpoll = wakenetpoll});
	p1 = sim_newp(&m1);
}

/* Gs ------------------------------------------------------------------------------- */

TEST(inbox_first_come_first)
{
	G *gs[10];
	init();
	CHECK(!inboxrun(p1));
	for (int i = 0; i < 10; i++)
		gs[i] = sim_waiter(p1);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 10; i++) {
			gs[i]->wake = 100 * round + i;
			inboxput(gs[i]);
			CHECK_EQ(readgstatus(gs[i]), Gwaiting); /* until its home looks */
		}
		CHECK(hasincoming(p1) && !hasincoming(&p0));
		CHECK(inboxrun(p1));
		CHECK(!hasincoming(p1) && !inboxrun(p1));
		for (int i = 0; i < 10; i++) {
			CHECK(runqget(p1) == gs[i]);
			CHECK_EQ(gs[i]->wake, 100 * round + i);
			CHECK_EQ(readgstatus(gs[i]), Grunnable);
			CHECK_EQ(gs[i]->schedlink, 0);
			sim_waitagain(gs[i]);
		}
	}
	sim_term();
}

/* goready knows whose the G is. */
TEST(inbox_goready_over_ps)
{
	init();
	G *theirs = sim_waiter(&p0), *ours = sim_waiter(p1);
	setm(&m1);
	goready(theirs, 5);
	goready(ours, 6);
	CHECK(runqget(p1) == ours && ours->wake == 6);
	CHECK(runqlen(&p0) == 0 && hasincoming(&p0));
	CHECK(inboxrun(&p0));
	CHECK(runqget(&p0) == theirs && theirs->wake == 5);
	setm(NULL);
	goready(theirs = sim_waiter(&p0), 7); /* the host is at home on p0 */
	CHECK(runqget(&p0) == theirs);
	sim_term();
}

/* It goes behind all others: nobody gives it the rest of a time slice. */
TEST(inbox_readies_last)
{
	init();
	G *a = sim_waiter(p1), *b = sim_waiter(p1), *c = sim_waiter(p1);
	goreadylast(a, 0);
	setm(&m1);
	goready(b, 0);
	setm(NULL);
	inboxput(c);
	inboxrun(p1);
	CHECK(runqget(p1) == b && runqget(p1) == a && runqget(p1) == c);
	sim_term();
}

/* Waking ----------------------------------------------------------------------------- */

static void goidle(void)
{
	lock(&sched.lock);
	store_relaxed(&sched.stopping, 0); /* as in a run */
	sched.nrunning = 2;
	pidleput(p1);
	unlock(&sched.lock);
	nwoken = 0;
}

TEST(inbox_wakes_who_is_idle)
{
	init();
	sched.gomaxprocs = 2;
	G *a = sim_waiter(p1), *b = sim_waiter(p1);
	uint32_t npidle = sched.npidle;
	inboxput(a);
	CHECK_EQ(nwoken, 0); /* it runs, and will look */
	inboxrun(p1);
	sim_waitagain(runqget(p1));

	goidle();
	CHECK_EQ(sched.npidle, npidle + 1);
	CHECK(sched.pidle == p1);
	inboxput(a);
	CHECK_EQ(nwoken, 1);
	CHECK_EQ(p1->status, Prunning); /* whatever its M does, it counts as running now */
	CHECK(sched.pidle == NULL);
	CHECK_EQ(sched.npidle, npidle);
	CHECK_EQ(sched.nrunning, 2);
	inboxput(b);
	CHECK_EQ(nwoken, 1); /* once */

	goidle();
	static struct mail m;
	postmail(p1, &m);
	CHECK_EQ(nwoken, 1);
	CHECK_EQ(p1->status, Prunning);
	sim_term();
}

/* While the world is stopped nothing is woken; who starts it again looks. */
TEST(inbox_wakes_nobody_while_stopped)
{
	init();
	G *a = sim_waiter(p1);
	goidle();
	sched.stopping = STOP_WORLD;
	inboxput(a);
	CHECK_EQ(nwoken, 0);
	CHECK_EQ(p1->status, Pidle);
	starttheworld();
	CHECK_EQ(nwoken, 1);
	CHECK_EQ(p1->status, Prunning);
	sim_term();
}

/* Mail ------------------------------------------------------------------------------- */

struct letter {
	struct mail m;
	int n;
	bool replies;
};

static int nread, lastread;

static void readletter(P *pp, struct mail *m)
{
	struct letter *l = (struct letter *)m;
	CHECK(pp == p1);
	CHECK(l->n > lastread);
	lastread = l->n;
	nread++;
	if (l->replies) {
		l->replies = false;
		l->n += 100;
		postmail(pp, m);
		return;
	}
	free(l);
}

static void post(int n, bool replies)
{
	struct letter *l = calloc(1, sizeof *l);
	CHECK(l);
	*l = (struct letter){{NULL, readletter}, n, replies};
	postmail(p1, &l->m);
}

TEST(mail_first_come_first)
{
	init();
	for (int i = 1; i <= 10; i++)
		post(i, false);
	CHECK(hasincoming(p1));
	CHECK(inboxrun(p1));
	CHECK_EQ(nread, 10);
	CHECK(!hasincoming(p1) && !inboxrun(p1));
	sim_term();
}

/* What is posted while mail is read is read the next time. */
TEST(mail_posted_by_mail)
{
	init();
	for (int i = 1; i <= 10; i++)
		post(i, i % 2);
	CHECK(inboxrun(p1));
	CHECK_EQ(nread, 10);
	CHECK(hasincoming(p1));
	CHECK(inboxrun(p1));
	CHECK_EQ(nread, 15);
	CHECK(!inboxrun(p1));
	sim_term();
}

/* Gs that are to begin here ------------------------------------------------------------ */

static enum packed packed(P *pp, G *gp, bool chatty)
{
	(void)pp;
	(void)gp;
	(void)chatty;
	CHECK(!"asked to pack what is packed");
	return PACK_NEVER;
}

TEST(inbox_packed_gs_come_to_stay)
{
	init();
	sched.ops.pack = packed;
	G *a = sim_at(p1, NULL, NULL), *b = sim_at(p1, NULL, NULL);
	CHECK(a->p == NULL && hasincoming(p1) && !hasincoming(&p0));
	CHECK_EQ(gcount(), 2);
	CHECK(inboxrun(p1));
	CHECK(a->p == p1 && b->p == p1);
	CHECK_EQ(runqpack(p1, p1->runq.tail, 10, false), 0);
	CHECK(runqget(p1) == a && runqget(p1) == b && runqget(p1) == NULL);
	sim_term();
}

/* The run may end while one is under way; and its slot may be another's by then. */
TEST(inbox_packed_gs_may_die_on_their_way)
{
	init();
	G *a = sim_at(p1, NULL, NULL), *b = sim_at(p1, NULL, NULL);
	gkillall();
	CHECK_EQ(gcount(), 0);
	G *again = sim_go(NULL, NULL);
	CHECK(again == a || again == b);
	CHECK(inboxrun(p1));
	CHECK(runqlen(p1) == 0 && !hasincoming(p1));
	CHECK(again->p == &p0 && runqget(&p0) == again);
	sim_term();
}

/* All at once -------------------------------------------------------------------------- */

/* Two threads ready the owner's Gs, and send it mail; of each sender's all arrive, in order. */
enum { SENDERS = 2, EACH = 50, ROUNDS = 200 };

static struct sent {
	G *gp;
	atomic_u32 arrived; /* rounds */
} sent[SENDERS][EACH];

static atomic_u32 nmail[SENDERS];
static uint32_t nletters[SENDERS];

static void count(P *pp, struct mail *m)
{
	struct letter *l = (struct letter *)m;
	int sender = l->n / (EACH * ROUNDS);
	CHECK(pp == p1);
	CHECK_EQ(l->n % (EACH * ROUNDS), nletters[sender]++);
	store_release(&nmail[sender], nletters[sender]);
	free(l);
}

static void sender(int k)
{
	M m = {0};
	setm(&m); /* an M without a P */
	for (uint32_t r = 0; r < ROUNDS; r++)
		for (int i = 0; i < EACH; i++) {
			struct sent *s = &sent[k][i];
			while (load_acquire(&s->arrived) < r)
				sched_yield();
			goready(s->gp, (int32_t)r * EACH + i);
			struct letter *l = calloc(1, sizeof *l);
			CHECK(l);
			*l = (struct letter){{NULL, count}, k * EACH * ROUNDS + (int)r * EACH + i, false};
			postmail(p1, &l->m);
		}
	setm(NULL);
}

static void owner(void)
{
	int32_t last[SENDERS];
	uint32_t n = 0;
	for (int k = 0; k < SENDERS; k++)
		last[k] = -1;
	while (n < SENDERS * EACH * ROUNDS || load_relaxed(&nmail[0]) + load_relaxed(&nmail[1]) < n) {
		if (!inboxrun(p1))
			sched_yield();
		for (G *gp; (gp = runqget(p1)) != NULL; n++) {
			int k = (int)gp->site / EACH;
			CHECK_EQ(gp->wake, ++last[k]);
			sim_waitagain(gp);
			struct sent *s = &sent[k][gp->site % EACH];
			store_release(&s->arrived, load_relaxed(&s->arrived) + 1);
		}
	}
}

static void sendorown(int i)
{
	if (i == SENDERS)
		owner();
	else
		sender(i);
}

TEST(inbox_hammered)
{
	init();
	for (int k = 0; k < SENDERS; k++)
		for (int i = 0; i < EACH; i++) {
			sent[k][i].gp = sim_waiter(p1);
			sent[k][i].gp->site = (uint32_t)(k * EACH + i);
		}
	test_threads(SENDERS + 1, sendorown);
	CHECK(!hasincoming(p1));
	CHECK_EQ(nletters[0] + nletters[1], SENDERS * EACH * ROUNDS);
	sim_term();
}
