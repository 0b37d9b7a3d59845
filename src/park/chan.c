/* SPDX-License-Identifier: MIT */
#include "park/chan.h"

#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/randord.h"
#include "park/timer.h"

enum { FIRSTCAP = 8 };

static void chan_free(struct obj *o)
{
	struct hchan *c = (struct hchan *)o;
	for (uint32_t i = 0; i < c->n; i++)
		val_free(&c->buf[(c->rx + i) % c->cap]);
	lock_term(&c->lock);
	free(c->buf);
	free(c);
}

struct hchan *chan_new(uint32_t size)
{
	struct hchan *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	obj_init(&c->o, OBJ_CHAN, chan_free);
	lock_init(&c->lock, RANK_OBJ);
	c->size = size;
	c->when = CHAN_NEVER;
	return c;
}

/* Holding the lock. */
static bool isdue(const struct hchan *c)
{
	return lp_unlikely(c->when < CHAN_NEVER) && clocknow() >= c->when;
}

/* Holding the lock. */
static bool isclosed(const struct hchan *c)
{
	return c->closed || (c->o.kind == OBJ_DONE && isdue(c));
}

/* The value of a timer that is due.  Of a ticker, what nobody received in time is dropped.
 * Holding the lock. */
static void fire(struct hchan *c, struct val *v)
{
	*v = (struct val){.tag = VAL_NUM, .u.n = c->when};
	c->when = c->period > 0 ? c->when + c->period * (1 + floor((clocknow() - c->when) / c->period)) : CHAN_NEVER;
}

static struct val tryagainat(double when)
{
	return (struct val){.tag = VAL_NIL, .u.n = when};
}

/* Room for one more in the ring, which is less than full. */
static bool grow(struct hchan *c)
{
	if (c->n < c->cap)
		return true;
	uint32_t cap = c->cap == 0 ? FIRSTCAP : c->cap * 2;
	if (cap > c->size)
		cap = c->size;
	struct val *buf = malloc(cap * sizeof *buf);
	if (!buf)
		return false;
	for (uint32_t i = 0, from = c->rx; i < c->n; i++, from = from + 1 == c->cap ? 0 : from + 1)
		buf[i] = c->buf[from];
	free(c->buf);
	c->buf = buf;
	c->cap = cap;
	c->rx = 0;
	return true;
}

bool chan_push(struct hchan *c, struct val *v)
{
	if (!grow(c))
		return false;
	c->buf[(c->rx + c->n++) % c->cap] = *v;
	return true;
}

/* Holding the lock.  *peer: who is to be readied after it was released. */
static enum chanresult trysend(struct hchan *c, struct val *v, int32_t *peer)
{
	if (c->closed)
		return CHAN_CLOSED;
	if ((*peer = lineget(&c->rq)) != 0)
		sudogs.val[*peer] = *v;
	else if (c->n == c->size || !chan_push(c, v))
		return CHAN_BLOCK;
	v->tag = VAL_NIL; /* it was given away */
	return CHAN_DONE;
}

/* Likewise. */
static enum chanresult tryrecv(struct hchan *c, struct val *v, int32_t *peer)
{
	if (c->n > 0) {
		*v = c->buf[c->rx];
		c->rx = (c->rx + 1) % c->cap;
		c->n--;
		if ((*peer = lineget(&c->sq)) != 0) { /* it was full: there is room now */
			c->buf[(c->rx + c->n++) % c->cap] = sudogs.val[*peer];
			sudogs.val[*peer].tag = VAL_NIL;
		}
		return CHAN_DONE;
	}
	if ((*peer = lineget(&c->sq)) != 0) {
		*v = sudogs.val[*peer];
		sudogs.val[*peer].tag = VAL_NIL;
		return CHAN_DONE;
	}
	bool due = isdue(c); /* one look at the clock: of a context's channel nothing may be fired */
	if (c->closed || (due && c->o.kind == OBJ_DONE))
		return CHAN_CLOSED;
	if (!due)
		return CHAN_BLOCK;
	fire(c, v);
	return CHAN_DONE;
}

enum chanresult chan_send(struct hchan *c, struct val *v, int32_t s)
{
	int32_t peer = 0;
	lock(&c->lock);
	enum chanresult r = trysend(c, v, &peer);
	if (r == CHAN_BLOCK && s) {
		sudogs.val[s] = *v;
		lineput(&c->sq, s);
	}
	unlock(&c->lock);
	if (peer)
		sudogready(peer, 1);
	return r;
}

enum chanresult chan_recv(struct hchan *c, struct val *v, int32_t s)
{
	int32_t peer = 0;
	lock(&c->lock);
	enum chanresult r = tryrecv(c, v, &peer);
	if (r == CHAN_BLOCK && s) {
		sudogs.val[s] = tryagainat(c->when);
		lineput(&c->rq, s);
	}
	unlock(&c->lock);
	if (peer)
		sudogready(peer, 1);
	return r;
}

