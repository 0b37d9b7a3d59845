/* SPDX-License-Identifier: MIT */
/* Shared channels by several threads at once: each value that was sent is received once, and
 * no message is lost or freed twice. */
#include <sched.h>
#include <stdlib.h>

#include "base/randord.h"
#include "park/chan.h"
#include "sim.h"
#include "test.h"

enum { MAXTHREAD = 4, EACH = 4000, NVALUES = MAXTHREAD * EACH };

static P *pp[MAXTHREAD];
static M ms[MAXTHREAD];
static G *gs[MAXTHREAD]; /* each thread's one goroutine */
static atomic_u32 sent[NVALUES], received[NVALUES], nmsgs, nfreed;

struct msg {
	int n;
};

static void freemsg(struct msg *m)
{
	fetch_add_relaxed(&nfreed, 1);
	free(m);
}

static void init(int nthreads)
{
	sim_init((struct schedops){0});
	val_freemsg = freemsg;
	for (int i = 0; i < nthreads; i++) {
		pp[i] = sim_newp(&ms[i]);
		gs[i] = sim_waiter(pp[i]);
	}
}

static struct hchan *newchan(uint32_t size)
{
	struct hchan *c = chan_new(size);
	CHECK(c);
	return c;
}

/* Every other value is a message. */
static struct val make(int n)
{
	if (n % 2 == 0)
		return (struct val){.tag = VAL_NUM, .u.n = n};
	struct msg *m = malloc(sizeof *m);
	CHECK(m);
	m->n = n;
	fetch_add_relaxed(&nmsgs, 1);
	return (struct val){.tag = VAL_MSG, .u.m = m};
}

static void check_received(struct val *v)
{
	int n = v->tag == VAL_MSG ? v->u.m->n : (int)v->u.n;
	CHECK(v->tag == (n % 2 ? VAL_MSG : VAL_NUM) && n >= 0 && n < NVALUES);
	CHECK_EQ(fetch_add_relaxed(&received[n], 1), 0);
	val_free(v);
}

static void check_allreceived(void)
{
	for (int i = 0; i < NVALUES; i++)
		CHECK_EQ(received[i], sent[i]);
	CHECK_EQ(nfreed, nmsgs);
}

/* As goroutines send and receive ---------------------------------------------------- */

static bool send(int i, struct hchan *c, int n)
{
	int32_t s = sim_sudog(pp[i], gs[i]);
	struct val v = make(n);
	enum chanresult r = chan_send(c, &v, s);
	bool ok = r == CHAN_BLOCK ? sim_await(gs[i]) > 0 : r == CHAN_DONE;
	if (ok)
		fetch_add_relaxed(&sent[n], 1);
	if (r == CHAN_CLOSED)
		val_free(&v);
	sim_freesudog(pp[i], s); /* and the value, if it waited in vain */
	return ok;
}

static bool recv(int i, struct hchan *c)
{
	int32_t s = sim_sudog(pp[i], gs[i]);
	enum chanresult r = chan_recv(c, &sudogs.val[s], s);
	bool ok = r == CHAN_BLOCK ? sim_await(gs[i]) > 0 : r == CHAN_DONE;
	if (ok)
		check_received(&sudogs.val[s]);
	sim_freesudog(pp[i], s);
	return ok;
}

static enum chanresult trysend(struct hchan *c, int n)
{
	struct val v = make(n);
	enum chanresult r = chan_send(c, &v, 0);
	if (r == CHAN_DONE)
		fetch_add_relaxed(&sent[n], 1);
	else
		val_free(&v);
	return r;
}

static enum chanresult tryrecv(struct hchan *c)
{
	struct val v = {.tag = VAL_NIL};
	enum chanresult r = chan_recv(c, &v, 0);
	if (r == CHAN_DONE)
		check_received(&v);
	return r;
}

/* One channel ------------------------------------------------------------------------ */

static struct hchan *chan;
static atomic_u32 nsenders;

/* Two send, two receive until it is closed; now and then they only try. */
static void sendorrecv(int i)
{
	setm(&ms[i]);
	if (i % 2 == 0) {
		for (int k = 0; k < EACH; k++) {
			bool tries = randnext(&pp[i]->rand) % 4 == 0;
			if (!tries || trysend(chan, i * EACH + k) != CHAN_DONE)
				CHECK(send(i, chan, i * EACH + k));
		}
		if (fetch_sub_seqcst(&nsenders, 1) == 1)
			CHECK(chan_close(chan));
	} else {
		for (;;) {
			bool tries = randnext(&pp[i]->rand) % 4 == 0;
			if (tries ? tryrecv(chan) == CHAN_CLOSED : !recv(i, chan))
				break;
		}
	}
	setm(NULL);
}

static void onechannel(uint32_t size)
{
	init(4);
	chan = newchan(size);
	store_relaxed(&nsenders, 2);
	test_threads(4, sendorrecv);
	CHECK_EQ(chan_len(chan), 0);
	CHECK(chan->rq == 0 && chan->sq == 0);
	for (int k = 0; k < EACH; k++)
		CHECK(sent[k] == 1 && sent[2 * EACH + k] == 1);
	check_allreceived();
	obj_unref(&chan->o);
	sim_term();
}

