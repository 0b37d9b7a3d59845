/* SPDX-License-Identifier: MIT */
/* loader.c - a load's turns: who may send, what is due, when it ends. */
#define _GNU_SOURCE
#include "load/loader.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"
#include "load/conn.h"
#include "load/pace.h"

enum {
	TICK = 100000000, /* ns: samples of the rate, and timeouts; wrk's */
	MS = 1000000,
	BATCHES = 8,  /* looks at the epoll set in one turn */
	OPENINGS = 64, /* connections that are begun at a time */
};

struct loader *load_new(const struct loadconf *conf)
{
	struct loader *ld = calloc(1, sizeof *ld);
	if (!ld)
		return NULL;
	ld->conf = *conf;
	ld->epfd = epoll_create1(EPOLL_CLOEXEC);
	ld->conns = calloc(conf->nconns, sizeof *ld->conns);
	heap_init(&ld->heap);
	if (ld->epfd < 0 || !ld->conns) {
		int err = ld->epfd < 0 ? errno : ENOMEM;
		ld->conf.nconns = 0;
		load_free(ld);
		errno = err;
		return NULL;
	}
	ld->freehead = ld->freetail = CONN_NONE;
	ld->left = conf->number;
	ld->nopening = conf->nconns;
	ld->now = ld->opened = ld->start = ld->end = nanotime();
	ld->deadline = INT64_MAX;
	ld->tick = ld->now + TICK;
	for (uint32_t i = 0; i < conf->nconns; i++) {
		struct conn *c = &ld->conns[i];
		c->fd = -1;
		c->pos = HEAP_NOWHERE;
		answer_init(&c->answer);
		load_later(ld, c, ld->now);
	}
	return ld;
}

void load_free(struct loader *ld)
{
	for (uint32_t i = 0; i < ld->conf.nconns; i++) {
		conn_close(ld, &ld->conns[i]);
		answer_term(&ld->conns[i].answer);
	}
	if (ld->epfd >= 0)
		close(ld->epfd);
	heap_term(&ld->heap);
	free(ld->conns);
	free(ld->rates);
	free(ld->conf.request);
	free(ld);
}

void load_count(struct loader *ld, enum loadclass class, int err, const char *text)
{
	bump(&ld->errors[class], 1);
	tally_cause(&ld->causes, class, err, text);
}

void load_later(struct loader *ld, struct conn *c, int64_t when)
{
	if (!heap_add(&ld->heap, when, &c->pos))
		throw("out of memory");
}

/* Sending --------------------------------------------------------------------------- */

static bool maysend(const struct loader *ld)
{
	return ld->begun && !ld->ending && ld->left > 0 && !load_relaxed(&ld->stop);
}

/* One string of requests is about to be sent. */
static void take(struct loader *ld)
{
	uint64_t n = ld->conf.pipeline;
	ld->left = ld->left == UINT64_MAX ? UINT64_MAX : ld->left > n ? ld->left - n : 0;
	ld->k += n;
}

void load_isfree(struct loader *ld, struct conn *c)
{
	if (lp_likely(ld->conf.request && ld->conf.interval == 0 && !ld->conf.delay && maysend(ld))) {
		take(ld);
		conn_send(ld, c, ld->conf.request, ld->conf.requestlen, ld->conf.heads);
		return;
	}
	if (c->lined)
		return;
	uint32_t i = (uint32_t)(c - ld->conns);
	c->lined = true;
	c->next = CONN_NONE;
	if (ld->freehead == CONN_NONE)
		ld->freehead = i;
	else
		ld->conns[ld->freetail].next = i;
	ld->freetail = i;
}

static struct conn *unline(struct loader *ld)
{
	struct conn *c = &ld->conns[ld->freehead];
	ld->freehead = c->next;
	c->lined = false;
	return c;
}

static int64_t duenext(const struct loader *ld)
{
	return pace_when(ld->base, ld->conf.interval, ld->k);
}

/* The first that is free does what it can.  What its driver is to be asked; LOAD_OVER: nothing,
 * and *more tells whether there may be another one. */
