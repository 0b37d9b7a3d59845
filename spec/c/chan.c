/* SPDX-License-Identifier: MIT */
/* Shared channels, by one thread; who waits is a G that never ran. */
#include "park/chan.h"

#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "test.h"

static struct hchan *c;
static int nfreed; /* messages */

struct msg {
	int n;
};

static void freemsg(struct msg *m)
{
	nfreed++;
	free(m);
}

static struct hchan *newchan(uint32_t size)
{
	struct hchan *ch = chan_new(size);
	CHECK(ch);
	return ch;
}

static void init(uint32_t size)
{
	sim_init((struct schedops){0});
	val_freemsg = freemsg;
	c = newchan(size);
}

static void term(void)
{
	CHECK_EQ(c->o.refs, 1);
	obj_unref(&c->o);
	sim_term();
}

static struct val num(double n)
{
	return (struct val){.tag = VAL_NUM, .u.n = n};
}

static struct val msg(int n)
{
	struct msg *m = malloc(sizeof *m);
	CHECK(m);
	m->n = n;
	return (struct val){.tag = VAL_MSG, .u.m = m};
}

static int32_t waiter(void)
{
	return sim_sudog(&p0, sim_waiter(&p0));
}

static enum chanresult send(double n, int32_t s)
{
	struct val v = num(n);
	enum chanresult r = chan_send(c, &v, s);
	CHECK_EQ(v.tag, r == CHAN_DONE ? VAL_NIL : VAL_NUM); /* given away, or not */
	return r;
}

static enum chanresult recv(int32_t s)
{
	struct val v = num(-1);
	enum chanresult r = chan_recv(c, &v, s);
	CHECK(r != CHAN_DONE);
	return r;
}

/* The next value is n. */
static void check_recv(double n)
{
	struct val v = {.tag = VAL_NIL};
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_DONE);
	CHECK_EQ(v.tag, VAL_NUM);
	CHECK(v.u.n == n);
}

/* The next that was readied is the G of s, and was told `wake`. */
static void check_woken(int32_t s, int32_t wake)
{
	const G *gp = runqget(&p0);
	CHECK_EQ(gp ? gp->slot : 0, sudogs.g[s]);
	CHECK_EQ(gp->wake, wake);
	CHECK_EQ(sudogs.prev[s], 0);
	CHECK_EQ(sudogs.done[sudogs.own[s]], DONE_VAL);
}

static void check_given(int32_t s, double n)
{
	CHECK_EQ(sudogs.val[s].tag, VAL_NUM);
	CHECK(sudogs.val[s].u.n == n);
}

/* Buffered ------------------------------------------------------------------------ */

TEST(chan_buffer_fifo)
{
	init(100);
	double sent = 0, got = 0;
	for (uint32_t n = 1; n <= 100; n += 7) { /* it grows in the middle of a wrap */
		while (chan_len(c) < n)
			CHECK_EQ(send(sent++, 0), CHAN_DONE);
		for (uint32_t i = 0; i < n / 2 + 1; i++)
			check_recv(got++);
		CHECK(c->cap <= 100 && c->cap >= c->n);
	}
	while (chan_len(c) < 100)
		CHECK_EQ(send(sent++, 0), CHAN_DONE);
	CHECK_EQ(c->cap, 100);
	CHECK_EQ(send(0, 0), CHAN_BLOCK);
	while (chan_len(c) > 0)
		check_recv(got++);
	CHECK(got == sent);
	CHECK_EQ(recv(0), CHAN_BLOCK);
	term();
}

TEST(chan_size_one)
{
	init(1);
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(send(i, 0), CHAN_DONE);
		CHECK_EQ(c->cap, 1);
		CHECK_EQ(send(9, 0), CHAN_BLOCK);
		check_recv(i);
	}
	term();
}

