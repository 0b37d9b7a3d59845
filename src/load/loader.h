/* SPDX-License-Identifier: MIT */
/* loader.h - one thread of a load: its connections, what they send and when, what came back.
 *
 * A loader is a machine that is pulled: load_next does whatever can be done without
 * waiting, and returns when it has a question for its driver.  Who asks for nothing (no
 * script) is asked nothing but to wait; then all that runs per request is in here.  Who
 * has a script is asked for a delay, a request, or to look at a response, one connection
 * at a time; so the driver is a plain loop, and compiled Lua code through FFI.
 *
 * All connections are in one epoll set of the loader's own, edge-triggered, for reading
 * and writing, from connect to close: no request costs an epoll_ctl, and a request is
 * written at once, and only what the socket does not take waits.  (libuv's poller would
 * take two more system calls a wake-up, and is not asked.)  The set itself can be polled:
 * so a G waits for it like for any other descriptor.
 *
 * How a run goes:
 *
 *   opening   each connection is tried once; nothing is sent yet
 *   running   from when all were tried: the clock starts here
 *   ending    time or number is up, or it was told to stop: nothing more is sent, and
 *             what was sent is waited for, up to the timeout: then what is counted here
 *             is what the server counted.  (With a rate the time is up when all that was
 *             due before its end is sent.)
 *   over
 *
 * Conservation: sent requests == answered + under way + lost with their connection. */
#ifndef LUAPARK_LOAD_LOADER_H
#define LUAPARK_LOAD_LOADER_H

#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/atomic.h"
#include "base/heap.h"
#include "load/answer.h"
#include "load/tally.h"

/* What load_next asks for. */
enum loadask {
	LOAD_OVER,     /* nothing: the run is over */
	LOAD_WAIT,     /* wait for the epoll set, until ld->until at most */
	LOAD_TURN,     /* nothing, but this was a long turn: others may want theirs */
	LOAD_DELAY,    /* load_delay: how long cur waits before its next request */
	LOAD_REQUEST,  /* load_send: what it sends */
	LOAD_RESPONSE, /* look at view */
};

/* What compiled Lua code reads (lua/luapark/loadthread.lua has the same layout).  Valid after
 * LOAD_RESPONSE until the next load_next. */
struct loadview {
	const char *head, *body;
	double headlen, bodylen;
	int32_t status;
};

struct loadconf {
	struct sockaddr_storage addr;
	socklen_t addrlen;
	uint32_t nconns;
	int64_t timeout;   /* ns */
	int64_t duration;  /* ns; INT64_MAX: any */
	double interval;   /* ns between requests; 0: each when the last was answered */
	double offset;	   /* in intervals, of the first */
	uint64_t number;   /* of requests; UINT64_MAX: any */
	uint32_t pipeline; /* requests in one string, */
	uint64_t heads;	   /* and those that are HEADs, where it is always the same one */
	char *request;	   /* that; NULL: asks for it.  The loader's from load_new on */
	size_t requestlen;
	bool delay;    /* asks for delays */
	bool response; /* shows responses */
};

struct conn {
	int fd; /* -1: closed */
	uint32_t gen; /* events of former descriptors are not ours */
	uint32_t pos; /* in the heap: it waits to connect, or out its delay */
	uint32_t next; /* in the line of those that are free */
	enum { CONN_CLOSED, CONN_CONNECTING, CONN_FREE, CONN_BUSY } state;
	bool tried, delayed, late, closing, lined;
	uint32_t pending; /* answers that are still to come */
	uint32_t answered; /* of this string */
	uint64_t heads;
	int64_t backoff;
	int64_t since; /* connecting, or sent at; ns */
	int64_t due;   /* when it should have been sent */
	char *rest;    /* of a request that the socket did not take; */
	size_t restlen, restpos;
	int unwritten; /* why it never will, or 0 */
	struct answer answer;
};

enum { LOAD_EVENTS = 256, LOAD_BUFFER = 64 << 10 };

struct loader {
	struct loadview view;
	struct loadconf conf;
	int epfd;
	int64_t until;

	/* Others look at these while it runs. */
	atomic_flg stop;  /* no more shall be sent.  Anybody sets it */
	atomic_flg abort; /* it shall be over at once.  Anybody sets it */
	atomic_u64 requests, bytes, errors[LOAD_CLASSES];
	atomic_u64 connected; /* connections that were made, */
	atomic_u32 nopen;     /* and that are open */

	struct conn *conns;
	uint32_t nopening, nbusy; /* not tried yet; waiting for answers */
	uint32_t freehead, freetail; /* a line; NONE */
	struct heap heap;
	struct epoll_event events[LOAD_EVENTS];
	int nevents, event, batches;

	struct conn *cur;     /* who asks */
	struct conn *reading; /* whose input is in the buffer, from rpos to rlen; */
	size_t rpos, rlen;
	bool rmore;    /* and whether there may be more of it */
	bool shown;    /* cur's response was shown, and is to be counted */

	bool blocks; /* load_run: looks at the epoll set when it waits, and not before */
	bool begun, ending;
	int64_t opened, start, end, deadline, tick;
	int64_t base; /* of the schedule */
	int64_t now;  /* at the last look */
	int64_t got;  /* when the response that is being counted was read */
	uint64_t left; /* to be sent */
	uint64_t k;    /* of the schedule */

	int64_t sampled; /* rates: at the last tick, */
	uint64_t before; /* and how many requests there were */
	double *rates;
	uint32_t nrates, caprates;

	struct causes causes;
	struct times latency, service; /* with an interval: response and service times */
	struct knownhead known;
	char buf[LOAD_BUFFER];
};

/* conf->request, from malloc, is its own from here on, and freed also when this fails: NULL
 * and errno. */
struct loader *load_new(const struct loadconf *conf);
void load_free(struct loader *ld);

/* Owner thread only, as all that follow.  None of them blocks, but load_run. */
enum loadask load_next(struct loader *ld);

/* Answers to LOAD_DELAY (in ms) and LOAD_REQUEST. */
void load_delay(struct loader *ld, double ms);
void load_send(struct loader *ld, const char *s, size_t n);

/* All of a run that asks for nothing but to wait.  Blocks: for a thread without a P. */
void load_run(struct loader *ld);

#endif