/* Holding the lock. */
static bool ready(const struct hchan *c, bool sends)
{
	if (c->closed || isdue(c))
		return true;
	return sends ? c->n < c->size || linewaits(c->rq) : c->n > 0 || linewaits(c->sq);
}

bool chan_ready(struct hchan *c, bool sends)
{
	lock(&c->lock);
	bool is = ready(c, sends);
	unlock(&c->lock);
	return is;
}

/* The channels of the cases by address, each once: in cs, which has room for n. */
static int32_t sortchans(const struct selcase *cases, int32_t n, struct hchan **cs)
{
	int32_t k = 0;
	for (int32_t i = 0; i < n; i++) {
		struct hchan *c = cases[i].c;
		int32_t j = k;
		while (j > 0 && cs[j - 1] > c)
			j--;
		if (j > 0 && cs[j - 1] == c)
			continue;
		memmove(&cs[j + 1], &cs[j], (size_t)(k - j) * sizeof(void *));
		cs[j] = c;
		k++;
	}
	return k;
}

/* Holding all locks.  A case that looked ready may not be, where its peer is in a select
 * that somebody decides at this moment; then another one is chosen. */
static int32_t selectone(struct selcase *cases, int32_t n, uint32_t random, int32_t *peer)
{
	for (;;) {
		uint32_t k = 0;
		int32_t chosen = -1;
		for (int32_t i = 0; i < n; i++)
			if (ready(cases[i].c, cases[i].sends) && randnext(&random) % ++k == 0)
				chosen = i;
		if (chosen < 0)
			return 0;
		struct selcase *sc = &cases[chosen];
		struct val *v = &sudogs.val[sc->s];
		switch (sc->sends ? trysend(sc->c, v, peer) : tryrecv(sc->c, v, peer)) {
		case CHAN_DONE:
			return chosen + 1;
		case CHAN_CLOSED:
			return -(chosen + 1);
		case CHAN_BLOCK:
			break;
		}
	}
}

int32_t chan_select(struct selcase *cases, int32_t n, uint32_t random)
{
	enum { FEW = 16 };
	struct hchan *few[FEW], **cs = n <= FEW ? few : xmalloc((size_t)n * sizeof(void *));
	int32_t peer = 0, k = sortchans(cases, n, cs);
	for (int32_t i = 0; i < k; i++)
		lock(&cs[i]->lock);
	int32_t r = selectone(cases, n, random, &peer);
	for (int32_t i = 0; r == 0 && i < n; i++) {
		if (!cases[i].sends)
			sudogs.val[cases[i].s] = tryagainat(cases[i].c->when);
		lineput(cases[i].sends ? &cases[i].c->sq : &cases[i].c->rq, cases[i].s);
	}
	for (int32_t i = k; i-- > 0;)
		unlock(&cs[i]->lock);
	if (cs != few)
		free(cs);
	if (peer)
		sudogready(peer, 1);
	return r;
}

bool chan_close(struct hchan *c)
{
	int32_t receivers = 0, senders = 0;
	lock(&c->lock);
	bool was = c->closed;
	c->closed = true;
	if (!was) {
		receivers = linetakeall(&c->rq);
		senders = linetakeall(&c->sq);
	}
	unlock(&c->lock);
	sudogreadyall(receivers, -1);
	sudogreadyall(senders, -1);
	return !was;
}

bool chan_settimer(struct hchan *c, double when, double period)
{
	lock(&c->lock);
	bool was = c->when < CHAN_NEVER;
	c->when = when;
	if (period >= 0)
		c->period = period;
	int32_t waiters = linetakeall(&c->rq);
	unlock(&c->lock);
	sudogreadyall(waiters, 1);
	return was;
}

double chan_when(struct hchan *c)
{
	lock(&c->lock);
	double when = c->when;
	unlock(&c->lock);
	return when;
}

double chan_period(struct hchan *c)
{
	lock(&c->lock);
	double period = c->period;
	unlock(&c->lock);
	return period;
}

void chan_leave(struct hchan *c, bool sends, int32_t s)
{
	lock(&c->lock);
	lineleave(sends ? &c->sq : &c->rq, s);
	unlock(&c->lock);
}

uint32_t chan_len(struct hchan *c)
{
	lock(&c->lock);
	uint32_t n = c->n;
	unlock(&c->lock);
	return n;
}

bool chan_isclosed(struct hchan *c)
{
	lock(&c->lock);
	bool closed = isclosed(c);
	unlock(&c->lock);
	return closed;
}