TEST(chanthreads_unbuffered)
{
	onechannel(0);
}

TEST(chanthreads_buffered)
{
	onechannel(3);
}

TEST(chanthreads_large_buffer)
{
	onechannel(1000);
}

/* Selects ----------------------------------------------------------------------------- */

enum { NCHAN = 4, MAXCASE = 6 };

static struct hchan *chans[NCHAN];
static atomic_u32 nselecting;

/* One select of goroutine i; n: the value that it sends, if it sends. */
static void selectonce(int i, int n)
{
	struct selcase cases[MAXCASE];
	uint32_t *rand = &pp[i]->rand;
	int32_t k = 1 + (int32_t)(randnext(rand) % MAXCASE);
	for (int32_t j = 0; j < k; j++) {
		int32_t s = sim_sudog(pp[i], gs[i]);
		cases[j] = (struct selcase){chans[randnext(rand) % NCHAN], s, randnext(rand) % 2};
		sudogs.own[s] = cases[0].s;
		sudogs.index[s] = j + 1;
		if (cases[j].sends)
			sudogs.val[s] = make(n);
	}
	int32_t r = chan_select(cases, k, *rand);
	if (r == 0) {
		r = sim_await(gs[i]);
		CHECK_EQ(sudogs.done[cases[0].s], DONE_VAL);
	}
	bool closed = r < 0;
	r = closed ? -r : r;
	CHECK(r >= 1 && r <= k);
	for (int32_t j = 0; j < k; j++) { /* out of all lines, before anything is looked at */
		chan_leave(cases[j].c, cases[j].sends, cases[j].s);
		CHECK_EQ(sudogs.prev[cases[j].s], 0);
	}
	int32_t s = cases[r - 1].s;
	if (!closed && cases[r - 1].sends) {
		CHECK_EQ(sudogs.val[s].tag, VAL_NIL);
		fetch_add_relaxed(&sent[n], 1);
	} else if (!closed) {
		check_received(&sudogs.val[s]);
	}
	for (int32_t j = 0; j < k; j++)
		sim_freesudog(pp[i], cases[j].s);
}

/* The last thread only tries, so that there is somebody for who would wait for ever. */
static void selecting(int i)
{
	setm(&ms[i]);
	if (i < MAXTHREAD - 1) {
		for (int k = 0; k < EACH; k++)
			selectonce(i, i * EACH + k);
		fetch_sub_seqcst(&nselecting, 1);
	}
	for (int k = 0; i == MAXTHREAD - 1 && load_relaxed(&nselecting) > 0;) {
		struct hchan *c = chans[randnext(&pp[i]->rand) % NCHAN];
		if (k < EACH && randnext(&pp[i]->rand) % 2)
			k += trysend(c, i * EACH + k) == CHAN_DONE;
		else
			tryrecv(c);
		if (k == EACH) { /* out of values: the same once more, if all of them were received */
			while (k > 0 && load_relaxed(&received[i * EACH + k - 1]) == 1) {
				k--;
				store_relaxed(&received[i * EACH + k], 0);
				store_relaxed(&sent[i * EACH + k], 0);
			}
			sched_yield();
		}
	}
	setm(NULL);
}

TEST(chanthreads_select)
{
	init(MAXTHREAD);
	for (uint32_t i = 0; i < NCHAN; i++)
		chans[i] = newchan(i % 2 * i);
	store_relaxed(&nselecting, MAXTHREAD - 1);
	test_threads(MAXTHREAD, selecting);
	for (int i = 0; i < NCHAN; i++) {
		while (tryrecv(chans[i]) == CHAN_DONE)
			;
		CHECK(chans[i]->rq == 0 && chans[i]->sq == 0);
		obj_unref(&chans[i]->o);
	}
	check_allreceived();
	sim_term();
}

/* Closing ------------------------------------------------------------------------------ */

static int roundno;

/* One closes while another sends, and the others receive and select. */
static void closing(int i)
{
	setm(&ms[i]);
	int n = i * EACH + roundno;
	if (i == 0) {
		for (uint32_t k = randnext(&pp[0]->rand) % 64; k > 0; k--)
			sched_yield();
		for (int k = 0; k < NCHAN; k++)
			CHECK(chan_close(chans[k]));
	} else if (i == 1) {
		send(i, chans[randnext(&pp[i]->rand) % NCHAN], n);
	} else if (i == 2) {
		while (recv(i, chans[randnext(&pp[i]->rand) % NCHAN]))
			;
	} else {
		selectonce(i, n);
	}
	setm(NULL);
}

TEST(chanthreads_close)
{
	init(MAXTHREAD);
	for (roundno = 0; roundno < 500; roundno++) {
		for (uint32_t i = 0; i < NCHAN; i++)
			chans[i] = newchan(i / 2);
		test_threads(MAXTHREAD, closing);
		for (int i = 0; i < NCHAN; i++) {
			while (tryrecv(chans[i]) == CHAN_DONE)
				;
			CHECK(chans[i]->rq == 0 && chans[i]->sq == 0);
			CHECK_EQ(chans[i]->o.refs, 1);
			obj_unref(&chans[i]->o);
		}
	}
	check_allreceived();
	sim_term();
}
