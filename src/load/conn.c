/* SPDX-License-Identifier: MIT */
/* conn.c - one connection of a load: connect, write, read, begin again. */
#define _GNU_SOURCE
#include "load/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"

/* ns: how long to wait after a connection could not be made, doubled each time. */
enum { BACKOFF_FIRST = 10000000, BACKOFF_MOST = 200000000 };

static uint64_t tag(const struct loader *ld, const struct conn *c)
{
	return (uint64_t)c->gen << 32 | (uint64_t)(c - ld->conns);
}

/* Opening and closing --------------------------------------------------------------- */

void conn_close(struct loader *ld, struct conn *c)
{
	if (c->fd >= 0) {
		close(c->fd); /* and epoll forgets it */
		c->fd = -1;
		c->gen++;
		if (c->state != CONN_CONNECTING)
			store_relaxed(&ld->nopen, load_relaxed(&ld->nopen) - 1);
	}
	if (c->state == CONN_BUSY)
		ld->nbusy--;
	c->state = CONN_CLOSED;
	c->pending = 0;
	free(c->rest);
	c->rest = NULL;
	c->late = c->closing = false;
	c->unwritten = 0;
	answer_reset(&c->answer);
	if (c->pos != HEAP_NOWHERE)
		heap_del(&ld->heap, &c->pos);
	if (ld->reading == c)
		ld->reading = NULL;
}

static void tried(struct loader *ld, struct conn *c)
{
	if (!c->tried) {
		c->tried = true;
		ld->nopening--;
	}
}

static void unconnected(struct loader *ld, struct conn *c, int err)
{
	load_count(ld, LOAD_CONNECT, err, NULL);
	conn_close(ld, c);
	tried(ld, c);
	c->backoff = c->backoff == 0 ? BACKOFF_FIRST : c->backoff * 2 < BACKOFF_MOST ? c->backoff * 2 : BACKOFF_MOST;
	load_later(ld, c, ld->now + c->backoff);
}