/* The senders in line stand behind what is buffered, and move up. */
TEST(chan_full_buffer_and_senders)
{
	int32_t s[3];
	init(2);
	CHECK_EQ(send(1, 0), CHAN_DONE);
	CHECK_EQ(send(2, 0), CHAN_DONE);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(send(3 + i, s[i] = waiter()), CHAN_BLOCK);
	for (int i = 0; i < 3; i++) {
		check_recv(1 + i);
		check_woken(s[i], 1);
		CHECK_EQ(sudogs.val[s[i]].tag, VAL_NIL);
		CHECK_EQ(chan_len(c), 2);
	}
	check_recv(4);
	check_recv(5);
	CHECK_EQ(recv(0), CHAN_BLOCK);
	term();
}

/* Unbuffered ------------------------------------------------------------------------ */

TEST(chan_receivers_are_served_in_order)
{
	int32_t s[3];
	init(0);
	for (uint32_t size = 0; size < 2; size++) { /* a buffer makes no difference to them */
		for (int i = 0; i < 3; i++)
			CHECK_EQ(recv(s[i] = waiter()), CHAN_BLOCK);
		for (int i = 0; i < 3; i++) {
			CHECK_EQ(send(i, 0), CHAN_DONE);
			check_woken(s[i], 1);
			check_given(s[i], i);
		}
		CHECK_EQ(chan_len(c), 0);
		obj_unref(&c->o);
		c = newchan(size + 1);
	}
	term();
}