static enum loadask serve(struct loader *ld, bool *more)
{
	*more = false;
	if (ld->freehead == CONN_NONE || !maysend(ld))
		return LOAD_OVER;
	struct conn *c = &ld->conns[ld->freehead];
	if (c->state != CONN_FREE) { /* closed meanwhile; it comes again */
		unline(ld);
		*more = true;
		return LOAD_OVER;
	}
	if (ld->conf.delay && !c->delayed) {
		ld->cur = unline(ld);
		return LOAD_DELAY;
	}
	if (ld->conf.interval > 0) {
		int64_t due = duenext(ld);
		if (due > ld->now || due >= ld->deadline)
			return LOAD_OVER;
		c->due = due;
	}
	unline(ld);
	take(ld);
	*more = true;
	if (!ld->conf.request) {
		ld->cur = c;
		return LOAD_REQUEST;
	}
	conn_send(ld, c, ld->conf.request, ld->conf.requestlen, ld->conf.heads);
	return LOAD_OVER;
}

/* Whether the first that is free has not to wait for its time. */
static bool asks(const struct loader *ld)
{
	return ld->freehead != CONN_NONE && maysend(ld) &&
	       (ld->conf.interval == 0 || (ld->conf.delay && !ld->conns[ld->freehead].delayed));
}

void load_delay(struct loader *ld, double ms)
{
	struct conn *c = ld->cur;
	ld->now = nanotime();
	c->delayed = true;
	if (!(ms > 0))
		ms = 0;
	load_later(ld, c, ms < 1e12 ? ld->now + (int64_t)(ms * MS) : INT64_MAX);
}

void load_send(struct loader *ld, const char *s, size_t n)
{
	uint64_t heads = 0;
	if (ld->conf.pipeline == 1) {
		heads = n > 5 && memcmp(s, "HEAD ", 5) == 0;
	} else if (memmem(s, n, "HEAD ", 5)) {
		const char *why;
		size_t at;
		(void)answer_countrequests(s, n, &heads, &why, &at);
	}
	ld->now = nanotime();
	conn_send(ld, ld->cur, s, n, heads);
}

/* The clock ------------------------------------------------------------------------- */

/* One more rate, of the time since the last one.  (While there is no answer there is none, as with wrk.) */
static void sample(struct loader *ld)
{
	uint64_t n = load_relaxed(&ld->requests) - ld->before;
	int64_t ns = ld->now - ld->sampled;
	if (n == 0 || ns <= 0)
		return;
	if (ld->nrates == ld->caprates) {
		uint32_t cap = ld->caprates ? ld->caprates * 2 : 64;
		double *p = realloc(ld->rates, cap * sizeof *p);
		if (!p)
			return;
		ld->rates = p;
		ld->caprates = cap;
	}
	ld->rates[ld->nrates++] = (double)n * 1e9 / (double)ns;
	ld->before += n;
	ld->sampled = ld->now;
}

static void timeouts(struct loader *ld)
{
	for (uint32_t i = 0; i < ld->conf.nconns; i++) {
		struct conn *c = &ld->conns[i];
		if ((c->state != CONN_BUSY && c->state != CONN_CONNECTING) || ld->now - c->since <= ld->conf.timeout)
			continue;
		if (c->state == CONN_CONNECTING) {
			conn_fail(ld, c, LOAD_CONNECT, ETIMEDOUT, NULL);
			continue;
		}
		if (!c->late) {
			c->late = true;
			load_count(ld, LOAD_TIMEOUT, 0, "no answer in time");
		}
		if (ld->ending)
			conn_close(ld, c);
	}
}

static void begin(struct loader *ld)
{
	ld->begun = true;
	ld->start = ld->end = ld->sampled = ld->now;
	if (ld->conf.duration < INT64_MAX - ld->now)
		ld->deadline = ld->now + ld->conf.duration;
	ld->base = pace_when(ld->now, ld->conf.interval * ld->conf.offset, 1);
	/* Those that are open already stand in the line. */
	if (!ld->conf.request || ld->conf.interval > 0 || ld->conf.delay)
		return;
	uint32_t i = ld->freehead;
	ld->freehead = CONN_NONE;
	while (i != CONN_NONE) {
		struct conn *c = &ld->conns[i];
		i = c->next;
		c->lined = false;
		if (c->state == CONN_FREE)
			load_isfree(ld, c);
	}
}

/* Whether the time is up.  With a rate, all that was due before that is sent, however late: requests that a
 * server's stall has held up until the end would be missing just where they count.  But who is not free
 * within the timeout will not be. */
static bool timeisup(struct loader *ld)
{
	if (ld->now < ld->deadline)
		return false;
	if (ld->conf.interval == 0 || !ld->begun || ld->left == 0 || load_relaxed(&ld->stop) || duenext(ld) >= ld->deadline)
		return true;
	if (ld->now - ld->deadline <= ld->conf.timeout)
		return false;
	while (ld->left > 0 && duenext(ld) < ld->deadline) {
		take(ld);
		load_count(ld, LOAD_TIMEOUT, 0, "no connection was free in time");
	}
	return true;
}