/* A descriptor that is about to connect, in the epoll set; or -1 and errno. */
static int startconnect(struct loader *ld, struct conn *c)
{
	int on = 1, err;
	int fd = os_mayfail() ? -1 : socket(ld->conf.addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (ld->conf.addr.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = tag(ld, c)};
	if ((connect(fd, (struct sockaddr *)&ld->conf.addr, ld->conf.addrlen) != 0 && errno != EINPROGRESS) ||
	    epoll_ctl(ld->epfd, EPOLL_CTL_ADD, fd, &ev) != 0) {
		err = errno;
		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

void conn_open(struct loader *ld, struct conn *c)
{
	c->since = ld->now;
	c->state = CONN_CONNECTING;
	c->fd = startconnect(ld, c);
	if (c->fd < 0)
		unconnected(ld, c, errno);
}

static void again(struct loader *ld, struct conn *c)
{
	conn_close(ld, c);
	if (!ld->ending && ld->left > 0)
		conn_open(ld, c);
}

void conn_fail(struct loader *ld, struct conn *c, enum loadclass class, int err, const char *text)
{
	if (c->state == CONN_CONNECTING) {
		unconnected(ld, c, err);
		return;
	}
	if (c->unwritten != 0) { /* that is why */
		class = LOAD_WRITE;
		err = c->unwritten;
	}
	load_count(ld, class, err, text);
	again(ld, c);
}

/* False: it is not, yet or ever. */
static bool connected(struct loader *ld, struct conn *c)
{
	int err = 0;
	socklen_t len = sizeof err;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
		err = errno;
	if (err != 0) {
		unconnected(ld, c, err);
		return false;
	}
	tried(ld, c);
	c->backoff = 0;
	c->delayed = false;
	bump(&ld->connected, 1);
	store_relaxed(&ld->nopen, load_relaxed(&ld->nopen) + 1);
	c->state = CONN_FREE;
	load_isfree(ld, c);
	return true;
}

/* Writing --------------------------------------------------------------------------- */

/* Writes what the socket takes of n bytes: how much, or -1 and errno. */
static ssize_t put(const struct conn *c, const char *s, size_t n)
{
	ssize_t rc;
	do
		rc = os_mayfail() ? -1 : send(c->fd, s, n, MSG_NOSIGNAL);
	while (rc < 0 && errno == EINTR);
	return rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : rc;
}

void conn_send(struct loader *ld, struct conn *c, const char *s, size_t n, uint64_t heads)
{
	c->since = ld->now;
	c->pending = ld->conf.pipeline;
	c->answered = 0;
	c->heads = heads;
	c->late = false;
	c->delayed = false;
	c->state = CONN_BUSY;
	ld->nbusy++;
	ssize_t done = put(c, s, n);
	if (lp_likely(done == (ssize_t)n))
		return;
	if (done < 0) {
		conn_fail(ld, c, LOAD_WRITE, errno, NULL);
		return;
	}
	c->restlen = n - (size_t)done;
	c->restpos = 0;
	c->rest = malloc(c->restlen);
	if (!c->rest)
		conn_fail(ld, c, LOAD_WRITE, ENOMEM, NULL);
	else
		memcpy(c->rest, s + done, c->restlen);
}

static void flush(struct conn *c)
{
	ssize_t done = put(c, c->rest + c->restpos, c->restlen - c->restpos);
	if (done < 0) { /* there may yet be an answer: the server did not want all of it */
		c->unwritten = errno;
		c->closing = true;
		return;
	}
	c->restpos += (size_t)done;
	if (c->restpos == c->restlen) {
		free(c->rest);
		c->rest = NULL;
	}
}

/* Reading --------------------------------------------------------------------------- */

static void readlater(struct loader *ld, struct conn *c)
{
	ld->reading = c;
	ld->rpos = ld->rlen = 0;
	ld->rmore = true;
}

bool conn_event(struct loader *ld, struct conn *c, uint32_t events)
{
	if (c->state == CONN_CLOSED)
		return false;
	if (c->state == CONN_CONNECTING && !connected(ld, c))
		return false;
	if (c->rest && c->unwritten == 0 && (events & EPOLLOUT))
		flush(c);
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->closing = true;
	if (!(events & EPOLLIN) && !c->closing)
		return false;
	readlater(ld, c);
	return true;
}

/* The time that an answer took; of several to one string each from when that was sent. */
static void measure(struct loader *ld, const struct conn *c)
{
	int64_t took = ld->got - c->since;
	if (ld->conf.interval > 0) {
		tally_time(&ld->service, took);
		tally_time(&ld->latency, ld->got - c->due);
	} else {
		tally_time(&ld->latency, took);
	}
	ld->end = ld->got;
}

void conn_answered(struct loader *ld, struct conn *c)
{
	measure(ld, c);
	bump(&ld->requests, 1);
	if (c->answer.status > 399)
		bump(&ld->errors[LOAD_STATUS], 1);
	c->answered++;
	c->pending--;
	if (c->pending == 0) {
		ld->nbusy--;
		c->state = CONN_FREE;
	}
	/* Who answers before it has read all of the request cannot be told where the next begins. */
	if (!c->answer.keepalive || (c->pending == 0 && c->rest)) {
		again(ld, c);
		return;
	}
	if (c->pending == 0)
		load_isfree(ld, c);
}

/* The other side has closed. */
static bool ended(struct loader *ld, struct conn *c)
{
	switch (answer_eof(&c->answer)) {
	case ANSWER_DONE:
		return true;
	case ANSWER_BAD:
		conn_fail(ld, c, LOAD_READ, 0, c->answer.why);
		break;
	case ANSWER_MORE:
		if (c->state == CONN_BUSY)
			conn_fail(ld, c, LOAD_READ, 0, "connection closed without an answer");
		else
			again(ld, c); /* it was idle for too long, say */
	}
	return false;
}

/* Reads more: false when there is none, or the connection is gone.  *eof: the other side has closed. */
static bool fill(struct loader *ld, struct conn *c, bool *eof)
{
	ssize_t n;
	do
		n = os_mayfail() ? -1 : recv(c->fd, ld->buf, sizeof ld->buf, 0);
	while (n < 0 && errno == EINTR);
	ld->rpos = 0;
	ld->rlen = n > 0 ? (size_t)n : 0;
	/* What comes after a short read is another edge; unless it is the end, and was there before. */
	ld->rmore = n == (ssize_t)sizeof ld->buf || (n > 0 && c->closing);
	*eof = n == 0;
	if (n > 0) {
		ld->now = nanotime();
		bump(&ld->bytes, (uint64_t)n);
	} else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
		conn_fail(ld, c, LOAD_READ, errno, NULL);
	}
	return n >= 0;
}

/* A response is complete.  Whether it is to be shown. */
static bool complete(struct loader *ld, struct conn *c)
{
	ld->got = ld->now;
	if (!ld->conf.response) {
		conn_answered(ld, c);
		return false;
	}
	const struct answer *a = &c->answer;
	ld->view = (struct loadview){a->head, a->body, (double)a->headlen, (double)a->bodylen, a->status};
	ld->cur = c;
	ld->shown = true;
	return true;
}

bool conn_read(struct loader *ld)
{
	struct conn *c;
	while ((c = ld->reading) != NULL) {
		bool eof = false;
		if (ld->rpos == ld->rlen) {
			if (!ld->rmore) {
				ld->reading = NULL;
				break;
			}
			if (!fill(ld, c, &eof))
				continue;
		}
		if (eof) {
			if (ended(ld, c) && complete(ld, c))
				return true;
			continue;
		}
		if (c->state != CONN_BUSY) {
			conn_fail(ld, c, LOAD_READ, 0, "answer to nothing");
			continue;
		}
		c->answer.nobody = c->answered < 64 && (c->heads >> c->answered & 1);
		size_t used = 0;
		switch (answer_feed(&c->answer, &ld->known, ld->buf + ld->rpos, ld->rlen - ld->rpos, &used, ld->conf.response)) {
		case ANSWER_MORE:
			ld->rpos = ld->rlen;
			break;
		case ANSWER_DONE:
			ld->rpos += used;
			if (complete(ld, c))
				return true;
			break;
		case ANSWER_BAD:
			conn_fail(ld, c, LOAD_READ, 0, c->answer.why);
			break;
		}
	}
	return false;
}