TEST(chan_senders_are_served_in_order)
{
	int32_t s[3];
	init(0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(send(i, s[i] = waiter()), CHAN_BLOCK);
	for (int i = 0; i < 3; i++) {
		check_recv(i);
		check_woken(s[i], 1);
	}
	CHECK_EQ(recv(0), CHAN_BLOCK);
	term();
}

/* Who only tries leaves nothing behind. */
TEST(chan_tries_leave_no_trace)
{
	init(0);
	CHECK_EQ(send(1, 0), CHAN_BLOCK);
	CHECK_EQ(recv(0), CHAN_BLOCK);
	CHECK(c->rq == 0 && c->sq == 0);
	term();
}

TEST(chan_passes_over_decided)
{
	int32_t s[4];
	init(0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(recv(s[i] = waiter()), CHAN_BLOCK);
	CHECK(sudogdecide(s[0], DONE_YES) && sudogdecide(s[2], DONE_YES));
	CHECK_EQ(send(1, 0), CHAN_DONE);
	check_woken(s[1], 1);
	CHECK_EQ(send(2, 0), CHAN_DONE);
	check_woken(s[3], 1);
	CHECK(!chan_ready(c, true));
	CHECK_EQ(send(3, 0), CHAN_BLOCK);
	CHECK_EQ(runqlen(&p0), 0);
	term();
}

TEST(chan_leave)
{
	int32_t r[2], s[2];
	init(0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(recv(r[i] = waiter()), CHAN_BLOCK);
	chan_leave(c, false, r[0]);
	chan_leave(c, false, r[0]);
	CHECK_EQ(c->rq, r[1]);
	chan_leave(c, false, r[1]);
	CHECK_EQ(c->rq, 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(send(i, s[i] = waiter()), CHAN_BLOCK);
	chan_leave(c, true, s[1]);
	check_recv(0);
	CHECK_EQ(c->sq, 0);
	CHECK(!chan_ready(c, false));
	term();
}

/* Closing --------------------------------------------------------------------------- */

TEST(chan_close_lets_buffer_be_read)
{
	init(3);
	CHECK(!chan_isclosed(c));
	CHECK_EQ(send(1, 0), CHAN_DONE);
	CHECK_EQ(send(2, 0), CHAN_DONE);
	CHECK(chan_close(c));
	CHECK(!chan_close(c));
	CHECK(chan_isclosed(c));
	CHECK_EQ(send(3, 0), CHAN_CLOSED);
	CHECK_EQ(send(3, waiter()), CHAN_CLOSED);
	CHECK_EQ(c->sq, 0);
	check_recv(1);
	check_recv(2);
	CHECK_EQ(recv(0), CHAN_CLOSED);
	CHECK_EQ(recv(waiter()), CHAN_CLOSED);
	CHECK_EQ(c->rq, 0);
	CHECK(chan_ready(c, false) && chan_ready(c, true));
	term();
}

TEST(chan_close_wakes_receivers)
{
	int32_t s[3];
	init(1);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(recv(s[i] = waiter()), CHAN_BLOCK);
	CHECK(sudogdecide(s[1], DONE_YES));
	CHECK(chan_close(c));
	check_woken(s[2], -1); /* the last is next */
	check_woken(s[0], -1);
	CHECK_EQ(runqlen(&p0), 0);
	CHECK_EQ(sudogs.val[s[0]].tag, VAL_NIL);
	term();
}

/* What they were to send is still theirs. */
TEST(chan_close_wakes_senders)
{
	int32_t s[2];
	init(1);
	CHECK_EQ(send(1, 0), CHAN_DONE);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(send(2 + i, s[i] = waiter()), CHAN_BLOCK);
	CHECK(chan_close(c));
	check_woken(s[1], -1);
	check_woken(s[0], -1);
	check_given(s[0], 2);
	check_given(s[1], 3);
	check_recv(1);
	CHECK_EQ(recv(0), CHAN_CLOSED);
	term();
}

TEST(chan_ready)
{
	init(1);
	CHECK(chan_ready(c, true) && !chan_ready(c, false));
	CHECK_EQ(send(1, 0), CHAN_DONE);
	CHECK(!chan_ready(c, true) && chan_ready(c, false));
	CHECK_EQ(send(1, waiter()), CHAN_BLOCK);
	CHECK(!chan_ready(c, true) && chan_ready(c, false));
	check_recv(1);
	CHECK(!chan_ready(c, true) && chan_ready(c, false));
	check_recv(1);
	CHECK_EQ(recv(waiter()), CHAN_BLOCK);
	CHECK(chan_ready(c, true) && !chan_ready(c, false));
	term();
}

/* Memory ---------------------------------------------------------------------------- */

/* Each message is freed once, by whoever had it last. */
TEST(chan_frees_what_nobody_took)
{
	init(5);
	for (int i = 0; i < 5; i++) {
		struct val v = msg(i);
		CHECK_EQ(chan_send(c, &v, 0), CHAN_DONE);
		val_free(&v); /* not the caller's any more */
	}
	struct val v = msg(5);
	CHECK_EQ(chan_send(c, &v, 0), CHAN_BLOCK);
	CHECK_EQ(nfreed, 0);
	val_free(&v);
	val_free(&v);
	CHECK_EQ(nfreed, 1);
	CHECK_EQ(chan_recv(c, &v, 0), CHAN_DONE);
	CHECK_EQ(v.u.m->n, 0);
	val_free(&v);
	CHECK_EQ(nfreed, 2);
	struct valstr *text = calloc(1, sizeof *text + 3);
	store_relaxed(&text->refs, 1);
	CHECK(text);
	text->len = 3;
	memcpy(text->data, "abc", 3);
	v = (struct val){.tag = VAL_STR, .u.s = text};
	CHECK_EQ(chan_send(c, &v, 0), CHAN_DONE);
	obj_unref(obj_ref(&c->o));
	CHECK_EQ(nfreed, 2);
	obj_unref(&c->o); /* the last one */
	CHECK_EQ(nfreed, 6);
	sim_term();
}

TEST(chan_messages_of_waiters)
{
	init(0);
	struct val v = msg(1);
	int32_t s = waiter(), r = waiter();
	CHECK_EQ(chan_send(c, &v, s), CHAN_BLOCK); /* it is beside s now */
	CHECK(chan_close(c));
	CHECK_EQ(sudogs.val[s].u.m->n, 1);
	sim_freesudog(&p0, s);
	CHECK_EQ(nfreed, 1);
	obj_unref(&c->o);
	c = newchan(0);
	CHECK_EQ(chan_recv(c, &v, r), CHAN_BLOCK);
	v = msg(2);
	CHECK_EQ(chan_send(c, &v, 0), CHAN_DONE);
	val_free(&v);
	CHECK_EQ(sudogs.val[r].u.m->n, 2);
	sim_freesudog(&p0, r);
	CHECK_EQ(nfreed, 2);
	term();
}

TEST(chan_push)
{
	init(20);
	for (int i = 0; i < 20; i++) {
		struct val v = num(i);
		CHECK(chan_push(c, &v));
	}
	for (int i = 0; i < 20; i++)
		check_recv(i);
	term();
}