/* What the time has brought.  False: the run is over. */
static bool clockwork(struct loader *ld)
{
	ld->now = nanotime();
	if (!ld->begun && (ld->nopening == 0 || ld->now - ld->opened > ld->conf.timeout))
		begin(ld);
	if (!ld->ending && (load_relaxed(&ld->stop) || ld->left == 0 || timeisup(ld))) {
		ld->ending = true;
		ld->end = ld->now < ld->deadline ? ld->now : ld->deadline;
		if (ld->end < ld->start)
			ld->end = ld->start;
	}
	if (ld->now >= ld->tick) {
		ld->tick = ld->now + TICK;
		if (ld->begun && !ld->ending)
			sample(ld);
		timeouts(ld);
	}
	if (ld->ending && ld->nbusy == 0) {
		if (ld->nrates == 0 && ld->begun) {
			ld->now = ld->end;
			sample(ld);
		}
		return false;
	}
	struct heapitem *it;
	for (int n = 0; n < OPENINGS && !ld->ending && (it = heap_min(&ld->heap)) != NULL && it->key <= ld->now; n++) {
		struct conn *c = (struct conn *)((char *)it->pos - offsetof(struct conn, pos));
		heap_del(&ld->heap, &c->pos);
		if (c->state == CONN_CLOSED)
			conn_open(ld, c);
		else
			load_isfree(ld, c);
	}
	return true;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When there is something to do, if nothing comes. */
static int64_t nexttime(const struct loader *ld)
{
	int64_t until = least(ld->tick, ld->ending || ld->now >= ld->deadline ? INT64_MAX : ld->deadline);
	const struct heapitem *it = heap_min(&ld->heap);
	if (it && !ld->ending)
		until = least(until, it->key);
	if (ld->conf.interval > 0 && ld->freehead != CONN_NONE && maysend(ld))
		until = least(until, duenext(ld));
	return until;
}

/* Turns ----------------------------------------------------------------------------- */

static void handle(struct loader *ld, const struct epoll_event *ev)
{
	struct conn *c = &ld->conns[(uint32_t)ev->data.u64];
	if (c->gen == (uint32_t)(ev->data.u64 >> 32))
		(void)conn_event(ld, c, ev->events);
}

static bool look(struct loader *ld, int ms)
{
	int n = epoll_wait(ld->epfd, ld->events, LOAD_EVENTS, ms);
	ld->nevents = n > 0 ? n : 0;
	ld->event = 0;
	return n > 0;
}

/* Waits, and looks: one system call for both, but where a millisecond is too long to sleep over what is
 * due. */
static void block(struct loader *ld)
{
	int64_t ns = ld->until - ld->now;
	if (ld->conf.interval == 0) {
		look(ld, ns > 0 ? (int)(ns / MS) + 1 : 0);
		return;
	}
	if (ns > 0) {
		struct pollfd pfd = {.fd = ld->epfd, .events = POLLIN};
		struct timespec t = {ns / 1000000000, ns % 1000000000};
		(void)ppoll(&pfd, 1, &t, NULL);
	}
	look(ld, 0);
}

enum loadask load_next(struct loader *ld)
{
	if (ld->shown) {
		ld->shown = false;
		if (ld->conf.request) /* else load_send looks */
			ld->now = nanotime();
		conn_answered(ld, ld->cur);
	}
	for (;;) {
		if (load_relaxed(&ld->abort))
			return LOAD_OVER;
		if (ld->reading && conn_read(ld))
			return LOAD_RESPONSE;
		bool more;
		enum loadask ask = serve(ld, &more);
		if (ask != LOAD_OVER)
			return ask;
		if (more)
			continue;
		if (ld->event < ld->nevents) {
			handle(ld, &ld->events[ld->event++]);
			continue;
		}
		if (!clockwork(ld))
			return LOAD_OVER;
		if (++ld->batches > BATCHES) {
			ld->batches = 0;
			return LOAD_TURN;
		}
		if (!ld->blocks && look(ld, 0))
			continue;
		if (asks(ld))
			continue;
		ld->until = nexttime(ld);
		if (ld->blocks || ld->until > ld->now) {
			ld->batches = 0;
			return LOAD_WAIT;
		}
	}
}

void load_run(struct loader *ld)
{
	enum loadask ask;
	ld->blocks = true;
	while ((ask = load_next(ld)) != LOAD_OVER)
		if (ask == LOAD_WAIT)
			block(ld);
}
